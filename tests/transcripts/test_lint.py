"""The lint: every rule that is broken is named, and so is why it could not be kept."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.transcripts import lint as rules_broken
from av_pipelines.transcripts.cues import Cue, Piece, make_cues
from av_pipelines.transcripts.lint import Finding, lint
from av_pipelines.transcripts.subtitle_settings import SubtitleSettings, rules_for
from av_pipelines.transcripts.words import Transcript, Word
from tests.transcripts.streams import evenly, many, streams, transcript_of

USUAL = rules_for(SubtitleSettings(), "en")


def check(transcript: Transcript, cuts_s: Sequence[float] = (), **settings: object):
    """Make cues and check them."""
    made = SubtitleSettings.model_validate(settings)
    rules = rules_for(made, transcript.language, Fraction(25))
    cues = make_cues(transcript, made, cuts_s=cuts_s, fps=Fraction(25))
    duration_s = transcript.duration_s
    return lint(cues, rules, transcript.language, cuts_s=cuts_s, duration_s=duration_s)


def cue(start_ms: int, end_ms: int, *lines: str) -> Cue:
    rows = []
    for line in lines:
        texts = line.split()
        step = (end_ms - start_ms) // len(texts)
        rows.append(
            tuple(
                Piece(text, start_ms + i * step, start_ms + (i + 1) * step)
                for i, text in enumerate(texts)
            )
        )
    return Cue(start_ms, end_ms, tuple(rows))


def named(findings: Sequence[Finding]) -> list[tuple[int, str, str | None]]:
    return [(f.cue, f.rule, f.exception) for f in findings]


@many
@given(
    streams(),
    st.lists(st.floats(0, 60), max_size=12),
    st.fixed_dictionaries(
        {},
        optional={
            "max_lines": st.integers(1, 3),
            "line_characters": st.integers(16, 60),
            "max_cue_s": st.floats(1, 10),
            "gap_frames": st.integers(0, 6),
            "close_gap_frames": st.integers(0, 20),
            "snap_frames": st.integers(0, 12),
        },
    ),
)
def test_every_cue_passes_or_has_a_named_exception(
    transcript: Transcript, cuts_s: list[float], settings: dict[str, object]
) -> None:
    assert [f for f in check(transcript, cuts_s, **settings) if f.exception is None] == []


def test_speech_at_a_normal_rate_breaks_no_rule() -> None:
    text = (
        "Good evening, and welcome to the news. The storm that reached the coast last night has "
        "left many houses without power. Fishermen say that they have never seen such waves, but "
        "nobody was hurt. Mr. Smith, who lives in the harbour, was asked what he had seen. It was "
        "the worst night of my life, he said, and I hope that it will not come back."
    )
    assert check(transcript_of(evenly(text, word_s=0.35)), cuts_s=[5.02, 11.3]) == []


@pytest.mark.parametrize(
    ("words", "rule", "exception"),
    [
        ([Word(0, 1, "x" * 60, 0.9)], "line length", rules_broken.ONE_WORD),
        (evenly("unbelievably fast speakers talk " * 9, 0.1), "reading speed", rules_broken.FAST),
        ([Word(59.5, 60, "End.", 0.9)], "shortest", rules_broken.END),
        ([Word(1, 2, "the", 0.9), Word(9, 10, "sea.", 0.9)], "cue break", rules_broken.PAUSE),
    ],
)
def test_what_cannot_be_helped_has_a_name(words: list[Word], rule: str, exception: str) -> None:
    assert (rule, exception) in {(f.rule, f.exception) for f in check(transcript_of(words))}


@pytest.mark.parametrize(
    ("cues", "found"),
    [
        ([cue(0, 2000, "one", "two", "three")], "lines"),
        ([cue(0, 5000, "words that are too many for one line to hold them")], "line length"),
        ([cue(0, 8000, "Too long.")], "longest"),
        ([cue(0, 500, "Short.")], "shortest"),
        ([cue(0, 1000, "far too much to be read in a second")], "reading speed"),
        ([cue(0, 2000, "One."), cue(1900, 4000, "Two.")], "overlap"),
        ([cue(0, 2000, "One."), cue(2040, 4000, "Two.")], "gap"),
        ([cue(0, 2000, "One."), cue(2200, 4000, "Two.")], "small gap"),
        ([cue(0, 2000, "we went to the", "sea")], "line break"),
        ([cue(0, 2000, "we saw Angela"), cue(3000, 5000, "Merkel there")], "cue break"),
        ([cue(1040, 3000, "On a cut.")], "in off cut"),
        ([cue(3000, 5040, "Off a cut.")], "out off cut"),
    ],
)
def test_cues_that_somebody_else_made_are_told_what_is_wrong(cues: list[Cue], found: str) -> None:
    findings = lint(cues, USUAL, "en", cuts_s=[1.0, 5.0], duration_s=60)
    assert (found, None) in {(f.rule, f.exception) for f in findings}


def test_a_finding_says_what_is_allowed_and_what_was_there() -> None:
    (finding,) = lint([cue(0, 8000, "Too long.")], USUAL, "en", duration_s=60)
    assert finding.row() == {
        "cue": 1,
        "start_s": 0.0,
        "rule": "longest",
        "value": 8.0,
        "limit": 7.0,
        "exception": None,
        "text": "Too long.",
    }
