"""Give a programme the tonal balance of a reference file: one linear-phase filter for all channels.

Here: average spectra, smoothed to third octaves, and the filter between them. Level is not matched
here: loudness is set afterwards, for every master alike. Not here: effects (``effects``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from av_pipelines.masters.chain import MasterError, Programme

_WINDOW = 8192
_MOST_DB = 12.0  # of correction, either way
_LOWEST_HZ, _HIGHEST_HZ = 30.0, 16_000.0
_QUIET = 1e-6  # of power, against the loudest band: nothing to go by


class SpectrumMatch:
    """A ``Processor``: a linear-phase filter, with its delay taken out; as many samples out as in.

    Args:
        taps: of the filter, from ``matching_filter``.
        channels: of what will be sent through.
    """

    def __init__(self, taps: NDArray[np.float64], channels: int) -> None:
        self._block = 4 * _WINDOW
        self._kernel = np.fft.rfft(taps, self._block + _WINDOW)
        self._pending = np.zeros((channels, 0))
        self._tail = np.zeros((channels, _WINDOW))
        self._drop = _WINDOW // 2  # the filter's delay
        self._owed = 0

    def process(self, block: np.ndarray) -> NDArray[np.float32]:
        """Take the next samples, return those that are done."""
        self._owed += block.shape[1]
        self._pending = np.concatenate([self._pending, block], axis=1)
        done = [np.zeros((block.shape[0], 0), np.float32)]
        while self._pending.shape[1] >= self._block:
            done.append(self._filtered(self._pending[:, : self._block]))
            self._pending = self._pending[:, self._block :]
        return np.concatenate(done, axis=1)

    def flush(self) -> NDArray[np.float32] | None:
        """Return what is still inside."""
        done = []
        while self._owed:
            size = self._block - self._pending.shape[1]
            done.append(self._filtered(np.pad(self._pending, ((0, 0), (0, size)))))
            self._pending = self._pending[:, :0]
        return np.concatenate(done, axis=1) if done else None

    def _filtered(self, x: NDArray[np.float64]) -> NDArray[np.float32]:
        # Overlap-add.
        size = self._block + _WINDOW
        y = np.fft.irfft(np.fft.rfft(x, size) * self._kernel, size)
        y[:, :_WINDOW] += self._tail
        self._tail = y[:, self._block :].copy()
        out = y[:, self._drop : self._block][:, : self._owed]
        self._drop = 0
        self._owed -= out.shape[1]
        return out.astype(np.float32)


def matching_filter(
    programme: Programme, read: Callable[[], Iterator[np.ndarray]], reference: str
) -> NDArray[np.float64]:
    """Compare a programme with a reference and return the taps of the filter between them.

    Args:
        programme: for its rate and name.
        read: gives its sound as it will be sent through; read once.
        reference: the file to sound like.

    Raises:
        MasterError: the reference is not there or holds no audio that is any use.
    """
    where = f"{programme.path}: reference: {reference}"
    try:
        wanted = _spectrum(_reference(where, Path(reference), programme.sample_rate))
    except (FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MasterError):
            raise
        raise MasterError(
            f"{where} cannot be read as audio: {error}. Give an audio file, or none"
        ) from None
    if wanted is None:
        raise MasterError(f"{where} is silent. Give another file, or none")
    found = _spectrum(read())
    return _identity() if found is None else _filter(found, wanted, programme.sample_rate)


def _reference(where: str, path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    if not path.is_file():
        raise MasterError(f"{where} is not there. Give an audio file, or none")
    own = Programme.of(path)
    return own.converted(sample_rate, own.layout).blocks()


def _identity() -> NDArray[np.float64]:
    taps = np.zeros(_WINDOW)
    taps[_WINDOW // 2] = 1.0
    return taps


def _spectrum(blocks: Iterable[np.ndarray]) -> NDArray[np.float64] | None:
    """Average power spectrum over time and channels, (window / 2 + 1,); None for silence."""
    window = np.hanning(_WINDOW)
    total = np.zeros(_WINDOW // 2 + 1)
    rest = np.zeros((0, 0), np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block], axis=1) if rest.size else block
        count = rest.shape[1] // _WINDOW
        if count:
            pieces = rest[:, : count * _WINDOW].reshape(-1, _WINDOW) * window
            total += (np.abs(np.fft.rfft(pieces)) ** 2).sum(axis=0)
            rest = rest[:, count * _WINDOW :]
    if not total.any() and rest.size:
        total = (np.abs(np.fft.rfft(rest, _WINDOW)) ** 2).sum(axis=0)
    return total if total.any() else None


def _filter(
    found: NDArray[np.float64], wanted: NDArray[np.float64], sample_rate: int
) -> NDArray[np.float64]:
    """Build the filter that turns one average spectrum into the other, as to third octaves."""
    hz = np.linspace(0.0, sample_rate / 2, _WINDOW // 2 + 1, dtype=np.float64)
    top = min(_HIGHEST_HZ, 0.45 * sample_rate)
    bands = _LOWEST_HZ * 2 ** np.arange(0, math.log2(top / _LOWEST_HZ), 1 / 6)
    both = [_third_octaves(power, hz, bands) for power in (found, wanted)]
    heard = np.all([power > _QUIET * power.max() for power in both], axis=0)
    if not heard.any():
        return _identity()
    db = 10 * np.log10(both[1][heard] / both[0][heard])
    db -= np.average(db, weights=both[0][heard])  # shape only: loudness is set later
    curve = np.interp(np.log2(np.maximum(hz, 1.0)), np.log2(bands[heard]), db)
    gain = 10 ** (np.clip(curve, -_MOST_DB, _MOST_DB) / 20)
    impulse = np.roll(np.fft.irfft(gain, _WINDOW), _WINDOW // 2)
    return impulse * np.blackman(_WINDOW + 1)[:_WINDOW]


def _third_octaves(
    power: NDArray[np.float64], hz: NDArray[np.float64], bands: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums = np.concatenate([[0.0], np.cumsum(power)])
    low = np.searchsorted(hz, bands * 2 ** (-1 / 6))
    high = np.maximum(np.searchsorted(hz, bands * 2 ** (1 / 6)), low + 1)
    return (sums[high] - sums[low]) / (high - low)
