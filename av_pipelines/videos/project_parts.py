"""Parts of ``project.json``: sources, shots, words and pictures over them, sounds under them.

Here: what each may say and what it means by itself. Not here: the whole project (``project``), how
times and colours are written (``project_values``), which files names stand for (``resolve``).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from av_pipelines.videos.cut import Anchor
from av_pipelines.videos.project_values import (
    TIMECODE,
    Colour,
    Decibels,
    Length,
    Line,
    Part,
    Position,
    Share,
    Text,
)


class Source(Part):
    """What a shot or a lane shows or plays: one of a media, a track or a file."""

    media: str | None = None
    """Key of a media of the store (``avp run`` and the inbox name it)."""
    track: str | None = None
    """Key of a generated track of the store."""
    take: Annotated[int, Field(ge=1)] | None = None
    """Which take of the track; none: the one that is active."""
    path: str | None = None
    """A file: relative to the project's folder, or absolute where that is allowed."""
    look: bool = False
    """The media with its ``look`` in place of the file as it came."""
    transcript: str | None = None
    """A ``transcript.json`` of what is heard, in the project's folder; of a media, its own."""

    @property
    def names(self) -> list[str]:
        """Which of the ways to name a source are used."""
        return [n for n in ("media", "track", "path") if getattr(self, n) is not None]

    @property
    def label(self) -> str:
        """What to call it in messages."""
        name = next((f"{n} {getattr(self, n)}" for n in self.names), "nothing")
        return f"{name} take {self.take}" if self.take else name

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.names) > 1:
            raise ValueError(f"give one of {', '.join(self.names)}, not all of them")
        if self.take and not self.track:
            raise ValueError("a take is one of a track: give `track`, or leave `take` out")
        if self.look and not self.media:
            raise ValueError("a look is one of a media: give `media`, or leave `look` out")
        return self


class Named(Source):
    """A source that must be given."""

    @model_validator(mode="after")
    def _given(self) -> Self:
        if not self.names:
            raise ValueError("it has no source: give one of media, track or path")
        return self


class Reel(Named):
    """What a name in a given timeline stands for."""

    timecode: Annotated[str, Field(pattern=TIMECODE.pattern + "$")] | None = None
    """Of its first picture, where the file itself does not say it."""


class Transition(Part):
    """How a shot comes in over the one before."""

    kind: Literal["cut", "dissolve", "fade", "wipe"]
    """``fade`` goes through black; a fade of the first shot comes out of black."""
    duration: Length = 0.5


def _transition(given: Any) -> Any:
    return {"kind": given} if isinstance(given, str) else given


def _fit(given: Any) -> Any:
    return re.sub(r"[- ]", "_", given) if isinstance(given, str) else given


class Framing(Part):
    """Where the middle of a moving crop is, in shares of the source's width and height."""

    at: Length = 0
    """From the start of the shot."""
    x: Share = 0.5
    y: Share = 0.5
    zoom: Annotated[float, Field(ge=1, le=8)] = 1.0


class Style(Part):
    """How words look; sizes in shares of the picture's height."""

    font: Line = "DejaVu Sans"
    size: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    colour: Colour = "#ffffff"
    outline: Colour = "#000000"
    outline_width: Annotated[float, Field(ge=0, le=0.05)] = 0.004
    box: Annotated[str, Field(pattern="^#([0-9a-fA-F]{6}|[0-9a-fA-F]{8})$")] | None = None
    """Colour of a box behind the words; with two more digits, its opacity."""
    bold: bool = False
    highlight: Colour = "#ffd54a"
    """Colour of a word while it is sung or said."""


class Overlay(Part):
    """A text or a picture over the film."""

    kind: Literal["text", "image", "lower_third"] = "text"
    at: Length = 0
    """From the start of the shot it stands in, or of the film."""
    duration: Length | None = None
    """None: to the end of the shot, or of the film."""
    text: Text = ""
    subtitle: Line = ""
    """Second line of a lower third."""
    path: str | None = None
    """The picture."""
    anchor: Anchor | None = None
    """None: a lower third at the bottom left, all else in the middle."""
    margin: Share = 0.05
    """Distance to the edges, in shares of the picture's height."""
    size: Annotated[float, Field(gt=0, le=4)] | None = None
    """Height of an image in shares of the picture's height; None: its own."""
    opacity: Share = 1.0
    fade: Length = 0
    """How long it comes, and goes."""
    style: Style = Style()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.kind == "image") != (self.path is not None):
            raise ValueError("an image has a `path`, and nothing else has one")
        if self.kind != "image" and not self.text:
            raise ValueError(f"a {self.kind} has no `text`")
        return self


class Effect(Part):
    """A registered Python effect, with its arguments."""

    name: Line
    arguments: dict[str, Any] = Field(default_factory=dict)


class Shot(Source):
    """One stretch of one source, or a plain colour."""

    name: Line = ""
    """Of the chapter that begins with it."""
    colour: Colour | None = None
    """A plain picture in place of a source."""
    in_: Position | None = Field(None, alias="in")
    """Its first picture. None: the source's first."""
    out: Position | None = None
    """The first picture that is no longer of it. None: the source's end."""
    duration: Length | None = None
    """How long it is on the screen, in place of `out`; stills and colours need it."""
    scene: Annotated[int, Field(ge=1)] | None = None
    """A scene of the media, in place of `in` and `out`; scenes count from 1."""
    transition: Annotated[Transition | None, BeforeValidator(_transition)] = None
    """Into this shot; None: a cut."""
    speed: Annotated[float, Field(ge=0, le=100)] = 1.0
    """2 shows twice as much in the same time; 0 holds the first picture."""
    fit: Annotated[Literal["crop", "pad", "blur_pad", "ken_burns"], BeforeValidator(_fit)] = "pad"
    """Where its shape is not the film's."""
    framing: tuple[Framing, ...] = ()
    """Path of the crop; none: the middle."""
    sound: bool = True
    """Whether its own sound is heard, where it has one."""
    gain_db: Decibels = 0.0
    effects: tuple[Effect, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    """Over this shot; their times count from its start."""

    @model_validator(mode="after")
    def _shot(self) -> Self:
        if len(self.names) + (self.colour is not None) != 1:
            raise ValueError("a shot has one of media, track, path or colour")
        if self.scene and (self.in_ is not None or self.out is not None):
            raise ValueError("`scene` stands in place of `in` and `out`")
        if self.scene and not self.media:
            raise ValueError("scenes are known of a media: give `media`")
        if self.duration is not None and self.out is not None:
            raise ValueError("give `out` or `duration`, not both")
        if self.colour and self.duration is None:
            raise ValueError("a colour has no length of its own: give `duration`")
        if self.speed == 0 and self.duration is None:
            raise ValueError("speed 0 holds one picture: give `duration`")
        return self


class Cue(Part):
    """A caption that is written down here, in times of the film."""

    start: Length
    end: Length
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=8)]


class Captions(Part):
    """The words that are said or sung, on the screen."""

    of: Literal["shots", "lanes", "all"] = "all"
    """Whose transcripts: of the sound of the shots, of the audio lanes, or of both."""
    cues: tuple[Cue, ...] = ()
    """Captions given here, in place of transcripts."""
    mode: Literal["burned", "stream"] = "burned"
    """Burned into the picture, or a stream that a player can switch on."""
    karaoke: bool = False
    """Whether each word is highlighted while it is said."""
    language: Annotated[str, Field(pattern="^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{1,8})*$")] | None = None
    """None: that of the transcripts."""
    max_chars: Annotated[int, Field(ge=8, le=200)] = 42
    """Length of a line."""
    max_lines: Annotated[int, Field(ge=1, le=4)] = 2
    anchor: Anchor = "bottom"
    margin: Share = 0.08
    style: Style = Style()


class Lane(Named):
    """A sound under the film."""

    role: Literal["music", "voice", "effect"] = "music"
    at: Length = 0
    """When in the film it begins."""
    in_: Length | None = Field(None, alias="in")
    """Where in the source it begins."""
    out: Length | None = None
    """None: to its end, at most to the film's."""
    gain_db: Decibels = 0.0
    fade_in: Length = 0
    fade_out: Length = 0
    duck_db: Annotated[float, Field(ge=0, le=60)] = 0.0
    """How much softer it is while someone speaks."""
    loop: bool = False


class EndCard(Part):
    """A card at the end of the film."""

    text: Text
    subtitle: Line = ""
    duration: Length = 3
    colour: Colour = "#000000"
    transition: Annotated[Transition | None, BeforeValidator(_transition)] = None
    style: Style = Style(size=0.08)


class Wave(Part):
    """A waveform of the film's sound, drawn into the picture; shares of its height."""

    top: Share = 0.6
    height: Annotated[float, Field(gt=0, le=1)] = 0.2
    colour: Colour = "#ffffff"
