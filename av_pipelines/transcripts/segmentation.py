"""Where running text is cut into cues, and cues into lines: the cheapest way over all ways.

Dynamic programming over the pieces (Knuth and Plass, *Breaking Paragraphs into Lines*, 1981, with
cues for lines): the best way up to a piece is the best over the last cue before it. A cue that
breaks a rule costs more than any number of places that are merely not pretty, so a rule is
broken only where every way breaks one. O(n · w): n pieces, at most w of them in a cue.

Here: the choice. Not here: what a break costs (``breaks``), times (``timing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from av_pipelines.media.breaks import NEVER, Break, breaks_of, characters, columns
from av_pipelines.transcripts.subtitle_settings import Rules
from av_pipelines.transcripts.timing import Clock

if TYPE_CHECKING:
    from av_pipelines.transcripts.cues import Piece

Rows = tuple[tuple["Piece", ...], ...]

_PER_CUE = 1.0
"""What a cue costs by itself: few full cues are easier to read than many small ones."""
_EMPTINESS = 3.0
"""Times the square of the share of a cue that is empty: this makes neighbours equally long."""
_CUE_BREAK = 1.5
"""A break between cues costs this many times as much as one between lines."""
_PAUSE_PER_S = 3.0
"""How much a pause of a second speaks for a break; a longer one counts as a second."""
_NO_ROOM, _LACKING = 400.0, 1000.0
"""A cue that cannot stay long enough: for that alone, and times the share that is missing."""
_NO_TIME = 10_000.0
"""A cue that would have no time at all."""
_IMBALANCE, _TOP_HEAVY = 8.0, 1.3
_ROWS_AT_ONCE = 4096


def segment(
    pieces: Sequence[Piece], clock: Clock, rules: Rules, language: str | None
) -> list[Rows]:
    """Cut n pieces into cues of lines.

    Every cue fits into the lines and the time that the rules allow, but for a piece that alone
    is wider than a line or longer than a cue may stay: it has a line or a cue of its own. A new
    speaker and a long pause always begin a cue.
    """
    if not pieces:
        return []
    breaks = breaks_of(
        [p.text for p in pieces],
        [p.spaced for p in pieces],
        [p.ends_segment for p in pieces],
        language,
    )
    text = _Text(pieces, breaks, rules)
    costs = np.array([b.cost for b in breaks])
    cuts = _cheapest(pieces, clock, rules, text, costs)
    lay_out = _Layout(text, costs, rules)
    return [
        tuple(tuple(pieces[a:b]) for a, b in lay_out.lines(first, behind))
        for first, behind in pairwise(cuts)
    ]


class _Text:
    """Widths and lengths of any run of pieces, from running totals."""

    def __init__(self, pieces: Sequence[Piece], breaks: Sequence[Break], rules: Rules) -> None:
        n = len(pieces)
        self.blank = np.array([p.spaced for p in pieces] + [False], dtype=np.int64)
        self.wide = np.zeros(n + 1, dtype=np.int64)
        self.read = np.zeros(n + 1, dtype=np.int64)
        np.cumsum([columns(p.text) + p.spaced for p in pieces], out=self.wide[1:])
        np.cumsum([characters(p.text) + p.spaced for p in pieces], out=self.read[1:])
        # The furthest end of a line that begins with a piece, and the first piece of the longest
        # line that ends before one; a single piece always is a line.
        begins = self.wide + self.blank
        ends = np.searchsorted(self.wide, begins + rules.line_columns, side="right") - 1
        self.furthest = np.minimum(np.maximum(ends, np.arange(n + 1) + 1), n)
        self.earliest = np.searchsorted(begins, self.wide - rules.line_columns, side="left")

    def width(self, first: int, behind: int) -> int:
        """Return the columns of a line."""
        return int(self.wide[behind] - self.wide[first] - self.blank[first])


def _cheapest(
    pieces: Sequence[Piece], clock: Clock, rules: Rules, text: _Text, costs: np.ndarray
) -> list[int]:
    """Return where the cues of the cheapest way begin, and n."""
    n = len(pieces)
    starts = np.array([p.start_ms for p in pieces])
    ends = np.maximum.accumulate([p.end_ms for p in pieces])
    pauses = np.concatenate([[0], (starts[1:] - ends[:-1]).clip(0), [0]])
    speakers = [p.speaker for p in pieces]
    forced = np.array([False, *(a != b for a, b in pairwise(speakers)), True])
    forced |= pauses >= rules.pause_ms
    ins, limits = np.array(clock.ins), np.array(clock.limits)

    last = np.arange(n)
    for _ in range(rules.max_lines):
        last = text.furthest[last]
    places = np.flatnonzero(forced)
    last = np.minimum(last, places[np.searchsorted(places, np.arange(n), side="right")])
    gone = np.maximum.accumulate(np.minimum(ends, limits[1:]))  # a cue goes before the next comes
    last = np.minimum(last, np.searchsorted(gone, ins[:n] + rules.max_ms, side="right"))
    last = np.maximum(last, np.arange(n) + 1)

    pause = np.where(costs < NEVER, _PAUSE_PER_S * np.minimum(pauses / 1000, 1), 0)
    between = _CUE_BREAK * costs - pause
    between[forced] = 0
    cheapest_break = _RangeMinimum(costs, int((last - np.arange(n)).max()))
    best, back = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.int64)
    best[0] = 0.0
    for block in range(0, n, _ROWS_AT_ONCE):
        i = np.arange(block, min(block + _ROWS_AT_ONCE, n))
        j = i[:, None] + 1 + np.arange(int((last[i] - i).max()))
        allowed = j <= last[i][:, None]
        j = np.minimum(j, n)
        i2 = i[:, None]
        come = ins[i2]
        room = np.minimum(limits[j], come + rules.max_ms) - come
        read = text.read[j] - text.read[i2] - text.blank[i2]
        need = np.maximum(np.maximum(rules.min_ms, read * 1000 / rules.per_second), 1)
        lack = (need - room).clip(0) / need
        wide = text.wide[j] - text.wide[i2] - text.blank[i2]
        empty = (1 - wide / (rules.max_lines * rules.line_columns)).clip(0, 1)
        cost = (
            _PER_CUE
            + between[j]
            + _EMPTINESS * empty**2
            + np.where(lack > 0, _NO_ROOM + _LACKING * lack.clip(0, 1), 0)
            + np.where(room <= 0, _NO_TIME, 0)
        )
        if rules.max_lines == 2:
            low = np.maximum(text.earliest[j], i2 + 1)
            high = np.minimum(text.furthest[i2], j - 1)
            two = wide > rules.line_columns
            cost += np.where(two, cheapest_break(low, np.maximum(low, high)), 0)
        cost[~allowed] = np.inf
        for row, first in enumerate(i):
            ways = best[first] + cost[row]
            behind = slice(first + 1, first + 1 + len(ways))
            known = best[behind]
            ways = ways[: len(known)]
            better = ways < known
            known[better] = ways[better]
            back[behind][better] = first
    cuts = [n]
    while cuts[-1]:
        cuts.append(int(back[cuts[-1]]))
    return cuts[::-1]


class _RangeMinimum:
    """The least of any run of values, from a table of the runs of 1, 2, 4 … (sparse table)."""

    def __init__(self, values: np.ndarray, longest: int) -> None:
        rows = [values]
        while 2 ** len(rows) <= longest:
            half = 2 ** (len(rows) - 1)
            shifted = np.concatenate([rows[-1][half:], np.full(half, np.inf)])
            rows.append(np.minimum(rows[-1], shifted))
        self._table = np.array(rows)

    def __call__(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the least of values[low … high], both included."""
        row = np.minimum(np.log2(high - low + 1).astype(np.int64), len(self._table) - 1)
        low = np.minimum(low, self._table.shape[1] - 1)
        return np.minimum(self._table[row, low], self._table[row, high - 2**row + 1])


class _Layout:
    """The lines of a cue: as few as it takes, breaks where they do no harm, then balanced.

    Of two lines that cannot be equal the lower one is longer, as the style guides have it.
    """

    def __init__(self, text: _Text, costs: np.ndarray, rules: Rules) -> None:
        self._text, self._costs, self._columns = text, costs.tolist(), rules.line_columns
        self._most = rules.max_lines

    def lines(self, first: int, behind: int) -> list[tuple[int, int]]:
        """Return each line's first piece and the one behind its last."""
        count, reached = 1, int(self._text.furthest[first])
        while reached < behind:
            count, reached = count + 1, int(self._text.furthest[reached])
        if count == 1:
            return [(first, behind)]
        aim = self._text.width(first, behind) / count
        wide, blank = self._text.wide, self._text.blank
        width = {i: (int(wide[i]), int(wide[i] + blank[i])) for i in range(first, behind + 1)}

        def badness(a: int, b: int) -> float:
            columns = width[b][0] - width[a][1]
            over = max(columns - self._columns, 0)
            off = (columns - aim) / self._columns
            heavy = _TOP_HEAVY if off > 0 and b < behind else 1.0
            return 10_000.0 * over + _IMBALANCE * heavy * off * off

        @cache
        def best(a: int, left: int) -> tuple[float, tuple[int, ...]]:
            if left == 1:
                return badness(a, behind), (behind,)
            ways = []
            for b in range(a + 1, behind - left + 2):
                rest, ends = best(b, left - 1)
                ways.append((badness(a, b) + self._costs[b] + rest, (b, *ends)))
            return min(ways)

        ends = best(first, min(count, behind - first))[1]
        return list(zip((first, *ends), ends, strict=False))
