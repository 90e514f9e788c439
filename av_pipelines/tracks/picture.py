"""The pictures of a track: its waveform, its spectrogram, its score as a piano roll.

Here: drawing, small enough (under 50 kB) to be shown inline. Not here: the sound, the notes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.composition.score import HAT, KICK, SWELL, Score

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_WIDTH, _LABELS = 800, 18
_LEFT, _RIGHT = 48, _WIDTH - 8
_COLUMNS = _RIGHT - _LEFT
_PAPER, _INK, _GRID = "#ffffff", "#333333", "#e2e2e2"
_PEAK, _RMS = "#9cc3ea", "#1f6fb4"
_PARTS = {
    "pads": "#1f6fb4",
    "bass": "#7a4fa3",
    "melody": "#c8442e",
    "arpeggio": "#b0871c",
    "percussion": "#777777",
    "texture": "#3d8f94",
}
_DRUMS = {KICK: "kick", HAT: "hi-hat", SWELL: "swell"}
_STEPS_S = (1, 2, 5, 10, 15, 30, 60)


def draw_waveform(path: Path, samples: NDArray[np.float32], sample_rate: int) -> None:
    """Draw a PNG of 800 × 140 pixels: peaks light, RMS level dark, full scale at both edges.

    Args:
        path: where to.
        samples: of shape (channels, samples), full scale ±1; at least one sample.
        sample_rate: in Hz.
    """
    room = 120
    image, draw = _paper(room + _LABELS + 2)
    edges = np.arange(_COLUMNS) * samples.shape[1] // _COLUMNS
    high = np.maximum.reduceat(samples.max(axis=0), edges)
    low = np.minimum.reduceat(samples.min(axis=0), edges)
    power = np.add.reduceat(np.square(samples, dtype=np.float64).mean(axis=0), edges)
    rms = np.sqrt(power / np.diff(edges, append=samples.shape[1]).clip(1))
    middle = room / 2
    _times(draw, samples.shape[1] / sample_rate, 0, room)
    for y, anchor in ((0, "rt"), (room, "rb")):
        draw.text((_LEFT - 6, y), "0 dB", _INK, anchor=anchor)

    def bars(above: np.ndarray, below: np.ndarray, colour: str) -> None:
        tops, bottoms = middle - above * middle, middle - below * middle
        for x, (top, bottom) in enumerate(zip(tops.tolist(), bottoms.tolist(), strict=True)):
            draw.line([(_LEFT + x, top), (_LEFT + x, bottom)], colour)

    bars(high.clip(0, 1), low.clip(-1, 0), _PEAK)
    bars(rms, -rms, _RMS)
    _save(image, path)


def draw_spectrogram(path: Path, samples: NDArray[np.float32], sample_rate: int) -> None:
    """Draw a PNG of 800 × 220 pixels: level in dB over time and frequency (logarithmic).

    Arguments as of ``draw_waveform``. The darker the louder, over 75 dB.
    """
    from PIL import Image

    room, cell, span_db = 200, 2, 75.0
    columns, rows, size = _COLUMNS // cell, room // cell, 4096
    mono = np.pad(samples.mean(axis=0), (size // 2, size // 2))
    starts = (np.arange(columns) + 0.5) * samples.shape[1] / columns
    frames = mono[starts.astype(int)[:, None] + np.arange(size)] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames)))
    lowest, highest = 40.0, min(16_000.0, sample_rate / 2)
    at = lowest * (highest / lowest) ** (np.arange(rows + 1) / rows) * size / sample_rate
    first = at[:-1].astype(int)
    last = np.maximum(at[1:].astype(int), first + 1)
    running = np.concatenate([np.zeros((columns, 1)), np.cumsum(power, axis=1)], axis=1)
    level = 10 * np.log10((running[:, last] - running[:, first]) / (last - first) + 1e-12)
    shade = ((level - level.max()) / span_db + 1).clip(0, 1).T[::-1]
    colours = np.linspace([255, 255, 255], [8, 34, 66], 16)
    picture = colours[(shade * 15).round().astype(int)].astype(np.uint8)
    image, draw = _paper(room + _LABELS + 2)
    image.paste(Image.fromarray(picture).resize((columns * cell, room), 0), (_LEFT, 0))
    _times(draw, samples.shape[1] / sample_rate, room, room)
    for hz in (100, 300, 1000, 3000, 10_000):
        if hz < highest:
            y = room * (1 - np.log(hz / lowest) / np.log(highest / lowest))
            text = f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"
            draw.text((_LEFT - 6, y), text, _INK, anchor="rm")
            draw.line([(_LEFT - 4, y), (_LEFT, y)], _INK)
    _save(image, path)


def draw_score(path: Path, score: Score) -> None:
    """Draw a PNG, 800 pixels wide: notes over time and pitch, drums below, sections above."""
    top, lane = 34, 12
    tonal = [n for n in score.notes if n.part not in ("percussion", "texture")]
    drums = [n for n in score.notes if n.part == "percussion"]
    lowest = min(n.pitch for n in tonal) - 2
    highest = max(n.pitch for n in tonal) + 2
    step = max(3, min(6, 260 // (highest - lowest)))
    room = top + (highest - lowest + 1) * step
    kinds = [pitch for pitch in _DRUMS if any(n.pitch == pitch for n in drums)]
    bottom = room + (6 + lane * len(kinds) if kinds else 0)
    image, draw = _paper(bottom + _LABELS + 2)
    beat_s = 60 / score.bpm
    length_s = score.beats * beat_s
    _times(draw, length_s, top, bottom)

    def x(beat: float) -> float:
        return _LEFT + min(beat / score.beats, 1.0) * _COLUMNS

    def bar(beat: float, length: float, y: float, height: int, colour: str) -> None:
        left, right = x(beat), x(beat + length)
        draw.rectangle([left, y, max(left + 1, right - 2), y + height - 1], colour)

    for pitch in range(lowest, highest + 1):
        y = room - (pitch - lowest + 1) * step
        if pitch % 12 == 0:
            draw.line([(_LEFT, y + step - 1), (_RIGHT, y + step - 1)], _GRID)
            draw.text((_LEFT - 6, y + step / 2), f"C{pitch // 12 - 1}", _INK, anchor="rm")
    for section in score.sections:
        left = x(section.start)
        draw.line([(left, top - 14), (left, bottom)], "#b8b8b8")
        draw.text((left + 4, top - 8), section.name, _INK, anchor="lm")
    for note in tonal:
        y = room - (note.pitch - lowest + 1) * step
        bar(note.start, note.length, y, step, _PARTS[note.part])
    for row, pitch in enumerate(kinds):
        y = room + 6 + row * lane
        draw.text((_LEFT - 6, y + lane / 2), _DRUMS[pitch], _INK, anchor="rm")
        for note in drums:
            if note.pitch == pitch:
                length = note.length if pitch == SWELL else 0.0
                bar(note.start, length, y + 2, lane - 4, _PARTS["percussion"])
    _legend(draw, score)
    _save(image, path)


def _legend(draw: ImageDraw, score: Score) -> None:
    at = float(_LEFT)
    for part in score.parts:
        if part != "texture":
            draw.rectangle([at, 5, at + 12, 10], _PARTS[part])
            draw.text((at + 17, 8), part, _INK, anchor="lm")
            at += 34 + draw.textlength(part)
    told = f"{score.key} {score.scale}, {score.bpm:g} bpm"
    draw.text((_RIGHT, 8), told, _INK, anchor="rm")


def _paper(height: int) -> tuple[Image, ImageDraw]:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(11)
    return image, draw


def _times(draw: ImageDraw, length_s: float, top: int, bottom: int) -> None:
    """Draw lines from top to bottom at round times, and the times below."""
    step = next((s for s in _STEPS_S if length_s / s <= 9), _STEPS_S[-1])
    for second in range(0, int(length_s) + 1, step):
        x = _LEFT + second / length_s * _COLUMNS
        draw.line([(x, top), (x, bottom)], _GRID)
        text = f"{second // 60}:{second % 60:02}" if length_s >= 60 else f"{second} s"
        if x + draw.textlength(text) / 2 < _WIDTH:
            draw.text((x, bottom + 4), text, _INK, anchor="mt")


def _save(image: Image, path: Path) -> None:
    from PIL import Image as images

    image.quantize(32, dither=images.Dither.NONE).save(path, optimize=True)
