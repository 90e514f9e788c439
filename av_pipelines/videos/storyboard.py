"""A film at a glance: its storyboard, its poster, its shots as a table.

Here: what people see of a film in the UI. Not here: the film (``render``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.media.confined import plain_files, run_task
from av_pipelines.media.timecode import RATES
from av_pipelines.videos.delivery import Rendered

STORYBOARD, POSTER = "storyboard.jpg", "poster.jpg"
_MOST = 60  # shots that are drawn
_COLUMNS, _CELL, _GAP, _LABEL = 4, 232, 8, 32
_PAPER, _INK, _FAINT = "#ffffff", "#222222", "#777777"
_POSTER_WIDTH = 1280
_PREVIEW_BYTES = 48_000  # fits into the UI's metadata
_DARK = 24


def draw(film: Rendered, out: Path, prefix: str = "") -> list[str]:
    """Draw ``storyboard.jpg`` and ``poster.jpg`` of a film.

    Args:
        film: what was rendered.
        out: the folder they are put in.
        prefix: of their names.

    Returns:
        Their names.
    """
    shots = film.shots
    if len(shots) > _MOST:  # evenly chosen
        shots = tuple(shots[k * len(shots) // _MOST] for k in range(_MOST))
    cells = [
        {
            "frame": min(shot.first + shot.frames // 2, film.frames - 1),
            "lines": [f"{shot.name}", f"{timecode(shot.first, film.fps)}  {shot.frames} frames"],
        }
        for shot in shots
    ]
    with film.path.open("rb") as file:
        request = {"fd": file.fileno(), "rate": str(film.fps), "cells": cells}
        request["prefix"] = prefix
        run_task(
            "av_pipelines.videos.storyboard:draw_confined",
            request,
            fds=[file.fileno()],
            out=out,
        )
    plain_files(out)
    return [prefix + STORYBOARD, prefix + POSTER]


def table(film: Rendered) -> list[dict[str, str | int | float]]:
    """List the shots: where each is in the film, and in its source, as timecodes and frames."""
    return [
        {
            "shot": shot.name,
            "first frame": shot.first,
            "frames": shot.frames,
            "in": timecode(shot.first, film.fps),
            "out": timecode(shot.first + shot.frames, film.fps),
            "source": shot.source.name if shot.source else "",
            "source in": timecode(round(shot.start * film.fps), film.fps) if shot.source else "",
            "copied frames": shot.copied,
        }
        for shot in film.shots
    ]


def timecode(frame: int, rate: Fraction) -> str:
    """Write a frame as non-drop timecode at the nearest whole rate."""
    base = round(min(RATES, key=lambda r: abs(r - rate)) if rate else 25)
    seconds, frames = divmod(max(frame, 0), base)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


# ---------------------------------------------------------------------- in the confined child


def draw_confined(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Decode the frames wanted, and draw."""
    from PIL import Image, ImageDraw, ImageFont

    from av_pipelines.videos.sources import open_media

    rate, cells = Fraction(request["rate"]), request["cells"]
    storyboard = request["prefix"] + STORYBOARD
    with open_media(request["fd"]) as film:
        images = _images(film, [cell["frame"] for cell in cells], rate)
    width, height = images[0].size
    scale = _CELL / max(width, height)
    box = max(1, round(width * scale)), max(1, round(height * scale))
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    across, down = box[0] + _GAP, box[1] + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), _PAPER)
    drawing = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for k, (cell, image) in enumerate(zip(cells, images, strict=True)):
        x, y = _GAP + k % columns * across, _GAP + k // columns * down
        sheet.paste(image.resize(box), (x, y))
        for line, (text, ink) in enumerate(zip(cell["lines"], (_INK, _FAINT), strict=True)):
            drawing.text(
                (x, y + box[1] + 2 + 14 * line), _cut(drawing, text, font, box[0]), ink, font
            )
    for quality in (85, 70, 55, 40):
        sheet.save(out / storyboard, "JPEG", quality=quality, optimize=True)
        if (out / storyboard).stat().st_size <= _PREVIEW_BYTES:
            break
    bright = [
        image for image in images if image.convert("L").resize((32, 18)).getextrema()[1] > _DARK
    ]  # pyright: ignore
    poster = (bright or images)[0]
    if poster.width > _POSTER_WIDTH:
        poster = poster.resize((_POSTER_WIDTH, round(_POSTER_WIDTH * height / width)))
    poster.save(out / (request["prefix"] + POSTER), "JPEG", quality=88, optimize=True)
    return {}


def _images(film: Any, wanted: Sequence[int], rate: Fraction) -> list[Any]:
    stream = film.streams.video[0]
    found: dict[int, Any] = {}
    for number in sorted(set(wanted)):
        film.seek(int(number / rate / stream.time_base), stream=stream)
        for frame in film.decode(stream):
            found[number] = frame
            if round(frame.pts * stream.time_base * rate) >= number:
                break
    return [found[number].to_image() for number in wanted]


def _cut(drawing: Any, text: str, font: Any, width: int) -> str:
    """Shorten a line so that it fits."""
    text = " ".join(text.split())
    if drawing.textlength(text, font) <= width:
        return text
    while text and drawing.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"
