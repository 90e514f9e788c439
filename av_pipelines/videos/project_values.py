"""Values of ``project.json``: times, lengths, frame rates, sizes, colours, texts.

Here: how each is written and what is allowed. Not here: the parts that have them
(``project_parts``).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from av_pipelines.media.timecode import timecode_rate

MAX_TEXT = 10_000


class Part(BaseModel):
    """Base of what a project is made of: immutable, and unknown fields are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True
    )


_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
TIMECODE = re.compile(r"\d{2,}:[0-5]\d:[0-5]\d[:;]\d{2,3}")
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
    return TIMECODE.fullmatch(text) is not None


class Frame(Part):
    """A frame by its number, from 0."""

    frame: Annotated[int, Field(ge=0)]


class Scene(Part):
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


def fraction(number: float) -> Fraction:
    """Give a number as it was written: 0.1 is 1/10."""
    return Fraction(str(number))
