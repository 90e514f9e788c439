"""A stem's file, written as its samples become final.

A stem may exceed full scale though its mix does not. FLAC cannot hold that; so a file begins as
24-bit FLAC, and changes over to W64 with 32-bit floats when a sample would be clipped. Stems are
never scaled one by one: that would break their balance.

Here: one file. Not here: which stems there are, one gain for all (``separate``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from av_pipelines.media.audio import AudioWriter, read_blocks
from av_pipelines.stems.sound import Samples

LAYOUT = "stereo"
SUFFIXES = (".flac", ".w64")
_FLAC_RATE = 655_350
HIGHEST = 1.0 - 2.0**-24
"""What rounds to the largest 24-bit number."""


class StemFile:
    """Write one stem; use as a context manager.

    Args:
        folder: where to.
        name: of the stem, and of the file without its suffix.
        sample_rate: in Hz.
        clamp: cut off what exceeds full scale instead of changing over to floats.
    """

    def __init__(self, folder: Path, name: str, sample_rate: int, *, clamp: bool = False) -> None:
        self.name, self._folder, self._rate, self._clamp = name, folder, sample_rate, clamp
        self.path = folder / f"{name}.flac"
        self.peak = 0.0
        self.samples = 0
        self.clipped = 0
        """Samples beyond full scale, of all channels."""
        if sample_rate > _FLAC_RATE:
            self.path = folder / f"{name}.w64"
        for suffix in SUFFIXES:  # of an attempt that ran out of memory
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
        self._writer = self._open()

    def _open(self) -> AudioWriter:
        codec = "flac" if self.path.suffix == ".flac" else "pcm_f32le"
        return AudioWriter(self.path, codec, self._rate, LAYOUT)

    def write(self, block: Samples) -> None:
        """Append samples of shape (2, samples)."""
        if not block.shape[1]:
            return
        sizes = np.abs(block)
        peak = float(sizes.max())
        self.peak = max(self.peak, peak)
        if peak > HIGHEST:
            self.clipped += int((sizes > 1.0).sum())
            if self._clamp:
                block = block.clip(-1.0, 1.0)
            elif self.path.suffix == ".flac":
                self._change_over()
        self._writer.write(block)
        self.samples += block.shape[1]

    def _change_over(self) -> None:
        self._writer.close()
        flac, self.path = self.path, self.path.with_suffix(".w64")
        self._writer = self._open()
        if self.samples:
            for block in read_blocks(flac):
                self._writer.write(block)
        flac.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)


@contextlib.contextmanager
def stem_files(
    folder: Path, names: Iterable[str], sample_rate: int, *, clamp: bool
) -> Iterator[list[StemFile]]:
    """Open a file for each stem."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(StemFile(folder, name, sample_rate, clamp=clamp)) for name in names
        ]


def scale(path: Path, gain: float) -> Path:
    """Rewrite a stem with a gain, as 24-bit FLAC; return where it is now."""
    scaled = path.with_name(f"{path.stem}.scaled.flac")
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
    with AudioWriter(scaled, "flac", rate, LAYOUT) as writer:
        for block in read_blocks(path):
            writer.write(block * np.float32(gain))
    path.unlink()
    return scaled.rename(path.with_suffix(".flac"))


def stem_path(folder: Path, name: str) -> Path:
    """Return a stem's file; FileNotFoundError if there is none."""
    for suffix in SUFFIXES:
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise FileNotFoundError(f"there is no stem {name} in {folder}")


def check_stem(path: Path, *, sample_rate: int, channels: int, samples: int) -> None:
    """Check that a stem opens and is as long as it must be, to the sample.

    Raises:
        ValueError: naming what differs.
    """
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise ValueError(f"{path.name}: no sound is in it")
        stream = container.streams.audio[0]
        length = (stream.duration or 0) * stream.time_base * stream.rate if stream.time_base else 0
        seen = {
            "sample rate": (stream.rate, sample_rate),
            "channels": (stream.channels, channels),
            "samples": (length, samples),
        }
    for what, (is_so, right) in seen.items():
        if is_so != right:
            raise ValueError(f"{path.name}: {what}: {is_so} instead of {right}")
