"""What can be set about the effects of a master.

Here: their settings and the presets. Not here: the effects themselves (``effects``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from av_pipelines.settings import Settings

PLUGIN_SUFFIXES = (".vst3", ".component")

_Hz = Annotated[float, Field(ge=10, le=20_000)]
_Db = Annotated[float, Field(ge=-100, le=0)]
_Ratio = Annotated[float, Field(ge=1, le=100)]
_Ms = Annotated[float, Field(ge=0.1, le=5000)]


class Gate(Settings):
    """Turn what is softer than a threshold down."""

    threshold_db: _Db = -50.0
    """Below this level it closes, in dB relative to full scale."""
    ratio: _Ratio = 4.0
    """How far it turns down: 1 not at all, 100 to silence."""
    attack_ms: _Ms = 2.0
    """How fast it opens."""
    release_ms: _Ms = 150.0
    """How fast it closes."""


class Band(Settings):
    """One band of the equaliser."""

    kind: Literal["low_shelf", "peak", "high_shelf"] = "peak"
    """Everything below ``hz``, around it, or above it."""
    hz: _Hz = 1000.0
    """Where."""
    gain_db: Annotated[float, Field(ge=-24, le=24)] = 0.0
    """How much, -24 to 24 dB."""
    q: Annotated[float, Field(ge=0.1, le=20)] = 0.707
    """How narrow, 0.1 to 20."""


class Compressor(Settings):
    """Turn what is louder than a threshold down."""

    threshold_db: _Db = -20.0
    """Above this level it works, in dB relative to full scale."""
    ratio: _Ratio = 2.0
    """How many dB in for one dB more out."""
    attack_ms: _Ms = 15.0
    """How fast it turns down."""
    release_ms: _Ms = 150.0
    """How fast it comes back."""


class Reverb(Settings):
    """A room; for mono and stereo."""

    room_size: Annotated[float, Field(ge=0, le=1)] = 0.3
    """0 to 1."""
    damping: Annotated[float, Field(ge=0, le=1)] = 0.5
    """0 to 1."""
    wet: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the room in the sound, 0 to 1."""


class Delay(Settings):
    """Echoes."""

    seconds: Annotated[float, Field(gt=0, le=5)] = 0.3
    """Time between them."""
    feedback: Annotated[float, Field(ge=0, le=0.95)] = 0.2
    """How much of one is in the next, 0 to 0.95."""
    mix: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the echoes in the sound, 0 to 1."""


class EffectSettings(Settings):
    """Effects in the order they are applied; what is none or empty is left out."""

    preset: Literal["none", "music", "podcast", "film"] = "none"
    """Fills in what is not set. ``music``: a low cut, a touch of compression and air. ``podcast``:
    gate, low cut, presence, firm compression. ``film``: a low cut and gentle compression."""
    highpass_hz: _Hz | None = None
    """Take away what is below."""
    gate: Gate | None = None
    """Turn pauses down."""
    eq: tuple[Band, ...] = ()
    """Bands of an equaliser."""
    compressor: Compressor | None = None
    """Even out the level."""
    saturation_db: Annotated[float, Field(ge=0, le=40)] | None = None
    """Drive into soft clipping, in dB."""
    reverb: Reverb | None = None
    """Put it in a room."""
    delay: Delay | None = None
    """Add echoes."""
    plugins: tuple[str, ...] = ()
    """Absolute paths of VST3 (``.vst3``) or Audio Unit (``.component``) plug-ins. They run as part
    of this program: use only those you trust."""
    gain_db: Annotated[float, Field(ge=-60, le=60)] = 0.0
    """Gain at the end; loudness is set after it."""

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and isinstance(given.get("preset"), str):
            return {**PRESETS.get(given["preset"], {}), **given}
        return given

    @field_validator("plugins")
    @classmethod
    def _plugins(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not PurePath(path).is_absolute() or PurePath(path).suffix not in PLUGIN_SUFFIXES:
                allowed = " or ".join(PLUGIN_SUFFIXES)
                raise ValueError(f"{path!r} must be an absolute path that ends in {allowed}")
        return paths

    @property
    def wanted(self) -> bool:
        """Whether any effect is set."""
        return bool(self.model_dump(exclude_defaults=True, exclude={"preset"}))


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "music": {
        "highpass_hz": 25.0,
        "eq": ({"kind": "high_shelf", "hz": 11_000, "gain_db": 1.0},),
        "compressor": {"threshold_db": -18, "ratio": 1.5, "attack_ms": 30, "release_ms": 200},
    },
    "podcast": {
        "highpass_hz": 80.0,
        "gate": {"threshold_db": -55, "ratio": 3},
        "eq": (
            {"kind": "peak", "hz": 250, "gain_db": -2.0, "q": 1.0},
            {"kind": "peak", "hz": 4000, "gain_db": 2.0, "q": 0.8},
        ),
        "compressor": {"threshold_db": -24, "ratio": 3, "attack_ms": 5, "release_ms": 120},
    },
    "film": {
        "highpass_hz": 30.0,
        "compressor": {"threshold_db": -26, "ratio": 1.5, "attack_ms": 20, "release_ms": 400},
    },
}
"""Effects by purpose."""
