"""A prompt is understood by a small table of words; what is said by name or number counts most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.tracks.composition.scales import ROOTS, SCALES
from av_pipelines.tracks.lexicon import WORDS, read
from av_pipelines.tracks.plan import MOODS, Plan, make_plan
from av_pipelines.tracks.settings import TrackSettings


def planned(**values: object) -> Plan:
    return make_plan(TrackSettings.model_validate(values))


def test_a_prompt_steers_tempo_key_mood_and_who_plays() -> None:
    asked = read("slow dark drone, 60 bpm, D minor").asked
    assert (asked["bpm"], asked["key"], asked["scale"]) == (60.0, "D", "aeolian")
    assert (asked["mood"], asked["drone"], asked["percussion"]) == ("dark", True, False)


@pytest.mark.parametrize(
    ("words", "key", "scale"),
    [
        ("something in F# dorian", "F#", "dorian"),
        ("B flat major", "Bb", "major"),
        ("Bb mixolydian pads", "Bb", "mixolydian"),
        ("C-sharp minor", "C#", "aeolian"),
        ("Db major", "C#", "major"),
        ("g minor", "G", "aeolian"),
        ("a slow piece in A", "A", None),
        ("A calm morning", None, None),
        ("a major event", "A", "major"),
        ("E♭ lydian", "Eb", "lydian"),
    ],
)
def test_keys_are_read_as_they_are_written(words: str, key: str | None, scale: str | None) -> None:
    asked = read(words).asked
    assert (asked.get("key"), asked.get("scale")) == (key, scale)


def test_what_is_refused_does_not_play() -> None:
    reading = read("driving beat with bells, no drums, without melody")
    assert reading.asked["percussion"] is False
    assert reading.asked["melody"] is False
    assert reading.asked["lead"] == "bell"


def test_words_that_are_not_in_the_table_are_told() -> None:
    reading = read("dreamy xylofoon in the rain")
    assert reading.unknown == ("xylofoon",)
    assert reading.understood["dreamy"] == "mood dreamy"


def test_settings_count_over_the_prompt_and_the_prompt_over_the_seed() -> None:
    prompt = "fast bright, D minor"
    plan = planned(seed=1, prompt=prompt, key="A", bpm=77)
    assert (plan.key, plan.scale, plan.bpm, plan.mood) == ("A", "aeolian", 77, "bright")
    assert 120 <= planned(seed=1, prompt=prompt).bpm <= 144


def test_fixing_one_thing_leaves_the_others_as_the_seed_drew_them() -> None:
    free = planned(seed=5)
    fixed = planned(seed=5, key="B", intensity=free.intensity)
    assert fixed.key == "B"
    assert (fixed.scale, fixed.bpm, fixed.mood, fixed.pad) == (
        free.scale, free.bpm, free.mood, free.pad,
    )  # fmt: skip


def test_every_word_of_the_table_means_something_that_exists() -> None:
    plan = {"pad", "lead", "drone", "register", "bpm", "intensity", "mood", "scale"}
    parts = {"bass", "melody", "arpeggio", "percussion", "texture"}
    for word, meaning in WORDS.items():
        assert set(meaning) <= plan | parts, word
        assert meaning.get("mood", "calm") in MOODS, word
        assert meaning.get("scale", "major") in SCALES, word
        planned(seed=0, prompt=word)


@given(st.text(max_size=200))
def test_any_text_makes_a_plan(prompt: str) -> None:
    plan = planned(seed=0, prompt=prompt)
    assert plan.key in ROOTS
    assert plan.scale in SCALES
    assert 40 <= plan.bpm <= 200
    assert "pads" in plan.parts
