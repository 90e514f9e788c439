"""Several inboxes: each with its own recipe and claim, and no two files share a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from av_pipelines.inboxes import Inbox as Box
from av_pipelines.inboxes import read_inboxes
from av_pipelines.settings import SettingsError
from tests.sensors.test_inbox import played
from tests.sensors.test_notes import publish


def test_a_store_has_its_own_inbox(tmp_path: Path) -> None:
    assert read_inboxes(tmp_path) == [Box(path=tmp_path / "inbox")]


def test_a_file_names_more_of_them_and_may_change_the_first(tmp_path: Path) -> None:
    (tmp_path / "inboxes.toml").write_text(
        '[[inbox]]\nnotes = "off"\n'
        '[[inbox]]\nname = "nas"\npath = "/mnt/nas"\nrecipe = "podcast"\nclaim = "reference"\n'
    )
    main, nas = read_inboxes(tmp_path)
    assert (main.sensor, main.path, main.notes) == ("inbox", tmp_path / "inbox", "off")
    assert (nas.sensor, nas.recipe, nas.claim) == ("inbox_nas", "podcast", "reference")
    assert nas.key("song.mp3") != main.key("song.mp3")
    assert nas.key("song.mp3") != main.key("nas/song.mp3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inbox = 3", "holds nothing but tables"),
        ("[[inbox]", "not TOML"),
        ('[[inbox]]\nname = "a"', "inbox 1: path: Field required"),
        ('[[inbox]]\nname = "a"\npath = "drop"', "give an absolute path"),
        ('[[inbox]]\nname = "a"\npath = "/a"\nclaim = "steal"', "inbox 1: claim"),
        ('[[inbox]]\npath = "/a"', "give others a name"),
        ('[[inbox]]\nname = "a"\npath = "/a"\n[[inbox]]\nname = "b"\npath = "/a/b"', "overlaps"),
        ('[[inbox]]\nname = "a"\npath = "/a"\n[[inbox]]\nname = "a"\npath = "/b"', "two inboxes"),
        ('[[inbox]]\nname = "a"\npath = "{store}/artifacts"', "inside the store"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_plainly(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "inboxes.toml").write_text(text.replace("{store}", str(tmp_path)))
    with pytest.raises(SettingsError, match=said):
        read_inboxes(tmp_path)


def test_an_inbox_with_a_recipe_takes_all_folders_for_it(tmp_path: Path) -> None:
    box = Box(name="nas", path=tmp_path / "nas", recipe="podcast")
    with played(tmp_path, box) as inbox:
        inbox.drop("season 1/one.wav")
        (request,) = inbox.tick()
        assert request.tags["recipe"] == "podcast"
        assert request.tags["dagster/partition"] == box.key("season 1/one.wav")
        inbox.tick()
        assert "no recipe" not in inbox.skipped


@pytest.mark.parametrize("claim", ["copy", "link", "reference"])
def test_a_file_that_stays_is_made_once_and_again_when_it_changes(
    tmp_path: Path, claim: str
) -> None:
    box = Box.model_validate({"path": tmp_path / "studio/inbox", "claim": claim})
    with played(tmp_path, box) as inbox:
        inbox.drop("song.mp3")
        (request,) = inbox.tick()
        run = inbox.start(request)
        publish(inbox, "song.mp3")
        inbox.end(run, "canceled")
        for pause in (5, 60, 86_400):
            assert inbox.tick(pause) == []
        inbox.cursor = None  # as after a reset
        assert inbox.tick() == []
        inbox.drop("song.mp3", "other bytes")
        assert len(inbox.tick()) == 1


def test_a_file_that_stays_and_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    box = Box(path=tmp_path / "studio/inbox", claim="reference")
    with played(tmp_path, box) as inbox:
        inbox.drop("song.mp3")
        inbox.end(inbox.start(inbox.tick()[0]), "failed")
        inbox.tick()
        assert len(inbox.tick(60)) == 1
