"""A file taken apart: stems at the source's rate, as long as the source to the sample.

Here: one file through a network, and what is measured on the way. Not here: the network's windows
(``driver``), which network (``engines``), the file format (``stem_files``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from av_pipelines.stems.driver import Moments, Passes, run
from av_pipelines.stems.networks import Network, OverlapsLess
from av_pipelines.stems.picture import Sketch, draw_energy, draw_waveforms
from av_pipelines.stems.segments import shift_leads
from av_pipelines.stems.settings import StemsSettings
from av_pipelines.stems.sound import Mix, Samples, Statistics, measure, resampled
from av_pipelines.stems.stem_files import HIGHEST, StemFile, scale, stem_files

ACCOMPANIMENT = "accompaniment"
RESIDUAL = "residual"
WAVEFORMS, ENERGY = "stems.png", "energy.png"

_TINY = 1e-8  # what demucs adds to the deviation
_LOWEST_DB = -200.0


@dataclass(frozen=True)
class Stem:
    """What is told of one stem; levels in dB of full scale."""

    name: str
    file: str
    peak_dbfs: float
    level_dbfs: float
    clipped: int
    """Samples that were beyond full scale before the clip policy."""


@dataclass(frozen=True)
class Separated:
    """What came out of a file."""

    stems: tuple[Stem, ...]
    samples: int
    sample_rate_hz: int
    channels: int
    mix_residual_db: float
    """What the stems together lack of the mix, against the mix; −200 stands for nothing."""
    gain_db: float
    """Given to all stems alike, by ``clip = "scale_all"``."""
    realtime_factor: float

    def facts(self) -> dict[str, Any]:
        """Return the facts of the artifact."""
        return {
            "stems": [stem.name for stem in self.stems],
            "duration_s": self.samples / self.sample_rate_hz,
            "sample_rate_hz": self.sample_rate_hz,
            "channels": self.channels,
            "samples": self.samples,
            "mix_residual_db": round(self.mix_residual_db, 1),
            "clipped_samples": sum(stem.clipped for stem in self.stems),
            "gain_db": round(self.gain_db, 2),
            "realtime_factor": round(self.realtime_factor, 2),
        }


def separate(
    audio: Path,
    folder: Path,
    settings: StemsSettings,
    network: Network,
    *,
    batch: int = 1,
    block_s: float = 1.0,
    progress: Callable[[float], None] = lambda share: None,
) -> Separated:
    """Take an audio file apart into a folder; may be called again for the same folder.

    Args:
        audio: a file this project wrote, of any rate and channels (see ``sound`` for the down-mix).
        folder: where the stems and their pictures go.
        settings: how.
        network: who; with ``two_stems`` it may know that stem only.
        batch: segments at once.
        block_s: seconds read at once; changes nothing.
        progress: is told the share done, 0 to 1.

    Raises:
        ValueError: the file has no sample, or the network does not know the stem that is wanted.
    """
    start = time.perf_counter()
    mix = Mix(audio, block_s)
    seen = measure(mix, network.sample_rate_hz)
    names, makers = _outputs(network, settings)
    clamp = settings.clip == "clamp"
    account = _Account(names, seen.samples)
    with (
        stem_files(folder, names, mix.rate, clamp=clamp) as files,
        ThreadPoolExecutor(1, "stems") as beside,  # the network goes on while files are written
    ):
        whole = _Reader(mix.blocks())

        def write(stems: Samples) -> None:
            mixed = whole.take(stems.shape[-1])
            made = makers(stems, mixed)
            for file, samples in zip(files, made, strict=True):
                file.write(samples)
            account.add(made, mixed, clamp=clamp)

        written: Future[None] | None = None
        for stems in _at_source_rate(mix, seen, settings, network, batch, progress):
            if written:
                written.result()
            written = beside.submit(write, stems)
        if written:
            written.result()
    gain = _scaled(files) if settings.clip == "scale_all" else 1.0
    draw_waveforms(folder / WAVEFORMS, names, account.sketches)
    draw_energy(folder / ENERGY, names, account.sketches)
    wall = max(time.perf_counter() - start, 1e-9)
    return Separated(
        stems=account.stems(files, gain),
        samples=seen.samples,
        sample_rate_hz=mix.rate,
        channels=mix.channels,
        mix_residual_db=account.residual_db(),
        gain_db=20 * math.log10(gain),
        realtime_factor=seen.samples / mix.rate / wall,
    )


_Makers = Callable[[Samples, Samples], list[Samples]]


def _outputs(network: Network, settings: StemsSettings) -> tuple[list[str], _Makers]:
    """Names of the files, and how to make them of (stems, mix): (sources, 2, n), (2, n)."""
    wanted = settings.two_stems
    if wanted is not None and wanted not in network.sources:
        raise ValueError(
            f"two_stems = {wanted}: this model knows {', '.join(network.sources)} only"
        )
    if wanted is not None:
        index = network.sources.index(wanted)
        return [wanted, ACCOMPANIMENT], lambda stems, mix: [stems[index], mix - stems[index]]
    if network.sources[1:] == (ACCOMPANIMENT,):

        def sources(stems: Samples, mix: Samples) -> list[Samples]:
            return [stems[0], mix - stems[0]]  # at the source's rate, to its first and last sample
    else:

        def sources(stems: Samples, mix: Samples) -> list[Samples]:
            return list(stems)

    if not settings.residual:
        return list(network.sources), sources
    return [*network.sources, RESIDUAL], lambda stems, mix: [
        *(made := sources(stems, mix)),
        mix - np.sum(made, axis=0),
    ]


def _at_source_rate(
    mix: Mix,
    seen: Statistics,
    settings: StemsSettings,
    network: Network,
    batch: int,
    progress: Callable[[float], None],
) -> Iterator[Samples]:
    """Yield the stems, (sources, 2, n), at the source's rate and of its length."""
    effort, rate = settings.effort, network.sample_rate_hz
    quiet = effort.silence_dbfs
    stems = run(
        network,
        mix.blocks_at(rate),
        seen.network_samples,
        Passes(
            overlap=_overlap(network, settings),
            leads=shift_leads(effort.shifts, settings.seed, rate),
            batch=batch,
            silence=None if quiet is None else 10 ** (quiet / 20),
        ),
        Moments(np.float32(seen.mean), np.float32(seen.std + _TINY))
        if network.normalise
        else Moments(),
        progress,
    )
    count, width = len(network.sources), mix.channels
    flat = (block.reshape(count * width, -1) for block in stems)
    done = 0
    for block in resampled(flat, rate, mix.rate, count * width):
        block = block[:, : seen.samples - done]  # two conversions of rate may add a sample
        done += block.shape[1]
        yield block.reshape(count, width, -1)
    if done < seen.samples:  # or lose one
        yield np.zeros((count, width, seen.samples - done), np.float32)


def _overlap(network: Network, settings: StemsSettings) -> float:
    usual = settings.effort.overlap
    if settings.overlap is not None or not isinstance(network, OverlapsLess):
        return usual
    return min(usual, network.overlap)


class _Reader:
    """Blocks taken in pieces of any size."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._left: Samples | None = None

    def take(self, count: int) -> Samples:
        pieces: list[Samples] = []
        while count > 0:
            left = self._left if self._left is not None else next(self._blocks)
            pieces.append(left[:, :count])
            self._left = left[:, count:] if left.shape[1] > count else None
            count -= pieces[-1].shape[1]
        return np.concatenate(pieces, axis=1) if pieces else np.zeros((2, 0), np.float32)


class _Account:
    """What is measured while the stems go by."""

    def __init__(self, names: Sequence[str], samples: int) -> None:
        self._names = names
        self.sketches = [Sketch(samples) for _ in names]
        self._squares = [0.0] * len(names)
        self._mix = self._left = 0.0
        self._count = 0

    def add(self, stems: Sequence[Samples], mix: Samples, *, clamp: bool) -> None:
        if clamp:
            stems = [stem.clip(-1.0, 1.0) for stem in stems]
        for index, stem in enumerate(stems):
            self.sketches[index].add(stem)
            self._squares[index] += _energy(stem)
        self._mix += _energy(mix)
        self._left += _energy(mix - np.sum(stems, axis=0, dtype=np.float64))
        self._count += mix.size

    def residual_db(self) -> float:
        return _db(self._left / self._mix) if self._mix else _LOWEST_DB

    def stems(self, files: Sequence[StemFile], gain: float) -> tuple[Stem, ...]:
        shift = 20 * math.log10(gain)
        return tuple(
            Stem(
                name=file.name,
                file=file.path.name,
                peak_dbfs=round(_db(file.peak**2) + shift, 2),
                level_dbfs=round(_db(squares / max(1, self._count)) + shift, 2),
                clipped=file.clipped,
            )
            for file, squares in zip(files, self._squares, strict=True)
        )


def _energy(samples: np.ndarray) -> float:
    return float(np.square(samples, dtype=np.float64).sum())


def _db(power: float) -> float:
    return max(_LOWEST_DB, 10 * math.log10(power)) if power > 0 else _LOWEST_DB


def _scaled(files: Sequence[StemFile]) -> float:
    """Turn all stems down alike, so that the loudest fits; return the gain."""
    peak = max(file.peak for file in files)
    if peak <= HIGHEST:
        return 1.0
    gain = HIGHEST / peak
    for file in files:
        file.path = scale(file.path, gain)
    return gain
