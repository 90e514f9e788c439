"""Which folders are watched for media: ``<store>/inbox``, and those that ``inboxes.toml`` names.

Here: what may be said of an inbox. Not here: looking into it (``sensors.inbox``).

``<store>/inboxes.toml`` is read when ``avp up`` starts::

    [[inbox]]
    name = "nas"            # "inbox" is the store's own
    path = "/mnt/nas/drop"
    recipe = "podcast"      # of everything in it; without it a subfolder is a recipe
    claim = "copy"          # move, copy, link or reference
    notes = "off"           # files, folders or off
"""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from av_pipelines.settings import SettingsError
from partitions.keys import media_key
from resources.manifest import Claim

FILE = "inboxes.toml"
MAIN = "inbox"


class Inbox(BaseModel):
    """A folder that is watched for media."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = Field(default=MAIN, pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """Part of its media's keys and of its sensor's name: do not change it."""
    path: Path
    """An absolute folder."""
    recipe: str | None = None
    """Of all its files; none: the name of a subfolder is the recipe."""
    claim: Claim = "move"
    """``move`` empties it; with the others files stay, and are made again when they change."""
    notes: Literal["files", "folders", "off"] = "files"
    """Notes for people on what became of a file: beside it, in folders of their own, or none."""
    notes_days: float = Field(default=7, gt=0)
    """Notes on what is over are removed after so many days."""

    def key(self, path: str) -> str:
        """Return the key of a file by its path in this inbox."""
        return media_key(PurePosixPath(path if self.name == MAIN else f"@{self.name}/{path}"))

    @property
    def sensor(self) -> str:
        """Name of its sensor."""
        return MAIN if self.name == MAIN else f"{MAIN}_{self.name}"


def read_inboxes(store: Path) -> list[Inbox]:
    """Return the inboxes of a store, its own first; SettingsError says what is wrong.

    Args:
        store: the store's folder.
    """
    main, path = Inbox(path=store / MAIN), store / FILE
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return [main]
    except ValueError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    if set(given) - {"inbox"} or not isinstance(given.get("inbox", []), list):
        raise SettingsError(f"{path}: holds nothing but tables [[inbox]]")
    found = {MAIN: main}
    for number, table in enumerate(given.get("inbox", []), 1):
        where = f"{path}: inbox {number}"
        try:
            inbox = Inbox.model_validate({"path": main.path, **table} if table.get("name", MAIN)
                                         == MAIN else table)  # fmt: skip
        except ValidationError as error:
            said = [f"{where}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise SettingsError("\n".join(said)) from None
        _check(inbox, where, main.path, [i for n, i in found.items() if n != MAIN])
        found[inbox.name] = inbox
    return list(found.values())


def part_of_main(store: Path, folder: str) -> Inbox:
    """Return a folder of the store's own inbox that is not for media; its notes are as there."""
    main = read_inboxes(store)[0]
    return Inbox(path=main.path / folder, notes=main.notes, notes_days=main.notes_days)


def _check(inbox: Inbox, where: str, main: Path, others: list[Inbox]) -> None:
    if inbox.name == MAIN and inbox.path != main:
        raise SettingsError(f"{where}: the store's own inbox is {main}; give others a name")
    if not inbox.path.is_absolute():
        raise SettingsError(f"{where}: path = {str(inbox.path)!r}: give an absolute path")
    for other in others:
        if other.name == inbox.name:
            raise SettingsError(f"{where}: there are two inboxes named {inbox.name!r}")
    for other in [*others, *([Inbox(path=main)] if inbox.name != MAIN else [])]:
        if inbox.path.is_relative_to(other.path) or other.path.is_relative_to(inbox.path):
            raise SettingsError(f"{where}: {inbox.path} overlaps with {other.path}")
    if inbox.path.is_relative_to(main.parent) and inbox.name != MAIN:
        raise SettingsError(f"{where}: {inbox.path} lies inside the store")
