"""``avp``: everything without the UI.

Here: the commands and their arguments. Not here: what they share (``terminal``), commands with
much to say (``*_command``), any work; each is a few lines around functions that live elsewhere.

Exit codes: 0 all done, 1 our fault, 2 wrong usage, 3 some file was quarantined or some asset
failed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from cyclopts import App, Parameter

from av_pipelines.terminal import (
    DONE,
    INCOMPLETE,
    OUR_FAULT,
    USAGE,
    Json,
    Store,
    UsageError,
    existing,
    print_json,
    print_results,
    progress,
    say,
    writable,
)

app = App(
    name="avp",
    help="Drop media in, get transcripts, masters and more out: each traced, priced, rebuildable.",
    version=lambda: metadata.version("av-pipelines"),
    suppress_keyboard_interrupt=False,
)


def main() -> NoReturn:
    """Run ``avp``; the process ends with one of the exit codes above."""
    sys.exit(run_app(sys.argv[1:]))


def run_app(arguments: Sequence[str]) -> int:
    """Run ``avp`` with these arguments and return the exit code."""
    from cyclopts import CycloptsError

    from av_pipelines.settings import SettingsError

    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return say(f"{error}\nSee `avp --help`.", USAGE)
    except (SettingsError, UsageError) as error:
        return say(str(error), USAGE)
    except KeyboardInterrupt:
        return say("stopped; what was finished is kept, and the same command goes on", OUR_FAULT)
    except Exception as error:
        import traceback

        traceback.print_exc()
        return say(f"avp itself failed: {error}", OUR_FAULT)
    return code if isinstance(code, int) else DONE


# ---------------------------------------------------------------------- run


@app.command
def run(
    paths: Annotated[list[Path], Parameter(help="Media files, or folders of them.", negative="")],
    /,
    *,
    recipe: Annotated[
        str, Parameter(help="auto, music, podcast, film, lyric_video, ... or your own.")
    ] = "auto",
    assets: Annotated[
        str | None, Parameter(help="Make only these, comma-separated, with what they need.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", help="A setting: asset.key=value. May be repeated.", negative=""),
    ] = None,
    album: Annotated[
        bool,
        Parameter(help="Master all files with one gain, as tracks of an album.", negative=""),
    ] = False,
    claim: Annotated[
        str,
        Parameter(help="How bytes get into the store: copy, move, link or reference."),
    ] = "copy",
    store: Store = None,
    json: Json = False,
) -> int:
    """Take files through everything: intake, transcript, master and what else the recipe says."""
    from av_pipelines.launch import album_settings, expand, run_files, run_templates
    from av_pipelines.makers import SETTINGS, open_studio, products_of
    from av_pipelines.settings import parse_assignments

    only = [name.strip() for name in (assets or "").split(",") if name.strip()]
    for name in only:
        if name not in products_of("media"):
            allowed = ", ".join(products_of("media"))
            raise UsageError(f"--assets {name}: no such asset of a file; there are: {allowed}")
    if claim not in ("copy", "move", "link", "reference"):
        raise UsageError(f"--claim {claim}: allowed: copy, move, link, reference")
    try:
        files = expand(paths)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(str(error)) from None
    if not files:
        raise UsageError("there is no file in the given folders")
    overrides = parse_assignments(set_ or [], SETTINGS)
    studio = writable(open_studio(store))
    with progress(len(files), quiet=json) as listener:
        take = partial(run_files, studio, files, recipe=recipe, claim=claim, listener=listener)
        if album:
            tracks = take(assets=["audio"], overrides=overrides)
            overrides.setdefault("master", {}).update(album_settings(tracks))
        results = take(assets=only, overrides=overrides)
        films = [] if only else run_templates(studio, results, recipe, overrides, listener)
    if json:
        told = {"media": [result.to_json() for result in results]}
        print_json(told | ({"videos": [film.to_json() for film in films]} if films else {}))
    else:
        print_results([*results, *films], studio.store.library)
    return DONE if all(r.state == "done" for r in (*results, *films)) else INCOMPLETE


# ---------------------------------------------------------------------- demo, up, doctor


@app.command
def demo(
    paths: Annotated[
        list[Path] | None, Parameter(help="Your own files. Default: a built-in clip.", negative="")
    ] = None,
    /,
    *,
    store: Store = None,
) -> int:
    """Show what this does, on your files or on built-in ones, and where to look at it."""
    from av_pipelines.demo import built_in_media, tell
    from av_pipelines.launch import expand, run_files
    from av_pipelines.makers import open_studio

    studio = writable(open_studio(store))
    try:
        files = expand(paths or [built_in_media(studio.store.root / "demo")])
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(str(error)) from None
    with progress(len(files), quiet=False) as listener:
        results = run_files(studio, files, listener=listener)
    print_results(results, studio.store.library)
    for line in tell(studio, results):
        print(line)
    return DONE if all(result.state == "done" for result in results) else INCOMPLETE


@app.command
def up(
    *,
    port: Annotated[int, Parameter(help="Port of the Dagster UI on 127.0.0.1.")] = 3000,
    pages_port: Annotated[
        int | None, Parameter(help="Port of the pages. Default: the next after --port.")
    ] = None,
    store: Store = None,
) -> int:
    """Start the Dagster UI, its daemon, the watch folders and the pages; stop with Ctrl-C."""
    from av_pipelines.makers import open_studio
    from av_pipelines.up import serve

    pages = port + 1 if pages_port is None else pages_port
    for option, number in (("--port", port), ("--pages-port", pages)):
        if not 1 <= number <= 65_535:
            raise UsageError(f"{option} {number}: allowed: 1 to 65535")
    if port == pages:
        raise UsageError(f"--pages-port {pages}: the Dagster UI has that port; give another one")
    return serve(open_studio(store), port, pages)


@app.command
def doctor(*, store: Store = None, json: Json = False) -> int:
    """Check what this machine has: codecs, models, folders, Dagster; say what to do."""
    from av_pipelines.doctor import examine
    from av_pipelines.makers import open_studio

    findings = examine(open_studio(store))
    if json:
        print_json({"checks": [finding.__dict__ for finding in findings]})
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.said}")
    return DONE if all(finding.ok for finding in findings) else OUR_FAULT


for place, said in (
    ("track_command:track", "Make music from a prompt, with its parts and its score."),
    ("track_command:takes", "List the takes of a track, or choose the one that counts."),
    ("video_command:new", "Make a project's folder, or a whole project from a template."),
    ("video_command:video", "Make films from projects, and what platforms want of them."),
    ("reprocess_command:reprocess", "Make again what is out of date, or list it with its price."),
    ("gc_command:gc", "Remove old versions that nothing uses any more."),
):
    app.command(f"av_pipelines.{place}", name=place.partition(":")[2], help=said)
app.command(
    "av_pipelines.models_command:models_app",
    name="models",
    help="Show, get, find and check the models that engines use.",
)


# ---------------------------------------------------------------------- reports


@app.command
def sql(
    query: Annotated[
        str, Parameter(help='Such as "select asset, sum(cpu_s) from costs group by 1"')
    ],
    /,
    *,
    form: Annotated[
        Literal["table", "csv", "json"], Parameter(name="--format", help="Of the answer.")
    ] = "table",
    store: Store = None,
    json: Json = False,
) -> int:
    """Ask the catalog: artifacts, costs, lineage, failures, storage, media, cost_per_day, ..."""
    from av_pipelines.makers import open_studio
    from av_pipelines.reports.catalog import CatalogError
    from av_pipelines.reports.catalog import query as ask
    from av_pipelines.reports.tables import write_table

    try:
        columns, rows = ask(existing(open_studio(store)).store, query)
    except CatalogError as error:
        raise UsageError(str(error)) from None
    write_table(columns, rows, "json" if json else form, sys.stdout)
    return DONE


@app.command
def report(
    *,
    open_: Annotated[
        bool, Parameter(name="--open", help="Show it in the browser.", negative="")
    ] = False,
    store: Store = None,
    json: Json = False,
) -> int:
    """Write report.html from the catalog and say where it is."""
    from av_pipelines.makers import open_studio
    from av_pipelines.reports.report import write_report

    path = write_report(existing(open_studio(store)).store)
    if json:
        print_json({"report": str(path)})
    else:
        print(path)
    if open_:
        import webbrowser

        webbrowser.open(path.as_uri())
    return DONE
