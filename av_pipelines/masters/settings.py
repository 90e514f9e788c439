"""What can be set about a master.

Here: the settings and what they allow. Not here: what follows from them (``levelling``,
``formats``, ``master``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from av_pipelines.masters.effect_settings import EffectSettings
from av_pipelines.masters.presets import DELIVERIES, PLATFORMS, Delivery, Platform
from av_pipelines.settings import Settings

FormatName = Literal["flac", "wav", "mp3", "m4a", "ogg", "opus"]

_LOUD_LUFS, _LOUD_LOSSY_DBTP = -14.0, -2.0


class MasterSettings(Settings):
    """Settings of the ``master`` asset."""

    paths: ClassVar[frozenset[str]] = frozenset({"reference", "effects.plugins"})

    platform: Platform | None = None
    """Where it goes: fills in target and ceiling as that place asks, where they are not set. What
    each asks for, and as of when: ``masters/presets.py``."""

    delivery: Delivery | None = None
    """What for: fills in formats and bit rates where they are not set. ``archive``: FLAC and WAV,
    24 bit. ``cd``: the same at 44.1 kHz and 16 bit. ``streaming``: FLAC, AAC and Opus. ``podcast``:
    MP3 and AAC at 128 kbit/s. ``small``: Opus and AAC at 64 kbit/s."""

    target_lufs: Annotated[float, Field(ge=-70, le=-5)] = -14.0
    """Integrated loudness of the master, in LUFS (ITU-R BS.1770), -70 to -5. Common: -14 for
    streaming, -16 for podcasts, -23 for European broadcast (EBU R 128)."""

    ceiling_dbtp: Annotated[float, Field(ge=-20, le=0)] = -1.0
    """True peak that no delivered file exceeds, in dB relative to full scale, -20 to 0."""

    lossy_ceiling_dbtp: Annotated[float, Field(ge=-20, le=0)] | None = None
    """True peak that no lossy file exceeds once decoded; none means ``ceiling_dbtp``, but at most
    -2 for masters louder than -14 LUFS."""

    max_limiting_db: Annotated[float, Field(ge=0, le=60)] = 12.0
    """The most the limiter may take off a peak before ``when_too_quiet`` decides, in dB, 0 to
    60."""

    when_too_quiet: Literal["limit", "lower_target", "fail"] = "limit"
    """What to do when the target needs more than ``max_limiting_db``: ``limit`` harder and say so,
    ``lower_target`` to what is possible within it, or ``fail``."""

    lookahead_ms: Annotated[float, Field(ge=1, le=20)] = 5.0
    """Time over which the limiter turns down before a peak, in milliseconds, 1 to 20."""

    release_ms: Annotated[float, Field(ge=10, le=2000)] = 100.0
    """Time constant with which the limiter comes back, in milliseconds, 10 to 2000."""

    formats: tuple[FormatName, ...] = ("flac", "mp3", "m4a")
    """Files to deliver: any of flac, wav, mp3, m4a (AAC), ogg (Vorbis), opus. ``master.flac`` is
    made in any case."""

    sample_rate_hz: Annotated[int, Field(ge=8000, le=192_000)] | None = None
    """Sample rate of the master, in Hz, 8000 to 192000; none keeps that of the programme. Formats
    that cannot hold it get the nearest that they can."""

    flac_bits: Literal[16, 24] = 24
    """Bit depth of ``master.flac``: 16 (dithered) or 24."""

    wav_bits: Literal[16, 24, 32] = 24
    """Bit depth of ``master.wav``: 16 (dithered), 24, or 32 (floating point)."""

    mp3_kbps: Annotated[int, Field(ge=32, le=320)] = 256
    """Bit rate of ``master.mp3`` in stereo, in kbit/s, 32 to 320; mono gets half."""

    mp3_mode: Literal["cbr", "vbr"] = "cbr"
    """``cbr``: the same bit rate throughout; ``vbr``: as much as each moment needs."""

    mp3_vbr_quality: Annotated[int, Field(ge=0, le=9)] = 0
    """LAME's quality of a ``vbr`` file, 0 (about 245 kbit/s in stereo) to 9 (about 65)."""

    m4a_kbps: Annotated[int, Field(ge=32, le=512)] = 256
    """Bit rate of ``master.m4a`` (AAC-LC) in stereo, in kbit/s, 32 to 512; other channel counts get
    their share."""

    ogg_quality: Annotated[int, Field(ge=1, le=10)] = 8
    """Quality of ``master.ogg`` (Vorbis), 1 (about 60 kbit/s in stereo) to 10 (about 200)."""

    opus_kbps: Annotated[int, Field(ge=16, le=510)] = 160
    """Bit rate of ``master.opus`` in stereo, in kbit/s, 16 to 510; other channel counts get their
    share."""

    preview_s: Annotated[float, Field(gt=0)] | None = None
    """Deliver only this many seconds, for quick listening, with the gain of the whole; none gives
    everything."""

    preview_start_s: Annotated[float, Field(ge=0)] = 0.0
    """Where a preview starts, in seconds, 0 or more; without effect when ``preview_s`` is not
    set."""

    effects: EffectSettings = EffectSettings()
    """Effects before loudness and limiting; needs the extra ``effects``."""

    reference: str | None = None
    """Absolute path of an audio file whose tonal balance the master is to have; none leaves it as
    it is."""

    album_gain_db: Annotated[float, Field(ge=-100, le=100)] | None = None
    """The gain that all tracks of the album get that this is one of, in dB, so that soft songs stay
    soft; found by ``--album``."""

    album_lufs: Annotated[float, Field(ge=-70, le=20)] | None = None
    """Loudness of that album after the gain, in LUFS, for its ReplayGain tags."""

    album_true_peak_dbtp: Annotated[float, Field(ge=-100, le=60)] | None = None
    """Highest true peak of that album after the gain, for its ReplayGain tags."""

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        platform: Any = given.get("platform")
        delivery = given.get("delivery")
        levels = PLATFORMS[platform].settings() if platform in get_args(Platform) else {}
        formats = DELIVERIES.get(delivery, {}) if isinstance(delivery, str) else {}
        return {**levels, **formats, **given}

    @model_validator(mode="after")
    def _whole(self) -> MasterSettings:
        album = (self.album_gain_db, self.album_lufs, self.album_true_peak_dbtp)
        if None in album and any(value is not None for value in album):
            raise ValueError(
                "album_gain_db, album_lufs and album_true_peak_dbtp go together: give all or none"
            )
        if self.reference is not None and not Path(self.reference).is_absolute():
            raise ValueError(f"reference must be an absolute path, not {self.reference!r}")
        return self

    def ceiling_for(self, *, lossless: bool) -> float:
        """Return the true peak that a decoded file may have."""
        if lossless:
            return self.ceiling_dbtp
        if self.lossy_ceiling_dbtp is not None:
            return min(self.lossy_ceiling_dbtp, self.ceiling_dbtp)
        loud = self.target_lufs > _LOUD_LUFS
        return min(self.ceiling_dbtp, _LOUD_LOSSY_DBTP if loud else math.inf)

    def identity(self) -> dict[str, Any]:
        """Return what the version depends on: bytes of reference and plug-ins too, not only names.

        A reference of the same bytes at another place is the same; a plug-in is not.
        """
        found = super().identity()
        if self.reference is not None and Path(self.reference).is_file():
            found["reference"] = _hash(Path(self.reference))
        for plugin in map(Path, self.effects.plugins):  # a file, or a folder of them
            files = sorted(path for path in (plugin, *plugin.rglob("*")) if path.is_file())
            found[str(plugin)] = [_hash(path) for path in files]
        return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
