"""Making sure that a file is the one it should be: SHA-256, remembered while the file stays."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resources.models.registry import Entry, ModelError, ModelFile

ORIGIN_NOTE = ".origin.json"
"""In a downloaded model's folder: where it comes from, and the hashes its files had."""


def verified(entry: Entry, home: Path, folder: Path, *, again: bool = False) -> str:
    """Check the files of a model that is here; return the SHA-256 that is its identity.

    That is the one of its weights; of several weights, the SHA-256 of theirs, written as hex one
    after the other. A file is held to the hash in the registry, else to the one it had when it was
    downloaded; files beside the weights to the latter only when read ``again``.

    Args:
        entry: the model.
        home: the folder its files are in.
        folder: the model folder, where hashes are remembered until size or time of a file change.
        again: read the files, whatever is remembered.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``: a file has another hash than it should have.
    """
    digests: list[str] = []
    downloaded = _downloaded(home)
    for number, file in enumerate(entry.files):
        path = present(file, home)
        is_weights = number < entry.weight_files
        name = path.relative_to(home).as_posix()
        expected = file.expected_sha256(name)
        if expected is None and (is_weights or again):
            expected = downloaded.get(name)
        if expected is None and not is_weights:
            continue
        digest = sha256_of(path, folder, again=again)
        if expected is not None and not digest.startswith(expected):
            raise ModelError(
                "MODEL_LOAD_FAILED",
                f"{path} is not {entry.name}: its SHA-256 is {digest}, and {expected} is "
                "expected. It is damaged or another model. Delete it or put the right file there",
            )
        if is_weights:
            digests.append(digest)
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def present(file: ModelFile, home: Path) -> Path:
    """Return the path of a file by the first of its names that is there."""
    return next((p for name in file.names if (p := home / name).is_file()), home / file.name)


def _downloaded(home: Path) -> dict[str, str]:
    """File → SHA-256 it had when it was downloaded; empty for what was put here otherwise."""
    try:
        note = json.loads((home / ORIGIN_NOTE).read_text("utf-8"))
        return {str(name): str(file["sha256"]) for name, file in note["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def sha256_of(path: Path, folder: Path, *, again: bool = False) -> str:
    """Hash a file, once for each size and modification time it has had."""
    stat = path.stat()
    seen = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    note = folder / ".verified" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.json"
    try:
        remembered = {} if again else json.loads(note.read_text("utf-8"))
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
