"""What can be set about finding the changes of a film.

Names and defaults are PySceneDetect's where it has the same thing.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from av_pipelines.settings import Settings


class DetectorSettings(Settings):
    """How changes of shot are found."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device"})

    quality: Literal["draft", "standard", "high"] = "standard"
    """What detector = auto stands for. high asks the neural network TransNetV2 about every frame,
    standard only where simpler signals leave doubt, draft never."""

    detector: Literal["auto", "transnetv2", "adaptive", "content", "fade"] = "auto"
    """How changes are found. transnetv2: by the neural network. adaptive: cuts by a change of
    content that is large beside its neighbours', fades and dissolves. content: cuts by a large
    change of content. fade: fades and dissolves only. auto: as quality says."""

    adaptive_threshold: Annotated[float, Field(gt=0)] = 3.0
    """How many times its neighbours' change a frame's must be to be a cut (adaptive)."""

    min_content_val: Annotated[float, Field(ge=0, le=255)] = 15.0
    """Smallest change of content that can be a cut (adaptive), 0 to 255."""

    window_width: Annotated[int, Field(ge=1, le=100)] = 2
    """Neighbours on either side that a frame is compared with (adaptive)."""

    threshold: Annotated[float, Field(ge=0, le=255)] = 27.0
    """Smallest change of content that is a cut (content), 0 to 255."""

    fade_threshold: Annotated[float, Field(ge=0, le=100)] = 12.0
    """Mean brightness, 0 to 255, up to which a frame is black; white is as far from 255."""

    transnetv2_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which the network's word is taken (transnetv2)."""

    min_scene_s: Annotated[float, Field(ge=0, le=60)] = 0.3
    """Shortest scene, in seconds: a cut sooner after another is left out."""

    flash_s: Annotated[float, Field(ge=0, le=5)] = 0.4
    """Longest flash, in seconds: a sudden change that is gone after this time is no cut."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs. auto: on a GPU if there is one."""
