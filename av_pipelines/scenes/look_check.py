"""Looking at films before and after a look was made; runs confined.

Here: what FFmpeg must be told of a film, what came out of it, and the picture of both. Not here:
what follows from it (``look``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
from PIL import Image

from av_pipelines.media.confined import ConfinedError
from av_pipelines.scenes.film import Film, FilmInfo
from av_pipelines.scenes.sheet import Sheet, clock
from av_pipelines.scenes.stills import Look, draw

_HD = 720  # from this height on, what names no colour matrix is taken for BT.709, as players do
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
_HDR = (16, 18)  # transfer curves: SMPTE ST 2084 (PQ), ARIB STD-B67 (HLG)
_MAX_WIDTH = 480


def examine(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Decode the first frame: its colour matrix, and whether it is of high dynamic range."""
    info = FilmInfo.from_json_dict(request["info"])
    with Film(request["fd"], info) as film:
        frame = next((frame for _, frame in film.at([film.start])), None)
    if frame is None:
        raise ConfinedError("not one frame of the film can be decoded")
    guess = "bt709" if min(frame.width, frame.height) >= _HD else "bt601"
    return {
        "matrix": _MATRICES.get(int(frame.colorspace), guess),
        "hdr": int(frame.color_trc) in _HDR,
    }


def measure(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Read all packets of the file that was made: streams, frames, lengths."""
    fd = request["fd"]
    os.lseek(fd, 0, os.SEEK_SET)
    options = {"fd": str(fd), "protocol_whitelist": "fd", "format_whitelist": "mov"}
    with av.open("fd:", options=options) as container:
        if not container.streams.video:
            raise ConfinedError("there is no picture in what was made")
        film = container.streams.video[0]
        ends: dict[int, float] = {}
        starts: dict[int, float] = {}
        frames = 0
        for packet in container.demux():
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            at = float(packet.pts * packet.time_base)
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            k = packet.stream_index
            starts[k], ends[k] = min(starts.get(k, at), at), max(ends.get(k, end), end)
            frames += k == film.index
        if not frames:
            raise ConfinedError("there is not one frame in what was made")
        sound = next((s.index for s in container.streams.audio if s.index in ends), None)
        rate = film.average_rate
        return {
            "stream": film.index,
            "width": film.codec_context.width,
            "height": film.codec_context.height,
            "frames": frames,
            "fps": round(float(rate), 6) if rate else None,
            "duration_s": round(ends[film.index] - min(starts[film.index], 0.0), 6),
            "sound_s": None if sound is None else round(ends[sound], 6),
        }


def compare(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Draw pairs of frames, before and after."""
    films = []
    for side, at in (("before", 0), ("after", 1)):
        info = FilmInfo.from_json_dict(request[side]["info"])
        with Film(request[side]["fd"], info) as film:
            begin = film.start if side == "before" else 0
            times = [begin + film.ticks(pair[at]) for pair in request["seconds"]]
            shown = dict(film.at(times))
            look = Look(max_width=_MAX_WIDTH)
            films.append(
                [
                    draw(frame, info, look, alpha=False) if (frame := shown[time]) else None
                    for time in times
                ]
            )
    ratios = [i.width / i.height for images in films for i in images if i]
    sheet = Sheet(2, max(ratios, default=1.0))
    pairs = zip(*films, request["seconds"], strict=True)
    for row, (before, after, (second, later)) in enumerate(pairs):
        blank = Image.new("RGB", (16, 9))
        sheet.add(2 * row, before or blank, f"before, {clock(second)}")
        sheet.add(2 * row + 1, after or blank, f"after, {clock(later)}")
    sheet.save_preview(out / request["name"])
    return {}
