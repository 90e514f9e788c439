"""A dropped folder becomes a project and a run of its film; a note says what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from partitions.keys import project_key
from partitions.projects import project_partitions
from resources.store import Store
from sensors.projects import projects_sensor
from tests.sensors.player import Player


class Projects(Player):
    """The folder of projects with its sensor, played by hand."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.inbox = self.store.inbox / "projects"
        self.inbox.mkdir(parents=True)
        self.now = time.time()
        sensor = projects_sensor(
            dg.define_asset_job("videos"), lambda: self.store, clock=lambda: self.now
        )
        super().__init__(sensor, project_partitions)

    def drop(self, name: str, **files: str) -> Path:
        folder = self.inbox / name
        folder.mkdir()
        for stem, text in files.items():
            (folder / f"{stem}.json").write_text(text)
        return folder

    def tick(self) -> list[dg.RunRequest]:
        self.now += 3
        return self.evaluate()

    def start(self, request: dg.RunRequest) -> dg.DagsterRun:
        run = dg.DagsterRun(
            job_name="videos",
            run_id=str(uuid4()),
            status=dg.DagsterRunStatus.STARTED,
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
        )
        return self.instance.add_run(run)

    def notes(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.inbox.glob("*._*.txt")}


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[Projects]:
    projects = Projects(tmp_path / "studio")
    with projects.instance:
        yield projects


def test_a_whole_folder_is_moved_and_gets_one_run_of_its_film(projects: Projects) -> None:
    projects.drop("trip", project="{}")
    assert projects.tick() == []  # one look proves nothing
    (request,) = projects.tick()
    place = projects.store.root / "projects" / "trip"
    assert request.tags["dagster/partition"] == project_key(place)
    assert request.asset_selection == [dg.AssetKey("timeline"), dg.AssetKey("video")]
    assert (place / "project.json").exists()
    projects.start(request)
    assert projects.tick() == []


def test_a_folder_that_something_still_writes_into_is_left_alone(projects: Projects) -> None:
    folder = projects.drop("trip", project="{}")
    projects.tick()
    with (folder / "clip.mov").open("wb") as file:
        file.write(b"x")
        file.flush()
        for _ in range(3):
            assert projects.tick() == []
    assert folder.exists()


@pytest.mark.parametrize("how", ["canceled", "failed"])
def test_a_note_beside_it_says_what_became_of_it(projects: Projects, how: str) -> None:
    projects.drop("trip", project="{}")
    projects.tick()
    (request,) = projects.tick()
    (note,) = projects.notes().items()
    assert note[0] == "trip._IN_PROGRESS.txt"
    assert "trip is being made as a film" in note[1]
    projects.tick()  # Dagster died before it made the run: it is not over
    assert list(projects.notes()) == ["trip._IN_PROGRESS.txt"]
    run = projects.start(request)
    projects.tick()
    assert list(projects.notes()) == ["trip._IN_PROGRESS.txt"]
    getattr(projects.instance, f"report_run_{how}")(run)
    projects.tick()
    (note,) = projects.notes().items()
    assert note[0] == "trip._FAILED.txt"
    assert run.run_id in note[1]


def test_a_folder_without_a_project_stays_and_its_note_says_what_is_missing(
    projects: Projects,
) -> None:
    folder = projects.drop("trip", other="{}")
    (projects.inbox / "readme.txt").write_text("x")
    for _ in range(2):
        assert projects.tick() == []
    assert "trip: it has no project.json" in projects.skipped
    notes = projects.notes()
    assert "it has no project.json; `avp new NAME` writes one" in notes["trip._FAILED.txt"]
    assert "a project is a folder with project.json" in notes["readme.txt._FAILED.txt"]
    assert json.loads(projects.cursor or "")["settling"] == {}  # no reason to look every second
    (folder / "project.json").write_text("{}")
    projects.tick()
    assert len(projects.tick()) == 1
    assert "trip._FAILED.txt" not in projects.notes()


def test_a_second_folder_of_the_same_name_is_another_project(projects: Projects) -> None:
    asked = set()
    for _ in range(2):
        projects.drop("trip", project="{}")
        projects.tick()
        asked |= {request.run_key for request in projects.tick()}
    assert len(asked) == 2
    assert (projects.store.root / "projects" / "trip-2" / "project.json").exists()
