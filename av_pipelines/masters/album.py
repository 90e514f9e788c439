"""Loudness of an album: one gain for all its tracks, so that soft songs stay soft.

Here: finding that gain, with all tracks heard as one programme, after their effects and the
limiter. It reaches the masters as the settings ``album_gain_db``, ``album_lufs`` and
``album_true_peak_dbtp``. Not here: which files are an album.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from av_pipelines.masters.chain import MasterError, Programme, run
from av_pipelines.masters.levelling import find_gain
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.masters.shaping import Shaped
from av_pipelines.masters.sketch import limiter_for
from av_pipelines.media.loudness import LoudnessMeter, joint_loudness

# What one gain follows from, and so what all tracks must agree on.
_SHARED = (
    "target_lufs",
    "ceiling_dbtp",
    "max_limiting_db",
    "when_too_quiet",
    "lookahead_ms",
    "release_ms",
)


@dataclass(frozen=True)
class AlbumLevel:
    """What all tracks of an album get.

    Attributes:
        gain_db: before the limiter.
        integrated_lufs: of the mastered album, gated over all tracks (BS.1770-5 Annex 1); -inf for
            silence.
        true_peak_dbtp: the highest of the mastered album.
        actions: what was done beyond the plain gain, as sentences.
    """

    gain_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    actions: tuple[str, ...]


def album_level(tracks: Sequence[tuple[Path, MasterSettings]]) -> AlbumLevel:
    """Find the gain that brings tracks, after their effects, to their target as one programme.

    Args:
        tracks: files this project wrote, each with the settings of its master; at least one.

    Raises:
        MasterError: there is no track, tracks have different targets or limiters, a track cannot be
            shaped as its settings want, or the target is out of reach and ``when_too_quiet`` is
            ``fail``.
    """
    if not tracks:
        raise MasterError("an album needs at least one track; none was given")
    first, settings = tracks[0]
    for path, other in tracks[1:]:
        for name in _SHARED:
            mine, theirs = getattr(settings, name), getattr(other, name)
            if mine != theirs:
                raise MasterError(
                    f"tracks of an album have one {name}: {first} has {mine}, {path} has {theirs}. "
                    "Give them the same, or master them apart"
                )
    shaped = [Shaped.of(Programme.of(path), chosen) for path, chosen in tracks]

    @cache
    def heard(gain_db: float | None) -> tuple[float, float]:
        """Loudness and peak of all tracks as they are, or after gain and limiter."""
        meters = []
        for track in shaped:
            sound, blocks = track.programme, track.read()
            if gain_db is not None:
                limiter = limiter_for(sound, gain_db, settings.ceiling_dbtp, settings)
                blocks = run(blocks, [limiter])
            meters.append(LoudnessMeter(sound.sample_rate, sound.channels, sound.layout))
            for block in blocks:
                meters[-1].feed(block)
        return joint_loudness(meters)

    integrated, peak = heard(None)
    try:
        level = find_gain(integrated, peak, settings, lambda gain: heard(gain)[0])
    except MasterError as error:
        raise MasterError(f"the album of {first} and others: {error}") from None
    if peak + level.gain_db > settings.ceiling_dbtp:
        integrated, peak = heard(level.gain_db)
    else:
        integrated, peak = integrated + level.gain_db, peak + level.gain_db
    return AlbumLevel(level.gain_db, integrated, peak, level.actions)
