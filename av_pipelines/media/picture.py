"""``picture.npz``: what one decode leaves of a film, so that nobody has to decode it again.

Here: the file format, written by the intake pass and read by whoever looks at pictures. Not here:
measuring frames (``intake.taps``), finding scenes in them (the room of scenes).

The file is a NumPy archive (a zip of ``.npy``, no pickles) written in pieces of 256 frames, so that
neither writing nor reading takes memory by the length of the film:

- ``header.json``: time base, frame rate, size; see ``Header``.
- ``000000/rows.npy``: one row per looked-at frame, of type ``ROW``.
- ``000000/histograms.npy``: uint16 (rows, 64): 32 bins of luma, 16 of Cb, 16 of Cr; shares, of
  which each of the three adds up to about 65535.
- ``000000/thumbnails.npy``: uint8 (bytes,), packed (``packing``): int8 (rows, 27, 48, 3), RGB, each
  minus the one before it, modulo 256; ``np.cumsum(x, axis=0, dtype=np.uint8)`` gives the pictures.
- ``pts.npy``: int64, the time stamps of all frames; only where not every frame was looked at.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np

from av_pipelines.media.packing import pack, unpack

THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH = 27, 48
LUMA_BINS, CHROMA_BINS = 32, 16
CHUNK = 256

ROW = np.dtype(
    [
        ("pts", "<i8"),  # time stamp, in ticks of the time base
        ("duration", "<i8"),  # ticks for which it is shown; 0 if the file does not say
        ("keyframe", "?"),
        ("corrupt", "?"),  # decoded from damaged data
        ("luma_mean", "<f4"),  # 0 (black) to 255 (white)
        ("luma_deviation", "<f4"),  # standard deviation, same scale
        ("difference", "<f4"),  # mean |change| of luma since the frame before, same scale
        ("chroma_difference", "<f4"),  # mean |change| of Cb and Cr, same scale
        ("sharpness", "<f4"),  # mean squared step of luma between neighbouring pixels
    ]
)
_THUMBNAIL = (THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, 3)
_HISTOGRAM = (LUMA_BINS + 2 * CHROMA_BINS,)
_PARTS: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "rows": (ROW, ()),
    "histograms": (np.dtype("<u2"), _HISTOGRAM),
}
_FORMAT = "picture/2"
_MAX_HEADER = 1 << 20
_MAX_FRAMES = 1 << 26  # 12 days of 60 frames a second
_LEVEL = 1


@dataclass(frozen=True)
class Gap:
    """A part of the film that is not there: from the last good frame's end to the next frame."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class Header:
    """What holds for the whole film.

    Attributes:
        time_base: seconds per tick of ``pts``.
        fps: frames per second: the nominal rate if the frames keep to it, else the average.
        width, height: pixels of the stored frame, before rotation and stretching.
        sample_aspect_ratio: width of a pixel by its height.
        rotation: degrees clockwise by which it is turned for display: 0, 90, 180, 270.
        mirrored: whether it is also mirrored left-right (before it is turned).
        frames: in the film.
        end_pts: time stamp at which the last frame ends.
        variable_frame_rate: whether frames are shown for unequal times.
        keyframes_only: whether only keyframes were looked at.
        gaps: where damage took frames away.
    """

    time_base: Fraction
    fps: Fraction
    width: int
    height: int
    sample_aspect_ratio: Fraction
    rotation: int
    mirrored: bool
    frames: int
    end_pts: int
    variable_frame_rate: bool
    keyframes_only: bool
    gaps: tuple[Gap, ...] = ()

    def to_json(self) -> str:
        """Write it as ``header.json``."""
        data = {"format": _FORMAT, **asdict(self)}
        return json.dumps(data, default=lambda ratio: f"{ratio.numerator}/{ratio.denominator}")

    @classmethod
    def from_json(cls, text: str | bytes) -> Header:
        """Read ``header.json``; ValueError if it is none."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
            raise ValueError(f"its header is not that of {_FORMAT}")
        if data.keys() != {field.name for field in fields(cls)}:
            raise ValueError("its header has other fields than expected")
        for name in ("time_base", "fps", "sample_aspect_ratio"):
            data[name] = Fraction(data[name])
            if data[name] <= 0:
                raise ValueError(f"{name} is {data[name]}")
        data["gaps"] = tuple(Gap(float(g["start_s"]), float(g["end_s"])) for g in data["gaps"])
        for name in ("width", "height", "rotation", "frames", "end_pts"):
            if not isinstance(data[name], int):
                raise ValueError(f"{name} is not a whole number")
        if not 0 < data["frames"] <= _MAX_FRAMES:
            raise ValueError(f"it claims {data['frames']} frames")
        return cls(**data)


# ---------------------------------------------------------------------- writing


class PictureWriter:
    """Writes a picture file piece by piece; to be closed with the header.

    Args:
        path: the new file.
    """

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._chunks = 0

    def add(self, rows: np.ndarray, histograms: np.ndarray, thumbnails: np.ndarray) -> None:
        """Write the next piece: exactly ``CHUNK`` frames, except the last one.

        Args:
            rows: (n,) of type ``ROW``.
            histograms: uint16 (n, 64).
            thumbnails: uint8 (n, 27, 48, 3).
        """
        steps = thumbnails.copy()
        steps[1:] -= thumbnails[:-1]
        folder = f"{self._chunks:06d}"
        self._write(f"{folder}/rows.npy", rows)
        self._write(f"{folder}/histograms.npy", histograms)
        self._write(f"{folder}/thumbnails.npy", pack(steps.view(np.int8)), zipfile.ZIP_STORED)
        self._chunks += 1

    def close(self, header: Header, pts: np.ndarray | None = None) -> None:
        """Write the header, and the time stamps of all frames where not all were looked at."""
        if pts is not None:
            self._write("pts.npy", pts.astype("<i8"))
        self._zip.writestr("header.json", header.to_json())
        self._zip.close()

    def _write(self, name: str, array: np.ndarray, how: int = zipfile.ZIP_DEFLATED) -> None:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, allow_pickle=False)
        # A fixed date: the same film gives the same bytes.
        self._zip.writestr(zipfile.ZipInfo(name), buffer.getbuffer(), how, compresslevel=_LEVEL)


# ---------------------------------------------------------------------- reading


class Thumbnails:
    """The 48×27 RGB pictures of a film, uint8 (rows, 27, 48, 3), read from the file when asked for.

    Give it a row number or a slice; going through in order reads every piece once.
    """

    def __init__(self, archive: _Archive) -> None:
        self._archive = archive
        self._held: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self._archive.rows

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> np.ndarray: ...
    def __getitem__(self, index: int | slice) -> np.ndarray:
        wanted = range(len(self))[index]
        if isinstance(wanted, int):
            return self._chunk(wanted // CHUNK)[wanted % CHUNK]
        out = np.empty((len(wanted), *_THUMBNAIL), np.uint8)
        for place, row in enumerate(wanted):
            out[place] = self._chunk(row // CHUNK)[row % CHUNK]
        return out

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Go through all: (number of the first row, uint8 (n, 27, 48, 3))."""
        for number in range(self._archive.chunks):
            yield number * CHUNK, self._chunk(number)

    def _chunk(self, number: int) -> np.ndarray:
        if self._held is None or self._held[0] != number:
            steps = self._archive.steps(number)
            pictures = np.cumsum(steps, axis=0, dtype=np.uint8)
            pictures.setflags(write=False)
            self._held = number, pictures
        return self._held[1]


class Picture:
    """A film as the intake pass saw it. Arrays are read when first asked for, and read-only.

    Two kinds of arrays: ``pts`` and ``times_s`` have an entry per frame of the film; all others an
    entry per *row*, a frame that was looked at. Unless only keyframes were looked at
    (``keyframes_only``) the two are the same; ``number`` gives the frame number of each row.

    Attributes:
        header: what holds for the whole film; its fields can also be had from the picture itself.
        thumbnails: see ``Thumbnails``.
    """

    def __init__(self, path: Path) -> None:
        self._archive = _Archive(path)
        self.header = header = self._archive.header
        self.thumbnails = Thumbnails(self._archive)
        self.time_base, self.fps = header.time_base, header.fps
        self.width, self.height = header.width, header.height
        self.sample_aspect_ratio = header.sample_aspect_ratio
        self.rotation, self.mirrored = header.rotation, header.mirrored
        self.frames, self.variable_frame_rate = header.frames, header.variable_frame_rate
        self.keyframes_only, self.gaps = header.keyframes_only, header.gaps

    # ------------------------------------------------------------ per frame of the film

    @cached_property
    def pts(self) -> np.ndarray:
        """Time stamps, int64 (frames,), in ticks of ``time_base``, strictly rising."""
        pts = self._archive.pts() if self.keyframes_only else self._rows["pts"]
        if len(pts) != self.frames or (np.diff(pts) <= 0).any():
            raise ValueError(f"{self._archive.path}: its time stamps are not in order")
        return pts

    @cached_property
    def times_s(self) -> np.ndarray:
        """Seconds at which each frame begins, float64 (frames,), on the media's own clock.

        The first is not 0 where the film begins later than that clock.
        """
        return self.pts * float(self.time_base)

    @property
    def end_s(self) -> float:
        """Second at which the last frame ends."""
        return float(self.header.end_pts * self.time_base)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's beginning to the last one's end."""
        return float((self.header.end_pts - int(self.pts[0])) * self.time_base)

    # ------------------------------------------------------------ per row

    @cached_property
    def number(self) -> np.ndarray:
        """Frame number of each row, int64 (rows,), from 0."""
        if not self.keyframes_only:
            return np.arange(self.frames)
        return np.searchsorted(self.pts, self._rows["pts"])

    def row(self, frame: int) -> int:
        """Give the row of a frame, or of the last looked-at frame before it."""
        return max(int(np.searchsorted(self.number, frame, side="right")) - 1, 0)

    @property
    def keyframe(self) -> np.ndarray:
        """Whether a frame can be decoded without others, bool (rows,)."""
        return self._rows["keyframe"]

    @property
    def corrupt(self) -> np.ndarray:
        """Whether a frame was decoded from damaged data, bool (rows,)."""
        return self._rows["corrupt"]

    @property
    def luma_mean(self) -> np.ndarray:
        """Mean luma, float32 (rows,), 0 (black) to 255 (white)."""
        return self._rows["luma_mean"]

    @property
    def luma_deviation(self) -> np.ndarray:
        """Standard deviation of luma, float32 (rows,), on the same scale."""
        return self._rows["luma_deviation"]

    @property
    def difference(self) -> np.ndarray:
        """Mean absolute change of luma since the row before, float32 (rows,); the first is 0."""
        return self._rows["difference"]

    @property
    def chroma_difference(self) -> np.ndarray:
        """Mean absolute change of Cb and Cr since the row before, float32 (rows,)."""
        return self._rows["chroma_difference"]

    @property
    def sharpness(self) -> np.ndarray:
        """Mean squared step of luma between neighbouring pixels, float32 (rows,).

        To be compared within a film, best within a scene.
        """
        return self._rows["sharpness"]

    @cached_property
    def luma_histogram(self) -> np.ndarray:
        """Shares of 32 equal bins of luma, float32 (rows, 32), each row adds up to 1."""
        return self._histograms[:, :LUMA_BINS] / np.float32(65535)

    @cached_property
    def chroma_histogram(self) -> np.ndarray:
        """Shares of 16 equal bins of Cb and of Cr, float32 (rows, 2, 16), each adds up to 1."""
        shares = self._histograms[:, LUMA_BINS:].reshape(-1, 2, CHROMA_BINS)
        return shares / np.float32(65535)

    @cached_property
    def _rows(self) -> np.ndarray:
        return self._archive.all("rows")

    @cached_property
    def _histograms(self) -> np.ndarray:
        return self._archive.all("histograms")

    # ------------------------------------------------------------ the file

    def close(self) -> None:
        """Close the file; what was read stays."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_picture(path: Path) -> Picture:
    """Open a picture file.

    Raises:
        ValueError: it is not one, or it is damaged.
        OSError: it cannot be read.
    """
    return Picture(path)


def verify_picture(path: Path) -> None:
    """Read everything in a picture file once; ValueError says what is wrong with it."""
    with read_picture(path) as picture:
        if len(picture.pts) != picture.frames or len(picture.number) != len(picture.thumbnails):
            raise ValueError(f"{path}: the numbers of frames in it differ")
        _ = picture.luma_histogram
        for _ in picture.thumbnails.chunks():
            pass


class _Archive:
    """The zip, with every size and type checked before it is unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: not a picture file: {error}") from None
        try:
            self.header = Header.from_json(self._member("header.json", _MAX_HEADER))
            self.rows = self._count()
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            self._zip.close()
            raise ValueError(f"{path}: not a picture file: {error}") from None

    @property
    def chunks(self) -> int:
        """Number of pieces."""
        return -(-self.rows // CHUNK)

    def _count(self) -> int:
        if not self.header.keyframes_only:
            return self.header.frames
        names = [n for n in self._zip.namelist() if n.endswith("/rows.npy")]
        last = self._read(f"{len(names) - 1:06d}/rows.npy", ROW, CHUNK)
        return (len(names) - 1) * CHUNK + len(last)

    def pts(self) -> np.ndarray:
        """Read the time stamps of all frames."""
        return self._read("pts.npy", np.dtype("<i8"), self.header.frames)

    def part(self, number: int, name: str) -> np.ndarray:
        """Read one array of one piece."""
        dtype, shape = _PARTS[name]
        array = self._read(f"{number:06d}/{name}.npy", dtype, CHUNK, shape)
        if len(array) != self._rows_of(number):
            raise ValueError(f"{self.path}: piece {number} has {len(array)} {name}")
        return array

    def steps(self, number: int) -> np.ndarray:
        """Read the thumbnails of one piece, each minus the one before."""
        name, size = f"{number:06d}/thumbnails.npy", math.prod(_THUMBNAIL)
        packed = self._read(name, np.dtype("u1"), 2 * CHUNK * size)
        try:
            steps = unpack(packed, self._rows_of(number) * size)
        except ValueError as error:
            raise ValueError(f"{self.path}: {name} cannot be read: {error}") from None
        return steps.view(np.uint8).reshape(-1, *_THUMBNAIL)

    def _rows_of(self, number: int) -> int:
        """Tell how many rows a piece must have."""
        return min(CHUNK, self.rows - number * CHUNK)

    def all(self, name: str) -> np.ndarray:
        """Read one array of all pieces."""
        whole = np.concatenate([self.part(number, name) for number in range(self.chunks)])
        whole.setflags(write=False)
        return whole

    def _read(
        self, name: str, dtype: np.dtype[Any], most: int, shape: tuple[int, ...] = ()
    ) -> np.ndarray:
        size = dtype.itemsize * math.prod(shape)
        try:
            data = self._member(name, most * size + 4096)
            head = io.BytesIO(data)
            np.lib.format.read_magic(head)
            found, fortran, kind = np.lib.format.read_array_header_1_0(head)
            if (found[1:], kind, fortran) != (shape, dtype, False):
                raise ValueError(f"it is {kind} {found}")
            return np.frombuffer(data, dtype, offset=head.tell()).reshape(found)
        except (KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{self.path}: {name} cannot be read: {error}") from None

    def _member(self, name: str, limit: int) -> bytes:
        if self._zip.getinfo(name).file_size > limit:
            raise ValueError(f"{self.path}: {name} is larger than {limit} bytes")
        return self._zip.read(name)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
