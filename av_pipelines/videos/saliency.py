"""Where the eye goes: a map of interest for each thumbnail of a film.

Here: the maps, from pixels alone, without a trained model. Not here: what a crop makes of them
(``framing``), getting thumbnails (``picture.npz``, ``looking``).

Four cues are added: spectral residual of luma (Hou and Zhang, CVPR 2007), distance of a colour
from the picture's mean (Achanta et al., CVPR 2009), what moves otherwise than the camera, and the
colour of skin (Chai and Ngan, IEEE CSVT 1999), which all humans share in Cb and Cr.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter

_RESIDUAL, _COLOUR, _MOTION, _SKIN = 0.5, 0.8, 1.6, 0.8  # weights of the cues
_STILL = 14.0  # change of luma, of 255, below which nothing moves for certain
_CAMERA_X, _CAMERA_Y = 3, 2  # how far the camera may move between thumbnails, in pixels
_PRIOR_WIDTH, _PRIOR_FLOOR = 0.5, 0.45  # interest towards the edges, for want of better


def interest(thumbnails: np.ndarray) -> np.ndarray:
    """Map what draws the eye.

    Args:
        thumbnails: uint8 (n, height, width, 3), RGB, in order, of one shot, some tenths of a second
            apart.

    Returns:
        float32 (n, height, width), not negative, each map adds up to 1.
    """
    pixels = thumbnails.astype(np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    cb = (pixels[..., 2] - luma) * 0.564
    cr = (pixels[..., 0] - luma) * 0.713
    maps = _RESIDUAL * _spectral_residual(luma)
    maps += _COLOUR * _rare_colour(np.stack([luma, 2 * cb, 2 * cr], axis=-1))
    maps += _MOTION * _motion(luma)
    maps += _SKIN * _skin(luma, cb, cr)
    maps *= _prior(*luma.shape[1:])
    maps = maps**2  # what stands out outweighs much that does so a little
    return maps / np.maximum(maps.sum(axis=(1, 2), keepdims=True), 1e-9)


def _spectral_residual(luma: np.ndarray) -> np.ndarray:
    spectrum = np.fft.fft2(luma, axes=(1, 2))
    log = np.log(np.abs(spectrum) + 1.0)
    neighbours = product((-1, 0, 1), (-1, 0, 1))
    residual = log - sum(np.roll(log, step, (1, 2)) for step in neighbours) / 9
    back = np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)), axes=(1, 2))
    return _to_one(gaussian_filter(np.abs(back) ** 2, (0, 1.5, 1.5)).astype(np.float32))


def _rare_colour(colours: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter(colours, (0, 1, 1, 0))
    return _to_one(np.linalg.norm(smooth - colours.mean(axis=(1, 2), keepdims=True), axis=-1))


def _motion(luma: np.ndarray) -> np.ndarray:
    """Change since the thumbnail before, the camera's own motion taken out."""
    if len(luma) < 2:
        return np.zeros_like(luma)
    after = luma[1:]
    best = np.full(len(after), np.inf, np.float32)
    change = np.zeros_like(after)
    steps = product(range(-_CAMERA_Y, _CAMERA_Y + 1), range(-_CAMERA_X, _CAMERA_X + 1))
    for dy, dx in sorted(steps, key=lambda step: abs(step[0]) + abs(step[1])):
        moved = np.abs(after - np.roll(luma[:-1], (dy, dx), (1, 2)))
        moved[:, : max(dy, 0)] = moved[:, luma.shape[1] + min(dy, 0) :] = 0
        moved[:, :, : max(dx, 0)] = moved[:, :, luma.shape[2] + min(dx, 0) :] = 0
        # The median: a subject that fills a third of the picture must not be taken for the camera.
        cost = np.median(moved, axis=(1, 2)) + moved.mean(axis=(1, 2)) / 4
        better = cost < best - 1e-3
        best[better], change[better] = cost[better], moved[better]
    change = gaussian_filter(change, (0, 1, 1))
    change = np.maximum(change - np.median(change, axis=(1, 2), keepdims=True), 0)
    change /= np.maximum(change.max(axis=(1, 2), keepdims=True), _STILL)
    return np.concatenate([change[:1], change])


def _skin(luma: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    inside = (cb > -51) & (cb < -1) & (cr > 5) & (cr < 45) & (luma > 40) & (luma < 240)
    skin = gaussian_filter(inside.astype(np.float32), (0, 1, 1))
    # Where most of the picture has that colour it is a wall, or sand.
    return skin * np.clip(2 - 4 * skin.mean(axis=(1, 2), keepdims=True), 0, 1)


def _prior(height: int, width: int) -> np.ndarray:
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    middle = np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * _PRIOR_WIDTH**2))
    return (_PRIOR_FLOOR + (1 - _PRIOR_FLOOR) * middle).astype(np.float32)


def _to_one(maps: np.ndarray) -> np.ndarray:
    low = maps.min(axis=(1, 2), keepdims=True)
    return (maps - low) / np.maximum((maps - low).max(axis=(1, 2), keepdims=True), 1e-6)
