"""When a cue comes and goes: with its words, off the cuts, apart from its neighbours.

Sources: Netflix, Subtitle Timing Guidelines (in-times on a cut that is near, out-times two frames
before one, two frames between cues, smaller gaps than half a second closed). Here: times. Not
here: which words are in a cue (``segmentation``). All times are milliseconds.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av_pipelines.media.breaks import characters
from av_pipelines.transcripts.subtitle_settings import Rules

if TYPE_CHECKING:
    from av_pipelines.transcripts.cues import Piece


def read_cuts(scenes: Path) -> tuple[list[float], Fraction]:
    """Read a ``scenes.json``: when the picture cuts, in seconds, and its frames per second.

    Only hard cuts count: over a dissolve a subtitle may stand.
    """
    record = json.loads(scenes.read_text("utf-8"))
    cuts = [scene["start_s"] for scene in record["scenes"] if scene["transition"] == "cut"]
    return cuts, Fraction(record["fps"])


class Clock:
    """The times that cues over some pieces may have.

    Args:
        pieces: n pieces in order.
        rules: the rules.
        cuts_s: when the picture cuts, in seconds.
        duration_s: length of the file in seconds.

    Attributes:
        ins: n + 1 times: when a cue that begins with a piece comes; the last one is the end.
        limits: n + 1 times: when a cue before a piece must have gone.
    """

    def __init__(
        self, pieces: Sequence[Piece], rules: Rules, cuts_s: Sequence[float], duration_s: float
    ) -> None:
        self._pieces, self._rules = pieces, rules
        self.cuts = sorted({round(cut * 1000) for cut in cuts_s if cut > 0})
        self.end = max(round(duration_s * 1000), pieces[-1].end_ms if pieces else 0)
        self.ins = [self._snapped(piece.start_ms) for piece in pieces] + [self.end]
        self.limits = [self.off_cuts(t - rules.gap_ms) for t in self.ins[:-1]]
        self.limits.append(self.off_cuts(self.end))

    def nearest_cut(self, time: int) -> int | None:
        """Return the cut next to a time, the earlier of two."""
        i = bisect_left(self.cuts, time)
        return min(self.cuts[max(i - 1, 0) : i + 1], key=lambda cut: abs(cut - time), default=None)

    def _snapped(self, time: int) -> int:
        cut = self.nearest_cut(time)
        if cut is None or (abs(cut - time) > self._rules.snap_ms and not self._near(cut, time)):
            return time
        return cut

    def off_cuts(self, time: int) -> int:
        """Return an out-time, moved to before the cut that it is too near to, if it is."""
        while (cut := self.nearest_cut(time)) is not None and self._near(cut, time):
            time = cut - self._rules.gap_ms
        return time

    def _near(self, cut: int, time: int) -> bool:
        return abs(cut - time) < self._rules.gap_ms

    def times(self, groups: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Give each group of pieces, from a first one up to a last one, its in and out time.

        A cue lasts as long as its words, and longer while there is room: for ``min_ms``, for the
        reading speed. Where words have no time at all, each cue still gets a millisecond.
        """
        found: list[tuple[int, int]] = []
        free = 0
        for first, behind in groups:
            start = max(self.ins[first], free)
            free = self._out(start, first, behind)
            found.append((start, free))
        return found

    def _out(self, start: int, first: int, behind: int) -> int:
        rules = self._rules
        latest = self.latest(start, behind)
        if self.limits[behind] <= start:
            return latest
        spoken = self._pieces[behind - 1].end_ms
        wanted = start + reading_ms(self._pieces[first:behind], rules)
        out = self._beside_cut(start, min(max(spoken, wanted), latest), wanted, latest)
        if behind < len(self._pieces) and self.ins[behind] - out < rules.close_ms:
            # Too small to be seen as a pause: the cue stays, or goes early enough to make it one.
            early = self.off_cuts(self.ins[behind] - rules.close_ms)
            if latest == self.limits[behind]:
                return latest
            if early >= max(spoken, wanted):
                return early
        return out

    def latest(self, start: int, behind: int) -> int:
        """Return until when a cue from ``start`` on, before piece ``behind``, may stay."""
        limit = self.limits[behind]
        if limit <= start:  # no time for a gap, and none to keep off cuts
            return max(self.ins[behind], start + 1)
        latest = min(limit, start + self._rules.max_ms)
        off = self.off_cuts(latest)
        return off if off > start else latest

    def _beside_cut(self, start: int, out: int, wanted: int, latest: int) -> int:
        cut = self.nearest_cut(out)
        if cut is None or not self._near(cut, out):
            return max(out, start + 1)
        before, after = self.off_cuts(out), cut + self._rules.gap_ms
        longer = after <= latest and self.off_cuts(after) == after
        if longer and (out > cut or before < wanted):
            return after
        return before if before > start else max(out, start + 1)


def reading_ms(pieces: Sequence[Piece], rules: Rules) -> int:
    """Return how long a cue must stay to be read."""
    read = sum(characters(p.text) + p.spaced for p in pieces) - pieces[0].spaced
    return max(rules.min_ms, -int(-read * 1000 // rules.per_second))
