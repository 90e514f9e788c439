"""The picture of a master: loudness over time before and after, and what the limiter did.

Here: drawing it. Not here: the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from av_pipelines.media.limiter import Reduction
from av_pipelines.media.loudness import Curve

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

# Everything is drawn this many times as large and then reduced: smooth lines and letters.
_TIMES = 3
_WIDTH, _HEIGHT = 800 * _TIMES, 220 * _TIMES
_LEFT, _RIGHT = 48 * _TIMES, _WIDTH - 24 * _TIMES
_TOP, _MIDDLE = 24 * _TIMES, 148 * _TIMES  # loudness
_BELOW, _BOTTOM = 158 * _TIMES, 200 * _TIMES  # gain reduction
_PAPER, _INK, _GRID = "#ffffff", "#333333", "#e2e2e2"
_BEFORE, _AFTER, _TARGET, _REDUCTION = "#b0a18c", "#1f6fb4", "#2f8f4e", "#c8442e"
_COLOURS = 64
_SIZE = 11 * _TIMES


@dataclass(frozen=True)
class _Scale:
    """Linear map of values to pixels."""

    low: float
    high: float
    first: int
    last: int

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.first + part * (self.last - self.first)


def draw_loudness(
    path: Path,
    *,
    before: Curve,
    after: Curve,
    target_lufs: float,
    reduction: Reduction,
    duration_s: float,
) -> None:
    """Draw a PNG of 800 × 220 pixels.

    Args:
        path: where to.
        before: short-term loudness of the programme; its times start with those of the master.
        after: short-term loudness of the master.
        target_lufs: drawn as a dashed line.
        reduction: of the limiter; drawn from the top of its strip downwards.
        duration_s: of the master.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(_SIZE)
    px = _TIMES
    times = _Scale(0.0, max(duration_s, 0.1), _LEFT, _RIGHT)
    levels = _levels(before, after, target_lufs)
    depth = _Scale(0.0, max(3.0, math.ceil(1.1 * reduction.max_db)), _BELOW, _BOTTOM)

    for lufs in _steps(levels.low, levels.high, 5):
        y = levels(lufs)
        draw.line([(_LEFT, y), (_RIGHT, y)], _GRID, px)
        draw.text((_LEFT - 5 * px, y), f"{lufs:g}", _INK, anchor="rm")
    for second in _steps(0.0, times.high, 8):
        x = times(second)
        draw.line([(x, _TOP), (x, _BOTTOM)], _GRID, px)
        draw.text((x, _BOTTOM + 5 * px), _clock(second), _INK, anchor="mt")

    _draw_curve(draw, before, times, levels, _BEFORE)
    _draw_curve(draw, after, times, levels, _AFTER)
    y = levels(target_lufs)
    for x in range(_LEFT, _RIGHT, 10 * px):
        draw.line([(x, y), (min(x + 5 * px, _RIGHT), y)], _TARGET, 2 * px)
    _draw_reduction(draw, reduction, times, depth)
    for top, bottom in ((_TOP, _MIDDLE), (_BELOW, _BOTTOM)):
        draw.rectangle([_LEFT, top, _RIGHT, bottom], outline=_INK, width=px)
    draw.text((_LEFT - 5 * px, _BELOW), "0", _INK, anchor="rt")
    draw.text((_LEFT - 5 * px, _BOTTOM), f"-{depth.high:g} dB", _INK, anchor="rb")

    x = _LEFT
    for colour, text in (
        (_BEFORE, "before"),
        (_AFTER, "master"),
        (_TARGET, f"target {target_lufs:g} LUFS"),
        (_REDUCTION, f"limiter, {_most(reduction.max_db)}"),
    ):
        draw.rectangle([x, 8 * px, x + 14 * px, 14 * px], colour)
        draw.text((x + 20 * px, 11 * px), text, _INK, anchor="lm")
        x += 44 * px + round(draw.textlength(text))
    draw.text((_RIGHT, 11 * px), "short-term loudness, LUFS", _INK, anchor="rm")
    small = image.reduce(_TIMES)
    small.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _most(db: float) -> str:
    return f"at most {db:.1f} dB" if db >= 0.05 else "nothing to do"


def _levels(before: Curve, after: Curve, target_lufs: float) -> _Scale:
    """Scale that shows the louder 40 dB of what there is, upwards."""
    both = np.concatenate([before.lufs, after.lufs, [target_lufs]])
    heard = both[np.isfinite(both)]
    high = float(heard.max()) + 3
    low = max(float(heard.min()) - 3, high - 40)
    return _Scale(low, max(high, low + 12), _MIDDLE, _TOP)


def _steps(low: float, high: float, count: int) -> Iterator[float]:
    """Round values from low to high, about ``count`` of them."""
    rough = (high - low) / count
    units = (0.1, 0.2, 0.5, 1, 2, 3, 6, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000)
    step = next((unit for unit in units if unit >= rough), 36000)
    yield from (round(step * k, 1) for k in range(int(np.ceil(low / step)), int(high // step) + 1))


def _clock(second: float) -> str:
    if second >= 3600:
        return f"{second // 3600:.0f}:{second % 3600 // 60:02.0f}:{second % 60:02.0f}"
    if second >= 60:
        return f"{second // 60:.0f}:{second % 60:02.0f}"
    return f"{second:g} s"


def _draw_curve(draw: ImageDraw, curve: Curve, times: _Scale, levels: _Scale, colour: str) -> None:
    """Draw what is above the scale's lower end, with gaps for silence."""
    heard = np.isfinite(curve.lufs)
    borders = np.flatnonzero(np.diff(heard)) + 1
    for index in np.split(np.arange(heard.size), borders):
        part = index[heard[index]]
        at, lufs = curve.times_s[part].tolist(), curve.lufs[part].tolist()
        points = [(times(t), levels(max(v, levels.low))) for t, v in zip(at, lufs, strict=True)]
        if len(points) > 1:
            draw.line(points, colour, 2 * _TIMES, joint="curve")


def _draw_reduction(draw: ImageDraw, reduction: Reduction, times: _Scale, depth: _Scale) -> None:
    columns = np.arange(_LEFT, _RIGHT, _TIMES)
    seconds = (columns - _LEFT) / (_RIGHT - _LEFT) * times.high
    deepest = _deepest(reduction.curve_db, seconds / reduction.step_s)
    for x, db in zip(columns.tolist(), deepest.tolist(), strict=True):
        if db > 0:
            draw.rectangle([x, _BELOW, x + _TIMES - 1, depth(db)], _REDUCTION)


def _deepest(curve: NDArray[np.float32], starts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest value of the curve from each start to the next; starts are indices, ascending."""
    first = np.minimum(starts.astype(np.int64), max(curve.size - 1, 0))
    return np.maximum.reduceat(np.append(curve, np.float32(0)), first)
