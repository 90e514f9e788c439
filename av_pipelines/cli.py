"""``avp``: everything without the UI.

Here: what the terminal sees: arguments, progress, tables, exit codes. Not here: any work; each
command is a few lines around functions that live elsewhere.

Exit codes: 0 all done, 1 our fault, 2 wrong usage, 3 some file was quarantined or some asset
failed.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import App, Group, Parameter

if TYPE_CHECKING:
    from av_pipelines.maker import Studio

DONE, OUR_FAULT, USAGE, INCOMPLETE = 0, 1, 2, 3

app = App(
    name="avp",
    help="Drop media in, get transcripts, masters and more out: each traced, priced, rebuildable.",
    version=lambda: metadata.version("av-pipelines"),
    suppress_keyboard_interrupt=False,
)
_common = Group("Common")

Store = Annotated[
    Path | None,
    Parameter(help="Folder of the store. Default: AVP_STORE, else ./studio.", group=_common),
]
Json = Annotated[
    bool, Parameter(help="Print one JSON object and nothing else.", negative="", group=_common)
]


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
        return _say(f"{error}\nSee `avp --help`.", USAGE)
    except (SettingsError, UsageError) as error:
        return _say(str(error), USAGE)
    except KeyboardInterrupt:
        return _say("stopped; what was finished is kept, and the same command goes on", OUR_FAULT)
    except Exception as error:
        import traceback

        traceback.print_exc()
        return _say(f"avp itself failed: {error}", OUR_FAULT)
    return code if isinstance(code, int) else DONE


class UsageError(Exception):
    """The command cannot be done as it was given."""


def _writable(studio: Studio) -> Studio:
    """Return a studio whose store can be written to; UsageError when it cannot."""
    root = studio.store.root
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return studio
    except OSError as error:
        raise UsageError(f"the store {root} cannot be written to: {error.strerror}") from None


def _existing(studio: Studio) -> Studio:
    """Return a studio whose store is there; UsageError when it is not."""
    if not studio.store.root.is_dir():
        raise UsageError(f"there is no store {studio.store.root}; name one by --store or AVP_STORE")
    return studio


def _say(text: str, code: int) -> int:
    print(f"avp: {text}", file=sys.stderr)
    return code


# ---------------------------------------------------------------------- run


@app.command
def run(
    paths: Annotated[list[Path], Parameter(help="Media files, or folders of them.", negative="")],
    /,
    *,
    recipe: Annotated[str, Parameter(help="auto, music, podcast, film, or your own.")] = "auto",
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
    from av_pipelines.launch import album_settings, expand, run_files
    from av_pipelines.makers import PRODUCTS, SETTINGS, open_studio
    from av_pipelines.settings import parse_assignments

    only = [name.strip() for name in (assets or "").split(",") if name.strip()]
    for name in only:
        if name not in PRODUCTS:
            raise UsageError(f"--assets {name}: no such asset; there are: {', '.join(PRODUCTS)}")
    if claim not in ("copy", "move", "link", "reference"):
        raise UsageError(f"--claim {claim}: allowed: copy, move, link, reference")
    try:
        files = expand(paths)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(str(error)) from None
    if not files:
        raise UsageError("there is no file in the given folders")
    overrides = parse_assignments(set_ or [], SETTINGS)
    studio = _writable(open_studio(store))
    with _progress(len(files), quiet=json) as listener:
        take = partial(run_files, studio, files, recipe=recipe, claim=claim, listener=listener)
        if album:
            tracks = take(assets=["audio"], overrides=overrides)
            overrides.setdefault("master", {}).update(album_settings(tracks))
        results = take(assets=only, overrides=overrides)
    if json:
        _print_json({"media": [result.to_json() for result in results]})
    else:
        _print_results(results, studio.store.library)
    return DONE if all(result.state == "done" for result in results) else INCOMPLETE


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))


def _print_results(results: Sequence[Any], library: Path) -> None:
    """Say what became of each file, with the folders a person would open."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    marks = {"done": "[green]done[/]", "partial": "[yellow]partial[/]"}
    for result in results:
        mark = marks.get(result.state, f"[red]{result.state}[/]")
        console.print(f"{mark} {escape(str(result.path))}")
        if result.state == "quarantined":
            console.print(f"  {result.reason}\n  look: {result.command}", markup=False)
            continue
        for outcome in result.outcomes:
            console.print(f"  {_line(outcome, library)}", markup=False)


def _line(outcome: Any, library: Path) -> str:
    if outcome.artifact is None:
        return f"{outcome.asset:<11} {outcome.event}: {outcome.reason}"
    manifest = outcome.artifact.manifest
    note = "reused" if outcome.event == "reused" else f"{outcome.cost.wall_s:.1f} s"
    degraded = f", degraded: {manifest.degraded}" if manifest.degraded else ""
    folder = library / outcome.key / outcome.asset
    return f"{outcome.asset:<11} {folder}  ({note}{degraded})"


class _Lines:
    """Progress for a pipe, on standard error: a line for each asset done, and for long work."""

    def __init__(self) -> None:
        from av_pipelines.milestones import Milestones

        self._milestones = Milestones()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def progress(self, key: str, asset: str, share: float) -> None:
        if line := self._milestones.line(key, asset, share):
            print(line, file=sys.stderr, flush=True)

    def outcome(self, outcome: Any) -> None:
        said = f": {outcome.reason}" if outcome.reason else ""
        print(f"{outcome.key} {outcome.asset} {outcome.event}{said}", file=sys.stderr, flush=True)


class _Bar:
    """Progress for a terminal: a bar for the asset at work, and how many are done."""

    def __init__(self, files: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[done]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._label, self._done = "", 0
        self._files = files
        self._task = self._bar.add_task("starting", total=1.0, done="")

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def progress(self, key: str, asset: str, share: float) -> None:
        label = f"{asset} of {key}"
        if label != self._label:
            self._label = label
            self._bar.reset(self._task, description=label)
        self._bar.update(self._task, completed=min(share, 1.0))

    def outcome(self, outcome: Any) -> None:
        self._done += 1
        done = f"{self._done} assets of {self._files} file{'s' if self._files > 1 else ''} done"
        self._bar.update(self._task, done=done)


def _progress(files: int, *, quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return _Lines()
    return _Bar(files)


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

    studio = _writable(open_studio(store))
    try:
        files = expand(paths or [built_in_media(studio.store.root / "demo")])
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(str(error)) from None
    with _progress(len(files), quiet=False) as listener:
        results = run_files(studio, files, listener=listener)
    _print_results(results, studio.store.library)
    for line in tell(studio, results):
        print(line)
    return DONE if all(result.state == "done" for result in results) else INCOMPLETE


@app.command
def up(
    *,
    port: Annotated[int, Parameter(help="Port of the Dagster UI on 127.0.0.1.")] = 3000,
    store: Store = None,
) -> int:
    """Start the Dagster UI, its daemon and the watch folder; stop with Ctrl-C."""
    from av_pipelines.makers import open_studio
    from av_pipelines.up import serve

    if not 1 <= port <= 65_535:
        raise UsageError(f"--port {port}: allowed: 1 to 65535")
    return serve(open_studio(store), port)


@app.command
def doctor(*, store: Store = None, json: Json = False) -> int:
    """Check what this machine has: codecs, models, folders, Dagster; say what to do."""
    from av_pipelines.doctor import examine
    from av_pipelines.makers import open_studio

    findings = examine(open_studio(store))
    if json:
        _print_json({"checks": [finding.__dict__ for finding in findings]})
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.said}")
    return DONE if all(finding.ok for finding in findings) else OUR_FAULT


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
    store: Store = None,
    json: Json = False,
) -> int:
    """Ask the catalog: views artifacts, costs, lineage, failures, storage; table ledger."""
    from av_pipelines.makers import open_studio
    from av_pipelines.reports.catalog import CatalogError
    from av_pipelines.reports.catalog import query as ask

    try:
        columns, rows = ask(_existing(open_studio(store)).store, query)
    except CatalogError as error:
        raise UsageError(str(error)) from None
    if json:
        _print_json({"columns": columns, "rows": rows})
    else:
        _print_table(columns, rows)
    return DONE


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table for a terminal, tab-separated lines for a pipe."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        csv.writer(sys.stdout, "excel-tab", lineterminator="\n").writerows([columns, *cells])
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*map(escape, columns))
    for row in cells:
        table.add_row(*map(escape, row))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


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

    path = write_report(_existing(open_studio(store)).store)
    if json:
        _print_json({"report": str(path)})
    else:
        print(path)
    if open_:
        import webbrowser

        webbrowser.open(path.as_uri())
    return DONE
