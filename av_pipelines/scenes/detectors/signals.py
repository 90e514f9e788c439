"""Cheap signals of change, from thumbnails: what every detector but the network decides by.

Here: per row, how its picture differs from the one before and from those around it. Not here: what
is decided by that. All in one go through the thumbnails, in memory by the length of a piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from av_pipelines.media.picture import THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, Picture, Thumbnails

SCALES_S = 0.12, 0.24, 0.48, 0.96, 1.92
"""Half-widths, in seconds, at which dissolves are looked for."""

_COARSE = 9, 16
_MAX_SHIFT = 12, 24  # rows and columns of a thumbnail that a camera may move in a frame
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


@dataclass(frozen=True, eq=False)
class Signals:
    """Arrays with an entry per row; changes are since the row before, on a scale of 0 to 255.

    Attributes:
        hue, saturation, brightness: mean |change| of each, as PySceneDetect has it, which takes
            OpenCV's HSV: hue goes from 0 to 179.
        moved: mean |change| of luma that is left when the picture is shifted onto the one before:
            what a camera's move does not explain.
        raw: the same without shifting.
        spread: (scales, rows): mean |difference| of the pictures a half-width before and after.
        bend: (scales, rows): mean |difference| between a picture and the mean of these two. In the
            middle of a dissolve or fade it is close to 0 beside ``spread``.
        half_widths: of the scales, in rows.
    """

    hue: np.ndarray
    saturation: np.ndarray
    brightness: np.ndarray
    moved: np.ndarray
    raw: np.ndarray
    spread: np.ndarray
    bend: np.ndarray
    half_widths: tuple[int, ...]

    @property
    def content(self) -> np.ndarray:
        """PySceneDetect's ``content_val`` with its default weights."""
        return (self.hue + self.saturation + self.brightness) / np.float32(3)


def measure(picture: Picture, progress: Callable[[float], None] = lambda share: None) -> Signals:
    """Go through the thumbnails of a film once."""
    rows = len(picture.thumbnails)
    rate = float(picture.fps) * rows / picture.frames
    widths = tuple(dict.fromkeys(max(2, round(scale * rate)) for scale in SCALES_S))
    halo = max(widths)
    out = {
        name: np.zeros(rows, np.float32)
        for name in ("hue", "saturation", "brightness", "moved", "raw")
    }
    spread, bend = (np.zeros((len(widths), rows), np.float32) for _ in range(2))
    for start, piece in _pieces(picture.thumbnails, halo):
        count = len(piece) - 2 * halo
        here = slice(start, start + count)
        now, before = piece[halo : halo + count], piece[halo - 1 : halo + count - 1]
        steps = hsv_steps(piece[halo - 1 : halo + count])
        out["hue"][here], out["saturation"][here], out["brightness"][here] = steps
        luma, old = now @ LUMA, before @ LUMA
        out["raw"][here] = np.abs(luma - old).mean(axis=(1, 2))
        out["moved"][here] = np.minimum(out["raw"][here], shifted_difference(old, luma))
        small = coarse(piece)
        middle = small[halo : halo + count]
        for place, width in enumerate(widths):
            past = small[halo - width : halo - width + count]
            future = small[halo + width : halo + width + count]
            spread[place, here] = np.abs(future - past).mean(axis=1)
            bend[place, here] = np.abs(middle - (past + future) / 2).mean(axis=1)
        progress(min((start + count) / rows, 1.0))
    return Signals(**out, spread=spread, bend=bend, half_widths=widths)


def _pieces(thumbnails: Thumbnails, halo: int) -> Iterator[tuple[int, np.ndarray]]:
    """Go through, with some rows more at either end; beyond the film, the nearest one again."""
    rows = len(thumbnails)
    kept = np.repeat(thumbnails[:1], halo, axis=0)
    start = 0
    for first, chunk in thumbnails.chunks():
        kept = np.concatenate([kept, chunk])
        if first + len(chunk) == rows:
            kept = np.concatenate([kept, np.repeat(chunk[-1:], halo, axis=0)])
        count = len(kept) - 2 * halo
        if count > 0:
            yield start, kept
            start += count
            kept = kept[count:]


def hsv_steps(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean |change| of hue, saturation and value from picture to picture, each (n - 1,).

    As PySceneDetect's ``ContentDetector`` computes it, with OpenCV's 8-bit HSV.

    Args:
        pictures: uint8 (n, height, width, 3), RGB.
    """
    hsv = _hsv(pictures)
    steps = np.abs(np.diff(hsv, axis=0)).mean(axis=(1, 2))
    return steps[:, 0], steps[:, 1], steps[:, 2]


def _hsv(pictures: np.ndarray) -> np.ndarray:
    """OpenCV's ``COLOR_RGB2HSV`` of 8-bit pictures, rounded as there, as float32."""
    red, green, blue = np.moveaxis(pictures.astype(np.float32), -1, 0)
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma == 0, 1, chroma)
    hue = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = np.rint(np.where(hue < 0, hue + 6, hue) * 30) % 180
    saturation = np.rint(255 * chroma / np.where(value == 0, 1, value))
    return np.stack([hue, saturation, value], axis=-1)


def coarse(pictures: np.ndarray) -> np.ndarray:
    """Average 3×3 pixels of thumbnails: float32 (n, 9 * 16 * 3)."""
    high, wide = _COARSE
    cells = pictures.reshape(-1, high, THUMBNAIL_HEIGHT // high, wide, THUMBNAIL_WIDTH // wide, 3)
    return cells.mean(axis=(2, 4), dtype=np.float32).reshape(len(pictures), -1)


def shifted_difference(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Shift pictures onto those before them and say what difference is left.

    The shift is that of the highest peak of the phase correlation (Kuglin and Hines, 1975), to the
    nearest pixel and its neighbours left and right.

    Args:
        before: luma, float32 (n, 27, 48).
        now: the same of the pictures that follow.

    Returns:
        Mean |difference| where they overlap, float32 (n,).
    """
    window = np.outer(np.hanning(THUMBNAIL_HEIGHT + 2)[1:-1], np.hanning(THUMBNAIL_WIDTH + 2)[1:-1])
    window = window.astype(np.float32)
    spectra = [
        np.fft.rfft2((a - a.mean(axis=(1, 2), keepdims=True)) * window) for a in (before, now)
    ]
    cross = np.conj(spectra[0]) * spectra[1]
    peaks = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), s=(THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH))
    up, across = _MAX_SHIFT
    peaks[:, up + 1 : THUMBNAIL_HEIGHT - up] = -1
    peaks[:, :, across + 1 : THUMBNAIL_WIDTH - across] = -1
    places = peaks.reshape(len(now), -1).argmax(axis=1)
    out = np.empty(len(now), np.float32)
    for i, place in enumerate(places.tolist()):
        dy, dx = divmod(place, THUMBNAIL_WIDTH)
        dy -= THUMBNAIL_HEIGHT if dy > up else 0
        dx -= THUMBNAIL_WIDTH if dx > across else 0
        out[i] = _left(before[i], now[i], dy, dx)
    return out


def _left(before: np.ndarray, now: np.ndarray, dy: int, dx: int) -> float:
    """Mean |difference| where they overlap if ``now`` is ``before`` moved by (dy, dx)."""
    high, wide = before.shape
    there = now[max(dy, 0) : high + min(dy, 0), max(dx, 0) : wide + min(dx, 0)]
    here = before[max(-dy, 0) : high + min(-dy, 0), max(-dx, 0) : wide + min(-dx, 0)]
    return float(np.abs(there - here).mean())
