"""Loudness and peaks of a finished mix.

Here: one gain that brings it to the loudness asked for, and a limiter for what is then too high.
Not here: mastering of other people's music (``masters``), the meter (``media.loudness``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from av_pipelines.media.loudness import Loudness, measure_blocks

CEILING_DBTP = -1.0
_AIM_DB = -1.2  # peaks between samples are a little higher than those that are limited
_CELL = 64  # samples that share a step of the gain
# Cells that the gain takes to come and to go: 0.1 s, and less for what is to be very loud.
_REACHES = (75, 12, 2)
_TURNS = 6
_NEAR_LU = 0.1


class Levelled(NamedTuple):
    """A mix at its level."""

    mix: NDArray[np.float32]
    gain: float
    """The one factor, before limiting."""
    reduction_db: float
    """The most that the limiter took."""
    loudness: Loudness


def level(mix: NDArray[np.float32], rate: int, lufs: float, *, loop: bool) -> Levelled:
    """Bring a mix of shape (channels, samples) to a loudness, its true peak to -1 dBTP at most.

    Args:
        mix: changed in place.
        rate: in Hz.
        lufs: integrated loudness to reach.
        loop: the limiter's gain goes round too.

    Raises:
        ValueError: the mix is silent.
    """
    measured = measure_blocks([mix], rate, mix.shape[0])
    if not np.isfinite(measured.integrated_lufs):
        raise ValueError("the mix is silent: it has no loudness to be changed")
    gain = _linear(lufs - measured.integrated_lufs)
    if measured.true_peak_dbtp + lufs - measured.integrated_lufs <= CEILING_DBTP:
        mix *= np.float32(gain)
        return Levelled(mix, gain, 0.0, measure_blocks([mix], rate, mix.shape[0]))
    for reach in _REACHES[:-1]:
        levelled = _squeezed(mix, rate, lufs, measured.integrated_lufs, reach, loop)
        if abs(levelled.loudness.integrated_lufs - lufs) < _NEAR_LU:
            return levelled
    return _squeezed(mix, rate, lufs, measured.integrated_lufs, _REACHES[-1], loop)


def _squeezed(
    mix: NDArray[np.float32], rate: int, lufs: float, before: float, reach: int, loop: bool
) -> Levelled:
    """Look for the gain with which the mix, limited, is as loud as it should be (by secants)."""
    peaks, ceiling_db = _peaks(mix), _AIM_DB
    gain_db, known = lufs - before, (0.0, before)
    turn = 0
    while True:
        turn += 1
        gain = _linear(gain_db)
        curve = _limited(peaks * gain, _linear(ceiling_db), reach, loop)
        limited = mix * _joined(gain * curve, mix.shape[-1], loop)
        seen = measure_blocks([limited], rate, mix.shape[0])
        over = max(0.0, seen.true_peak_dbtp - CEILING_DBTP)
        missing = lufs - seen.integrated_lufs
        if not over and (turn >= _TURNS or abs(missing) < _NEAR_LU):
            return Levelled(limited, gain, -20 * float(np.log10(curve.min())), seen)
        ceiling_db -= over + 0.02 * (over > 0)
        slope = (seen.integrated_lufs - known[1]) / (gain_db - known[0] or 1.0)
        known = (gain_db, seen.integrated_lufs)
        gain_db += missing / min(max(slope, 0.25), 1.0)


def _linear(db: float) -> float:
    return 10 ** (db / 20)


def _peaks(mix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the highest sample of each cell, all channels together."""
    starts = np.arange(0, mix.shape[-1], _CELL)
    high, low = mix.max(axis=0), mix.min(axis=0)
    return np.maximum(np.maximum.reduceat(high, starts), -np.minimum.reduceat(low, starts)).astype(
        np.float64
    )


def _limited(
    peaks: NDArray[np.float64], ceiling: float, reach: int, loop: bool
) -> NDArray[np.float64]:
    """Return the gain at each cell: smooth, and never above what the cells around it allow.

    A sliding minimum over twice the reach, then an average over it (a Hann window): every value is
    a mean of gains that are all low enough for this cell and its neighbours.
    """
    from scipy.ndimage import convolve1d, minimum_filter1d

    mode = "wrap" if loop else "nearest"
    allowed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    lowest = minimum_filter1d(allowed, 2 * reach + 3, mode=mode)
    window = np.hanning(2 * reach + 3)
    return convolve1d(lowest, window / window.sum(), mode=mode)


def _joined(curve: NDArray[np.float64], count: int, loop: bool) -> NDArray[np.float32]:
    """Return the gain at each sample, by lines between the middles of the cells."""
    middles = np.arange(curve.size) * _CELL + _CELL / 2
    at = np.arange(count, dtype=np.float64)
    gains = np.interp(at, middles, curve, period=count if loop else None)
    return gains.astype(np.float32)
