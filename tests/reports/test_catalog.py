"""Keeping the catalog up to date: little work, no waiting, nothing lost, nothing believed twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from av_pipelines.reports import building
from av_pipelines.reports.catalog import CATALOG, query, reading, refresh

KEY = "ada-0000000001"
ALL = ("artifacts", "costs", "lineage", "failures", "storage", "media", "library")


def count(history: Any) -> int:
    return query(history.store, "select count(*) from ledger")[1][0][0]


def identity(path: Path) -> tuple[int, int]:
    """A renamed-over file has another inode, a written one another time."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def read_by_refresh(history: Any, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    load = building._load

    def watched(connection: Any, files: Any) -> None:
        seen.extend(files)
        load(connection, files)

    with monkeypatch.context() as patch:
        patch.setattr(building, "_load", watched)
        refresh(history.store)
    return seen


def test_only_new_ledger_files_are_read(history, monkeypatch):
    history.make(KEY, "audio")
    history.make(KEY, "master")
    assert len(read_by_refresh(history, monkeypatch)) == 2
    new = history.note("failed", KEY, "stems", reason="no space")
    assert read_by_refresh(history, monkeypatch) == [new]
    assert count(history) == 3


def test_nothing_new_leaves_the_file_alone(history):
    history.make(KEY, "audio")
    before = identity(refresh(history.store))
    assert identity(refresh(history.store)) == before
    query(history.store, "from costs")
    assert identity(history.store.reports / CATALOG) == before


def test_who_reads_keeps_what_was_opened_and_does_not_wait(history):
    history.make(KEY, "audio")
    refresh(history.store)
    rows = "select count(*) from ledger"
    with reading(history.store) as old:
        history.make(KEY, "master")
        refresh(history.store)
        with history.store.making(CATALOG, "refresh"), reading(history.store) as new:
            assert new.execute(rows).fetchall() == [(2,)]
        assert old.execute(rows).fetchall() == [(1,)]


def test_a_ledger_file_that_is_gone_is_gone_from_the_catalog(history):
    gone = history.note("failed", KEY, "audio", reason="no space")
    history.make(KEY, "master")
    assert count(history) == 2
    gone.unlink()
    assert query(history.store, "select asset from ledger")[1] == [["master"]]


def test_a_ledger_that_is_compacted_says_the_same_and_is_read_once_more(history, monkeypatch):
    for number in range(4):
        history.minutes = number * 24 * 60
        history.make(f"f-{number:010}", "audio")
        history.note("failed", f"f-{number:010}", "master", reason="no space")
    refresh(history.store)
    before = {view: query_as_it_is(history, f"from {view} order by all") for view in ALL}
    assert history.ledger.compact() == 8
    assert len(read_by_refresh(history, monkeypatch)) == 4
    assert {v: query_as_it_is(history, f"from {v} order by all") for v in ALL} == before
    assert read_by_refresh(history, monkeypatch) == []


def test_a_ledger_that_is_gone_is_made_from_the_artifacts(history, caplog):
    history.make(KEY, "audio")
    history.note("failed", KEY, "master", reason="no space")
    refresh(history.store)
    shutil.rmtree(history.store.ledger_dir)
    assert query(history.store, "select event, asset from ledger")[1] == [["made", "audio"]]
    assert "1 records made from the artifacts" in caplog.text


def test_a_record_counts_once_in_however_many_files_it_is(history):
    file = history.note("skipped", KEY, "scenes", reason="no video")
    file.with_name(f"0-copy-{file.name}").write_bytes(file.read_bytes())
    assert count(history) == 1
    file.with_name(f"1-copy-{file.name}").write_bytes(file.read_bytes())
    assert count(history) == 1


@pytest.mark.parametrize("damage", ["half", "empty", "text", "foreign"])
def test_a_damaged_ledger_file_is_named_and_left_out_until_it_is_whole(history, damage, caplog):
    import polars as pl

    history.make(KEY, "audio")
    file = history.note("skipped", KEY, "scenes", reason="no video")
    whole = file.read_bytes()
    if damage == "foreign":
        pl.DataFrame({"asset": ["audio"]}).write_parquet(file)
    else:
        file.write_bytes({"half": whole[: len(whole) // 2], "empty": b"", "text": b"hi"}[damage])
    assert count(history) == 1
    assert str(file) in caplog.text
    sql = "select file, fault is not null from ledger_files where fault is not null"
    assert query(history.store, sql)[1] == [[f"{file.parent.name}/{file.name}", True]]

    before = identity(history.store.reports / CATALOG)
    assert identity(refresh(history.store)) == before  # it is not looked at again for nothing
    file.write_bytes(whole)
    assert count(history) == 2
    assert query(history.store, sql)[1] == []


@pytest.mark.parametrize("damage", ["empty", "half", "text", "header", "other schema"])
def test_a_damaged_catalog_is_built_anew(history, damage, monkeypatch):
    history.make(KEY, "audio")
    path = refresh(history.store)
    whole = path.read_bytes()
    if damage == "other schema":
        with monkeypatch.context() as patch:
            patch.setattr(building, "_OWN", building._OWN + "create table extra (a int);")
            clear_caches()
            refresh(history.store)
        clear_caches()
        assert ["extra"] in query_as_it_is(history, "show tables")
    else:
        bad = {
            "empty": b"",
            "half": whole[: len(whole) // 2],
            "text": b"not a database",
            "header": b"\xff" * 64 + whole[64:],
        }
        path.write_bytes(bad[damage])
    assert count(history) == 1
    assert ["extra"] not in query(history.store, "show tables")[1]


def clear_caches() -> None:
    building.schema_id.cache_clear()
    building._tables_and_views.cache_clear()


def query_as_it_is(history: Any, sql: str) -> list[list[Any]]:
    with reading(history.store) as connection:
        return [list(row) for row in connection.execute(sql).fetchall()]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_damage_that_a_query_comes_upon_is_repaired_too(history, place):
    for number in range(3):
        history.make(f"f-{number:010}", "audio")
    path = refresh(history.store)
    data = bytearray(path.read_bytes())
    at = int(len(data) * place)
    for index in range(at, min(at + 4096, len(data))):
        data[index] ^= 0xFF
    path.write_bytes(data)
    assert query(history.store, "select sum(cpu_s), count(distinct facts) from ledger")[1] == [
        [6.0, 1]
    ]
    history.make("f-0000000009", "audio")
    assert count(history) == 4


def test_what_a_refresh_that_died_left_does_no_harm(history):
    history.make(KEY, "audio")
    history.store.reports.mkdir()
    for name in (f".{CATALOG}.new", f".{CATALOG}.new.wal"):
        (history.store.reports / name).write_bytes(b"half a thing")
    assert count(history) == 1
    assert [p.name for p in history.store.reports.iterdir()] == [CATALOG]


def test_many_refreshing_at_once_are_harmless(history):
    for number in range(20):
        history.make(f"f-{number:010}", "audio")
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(count(history))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [20] * 6
    assert [p.name for p in history.store.reports.iterdir()] == [CATALOG]


def test_reading_and_writing_at_once_loses_nothing(history, tmp_path):
    """A process writes as fast as it can; another and this one ask all the time."""
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from av_pipelines.reports.catalog import query
        from resources.ledger import Entry, Ledger
        from resources.store import Store
        what, root = sys.argv[1], Path(sys.argv[2])
        store, done, last = Store(root), 0, 0
        print("ready", flush=True)
        end = time.monotonic() + 1.5
        while time.monotonic() < end or not done:
            if what == "write":
                entry = Entry(event="skipped", asset="audio", partition="a-0000000001", reason="-")
                Ledger(store.ledger_dir).append(entry)
                done += 1
            else:
                done = query(store, "select count(*) from ledger")[1][0][0]
                assert done >= last, (done, last)
                last = done
        print(done)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, what, str(history.store.root)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for what in ("write", "read")
    ]
    seen = [0]
    while any(process.poll() is None for process in processes):
        seen.append(count(history))
        time.sleep(0.05)
    (written, _), (read, _) = (process.communicate() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    total = int(written.split()[-1])
    assert 0 < int(read.split()[-1]) <= total
    assert seen == sorted(seen)
    assert count(history) == total == len({*history.ledger.files()})


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["made", "failed", "skipped", "quarantined"]),
            st.sampled_from(["source", "audio", "master"]),
            st.integers(1, 3),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_a_catalog_grown_bit_by_bit_says_the_same_as_one_built_whole(history, steps):
    for event, asset, number, now in steps:
        key = f"f-{number:010}"
        if event == "made":
            history.make(key, asset)
        else:
            history.note(event, key, asset, reason="so it is")
        if now:
            refresh(history.store)
    refresh(history.store)
    grown = [query_as_it_is(history, f"from {view} order by all") for view in ALL]
    refresh(history.store, whole=True)
    assert [query_as_it_is(history, f"from {view} order by all") for view in ALL] == grown
