"""SMPTE timecode: frame numbers as hours, minutes, seconds and frames, and back.

Here: ST 12-1's counting, with and without dropped numbers. Not here: seconds; a frame's time comes
from its time stamp. Drop-frame counting leaves out the numbers ``;00`` and ``;01`` (at 59.94 also
``;02`` and ``;03``) of every minute that is not a tenth one, so that the clock keeps up with real
time; no frame is dropped.
"""

from __future__ import annotations

import re
from fractions import Fraction

_NTSC = Fraction(1000, 1001)
RATES = tuple(
    sorted([*map(Fraction, (24, 25, 30, 48, 50, 60)), *(n * _NTSC for n in (24, 30, 48, 60))])
)
"""Frames per second that timecode is defined for, rising."""

_ROUNDING = 2e-4  # of a measured rate; 24 and 24000/1001 are 1e-3 apart
_PATTERN = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)([:;.,])(\d{2,})")


def nominal(rate: Fraction) -> int:
    """Frames per second that timecode counts in: 30 for 30000/1001."""
    return max(1, round(rate))


def timecode_rate(fps: Fraction, *, constant: bool = True) -> Fraction:
    """Give the frames per second in which timecode can count a film.

    That of the film if timecode knows it; else, if it is constant, the lowest of timecode's that is
    a multiple of it; else the lowest that is not below it.
    """
    near = [rate for rate in RATES if abs(rate / fps - 1) < _ROUNDING]
    if near:
        return min(near, key=lambda rate: abs(rate - fps))
    multiples = [rate for rate in RATES if constant and (rate / fps).denominator == 1]
    return next(iter(multiples), next((rate for rate in RATES if rate >= fps), RATES[-1]))


def may_drop(rate: Fraction) -> bool:
    """Whether drop-frame counting is defined for a rate: 30000/1001 and 60000/1001."""
    return nominal(rate) in (30, 60) and abs(rate - Fraction(nominal(rate) * 1000, 1001)) < 0.005


def to_timecode(frame: int, rate: Fraction, *, drop: bool = False) -> str:
    """Write a frame number as ``HH:MM:SS:FF``, with ``;`` before the frames where numbers drop.

    Raises:
        ValueError: the frame is before 0, or drop-frame is not defined for the rate.
    """
    if frame < 0:
        raise ValueError(f"timecode begins at frame 0, not {frame}")
    base = nominal(rate)
    if drop:
        skipped = _dropped(rate)
        tens, rest = divmod(frame, base * 600 - 9 * skipped)
        frame += 9 * skipped * tens
        if rest >= base * 60:  # the first minute of ten drops none
            frame += skipped * (1 + (rest - base * 60) // (base * 60 - skipped))
    seconds, frames = divmod(frame, base)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    width = max(2, len(str(base - 1)))
    return f"{hours:02}:{minutes:02}:{seconds:02}{';' if drop else ':'}{frames:0{width}}"


def from_timecode(text: str, rate: Fraction) -> int:
    """Read what ``to_timecode`` writes; a ``;`` or ``,`` before the frames says drop-frame.

    Raises:
        ValueError: it is no timecode of this rate, or a number that is dropped.
    """
    match = _PATTERN.fullmatch(text)
    base = nominal(rate)
    if not match or int(match[5]) >= base:
        raise ValueError(f"{text!r} is no timecode of {base} frames a second, like 01:00:00:00")
    hours, minutes, seconds, frames = (int(match[k]) for k in (1, 2, 3, 5))
    number = ((hours * 60 + minutes) * 60 + seconds) * base + frames
    if match[4] not in ";,":
        return number
    skipped = _dropped(rate)
    if minutes % 10 and not seconds and frames < skipped:
        raise ValueError(f"{text!r}: drop-frame timecode leaves out this number")
    passed = hours * 60 + minutes
    return number - skipped * (passed - passed // 10)


def _dropped(rate: Fraction) -> int:
    if not may_drop(rate):
        raise ValueError(f"drop-frame timecode is for 29.97 and 59.94 frames a second, not {rate}")
    return nominal(rate) // 15
