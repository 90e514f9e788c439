"""What is said in a film: words of transcripts, on the film's time, broken into captions.

Here: from ``transcript.json`` through in, out and speed of shots and lanes to captions. Not here:
recognising words (the room of transcripts), where they are broken (``breaking``), how captions look
and where (``words``, ``restyle``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from av_pipelines.media.breaks import columns
from av_pipelines.videos.breaking import Words, broken
from av_pipelines.videos.cut import Caption, Word

_PAUSE = Fraction(3, 4)  # of silence, after which words stand in a caption of their own
_HOLD = Fraction(1, 2)  # after the last word
_LEAST, _MOST = Fraction(1), Fraction(7)  # how long a caption is shown


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
    words: Sequence[Said],
    *,
    max_chars: int,
    max_lines: int,
    until: Fraction,
    language: str | None = None,
) -> tuple[Caption, ...]:
    """Break words into captions that follow each other.

    Args:
        words: in seconds of the film, in order.
        max_chars: columns of a line; a longer word stands alone.
        max_lines: of a caption.
        until: the film's end.
        language: code; decides which words belong together.
    """
    shown = [word for word in words if word.start < until]
    pauses = [Fraction(0), *(b.start - a.end for a, b in pairwise(shown))]
    ended = [False, *(word.ends for word in shown)]
    # words of one passage may stand together
    anew = (end or pause > _PAUSE for end, pause in zip(ended, pauses, strict=False))
    passage = list(accumulate(anew, initial=0))[1:]

    def together(first: int, behind: int) -> bool:
        last = behind - 1
        return passage[first] == passage[last] and shown[last].end - shown[first].start <= _MOST

    texts = [word.text for word in shown]
    measured = Words(
        texts,
        [word.spaced for word in shown],
        [columns(text) for text in texts],
        1.0,
        [word.ends for word in shown],
        [float(pause) for pause in pauses],
    )
    captions = broken(measured, max_chars, max_lines, language, together)
    groups = [[shown[first:behind] for first, behind in rows] for rows in captions]
    return tuple(
        _caption(group, following[0][0].start if following else until)
        for group, following in pairwise([*groups, []])
    )


def _caption(rows: Sequence[Sequence[Said]], following: Fraction) -> Caption:
    group = [word for row in rows for word in row]
    start = group[0].start
    end = max(min(max(group[-1].end + _HOLD, start + _LEAST), following), group[0].end)
    words = tuple(Word(w.start, min(w.end, end), w.text) for w in group)
    return Caption(start, end, tuple(map(_text, rows)), words)


def _text(words: Sequence[Said]) -> str:
    return "".join((" " if word.spaced else "") + word.text for word in words).strip()
