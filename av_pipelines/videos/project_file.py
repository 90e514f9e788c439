"""The file ``project.json``: read with errors that name the field, saved without losing changes.

Here: reading, saving over what was read and nothing else, telling projects apart. Not here: what
a project may say (``project``).
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid as uuids
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from av_pipelines.settings import SettingsError
from av_pipelines.videos.project import Project
from resources.store import write_durably

FILE = "project.json"
MAX_BYTES = 8 * 2**20

_BEGINNINGS = {
    "//": "there are no comments in JSON; take it out",
    "/*": "there are no comments in JSON; take it out",
    "#": "there are no comments in JSON; take it out",
    "'": 'names and texts stand in double quotes, "',
    "“": 'names and texts stand in straight quotes, "',
    "True": "it is written true",
    "False": "it is written false",
    "None": "it is written null",
}
_MESSAGES = {
    "Expecting ',' delimiter": "a comma is missing before it, or a bracket was closed too early",
    "Expecting ':' delimiter": "a colon is missing between a name and its value",
    "Expecting property name": 'a name in double quotes, ", is expected here',
    "Expecting value": "a value is missing, or its text does not stand in double quotes",
    "Unterminated string": "the text that begins here is not closed with a quotation mark",
    "Invalid control character": r"a text ends at its line; a new line within it is written \n",
    "Invalid \\": r"a backslash is written twice, \\; paths are best written with /",
    "Extra data": "the project has been closed before; a bracket too many, or two projects",
}


class ProjectError(SettingsError):
    """A project cannot be made; the message names the file, the shot, the field, what to do."""


class StaleVersion(ProjectError):
    """The project was saved by somebody else since it was read."""


def project_file(path: Path) -> Path:
    """Give the ``project.json`` of a folder, or the path itself."""
    return path / FILE if path.is_dir() else path


def parse_project(data: bytes, where: str) -> Project:
    """Read a project.

    Args:
        data: of the file.
        where: what to call it in messages.

    Raises:
        ProjectError: a line for each wrong field, with what was given and what is allowed.
    """
    if len(data) > MAX_BYTES:
        raise ProjectError(f"{where}: larger than {MAX_BYTES} bytes")
    try:
        given = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ProjectError(f"{where}: {place}: not JSON: {_likely(error)}") from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"{where}: not UTF-8 ({error.reason}): save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{where}: not JSON: {error}") from None
    try:
        return Project.model_validate(given)
    except ValidationError as error:
        lines = dict.fromkeys(_line(where, item) for item in error.errors())
        raise ProjectError("\n".join(lines)) from None


def read_project(path: Path) -> Project:
    """Read a project by its folder or file; ProjectError names what is wrong."""
    file = project_file(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ProjectError(f"{file}: {error.strerror}; `avp new NAME` makes a project") from None
    return parse_project(data, str(file))


def _line(where: str, item: Any) -> str:
    """Say what is wrong: ``project.json: shots[2].out = …``; pydantic's union branches left out."""
    name = ""
    for part in item["loc"]:
        if isinstance(part, int):
            name += f"[{part}]"
        elif "[" not in part and part not in ("Frame", "Scene"):  # branches of a union
            name += f".{part}" if name else part
    said = item["msg"].removeprefix("Value error, ")
    said = f"{said[:1].lower()}{said[1:]}"
    given = repr(item["input"])
    shown = f" = {given[:80]}{'…' * (len(given) > 80)}" if item["type"] != "missing" else ""
    if item["type"] == "extra_forbidden":
        said = _unknown(item["loc"])
    return f"{where}: {name or 'the project'}{shown}: {said}"


def _unknown(place: Sequence[str | int]) -> str:
    """Say which fields there are in place of one that is not, and which is like it."""
    model: type[BaseModel] = Project
    for part in place[:-1]:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in fields:
            model = _model_in(fields[str(part)].annotation) or model
    names = [field.alias or name for name, field in model.model_fields.items()]
    near = get_close_matches(str(place[-1]), names, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"there is no such field; {meant}allowed: {', '.join(names)}"


def _model_in(kind: Any) -> type[BaseModel] | None:
    """Find the model in ``tuple[Shot, ...]`` or ``Captions | None``."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next(filter(None, map(_model_in, get_args(kind))), None)


def _likely(error: json.JSONDecodeError) -> str:
    """Say what is most likely wrong at a place that is no JSON."""
    before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos :]
    if before.endswith(",") and after[:1] in ("]", "}"):
        return f"a comma stands before the closing {after[0]}; take it out"
    if not after.strip():
        return "the file ends before all brackets are closed" if before else "the file is empty"
    for begins, said in _BEGINNINGS.items():
        if after.startswith(begins):
            return said
    for what, said in _MESSAGES.items():
        if error.msg.startswith(what):
            return said
    return error.msg


def save_project(path: Path, project: Project, expected_version: int) -> Project:
    """Save a project, unless somebody saved it since it was read; whole, or not at all.

    Args:
        path: its folder or file.
        project: the new content; its ``version`` is set here.
        expected_version: of the file that it was made from; 0: there is no file yet.

    Returns:
        The project as it was saved, with the next version.

    Raises:
        StaleVersion: the file has another version, or there is one already.
    """
    file = project_file(path)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # dropped when the descriptor closes
        there = read_project(file).version if file.exists() else 0
        if there != expected_version:
            raise StaleVersion(
                f"{file}: version = {expected_version}: the file has version {there} by now; "
                "read it again, make the change there, and save that"
            )
        saved = project.model_copy(update={"version": there + 1})
        write_durably(file, saved.to_json().encode())
        return saved
    finally:
        os.close(folder)


def check_unique(file: Path, project: Project, others: Iterable[Path]) -> None:
    """Make sure that no other project has this one's uuid.

    Args:
        file: of the project.
        project: its content.
        others: folders or files of all known projects; those that are gone or damaged, and the
            project itself, are passed over.

    Raises:
        ProjectError: naming both.
    """
    mine = project_file(file).resolve()
    for other in map(project_file, others):
        if other.resolve() == mine:
            continue
        try:
            twin = read_project(other).uuid == project.uuid
        except ProjectError:
            continue
        if twin:
            raise ProjectError(
                f"{file}: uuid = {project.uuid}: {other} has the same one; give one of the two "
                f"a new uuid, such as {uuids.uuid4()}"
            )
