"""``avp models``: what models there are, where they are, getting one, checking them.

Here: what the terminal sees. Not here: finding, downloading, verifying (``resources.models``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from av_pipelines import terminal
from av_pipelines.terminal import DONE, INCOMPLETE, USAGE, Json

if TYPE_CHECKING:
    from resources.models import Entry, ModelError

models_app = App(name="models", help="The models that engines use: list, pull, path, verify.")

Name = Annotated[str, Parameter(help="A model's name; `avp models list` has them.")]


@models_app.command(name="list")
def list_models(*, json: Json = False) -> int:
    """Show every model: engine, licence, size, where it is, memory it takes, what it is for."""
    from resources.models import model_folder, registry

    rows = [_row(entry, model_folder()) for entry in registry().values()]
    if json:
        terminal.print_json({"models": rows})
        return DONE
    shown = ["name", "engine", "licence", "size", "where", "memory", "purpose"]
    terminal.print_table(
        shown,
        [
            [
                row["name"],
                row["engine"],
                row["licence"],
                _size(row["size_bytes"]),
                row["where"],
                _size(row["memory_bytes"]),
                row["purpose"],
            ]
            for row in rows
        ],
    )
    return DONE


@models_app.command
def pull(
    name: Name,
    /,
    *,
    yes: Annotated[
        bool, Parameter(help="Agree to the download without being asked.", negative="")
    ] = False,
    json: Json = False,
) -> int:
    """Download a model to the model folder, once you agree to its origin and licence.

    It goes on where it stopped, and is checked before it is used. The agreement is remembered;
    AVP_CONSENT=NAME,… or AVP_CONSENT=all in the environment gives it too.
    """
    from resources.models import ModelError, entry_of, find_model, model_folder
    from resources.models.consent import give_consent, has_consent

    folder = model_folder()
    try:
        entry = entry_of(name)
        try:
            model, news = find_model(name), "is here already"
        except ModelError as error:
            if error.code != "MODEL_NOT_FOUND" or entry.hub is None:
                raise
            if not has_consent(entry, folder) and (yes or _agrees(entry, folder)):
                give_consent(entry, folder)
            model, news = _download(entry, quiet=json), "is downloaded and checked"
    except ModelError as error:
        return _failed(error, json)
    if json:
        terminal.print_json({"models": [_row(entry, folder) | {"sha256": model.sha256}]})
    else:
        print(f"{name} {news}: {model.path}")
    return DONE


@models_app.command
def path(name: Name, /, *, json: Json = False) -> int:
    """Print the folder of a model that is on this machine."""
    from resources.models import ModelError, find_model

    try:
        model = find_model(name)
    except ModelError as error:
        return _failed(error, json)
    if json:
        files = [str(weights) for weights in model.weights]
        terminal.print_json({"name": name, "path": str(model.path), "weights": files})
    else:
        print(model.path)
    return DONE


@models_app.command
def verify(
    name: Annotated[str | None, Parameter(help="Default: every model that is here.")] = None,
    /,
    *,
    json: Json = False,
) -> int:
    """Read the files of models again and hold them to their hashes."""
    from resources.models import ModelError, entry_of, find_model, model_folder, registry
    from resources.models.finding import locate
    from resources.models.hashing import verified

    folder = model_folder().absolute()
    try:
        entries = [entry_of(name)] if name else [*registry().values()]
    except ModelError as error:
        return _failed(error, json)
    results: list[dict[str, Any]] = []
    for entry in entries:
        try:
            if name is None and locate(entry, folder) is None:
                continue
            digest = verified(entry, find_model(entry.name).path, folder, again=True)
            results.append({"name": entry.name, "ok": True, "sha256": digest})
        except ModelError as error:
            results.append({"name": entry.name, "ok": False, "said": str(error)})
    if json:
        terminal.print_json({"models": results})
    else:
        for result in results:
            mark, said = ("ok  ", result["sha256"]) if result["ok"] else ("FAIL", result["said"])
            print(f"{mark} {result['name']}: {said}")
        if not results:
            print(f"there is no model on this machine; the model folder is {folder}")
    return DONE if all(result["ok"] for result in results) else INCOMPLETE


# ---------------------------------------------------------------------- what is said


def _row(entry: Entry, folder: Path) -> dict[str, Any]:
    from resources.models.consent import has_consent
    from resources.models.downloads import staging_of
    from resources.models.finding import locate

    here = locate(entry, folder.absolute())
    partly = here is None and staging_of(entry, folder).is_dir()
    return {
        "name": entry.name,
        "engine": entry.engine,
        "purpose": entry.purpose,
        "licence": entry.licence,
        "origin": entry.origin,
        "size_bytes": entry.size_bytes,
        "memory_bytes": entry.memory_bytes,
        "where": here[0] if here else "partly here" if partly else "not here",
        "path": str(here[1]) if here else None,
        "consent": entry.hub is not None and has_consent(entry, folder),
        "install": entry.install,
    }


def _size(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _failed(error: ModelError, json: bool) -> int:
    if json:
        terminal.print_json({"models": [], "error": {"code": error.code, "message": error.message}})
    wrong_use = error.code in ("MODEL_NOT_FOUND", "CONSENT_REQUIRED")
    return terminal.say(str(error), USAGE if wrong_use else INCOMPLETE)


def _agrees(entry: Entry, folder: Path) -> bool:
    """Show what there is to agree to, and ask; nobody is asked where nobody sits."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from rich.console import Console
    from rich.prompt import Confirm

    from resources.models.downloads import ask_hub

    size = entry.size_bytes or sum(remote.size for remote in ask_hub(entry))
    console = Console(stderr=True, highlight=False, markup=False)
    console.print(f"{entry.name}: {entry.purpose}")
    console.print(
        f"  origin   {entry.origin}\n  licence  {entry.licence}\n  size     {_size(size)}"
    )
    console.print(f"  goes to  {folder / entry.name}")
    return Confirm.ask("Download it?", console=console, default=False)


def _download(entry: Entry, *, quiet: bool) -> Any:
    from resources.models.downloads import pull as download

    if quiet or not sys.stderr.isatty():
        return download(entry.name, progress=_lines(entry.name, quiet=quiet))
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(entry.name, total=None)
        return download(
            entry.name, progress=lambda here, of: bar.update(task, completed=here, total=of)
        )


def _lines(name: str, *, quiet: bool) -> Callable[[int, int], None]:
    """Progress for a pipe: a plain line for every tenth."""
    told = -1

    def progress(here: int, of: int) -> None:
        nonlocal told
        tenth = 10 * here // max(of, 1)
        if tenth > told and not quiet:
            print(f"{name} {tenth * 10} % of {_size(of)}", file=sys.stderr, flush=True)
        told = max(tenth, told)

    return progress
