"""The manifest: what an artifact says of itself, as ``manifest.json`` beside its files.

Here: the records' shapes. Not here: where they are kept (``store``, ``ledger``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from resources.metering import Cost

SCHEMA = 1

Claim = Literal["move", "copy", "link", "reference"]
"""How a file gets into the store: moved (the default for the inbox), copied (for ``avp run``),
hard-linked, or only referred to where it is."""


class Record(BaseModel):
    """Base of what is written to disk: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelRef(Record):
    """The weights that did the work."""

    name: str
    sha256: str | None = None
    licence: str | None = None


class InputRef(Record):
    """An artifact that another one was made from."""

    asset: str
    partition: str
    version: str


class FileRef(Record):
    """One file of an artifact; ``name`` is relative to its folder, with forward slashes."""

    name: str
    bytes: int
    sha256: str


class Manifest(Record):
    """One artifact: who, from what, how, and what came out (DESIGN §9)."""

    schema_version: int = SCHEMA
    asset: str
    partition: str
    version: str
    created: datetime
    code_version: str
    settings: dict[str, Any]
    overrides: dict[str, Any] = {}
    """Those of them that were given for the run: they hold when it is made again."""
    engine: str | None = None
    model: ModelRef | None = None
    inputs: tuple[InputRef, ...] = ()
    files: tuple[FileRef, ...] = ()
    facts: dict[str, Any] = {}
    degraded: str | None = None
    checks: dict[str, str | None] = {}
    """Check → what is wrong, None where it holds."""
    blocked: str | None = None
    """Why nothing may be made from it."""
    pictures: dict[str, str] = {}
    """Label → file name of small pictures worth showing beside the facts."""
    tables: dict[str, list[dict[str, Any]]] = {}
    """Label → a few rows worth showing beside the facts."""
    cost: Cost = Cost()
    run_id: str | None = None


class PartitionRecord(Record):
    """What is known of a partition before anything is made: ``library/<key>/<kind>.json``."""

    schema_version: int = SCHEMA
    key: str
    origin: str
    """Where it came from: the absolute path of a file or a folder, or who asked."""
    recipe: str = "auto"
    sidecar: dict[str, Any] = {}
    """Settings that came with it, as they were when it was taken: asset → values."""


class PromptRecord(PartitionRecord):
    """A request for a generated track; what it asks for is in its sidecar."""

    mtime_ns: int = 0
    """Of the file it was read from."""


class ProjectRecord(PartitionRecord):
    """A project: its origin is the folder with ``project.json``."""


class MediaRecord(PartitionRecord):
    """A dropped file: its origin is the path at which it was found."""

    claim: Claim
    size: int
    mtime_ns: int
    inode: int
    sha256: str | None = None
    hashed_at_ns: int | None = None
    earlier: tuple[str, ...] = ()
    """Recipes it was taken with before, the last one first: what only they ask for is theirs."""


class Quarantine(Record):
    """Why a file was refused: ``quarantine/<key>/reason.json``."""

    schema_version: int = SCHEMA
    key: str
    origin: str
    reason: str
    detail: str | None = None
    command: str
    """The command that shows the same refusal by hand."""
    attempt: str
    """Hash of bytes, settings and code: the same attempt would end the same way."""
    created: datetime
    kept: tuple[str, ...] = ()
    """Names of the refused file and its sidecar beside this record, where they were moved here."""
