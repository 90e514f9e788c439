"""What is known of the files that a film is made of, before any of it is rendered.

Here: one confined look at each file: its streams, when its first picture and sound are shown, its
size upright, colours, packets that can be copied; stills are decoded here once, into PNG. Not
here: what is rendered of them (``graph``), and their sound (``mix``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from av_pipelines.media.confined import Confined, ConfinedError, run_task

FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,gif,"
    "wav,w64,aiff,flac,mp3,aac,ac3,eac3,caf,amr,ape,tta,wv,dts"
)
"""FFmpeg's demuxers that may be used: containers that hold their media, and no lists of others."""
MAX_PIXELS = 8192 * 8192
_AT_ONCE = 120  # files in one child
_SLACK_S = Fraction(1)  # before a cut, where a container's seeking is not exact
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
_HDR = (16, 18)  # transfer curves: SMPTE ST 2084 (PQ), ARIB STD-B67 (HLG)
_HD = 720  # from this height on, what names no colour matrix is taken for BT.709, as players do
_SPACED, _REORDERED = 120, 20  # packets looked at; those of the last whose turn is not certain
_GUESSED_FPS = Fraction(25)


class RenderError(RuntimeError):
    """A cut that cannot be rendered; the message names the shot or the file, and what to do."""


@dataclass(frozen=True)
class Source:
    """What is known of a film or a sound. Times in seconds on the file's own clock.

    Attributes:
        format: FFmpeg's name of its demuxer.
        video, audio: index of the streams; None where there is none.
        width, height: upright, in square pixels.
        first_picture, first_sound: when a player shows the first of each.
        end: when the last of the picture, or of a file without one the sound, is over; None:
            the file does not say.
        fps: frames a second, on average.
        tick: the unit of the picture's time stamps.
        constant: whether its pictures are evenly spaced, but for rounding to ticks.
        codec, pix_fmt, matrix, full_range, hdr, deep: of the picture.
        interlaced: whether its first frame is.
        upright: whether it is stored as it is shown: no rotation, square pixels.
        still: name of the PNG it was decoded to, for pictures that do not move.
    """

    format: str = ""
    video: int | None = None
    audio: int | None = None
    width: int = 0
    height: int = 0
    first_picture: Fraction = Fraction(0)
    first_sound: Fraction = Fraction(0)
    end: Fraction | None = None
    fps: Fraction = _GUESSED_FPS
    tick: Fraction = Fraction(1, 1000)
    constant: bool = True
    codec: str = ""
    pix_fmt: str = ""
    matrix: str = "bt709"
    full_range: bool = False
    hdr: bool = False
    deep: bool = False
    interlaced: bool = False
    upright: bool = True
    still: str | None = None

    @property
    def zero(self) -> Fraction:
        """What shots count their start from: the first picture, or of a sound the first sample."""
        return self.first_sound if self.video is None else self.first_picture

    @property
    def length(self) -> Fraction | None:
        """Seconds from ``zero`` to the end."""
        return None if self.end is None else self.end - self.zero


class Work:
    """Confined work on a film's files, with as few processes as can be; a context manager.

    Starting one takes longer than most of what is done. A film of few files has one for all that
    is done (``lasting``); with more files than a process may have open, each task has its own.

    Args:
        paths: all files there are.
        out: the folder that may be written to.

    Raises:
        RenderError: a file is not there; it is named.
    """

    def __init__(self, paths: Iterable[Path], out: Path) -> None:
        files = set(paths)
        self.lasting = len(files) <= _AT_ONCE
        self._out = out
        with ExitStack() as stack:
            if self.lasting:
                self._fds = _opened_all(files, stack)
                fds = list(self._fds.values())
                self._process = stack.enter_context(Confined(fds=fds, out=out))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self._stack.close()

    def run(
        self,
        task: str,
        request: Callable[[Mapping[Path, int]], Mapping[str, Any]],
        paths: Iterable[Path],
    ) -> dict[str, Any]:
        """Run a task (``confined.run_task``).

        Args:
            task: ``module:function``.
            request: gives what it is asked, from the open descriptors of the paths.
            paths: the files that it needs.
        """
        if self.lasting:
            return self._process.run(task, request(self._fds))
        with ExitStack() as stack:
            fds = _opened_all(paths, stack)
            return run_task(task, request(fds), fds=list(fds.values()), out=self._out)


def _opened_all(paths: Iterable[Path], stack: ExitStack) -> dict[Path, int]:
    return {path: stack.enter_context(opened(path)).fileno() for path in sorted(set(paths))}


def examine_all(
    films: Iterable[Path], stills: Iterable[Path], work: Work
) -> dict[tuple[Path, bool], Source]:
    """Look at every file once.

    Args:
        films: films and sounds.
        stills: pictures; each becomes a PNG in the working folder.
        work: on all of them.

    Returns:
        (path, whether it is a still) → what is known.

    Raises:
        RenderError: a file is not there or cannot be used; it is named.
    """
    wanted = sorted({*((p, False) for p in films), *((p, True) for p in stills)})
    found: dict[tuple[Path, bool], Source] = {}
    for at in range(0, len(wanted), _AT_ONCE):
        some = wanted[at : at + _AT_ONCE]

        def request(
            fds: Mapping[Path, int], at: int = at, some: Sequence[tuple[Path, bool]] = some
        ) -> dict[str, Any]:
            return {
                "files": [
                    {"fd": fds[path], "still": f"still_{number}.png" if still else None}
                    for number, (path, still) in enumerate(some, at)
                ]
            }

        task = "av_pipelines.videos.sources:examine"
        answer = work.run(task, request, [path for path, _ in some])
        for key, one in zip(some, answer["sources"], strict=True):
            if "refused" in one:
                raise RenderError(f"{key[0]}: {one['refused']}")
            found[key] = from_json_dict(one)
    return found


def opened(path: Path) -> Any:
    """Open a file for a confined child; RenderError if it is not there."""
    try:
        return path.open("rb")
    except OSError as error:
        raise RenderError(f"{path} cannot be read: {error.strerror}") from None


def to_json_dict(source: Source) -> dict[str, Any]:
    """Give it fit for JSON."""
    return {k: str(v) if isinstance(v, Fraction) else v for k, v in asdict(source).items()}


def from_json_dict(data: Mapping[str, Any]) -> Source:
    """Read what ``to_json_dict`` gave."""
    exact = ("first_picture", "first_sound", "end", "fps", "tick")
    numbers = {k: Fraction(data[k]) for k in exact if data.get(k) is not None}
    return Source(**{**data, **numbers})


# ---------------------------------------------------------------------- in the confined child


def examine(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Look at files; what is wrong with one is told of it, and the others are looked at."""
    answers = []
    for file in request["files"]:
        try:
            source = _still(file, out) if file["still"] else _media(file["fd"])
            answers.append(to_json_dict(source))
        except ConfinedError as error:
            answers.append({"refused": str(error)})
    return {"sources": answers}


def open_media(fd: int) -> Any:
    """Open a descriptor with PyAV, only what ``FORMATS`` allows."""
    import av
    from av.error import FFmpegError

    os.lseek(fd, 0, os.SEEK_SET)
    options = {
        "fd": str(fd),
        "protocol_whitelist": "fd",
        "format_whitelist": FORMATS,
        "max_pixels": str(MAX_PIXELS),
    }
    try:
        return av.open("fd:", options=options)
    except FFmpegError as error:
        raise ConfinedError(
            f"it cannot be opened as a film or a sound: {error.strerror}; formats that can: "
            f"{FORMATS}"
        ) from None


def _media(fd: int) -> Source:
    with open_media(fd) as container:
        known: dict[str, Any] = {"format": container.format.name.partition(",")[0]}
        films = [s for s in container.streams.video if not _is_cover(s)]
        sounds = [s for s in container.streams.audio if s.codec_context is not None]
        if not films and not sounds:
            raise ConfinedError("there is neither picture nor sound in it")
        film = films[0] if films else None
        sound = sounds[0] if sounds else None
        if sound is not None:
            known |= {"audio": sound.index, "first_sound": _start_of(sound)}
        if film is not None:
            known |= _picture(container, film)
        known["end"] = _end_of(container, film or sound)
        return Source(**known)


def _is_cover(stream: Any) -> bool:
    return bool(int(stream.disposition) & 0x400)  # AV_DISPOSITION_ATTACHED_PIC


def _start_of(stream: Any) -> Fraction:
    return Fraction(stream.start_time or 0) * Fraction(stream.time_base or 1)


def _end_of(container: Any, stream: Any) -> Fraction | None:
    if stream.duration:
        return Fraction((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base)
    if container.duration:
        return Fraction((container.start_time or 0) + container.duration, 1_000_000)
    return None


def _picture(container: Any, film: Any) -> dict[str, Any]:
    from av.error import FFmpegError

    frame = None
    film.thread_type = "SLICE"  # one frame is wanted: frame threads would decode several
    try:
        # Not PyAV's decode of the whole container: what is before the first picture is left out.
        for one in container.decode(film):
            if one.pts is not None and not one.is_corrupt:
                frame = one
                break
    except FFmpegError as error:
        raise ConfinedError(f"its picture cannot be decoded: {error.strerror}") from None
    if frame is None:
        raise ConfinedError("not one frame of its picture can be decoded")
    ratio = Fraction(film.sample_aspect_ratio or 1) or Fraction(1)
    width, height = round(frame.width * ratio), frame.height
    turned = round(frame.rotation) % 360 if frame.rotation else 0
    if turned in (90, 270):
        width, height = height, width
    guess = "bt709" if min(frame.width, frame.height) >= _HD else "bt601"
    rate = film.average_rate or film.guessed_rate or _GUESSED_FPS
    pix_fmt = frame.format.name
    return {
        "video": film.index,
        "width": max(1, width),
        "height": max(1, height),
        "first_picture": frame.pts * film.time_base,
        "fps": Fraction(rate),
        "tick": Fraction(film.time_base),
        "constant": _even(container, film, frame.pts, Fraction(rate)),
        "codec": film.codec_context.codec.canonical_name,
        "pix_fmt": pix_fmt,
        "matrix": _MATRICES.get(int(frame.colorspace), guess),
        "full_range": int(frame.color_range) == 2 or pix_fmt.startswith("yuvj"),
        "hdr": int(frame.color_trc) in _HDR,
        "deep": any(c.bits > 8 for c in frame.format.components),
        "interlaced": bool(frame.interlaced_frame),
        "upright": ratio == 1 and turned == 0,
    }


def _even(container: Any, film: Any, first: int, rate: Fraction) -> bool:
    """Say whether the first pictures are evenly spaced, but for rounding to ticks."""
    stamps = []
    container.seek(first, stream=film)
    for packet in container.demux(film):
        if packet.size and packet.pts is not None:
            stamps.append(packet.pts)
        if len(stamps) == _SPACED:
            break
    step = 1 / rate / film.time_base
    # The last ones may be shown after others that have not been read.
    stamps = sorted(one for one in stamps if one >= first)[: -_REORDERED or None]
    return all(abs(one - first - k * step) <= 1 for k, one in enumerate(stamps))


def _still(file: Mapping[str, Any], out: Path) -> Source:
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 4
    os.lseek(file["fd"], 0, os.SEEK_SET)
    with os.fdopen(os.dup(file["fd"]), "rb") as data:
        try:
            with Image.open(data, formats=("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")) as image:
                upright = ImageOps.exif_transpose(image)
                upright.convert("RGBA").save(out / file["still"], compress_level=1)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as e:
            raise ConfinedError(
                f"it cannot be read as a picture (PNG, JPEG, WebP, BMP, TIFF, GIF): {e}"
            ) from None
        return Source(
            video=0,
            width=upright.width,
            height=upright.height,
            still=file["still"],
            pix_fmt="rgba",
            full_range=True,
        )


# ---------------------------------------------------------------------- on either side


def seek_from(source: Source, start: Fraction) -> Fraction | None:
    """Return where to enter a film for a shot, on its own clock; None: at its beginning."""
    before = source.zero + start - _SLACK_S
    return before if before > source.zero else None


def check_span(name: str, path: Path, source: Source, start: Fraction, length: Fraction) -> None:
    """Raise RenderError, naming the shot, if it reaches beyond what its source has."""
    have = source.length
    spare = 2 / source.fps + Fraction(1, 20)
    if start < 0 or (have is not None and start + length > have + spare):
        raise RenderError(
            f"shot {name!r} wants {float(start):.3f} s to {float(start + length):.3f} s of "
            f"{path.name}, which is {float(have or 0):.3f} s long: set its in and out within that"
        )


def named(paths: Sequence[Path]) -> list[str]:
    """Give file names only, for messages."""
    return [path.name for path in paths]
