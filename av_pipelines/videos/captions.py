"""What is said in a film: words of transcripts, on the film's time, broken into captions.

Here: from ``transcript.json`` through in, out and speed of shots and lanes to captions. Not here:
recognising words (the room of transcripts), how captions look and where (``words``, ``restyle``).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from av_pipelines.videos.cut import Caption, Word

_PAUSE = Fraction(3, 4)  # of silence, after which words stand in a caption of their own
_HOLD = Fraction(1, 2)  # after the last word
_LEAST, _MOST = Fraction(1), Fraction(7)  # how long a caption is shown
_STOPS = ".!?…。！？।؟"


@dataclass(frozen=True)
class Said:
    """A word; times in seconds of its source, later of the film."""

    start: Fraction
    end: Fraction
    text: str
    spaced: bool = True
    """A blank stands before it."""
    ends: bool = False
    """The recogniser, or a line of a given text, ended after it."""


@dataclass(frozen=True)
class Heard:
    """A stretch of a source that is heard in the film."""

    words: Sequence[Said]
    start: Fraction
    """Seconds of the source."""
    end: Fraction
    at: Fraction
    """Seconds of the film."""
    speed: Fraction = Fraction(1)


def read_transcript(path: Path) -> tuple[str | None, list[Said]]:
    """Read ``transcript.json``: its language and its words; ValueError if it is none."""
    try:
        data = json.loads(path.read_text("utf-8"))
        words = [
            Said(
                _exact(word["start_s"]),
                _exact(word["end_s"]),
                str(word["text"]).strip(),
                bool(word.get("spaced", True)),
                place == len(segment["words"]) - 1,
            )
            for segment in data["segments"]
            for place, word in enumerate(segment["words"])
        ]
        return data["language"], [word for word in words if word.text]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: not a transcript: {error!r}") from None


def _exact(seconds: Any) -> Fraction:
    return Fraction(str(seconds))


def on_film(heard: Iterable[Heard]) -> list[Said]:
    """Give the words that are heard, in seconds of the film, in order.

    A word counts if its middle is heard; what is cut off of it is cut off of its time.
    """
    found: list[Said] = []
    for part in heard:
        for word in part.words:
            if part.start <= (word.start + word.end) / 2 < part.end and part.speed > 0:
                start, end = (
                    part.at + (min(max(time, part.start), part.end) - part.start) / part.speed
                    for time in (word.start, word.end)
                )
                found.append(Said(start, end, word.text, word.spaced, word.ends))
    return sorted(found, key=lambda word: (word.start, word.end))


def make_captions(
    words: Sequence[Said], *, max_chars: int, max_lines: int, until: Fraction
) -> tuple[Caption, ...]:
    """Break words into captions that follow each other.

    Args:
        words: in seconds of the film, in order.
        max_chars: columns of a line; a longer word stands alone.
        max_lines: of a caption.
        until: the film's end.
    """
    groups: list[list[Said]] = []
    for word in words:
        if word.start >= until:
            break
        if not groups or _begins_anew(groups[-1], word, max_chars, max_lines):
            groups.append([])
        groups[-1].append(word)
    return tuple(
        _caption(group, following[0].start if following else until, max_chars, max_lines)
        for group, following in pairwise([*groups, []])
    )


def _begins_anew(group: Sequence[Said], word: Said, max_chars: int, max_lines: int) -> bool:
    last = group[-1]
    return (
        last.ends
        or word.start - last.end > _PAUSE
        or word.end - group[0].start > _MOST
        or (last.text[-1] in _STOPS and _columns(_text(group)) * 2 > max_chars)
        or _lines([*group, word], max_chars, max_lines) is None
    )


def _caption(group: Sequence[Said], following: Fraction, max_chars: int, max_lines: int) -> Caption:
    start = group[0].start
    end = max(min(max(group[-1].end + _HOLD, start + _LEAST), following), group[0].end)
    lines = _lines(group, max_chars, max_lines) or (_text(group),)
    return Caption(start, end, lines, tuple(Word(w.start, min(w.end, end), w.text) for w in group))


def _lines(group: Sequence[Said], max_chars: int, max_lines: int) -> tuple[str, ...] | None:
    """Break words into as few and as even lines as hold them; None where none do."""
    for count in range(1, max_lines + 1):
        whole = _columns(_text(group))
        for width in range(-(-whole // count), max_chars + 1):
            lines = _filled(group, width)
            if len(lines) <= count:
                return tuple(lines)
    return None if len(group) > 1 else (_text(group),)


def _filled(group: Sequence[Said], width: int) -> list[str]:
    lines: list[list[Said]] = []
    for word in group:
        if not lines or _columns(_text([*lines[-1], word])) > width:
            lines.append([])
        lines[-1].append(word)
    return [_text(line) for line in lines]


def _text(words: Sequence[Said]) -> str:
    return "".join((" " if word.spaced else "") + word.text for word in words).strip()


def _columns(text: str) -> int:
    """Width of a text: letters of East Asian scripts take two columns, marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
