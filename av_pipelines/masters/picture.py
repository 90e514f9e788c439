"""The picture of a master: loudness over time before and after, and what the limiter did.

Here: drawing it. Not here: the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from av_pipelines.masters.limiter import Reduction
from av_pipelines.media.loudness import Curve

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_WIDTH, _HEIGHT = 800, 220
_LEFT, _RIGHT = 44, _WIDTH - 24
_TOP, _MIDDLE = 24, 148  # loudness
_BELOW, _BOTTOM = 158, 200  # gain reduction
_PAPER, _INK, _GRID = "#ffffff", "#333333", "#e2e2e2"
_BEFORE, _AFTER, _TARGET, _REDUCTION = "#b0a18c", "#1f6fb4", "#2f8f4e", "#c8442e"
_COLOURS = 32
_SIZE = 11


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
    times = _Scale(0.0, max(duration_s, 0.1), _LEFT, _RIGHT)
    levels = _levels(before, after, target_lufs)
    depth = _Scale(0.0, max(3.0, 1.1 * reduction.max_db), _BELOW, _BOTTOM)

    for lufs in _steps(levels.low, levels.high, 5):
        y = levels(lufs)
        draw.line([(_LEFT, y), (_RIGHT, y)], _GRID)
        draw.text((_LEFT - 5, y), f"{lufs:g}", _INK, anchor="rm")
    for second in _steps(0.0, times.high, 8):
        x = times(second)
        draw.line([(x, _TOP), (x, _BOTTOM)], _GRID)
        draw.text((x, _BOTTOM + 4), _clock(second), _INK, anchor="mt")
    draw.rectangle([_LEFT, _TOP, _RIGHT, _MIDDLE], outline=_INK)

    _draw_curve(draw, before, times, levels, _BEFORE)
    _draw_curve(draw, after, times, levels, _AFTER)
    y = levels(target_lufs)
    for x in range(_LEFT, _RIGHT, 10):
        draw.line([(x, y), (min(x + 5, _RIGHT), y)], _TARGET, 2)
    _draw_reduction(draw, reduction, times, depth)
    draw.rectangle([_LEFT, _BELOW, _RIGHT, _BOTTOM], outline=_INK)
    draw.text((_LEFT - 5, _BELOW), "0", _INK, anchor="rt")
    draw.text((_LEFT - 5, _BOTTOM), f"-{depth.high:.0f} dB", _INK, anchor="rb")

    x = _LEFT
    for colour, text in (
        (_BEFORE, "before"),
        (_AFTER, "master"),
        (_TARGET, f"target {target_lufs:g} LUFS"),
        (_REDUCTION, f"limiter, at most {reduction.max_db:.1f} dB"),
    ):
        draw.rectangle([x, 8, x + 14, 14], colour)
        draw.text((x + 20, 11), text, _INK, anchor="lm")
        x += 44 + round(draw.textlength(text))
    draw.text((_RIGHT, 11), "short-term loudness, LUFS", _INK, anchor="rm")
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


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
    floor = levels.low
    values = np.maximum(np.nan_to_num(curve.lufs, neginf=floor), floor)
    points = [
        (times(t), levels(v)) for t, v in zip(curve.times_s.tolist(), values.tolist(), strict=True)
    ]
    if len(points) > 1:
        draw.line(points, colour, 2, joint="curve")


def _draw_reduction(draw: ImageDraw, reduction: Reduction, times: _Scale, depth: _Scale) -> None:
    columns = np.arange(_LEFT, _RIGHT)
    seconds = (columns - _LEFT) / (_RIGHT - _LEFT) * times.high
    deepest = _deepest(reduction.curve_db, seconds / reduction.step_s)
    for x, db in zip(columns.tolist(), deepest.tolist(), strict=True):
        if db > 0:
            draw.line([(x, _BELOW), (x, depth(db))], _REDUCTION)


def _deepest(curve: NDArray[np.float32], starts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest value of the curve from each start to the next; starts are indices, ascending."""
    first = np.minimum(starts.astype(np.int64), max(curve.size - 1, 0))
    return np.maximum.reduceat(np.append(curve, np.float32(0)), first)
