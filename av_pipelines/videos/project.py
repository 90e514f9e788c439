"""``project.json``: what a film is made of, as a person or a template writes it down.

Here: the whole of it, what holds for the whole film, and its JSON Schema. Not here: its parts
(``project_parts``), reading and saving the file (``project_file``), which files its names stand
for (``resolve``), frames (``timeline``).
"""

from __future__ import annotations

import json
import uuid as uuids
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from av_pipelines.videos.project_parts import (
    Captions,
    EndCard,
    Lane,
    Overlay,
    Reel,
    Shot,
    Wave,
)
from av_pipelines.videos.project_values import Line, Part, Rate, Ratio, Resolution, Text

FORMAT = 1
"""Version of the shape of ``project.json``; it changes when a reader would have to."""
_HEAD = ("format", "uuid", "title", "description", "version")


class ProjectSettings(Part):
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


class Project(Part):
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


def write_schema(path: Path) -> None:
    """Write the JSON Schema of ``project.json``."""
    path.write_text(schema_text(), "utf-8")


def schema_text() -> str:
    """Give the JSON Schema of ``project.json``."""
    schema = Project.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    write_schema(Path(__file__).parents[2] / "docs" / "project.schema.json")
