"""Downloading a model from its hub repository, after the user agreed.

A file is written beside its final place under a name of its own version, goes on where it stopped
after any interruption, is held to the size and hash that the registry and the hub say, and is
written through to the disk; when all files are there, their folder is renamed into place. One
process downloads a model; others wait for it. ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE`` and
the proxy variables mean what they mean to huggingface_hub, whose client and addresses are used (its
own downloading starts again from zero after an interruption, and checks sizes only).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from filelock import FileLock
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from resources.models.consent import require_consent
from resources.models.finding import Model, find_model, model_at
from resources.models.hashing import ORIGIN_NOTE
from resources.models.registry import (
    Entry,
    ModelError,
    ModelFile,
    entry_of,
    model_folder,
)

Progress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes there are."""

WAIT_S = 1.0
_TRIES = 3  # without a single new byte
_CHUNK = 1 << 18
_SPARE_BYTES = 50_000_000
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_BLOB = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Remote:
    """A file as the hub has it: ``etag`` is its SHA-256 (large files) or its git blob hash."""

    file: ModelFile
    name: str
    url: str
    size: int
    etag: str
    commit: str


def pull(
    name: str,
    *,
    folder: Path | None = None,
    known: Mapping[str, Entry] | None = None,
    progress: Progress = lambda here, of: None,
) -> Model:
    """Return a model, downloaded to the model folder if it is not on this machine.

    Args:
        name: a name in the registry.
        folder: the local model folder; None means ``model_folder()``.
        known: the registry; None means ``registry()``.
        progress: told how far it is.

    Raises:
        ModelError: ``CONSENT_REQUIRED``; ``MODEL_DOWNLOAD_FAILED``: what is here already is kept,
            and the same call goes on with it (a file with a wrong hash is deleted);
            ``MODEL_NOT_FOUND``, also where no hub has it; ``MODEL_LOAD_FAILED``.
    """
    folder = (folder or model_folder()).absolute()
    entry = entry_of(name, known)
    if (model := _here(name, folder, known)) is not None:
        return model
    if entry.hub is None:
        return find_model(name, folder=folder, known=known)  # says what to install
    require_consent(entry, folder)
    with _named_errors(entry, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            if (model := _here(name, folder, known)) is not None:
                return model  # another process was first
            return model_at(entry, _download(entry, folder, progress), folder)


def _here(name: str, folder: Path, known: Mapping[str, Entry] | None) -> Model | None:
    try:
        return find_model(name, folder=folder, known=known)
    except ModelError as error:
        if error.code != "MODEL_NOT_FOUND":
            raise
        return None


def ask_hub(entry: Entry) -> list[Remote]:
    """Ask the hub for size and hash of each file of a model; ``MODEL_DOWNLOAD_FAILED``."""
    with _named_errors(entry, None):
        remotes: list[Remote] = []
        for file in entry.files:
            remotes.append(_ask(entry, file, remotes[0].commit if remotes else entry.revision))
        return remotes


def staging_of(entry: Entry, folder: Path) -> Path:
    """Return the folder where the files of an unfinished download are."""
    return folder / f".{entry.name}.pull"


# ---------------------------------------------------------------------- the hub


def _ask(entry: Entry, file: ModelFile, revision: str) -> Remote:
    for name in file.names:
        url = hf_hub_url(
            entry.origin, name, revision=revision, endpoint=os.environ.get("HF_ENDPOINT")
        )
        try:
            seen = get_hf_file_metadata(url, retry_on_errors=False)
        except EntryNotFoundError:
            if name == file.names[-1]:
                raise
            continue
        if seen.size is None or file.size_bytes not in (None, seen.size):
            raise ModelError(
                "MODEL_DOWNLOAD_FAILED",
                f"{url} has {seen.size} bytes, and {file.size_bytes or 'a size'} is expected: the "
                "origin has changed",
            )
        commit = seen.commit_hash or ""
        pinned = commit if _GIT_BLOB.fullmatch(commit) else revision
        return Remote(file, name, url, seen.size, seen.etag or "", pinned)
    raise AssertionError("a file has at least one name")


def _download(entry: Entry, folder: Path, progress: Progress) -> Path:
    remotes = ask_hub(entry)
    staging, target = staging_of(entry, folder), folder / entry.name
    staging.mkdir(exist_ok=True)
    total = sum(remote.size for remote in remotes)
    done, hashes = 0, {}
    _drop_other_versions(remotes, staging)
    room = shutil.disk_usage(staging).free + sum(p.stat().st_size for p in staging.iterdir())
    if room < total + _SPARE_BYTES:
        raise OSError(
            errno.ENOSPC, f"{total / 1e9:.2f} GB are needed, {room / 1e9:.2f} GB are free"
        )
    for remote in remotes:
        partial = _partial(remote, staging)
        _fetch(remote, partial, lambda here, before=done: progress(before + here, total))
        hashes[remote.name] = _checked(remote, partial)
        done += remote.size
    for remote in remotes:
        (staging / remote.name).parent.mkdir(exist_ok=True)
        _partial(remote, staging).rename(staging / remote.name)
    _write_origin(entry, remotes, hashes, staging)
    _sync(staging)
    staging.rename(target)
    _sync(folder)
    return target


def _partial(remote: Remote, staging: Path) -> Path:
    """Where a file grows: another version on the hub gets another name, never the same bytes."""
    version = hashlib.sha256(f"{remote.etag} {remote.size}".encode()).hexdigest()[:8]
    return staging / f"{remote.name.replace('/', '+')}.{version}.partial"


def _drop_other_versions(remotes: list[Remote], staging: Path) -> None:
    keep = {_partial(remote, staging) for remote in remotes}
    for path in staging.iterdir():
        if path.is_dir():  # of whole files that were about to be put in place
            shutil.rmtree(path)
        elif path not in keep:
            path.unlink()


def _fetch(remote: Remote, partial: Path, progress: Callable[[int], None]) -> None:
    """Write the rest of a file; go on after a broken connection as long as bytes come."""
    tries = 0
    while (have := partial.stat().st_size if partial.exists() else 0) < remote.size:
        try:
            _stream(remote, partial, have, progress)
            broke = None
        except httpx2.TransportError as error:
            broke = error
        came = partial.exists() and partial.stat().st_size > have
        tries = 0 if came else tries + 1
        if tries >= _TRIES:
            raise broke or httpx2.ReadError(f"{remote.url} ends too early")
        if partial.exists() and partial.stat().st_size < remote.size:
            time.sleep(WAIT_S)
    progress(remote.size)


def _stream(remote: Remote, partial: Path, have: int, progress: Callable[[int], None]) -> None:
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    client = get_session()
    with client.stream("GET", remote.url, headers=headers, timeout=_TIMEOUT) as response:
        hf_raise_for_status(response)
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with partial.open(
            "ab" if have and response.status_code == 206 and goes_on else "wb"
        ) as out:
            for chunk in response.iter_bytes():  # as they come: nothing is held back
                out.write(chunk)
                progress(min(out.tell(), remote.size))
                if out.tell() > remote.size:
                    break  # a server without end; the check below refuses it
            out.flush()
            os.fsync(out.fileno())


def _checked(remote: Remote, path: Path) -> str:
    """Return the SHA-256 of a whole file; delete it and raise if it is another one."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    blob.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            blob.update(chunk)
    digest = sha256.hexdigest()
    expected = remote.file.expected_sha256(remote.name)
    wrong = path.stat().st_size != remote.size or not digest.startswith(expected or "")
    if _SHA256.fullmatch(remote.etag):
        wrong |= digest != remote.etag
        expected = expected or remote.etag
    elif _GIT_BLOB.fullmatch(remote.etag):
        wrong |= blob.hexdigest() != remote.etag
    if wrong:
        path.unlink()
        raise ModelError(
            "MODEL_DOWNLOAD_FAILED",
            f"what {remote.url} gave has the SHA-256 {digest}, and "
            f"{expected or 'the one of the git blob ' + remote.etag} is expected. It is deleted. "
            "Try again; if it stays so, the origin or the network changes files",
        )
    return digest


def _write_origin(
    entry: Entry, remotes: list[Remote], hashes: Mapping[str, str], staging: Path
) -> None:
    """Write down where the files come from, with the hashes they had."""
    note = {
        "model": entry.name,
        "origin": entry.origin,
        "revision": remotes[0].commit,
        "licence": entry.licence,
        "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {r.name: {"bytes": r.size, "sha256": hashes[r.name]} for r in remotes},
    }
    with (staging / ORIGIN_NOTE).open("w", encoding="utf-8") as out:
        json.dump(note, out, indent=1)
        out.flush()
        os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---------------------------------------------------------------------- what can go wrong


@contextlib.contextmanager
def _named_errors(entry: Entry, folder: Path | None) -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        kept = folder is not None and staging_of(entry, folder).is_dir()
        then = f" What is here is kept; to go on: avp models pull {entry.name}" if kept else ""
        raise ModelError(
            "MODEL_DOWNLOAD_FAILED", f"{entry.name} from {entry.origin}: {_why(error)}.{then}"
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it to download"
    if isinstance(error, HfHubHTTPError):
        return _refused(error.response.status_code, error)
    if isinstance(error, httpx2.HTTPError):
        return f"the hub cannot be reached or broke off ({error or type(error).__name__})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.strerror})"
    return str(error)


def _refused(status: int, error: Exception) -> str:
    if status in (401, 403):
        return (
            f"the hub refuses it (HTTP {status}): it wants an account that accepted the terms; "
            "set HF_TOKEN to a token of one"
        )
    if status == 404:
        return "the hub has no such file (HTTP 404)"
    return f"the hub answered HTTP {status} ({str(error).strip().splitlines()[0]})"
