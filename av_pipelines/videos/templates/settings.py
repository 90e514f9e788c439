"""What can be set about each template.

Here: the settings, light. Not here: what is made of them (a module for each template).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from av_pipelines.settings import Settings

Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class TemplateSettings(Settings):
    """What every template has."""

    title: Annotated[str, Field(max_length=200)] | None = None
    """Shown at the beginning, and the film's name. None: that of the material; empty: none."""

    artist: Annotated[str, Field(max_length=200)] | None = None
    """Shown with the title. None: that of the material; empty: none."""

    aspect_ratio: Literal["16:9", "9:16", "4:5", "1:1"] = "16:9"
    """Of the film; cutdowns have those of their platforms."""

    resolution: Literal["720p", "1080p", "2160p"] = "1080p"
    """Pixels of the shorter side."""

    fps: Literal[24, 25, 30, 50, 60] = 30
    """Frames a second."""

    quality: Literal["low", "standard", "high"] = "standard"
    """Of the picture."""

    accent: Colour = "#ffd54a"
    """Of the word that is sung or said, and of the waveform."""

    background: tuple[Colour, ...] = Field((), max_length=3)
    """Colours of a background that is drawn, two or three from top left to bottom right. None:
    from the picture, else from the title."""


class LyricVideoSettings(TemplateSettings):
    """Settings of ``lyric_video``."""

    cut_on: Literal["lines", "beats"] = "lines"
    """Where pictures and clips change: where a line begins, or on the beat."""

    picture_s: Annotated[float, Field(ge=1, le=60)] = 8.0
    """About how long each picture or clip is shown, in seconds, 1 to 60."""

    text_size: Annotated[float, Field(ge=0.03, le=0.2)] = 0.085
    """Height of a line, in shares of the picture's height."""

    shade: Annotated[float, Field(ge=0, le=0.9)] = 0.4
    """How much pictures and clips are darkened behind the words."""

    loudness: Annotated[float, Field(ge=-40, le=-8)] | None = -14.0
    """Integrated loudness in LUFS; none leaves the song as it is."""


class AudiogramSettings(TemplateSettings):
    """Settings of ``audiogram``."""

    aspect_ratio: Literal["16:9", "9:16", "4:5", "1:1"] = "1:1"
    """Of the film; cutdowns have those of their platforms."""

    captions: bool = True
    """Whether what is said is shown."""

    loudness: Annotated[float, Field(ge=-40, le=-8)] | None = -16.0
    """Integrated loudness in LUFS; none leaves the sound as it is."""


class TrailerSettings(TemplateSettings):
    """Settings of ``trailer``; its frame rate is the film's."""

    length_s: Annotated[float, Field(ge=4, le=300)] = 30.0
    """Of the trailer without its end card, at most, in seconds, 4 to 300."""

    shot_s: Annotated[float, Field(ge=0.5, le=10)] = 2.5
    """About how long a shot is, in seconds; the first are longer, the last shorter."""

    keep_end: bool = False
    """Whether the last tenth of the film may be shown, too."""

    end_card: bool = True
    """Whether the title stands at the end."""


class SlideshowSettings(TemplateSettings):
    """Settings of ``slideshow``."""

    picture_s: Annotated[float, Field(ge=1, le=60)] = 4.5
    """How long each picture is shown, in seconds, 1 to 60."""

    dissolve_s: Annotated[float, Field(ge=0, le=5)] = 0.8
    """How long one picture turns into the next, in seconds; 0 cuts."""

    on_beats: bool = True
    """Whether pictures change on the beat of the music, where it has one."""
