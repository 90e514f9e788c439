"""When subtitles come and go: with their words, apart, readable, and off the cuts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.settings import SettingsError, help_texts
from av_pipelines.transcripts.cues import Cue, make_cues, one_line
from av_pipelines.transcripts.subtitle_settings import (
    SpeakerSettings,
    SubtitleSettings,
    rules_for,
)
from av_pipelines.transcripts.timing import read_cuts
from av_pipelines.transcripts.turns import Turn
from av_pipelines.transcripts.words import Transcript, Word
from tests.transcripts.streams import evenly, many, said, shown, squeezed, streams, transcript_of


def times(cues: Sequence[Cue]) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in cues]


@many
@given(streams(), st.lists(st.floats(0, 60), max_size=12), st.sampled_from([None, 24, 60]))
def test_cues_are_in_order_and_apart_and_lose_no_text(
    transcript: Transcript, cuts_s: list[float], fps: int | None
) -> None:
    rate = Fraction(fps) if fps else None
    cues = make_cues(transcript, cuts_s=cuts_s, fps=rate)
    rules = rules_for(SubtitleSettings(), transcript.language, rate)

    assert shown(cues) == squeezed(one_line(said(transcript)))
    assert all(0 <= cue.start_ms < cue.end_ms <= cue.start_ms + rules.max_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert all(len(cue.lines) <= rules.max_lines and all(cue.lines) for cue in cues)


def test_a_pause_ends_a_cue() -> None:
    words = [Word(0, 1, "Wait.", 0.9), Word(4, 5, "Now.", 0.9)]
    assert times(make_cues(transcript_of(words))) == [(0, 1000), (4000, 5000)]


def test_a_short_word_stays_long_enough_while_there_is_room() -> None:
    alone = transcript_of([Word(1.0, 1.2, "Yes.", 0.9)])
    followed = transcript_of([Word(1.0, 1.2, "Yes.", 0.9), Word(1.5, 3.0, "x" * 41, 0.9)])
    settings = SubtitleSettings(max_lines=1)
    assert times(make_cues(alone)) == [(1000, 1833)]
    assert times(make_cues(followed, settings))[0] == (1000, 1420)  # two frames before the next


def test_a_cue_stays_until_it_can_be_read() -> None:
    words = [Word(0, 0.9, "x" * 40, 0.9), Word(5, 6, "Next.", 0.9)]
    assert times(make_cues(transcript_of(words)))[0] == (0, 2000)  # 40 characters, 20 a second


def test_small_gaps_are_closed_and_larger_ones_are_left() -> None:
    def ends(gap_s: float) -> int:
        words = [Word(0, 2, "x" * 40, 0.9), Word(2 + gap_s, 5, "y" * 40, 0.9)]
        return make_cues(transcript_of(words), SubtitleSettings(max_lines=1))[0].end_ms

    assert ends(0.3) == 2300 - 80
    assert ends(0.6) == 2000


def test_a_cue_starts_on_a_cut_that_is_near_and_ends_two_frames_before_one() -> None:
    transcript = transcript_of([Word(1.1, 3.0, "One.", 0.9)], [Word(6.0, 8.0, "Two.", 0.9)])
    near = make_cues(transcript, cuts_s=[1.0, 3.04], fps=Fraction(25))
    assert times(near) == [(1000, 2960), (6000, 8000)]
    far = make_cues(transcript, cuts_s=[0.5, 3.5], fps=Fraction(25))
    assert times(far) == [(1100, 3000), (6000, 8000)]


def test_cuts_are_read_from_the_scenes_of_the_picture(tmp_path: Path) -> None:
    scenes = [(0.0, None), (2.5, "cut"), (4.0, "dissolve"), (6.006, "cut")]
    record = {
        "fps": "24000/1001",
        "scenes": [{"start_s": start, "transition": kind} for start, kind in scenes],
    }
    (tmp_path / "scenes.json").write_text(json.dumps(record))
    assert read_cuts(tmp_path / "scenes.json") == ([2.5, 6.006], Fraction(24000, 1001))


def test_frames_are_those_of_the_picture() -> None:
    words = [Word(0, 2, "x" * 40, 0.9), Word(2, 4, "y" * 40, 0.9)]
    settings = SubtitleSettings(max_lines=1)
    for fps, gap in ((Fraction(24000, 1001), 84), (Fraction(60), 34), (None, 80)):
        cues = make_cues(transcript_of(words), settings, fps=fps)
        assert cues[1].start_ms - cues[0].end_ms == gap


def test_a_cue_holds_words_of_one_speaker() -> None:
    transcript = transcript_of(evenly("Are you there? Yes I am here."))
    turns = [Turn(0, 0.9, "Speaker 1"), Turn(0.9, 2.1, "Speaker 2")]
    cues = make_cues(transcript, turns=turns)
    assert [(cue.speaker, cue.lines) for cue in cues] == [
        ("Speaker 1", ("Are you there?",)),
        ("Speaker 2", ("Yes I am here.",)),
    ]


def test_rules_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"transcript.max_cue_s = 7.0: it is less than min_cue_s"
    ):
        SubtitleSettings.merged("transcript", ("--set", {"min_cue_s": 9}))


def test_every_setting_has_a_help_text() -> None:
    for model in (SubtitleSettings, SpeakerSettings):
        assert help_texts(model).keys() >= model.model_fields.keys()
