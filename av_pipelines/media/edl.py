"""CMX3600 edit decision lists: the text, and the events it says.

Here: reading lists as editing programs write them, with the line of what is wrong, and writing them
in one layout. Not here: what the events mean for a film (``videos.edl``), timecode (``timecode``).

The layout is that of the CMX 340/3600 manual, as SMPTE ST 258 keeps it: an event is a number, the
source's reel, channels, the kind of edit with its length in frames, and four timecodes: in and out
of the source, in and out of the record. Lines that are no events belong to the one before. A
dissolve or wipe is two lines of one number: what it comes from, and what it goes to. A list does
not say its frame rate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from av_pipelines.media.timecode import from_timecode, may_drop, nominal, to_timecode

MAX_BYTES = 32 * 2**20
BLACK = "BL"
"""Reel of a black picture."""
AUXILIARY = "AX"
"""Reel of a source without a tape's name."""

_CHANNELS = {
    "V": ("V",),
    "A": ("A1",),
    "AA": ("A1", "A2"),
    "B": ("V", "A1"),
    "A2/V": ("V", "A2"),
    "AA/V": ("V", "A1", "A2"),
    "NONE": (),
}
_LONGEST_CODE = 14
_KIND = re.compile(r"C|D|W\d{3}|KB?|KO")
_CHANNEL = re.compile(r"(?:NONE|B|V\d*|A\d*|AA|A\d*/V\d*|AA/V\d*)", re.IGNORECASE)
_M2 = re.compile(r"M2\s+(?P<reel>.*?)\s+(?P<fps>[-+]?\d{0,6}\.?\d{1,6})\s+(?P<at>\S+)$")
_FCM = re.compile(r"FCM:?\s*(?P<mode>.*)$", re.IGNORECASE)
_AUD = re.compile(r"AUD\s+(?P<channels>[\d\s]+)$")


class EdlError(ValueError):
    """A list cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class Speed:
    """A motion event, ``M2``: frames of the source a second; 0 holds a picture."""

    reel: str
    fps: Fraction


@dataclass(frozen=True)
class Event:
    """One line of decision, in frames; ``[in, out)``."""

    number: str
    reel: str
    channels: tuple[str, ...]
    """``V``, ``V2`` …, ``A1`` …"""
    kind: str
    """``C`` cut, ``D`` dissolve, ``W001`` … wipes."""
    source_in: int
    source_out: int
    record_in: int
    record_out: int
    transition: int = 0
    """Length of the dissolve or wipe."""
    speeds: tuple[Speed, ...] = ()
    notes: tuple[str, ...] = ()
    """The lines after it that are not understood here, comments mostly."""
    line: int = 0
    """Where it was read, from 1."""

    @property
    def frames(self) -> int:
        """How long it is in the record."""
        return self.record_out - self.record_in


@dataclass(frozen=True)
class EditList:
    """A whole list."""

    title: str
    events: tuple[Event, ...]
    drop: bool = False
    """Whether its timecode is drop-frame."""
    notes: tuple[str, ...] = ()
    """Lines before the first event."""


# ---------------------------------------------------------------------- writing


def write_edl(edits: EditList, rate: Fraction) -> str:
    """Write a list: UTF-8, Unix line ends, one layout.

    Raises:
        ValueError: a frame cannot be said in timecode.
    """
    lines = [
        f"TITLE: {one_line(edits.title)}",
        f"FCM: {'DROP FRAME' if edits.drop else 'NON-DROP FRAME'}",
        *map(one_line, edits.notes),
        "",
    ]
    for event in edits.events:
        codes = (event.source_in, event.source_out, event.record_in, event.record_out)
        clock = " ".join(to_timecode(frame, rate, drop=edits.drop) for frame in codes)
        length = f"{event.transition:03}" if event.kind != "C" else ""
        channels, more = _channel_code(event.channels)
        lines.append(
            f"{event.number}  {event.reel:<8} {channels:<5} {event.kind:<4} {length:<3} {clock}"
        )
        lines += [f"AUD  {more}"] * bool(more)
        for speed in event.speeds:
            at = to_timecode(event.source_in, rate, drop=edits.drop)
            fps = float(speed.fps)
            number = f"{fps:05.1f}" if fps >= 0 else f"-{-fps:04.1f}"
            lines.append(f"M2   {speed.reel:<8}       {number}                {at}")
        lines += map(one_line, event.notes)
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """Give a text without anything that would end or bend a line."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip()[:1000]


def _channel_code(channels: Sequence[str]) -> tuple[str, str]:
    """Give CMX's word for channels, and the numbers of those that need a line of their own."""
    code = next((word for word, those in _CHANNELS.items() if those == tuple(channels)), None)
    if code is not None:
        return code, ""
    if len(channels) == 1 and not channels[0].startswith("A"):
        return channels[0], ""
    known = tuple(c for c in channels if c in ("V", "A1", "A2"))
    more = " ".join(c.removeprefix("A") for c in channels if c not in known)
    return _channel_code(known)[0], more


# ---------------------------------------------------------------------- reading


def decode(data: bytes) -> str:
    """Read the bytes of a list: UTF-8 or UTF-16 if they are, else Windows' Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def read_edl(data: bytes, rate: Fraction, where: str = "EDL") -> EditList:
    """Read a list.

    Args:
        data: the file.
        rate: frames a second that its timecodes count.
        where: what to call it in messages.

    Raises:
        EdlError: naming the line.
    """
    if len(data) > MAX_BYTES:
        raise EdlError(f"{where}: larger than {MAX_BYTES} bytes")
    return _Reader(rate, where).read(decode(data))


class _Reader:
    def __init__(self, rate: Fraction, where: str) -> None:
        self.rate, self.where, self.number = rate, where, 0
        self.title = ""
        self.drop = self.dropped = False
        self.header: list[str] = []
        self.events: list[Event] = []
        self.notes: list[str] = []
        self.speeds: list[Speed] = []
        self.more: tuple[str, ...] = ()

    def wrong(self, said: str) -> EdlError:
        return EdlError(f"{self.where}:{self.number}: {said}")

    def read(self, text: str) -> EditList:
        for self.number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
            words = one_line(line).strip()
            if words:
                self._line(words)
        self._finish()
        if not self.events:
            raise EdlError(f"{self.where}: it has no event")
        return EditList(self.title, tuple(self.events), self.dropped, tuple(self.header))

    def _line(self, words: str) -> None:
        if words[0].isdecimal() and len(words.split()) > 1:
            event = self._event(words.split())
            self._finish()
            self.events.append(event)
        elif match := _FCM.match(words):
            mode = match["mode"].upper().replace("-", " ").strip()
            if mode not in ("DROP FRAME", "NON DROP FRAME"):
                raise self.wrong(f"FCM is DROP FRAME or NON-DROP FRAME, not {match['mode']!r}")
            self.drop = mode == "DROP FRAME"
            if self.drop and not may_drop(self.rate):
                raise self.wrong(
                    f"the list is drop-frame, and the film has {_shown(self.rate)} frames a "
                    "second; drop-frame is for 29.97 and 59.94: set project_settings.fps"
                )
        elif words.upper().startswith("TITLE:") and not self.events:
            self.title = words[6:].strip()
        elif words.startswith("M2") and self.events:
            self._speed(words)
        elif (match := _AUD.match(words)) and self.events:
            self.more += tuple(f"A{n}" for n in match["channels"].split())
        elif self.events:
            self.notes.append(words)
        else:
            self.header.append(words)

    def _finish(self) -> None:
        """Give the last event what was said after it."""
        if self.events:
            last = self.events[-1]
            self.events[-1] = Event(
                **{
                    **last.__dict__,
                    "channels": tuple(dict.fromkeys((*last.channels, *self.more))),
                    "speeds": tuple(self.speeds),
                    "notes": tuple(self.notes),
                }
            )
        self.notes, self.speeds, self.more = [], [], ()

    def _event(self, words: list[str]) -> Event:
        *head, source_in, source_out, record_in, record_out = words if len(words) > 7 else [""] * 5
        if len(head) < 4:
            raise self.wrong(
                "an event has a number, a reel, channels, an edit and four timecodes; this line "
                f"has {len(words)} words"
            )
        length = head.pop() if len(head) > 4 and head[-1].isdecimal() else ""
        number, *reel, channels, kind = head
        if not number.isdecimal():
            raise self.wrong(f"{number!r} is no number of an event")
        if not reel or not _KIND.fullmatch(kind):
            raise self.wrong(f"{kind!r} is no edit; known are C, D, W and three digits, K, KB, KO")
        if not _CHANNEL.fullmatch(channels):
            raise self.wrong(f"{channels!r} are no channels; known are V, A, A2, AA, B, AA/V …")
        if kind != "C" and not length:
            raise self.wrong(f"an edit {kind} needs its length in frames before the timecodes")
        codes = [self._frame(code) for code in (source_in, source_out, record_in, record_out)]
        for name, start, end in (("source", *codes[:2]), ("record", *codes[2:])):
            if end < start:
                raise self.wrong(f"the {name} ends before it begins")
        return Event(
            number, " ".join(reel), _named(channels.upper()), kind, codes[0], codes[1], codes[2],
            codes[3], int(length or 0), line=self.number,
        )  # fmt: skip

    def _frame(self, code: str) -> int:
        """Read a timecode, or the number of a frame."""
        if code.isdecimal() and len(code) < 10:
            return int(code)
        if len(code) > _LONGEST_CODE:
            raise self.wrong(f"{code[:40]!r} is no timecode")
        dropping = self.drop or ";" in code or "," in code
        self.dropped |= dropping
        if self.drop and re.fullmatch(r"[\d:.]+", code):  # many programs write : in any case
            code = f"{code[:8]};{code[9:]}"
        try:
            return from_timecode(code, self.rate)
        except ValueError as error:
            raise self.wrong(f"{error} (project_settings.fps says the rate)") from None

    def _speed(self, words: str) -> None:
        match = _M2.match(words)
        if not match:
            raise self.wrong("a motion event is M2, the reel, frames a second and a timecode")
        self.speeds.append(Speed(match["reel"], Fraction(match["fps"])))


def _named(code: str) -> tuple[str, ...]:
    if code in _CHANNELS:
        return _CHANNELS[code]
    sound, slash, picture = code.rpartition("/")
    if slash:
        return (picture, *_named(sound))
    return ("V",) if code == "V1" else (code,)


def _shown(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def at_speed(frames: int, fps: Fraction, rate: Fraction) -> int:
    """Give how many frames of a source an event of so many frames shows at a motion's speed."""
    return max(1, round(frames * fps / nominal(rate)))
