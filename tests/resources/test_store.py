"""The store: what is published is whole, whoever dies or races."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.manifest import Manifest
from resources.store import Store, describe_files

VERSION = "f" * 64


def manifest(folder: Path, version: str = VERSION) -> Manifest:
    return Manifest(
        asset="thing",
        partition="a-0123456789",
        version=version,
        created=datetime.now(UTC),
        code_version="1",
        settings={},
        files=describe_files(folder),
    )


def publish(store: Store, text: str) -> str:
    """Publish a one-file artifact; return what is in the published file."""
    with store.stage() as folder:
        (folder / "a.txt").write_text(text)
        artifact = store.publish(folder, manifest(folder))
    return artifact.file("a.txt").read_text()


def test_two_that_publish_the_same_version_both_get_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert publish(store, "first") == "first"
    assert publish(store, "second") == "first"


def test_only_one_at_a_time_makes_a_version(tmp_path: Path) -> None:
    store, inside, most = Store(tmp_path), [0], [0]

    def work() -> None:
        with store.making("thing", VERSION):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_staging_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from resources.store import Store\n"
        "with Store(Path(sys.argv[1])).stage() as folder:\n"
        "    (folder / 'half').write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline().strip() == "ready"
    store = Store(tmp_path)
    with store.stage() as mine:
        assert store.sweep() == 0  # both are alive
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert store.sweep() == 1
        assert mine.exists()


def test_what_failed_while_staged_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.stage() as folder:  # noqa: PT012
        (folder / "half.txt").write_text("half")
        raise RuntimeError
    assert list((tmp_path / "artifacts").rglob("half.txt")) == []
    assert store.find("thing", VERSION) is None


@pytest.mark.parametrize("key", ["../../etc", "a/b", "", ".", "a-0123456789/..", "A-0123456789"])
def test_only_keys_become_paths(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a partition key"):
        Store(tmp_path).media(key)


def test_a_moved_store_keeps_its_links(tmp_path: Path) -> None:
    store = Store(tmp_path / "one")
    with store.stage() as folder:
        (folder / "a.txt").write_text("text")
        store.link("a-0123456789", store.publish(folder, manifest(folder)))
    (tmp_path / "one").rename(tmp_path / "two")
    moved = Store(tmp_path / "two").current("a-0123456789", "thing")
    assert moved
    assert moved.file("a.txt").read_text() == "text"


def test_who_is_at_work_is_seen_until_it_ends_or_dies(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.is_present("up")
    with store.presence("up"):
        assert store.is_present("up")
        with pytest.raises(BlockingIOError), store.presence("up"):
            pass
    assert not store.is_present("up")
