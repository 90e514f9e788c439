"""What counts as a file in the inbox, and that nothing but names and stats is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sensors.listing import Candidate, find, measure, recipe_of


def put(inbox: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def paths(inbox: Path) -> list[str]:
    return [file.path for file in find(inbox).files]


def test_a_subfolder_is_a_recipe_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path, "song.mp3", "podcast/one.wav", "podcast/season 1/two.wav")
    assert {path: recipe_of(path) for path in paths(tmp_path)} == {
        "song.mp3": "auto",
        "podcast/one.wav": "podcast",
        "podcast/season 1/two.wav": "podcast",
    }


@pytest.mark.parametrize(
    "name",
    [
        "song.mp3.toml",
        ".hidden.mp3",
        "._song.mp3",
        ".Trash/song.mp3",
        "song.mp3.part",
        "song.mp3.partial",
        "song.mp3.crdownload",
        "song.mp3.download",
        "song.mp3.download/song.mp3",
        "song.mp3.TMP",
        "song.mp3.filepart",
        "song.mp3.!ut",
        "song.mp3.aria2",
        "song.mp4.part-Frag12",
        "song.mp3~",
        "Thumbs.db",
        "podcast/desktop.ini",
        "podcast/@eaDir/song.mp3",
        "prompts/rain.txt",
        "projects/trailer/clip.mp4",
    ],
)
def test_what_is_not_a_whole_medium_by_its_name_is_not_seen(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "song.flac")
    assert paths(tmp_path) == ["song.flac"]


def test_reserved_names_are_only_reserved_at_the_top(tmp_path: Path) -> None:
    put(tmp_path, "podcast/prompts/one.mp3")
    assert paths(tmp_path) == ["podcast/prompts/one.mp3"]


def test_links_and_special_files_are_named_and_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "outside" / "secret.mp3"
    put(secret.parent, secret.name)
    inbox = tmp_path / "inbox"
    put(inbox, "song.mp3")
    (inbox / "link.mp3").symlink_to(secret)
    (inbox / "podcast").symlink_to(secret.parent)
    os.mkfifo(inbox / "pipe.mp3")
    found = find(inbox)
    assert [file.path for file in found.files] == ["song.mp3"]
    assert found.links == ["link.mp3", "pipe.mp3", "podcast"]


def test_a_file_that_becomes_a_link_between_the_walk_and_the_look_is_not_seen(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a.mp3", "b.mp3")
    found = find(tmp_path)
    (tmp_path / "a.mp3").unlink()
    (tmp_path / "a.mp3").symlink_to("b.mp3")
    assert [seen.path for seen in measure(tmp_path, found.files).files] == ["b.mp3"]


def test_a_download_managers_note_beside_a_file_says_that_it_is_being_written(
    tmp_path: Path,
) -> None:
    put(tmp_path, "film.mkv", "film.mkv.aria2", "old.mkv", "old.mkv~")
    film, old = measure(tmp_path, find(tmp_path).files).files
    assert film.writing == "film.mkv.aria2"
    assert old.writing == ""


def test_an_empty_file_next_to_a_partial_download_is_a_browsers_placeholder(
    tmp_path: Path,
) -> None:
    put(tmp_path, "film.mkv", data=b"")
    put(tmp_path, "Xk3.mkv.part", "whole.mkv")
    film, whole = measure(tmp_path, find(tmp_path).files).files
    assert film.writing == "Xk3.mkv.part"
    assert whole.writing == ""


def test_a_look_shows_size_time_and_sidecar(tmp_path: Path) -> None:
    put(tmp_path, "song.mp3", data=b"12345")
    put(tmp_path, "song.mp3.toml", data=b"[master]\n")
    (seen,) = measure(tmp_path, find(tmp_path).files).files
    assert seen.size == 5
    assert seen.mtime_ns == (tmp_path / "song.mp3").stat().st_mtime_ns
    assert seen.sidecars == ((9, (tmp_path / "song.mp3.toml").stat().st_mtime_ns),)


def test_a_look_that_runs_out_of_time_goes_on_from_there_next_time(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number:03}.mp3" for number in range(150)))
    files = find(tmp_path).files
    first = measure(tmp_path, files, late=lambda: True)
    second = measure(tmp_path, files, start=first.resume, late=lambda: True)
    third = measure(tmp_path, files, start=second.resume)
    assert (first.resume, second.resume, third.resume) == ("063.mp3", "126.mp3", "")
    seen = [seen.path for look in (first, second) for seen in look.files]
    assert seen == [f"{number:03}.mp3" for number in range(126)]
    assert third.files[0].path == "126.mp3"
    assert len(third.files) == 150


def test_folders_for_which_no_time_is_left_are_told_of(tmp_path: Path) -> None:
    put(tmp_path, "song.mp3", "podcast/one.mp3")
    found = find(tmp_path, lambda: True)
    assert [file.path for file in found.files] == ["song.mp3"]
    assert found.unlisted == {"podcast": "there was no time left for it"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_listed_is_told_of_and_costs_the_others_nothing(
    tmp_path: Path,
) -> None:
    put(tmp_path, "music/song.mp3", "podcast/one.mp3")
    (tmp_path / "music").chmod(0)
    try:
        found = find(tmp_path)
    finally:
        (tmp_path / "music").chmod(0o700)
    assert [file.path for file in found.files] == ["podcast/one.mp3"]
    assert found.unlisted == {"music": "Permission denied"}


def test_a_file_that_cannot_be_looked_at_is_told_of(tmp_path: Path) -> None:
    put(tmp_path, "song.mp3")
    too_long = "x" * 300
    listing = measure(tmp_path, [Candidate("song.mp3"), Candidate(too_long), Candidate("gone.mp3")])
    assert [seen.path for seen in listing.files] == ["song.mp3"]
    assert listing.failed == {too_long: "File name too long"}


def test_a_missing_inbox_is_an_error_and_not_an_empty_inbox(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find(tmp_path / "inbox")


opened: list[str] = []


def _note_opens(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        opened.append(str(args[0]))


def test_no_file_is_opened(tmp_path: Path) -> None:
    put(tmp_path, "song.mp3", "podcast/one.mp3", "podcast/one.mp3.toml")
    sys.addaudithook(_note_opens)
    opened.clear()
    assert len(measure(tmp_path, find(tmp_path).files).files) == 2
    assert [name for name in opened if str(tmp_path) in name] == []
