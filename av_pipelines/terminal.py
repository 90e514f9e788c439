"""What every command of ``avp`` shares: exit codes, common options, tables, progress.

Here: how things look in a terminal and in a pipe. Not here: any command (``cli``,
``*_command``), any work.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from av_pipelines.maker import Studio

DONE, OUR_FAULT, USAGE, INCOMPLETE = 0, 1, 2, 3

COMMON = Group("Common")

Store = Annotated[
    Path | None,
    Parameter(help="Folder of the store. Default: AVP_STORE, else ./studio.", group=COMMON),
]
Json = Annotated[
    bool, Parameter(help="Print one JSON object and nothing else.", negative="", group=COMMON)
]


class UsageError(Exception):
    """The command cannot be done as it was given."""


def writable(studio: Studio) -> Studio:
    """Return a studio whose store can be written to; UsageError when it cannot."""
    root = studio.store.root
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return studio
    except OSError as error:
        raise UsageError(f"the store {root} cannot be written to: {error.strerror}") from None


def existing(studio: Studio) -> Studio:
    """Return a studio whose store is there; UsageError when it is not."""
    if not studio.store.root.is_dir():
        raise UsageError(f"there is no store {studio.store.root}; name one by --store or AVP_STORE")
    return studio


def say(text: str, code: int) -> int:
    """Tell a person what went wrong, and return the exit code."""
    print(f"avp: {text}", file=sys.stderr)
    return code


def print_json(value: object) -> None:
    """Print one JSON object, and nothing else."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))


def print_results(results: Sequence[Any], library: Path) -> None:
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

    def progress(self, key: str, asset: str, share: float, tokens: Any = None) -> None:
        if line := self._milestones.line(key, asset, share):
            print(line, file=sys.stderr, flush=True)

    def outcome(self, outcome: Any) -> None:
        # why is said once, by the results
        print(f"{outcome.key} {outcome.asset} {outcome.event}", file=sys.stderr, flush=True)


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

    def progress(self, key: str, asset: str, share: float, tokens: Any = None) -> None:
        label = f"{asset} of {key}"
        if label != self._label:
            self._label = label
            self._bar.reset(self._task, description=label)
        self._bar.update(self._task, completed=min(share, 1.0))

    def outcome(self, outcome: Any) -> None:
        self._done += 1
        done = f"{self._done} assets of {self._files} file{'s' if self._files > 1 else ''} done"
        self._bar.update(self._task, done=done)


def progress(files: int, *, quiet: bool) -> Any:
    """Return the observer that shows progress: a bar on a terminal, else lines."""
    if quiet or not sys.stderr.isatty():
        return _Lines()
    return _Bar(files)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on a terminal, tab-separated lines in a pipe."""
    from av_pipelines.reports.tables import write_table

    write_table(columns, rows, "table", sys.stdout)
