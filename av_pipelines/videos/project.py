"""``project.json``: what a film is made of, as a person or a template writes it down.

Here: what a project may say and what it means by itself, reading it with errors that name the shot
and the field, saving it without overwriting somebody else's change, and its JSON Schema. Not here:
which files its names stand for (``resolve``), frames (``timeline``).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid as uuids
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from av_pipelines.media.timecode import timecode_rate
from av_pipelines.settings import SettingsError
from resources.store import write_durably

FORMAT = 1
"""Version of the shape of ``project.json``; it changes when a reader would have to."""
FILE = "project.json"
MAX_BYTES = 8 * 2**20
MAX_TEXT = 10_000


class ProjectError(SettingsError):
    """A project cannot be made; the message names the file, the shot, the field, what to do."""


class StaleVersion(ProjectError):
    """The project was saved by somebody else since it was read."""


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True
    )


# ---------------------------------------------------------------------- words of a project

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_TIMECODE = re.compile(r"\d{2,}:[0-5]\d:[0-5]\d[:;]\d{2,3}")
_RATE = re.compile(r"\d{1,6}(\.\d{1,6}|/[1-9]\d{0,5})?")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def seconds_of(text: str) -> Fraction:
    """Read ``SS.s``, ``MM:SS.s`` or ``HH:MM:SS.s`` exactly; ValueError if it is none."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return Fraction(text)
    match = _CLOCK.fullmatch(text)
    if not match or int(match[2]) > 59 or Fraction(match[3]) >= 60:
        raise ValueError(
            f"{text!r} is no time: give seconds, HH:MM:SS.s, a timecode HH:MM:SS:FF, "
            'or {"frame": N}'
        )
    return (int(match[1] or 0) * 60 + int(match[2])) * 60 + Fraction(match[3])


def is_timecode(text: str) -> bool:
    """Whether a text that a project gives as a time is a timecode, with frames."""
    return _TIMECODE.fullmatch(text) is not None


class Frame(_Part):
    """A frame by its number, from 0."""

    frame: Annotated[int, Field(ge=0)]


class Scene(_Part):
    """The first picture of a scene (as ``in``), or its end (as ``out``); scenes count from 1."""

    scene: Annotated[int, Field(ge=1)]


def _length(given: Any) -> Any:
    """Check the shape of a time, so that there is one message and not one for each kind."""
    match given:
        case bool() | None:
            pass
        case Frame():
            return given
        case {"frame": int(number), **more} if number >= 0 and not more:
            return given
        case int() | float() if 0 <= given <= _LONGEST_S:
            return given
        case str() if is_timecode(given) or seconds_of(given) <= _LONGEST_S:
            return given
    raise ValueError(
        'give seconds (up to 86400), "HH:MM:SS.s", a timecode "HH:MM:SS:FF" or {"frame": N}'
    )


def _position(given: Any) -> Any:
    match given:
        case Scene():
            return given
        case {"scene": int(number), **more} if number >= 1 and not more:
            return given
    return _length(given)


_LONGEST_S = 86_400
_AnyLength = float | str | Frame
Length = Annotated[_AnyLength, BeforeValidator(_length)]
"""Seconds, ``"00:00:05.2"``, a timecode ``"00:00:05:06"``, or ``{"frame": 130}``."""
Position = Annotated[_AnyLength | Scene, BeforeValidator(_position)]
"""A length, or ``{"scene": 3}``."""

Colour = Annotated[str, Field(pattern=_COLOUR.pattern + "$")]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Line = Annotated[str, Field(max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Decibels = Annotated[float, Field(ge=-96, le=24)]


def _rate(given: Any) -> Any:
    """Read ``25``, ``29.97`` or ``"30000/1001"``; 29.97 stands for 30000/1001."""
    if isinstance(given, int | float | str) and not isinstance(given, bool):
        if not _RATE.fullmatch(str(given)):  # no exponents: 1e999999999 takes all memory
            raise ValueError(f"{given!r} is no frame rate, like 25, 29.97 or 30000/1001")
        rate = Fraction(str(given))
        if not 1 <= rate <= 240:
            raise ValueError(f"a frame rate is from 1 to 240, not {given!r}")
        near = timecode_rate(rate)
        rate = near if abs(near / rate - 1) < Fraction(2, 10_000) else rate
        return f"{rate.numerator}/{rate.denominator}" if rate.denominator > 1 else str(rate)
    return given


Rate = Annotated[str, BeforeValidator(_rate)]


def _size(given: Any) -> Any:
    return f"{given}p" if isinstance(given, int) and not isinstance(given, bool) else given


Resolution = Annotated[str, BeforeValidator(_size), Field(pattern=r"^(\d{2,4}p|\d{2,5}x\d{2,5})$")]
Ratio = Annotated[str, Field(pattern=r"^[1-9]\d{0,3}:[1-9]\d{0,3}$")]


class Source(_Part):
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

    timecode: Annotated[str, Field(pattern=_TIMECODE.pattern + "$")] | None = None
    """Of its first picture, where the file itself does not say it."""


class Transition(_Part):
    """How a shot comes in over the one before."""

    kind: Literal["cut", "dissolve", "fade", "wipe"]
    """``fade`` goes through black; a fade of the first shot comes out of black."""
    duration: Length = 0.5


def _transition(given: Any) -> Any:
    return {"kind": given} if isinstance(given, str) else given


def _fit(given: Any) -> Any:
    return re.sub(r"[- ]", "_", given) if isinstance(given, str) else given


class Framing(_Part):
    """Where the middle of a moving crop is, in shares of the source's width and height."""

    at: Length = 0
    """From the start of the shot."""
    x: Share = 0.5
    y: Share = 0.5
    zoom: Annotated[float, Field(ge=1, le=8)] = 1.0


class Style(_Part):
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


Anchor = Literal[
    "top-left", "top", "top-right", "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
]  # fmt: skip


class Overlay(_Part):
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


class Effect(_Part):
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


class Cue(_Part):
    """A caption that is written down here, in times of the film."""

    start: Length
    end: Length
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=8)]


class Captions(_Part):
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


class EndCard(_Part):
    """A card at the end of the film."""

    text: Text
    subtitle: Line = ""
    duration: Length = 3
    colour: Colour = "#000000"
    transition: Annotated[Transition | None, BeforeValidator(_transition)] = None
    style: Style = Style(size=0.08)


class Wave(_Part):
    """A waveform of the film's sound, drawn into the picture; shares of its height."""

    top: Share = 0.6
    height: Annotated[float, Field(gt=0, le=1)] = 0.2
    colour: Colour = "#ffffff"


class ProjectSettings(_Part):
    """What holds for the whole film."""

    aspect_ratio: Ratio = "16:9"
    resolution: Resolution = "1080p"
    """``1080p``: so many pixels on the shorter side; or ``1920x1080``, whatever the ratio."""
    fps: Rate | None = None
    """Frames a second. None: those of the given timeline, else of the first film."""
    quality: Literal["low", "standard", "high"] = "standard"
    loudness: Annotated[float, Field(ge=-40, le=-8)] | None = -16.0
    """Integrated loudness in LUFS; null leaves the sound as it is."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, both even."""
        if "x" in self.resolution:
            width, height = (int(n) for n in self.resolution.split("x"))
        else:
            short = int(self.resolution[:-1])
            across, down = (int(n) for n in self.aspect_ratio.split(":"))
            ratio = Fraction(max(across, down), min(across, down))
            width, height = (
                (round(short * ratio), short) if across >= down else (short, round(short * ratio))
            )
        return width + width % 2, height + height % 2

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not all(16 <= side <= 8192 for side in self.size):
            width, height = self.size
            raise ValueError(f"the picture would be {width}x{height}; allowed: 16 to 8192 a side")
        return self


class Project(_Part):
    """A film to be put together: the content of ``project.json``."""

    format: Literal[1] = FORMAT
    """Version of the shape of this file."""
    uuid: uuids.UUID = Field(default_factory=uuids.uuid4)
    """Of this project and no other."""
    title: Line = "Untitled"
    description: Text = ""
    version: Annotated[int, Field(ge=1)] = 1
    """Goes up with every save; whoever saves says which one they read."""
    project_settings: ProjectSettings = ProjectSettings()
    shots: Annotated[tuple[Shot, ...], Field(max_length=10_000)] = ()
    """What is seen, in order."""
    timeline: str | None = None
    """A timeline (``.otio`` or ``.edl``) in the folder, in place of the shots."""
    sources: dict[str, Reel] = Field(default_factory=dict)
    """What the names of a given timeline (clip names, reels) stand for."""
    overlays: Annotated[tuple[Overlay, ...], Field(max_length=10_000)] = ()
    """Over the whole film."""
    captions: Captions | None = None
    audio: Annotated[tuple[Lane, ...], Field(max_length=200)] = ()
    """Sounds under the film."""
    end_cards: tuple[EndCard, ...] = ()
    wave: Wave | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.shots and self.timeline:
            raise ValueError("give `shots` or `timeline`, not both")
        return self

    def to_json(self) -> str:
        """Write it as ``project.json``: what is as usual is left out, but for what heads it."""
        data = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        head = self.model_dump(mode="json", include=set(_HEAD))
        settings = self.project_settings.model_dump(mode="json")
        data = {**{name: head[name] for name in _HEAD}, "project_settings": settings} | data
        data["project_settings"] = settings
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


_HEAD = ("format", "uuid", "title", "description", "version")


# ---------------------------------------------------------------------- reading and saving


def project_file(path: Path) -> Path:
    """Give the ``project.json`` of a folder, or the path itself."""
    return path / FILE if path.is_dir() else path


def parse_project(data: bytes, where: str) -> Project:
    """Read a project.

    Args:
        data: of the file.
        where: what to call it in messages.

    Raises:
        ProjectError: a line for each wrong field, with what was given and what is allowed.
    """
    if len(data) > MAX_BYTES:
        raise ProjectError(f"{where}: larger than {MAX_BYTES} bytes")
    try:
        given = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{where}: not JSON: {error}") from None
    try:
        return Project.model_validate(given)
    except ValidationError as error:
        lines = dict.fromkeys(_line(where, item) for item in error.errors())
        raise ProjectError("\n".join(lines)) from None


def read_project(path: Path) -> Project:
    """Read a project by its folder or file; ProjectError names what is wrong."""
    file = project_file(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ProjectError(f"{file}: {error.strerror}; `avp new NAME` makes a project") from None
    return parse_project(data, str(file))


def _line(where: str, item: Any) -> str:
    """Say what is wrong: ``project.json: shots[2].out = …``; pydantic's union branches left out."""
    name = ""
    for part in item["loc"]:
        if isinstance(part, int):
            name += f"[{part}]"
        elif "[" not in part and part not in ("Frame", "Scene"):  # branches of a union
            name += f".{part}" if name else part
    said = item["msg"].removeprefix("Value error, ")
    said = f"{said[:1].lower()}{said[1:]}"
    given = repr(item["input"])
    shown = f" = {given[:80]}{'…' * (len(given) > 80)}" if item["type"] != "missing" else ""
    if item["type"] == "extra_forbidden":
        said = "there is no such field; docs/project.schema.json lists all"
    return f"{where}: {name or 'the project'}{shown}: {said}"


def save_project(path: Path, project: Project, expected_version: int) -> Project:
    """Save a project, unless somebody saved it since it was read; whole, or not at all.

    Args:
        path: its folder or file.
        project: the new content; its ``version`` is set here.
        expected_version: of the file that it was made from; 0: there is no file yet.

    Returns:
        The project as it was saved, with the next version.

    Raises:
        StaleVersion: the file has another version, or there is one already.
    """
    file = project_file(path)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # dropped when the descriptor closes
        there = read_project(file).version if file.exists() else 0
        if there != expected_version:
            raise StaleVersion(
                f"{file}: version = {expected_version}: the file has version {there} by now; "
                "read it again, make the change there, and save that"
            )
        saved = project.model_copy(update={"version": there + 1})
        write_durably(file, saved.to_json().encode())
        return saved
    finally:
        os.close(folder)


def check_unique(file: Path, project: Project, others: Iterable[Path]) -> None:
    """Make sure that no other project has this one's uuid.

    Args:
        file: of the project.
        project: its content.
        others: folders or files of all known projects; those that are gone or damaged, and the
            project itself, are passed over.

    Raises:
        ProjectError: naming both.
    """
    mine = project_file(file).resolve()
    for other in map(project_file, others):
        if other.resolve() == mine:
            continue
        try:
            twin = read_project(other).uuid == project.uuid
        except ProjectError:
            continue
        if twin:
            raise ProjectError(
                f"{file}: uuid = {project.uuid}: {other} has the same one; give one of the two "
                f"a new uuid, such as {uuids.uuid4()}"
            )


def write_schema(path: Path) -> None:
    """Write the JSON Schema of ``project.json``."""
    path.write_text(schema_text(), "utf-8")


def schema_text() -> str:
    """Give the JSON Schema of ``project.json``."""
    schema = Project.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, ensure_ascii=False, indent=1) + "\n"


def fraction(number: float) -> Fraction:
    """Give a number as it was written: 0.1 is 1/10."""
    return Fraction(str(number))


if __name__ == "__main__":
    write_schema(Path(__file__).parents[2] / "docs" / "project.schema.json")
