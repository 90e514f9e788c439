"""Settings of ``source`` and ``audio``: how much a file from outside may ask for, what is taken.

Here: the two models. Not here: how they are enforced (``containers``, ``passes``, ``sandbox``).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from av_pipelines.settings import Settings

_GIB = 2**30


class SourceSettings(Settings):
    """Limits on a file from outside; whoever goes beyond one is put into quarantine."""

    neutral: ClassVar[frozenset[str]] = frozenset(
        {"max_memory_bytes", "max_cpu_s", "max_wall_s", "max_output_bytes", "stall_s"}
    )

    min_complete: float = Field(0.9, ge=0.0, le=1.0)
    """Share of its declared length that a file must hold. Below it the file is refused, between
    it and 99 % it is kept and marked as degraded."""

    max_duration_s: float = Field(12 * 3600.0, gt=0)
    """Longest media, in seconds."""

    max_pixels: int = Field(8192 * 8192, gt=0)
    """Most pixels in one frame: width times height."""

    min_sample_rate_hz: int = Field(1000, ge=1)
    """Lowest sample rate, in Hz."""

    max_sample_rate_hz: int = Field(768_000, ge=1)
    """Highest sample rate, in Hz."""

    max_channels: int = Field(64, ge=1)
    """Most channels in one audio stream."""

    max_streams: int = Field(128, ge=1)
    """Most streams in one file."""

    max_memory_bytes: int = Field(4 * _GIB, ge=_GIB // 2)
    """Address space of the process that reads the file, in bytes."""

    max_cpu_s: int = Field(4 * 3600, ge=1)
    """CPU seconds that reading one file may take."""

    max_wall_s: float = Field(24 * 3600.0, gt=0)
    """Seconds by the clock that reading one file may take."""

    max_output_bytes: int = Field(64 * _GIB, ge=2**20)
    """Size of any one file that is written, in bytes."""

    stall_s: float = Field(120.0, gt=0)
    """Seconds without progress after which reading is given up."""


class AudioSettings(Settings):
    """Which sound is taken from a file."""

    stream: int | None = Field(None, ge=0)
    """Index of the audio stream, as listed in ``probe.json``; None takes the best one: the default
    stream, or else the one with most channels."""
