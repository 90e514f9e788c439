"""Pictures of many pictures: the contact sheet, and the strip of the difference signal.

Here: drawing. Not here: which frames are shown (``keyframes``), and the signal (``media.picture``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import numpy as np

_CELL, _GAP, _LABEL = 240, 8, 18
_MAX_CELLS = 400
_PREVIEWED, _PREVIEW_BYTES = 24, 48_000
_PAPER, _INK, _GRID = "#ffffff", "#333333", "#e2e2e2"
_SIGNAL, _CUT, _SLOW = "#1f6fb4", "#c8442e", "#f2d9a0"
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 1000, 200, 44, 24, 176
_SIZE = 12


class Sheet:
    """A contact sheet: small pictures in rows, with a line of text below each.

    Args:
        columns: pictures in a row.
        ratio: width of the pictures by their height.
    """

    def __init__(self, columns: int, ratio: float) -> None:
        self._columns = columns
        ratio = min(max(ratio, 0.25), 4.0)
        self._box = (_CELL, round(_CELL / ratio)) if ratio >= 1 else (round(_CELL * ratio), _CELL)
        self._cells: dict[int, tuple[Image.Image, str]] = {}

    def add(self, place: int, image: Image.Image, label: str) -> None:
        """Put a picture in its place, counted from 0; more than a sheet can hold are left out."""
        if place < _MAX_CELLS:
            small = image.copy()
            small.thumbnail(self._box)
            self._cells[place] = small, label

    def save(self, path: Path) -> None:
        """Write it as JPEG."""
        self._draw(sorted(self._cells)).save(path, "JPEG", quality=85, optimize=True)

    def save_preview(self, path: Path) -> None:
        """Write its beginning as JPEG, small enough to be shown within the UI."""
        image = self._draw(sorted(self._cells)[:_PREVIEWED])
        for share in (1.0, 0.8, 0.64, 0.5, 0.4):
            size = max(1, round(image.width * share)), max(1, round(image.height * share))
            image.resize(size, Image.Resampling.LANCZOS).save(
                path, "JPEG", quality=75, optimize=True
            )
            if path.stat().st_size <= _PREVIEW_BYTES:
                return

    def _draw(self, places: Sequence[int]) -> Image.Image:
        columns = max(1, min(self._columns, len(places)))
        rows = max(1, -(-len(places) // columns))
        width, height = self._box[0] + _GAP, self._box[1] + _LABEL + _GAP
        sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), _PAPER)
        draw = ImageDraw.Draw(sheet)
        draw.font = ImageFont.load_default(_SIZE)
        for number, place in enumerate(places):
            image, label = self._cells[place]
            x = _GAP + number % columns * width
            y = _GAP + number // columns * height
            left = x + (self._box[0] - image.width) // 2
            sheet.paste(image, (left, y + (self._box[1] - image.height) // 2))
            draw.text((x + self._box[0] // 2, y + self._box[1] + 3), label, _INK, anchor="mt")
        return sheet


def draw_strip(
    path: Path,
    times_s: np.ndarray,
    difference: np.ndarray,
    changes: Sequence[tuple[float, float, float]],
) -> None:
    """Draw how much the picture changes over time, and where scenes change: a PNG of 1000 × 200.

    The scale is that of square roots: cuts are far larger than movement, and both are to be seen.

    Args:
        path: where to.
        times_s: seconds, (n,), rising.
        difference: mean change of luma since the frame before, (n,), 0 to 255.
        changes: of every change of scene, in seconds: (where the new scene starts, where the
            transition begins, where it ends).
    """
    import numpy as np

    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(_SIZE)
    first, last = float(times_s[0]), max(float(times_s[-1]), float(times_s[0]) + 0.1)
    right = _WIDTH - 12
    top = max(float(difference.max(initial=0.0)), 10.0)

    def x_of(second: float) -> float:
        return _LEFT + (min(max(second, first), last) - first) / (last - first) * (right - _LEFT)

    for _, begins, ends in changes:
        if ends > begins:
            draw.rectangle([x_of(begins), _TOP, max(x_of(ends), x_of(begins) + 1), _BOTTOM], _SLOW)

    def y_of(level: float) -> float:
        return _BOTTOM - (level / top) ** 0.5 * (_BOTTOM - _TOP)

    for level in (0.0, top / 16, top / 4, top):
        y = y_of(level)
        draw.line([(_LEFT, y), (right, y)], _GRID)
        draw.text((_LEFT - 5, y), f"{level:.0f}", _INK, anchor="rm")
    for second in _steps(first, last):
        draw.text((x_of(second), _BOTTOM + 5), clock(second, 0), _INK, anchor="mt")
    columns = np.floor(_LEFT + (times_s - first) / (last - first) * (right - _LEFT)).astype(int)
    highest = np.zeros(_WIDTH)
    np.maximum.at(highest, np.minimum(columns, _WIDTH - 1), difference)
    for x in np.flatnonzero(highest).tolist():
        draw.line([(x, _BOTTOM), (x, y_of(highest[x]))], _SIGNAL)
    for at, _, _ in changes:
        draw.polygon([(x_of(at), _TOP), (x_of(at) - 5, _TOP - 9), (x_of(at) + 5, _TOP - 9)], _CUT)
    draw.line([(_LEFT, _BOTTOM), (right, _BOTTOM)], _INK)
    draw.text((_LEFT, 2), "change of luma from frame to frame, 0 to 255", _INK)
    draw.polygon([(right - 86, 12), (right - 91, 3), (right - 81, 3)], _CUT)
    draw.text((right - 76, 2), "new scene", _INK)
    image.quantize(32, dither=Image.Dither.NONE).save(path, optimize=True)


def clock(second: float, decimals: int = 1) -> str:
    """Write a time for people: ``1:02:03.5``, ``2:03.5``."""
    whole = round(abs(second), decimals)
    sign = "-" if second < 0 < whole else ""
    minutes, rest = divmod(whole, 60)
    width = decimals + 3 if decimals else 2
    tail = f"{rest:0{width}.{decimals}f}"
    hours, minutes = divmod(int(minutes), 60)
    return f"{sign}{hours}:{minutes:02d}:{tail}" if hours else f"{sign}{minutes}:{tail}"


def _steps(first: float, last: float) -> list[float]:
    """Round seconds between two times, about eight of them."""
    units = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000)
    unit = next((u for u in units if u >= (last - first) / 8), 36000)
    return [unit * k for k in range(int(-(-first // unit)), int(last // unit) + 1)]
