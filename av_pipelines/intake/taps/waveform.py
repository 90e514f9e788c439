"""``waveform.png``: the sound at a glance.

Here: collecting peak and mean levels in constant memory though the length is not known beforehand,
and drawing them. Not here: loudness.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from av_pipelines.intake.blocks import Block
from av_pipelines.intake.containers import Media
from av_pipelines.intake.passes import Summary
from av_pipelines.intake.taps import Appetite, Tap

_WIDTH, _HEIGHT, _LABELS = 800, 160, 18
_MAX_BINS = 8192
_FIRST_BIN = 16

# Mid tones: they are seen on white and on black. (red, green, blue)
_PEAK, _RMS, _CLIP, _TEXT = (125, 176, 250), (37, 106, 232), (236, 72, 72), (128, 134, 145)
_SHADES = 15  # steps of opacity of each colour, for smooth edges
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MAX_TICKS = 9


class Levels:
    """Peaks and mean squares of a stream of any length, in at most 8,192 bins of equal length.

    Whenever the bins run out, neighbours are merged and each bin is twice as long from then on.
    """

    def __init__(self) -> None:
        self._bin = _FIRST_BIN
        self._count = 0
        self._samples = 0
        self._high = np.zeros(_MAX_BINS, np.float32)
        self._low = np.zeros(_MAX_BINS, np.float32)
        self._square = np.zeros(_MAX_BINS)

    def add(self, samples: np.ndarray) -> None:
        """Take float samples of shape (channels, samples)."""
        taken, total = 0, samples.shape[1]
        while taken < total:
            room = _MAX_BINS * self._bin - self._samples
            if not room:
                self._merge()
                continue
            step = min(room, total - taken)
            self._put(samples[:, taken : taken + step])
            taken += step

    def _put(self, samples: np.ndarray) -> None:
        count = samples.shape[1]
        into = self._samples % self._bin
        first = self._samples // self._bin
        edges = np.arange(-into, count, self._bin)
        edges[0] = 0
        to = slice(first, first + edges.size)
        # A bin that was begun holds zeros or what it had, so taking the extremes of both is right:
        # silence lies between any peak and trough.
        for channel in samples:
            np.maximum(self._high[to], np.maximum.reduceat(channel, edges), out=self._high[to])
            np.minimum(self._low[to], np.minimum.reduceat(channel, edges), out=self._low[to])
            square = np.add.reduceat(np.square(channel), edges)
            self._square[to] += square / samples.shape[0]
        self._samples += count
        self._count = first + edges.size

    def _merge(self) -> None:
        half = _MAX_BINS // 2
        for values, join in (
            (self._high, np.maximum),
            (self._low, np.minimum),
            (self._square, np.add),
        ):
            values[:half] = join(values[0::2], values[1::2])
            values[half:] = 0
        self._bin *= 2
        self._count = half

    @property
    def samples(self) -> int:
        """How many came, per channel."""
        return self._samples

    def columns(self, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give highest, lowest and root-mean-square level for each of ``width`` columns."""
        if not self._samples:
            return np.zeros(width), np.zeros(width), np.zeros(width)
        bins = self._samples / self._bin
        first = np.minimum((np.arange(width) * bins / width).astype(int), self._count - 1)
        lengths = np.full(self._count, float(self._bin))
        lengths[-1] = self._samples - self._bin * (self._count - 1)

        def each(join: np.ufunc, values: np.ndarray) -> np.ndarray:
            return join.reduceat(values[: self._count], first)

        mean = each(np.add, self._square) / each(np.add, lengths)
        return each(np.maximum, self._high), each(np.minimum, self._low), np.sqrt(mean)


class Waveform(Tap):
    """Writes ``waveform.png``: 800 x 160 pixels on a transparent ground, under 30 kB.

    Light: highest and lowest sample of all channels; dark: root mean square; red: where full scale
    is reached. Linear scale, full scale at the upper and lower edge.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._levels = Levels()
        self._rate = 0

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Want the chosen sound."""
        return {} if media.audio is None else {media.audio: Appetite.ALL}

    def audio(self, block: Block) -> None:
        """Take a block's levels."""
        self._rate = block.format.sample_rate
        self._levels.add(block.samples)

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """Draw the picture."""
        if self._levels.samples:
            image = draw(self._levels, self._levels.samples / self._rate)
            image.save(self.out / "waveform.png", optimize=True)
        return {}


def draw(levels: Levels, duration_s: float) -> Image.Image:
    """Draw levels as a palette picture of 800 x 160 pixels, transparent where nothing is."""
    high, low, rms = levels.columns(_WIDTH)
    room = _HEIGHT - _LABELS
    middle = room / 2
    ground = np.zeros((_HEIGHT, _WIDTH), np.uint8)

    def bar(top: np.ndarray, bottom: np.ndarray, colour: int) -> None:
        rows = np.arange(room)[:, None]
        cover = np.clip(np.minimum(rows + 1, bottom) - np.maximum(rows, top), 0, 1)
        shade = np.ceil(cover * _SHADES).astype(np.uint8)
        area = ground[:room]
        # Where a bar's edge only partly covers another one, the one below shows through as it is.
        paint = (shade == _SHADES) | ((shade > 0) & (area == 0))
        area[paint] = (colour * _SHADES + shade)[paint]

    def at(level: np.ndarray) -> np.ndarray:
        return middle - np.clip(level, -1, 1) * (middle - 1)

    thin = 0.5  # silence is a line
    bar(np.minimum(at(high), middle - thin), np.maximum(at(low), middle + thin), 0)
    bar(np.minimum(at(rms), middle - thin), np.maximum(at(-rms), middle + thin), 1)
    over = np.maximum(high, -low) >= 1.0 - 2.0**-15
    ground[:3, over] = ground[room - 3 : room, over] = 3 * _SHADES
    _label(ground, duration_s)
    image = Image.fromarray(ground, "P")
    image.putpalette(_palette())
    image.info["transparency"] = _opacity()
    return image


def _label(ground: np.ndarray, duration_s: float) -> None:
    """Write times along the lower edge."""
    canvas = Image.new("L", (_WIDTH, _LABELS))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(11)
    step = next((s for s in _STEPS_S if duration_s / s <= _MAX_TICKS), _STEPS_S[-1])
    for i in range(int(duration_s / step) + 1):
        text = _time(i * step, step)
        x = i * step / duration_s * _WIDTH
        width = pen.textlength(text, font=font)
        if x + width + 4 <= _WIDTH:
            pen.line([(round(x), 0), (round(x), 4)], fill=255)
            pen.text((round(x) + 3, 3), text, fill=255, font=font)
    shade = np.ceil(np.asarray(canvas) / 255 * _SHADES).astype(np.uint8)
    ground[-_LABELS:] = np.where(shade > 0, 3 * _SHADES + shade, 0)


def _time(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.1f}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _palette() -> list[int]:
    colours = [(0, 0, 0)] + [c for c in (_PEAK, _RMS, _CLIP, _TEXT) for _ in range(_SHADES)]
    return [value for colour in colours for value in colour]


def _opacity() -> bytes:
    steps = [round(255 * i / _SHADES) for i in range(1, _SHADES + 1)]
    return bytes([0, *(steps * 4)])
