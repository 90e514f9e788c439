"""The store: the one folder that holds everything, and the only module that knows its layout.

Here: finding, staging, publishing, linking, quarantining: each a step that is either not done
or done whole, whatever dies in between. Not here: what is in an artifact, or who makes it.
Everything else asks a ``Store``: to keep artifacts in object storage, write another one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from partitions.keys import is_key
from resources.manifest import (
    FileRef,
    Manifest,
    MediaRecord,
    PartitionRecord,
    ProjectRecord,
    PromptRecord,
    Quarantine,
)

MANIFEST = "manifest.json"
_LOCK_SHARDS = 3  # hex digits of a version: at most 4096 lock files an asset, never removed

R = TypeVar("R", bound=BaseModel)
P = TypeVar("P", bound=PartitionRecord)

_RECORDS: dict[type[PartitionRecord], str] = {
    MediaRecord: "media.json",
    PromptRecord: "prompt.json",
    ProjectRecord: "project.json",
}


@dataclass(frozen=True)
class Artifact:
    """A published folder of files and its manifest."""

    dir: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        """The version that it is found by."""
        return self.manifest.version

    def file(self, name: str) -> Path:
        """Path of one of its files; KeyError when the manifest does not list it."""
        if not any(f.name == name for f in self.manifest.files):
            raise KeyError(f"{self.manifest.asset} {self.version[:12]} has no file {name}")
        return self.dir / name

    def first(self, *names: str) -> Path:
        """Path of the first of these files that it has; KeyError when it has none."""
        have = {f.name for f in self.manifest.files}
        for name in names:
            if name in have:
                return self.dir / name
        raise KeyError(f"{self.manifest.asset} {self.version[:12]} has none of {', '.join(names)}")


class Store:
    """A folder with ``inbox artifacts library quarantine ledger reports`` (DESIGN §2).

    Args:
        root: the folder; made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links
        self.inbox = self.root / "inbox"
        self.artifacts = self.root / "artifacts"
        self.library = self.root / "library"
        self.quarantine_dir = self.root / "quarantine"
        self.ledger_dir = self.root / "ledger"
        self.reports = self.root / "reports"
        self._staging = self.artifacts / ".staging"
        self._locks = self.artifacts / ".locks"
        self._alive = self.root / ".alive"

    # ------------------------------------------------------------------ artifacts

    def find(self, asset: str, version: str) -> Artifact | None:
        """Return the published artifact of this version, if there is one."""
        folder = self.artifacts / asset / version
        manifest = _read(folder / MANIFEST, Manifest)
        return Artifact(folder, manifest) if manifest else None

    def current(self, key: str, asset: str) -> Artifact | None:
        """Return the artifact that ``library/<key>/<asset>`` points at, if there is one."""
        link = self._library(key) / asset
        try:
            version = link.readlink().name
        except OSError:
            return None
        return self.find(asset, version)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path]:
        """Give an empty folder on the artifacts' file system; what is left in it is removed.

        The folder is locked as long as its process lives: ``sweep`` removes what the dead left.
        """
        name = uuid.uuid4().hex
        box = self._staging / f".{name}"  # not seen by sweep() until it is locked
        box.mkdir(parents=True)
        try:
            with _locked(box / ".alive"):
                box = box.rename(self._staging / name)
                work = box / "files"
                work.mkdir()
                yield work
        finally:
            shutil.rmtree(box, ignore_errors=True)

    def publish(self, staged: Path, manifest: Manifest) -> Artifact:
        """Make a staged folder visible as an artifact, whole and on disk, or not at all.

        When another process published the same version meanwhile, that one is returned.
        """
        _write(staged / MANIFEST, manifest, sync=False)
        for path in sorted(staged.rglob("*")):
            if not path.is_symlink():
                _fsync(path)
        _fsync(staged)
        folder = self.artifacts / manifest.asset / manifest.version
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(folder)
        except OSError:
            there = self.find(manifest.asset, manifest.version)
            if there is None:
                raise
            return there
        _fsync(folder.parent)
        return Artifact(folder, manifest)

    def all_artifacts(self) -> Iterator[Artifact]:
        """Yield every published artifact."""
        for folder in sorted(self.artifacts.glob("[!.]*/*")):
            manifest = _read(folder / MANIFEST, Manifest)
            if manifest:
                yield Artifact(folder, manifest)

    def remove(self, asset: str, version: str) -> bool:
        """Remove an artifact that nothing points at; return whether it is gone.

        It disappears in one step. When a link to it came into being meanwhile it is put back: who
        links looks again afterwards (``maker``), so one of the two notices.
        """
        folder = self.artifacts / asset / version
        gone = self._staging / f".gone-{uuid.uuid4().hex}"
        gone.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return False
        if (asset, version) in self.linked():
            gone.rename(folder)
            return False
        shutil.rmtree(gone)
        return True

    def linked(self) -> set[tuple[str, str]]:
        """Return asset and version of all that the library points at, takes included."""
        links = [*self.library.glob("*/*"), *self.library.glob("*/takes/*/*")]
        targets = [link.readlink() for link in links if link.is_symlink()]
        return {(target.parent.name, target.name) for target in targets}

    @contextlib.contextmanager
    def making(self, name: str, version: str) -> Iterator[None]:
        """Let one process at a time make a version; the others wait and then find it made."""
        self._locks.mkdir(parents=True, exist_ok=True)
        with _locked(self._locks / f"{name}-{version[:_LOCK_SHARDS]}"):
            yield

    def sweep(self) -> int:
        """Remove staging folders whose process died; return how many there were."""
        removed = 0
        for gone in self._staging.glob(".gone-*"):  # a removal that was killed
            shutil.rmtree(gone, ignore_errors=True)
        for box in self._staging.glob("[!.]*"):
            with (
                contextlib.suppress(BlockingIOError, FileNotFoundError),
                _locked(box / ".alive", wait=False),
            ):
                shutil.rmtree(box, ignore_errors=True)
                removed += 1
        return removed

    # ------------------------------------------------------------------ who is at work

    @contextlib.contextmanager
    def presence(self, name: str) -> Iterator[None]:
        """Be seen at work under a name, as long as the block, or the process, lives.

        Raises:
            BlockingIOError: another process is at work under this name.
        """
        self._alive.mkdir(parents=True, exist_ok=True)
        path = self._alive / name
        path.touch()
        with _locked(path, wait=False):
            yield
            path.unlink(missing_ok=True)

    def is_present(self, name: str) -> bool:
        """Whether a process is at work under this name."""
        try:
            with _locked(self._alive / name, wait=False):
                return False  # its owner died
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def present(self, prefix: str) -> list[str]:
        """Return the names with this beginning under which processes are at work."""
        names = sorted(path.name for path in self._alive.glob(f"{prefix}*"))
        return [name for name in names if self.is_present(name)]

    # ------------------------------------------------------------------ library

    def link(self, key: str, artifact: Artifact) -> None:
        """Make an artifact the current one of a media: ``library/<key>/<asset>``."""
        folder = self._library(key)
        folder.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.relpath(artifact.dir, folder))
        link = folder / artifact.manifest.asset
        with contextlib.suppress(OSError):
            if link.readlink() == target:
                return
        fresh = folder / f".{link.name}-{uuid.uuid4().hex}"
        fresh.symlink_to(target)
        fresh.replace(link)

    def unlink(self, key: str, asset: str) -> None:
        """Forget the current artifact of a media; the artifact itself stays."""
        (self._library(key) / asset).unlink(missing_ok=True)

    def record(self, key: str, kind: type[P]) -> P | None:
        """Return what is known of a partition, or None."""
        return _read(self._library(key) / _RECORDS[kind], kind)

    def save(self, record: PartitionRecord) -> None:
        """Write what is known of a partition."""
        folder = self._library(record.key)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _RECORDS[type(record)], record)

    def media(self, key: str) -> MediaRecord | None:
        """Return what is known of a media, or None."""
        return self.record(key, MediaRecord)

    def _library(self, key: str) -> Path:
        if not is_key(key):
            raise ValueError(f"{key!r} is not a partition key of this project")
        return self.library / key

    # ------------------------------------------------------------------ takes

    def add_take(self, key: str, artifact: Artifact) -> int:
        """Keep an artifact as a take of its asset, ``library/<key>/takes/<asset>/<number>``.

        A take keeps its number and is never replaced; one that is there already is found again.
        """
        asset = artifact.manifest.asset
        takes = self.takes(key, asset)
        for number, take in takes.items():
            if take.version == artifact.version:
                return number
        folder = self._takes(key, asset)
        folder.mkdir(parents=True, exist_ok=True)
        number = max(takes, default=0)
        while True:  # another process may be adding one too
            number += 1
            with contextlib.suppress(FileExistsError):
                (folder / str(number)).symlink_to(os.path.relpath(artifact.dir, folder))
                return number

    def takes(self, key: str, asset: str) -> dict[int, Artifact]:
        """Return the takes of an asset by number, in order."""
        folder = self._takes(key, asset)
        links = folder.iterdir() if folder.is_dir() else ()
        numbers = sorted(int(link.name) for link in links if link.name.isdecimal())
        found = {n: self.find(asset, (folder / str(n)).readlink().name) for n in numbers}
        return {number: artifact for number, artifact in found.items() if artifact}

    def take(self, key: str, asset: str, number: int) -> Artifact | None:
        """Return a take by its number, or None."""
        return self.takes(key, asset).get(number)

    def _takes(self, key: str, asset: str) -> Path:
        return self._library(key) / "takes" / asset

    # ------------------------------------------------------------------ quarantine

    def quarantine(self, record: Quarantine, *files: Path) -> Quarantine:
        """Put a refused media aside with the reason; the files that are there are moved."""
        folder = self.quarantine_dir / record.key
        folder.mkdir(parents=True, exist_ok=True)
        there = [file for file in files if file.exists()]
        for file in there:
            shutil.move(file, folder / file.name)
        record = record.model_copy(update={"kept": tuple(file.name for file in there)})
        _write(folder / "reason.json", record)
        return record

    def quarantined(self, key: str) -> Quarantine | None:
        """Return why a media was refused, or None."""
        return _read(self.quarantine_dir / key / "reason.json", Quarantine)

    def release(self, key: str) -> None:
        """Take a media out of quarantine: a file of it was accepted after all.

        A refused file that is kept there stays, with the reason beside it in ``resolved.json``.
        """
        folder = self.quarantine_dir / key
        with contextlib.suppress(FileNotFoundError):
            (folder / "reason.json").rename(folder / "resolved.json")
            if not any(path.name != "resolved.json" for path in folder.iterdir()):
                shutil.rmtree(folder)


def describe_files(folder: Path) -> tuple[FileRef, ...]:
    """List the files below a folder with size and SHA-256, sorted by name."""
    return tuple(
        FileRef(
            name=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=sha256(path)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    fresh = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)  # what is half-written would keep a full disk full
        raise
    _fsync(path.parent)


def _write(path: Path, record: BaseModel, *, sync: bool = True) -> None:
    data = record.model_dump_json(indent=1).encode()
    if sync:
        write_durably(path, data)
    else:
        path.write_bytes(data)


def _read(path: Path, kind: type[R]) -> R | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return kind.model_validate_json(data)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive ``flock``: the kernel drops it when the process ends, however it ends."""
    flags = os.O_RDWR | (os.O_CREAT if wait else 0)
    handle = os.open(path, flags, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
