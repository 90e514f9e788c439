"""Loudness meter: EBU and ITU conformance cases, streaming, layouts, errors, a second meter."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import av
import av.error
import av.filter
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.media.loudness import (
    Loudness,
    LoudnessMeter,
    channel_weights,
    measure_blocks,
)

RATES = (8_000, 16_000, 44_100, 48_000, 96_000)
Level = float | tuple[float, ...]  # dBFS of all channels, or of each

I_TOLERANCE = 0.05
LRA_TOLERANCE = 0.5


def tones(
    sample_rate: int, segments: Sequence[tuple[Level, float]], channels: int = 2
) -> Iterator[np.ndarray]:
    """1 kHz tones of steady phase as (dBFS, seconds), in blocks of a second at most."""
    wave = np.sin(2 * np.pi * 1000 * np.arange(sample_rate) / sample_rate)
    wave = np.concatenate([wave, wave])
    at = 0
    for level, seconds in segments:
        levels = level if isinstance(level, tuple) else (level,) * channels
        gains = np.array([[10 ** (db / 20)] for db in levels])
        left = round(seconds * sample_rate)
        while left:
            n = min(left, sample_rate)
            start = at % sample_rate
            yield (gains * wave[start : start + n]).astype(np.float32)
            at, left = at + n, left - n


def measure_tones(sample_rate: int, segments: Sequence[tuple[Level, float]]) -> Loudness:
    return measure_blocks(tones(sample_rate, segments), sample_rate, 2, "stereo")


def noise_programme(channels: int, seconds: float, sample_rate: int, seed: int) -> np.ndarray:
    """Reproducible noise: steps on both sides of every gate, a pause, more bass than treble."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sample_rate)
    x = rng.standard_normal((channels, n))
    x[:, 1:] += 0.9 * x[:, :-1]
    steps = 10 ** (np.array([-20, -26, -14, -60, -23, -17, -28.4]) / 20)
    x *= np.repeat(steps, -(-n // steps.size))[:n]
    return (0.3 * x).astype(np.float32)


def assert_same(a: Loudness, b: Loudness, tolerance: float = 1e-6) -> None:
    for name in (
        "integrated_lufs",
        "momentary_max_lufs",
        "short_term_max_lufs",
        "lra_lu",
        "true_peak_dbtp",
        "sample_peak_dbfs",
        "duration_s",
    ):
        assert getattr(a, name) == pytest.approx(getattr(b, name), abs=tolerance), name
    np.testing.assert_allclose(a.curve.times_s, b.curve.times_s, atol=tolerance)
    np.testing.assert_allclose(a.curve.lufs, b.curve.lufs, atol=tolerance)


# --- EBU Tech 3341: programme, momentary and short-term loudness ----------------------------------


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param([(-23.0, 20)], -23.0, id="1"),
        pytest.param([(-33.0, 20)], -33.0, id="2"),
        pytest.param([(-36.0, 10), (-23.0, 60), (-36.0, 10)], -23.0, id="3"),
        pytest.param(
            [(-72.0, 10), (-36.0, 10), (-23.0, 60), (-36.0, 10), (-72.0, 10)], -23.0, id="4"
        ),
        pytest.param([(-26.0, 20), (-20.0, 20.1), (-26.0, 20)], -23.0, id="5"),
    ],
)
def test_tech3341_integrated(
    sample_rate: int, segments: list[tuple[Level, float]], expected: float
) -> None:
    got = measure_tones(sample_rate, segments)
    assert got.integrated_lufs == pytest.approx(expected, abs=I_TOLERANCE)
    if len(segments) == 1:
        assert got.momentary_max_lufs == pytest.approx(expected, abs=I_TOLERANCE)
        assert got.short_term_max_lufs == pytest.approx(expected, abs=I_TOLERANCE)
        assert got.lra_lu == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("layout", ["5.0", "5.0(side)", "5.1", "5.1(side)"])
def test_tech3341_case_6_surround(sample_rate: int, layout: str) -> None:
    levels = [-28.0, -28.0, -24.0, -30.0, -30.0]
    if layout.startswith("5.1"):
        levels.insert(3, -3.0)  # a loud LFE must not count
    blocks = tones(sample_rate, [(tuple(levels), 20)])
    got = measure_blocks(blocks, sample_rate, len(levels), layout)
    assert got.integrated_lufs == pytest.approx(-23.0, abs=I_TOLERANCE)


@pytest.mark.parametrize("sample_rate", RATES)
def test_tech3341_case_9_short_term_is_steady(sample_rate: int) -> None:
    got = measure_tones(sample_rate, [(-20.0, 1.34), (-30.0, 1.66)] * 5)
    assert got.short_term_max_lufs == pytest.approx(-23.0, abs=0.1)
    after_3_s = got.curve.lufs[got.curve.times_s >= 3.0]
    assert after_3_s.size > 100
    np.testing.assert_allclose(after_3_s, -23.0, atol=0.1)


@pytest.mark.parametrize("sample_rate", RATES)
def test_tech3341_case_10_short_term_maximum_at_any_offset(sample_rate: int) -> None:
    for i in range(20):
        got = measure_tones(sample_rate, [(-200.0, i * 0.15), (-23.0, 3.0), (-200.0, 1.0)])
        assert got.short_term_max_lufs == pytest.approx(-23.0, abs=I_TOLERANCE), i


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("kind", ["11", "14"])
def test_tech3341_cases_11_and_14_live_maxima(sample_rate: int, kind: str) -> None:
    tone, step = (3.0, 0.15) if kind == "11" else (0.4, 0.02)
    meter = LoudnessMeter(sample_rate, 2, "stereo")
    for i in range(20):
        level = -38.0 + i
        segments = [(-200.0, i * step), (level, tone), (-200.0, tone - i * step)]
        for block in tones(sample_rate, segments):
            meter.feed(block)
        got = meter.result()  # while the stream goes on
        reading = got.short_term_max_lufs if kind == "11" else got.momentary_max_lufs
        assert reading == pytest.approx(level, abs=I_TOLERANCE), i


@pytest.mark.parametrize("sample_rate", RATES)
def test_tech3341_case_12_momentary_is_steady(sample_rate: int) -> None:
    got = measure_tones(sample_rate, [(-20.0, 0.18), (-30.0, 0.22)] * 25)
    assert got.momentary_max_lufs == pytest.approx(-23.0, abs=0.1)
    assert got.integrated_lufs == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("sample_rate", RATES)
def test_tech3341_case_13_momentary_maximum_at_any_offset(sample_rate: int) -> None:
    for i in range(20):
        got = measure_tones(sample_rate, [(-200.0, i * 0.02), (-23.0, 0.4), (-200.0, 1.0)])
        assert got.momentary_max_lufs == pytest.approx(-23.0, abs=I_TOLERANCE), i


def test_maxima_are_found_at_every_10_ms_step() -> None:
    """Also where the best window ends in the first 10 ms the meter takes from its next block."""
    readings = [
        measure_tones(8_000, [(-200.0, 1.0 + i / 100), (-23.0, 3.0), (-200.0, 0.5)])
        for i in range(25)
    ]
    for name in ("short_term_max_lufs", "momentary_max_lufs"):
        assert np.ptp([getattr(r, name) for r in readings]) < 1e-3, name


@pytest.mark.parametrize(
    "sample_rate", [11_025, 12_000, 22_050, 24_000, 32_000, 88_200, 176_400, 192_000, 768_000]
)
def test_tone_reads_the_same_at_other_rates(sample_rate: int) -> None:
    got = measure_tones(sample_rate, [(-23.0, 3.5)])
    assert got.integrated_lufs == pytest.approx(-23.0, abs=I_TOLERANCE)
    assert got.short_term_max_lufs == pytest.approx(-23.0, abs=I_TOLERANCE)


@pytest.mark.parametrize("seconds", [0.1, 0.4, 1.06, 3.0, 3.07])
@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 48_000])
def test_short_files_are_measured(sample_rate: int, seconds: float) -> None:
    got = measure_tones(sample_rate, [(-23.0, seconds)])
    assert got.integrated_lufs == pytest.approx(-23.0, abs=I_TOLERANCE)
    assert got.momentary_max_lufs == pytest.approx(-23.0, abs=I_TOLERANCE)
    assert got.short_term_max_lufs == pytest.approx(-23.0, abs=I_TOLERANCE)
    # A steady tone: parts of windows must not weigh differently from whole ones.
    assert got.short_term_max_lufs == pytest.approx(got.integrated_lufs, abs=0.01)
    assert got.duration_s == pytest.approx(seconds, abs=1e-3)
    assert got.lra_lu == pytest.approx(0.0, abs=0.01)


def test_noise_reads_the_same_at_8_and_48_khz() -> None:
    """The same sound below 3.6 kHz: the weighting must not depend on the sample rate."""
    sample_rate, n = 48_000, 48_000 * 6
    rng = np.random.default_rng(5)
    spectrum = np.zeros(n // 2 + 1, complex)
    kept = slice(20 * 6, 3600 * 6)
    spectrum[kept] = np.exp(2j * np.pi * rng.random(kept.stop - kept.start))
    wide = np.fft.irfft(spectrum, n)[None]
    narrow = np.fft.irfft(spectrum[: n // 12 + 1], n // 6)[None] / 6
    level = measure_blocks([wide], sample_rate, 1).integrated_lufs
    assert math.isfinite(level)
    assert measure_blocks([narrow], 8_000, 1).integrated_lufs == pytest.approx(level, abs=0.03)


# --- EBU Tech 3342: loudness range ----------------------------------------------------------------


@pytest.mark.parametrize("sample_rate", [8_000, 48_000])
@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param([-20.0, -30.0], 10.0, id="1"),
        pytest.param([-20.0, -15.0], 5.0, id="2"),
        pytest.param([-40.0, -20.0], 20.0, id="3"),
        pytest.param([-50.0, -35.0, -20.0, -35.0, -50.0], 15.0, id="4"),
    ],
)
def test_tech3342_range(sample_rate: int, levels: list[float], expected: float) -> None:
    got = measure_tones(sample_rate, [(level, 20.0) for level in levels])
    assert got.lra_lu == pytest.approx(expected, abs=LRA_TOLERANCE)


def test_range_of_less_than_one_window_is_zero() -> None:
    assert measure_tones(8_000, [(-40.0, 1.4), (-20.0, 1.5)]).lra_lu == 0.0


# --- BS.1770 Annex 2 and Tech 3341 cases 15-23: true peak -----------------------------------------


def assert_peak(got: Loudness, expected: float) -> None:
    assert expected - 0.2 <= got.true_peak_dbtp <= expected + 0.1


@pytest.mark.parametrize("sample_rate", [*RATES, 192_000])
@pytest.mark.parametrize(
    ("period", "degrees", "amplitude", "expected"),
    [
        pytest.param(4, 0.0, 0.5, -6.0, id="15"),
        pytest.param(4, 45.0, 0.5, -6.0, id="16"),
        pytest.param(6, 60.0, 0.5, -6.0, id="17"),
        pytest.param(8, 67.5, 0.5, -6.0, id="18"),
        pytest.param(4, 45.0, 1.41, 3.0, id="19"),
    ],
)
def test_tech3341_true_peak_of_tones(
    sample_rate: int, period: int, degrees: float, amplitude: float, expected: float
) -> None:
    n = sample_rate // 2
    x = amplitude * np.sin(2 * np.pi * np.arange(n) / period + np.radians(degrees))
    # A tone switched on at once has a real overshoot; the cases fade theirs in and out.
    fade = np.sin(np.linspace(0, np.pi / 2, n // 5)) ** 2
    x[: fade.size] *= fade
    x[-fade.size :] *= fade[::-1]
    assert_peak(measure_blocks([np.stack([x, x])], sample_rate, 2), expected)


@pytest.mark.parametrize("sample_rate", [*RATES, 192_000])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3], ids=["20", "21", "22", "23"])
def test_tech3341_true_peak_between_samples(sample_rate: int, quarters: int) -> None:
    """In the manner of cases 20-23: one crest of 1.0 that falls 0 to 3 quarters past a sample."""
    n = np.arange(4 * 1024)
    away = n - 2000 - quarters / 4
    x = 0.5 * np.cos(2 * np.pi * away / 6) * (1 + np.exp(-((away / 12) ** 2)))
    x *= np.hanning(n.size) ** 0.1
    x /= np.hanning(n.size)[2000] ** 0.1
    got = measure_blocks([np.stack([x, -x])], sample_rate, 2)
    assert_peak(got, 0.0)


def test_true_peak_of_tones_of_any_pitch_and_phase() -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        pitch, phase = rng.uniform(0.001, 0.25), rng.uniform(0, 2 * np.pi)
        x = np.sin(2 * np.pi * pitch * np.arange(6000) + phase) * np.hanning(6000)
        got = measure_blocks([x[None]], 48_000, 1).true_peak_dbtp
        assert -0.2 <= got <= 0.01, (pitch, phase)


def test_true_peak_is_that_of_the_loudest_channel_lfe_included() -> None:
    x = np.zeros((6, 9600), np.float32)
    x[3] = 0.5 * np.sin(2 * np.pi * np.arange(9600) / 160)
    got = measure_blocks([x], 48_000, 6, "5.1")
    assert got.true_peak_dbtp == pytest.approx(-6.02, abs=0.01)
    assert got.sample_peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert got.integrated_lufs == -math.inf


@pytest.mark.parametrize("n", [1, 5, 31, 32, 33, 32_737, 32_738, 32_767, 32_768, 32_769])
def test_true_peak_at_the_very_end_of_the_stream(n: int) -> None:
    """Two last samples of 1.0 have a crest of 4/pi between them, wherever the stream is cut."""
    x = np.zeros((1, n))
    x[0, -2:] = 1.0
    got = measure_blocks([x], 48_000, 1).true_peak_dbtp
    assert got == pytest.approx(20 * math.log10(4 / math.pi) if n > 1 else 0.0, abs=0.1)
    assert got >= 0.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), peaky=st.booleans())
def test_skipping_never_loses_a_peak(seed: int, peaky: bool) -> None:
    """The meter skips what cannot be a peak; plain 4x interpolation of everything agrees."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(5000) * np.repeat(10 ** rng.uniform(-2, 0, 50), 100)
    if peaky:
        x[rng.integers(0, 5000, 5)] *= 4
    at = np.arange(32)
    best = np.abs(x).max()
    padded = np.concatenate([np.zeros(31), x, np.zeros(31)])
    for p in (0.25, 0.5, 0.75):
        away = at - 15 - p
        h = np.sinc(away) * np.i0(6.0 * np.sqrt(1 - (away / 16) ** 2))
        best = max(best, np.abs(np.convolve(padded, h[::-1] / h.sum(), "valid")).max())
    got = measure_blocks([x[None]], 48_000, 1).true_peak_dbtp
    assert got == pytest.approx(20 * math.log10(best), abs=1e-6)


@pytest.mark.parametrize("start", [20_000, 20_097, 20_110, 20_127, 32_760])
def test_worst_case_between_samples_is_not_skipped(start: int) -> None:
    """32 samples of +-1 whose signs add up between them, after a louder single sample."""
    away = np.arange(32) - 15.5
    h = np.sinc(away) * np.i0(6.0 * np.sqrt(1 - (away / 16) ** 2))
    highest = np.abs(h).sum() / h.sum()
    x = np.zeros(50_000)
    x[100] = 0.98 * highest
    x[start : start + 32] = np.sign(h)
    got = measure_blocks([x[None]], 48_000, 1)
    assert got.true_peak_dbtp == pytest.approx(20 * math.log10(highest), abs=1e-6)


# --- Streaming ------------------------------------------------------------------------------------

PROGRAMME = noise_programme(2, 11.3, 11_025, seed=7)
WHOLE = measure_blocks([PROGRAMME], 11_025, 2)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, PROGRAMME.shape[1]), max_size=12),
    read_at=st.integers(0, 12),
    double=st.booleans(),
)
def test_any_split_of_the_stream_reads_the_same(
    cuts: list[int], read_at: int, double: bool
) -> None:
    meter = LoudnessMeter(11_025, 2)
    edges = [0, *sorted(cuts), PROGRAMME.shape[1]]
    for i, (start, stop) in enumerate(itertools.pairwise(edges)):
        block = PROGRAMME[:, start:stop]
        meter.feed(block.astype(np.float64) if double else block)
        if i == read_at:
            meter.result()
    assert_same(meter.result(), WHOLE)


@pytest.mark.parametrize("size", [1, 441, 1024])
def test_small_blocks_read_the_same(size: int) -> None:
    x = noise_programme(1, 0.3 if size == 1 else 6.0, 22_050, seed=3)
    blocks = (x[:, i : i + size] for i in range(0, x.shape[1], size))
    assert_same(measure_blocks(blocks, 22_050, 1), measure_blocks([x], 22_050, 1))


def test_result_in_mid_stream_is_that_of_the_stream_so_far() -> None:
    meter = LoudnessMeter(11_025, 2)
    for i in range(0, PROGRAMME.shape[1], 7_000):
        meter.feed(PROGRAMME[:, i : i + 7_000])
        first, second = meter.result(), meter.result()
        assert first == second
        assert_same(first, measure_blocks([PROGRAMME[:, : i + 7_000]], 11_025, 2))


def test_blocks_of_any_memory_layout_are_taken() -> None:
    interleaved = np.ascontiguousarray(PROGRAMME.T)
    swapped = PROGRAMME.astype(">f4")
    assert_same(measure_blocks([interleaved.T], 11_025, 2), WHOLE)
    assert_same(measure_blocks([swapped], 11_025, 2), WHOLE)
    assert_same(measure_blocks([PROGRAMME[:, ::-1][:, ::-1]], 11_025, 2), WHOLE)


def test_memory_does_not_grow_with_the_stream() -> None:
    meter = LoudnessMeter(8_000, 1)
    minute = np.tile(PROGRAMME[:1, :60_000], 8)
    meter.feed(minute)
    tracemalloc.start()
    try:
        for _ in range(29):
            meter.feed(minute)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    got = meter.result()
    assert got.duration_s == 30 * 60
    assert got.curve.times_s.size <= 2000
    assert grown < 30 * 60 * 10 * 8 + 100_000  # the 100 ms energies, nothing else


# --- The curve ------------------------------------------------------------------------------------


def test_curve_follows_the_programme() -> None:
    got = measure_tones(48_000, [(-20.0, 10), (-40.0, 10), (-200.0, 5)])
    times, lufs = got.curve
    assert times.size == lufs.size == 250
    np.testing.assert_allclose(np.diff(times), 0.1, atol=1e-9)
    assert times[-1] == pytest.approx(25.0)
    np.testing.assert_allclose(lufs[:95], -20.0, atol=0.1)
    np.testing.assert_allclose(lufs[135:195], -40.0, atol=0.1)
    assert lufs[-1] < -100


def test_curve_of_a_long_stream_keeps_its_shape_in_few_points() -> None:
    got = measure_tones(8_000, [(-20.0, 300), (-40.0, 130)])
    times, lufs = got.curve
    assert 1000 < times.size <= 2000
    assert times[-1] == pytest.approx(430.0)
    assert np.all(np.diff(times) > 0)
    np.testing.assert_allclose(lufs[(times > 1) & (times < 299)], -20.0, atol=0.1)
    np.testing.assert_allclose(lufs[times > 305], -40.0, atol=0.1)


# --- Silence and results --------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.4, 5.0])
def test_silence_is_minus_infinity(seconds: float) -> None:
    got = measure_blocks([np.zeros((2, round(seconds * 48_000)), np.float32)], 48_000, 2)
    for value in (
        got.integrated_lufs,
        got.momentary_max_lufs,
        got.short_term_max_lufs,
        got.true_peak_dbtp,
        got.sample_peak_dbfs,
    ):
        assert value == -math.inf
    assert got.lra_lu == 0.0
    assert got.duration_s == pytest.approx(seconds)
    assert np.all(got.curve.lufs == -math.inf)


def test_silence_around_and_inside_a_programme_is_gated_out() -> None:
    alone = measure_tones(48_000, [(-23.0, 10)])
    padded = measure_tones(48_000, [(-200.0, 30), (-23.0, 10), (-200.0, 30)])
    # The 400 ms blocks that straddle the edges are above the gate and count, as they should.
    assert padded.integrated_lufs == pytest.approx(alone.integrated_lufs, abs=0.2)
    assert padded.short_term_max_lufs == pytest.approx(alone.short_term_max_lufs, abs=0.01)


def test_programme_below_the_absolute_gate_has_no_loudness() -> None:
    got = measure_tones(48_000, [(-72.0, 5)])
    assert got.integrated_lufs == -math.inf
    assert got.lra_lu == 0.0
    assert got.momentary_max_lufs == pytest.approx(-72.0, abs=I_TOLERANCE)


def test_mono_is_one_channel_and_overs_are_not_clamped() -> None:
    x = 2.0 * np.sin(2 * np.pi * 1000 * np.arange(96_000) / 48_000)
    got = measure_blocks([x[None]], 48_000, 1, "mono")
    assert got.integrated_lufs == pytest.approx(20 * math.log10(2) - 3.01, abs=I_TOLERANCE)
    assert got.true_peak_dbtp == pytest.approx(6.02, abs=0.05)


def test_json_values_are_safe_and_rounded() -> None:
    silent = measure_blocks([np.zeros((1, 9_600))], 48_000, 1).to_json_dict()
    assert silent["integrated_lufs"] is None
    assert silent["true_peak_dbtp"] is None
    assert silent["lra_lu"] == 0.0
    assert silent["curve"] == {"times_s": [0.1, 0.2], "lufs": [None, None]}
    tone = measure_tones(48_000, [(-23.0, 5.0)])
    values = json.loads(json.dumps(tone.to_json_dict(), allow_nan=False))
    assert values["integrated_lufs"] == round(tone.integrated_lufs, 2)
    assert values["sample_peak_dbfs"] == -23.0
    assert values["duration_s"] == 5.0
    assert len(values["curve"]["lufs"]) == 50
    assert set(values) == {
        "integrated_lufs",
        "momentary_max_lufs",
        "short_term_max_lufs",
        "lra_lu",
        "true_peak_dbtp",
        "sample_peak_dbfs",
        "duration_s",
        "curve",
    }


def test_result_can_be_compared_and_not_changed() -> None:
    a, b = (measure_tones(8_000, [(-23.0, 4.0)]) for _ in range(2))
    assert a == b
    assert hash(a) == hash(b)
    assert a != measure_tones(8_000, [(-24.0, 4.0)])
    with pytest.raises(AttributeError):
        a.lra_lu = 3.0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="read-only"):
        a.curve.lufs[0] = 0.0


# --- Layouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "weights"),
    [
        ("mono", [1]),
        ("stereo", [1, 1]),
        ("2.1", [1, 1, 0]),
        ("3.0", [1, 1, 1]),
        ("quad", [1, 1, 1.41, 1.41]),
        ("5.0", [1, 1, 1, 1.41, 1.41]),
        ("5.1", [1, 1, 1, 0, 1.41, 1.41]),
        ("5.1(side)", [1, 1, 1, 0, 1.41, 1.41]),
        ("6.1", [1, 1, 1, 0, 1, 1.41, 1.41]),
        ("7.1", [1, 1, 1, 0, 1, 1, 1.41, 1.41]),
        ("7.1.4", [1, 1, 1, 0, 1, 1, 1.41, 1.41, 1, 1, 1, 1]),
        ("FL+FR+LFE", [1, 1, 0]),
        ("4 channels (FL+FR+SL+SR)", [1, 1, 1.41, 1.41]),
    ],
)
def test_layout_weights(layout: str, weights: list[float]) -> None:
    assert channel_weights(len(weights), layout).tolist() == weights


@pytest.mark.parametrize(
    ("channels", "same_as"),
    [
        (1, "mono"),
        (2, "stereo"),
        (3, "3.0"),
        (4, "quad"),
        (5, "5.0"),
        (6, "5.1"),
        (7, "6.1"),
        (8, "7.1"),
        (24, "22.2"),
    ],
)
def test_default_layouts(channels: int, same_as: str) -> None:
    expected = channel_weights(channels, same_as).tolist()
    assert channel_weights(channels).tolist() == expected
    assert channel_weights(channels, f"{channels} channels").tolist() == expected
    assert channel_weights(11).tolist() == [1.0] * 11


def test_layouts_have_the_channels_ffmpeg_gives_them() -> None:
    """Every layout this FFmpeg knows is read with FFmpeg's own speaker order."""
    names = ["mono", "stereo", "2.1", "3.0", "3.0(back)", "4.0", "quad", "quad(side)", "3.1"]
    names += ["5.0", "5.0(side)", "4.1", "5.1", "5.1(side)", "6.0", "6.0(front)", "3.1.2"]
    names += ["hexagonal", "6.1", "6.1(back)", "6.1(front)", "7.0", "7.0(front)", "7.1"]
    names += ["7.1(wide)", "7.1(wide-side)", "octagonal", "cube", "5.1.4", "7.1.2", "7.1.4"]
    names += ["9.1.4", "hexadecagonal", "downmix", "22.2"]
    for name in names:
        speakers = [c.name for c in av.AudioLayout(name).channels]
        weights = channel_weights(len(speakers), name).tolist()
        assert [w == 0 for w in weights] == [s.startswith("LFE") for s in speakers], name
        if len(speakers) > 1:
            assert weights == channel_weights(len(speakers), "+".join(speakers)).tolist(), name


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 6), ("5.1", 5), ("FL+FR", 3)])
def test_layout_with_another_number_of_channels_is_refused(layout: str, channels: int) -> None:
    with pytest.raises(ValueError, match="channels"):
        LoudnessMeter(48_000, channels, layout)


def test_many_channels_and_high_rates() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 40_000)) * 0.05
    got = measure_blocks([x], 96_000, 24, "22.2")
    alone = measure_blocks([x[:1]], 96_000, 1)
    power = 10 * math.log10(channel_weights(24, "22.2").sum())
    assert got.integrated_lufs == pytest.approx(alone.integrated_lufs + power, abs=0.2)


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_rate", [0, -1, 7_999, 768_001, 1_092_676, 44_100.5])
def test_sample_rates_out_of_range_are_refused(sample_rate: float) -> None:
    with pytest.raises(ValueError, match="sample rate"):
        LoudnessMeter(sample_rate, 2)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("channels", [0, -2, 65])
def test_channel_counts_out_of_range_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match="channels"):
        LoudnessMeter(48_000, channels)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros((100, 2), np.float32), r"shape \(2, n\)"),
        (np.zeros((3, 100), np.float32), r"shape \(2, n\)"),
        (np.zeros(100, np.float32), r"shape \(2, n\)"),
        (np.zeros((1, 2, 100), np.float32), r"shape \(2, n\)"),
        (np.zeros((2, 100), np.int16), "int16"),
        (np.zeros((2, 100), np.float16), "float16"),
        ([[0.0], [0.0]], "list"),
    ],
)
def test_wrong_blocks_are_refused(block: np.ndarray, message: str) -> None:
    meter = LoudnessMeter(48_000, 2)
    with pytest.raises(ValueError, match=message):
        meter.feed(block)
    assert meter.result().duration_s == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_audio_are_refused_with_their_place(
    value: float, dtype: type[np.floating]
) -> None:
    good = np.full((2, 48_000), 0.1, dtype)
    bad = good.copy()
    bad[1, 24_000] = value
    meter = LoudnessMeter(48_000, 2)
    meter.feed(good)
    before = meter.result()
    with pytest.raises(ValueError, match=r"channel 1 at 1\.500000 s"):
        meter.feed(bad)
    assert meter.result() == before  # the block is left out, the meter stays usable
    meter.feed(good)
    assert meter.result().duration_s == 2.0


# --- A second meter -------------------------------------------------------------------------------


def plain_meter(x: np.ndarray, weights: Sequence[float]) -> dict[str, float]:
    """The Recommendation done the slow, literal way at 48 kHz, whole file in memory."""
    from scipy.signal import sosfilt

    table = [
        [
            1.53512485958697,
            -2.69169618940638,
            1.19839281085285,
            1,
            -1.69065929318241,
            0.73248077421585,
        ],
        [1.0, -2.0, 1.0, 1, -1.99004745483398, 0.99007225036621],
    ]
    power = np.square(sosfilt(table, x.astype(np.float64))).T @ np.array(weights)

    def levels(seconds: float, step: float) -> np.ndarray:
        n, hop = round(seconds * 48_000), round(step * 48_000)
        means = [power[i : i + n].mean() for i in range(0, power.size - n + 1, hop)]
        return -0.691 + 10 * np.log10(np.array(means))

    def mean(lufs: np.ndarray) -> float:
        return 10 * math.log10(np.mean(10 ** (lufs / 10)))

    blocks, spans = levels(0.4, 0.1), levels(3.0, 0.1)
    blocks = blocks[blocks > -70]
    spans = spans[spans > -70]
    low, high = np.percentile(spans[spans > mean(spans) - 20], [10, 95], method="nearest")
    return {
        "integrated_lufs": mean(blocks[blocks > mean(blocks) - 10]),
        "momentary_max_lufs": levels(0.4, 0.01).max(),
        "short_term_max_lufs": levels(3.0, 0.01).max(),
        "lra_lu": high - low,
    }


@pytest.mark.parametrize("layout", ["mono", "5.1"])
def test_agrees_with_a_plain_meter(layout: str) -> None:
    weights = {"mono": [1.0], "5.1": [1, 1, 1, 0, 1.41, 1.41]}[layout]
    x = noise_programme(len(weights), 20.75, 48_000, seed=11)
    got = measure_blocks([x], 48_000, len(weights), layout)
    for name, value in plain_meter(x, weights).items():
        assert getattr(got, name) == pytest.approx(value, abs=1e-5), name


def ffmpeg_ebur128(x: np.ndarray, sample_rate: int, layout: str) -> dict[str, float]:
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=sample_rate, format="fltp", layout=layout, time_base=Fraction(1, sample_rate)
    )
    meter = graph.add("ebur128", "peak=true+sample:metadata=1:framelog=quiet")
    graph.link_nodes(source, meter, graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x), format="fltp", layout=layout)
    frame.sample_rate, frame.pts = sample_rate, 0
    graph.push(frame)
    graph.push(None)
    last: dict[str, str] = {}
    try:
        while True:
            pulled = graph.pull()
            last = dict(getattr(pulled, "metadata", {})) or last
    except (av.error.EOFError, av.error.BlockingIOError):
        pass
    return {k.removeprefix("lavfi.r128."): float(v) for k, v in last.items()}


@pytest.mark.parametrize(
    ("layout", "sample_rate"),
    [
        ("stereo", 48_000),
        ("stereo", 44_100),
        ("mono", 48_000),
        ("5.1", 48_000),
        ("5.1(side)", 48_000),
    ],
)
def test_agrees_with_ffmpeg_on_noise(layout: str, sample_rate: int) -> None:
    x = noise_programme(av.AudioLayout(layout).nb_channels, 21.0, sample_rate, seed=11)
    ours = measure_blocks([x], sample_rate, x.shape[0], layout)
    theirs = ffmpeg_ebur128(x, sample_rate, layout)
    assert ours.integrated_lufs == pytest.approx(theirs["I"], abs=0.1)
    assert ours.lra_lu == pytest.approx(theirs["LRA"], abs=LRA_TOLERANCE)
    assert ours.true_peak_dbtp == pytest.approx(20 * math.log10(theirs["true_peak"]), abs=0.2)
    assert ours.sample_peak_dbfs == pytest.approx(20 * math.log10(theirs["sample_peak"]), abs=0.05)


# --- Import ---------------------------------------------------------------------------------------


def test_import_needs_nothing_heavy() -> None:
    code = (
        "import sys; import av_pipelines.media.loudness; "
        "print([m for m in ('scipy', 'av', 'dagster', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_measure_blocks_takes_any_iterable() -> None:
    def blocks() -> Iterable[np.ndarray]:
        yield PROGRAMME[:, :5_000]
        yield PROGRAMME[:, 5_000:]

    assert_same(measure_blocks(blocks(), 11_025, 2), WHOLE)
