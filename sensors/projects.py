"""The watch folder of projects: a folder in ``<store>/inbox/projects`` becomes a film.

Here: when a dropped folder is whole, its move to ``<store>/projects``, and the run that it gets.
Not here: what a project may say and which files it may name (``videos``).

A folder is moved with a mark in it, and the mark stays until its run has ended: whatever dies in
between, the next tick finds the mark and asks again; Dagster starts a run key only once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg

from av_pipelines.dagster_assets import QUIET
from av_pipelines.inboxes import part_of_main
from av_pipelines.makers import open_studio
from partitions.keys import project_key
from partitions.media import range_tags
from partitions.projects import project_partitions
from resources.manifest import ProjectRecord
from resources.store import Store, write_durably
from sensors.listing import STATES, is_note, is_partial
from sensors.notes import Notes
from sensors.telling import shown
from sensors.watching import SETTLE_MS
from sensors.writers import writers_in

NAME = "projects"
FOLDER = "projects"
MARK = ".dropped"
DEFAULT_ASSETS = ("timeline", "video")
_MOST_FILES = 10_000
_MOST_RUNS = 20


def projects_sensor(
    job: Any,
    store: Callable[[], Store] = lambda: open_studio().store,
    *,
    clock: Callable[[], float] = time.time,
) -> dg.SensorDefinition:
    """Return the sensor that watches ``inbox/projects``.

    Args:
        job: the job over the assets of projects.
        store: opened anew in every tick.
        clock: seconds since 1970.
    """

    @dg.sensor(
        name=NAME,
        job=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes folders with a project.json from inbox/projects, and makes their films.",
    )
    def projects(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        opened = store()
        box = part_of_main(opened.root, FOLDER)
        notes = Notes(box, _notes_in(box.path))
        cursor = json.loads(context.cursor or "{}")
        before = cursor.get("settling", {}) | cursor.get("waiting", {})
        looks, said = _take_whole(opened, before, int(clock() * 1000), notes)
        waiting = {name: look for name, look in looks.items() if name in said}
        requests = list(_requests(context.instance, opened))
        marked = [_run_key(mark) for mark in _marks(opened)]
        notes.conclude(opened, context.instance, looks, marked)
        notes.sweep(clock())
        keys = [request.tags["dagster/partition"] for request in requests]
        known = set(context.instance.get_dynamic_partitions(NAME)) if keys else set()
        new = [key for key in keys if key not in known]
        lines = [shown(f"{name}: {why}") for name, why in said.items()] + [notes.trouble]
        skipped = ". ".join(filter(None, lines)) or "nothing new in inbox/projects"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(skipped),
            dynamic_partitions_requests=(
                [project_partitions.build_add_request(new)] if new else []
            ),
            cursor=json.dumps(
                {
                    "settling": {k: look for k, look in looks.items() if k not in waiting},
                    "waiting": waiting,
                    "asked": marked,
                }
            ),
        )

    return projects


def mark_dropped(folder: Path, assets: tuple[str, ...] = DEFAULT_ASSETS) -> None:
    """Note in a project's folder that it is to be made."""
    write_durably(folder / MARK, json.dumps({"assets": assets}).encode())


def _notes_in(inbox: Path) -> list[str]:
    return [p.name for p in inbox.iterdir() if is_note(p.name)] if inbox.is_dir() else []


def _take_whole(
    store: Store, before: dict[str, list[int]], now: int, notes: Notes
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Move whole folders to where projects live; return looks at the others, and what is wrong."""
    inbox = store.inbox / FOLDER
    looks: dict[str, list[int]] = {}
    said: dict[str, str] = {}

    def hold(folder: Path, why: str) -> None:
        said[folder.name] = why
        notes.hold(folder.name, shown(why))

    folders = sorted(p for p in inbox.iterdir()) if inbox.is_dir() else []
    for folder in folders:
        if folder.name.startswith(".") or folder.name in STATES or is_note(folder.name):
            continue
        if folder.is_symlink() or not folder.is_dir():
            if not is_partial(folder.name):
                hold(folder, "no folder: a project is a folder with project.json")
            continue
        try:
            files, size, latest, busy = _look(folder)
            busy = busy or (folder.name in before and _written(folder))
        except OSError as error:
            hold(folder, f"{error.filename}: {error.strerror}")
            continue
        since = before.get(folder.name, [])
        same = since[:3] == [files, size, latest] and now >= since[3]
        looks[folder.name] = [files, size, latest, since[3] if same else now]
        if busy or not same or now - since[3] < SETTLE_MS:
            continue
        if files > _MOST_FILES:
            hold(folder, f"it has more than {_MOST_FILES} files: take it with `avp video`")
        elif not (folder / "project.json").is_file():
            hold(folder, "it has no project.json; `avp new NAME` writes one")
        else:
            place = _free(store.root / FOLDER, folder.name)
            mark_dropped(folder)
            ticket = _run_key(folder / MARK, place)
            notes.take(folder.name, "as a film", ticket)
            folder.rename(place)
            del looks[folder.name]
    return looks, said


def _look(folder: Path) -> tuple[int, int, int, bool]:
    """Return a folder's files, bytes, latest change (ns), and whether something still writes."""
    files = size = latest = 0
    busy = False
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            facts = os.lstat(Path(place) / name)
            files += 1
            size += facts.st_size
            latest = max(latest, facts.st_mtime_ns)
            busy = busy or is_partial(name)
        if files > _MOST_FILES:
            break
    return files, size, latest, busy


def _written(folder: Path) -> bool:
    """Whether something has a file of a folder open for writing, as far as anybody can tell."""
    writing = writers_in(folder)
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return any(writing(file) for file in islice(files, _MOST_FILES))


def _free(folder: Path, name: str) -> Path:
    """Return a place for a folder of this name."""
    folder.mkdir(parents=True, exist_ok=True)
    number, place = 1, folder / name
    while place.exists():
        number += 1
        place = folder / f"{name}-{number}"
    return place


def _marks(store: Store) -> list[Path]:
    return sorted((store.root / FOLDER).glob(f"*/{MARK}"))[:_MOST_RUNS]


def _run_key(mark: Path, folder: Path | None = None) -> str:
    """Return the key of the run that a mark asks for, in its folder or one it is moved to."""
    return f"{project_key(folder or mark.parent)}-{mark.stat().st_mtime_ns}"


def _requests(instance: dg.DagsterInstance, store: Store) -> Iterator[dg.RunRequest]:
    """Ask for the marked projects; take the mark from those whose run has ended."""
    for mark in _marks(store):
        key, run_key = project_key(mark.parent), _run_key(mark)
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1)
        if runs:
            if runs[0].is_finished and not runs[0].is_complete_and_waiting_to_retry:
                mark.unlink()
            continue
        store.save(ProjectRecord(key=key, origin=str(mark.parent)))
        yield dg.RunRequest(
            run_key=run_key,
            tags=range_tags(key, key),
            run_config=QUIET,
            asset_selection=[dg.AssetKey(name) for name in json.loads(mark.read_text())["assets"]],
        )
