"""Streaming loudness and true-peak meter on decoded samples.

Here: integrated, momentary and short-term loudness, loudness range, true peak and sample peak of a
stream of float samples, as ITU-R BS.1770-5, EBU Tech 3341 and EBU Tech 3342 define them.

Not here: opening, decoding or writing files, resampling, gain changes and limiting, and any
opinion on what level a programme should have. Nothing in this module touches the file system.

How it works, for whoever changes it:

* Samples are collected into fixed internal blocks, so the numbers do not depend on how the caller
  cut the stream. ``result`` measures the part-filled block on a copy.
* K-weighting is a recursive filter, but it runs as matrix products over short chunks with the
  chunk-start states found by block-wise prefix products. That is the same arithmetic as the
  sample-by-sample recursion (to rounding), needs numpy only and is several times faster than
  ``scipy.signal.sosfilt``, whose import alone costs more than half a second.
* Energy is kept per 10 ms for the last 3 s (maxima) and per 100 ms for the whole stream (gating,
  loudness range, curve). The 100 ms list is the only thing that grows: 8 bytes per 100 ms, 288 kB
  per hour. It is kept instead of a histogram because a histogram would cost accuracy.
* Oversampling for true peak is skipped wherever ``sum|h| * local sample maximum`` cannot exceed
  the peak already found. That bound is a proof, so the skipped parts cannot change the result.
"""

from __future__ import annotations

import copy
import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = [
    "MAX_CHANNELS",
    "MAX_SAMPLE_RATE",
    "MIN_SAMPLE_RATE",
    "Curve",
    "Loudness",
    "LoudnessMeter",
    "channel_weights",
    "joint_loudness",
    "measure_blocks",
]

_Array = NDArray[np.float64]

MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 768_000
MAX_CHANNELS = 64

# Beyond this (+240 dBFS) a value is a decoding accident; it also keeps squares far from overflow.
_MAX_SAMPLE = 1e12

# --- BS.1770 Annex 1 and Annex 3: channel weighting -----------------------------------------------

_SURROUND_WEIGHT = 1.41
_LAYOUTS = {
    "mono": "FC",
    "stereo": "FL FR",
    "downmix": "DL DR",
    "binaural": "BIL BIR",
    "2.1": "FL FR LFE",
    "3.0": "FL FR FC",
    "3.0(back)": "FL FR BC",
    "4.0": "FL FR FC BC",
    "quad": "FL FR BL BR",
    "quad(side)": "FL FR SL SR",
    "3.1": "FL FR FC LFE",
    "5.0": "FL FR FC BL BR",
    "5.0(side)": "FL FR FC SL SR",
    "4.1": "FL FR FC LFE BC",
    "5.1": "FL FR FC LFE BL BR",
    "5.1(side)": "FL FR FC LFE SL SR",
    "6.0": "FL FR FC BC SL SR",
    "6.0(front)": "FL FR FLC FRC SL SR",
    "3.1.2": "FL FR FC LFE TFL TFR",
    "hexagonal": "FL FR FC BL BR BC",
    "6.1": "FL FR FC LFE BC SL SR",
    "6.1(back)": "FL FR FC LFE BL BR BC",
    "6.1(front)": "FL FR LFE FLC FRC SL SR",
    "7.0": "FL FR FC BL BR SL SR",
    "7.0(front)": "FL FR FC FLC FRC SL SR",
    "7.1": "FL FR FC LFE BL BR SL SR",
    "7.1(wide)": "FL FR FC LFE BL BR FLC FRC",
    "7.1(wide-side)": "FL FR FC LFE FLC FRC SL SR",
    "5.1.2": "FL FR FC LFE SL SR TFL TFR",
    "5.1.2(back)": "FL FR FC LFE BL BR TFL TFR",
    "octagonal": "FL FR FC BL BR BC SL SR",
    "cube": "FL FR BL BR TFL TFR TBL TBR",
    "5.1.4": "FL FR FC LFE SL SR TFL TFR TBL TBR",
    "7.1.2": "FL FR FC LFE BL BR SL SR TFL TFR",
    "7.1.4": "FL FR FC LFE BL BR SL SR TFL TFR TBL TBR",
    "7.2.3": "FL FR FC LFE BL BR SL SR TFL TFR TBC LFE2",
    "9.1.4": "FL FR FC LFE BL BR FLC FRC SL SR TFL TFR TBL TBR",
    "9.1.6": "FL FR FC LFE BL BR FLC FRC SL SR TFL TFR TBL TBR TSL TSR",
    "hexadecagonal": "FL FR FC BL BR BC SL SR TFL TFC TFR TBL TBC TBR WL WR",
    "22.2": (
        "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR LFE2 TSL TSR BFC BFL BFR"
    ),
}
_DEFAULT_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
    24: "22.2",
}


def _channel_names(layout: str) -> list[str] | None:
    """Speaker names of an FFmpeg layout name or of its spelled-out form; None when unknown."""
    if layout in _LAYOUTS:
        return _LAYOUTS[layout].split()
    # FFmpeg describes layouts without a name as "3 channels (FL+FR+LFE)".
    _, _, inner = layout.partition("(")
    spelled = inner.rstrip(")") if " channels (" in layout else layout
    names = spelled.split("+")
    return names if len(names) > 1 and all(n.isalnum() for n in names) else None


def channel_weights(channels: int, layout: str | None = None) -> _Array:
    """Give the loudness weight of every channel (BS.1770-5 Annex 1 table 3 and Annex 3).

    LFE channels weigh 0. Speakers of the middle layer between 60 and 120 degrees to the side weigh
    1.41 (+1.5 dB), all others 1.0. FFmpeg's names are read as: SL/SR and WL/WR are always to the
    side; BL/BR are the 110 degree surrounds where a layout has no SL/SR (5.1, quad), else the 135
    degree rear pair, which weighs 1.0 (7.1); FL/FR of 22.2 stand at 60 degrees. FFmpeg's own
    ``ebur128`` filter also raises the rear pair of 7.1 and a back centre, so it can read up to
    1.5 dB more there.

    Args:
        channels: number of channels.
        layout: FFmpeg channel layout name ("5.1(side)") or list of speakers ("FL+FR+LFE"). None or
            an unknown name means: 1 mono, 2 stereo, 3 3.0, 4 quad, 5 5.0, 6 5.1, 7 6.1, 8 7.1,
            24 22.2, and weight 1.0 for every channel at any other count.

    Returns:
        Weights, shape (channels,).

    Raises:
        ValueError: a known layout with another number of channels.
    """
    names = _channel_names(layout) if layout else None
    if names is None:
        layout = _DEFAULT_LAYOUTS.get(channels)
        if layout is None:
            return np.ones(channels)
        names = _LAYOUTS[layout].split()
    if len(names) != channels:
        raise ValueError(f"layout {layout!r} has {len(names)} channels, not {channels}")
    side = {"SL", "SR", "WL", "WR", "SDL", "SDR"}
    if not {"SL", "SR"} & set(names):
        side |= {"BL", "BR"}
    if "BFC" in names:
        side |= {"FL", "FR"}
    return np.array(
        [0.0 if n.startswith("LFE") else _SURROUND_WEIGHT if n in side else 1.0 for n in names]
    )


# --- BS.1770 Annex 1: K-weighting -----------------------------------------------------------------

# Analogue prototype whose bilinear transform at 48 kHz gives the table values of BS.1770.
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_SHELF_SLOPE = 0.4996667741545416
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773
# Below this rate the bilinear transform bends the shelf audibly (0.2 dB at 1 kHz for 8 kHz audio).
_BILINEAR_FROM = 44_100
_MATCH_HZ = 1200.0


def _shelf_power(hz: float) -> float:
    """Squared magnitude of the analogue shelf at a frequency."""
    s = 1j * hz / _SHELF_HZ
    top = 10 ** (_SHELF_DB / 20)
    mid = top**_SHELF_SLOPE
    return abs((top * s * s + mid * s / _SHELF_Q + 1) / (s * s + s / _SHELF_Q + 1)) ** 2


def _k_weighting(sample_rate: int) -> _Array:
    """Two biquads (shelf, high-pass) as rows b0 b1 b2 1 a1 a2.

    At 48 kHz exactly the coefficients of BS.1770-5 Annex 1 tables 1 and 2. Elsewhere the same
    analogue prototype: bilinear from 44.1 kHz up (within 0.01 dB of each other); below that the
    shelf is matched in magnitude at 0 Hz, 1.2 kHz and half the sample rate, which keeps 8 kHz audio
    within 0.05 dB of the prototype at every frequency.
    """
    if sample_rate >= _BILINEAR_FROM:
        k = math.tan(math.pi * _SHELF_HZ / sample_rate)
        top = 10 ** (_SHELF_DB / 20)
        mid = top**_SHELF_SLOPE * k / _SHELF_Q
        a0 = 1 + k / _SHELF_Q + k * k
        shelf = [
            (top + mid + k * k) / a0,
            2 * (k * k - top) / a0,
            (top - mid + k * k) / a0,
            1.0,
            2 * (k * k - 1) / a0,
            (1 - k / _SHELF_Q + k * k) / a0,
        ]
    else:
        # Poles by impulse invariance, zeros so that |H|^2 is right at three frequencies.
        w0, damping = 2 * math.pi * _SHELF_HZ / sample_rate, 0.5 / _SHELF_Q
        a1 = -2 * math.exp(-damping * w0) * math.cos(math.sqrt(1 - damping**2) * w0)
        a2 = math.exp(-2 * damping * w0)
        w = math.pi * _MATCH_HZ / sample_rate
        c, s, x = math.cos(w) ** 2, math.sin(w) ** 2, math.sin(2 * w) ** 2
        at_0, at_top = (1 + a1 + a2) ** 2, (1 - a1 + a2) ** 2
        wanted = (at_0 * c + at_top * s - 4 * a2 * x) * _shelf_power(_MATCH_HZ)
        top_power = at_top * _shelf_power(sample_rate / 2)
        cross = (wanted - at_0 * c - top_power * s) / x
        half = (math.sqrt(at_0) + math.sqrt(top_power)) / 2
        b0 = (half + math.sqrt(half * half + cross)) / 2
        shelf = [b0, (math.sqrt(at_0) - math.sqrt(top_power)) / 2, -cross / (4 * b0), 1.0, a1, a2]

    def high_pass_a0(rate: int) -> float:
        k = math.tan(math.pi * _HIGH_PASS_HZ / rate)
        return 1 + k / _HIGH_PASS_Q + k * k

    k = math.tan(math.pi * _HIGH_PASS_HZ / sample_rate)
    a0 = high_pass_a0(sample_rate)
    # The table's numerator is 1 -2 1, a pass-band gain of +0.043 dB at 48 kHz. Keeping that gain at
    # every rate is what makes 8 kHz and 48 kHz versions of one sound read the same.
    gain = high_pass_a0(48_000) / a0
    high_pass = [
        gain,
        -2 * gain,
        gain,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / _HIGH_PASS_Q + k * k) / a0,
    ]
    return np.array([shelf, high_pass])


_CHUNK = 32  # samples filtered by one row of a matrix product
_CHUNKS = 32  # chunks per group, groups per block: start states by prefix products on both levels
_BLOCK = _CHUNK * _CHUNKS * _CHUNKS
# Rows per product: small enough that BLAS stays on the calling thread.
_ROWS = 256


class _Filter(NamedTuple):
    """Matrices that run the K-weighting recursion over one block; see `_filter_matrices`."""

    to_state: _Array  # (CHUNK, 4) samples of a chunk -> what they leave in the state
    in_group: _Array  # (4 CHUNKS, 4 CHUNKS + 4) those -> zero-start states inside the group, end
    over_groups: _Array  # (4 CHUNKS, 4 CHUNKS + 4) group ends -> start states of all groups, end
    first_state: _Array  # (4, 4 CHUNKS + 4) state before the block -> the same
    from_group: _Array  # (4, 4 CHUNKS) state at the group start -> at the chunk starts
    to_output: _Array  # (CHUNK + 4, CHUNK) samples and start state -> weighted samples


def _prefix(power: _Array, count: int) -> _Array:
    """Solve s[k+1] = s[k] @ power + u[k], s[0] = 0, for k < count as one matrix on row vectors."""
    out = np.zeros((count, 4, count + 1, 4))
    step = np.eye(4)
    for distance in range(1, count + 1):
        for j in range(count - distance + 1):
            out[j, :, j + distance] = step
        step = step @ power
    return out.reshape(4 * count, 4 * (count + 1))


def _powers(matrix: _Array, count: int) -> list[_Array]:
    out = [np.eye(4)]
    for _ in range(count):
        out.append(out[-1] @ matrix)
    return out


@lru_cache(maxsize=8)
def _filter_matrices(sample_rate: int) -> _Filter:
    """Turn the two biquads into the block matrices (state as row vector, transposed form II)."""
    (b0, b1, b2, _, a1, a2), (d0, d1, d2, _, c1, c2) = _k_weighting(sample_rate).tolist()
    in1, in2 = np.array([b1 - a1 * b0, b2 - a2 * b0]), np.array([d1 - c1 * d0, d2 - c2 * d0])
    step = np.zeros((4, 4))  # state -> next state
    step[:2, :2] = [[-a1, -a2], [1, 0]]
    step[2:, 2:] = [[-c1, -c2], [1, 0]]
    step[0, 2:] = in2
    take = np.concatenate([in1, in2 * b0])  # sample -> next state
    give = np.array([d0, 0, 1, 0])  # state -> output

    powers = _powers(step, _CHUNK)
    impulse = [d0 * b0] + [float(take @ p @ give) for p in powers[: _CHUNK - 1]]
    to_output = np.zeros((_CHUNK + 4, _CHUNK))
    for i in range(_CHUNK):
        to_output[i, i:] = impulse[: _CHUNK - i]
        to_output[_CHUNK:, i] = powers[i] @ give
    to_state = np.array([take @ powers[_CHUNK - 1 - i] for i in range(_CHUNK)])
    chunk_powers = _powers(powers[_CHUNK], _CHUNKS)
    group_powers = _powers(chunk_powers[_CHUNKS], _CHUNKS)
    matrices = _Filter(
        to_state=to_state,
        in_group=_prefix(powers[_CHUNK], _CHUNKS),
        over_groups=_prefix(chunk_powers[_CHUNKS], _CHUNKS),
        first_state=np.hstack(group_powers),
        from_group=np.hstack(chunk_powers[:_CHUNKS]),
        to_output=to_output,
    )
    for m in matrices:
        m[np.abs(m) < 1e-60] = 0.0  # nothing to hear, and subnormal numbers are slow
        m.setflags(write=False)
    return matrices


def _filter_block(f: _Filter, rows: _Array, out: _Array, state: _Array) -> _Array:
    """K-weight one block of one channel.

    Args:
        f: matrices of the sample rate.
        rows: scratch (CHUNKS**2, CHUNK + 4) with the samples in its first CHUNK columns.
        out: (CHUNKS**2, CHUNK), gets the weighted samples.
        state: (4,) state before the block.

    Returns:
        State after the block, (4,).
    """
    left = (rows[:, :_CHUNK] @ f.to_state).reshape(_CHUNKS, 4 * _CHUNKS)
    inside = left @ f.in_group
    starts = inside[:, 4 * _CHUNKS :].reshape(-1) @ f.over_groups + state @ f.first_state
    at_groups = starts.reshape(_CHUNKS + 1, 4)
    at_chunks = inside[:, : 4 * _CHUNKS] + at_groups[:_CHUNKS] @ f.from_group
    rows[:, _CHUNK:] = at_chunks.reshape(-1, 4)
    np.matmul(rows.reshape(-1, _ROWS, _CHUNK + 4), f.to_output, out=out.reshape(-1, _ROWS, _CHUNK))
    after = at_groups[_CHUNKS]
    return np.where(np.abs(after) < 1e-30, 0.0, after)


# --- BS.1770 Annex 2: true peak -------------------------------------------------------------------

_OVERSAMPLING = 4  # at every rate; the Annex lets it fall with higher ones
_TAPS = 32  # per phase
_LOOK = _TAPS - 1  # samples of history one interpolation window needs
_KAISER_BETA = 6.0  # flat within 0.02 dB to 0.44 of the sample rate
_PEAK_ROW = 16  # window starts evaluated by one row of a matrix product
_PEAK_GROUP = 128  # window starts accepted or skipped together
_PEAK_GROUPS_AT_ONCE = 24


@lru_cache(maxsize=1)
def _peak_filter() -> tuple[_Array, float]:
    """Interpolator between samples: (matrix of one row, bound sum|h| of its gain)."""
    at = np.arange(_TAPS)
    phases = []
    for p in range(1, _OVERSAMPLING):
        away = at - (_TAPS // 2 - 1 + p / _OVERSAMPLING)
        window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (2 * away / _TAPS) ** 2, 0, None)))
        h = np.sinc(away) * window
        phases.append(h / h.sum())
    matrix = np.zeros((_PEAK_ROW + _LOOK, _PEAK_ROW, _OVERSAMPLING - 1))
    for start in range(_PEAK_ROW):
        for p, h in enumerate(phases):
            matrix[start : start + _TAPS, start, p] = h
    # The bound is raised by far more than rounding can lower it.
    bound = max(float(np.abs(h).sum()) for h in phases) * (1 + 1e-9)
    out = matrix.reshape(_PEAK_ROW + _LOOK, -1)
    out.setflags(write=False)
    return out, bound


def _raise_peak(x: _Array, peak: float) -> float:
    """Give the larger of `peak` and the highest interpolated value between the samples of `x`.

    Args:
        x: (LOOK + n,) samples of one channel, n a multiple of PEAK_GROUP: all windows of TAPS
            samples that start in the first n samples are evaluated, or skipped where the bound
            proves that they stay below.
        peak: highest absolute value known so far, at least that of the samples themselves.
    """
    matrix, bound = _peak_filter()
    n = x.size - _LOOK
    if bound * max(float(x.max()), -float(x.min())) <= peak:
        return peak
    size = np.abs(x)
    top = np.append(size[:n].reshape(-1, _PEAK_GROUP).max(axis=1), size[n:].max())
    reach = bound * np.maximum(top[:-1], top[1:])  # a window ends at most in the next group
    order = np.flatnonzero(reach > peak)
    order = order[np.argsort(-reach[order])]
    windows = sliding_window_view(x, _PEAK_ROW + _LOOK)[::_PEAK_ROW]
    windows = windows.reshape(-1, _PEAK_GROUP // _PEAK_ROW, _PEAK_ROW + _LOOK)
    for i in range(0, order.size, _PEAK_GROUPS_AT_ONCE):
        if reach[order[i]] <= peak:
            break  # the rest reaches even less far
        chosen = windows[order[i : i + _PEAK_GROUPS_AT_ONCE]].reshape(-1, _PEAK_ROW + _LOOK)
        between = chosen @ matrix
        peak = max(peak, float(between.max()), -float(between.min()))
    return peak


# --- Results --------------------------------------------------------------------------------------

_SILENCE = -math.inf
_BINS = 100  # energy bins per second
_MOMENTARY_BINS, _SHORT_TERM_BINS = 40, 300
_HOP_BINS = 10  # gating hop of 100 ms
_MOMENTARY_HOPS, _SHORT_TERM_HOPS = 4, 30
_ABSOLUTE_GATE, _RELATIVE_GATE, _RANGE_GATE = -70.0, -10.0, -20.0
_CURVE_POINTS = 2000


def _lufs(mean_square: float) -> float:
    """Loudness of a weighted mean square (BS.1770 Annex 1 equation 2)."""
    return -0.691 + 10 * math.log10(mean_square) if mean_square > 0 else _SILENCE


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)


def _db(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else _SILENCE


class Curve(NamedTuple):
    """Short-term loudness over time, for pictures.

    One value per 100 ms (the 3 s before it, or all there is before 3 s have passed), in streams
    longer than 200 s fewer: neighbours are merged by their mean energy so that at most 2,000
    remain. Times are the ends of the measured spans. Empty before the first 100 ms.
    """

    times_s: _Array
    lufs: _Array


@dataclass(frozen=True)
class Loudness:
    """What a meter read. Silence is -inf; loudness in LUFS, peaks in dB relative to full scale.

    Two results compare equal by their numbers; the curve is left out of the comparison.

    Attributes:
        integrated_lufs: gated programme loudness (BS.1770-5 Annex 1). For streams shorter than
            0.4 s: of one block as long as the stream.
        momentary_max_lufs: highest 400 ms loudness (Tech 3341), windows at 10 ms steps. For shorter
            streams: of the whole stream.
        short_term_max_lufs: highest 3 s loudness (Tech 3341), windows at 10 ms steps. For shorter
            streams: of the whole stream.
        lra_lu: loudness range (Tech 3342) from 3 s windows at 100 ms steps; 0.0 for streams too
            short or too quiet to have one.
        true_peak_dbtp: highest value of the oversampled signal over all channels, LFE included
            (BS.1770-5 Annex 2).
        sample_peak_dbfs: highest sample over all channels.
        duration_s: length of the stream.
        curve: short-term loudness over time.
    """

    integrated_lufs: float
    momentary_max_lufs: float
    short_term_max_lufs: float
    lra_lu: float
    true_peak_dbtp: float
    sample_peak_dbfs: float
    duration_s: float
    curve: Curve = field(compare=False, repr=False)

    def to_json_dict(self) -> dict[str, Any]:
        """Give JSON-safe values: -inf as None, levels to 0.01 dB, times to 1 ms.

        The curve is {"times_s": [...], "lufs": [...]}.
        """

        def level(value: float) -> float | None:
            return round(value, 2) if math.isfinite(value) else None

        return {
            "integrated_lufs": level(self.integrated_lufs),
            "momentary_max_lufs": level(self.momentary_max_lufs),
            "short_term_max_lufs": level(self.short_term_max_lufs),
            "lra_lu": level(self.lra_lu),
            "true_peak_dbtp": level(self.true_peak_dbtp),
            "sample_peak_dbfs": level(self.sample_peak_dbfs),
            "duration_s": round(self.duration_s, 3),
            "curve": {
                "times_s": [round(t, 3) for t in self.curve.times_s.tolist()],
                "lufs": [level(v) for v in self.curve.lufs.tolist()],
            },
        }


def _moving_sum(values: _Array, width: int) -> _Array:
    """Sums of `width` neighbours without the cancellation a difference of running sums has."""
    if values.size < width:
        return np.zeros(0)
    out = np.zeros(values.size - width + 1)
    for i in range(width):
        out += values[i : i + out.size]
    return out


def _integrated(power: _Array) -> float:
    """Two-stage gating of 400 ms block powers (BS.1770-5 Annex 1 equations 4 to 7)."""
    loud = power[power > _power(_ABSOLUTE_GATE)]
    if not loud.size:
        return _SILENCE
    # Never empty: some block is at least as loud as the mean of all.
    return _lufs(float(loud[loud > loud.mean() * 10 ** (_RELATIVE_GATE / 10)].mean()))


def _range(power: _Array) -> float:
    """Loudness range of 3 s powers: 10th to 95th percentile above both gates (Tech 3342)."""
    loud = power[power > _power(_ABSOLUTE_GATE)]
    if not loud.size:
        return 0.0
    loud = np.sort(loud[loud > loud.mean() * 10 ** (_RANGE_GATE / 10)])
    low, high = (loud[math.floor((loud.size - 1) * p + 0.5)] for p in (0.10, 0.95))
    return 10 * math.log10(high / low)


def _curve(hops: _Array, edges: _Array, sample_rate: int) -> Curve:
    """Short-term curve from the energies of 100 ms hops and their borders in samples."""
    if not hops.size:
        return Curve(np.zeros(0), np.zeros(0))
    energy = np.concatenate(
        [np.cumsum(hops[: _SHORT_TERM_HOPS - 1]), _moving_sum(hops, _SHORT_TERM_HOPS)]
    )
    first = np.maximum(np.arange(hops.size) - (_SHORT_TERM_HOPS - 1), 0)
    power = energy / (edges[1:] - edges[first])
    starts = np.arange(0, hops.size, -(-hops.size // _CURVE_POINTS))
    ends = np.append(starts[1:], hops.size)
    power = np.add.reduceat(power, starts) / (ends - starts)
    with np.errstate(divide="ignore"):
        curve = Curve(edges[ends] / sample_rate, -0.691 + 10 * np.log10(power))
    for part in curve:
        part.setflags(write=False)
    return curve


# --- Meter ----------------------------------------------------------------------------------------


class LoudnessMeter:
    """Loudness meter fed with decoded samples, in constant memory.

    Implements ITU-R BS.1770-5 (K-weighting, channel weights, gating, true peak), EBU Tech 3341
    (momentary and short-term maxima) and EBU Tech 3342 (loudness range). A mono stream is one
    channel of weight 1.0, as the Recommendation has it (3 dB less than the same sound on two
    channels).

    True peak is read from 4x oversampling at every rate, with silence before and after the stream.
    Like any 4x meter it can read a tone locked to the sample rate low: by up to 0.17 dB at a
    quarter of that rate and 0.3 dB at a third. Loudness uses whole 10 ms spans and, for gating,
    whole 100 ms hops: what is left at the end of a stream of 0.4 s or more does not count, as the
    Recommendation asks for gating.

    Memory: about 270 kB per channel, 2 MB of tables and work space, and 288 kB per hour of audio.
    One meter is for one stream and one thread at a time.
    """

    def __init__(self, sample_rate: int, channels: int, layout: str | None = None) -> None:
        """Start a meter.

        Args:
            sample_rate: in Hz, 8,000 to 768,000.
            channels: 1 to 64.
            layout: FFmpeg channel layout; see `channel_weights` for None and unknown names.

        Raises:
            ValueError: a rate or channel count out of range, or one that the layout contradicts.
        """
        if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE or sample_rate != int(sample_rate):
            raise ValueError(
                f"sample rate {sample_rate} Hz is not a whole number from "
                f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}"
            )
        if not 1 <= channels <= MAX_CHANNELS or channels != int(channels):
            raise ValueError(f"{channels} channels: not a whole number from 1 to {MAX_CHANNELS}")
        self._rate = int(sample_rate)
        self._channels = int(channels)
        self._weights = channel_weights(self._channels, layout)
        self._matrices = _filter_matrices(self._rate)

        # Work space; holds nothing between calls.
        self._rows = np.empty((_CHUNKS * _CHUNKS, _CHUNK + 4))
        self._weighted = np.empty((_CHUNKS * _CHUNKS, _CHUNK))
        # History for the interpolator, then the samples not yet measured.
        self._input = np.zeros((self._channels, _LOOK + _BLOCK))
        self._filled = 0
        # What has been measured. Replaced, never changed in place (except `_hops`), so that a
        # shallow copy can run ahead of the stream.
        self._measured = 0
        self._state = np.zeros((self._channels, 4))
        self._bins = 0
        self._open_bin = 0.0
        self._recent = np.zeros(0)
        self._momentary = 0.0
        self._short_term = 0.0
        self._open_hop = np.zeros(0)
        self._hops = array("d")
        self._total = 0.0
        self._sample_peak = 0.0
        self._true_peak = 0.0

    def feed(self, block: np.ndarray) -> None:
        """Take the next samples of the stream.

        Args:
            block: float32 or float64, shape (channels, samples), full scale +-1.0 (more is fine),
                any number of samples. It is copied.

        Raises:
            ValueError: wrong type or shape, or a value that is not audio (NaN, infinite, or beyond
                +-1e12), with the second it stands at. The block is then left out as a whole and
                the meter stays usable.
        """
        if not isinstance(block, np.ndarray) or block.dtype.kind != "f":
            got = block.dtype if isinstance(block, np.ndarray) else type(block).__name__
            raise ValueError(f"samples must be a float32 or float64 array, not {got}")
        if block.dtype.itemsize not in (4, 8):
            raise ValueError(f"samples must be float32 or float64, not {block.dtype}")
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise ValueError(
                f"samples must have shape ({self._channels}, n): channels first, not {block.shape}"
            )
        count = block.shape[1]
        if not count:
            return
        peak = max(float(block.max()), -float(block.min()))
        if not peak <= _MAX_SAMPLE:
            self._refuse(block)
        self._sample_peak = max(self._sample_peak, peak)
        taken = 0
        while taken < count:
            step = min(_BLOCK - self._filled, count - taken)
            at = _LOOK + self._filled
            self._input[:, at : at + step] = block[:, taken : taken + step]
            self._filled += step
            taken += step
            if self._filled == _BLOCK:
                self._measure(self._input, _BLOCK)
                self._input[:, :_LOOK] = self._input[:, _BLOCK:]
                self._filled = 0

    def result(self) -> Loudness:
        """Read the meter. May be called at any time, also before the first sample.

        The stream is not disturbed: feeding may go on, and later results are the same as without
        the call. Costs about as much as measuring 32,768 samples, plus some milliseconds per ten
        hours of stream.
        """
        return self._ended()._read()

    def _ended(self) -> Self:
        """Return a meter that has measured all that was fed, as the end of the stream."""
        ahead = copy.copy(self)
        ahead._hops = self._hops[:]
        rest = np.zeros_like(self._input)
        end = _LOOK + self._filled
        rest[:, :end] = self._input[:, :end]
        ahead._measure(rest, self._filled)
        # Windows that start in the last samples of a nearly full block.
        tail = np.zeros((self._channels, _LOOK + _PEAK_GROUP))
        tail[:, :_LOOK] = rest[:, _BLOCK:]
        for channel in tail:
            ahead._true_peak = _raise_peak(channel, ahead._true_peak)
        return ahead

    def _refuse(self, block: np.ndarray) -> None:
        """Say where the first value is that is not audio."""
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(block) <= _MAX_SAMPLE)
        at = int(bad.any(axis=0).argmax())
        channel = int(bad[:, at].argmax())
        second = (self._measured + self._filled + at) / self._rate
        raise ValueError(
            f"sample {float(block[channel, at])!r} in channel {channel} at {second:.6f} s "
            f"is not audio: samples must be finite and within +-{_MAX_SAMPLE:g}"
        )

    def _measure(self, x: _Array, count: int) -> None:
        """Measure `count` new samples; x is (channels, LOOK + BLOCK), zero after them."""
        peak = max(self._true_peak, self._sample_peak)
        for channel in x:
            peak = _raise_peak(channel, peak)
        self._true_peak = peak
        if not count:
            return

        # Borders of the 10 ms bins that end within these samples.
        begin, end = self._measured, self._measured + count
        last = ((end + 1) * _BINS - 1) // self._rate
        borders = self._borders(self._bins + 1, last + 1)
        complete = borders.size > 0 and int(borders[-1]) == end
        cuts = np.append(0, borders[:-1] if complete else borders) - begin
        cuts[0] = 0
        energy = np.zeros(cuts.size)
        state = np.zeros_like(self._state)
        flat = self._weighted.reshape(-1)
        for c, weight in enumerate(self._weights.tolist()):
            if not weight:
                continue
            self._rows[:, :_CHUNK] = x[c, _LOOK:].reshape(-1, _CHUNK)
            state[c] = _filter_block(self._matrices, self._rows, self._weighted, self._state[c])
            np.multiply(flat, flat, out=flat)
            energy += weight * np.add.reduceat(flat[:count], cuts)
        self._state = state
        self._measured = end
        self._total += float(energy.sum())
        energy[0] += self._open_bin
        if complete:
            self._open_bin = 0.0
        else:
            self._open_bin = float(energy[-1])
            energy = energy[:-1]
        self._add_bins(energy)

    def _borders(self, first: int, stop: int) -> NDArray[np.int64]:
        """Positions in samples where bins first..stop-1 begin; exact at every sample rate."""
        return np.arange(first, stop, dtype=np.int64) * self._rate // _BINS

    def _add_bins(self, energy: _Array) -> None:
        """Take the energies of complete 10 ms bins: sliding maxima, and sums per 100 ms."""
        if not energy.size:
            return
        values = np.concatenate([self._recent, energy])
        oldest = self._bins - self._recent.size
        self._bins += energy.size
        borders = self._borders(oldest, self._bins + 1)
        running = np.concatenate([[0.0], np.cumsum(values)])

        def highest(width: int) -> float:
            if values.size < width:
                return 0.0
            power = (running[width:] - running[:-width]) / (borders[width:] - borders[:-width])
            return float(power.max())

        self._momentary = max(self._momentary, highest(_MOMENTARY_BINS))
        self._short_term = max(self._short_term, highest(_SHORT_TERM_BINS))
        self._recent = values[-(_SHORT_TERM_BINS - 1) :]

        waiting = np.concatenate([self._open_hop, energy])
        whole = waiting.size - waiting.size % _HOP_BINS
        self._hops.frombytes(waiting[:whole].reshape(-1, _HOP_BINS).sum(axis=1).tobytes())
        self._open_hop = waiting[whole:]

    def _whole(self) -> float:
        """Power of the whole stream."""
        return self._total / self._measured if self._measured else 0.0

    def _windows(self, width: int) -> _Array:
        """Powers of windows of so many 100 ms hops."""
        hops = np.array(self._hops)
        if hops.size < width:
            return np.zeros(0)
        edges = self._edges()
        return _moving_sum(hops, width) / (edges[width:] - edges[:-width])

    def _edges(self) -> NDArray[np.int64]:
        """Borders of the hops in samples."""
        return np.arange(len(self._hops) + 1, dtype=np.int64) * _HOP_BINS * self._rate // _BINS

    def _gating_blocks(self) -> _Array:
        """Powers of the gating blocks; of the whole stream if it is shorter than one."""
        blocks = self._windows(_MOMENTARY_HOPS)
        return blocks if blocks.size else np.array([self._whole()])

    def _read(self) -> Loudness:
        """Put the numbers together; everything fed has been measured."""
        whole = self._whole()
        return Loudness(
            integrated_lufs=_integrated(self._gating_blocks()),
            momentary_max_lufs=_lufs(self._momentary if self._bins >= _MOMENTARY_BINS else whole),
            short_term_max_lufs=_lufs(
                self._short_term if self._bins >= _SHORT_TERM_BINS else whole
            ),
            lra_lu=_range(self._windows(_SHORT_TERM_HOPS)),
            true_peak_dbtp=_db(self._true_peak),
            sample_peak_dbfs=_db(self._sample_peak),
            duration_s=self._measured / self._rate,
            curve=_curve(np.array(self._hops), self._edges().astype(np.float64), self._rate),
        )


def joint_loudness(meters: Sequence[LoudnessMeter]) -> tuple[float, float]:
    """Read several meters as one: the gating blocks of all streams together.

    No block reaches from one stream into the next, so the streams may have any rates and layouts.

    Args:
        meters: one per stream, each fed to its end; at least one.

    Returns:
        Integrated loudness in LUFS, and the highest true peak in dBTP.
    """
    ended = [meter._ended() for meter in meters]
    blocks = np.concatenate([meter._gating_blocks() for meter in ended])
    return _integrated(blocks), _db(max(meter._true_peak for meter in ended))


def measure_blocks(
    blocks: Iterable[np.ndarray], sample_rate: int, channels: int, layout: str | None = None
) -> Loudness:
    """Measure a whole stream given as consecutive blocks; see `LoudnessMeter`.

    Args:
        blocks: arrays as `LoudnessMeter.feed` takes them; read once, one at a time.
        sample_rate: in Hz.
        channels: number of channels.
        layout: FFmpeg channel layout, or None.

    Raises:
        ValueError: as `LoudnessMeter` and `LoudnessMeter.feed` do.
    """
    meter = LoudnessMeter(sample_rate, channels, layout)
    for block in blocks:
        meter.feed(block)
    return meter.result()
