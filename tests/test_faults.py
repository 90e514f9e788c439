"""Disks that fill up or cannot be written to, clocks that jump, a daemon that is killed.

What must hold of each: nothing half-made is visible, what happened is recorded or can be, a person
is told plainly, and everything is made once the fault is gone.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from av_pipelines.maker import Outcome, Studio, make
from av_pipelines.settings import Recipes
from resources.ledger import Entry, Ledger
from resources.manifest import Manifest
from resources.store import Store, describe_files
from tests.conftest import Toys, drop
from tests.test_up import free_port

ROOT = Path(__file__).resolve().parents[1]
RECIPE = 'assets = ["source", "shout"]\n'
SEED = 20261121


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own with little room; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here (that takes root on Linux)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def studio_in(root: Path, toys: Toys) -> Studio:
    store = Store(root)
    (root / "recipes").mkdir(parents=True)
    (root / "recipes" / "auto.toml").write_text(RECIPE)
    return Studio(store, Ledger(store.ledger_dir), Recipes(root / "recipes", toys.settings))


def make_both(studio: Studio, toys: Toys, key: str) -> list[Outcome]:
    return [*make(studio, toys.source, key), *make(studio, toys.shout, key)]


def recorded(studio: Studio) -> list[tuple[str, str]]:
    rows = [row for path in studio.ledger.files() for row in pq.read_table(path).to_pylist()]
    return [(row["asset"], row["event"]) for row in sorted(rows, key=lambda row: row["ts"])]


def check_whole(store: Store) -> None:
    """All that can be seen is complete, to the byte, and nothing is left in staging."""
    for folder in store.artifacts.glob("[!.]*/*"):
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        assert describe_files(folder) == manifest.files
    for link in store.library.glob("*/*"):
        assert not link.is_symlink() or (link / "manifest.json").is_file()
    assert list(store.artifacts.glob(".staging/*")) == []


# ---------------------------------------------------------------------- disks


@pytest.mark.parametrize("left", [0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160])
def test_a_disk_that_is_full_at_any_point_is_told_and_all_is_made_when_there_is_room(
    left: int, tmp_path: Path, toys: Toys
) -> None:
    """``left``: the kilobytes that are still free when the work begins."""
    with mounted(tmp_path / "disk", "1m") as disk:
        studio = studio_in(disk / "studio", toys)
        key = drop(studio, tmp_path / "in" / "a.txt", "hello" * 4000)
        room = os.statvfs(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - left * 1024)))
        outcomes = make_both(studio, toys, key)
        for outcome in outcomes:
            assert outcome.event != "failed" or (
                outcome.retryable and "No space left on device" in (outcome.reason or "")
            ), outcome
        check_whole(studio.store)
        filler.unlink()
        assert all(outcome.ok for outcome in make_both(studio, toys, key))
        check_whole(studio.store)
        assert studio.store.current(key, "shout")
        studio.ledger.rebuild(studio.store)
        events = recorded(studio)
        assert events.count(("source", "made")) == events.count(("shout", "made")) == 1


def avp(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("AVP_STORE", "DAGSTER_HOME")}
    command = [sys.executable, "-m", "av_pipelines", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )


def wav(path: Path, seconds: float = 1.0) -> Path:
    import numpy as np

    from tests.intake.conftest import Make

    path.parent.mkdir(parents=True, exist_ok=True)
    tone = Make.tone(seconds, 16_000, 1, hz=300 + len(path.name))
    return Make(path.parent).wav(path.name, tone.astype(np.int16), rate=16_000)


def test_a_store_that_cannot_be_written_is_told_in_one_line_and_works_afterwards(
    tmp_path: Path,
) -> None:
    with mounted(tmp_path / "disk", "64m") as disk:
        clip = wav(tmp_path / "in" / "a.wav")
        call = ("run", clip, "--store", disk / "studio", "--assets", "audio", "--json")
        assert avp(*call).returncode == 0
        before = sorted(disk.rglob("*"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused = avp(*call)
        assert refused.returncode == 2
        assert refused.stderr.strip() == (
            f"avp: the store {disk / 'studio'} cannot be written to: Read-only file system"
        )
        assert sorted(disk.rglob("*")) == before
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert avp(*call).returncode == 0


# ---------------------------------------------------------------------- clocks


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_records_of_a_clock_that_was_wrong_are_all_kept_and_counted_once(
    jump: timedelta, studio: Studio, tmp_path: Path
) -> None:
    from av_pipelines.reports.catalog import query

    now = datetime.now(UTC)
    for number, ts in enumerate([now, now + jump, now + timedelta(seconds=1), now + jump]):
        studio.ledger.append(Entry(event="skipped", asset="audio", partition=f"p{number}", ts=ts))
        assert query(studio.store, "select count(*) from ledger")[1] == [[number + 1]]
    studio.ledger.compact()
    assert query(studio.store, "select count(*), count(distinct id) from ledger")[1] == [[4, 4]]


@pytest.mark.usefixtures("toy_auto_recipe")
@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_a_file_whose_clock_was_wrong_is_made_once_and_noticed_when_it_changes(
    jump_s: int, studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "a.txt"
    key = drop(studio, path, "hello")
    wrong = time.time() + jump_s
    os.utime(path, (wrong, wrong))
    drop_again(studio, path)
    assert [o.event for o in make_both(studio, toys, key)] == ["made", "made"]
    drop_again(studio, path)
    assert [o.event for o in make_both(studio, toys, key)] == ["reused", "reused"]
    path.write_text("other")
    if jump_s < 0:
        wrong += 1
    os.utime(path, (wrong, wrong))  # from the future: as before, and as long; its bytes tell
    drop_again(studio, path)
    assert [o.event for o in make_both(studio, toys, key)] == ["made", "made"]


def drop_again(studio: Studio, path: Path) -> None:
    from av_pipelines.intake.claim import register
    from partitions.keys import media_key

    register(studio.store, path, media_key(path), recipe="auto", claim="copy", sidecar={})


# ---------------------------------------------------------------------- the daemon


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_daemon_that_is_killed_at_random_makes_everything_once(tmp_path: Path) -> None:
    import psutil

    chance = random.Random(SEED)
    root = tmp_path / "studio"
    (root / "recipes").mkdir(parents=True)
    (root / "recipes" / "plain.toml").write_text('assets = ["source", "audio"]\n')
    store = Store(root)
    files = [wav(store.inbox / "plain" / f"{n}.wav", 1 + n / 10) for n in range(12)]

    log = tmp_path / "log"

    def up() -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "av_pipelines", "up", "--store", str(root)),
                *("--port", str(free_port()), "--pages-port", str(free_port())),
            ],
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=log.open("wb"),
        )

    def done() -> int:
        return len(list(store.library.glob("*/audio")))

    for _ in range(4):
        process = up()
        began = time.monotonic()
        wait_s = chance.uniform(12, 30)
        while time.monotonic() - began < wait_s and done() < len(files):
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        mine = psutil.Process(process.pid)
        for each in [mine, *mine.children(recursive=True)]:
            each.send_signal(signal.SIGKILL)
        process.wait(60)
        check_seen(store)
    process = up()
    try:
        ends = time.monotonic() + 600
        while done() < len(files) or any(file.exists() for file in files):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends, f"{done()} of {len(files)} are made"
            time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    check_seen(store)
    studio = Studio(store, Ledger(store.ledger_dir), Recipes(root / "recipes", {}))
    studio.ledger.rebuild(store)
    events = recorded(studio)
    assert events.count(("audio", "made")) == len(files)


def check_seen(store: Store) -> None:
    for folder in store.artifacts.glob("[!.]*/*"):
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        assert describe_files(folder) == manifest.files
