"""The models this project knows: reading and checking ``models.toml``. No looking, no loading."""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MODELS_TOML = Path(__file__).parents[1] / "models.toml"
FOLDER_VARIABLE = "AVP_MODELS"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")  # never leads out of a folder
_FILE = re.compile(rf"{_NAME.pattern}(/{_NAME.pattern})?")  # of a hub: at most in one folder
_PART = re.compile(rf"\w+(/{_NAME.pattern})+")
_HUB = re.compile(rf"{_NAME.pattern}/{_NAME.pattern}")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+")

ErrorCode = Literal[
    "MODEL_NOT_FOUND", "MODEL_LOAD_FAILED", "MODEL_DOWNLOAD_FAILED", "CONSENT_REQUIRED"
]


class ModelError(Exception):
    """A model cannot be had.

    Args:
        code: ``MODEL_NOT_FOUND``: it is in none of the places; ``MODEL_LOAD_FAILED``: it is
            there, and incomplete, damaged, another one, or its engine cannot read it;
            ``MODEL_DOWNLOAD_FAILED``: the hub or the network did not give it, or gave something
            else; ``CONSENT_REQUIRED``: it may be downloaded when the user agrees.
        message: what was tried where, and what to do.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message


@dataclass(frozen=True)
class ModelFile:
    """One file of a model; ``size_bytes`` and ``sha256`` are None where nobody has computed them.

    Its name is as at the origin, ``file`` or ``folder/file``; in the model folder it is the same.
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

    def expected_sha256(self, name: str) -> str | None:
        """Return how the SHA-256 of the file by one of its names must begin; None: not known.

        Some name their files by it, as PyTorch's hub does: ``955717e8-8726e21a.th``.
        """
        if name == self.name and self.sha256 is not None:
            return self.sha256
        said = _HASH_IN_NAME.search(name)
        return said[1] if said else None


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a model; the fields are told at the top of ``models.toml``."""

    name: str
    engine: str
    origin: str
    licence: str
    files: tuple[ModelFile, ...]
    purpose: str = ""
    languages: frozenset[str] = frozenset({"*"})
    not_languages: frozenset[str] = frozenset()
    translates: bool = False
    memory_bytes: int | None = None
    install: str | None = None
    weight_files: int = 1
    revision: str = "main"

    @property
    def hub(self) -> str | None:
        """The hub repository it can be downloaded from; None where only packages have it."""
        return self.origin if _HUB.fullmatch(self.origin) else None

    @property
    def weights(self) -> tuple[ModelFile, ...]:
        """The files that are the model; the others say how to read it."""
        return self.files[: self.weight_files]

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the weights; None where not known."""
        sizes = [file.size_bytes for file in self.weights]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def packages(self) -> list[str]:
        """The import names of the packages that ship it, sorted."""
        return sorted({part.split("/", 1)[0] for file in self.files for part in file.parts})

    def knows(self, language: str) -> bool:
        """Whether the model was trained on a language, given by its code."""
        return language not in self.not_languages and not self.languages.isdisjoint({"*", language})


def read_registry(path: Path) -> dict[str, Entry]:
    """Read a registry file: name → entry, in the order of the file."""
    return parse_registry(tomllib.loads(path.read_text("utf-8")))


def parse_registry(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Entry]:
    """Make entries of the tables of a registry file.

    Raises:
        ValueError: the name of a model, a file or a part is not a plain name.
    """
    return {name: _entry(name, table) for name, table in tables.items()}


@functools.cache
def registry() -> dict[str, Entry]:
    """Return the models this project knows: name → entry."""
    return read_registry(MODELS_TOML)


def entry_of(name: str, known: Mapping[str, Entry] | None = None) -> Entry:
    """Return the entry of a name; ``MODEL_NOT_FOUND`` with the names there are."""
    known = registry() if known is None else known
    if name not in known:
        raise ModelError(
            "MODEL_NOT_FOUND", f"there is no model {name!r}; there are: {', '.join(known)}"
        )
    return known[name]


def model_folder() -> Path:
    """Return the local model folder: ``AVP_MODELS``, else ``~/.cache/av-pipelines/models``."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache/av-pipelines/models"


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
    # Names become paths in the model folder: none may lead out of it.
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} in the model registry is not a plain name")
    for said in (n for file in files for n in file.names):
        if not _FILE.fullmatch(said):
            raise ValueError(f"{said!r} in the model registry is not a plain file name")
    for part in (part for file in files for part in file.parts):
        if not _PART.fullmatch(part):
            raise ValueError(f"{part!r} in the model registry is not package/path/inside")
    for field in ("languages", "not_languages"):
        values[field] = frozenset(values.get(field, ()))
    return Entry(name=name, files=files, **values)
