"""The mix as a network wants it: stereo, at its rate, and the track's own statistics.

Down-mixing to stereo follows ITU-R BS.775-4, annex 4, table 2: front left and right as they are,
centre and surrounds at −3 dB, a single rear centre at −6 dB to each side, no LFE; mono goes to
both sides as it is. Nothing is scaled to fit: a down-mix may exceed full scale.

Here: reading, down-mixing, resampling (soxr), measuring. Not here: separating, writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from av_pipelines.media.audio import probe_audio, read_blocks

Samples = NDArray[np.float32]

_MINUS_3_DB = 0.5**0.5


def downmix_matrix(layout: str, channels: int) -> Samples:
    """Return gains of shape (2, channels) for an FFmpeg layout; by BS.775 (see the module)."""
    if channels == 1:
        return np.ones((2, 1), np.float32)
    if channels == 2:
        return np.eye(2, dtype=np.float32)
    try:
        names = [channel.name for channel in av.AudioLayout(layout).channels]
    except ValueError:
        names = []  # a layout without names, such as "3 channels"
    if len(names) != channels:
        names = ["FL", "FR", *[""] * (channels - 2)]
    return np.array([_gains(name) for name in names], np.float32).T


def _gains(name: str) -> tuple[float, float]:
    if name.startswith("LFE"):
        return 0.0, 0.0
    if name in ("FL", "FR"):
        return float(name == "FL"), float(name == "FR")
    if name == "FC":
        return _MINUS_3_DB, _MINUS_3_DB
    if "L" in name:
        return _MINUS_3_DB, 0.0
    return (0.0, _MINUS_3_DB) if "R" in name else (0.5, 0.5)


class Mix:
    """An audio file of this project as a stereo mix.

    Args:
        path: the file.
        block_s: seconds that are read at once.
    """

    channels = 2

    def __init__(self, path: Path, block_s: float = 1.0) -> None:
        info = probe_audio(path)
        self.path, self.rate = path, info.sample_rate
        self._block_s = block_s
        self._matrix = downmix_matrix(info.layout, info.channels)

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks of shape (2, samples) at the file's rate."""
        plain = self._matrix.shape[1] == 2
        for block in read_blocks(self.path, block_s=self._block_s):
            yield block if plain else self._matrix @ block

    def blocks_at(self, rate: int) -> Iterator[Samples]:
        """Yield blocks of shape (2, samples) at another rate."""
        return resampled(self.blocks(), self.rate, rate, self.channels)


def resampled(
    blocks: Iterable[Samples], rate: int, new_rate: int, channels: int
) -> Iterator[Samples]:
    """Resample blocks of shape (channels, samples); cutting them otherwise changes nothing."""
    if rate == new_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


@dataclass(frozen=True)
class Statistics:
    """Of a mix: lengths, and what its mono mix has as mean and standard deviation."""

    samples: int
    """At the file's rate."""
    network_samples: int
    """At the network's rate."""
    mean: float
    std: float


def measure(mix: Mix, rate: int) -> Statistics:
    """Read a mix once and measure it, the moments at a network's rate.

    The moments are those of ``demucs.api.Separator``: of the mean of both channels, the standard
    deviation with n − 1.

    Raises:
        ValueError: there is no sample.
    """
    counted = 0

    def counting() -> Iterator[Samples]:
        nonlocal counted
        for block in mix.blocks():
            counted += block.shape[1]
            yield block

    count, total, squares = 0, 0.0, 0.0
    for block in resampled(counting(), mix.rate, rate, mix.channels):
        mono = block.mean(axis=0, dtype=np.float64)
        count += mono.size
        total += float(mono.sum())
        squares += float(mono @ mono)
    if not count:
        raise ValueError(f"{mix.path}: there is no sound to separate: not one sample")
    mean = total / count
    variance = max(0.0, (squares - count * mean * mean) / max(1, count - 1))
    return Statistics(counted, count, mean, variance**0.5)
