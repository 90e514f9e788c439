"""The ``timeline``, ``video`` and ``cutdowns`` assets: films put together of projects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.maker import Check, Checked, Job, Made, Maker, Product
from av_pipelines.videos.settings import CutdownsSettings, TimelineSettings, VideoSettings
from resources.manifest import InputRef, ProjectRecord
from resources.store import Artifact, Store, sha256

if TYPE_CHECKING:
    from av_pipelines.videos.gather import Material
    from av_pipelines.videos.project import Project
    from av_pipelines.videos.resolve import Held, Resolver

_hashes: dict[tuple[str, int, int, int], str] = {}
"""Of files by path, size, modification time and inode: not read again as long as they stay."""


class _Shelf:
    """The store, as a project sees it; with ``pins``, only what a version was planned with."""

    def __init__(self, store: Store, pins: Sequence[InputRef] | None = None) -> None:
        self._store = store
        self._pins = pins

    def held(self, key: str, asset: str, take: int | None = None) -> Held | None:
        """Give the artifact that counts for a key now, or a take of it."""
        artifact = self._find(key, asset, take)
        return _held(artifact, key) if artifact else None

    def _find(self, key: str, asset: str, take: int | None) -> Artifact | None:
        now = self._store.take(key, asset, take) if take else self._store.current(key, asset)
        pinned = [r for r in self._pins or () if (r.asset, r.partition) == (asset, key)]
        if self._pins is None or (now and any(r.version == now.version for r in pinned)):
            return now
        return self._store.find(asset, pinned[0].version) if len(pinned) == 1 else None


def _held(artifact: Artifact, key: str) -> Held:
    from av_pipelines.videos.resolve import Held

    manifest = artifact.manifest
    return Held(manifest.asset, key, manifest.version, artifact.dir, manifest.facts)


def _read(
    record: ProjectRecord,
    settings: TimelineSettings,
    store: Store,
    pins: Sequence[InputRef] | None = None,
) -> tuple[Project, Resolver, Material]:
    """Read a project and find all that it names."""
    from av_pipelines.videos.gather import gather
    from av_pipelines.videos.project_file import project_file, read_project
    from av_pipelines.videos.resolve import Resolver

    file = project_file(Path(record.origin))
    project = read_project(file)
    resolver = Resolver(file, _Shelf(store, pins), map(Path, settings.allowed))
    return project, resolver, gather(project, resolver)


def find_sources(record: ProjectRecord, settings: TimelineSettings, store: Store) -> list[InputRef]:
    """Name all that a timeline is made from: its project, artifacts, and files by their hash."""
    from av_pipelines.videos.project_file import check_unique

    project, resolver, _ = _read(record, settings, store)
    others = (Path(other.origin) for other in _projects(store) if other.key != record.key)
    check_unique(resolver.file, project, others)
    # A timeline names files by their absolute paths: moved, it is another one.
    places = f"{resolver.folder.resolve()}\n{store.root}\n".encode()
    version = hashlib.sha256(places + resolver.file.read_bytes()).hexdigest()
    told = [InputRef(asset="project", partition=record.origin, version=version)]
    told += [
        InputRef(asset=asset, partition=key, version=version)
        for asset, key, version in resolver.held
    ]
    told += [
        InputRef(asset="file", partition=str(path), version=_hash(path))
        for path in sorted(resolver.files)
    ]
    return told


def _projects(store: Store) -> list[ProjectRecord]:
    """Records of all projects of the store."""
    keys = [path.parent.name for path in sorted(store.library.glob("*/project.json"))]
    records = (store.record(key, ProjectRecord) for key in keys)
    return [record for record in records if record]


def _hash(path: Path) -> str:
    facts = path.stat()
    known = (str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino)
    if known not in _hashes:
        _hashes[known] = sha256(path)
    return _hashes[known]


def _make_timeline(job: Job) -> dict[str, Made]:
    from av_pipelines.videos.timeline import write_timeline

    assert job.store is not None
    settings: TimelineSettings = job.settings["timeline"]
    project, resolver, material = _read(job.media, settings, job.store, job.sources)
    written = write_timeline(project, material, settings, resolver.wrong, job.out["timeline"])
    return {"timeline": Made(written.facts, tables=written.tables)}


def _verify_timeline(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.videos.cut_of import read_cut

    frames = read_cut(folder / "timeline.otio").frames
    if frames != facts["frames"]:
        raise ValueError(f"timeline.otio has {frames} frames and should have {facts['frames']}")


TIMELINE = Maker(
    name="timeline",
    partitions="projects",
    products=(
        Product(
            name="timeline",
            description="The project's shots in order, as OpenTimelineIO and as an edit list.",
            group="assembled",
            settings=TimelineSettings,
            code_version="2",
            kinds=frozenset({"otio", "edl"}),
            verify=_verify_timeline,
        ),
    ),
    make=_make_timeline,
    sources=find_sources,
    pool="decode",
)


def _make_video(job: Job) -> dict[str, Made]:
    from av_pipelines.videos.cut_of import read_cut
    from av_pipelines.videos.films import make_video

    cut = read_cut(job.inputs["timeline"].file("timeline.otio"))
    films = make_video(cut, job.out["video"], job.settings["video"], job.progress)
    return {"video": Made(films.facts, films.degraded, films.pictures, films.tables)}


def _make_cutdowns(job: Job) -> dict[str, Made]:
    from av_pipelines.videos.cut_of import read_cut
    from av_pipelines.videos.films import make_cutdowns

    cut = read_cut(job.inputs["timeline"].file("timeline.otio"))
    assert job.store is not None
    pictures = _pictures(job.store, [shot.path for shot in cut.shots if shot.path])
    films = make_cutdowns(
        cut, job.out["cutdowns"], job.settings["cutdowns"], job.progress, pictures
    )
    return {"cutdowns": Made(films.facts, films.degraded, films.pictures, films.tables)}


def _unlike_timeline(checked: Checked) -> str | None:
    meant = checked.inputs.get("timeline", {})
    said = [
        f"{name} {checked.facts[name]} instead of {meant[name]}"
        for name in ("frames", "fps", "shots", "width", "height")
        if meant.get(name, checked.facts[name]) != checked.facts[name]
    ]
    return "it has " + ", ".join(said) if said else None


def _pictures(store: Store, files: Sequence[Path]) -> dict[Path, Path]:
    """Find what one decode has left of the files that are sources of the store."""
    found: dict[Path, Path] = {}
    for file in files:
        source = store.find("source", file.parent.name)
        picture = store.current(source.manifest.partition, "picture") if source else None
        if source and picture and any(r.version == source.version for r in picture.manifest.inputs):
            found[file] = picture.file("picture.npz")
    return found


VIDEO = Maker(
    name="video",
    partitions="projects",
    products=(
        Product(
            name="video",
            description="The film, rendered and checked.",
            group="assembled",
            settings=VideoSettings,
            code_version="3",
            inputs=("timeline",),
            kinds=frozenset({"ffmpeg"}),
            checks=(
                Check(
                    "as_timeline",
                    "As many frames and shots as its timeline, at its rate and size.",
                    _unlike_timeline,
                    blocking=True,
                ),
            ),
        ),
    ),
    make=_make_video,
    pool="encode",
)

CUTDOWNS = Maker(
    name="cutdowns",
    partitions="projects",
    products=(
        Product(
            name="cutdowns",
            description="The film in the shapes and lengths that platforms ask for.",
            group="assembled",
            settings=CutdownsSettings,
            code_version="3",
            inputs=("timeline",),
            kinds=frozenset({"ffmpeg"}),
        ),
    ),
    make=_make_cutdowns,
    pool="encode",
)
