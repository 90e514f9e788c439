"""Backgrounds to read words on: drawn, or a picture made soft and dark.

Here: the pictures, as PNG. Not here: which film has which. A stranger's picture is decoded in a
confined child.
"""

from __future__ import annotations

import colorsys
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from av_pipelines.media.confined import plain_files, run_task
from av_pipelines.videos.sources import opened

_SOFT = "soft.png"
_SIZE = 1280, 1280  # large enough for every shape to be cut out of it
_SMALL = 240
_SHADE, _SOFT_EDGE = (1280, 720), 0.9  # pixels; share of each half that is soft
_DARK = 0.38  # mean of what words are read on, 0 to 1


def draw_gradient(target: Path, colours: Sequence[str], name: str) -> None:
    """Draw a soft gradient.

    Args:
        target: the PNG.
        colours: ``#rrggbb``, one to three, from top left to bottom right; none: from the name.
        name: gives the colours where none are given; the same name, the same colours.
    """
    stops = np.array([_rgb(c) for c in colours] if colours else _colours_of(name))
    stops = np.vstack([stops, stops]) if len(stops) == 1 else stops
    width, height = _SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    way = 0.5 * x + 0.5 * y + 0.05 * np.sin(3 * x - 2 * y)
    at = np.linspace(0, 1, len(stops))
    picture = np.stack([np.interp(way, at, stops[:, c]) for c in range(3)], axis=-1)
    glow = np.exp(-(((x - 0.5) / 0.45) ** 2 + ((y - 0.42) / 0.35) ** 2))
    edge = 1 - 0.35 * np.clip(np.hypot(x - 0.5, y - 0.5) - 0.25, 0, 1)
    picture = picture * edge[..., None] + 0.05 * glow[..., None]
    # Noise of a step of 8 bits: without it a soft gradient has bands.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, picture.shape)
    _save(target, picture * 255 + noise)


def soften(picture: Path, target: Path) -> None:
    """Make a background of a picture: filling, out of focus, dark; ConfinedError if it is none."""
    with opened(picture) as file, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        run_task(
            "av_pipelines.videos.templates.backgrounds:soften_in_child",
            {"fd": file.fileno()},
            fds=[file.fileno()],
            out=Path(scratch),
        )
        plain_files(Path(scratch))
        (Path(scratch) / _SOFT).replace(target)


def draw_shade(target: Path) -> None:
    """Draw black that is soft towards top and bottom: laid over pictures, words can be read on it.

    It is as wide as a film of any shape, so in a tall one it is a soft band in the middle.
    """
    width, height = _SHADE
    from_middle = np.abs(np.linspace(-1, 1, height))
    share = np.clip((1 - from_middle) / _SOFT_EDGE, 0, 1)
    alpha = np.zeros((height, width, 4))
    alpha[..., 3] = 255 * (share * share * (3 - 2 * share))[:, None]
    alpha[..., 3] += np.random.default_rng(0).uniform(-0.5, 0.5, (height, width))
    _save(target, alpha)


def soften_in_child(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Do what ``soften`` says; runs confined."""
    from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

    from av_pipelines.media.confined import ConfinedError

    os.lseek(request["fd"], 0, os.SEEK_SET)
    with os.fdopen(os.dup(request["fd"]), "rb") as data:
        try:
            with Image.open(data, formats=("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
                small = ImageOps.fit(upright, (_SMALL, _SMALL), Image.Resampling.BOX)
        except (
            UnidentifiedImageError,
            Image.DecompressionBombError,
            OSError,
            SyntaxError,
        ) as error:
            raise ConfinedError(f"it cannot be read as a picture: {error}") from None
    soft = small.filter(ImageFilter.GaussianBlur(_SMALL / 20)).resize(_SIZE)
    pixels = np.asarray(soft).astype(np.float32)
    pixels *= min(1.0, _DARK * 255 / max(float(pixels.mean()), 1.0))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, pixels.shape)
    _save(out / _SOFT, pixels + noise)
    return {}


def _save(target: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(
        target, compress_level=3
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _colours_of(name: str) -> list[tuple[float, float, float]]:
    """Choose two deep colours, a third of the circle or less apart."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    hue, apart = number % 360 / 360, 0.08 + (number // 360 % 100) / 100 * 0.17
    return [
        colorsys.hsv_to_rgb(hue, 0.62, 0.42),
        colorsys.hsv_to_rgb((hue + apart) % 1, 0.75, 0.16),
    ]
