"""What lies in a watched folder, by names and stats alone: no file is ever opened here.

Here: which names count as media, which are left alone, and one look at each file's size and time.
Not here: what a second look means (``watching``), or anything of Dagster (``inbox``).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from av_pipelines.settings import SIDECAR_SUFFIXES, SettingsError

DEFAULT_RECIPE = "auto"
"""Recipe of the files that lie directly in the inbox."""

IN_PROGRESS, DONE, FAILED = STATES = ("_IN_PROGRESS", "_DONE", "_FAILED")
"""How notes for people, and the folders of notes, are named (``notes``)."""

RESERVED = frozenset({"prompts", "projects", *STATES})
"""Folders at the top of the inbox that are not for media."""

_PARTIAL = re.compile(
    r"""(
        \.(part|partial|crdownload|download|downloading|opdownload|filepart|incomplete|unfinished
          |uploading|tmp|temp|crswap|dtapart|td|xltd|!ut|!qb|!bt|bc!|jc!|fb!
          |part-frag\d+(\.part)?)
        |~
        |(?P<beside>\.(aria2|ytdl|lftp-pget-status))
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
"""How browsers, download managers, copy programs and editors call a file they still write; or,
as ``beside``, the notes that they keep of one that has its final name from the start."""

_NOTES = tuple(f".{state}.txt" for state in STATES)
_NOT_MEDIA = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_NOT_FOLDERS = frozenset(
    {
        "@eadir",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__macosx",
    }
)
"""What systems and network drives put into folders, in lower case."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that counts, by its name."""

    path: str
    """Relative to the inbox, with forward slashes."""
    sidecars: tuple[str, ...] = ()
    """Endings of the sidecars whose names are there."""
    writing: str = ""
    """Name of the note beside it that says that it is still being written."""
    partial_near: str = ""
    """Name of some partial file in its folder: browsers hold the final name with an empty file."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as one look saw it."""

    path: str
    size: int
    mtime_ns: int
    sidecars: tuple[tuple[int, int], ...] = ()
    """Size and mtime of each of its sidecars."""
    ctime_ns: int = 0
    """Tells it from the same file dropped another time; linking it in the store changes it too."""
    writing: str = ""
    """Name of the file beside it that says that it is still being written."""


@dataclass
class Found:
    """Everything that a walk through the inbox came across."""

    files: list[Candidate] = field(default_factory=list)
    partial: int = 0
    """How many partial files there are."""
    links: list[str] = field(default_factory=list)
    """Symbolic links and special files: never followed, never opened."""
    unlisted: dict[str, str] = field(default_factory=dict)
    """Folders that could not be listed, and why."""
    notes: list[str] = field(default_factory=list)
    """Notes for people that lie beside files."""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to look at and nothing to tell."""
        return not (self.files or self.partial or self.links or self.unlisted)


@dataclass(frozen=True)
class Listing:
    """One look at the files."""

    files: tuple[Seen, ...] = ()
    complete: bool = True
    """Whether what is not here is really gone."""
    resume: str = ""
    """Where the next look starts, when this one ran out of time."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Files that could not be looked at, and why."""


def is_partial(name: str) -> bool:
    """Whether a file of this name is still being written by whoever puts it there."""
    return _PARTIAL.search(name) is not None


def is_note(name: str) -> bool:
    """Whether a file of this name is a note for people."""
    return name.endswith(_NOTES)


def recipe_of(path: str) -> str:
    """Return the recipe that a file's place in the inbox stands for."""
    folder, slash, _ = path.partition("/")
    return folder if slash else DEFAULT_RECIPE


def find(inbox: Path, late: Callable[[], bool] = lambda: False) -> Found:
    """Walk through the inbox and sort names; nothing is opened, links are not followed.

    Args:
        inbox: the folder.
        late: asked before each folder; once true, the folders left are noted as not listed.

    Raises:
        OSError: the inbox itself is not there or cannot be listed.
    """
    found = Found()
    folders = [""]
    while folders:
        folder = folders.pop()
        if folder and late():
            found.unlisted[folder] = "there was no time left for it"
            continue
        try:
            with os.scandir(inbox / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
            below = _sort_folder(folder, entries, found)
        except OSError as error:
            if not folder:
                raise
            if not isinstance(error, FileNotFoundError):  # a folder that is gone is no trouble
                found.unlisted[folder] = error.strerror or str(error)
            continue
        folders += reversed(below)
    return found


def _sort_folder(folder: str, entries: list[os.DirEntry[str]], found: Found) -> list[str]:
    """Note what is in one folder; return the folders below it."""
    prefix = f"{folder}/" if folder else ""
    names = {entry.name for entry in entries}
    writing: dict[str, str] = {}
    near = ""
    below: list[str] = []
    files: list[str] = []
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name.lower() in _NOT_MEDIA:
            continue
        if ending := _PARTIAL.search(name):
            found.partial += 1
            near = near or name
            if ending["beside"]:
                writing[name[: ending.start()]] = name
        elif entry.is_symlink():
            if folder or name not in RESERVED:
                found.links.append(prefix + name)
        elif entry.is_dir():
            if name.lower() not in _NOT_FOLDERS and (folder or name not in RESERVED):
                below.append(prefix + name)
        elif name.endswith(SIDECAR_SUFFIXES):
            continue
        elif is_note(name):
            found.notes.append(prefix + name)
        elif entry.is_file():
            files.append(name)
        else:
            found.links.append(prefix + name)
    found.files += (
        Candidate(prefix + name, _beside(name, names), writing.get(name, ""), near)
        for name in files
    )
    return below


def measure(
    inbox: Path,
    files: Iterable[Candidate],
    *,
    start: str = "",
    late: Callable[[], bool] = lambda: False,
) -> Listing:
    """Take one look at files: their size and time, and their sidecar's.

    Args:
        inbox: the folder that their paths are relative to.
        files: the files to look at.
        start: path to start from, going round: where the last look ran out of time.
        late: asked now and then; once true, the rest is left to the next look.
    """
    ordered = sorted(files, key=lambda file: (file.path < start, file.path))
    seen: list[Seen] = []
    failed: dict[str, str] = {}
    root = os.fspath(inbox)
    for number, file in enumerate(ordered):
        if number % 64 == 63 and late():
            return Listing(tuple(seen), complete=False, resume=file.path, failed=failed)
        path = f"{root}/{file.path}"
        try:
            facts = _lstat(path)
            beside = [_lstat(path + suffix) for suffix in file.sidecars]
        except OSError as error:
            failed[file.path] = error.strerror or str(error)
            continue
        if facts is None or not stat.S_ISREG(facts.st_mode):  # gone, or something else by now
            continue
        sidecars = tuple((b.st_size, b.st_mtime_ns) for b in beside if b)
        writing = file.writing or (file.partial_near if facts.st_size == 0 else "")
        seen.append(
            Seen(file.path, facts.st_size, facts.st_mtime_ns, sidecars, facts.st_ctime_ns, writing)
        )
    return Listing(tuple(seen), complete=not failed, failed=failed)


def _beside(name: str, names: Container[str]) -> tuple[str, ...]:
    return tuple(suffix for suffix in SIDECAR_SUFFIXES if name + suffix in names)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_access(path: Path, moved: bool) -> None:
    """Check that a file may be taken.

    Args:
        path: of the file.
        moved: it is to leave its folder.

    Raises:
        SettingsError: its name is not text.
        PermissionError: it may not be read, or not moved.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SettingsError("its name is not UTF-8: rename it") from None
    if not os.access(path, os.R_OK):
        raise PermissionError("no right to read it")
    if moved and not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"no right to move it out of {path.parent}")
