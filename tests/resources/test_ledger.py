"""The ledger: nothing is lost when many write at once, and it can be rebuilt."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq

from resources.ledger import Entry, Ledger
from resources.manifest import FileRef, Manifest, ModelRef
from resources.metering import Cost
from resources.store import Store


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
    assert [p for p in tmp_path.rglob("*") if p.name.startswith(".")] == []


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


def test_a_lost_ledger_is_rebuilt_from_the_manifests(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.stage() as folder:
        (folder / "a").write_text("text")
        manifest = Manifest(
            asset="thing",
            partition="k",
            version="v" * 64,
            created=datetime(2026, 1, 2, tzinfo=UTC),
            code_version="1",
            settings={},
            cost=Cost(cpu_s=2.0),
        )
        store.publish(folder, manifest)
    ledger = Ledger(store.ledger_dir)
    assert ledger.rebuild(store.artifacts) == 1
    assert ledger.rebuild(store.artifacts) == 0  # nothing is missing now
    (row,) = rows(ledger)
    assert (row["event"], row["version"], row["cpu_s"]) == ("made", "v" * 64, 2.0)
    assert row["ts"] == manifest.created
