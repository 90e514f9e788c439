"""Who drops files sees beside them what became of them, and needs nothing else for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from av_pipelines.inboxes import Inbox as Box
from resources.manifest import Manifest, Quarantine
from tests.sensors.test_inbox import Inbox, key, played


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with played(tmp_path) as inbox:
        yield inbox


def names(inbox: Inbox) -> list[str]:
    files = (path for path in inbox.folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(inbox.folder).as_posix() for path in files)


def publish(inbox: Inbox, name: str, version: str = "1" * 64) -> None:
    """Make what a run makes of a file."""
    with inbox.store.stage() as folder:
        (folder / "song.mp3").write_bytes(b"x")
        manifest = Manifest.model_validate(
            {
                "asset": "source", "partition": key(name), "version": version,
                "created": datetime.now(UTC), "code_version": "1", "settings": {}, "inputs": [],
                "files": [], "facts": {"file": "song.mp3", "duration_s": 12.5}, "cost": {},
                "run_id": "run",
            }
        )  # fmt: skip
        artifact = inbox.store.publish(folder, manifest)
    inbox.store.link(key(name), artifact)


def test_a_file_that_is_taken_has_a_note_that_it_is_in_progress(inbox: Inbox) -> None:
    inbox.drop("podcast/one.wav")
    inbox.tick()
    assert names(inbox) == ["podcast/one.wav", "podcast/one.wav._IN_PROGRESS.txt"]
    note = (inbox.folder / "podcast/one.wav._IN_PROGRESS.txt").read_text()
    assert "one.wav is being made with the recipe podcast" in note
    assert inbox.tick() == []  # a note is no medium


def test_when_its_run_is_over_the_note_says_where_the_results_are(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    requests = inbox.tick()
    run = inbox.start(requests[0])
    publish(inbox, "song.mp3")
    inbox.take(requests)
    inbox.tick()
    assert names(inbox) == ["song.mp3._IN_PROGRESS.txt"]  # its run still goes
    inbox.end(run, "canceled")
    inbox.tick()
    assert names(inbox) == ["song.mp3._DONE.txt"]
    note = (inbox.folder / "song.mp3._DONE.txt").read_text()
    assert str(inbox.store.library / key("song.mp3")) in note
    assert "source      12.5 s" in note


def test_a_refused_file_has_a_note_with_the_reason_and_what_to_do(inbox: Inbox) -> None:
    path = inbox.drop("song.mp3")
    run = inbox.start(inbox.tick()[0])
    inbox.store.quarantine(
        Quarantine(
            key=key("song.mp3"), origin=str(path), reason="it is no media", command="ffprobe song",
            attempt="x", created=datetime.now(UTC),
        ),
        path,
    )  # fmt: skip
    inbox.end(run, "failed")
    inbox.tick()
    assert names(inbox) == ["song.mp3._FAILED.txt"]
    note = (inbox.folder / "song.mp3._FAILED.txt").read_text()
    for said in ("was refused: it is no media", "ffprobe song", "drop it again"):
        assert said in note


def test_a_wrong_sidecar_is_told_of_until_it_is_mended(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    inbox.drop("song.mp3.toml", "[shout]\ncolour = 1\n")
    inbox.tick()
    assert "colour" in (inbox.folder / "song.mp3._FAILED.txt").read_text()
    inbox.drop("song.mp3.toml", "")
    assert len(inbox.tick()) == 1
    assert [name for name in names(inbox) if "._" in name] == ["song.mp3._IN_PROGRESS.txt"]


def test_a_file_that_will_be_tried_again_is_still_in_progress(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    inbox.end(inbox.start(inbox.tick()[0]), "failed")
    inbox.tick()
    assert "song.mp3._IN_PROGRESS.txt" in names(inbox)


def test_old_notes_go(inbox: Inbox) -> None:
    note = inbox.drop("song.mp3._DONE.txt")
    os.utime(note, (inbox.now - 6 * 86_400, inbox.now - 6 * 86_400))
    inbox.tick()
    assert note.exists()
    inbox.tick(2 * 86_400)
    assert not note.exists()


def test_notes_may_be_in_folders_of_their_own_or_not_be_at_all(tmp_path: Path) -> None:
    for kind, expected in (
        ("folders", ["_IN_PROGRESS/podcast/one.wav.txt", "podcast/one.wav"]),
        ("off", ["podcast/one.wav"]),
    ):
        folder = tmp_path / kind / "studio/inbox"
        box = Box.model_validate({"path": folder, "notes": kind})
        with played(tmp_path / kind, box) as inbox:
            inbox.drop("podcast/one.wav")
            inbox.tick()
            assert names(inbox) == expected
            assert inbox.tick() == []


def test_a_note_is_never_written_through_a_link(inbox: Inbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (inbox.folder / "song.mp3._IN_PROGRESS.txt").symlink_to(victim)
    os.link(victim, inbox.folder / "one.mp3._IN_PROGRESS.txt")
    inbox.drop("song.mp3")
    inbox.drop("one.mp3")
    inbox.tick()
    assert victim.read_text() == "precious"


def test_an_inbox_that_takes_no_notes_still_gives_its_files(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *rest: object) -> int:
        raise OSError(28, "No space left on device")

    inbox.drop("song.mp3")
    with monkeypatch.context() as trouble:
        trouble.setattr(Path, "write_text", full)
        assert len(inbox.tick()) == 1
    assert names(inbox) == ["song.mp3"]
