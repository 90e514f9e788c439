"""What Dagster writes before a run starts, written at once.

Here: two things, changed in Dagster for SQLite in this process. Not here: what is written.

Each run has a database of its own: it takes Dagster 0.2 s of CPU to make one, table by table, and
microseconds to copy an empty one. And before a run starts, Dagster notes each of its files and
assets, two hundred for 25 files: by itself it opens its databases six times for each, with two
commits to disk. Those are seconds in which the daemon looks into no folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster._core.events.log import EventLogEntry
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from sqlalchemy.engine import Engine

INDEX = "index"
"""Name of the database that is of all runs."""
_MOST = "1000"  # notes that are kept in memory


@cache
def start_runs_at_once() -> None:
    """Change how this process writes down runs that are to start; all else is as it was."""
    from dagster import DagsterEventType
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from dagster._core.storage.sqlalchemy_compat import db_result

    one_by_one = SqliteEventLogStorage.store_event_batch

    def store_event_batch(storage: SqliteEventLogStorage, events: Sequence[EventLogEntry]) -> None:
        planned = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        one_by_one(storage, [e for e in events if e.dagster_event_type is not planned])
        mine = [event for event in events if event.dagster_event_type is planned]
        if not mine:
            return
        rows = [(event, storage.prepare_insert_event(event)) for event in mine]
        with storage.run_connection(mine[0].run_id) as connection:  # a batch is of one run
            for _, insert in rows:
                connection.execute(insert)
        latest: dict[str, tuple[EventLogEntry, int]] = {}
        with storage.index_transaction() as connection:
            for event, insert in rows:
                with db_result(connection, insert) as result:
                    number = result.inserted_primary_key[0]
                latest[str(event.get_dagster_event().asset_key)] = event, number
            for event, number in latest.values():
                storage._store_asset_event(connection, event, number)

    SqliteEventLogStorage._initdb = _copying(SqliteEventLogStorage._initdb)
    SqliteEventLogStorage.store_event_batch = store_event_batch  # pyright: ignore[reportAttributeAccessIssue]
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _MOST)


def _copying(make: Callable[..., None]) -> Callable[..., None]:
    """Return what makes the database of a run as a copy of the first that was made."""
    empty = b""

    def make_or_copy(storage: SqliteEventLogStorage, engine: Engine, **how: Any) -> None:
        nonlocal empty
        path = Path(engine.url.database or "")
        fresh = path.stem != INDEX and not path.exists()
        if fresh and empty and _put(path, empty):
            return
        make(storage, engine, **how)
        if fresh and not path.with_name(f"{path.name}-wal").exists():
            empty = path.read_bytes()

    return make_or_copy


def _put(path: Path, data: bytes) -> bool:
    """Write a file whole, unless somebody was faster; return whether that was done."""
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        beside.write_bytes(data)
        os.link(beside, path)
    except OSError:
        return False
    finally:
        beside.unlink(missing_ok=True)
    return True
