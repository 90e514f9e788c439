"""One delivered file: encode, decode, measure, and correct until it keeps its promises.

Here: the chain from programme to file, and the promise that every file is measured as a listener
gets it. Not here: which gain to start from (``levelling``), the table of formats (``formats``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from av_pipelines.masters.chain import Dither, Gain, Processor, Programme, run, watched
from av_pipelines.masters.formats import Encoding, Format
from av_pipelines.masters.levelling import TOLERANCE_LU, Level
from av_pipelines.masters.limiter import Reduction, TruePeakLimiter
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.masters.tags import write_replay_gain
from av_pipelines.media.audio import AudioWriter
from av_pipelines.media.loudness import Loudness, LoudnessMeter

_ENCODINGS = 4  # at most, of one file
_SPARE_DB = 0.05  # taken off beyond what the last try was too much


@dataclass(frozen=True)
class Delivered:
    """A delivered file.

    Attributes:
        name: of the file.
        loudness: measured on what decoding it gives.
        gain_db: before the limiter.
        reduction: what the limiter did.
        encodings: how often it was encoded.
        programme: the sound it holds, before gain.
        encoding: how it is encoded.
        actions: what was done to it beyond gain and limiter, as sentences.
    """

    name: str
    loudness: Loudness
    gain_db: float
    reduction: Reduction
    encodings: int
    programme: Programme
    encoding: Encoding
    actions: tuple[str, ...] = field(default=())


def limited(
    programme: Programme, gain_db: float, ceiling_dbtp: float, settings: MasterSettings
) -> tuple[Iterator[np.ndarray], TruePeakLimiter]:
    """Return a programme after gain and limiter, in blocks, and the limiter that runs in it."""
    limiter = TruePeakLimiter(
        programme.sample_rate,
        programme.channels,
        ceiling_dbtp,
        lookahead_ms=settings.lookahead_ms,
        release_ms=settings.release_ms,
    )
    chain: list[Processor] = [Gain(gain_db), limiter]
    return run(programme.blocks(), chain), limiter


def deliver(
    programme: Programme,
    out: Path,
    kind: Format,
    level: Level,
    settings: MasterSettings,
    *,
    tags: Mapping[str, str],
    samples: float,
    progress: Callable[[float], None],
) -> Delivered:
    """Write one file of the master, and make sure of what it sounds like.

    A lossy codec changes loudness and lifts peaks. So the file is decoded again and measured; where
    it exceeds the ceiling the limiter's ceiling for this file is lowered by the excess, where it is
    more than 0.1 LU off the target the gain is corrected, and it is encoded again, four times at
    most; the last time the gain goes down too. What was done, and what could not be, is in the
    actions.

    Args:
        programme: at the rate and in the layout of the file.
        out: the folder.
        kind: the format.
        level: gain and target.
        settings: ceiling, limiter, bit rates.
        tags: container metadata, such as ``{"title": "…"}``.
        samples: length of the programme as far as known, for ``progress``.
        progress: is told which part is done, 0 to 1.
    """
    encoding = kind.encoding(settings, programme.channels)
    path = out / kind.file_name
    gain = level.gain_db
    ceiling = settings.ceiling_dbtp - kind.headroom_db
    actions: list[str] = []
    for attempt in range(1, _ENCODINGS + 1):

        def part(fraction: float, before: float = 1 - 0.5 ** (attempt - 1)) -> None:
            progress(before + (1 - before) * 0.5 * fraction)

        blocks, limiter = limited(programme, gain, ceiling, settings)
        _encode(watched(blocks, samples, lambda f: part(0.9 * f)), path, kind, encoding, programme, tags)
        loudness = _measure(path, samples, lambda f: part(0.9 + 0.1 * f))
        over = loudness.true_peak_dbtp - settings.ceiling_dbtp
        off = 0.0 if level.target_lufs is None else level.target_lufs - loudness.integrated_lufs
        if (over <= 0 and abs(off) <= TOLERANCE_LU) or attempt == _ENCODINGS:
            break
        if over > 0:
            ceiling -= over + _SPARE_DB
            actions.append(
                f"{path.name}: decoded, it peaked at {loudness.true_peak_dbtp:.2f} dBTP; limited to "
                f"{ceiling:.2f} dBTP and encoded again."
            )
        if abs(off) > TOLERANCE_LU:
            gain += off
            actions.append(
                f"{path.name}: decoded, it had {loudness.integrated_lufs:.2f} LUFS; gain corrected "
                f"by {off:+.2f} dB and encoded again."
            )
        if attempt == _ENCODINGS - 1 and over > 0:
            gain -= max(over, 0) + _SPARE_DB
    if over > 0:
        actions.append(
            f"{path.name}: still peaks at {loudness.true_peak_dbtp:.2f} dBTP, above the ceiling of "
            f"{settings.ceiling_dbtp:g} dBTP, after {attempt} encodings."
        )
    if abs(off) > TOLERANCE_LU:
        actions.append(
            f"{path.name}: has {loudness.integrated_lufs:.2f} LUFS, {abs(off):.2f} LU "
            f"{'under' if off > 0 else 'over'} the target, after {attempt} encodings."
        )
    write_replay_gain(path, kind.replay_gain, loudness)
    progress(1.0)
    return Delivered(
        name=path.name,
        loudness=loudness,
        gain_db=gain,
        reduction=limiter.reduction(),
        encodings=attempt,
        programme=programme,
        encoding=encoding,
        actions=tuple(actions),
    )


def _encode(
    blocks: Iterator[np.ndarray],
    path: Path,
    kind: Format,
    encoding: Encoding,
    programme: Programme,
    tags: Mapping[str, str],
) -> None:
    if encoding.bits == 16:
        blocks = run(blocks, [Dither(encoding.bits)])
    with AudioWriter(
        path,
        encoding.codec,
        programme.sample_rate,
        programme.layout,
        bit_depth=encoding.bits or 24,
        bit_rate=encoding.bit_rate,
        options=encoding.options,
        container_options=kind.container_options,
        tags=tags,
    ) as writer:
        for block in blocks:
            writer.write(block)


def _measure(path: Path, samples: float, progress: Callable[[float], None]) -> Loudness:
    return measure(Programme.of(path), samples, progress)


def measure(
    programme: Programme, samples: float, progress: Callable[[float], None]
) -> Loudness:
    """Measure a programme as it is."""
    meter = LoudnessMeter(programme.sample_rate, programme.channels, programme.layout)
    for block in watched(programme.blocks(), samples, progress):
        meter.feed(block)
    return meter.result()


def loudness_after(
    programme: Programme,
    gain_db: float,
    settings: MasterSettings,
    samples: float,
    progress: Callable[[float], None],
) -> float:
    """Measure a programme's integrated loudness after gain and limiter, without writing it."""
    meter = LoudnessMeter(programme.sample_rate, programme.channels, programme.layout)
    blocks, _ = limited(programme, gain_db, settings.ceiling_dbtp, settings)
    for block in watched(blocks, samples, progress):
        meter.feed(block)
    return meter.result().integrated_lufs
