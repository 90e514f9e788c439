"""What can be set about a ``timeline``, a ``video`` and its ``cutdowns``.

Here: what belongs to how a film is delivered. Not here: what the film is (``project``), what the
settings do (``timeline``, ``render``, ``cutdowns``).
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from av_pipelines.settings import Settings
from resources.accelerator import Setting

Codec = Literal["h264", "h265", "av1", "prores", "vp9"]
Quality = Literal["low", "standard", "high"]
Sizes = Literal["auto", "platform"]

_TIMECODE = re.compile(r"\d{2}:[0-5]\d:[0-5]\d[:;]\d{2}")


class TimelineSettings(Settings):
    """Settings of the ``timeline`` asset."""

    neutral: ClassVar[frozenset[str]] = frozenset({"allowed"})
    paths: ClassVar[frozenset[str]] = frozenset({"allowed"})

    allowed: tuple[str, ...] = ()
    """Folders, beside that of the project, out of which it may take files by path; ["/"]: any.
    What is in the store a project names by its key."""

    drop_frame: bool | None = None
    """Drop-frame timecode in the EDL. None: where it is usual, at 29.97 and 59.94."""

    start_timecode: str = "01:00:00:00"
    """Timecode at which the film begins, HH:MM:SS:FF."""

    reel_names: Literal["short", "full"] = "short"
    """Names of sources in the EDL: ``short``, of 8 letters and digits as CMX3600 has them, or
    ``full``, of up to 32, as newer programs write and read them."""

    @field_validator("start_timecode")
    @classmethod
    def _is_timecode(cls, given: str) -> str:
        if not _TIMECODE.fullmatch(given):
            raise ValueError("give it as HH:MM:SS:FF, such as 01:00:00:00")
        return given


class VideoSettings(Settings):
    """Settings of the ``video`` asset."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device", "threads"})

    codec: Codec = "h264"
    """Of the picture. h264, h265 and av1 come as MP4 with AAC, prores as MOV with PCM, vp9 as WebM
    with Opus."""

    quality: Quality | None = None
    """Of the picture: low (fast to make, small), standard, high. None: what the project says."""

    device: Setting = "auto"
    """Where the picture is encoded; not there: an error."""

    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the processor; 0: all that this process may use."""


class CutdownsSettings(Settings):
    """Settings of the ``cutdowns`` asset."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device", "threads"})

    platforms: tuple[str, ...] = ()
    """Places to make a file for. None: one of each shape, 16:9, 9:16, 4:5 and 1:1."""

    durations_s: dict[str, Annotated[float, Field(gt=0, le=14_400)]] = Field(default_factory=dict)
    """Platform → length in seconds, in place of what is usual there."""

    framing: Literal["subject", "centre"] = "subject"
    """What stays in the picture where it is narrower than the film: faces and what draws the eye,
    or the middle."""

    sizes: Sizes = "auto"
    """``auto``: no larger than what is cut out of the film, but at least 720 pixels on the shorter
    side, of a smaller film three quarters of its own (of 1080p, 9:16 is 720x1280 and 4:5 is
    864x1080; of 720p, 540x960 and 576x720); ``platform``: the full size of the place, such as
    1080x1920, blown up where it must be."""

    captions: bool = True
    """Whether captions are placed anew for each shape."""

    codec: Literal["h264", "h265"] = "h264"
    """Of the picture."""

    quality: Quality | None = None
    """Of the picture; None: what the project says."""

    device: Setting = "auto"
    """Where the pictures are encoded and looked at; not there: an error."""

    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the processor; 0: all that this process may use."""
