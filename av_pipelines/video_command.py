"""``avp video`` and ``avp new``: a film from a project, and a new project.

Here: what the terminal sees. Not here: what a project is and how a film is made (``videos``),
projects that are dropped (``sensors.projects``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from av_pipelines.terminal import (
    DONE,
    INCOMPLETE,
    Json,
    Store,
    UsageError,
    print_json,
    print_results,
    progress,
    say,
    writable,
)

if TYPE_CHECKING:
    from av_pipelines.maker import Studio


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
    from av_pipelines.launch import run_projects
    from av_pipelines.makers import SETTINGS, open_studio, products_of
    from av_pipelines.settings import parse_assignments
    from av_pipelines.videos.platforms import load_platforms

    folders = [_folder(path) for path in projects]
    overrides = parse_assignments(set_ or [], SETTINGS)
    if platforms:
        named = [name.strip() for name in platforms.split(",") if name.strip()]
        known = sorted(load_platforms().platforms)
        if unknown := set(named) - set(known):
            allowed = ", ".join(known)
            raise UsageError(f"--platforms {', '.join(sorted(unknown))}: allowed: {allowed}")
        overrides["cutdowns"] = {**overrides.get("cutdowns", {}), "platforms": named}
    assets = [a for a in products_of("projects") if a != "cutdowns" or cutdowns or platforms]
    studio = writable(open_studio(store))
    with progress(len(folders), quiet=json) as listener:
        results = run_projects(studio, folders, assets, overrides=overrides, listener=listener)
    if json:
        print_json({"videos": [result.to_json() for result in results]})
    else:
        print_results(results, studio.store.library)
    return DONE if all(r.state == "done" for r in results) else INCOMPLETE


def _folder(path: Path) -> Path:
    folder = Path(os.path.abspath(path))  # noqa: PTH100 - keep links: the name is the identity
    if folder.name == "project.json":
        folder = folder.parent
    if folder.is_file():
        raise UsageError(f"{path}: a project is a folder with project.json; `avp new` makes one")
    if not (folder / "project.json").is_file():
        raise UsageError(f"{path}: there is no project.json; `avp new {path}` makes a project")
    return folder


def new(
    name: Annotated[str, Parameter(help="Folder of the project; it must not be there yet.")],
    media: Annotated[
        list[Path] | None,
        Parameter(
            help="With --template: the song, talk or film; or pictures, and music to them.",
            negative="",
        ),
    ] = None,
    /,
    *,
    title: Annotated[str | None, Parameter(help="Of the film. Default: the name.")] = None,
    template: Annotated[
        str | None, Parameter(help="lyric_video, audiogram, trailer or slideshow: a whole project.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            help="A setting of the template: slideshow.picture_s=6. May be repeated.",
            negative="",
        ),
    ] = None,
    store: Store = None,
) -> int:
    """Make a project's folder: standard folders, project.json, a git repository."""
    from av_pipelines.makers import open_studio
    from av_pipelines.settings import parse_assignments
    from av_pipelines.videos.project_file import ProjectError
    from av_pipelines.videos.scaffold import new_project
    from av_pipelines.videos.templates import TEMPLATES

    folder = Path(os.path.abspath(name))  # noqa: PTH100 - as it was given
    if template and template in TEMPLATES:
        given = parse_assignments(set_ or [], {template: TEMPLATES[template].settings})
        settings = given.get(template, {}) | ({"title": title} if title else {})
        if folder.exists():
            raise UsageError(f"{folder} is there already; choose another name")
        if template == "slideshow":
            return _slideshow(media or [], folder, settings)
        if len(media or []) != 1:
            raise UsageError(f"--template {template}: give the one media file that it is made of")
        return _from_template(open_studio(store), template, (media or [])[0], folder, settings)
    if template:
        raise UsageError(f"--template {template}: allowed: {', '.join(TEMPLATES)}")
    if media or set_:
        raise UsageError("media and --set are for --template; without it a project begins empty")
    try:
        made = new_project(folder.name, folder.parent, title=title)
    except ProjectError as error:
        raise UsageError(str(error)) from None
    for warning in made.warnings:
        say(warning, DONE)
    print(f"{made.folder}: write its shots into project.json, then: avp video {name}")
    return DONE


def _slideshow(media: list[Path], folder: Path, settings: Mapping[str, Any]) -> int:
    from av_pipelines.videos.survey import STILLS
    from av_pipelines.videos.templates import make_project
    from av_pipelines.videos.templates.materials import Material, Materials

    missing = [str(path) for path in media if not path.is_file()]
    stills = [path for path in media if path.suffix.lower() in STILLS]
    music = [path for path in media if path not in stills]
    if missing or not stills:
        raise UsageError(f"--template slideshow: give pictures; not there: {', '.join(missing)}")
    if len(music) > 1:
        names = ", ".join(path.name for path in music)
        raise UsageError(f"--template slideshow: {names}: no pictures, and there is one music")
    given = Materials(
        title=folder.name,
        pictures=tuple(Material(path=path.absolute()) for path in stills),
        music=Material(path=music[0].absolute()) if music else None,
    )
    make_project("slideshow", settings, given, folder)
    print(f"{folder}: look at its project.json, then: avp video {folder.name}")
    return DONE


def _from_template(
    studio: Studio, template: str, media: Path, folder: Path, settings: Mapping[str, Any]
) -> int:
    from av_pipelines.launch import expand, run_files
    from av_pipelines.template_projects import lacking, project_of, ready

    try:
        files = expand([media])
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(str(error)) from None
    with progress(1, quiet=False) as listener:
        (result,) = run_files(writable(studio), files, recipe=template, listener=listener)
    if not ready(studio.store, result.key, template):
        print_results([result], studio.store.library)
        say(f"no {template} was made: {lacking(studio.store, result.key, template)}", INCOMPLETE)
        return INCOMPLETE
    project_of(studio, result.key, template, settings, folder)
    print(f"{folder}: look at its project.json, then: avp video {folder.name}")
    return DONE
