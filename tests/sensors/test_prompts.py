"""A dropped prompt becomes a request in the queue, once; what is wrong with it is told of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from av_pipelines.maker import Studio
from av_pipelines.makers import SETTINGS
from av_pipelines.settings import Recipes
from av_pipelines.track_queue import MOST
from partitions.prompts import prompt_partitions
from resources.ledger import Ledger
from resources.manifest import Manifest, PromptRecord
from resources.store import Store
from sensors.desk import Desk
from sensors.prompts import prompts_sensor
from tests.sensors.player import Player


class Prompts(Player):
    """The folder of prompts with its sensor, played by hand."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.studio = Studio(
            self.store, Ledger(self.store.ledger_dir), Recipes(root / "recipes", SETTINGS)
        )
        self.folder = self.store.inbox / "prompts"
        self.folder.mkdir(parents=True)
        self.now = time.time()
        sensor = prompts_sensor(
            dg.define_asset_job("tracks"),
            lambda: Desk(self.studio, SETTINGS, lambda recipe: [], most_files=25),
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        super().__init__(sensor, prompt_partitions)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def drop(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def tick(self) -> list[dg.RunRequest]:
        """One tick, and the runs that the daemon queues because of it."""
        self.now += 5
        requests = self.evaluate()
        for number, request in enumerate(requests):
            self.instance.add_run(
                dg.DagsterRun(
                    job_name="tracks",
                    run_id=f"{self.now}-{number}",
                    status=dg.DagsterRunStatus.STARTED,
                    tags={
                        **request.tags,
                        "dagster/sensor_name": "prompts",
                        "dagster/run_key": str(request.run_key),
                    },
                )
            )
        return requests

    def asked(self, request: dg.RunRequest) -> dict:
        record = self.store.record(request.tags["dagster/partition"], PromptRecord)
        assert record
        return record.sidecar["track"]


@pytest.fixture
def prompts(tmp_path: Path) -> Iterator[Prompts]:
    prompts = Prompts(tmp_path / "studio")
    with prompts.instance:
        yield prompts


def test_a_text_is_the_prompt_and_gets_a_seed(prompts: Prompts) -> None:
    prompts.drop("rain.txt", "slow dark drone,\n60 bpm\n")
    (request,) = prompts.tick()
    assert request.tags["dagster/partition"].startswith("slow-dark-drone-60-bpm-")
    asked = prompts.asked(request)
    assert asked["prompt"] == "slow dark drone, 60 bpm"
    assert 0 <= asked["seed"] < 2**32


def test_toml_says_more_and_high_priority_goes_first(prompts: Prompts) -> None:
    prompts.drop("a.prompt.toml", 'prompt = "rain"\nseed = 7\nduration_s = 12\npriority = "high"\n')
    prompts.drop("b.txt", "sun")
    tags = {r.tags["dagster/partition"][:4]: r.tags for r in prompts.tick()}
    assert int(tags["rain"]["dagster/priority"]) > int(tags["sun-"]["dagster/priority"])
    assert all(one["avp/queue"] == "generation" for one in tags.values())


def test_a_prompt_is_asked_for_once_while_it_waits(prompts: Prompts) -> None:
    prompts.drop("rain.txt", "rain")
    assert len(prompts.tick()) == 1
    assert prompts.tick() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prompt = "x"\nduration_s = 3\n', "INVALID_DURATION"),
        ('prompt = "x"\nbpm = 500\n', "INVALID_REQUEST"),
        ('prompt = "x"\ncolour = "red"\n', "unknown setting track.colour"),
        ("prompt = \n", "INVALID_REQUEST"),
    ],
)
def test_a_wrong_prompt_stays_and_says_why(prompts: Prompts, text: str, said: str) -> None:
    path = prompts.drop("a.prompt.toml", text)
    assert prompts.tick() == []
    assert said in prompts.skipped
    assert path.name in prompts.skipped
    assert path.exists()
    note = prompts.folder / "a.prompt.toml._FAILED.txt"
    assert said in note.read_text()
    path.write_text('prompt = "rain"\n')
    assert len(prompts.tick()) == 1
    assert not note.exists()


def test_a_note_beside_it_says_where_the_track_is(prompts: Prompts) -> None:
    path = prompts.drop("rain.txt", "rain")
    (request,) = prompts.tick()
    assert "as a track" in (prompts.folder / "rain.txt._IN_PROGRESS.txt").read_text()
    key = request.tags["dagster/partition"]
    with prompts.store.stage() as folder:
        manifest = Manifest.model_validate(
            {
                "asset": "track", "partition": key, "version": "1" * 64,
                "created": datetime.now(UTC), "code_version": "1", "settings": {}, "inputs": [],
                "files": [], "facts": {"duration_s": 12.5}, "cost": {}, "run_id": "run",
            }
        )  # fmt: skip
        prompts.store.link(key, prompts.store.publish(folder, manifest))
    path.unlink()
    (run,) = prompts.instance.get_runs()
    prompts.instance.report_run_canceled(run)
    prompts.tick()
    (note,) = prompts.folder.iterdir()
    assert note.name == "rain.txt._DONE.txt"
    assert str(prompts.store.library / key) in note.read_text()
    assert "12.5 s" in note.read_text()


def test_the_eleventh_waits_outside_and_is_told_queue_full(prompts: Prompts) -> None:
    for number in range(MOST + 1):
        prompts.drop(f"{number:02}.txt", f"rain {number}")
    assert len(prompts.tick()) == MOST
    assert prompts.tick() == []
    assert "QUEUE_FULL" in prompts.skipped
    for run in prompts.instance.get_runs(limit=1):
        prompts.instance.report_run_failed(run)
    assert len(prompts.tick()) == 1
