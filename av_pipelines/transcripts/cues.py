"""Subtitle cues: which words are on the screen together, in which lines, from when to when.

One list of cues serves every subtitle format. Here: what a cue is, and the way from a transcript
to cues. Not here: where text is cut (``segmentation``), when a cue comes and goes (``timing``),
what the formats look like (``formats``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from av_pipelines.media.breaks import clusters, columns, is_spaceless
from av_pipelines.transcripts.subtitle_settings import Rules, SubtitleSettings, rules_for
from av_pipelines.transcripts.turns import Turn, speakers_of
from av_pipelines.transcripts.words import Transcript


@dataclass(frozen=True)
class Piece:
    """A word as it stands in a cue, or a part of one where a script has no blanks.

    ``spaced``: a blank stands before it; ``ends_segment``: the recogniser (or a line of a given
    text) ended after it. Times are milliseconds from the start of the file.
    """

    text: str
    start_ms: int
    end_ms: int
    spaced: bool = True
    ends_segment: bool = False
    speaker: str | None = None


@dataclass(frozen=True)
class Cue:
    """Lines of pieces on the screen from ``start_ms`` up to ``end_ms``; one speaker at most."""

    start_ms: int
    end_ms: int
    rows: tuple[tuple[Piece, ...], ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines as text."""
        return tuple(write(row) for row in self.rows)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of all lines."""
        return tuple(piece for row in self.rows for piece in row)

    @property
    def speaker(self) -> str | None:
        """Who says it, where that is known."""
        return self.rows[0][0].speaker


def write(pieces: Sequence[Piece]) -> str:
    """Write pieces as running text."""
    return "".join((" " if piece.spaced else "") + piece.text for piece in pieces).strip()


def make_cues(
    transcript: Transcript,
    settings: SubtitleSettings | None = None,
    *,
    turns: Sequence[Turn] = (),
    cuts_s: Sequence[float] = (),
    fps: Fraction | None = None,
) -> list[Cue]:
    """Cut a transcript into cues: in order, not overlapping, at least 1 ms long, no text lost.

    Args:
        transcript: words in order (``words.tidy``).
        settings: the rules; what follows from the language is looked up.
        turns: who speaks when; a cue holds words of one speaker.
        cuts_s: when the picture cuts, in seconds; cues keep off cuts.
        fps: frames per second of the picture.
    """
    from av_pipelines.transcripts.segmentation import segment
    from av_pipelines.transcripts.timing import Clock

    language = written_language(transcript)
    rules = rules_for(settings or SubtitleSettings(), language, fps)
    pieces = pieces_of(transcript, rules, turns)
    clock = Clock(pieces, rules, cuts_s, transcript.duration_s)
    groups = segment(pieces, clock, rules, language)
    first = [0]
    for rows in groups:
        first.append(first[-1] + sum(map(len, rows)))
    times = clock.times([(a, b) for a, b in pairwise(first)])
    return [Cue(*time, rows) for time, rows in zip(times, groups, strict=True)]


def written_language(transcript: Transcript) -> str | None:
    """Return the language of the text: of a translation English, else that which is spoken."""
    return "en" if transcript.task == "translate" else transcript.language


def pieces_of(transcript: Transcript, rules: Rules, turns: Sequence[Turn] = ()) -> list[Piece]:
    """Make pieces of the words of a transcript.

    Each is on one line, without control characters; words of which nothing is left are out. A
    word that no line can hold, in a script without blanks, is cut between its characters.
    """
    speakers = iter(speakers_of(transcript.words, turns))
    found: list[Piece] = []
    for segment in transcript.segments:
        before = len(found)
        for word in segment.words:
            text, speaker = one_line(word.text), next(speakers)
            start, end = round(word.start_s * 1000), round(word.end_s * 1000)
            piece = Piece(text, start, end, word.spaced, speaker=speaker)
            if columns(text) > rules.line_columns and is_spaceless(text):
                found += _cut(piece)
            elif text:
                found.append(piece)
        if len(found) > before:
            found[-1] = replace(found[-1], ends_segment=True)
    return found


def one_line(text: str) -> str:
    """Make white space of any kind one blank, and drop control characters and half surrogates."""
    clean = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join(clean.split())


def _cut(piece: Piece) -> list[Piece]:
    """Cut a piece between characters; its time is shared out evenly."""
    parts = clusters(piece.text)
    step = (piece.end_ms - piece.start_ms) / len(parts)
    times = [piece.start_ms + round(i * step) for i in range(len(parts) + 1)]
    return [
        Piece(
            text=part.strip() or part,
            start_ms=times[i],
            end_ms=times[i + 1],
            spaced=piece.spaced if i == 0 else parts[i - 1].isspace(),
            speaker=piece.speaker,
        )
        for i, part in enumerate(parts)
        if not part.isspace()
    ]
