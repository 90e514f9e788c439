"""The procedural engine: what it sounds like, measured, and the files it makes."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import fftconvolve, firwin

from av_pipelines.media.audio import probe_audio, read_blocks, verify_audio
from av_pipelines.media.loudness import measure_blocks
from av_pipelines.tracks.composition.compose import compose
from av_pipelines.tracks.composition.scales import ROOTS, SCALES
from av_pipelines.tracks.composition.score import Score
from av_pipelines.tracks.effects import room, wet
from av_pipelines.tracks.picture import draw_spectrogram, draw_waveform
from av_pipelines.tracks.plan import Plan, make_plan
from av_pipelines.tracks.procedural import Sound, generate, synthesise
from av_pipelines.tracks.settings import TrackSettings
from av_pipelines.tracks.synthesis.arrays import Arrays, TorchArrays
from av_pipelines.tracks.synthesis.render import render
from av_pipelines.tracks.synthesis.shapes import RATE
from resources.accelerator import choose
from tests.tracks.hearing import key_of, same_tempo, tempo_of

# The pads, the leads, with drums and without, a loop.
PIECES: tuple[dict[str, Any], ...] = (
    {"seed": 1, "prompt": "warm plucked melody, arpeggio, drums", "duration_s": 12},
    {"seed": 2, "prompt": "choir and bells, sparse", "duration_s": 12},
    {"seed": 3, "prompt": "tense driving glass, flute melody, drums", "duration_s": 12},
    {"seed": 4, "prompt": "slow dark drone, 60 bpm, D minor", "duration_s": 15},
    {"seed": 5, "prompt": "bright strings, harp, drums", "duration_s": 12, "loop": True},
)
CLICK_DB = -70.0
STEEPEST = 0.5


def planned(**values: object) -> tuple[Score, Plan]:
    plan = make_plan(TrackSettings.model_validate(values))
    return compose(plan), plan


@lru_cache(maxsize=8)
def sound_of(number: int) -> Sound:
    return synthesise(*planned(**PIECES[number]), Arrays())


def db(samples: NDArray[Any]) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))) + 1e-20))


def peak(samples: NDArray[Any]) -> float:
    return float(np.abs(samples).max())


def made(folder: Path, **values: object) -> dict[str, Any]:
    settings = TrackSettings.model_validate(values)
    return dict(generate(settings, folder, device=choose("cpu")).facts)


def samples_of(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(read_blocks(path)), axis=1)


def added(folder: Path, parts: list[str]) -> NDArray[np.float32]:
    return np.sum([samples_of(folder / f"{name}.flac") for name in parts], axis=0)


# ---------------------------------------------------------------------- the sound


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_torch_and_numpy_sound_the_same(number: int) -> None:
    score, plan = planned(**PIECES[number])
    ours, theirs = sound_of(number), synthesise(score, plan, TorchArrays("cpu"))
    assert db(ours.mix - theirs.mix) - db(ours.mix) < -100  # -80 is promised
    for name, part in ours.parts.items():
        assert db(part - theirs.parts[name]) - db(part) < -80


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_nothing_clicks(number: int) -> None:
    """What is tonal has nothing above 17 kHz, where every jump of a waveform would be."""
    above = np.array([firwin(511, 17_000, fs=RATE, pass_zero=False, window="blackmanharris")])
    for name, part in sound_of(number).parts.items():
        if name != "percussion":
            high = fftconvolve(np.tile(part, 2), above, "valid", axes=1)
            assert 20 * np.log10(peak(high) / peak(part)) < CLICK_DB, name


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_no_sample_jumps_far_from_the_one_before(number: int) -> None:
    sound = sound_of(number)
    assert peak(np.diff(sound.mix)) < STEEPEST * peak(sound.mix)
    for name in {"pads", "bass"} & set(sound.parts):
        assert peak(np.diff(sound.parts[name])) < 0.2 * peak(sound.parts[name])


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_piece_begins_and_ends_in_silence(number: int) -> None:
    mix = sound_of(number).mix
    assert peak(mix[:, 0]) < 1e-4 * peak(mix)
    assert peak(mix[:, -1]) < 1e-4 * peak(mix)
    assert db(mix[:, -RATE // 20 :]) < db(mix) - 40
    assert db(mix[:, : -2 * RATE][:, -RATE:]) > db(mix) - 20  # and not long before


def test_pads_breathe() -> None:
    """Their level is never still, and goes up and down by some dB within a few beats."""
    plan = replace(planned(seed=4, prompt="drone", duration_s=30)[1], parts=frozenset({"pads"}))
    pads = render(compose(plan), plan, Arrays())["pads"]
    inner = np.square(pads[:, 3 * RATE : 24 * RATE]).mean(axis=0).reshape(-1, RATE // 4)
    levels = 10 * np.log10(inner.mean(axis=1))
    assert 2 < np.percentile(levels, 95) - np.percentile(levels, 5) < 12
    assert np.abs(np.diff(levels)).max() < 6


def test_stereo_is_wide_and_safe_in_mono() -> None:
    for number in range(len(PIECES)):
        left, right = sound_of(number).mix
        assert 0.1 < np.corrcoef(left, right)[0, 1] < 0.95


# ---------------------------------------------------------------------- loops


def three_turns(score: Score, plan: Plan) -> tuple[Score, Plan]:
    """The same loop written out three times, as a piece that does not wrap."""
    shifts = [turn * score.beats for turn in range(3)]
    sections = [
        replace(s, start=s.start + b, end=s.end + b) for b in shifts for s in score.sections
    ]
    notes = [replace(n, start=n.start + b) for b in shifts for n in score.notes]
    long = replace(score, loop=False, sections=tuple(sections), notes=tuple(notes))
    return long, replace(plan, loop=False, duration_s=3 * plan.duration_s)


@pytest.mark.parametrize("duration_s", [7.0, 20.0])
def test_a_loop_is_what_is_heard_in_the_middle_of_its_repetitions(duration_s: float) -> None:
    values = {**PIECES[4], "duration_s": duration_s, "intensity": 0.7}
    score, plan = planned(**values)
    loop = synthesise(score, plan, Arrays())
    long_score, long_plan = three_turns(score, plan)
    parts = render(long_score, long_plan, Arrays())
    mix = sum(parts.values()) + wet(Arrays(), parts, long_plan)
    turn = loop.mix.shape[1]
    middle = mix[:, turn : 2 * turn]
    assert db(middle - loop.mix) - db(loop.mix) < -60
    around_the_seam = np.r_[-RATE // 10 : RATE // 10]
    assert db((middle - loop.mix)[:, around_the_seam]) - db(loop.mix) < -60


def test_a_loop_that_is_played_twice_has_no_jump_at_its_seam(tmp_path: Path) -> None:
    facts = made(tmp_path, seed=8, loop=True, duration_s=10, bpm=100, loudness_lufs=-10)
    track = samples_of(tmp_path / "track.flac")
    assert track.shape == (2, 480_000)
    assert facts["bpm"] == pytest.approx(102)  # 17 beats fit in ten seconds, 16.7 do not
    seam = peak(track[:, 0] - track[:, -1])
    assert seam < np.percentile(np.abs(np.diff(track)), 99.9)


# ---------------------------------------------------------------------- what was asked for


@pytest.mark.parametrize("seeds", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_key_and_tempo_are_heard_as_they_were_asked_for(seeds: int) -> None:
    """With what is asked for drawn by chance; in nine of ten pieces, or more."""
    keys = tempi = both = 0
    for seed in range(seeds):
        chance = random.Random(seed)
        key, scale = chance.choice(sorted(ROOTS)), chance.choice(sorted(SCALES))
        bpm = chance.randint(50, 160)
        score, plan = planned(seed=seed, key=key, scale=scale, bpm=bpm, duration_s=24)
        mix = synthesise(score, plan, Arrays()).mix
        right_key = key_of(mix, RATE) == (key, scale)
        right_tempo = same_tempo(tempo_of(mix, RATE), bpm)
        keys, tempi, both = keys + right_key, tempi + right_tempo, both + (right_key & right_tempo)
    assert both >= round(0.9 * seeds), (keys, tempi, both)


@pytest.mark.parametrize("lufs", [-30.0, -16.0, -9.0])
@pytest.mark.parametrize("prompt", ["driving drums", "slow drone", "sparse bells, no drums"])
def test_loudness_is_met_and_peaks_are_kept(tmp_path: Path, lufs: float, prompt: str) -> None:
    facts = made(tmp_path, seed=11, prompt=prompt, duration_s=12, loudness_lufs=lufs)
    track = samples_of(tmp_path / "track.flac")
    heard = measure_blocks([track], RATE, 2)
    assert heard.integrated_lufs == pytest.approx(lufs, abs=0.5)  # 1 LU is promised
    assert heard.integrated_lufs == pytest.approx(facts["integrated_lufs"], abs=0.02)
    assert heard.true_peak_dbtp <= -1
    assert peak(track) <= 10 ** (-1 / 20)


# ---------------------------------------------------------------------- the files


def test_a_track_has_its_files_facts_and_pictures(tmp_path: Path) -> None:
    settings = TrackSettings.model_validate(
        {"seed": 3, "prompt": "warm, 90 bpm, drums, E dorian", "duration_s": 20}
    )
    heard: list[float] = []
    produced = generate(settings, tmp_path, device=choose("cpu"), progress=heard.append)
    facts = produced.facts
    assert (facts["key"], facts["scale"], facts["bpm"], facts["mood"]) == (
        "E", "dorian", 90, "warm",
    )  # fmt: skip
    assert facts["understood"]["E dorian"] == "key E, scale dorian"
    for name in ("track", *facts["parts"]):
        verify_audio(tmp_path / f"{name}.flac", facts)
    assert (tmp_path / "score.mid").read_bytes()[:4] == b"MThd"
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert set(produced.pictures) == {"waveform", "spectrogram", "score"}
    for name in produced.pictures.values():
        assert (tmp_path / name).stat().st_size < 50_000
        with Image.open(tmp_path / name) as picture:
            assert picture.width == 800
            assert len(picture.convert("RGB").getcolors(10_000) or ()) > 3
    rows = produced.tables["sections"]
    assert rows[0]["from_s"] == 0
    assert rows[-1]["to_s"] == 20


def test_the_same_seed_is_the_same_bits_and_another_is_not(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (7, 7, 8), strict=True):
        folder.mkdir()
        made(folder, seed=seed, duration_s=8, prompt="warm")
    first, again, other = ((f / "track.flac").read_bytes() for f in folders)
    assert first == again
    assert first != other


@pytest.mark.parametrize("duration_s", [5, 5.00001, 29.99, 31.337])
def test_a_track_is_as_long_as_asked_to_the_sample(tmp_path: Path, duration_s: float) -> None:
    made(tmp_path, seed=1, duration_s=duration_s)
    assert probe_audio(tmp_path / "track.flac").sample_rate == 48_000
    assert samples_of(tmp_path / "track.flac").shape == (2, round(48_000 * duration_s))


def test_without_effects_the_stems_add_up_to_the_track(tmp_path: Path) -> None:
    facts = made(tmp_path, seed=2, duration_s=10, effects=False, loudness_lufs=-24)
    assert facts["limiter_db"] == 0
    track = samples_of(tmp_path / "track.flac")
    stems = added(tmp_path, facts["parts"])
    assert peak(track - stems) < 1e-6


def test_with_effects_the_stems_are_the_mix_before_them(tmp_path: Path) -> None:
    values = {"seed": 2, "duration_s": 10, "loudness_lufs": -20}
    facts = made(tmp_path, **values)
    stems = added(tmp_path, facts["parts"])
    dry = synthesise(*planned(**values), Arrays(), effects=False).mix
    gain = float(np.vdot(stems, dry) / np.vdot(dry, dry))
    assert db(stems - gain * dry) - db(stems) < -80
    assert db(samples_of(tmp_path / "track.flac") - stems) > -60  # the effects are there


def test_a_seed_that_was_never_drawn_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed"):
        made(tmp_path, prompt="warm")


# ---------------------------------------------------------------------- what steers it


def centre_of(mix: NDArray[np.float32]) -> float:
    """The frequency with as much energy below as above it, in Hz."""
    power = np.square(np.abs(np.fft.rfft(mix.mean(axis=0)))).cumsum()
    return float(np.searchsorted(power, power[-1] / 2)) * RATE / mix.shape[1]


def test_mood_is_heard_in_the_colour_of_the_sound() -> None:
    same = {"seed": 1, "key": "D", "scale": "dorian", "bpm": 80, "intensity": 0.4, "duration_s": 12}
    dark, bright = (
        synthesise(*planned(**same, mood=mood, prompt="strings, no drums"), Arrays()).mix
        for mood in ("dark", "bright")
    )
    assert centre_of(bright) > 1.2 * centre_of(dark)


def test_echoes_come_on_dotted_eighths_and_from_the_other_side() -> None:
    plan = planned(seed=1, bpm=100, duration_s=6)[1]
    click = np.zeros((2, 6 * RATE), np.float32)
    click[0, 0] = 1.0
    left, right = wet(Arrays(), {"melody": click}, plan)
    dotted_eighth = round(0.75 * 60 / 100 * RATE)
    assert np.abs(right).argmax() == dotted_eighth
    assert np.abs(left[dotted_eighth + 100 :]).argmax() + dotted_eighth + 100 == 2 * dotted_eighth


def test_a_calm_room_rings_longer_than_a_driving_one() -> None:
    def rings_s(intensity: float) -> float:
        response = room(planned(seed=1, intensity=intensity, mood="calm")[1])
        left = np.square(response).sum(axis=0)[::-1].cumsum()[::-1]
        return float(np.argmax(left < 1e-4 * left[0])) / RATE  # by 40 dB

    assert 1.2 < rings_s(0.1) < 3.5
    assert rings_s(0.1) > 1.5 * rings_s(0.9)


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(32_000, 1, 5.0), (48_000, 2, 0.5)])
def test_pictures_can_be_drawn_of_any_sound(
    tmp_path: Path, rate: int, channels: int, seconds: float
) -> None:
    t = np.arange(round(rate * seconds)) / rate
    sound = np.repeat(np.sin(2 * np.pi * 1000 * t)[None].astype(np.float32), channels, axis=0)
    draw_waveform(tmp_path / "waveform.png", sound, rate)
    draw_spectrogram(tmp_path / "spectrogram.png", sound, rate)
    with Image.open(tmp_path / "spectrogram.png") as picture:
        column = np.asarray(picture.convert("L"), np.int64)[:200, 400]
    expected = 200 * (1 - np.log(1000 / 40) / np.log(16_000 / 40))
    assert abs(int(column.argmin()) - expected) <= 3  # darkest where the tone is
