"""What a run plans is in Dagster's database as Dagster would have it, after two transactions."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from av_pipelines.planned import start_runs_at_once
from partitions.media import media_partitions, range_tags

KEYS = [f"song-{number:010x}" for number in range(12)]
ASSETS = [dg.AssetKey("first"), dg.AssetKey("second")]


@dg.asset(partitions_def=media_partitions)
def first() -> None: ...


@dg.asset(partitions_def=media_partitions, deps=[first])
def second() -> None: ...


JOB = dg.Definitions(
    assets=[first, second], jobs=[dg.define_asset_job("both", [first, second])]
).resolve_job_def("both")


@contextmanager
def planned(home: Path) -> Iterator[tuple[dg.DagsterInstance, str]]:
    """An instance on disk with a run of a range that was just planned."""
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        instance.add_dynamic_partitions(str(media_partitions.name), KEYS)
        run = instance.create_run_for_job(JOB, tags=range_tags(KEYS[0], KEYS[-1]))
        yield instance, run.run_id


def told(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """All that can be asked of the plan."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    logs = instance.all_logs(run_id, of_type=kind)
    storage = instance.event_log_storage
    latest = {
        (asset.to_user_string(), key): storage.get_latest_planned_materialization_info(asset, key)
        for asset in ASSETS
        for key in KEYS
    }
    return {
        "of the run": sorted(
            (str(e.asset_key), e.partition or "") for log in logs if (e := log.dagster_event)
        ),
        "of partitions": {k: info.run_id == run_id for k, info in latest.items() if info},
        "of assets": [
            record.asset_entry.last_run_id == run_id for record in storage.get_asset_records(ASSETS)
        ],
    }


def shape_of(home: Path, run_id: str) -> list[Any]:
    """The tables of a run's own database, and the version of Dagster's that they are of."""
    (path,) = home.rglob(f"{run_id}.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = database.execute("select name, sql from sqlite_master order by name").fetchall()
        mode = database.execute("pragma journal_mode").fetchall()
        return [*tables, *mode, *database.execute("select * from alembic_version")]


def test_what_is_planned_can_be_asked_as_ever_and_costs_a_transaction_or_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    with planned(tmp_path / "as ever") as (instance, run_id):
        expected = told(instance, run_id)
    assert len(expected["of the run"]) == len(expected["of partitions"]) == 24

    start_runs_at_once()
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    opened: list[str] = []
    connect = SqliteEventLogStorage._connect
    monkeypatch.setattr(
        SqliteEventLogStorage,
        "_connect",
        lambda storage, shard: opened.append(shard) or connect(storage, shard),
    )
    with planned(tmp_path / "first") as (instance, run_id):
        assert told(instance, run_id) == expected
        shape = shape_of(tmp_path / "first", run_id)
    opened.clear()
    with planned(tmp_path / "at once") as (instance, run_id):
        assert shape_of(tmp_path / "at once", run_id) == shape
        assert opened.count(run_id) == 1
        assert len(opened) < len(expected["of the run"])
        assert told(instance, run_id) == expected
