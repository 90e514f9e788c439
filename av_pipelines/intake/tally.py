"""What really is in a file: packets counted and timed, damage named.

Here: one ``Tally`` per stream, fed by the pass. Not here: what headers say (``containers``), and
whether it is good enough (``verdict``).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

    from av_pipelines.intake.containers import StreamInfo

_REORDER = 32  # more frames than any codec holds back (H.264 and HEVC: 16)
_MAX_DELTAS = 4096
_MAX_NAMED = 20


@dataclass(frozen=True)
class Event:
    """Something wrong at a time: seconds on the media's clock (None if unknown), and what."""

    at_s: float | None
    what: str

    def to_json_dict(self) -> dict[str, Any]:
        """Give the event for ``probe.json``."""
        return {"at_s": None if self.at_s is None else round(self.at_s, 3), "what": self.what}


@dataclass
class Damage:
    """How often something went wrong, and the first twenty times by name."""

    count: int = 0
    named: list[Event] = field(default_factory=list)

    def note(self, at_s: float | None, what: str) -> None:
        """Count one and keep it if it is among the first."""
        self.count += 1
        if len(self.named) < _MAX_NAMED:
            self.named.append(Event(at_s, what))

    def to_json_dict(self) -> dict[str, Any]:
        """Give the count and the named ones."""
        return {"count": self.count, "first": [event.to_json_dict() for event in self.named]}


class Tally:
    """Counts of one stream, in constant memory.

    Attributes:
        packets: how many, without those an edit list throws away.
        size: their bytes.
        filled: packets that hold data; for video that is the number of frames.
        keyframes: how many can be decoded without others.
        damaged: packets that could not be decoded, or came out of the file incomplete.
        gaps: decoded sound that begins later than the sound before it ended; ``missing_s`` is
            their sum.
        changes: sample rate or channels that changed in mid-stream.
        decoded_s: seconds of sound decoded, None where it was not.
        decoded_frames: pictures decoded.
    """

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self.packets = self.size = self.filled = self.keyframes = 0
        self.damaged, self.gaps, self.changes = Damage(), Damage(), Damage()
        self.sent = 0
        self.missing_s = 0.0
        self.decoded_s: float | None = None
        self.decoded_frames = 0
        self._base = float(info.time_base or 0)
        self._first: int | None = None
        self._end: int | None = None
        self._film = info.type == "video" and not info.attached_picture
        self._waiting: list[int] = []
        self._last: int | None = None
        self._step = 0
        self._deltas: dict[int, int] = {}

    def count(self, packet: Packet[Stream]) -> None:
        """Take a packet into account; called once for each."""
        if packet.is_discard:
            return
        self.packets += 1
        size = packet.size
        if size:
            self.size += size
            self.filled += 1
        if packet.is_keyframe:
            self.keyframes += 1
        at = packet.pts
        if at is None:
            at = packet.dts
            if at is None:
                return
        if self._first is None or at < self._first:
            self._first = at
        end = at + (packet.duration or 0)
        if self._end is None or end > self._end:
            self._end = end
        if self._film:
            if len(self._waiting) < _REORDER:
                heapq.heappush(self._waiting, at)
            else:
                self._show(heapq.heappushpop(self._waiting, at))

    def _show(self, at: int) -> None:
        """Take time stamps in the order of presentation."""
        if self._last is not None and at > self._last:
            step = self._step = at - self._last
            if step in self._deltas or len(self._deltas) < _MAX_DELTAS:
                self._deltas[step] = self._deltas.get(step, 0) + 1
        self._last = at

    def finish(self) -> None:
        """Call when the last packet has been counted."""
        while self._waiting:
            self._show(heapq.heappop(self._waiting))
        if self._film and self._last is not None and self._end == self._last:
            # The last frame has no duration: it is shown for as long as the one before it.
            self._end = self._last + (self._step or self._nominal_step())

    def _nominal_step(self) -> int:
        fps = self.info.fps
        return round(1 / (fps * self._base)) if fps and self._base else 0

    @property
    def start_s(self) -> float | None:
        """Time of the first packet, None if no packet had one."""
        return None if self._first is None else self._first * self._base

    @property
    def end_s(self) -> float | None:
        """Time at which the last packet ends."""
        return None if self._end is None else self._end * self._base

    @property
    def duration_s(self) -> float:
        """Seconds from the first packet's beginning to the last one's end."""
        if self._first is None or self._end is None:
            return 0.0
        return (self._end - self._first) * self._base

    @property
    def variable_frame_rate(self) -> bool | None:
        """Whether frames are shown for unequal times; None if there are too few to say.

        More than 1 % of the steps (and more than one) are off the median by more than one tick of
        the clock and more than 2 %: rounding to the container's clock does not count.
        """
        total = sum(self._deltas.values())
        if total < 2:
            return None
        steps = sorted(self._deltas)
        passed = accumulate(self._deltas[step] for step in steps)
        median = next(step for step, seen in zip(steps, passed, strict=True) if 2 * seen >= total)
        allowed = max(1.0, 0.02 * median)
        off = sum(times for step, times in self._deltas.items() if abs(step - median) > allowed)
        return off > max(1, 0.01 * total)

    @property
    def fps(self) -> Fraction | None:
        """Frames per second: the nominal rate if the frames keep to it, else the average."""
        nominal = self.info.fps
        if not self._film or self.filled < 2 or self.duration_s <= 0:
            return nominal
        average = self.filled / self.duration_s
        rounding = 0.02 + 2 * self._base / self.duration_s  # of the time stamps, at both ends
        if nominal and not self.variable_frame_rate and abs(average / nominal - 1) < rounding:
            return nominal
        return Fraction(average).limit_denominator(1001)
