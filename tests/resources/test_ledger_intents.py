"""Word of records to come: none is lost with a process that dies, or a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from av_pipelines.maker import Studio, make
from av_pipelines.reports.catalog import query
from resources.ledger import Entry, Ledger
from resources.manifest import Manifest
from resources.store import Store
from tests.conftest import Toys, drop

ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from av_pipelines.maker import Studio, make
from av_pipelines.settings import Recipes
from resources.ledger import Ledger
from resources.ledger_intents import Intents
from resources.store import Store
from tests.conftest import Toys

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

store, toys = Store(Path(sys.argv[1])), Toys()
{fault}
studio = Studio(store, Ledger(store.ledger_dir), Recipes(store.root / "recipes", toys.settings))
make(studio, toys.source, sys.argv[2], run_id="the-run")
"""


@pytest.mark.usefixtures("toy_auto_recipe")
@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ("Store.publish = die", 0),
        ("Store.link = die", 1),  # it is published
        ("Ledger.append = die", 1),
        ("Intents.forget = die", 1),  # it is recorded, and nobody knows
    ],
)
def test_no_record_is_lost_with_a_process_that_is_killed_around_publishing(
    fault: str, made: int, studio: Studio, tmp_path: Path
) -> None:
    store = studio.store
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(fault=fault), store.root, key],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(store.artifacts.glob("source/*"))) == made
    asked = "select asset, partition, event, origin, run_id, cpu_s > 0 from ledger"
    wanted = [["source", key, "made", str(tmp_path / "in" / "a.txt"), "the-run", True]]
    for _ in range(2):
        assert query(store, asked)[1] == wanted * made
    assert list((store.ledger_dir / ".intents").iterdir()) == []
    assert studio.ledger.rebuild(store) == 0  # nothing is missing


def test_what_a_living_process_is_about_to_record_is_left_to_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ledger = Ledger(store.ledger_dir)
    manifest = Manifest(
        asset="thing",
        partition="thing-0000000001",
        version="v" * 64,
        created=datetime.now(UTC),
        code_version="1",
        settings={},
    )
    entry = Entry(event="made", asset="thing", partition=manifest.partition, manifest=manifest)
    with store.stage() as folder, ledger.intent(entry):
        (folder / "a").write_text("text")
        store.publish(folder, manifest)
        assert ledger.recover(store) == 0
        ledger.append(entry)
    assert ledger.recover(store) == 0
    assert [entry.id in path.name for path in ledger.files()] == [True]


def test_records_that_could_not_be_written_are_when_the_ledger_can_be_again(
    studio: Studio, tmp_path: Path, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    with monkeypatch.context() as broken:
        broken.setattr("resources.ledger._write", full)
        (outcome,) = make(studio, toys.source, key)
    assert outcome.event == "failed"
    assert "it was made, but the ledger cannot be written" in (outcome.reason or "")
    assert query(studio.store, "select event, cpu_s > 0 from ledger")[1] == [["made", True]]


def full(*_: object) -> Path:
    raise OSError(28, "No space left on device")
