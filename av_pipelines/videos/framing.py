"""Which part of a picture a narrower or flatter film shows: a crop that follows the subject.

Here: from thumbnails of a shot to the key points of a crop that moves as a camera would, and the
slow zoom over stills. Not here: what draws the eye (``saliency``), getting thumbnails
(``looking``), cropping (``render``).

A shot is looked at by itself, so a path begins anew at every cut. Where the subject hardly moves
the crop stands still. Else it follows by a path that is the target's twice over with a two-sided
exponential smoother, wide enough to keep to the limits: such a path lags behind on neither side
and never leaves the range of its targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy.linalg import solveh_banded

from av_pipelines.videos.cut import Framing
from av_pipelines.videos.saliency import interest

STEP_S = Fraction(1, 5)
"""Seconds between the thumbnails that are looked at."""

MAX_SPEED = 0.8
"""Of the crop, in its own widths (or heights) a second; twice that and one cannot watch it."""

MAX_ACCELERATION = 1.6
"""In its own widths (or heights) per second squared."""

_AT_REST = 0.22  # a subject that stays within this share of the crop: the crop stays too
_AWAY = 0.22  # share of the crop that a still's subject may be from its middle
_MOVING_COSTS = 0.35  # how little the target likes to jump
_TOLERANCE = 0.0015  # how far key points may be from the path, in shares of the source


def crop_size(source: float, film: float) -> tuple[float, float]:
    """Give the size of the largest crop of a shape, in shares of the source's width and height.

    Args:
        source: width by height of the source, as shown.
        film: width by height wanted.
    """
    return min(film / source, 1.0), min(source / film, 1.0)


def follow(
    thumbnails: np.ndarray, step_s: Fraction, source: float, film: float
) -> tuple[Framing, ...]:
    """Follow the subject of one shot.

    Args:
        thumbnails: uint8 (n, height, width, 3), RGB, from the start of the shot.
        step_s: seconds of the film between them.
        source: width by height of the source, as shown.
        film: width by height wanted.

    Returns:
        Key points in order, the first at 0; one only where the crop stands still; none where
        nothing is cut off.
    """
    width, height = crop_size(source, film)
    if min(width, height) > 0.995 or not len(thumbnails):
        return ()
    maps = interest(thumbnails)
    x = _path(maps.sum(axis=1), width, float(step_s))
    y = _path(maps.sum(axis=2), height, float(step_s))
    points = np.stack([x, y], axis=1)
    kept = [0] if np.ptp(points, axis=0).max() < _TOLERANCE else _key_points(points)
    return tuple(Framing(step_s * i, round(float(x[i]), 5), round(float(y[i]), 5)) for i in kept)


def subject(picture: np.ndarray) -> tuple[float, float]:
    """Find what a still shows, as shares of its width and height.

    Args:
        picture: uint8 (height, width, 3), RGB, small.
    """
    found = interest(picture[None])
    x, y = (float(_targets(found.sum(axis=axis), 0.5)[0]) for axis in (1, 2))
    return x, y


def ken_burns(
    at: tuple[float, float], seconds: Fraction, *, inwards: bool, zoom: float = 1.12
) -> tuple[Framing, Framing]:
    """Move slowly towards a point of a still, or away from it.

    Args:
        at: the point, in shares of the still's width and height.
        seconds: how long it is shown.
        inwards: towards it.
        zoom: how much nearer the near end is.
    """
    # Half way to the point: where it stands in the picture is part of the picture.
    x, y = (0.5 + (place - 0.5) * 0.6 for place in at)
    near = Framing(seconds if inwards else Fraction(0), x, y, zoom)
    far = Framing(Fraction(0) if inwards else seconds, 0.5, 0.5, 1.0)
    return (far, near) if inwards else (near, far)


def held(
    path: Sequence[Framing], at: tuple[float, float], source: float, film: float
) -> tuple[Framing, ...]:
    """Keep a point in the picture: move a path as little as that takes.

    A path over a still that was chosen for one shape leaves its subject out in a narrower one,
    which shows less beside the middle.

    Args:
        path: key points.
        at: the point, in shares of the source's width and height.
        source: width by height of the source, as shown.
        film: width by height wanted.

    Returns:
        Key points; beyond the edge they are at it.
    """

    def moved(middle: float, to: float, size: float) -> float:
        return round(min(max(middle, to - _AWAY * size), to + _AWAY * size), 5)

    width, height = crop_size(source, film)
    return tuple(
        replace(
            point,
            x=moved(point.x, at[0], width / point.zoom),
            y=moved(point.y, at[1], height / point.zoom),
        )
        for point in path
    )


def _path(profile: np.ndarray, window: float, step_s: float) -> np.ndarray:
    """Give the crop's centre along one axis, float64 (n,), 0 to 1.

    Args:
        profile: interest along the axis, (n, length).
        window: the crop's length in shares of the axis.
        step_s: seconds between rows.
    """
    if window > 0.995:
        return np.full(len(profile), 0.5)
    low, high = window / 2, 1 - window / 2
    targets = np.clip(_targets(profile, window), low, high)
    if np.ptp(targets) <= _AT_REST * window:
        return np.full(len(targets), np.median(targets))
    return np.clip(
        _smooth(targets, MAX_SPEED * window, MAX_ACCELERATION * window, step_s), low, high
    )


def _targets(profile: np.ndarray, window: float) -> np.ndarray:
    """Find where the crop would best be in each row: much in it, and little jumping about.

    The best way through all rows by dynamic programming (Viterbi).
    """
    count = profile.shape[1]
    wide = max(3, round(window * count) | 1)
    weights = np.hanning(wide + 2)[1:-1]
    weights /= weights.max()
    held = np.stack([np.convolve(row, weights, "same") for row in profile])
    places = np.arange(count)
    jump = _MOVING_COSTS * np.minimum(np.abs(places[:, None] - places[None]) / wide, 1.0)
    score = held[0]
    came_from = np.zeros(held.shape, np.intp)
    for i in range(1, len(held)):
        ways = score[None] - jump
        came_from[i] = ways.argmax(axis=1)
        score = ways.max(axis=1) + held[i]
    way = np.empty(len(held), np.intp)
    way[-1] = int(score.argmax())
    for i in range(len(held) - 1, 0, -1):
        way[i - 1] = came_from[i, way[i]]
    return (_refined(held, way) + 0.5) / count


def _refined(held: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Put places between pixels: the top of a parabola through three neighbours."""
    inner = np.clip(way, 1, held.shape[1] - 2)
    rows = np.arange(len(way))
    before, at, after = held[rows, inner - 1], held[rows, inner], held[rows, inner + 1]
    bend = before - 2 * at + after
    shift = np.where(bend < -1e-9, (before - after) / np.where(bend < -1e-9, 2 * bend, 1.0), 0.0)
    return np.where(inner == way, inner + np.clip(shift, -0.5, 0.5), way)


def _smooth(targets: np.ndarray, speed: float, acceleration: float, step_s: float) -> np.ndarray:
    """Smooth as little as keeps to the limits; they are in the targets' unit per second."""

    def within(path: np.ndarray) -> bool:
        fast = np.abs(np.diff(path)).max(initial=0) / step_s
        sharp = np.abs(np.diff(path, 2)).max(initial=0) / step_s**2
        return bool(fast <= speed and sharp <= acceleration)

    strength = 2.0
    while not within(path := _smoothed(_smoothed(targets, strength), strength)):
        strength *= 1.5  # ends: without bound, the path is a constant
    return path


def _smoothed(values: np.ndarray, strength: float) -> np.ndarray:
    """Minimise the sum of (path - values)² + strength · (steps of the path)²."""
    count = len(values)
    bands = np.full((2, count), -strength)
    bands[1] = 1 + 2 * strength
    bands[1, 0] = bands[1, -1] = 1 + strength
    return solveh_banded(bands, values) if count > 1 else values


def _key_points(points: np.ndarray) -> list[int]:
    """Choose the rows between which straight lines do (Douglas and Peucker, 1973)."""
    kept, open_spans = {0, len(points) - 1}, [(0, len(points) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        share = np.linspace(0, 1, last - first + 1)[:, None]
        line = points[first] * (1 - share) + points[last] * share
        off = np.abs(points[first : last + 1] - line).max(axis=1)
        worst = int(off.argmax())
        if off[worst] > _TOLERANCE:
            kept.add(first + worst)
            open_spans += [(first, first + worst), (first + worst, last)]
    return sorted(kept)


def at(framing: Sequence[Framing], seconds: float) -> Framing:
    """Give where the crop is at a time, as the renderer draws it."""
    if not framing:
        return Framing(Fraction(0), 0.5, 0.5)
    times = [float(point.at) for point in framing]
    x, y, zoom = (
        float(np.interp(seconds, times, [getattr(point, name) for point in framing]))
        for name in ("x", "y", "zoom")
    )
    return Framing(Fraction(seconds), x, y, zoom)
