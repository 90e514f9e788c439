"""The ``timeline`` asset in a store: what its version depends on, and what publishes nothing."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from av_pipelines.maker import Outcome, Studio, make
from av_pipelines.settings import Recipes
from av_pipelines.videos.assets import TIMELINE, find_sources
from av_pipelines.videos.cut_of import read_cut
from av_pipelines.videos.settings import TimelineSettings
from partitions.keys import media_key
from resources.ledger import Ledger
from resources.manifest import ProjectRecord
from resources.store import Store
from tests.videos.numbered import beeps, film


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    store = Store(tmp_path / "store")
    recipes = Recipes(store.root / "recipes", {"timeline": TimelineSettings})
    return Studio(store, Ledger(store.ledger_dir), recipes)


def project(studio: Studio, folder: Path, **said: Any) -> str:
    """Write a project and tell the store of it."""
    folder.mkdir(exist_ok=True)
    if not (folder / "a.mp4").exists():
        film(folder / "a.mp4", Fraction(25), 50, sound=beeps(2, [1]))
    (folder / "project.json").write_text(json.dumps({"shots": [{"path": "a.mp4"}], **said}))
    key = media_key(folder)
    studio.store.save(ProjectRecord(key=key, origin=str(folder)))
    return key


def made(studio: Studio, key: str, **settings: Any) -> Outcome:
    (outcome,) = make(studio, TIMELINE, key, overrides={"timeline": settings})
    return outcome


def test_a_project_is_compiled_once_and_again_when_it_or_a_file_changes(
    studio: Studio, tmp_path: Path
) -> None:
    key = project(studio, tmp_path / "one", uuid="0b6c1d6a-0000-4000-8000-000000000001")
    first = made(studio, key)
    assert (first.event, first.reason) == ("made", None)
    assert first.artifact
    assert first.artifact.manifest.facts["frames"] == 50
    assert {"shots", "edl"} <= set(first.artifact.manifest.tables)
    named = {ref.asset: Path(ref.partition) for ref in first.artifact.manifest.inputs}
    assert named == {"project": tmp_path / "one", "file": tmp_path / "one" / "a.mp4"}
    assert made(studio, key).event == "reused"
    film(tmp_path / "one" / "a.mp4", Fraction(25), 40)
    again = made(studio, key)
    assert again.event == "made"
    assert again.artifact
    assert read_cut(again.artifact.file("timeline.otio")).frames == 40


def test_a_moved_project_is_another_one(studio: Studio, tmp_path: Path) -> None:
    """A timeline names files by absolute paths: one of the old place must not be found again."""
    key = project(studio, tmp_path / "one")
    made(studio, key)
    (tmp_path / "one").rename(tmp_path / "two")
    moved = made(studio, project(studio, tmp_path / "two"))
    assert moved.event == "made"
    assert moved.artifact
    cut = read_cut(moved.artifact.file("timeline.otio"))
    assert cut.shots[0].path == tmp_path / "two" / "a.mp4"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"shots": [{"path": "gone.mp4"}]}, "shots[0].path: 'gone.mp4' is not there"),
        ({"shots": [{"path": "a.mp4", "out": 9}]}, "shots[0].out = 9: 9.000 s is past the end"),
        ({"shots": [{"path": "a.mp4", "fit": "x"}]}, "shots[0].fit = 'x'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_published(
    studio: Studio, tmp_path: Path, said: dict[str, Any], reason: str
) -> None:
    outcome = made(studio, project(studio, tmp_path / "one", **said))
    assert outcome.event == "failed"
    assert outcome.reason
    assert reason in outcome.reason
    assert not outcome.retryable
    assert not list((studio.store.artifacts / "timeline").glob("*"))


def test_two_projects_with_one_uuid_are_named(studio: Studio, tmp_path: Path) -> None:
    same = "0b6c1d6a-0000-4000-8000-000000000001"
    first = project(studio, tmp_path / "one", uuid=same)
    assert made(studio, first).ok
    outcome = made(studio, project(studio, tmp_path / "two", uuid=same))
    assert outcome.event == "failed"
    assert outcome.reason
    assert f"uuid = {same}" in outcome.reason
    assert str(tmp_path / "one") in outcome.reason


def test_files_elsewhere_only_where_that_is_allowed(studio: Studio, tmp_path: Path) -> None:
    film(tmp_path / "b.mp4", Fraction(25), 50)
    key = project(studio, tmp_path / "one", shots=[{"path": str(tmp_path / "b.mp4")}])
    refused = made(studio, key)
    assert refused.reason
    assert "outside of the project's folder" in refused.reason
    assert made(studio, key, allowed=["/"]).event == "made"


def test_what_was_planned_is_what_is_compiled(studio: Studio, tmp_path: Path) -> None:
    """A source that is made anew between planning and making does not slip in."""
    from resources.manifest import Manifest
    from resources.store import describe_files

    media = "talk-0123456789"

    def publish(frames: int) -> str:
        with studio.store.stage() as folder:
            film(folder / "talk.mp4", Fraction(25), frames)
            now = "2026-01-01T00:00:00Z"
            manifest = Manifest.model_validate(
                {
                    "asset": "source",
                    "partition": media,
                    "version": f"{frames:064}",
                    "created": now,
                    "code_version": "1",
                    "settings": {},
                    "files": describe_files(folder),
                    "facts": {"file": "talk.mp4"},
                }
            )
            studio.store.link(media, studio.store.publish(folder, manifest))
        return f"{frames:064}"

    old = publish(30)
    key = project(studio, tmp_path / "one", shots=[{"media": media}])
    planned: list[str] = []

    def slow(record: ProjectRecord, settings: TimelineSettings, store: Store) -> list[Any]:
        refs = find_sources(record, settings, store)
        planned.extend(ref.version for ref in refs if ref.asset == "source")
        publish(40)
        return refs

    from dataclasses import replace

    (outcome,) = make(studio, replace(TIMELINE, sources=slow), key)
    assert planned == [old]
    assert outcome.artifact
    assert outcome.artifact.manifest.facts["frames"] == 30
    assert made(studio, key).artifact != outcome.artifact
