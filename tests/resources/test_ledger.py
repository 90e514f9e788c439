"""The ledger: nothing is lost when many write at once, and it can be rebuilt."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resources.ledger import SCHEMA, Entry, Ledger, schema
from resources.ledger_files import read
from resources.manifest import FileRef, Manifest, MediaRecord, ModelRef, Quarantine
from resources.metering import Cost
from resources.store import Store

TODAY = date(2026, 3, 2)


def write_some(folder: Path, writer: int) -> None:
    for number in range(25):
        Ledger(folder).append(Entry(event="skipped", asset=f"a{writer}", partition=f"p{number}"))


def rows(ledger: Ledger) -> list[dict]:
    return [row for path in ledger.files() for row in pq.read_table(path).to_pylist()]


def test_many_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(write_some, [tmp_path] * 4, range(4)))
    found = {(row["asset"], row["partition"]) for row in rows(Ledger(tmp_path))}
    assert found == {(f"a{w}", f"p{n}") for w in range(4) for n in range(25)}
    assert list(tmp_path.rglob("*/.*")) == []


def test_a_row_says_all_that_is_known_and_null_where_nothing_is(tmp_path: Path) -> None:
    manifest = Manifest(
        asset="master",
        partition="k",
        version="v",
        created=datetime.now(UTC),
        code_version="3",
        settings={"target_lufs": -16.0},
        model=ModelRef(name="m", sha256="s"),
        files=(FileRef(name="a", bytes=3, sha256="x"), FileRef(name="b", bytes=4, sha256="y")),
        facts={"duration_s": 2.5, "device": "cpu"},
    )
    ledger = Ledger(tmp_path)
    ledger.append(
        Entry(event="made", asset="master", partition="k", manifest=manifest, cost=Cost(cpu_s=1.5))
    )
    (row,) = rows(ledger)
    assert (row["bytes"], row["cpu_s"], row["duration_s"], row["device"]) == (7, 1.5, 2.5, "cpu")
    assert row["settings"] == '{"target_lufs": -16.0}'
    assert row["usd"] is None
    assert row["realtime_factor"] is None


# ---------------------------------------------------------------------- compacting


def fill(ledger: Ledger, records: int) -> set[str]:
    """Write records of two days, an hour apart; return their ids."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    entries = [
        Entry(event="skipped", asset="a", partition="p", ts=start + timedelta(hours=n))
        for n in range(records)
    ]
    for entry in entries:
        ledger.append(entry)
    return {entry.id for entry in entries}


def ids(ledger: Ledger) -> list[str]:
    return sorted(row["id"] for row in rows(ledger))


def test_a_day_that_is_over_becomes_one_file_and_today_is_left_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = fill(ledger, 30)
    assert ledger.compact(today=TODAY) == 24
    assert [len(list(day.iterdir())) for day in sorted(tmp_path.glob("2*"))] == [1, 6]
    assert ids(ledger) == sorted(written)
    assert ledger.compact(today=TODAY) == 0


def test_records_that_come_late_join_their_day(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = fill(ledger, 24)
    ledger.compact(today=TODAY)
    written |= fill(ledger, 3)
    assert ledger.compact(today=TODAY) == 4
    assert len(list(ledger.files())) == 1
    assert ids(ledger) == sorted(written)


def test_what_a_dead_compaction_left_counts_once_and_is_cleared_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = fill(ledger, 5)
    small = {path: path.read_bytes() for path in ledger.files()}
    ledger.compact(today=TODAY)
    for path, data in small.items():  # it died before it could remove them
        path.write_bytes(data)
    ledger.compact(today=TODAY)
    assert ids(ledger) == sorted(written)
    assert len(list(ledger.files())) == 1


def test_damaged_files_stay_as_they_are(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = fill(ledger, 3)
    damaged = tmp_path / "2026-03-01" / "000000-x.parquet"
    damaged.write_bytes(b"PAR1")
    assert ledger.compact(today=TODAY) == 3
    assert damaged.read_bytes() == b"PAR1"
    frames, faults = read(list(ledger.files()))
    assert {row for frame in frames for row in frame["id"]} == written
    assert list(faults) == [damaged]


def test_who_reads_is_not_left_with_names_of_files_that_are_gone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = fill(ledger, 10)
    with ThreadPoolExecutor(1) as pool:
        with ledger.unmerged():
            listed = list(ledger.files())
            compacting = pool.submit(ledger.compact, today=TODAY)
            time.sleep(0.2)
            ledger.append(Entry(event="skipped", asset="late", partition="p"))  # waits for nobody
            assert not compacting.done()
            assert not read(listed)[1]
        assert compacting.result(20) == 10
    assert written < set(ids(ledger))


# ---------------------------------------------------------------------- schemas


def old_record(path: Path, **more: object) -> None:
    """Write a record as the first version of this program did."""
    row = Entry(event="reused", asset="audio", partition="p").row() | more
    fields = [f for f in schema() if f.name != "schema_version" or "schema_version" in more]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([row], schema=pa.schema(fields)), path)


def test_records_of_the_first_schema_mean_today_what_they_meant_then(tmp_path: Path) -> None:
    old_record(tmp_path / "2026-03-01" / "0.parquet", realtime_factor=40.0, duration_s=9.0)
    (frame,), faults = read(list(Ledger(tmp_path).files()))
    (row,) = frame.to_dicts()
    assert not faults
    assert row["schema_version"] == SCHEMA
    assert row["realtime_factor"] is None  # it took no work
    assert row["duration_s"] == 9.0


def test_records_of_a_newer_program_are_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "2026-03-01" / "0.parquet"
    old_record(path, schema_version=SCHEMA + 1)
    frames, faults = read([path])
    assert frames == []
    assert "schema 3; this program knows up to 2: update it" in faults[path]
    assert Ledger(tmp_path).compact(today=TODAY) == 0
    assert path.exists()


# ---------------------------------------------------------------------- rebuilding


def test_a_lost_ledger_is_rebuilt_from_the_manifests(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.stage() as folder:
        (folder / "a").write_text("text")
        manifest = Manifest(
            asset="thing",
            partition="thing-0000000001",
            version="v" * 64,
            created=datetime(2026, 1, 2, tzinfo=UTC),
            code_version="1",
            settings={},
            cost=Cost(cpu_s=2.0),
        )
        store.publish(folder, manifest)
    ledger = Ledger(store.ledger_dir)
    assert ledger.rebuild(store) == 1
    assert ledger.rebuild(store) == 0  # nothing is missing now
    (row,) = rows(ledger)
    assert (row["event"], row["version"], row["cpu_s"]) == ("made", "v" * 64, 2.0)
    assert row["ts"] == manifest.created


def test_the_rebuilt_ledger_knows_origins_shared_artifacts_and_refusals(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ada, ben, bad = "ada-0000000001", "ben-0000000002", "bad-0000000003"
    for key in (ada, ben):
        of_key: dict[str, Any] = {"origin": f"/in/{key}.wav", "recipe": "music"}
        record = MediaRecord(key=key, claim="copy", size=1, mtime_ns=1, inode=1, **of_key)
        store.save(record)
    created = datetime(2026, 1, 2, tzinfo=UTC)
    with store.stage() as folder:
        manifest = Manifest(
            asset="source",
            partition=ada,
            version="v" * 64,
            created=created,
            code_version="1",
            settings={},
        )
        artifact = store.publish(folder, manifest)
    store.link(ada, artifact)
    store.link(ben, artifact)
    refusal: dict[str, Any] = {
        "origin": "/in/bad.wav",
        "reason": "truncated",
        "command": "x",
        "attempt": "1",
    }
    store.quarantine(Quarantine(key=bad, created=created, **refusal))

    ledger = Ledger(store.ledger_dir)
    assert ledger.rebuild(store) == 3
    assert ledger.rebuild(store) == 0
    found = {(r["event"], r["partition"], r["origin"], r["recipe"]) for r in rows(ledger)}
    assert found == {
        ("made", ada, f"/in/{ada}.wav", "music"),
        ("reused", ben, f"/in/{ben}.wav", "music"),
        ("quarantined", bad, "/in/bad.wav", None),
    }
