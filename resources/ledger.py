"""The ledger: append-only records of everything that was made, reused, skipped or refused.

One small Parquet file per record, written beside and renamed into place: any number of processes
write at once, nothing is ever locked or changed. Here: the record, appending, reading files back.
Not here: questions to the ledger (``av_pipelines.reports.catalog``).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from resources.manifest import Manifest, Record
from resources.metering import Cost
from resources.store import MANIFEST, write_durably

if TYPE_CHECKING:
    import pyarrow as pa

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
            "realtime_factor": facts.get("realtime_factor"),
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
    fields: dict[str, pa.DataType] = dict.fromkeys(texts, text)
    fields |= {"ts": pa.timestamp("us", tz="UTC"), "facts": text}
    fields |= {"inputs": pa.list_(ref), "files": pa.list_(file), "bytes": pa.int64()}
    fields |= dict.fromkeys(("duration_s", "realtime_factor", "wall_s", "cpu_s"), number)
    fields |= {"gpu_s": number, "usd": number, "peak_rss_bytes": pa.int64()}
    fields |= {"gpu_peak_bytes": pa.int64()}
    return pa.schema(list(fields.items()))


class Ledger:
    """A folder of Parquet files, one subfolder per day (UTC)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, entry: Entry) -> Path:
        """Write one record durably; return its file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        day = self.folder / f"{entry.ts:%Y-%m-%d}"
        day.mkdir(parents=True, exist_ok=True)
        path = day / f"{entry.ts:%H%M%S.%f}-{entry.id}.parquet"
        buffer = pa.BufferOutputStream()
        table = pa.Table.from_pylist([entry.row()], schema=schema())
        # one row needs neither dictionaries nor statistics
        pq.write_table(table, buffer, use_dictionary=False, write_statistics=False)
        write_durably(path, buffer.getvalue().to_pybytes())
        return path

    def files(self) -> Iterator[Path]:
        """Yield the record files, oldest first."""
        for day in sorted(self.folder.glob("[0-9]*")):
            yield from sorted(day.glob("[0-9]*.parquet"))

    def rebuild(self, artifacts: Path) -> int:
        """Write a ``made`` record for every artifact that has none; return how many were written.

        For a ledger that was lost, or a process that died between publishing and recording.
        """
        import pyarrow.parquet as pq

        known: set[tuple[str, str]] = set()
        for path in self.files():
            for row in pq.read_table(path, columns=["event", "asset", "version"]).to_pylist():
                if row["event"] == "made":
                    known.add((row["asset"], row["version"]))
        written = 0
        for path in sorted(artifacts.glob(f"[!.]*/*/{MANIFEST}")):
            manifest = Manifest.model_validate_json(path.read_bytes())
            if (manifest.asset, manifest.version) not in known:
                self.append(
                    Entry(
                        event="made",
                        asset=manifest.asset,
                        partition=manifest.partition,
                        manifest=manifest,
                        cost=manifest.cost,
                        run_id=manifest.run_id,
                        ts=manifest.created,
                    )
                )
                written += 1
        return written


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
