"""Ten thousand files at once and a hundred thousand known ones: a look stays short."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from av_pipelines.inboxes import Inbox as Box
from sensors import made
from sensors.runs import slots
from sensors.tick import MOST_KEYS
from tests.sensors.test_inbox import MEDIA, Inbox, played

MOST_CPU_S = 5.0
"""Of one look, on a slow machine; Dagster ends it after 60 s."""


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with played(tmp_path) as inbox:
        yield inbox


def fill(inbox: Inbox, number: int) -> None:
    for folder in range(number // 100):
        place = inbox.folder / "podcast" / f"season {folder:03}"
        place.mkdir(parents=True)
        for index in range(100):
            (place / f"{index:02}.mp3").write_bytes(b"x")


def cpu_of_a_tick(inbox: Inbox) -> tuple[float, int]:
    start = time.process_time()
    requests = inbox.tick()
    spent = time.process_time() - start
    return spent, sum(len(inbox.keys_of(request.tags)) for request in requests)


def test_ten_thousand_files_dropped_at_once_cost_each_look_little(inbox: Inbox) -> None:
    fill(inbox, 10_000)
    asked = min(MOST_KEYS, slots(inbox.instance) * 25)
    for _ in range(2):
        spent, taken = cpu_of_a_tick(inbox)
        assert (spent < MOST_CPU_S, taken) == (True, asked)
        print(f"10,000 dropped: a tick takes {spent:.2f} s of CPU")
    assert len(inbox.cursor or "") < 50_000


@pytest.mark.slow
def test_a_hundred_thousand_known_files_cost_a_look_little(inbox: Inbox) -> None:
    known = [f"song-{number:010x}" for number in range(100_000)]
    for start in range(0, len(known), 10_000):
        inbox.instance.add_dynamic_partitions(MEDIA, known[start : start + 10_000])
    fill(inbox, 100)
    spent, taken = cpu_of_a_tick(inbox)
    print(f"100,000 known: a tick takes {spent:.2f} s of CPU")
    assert (spent < MOST_CPU_S, taken) == (True, min(MOST_KEYS, slots(inbox.instance) * 25))


def test_an_unchanged_library_of_ten_thousand_is_looked_through_in_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(path=tmp_path / "studio/inbox", claim="reference")
    with played(tmp_path, box) as inbox:
        fill(inbox, 10_000)
        store = inbox.store
        for path in inbox.folder.rglob("*.mp3"):
            facts, name = path.stat(), path.relative_to(inbox.folder).as_posix()
            folder = store.library / box.key(name)
            folder.mkdir(parents=True)
            (folder / "media.json").write_text(
                f'{{"key": "{box.key(name)}", "origin": "{path}", "recipe": "podcast",'
                f' "sidecar": {{}}, "claim": "reference", "size": {facts.st_size},'
                f' "mtime_ns": {facts.st_mtime_ns}, "inode": {facts.st_ino}}}'
            )
        # a published source for each would be ten thousand folders more; one word stands for them
        monkeypatch.setattr(type(store), "current", lambda self, key, asset: True)
        made._MADE.clear()
        first, taken = cpu_of_a_tick(inbox)
        second, again = cpu_of_a_tick(inbox)
        print(f"10,000 unchanged: {first:.2f} s of CPU after a start, then {second:.2f} s")
        assert (taken, again, second < 2, first < MOST_CPU_S * 2) == (0, 0, True, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_files_of_an_inbox_that_cannot_be_written_are_told_of(inbox: Inbox) -> None:
    path = inbox.drop("podcast/one.wav")
    path.parent.chmod(0o500)
    try:
        assert inbox.tick() == []
        assert "no right to move it out of" in inbox.skipped
    finally:
        path.parent.chmod(0o700)
