"""What is measured on frames made small: change, sharpness, brightness, histograms.

Here: the sums, over many frames at once, as a call of NumPy's costs as much as its work on one. Not
here: making frames small (``picture_samples``), writing (``picture``).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from av_pipelines.media.picture import CHROMA_BINS, LUMA_BINS

if TYPE_CHECKING:
    from av_pipelines.intake.taps.picture_samples import Look

_MOST = 32  # what is held of so many frames stays in the processor's cache
_LUMA_STEPS, _CHROMA_STEPS = 219, 224  # of 255, where the range is not full


class Batch:
    """Consecutive frames of one shape and range of values, measured together.

    Args:
        like: the first of them; it is yet to be added.
        first_change: its change since the frame before, which had another shape; 0 to 255.
    """

    def __init__(self, like: Look, first_change: float) -> None:
        self._full = like.full_range
        # In place 0: the frame before.
        self._planes = [np.zeros((1 + _MOST, *plane.shape), np.uint8) for plane in like.planes]
        rows, columns = like.next_to.shape
        self._next_to = np.zeros((_MOST, rows, columns), np.uint8)
        self._first_change: float | None = first_change
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether it has to be measured before another can be added."""
        return self.count == _MOST

    def fits(self, look: Look) -> bool:
        """Whether a frame can be added."""
        shapes = [held.shape[1:] for held in self._planes]
        return look.full_range == self._full and [a.shape for a in look.planes] == shapes

    def add(self, look: Look) -> None:
        """Keep what is to be measured of a frame."""
        self._next_to[self.count] = look.next_to
        self.count += 1
        for held, plane in zip(self._planes, look.planes, strict=True):
            held[self.count] = plane

    def measure(self, rows: np.ndarray) -> np.ndarray:
        """Measure the frames and let go of all but the last, which the next is compared with.

        Args:
            rows: (count,) of type ``media.picture.ROW``, to be filled in.

        Returns:
            Shares of 32 bins of luma, 16 of Cb, 16 of Cr: float (count, 64).
        """
        count, self.count = self.count, 0
        luma, *chroma = (held[1 : 1 + count] for held in self._planes)
        changes = [_distances(p[1 : 1 + count], p[:count]).mean(axis=1) for p in self._planes]
        if self._first_change is not None:
            for change in changes:
                change[0] = self._first_change
            self._first_change = None
        next_to = self._next_to[:count]
        steps = _distances(luma[:, :, : next_to.shape[2]], next_to)
        unit = 1.0 if self._full else 255 / _LUMA_STEPS
        rows["difference"] = changes[0] * unit
        rows["sharpness"] = np.einsum("ij,ij->i", steps, steps) * unit**2 / max(steps.shape[1], 1)
        colour = 1.0 if self._full else 255 / _CHROMA_STEPS
        rows["chroma_difference"] = sum(changes[1:]) * colour / 2
        level = _levels(self._full)
        shares = _shares(luma)
        mean = shares @ level
        rows["luma_mean"] = mean
        rows["luma_deviation"] = np.sqrt(np.maximum(shares @ level**2 - mean**2, 0))
        bins = np.zeros((count, LUMA_BINS + 2 * CHROMA_BINS))
        bins[:, :LUMA_BINS] = shares @ _bins(self._full, LUMA_BINS)
        for place, plane in enumerate(chroma):
            start = LUMA_BINS + place * CHROMA_BINS
            bins[:, start : start + CHROMA_BINS] = _shares(plane) @ _bins(True, CHROMA_BINS)
        for held in self._planes:
            held[0] = held[count]
        return bins


def mean_distance(now: np.ndarray, before: np.ndarray) -> float:
    """Mean absolute difference of two uint8 arrays."""
    return float(_distances(now[None], before[None]).mean())


def _distances(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Absolute differences of two uint8 arrays: float32 (frames, pixels of one)."""
    distance = np.maximum(now, before)
    distance -= np.minimum(now, before)
    return distance.reshape(len(distance), -1).astype(np.float32)


def _shares(plane: np.ndarray) -> np.ndarray:
    """How much of each frame has each value: (frames, 256)."""
    count, size = len(plane), plane[0].size
    values = plane.reshape(count, size) + np.arange(0, 256 * count, 256)[:, None]
    return np.bincount(values.ravel(), minlength=256 * count).reshape(count, 256) / size


@cache
def _levels(full: bool) -> np.ndarray:
    """Brightness, 0 to 255, of each value of 8-bit luma."""
    values = np.arange(256.0)
    return values if full else np.clip((values - 16) * (255 / _LUMA_STEPS), 0, 255)


@cache
def _bins(full: bool, count: int) -> np.ndarray:
    """Which of ``count`` equal bins each value falls into: (256, count), one 1 in each row."""
    return np.eye(count)[np.minimum(_levels(full) * count / 256, count - 1).astype(int)]
