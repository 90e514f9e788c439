"""What can be set about ``scenes``: how changes are found, and what is made of them.

Here: the latter; the former are ``detector_settings``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from av_pipelines.scenes.detector_settings import DetectorSettings


class ScenesSettings(DetectorSettings):
    """Settings of the ``scenes`` asset."""

    drop_frame: bool | None = None
    """Drop-frame timecode in ``scenes.edl``. None: where it is usual, at 29.97 and 59.94 frames a
    second; at other rates there is none."""

    keyframe_max_width: Annotated[int, Field(ge=16, le=16_384)] = 1920
    """Largest width of the keyframe of a scene, in pixels, 16 to 16384."""

    keyframe_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """JPEG quality of keyframes, 1 to 100."""

    colours: Annotated[int, Field(ge=1, le=16)] = 5
    """Main colours of each scene, 1 to 16."""

    sheet_columns: Annotated[int, Field(ge=1, le=12)] = 4
    """Pictures in a row of the contact sheet, 1 to 12."""
