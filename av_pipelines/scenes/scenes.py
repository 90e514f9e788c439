"""``scenes``: the changes of a film, as data, edit lists and pictures.

Here: putting it all together. Not here: each of the parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from av_pipelines.media.picture import Picture, read_picture
from av_pipelines.media.timecode import timecode_rate
from av_pipelines.scenes import keyframes
from av_pipelines.scenes.detection import Detection, Transition, examine
from av_pipelines.scenes.detector_choice import Chosen
from av_pipelines.scenes.edit_lists import clips_of, to_edl, to_otio
from av_pipelines.scenes.film import FilmInfo
from av_pipelines.scenes.scene_list import (
    Scene,
    scenes_of,
    seconds,
    to_csv,
    to_json_dict,
    to_rows,
)
from av_pipelines.scenes.scenes_settings import ScenesSettings
from av_pipelines.scenes.sheet import clock, draw_strip
from av_pipelines.scenes.stills import Look, Still, Target, take_stills

SHEET, PREVIEW, STRIP = "contact_sheet.jpg", "preview.jpg", "difference.png"
_FOLDER = "keyframes"
_SHOWN = 40
_KEYFRAMES_ONLY = (
    "from keyframes only: fades, dissolves, and cuts between keyframes are not found "
    "(picture.quality = draft)"
)
_DETECTING = 0.5  # share of the progress


@dataclass(frozen=True)
class Found:
    """What came of it; ``degraded`` says what is missing and why, None if nothing is."""

    facts: dict[str, Any]
    rows: list[dict[str, Any]]
    degraded: str | None


def make_scenes(
    film: Path,
    info: FilmInfo,
    picture_file: Path,
    out: Path,
    settings: ScenesSettings,
    *,
    name: str,
    chosen: Chosen | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Found:
    """Find the scenes of a film and write all files of the ``scenes`` asset.

    Args:
        film: the file; of it, only the keyframes are read.
        info: what is known of it.
        picture_file: ``picture.npz`` of it.
        out: an empty folder.
        settings: how changes are found, and what is made of them.
        name: what the film is called in edit lists.
        chosen: the detector, as ``detector_choice.choose`` gives it; None chooses one now.
        progress: called with the share done.

    Raises:
        ConfinedError: the film could not be read.
        ValueError: the picture file is damaged.
    """
    with read_picture(picture_file) as picture:
        detected = examine(picture, settings, lambda share: progress(_DETECTING * share), chosen)
        scenes = scenes_of(picture, detected.transitions)
        shown = [
            keyframes.choose(picture, scene, following)
            for scene, following in zip(scenes, [*scenes[1:], None], strict=True)
        ]
        stills = _fetch(film, info, picture, scenes, shown, out, settings, progress)
        _write(out, picture, scenes, detected, stills, settings, name)
        return Found(
            _facts(picture, scenes, detected), to_rows(scenes[:_SHOWN]), _flaws(picture, stills)
        )


def _fetch(
    film: Path,
    info: FilmInfo,
    picture: Picture,
    scenes: Sequence[Scene],
    shown: Sequence[int],
    out: Path,
    settings: ScenesSettings,
    progress: Callable[[float], None],
) -> list[Still | None]:
    """Save the keyframes and the contact sheet."""
    (out / _FOLDER).mkdir()
    width = max(4, len(str(len(scenes))))
    targets = [
        Target(
            int(picture.pts[frame]),
            f"{_FOLDER}/scene-{scene.index + 1:0{width}d}.jpg",
            f"{scene.index + 1}   {clock(float(scene.start_s))}",
        )
        for scene, frame in zip(scenes, shown, strict=True)
    ]
    look = Look(
        quality=settings.keyframe_quality,
        max_width=settings.keyframe_max_width,
        sheet=SHEET,
        preview=PREVIEW,
        columns=settings.sheet_columns,
    )
    return take_stills(
        film,
        info,
        targets,
        out,
        look,
        progress=lambda share: progress(_DETECTING + (1 - _DETECTING) * share),
    )


def _write(
    out: Path,
    picture: Picture,
    scenes: Sequence[Scene],
    detected: Detection,
    stills: Sequence[Still | None],
    settings: ScenesSettings,
    name: str,
) -> None:
    found = to_json_dict(picture, scenes, [still and still.name for still in stills])
    _save_json(out / "scenes.json", found)
    (out / "scenes.csv").write_text(to_csv(scenes), "utf-8")
    constant = not picture.variable_frame_rate
    rate = timecode_rate(picture.fps, constant=constant)
    clips = clips_of(picture, scenes, rate)
    edl = to_edl(clips, rate, film=name, drop=settings.drop_frame)
    (out / "scenes.edl").write_text(edl, "utf-8")
    if constant:  # OpenTimelineIO counts in any rate
        rate = picture.fps
    otio = to_otio(clips_of(picture, scenes, rate), rate, film=name)
    (out / "scenes.otio").write_text(otio, "utf-8")
    shots = [
        {
            "index": scene.index,
            "clear_s": seconds(clear * picture.time_base),
            "keyframe_s": still.time_s if still else None,
            **keyframes.describe(picture, scene, settings.colours),
        }
        for scene, clear, still in zip(scenes, _clear(picture, scenes), stills, strict=True)
    ]
    analysis = {
        "shots": shots,
        "transitions": [asdict(change) for change in detected.transitions],
        "rejected": [asdict(change) for change in detected.rejected],
        "gaps": [asdict(gap) for gap in picture.gaps],
    }
    _save_json(out / "shots.json", analysis)
    rows = picture.pts[picture.number] * float(picture.time_base)
    spans = [_span(picture, change) for change in detected.transitions]
    draw_strip(out / STRIP, rows, picture.difference, spans)


def _clear(picture: Picture, scenes: Sequence[Scene]) -> list[int]:
    """Give the time stamp from which each scene can be seen."""
    return [
        int(picture.pts[keyframes.clear_from(picture, scene, following)])
        for scene, following in zip(scenes, [*scenes[1:], None], strict=True)
    ]


def _span(picture: Picture, change: Transition) -> tuple[float, float, float]:
    """Where a new scene starts, and where the transition begins and ends, in seconds."""
    times, last = picture.times_s, picture.frames - 1
    at, begins, ends = (
        float(times[min(max(frame, 0), last)])
        for frame in (change.frame, change.start_frame, change.end_frame)
    )
    return at, begins, ends if change.kind != "cut" else begins


def _facts(picture: Picture, scenes: Sequence[Scene], detected: Detection) -> dict[str, Any]:
    return {
        "scenes": len(scenes),
        "fps": round(float(picture.fps), 6),
        "frames": picture.frames,
        "variable_frame_rate": picture.variable_frame_rate,
        "duration_s": round(picture.duration_s, 6),
        "detector": detected.chosen.detector,
        **({"note": _KEYFRAMES_ONLY} if picture.keyframes_only else {}),
    }


def _flaws(picture: Picture, stills: Sequence[Still | None]) -> str | None:
    """Name what is missing of the film."""
    flaws = [
        f"frames are missing from {clock(gap.start_s)} to {clock(gap.end_s)}"
        for gap in picture.gaps[:5]
    ]
    if len(picture.gaps) > len(flaws):
        flaws.append(f"and in {len(picture.gaps) - len(flaws)} more places")
    lost = sum(still is None for still in stills)
    if lost:
        flaws.append(f"{lost} of {len(stills)} keyframes could not be decoded")
    return "; ".join(flaws) or None


def _save_json(path: Path, data: Any) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", "utf-8")
