"""The score: in its key, never the same for two seeds, with an arc, an end, and a file for it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from av_pipelines.tracks.composition.compose import compose
from av_pipelines.tracks.composition.scales import ROOTS, SCALES, chord_moves
from av_pipelines.tracks.composition.score import HAT, KICK, SWELL, Score
from av_pipelines.tracks.midi import TICKS, write_midi
from av_pipelines.tracks.plan import Plan, make_plan
from av_pipelines.tracks.settings import TrackSettings


def scored(**values: object) -> tuple[Plan, Score]:
    plan = make_plan(TrackSettings.model_validate({"seed": 0, **values}))
    return plan, compose(plan)


REQUESTS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "duration_s": st.floats(5, 120),
        "key": st.sampled_from(sorted(ROOTS)),
        "scale": st.sampled_from(sorted(SCALES)),
        "bpm": st.floats(40, 200),
        "intensity": st.floats(0, 1),
        "loop": st.booleans(),
        "prompt": st.sampled_from(["", "drone", "high bells", "low", "driving drums"]),
    }
)


@given(REQUESTS)
@settings(deadline=None, max_examples=60)
def test_every_request_makes_a_score_in_its_key_and_length(values: dict[str, object]) -> None:
    plan, score = scored(**values)
    classes = {(ROOTS[plan.key] + step) % 12 for step in SCALES[plan.scale]}
    for note in score.notes:
        assert note.part in plan.parts
        assert 0 <= note.start < score.beats
        assert note.length > 0
        assert note.start + note.length <= score.beats + 1e-6
        assert 0 < note.velocity <= 1
        if note.part == "percussion":
            assert note.pitch in (KICK, HAT, SWELL)
        else:
            assert note.pitch % 12 in classes
    assert score.sections[0].start == 0
    assert score.sections[-1].end == score.beats == pytest.approx(plan.duration_s * plan.bpm / 60)
    assert score.chords[0].degree == 0
    assert plan.loop or score.chords[-1].degree == 0
    if plan.loop:
        assert score.beats == pytest.approx(round(score.beats))


def test_fifty_seeds_are_fifty_scores() -> None:
    assert len({scored(seed=seed)[1] for seed in range(50)}) == 50


def test_fifty_seeds_are_fifty_scores_also_when_everything_else_is_fixed() -> None:
    fixed = {"key": "D", "scale": "dorian", "bpm": 90, "mood": "warm", "intensity": 0.5}
    assert len({scored(seed=seed, **fixed)[1].notes for seed in range(50)}) == 50


def test_the_same_seed_is_the_same_score() -> None:
    assert scored(seed=9, prompt="warm") == scored(seed=9, prompt="warm")


@pytest.mark.parametrize("scale", SCALES)
def test_chord_moves_are_probabilities_that_lead_back_to_the_tonic(scale: str) -> None:
    moves = chord_moves(scale)
    assert np.allclose(moves.sum(axis=1), 1)
    assert np.all(np.diag(moves) == 0)
    assert np.linalg.matrix_power(0.5 * (moves + np.eye(len(moves))), 50)[:, 0].min() > 0.1


def test_voices_of_the_pads_move_little() -> None:
    """Of all moves of a voice between chords, most are a step or none."""
    moves = []
    for seed in range(20):
        chords = scored(seed=seed, duration_s=60)[1].chords
        for one, other in pairwise(chords):
            moves += [abs(a - b) for a, b in zip(one.voices, other.voices, strict=True)]
    assert np.mean(np.array(moves) <= 2) > 0.7
    assert max(moves) <= 12


def test_intensity_makes_it_fuller() -> None:
    notes = [len(scored(seed=4, bpm=100, intensity=i)[1].notes) for i in (0.05, 0.5, 0.95)]
    assert notes[0] < notes[1] < notes[2]


def test_a_long_piece_opens_quietly_peaks_and_ends() -> None:
    sections = scored(duration_s=100, bpm=100)[1].sections
    assert [s.name for s in sections] == ["opening", "build", "peak", "release", "ending"]
    assert max(sections, key=lambda s: s.energy).name == "peak"


@given(
    st.integers(0, 2**32 - 1),
    st.floats(5, 30),
    st.floats(90, 200),
    st.floats(0.5, 1),
    st.booleans(),
)
@example(seed=0, duration_s=5.0, bpm=109.0, intensity=1.0, drums=False)  # bars leave a remainder
@example(seed=0, duration_s=5.0, bpm=90.0, intensity=0.5, drums=True)  # too calm for its drums
@settings(deadline=None, max_examples=60)
def test_a_fast_piece_moves_until_an_ending_in_proportion_to_it(
    seed: int, duration_s: float, bpm: float, intensity: float, drums: bool
) -> None:
    prompt = "drums" if drums else "no drums"
    _, score = scored(seed=seed, duration_s=duration_s, bpm=bpm, intensity=intensity, prompt=prompt)
    last, beat_s = score.chords[-1], 60 / score.bpm
    assert last.degree == 0
    assert last.start + last.length == pytest.approx(score.beats)
    longest = max(0.2 * duration_s, max(1.2, 2 * beat_s) + 2 * beat_s)  # it begins on half a bar
    assert last.length * beat_s <= longest + 1e-6
    assert last.length * beat_s >= min(1.0, 0.15 * duration_s)
    struck = [note.start for note in score.notes if note.part in ("bass", "percussion")]
    assert max(struck) <= last.start + 1e-9  # what beats comes to rest with it
    drummed = [note for note in score.notes if note.part == "percussion"]
    assert not drummed or max(n.start for n in drummed if n.pitch == KICK) == last.start


def test_a_calm_piece_may_rest_longer_and_a_loop_has_no_ending() -> None:
    assert scored(prompt="slow drone", duration_s=13, bpm=60)[1].chords[-1].length >= 4
    looped = scored(duration_s=10, bpm=160, intensity=0.8, loop=True)[1]
    assert looped.chords[-1].length * 60 / looped.bpm > 2


def test_a_melody_has_rests_repeats_its_motif_and_stays_in_range() -> None:
    _, score = scored(seed=2, duration_s=90, bpm=100, intensity=0.7, prompt="melody")
    notes = [n for n in score.notes if n.part == "melody"]
    starts = [n.start for n in notes]
    bars = {int(s // 4) for s in starts}
    assert len(bars) < score.beats / 4  # there are bars of rest
    rhythms = [tuple(s % 4 for s in starts if int(s // 4) == bar) for bar in bars]
    assert max(rhythms.count(r) for r in rhythms) >= 4
    assert max(n.pitch for n in notes) - min(n.pitch for n in notes) <= 24


def test_the_score_is_a_midi_file_that_says_the_same(tmp_path: Path) -> None:
    plan, score = scored(seed=6, key="Bb", scale="dorian", bpm=96, intensity=0.8)
    write_midi(tmp_path / "score.mid", score, plan)
    file = mido.MidiFile(tmp_path / "score.mid")
    assert file.length == pytest.approx(plan.duration_s, abs=0.01)
    conductor, *parts = file.tracks
    said = {m.type: m for m in conductor}
    assert mido.tempo2bpm(said["set_tempo"].tempo) == pytest.approx(96, abs=0.01)
    assert said["key_signature"].key == "Bbm"
    assert [m.text for m in conductor if m.type == "marker"] == [s.name for s in score.sections]
    assert [t.name for t in parts] == list(score.parts)
    played = 0
    for track in parts:
        at, sounding = 0, {}
        for message in track:
            at += message.time
            if message.type == "note_on":
                played += 1
                sounding[message.note] = sounding.get(message.note, 0) + 1
            elif message.type == "note_off":
                sounding[message.note] -= 1
        assert not any(sounding.values())
        assert at <= round(score.beats * TICKS) + 1
    assert played == len(score.notes)


@pytest.mark.parametrize("key", ROOTS)
@pytest.mark.parametrize("scale", ["major", "aeolian", "phrygian", "pentatonic"])
def test_every_key_can_be_written(tmp_path: Path, key: str, scale: str) -> None:
    plan, score = scored(key=key, scale=scale, duration_s=5)
    write_midi(tmp_path / "score.mid", score, plan)
    assert mido.MidiFile(tmp_path / "score.mid").tracks[0]
