"""All that a project names, found before anything is read: what decides the version of its film.

Here: files and artifacts of shots, lanes, overlays, captions and given timelines. Not here: how a
name is found (``resolve``), what is made of it all (``timeline``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from av_pipelines.videos.project import Project
from av_pipelines.videos.project_file import ProjectError
from av_pipelines.videos.project_parts import Overlay, Shot, Source
from av_pipelines.videos.project_values import Scene
from av_pipelines.videos.resolve import Found, Resolver

if TYPE_CHECKING:
    from av_pipelines.videos.given import Given

TIMELINES = (".otio", ".edl")


@dataclass
class Material:
    """What a project is made of."""

    shots: list[Found | None] = field(default_factory=list)
    """One for each shot; None: a colour."""
    lanes: list[Found] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    """Of overlays, by what the project calls them."""
    scenes: dict[str, Path] = field(default_factory=dict)
    """``scenes.json`` of media of which scenes are asked for."""
    transcripts: dict[Path, Path] = field(default_factory=dict)
    """``transcript.json`` of sources, where captions are asked for and there is one."""
    given: Given | None = None
    """The timeline that stands in place of shots."""


def gather(project: Project, resolver: Resolver) -> Material:
    """Find everything; ProjectError names what is missing."""
    found = Material()
    if not project.shots:
        found.given = _given(project, resolver)
    for number, shot in enumerate(project.shots):
        where = f"shots[{number}]"
        found.shots.append(resolver.source(shot, where) if shot.names else None)
        if shot.media and _asks_for_scenes(shot):
            found.scenes[shot.media] = resolver.part(
                shot.media, "scenes", "scenes.json", f"{where}.scene"
            )
    found.lanes = [
        resolver.source(lane, f"audio[{number}]") for number, lane in enumerate(project.audio)
    ]
    for where, overlay in _overlays(project):
        if overlay.path is not None:
            found.pictures[overlay.path] = resolver.path(overlay.path, f"{where}.path")
    if project.captions and not project.captions.cues:
        for where, source, file in _heard(project, found):
            if source.transcript is not None:
                path = resolver.path(source.transcript, f"{where}.transcript")
            else:
                key = file.held.key if file.held and not source.track else ""
                path = resolver.part_if_any(key, "transcript", "transcript.json")
            if path:
                found.transcripts[file.path] = path
        if not found.transcripts:
            raise resolver.wrong(
                "captions",
                "nothing that is heard has a transcript; `avp run FILE --assets transcript` makes "
                "one of a media, or give `cues`",
            )
    return found


def _asks_for_scenes(shot: Shot) -> bool:
    return shot.scene is not None or any(isinstance(at, Scene) for at in (shot.in_, shot.out))


def _overlays(project: Project) -> Iterator[tuple[str, Overlay]]:
    for number, overlay in enumerate(project.overlays):
        yield f"overlays[{number}]", overlay
    for shot_number, shot in enumerate(project.shots):
        for number, overlay in enumerate(shot.overlays):
            yield f"shots[{shot_number}].overlays[{number}]", overlay


def _heard(project: Project, found: Material) -> Iterator[tuple[str, Source, Found]]:
    """Give what is heard and wanted for captions."""
    wanted = project.captions.of if project.captions else "all"
    if wanted in ("shots", "all"):
        for number, (shot, file) in enumerate(zip(project.shots, found.shots, strict=True)):
            if shot.sound and file:
                yield f"shots[{number}]", shot, file
        for source in found.given.sources if found.given else ():
            yield "sources", source.said or Source(path=source.found.label), source.found
    if wanted in ("lanes", "all"):
        for number, (lane, file) in enumerate(zip(project.audio, found.lanes, strict=True)):
            yield f"audio[{number}]", lane, file


def _given(project: Project, resolver: Resolver) -> Given:
    """Read the timeline that the project names, or the only one in its folder."""
    from av_pipelines.videos.given import read_given

    if project.timeline is not None:
        path = resolver.path(project.timeline, "timeline")
    else:
        there = sorted(p for p in resolver.folder.iterdir() if p.suffix.lower() in TIMELINES)
        if len(there) != 1:
            raise _nothing(resolver, there)
        path = resolver.path(there[0].name, "timeline")
    return read_given(path, project, resolver)


def _nothing(resolver: Resolver, there: list[Path]) -> ProjectError:
    if there:
        names = ", ".join(path.name for path in there)
        return resolver.wrong("timeline", f"the folder has {names}; say which one is meant")
    return resolver.wrong(
        "shots", "there are none, and no timeline (.otio or .edl) in the folder: nothing to show"
    )
