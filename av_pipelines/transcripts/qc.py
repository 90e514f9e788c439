"""Quality control: which parts of a transcript not to trust, and how much of the voice has text.

Here: looking at words, voice and each other, after the fact; pure functions. Not here: hearing a
stretch again (``listening``), rules of subtitles (``lint``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from av_pipelines.transcripts.windows import Span
from av_pipelines.transcripts.words import Word, join

SCHEMA = 1

Reason = Literal["dropped", "invented", "repeated", "unsure", "language", "long"]
"""Why: voice without text; text without voice; the same again and again; low probability; another
language than the rest; a word longer than anyone would say it."""

HOLE_S = 1.0
"""So much voice without a word is no pause for breath: something is missing."""

NEAR_S = 0.5
"""A word stands for the voice this far around it: its ends are not that exact."""

LOW_PROBABILITY = 0.35
MOST_REPEATS = 3
LONGEST_NGRAM = 8
_WORD_S, _LETTER_S = 1.2, 0.12  # a drawled word: this, and this for every letter


@dataclass(frozen=True)
class Doubt:
    """A span of the file, in seconds, whose text is not to be trusted, and why.

    ``text``: what stands there, or stood there where it was ``removed``.
    """

    start_s: float
    end_s: float
    reason: Reason
    text: str = ""
    removed: bool = False


def holes(voiced: Iterable[Span], words: Iterable[Word], least_s: float = HOLE_S) -> list[Span]:
    """Return the spans of voice of at least ``least_s`` in which no word is near.

    Args:
        voiced: spans with voice, in order.
        words: in order of their starts.
        least_s: shorter holes are none.
    """
    covered = _union((w.start_s - NEAR_S, _plausible_end(w) + NEAR_S) for w in words)
    found: list[Span] = []
    for start, end in voiced:
        at = start
        for first, last in [*(c for c in covered if c[1] > start and c[0] < end), (end, end)]:
            if first - at >= least_s:
                found.append((at, min(first, end)))
            at = max(at, last)
    return found


def coverage(voiced: Sequence[Span], words: Sequence[Word]) -> float | None:
    """Return the share of the voice that has text near it, 0 to 1; None where nobody speaks."""
    total = _length(voiced)
    return None if not total else 1 - _length(holes(voiced, words)) / total


def without_voice(words: Iterable[Word], voiced: Sequence[Span]) -> list[Word]:
    """Return the words that stand where no voice is near."""
    return [
        w
        for w in words
        if not any(s - NEAR_S <= w.end_s and w.start_s <= e + NEAR_S for s, e in voiced)
    ]


def doubts_of(words: Sequence[Word]) -> list[Doubt]:
    """Doubt words by themselves: repeated, improbable, too long; ``words`` of the whole file."""
    unsure = [
        list(run)
        for low, run in groupby(words, key=lambda w: w.probability < LOW_PROBABILITY)
        if low
    ]
    long = [w for w in words if w.end_s > _plausible_end(w)]
    return [
        *(_doubt(run, "repeated") for run in repeats(words)),
        *(_doubt(run, "unsure") for run in unsure),
        *(_doubt([w], "long") for w in long),
    ]


def _plausible_end(word: Word) -> float:
    """Return where a word ends at the latest; a longer one hides what else is said there."""
    longest_s = _WORD_S + _LETTER_S * sum(map(str.isalnum, word.text))
    return min(word.end_s, word.start_s + longest_s)


def repeats(words: Sequence[Word]) -> list[Sequence[Word]]:
    """Return the runs in which one to eight words come more than three times in a row."""
    keys = ["".join(c for c in w.text.casefold() if c.isalnum()) for w in words]
    runs: list[Sequence[Word]] = []
    at = 0
    while at < len(keys):
        best = 0
        for n in range(1, LONGEST_NGRAM + 1):
            times = 1
            while keys[at : at + n] == keys[at + n * times : at + n * (times + 1)] and keys[at]:
                times += 1
            if times > MOST_REPEATS:
                best = max(best, n * times)
        if best:
            runs.append(words[at : at + best])
        at += best or 1
    return runs


def _doubt(run: Sequence[Word], reason: Reason) -> Doubt:
    return Doubt(run[0].start_s, run[-1].end_s, reason, join(run))


def suspect_seconds(doubts: Iterable[Doubt]) -> float:
    """Return the seconds of the file that are in doubt; what was removed is not."""
    return _length(_union((d.start_s, d.end_s) for d in doubts if not d.removed))


def write_qc(path: Path, facts: dict[str, Any], doubts: Iterable[Doubt]) -> None:
    """Write ``qc.json``: ``schema``, the facts, and ``doubts`` in order of time."""
    ordered = sorted(doubts, key=lambda d: (d.start_s, d.end_s))
    rows = [
        asdict(d) | {"start_s": round(d.start_s, 3), "end_s": round(d.end_s, 3)} for d in ordered
    ]
    record = {"schema": SCHEMA, **facts, "doubts": rows}
    text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    path.write_bytes(text.encode("utf-8", "replace"))


def _union(spans: Iterable[Span]) -> list[Span]:
    merged: list[list[float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return [(start, end) for start, end in merged]


def _length(spans: Iterable[Span]) -> float:
    return sum((end - start for start, end in spans), 0.0)
