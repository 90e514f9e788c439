"""Which rules cues still break, and why that could not be helped.

Every rule is looked at again here, from the cues alone, whatever made them. A finding has the
name of an exception where the speech leaves no other way: then a person need not look. One
without is a fault of the segmentation or of cues that were edited. Not here: making cues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

from av_pipelines.media.breaks import breaks_of, characters, columns
from av_pipelines.transcripts.cues import Cue, write
from av_pipelines.transcripts.subtitle_settings import Rules
from av_pipelines.transcripts.timing import Clock, reading_ms

ONE_WORD = "one word"
"""A single word is wider than a line, or takes longer than a cue may stay."""
FAST = "fast speech"
"""The next words come before these can be read, and every other way to cut breaks a rule too."""
LONGEST = "longest"
"""The cue stays as long as a cue may, and what comes next is too near."""
END = "end of file"
"""The file is over."""
CUT = "cut"
"""The cue left early to keep off a cut."""
NO_TIME = "no time"
"""Words that have no time of their own, or less than a gap takes."""
NO_PLACE = "no better place"
"""Every other place to break breaks a rule too."""
PAUSE = "pause"
"""The speaker paused, or another one began, in mid-phrase."""


@dataclass(frozen=True)
class Finding:
    """A rule that a cue breaks.

    ``value`` and ``limit`` are in the rule's unit: lines, columns, seconds, characters per
    second; for breaks, the words on both sides and what they are. ``exception`` is one of this
    module's names, or None where nothing excuses it.
    """

    cue: int
    start_s: float
    rule: str
    value: float | str
    limit: float | str
    exception: str | None
    text: str

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        return asdict(self)


def lint(
    cues: Sequence[Cue],
    rules: Rules,
    language: str | None = None,
    *,
    cuts_s: Sequence[float] = (),
    duration_s: float = 0.0,
) -> list[Finding]:
    """Check cues against the rules.

    Args:
        cues: in order.
        rules: ``subtitle_settings.rules_for``.
        language: code, for what must not be parted.
        cuts_s: when the picture cuts.
        duration_s: length of the file.

    Returns:
        What is broken, cue by cue; numbers of cues begin with 1, as in SRT.
    """
    return list(_Lint(cues, rules, language, cuts_s, duration_s).findings())


class _Lint:
    def __init__(
        self,
        cues: Sequence[Cue],
        rules: Rules,
        language: str | None,
        cuts_s: Sequence[float],
        duration_s: float,
    ) -> None:
        self._cues, self._rules = cues, rules
        self._pieces = [piece for cue in cues for piece in cue.pieces]
        self._clock = Clock(self._pieces, rules, cuts_s, duration_s)
        self._first = [0, *accumulate(len(cue.pieces) for cue in cues)]
        self._breaks = breaks_of(
            [p.text for p in self._pieces],
            [p.spaced for p in self._pieces],
            [p.ends_segment for p in self._pieces],
            language,
        )

    def findings(self) -> Iterator[Finding]:
        for k, cue in enumerate(self._cues):
            for checks in (self._shape, self._length, self._place, self._breaking):
                for rule, value, limit, exception in checks(k, cue):
                    yield Finding(
                        k + 1,
                        cue.start_ms / 1000,
                        rule,
                        value,
                        limit,
                        exception,
                        " / ".join(cue.lines),
                    )

    def _shape(self, k: int, cue: Cue) -> Iterator[tuple[str, float, float, str | None]]:
        if len(cue.rows) > self._rules.max_lines:
            yield "lines", len(cue.rows), self._rules.max_lines, None
        for row in cue.rows:
            if (wide := columns(write(row))) > self._rules.line_columns:
                yield "line length", wide, self._rules.line_columns, _single(row)

    def _length(self, k: int, cue: Cue) -> Iterator[tuple[str, float, float, str | None]]:
        rules, stays = self._rules, cue.end_ms - cue.start_ms
        if stays <= 0 or cue.start_ms < 0:
            yield "times", stays / 1000, 0.001, None
            return
        why = self._why_short(k, cue)
        if stays > rules.max_ms:
            yield "longest", stays / 1000, rules.max_ms / 1000, None
        if stays < rules.min_ms:
            yield "shortest", stays / 1000, rules.min_ms / 1000, why
        read = sum(map(characters, cue.lines)) + len(cue.rows) - 1
        if stays < reading_ms(cue.pieces, rules) and read * 1000 > rules.per_second * stays:
            yield "reading speed", round(read * 1000 / stays, 1), rules.per_second, why

    def _why_short(self, k: int, cue: Cue) -> str | None:
        """Why a cue does not stay longer, or None if it could."""
        behind = self._first[k + 1]
        if cue.end_ms < self._clock.latest(cue.start_ms, behind):
            return CUT if self._before_cut(cue) else None
        if cue.end_ms - cue.start_ms >= self._rules.max_ms - 2 * self._rules.gap_ms:
            return _single(cue.pieces) or LONGEST
        return END if behind == len(self._pieces) else FAST

    def _before_cut(self, cue: Cue) -> bool:
        cut = self._clock.nearest_cut(cue.end_ms)
        return cut is not None and cue.end_ms == cut - self._rules.gap_ms

    def _place(self, k: int, cue: Cue) -> Iterator[tuple[str, float, float, str | None]]:
        rules, first, behind = self._rules, self._first[k], self._first[k + 1]
        behind_another = k > 0 and self._cues[k - 1].end_ms == cue.start_ms
        pushed = NO_TIME if behind_another and cue.start_ms > self._clock.ins[first] else None
        crowded = NO_TIME if self._clock.limits[behind] <= cue.start_ms else pushed
        late = abs(cue.start_ms - cue.pieces[0].start_ms)
        if late > rules.sync_ms:
            yield "in sync", late / 1000, rules.sync_ms / 1000, pushed
        early = cue.pieces[-1].end_ms - cue.end_ms
        # For the next cue and for cuts it may go a little early, but not because it is full.
        full = cue.end_ms - cue.start_ms >= rules.max_ms
        allowed = 0 if full else rules.sync_ms + rules.gap_ms
        if early > allowed:
            why = _single(cue.pieces) or crowded or (CUT if self._before_cut(cue) else None)
            yield "out in sync", early / 1000, allowed / 1000, why
        cut = self._clock.nearest_cut(cue.start_ms)
        if cut is not None and 0 < abs(cut - cue.start_ms) < rules.gap_ms:
            yield "in off cut", abs(cut - cue.start_ms) / 1000, rules.gap_ms / 1000, pushed
        cut = self._clock.nearest_cut(cue.end_ms)
        if cut is not None and abs(cut - cue.end_ms) < rules.gap_ms:
            yield "out off cut", abs(cut - cue.end_ms) / 1000, rules.gap_ms / 1000, crowded
        if k + 1 == len(self._cues):
            return
        gap = self._cues[k + 1].start_ms - cue.end_ms
        if gap < 0:
            yield "overlap", gap / 1000, 0.0, None
        elif gap < rules.gap_ms:
            yield "gap", gap / 1000, rules.gap_ms / 1000, crowded
        elif rules.gap_ms < gap < rules.close_ms:
            if cue.end_ms >= self._clock.latest(cue.start_ms, behind):
                near = cue.end_ms == self._clock.limits[behind]
                yield "small gap", gap / 1000, rules.close_ms / 1000, CUT if near else LONGEST
            else:
                stays = cue.end_ms - cue.start_ms
                held = LONGEST if stays + gap - rules.gap_ms > rules.max_ms else None
                yield "small gap", gap / 1000, rules.close_ms / 1000, held

    def _breaking(self, k: int, cue: Cue) -> Iterator[tuple[str, str, str, str | None]]:
        at = self._first[k]
        for row, following in pairwise(cue.rows):
            at += len(row)
            if rule := self._breaks[at].forbidden:
                shown = f"{row[-1].text} | {following[0].text}"
                exception = None if self._line_elsewhere(at, row, following) else NO_PLACE
                yield "line break", shown, f"not {rule}", exception
        behind = self._first[k + 1]
        if (rule := self._breaks[behind].forbidden) and k + 1 < len(self._cues):
            pieces = self._pieces
            shown = f"{pieces[behind - 1].text} | {pieces[behind].text}"
            yield "cue break", shown, f"not {rule}", self._why_there(k, behind)

    def _line_elsewhere(self, at: int, row: Sequence[Any], following: Sequence[Any]) -> bool:
        """Whether two lines could be broken at a place that no rule forbids."""
        first, behind = at - len(row), at + len(following)
        return any(
            self._breaks[b].forbidden is None
            and self._fits(first, b, 1)
            and self._fits(b, behind, 1)
            for b in range(first + 1, behind)
        )

    def _why_there(self, k: int, behind: int) -> str | None:
        before, after = self._pieces[behind - 1], self._pieces[behind]
        paused = after.start_ms - before.end_ms >= self._rules.pause_ms
        if paused or before.speaker != after.speaker:
            return PAUSE
        first, end = self._first[k], self._first[k + 2]
        better = any(
            self._breaks[b].forbidden is None
            and self._could_be_a_cue(first, b)
            and self._could_be_a_cue(b, end)
            for b in range(first + 1, end)
        )
        return None if better else NO_PLACE

    def _could_be_a_cue(self, first: int, behind: int) -> bool:
        """Whether pieces would make a cue that breaks no rule."""
        rules, clock, pieces = self._rules, self._clock, self._pieces[first:behind]
        start = clock.ins[first]
        return (
            self._fits(first, behind, rules.max_lines)
            and pieces[-1].end_ms - start <= rules.max_ms
            and clock.limits[behind] > start
            and clock.latest(start, behind) - start >= reading_ms(pieces, rules)
        )

    def _fits(self, first: int, behind: int, lines: int) -> bool:
        """Whether pieces fit into lines that end where no rule forbids it."""
        if columns(write(self._pieces[first:behind])) <= self._rules.line_columns:
            return True
        return lines > 1 and any(
            self._breaks[b].forbidden is None
            and self._fits(first, b, 1)
            and self._fits(b, behind, lines - 1)
            for b in range(first + 1, behind)
        )


def _single(pieces: Sequence[Any]) -> str | None:
    return ONE_WORD if len(pieces) == 1 else None
