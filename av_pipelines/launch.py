"""Starting Dagster runs from Python: what ``avp run`` and ``avp demo`` do.

Here: the Dagster instance that belongs to a store, and ranged runs over files in this process.
Not here: the terminal (``cli``), noticing files by themselves (``sensors``).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from av_pipelines.intake.claim import register
from av_pipelines.maker import Outcome, Partitions, Studio
from av_pipelines.makers import PRODUCTS, SETTINGS, assets_of, makers_of
from av_pipelines.settings import SIDECAR_SUFFIX, Settings, SettingsError, Values, read_sidecar
from partitions.keys import media_key, project_key
from resources.manifest import Claim, ProjectRecord

if TYPE_CHECKING:
    import dagster as dg

    from av_pipelines.masters.settings import MasterSettings
    from av_pipelines.reprocess import Stale


@dataclass
class FileResult:
    """What became of one file."""

    path: Path
    key: str
    outcomes: list[Outcome] = field(default_factory=list)
    command: str | None = None
    """Of a quarantined file: what shows the refusal by hand."""
    settled: Callable[[str], Settings] | None = None
    """Asset → its settings for this file, from recipe, sidecar and run."""

    @property
    def state(self) -> Literal["done", "partial", "quarantined"]:
        """``done`` when nothing went wrong, ``partial`` when some asset failed."""
        if any(o.event == "quarantined" for o in self.outcomes):
            return "quarantined"
        return "done" if all(o.ok for o in self.outcomes) else "partial"

    @property
    def reason(self) -> str | None:
        """Why it is not ``done``."""
        said = dict.fromkeys(o.reason for o in self.outcomes if not o.ok and o.reason)
        return "; ".join(said) or None

    def to_json(self) -> dict[str, Any]:
        """Return the file's part of the JSON of ``avp run --json`` (DESIGN §8)."""
        artifacts = []
        for outcome in self.outcomes:
            if outcome.artifact is None:
                continue
            manifest = outcome.artifact.manifest
            facts = dict(manifest.facts)
            if manifest.engine:
                facts.setdefault("engine", manifest.engine)
            if manifest.model:
                facts.setdefault("model", manifest.model.name)
            artifacts.append(
                {
                    "asset": outcome.asset,
                    "version": outcome.artifact.version,
                    "reused": outcome.event == "reused",
                    "degraded": manifest.degraded,
                    "dir": str(outcome.artifact.dir),
                    "files": {f.name: str(outcome.artifact.dir / f.name) for f in manifest.files},
                    "facts": facts,
                    "cost": outcome.cost.model_dump(exclude={"gpu_peak_bytes"}),
                }
            )
        return {
            "key": self.key,
            "path": str(self.path),
            "state": self.state,
            "reason": self.reason,
            "artifacts": artifacts,
        }


def open_instance(studio: Studio) -> dg.DagsterInstance:
    """Open the Dagster instance of a store."""
    import dagster as dg

    from av_pipelines.planned import start_runs_at_once

    start_runs_at_once()
    return dg.DagsterInstance.from_config(str(dagster_home(studio)))


def dagster_home(studio: Studio) -> Path:
    """Return the folder of Dagster's own state: ``DAGSTER_HOME``, else one inside the store.

    One that is not there yet gets the shipped ``dagster.yaml``.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or studio.store.root / "dagster_home").absolute()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        with resources.as_file(resources.files("dagster_home") / "dagster.yaml") as shipped:
            shutil.copyfile(shipped, home / "dagster.yaml")
    return home


NOT_REACHED = "the run ended before it was made; the Dagster UI shows why"
PROCESS_TAG = "avp/process"
"""Of runs that a command started in its own process: the name under which that is present."""
KILLED_TAG = "avp/killed"
"""Of runs that went down with their process, through no fault of their files."""
UP = "up"
"""The name under which ``avp up`` is present in its store."""


def unfinished() -> list[dg.DagsterRunStatus]:
    """Return the states of runs that are not over."""
    from dagster import DagsterRunStatus as States

    return [state for state in States if state.value not in ("SUCCESS", "FAILURE", "CANCELED")]


def close_dead_runs(studio: Studio, instance: dg.DagsterInstance) -> int:
    """End the runs whose process is gone, and free what they held; return how many there were.

    A killed process cannot say that its run is over: Dagster would show it as going on for ever,
    its pool slots would stay taken, and the inbox would wait for it.
    """
    import dagster as dg

    closed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished())):
        if run.status is dg.DagsterRunStatus.QUEUED:
            continue  # it has no process yet
        if "dagster-celery/task_id" in run.tags:
            continue  # on a worker, maybe of another machine: run monitoring looks after it
        process = run.tags.get(PROCESS_TAG)
        if process is None and run.status is dg.DagsterRunStatus.NOT_STARTED:
            continue  # the daemon is about to put it in its queue
        if studio.store.is_present(process or UP):
            continue
        instance.add_run_tags(run.run_id, {KILLED_TAG: "yes"})
        instance.report_run_failed(run, "The process of this run was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        closed += 1
    return closed


_NO_MEDIA = {SIDECAR_SUFFIX, ".cue", ".csv", ".doc", ".docx", ".gif", ".html", ".jpeg", ".jpg"}
_NO_MEDIA |= {".json", ".log", ".md", ".nfo", ".pdf", ".png", ".py", ".rtf", ".srt", ".txt"}
_NO_MEDIA |= {".vtt", ".webp", ".xml", ".zip"}
"""In a folder of recordings, files that nobody would expect to be taken for one."""


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return files as absolute paths, folders replaced by the media in them, in sorted order.

    In folders, hidden files, links, sidecars, and what is plainly no media are left out.

    Raises:
        FileNotFoundError: something is not there.
        ValueError: a name is not text.
    """
    files: list[Path] = []
    for path in paths:
        path = Path(os.path.abspath(path))  # noqa: PTH100 - keep links: the name is the identity
        if path.is_dir():
            files += sorted(
                p
                for p in path.rglob("*")
                if p.is_file()
                and not p.is_symlink()
                and not p.name.startswith(".")
                and p.suffix.lower() not in _NO_MEDIA
            )
        elif path.is_file():
            files.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file")
    for path in files:
        if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
            raise ValueError(f"{str(path)!r}: its name is not UTF-8 text; rename it")
    return list(dict.fromkeys(files))


def album_settings(tracks: Sequence[FileResult]) -> dict[str, float]:
    """Return the settings of ``master`` that give all tracks one gain, from their ``audio``.

    Raises:
        SettingsError: the tracks cannot be an album with their settings; why is said.
    """
    from av_pipelines.masters.album import album_level
    from av_pipelines.masters.chain import MasterError

    album = [
        (
            outcome.artifact.first("audio.flac", "audio.w64"),
            cast("MasterSettings", track.settled("master")),
        )
        for track in tracks
        for outcome in track.outcomes
        if outcome.asset == "audio" and outcome.artifact and track.settled
    ]
    try:
        level = album_level(album)
    except MasterError as error:
        raise SettingsError(str(error)) from None
    if not math.isfinite(level.integrated_lufs):
        return {}  # silence has no level to share
    return {
        "album_gain_db": round(level.gain_db, 4),
        "album_lufs": round(level.integrated_lufs, 4),
        "album_true_peak_dbtp": round(level.true_peak_dbtp, 4),
    }


def _settled(layers: Sequence[Mapping[str, Values]], asset: str) -> Settings:
    given = zip(("recipe", "sidecar", "run config"), layers, strict=True)
    return SETTINGS[asset].merged(asset, *((where, layer.get(asset, {})) for where, layer in given))


def _was_interrupted(result: dg.JobExecutionResult) -> bool:
    """Whether the run ended by Ctrl-C: Dagster takes the signal, ends the run and goes on."""
    import dagster as dg

    ends = [e for e in result.all_events if e.event_type is dg.DagsterEventType.RUN_FAILURE]
    return any(
        e.job_failure_data.error.cls_name == dg.DagsterExecutionInterruptedError.__name__
        for e in ends
        if e.job_failure_data.error
    )


def _superseded(before: Outcome, now: Outcome) -> bool:
    """Whether an outcome is no more what counts; takes of one asset stand beside each other."""
    if before.asset != now.asset:
        return False
    return not (
        before.artifact and now.artifact and before.artifact.version != now.artifact.version
    )


class Collector:
    """Sorts outcomes to their files as they come, and passes everything on."""

    def __init__(self, results: Mapping[str, FileResult], listener: Any) -> None:
        self._results, self._listener = results, listener

    def progress(self, key: str, asset: str, share: float, tokens: Any = None) -> None:
        """Pass progress on."""
        if self._listener:
            self._listener.progress(key, asset, share, tokens)

    def outcome(self, outcome: Outcome) -> None:
        """Note an outcome, and pass it on."""
        outcomes = self._results[outcome.key].outcomes
        # a retried step tells of its assets again: the last word counts
        outcomes[:] = [o for o in outcomes if not _superseded(o, outcome)] + [outcome]
        if self._listener:
            self._listener.outcome(outcome)


def run_files(
    studio: Studio,
    files: Sequence[Path],
    *,
    recipe: str = "auto",
    assets: Sequence[str] = (),
    overrides: Mapping[str, Values] | None = None,
    claim: Claim = "copy",
    listener: Any = None,
) -> list[FileResult]:
    """Take files through their assets in this process; one result each, in the order given.

    Args:
        studio: where to.
        files: absolute paths.
        recipe: name of the recipe.
        assets: make only these, and what they are made from; empty means the recipe's.
        overrides: asset → settings, above recipe and sidecar.
        claim: how the bytes get into the store.
        listener: a ``maker.Observer``, or None.

    Raises:
        SettingsError: the recipe or a setting is wrong; nothing was started.
        OSError: the store cannot be written to.
        KeyboardInterrupt: it was stopped; what was finished is kept.
    """
    wanted = assets_of(studio.recipes.get(recipe), assets, overrides)
    studio.store.sweep()
    results = {key: FileResult(path, key) for path in files for key in [media_key(path)]}
    ready: list[str] = []
    for key, result in results.items():
        try:
            sidecar = read_sidecar(result.path, SETTINGS)
        except SettingsError as error:  # costs the other files nothing
            result.outcomes += [Outcome("failed", a, key, reason=str(error)) for a in wanted]
            continue
        register(studio.store, result.path, key, recipe=recipe, claim=claim, sidecar=sidecar)
        layers = (studio.recipes.get(recipe).settings, sidecar, overrides or {})
        result.settled = partial(_settled, layers)
        ready.append(key)
    collector = Collector(results, listener)
    run_partitions(studio, "media", ready, wanted, overrides=overrides, listener=collector)
    for result in results.values():
        complete(result, wanted)
        refusal = studio.store.quarantined(result.key)
        result.command = refusal.command if refusal else None
    return list(results.values())


def run_partitions(
    studio: Studio,
    partitions: Partitions,
    keys: Sequence[str],
    assets: Sequence[str],
    *,
    overrides: Mapping[str, Values] | None = None,
    listener: Any = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Make assets of registered partitions in this process, a range of them in each run.

    Args:
        studio: where.
        partitions: what the keys are of.
        keys: the partitions.
        assets: names of the assets to make.
        overrides: asset → settings, above recipe and sidecar.
        listener: a ``maker.Observer``, or None.
        tags: of the runs.

    Raises:
        KeyboardInterrupt: it was stopped; what was finished is kept.
    """
    import dagster as dg

    from av_pipelines.dagster_assets import BATCH, PARTITIONS, QUIET, run_config
    from av_pipelines.maker import observed
    from av_pipelines.track_queue import limit_pool
    from partitions.media import contiguous_ranges, range_tags

    process = uuid.uuid4().hex
    with contextlib.ExitStack() as stack:
        stack.enter_context(studio.store.presence(process))
        instance = stack.enter_context(open_instance(studio))
        if listener:
            stack.enter_context(observed(listener))
        close_dead_runs(studio, instance)
        if partitions == "prompts":
            limit_pool(instance)
        name = str(PARTITIONS[partitions].name)
        instance.add_dynamic_partitions(name, list(keys))
        known = instance.get_dynamic_partitions(name)
        config = {
            **run_config(makers_of(partitions), overrides or {}),
            **QUIET,
            "resources": {"studio": {"config": {"store": str(studio.store.root)}}},
        }
        job = dg.build_reconstructable_job("av_pipelines.definitions", "job_of", (partitions,))
        for first, last in contiguous_ranges(known, keys, BATCH):
            done = dg.execute_job(
                job,
                instance=instance,
                run_config=config,
                tags={**range_tags(first, last), PROCESS_TAG: process, **(tags or {})},
                asset_selection=[dg.AssetKey(asset) for asset in assets],
            )
            if _was_interrupted(done):
                raise KeyboardInterrupt


def run_projects(
    studio: Studio,
    folders: Sequence[Path],
    assets: Sequence[str],
    *,
    overrides: Mapping[str, Values] | None = None,
    listener: Any = None,
) -> list[FileResult]:
    """Make the films of projects in this process; one result each, in the order given.

    Args:
        studio: where to.
        folders: absolute paths of folders with a ``project.json``.
        assets: which of ``timeline``, ``video`` and ``cutdowns``.
        overrides: asset → settings of the run.
        listener: a ``maker.Observer``, or None.
    """
    results: dict[str, FileResult] = {}
    for folder in folders:
        key = project_key(folder)
        results[key] = FileResult(folder, key)
        # who drops a project may name only its own files; who runs this may read more
        dropped = folder.parent == studio.store.root / "projects"
        allowed: dict[str, Any] = {} if dropped else {"timeline": {"allowed": ["/"]}}
        studio.store.save(ProjectRecord(key=key, origin=str(folder), sidecar=allowed))
    collector = Collector(results, listener)
    run_partitions(
        studio, "projects", list(results), assets, overrides=overrides, listener=collector
    )
    for result in results.values():
        complete(result, assets)
    return list(results.values())


def run_templates(
    studio: Studio,
    media: Sequence[FileResult],
    recipe: str,
    overrides: Mapping[str, Values] | None = None,
    listener: Any = None,
) -> list[FileResult]:
    """Make the films of media whose recipe is a template, in this process; none for any other.

    Args:
        studio: where.
        media: what became of the files.
        recipe: that they were taken with.
        overrides: asset → settings of the run.
        listener: a ``maker.Observer``, or None.
    """
    from av_pipelines.template_projects import ASSETS, lacking, project_of, ready
    from av_pipelines.videos.templates import TEMPLATES

    if recipe not in TEMPLATES:
        return []
    for result in media:
        if without := lacking(studio.store, result.key, recipe):
            said = f"no {recipe} was made: {without}"
            result.outcomes.append(Outcome("skipped", "video", result.key, reason=said))
    keys = [result.key for result in media if ready(studio.store, result.key, recipe)]
    folders = [project_of(studio, key, recipe) for key in keys]
    return (
        run_projects(studio, folders, ASSETS, overrides=overrides, listener=listener)
        if folders
        else []
    )


def complete(result: FileResult, assets: Sequence[str]) -> None:
    """Add what a run did not reach, and put all in the order of making."""
    told = {outcome.asset for outcome in result.outcomes}
    result.outcomes += [
        Outcome("failed", asset, result.key, reason=NOT_REACHED)
        for asset in assets
        if asset not in told
    ]
    order = list(PRODUCTS)
    result.outcomes.sort(key=lambda outcome: order.index(outcome.asset))


def groups_of(stale: Iterable[Stale]) -> list[tuple[list[str], list[str], dict[str, Values]]]:
    """Gather what is out of date into what can share runs: keys, their assets, run settings."""
    of_key: dict[str, list[Stale]] = {}
    for item in stale:
        of_key.setdefault(item.key, []).append(item)
    groups: dict[str, tuple[list[str], list[str], dict[str, Values]]] = {}
    for key, items in of_key.items():
        assets = [item.asset for item in items]
        overrides = {item.asset: item.overrides for item in items if item.overrides}
        alike = json.dumps([assets, overrides], sort_keys=True, default=str)
        groups.setdefault(alike, ([], assets, overrides))[0].append(key)
    return list(groups.values())


def run_stale(
    studio: Studio, stale: Sequence[Stale], results: Mapping[str, FileResult], listener: Any
) -> None:
    """Make again in this process what is out of date; outcomes go to the results, by key."""
    collector = Collector(results, listener)
    for keys, assets, overrides in groups_of(stale):
        run_partitions(studio, "media", keys, assets, overrides=overrides, listener=collector)
