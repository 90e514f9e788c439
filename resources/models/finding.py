"""Where a model is on this machine: the model folder, installed packages, the caches of hubs.

Nothing here goes to the network but ``obtain_model``, and for that ``downloads``
does.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resources.models.consent import has_consent
from resources.models.hashing import present, verified
from resources.models.registry import (
    FOLDER_VARIABLE,
    Entry,
    ModelError,
    entry_of,
    model_folder,
)

_CHUNK = 1 << 20
_ABANDONED_S = 3600.0

Where = Literal["folder", "package", "cache"]


@dataclass(frozen=True)
class Model:
    """A model that is here: the folder of its files, and the SHA-256 of its weights.

    ``weights`` are the paths of the files that are the model, in the registry's order.
    """

    name: str
    engine: str
    path: Path
    sha256: str
    licence: str
    weights: tuple[Path, ...] = ()


def find_model(
    name: str,
    *,
    folder: Path | None = None,
    known: Mapping[str, Entry] | None = None,
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
    folder = (folder or model_folder()).absolute()
    entry = entry_of(name, known)
    path = _in_folder(entry, folder) or _in_packages(entry, folder) or _in_cache(entry)
    if path is None:
        raise ModelError("MODEL_NOT_FOUND", _not_found(entry, folder))
    return model_at(entry, path, folder)


def obtain_model(
    name: str, *, folder: Path | None = None, known: Mapping[str, Entry] | None = None
) -> Model:
    """Find a model, and download it first if it is not here and the user has agreed to it.

    Raises:
        ModelError: as ``find_model``, or ``MODEL_DOWNLOAD_FAILED``.
    """
    folder = (folder or model_folder()).absolute()
    entry = entry_of(name, known)
    if entry.hub and locate(entry, folder) is None and has_consent(entry, folder):
        from resources.models.downloads import pull

        return pull(name, folder=folder, known=known)
    return find_model(name, folder=folder, known=known)


def model_at(entry: Entry, home: Path, folder: Path) -> Model:
    """Return the model whose files are in a folder; ``MODEL_LOAD_FAILED`` if they are not it."""
    digest = verified(entry, home, folder)
    weights = tuple(present(file, home) for file in entry.weights)
    return Model(entry.name, entry.engine, home, digest, entry.licence, weights)


def locate(entry: Entry, folder: Path) -> tuple[Where, Path] | None:
    """Return where a model is, without reading or writing any of it; None where it is not.

    Of a model in pieces in packages, it is the first piece.
    """
    home = folder / entry.name
    if home.is_dir() and not missing(entry, home):
        return "folder", home
    if pieces := _pieces(entry):
        first = next(iter(pieces.values()))[0]
        return "package", _one_home(pieces) or first
    cached = _in_cache(entry)
    return ("cache", cached) if cached else None


def _not_found(entry: Entry, folder: Path) -> str:
    files = ", ".join(file.name for file in entry.files)
    ways = [f"pip install {entry.install}"] if entry.install else []
    ways += [f"avp models pull {entry.name}"] if entry.hub else []
    do = f"put its files ({files}; origin {entry.origin}) into {folder / entry.name}"
    do = f"Run: {' — or: '.join([*ways, do])}" if ways else f"{do[0].upper()}{do[1:]}"
    cache = f", and for {entry.hub} in the Hugging Face cache" if entry.hub else ""
    return (
        f"{entry.name} is not on this machine. Looked in the folder {folder / entry.name}, "
        f"in Python packages ({', '.join(entry.packages) or 'none ships it'}){cache}. {do}"
    )


# ---------------------------------------------------------------------- the places


def missing(entry: Entry, home: Path) -> list[str]:
    """Return the files of a model that a folder lacks."""
    return [" or ".join(f.names) for f in entry.files if not present(f, home).is_file()]


def _in_folder(entry: Entry, folder: Path) -> Path | None:
    home = folder / entry.name
    if not home.is_dir() or not any(home.iterdir()):
        return None
    if lacks := missing(entry, home):
        # Somebody put it there and means it: to go on with another copy would hide the fault.
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{entry.name} in {home} is not complete: {', '.join(lacks)} is missing. "
            "Complete the folder or delete it",
        )
    return home


def _pieces(entry: Entry) -> dict[str, list[Path]]:
    """File → its pieces in installed packages; empty where any is missing."""
    pieces: dict[str, list[Path]] = {}
    for file in entry.files:
        found = [path for part in file.parts if (path := _package_file(part)) is not None]
        if not file.parts or len(found) < len(file.parts):
            return {}
        pieces[file.name] = found
    return pieces


def _one_home(pieces: Mapping[str, list[Path]]) -> Path | None:
    homes = {path.parent for paths in pieces.values() for path in paths}
    whole = all([path.name for path in paths] == [name] for name, paths in pieces.items())
    return homes.pop() if whole and len(homes) == 1 else None


def _in_packages(entry: Entry, folder: Path) -> Path | None:
    pieces = _pieces(entry)
    return (_one_home(pieces) or _put_together(entry, pieces, folder)) if pieces else None


def _package_file(part: str) -> Path | None:
    package, _, inside = part.partition("/")
    spec = importlib.util.find_spec(package)  # finds a top-level package without running it
    for home in (spec and spec.submodule_search_locations) or ():
        if (path := Path(home) / inside).is_file():
            return path
    return None


def _in_cache(entry: Entry) -> Path | None:
    return (_in_hub_cache(entry) or _in_torch_cache(entry)) if entry.hub else None


def _in_hub_cache(entry: Entry) -> Path | None:
    import huggingface_hub
    from huggingface_hub import constants

    homes: set[Path] = set()
    for file in entry.files:
        found = [
            Path(cached).parents[name.count("/")]
            for name in file.names
            if isinstance(
                cached := huggingface_hub.try_to_load_from_cache(
                    entry.origin,
                    name,
                    cache_dir=constants.HF_HUB_CACHE,
                    revision=entry.revision,
                ),
                str,
            )
        ]
        if not found:
            return None
        homes.add(found[0])
    return homes.pop()


def _in_torch_cache(entry: Entry) -> Path | None:
    """Where PyTorch's hub keeps files (demucs 4.0 and older used it), if these name their hash."""
    cache = os.environ.get("TORCH_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "torch"
    )
    home = Path(cache, "hub/checkpoints")
    here = [present(file, home) for file in entry.files]
    known = zip(entry.files, here, strict=True)
    return home if all(p.is_file() and f.expected_sha256(p.name) for f, p in known) else None


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
                (staging / file.name).parent.mkdir(exist_ok=True)
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
                if not target.is_dir() or missing(entry, target):
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
