"""A decoded frame made small: a thumbnail, and luma and chroma to measure on.

Here: taking rows from the planes of any pixel format, and the range and matrix of its colours. Not
here: measuring (``picture_measures``) and writing (``picture``).

Every n-th row of each plane is copied as it is, 32 to 64 of them, into a small frame of the same
pixel format. That costs a fiftieth of a conversion of the whole frame, works for packed and planar
formats of any depth alike, and leaves at least a whole row for each of the thumbnail's, so that
averages take in every pixel of it. libswscale makes the thumbnail from that small frame.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from av_pipelines.media.picture import THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

_ROWS = 32
_COLUMNS = 64
_CONVERTED_WIDTH = 480
_UNSPECIFIED = 2  # FFmpeg's AVCOL_SPC_UNSPECIFIED, which PyAV does not name
_HD_HEIGHT = 720  # from here on, pictures that do not name their matrix are BT.709 by convention


class Look(NamedTuple):
    """One frame made small. The arrays hold until the next one; values are the file's, 8 bits.

    ``planes`` are a sample of its pixels: luma, and Cb and Cr where there is colour, each uint8
    (rows, columns); ``next_to`` are the pixels right of those of luma. With ``full_range`` luma
    goes from 0 to 255, without from 16 to 235 (ITU-R BT.601, BT.709). ``thumbnail`` is uint8
    (27, 48, 3), RGB.
    """

    planes: tuple[np.ndarray, ...]
    next_to: np.ndarray
    full_range: bool
    thumbnail: np.ndarray


class Shrinker:
    """Makes frames small; keeps what is the same from frame to frame."""

    def __init__(self) -> None:
        self._shape: tuple[int, int, str] | None = None
        self._whole = VideoReformatter()
        self._thumbnail = VideoReformatter()
        self._samples = VideoReformatter()

    def look(self, frame: VideoFrame) -> Look:
        """Make a frame small."""
        planes = frame.planes
        form = frame.format.name
        if _odd(form) or any(plane.line_size <= 0 for plane in planes):
            # Palettes, pixels that share bytes, upside down: rows cannot be copied as they are.
            frame = self._whole.reformat(frame, format="yuv444p", threads=1)
            planes, form = frame.planes, "yuv444p"
        if self._shape != (frame.width, frame.height, form):
            self._begin(frame)
        small, step = self._small, self._step
        for to, plane in zip(self._rows, planes, strict=True):
            rows = _view(plane)[step // 2 :: step]
            wide = min(to.shape[1], rows.shape[1])  # padding may differ
            to[:, :wide] = rows[: len(to), :wide]
        small.color_range = frame.color_range
        small.colorspace = _matrix(frame)
        thumbnail = self._thumbnail.reformat(
            small,
            THUMBNAIL_WIDTH,
            THUMBNAIL_HEIGHT,
            "rgb24",
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        if self._direct:
            views, full = self._views, _is_full(small)
        else:
            views, full = self._converted(small), False
        column = self._column
        pixels = _view(thumbnail.planes[0])[:, : 3 * THUMBNAIL_WIDTH]
        return Look(
            planes=tuple([view[:, ::column] for view in views]),
            next_to=views[0][:, 1::column],
            full_range=full,
            thumbnail=pixels.reshape(THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, 3),
        )

    def _begin(self, frame: VideoFrame) -> None:
        """Prepare for frames of this size and format."""
        width, height, form = frame.width, frame.height, frame.format
        step = max(1, height // _ROWS)
        if step > 2:
            step &= ~1  # of interlaced pictures, rows of one field
        # A whole number of rows of chroma, which may have a quarter of luma's.
        rows = height if step == 1 else (height // step) & ~3
        self._shape = width, height, form.name
        self._step = step
        self._small = av.VideoFrame(width, rows, form.name)
        self._rows = [_view(plane) for plane in self._small.planes]
        self._direct = _direct(form)
        self._views = _pictures(self._small)
        sampled = width if self._direct else min(width, _CONVERTED_WIDTH)
        self._column = max(1, sampled // _COLUMNS)

    def _converted(self, small: VideoFrame) -> list[np.ndarray]:
        """Give luma and chroma of any other format."""
        self._held = self._samples.reformat(
            small,
            min(small.width, _CONVERTED_WIDTH),
            small.height,
            "yuv444p",
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return _pictures(self._held)


def _view(plane: VideoPlane) -> np.ndarray:
    """View the bytes of a plane, uint8 (rows, bytes with padding); valid while the frame lives."""
    height, size = plane.height, plane.line_size
    raw = cast("memoryview", plane)  # it has the buffer protocol
    return np.frombuffer(raw, np.uint8, height * size).reshape(height, size)


def _pictures(frame: VideoFrame) -> list[np.ndarray]:
    """View luma and chroma of an 8-bit planar frame, without padding and alpha."""
    return [_view(plane)[:, : plane.width] for plane in frame.planes[:3]]


def _direct(form: VideoFormat) -> bool:
    """Whether the planes are 8-bit luma and chroma, each in a plane of its own."""
    parts = form.components
    planar = len({part.plane for part in parts}) == len(parts)
    return planar and not form.is_rgb and all(part.bits == 8 for part in parts)


@cache
def _odd(name: str) -> bool:
    form = VideoFormat(name)
    return form.has_palette or form.is_bit_stream


def _is_full(frame: VideoFrame) -> bool:
    name = frame.format.name
    return frame.color_range == ColorRange.JPEG or name.startswith(("yuvj", "gray"))


def _matrix(frame: VideoFrame) -> int:
    """Name the matrix of a frame's colours; of pictures that name none, the usual one."""
    named = frame.colorspace
    if named == _UNSPECIFIED and frame.height >= _HD_HEIGHT:
        return Colorspace.ITU709
    return named
