"""One delivered file: encode, decode, measure, and correct until it keeps its promises.

Here: the chain from programme to file, and the promise that every file is measured as a listener
gets it. Not here: which gain to start from (``levelling``), the table of formats (``formats``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from av_pipelines.masters.chain import Dither, Programme, run, watched
from av_pipelines.masters.formats import Encoding, Format
from av_pipelines.masters.levelling import LOSS_POWER, SURE_LU, TOLERANCE_LU, Level, Search, times
from av_pipelines.masters.m4a import M4aWriter
from av_pipelines.masters.mp3 import Mp3Writer
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.masters.sketch import Sketch, limiter_for
from av_pipelines.masters.tags import Cover, can_hold_tags, write_replay_gain, write_tags
from av_pipelines.media.audio import AudioWriter
from av_pipelines.media.limiter import Reduction
from av_pipelines.media.loudness import Loudness, measure_blocks

_ENCODINGS = 4  # at most, of one file
_SPARE_DB = 0.2  # taken off beyond what the last try was too much
# The highest peak of a whole programme is higher than that of its loudest pieces, by about this.
_REHEARSAL_SPARE_DB = 0.6


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


def deliver(
    programme: Programme,
    out: Path,
    kind: Format,
    level: Level,
    settings: MasterSettings,
    *,
    sketch: Sketch,
    tags: Mapping[str, str],
    cover: Cover | None,
    samples: float,
    progress: Callable[[float], None],
) -> Delivered:
    """Write one file of the master, and make sure of what it sounds like.

    A lossy codec changes loudness and lifts peaks. For long programmes it is tried on the loudest
    pieces first, and fed accordingly. The file is decoded again and measured as a whole. Where
    it exceeds the ceiling, the limiter's ceiling for this file is lowered by the excess; where it
    is more than 0.1 LU off the target, the loudness fed to the codec is corrected; and it is
    encoded again. If three encodings do not do, the fourth is the third turned down by the excess.
    What was done, and what could not be, is in the actions.

    Args:
        programme: at the rate and in the layout of the file.
        out: the folder.
        kind: the format.
        level: gain and target.
        settings: ceiling, limiter, bit rates.
        sketch: pieces of the same programme.
        tags: container metadata, such as ``{"title": "…"}``.
        cover: picture, or None.
        samples: length of the programme as far as known, for ``progress``.
        progress: is told which part is done, 0 to 1.
    """
    encoding = kind.encoding(settings, programme.channels)
    path = out / kind.file_name
    actions: list[str] = []
    ceiling = settings.ceiling_for(lossless=kind.lossless)
    feeding = _Feeding(programme, level, settings, sketch)
    if sketch.loudest and not kind.lossless:
        feed = _rehearsed(sketch.loudest, path, kind, encoding, feeding, ceiling)
    else:
        feed = feeding.first(ceiling - kind.headroom_db)
    encodings = 0
    while True:
        done = 1 - 0.5**encodings
        limiter = limiter_for(programme, feed.gain_db, feed.ceiling_dbtp, settings)
        told = watched(
            run(programme.blocks(), [limiter]), samples, _part(progress, done, 0.45 * (1 - done))
        )
        _encode(told, path, kind, encoding, programme)
        loudness = Programme.of(path).measured()
        encodings += 1
        over = loudness.true_peak_dbtp - ceiling
        off = feeding.off(loudness)
        if (over <= 0 and abs(off) <= TOLERANCE_LU) or encodings == _ENCODINGS:
            break
        if over > 0 and encodings == _ENCODINGS - 1:
            better = feed.turned_down(over + _SPARE_DB)
        else:
            better = feeding.next(feed, over, off)
        changes = better.changes_from(feed)
        if not changes:
            break  # more gain would only mean more limiting
        feed = better
        actions.append(
            f"{path.name}: decoded, it had {loudness.integrated_lufs:.2f} LUFS and "
            f"{loudness.true_peak_dbtp:.2f} dBTP; {changes}, and encoded again."
        )
    if over > 0:
        actions.append(
            f"{path.name}: peaks at {loudness.true_peak_dbtp:.2f} dBTP, above the ceiling of "
            f"{ceiling:g} dBTP, after encoding it {times(encodings)}."
        )
    if abs(off) > TOLERANCE_LU:
        actions.append(
            f"{path.name}: has {loudness.integrated_lufs:.2f} LUFS, {abs(off):.2f} LU "
            f"{'under' if off > 0 else 'over'} the target, after encoding it {times(encodings)}."
        )
    if can_hold_tags(path):
        write_tags(path, kind.tags, tags, cover)
        write_replay_gain(path, kind.tags, loudness, _album(settings))
    else:
        actions.append(f"{path.name}: over 4 GiB, so it is RF64 and holds no tags.")
    progress(1.0)
    return Delivered(
        name=path.name,
        loudness=loudness,
        gain_db=feed.gain_db,
        reduction=limiter.reduction(),
        encodings=encodings,
        programme=programme,
        encoding=encoding,
        actions=tuple(actions),
    )


@dataclass(frozen=True)
class _Feed:
    """What an encoder is fed: the programme after this gain, under this ceiling."""

    gain_db: float
    ceiling_dbtp: float
    aim_lufs: float | None
    """The loudness that the gain is to give; None: whatever it gives."""

    def turned_down(self, db: float) -> _Feed:
        """Return the same, only softer: what comes out of the codec is softer by as much."""
        return _Feed(self.gain_db - db, self.ceiling_dbtp - db, None)

    def changes_from(self, other: _Feed) -> str:
        """Say what is different; empty if nothing worth encoding for is."""
        said = []
        if self.ceiling_dbtp != other.ceiling_dbtp:
            said.append(f"limited to {self.ceiling_dbtp:.2f} dBTP")
        if abs(self.gain_db - other.gain_db) >= 0.01:
            said.append(f"gain changed by {self.gain_db - other.gain_db:+.2f} dB")
        return ", ".join(said)


@dataclass(frozen=True)
class _Feeding:
    """Decides what to feed an encoder, from what came out of it."""

    programme: Programme
    level: Level
    settings: MasterSettings
    sketch: Sketch

    def first(self, ceiling_dbtp: float) -> _Feed:
        """Return what to try first."""
        return self._fed(ceiling_dbtp, self.level.target_lufs, self.level.gain_db)

    def off(self, loudness: Loudness) -> float:
        """Return how much louder a file ought to be, in LU; 0 where there is no target."""
        target = self.level.target_lufs
        return 0.0 if target is None else target - loudness.integrated_lufs

    def corrected(self, feed: _Feed, ceiling: float, shift: float) -> _Feed:
        """Return a feed for a codec that changes the loudness by ``shift``."""
        if feed.aim_lufs is None:
            return self._fed(ceiling, None, feed.gain_db)
        return self._fed(ceiling, feed.aim_lufs - shift, feed.gain_db - shift)

    def next(self, feed: _Feed, over: float, off: float) -> _Feed:
        """Correct a feed whose file was over the ceiling and off the target by that much."""
        ceiling = feed.ceiling_dbtp - (over + _SPARE_DB if over > 0 else 0.0)
        if feed.aim_lufs is None or abs(off) <= TOLERANCE_LU:
            return self._fed(ceiling, feed.aim_lufs, feed.gain_db)
        return self._fed(ceiling, feed.aim_lufs + off, feed.gain_db + off)

    def _fed(self, ceiling: float, aim: float | None, near_db: float) -> _Feed:
        level = self.level
        if aim is None or (ceiling, aim) == (self.settings.ceiling_dbtp, level.target_lufs):
            return _Feed(level.gain_db, ceiling, aim)
        limited_from = min(ceiling, self.settings.ceiling_dbtp)
        if level.true_peak_dbtp + max(near_db, level.gain_db) <= limited_from:
            return _Feed(near_db, ceiling, aim)  # nothing is limited
        # How loud the pieces are after the gain that is known to give the target, and from there
        # to the loudness wanted under the other ceiling.
        sketch = self.sketch
        known = sketch.after(level.gain_db, self.settings.ceiling_dbtp)
        search = Search(
            sketch.own.integrated_lufs,
            sketch.own.true_peak_dbtp,
            ceiling,
            lambda gain: sketch.after(gain, ceiling),
        )
        over = sketch.own.true_peak_dbtp + level.gain_db - self.settings.ceiling_dbtp
        lost = sketch.own.integrated_lufs + level.gain_db - known
        if over > 0:
            losing = lost * (search.over(near_db) / over) ** LOSS_POWER
            if losing <= SURE_LU:
                return _Feed(near_db + losing - lost, ceiling, aim)
        wanted = known + aim - (level.target_lufs if level.target_lufs is not None else aim)
        _, gain, _ = search.run(wanted, start_db=near_db)
        return _Feed(gain, ceiling, aim)


def _rehearsed(
    pieces: Programme,
    path: Path,
    kind: Format,
    encoding: Encoding,
    feeding: _Feeding,
    ceiling: float,
) -> _Feed:
    """Encode a few pieces, and return what to feed so that the whole comes out right at once."""
    level = feeding.level
    feed = _Feed(level.gain_db, ceiling - kind.headroom_db, level.target_lufs)
    trial = path.with_name(f"{path.stem}.trial{path.suffix}")
    fed = []

    def blocks() -> Iterator[np.ndarray]:
        limiter = limiter_for(pieces, feed.gain_db, feed.ceiling_dbtp, feeding.settings)
        for block in run(pieces.blocks(), [limiter]):
            fed.append(block)
            yield block

    try:
        _encode(blocks(), trial, kind, encoding, pieces)
        came = Programme.of(trial).measured()
    finally:
        trial.unlink(missing_ok=True)
    went = measure_blocks(fed, pieces.sample_rate, pieces.channels, pieces.layout)
    lift = came.true_peak_dbtp - went.true_peak_dbtp
    shift = came.integrated_lufs - went.integrated_lufs
    if not (math.isfinite(lift) and math.isfinite(shift)):
        return feed  # silence
    under = ceiling - max(0.0, lift) - _REHEARSAL_SPARE_DB
    return feeding.corrected(feed, min(ceiling, under), shift)


def _album(settings: MasterSettings) -> tuple[float, float] | None:
    if settings.album_lufs is None or settings.album_true_peak_dbtp is None:
        return None
    return settings.album_lufs, settings.album_true_peak_dbtp


def _part(progress: Callable[[float], None], start: float, size: float) -> Callable[[float], None]:
    return lambda fraction: progress(start + size * fraction)


def _encode(
    blocks: Iterator[np.ndarray],
    path: Path,
    kind: Format,
    encoding: Encoding,
    programme: Programme,
) -> None:
    if encoding.bits == 16:
        blocks = run(blocks, [Dither(encoding.bits)])
    rate, layout = programme.sample_rate, programme.layout
    if encoding.codec == "lame":
        writer = Mp3Writer(path, rate, programme.channels, encoding.bit_rate, encoding.vbr_quality)
    elif encoding.codec == "aac":
        writer = M4aWriter(path, rate, layout, encoding.bit_rate, encoding.options)
    else:
        writer = AudioWriter(
            path,
            encoding.codec,
            rate,
            layout,
            bit_depth=encoding.bits or 24,
            bit_rate=encoding.bit_rate,
            options=encoding.options,
            container_options=kind.container_options,
        )
    with writer:
        for block in blocks:
            writer.write(block)
