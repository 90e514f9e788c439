"""How a decoded frame is to be shown: turned, mirrored, stretched.

Here: reading FFmpeg's display matrix and the sample aspect ratio. Not here: drawing (``poster``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from av.sidedata.sidedata import Type

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MAX_STRETCH = 64  # sample aspect ratios beyond this are nonsense and are ignored


@dataclass(frozen=True)
class Orientation:
    """What to do with the stored picture, in this order, by quarter turns and mirrors only.

    ``transposed``: swap x and y; ``flipped_x``, ``flipped_y``: then mirror left-right, top-bottom.
    """

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged beside any turn."""
        return self.transposed ^ self.flipped_x ^ self.flipped_y

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which the stored picture is turned for display: 0, 90, 180, 270.

        Of a mirrored picture: the turn that comes after mirroring it left-right.
        """
        if self.transposed:
            return 90 if self.flipped_x else 270
        return 180 if self.flipped_y else 0


def orientation(frame: VideoFrame) -> Orientation:
    """Read a frame's display matrix (libavutil's ``display.h``), to the nearest quarter turn."""
    # PyAV's stub says that this is a TypedDict; it is a mapping by `Type`.
    found = cast("Mapping[Type, Any]", frame.side_data)
    if Type.DISPLAYMATRIX not in found:
        return Orientation()
    a, b, _, c, d = np.frombuffer(found[Type.DISPLAYMATRIX], np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def display_size(
    width: int, height: int, ratio: Fraction | None, turned: Orientation
) -> tuple[int, int]:
    """Size as shown, in square pixels: the width is stretched, the height kept, then turned."""
    if ratio and Fraction(1, _MAX_STRETCH) <= ratio <= _MAX_STRETCH:
        width = max(1, round(width * ratio))
    return (height, width) if turned.transposed else (width, height)


def parse_ratio(text: str | None) -> Fraction | None:
    """Read ``"4:3"``."""
    if not text:
        return None
    top, _, bottom = text.partition(":")
    return Fraction(int(top), int(bottom)) if int(bottom) else None
