"""How a file gets into the store: registered by its stat, hashed, placed, and let go.

Here: everything between "there is a file" and "its bytes are in a staged artifact". Not here:
looking inside the file (``passes``), noticing that it is there (``sensors.inbox``).
A file is never lost: where it was moved from, it is only removed after its bytes are published.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.settings import sidecars_of
from resources.manifest import Claim, MediaRecord
from resources.store import Artifact, Store, sha256

_RACY_NS = 2_000_000_000
"""A file hashed this soon after its last change may change again within its time stamp."""


_OURS = ("manifest.json", "probe.json", "poster.jpg")
"""Names of files that stand beside the original."""


def register(
    store: Store,
    path: Path,
    key: str,
    *,
    recipe: str,
    claim: Claim,
    sidecar: Mapping[str, Any],
    stat: os.stat_result | None = None,
) -> MediaRecord:
    """Write down that a file is there and what is to be done with it; reads nothing of it."""
    stat = stat or path.stat()
    known = store.media(key)
    before = dict.fromkeys((known.recipe, *known.earlier)) if known else ()
    record = MediaRecord(
        key=key,
        origin=str(path),
        recipe=recipe,
        claim=claim,
        sidecar=dict(sidecar),
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        inode=stat.st_ino,
        earlier=tuple(name for name in before if name != recipe),
    )
    if known and known.sha256 and _same_file(known, stat):
        record = record.model_copy(
            update={"sha256": known.sha256, "hashed_at_ns": known.hashed_at_ns}
        )
    if record != known:
        store.save(record)
    return record


def _same_file(record: MediaRecord, stat: os.stat_result) -> bool:
    """Whether a stat shows the file that was hashed: as git's index decides it."""
    return (
        record.sha256 is not None
        and record.hashed_at_ns is not None
        and (record.size, record.mtime_ns, record.inode)
        == (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        and record.hashed_at_ns - record.mtime_ns > _RACY_NS
    )


def identify(record: MediaRecord, store: Store) -> tuple[MediaRecord, str]:
    """Return the record with the SHA-256 of the file's bytes, and that hash.

    A file that was moved into the store is gone from where it was: then the bytes that were
    taken are meant.

    Raises:
        FileNotFoundError: neither the file nor a copy of it is there.
        BlockingIOError: the file changes while it is read; it may be tried again.
    """
    origin = Path(record.origin)
    try:
        before = origin.stat()
    except FileNotFoundError:
        if record.sha256 and store.find("source", record.sha256):
            return record, record.sha256
        raise FileNotFoundError(
            f"{origin} is gone, and the store has no copy of it; drop it again"
        ) from None
    if record.sha256 and _same_file(record, before):
        return record, record.sha256
    hashed_at = time.time_ns()
    digest = sha256(origin)
    check_unchanged(origin, before)
    record = record.model_copy(
        update={
            "size": before.st_size,
            "mtime_ns": before.st_mtime_ns,
            "inode": before.st_ino,
            "sha256": digest,
            "hashed_at_ns": hashed_at,
        }
    )
    store.save(record)
    return record, digest


def check_unchanged(path: Path, before: os.stat_result) -> None:
    """Raise BlockingIOError when a file is not what it was: something still writes to it."""
    now = path.stat()
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    ):
        raise BlockingIOError(
            f"{path} changed while it was read: something still writes to it; try again later"
        )


def place(record: MediaRecord, folder: Path) -> Path:
    """Put the file's bytes into a staged folder, in the way its claim says; return the path.

    ``move`` and ``link`` make a hard link where the file system allows; ``reference`` leaves the
    bytes where they are and puts a link to them there.
    """
    origin = Path(record.origin)
    target = folder / (f"original-{origin.name}" if origin.name in _OURS else origin.name)
    before = origin.stat()
    if record.claim == "reference":
        target.symlink_to(origin)
    elif record.claim in ("move", "link") and _hard_link(origin, target):
        pass
    elif record.claim == "link":
        raise ValueError(
            f"{origin} cannot be hard-linked into {folder}: they are on different file systems; "
            f"use claim = copy or reference"
        )
    else:
        shutil.copyfile(origin, target)
        check_unchanged(origin, before)
    return target


def _hard_link(origin: Path, target: Path) -> bool:
    if origin.is_symlink():  # its target may change under us
        return False
    try:
        os.link(origin, target)
    except OSError:
        return False
    return True


def taken(source: Artifact) -> Path:
    """Return the original of a ``source`` artifact.

    Raises:
        FileNotFoundError: it was only referred to, and is gone or has other bytes by now.
    """
    path = source.dir / source.manifest.facts["file"]
    if path.is_symlink() and (not path.exists() or sha256(path) != source.version):
        raise FileNotFoundError(
            f"{path.readlink()} was taken by reference and is not there any more as it was; "
            f"take the file again"
        )
    return path


def settle(record: MediaRecord, store: Store) -> None:
    """Remove a moved file, and its sidecar, from where it was dropped, now that it is published.

    A file that changed meanwhile stays: it is a new version of the media.
    """
    if record.claim != "move":
        return
    origin = Path(record.origin)
    with contextlib.suppress(FileNotFoundError):
        stat = origin.stat()
        if (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (
            record.size,
            record.mtime_ns,
            record.inode,
        ):
            origin.unlink()
            for beside in sidecars_of(origin):
                beside.unlink(missing_ok=True)
