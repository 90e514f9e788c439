"""Changes that take their time: fades from and to black or white, and dissolves.

Here: finding them in brightness and in the ``spread`` and ``bend`` of ``signals``. Not here: cuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from av_pipelines.media.picture import Picture
from av_pipelines.scenes.detectors.signals import LUMA, Signals, coarse, shifted_difference
from av_pipelines.scenes.detectors.transitions import Transition, runs

_SHORTEST_FADE = 3  # rows of change on one side
_FADE_RISE = 20.0  # change of mean brightness, of 255, that makes it a fade
_WAVER = 0.08  # of that, by which brightness may go back on the way
_SLOW = 0.2  # of the mean pace so far, below which it stalls
_SUDDEN = 0.4  # of that, which a single step may make
_MAX_FADE_S = 6.0
_STALL_S = 0.16  # time for which brightness may stay where it is on the way

_SPREAD = 10.0  # mean difference of both ends of a dissolve, of 255
_BEND = 0.22  # of the spread: how straight the way between must be
_STEP = 0.45  # of the spread: a larger single step is a cut
_ALIKE = 0.75  # correlation from which both ends are the same picture in another light
_MOVED = 0.5  # of the spread that must be left when the camera's move is taken off
_CHANGED = 8.0  # difference of a place that counts as changed, of 255
_COVERED = 0.5  # of the picture that must change: titles come and go without a new shot


class _Pace(NamedTuple):
    """How many rows a fade may last, and stay where it is on the way."""

    longest: int
    stall: int


def fades(picture: Picture, threshold: float) -> list[Transition]:
    """Find fades: brightness that goes steadily to black or white, or comes from there.

    Args:
        picture: of it, the mean brightness of rows.
        threshold: mean brightness up to which a frame is black, and as far from 255, white.
    """
    mean = picture.luma_mean.astype(float)
    fps = float(picture.fps)
    pace = _Pace(round(_MAX_FADE_S * fps), max(2, round(_STALL_S * fps)))
    found: list[Transition] = []
    for dark, level in ((True, mean), (False, 255 - mean)):
        for start, end in runs(level <= threshold):
            first = start - _way(level[:start][::-1], level[start], pace)
            last = end + _way(level[end:], level[end - 1], pace)
            if first == start and last == end:
                continue
            if start == 0:
                frame = 0
            elif end == len(mean):
                frame = end
            elif first == start:
                frame = start  # cut to black, then a fade in
            elif last == end:
                frame = end
            else:
                frame = (start + end) // 2
            confidence = 0.95 if dark else 0.9
            found.append(Transition(frame, "fade", first, last, confidence))
    return found


def _way(level: np.ndarray, edge: float, pace: _Pace) -> int:
    """Count the rows over which brightness rises steadily from an edge; 0 if it is no fade."""
    level = np.concatenate([[edge], level[: pace.longest]])
    highest = np.maximum.accumulate(level)
    end = int(highest.argmax())
    # It ends where it stalls: brightness goes on wavering after a fade.
    for at in range(end):
        ahead = highest[min(at + pace.stall, end)] - highest[at]
        if ahead < _SLOW * (highest[at] - edge) * pace.stall / max(at, 1):
            end = at
            break
    top = float(highest[end])
    level = level[: end + 1]
    waver = max(2.0, _WAVER * (top - edge))
    steps = np.diff(level)
    if end < _SHORTEST_FADE or top - edge < _FADE_RISE or steps.max() > _SUDDEN * (top - edge):
        return 0
    return 0 if (highest[: end + 1] - level > waver).any() else end


class Dissolve(NamedTuple):
    """A dissolve, and how straight the way from the old picture to the new is: 0 hardly, to 1."""

    transition: Transition
    straightness: float


def dissolves(picture: Picture, signals: Signals) -> list[Dissolve]:
    """Find dissolves, in order."""
    found: list[Dissolve] = []
    for part in _straight_parts(signals):
        change = _dissolve_of(picture, part)
        if change is None:
            continue
        before = found[-1] if found else None
        if before is not None and _belong(before.transition, change):
            found[-1] = _joined(before, Dissolve(change, part.straightness))
        else:
            found.append(Dissolve(change, part.straightness))
    return found


def _belong(one: Transition, other: Transition) -> bool:
    """Whether two are parts of one dissolve, in which something moves: hardly anything between."""
    length = max(one.end_frame - one.start_frame, other.end_frame - other.start_frame)
    return other.start_frame - one.end_frame <= length // 2


def _joined(one: Dissolve, other: Dissolve) -> Dissolve:
    start = min(one.transition.start_frame, other.transition.start_frame)
    end = max(one.transition.end_frame, other.transition.end_frame)
    confidence = max(one.transition.confidence, other.transition.confidence)
    whole = Transition((start + end) // 2, "dissolve", start, end, confidence)
    return Dissolve(whole, max(one.straightness, other.straightness))


@dataclass(frozen=True)
class _Straight:
    """A part of the film that goes straight from one picture to another, as dissolves do."""

    middle: int
    half_width: int
    straightness: float


def _straight_parts(
    signals: Signals, bend: float = _BEND, spread: float = _SPREAD
) -> list[_Straight]:
    """Find where a picture in the middle is the mean of those around it, which differ."""
    rows = signals.raw.shape[0]
    score = np.zeros_like(signals.spread)
    for place, width in enumerate(signals.half_widths):
        wide = signals.spread[place]
        sudden = _highest_around(signals.raw, width) > _STEP * wide
        straight = 1 - signals.bend[place] / np.maximum(_BEND * wide, 1e-6)
        score[place] = np.where((wide >= _SPREAD) & ~sudden, np.maximum(straight, 0), 0)
    strength = score * signals.spread
    parts: list[_Straight] = []
    for start, end in runs(strength.max(axis=0) > 0):
        place, row = divmod(int(strength[:, start:end].argmax()), end - start)
        width = signals.half_widths[place]
        middle = start + row
        if parts and middle - parts[-1].middle < max(width, parts[-1].half_width):
            before = parts[-1]
            if strength[place, middle] <= strength[:, before.middle].max():
                continue
            parts.pop()
        parts.append(_Straight(min(middle, rows - 1), width, float(score[place, middle])))
    return parts


def _highest_around(values: np.ndarray, width: int) -> np.ndarray:
    """Highest value within ``width`` rows on either side."""
    padded = np.pad(values, width, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1).max(axis=1)


def _dissolve_of(picture: Picture, part: _Straight) -> Transition | None:
    """Look at the pictures of a straight part: a dissolve, or only other light or a slow move."""
    thumbnails, width = picture.thumbnails, part.half_width
    first = max(part.middle - 2 * width, 0)
    pictures = thumbnails[first : min(part.middle + 2 * width + 1, len(thumbnails))]
    here = part.middle - first
    old, new = max(here - width, 0), min(here + width, len(pictures) - 1)
    luma = pictures[[old, new]] @ LUMA
    if min(luma[0].std(), luma[1].std()) < 1 or _alike(*luma):
        return None
    raw = float(np.abs(luma[1] - luma[0]).mean())
    if shifted_difference(luma[:1], luma[1:])[0] < _MOVED * raw:
        return None
    small = coarse(pictures)
    way = small[new] - small[old]
    if (np.abs(way) > _CHANGED).mean() < _COVERED:
        return None
    share = (small - small[old]) @ way / float(way @ way)
    start = here - int(np.argmax((share[: here + 1] <= 0.04)[::-1]))
    end = here + int(np.argmax(share[here:] >= 0.96))
    start = start if share[start] <= 0.04 else old
    end = end if share[end] >= 0.96 else new
    return Transition(
        frame=first + (start + 1 + end) // 2,
        kind="dissolve",
        start_frame=first + start + 1,
        end_frame=first + end,
        confidence=0.5 + 0.5 * part.straightness,
    )


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) > _ALIKE
