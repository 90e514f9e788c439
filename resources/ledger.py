"""The ledger: append-only records of everything that was made, reused, skipped or refused.

One small Parquet file per record, written beside and renamed into place: any number of processes
write at once and wait for nobody. Compacting merges the small files of a day; only it and those who
read know of each other. Here: the record, appending, compacting, rebuilding. Not here: reading many
files, and old ones (``ledger_files``), questions to the ledger (``av_pipelines.reports.catalog``).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from resources.ledger_intents import Intents
from resources.manifest import (
    Manifest,
    MediaRecord,
    ProjectRecord,
    PromptRecord,
    Record,
)
from resources.metering import Cost
from resources.store import MANIFEST, Store, write_durably

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

SCHEMA = 2
"""Version of a record. 1 had no ``schema_version``, and repeated for a reuse how fast the work had
been. What older records mean today is told in ``ledger_files``."""

MERGED = "all-"
"""What the names of merged files begin with."""

_WORTH_MERGING = 1000  # files of a day that is not over: fewer are read quickly enough

Event = Literal["made", "reused", "skipped", "failed", "quarantined"]


class Entry(Record):
    """One thing that happened to one asset of one partition."""

    event: Event
    asset: str
    partition: str
    manifest: Manifest | None = None
    """Of the artifact that was made or reused."""
    reason: str | None = None
    """Why it was skipped, failed or refused."""
    cost: Cost = Cost()
    """What this event took; nearly nothing for a reuse."""
    recipe: str | None = None
    origin: str | None = None
    """Path of the file that the media came from."""
    run_id: str | None = None
    ts: datetime = Field(default_factory=lambda: datetime.now(UTC))
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)

    def row(self) -> dict[str, Any]:
        """Return the flat ledger row (DESIGN §9)."""
        m = self.manifest
        facts = m.facts if m else {}
        return {
            "schema_version": SCHEMA,
            "id": self.id,
            "ts": self.ts,
            "event": self.event,
            "asset": self.asset,
            "partition": self.partition,
            "reason": self.reason,
            "recipe": self.recipe,
            "origin": self.origin,
            "run_id": self.run_id,
            "version": m.version if m else None,
            "code_version": m.code_version if m else None,
            "settings": _json(m.settings) if m else None,
            "engine": m.engine if m else None,
            "model": m.model.name if m and m.model else None,
            "model_sha256": m.model.sha256 if m and m.model else None,
            "device": facts.get("device"),
            "degraded": m.degraded if m else None,
            "inputs": [i.model_dump() for i in m.inputs] if m else [],
            "files": [f.model_dump() for f in m.files] if m else [],
            "bytes": sum(f.bytes for f in m.files) if m else None,
            "facts": _json(facts),
            "duration_s": facts.get("duration_s"),
            "realtime_factor": facts.get("realtime_factor") if self.event == "made" else None,
            **self.cost.model_dump(),
        }


@cache
def schema() -> pa.Schema:
    """The Parquet schema of a ledger row; NULL means not known, never zero."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    ref = pa.struct({"asset": text, "partition": text, "version": text})
    file = pa.struct({"name": text, "bytes": pa.int64(), "sha256": text})
    texts = ("id", "event", "asset", "partition", "reason", "recipe", "origin", "run_id", "version")
    texts += ("code_version", "settings", "engine", "model", "model_sha256", "device", "degraded")
    fields: dict[str, pa.DataType] = {"schema_version": pa.int32(), **dict.fromkeys(texts, text)}
    fields |= {"ts": pa.timestamp("us", tz="UTC"), "facts": text}
    fields |= {"inputs": pa.list_(ref), "files": pa.list_(file), "bytes": pa.int64()}
    fields |= dict.fromkeys(("duration_s", "realtime_factor", "wall_s", "cpu_s"), number)
    fields |= {"gpu_s": number, "usd": number, "peak_rss_bytes": pa.int64()}
    fields |= {"gpu_peak_bytes": pa.int64()}
    return pa.schema(list(fields.items()))


class Ledger:
    """A folder of Parquet files, one subfolder per day (UTC) of the records' ``ts``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._intents = Intents(folder / ".intents")

    def append(self, entry: Entry) -> Path:
        """Write one record durably; return its file."""
        day = self.folder / f"{entry.ts:%Y-%m-%d}"
        day.mkdir(parents=True, exist_ok=True)
        path = _write(day / f"{entry.ts:%H%M%S.%f}-{entry.id}.parquet", [entry.row()])
        self._intents.forget(entry.id)
        return path

    def intent(self, entry: Entry) -> contextlib.AbstractContextManager[None]:
        """Publish and append inside this block: ``recover`` records what is published without."""
        return self._intents.leave(entry.id, entry.model_dump_json().encode())

    def recover(self, store: Store) -> int:
        """Record what was published by processes that died before they could; return how many.

        A record that was written after all is written again as it was: it counts once.
        """
        found = 0
        try:
            for name, data in self._intents.of_the_dead():
                with contextlib.suppress(ValidationError):  # cut short: nothing was published yet
                    entry = Entry.model_validate_json(data)
                    if _is_published(entry, store):
                        self.append(entry)
                        found += 1
                self._intents.forget(name)
        except OSError as fault:
            if fault.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            log.warning("%s: records of killed processes cannot be added: %s", self.folder, fault)
        return found

    def files(self) -> Iterator[Path]:
        """Yield the files, day by day, oldest first; hold ``unmerged`` until they are read."""
        return (self.folder / name for name in self.names())

    def names(self) -> Iterator[str]:
        """Yield the files' names below the folder, ``<day>/<name>``, in the order of ``files``.

        Every question begins with this, so it costs microseconds a file.
        """
        for day in _listed(self.folder) if self.folder.is_dir() else ():
            if day[0].isdigit():
                for name in _listed(self.folder / day):
                    if name.endswith(".parquet") and name[0] != ".":
                        yield f"{day}/{name}"

    @contextlib.contextmanager
    def unmerged(self, *, alone: bool = False) -> Iterator[None]:
        """Keep files that were listed from being merged away until they are read.

        Any number of readers hold this at once; who appends neither waits nor is waited for.

        Args:
            alone: wait for those who read, and keep them out; for who merges.
        """
        if not self.folder.is_dir():
            yield  # there is nothing that anybody could merge
            return
        handle = self._lock_file(alone)
        if handle is None:
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def _lock_file(self, alone: bool) -> int | None:
        """Open what is locked; None where it is not there and cannot be made: nobody merges."""
        path = self.folder / ".lock"
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            if alone or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None

    def compact(self, *, today: date | None = None) -> int:
        """Merge the small files of each day that is over, and of today when there are many.

        Nothing is lost, whatever dies in between: files are removed when what they hold is on
        disk in another one, and a record that is in two files counts once. Damaged files stay.

        Args:
            today: the day that is not over yet (UTC).

        Returns:
            How many files were merged into others.
        """
        today = today or datetime.now(UTC).date()
        merged = 0
        for day in sorted(self.folder.glob("[0-9]*")):
            small = [f for f in day.glob("[!.]*.parquet") if not f.name.startswith(MERGED)]
            if len(small) >= (1 if day.name < today.isoformat() else _WORTH_MERGING):
                merged += self._merge(day)
        return merged

    def _merge(self, day: Path) -> int:
        from resources.ledger_files import read

        with self.unmerged(alone=True):
            files = sorted(day.glob("[!.]*.parquet"))
            frames, faults = read(files)
            whole = [file for file in files if file not in faults]
            if not whole or (len(whole) == 1 and whole[0].name.startswith(MERGED)):
                return 0
            import polars as pl

            table = pl.concat(frames).unique("id", maintain_order=True).sort("ts", "id").to_arrow()
            _write_table(day / f"{MERGED}{uuid.uuid4().hex}.parquet", table.cast(schema()))
            for file in whole:
                file.unlink()
        return len(whole)

    def rebuild(self, store: Store) -> int:
        """Write a record of every artifact and refusal of a store that has none; return how many.

        For a ledger that was lost, or a process that died between publishing and recording. What
        left nothing but its record (reuses, skips, failures) does not come back.
        """
        from resources.ledger_files import read

        found = self.recover(store)
        with self.unmerged():
            frames, _ = read(list(self.files()))
        known = {
            (asset, version)
            for frame in frames
            for asset, version, event in frame.select("asset", "version", "event").rows()
            if event == "made"  # a reuse does not tell what making it took
        }
        held = {row for frame in frames for row in frame.select("partition", "asset").rows()}
        lost: list[Entry] = []
        latest: dict[tuple[str, str], tuple[datetime, str]] = {}
        for path in sorted(store.artifacts.glob(f"[!.]*/*/{MANIFEST}")):
            manifest = Manifest.model_validate_json(path.read_bytes())
            if (manifest.asset, manifest.version) in known:
                continue
            held_now = (manifest.created, manifest.version)
            place = (manifest.partition, manifest.asset)
            latest[place] = max(held_now, latest.get(place, held_now))
            lost.append(_entry(store, "made", manifest, manifest.partition, manifest.created))
        for link in sorted(store.library.glob("*/*")):
            key, asset = link.parent.name, link.name
            if link.is_symlink() and ((key, asset) in latest or (key, asset) not in held):
                artifact = store.current(key, asset)
                if artifact and latest.get((key, asset), ("", ""))[1] != artifact.version:
                    since = datetime.fromtimestamp(link.lstat().st_mtime, UTC)
                    lost.append(_entry(store, "reused", artifact.manifest, key, since))
        for folder in sorted(store.quarantine_dir.glob("*")):
            refused = store.quarantined(folder.name)
            if refused and (refused.key, "source") not in held:
                lost.append(
                    Entry(
                        event="quarantined",
                        asset="source",
                        partition=refused.key,
                        reason=refused.reason,
                        origin=refused.origin,
                        ts=refused.created,
                    )
                )
        by_day: dict[str, list[dict[str, Any]]] = {}
        for entry in sorted(lost, key=lambda entry: entry.ts):
            by_day.setdefault(f"{entry.ts:%Y-%m-%d}", []).append(entry.row())
        for day, rows in by_day.items():
            (self.folder / day).mkdir(parents=True, exist_ok=True)
            _write(self.folder / day / f"{MERGED}{uuid.uuid4().hex}.parquet", rows)
        return found + len(lost)


def _listed(folder: Path) -> list[str]:
    with os.scandir(folder) as scan:
        return sorted(entry.name for entry in scan)


def _is_published(entry: Entry, store: Store) -> bool:
    """Whether its artifact is there, and is not another's of the same version."""
    manifest = entry.manifest
    artifact = store.find(entry.asset, manifest.version) if manifest else None
    return bool(artifact and manifest and artifact.manifest.created == manifest.created)


def _entry(store: Store, event: Event, manifest: Manifest, key: str, ts: datetime) -> Entry:
    """A record of an artifact, from all that the store still knows of it."""
    kinds = (MediaRecord, PromptRecord, ProjectRecord)
    known = next((found for kind in kinds if (found := store.record(key, kind))), None)
    return Entry(
        event=event,
        asset=manifest.asset,
        partition=key,
        manifest=manifest,
        cost=manifest.cost if event == "made" else Cost(),
        run_id=manifest.run_id if event == "made" else None,
        recipe=known.recipe if known else None,
        origin=known.origin if known else None,
        ts=ts,
    )


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa

    return _write_table(path, pa.Table.from_pylist(rows, schema=schema()))


def _write_table(path: Path, table: pa.Table) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    many = table.num_rows > 1  # one row needs neither dictionaries nor statistics
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, use_dictionary=many, write_statistics=many, compression="zstd")
    write_durably(path, buffer.getvalue().to_pybytes())
    return path


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
