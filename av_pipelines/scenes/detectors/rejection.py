"""Sudden changes that are no cuts: flashes, other light, and a camera that swings.

Here: looking at the pictures around a supposed cut. Not here: supposing it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from av_pipelines.media.picture import Thumbnails
from av_pipelines.scenes.detectors.signals import LUMA, shifted_difference

_BACK = 0.4  # of the change that may be left when a flash is over
_FLASH = 12.0  # change of mean brightness, of 255, that makes it a flash
_WASHED = 0.5  # of the contrast before, below which a flash leaves nothing to see
_SAME = 0.4  # correlation of luma with what was before, from which there is something to see
_SWING = 0.5  # of the change that may be left when the camera's move is taken off
_STEADY = 20.0  # … and so much of 255 at most
_ALIKE = 0.85  # correlation of luma from which two pictures show the same
_EXPLAINED = 0.2  # of the change that may be left when the light's is taken off
_PLAIN = 2.0  # standard deviation of luma, of 255, below which there is nothing to compare


@dataclass(frozen=True)
class Flash:
    """Rows ``start`` to ``end`` (not included) are other than those around them.

    ``left`` is the share of the change that is left afterwards.
    """

    start: int
    end: int
    left: float


def flash_at(thumbnails: Thumbnails, row: int, longest: int) -> Flash | None:
    """Say whether what begins, or ends, at a row is gone again within ``longest`` rows.

    It must be what was before in another light, or plain, and what comes after must be what was
    before: so a short shot between two others is none.
    """
    for first in range(row, max(row - longest, 0), -1):
        flash = _gone_again(thumbnails, first, longest)
        if flash is not None and row <= flash.end:
            return flash
    return None


def _gone_again(thumbnails: Thumbnails, row: int, longest: int) -> Flash | None:
    """Say whether the picture before ``row``, which is gone at ``row``, comes back."""
    around = thumbnails[row - 1 : min(row + longest + 1, len(thumbnails))] @ LUMA
    before, during = around[:1], around[1:]
    if not len(during) or abs(float(during[0].mean() - before.mean())) < _FLASH:
        return None
    pair = np.stack([before[0], during[0]]).reshape(2, -1)
    contrast = pair.std(axis=1)
    plain = contrast.min() < _PLAIN or contrast[1] < _WASHED * contrast[0]
    if not plain and np.corrcoef(pair[0], pair[1])[0, 1] < _SAME:
        return None
    left = np.minimum(
        np.abs(during - before).mean(axis=(1, 2)),
        shifted_difference(np.repeat(before, len(during), axis=0), during),
    )
    back = np.flatnonzero(left < _BACK * left[0])
    if not len(back):
        return None
    return Flash(row, row + int(back[0]), float(left[back[0]] / left[0]))


def relit(thumbnails: Thumbnails, row: int) -> bool:
    """Say whether a picture is the one before it in another light or colour.

    So it is if the one is the other times a factor plus a constant, for red, green and blue each.
    Of pictures of one plain colour nothing can be said.
    """
    pair = thumbnails[row - 1 : row + 1]
    luma = (pair @ LUMA).reshape(2, -1)
    if luma.std(axis=1).min() < _PLAIN or np.corrcoef(luma[0], luma[1])[0, 1] < _ALIKE:
        return False
    before, now = pair.astype(np.float64).reshape(2, -1, 3)
    centred = before - before.mean(axis=0)
    change = now - now.mean(axis=0)
    factor = (centred * change).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-6)
    left = np.abs(change - factor * centred).mean()
    return bool(left < _EXPLAINED * np.abs(now - before).mean())


def swings(raw: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Say of rows whether shifting the picture explains most of the change: bool.

    Args:
        raw: change of luma.
        moved: what is left of it when the picture is shifted onto the one before.
    """
    return (moved < _SWING * raw) & (moved < _STEADY)
