"""What can be set about a ``look``.

Here: numbers and choices, each within bounds, and one path; nothing that is set reaches FFmpeg as
text. Not here: what they do (``grade``, ``speed``, ``filters``).
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from av_pipelines.settings import Settings

MAX_LUT_BYTES = 64 * 2**20
_LEAST_STEP_S = 0.001  # between two points of a ramp


def _for_each_channel(given: Any) -> Any:
    return [given] * 3 if isinstance(given, int | float) and not isinstance(given, bool) else given


_Lift = Annotated[float, Field(ge=-0.5, le=0.5)]
_Gamma = Annotated[float, Field(ge=0.2, le=5)]
_Gain = Annotated[float, Field(ge=0, le=4)]
Lift = Annotated[tuple[_Lift, _Lift, _Lift], BeforeValidator(_for_each_channel)]
Gamma = Annotated[tuple[_Gamma, _Gamma, _Gamma], BeforeValidator(_for_each_channel)]
Gain = Annotated[tuple[_Gain, _Gain, _Gain], BeforeValidator(_for_each_channel)]
Share = Annotated[float, Field(ge=0, le=0.9)]
Point = tuple[Annotated[float, Field(ge=0, le=86_400)], Annotated[float, Field(ge=0.1, le=16)]]
Even = Annotated[int, Field(ge=16, le=8192, multiple_of=2)]


class LookSettings(Settings):
    """Settings of the ``look`` asset; as long as none is changed, there is no look to make."""

    paths: ClassVar[frozenset[str]] = frozenset({"lut"})

    exposure_ev: Annotated[float, Field(ge=-6, le=6)] = 0.0
    """Exposure in stops, -6 to 6: every stop doubles the light."""

    temperature_k: Annotated[float, Field(ge=1700, le=25_000)] = 6500.0
    """White balance: colour temperature of the light on the scene in kelvins, 1700 to 25000. Above
    6500 the picture gets warmer, below it colder."""

    tint: Annotated[float, Field(ge=-100, le=100)] = 0.0
    """White balance across: -100 (green) to 100 (magenta)."""

    lift: Lift = (0.0, 0.0, 0.0)
    """Raises the shadows, -0.5 to 0.5: one number, or one each for red, green and blue."""

    gamma: Gamma = (1.0, 1.0, 1.0)
    """Brightens the middle tones above 1, darkens them below, 0.2 to 5; likewise."""

    gain: Gain = (1.0, 1.0, 1.0)
    """Scales the highlights, 0 to 4; likewise."""

    saturation: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Strength of colour: 0 (grey) to 2."""

    lut: str | None = None
    """Absolute path of a look-up table, ``.cube`` (Adobe), 1D or 3D; applied after the other
    colour settings."""

    stabilise: bool = False
    """Take the shake out of a hand-held shot; what was measured of it is kept as
    ``transforms.trf``."""

    stabilise_smoothing: Annotated[int, Field(ge=1, le=500)] = 15
    """Frames before and after each over which the path of the camera is smoothed, 1 to 500."""

    stabilise_shakiness: Annotated[int, Field(ge=1, le=10)] = 5
    """How far to look for movement: 1 (a little) to 10 (very shaky, slow)."""

    stabilise_zoom: bool = True
    """Zoom in as far as needed to hide the moving borders."""

    speed: Annotated[float, Field(ge=0.1, le=16)] = 1.0
    """How many times as fast, 0.1 to 16. The sound keeps its pitch."""

    speed_ramp: Annotated[tuple[Point, ...], Field(max_length=32)] = ()
    """Speed over time instead: up to 32 points (second of the film, speed), such as
    [[5, 1], [8, 4], [12, 4], [12, 0.5]]. Between points the speed changes evenly, at two points of
    the same second at once."""

    slow_motion: Literal["repeat", "blend", "flow"] = "repeat"
    """What fills the gaps when slowed down: ``repeat`` frames, ``blend`` neighbours, or follow the
    ``flow`` of the picture (very slow to make)."""

    sound: bool = True
    """Whether the sound is kept."""

    denoise: Literal["light", "medium", "strong"] | None = None
    """Takes noise out of the picture, over space and time."""

    deinterlace: Literal["auto", "always", "never"] = "auto"
    """``auto``: frames that are marked as interlaced."""

    crop: tuple[Share, Share, Share, Share] = (0.0, 0.0, 0.0, 0.0)
    """Shares of the picture to cut off: left, top, right, bottom, each 0 to 0.9."""

    width: Even | None = None
    """Width in pixels, even, 16 to 8192. None: as it is, or in proportion to the height."""

    height: Even | None = None
    """Height in pixels, likewise."""

    fit: Literal["pad", "cut", "stretch"] = "pad"
    """When width and height are both set: ``pad`` with black bars, ``cut`` off what is too much, or
    ``stretch``."""

    fps: Annotated[float, Field(ge=1, le=240)] | None = None
    """Frames per second, 1 to 240; None: those of the film. 29.97 and the like are taken for
    30000/1001 and the like."""

    crf: Annotated[int, Field(ge=0, le=40)] = 18
    """Quality of the H.264 picture: 0 (lossless, huge) to 40; 18 looks like the original."""

    preset: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = "medium"
    """How much time the encoder takes to make the file small."""

    audio_kbps: Annotated[int, Field(ge=48, le=512)] = 192
    """Bit rate of the sound (AAC), in kbit/s, 48 to 512."""

    @model_validator(mode="after")
    def _whole(self) -> LookSettings:
        left, top, right, bottom = self.crop
        if left + right > 0.95 or top + bottom > 0.95:
            raise ValueError("crop leaves nothing: left + right and top + bottom may be 0.95")
        if self.lut is not None and not (
            Path(self.lut).is_absolute() and Path(self.lut).suffix.lower() == ".cube"
        ):
            raise ValueError(f"lut must be the absolute path of a .cube file, not {self.lut!r}")
        times = [second for second, _ in self.speed_ramp]
        steps = [after - before for before, after in pairwise(times)]
        if any(step < 0 or 0 < step < _LEAST_STEP_S - 1e-9 for step in steps):
            raise ValueError(
                "speed_ramp must be in the order of time, its points at one time (a jump) or at "
                f"least {_LEAST_STEP_S} s apart"
            )
        if self.speed_ramp and self.speed != 1:
            raise ValueError("speed and speed_ramp exclude each other: set one of them")
        return self

    @property
    def changes_nothing(self) -> bool:
        """Whether no effect is set; how the file is encoded is no effect."""
        encoding = {"crf", "preset", "audio_kbps"}
        return self.model_dump(exclude=encoding) == type(self)().model_dump(exclude=encoding)

    def identity(self) -> dict[str, Any]:
        """Return what the version depends on: the bytes of the table too, not its name."""
        found = super().identity()
        if self.lut is not None and Path(self.lut).is_file():
            with Path(self.lut).open("rb") as file:
                found["lut"] = hashlib.file_digest(file, "sha256").hexdigest()
        return found
