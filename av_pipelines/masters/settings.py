"""What can be set about a master.

Here: the settings and what they allow. Not here: what follows from them (``levelling``,
``formats``, ``master``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from av_pipelines.settings import Settings

FormatName = Literal["flac", "wav", "mp3", "m4a", "ogg", "opus"]


class MasterSettings(Settings):
    """Settings of the ``master`` asset."""

    target_lufs: Annotated[float, Field(ge=-70, le=-5)] = -14.0
    """Integrated loudness of the master, in LUFS (ITU-R BS.1770), -70 to -5. Common: -14 for
    streaming, -16 for podcasts, -23 for European broadcast (EBU R 128)."""

    ceiling_dbtp: Annotated[float, Field(ge=-20, le=0)] = -1.0
    """True peak that no delivered file exceeds, in dB relative to full scale, -20 to 0."""

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

    flac_bits: Literal[16, 24] = 24
    """Bit depth of ``master.flac``: 16 (dithered) or 24."""

    wav_bits: Literal[16, 24, 32] = 24
    """Bit depth of ``master.wav``: 16 (dithered), 24, or 32 (floating point)."""

    mp3_kbps: Annotated[int, Field(ge=32, le=320)] = 256
    """Bit rate of ``master.mp3`` in stereo, in kbit/s, 32 to 320; mono gets half."""

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
