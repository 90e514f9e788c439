"""Settings of the ``stems`` asset: what a user may choose, and what is allowed.

Not here: which engines and models are on this machine and which one is taken (``engines``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from av_pipelines.settings import Settings
from resources.accelerator import Setting

ENGINES = ("demucs", "spleeter", "demucs-mlx")

Stem = Literal["vocals", "drums", "bass", "other", "guitar", "piano"]


@dataclass(frozen=True)
class Effort:
    """What a quality stands for."""

    overlap: float
    shifts: int
    silence_dbfs: float | None
    """Peak up to which a segment is taken for silent; None: only digital silence costs nothing."""


BY_QUALITY: Mapping[str, Effort] = {
    "draft": Effort(overlap=0.1, shifts=0, silence_dbfs=-72.0),
    "standard": Effort(overlap=0.25, shifts=0, silence_dbfs=None),
    "high": Effort(overlap=0.25, shifts=2, silence_dbfs=None),
}


class StemsSettings(Settings):
    """How a mix is taken apart. Stems keep their levels: their balance is that of the mix."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device", "threads", "batch"})
    paths: ClassVar[frozenset[str]] = frozenset({"model_repo"})

    quality: Literal["draft", "standard", "high"] = "standard"
    """Draft: fewest passes, quiet stretches left out; standard: htdemucs; high: htdemucs_ft, with
    shifts, some eight times the work."""

    engine: Literal["auto", "demucs", "spleeter", "demucs-mlx"] = "auto"
    """Who separates; auto takes the best that is on this machine. Not there: an error."""

    model: str | None = None
    """A model by name (``avp models list``), or of model_repo; nothing: by quality."""

    model_repo: str | None = None
    """A folder with models of your own, as ``demucs --repo`` takes it: a path, or the name of a
    folder in the model folder. Needs ``model``."""

    two_stems: Stem | None = None
    """Only this stem and the accompaniment, which is the mix without it; nothing: all stems."""

    overlap: float | None = Field(default=None, ge=0.0, le=0.9)
    """Share of a segment that the next one overlaps; nothing: 0.25, for draft and spleeter 0.1."""

    shifts: int | None = Field(default=None, ge=0, le=20)
    """Passes shifted by chance up to half a second, averaged; nothing: by quality, 0 or 2."""

    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """What chance starts from: the same seed gives the same stems."""

    clip: Literal["none", "clamp", "scale_all"] = "none"
    """When a stem exceeds full scale: none keeps it, in a W64 file of floats; clamp cuts it off;
    scale_all turns all stems down alike."""

    residual: bool = False
    """Also write residual.flac, what the stems leave of the mix: all together are the mix."""

    device: Setting = "auto"
    """What computes: auto, cpu, cuda, mps or mlx. Asked for and not there: an error."""

    threads: int = Field(default=0, ge=0, le=256)
    """CPU threads; 0: as many as this process may use. Changes no version."""

    batch: int = Field(default=0, ge=0, le=256)
    """Segments at once; 0: one per CPU thread, on a GPU what fits its memory. No version change."""

    @field_validator("model_repo")
    @classmethod
    def _names_a_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("model") is None:
            raise ValueError("model must say which of its models to take")
        if info.data.get("engine") not in ("auto", "demucs", None):
            raise ValueError(f"it is for the engine demucs, not {info.data['engine']}")
        return value

    @property
    def effort(self) -> Effort:
        """What the quality stands for, with what is set beside it."""
        usual = BY_QUALITY[self.quality]
        return Effort(
            overlap=usual.overlap if self.overlap is None else self.overlap,
            shifts=usual.shifts if self.shifts is None else self.shifts,
            silence_dbfs=usual.silence_dbfs,
        )
