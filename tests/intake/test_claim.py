"""How bytes get into the store: each claim keeps its promise, and no file is ever lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from av_pipelines.intake.claim import identify, place, settle, taken
from av_pipelines.maker import Studio, make
from resources.store import sha256
from tests.conftest import Toys, drop


@pytest.mark.parametrize("claim", ["move", "copy", "link", "reference"])
def test_every_claim_gives_the_bytes_and_leaves_the_file_until_it_is_published(
    studio: Studio, tmp_path: Path, claim: str
) -> None:
    path = tmp_path / "song.txt"
    record = studio.store.media(drop(studio, path, "la la", claim=claim))
    assert record
    record, version = identify(record, studio.store)
    assert version == sha256(path)
    with studio.store.stage() as folder:
        assert place(record, folder).read_text() == "la la"
        assert path.exists()
    assert path.read_text() == "la la"  # also when what was staged is thrown away


def test_a_file_that_changed_after_it_was_hashed_is_not_removed(
    studio: Studio, tmp_path: Path
) -> None:
    path = tmp_path / "song.txt"
    record = studio.store.media(drop(studio, path, "la la", claim="move"))
    assert record
    record, _ = identify(record, studio.store)
    path.write_text("something new")
    settle(record, studio.store)
    assert path.read_text() == "something new"


def test_an_unchanged_file_is_hashed_once(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.txt"
    key = drop(studio, path, "la la")
    os.utime(path, (1_000_000_000, 1_000_000_000))  # not changed a moment ago
    record = studio.store.media(key)
    assert record
    record, version = identify(record, studio.store)
    monkeypatch.setattr(
        "av_pipelines.intake.claim.sha256", lambda path: pytest.fail("hashed again")
    )
    assert identify(record, studio.store)[1] == version


@pytest.mark.parametrize("name", ["manifest.json", "probe.json", "poster.jpg"])
def test_a_file_named_like_one_of_ours_does_not_stand_in_its_way(
    studio: Studio, tmp_path: Path, name: str
) -> None:
    record = studio.store.media(drop(studio, tmp_path / name, "la la"))
    assert record
    with studio.store.stage() as folder:
        assert place(record, folder).name == f"original-{name}"


@pytest.mark.usefixtures("toy_auto_recipe")
def test_a_reference_whose_bytes_changed_is_not_taken_for_what_it_was(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    path = tmp_path / "song.txt"
    (outcome,) = make(studio, toys.source, drop(studio, path, "la la", claim="reference"))
    assert outcome.artifact
    source = outcome.artifact.manifest.model_copy(update={"facts": {"file": "song.txt"}})
    artifact = type(outcome.artifact)(outcome.artifact.dir, source)
    assert taken(artifact).read_text() == "la la"
    path.write_text("something else")
    with pytest.raises(FileNotFoundError, match="take the file again"):
        taken(artifact)
