"""The true-peak limiter: its ceiling holds on another meter, and nothing else is harmed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.media.limiter import Reduction, TruePeakLimiter
from av_pipelines.media.loudness import measure_blocks

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def limit(
    samples: np.ndarray,
    rate: int,
    ceiling: float,
    blocks: list[int] | None = None,
    **options: float,
) -> tuple[np.ndarray, Reduction]:
    limiter = TruePeakLimiter(rate, samples.shape[0], ceiling, **options)
    out = []
    at = 0
    for size in blocks or []:
        out.append(limiter.process(samples[:, at : at + size]))
        at += size
    out += [limiter.process(samples[:, at:]), limiter.flush()]
    return np.concatenate(out, axis=1), limiter.reduction()


def programme(kind: str, rate: int, channels: int, seed: int) -> np.ndarray:
    """0.7 s of a sound that is hard on limiters, over full scale for some."""
    random = np.random.default_rng(seed)
    shape = (channels, round(0.7 * rate))
    t = np.arange(shape[1]) / rate
    each = np.ones((channels, 1))

    def sine(hz: float, phase: float) -> np.ndarray:
        return each * np.sin(2 * np.pi * hz * t + phase)

    phase = random.uniform(0, 2 * np.pi)
    sounds = {
        "noise": 0.5 * random.standard_normal(shape),
        "noise bursts": random.standard_normal(shape) * (np.sin(2 * np.pi * 5 * t) > 0.8),
        "sine near fs/4": 1.5 * sine(rate / 4 * random.uniform(0.98, 1.02), phase),
        "sine at fs/4": 1.4 * sine(rate / 4, np.pi / 4),
        "high sine": 1.2 * sine(rate * random.uniform(0.3, 0.45), phase),
        "bass": 2.0 * sine(50, phase),
        "clicks": 3.0 * (random.random(shape) > 0.999) * random.choice([-1, 1], shape),
        "square": np.sign(sine(random.uniform(50, 3000), phase)),
        "random signs": random.choice([-1.0, 1.0], shape),
        "DC": 1.1 * each * np.ones(shape[1]),
        "full scale": each * np.where(t < 0.35, 1.0, -1.0),
    }
    return sounds[kind].astype(np.float32)


KINDS = [
    "noise", "noise bursts", "sine near fs/4", "sine at fs/4", "high sine", "bass", "clicks",
    "square", "random signs", "DC", "full scale",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rate=st.sampled_from([44100, 48000, 96000]),
    channels=st.sampled_from([1, 2, 6]),
    ceiling=st.floats(-20, 0),
    lookahead=st.floats(1, 20),
    release=st.floats(10, 500),
    seed=st.integers(0, 2**16),
)
def test_the_ceiling_holds_on_ffmpegs_meter_and_ours(
    ffmpeg_meter, kind, rate, channels, ceiling, lookahead, release, seed
):
    samples = programme(kind, rate, channels, seed)
    out, _ = limit(samples, rate, ceiling, lookahead_ms=lookahead, release_ms=release)
    theirs = ffmpeg_meter([out], rate, LAYOUTS[channels]).true_peak_dbtp
    ours = measure_blocks([out], rate, channels, LAYOUTS[channels]).true_peak_dbtp
    assert max(theirs, ours) <= ceiling + 0.05


@settings(max_examples=20, deadline=None)
@given(
    blocks=st.lists(st.integers(0, 30000), max_size=6),
    length=st.integers(0, 60000),
    rate=st.sampled_from([8000, 44100, 192000]),
)
def test_how_the_stream_is_cut_changes_nothing(blocks, length, rate):
    samples = (0.7 * np.random.default_rng(1).standard_normal((2, length))).astype(np.float32)
    whole, reduction = limit(samples, rate, -3.0)
    pieces, same = limit(samples, rate, -3.0, blocks)
    np.testing.assert_array_equal(pieces, whole)
    assert (same.max_db, same.mean_db) == (reduction.max_db, reduction.mean_db)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("length", [1, 100, 44101])
def test_what_stays_under_the_ceiling_comes_out_unchanged_and_in_place(rate, length):
    samples = (0.05 * np.random.default_rng(2).standard_normal((2, length))).astype(np.float32)
    out, reduction = limit(samples, rate, -1.0)
    np.testing.assert_array_equal(out, samples)
    assert reduction.max_db == reduction.mean_db == 0


def test_a_peak_stays_at_its_sample_and_comes_out_at_the_ceiling():
    samples = np.zeros((1, 48000), np.float32)
    samples[0, 20000] = 4.0
    out, reduction = limit(samples, 48000, -6.0)
    assert int(np.abs(out).argmax()) == 20000
    assert 20 * math.log10(out.max()) == pytest.approx(-6.0, abs=0.1)
    assert reduction.max_db == pytest.approx(20 * math.log10(4) + 6, abs=0.1)


def test_channels_are_turned_down_together():
    samples = np.full((2, 48000), 0.1, np.float32)
    samples[0] = 2.0
    out, _ = limit(samples, 48000, -1.0)
    np.testing.assert_allclose(out[0], 20 * out[1], rtol=1e-5)


def test_the_gain_moves_smoothly_and_comes_back():
    rate = 48000
    t = np.arange(2 * rate) / rate
    samples = (0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)[None]
    samples[:, rate // 2 : rate // 2 + 480] *= 8
    out, _ = limit(samples, rate, -1.0, release_ms=50)
    heard = np.abs(samples[0]) > 0.1
    gain = out[0, heard] / samples[0, heard]
    assert np.abs(np.diff(gain)).max() < 0.03  # a click would be a step of half or more
    assert gain[-1] == pytest.approx(1, abs=1e-5)
    assert gain.min() == pytest.approx(10 ** (-1 / 20) / 4, rel=0.05)


def test_it_says_how_much_it_took():
    samples = np.full((1, 48000 * 4), 10 ** (5 / 20), np.float32)
    _, reduction = limit(samples, 48000, -1.0)
    assert reduction.max_db == pytest.approx(6, abs=1.5)  # the step at the start is a peak
    assert reduction.mean_db == pytest.approx(6, abs=0.2)
    assert reduction.curve_db.max() == pytest.approx(reduction.max_db, abs=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_is_refused_with_its_place(bad):
    limiter = TruePeakLimiter(48000, 2, -1.0)
    limiter.process(np.zeros((2, 48000), np.float32))
    samples = np.zeros((2, 100), np.float32)
    samples[1, 48] = bad
    with pytest.raises(ValueError, match=r"channel 1 at 1\.001000 s is not audio"):
        limiter.process(samples)
