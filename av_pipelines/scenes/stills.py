"""Frames of a film as picture files, upright and in square pixels.

Here: ``take_stills``, and its other half that runs confined: drawing a frame as it is meant to be
seen, saving it, and putting small copies on a sheet. Not here: finding the frames (``film``),
which ones are wanted (``frames``, ``keyframes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from av_pipelines.media.confined import Limits, plain_files, run_task

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL.Image import Image

    from av_pipelines.scenes.film import FilmInfo

Format = Literal["jpeg", "png", "webp"]
Hardware = Literal["cuda", "vaapi", "qsv", "videotoolbox", "d3d11va"]
SUFFIXES: Mapping[Format, str] = {"jpeg": "jpg", "png": "png", "webp": "webp"}

_NVIDIA = ("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
_DEVICES = ("/dev/dri", *(f"/dev/{name}" for name in _NVIDIA))
# Drivers reserve far more addresses than they use memory.
_WITH_DEVICES = Limits(max_memory_bytes=2**42, devices=_DEVICES)

_HD = 720  # from this height on, what names no colour matrix is taken for BT.709, as players do
_BT709 = "ITU709"
_UNSPECIFIED = 2


@dataclass(frozen=True)
class Target:
    """A frame that is wanted.

    Attributes:
        at: its PTS in ticks if a whole number, else seconds on the film's own clock.
        name: of the file to write, without folder; None writes none.
        label: to be written under it on the sheet.
    """

    at: int | float
    name: str | None
    label: str = ""


@dataclass(frozen=True)
class Still:
    """A frame that was found: its file, its PTS, and the second at which it is first shown."""

    name: str | None
    pts: int
    time_s: float


@dataclass(frozen=True)
class Look:
    """How stills are saved.

    Attributes:
        format: of the files.
        quality: 1 to 100, of JPEG and WebP.
        max_width, max_height: larger pictures are made smaller, in proportion; None: no limit.
        sheet: file name of a sheet of small copies; None makes none.
        preview: file name of a small copy of that sheet's beginning; likewise.
        columns: of the sheet.
    """

    format: Format = "jpeg"
    quality: int = 90
    max_width: int | None = None
    max_height: int | None = None
    sheet: str | None = None
    preview: str | None = None
    columns: int = 4


def take_stills(
    path: Path,
    info: FilmInfo,
    targets: Sequence[Target],
    out: Path,
    look: Look,
    *,
    hardware: Hardware | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Still | None]:
    """Save frames of a film, in a confined process.

    Args:
        path: the film.
        info: what is known of it.
        targets: the frames wanted.
        out: an empty folder.
        look: how they are saved.
        hardware: hardware decoder to use; None decodes in software.
        progress: called with the share done.

    Returns:
        What was found for each target; None where damage left nothing to show.

    Raises:
        ConfinedError: the film could not be read.
    """
    with path.open("rb") as file:
        request = {
            "fd": file.fileno(),
            "info": asdict(info),
            "targets": [asdict(target) for target in targets],
            "look": asdict(look),
            "hardware": hardware,
        }
        answer = run_task(
            f"{__name__}:save",
            request,
            fds=[file.fileno()],
            out=out,
            limits=_WITH_DEVICES if hardware else Limits(),
            progress=progress,
        )
    made = set(plain_files(out))
    stills: list[Still | None] = []
    for target, found in zip(targets, answer["stills"], strict=True):
        if found is None or (target.name is not None and target.name not in made):
            stills.append(None)
        else:
            stills.append(Still(target.name, int(found[0]), float(found[1])))
    return stills


# ---------------------------------------------------------------------- in the confined process


def save(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Do what ``take_stills`` asks for."""
    from av_pipelines.scenes.film import Film, FilmInfo
    from av_pipelines.scenes.sheet import Sheet

    info = FilmInfo.from_json_dict(request["info"])
    look = Look(**request["look"])
    targets = [Target(**target) for target in request["targets"]]
    sheet = Sheet(look.columns, info.display_width / info.display_height)
    stills: list[tuple[int, float] | None] = [None] * len(targets)
    with Film(request["fd"], info, request["hardware"]) as film:
        wanted: dict[int, list[int]] = {}
        for place, target in enumerate(targets):
            time = target.at if isinstance(target.at, int) else film.ticks(target.at)
            wanted.setdefault(time, []).append(place)
        for time, frame in film.at(list(wanted), progress):
            if frame is None or frame.pts is None:
                continue
            image = draw(frame, info, look, alpha=look.format != "jpeg")
            for place in wanted[time]:
                stills[place] = frame.pts, round(float(frame.pts * film.time_base), 6)
                name = targets[place].name
                if name:
                    image.save(out / name, look.format, quality=look.quality)
                sheet.add(place, image.convert("RGB"), targets[place].label)
    if look.sheet:
        sheet.save(out / look.sheet)
    if look.preview:
        sheet.save_preview(out / look.preview)
    return {"stills": stills}


def draw(frame: VideoFrame, info: FilmInfo, look: Look, *, alpha: bool) -> Image:
    """Draw a decoded frame upright, in square pixels, within the largest size asked for."""
    from PIL.Image import Transpose, fromarray

    width, height = info.display_width, info.display_height
    scale = min(1.0, (look.max_width or width) / width, (look.max_height or height) / height)
    shown = max(1, round(width * scale)), max(1, round(height * scale))
    sideways = info.rotation in (90, 270)
    stored = shown[::-1] if sideways else shown
    transparent = alpha and any(part.is_alpha for part in frame.format.components)
    bare = frame.colorspace == _UNSPECIFIED and min(frame.width, frame.height) >= _HD
    picture = frame.reformat(
        width=stored[0],
        height=stored[1],
        format="rgba" if transparent else "rgb24",
        src_colorspace=_BT709 if bare else None,
        interpolation="AREA" if stored[0] < frame.width else "BICUBIC",
    )
    image = fromarray(picture.to_ndarray())
    if info.mirrored:
        image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    turns = {
        90: Transpose.ROTATE_270,  # Pillow turns the other way
        180: Transpose.ROTATE_180,
        270: Transpose.ROTATE_90,
    }
    return image.transpose(turns[info.rotation]) if info.rotation in turns else image
