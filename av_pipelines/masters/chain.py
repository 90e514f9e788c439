"""A chain of processors over a programme, in blocks, in constant memory.

Here: reading and measuring the programme as a delivered file needs it, the interface of a
processor, dither, and running blocks through several. A new effect is a class with ``process`` and
``flush`` and its place in ``delivery``. Not here: the limiter (``limiter``), the meter
(``media.loudness``).

Blocks are ``float32`` arrays of shape (channels, samples); full scale is ±1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from av_pipelines.media.audio import probe_audio, read_blocks
from av_pipelines.media.loudness import Loudness, measure_blocks

# What channels are where nobody says (RFC 9639 §9.1.3, which media.loudness follows too).
_USUAL_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}


class MasterError(ValueError):
    """A master that cannot be made; the message says of what, why, and what to do."""


class Processor(Protocol):
    """Something that changes sound, with its state kept from block to block."""

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples, return those that are done (any number, also none)."""
        ...

    def flush(self) -> np.ndarray | None:
        """Return what is still inside; the programme is over. None if nothing is."""
        ...


@dataclass(frozen=True)
class Programme:
    """The sound of an audio file, as one delivered file needs it.

    Attributes:
        path: of a file this project wrote.
        sample_rate: in Hz, to read it at.
        channels: to read.
        layout: to read, FFmpeg's name.
        mixed: whether that takes mixing, or is what the file holds.
        start_s: where to start.
        duration_s: how much to read; None: to the end.
    """

    path: Path
    sample_rate: int
    channels: int
    layout: str
    mixed: bool = False
    start_s: float = 0.0
    duration_s: float | None = None

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the whole of a file, at its own rate and layout."""
        info = probe_audio(path)
        layout = info.layout
        if layout == f"{info.channels} channels":  # the file does not say which
            layout = _USUAL_LAYOUTS.get(info.channels, layout)
        return cls(path, info.sample_rate, info.channels, layout)

    def converted(self, sample_rate: int, layout: str) -> Programme:
        """Return the same sound at another rate and in another layout."""
        from av.audio.layout import AudioLayout

        return replace(
            self,
            sample_rate=sample_rate,
            layout=layout,
            channels=AudioLayout(layout).nb_channels,
            mixed=self.mixed or layout != self.layout,
        )

    def excerpt(self, start_s: float, duration_s: float) -> Programme:
        """Return a part of the same sound."""
        return replace(self, start_s=start_s, duration_s=duration_s)

    def measured(self) -> Loudness:
        """Measure it as it is."""
        return measure_blocks(self.blocks(), self.sample_rate, self.channels, self.layout)

    def blocks(self) -> Iterator[np.ndarray]:
        """Read it.

        Raises:
            MasterError: a sample is not a finite number.
        """
        done = 0
        for block in read_blocks(
            self.path,
            sample_rate=self.sample_rate,
            layout=self.layout if self.mixed else None,
            start_s=self.start_s,
            duration_s=self.duration_s,
        ):
            if not math.isfinite(float(block.max()) - float(block.min())):
                at = int((~np.isfinite(block)).any(axis=0).argmax())
                value = next(v for v in block[:, at].tolist() if not math.isfinite(v))
                second = self.start_s + (done + at) / self.sample_rate
                raise MasterError(
                    f"{self.path}: the sample at {second:.6f} s is {value}: not audio. Repair or "
                    "export the file again"
                )
            done += block.shape[1]
            yield block


class Dither:
    """Round to a bit depth with triangular noise of ±1 step, so that no distortion is left.

    Digital silence stays silent. The noise is the same each time (Vanderkooy & Lipshitz, "Dither in
    digital audio", JAES 35, 1987).

    Args:
        bits: of the samples, full scale ±1.
    """

    def __init__(self, bits: int) -> None:
        self._steps = np.float32(2 ** (bits - 1))
        self._random = np.random.default_rng(bits)

    def process(self, block: np.ndarray) -> np.ndarray:
        """Add noise and round."""
        uniform = self._random.random((block.shape[1], block.shape[0], 2), np.float32)
        noise = (uniform[:, :, 0] - uniform[:, :, 1]).T * (block != 0).any(axis=0)
        return np.rint(block * self._steps + noise) / self._steps

    def flush(self) -> None:
        """Nothing is kept."""


def run(blocks: Iterable[np.ndarray], chain: Sequence[Processor]) -> Iterator[np.ndarray]:
    """Send blocks through processors, one after the other; yields what comes out."""
    for block in blocks:
        yield from _through(block, chain)
    for index, processor in enumerate(chain):
        rest = processor.flush()
        if rest is not None:
            yield from _through(rest, chain[index + 1 :])


def _through(block: np.ndarray, chain: Sequence[Processor]) -> Iterator[np.ndarray]:
    for processor in chain:
        block = processor.process(block)
        if not block.shape[1]:
            return
    if block.shape[1]:
        yield block


def watched(
    blocks: Iterable[np.ndarray], samples: float, progress: Callable[[float], None]
) -> Iterator[np.ndarray]:
    """Pass blocks on and say which part of ``samples`` has gone by, 0 to 1."""
    done = 0
    for block in blocks:
        yield block
        done += block.shape[1]
        progress(min(1.0, done / samples) if samples else 1.0)
