"""The daemon looks at once when something stirs, and rests when nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from dagster._daemon import sensor as daemon

from av_pipelines.pace import AWAKE_S, BUSY_S, IDLE_S, Events, Folder, keep_pace
from sensors.listing import Listing, Seen
from sensors.watching import Memory


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, clock: Clock) -> Folder:
    (tmp_path / "podcast" / "season 1").mkdir(parents=True)
    watched = Folder(tmp_path, clock)
    watched.rests(1, None)
    clock.now = AWAKE_S + 1
    return watched


def test_an_idle_folder_is_looked_at_now_and_then(folder: Folder) -> None:
    assert folder.rests(IDLE_S - 1, None)
    assert not folder.rests(IDLE_S + 1, None)
    assert not folder.rests(None, None)


@pytest.mark.parametrize("name", ["song.mp3", "podcast/season 1/one.mp3", "podcast/season 2/x.mp3"])
def test_a_file_that_comes_is_looked_at_at_once(
    folder: Folder, tmp_path: Path, name: str, clock: Clock
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    assert not folder.rests(1, None)
    clock.now += AWAKE_S + 1
    assert folder.rests(1, None)


def test_while_files_settle_there_is_no_rest_and_little_while_they_are_made(
    folder: Folder,
) -> None:
    memory = Memory()
    decision = memory.look(Listing((Seen("song.mp3", 5, 5),)), set(), 1000)
    assert not folder.rests(1, memory.dump())
    decision = memory.look(Listing((Seen("song.mp3", 5, 5),)), set(), 9000)
    memory.ask("run", decision.ready)
    assert folder.rests(BUSY_S - 1, memory.dump())
    assert not folder.rests(BUSY_S + 1, memory.dump())


def test_a_folder_that_is_gone_is_left_to_the_sensor(tmp_path: Path, clock: Clock) -> None:
    watched = Folder(tmp_path / "unmounted", clock)
    clock.now = AWAKE_S + 1
    assert watched.rests(1, None)
    assert not watched.rests(IDLE_S + 1, None)


def test_those_that_follow_runs_rest_until_one_tells_something(
    tmp_path: Path, clock: Clock
) -> None:
    index = tmp_path / "history" / "runs" / "index.db"
    index.parent.mkdir(parents=True)
    index.write_bytes(b"x")
    events = Events(tmp_path, clock)
    events.rests(10, None)
    clock.now += 61
    assert events.rests(10, None)
    assert not events.rests(IDLE_S + 1, None)
    index.with_name("index.db-wal").touch()
    assert events.rests(10, None)  # somebody only read
    index.with_name("index.db-wal").write_bytes(b"x")
    assert not events.rests(10, None)


def test_where_events_lie_elsewhere_those_that_follow_runs_keep_their_own_pace(
    tmp_path: Path, clock: Clock
) -> None:
    events = Events(tmp_path, clock)
    clock.now += 1000
    assert not events.rests(10, None)


@pytest.fixture
def rounds(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A daemon with the pace on the folder ``inbox``; when it went round all its sensors."""
    made: list[float] = []

    def look_at_all() -> Iterator[None]:
        made.append(clock.now)
        yield

    monkeypatch.setattr(daemon, "MIN_INTERVAL_LOOP_TIME", 5)
    monkeypatch.setattr(daemon, "is_under_min_interval", daemon.is_under_min_interval)
    monkeypatch.setattr(daemon, "execute_sensor_iteration", look_at_all)
    (tmp_path / "inbox").mkdir()
    keep_pace({"inbox": tmp_path / "inbox"}, tmp_path, clock=clock)
    return made


def test_a_calm_daemon_goes_round_seldom_and_at_once_when_a_file_comes(
    tmp_path: Path, rounds: list[float], clock: Clock
) -> None:
    go = cast("Any", daemon.execute_sensor_iteration)
    for clock.now in (0, AWAKE_S + 1, AWAKE_S + 2, AWAKE_S + 3, AWAKE_S + 4):
        list(go())
    assert rounds == [0, AWAKE_S + 1]
    (tmp_path / "inbox" / "song.mp3").write_text("x")
    list(go())
    assert rounds[2:] == [AWAKE_S + 4]


def test_what_is_changed_in_the_daemon_is_there_to_be_changed() -> None:
    used = daemon.execute_sensor_iteration_loop.__code__.co_names
    assert {"MIN_INTERVAL_LOOP_TIME", "execute_sensor_iteration"} <= set(used)
    assert "is_under_min_interval" in daemon.execute_sensor_iteration.__code__.co_names
