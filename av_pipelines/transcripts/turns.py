"""Turns: who speaks from when to when, and whose a word is.

Here: the data. Not here: telling voices apart (``speakers``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from av_pipelines.transcripts.words import Word


@dataclass(frozen=True)
class Turn:
    """A stretch of one speaker's voice, in seconds from the start of the file."""

    start_s: float
    end_s: float
    speaker: str


def speakers_of(words: Sequence[Word], turns: Sequence[Turn]) -> list[str | None]:
    """Say whose each word is: the turn's that its middle is in, else the nearest turn's.

    Args:
        words: in order.
        turns: in order, not overlapping; none: nobody is known.
    """
    if not turns:
        return [None] * len(words)
    starts = [turn.start_s for turn in turns]
    found: list[str | None] = []
    for word in words:
        middle = (word.start_s + word.end_s) / 2
        i = max(bisect_right(starts, middle) - 1, 0)
        near = turns[i : i + 2]
        found.append(min(near, key=lambda t: max(t.start_s - middle, middle - t.end_s, 0)).speaker)
    return found
