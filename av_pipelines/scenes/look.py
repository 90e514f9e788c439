"""``look``: a film with colour, stabilisation, speed and size as set, as ``look.mp4``.

Here: running FFmpeg on it, confined, and checking what came out. FFmpeg is the program in the
imageio-ffmpeg package: it has what the libraries in PyAV's wheels lack (vid.stab, Rubber Band), and
being under the GPL, it is used as a program only. Not here: the graph (``filters``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.media.confined import ConfinedError, Limits, plain_files, run_program, run_task
from av_pipelines.scenes.cube import read_cube
from av_pipelines.scenes.film import FilmInfo, decoders_of
from av_pipelines.scenes.filters import (
    GRADE,
    TABLE,
    TRANSFORMS,
    Footage,
    Tables,
    detect_graph,
    look_graph,
    output_rate,
    output_size,
)
from av_pipelines.scenes.grade import curves
from av_pipelines.scenes.look_settings import LookSettings
from av_pipelines.scenes.speed import SpeedMap

NAME, GRAPH, COMPARISON = "look.mp4", "look.filter.txt", "compare.jpg"
_COMPARED = (1 / 6, 1 / 2, 5 / 6)  # parts of the film
_LIMITS = Limits()
_MAX_PIXELS = 8192 * 8192


@dataclass(frozen=True)
class Made:
    """What came of it; ``degraded`` says what is wrong with it, None if nothing is."""

    facts: dict[str, Any]
    degraded: str | None


def make_look(
    film: Path,
    info: FilmInfo,
    probe: Mapping[str, Any],
    out: Path,
    settings: LookSettings,
    progress: Callable[[float], None] = lambda share: None,
) -> Made:
    """Make ``look.mp4``, and beside it ``look.filter.txt`` and what tables and passes it took.

    Args:
        film: the file.
        info: what is known of it.
        probe: ``probe.json`` of it.
        out: an empty folder.
        settings: the look.
        progress: called with the share done.

    Raises:
        ConfinedError: the film could not be read, or what came out is not what was asked for.
        ValueError: the look-up table is none.
    """
    tables = Tables(curves(settings), read_cube(Path(settings.lut)) if settings.lut else None)
    examined = _examine(film, info, out)
    footage = _footage(probe, info, examined)
    speed = SpeedMap.of(settings.speed, settings.speed_ramp)
    for table, name in ((tables.curves, GRADE), (tables.table, TABLE)):
        if table:
            table.write(out / name)
    graphs = [look_graph(info.stream, footage, settings, tables, speed)]
    if settings.stabilise:
        graphs.insert(0, detect_graph(info.stream, footage, settings))
    (out / GRAPH).write_text("\n\n".join(graphs) + "\n", "utf-8")

    parts = len(graphs)
    length = speed.shown_at(footage.length_s)
    if settings.stabilise:
        _run(film, info, out, graphs[0], ["-f", "null", "-"], footage.length_s, progress, 0, parts)
        if TRANSFORMS not in plain_files(out):
            raise ConfinedError("the movement of the camera could not be measured")
    target = _encoder(footage, settings, speed)
    _run(film, info, out, graphs[-1], [*target, NAME], length, progress, parts - 1, parts)
    if NAME not in plain_files(out):
        raise ConfinedError("FFmpeg made no file")
    made, flaws = _check(out, footage, settings, speed)
    if flaws and not probe["flaws"]:
        raise ConfinedError("the look is not what was asked for: " + "; ".join(flaws))
    _compare(film, info, out, made, speed, footage)
    plain_files(out)
    facts = {
        "duration_s": made["duration_s"],
        "frames": made["frames"],
        "fps": made["fps"],
        "display_width": made["width"],
        "display_height": made["height"],
        "sound": made["sound_s"] is not None,
        "tone_mapped": footage.hdr,
        "filter": graphs[-1],
    }
    return Made(facts, "; ".join(flaws) or None)


def _footage(probe: Mapping[str, Any], info: FilmInfo, examined: Mapping[str, Any]) -> Footage:
    film = probe["streams"][probe["video"]]
    late = (film["start_s"] or 0.0) - (probe["start_s"] or 0.0)
    return Footage(
        width=info.display_width,
        height=info.display_height,
        fps=Fraction(film["fps"] or "25/1"),
        variable=bool(film["variable_frame_rate"]),
        matrix=str(examined["matrix"]),
        hdr=bool(examined["hdr"]),
        sound=probe["audio"],
        length_s=max(late, 0.0) + (film["duration_s"] or 0.0),
    )


# ---------------------------------------------------------------------- running FFmpeg


def _encoder(footage: Footage, settings: LookSettings, speed: SpeedMap) -> list[str]:
    """Give the options of the output: H.264 and AAC in MP4, the same bytes for the same input."""
    options = ["-map", "[v]", "-c:v", "libx264", "-crf", f"{settings.crf}"]
    options += ["-preset", settings.preset]
    for kind in ("colorspace", "color_primaries", "color_trc"):
        options += [f"-{kind}", "bt709"]
    options += ["-color_range", "tv"]
    rate = output_rate(footage, settings, speed)
    every = ["-fps_mode", "passthrough", "-enc_time_base", "filter"]
    options += every if rate is None else ["-r", f"{rate}"]
    if footage.sound is not None and settings.sound:
        options += ["-map", "[a]", "-c:a", "aac", "-b:a", f"{settings.audio_kbps}k"]
    options += ["-map_metadata", "-1", "-map_chapters", "-1"]
    return [*options, "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]


def _run(
    film: Path,
    info: FilmInfo,
    out: Path,
    graph: str,
    target: list[str],
    length_s: float,
    progress: Callable[[float], None],
    part: int,
    parts: int,
) -> None:
    """Run FFmpeg over the film, confined; progress is that of one part of several."""
    import imageio_ffmpeg

    def hear(line: str) -> float | None:
        match = re.fullmatch(r"out_time_us=(-?\d{1,18})", line.strip())
        if not match:
            return None
        share = min(max(int(match[1]) / 1e6 / max(length_s, 0.04), 0.0), 1.0)
        progress((part + share) / parts)
        return float(match[1])

    with film.open("rb") as file:
        arguments = [
            *("-hide_banner", "-nostdin", "-v", "error", "-nostats", "-progress", "pipe:1"),
            *("-protocol_whitelist", "fd", "-format_whitelist", info.container),
            *("-codec_whitelist", ",".join(decoders_of(info.codecs))),
            *("-max_pixels", f"{info.max_pixels}"),
            *("-fd", f"{file.fileno()}", "-i", "fd:", "-filter_complex", graph),
            *(["-map", "[v]"] if target[0] == "-f" else []),
            *target,
        ]
        run_program(
            Path(imageio_ffmpeg.get_ffmpeg_exe()),
            arguments,
            fds=[file.fileno()],
            out=out,
            hear=hear,
            limits=_LIMITS,
        )


# ---------------------------------------------------------------------- looking at films


def _examine(film: Path, info: FilmInfo, out: Path) -> dict[str, Any]:
    with film.open("rb") as file:
        request = {"fd": file.fileno(), "info": asdict(info)}
        return run_task(
            "av_pipelines.scenes.look_check:examine", request, fds=[file.fileno()], out=out
        )


def _check(
    out: Path, footage: Footage, settings: LookSettings, speed: SpeedMap
) -> tuple[dict[str, Any], list[str]]:
    """Measure what came out, and say what of it is not what was asked for."""
    with (out / NAME).open("rb") as file:
        request = {"fd": file.fileno()}
        task = "av_pipelines.scenes.look_check:measure"
        found = run_task(task, request, fds=[file.fileno()], out=out)
    wanted = speed.shown_at(footage.length_s)
    rate = output_rate(footage, settings, speed)
    # Of a film with unequal frames, nobody knows how long the last one is to be seen.
    allowed = float(1.5 / rate) if rate else float(2 / footage.fps)
    wrong = []
    if abs(found["duration_s"] - wanted) > allowed:
        wrong.append(f"its picture lasts {found['duration_s']:.3f} s instead of {wanted:.3f} s")
    if (found["width"], found["height"]) != output_size(footage, settings):
        wrong.append(f"it is {found['width']}x{found['height']} pixels")
    if (found["sound_s"] is not None) != (footage.sound is not None and settings.sound):
        wrong.append("it has no sound" if found["sound_s"] is None else "it has sound")
    return found, wrong


def _compare(
    film: Path,
    info: FilmInfo,
    out: Path,
    made: Mapping[str, Any],
    speed: SpeedMap,
    footage: Footage,
) -> None:
    """Draw frames before and after, side by side."""
    after = FilmInfo(
        container="mov",
        codecs=("h264",),
        stream=made["stream"],
        display_width=made["width"],
        display_height=made["height"],
        rotation=0,
        mirrored=False,
        max_pixels=_MAX_PIXELS,
    )
    with film.open("rb") as before_file, (out / NAME).open("rb") as after_file:
        seconds = [footage.length_s * part for part in _COMPARED]
        request = {
            "before": {"fd": before_file.fileno(), "info": asdict(info)},
            "after": {"fd": after_file.fileno(), "info": asdict(after)},
            "seconds": [[second, speed.shown_at(second)] for second in seconds],
            "name": COMPARISON,
        }
        fds = [before_file.fileno(), after_file.fileno()]
        run_task("av_pipelines.scenes.look_check:compare", request, fds=fds, out=out)
