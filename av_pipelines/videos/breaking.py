"""Where words are broken into captions, and captions into lines.

The cheapest way over all ways (Knuth and Plass, *Breaking Paragraphs into Lines*, 1981, with
captions for lines): few full captions of few and even lines, broken after sentences, clauses and
pauses rather than within a phrase. Here: the choice, for words of known widths. Not here: what a
break costs (``media.breaks``), the width of letters (``captions``, ``restyle``), and the rules of
subtitles that are delivered as files, to which the room of transcripts keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from av_pipelines.media.breaks import breaks_of

Span = tuple[int, int]
"""The first word, and the one behind the last."""

_CAPTION, _EMPTY = 1.0, 3.0  # a caption by itself; the square of the share of it that is empty
_LINE = 3.0  # a line more than it takes
_BETWEEN = 3.0  # a break between captions costs this many times as much as one between lines
_PAUSE_PER_S = 3.0  # how much a pause of a second speaks for a break; a longer one counts as one
_UNEVEN = 8.0  # the square of what a line has more or less than the others, in lines
_MOST_WORDS = 40  # of a caption; nobody reads more


@dataclass(frozen=True)
class Words:
    """Words to be broken: of each its text, its width, and what stands before and after it.

    Attributes:
        texts: the words.
        spaced: whether a blank stands before each.
        widths: of the words, in any unit.
        blank: width of a blank.
        ends: whether the recogniser, or a line of a given text, ended after each; empty: nowhere.
        pauses: seconds of silence before each; empty: none.
    """

    texts: Sequence[str]
    spaced: Sequence[bool]
    widths: Sequence[float]
    blank: float
    ends: Sequence[bool] = ()
    pauses: Sequence[float] = ()


def broken(
    words: Words,
    width: float,
    lines: int,
    language: str | None,
    together: Callable[[int, int], bool] = lambda first, behind: True,
) -> list[list[Span]]:
    """Break words into captions that follow each other.

    Args:
        words: in order.
        width: of a line at most; a wider word has a line of its own.
        lines: of a caption at most.
        language: code; decides which words belong together.
        together: whether words may stand in one caption; one word always may, and what may not
            does not with another word behind it either.

    Returns:
        The lines of each caption.
    """
    count = len(words.texts)
    ends = words.ends or [False] * count
    known = language.split("-")[0].lower() if language else None  # of en-GB: en
    costs = [b.cost for b in breaks_of(words.texts, words.spaced, ends, known)]
    pauses = [*(words.pauses or [0.0] * count), 0.0]
    blanks = [words.blank * spaced for spaced in words.spaced]
    until = [0.0, *accumulate(w + b for w, b in zip(words.widths, blanks, strict=True))]

    def wide(first: int, behind: int) -> float:
        return until[behind] - until[first] - blanks[first]

    least = [0.0, *[math.inf] * count]
    way: list[tuple[int, list[Span]]] = [(0, [])] * (count + 1)
    for first in range(count):
        for rows, filled, cost in _captions(wide, costs, first, width, lines):
            behind = rows[-1][1]
            if behind - first > 1 and not together(first, behind):
                break
            cost += least[first] + _CAPTION + _EMPTY * (1 - min(filled, 1.0)) ** 2
            if behind < count:
                cost += _BETWEEN * costs[behind] - _PAUSE_PER_S * min(pauses[behind], 1.0)
            if cost < least[behind]:
                least[behind], way[behind] = cost, (first, rows)
    found: list[list[Span]] = []
    while count:
        count, rows = way[count]
        found.append(rows)
    return found[::-1]


def _captions(
    wide: Callable[[int, int], float], costs: Sequence[float], first: int, width: float, lines: int
) -> Iterator[tuple[list[Span], float, float]]:
    """Give every caption that begins with a word, the shortest first.

    Args:
        wide: how wide some words are in a line.
        costs: of a break before each word, and behind the last.
        first: the word.
        width: of a line at most.
        lines: at most.

    Returns:
        Its lines, the share of it that is filled, what its lines cost.
    """
    last = min(len(costs) - 1, first + _MOST_WORDS)
    # of each number of lines: where they may end → what they cost, and the lines
    ways: list[dict[int, tuple[float, list[Span]]]] = [{first: (0.0, [])}]
    ways += [{} for _ in range(lines)]
    for behind in range(first + 1, last + 1):
        for before, after in pairwise(ways):
            for begin in range(behind - 1, first - 1, -1):
                long = wide(begin, behind)
                if long > width and behind - begin > 1:
                    break
                if begin not in before:
                    continue
                cost, rows = before[begin]
                cost += _UNEVEN * (long / width) ** 2 + (costs[begin] if begin > first else 0.0)
                # of two lines that cannot be equal the lower one is longer
                if behind not in after or cost <= after[behind][0]:
                    after[behind] = cost, [*rows, (begin, behind)]
        whole = wide(first, behind) / width
        found = [
            (cost - _UNEVEN * whole**2 / number + _LINE * number, rows)
            for number, way in enumerate(ways)
            for cost, rows in [way.get(behind, (math.inf, []))]
            if rows
        ]
        if not found:
            return
        fewest = len(found[0][1])
        cost, rows = min(found)
        yield rows, whole / lines, cost - _LINE * fewest
