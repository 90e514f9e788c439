"""The pictures of stems: their waveforms below each other, and their energy over time.

Here: collecting while the stems go by, drawing. Not here: the stems.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from av_pipelines.stems.sound import Samples

WIDTH = 800
_LEFT, _RIGHT, _LANE, _TOP = 92, WIDTH - 8, 56, 6
_COLUMNS = _RIGHT - _LEFT
_ENERGY_HEIGHT = 200
_PAPER, _INK, _GRID = "#ffffff", "#333333", "#e2e2e2"
_COLOURS = ("#1f6fb4", "#c8442e", "#2f8f4e", "#b0871c", "#7a4fa3", "#3d8f94", "#777777")
_FLOOR_DB, _STEP_DB = -72, 12


class Sketch:
    """Peaks and energy of one stem, per column of the picture.

    Args:
        samples: how many there will be.
    """

    def __init__(self, samples: int) -> None:
        self._samples, self._seen = max(1, samples), 0
        self.peaks = np.zeros(_COLUMNS, np.float32)
        self._squares = np.zeros(_COLUMNS)
        self._counts = np.zeros(_COLUMNS, np.int64)

    def add(self, block: Samples) -> None:
        """Take in samples of shape (channels, samples)."""
        if not block.shape[1]:
            return
        where = (self._seen + np.arange(block.shape[1])) * _COLUMNS // self._samples
        where = np.minimum(where, _COLUMNS - 1)
        starts = np.flatnonzero(np.diff(where, prepend=-1))
        columns = where[starts]
        sizes = np.abs(block).max(axis=0)
        self.peaks[columns] = np.maximum(self.peaks[columns], np.maximum.reduceat(sizes, starts))
        squares = np.square(block, dtype=np.float64).mean(axis=0)
        self._squares[columns] += np.add.reduceat(squares, starts)
        self._counts[columns] += np.diff(starts, append=block.shape[1])
        self._seen += block.shape[1]

    def levels_db(self) -> np.ndarray:
        """Return the energy of each column in dB of full scale; nan where nothing went by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(self._counts > 0, self._squares / self._counts, np.nan)
            return 10 * np.log10(np.maximum(mean, 1e-12))


def draw_waveforms(path: Path, names: Sequence[str], sketches: Sequence[Sketch]) -> None:
    """Draw a PNG, 800 pixels wide: a lane for each stem, all at one scale."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, 2 * _TOP + _LANE * len(names)), _PAPER)
    draw = ImageDraw.Draw(image)
    loudest = max(1e-6, *(float(sketch.peaks.max()) for sketch in sketches))
    for lane, (name, sketch) in enumerate(zip(names, sketches, strict=True)):
        middle = _TOP + _LANE * lane + _LANE // 2
        draw.text((_LEFT - 8, middle), name, _INK, anchor="rm")
        draw.line([(_LEFT, middle), (_RIGHT, middle)], _GRID)
        heights = np.round(sketch.peaks / loudest * (_LANE // 2 - 2)).astype(int).tolist()
        colour = _COLOURS[lane % len(_COLOURS)]
        for column, height in enumerate(heights):
            if height:
                x = _LEFT + column
                draw.line([(x, middle - height), (x, middle + height)], colour)
    image.quantize(16, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_energy(path: Path, names: Sequence[str], sketches: Sequence[Sketch]) -> None:
    """Draw a PNG of 800 × 200 pixels: the level of each stem over time, in dB of full scale."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, _ENERGY_HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    top, bottom = 22, _ENERGY_HEIGHT - 8

    def height(db: float) -> float:
        return bottom - (max(db, _FLOOR_DB) - _FLOOR_DB) / -_FLOOR_DB * (bottom - top)

    for db in range(_FLOOR_DB, 1, _STEP_DB):
        draw.line([(_LEFT, height(db)), (_RIGHT, height(db))], _GRID)
        draw.text((_LEFT - 8, height(db)), f"{db} dB", _INK, anchor="rm")
    x = _LEFT
    for number, (name, sketch) in enumerate(zip(names, sketches, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        levels = sketch.levels_db()
        points = [
            (_LEFT + column, height(db))
            for column, db in enumerate(levels.tolist())
            if np.isfinite(db)
        ]
        if len(points) > 1:
            draw.line(points, colour, 2, joint="curve")
        draw.rectangle([x, 8, x + 12, 13], colour)
        draw.text((x + 18, 11), name, _INK, anchor="lm")
        x += 40 + round(draw.textlength(name))
    image.quantize(32, dither=Image.Dither.NONE).save(path, optimize=True)
