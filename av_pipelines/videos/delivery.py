"""What is delivered of a film, and what came out: the plain data of ``render``.

Here: one file that is wanted, one file that was made. Not here: what the film is (``cut``), how it
is made (``render``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av_pipelines.videos.cut import Captions, Cut, Fit, Framing, Overlay, Wave

Codec = Literal["h264", "h265", "av1", "prores", "vp9"]
Quality = Literal["low", "standard", "high"]

CONTAINERS: Mapping[Codec, str] = {
    "h264": ".mp4",
    "h265": ".mp4",
    "av1": ".mp4",
    "prores": ".mov",
    "vp9": ".webm",
}
"""The suffix that goes with each codec."""


@dataclass(frozen=True)
class Delivery:
    """One file wanted of a cut; what is None is as the cut has it."""

    name: str
    """File name; its suffix must be that of the codec (``CONTAINERS``)."""
    width: int
    height: int
    codec: Codec = "h264"
    quality: Quality | None = None
    fit: Fit | None = None
    """Replaces that of every shot."""
    framing: Mapping[int, tuple[Framing, ...]] | None = None
    """Replaces ``Shot.framing`` of the shots with these indices, whose fit becomes ``crop``."""
    captions: Captions | None = None
    overlays: tuple[Overlay, ...] | None = None
    wave: Wave | None = None
    look: str | None = None
    """A libavfilter chain over the whole picture, under the words; never text of a stranger."""
    loudness_lufs: float | None = None
    max_frames: int | None = None
    """It ends after so many frames of the film, with its sound faded out; at most the cut's."""

    def frames(self, cut: Cut) -> int:
        """Length in frames."""
        return cut.frames if self.max_frames is None else min(self.max_frames, cut.frames)


@dataclass(frozen=True)
class RenderedShot:
    """Where a shot is in a film, and where it comes from."""

    name: str
    first: int
    """First frame of the film that shows it, its transition included."""
    frames: int
    source: Path | None
    start: Fraction
    """Seconds of the source at its first frame."""
    copied: int
    """How many of its frames were copied without encoding them again."""


@dataclass(frozen=True)
class Rendered:
    """A file that was made and checked."""

    path: Path
    width: int
    height: int
    frames: int
    fps: Fraction
    codec: Codec
    encoder: str
    """FFmpeg's name of what encoded it; ``copy`` where nothing was encoded."""
    duration_s: float
    integrated_lufs: float | None
    """None where there is no sound, or silence."""
    true_peak_dbtp: float | None
    stream_copied_s: float
    shots: tuple[RenderedShot, ...]
    bytes: int
    cpu_s: float
    """CPU seconds of the whole rendering, of all deliveries together."""
    fonts: tuple[str, ...]
    """Fonts that were used, as libass names them."""
    notes: tuple[str, ...]
    """What a person should know: fallbacks, effects passed through Python, flagged sources."""
    degraded: str | None
    """What is less than was asked for; None if nothing."""
