"""``avp video`` and ``avp new``: a film from a project, and a new project.

Here: what the terminal sees. Not here: what a project is and how a film is made (``videos``),
projects that are dropped (``sensors.projects``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from av_pipelines.launch import NOT_REACHED, Collector, FileResult, run_partitions
from av_pipelines.maker import Outcome
from av_pipelines.terminal import (
    DONE,
    INCOMPLETE,
    Json,
    Store,
    UsageError,
    print_json,
    print_results,
    progress,
    writable,
)


def video(
    projects: Annotated[
        list[Path], Parameter(help="Folders with a project.json, or such files.", negative="")
    ],
    /,
    *,
    cutdowns: Annotated[
        bool, Parameter(help="Also one file for each platform or shape.", negative="")
    ] = False,
    platforms: Annotated[
        str | None, Parameter(help="Cutdowns for these, comma-separated, such as tiktok,youtube.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", help="A setting: asset.key=value. May be repeated.", negative=""),
    ] = None,
    store: Store = None,
    json: Json = False,
) -> int:
    """Make films from projects: the timeline, the video, and what platforms want of it."""
    from av_pipelines.makers import SETTINGS, open_studio, products_of
    from av_pipelines.settings import parse_assignments
    from partitions.keys import project_key
    from resources.manifest import ProjectRecord

    folders = [_folder(path) for path in projects]
    overrides = parse_assignments(set_ or [], SETTINGS)
    if platforms:
        named = [name.strip() for name in platforms.split(",") if name.strip()]
        overrides["cutdowns"] = {**overrides.get("cutdowns", {}), "platforms": named}
    assets = [a for a in products_of("projects") if a != "cutdowns" or cutdowns or platforms]
    studio = writable(open_studio(store))
    results: dict[str, FileResult] = {}
    for folder in folders:
        key = project_key(folder)
        results[key] = FileResult(folder, key)
        # who drops a project may name only its own files; who runs this may read more
        dropped = folder.parent == studio.store.root / "projects"
        allowed: dict[str, Any] = {} if dropped else {"timeline": {"allowed": ["/"]}}
        studio.store.save(ProjectRecord(key=key, origin=str(folder), sidecar=allowed))
    with progress(len(folders), quiet=json) as listener:
        run_partitions(
            studio,
            "projects",
            list(results),
            assets,
            overrides=overrides,
            listener=Collector(results, listener),
        )
    for result in results.values():
        told = {outcome.asset for outcome in result.outcomes}
        result.outcomes += [
            Outcome("failed", asset, result.key, reason=NOT_REACHED)
            for asset in assets
            if asset not in told
        ]
    if json:
        print_json({"videos": [result.to_json() for result in results.values()]})
    else:
        print_results([*results.values()], studio.store.library)
    return DONE if all(r.state == "done" for r in results.values()) else INCOMPLETE


def _folder(path: Path) -> Path:
    folder = Path(os.path.abspath(path))  # noqa: PTH100 - keep links: the name is the identity
    if folder.name == "project.json":
        folder = folder.parent
    if not (folder / "project.json").is_file():
        raise UsageError(f"{path}: there is no project.json; `avp new {path}` makes a project")
    return folder
