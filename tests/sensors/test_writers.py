"""A file is known to be open for writing, by whatever name, until it is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sensors import writers
from sensors.writers import writers_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "song.mp3").write_bytes(b"x")
    if writers_in(tmp_path)("song.mp3") is None:
        pytest.skip("this file system does not tell")
    return tmp_path


def test_an_open_file_is_being_written_until_it_is_closed(folder: Path) -> None:
    writing = writers_in(folder)
    with (folder / "song.mp3").open("ab"):
        assert writing("song.mp3") is True
    assert writing("song.mp3") is False


def test_another_name_for_it_does_not_hide_the_writer(folder: Path) -> None:
    writing = writers_in(folder)
    with (folder / "song.mp3").open("ab"):
        os.link(folder / "song.mp3", folder / "linked.mp3")
        (folder / "song.mp3").rename(folder / "Song.mp3")
        assert writing("linked.mp3") is True
        assert writing("Song.mp3") is True


def test_somebody_who_reads_it_is_no_writer(folder: Path) -> None:
    with (folder / "song.mp3").open("rb"):
        assert writers_in(folder)("song.mp3") is False


def test_a_writer_that_is_killed_writes_no_more(folder: Path) -> None:
    code = "import sys, time; f = open(sys.argv[1], 'ab'); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(folder / "song.mp3")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        assert writers_in(folder)("song.mp3") is True
        writer.send_signal(signal.SIGKILL)
    assert writers_in(folder)("song.mp3") is False


def test_nobody_can_tell_of_what_is_gone_or_a_link_or_no_file(folder: Path) -> None:
    (folder / "link.mp3").symlink_to("song.mp3")
    os.mkfifo(folder / "pipe.mp3")
    writing = writers_in(folder)
    assert [writing(name) for name in ("gone.mp3", "link.mp3", "pipe.mp3")] == [None] * 3
    assert writers_in(folder / "gone")("song.mp3") is None


def test_on_a_network_drive_nobody_can_tell(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nnas:/media {folder} nfs4 rw 0 0\n")
    monkeypatch.setattr(writers, "_MOUNTS", mounts)
    assert writers_in(folder)("song.mp3") is None
    mounts.write_text(f"nas:/media / nfs4 rw 0 0\n/dev/sda {folder} ext4 rw 0 0\n")
    assert writers_in(folder)("song.mp3") is False
