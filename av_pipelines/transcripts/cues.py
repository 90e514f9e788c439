"""Subtitle cues: which words are on the screen together, in which lines, from when to when.

One list of cues serves every subtitle format. Not here: the formats' own syntax (``formats``).

Limits are those of the common style guides (Netflix, Timed Text Style Guide, General
Requirements: 2 lines of 42 characters, 5/6 s to 7 s). A single word is never broken: one of more
than 42 characters has an over-long line of its own, one of more than 7 s leaves after 7 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from av_pipelines.transcripts.words import Transcript, Word, join

MAX_LINES = 2
MAX_CHARACTERS = 42
MAX_MS = 7000
MIN_MS = 833
PAUSE_S = 2.0

_SENTENCE_ENDS = tuple(".!?…。！？")
_CLAUSE_ENDS = tuple(",;:–—、，；：")
_CLOSING = "\"'”’»)]"


@dataclass(frozen=True)
class Cue:
    """Lines of text on the screen from ``start_ms`` up to ``end_ms``."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def make_cues(transcript: Transcript) -> list[Cue]:
    """Cut a transcript into cues: ordered, not overlapping, at least 1 ms long, no text lost.

    A cue lasts as long as its words, and up to ``MIN_MS`` where there is room after it.
    """
    groups = [
        part
        for segment in transcript.segments
        for phrase in _at_pauses(segment.words)
        for part in _split(phrase)
    ]
    starts = [round(group[0].start_s * 1000) for group in groups]
    limits = [*starts[1:], round(transcript.duration_s * 1000)]
    cues: list[Cue] = []
    free = 0
    for group, said, limit in zip(groups, starts, limits, strict=False):
        start = max(said, free)
        end = max(round(group[-1].end_s * 1000), start + MIN_MS)
        # A player drops a cue without length: where words have none, 1 ms is taken from the next.
        free = max(min(end, limit, start + MAX_MS), start + 1)
        cues.append(Cue(start, free, _lines(group)))
    return cues


def _at_pauses(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    begin = 0
    for i, (before, after) in enumerate(pairwise(words), start=1):
        if after.start_s - before.end_s >= PAUSE_S:
            yield words[begin:i]
            begin = i
    yield words[begin:]


def _split(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Yield parts that fit, cut in two at the best place as often as it takes."""
    if len(words) == 1 or _fits(words):
        yield words
        return
    lengths = [len(word.text) + word.spaced for word in words]
    total, left = sum(lengths), 0
    costs: list[float] = []
    for i in range(1, len(words)):
        left += lengths[i - 1]
        costs.append(abs(2 * left - total) / total + _cost(words[i - 1], words[i]))
    cut = costs.index(min(costs)) + 1
    yield from _split(words[:cut])
    yield from _split(words[cut:])


def _fits(words: Sequence[Word]) -> bool:
    if round(words[-1].end_s * 1000) - round(words[0].start_s * 1000) > MAX_MS:
        return False
    if sum(len(word.text) for word in words) > MAX_LINES * MAX_CHARACTERS:
        return False
    return all(len(line) <= MAX_CHARACTERS for line in _lines(words))


def _cost(before: Word, after: Word) -> float:
    """How bad it is to break between two words, beside how unequal it makes the two sides."""
    if not after.spaced:
        return 1.0
    text = before.text.rstrip(_CLOSING)
    if text.endswith(_SENTENCE_ENDS):
        return 0.0
    return 0.2 if text.endswith(_CLAUSE_ENDS) else 0.5


def _lines(words: Sequence[Word]) -> tuple[str, ...]:
    """Write words in one line if they fit, else in the best two."""
    whole = join(words)
    if len(whole) <= MAX_CHARACTERS or len(words) == 1:
        return (whole,)
    pairs = [
        (
            max(len(upper) - MAX_CHARACTERS, len(lower) - MAX_CHARACTERS, 0),
            _cost(words[i - 1], words[i]) + abs(len(upper) - len(lower)) / MAX_CHARACTERS,
            (upper, lower),
        )
        for i in range(1, len(words))
        for upper, lower in [(join(words[:i]), join(words[i:]))]
    ]
    return min(pairs)[-1]
