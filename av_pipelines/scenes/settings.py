"""What can be set about ``frames``.

Here: the settings and what they allow. Not here: those of ``scenes`` (``scenes_settings``) and
``look`` (``look_settings``), and what follows from them (``frames``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from av_pipelines.scenes.stills import Format, Hardware
from av_pipelines.settings import Settings


class FramesSettings(Settings):
    """Settings of the ``frames`` asset."""

    at: Literal["scenes", "interval", "times"] = "scenes"
    """Which frames: of every one of ``scenes`` the first that is not black and no part of a fade or
    dissolve; one per ``interval``; or those at the listed ``times``."""

    interval_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    """Seconds from one still to the next, above 0, with ``at = interval``; the first still is the
    first frame."""

    times_s: tuple[Annotated[float, Field(ge=-86_400, le=864_000)], ...] = ()
    """Times in seconds, on the clock of ``scenes.json``; giving them sets ``at = times``. A time
    gets the frame that is shown then; before the beginning, the first; after the end, the last."""

    format: Format = "jpeg"
    """``jpeg``, ``png`` (lossless, keeps transparency) or ``webp`` (keeps transparency)."""

    quality: Annotated[int, Field(ge=1, le=100)] = 90
    """Quality of JPEG and WebP, 1 to 100."""

    max_width: Annotated[int, Field(ge=16, le=16_384)] | None = None
    """Largest width in pixels; larger pictures are made smaller in proportion. None: as they
    are."""

    max_height: Annotated[int, Field(ge=16, le=16_384)] | None = None
    """Largest height in pixels, likewise."""

    max_stills: Annotated[int, Field(ge=1, le=20_000)] = 2000
    """Most stills of one film; of more, an evenly spread choice is made, and said so."""

    hardware: Hardware | None = None
    """Hardware decoder to use: ``cuda``, ``vaapi``, ``qsv``, ``videotoolbox`` or ``d3d11va``; an
    error if it is not there or does not know the codec. None decodes in software."""

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        listed = isinstance(given, Mapping) and given.get("times_s") and "at" not in given
        return {**given, "at": "times"} if listed else given

    @model_validator(mode="after")
    def _whole(self) -> FramesSettings:
        if self.at == "times" and not self.times_s:
            raise ValueError("at = times needs times_s: a list of seconds")
        return self
