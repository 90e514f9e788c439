"""MusicGen's parts that need no model: the order of codes, draws, windows, joins, progress."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.tracks.musicgen import pace as pace_module
from av_pipelines.tracks.musicgen.codes import DelayPattern, Sampler
from av_pipelines.tracks.musicgen.continuation import (
    FADE_S,
    PRIME_S,
    TAIL_S,
    WINDOW_S,
    equal_power,
    join,
    onsets,
    plan_windows,
)
from av_pipelines.tracks.musicgen.pace import Pace

PAD = 2048
RATE = 32_000


# ---------------------------------------------------------------------- codes


def filled(pattern: DelayPattern) -> list[list[int]]:
    """The columns fed while every step n chooses 10 n + codebook."""
    fed = []
    for step in range(pattern.steps):
        fed.append(pattern.column(step).tolist())
        pattern.take(step, 10 * step + np.arange(4))
    return fed


def test_each_codebook_is_a_step_behind_the_one_before() -> None:
    pattern = DelayPattern(3, PAD)

    assert filled(pattern) == [
        [PAD, PAD, PAD, PAD],
        [0, PAD, PAD, PAD],
        [10, 11, PAD, PAD],
        [20, 21, 22, PAD],
        [PAD, 31, 32, 33],
        [PAD, PAD, 42, 43],
    ]
    assert pattern.codes.tolist() == [[0, 10, 20], [11, 21, 31], [22, 32, 42], [33, 43, 53]]


@given(frames=st.integers(1, 40), known=st.integers(0, 40))
def test_codes_that_are_known_are_fed_and_stay(frames: int, known: int) -> None:
    known = min(known, frames)
    given_codes = 1000 + np.arange(4 * known).reshape(4, known)
    pattern = DelayPattern(frames, PAD, known=given_codes)
    filled(pattern)

    assert (pattern.codes[:, :known] == given_codes).all()
    step_of = np.arange(known, frames) + np.arange(4)[:, None]
    assert (pattern.codes[:, known:] == 10 * step_of + np.arange(4)[:, None]).all()


# ---------------------------------------------------------------------- draws

SCORES = np.log(np.array([[0.4, 0.3, 0.2, 0.1]] * 4, dtype=np.float32))


def drawn(count: int = 4000, **how: float) -> np.ndarray:
    """The share of each code in many draws."""
    sampler = Sampler(1, **{"guidance": 1.0, "top_k": 0, **how})  # pyright: ignore[reportArgumentType]
    codes = np.concatenate([sampler(SCORES) for _ in range(count // 4)])
    return np.bincount(codes, minlength=4) / len(codes)


def test_codes_are_drawn_by_their_shares() -> None:
    assert drawn() == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.03)


def test_temperature_flattens_and_sharpens() -> None:
    assert drawn(temperature=0.5) == pytest.approx(np.array([16, 9, 4, 1]) / 30, abs=0.03)
    assert drawn(temperature=0.0).tolist() == [1, 0, 0, 0]


def test_only_the_likeliest_are_drawn() -> None:
    assert drawn(top_k=2) == pytest.approx([4 / 7, 3 / 7, 0, 0], abs=0.03)
    assert drawn(top_p=0.65) == pytest.approx([4 / 7, 3 / 7, 0, 0], abs=0.03)  # 0.4 is too little
    assert drawn(top_p=0.39).tolist() == [1, 0, 0, 0]
    assert drawn(top_k=3, top_p=0.7) == pytest.approx([4 / 7, 3 / 7, 0, 0], abs=0.03)  # of 0.9


def test_guidance_goes_away_from_what_is_likely_anyway() -> None:
    without = np.log(np.array([[0.7, 0.1, 0.1, 0.1]] * 4, dtype=np.float32))
    sampler = Sampler(0, guidance=3.0, temperature=0.0)
    assert sampler.guided
    assert sampler(np.concatenate([SCORES, without])).tolist() == [1, 1, 1, 1]


def test_scores_that_differ_in_the_last_digit_give_the_same_codes() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, 4, 2048)).astype(np.float32) * 3
    noise = rng.normal(size=scores.shape).astype(np.float32) * 1e-6
    one, two = (Sampler(7, guidance=1.0, top_k=250, top_p=0.9) for _ in range(2))
    same = [(one(s) == two(s + n)).all() for s, n in zip(scores, noise, strict=True)]
    assert np.mean(same) > 0.99


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(FloatingPointError, match="not numbers"):
        Sampler(0, guidance=1.0)(np.full((4, 8), np.nan, dtype=np.float32))


# ---------------------------------------------------------------------- windows


@given(frames=st.integers(1, 7000))
def test_windows_cover_a_piece_and_none_is_longer_than_the_model_knows(frames: int) -> None:
    windows = plan_windows(frames, 50)

    assert windows[0].start == 0
    assert windows[-1].stop == frames
    assert all(window.frames <= WINDOW_S * 50 for window in windows)
    for before, window in pairwise(windows):
        assert before.frames == WINDOW_S * 50
        assert window.known == PRIME_S * 50
        assert window.start + window.known == before.stop - TAIL_S * 50
        assert window.stop > before.stop


def clicks(seconds: float, bpm: float, seed: int, offset_s: float = 0.0) -> np.ndarray:
    """Short bursts of noise on every beat."""
    rng = np.random.default_rng(seed)
    sound = 0.01 * rng.normal(size=round(seconds * RATE))
    for beat in np.arange(offset_s, seconds, 60 / bpm):
        at = round(beat * RATE)
        burst = rng.normal(size=1600) * np.exp(-np.arange(1600) / 300)
        sound[at : at + 1600] += burst[: len(sound) - at]
    return sound.astype(np.float32)


def beats_of(sound: np.ndarray) -> np.ndarray:
    """The seconds at which bursts begin."""
    strength = onsets(sound, RATE)
    loud = np.flatnonzero(strength > 0.4 * strength.max()) / 100
    return loud[np.diff(loud, prepend=-1) > 0.1]


@pytest.mark.parametrize("bpm", [75.0, 90.0, 120.0, 150.0])
def test_a_join_lies_on_a_beat_and_keeps_the_beat(bpm: float) -> None:
    piece, window = clicks(30, bpm, 0), clicks(20, bpm, 1, (-28) % (60 / bpm))
    joined = join(piece, window, 28 * RATE, RATE)

    assert len(joined) == 48 * RATE
    changed = np.flatnonzero(joined[: 30 * RATE] != piece)[0]
    seam_s = changed / RATE + FADE_S
    assert abs(seam_s / (60 / bpm) - round(seam_s / (60 / bpm))) * 60 / bpm < 0.03
    assert np.diff(beats_of(joined)) == pytest.approx(60 / bpm, abs=0.03)


def test_a_join_changes_the_spectrum_no_more_than_the_music_does() -> None:
    rng = np.random.default_rng(3)
    seconds = np.arange(50 * RATE) / RATE
    chords = np.repeat(rng.choice([220, 247, 262, 294, 330], 50), RATE)
    music = np.sin(2 * np.pi * np.cumsum(chords) / RATE) * (0.6 + 0.4 * np.sin(2 * seconds))
    other = np.roll(music, 300)  # another phase
    joined = join(
        music[: 30 * RATE].astype(np.float32),
        other[28 * RATE :].astype(np.float32),
        28 * RATE,
        RATE,
    )
    flux = onsets(joined, RATE)
    assert np.median(flux[2800:3000]) <= np.percentile(flux, 95)
    assert np.abs(np.diff(joined)).max() <= 1.01 * np.abs(np.diff(music)).max()


@pytest.mark.parametrize(("alike", "same"), [("the same sound", 1.0), ("other sounds", 0.0)])
def test_a_fade_keeps_the_power(alike: str, same: float) -> None:
    rng = np.random.default_rng(0)
    old, other = rng.normal(size=(2, RATE)).astype(np.float32)
    faded = equal_power(old, old if same else other)
    power = np.square(faded).reshape(10, -1).mean(axis=1)
    assert 10 * np.log10(power) == pytest.approx(0, abs=0.4), alike
    assert (faded[0], faded[-1]) == pytest.approx((old[0], (old if same else other)[-1]), abs=1e-3)


# ---------------------------------------------------------------------- progress


@pytest.mark.parametrize("load_s", [0.0, 5.0])
@pytest.mark.parametrize("growth", [0.0003, 0.001, 0.003])  # planned for: 0.001
@pytest.mark.parametrize("codec", [0.5, 1.0, 2.0])  # times what a trial said
def test_progress_is_the_share_of_time_within_ten_points(
    monkeypatch: pytest.MonkeyPatch, load_s: float, growth: float, codec: float
) -> None:
    now = 100.0
    monkeypatch.setattr(pace_module.time, "perf_counter", lambda: now)
    told: list[tuple[float, float]] = []
    pace = Pace(lambda share, tokens: told.append((now - 100.0, share)))
    now += load_s
    pace.plan("steps", sum(1 + 0.001 * n for n in range(1503)), 0.0)
    pace.plan("sound", 1500, 0.005)
    pace.start()
    for step in range(1503):
        now += 0.1 * (1 + growth * step)
        pace.did("steps", 1 + 0.001 * step)
    now += 1500 * 0.005 * codec
    pace.did("sound", 1500)

    total = now - 100.0
    assert told[-1][1] == pytest.approx(1.0)
    assert max(abs(share - at / total) for at, share in told) < 0.1
    assert all(a <= b for (_, a), (_, b) in pairwise(told))


def test_time_is_read_from_the_clock() -> None:
    told: list[float] = []
    pace = Pace(lambda share, tokens: told.append(share))
    pace.plan("waiting", 4, 0.0)
    for _ in range(4):
        time.sleep(0.02)
        pace.did("waiting", 1)
    assert told == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.1)
