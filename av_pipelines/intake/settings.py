"""Settings of ``source``, ``audio`` and ``picture``: how much a file may ask for, what is taken.

Here: the models. Not here: how they are enforced (``containers``, ``passes``, ``sandbox``).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from av_pipelines.settings import Settings

_GIB = 2**30


class SourceSettings(Settings):
    """Limits on a file from outside; whoever goes beyond one is put into quarantine."""

    neutral: ClassVar[frozenset[str]] = frozenset(
        {"max_memory_bytes", "max_cpu_s", "max_wall_s", "max_output_bytes", "stall_s"}
    )

    min_complete: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """Share of its declared length that a file must hold. Below it the file is refused, between
    it and 99 % it is kept and marked as degraded."""

    max_duration_s: Annotated[float, Field(gt=0)] = 12 * 3600.0
    """Longest media, in seconds."""

    max_pixels: Annotated[int, Field(gt=0)] = 8192 * 8192
    """Most pixels in one frame: width times height."""

    min_sample_rate_hz: Annotated[int, Field(ge=1)] = 1000
    """Lowest sample rate, in Hz."""

    max_sample_rate_hz: Annotated[int, Field(ge=1)] = 768_000
    """Highest sample rate, in Hz."""

    max_channels: Annotated[int, Field(ge=1)] = 64
    """Most channels in one audio stream."""

    max_streams: Annotated[int, Field(ge=1)] = 128
    """Most streams in one file."""

    max_memory_bytes: Annotated[int, Field(ge=_GIB // 2)] = 4 * _GIB
    """Address space of the process that reads the file, in bytes."""

    max_cpu_s: Annotated[int, Field(ge=1)] = 4 * 3600
    """CPU seconds that reading one file may take."""

    max_wall_s: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """Seconds by the clock that reading one file may take."""

    max_output_bytes: Annotated[int, Field(ge=2**20)] = 64 * _GIB
    """Size of any one file that is written, in bytes."""

    stall_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without progress after which reading is given up."""


class AudioSettings(Settings):
    """Which sound is taken from a file."""

    stream: Annotated[int | None, Field(ge=0)] = None
    """Index of the audio stream, as listed in ``probe.json``; None takes the best one: the default
    stream, or else the one with most channels."""


class PictureSettings(Settings):
    """How closely the picture of a film is looked at."""

    quality: Literal["draft", "standard", "high"] = "standard"
    """draft looks at keyframes only, about thirty times as fast: cuts are found where the encoder
    put keyframes on them. standard and high are the same here: every frame."""

    @property
    def keyframes_only(self) -> bool:
        """Whether only keyframes are looked at."""
        return self.quality == "draft"

    def identity(self) -> dict[str, Any]:
        """Return what the version is a hash of: standard and high give the same file."""
        return {"keyframes_only": self.keyframes_only}
