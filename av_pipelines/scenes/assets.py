"""The ``scenes``, ``frames`` and ``look`` assets: all from ``source``, with their settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.maker import Choice, Job, Made, Maker, Product, Skip
from av_pipelines.scenes import detector_choice
from av_pipelines.scenes.look_settings import LookSettings
from av_pipelines.scenes.scenes_settings import ScenesSettings
from av_pipelines.scenes.settings import FramesSettings
from resources.manifest import ModelRef
from resources.store import Artifact

if TYPE_CHECKING:
    from av_pipelines.scenes.film import FilmInfo

NO_FILM = "it has no video stream"
NO_LOOK = "no look is set: see the settings of `look`"
_MAX_PIXELS = 8192 * 8192
_SHOWN_STILLS = 20


def choose_detector(settings: ScenesSettings) -> Choice:
    """Choose the detector for the settings; ModelError when one asked for cannot be had."""
    chosen = detector_choice.choose(settings)
    model = chosen.model
    return Choice(
        engine=chosen.detector,
        model=ModelRef(name=model.name, sha256=model.sha256, licence=model.licence)
        if model
        else None,
        degraded=chosen.degraded,
        handle=chosen,
    )


def _make_scenes(job: Job) -> dict[str, Made]:
    from av_pipelines.scenes.scenes import PREVIEW, STRIP, make_scenes

    film, info, _ = _film(job.inputs["source"])
    found = make_scenes(
        film,
        info,
        job.inputs["picture"].file("picture.npz"),
        job.out["scenes"],
        job.settings["scenes"],
        name=Path(job.media.origin).name,
        chosen=job.choice.handle if job.choice else None,
        progress=job.progress,
    )
    pictures = {"contact sheet": PREVIEW, "changes": STRIP}
    return {"scenes": Made(found.facts, found.degraded, pictures, {"scenes": found.rows})}


def _make_frames(job: Job) -> dict[str, Made]:
    from av_pipelines.scenes.frames import PREVIEW, make_frames

    film, info, _ = _film(job.inputs["source"])
    scenes, analysis = (
        json.loads(job.inputs["scenes"].file(name).read_text("utf-8"))
        for name in ("scenes.json", "shots.json")
    )
    stills = make_frames(
        film,
        info,
        scenes,
        analysis["shots"],
        job.out["frames"],
        job.settings["frames"],
        job.progress,
    )
    tables = {"stills": stills.rows[:_SHOWN_STILLS]}
    return {"frames": Made(stills.facts, stills.degraded, {"stills": PREVIEW}, tables)}


def _make_look(job: Job) -> dict[str, Made | Skip]:
    from av_pipelines.scenes.look import COMPARISON, make_look

    settings: LookSettings = job.settings["look"]
    if settings.changes_nothing:
        return {"look": Skip(NO_LOOK)}
    film, info, probe = _film(job.inputs["source"])
    made = make_look(film, info, probe, job.out["look"], settings, job.progress)
    return {"look": Made(made.facts, made.degraded, {"before and after": COMPARISON})}


def _film(source: Artifact) -> tuple[Path, FilmInfo, dict[str, Any]]:
    """Give the film's file, what is known of it, and all of its probe."""
    from av_pipelines.scenes.film import FilmInfo

    probe = json.loads(source.file("probe.json").read_text("utf-8"))
    limit = source.manifest.settings.get("max_pixels", _MAX_PIXELS)
    info = FilmInfo.of(probe, limit)
    if info is None:
        raise ValueError(NO_FILM)
    return source.file(source.manifest.facts["file"]), info, probe


def _no_film(inputs: Mapping[str, Artifact]) -> str | None:
    return None if "video_codec" in inputs["source"].manifest.facts else NO_FILM


SCENES = Maker(
    name="scenes",
    products=(
        Product(
            name="scenes",
            description="Where the shots change, as data, edit lists and a contact sheet.",
            group="video",
            settings=ScenesSettings,
            code_version="2",
            inputs=("source", "picture"),
            kinds=frozenset({"json", "csv", "otio", "edl"}),
            applies=_no_film,
        ),
    ),
    make=_make_scenes,
    choose=choose_detector,
    pool="decode",
)

FRAMES = Maker(
    name="frames",
    products=(
        Product(
            name="frames",
            description="Still pictures at scene changes, at an interval, or at listed times.",
            group="video",
            settings=FramesSettings,
            code_version="2",
            inputs=("source", "scenes"),
            kinds=frozenset({"jpeg"}),
            applies=_no_film,
        ),
    ),
    make=_make_frames,
    pool="decode",
)

LOOK = Maker(
    name="look",
    products=(
        Product(
            name="look",
            description="The film with colour, stabilisation, speed and size as set.",
            group="video",
            settings=LookSettings,
            code_version="1",
            inputs=("source",),
            kinds=frozenset({"ffmpeg"}),
            applies=_no_film,
        ),
    ),
    make=_make_look,
    pool="encode",
)
