"""The places films are made for: what each of them asks of a file, from ``platforms.toml``.

Here: the table, and what a mood means. Not here: making the files (``cutdowns``). It is light: the
settings name its platforms.
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from av_pipelines.videos.cut import Anchor

Share = Annotated[float, Field(ge=0, lt=0.5)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SafeArea(_Row):
    """What is covered at each edge, in shares of the picture's height or width."""

    top: Share
    bottom: Share
    left: Share
    right: Share


class CaptionPlace(_Row):
    """Where captions stand, and how large."""

    anchor: Anchor
    size: Annotated[float, Field(gt=0, le=0.2)]
    lines: Annotated[int, Field(ge=1, le=4)]


class Platform(_Row):
    """What one place asks of a film; see the table for what each field means."""

    width: Annotated[int, Field(ge=16, multiple_of=2)]
    height: Annotated[int, Field(ge=16, multiple_of=2)]
    max_s: Annotated[float, Field(gt=0)]
    cut_s: Annotated[float, Field(gt=0)] | None = None
    safe: SafeArea
    captions: CaptionPlace
    mood: Annotated[int, Field(ge=-100, le=100)] = 0
    lufs: float

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cut_s is not None and self.cut_s > self.max_s:
            raise ValueError(f"cut_s {self.cut_s} is longer than max_s {self.max_s}")
        return self

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    @property
    def pace(self) -> float:
        """How much faster shots follow each other when a film is cut short: +20 is 1.2 times."""
        return 2.0 ** (self.mood / 76)  # +20: 1.2; -20: 1/1.2; never 0

    @property
    def grade(self) -> str | None:
        """A libavfilter chain: +20 is a tenth more colour and a twentieth more contrast."""
        if not self.mood:
            return None
        colour, contrast = 1 + self.mood / 200, 1 + self.mood / 400
        middle = "(minval+maxval)/2"
        chroma = f"(val-{middle})*{colour:g}+{middle}"
        return f"lutyuv=y=(val-{middle})*{contrast:g}+{middle}:u={chroma}:v={chroma}"


class Platforms(_Row):
    """The table: when it was last checked, and each place by name."""

    as_of: date
    usual: tuple[str, ...]
    platforms: dict[str, Platform]

    def get(self, name: str) -> Platform:
        """Find a place; ValueError names those there are."""
        if name not in self.platforms:
            raise ValueError(
                f"there is no platform {name!r}; there are: {', '.join(sorted(self.platforms))}"
            )
        return self.platforms[name]


@cache
def load_platforms() -> Platforms:
    """Read the table that ships."""
    text = resources.files("av_pipelines.videos").joinpath("platforms.toml").read_text("utf-8")
    return Platforms.model_validate(tomllib.loads(text))
