"""Partition keys: short, safe names for files, made from where a file came from.

A key must be computable from a listing alone (no reading), stay the same when the bytes change,
and be harmless in a path, a URL, a Dagster range and a shell.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePath, PurePosixPath

MAX_KEY = 80
_HEX = 10
_MAX_PROMPT = 48  # letters of a prompt that go into its key
KEY_PATTERN = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{MAX_KEY - _HEX - 2}}}-[0-9a-f]{{{_HEX}}}")


def media_key(path: PurePath) -> str:
    """Return ``<slug>-<10 hex>`` for a path relative to the inbox (or an absolute one).

    The slug is the file's name in lower-case ASCII without its suffix; the hex is a SHA-256 over
    the whole path, so files of one name in two folders differ.
    """
    text = PurePosixPath(path).as_posix()
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HEX]
    return f"{_slug(path.stem)}-{digest}"


def prompt_key(prompt: str, identity: str) -> str:
    """Return ``<slug>-<10 hex>`` for a request of a track.

    Args:
        prompt: its words, which make the slug.
        identity: a text that is the same for the same request, and only for it.
    """
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_HEX]
    return f"{_slug(prompt[:_MAX_PROMPT]) if prompt else 'track'}-{digest}"


def project_key(folder: PurePath) -> str:
    """Return ``<slug>-<10 hex>`` for a project, by the absolute path of its folder."""
    text = PurePosixPath(folder).as_posix()
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HEX]
    return f"{_slug(folder.name)}-{digest}"


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return slug[: MAX_KEY - _HEX - 1].rstrip("-") or "media"


def is_key(text: str) -> bool:
    """Tell whether a text could be one of our keys: asked before it becomes part of a path."""
    return KEY_PATTERN.fullmatch(text) is not None
