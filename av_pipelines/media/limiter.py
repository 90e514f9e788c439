"""A look-ahead true-peak limiter that works in blocks, in constant memory.

Here: how much gain a stream may have at every moment so that its true peak stays under a ceiling,
and applying it. Not here: how loud the programme should be (``levelling``), files, other effects.

How it works, for whoever changes it:

* The stream is cut into cells of about 1/3 ms, counted from its first sample. All decisions are
  made per cell; only the product of signal and gain is made per sample.
* The true peak of a cell is the largest of 16 interpolated values per sample interval, by two
  interpolators (see ``_interpolators``). They run as matrix products, and only over cells that may
  exceed the ceiling: first those where ``sum|h| * local sample maximum`` does, and of them those
  where the values at 4x oversampling come near it (``_Peaks``). Both bounds are proofs, so the
  cells left out need no gain reduction.
* Gain = sliding minimum over the look-ahead, exponential release, a Hann-shaped average over the
  look-ahead, and cubic B-splines between cells. Every step is a convex combination of values that
  are low enough for the peak, so the ceiling holds, and the curve has two continuous derivatives,
  so nothing clicks.
* Input is collected into fixed internal blocks: the result does not depend on how it was cut.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["Reduction", "TruePeakLimiter"]

_CELLS = 1024  # cells in an internal block
_CELL_HZ = 3000  # about as many cells in a second
_CURVE_CELLS = 128  # cells in a step of the curve of what was done
_TAPS = 32  # of the interpolators, per phase
_PHASES = 16  # interpolated values per sample interval: within 0.03 dB of the peak at 0.45 fs
_ROUGH = 4  # the same, where only cells near the ceiling are looked for
_AT_ONCE = 2**18  # products in a matrix product: few enough that BLAS stays on this thread

# The limiter aims this far under the ceiling, for what lies between the phases and for the small
# side bands of a moving gain.
_MARGIN_DB = 0.03
# Gain reductions below this (1e-5 dB) end: the rest of a release tail is not worth a product.
_NOTHING = 1e-6


class _Peaks(NamedTuple):
    """How the true peaks of cells are found, roughly and then finely.

    Attributes:
        rough: (cell + taps - 1, 4 * cell + 1) matrix: samples from 15 before a cell to 16 after it
            → its samples and three values between any two, to the first sample of the next cell.
        fine: (cell + taps - 1, 2 * phases * cell) matrix: the same → the values that count.
        bound: the largest ``sum|h|`` of the fine filters.
        beyond: how far a fine value may exceed the larger of its two rough neighbours, as a part of
            the local sample maximum: the largest ``sum|h - line between the neighbours|``.
    """

    rough: NDArray[np.float32]
    fine: NDArray[np.float32]
    bound: float
    beyond: float


@lru_cache(maxsize=8)
def _interpolators(cell: int) -> _Peaks:
    """Build the filters for a cell size.

    BS.1770-5 Annex 2 leaves the interpolation filter open, and meters differ close to half the
    sample rate. What must hold on every meter is limited by two of them: a windowed sinc that is
    flat to 0.44 of the sample rate (Kaiser, beta 6: the one of ``media.loudness``) and a softer one
    (Kaiser, beta 9: the default of FFmpeg's resampler, on which its ``ebur128`` meter rests).
    """
    width = cell + _TAPS - 1

    def value(at: float, beta: float) -> NDArray[np.float64]:
        """Filter that gives the value ``at`` so many samples after a cell's first, (width,)."""
        start = min(int(at), cell - 1)
        away = np.arange(_TAPS) - (_TAPS // 2 - 1 + at - start)
        window = np.i0(beta * np.sqrt(np.clip(1 - (2 * away / _TAPS) ** 2, 0, None)))
        h = np.sinc(away) * window
        return np.pad(h / h.sum(), (start, width - start - _TAPS))

    rough = np.array([value(k / _ROUGH, 6.0) for k in range(_ROUGH * cell + 1)])
    fine, bound, beyond = [], 0.0, 0.0
    for beta in (6.0, 9.0):
        for k in range(_PHASES * cell):
            h = value(k / _PHASES, beta)
            before, part = divmod(k * _ROUGH / _PHASES, 1)
            line = (1 - part) * rough[int(before)] + part * rough[int(before) + 1]
            fine.append(h)
            bound = max(bound, float(np.abs(h).sum()))
            beyond = max(beyond, float(np.abs(h - line).sum()))
    matrices = [np.array(m).T.astype(np.float32) for m in (rough, fine)]
    for matrix in matrices:
        matrix.setflags(write=False)
    # Raised by far more than rounding can lower them.
    return _Peaks(matrices[0], matrices[1], bound * (1 + 1e-5), beyond + 1e-5)


@lru_cache(maxsize=8)
def _spline(cell: int) -> NDArray[np.float32]:
    """Cubic B-spline weights, (4, cell): values at cells k-1 … k+2 → gain over cell k."""
    u = (np.arange(cell) + 0.5) / cell
    weights = [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]
    return (np.array(weights) / 6).astype(np.float32)


@dataclass(frozen=True)
class Reduction:
    """What a limiter has done.

    Attributes:
        max_db: largest gain reduction, in dB, 0 or more.
        mean_db: gain reduction averaged over the whole programme, in dB.
        step_s: time between values of ``curve_db``.
        curve_db: largest gain reduction in each step, in dB, shape (steps,).
    """

    max_db: float
    mean_db: float
    step_s: float
    curve_db: NDArray[np.float32]


class TruePeakLimiter:
    """Keep the true peak of a stream (BS.1770-5 Annex 2) under a ceiling; channels are linked.

    Feed blocks to ``process`` and end with ``flush``: together they return exactly as many samples
    as went in, aligned with them (the latency is inside). Where nothing reaches the ceiling the
    samples come out unchanged but for the gain. One limiter is for one stream.

    Memory at 48 kHz: about 70 kB per channel, 1 MB of tables and work space, 340 kB per hour.

    Args:
        sample_rate: in Hz.
        channels: 1 or more.
        ceiling_dbtp: in dB relative to full scale.
        gain_db: given to the stream before it is limited.
        lookahead_ms: time over which the gain goes down before a peak.
        release_ms: time constant with which it comes back.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int,
        ceiling_dbtp: float,
        *,
        gain_db: float = 0.0,
        lookahead_ms: float = 5.0,
        release_ms: float = 100.0,
    ) -> None:
        self._cell = 2 ** max(2, round(math.log2(sample_rate / _CELL_HZ)))
        self._rate = sample_rate
        self._before = np.float32(10 ** (gain_db / 20))
        self._ceiling = 10 ** ((ceiling_dbtp - _MARGIN_DB) / 20)
        self._peaks = _interpolators(self._cell)
        self._block = _CELLS * self._cell

        smooth = max(2, round(lookahead_ms / 1000 * sample_rate / self._cell))
        window = np.hanning(smooth + 3)[1:-1]
        self._smoothing = window / window.sum()
        # A value of the smoothed curve reaches the cells from one before to two after it; so the
        # minimum covers the look-ahead and those, and what is smoothed is low enough for them.
        self._window = smooth + 4
        self._decay = math.exp(-self._cell / (sample_rate * release_ms / 1000))
        self._powers = self._decay ** np.arange(_CELLS + 1)

        # Cells between a cell's first sample and the moment its gain can be known: what the
        # interpolators look ahead, the minimum's window, and the spline's reach.
        self._after = -(-(_TAPS // 2) // self._cell)
        self._look = (self._cell + _TAPS - 2) // self._cell  # cells an interpolator reaches into
        self._latency_cells = self._after + smooth + 3
        # Input: samples that interpolators or output still need, then room for one block.
        self._kept = self._latency_cells * self._cell + _TAPS
        self._input = np.zeros((channels, self._kept + self._block), dtype=np.float32)
        self._filled = 0
        # Per cell: allowed gain, released reduction and smoothed gain that later cells look at.
        self._allowed = np.ones(self._window - 1)
        self._reduction = 0.0
        self._released = np.ones(smooth)
        self._smoothed = np.ones(3)

        self._taken = 0
        self._given = 0
        self._next_cell = -self._latency_cells  # first cell of the next block that comes out
        self._deepest = 0.0
        self._sum_db = 0.0
        self._curve = array("f")

    def process(self, block: np.ndarray) -> NDArray[np.float32]:
        """Take the next samples and return those that are done (may be none).

        Args:
            block: float samples of shape (channels, samples), any number.

        Raises:
            ValueError: a value that is not finite, or another number of channels.
        """
        channels = self._input.shape[0]
        if block.ndim != 2 or block.shape[0] != channels:
            raise ValueError(f"samples must have shape ({channels}, n), not {block.shape}")
        self._refuse_not_finite(block)
        count = block.shape[1]
        self._taken += count
        done = []
        at = 0
        while at < count:
            step = min(self._block - self._filled, count - at)
            to = self._kept + self._filled
            np.multiply(block[:, at : at + step], self._before, out=self._input[:, to : to + step])
            self._filled += step
            at += step
            if self._filled == self._block:
                done.append(self._limit())
                self._filled = 0
        return self._joined(done)

    def flush(self) -> NDArray[np.float32]:
        """Return the samples still inside; the stream is over."""
        done = []
        while self._given < self._taken:
            self._input[:, self._kept + self._filled :] = 0
            done.append(self._limit())
            self._filled = 0
        return self._joined(done)

    def reduction(self) -> Reduction:
        """Say what has been done so far (to the whole stream, once it is flushed)."""
        cells = -(-self._given // self._cell)
        return Reduction(
            max_db=self._deepest,
            mean_db=self._sum_db / cells if cells else 0.0,
            step_s=_CURVE_CELLS * self._cell / self._rate,
            curve_db=np.array(self._curve, dtype=np.float32),
        )

    def _joined(self, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((self._input.shape[0], 0), np.float32), *parts], axis=1)

    def _refuse_not_finite(self, block: np.ndarray) -> None:
        if not block.size or math.isfinite(float(block.max()) - float(block.min())):
            return
        bad = ~np.isfinite(block)
        at = int(bad.any(axis=0).argmax())
        channel = int(bad[:, at].argmax())
        raise ValueError(
            f"sample {float(block[channel, at])!r} in channel {channel} at "
            f"{(self._taken + at) / self._rate:.6f} s is not audio: samples must be finite"
        )

    def _limit(self) -> NDArray[np.float32]:
        """Limit one internal block; returns what is done, in an array of its own."""
        # Which of the cells that come out hold samples of the stream: not the silence put before
        # and after it.
        first = max(0, -self._next_cell)
        stop = min(_CELLS, -(-self._taken // self._cell) - self._next_cell)
        peaks = self._envelope()
        if self._next_cell == -self._latency_cells:
            self._raise_at_start(peaks)
        gain = self._gain(peaks, slice(first, stop))
        start = _TAPS + first * self._cell
        count = min(self._block - first * self._cell, self._taken - self._given)
        out = self._input[:, start : start + count].copy()
        if gain is not None:
            out *= gain[first * self._cell :][:count]
        self._input[:, : self._kept] = self._input[:, self._block :].copy()
        self._next_cell += _CELLS
        self._given += count
        return out

    def _envelope(self) -> NDArray[np.float64]:
        """True peak of each new cell over all channels; 0 where it cannot reach the ceiling."""
        cell, ceiling, how = self._cell, self._ceiling, self._peaks
        first = self._kept - self._after * cell - (_TAPS // 2 - 1)
        x = self._input[:, first : first + self._block + _TAPS - 1]
        peaks = np.zeros((x.shape[0], _CELLS))
        if how.bound * max(float(x.max()), -float(x.min())) <= ceiling:
            return peaks[0]
        # Local maxima: of each cell, then of the cells that its interpolators look at.
        size = np.abs(x)
        inside = size[:, : self._block].reshape(-1, _CELLS, cell).max(axis=2)
        after = size[:, self._block :].max(axis=1, keepdims=True)
        inside = np.concatenate([inside, np.repeat(after, self._look, axis=1)], axis=1)
        reach = sliding_window_view(inside, self._look + 1, axis=1).max(axis=2)
        windows = sliding_window_view(x, cell + _TAPS - 1, axis=1)[:, ::cell]
        loud = np.nonzero(how.bound * reach > ceiling)
        near = _highest(windows, loud, how.rough) + how.beyond * reach[loud] > ceiling
        loud = loud[0][near], loud[1][near]
        peaks[loud] = _highest(windows, loud, how.fine)
        return peaks.max(axis=0)

    def _raise_at_start(self, peaks: NDArray[np.float64]) -> None:
        """Count the peaks of the first cells also as they are with the stream mirrored before it.

        A stream may start in the middle of a wave. Meters and converters put silence before it, or
        mirror it there (FFmpeg's resampler); between the first samples that gives other peaks.
        """
        cell, history = self._cell, _TAPS // 2 - 1
        cells = -(-history // cell)
        start = self._input[:, self._kept :]
        mirrored = np.concatenate([start[:, history:0:-1], start], axis=1)
        x = mirrored[:, : cells * cell + _TAPS - 1]
        windows = sliding_window_view(x, cell + _TAPS - 1, axis=1)[:, ::cell]
        every = np.nonzero(np.ones(windows.shape[:2]))
        found = _highest(windows, every, self._peaks.fine).reshape(-1, cells).max(axis=0)
        new = slice(self._after, self._after + cells)
        peaks[new] = np.maximum(peaks[new], found)

    def _gain(self, peaks: NDArray[np.float64], heard: slice) -> NDArray[np.float32] | None:
        """Turn the peaks of new cells into the gain of the samples that come out.

        Args:
            peaks: as ``_envelope`` gives them.
            heard: which of the cells that come out belong to the stream.

        Returns:
            Shape (block,); None where it is 1 throughout.
        """
        allowed = self._ceiling / np.maximum(peaks, self._ceiling)
        window = np.concatenate([self._allowed, allowed])
        self._allowed = window[_CELLS:]
        before = (window, self._released, self._smoothed)
        if self._reduction == 0.0 and all(bool((part == 1.0).all()) for part in before):
            self._curve.extend([0.0] * (-(-(heard.stop - heard.start) // _CURVE_CELLS)))
            return None

        lowest = sliding_window_view(window, self._window).min(axis=1)
        # d[k] = max(1 - lowest[k], decay * d[k-1]) as one running maximum.
        scaled = np.concatenate([[self._reduction], 1 - lowest]) / self._powers
        reduction = (np.maximum.accumulate(scaled) * self._powers)[1:]
        reduction[reduction < _NOTHING] = 0.0
        self._reduction = float(reduction[-1])
        released = np.concatenate([self._released, 1 - reduction])
        self._released = released[_CELLS:]
        smoothed = np.concatenate(
            [self._smoothed, np.convolve(released, self._smoothing, mode="valid")]
        )
        self._smoothed = smoothed[_CELLS:]

        db = -20 * np.log10(smoothed[1:-2][heard])
        self._deepest = max(self._deepest, float(db.max(initial=0.0)))
        self._sum_db += float(db.sum())
        steps = np.maximum.reduceat(db, np.arange(0, db.size, _CURVE_CELLS))
        self._curve.extend(steps.tolist())
        weights = sliding_window_view(smoothed, 4).astype(np.float32)
        return (weights @ _spline(self._cell)).reshape(-1)


def _highest(
    windows: NDArray[np.float32],
    chosen: tuple[NDArray[np.intp], ...],
    matrix: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Highest interpolated value in each window chosen by channel and cell."""
    found = np.empty(chosen[0].size)
    rows = max(1, _AT_ONCE // matrix.size)
    for i in range(0, found.size, rows):
        values = windows[chosen[0][i : i + rows], chosen[1][i : i + rows]] @ matrix
        np.maximum(values.max(axis=1), -values.min(axis=1), out=found[i : i + rows])
    return found
