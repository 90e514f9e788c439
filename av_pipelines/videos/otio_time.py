"""Times of OpenTimelineIO, which holds them as floating-point numbers, as exact ones.

Here: rates, frames and times, exact both ways. Not here: what they are times of.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from av_pipelines.media.timecode import RATES

if TYPE_CHECKING:
    from opentimelineio.opentime import RationalTime, TimeRange

_SAME = 2e-4  # 29.97 stands for 30000/1001; 24 and 24000/1001 are 1e-3 apart
_FRACTION = re.compile(r"-?\d{1,30}(/[1-9]\d{0,29})?")  # no exponents: 1e999999999 takes all memory
_NOISE = Fraction(1, 10**6)  # of a frame, from floating-point arithmetic


def exact_rate(rate: float) -> Fraction:
    """Give the frame rate that a floating-point number stands for: 29.97 is 30000/1001."""
    near = [known for known in RATES if abs(known / Fraction(rate) - 1) < _SAME]
    best = min(near, key=lambda known: abs(known - Fraction(rate)), default=None)
    return best or Fraction(rate).limit_denominator(1001)


def exact_text(text: str) -> Fraction:
    """Read what ``str`` gives of a fraction; ValueError if it is none, or absurdly long."""
    if not _FRACTION.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no fraction")
    return Fraction(text)


def exact_number(value: float) -> Fraction:
    """Give the number that a floating-point one stands for: a whole one, or a short decimal."""
    whole = round(value)
    if abs(value - whole) < _NOISE:
        return Fraction(whole)
    return Fraction(value).limit_denominator(10**6)


def seconds(time: RationalTime) -> Fraction:
    """Give a time in seconds."""
    return exact_number(time.value) / exact_rate(time.rate)


def frames(time: RationalTime, rate: Fraction) -> Fraction:
    """Give a time in frames of a rate; whole if it was counted in that rate."""
    return seconds(time) * rate


def otio_time(frame: int | Fraction, rate: Fraction) -> RationalTime:
    """Give so many frames of a rate."""
    from opentimelineio.opentime import RationalTime

    return RationalTime(float(frame), float(rate))


def otio_range(start: int | Fraction, length: int | Fraction, rate: Fraction) -> TimeRange:
    """Give a range in frames of a rate."""
    from opentimelineio.opentime import TimeRange

    return TimeRange(otio_time(start, rate), otio_time(length, rate))
