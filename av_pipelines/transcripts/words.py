"""What a transcript is: words with times, in segments, in a file of a known length.

Here: the data, and making a recogniser's output clean and ordered. Not here: recognising
(``engines``), subtitles and files (``cues``, ``formats``).

Times are in seconds from the start of the file.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Word:
    """A word as it is written, with its punctuation and without white space around it.

    ``probability`` is the recogniser's, 0 to 1. ``spaced``: whether a blank stands before it;
    scripts without spaces and parts of compounds (well·-known) have none.
    """

    start_s: float
    end_s: float
    text: str
    probability: float
    spaced: bool = True


@dataclass(frozen=True)
class Segment:
    """Words that belong together, as the recogniser phrased them; never empty."""

    words: tuple[Word, ...]

    @property
    def start_s(self) -> float:
        """Where the first word starts."""
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        """Where the last word ends."""
        return self.words[-1].end_s

    @property
    def text(self) -> str:
        """The words as running text."""
        return join(self.words)


@dataclass(frozen=True)
class Transcript:
    """All that was said in a file, and who wrote it down.

    ``language`` is None where there was nothing to detect it from; ``language_probability`` is
    None where the language was not detected, but set. ``model`` is the model's name.
    """

    segments: tuple[Segment, ...]
    duration_s: float
    language: str | None
    language_probability: float | None
    task: str
    engine: str
    model: str
    device: str

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments, in order."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """One line of text for each segment."""
        return "\n".join(segment.text for segment in self.segments)


def join(words: Iterable[Word]) -> str:
    """Write words as running text."""
    return "".join((" " if word.spaced else "") + word.text for word in words).strip()


def word(text: str, start_s: float, end_s: float, probability: float) -> Word | None:
    """Make a word of a recogniser's piece of text, whose leading blank tells that it is spaced.

    White space inside becomes one blank and control characters go, so that a word is always
    part of one line; None if nothing is left.
    """
    spaced = text[:1].isspace()
    one_line = " ".join(text.split())
    clean = "".join(c for c in one_line if unicodedata.category(c) not in ("Cc", "Cs")).strip()
    if not clean:
        return None
    return Word(start_s, end_s, clean, probability, spaced)


def tidy(
    segments: Iterable[Sequence[Word]], duration_s: float, *, keep: bool = False
) -> tuple[Segment, ...]:
    """Make segments of words whose times are in the file, in order, and do not overlap.

    Starts only ever go forward; an end stops at the next start, because a recogniser's onsets
    are better than its ends. Words keep their order and their text. Segments without a letter
    or digit go: over music, Whisper writes a lone full stop or a note sign; ``keep``: they stay,
    because somebody wrote them.
    """
    groups = [g for g in segments if g and (keep or any(c.isalnum() for w in g for c in w.text))]
    flat = [word for group in groups for word in group]
    starts: list[float] = []
    latest = 0.0
    for item in flat:
        latest = max(latest, min(item.start_s, duration_s))
        starts.append(latest)
    limits = [*starts[1:], duration_s]
    timed = iter(
        replace(item, start_s=start, end_s=min(max(item.end_s, start), limit))
        for item, start, limit in zip(flat, starts, limits, strict=False)
    )
    return tuple(Segment(tuple(next(timed) for _ in group)) for group in groups)
