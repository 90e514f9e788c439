"""Given text: a script or lyrics that are known, timed against what a recogniser heard.

Every word of the text gets a time, in the order of the text: words that were heard as they are
written have the recogniser's; what was heard otherwise (1984, a name, a verse that was lost in the
mix) is timed by the model's own attention to the text between its neighbours; and where even that
has no hold, words are spread over the voice there is, by their letters.

Here: reading such a file, matching, spreading. Not here: recognising (``engines``).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from av_pipelines.transcripts.windows import Span
from av_pipelines.transcripts.words import Word

SUFFIXES = (".lyrics.txt", ".script.txt")
"""What a file beside ``song.mp3`` is called: ``song.mp3.lyrics.txt``."""

MOST_BYTES = 1_000_000
LOW_MATCH = 0.5
"""If less of the text was heard, it is probably another file's."""

LEAST_WORD_S = 0.02
LONGEST_ALIGNED_S = 26.0
ANCHORS = 3
"""So many known words on either side give the model its bearings."""

Aligner = Callable[[float, float, Sequence[Word]], Sequence[Word] | None]
"""Given start and end of a stretch of the file and its words: the words with times, or None."""

_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKENS = re.compile(rf"[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]+")


class TextError(ValueError):
    """A given text cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class Timed:
    """A given text with times: its lines, and the share of its words that were heard, 0 to 1."""

    lines: list[list[Word]]
    matched: float

    @property
    def degraded(self) -> str | None:
        """Why the times are not to be trusted, or None."""
        if self.matched >= LOW_MATCH:
            return None
        return (
            f"only {self.matched:.0%} of the given text was heard in the file: "
            "is it the text of this file?"
        )


def read_text(path: Path) -> str:
    """Read a text file: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        TextError: it is missing, too long, empty, or of another encoding.
    """
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise TextError(f"{path}: a text file of at most {MOST_BYTES} bytes is expected")
        data = path.read_bytes()
    except OSError as error:
        raise TextError(f"{path}: the given text cannot be read: {error}") from error
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). "
            "Save it as UTF-8, or run: iconv -f LATIN1 -t UTF-8"
        ) from None
    if "\x00" in text or not text.strip():
        raise TextError(f"{path}: no text in it" if not text.strip() else f"{path}: not text")
    return text


def lines_of(text: str) -> list[list[Word]]:
    """Cut a text into lines of words without times; empty lines go."""
    lines: list[list[Word]] = []
    for line in text.splitlines():
        words = [
            Word(
                0.0, 0.0, clean, 0.0, spaced=found.start() == 0 or line[found.start() - 1].isspace()
            )
            for found in _TOKENS.finditer(line)
            if (clean := "".join(c for c in found[0] if unicodedata.category(c)[0] != "C"))
        ]
        if words:
            lines.append(words)
    return lines


def time_text(
    text: str,
    heard: Sequence[Word],
    voiced: Sequence[Span],
    duration_s: float,
    align: Aligner = lambda start_s, end_s, words: None,
) -> Timed:
    """Give every word of a text its time.

    Args:
        text: what is said.
        heard: what a recogniser heard, in order.
        voiced: where there is voice, in order.
        duration_s: of the file.
        align: times known words in a stretch of at most ``LONGEST_ALIGNED_S``.
    """
    lines = lines_of(text)
    words = [word for line in lines for word in line]
    known = match(words, heard)
    timed: list[Word | None] = [
        None
        if at is None
        else replace(
            word,
            start_s=heard[at].start_s,
            end_s=heard[at].end_s,
            probability=heard[at].probability,
        )
        for word, at in zip(words, known, strict=True)
    ]
    clock = _Clock(voiced, duration_s)
    for first, last in _gaps(timed):
        _fill(words, timed, first, last, clock, align)
    done = iter([word for word in timed if word is not None])
    share = sum(at is not None for at in known) / max(len(words), 1)
    return Timed([[next(done) for _ in line] for line in lines], share)


def match(words: Sequence[Word], heard: Sequence[Word]) -> list[int | None]:
    """Return which heard word each word is, by the least edits between the two; None: none."""
    from rapidfuzz.distance import Levenshtein

    ours, theirs = [_key(word) for word in words], [_key(word) for word in heard]
    found: list[int | None] = [None] * len(words)
    for op in Levenshtein.opcodes(ours, theirs):
        size = op.src_end - op.src_start
        if op.tag == "equal":
            found[op.src_start : op.src_end] = range(op.dest_start, op.dest_end)
        elif op.tag == "replace" and size == op.dest_end - op.dest_start:
            for i in range(size):  # tattered for tatter'd
                a, b = ours[op.src_start + i], theirs[op.dest_start + i]
                if Levenshtein.normalized_similarity(a, b) >= 0.6:
                    found[op.src_start + i] = op.dest_start + i
    return found


def _key(word: Word) -> str:
    plain = unicodedata.normalize("NFKC", word.text).casefold()
    return "".join(c for c in plain if c.isalnum()) or word.text


def _gaps(timed: Sequence[Word | None]) -> list[tuple[int, int]]:
    """Return the runs without times, from their first to behind their last."""
    gaps: list[tuple[int, int]] = []
    for i, word in enumerate(timed):
        if word is not None:
            continue
        if gaps and gaps[-1][1] == i:
            gaps[-1] = (gaps[-1][0], i + 1)
        else:
            gaps.append((i, i + 1))
    return gaps


def _fill(
    words: Sequence[Word],
    timed: list[Word | None],
    first: int,
    last: int,
    clock: _Clock,
    align: Aligner,
) -> None:
    """Time the words from ``first`` up to ``last``; all before them and those behind are timed."""
    before = timed[first - 1] if first else None
    after = timed[last] if last < len(timed) else None
    start, end = clock.between(before, after)
    behind = [w for w in timed[last : last + ANCHORS] if w is not None]
    ahead = [w for w in timed[max(first - ANCHORS, 0) : first] if w is not None]
    begin = ahead[0].start_s if ahead else start
    stop = behind[-1].end_s if behind else end
    found = None
    if stop - begin <= LONGEST_ALIGNED_S:
        found = align(begin, stop, [*ahead, *words[first:last], *behind])
    run = clock.spread(words[first:last], start, end)
    if found is not None:
        run = found[len(ahead) : len(ahead) + last - first]
        low = before.start_s if before else 0.0
        high = after.start_s if after else clock.duration_s
        run = [
            replace(
                w, start_s=(s := min(max(w.start_s, low), high)), end_s=min(max(w.end_s, s), high)
            )
            for w in run
        ]
    timed[first:last] = run


class _Clock:
    """Time that runs only where there is voice, to spread words over."""

    def __init__(self, voiced: Sequence[Span], duration_s: float) -> None:
        self.duration_s = duration_s
        self._spans = list(voiced) or [(0.0, duration_s)]
        self._ticks = [0.0]
        for start, end in self._spans:
            self._ticks.append(self._ticks[-1] + end - start)

    def between(self, before: Word | None, after: Word | None) -> Span:
        """Return the time between two words, where one misses between the voice's ends."""
        start = before.end_s if before else min(self._spans[0][0], after.start_s if after else 9e9)
        end = after.start_s if after else max(self._spans[-1][1], start)
        return start, max(end, start)

    def spread(self, words: Sequence[Word], start_s: float, end_s: float) -> list[Word]:
        """Spread words over the voice between two times, by their letters."""
        low, high = self._tick(start_s), self._tick(end_s)
        plain = high - low < LEAST_WORD_S * len(words)  # no voice: over the silence
        weights = [len(word.text) + 1 for word in words]
        total, done = sum(weights), 0
        edges = [0.0]
        for weight in weights:
            done += weight
            edges.append(done / total)

        def at(share: float, find: Callable[[Sequence[float], float], int]) -> float:
            if plain:
                return start_s + share * (end_s - start_s)
            tick = low + share * (high - low)
            i = min(max(find(self._ticks, tick) - 1, 0), len(self._spans) - 1)
            return min(max(self._spans[i][0] + tick - self._ticks[i], start_s), end_s)

        return [  # at the seam of two spans a word ends in the first and starts in the second
            replace(word, start_s=at(a, bisect_right), end_s=at(b, bisect_left))
            for word, (a, b) in zip(words, pairwise(edges), strict=True)
        ]

    def _tick(self, time_s: float) -> float:
        i = max(bisect_right([s for s, _ in self._spans], time_s) - 1, 0)
        start, end = self._spans[i]
        return self._ticks[i] + min(max(time_s - start, 0.0), end - start)
