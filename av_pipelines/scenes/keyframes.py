"""What stands for a scene: one sharp frame, its colours, how much moves in it.

Here: choosing and summing up, from what the intake pass kept of every frame; nothing is decoded.
Not here: fetching the frame chosen (``stills``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from av_pipelines.media.picture import Picture
    from av_pipelines.scenes.scene_list import Scene

_BLACK = 24.0  # mean luma of 255; night scenes lie around 30, black with grain below 20
_NEARLY_AS_SHARP = 0.8
_SAMPLED = 24  # frames of a scene whose colours are looked at
_KMEANS_ROUNDS = 4


def choose(picture: Picture, scene: Scene, following: Scene | None) -> int:
    """Choose the frame that shows a scene best: the sharpest that is not black.

    Transitions and damaged frames are left out where there are others. A frame that can be decoded
    without others is preferred if it is nearly as sharp (80 %): it costs one picture to fetch
    instead of half a group.

    Args:
        picture: the film as intake saw it.
        scene: the scene.
        following: the one after it, None for the last.

    Returns:
        The frame's number; the scene's first frame where none of it was looked at.
    """
    first, last = scene.clear_frames(following.change if following else None)
    rows = _rows(picture, first, last)
    if not rows.size:
        return scene.start_frame
    light = picture.luma_mean >= _BLACK
    if picture.keyframes_only and not light[rows].any():
        return _unseen(first, last)
    for good in (~picture.corrupt, light):
        if good[rows].any():
            rows = rows[good[rows]]
    sharpness = picture.sharpness[rows].astype(np.float64)
    cheap = picture.keyframe[rows] & (sharpness >= _NEARLY_AS_SHARP * sharpness.max())
    best = int(np.argmax(np.where(cheap, sharpness, -1.0) if cheap.any() else sharpness))
    return int(picture.number[rows[best]])


def clear_from(picture: Picture, scene: Scene, following: Scene | None) -> int:
    """Give the first frame that shows a scene: not black, and no part of a transition.

    Arguments as for ``choose``; the scene's first frame where none shows it.
    """
    first, last = scene.clear_frames(following.change if following else None)
    rows = _rows(picture, first, last)
    light = rows[picture.luma_mean[rows] >= _BLACK]
    if light.size:
        return int(picture.number[light[0]])
    return _unseen(first, last) if picture.keyframes_only else first


def _unseen(first: int, last: int) -> int:
    """Give a frame that is likely to show something where all that was looked at is black."""
    return (first + last) // 2


def describe(picture: Picture, scene: Scene, colours: int) -> dict[str, Any]:
    """Sum up a scene: palette, brightness, motion.

    ``palette``: the main colours, most frequent first, each with its share; median cut refined by
    k-means over the thumbnails. ``motion``: mean change of luma per frame, and ``motion_peak`` the
    largest, 0 to 255, without the change that begins the scene.
    """
    rows = _rows(picture, scene.start_frame, scene.end_frame)
    if not rows.size:
        return {"palette": [], "brightness": None, "motion": None, "motion_peak": None}
    moves = picture.difference[rows[1:]] if rows.size > 1 else np.zeros(1)
    return {
        "palette": palette(picture, rows, colours),
        "brightness": round(float(picture.luma_mean[rows].mean()), 2),
        "motion": round(float(moves.mean()), 3),
        "motion_peak": round(float(moves.max()), 3),
    }


def palette(
    picture: Picture, rows: Sequence[int] | np.ndarray, colours: int
) -> list[dict[str, Any]]:
    """Find the main colours of some rows: ``[{"rgb": "#rrggbb", "share": 0…1}, …]``."""
    few = np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).round().astype(int))
    pixels = np.concatenate([picture.thumbnails[int(rows[k])] for k in few])
    image = Image.fromarray(pixels).quantize(
        colours, Image.Quantize.MEDIANCUT, kmeans=_KMEANS_ROUNDS, dither=Image.Dither.NONE
    )
    table = np.asarray(image.getpalette() or [], np.uint8).reshape(-1, 3)
    counts = np.bincount(np.asarray(image).ravel(), minlength=len(table))
    order = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    return [
        {
            "rgb": "#" + bytes(table[k]).hex(),
            "share": round(float(counts[k] / counts.sum()), 4),
        }
        for k in order
    ]


def _rows(picture: Picture, first: int, last: int) -> np.ndarray:
    """Give the rows of the frames from ``first`` to before ``last``."""
    low, high = np.searchsorted(picture.number, [first, last])
    return np.arange(low, high)
