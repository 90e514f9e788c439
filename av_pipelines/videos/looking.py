"""A few small pictures of every shot, from which it is seen where its subject is.

Here: thumbnails of the stretches of files that a cut shows: from ``picture.npz`` where intake has
left one (nothing is decoded then), else by one confined look at the file. Not here: what is in
them (``saliency``, ``framing``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from av_pipelines.media.confined import ConfinedError, run_task
from av_pipelines.media.picture import THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, Picture, read_picture
from av_pipelines.videos.cut import Shot
from av_pipelines.videos.framing import STEP_S
from av_pipelines.videos.sources import open_media, opened

_FILES_AT_ONCE = 24  # descriptors in one child
_STILL = 96  # pixels of a still's longer side


@dataclass(frozen=True)
class Seen:
    """A shot in small.

    Attributes:
        thumbnails: uint8 (n, height, width, 3), RGB, upright, ``STEP_S`` of the film apart; one
            for a still.
        aspect: width by height of the source as it is shown.
    """

    thumbnails: np.ndarray
    aspect: float


def look_at(
    shots: Sequence[Shot], rate: Fraction, pictures: Mapping[Path, Path], scratch: Path
) -> list[Seen | None]:
    """Look at shots.

    Args:
        shots: of a cut.
        rate: frames a second of it.
        pictures: source file → its ``picture.npz``, where there is one.
        scratch: an empty folder for the child that decodes the others.

    Returns:
        For each shot what was seen; None for plain colours, and where nothing could be decoded.

    Raises:
        RenderError: a file is not there.
        ConfinedError: reading a file ended in no way it should.
        ValueError: a picture file is damaged.
    """
    seen: list[Seen | None] = [None] * len(shots)
    unknown: dict[Path, list[int]] = {}
    opened_pictures: dict[Path, Picture] = {}
    with ExitStack() as stack:
        for i, shot in enumerate(shots):
            if shot.path is None:
                continue
            if shot.still or shot.path not in pictures:
                unknown.setdefault(shot.path, []).append(i)
                continue
            if shot.path not in opened_pictures:
                opened_pictures[shot.path] = stack.enter_context(read_picture(pictures[shot.path]))
            seen[i] = _remembered(opened_pictures[shot.path], _times(shot, rate))
    files = sorted(unknown)
    for first in range(0, len(files), _FILES_AT_ONCE):
        some = {path: unknown[path] for path in files[first : first + _FILES_AT_ONCE]}
        for i, found in _decoded(shots, rate, some, scratch):
            seen[i] = found
    return seen


def _times(shot: Shot, rate: Fraction) -> list[float]:
    """Give the seconds of the source that are looked at."""
    count = max(1, int(shot.frames / rate / STEP_S))
    return [float(shot.start + STEP_S * i * shot.speed) for i in range(count)]


def _remembered(picture: Picture, times: Sequence[float]) -> Seen:
    begins = picture.times_s[0]
    frames = np.searchsorted(picture.times_s - begins, np.array(times) + 1e-6, side="right") - 1
    rows = [picture.row(int(frame)) for frame in np.maximum(frames, 0)]
    thumbnails = np.stack([picture.thumbnails[row] for row in rows])
    if picture.mirrored:
        thumbnails = thumbnails[:, :, ::-1]
    thumbnails = np.rot90(thumbnails, -picture.rotation // 90, axes=(1, 2))
    aspect = picture.width * float(picture.sample_aspect_ratio) / picture.height
    return Seen(thumbnails, 1 / aspect if picture.rotation % 180 else aspect)


def _decoded(
    shots: Sequence[Shot],
    rate: Fraction,
    files: Mapping[Path, Sequence[int]],
    scratch: Path,
) -> Iterator[tuple[int, Seen]]:
    with ExitStack() as stack:
        wanted = []
        for path, numbers in files.items():
            file = stack.enter_context(opened(path))
            for still in (False, True):
                some = [i for i in numbers if shots[i].still == still]
                if some:
                    spans = {str(i): _times(shots[i], rate) for i in some}
                    wanted.append({"fd": file.fileno(), "still": still, "spans": spans})
        answer = run_task(
            "av_pipelines.videos.looking:decode",
            {"files": wanted},
            fds=sorted({file["fd"] for file in wanted}),
            out=scratch,
        )
    for number, aspect in answer["seen"].items():
        file = scratch / f"{int(number)}.npy"
        thumbnails = np.load(file, allow_pickle=False)
        file.unlink()
        if thumbnails.dtype != np.uint8 or thumbnails.ndim != 4 or thumbnails.shape[-1] != 3:
            raise ConfinedError("the process that reads the file gave no thumbnails")
        yield int(number), Seen(thumbnails, min(max(float(aspect), 0.01), 100.0))


# ---------------------------------------------------------------------- in the confined child


def decode(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Decode what shots show into ``<number>.npy``; what cannot be decoded is left out."""
    seen: dict[str, float] = {}
    files = request["files"]
    for done, file in enumerate(files):
        for number, times in file["spans"].items():
            found = _still(file["fd"]) if file["still"] else _film(file["fd"], times)
            if found:
                np.save(out / f"{int(number)}.npy", found[0])
                seen[number] = found[1]
        progress((done + 1) / len(files))
    return {"seen": seen}


def _film(fd: int, times: Sequence[float]) -> tuple[np.ndarray, float] | None:
    from av.error import FFmpegError

    with open_media(fd) as container:
        if not container.streams.video:
            return None
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        # Small pictures, some tenths of a second apart: nothing is seen of what is left out.
        stream.codec_context.skip_frame = "NONREF"
        stream.codec_context.options = {"skip_loop_filter": "all"}
        base = stream.time_base
        begins = Fraction(stream.start_time or 0) * base
        if times[0] > 2:
            container.seek(int((begins + Fraction(times[0]) - 1) / base), stream=stream)
        pictures: list[np.ndarray] = []
        aspect = 1.0
        try:
            for frame in container.decode(stream):
                if frame.pts is None:
                    continue
                now = float(frame.pts * base - begins)
                if now + 1e-6 < times[len(pictures)]:
                    continue
                small = frame.reformat(
                    THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT, "rgb24", interpolation="AREA"
                ).to_ndarray()
                turns = round(frame.rotation or 0) // 90 % 4
                ratio = float(stream.sample_aspect_ratio or 1) or 1.0
                aspect = frame.width * ratio / frame.height
                aspect = 1 / aspect if turns % 2 else aspect
                small = np.rot90(small, turns)
                while len(pictures) < len(times) and now + 1e-6 >= times[len(pictures)]:
                    pictures.append(small)
                if len(pictures) == len(times):
                    break
        except FFmpegError:
            pass  # what was decoded up to the damage is enough to look at
        return (np.stack(pictures), aspect) if pictures else None


def _still(fd: int) -> tuple[np.ndarray, float] | None:
    from PIL import Image, ImageOps, UnidentifiedImageError

    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as data:
        try:
            with Image.open(data, formats=("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")) as image:
                upright = ImageOps.exif_transpose(image)
                aspect = upright.width / upright.height
                scale = _STILL / max(upright.size)
                width, height = (max(8, round(side * scale)) for side in upright.size)
                small = upright.convert("RGB").resize((width, height), Image.Resampling.BOX)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
            return None  # the renderer says what is wrong with it
    return np.asarray(small)[None], aspect
