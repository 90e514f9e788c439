"""``avp new``: a folder that is ready to work in, under version control."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from av_pipelines.videos.project import ProjectSettings
from av_pipelines.videos.project_file import ProjectError, read_project
from av_pipelines.videos.scaffold import FOLDERS, NO_GIT, NO_LFS, new_project


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def with_lfs(folder: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Put a ``git-lfs`` on the path that is there (0), or is not (1)."""
    folder.mkdir()
    program = folder / "git-lfs"
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has told git their name there."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)


def test_a_new_project_is_a_repository_with_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lfs(tmp_path / "bin", monkeypatch, 0)
    made = new_project("my_film", tmp_path, settings=ProjectSettings(aspect_ratio="9:16"))
    assert made.committed
    assert made.warnings == ()
    folder = tmp_path / "my_film"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [".git", *FOLDERS]
    project = read_project(folder)
    assert (project.title, project.version) == ("my film", 1)
    assert project.project_settings.size == (1080, 1920)
    assert git(folder, "log", "--format=%s") == "A new project"
    assert git(folder, "status", "--porcelain") == ""
    assert "project.json" in git(folder, "ls-files").splitlines()


def test_media_goes_to_lfs_and_renders_stay_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lfs(tmp_path / "bin", monkeypatch, 0)
    folder = new_project("film", tmp_path).folder
    for name in ("01_Assets/A.MP4", "02_Audio/song.flac", "03_Graphics/logo.png"):
        assert git(folder, "check-attr", "filter", name).endswith("filter: lfs"), name
    assert git(folder, "check-attr", "filter", "project.json").endswith("unspecified")
    assert git(folder, "check-ignore", "06_Exports/film.mp4", "05_Renders/a/b.mov")
    with pytest.raises(subprocess.CalledProcessError):
        git(folder, "check-ignore", "01_Assets/a.mp4")


def test_without_lfs_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_lfs(tmp_path / "bin", monkeypatch, 1)
    made = new_project("film", tmp_path)
    assert made.committed
    assert made.warnings == (NO_LFS,)
    assert "git lfs install" in NO_LFS


def test_without_git_there_is_still_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = new_project("film", tmp_path)
    assert (made.committed, made.warnings) == (False, (NO_GIT,))
    assert read_project(made.folder).title == "film"


@pytest.mark.parametrize("name", ["", "../film", "a/b", "-film", ".hidden", "x" * 101, "film\n"])
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(ProjectError, match="no name for a project"):
        new_project(name, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "mine.txt").write_text("mine")
    with pytest.raises(ProjectError, match="is there already"):
        new_project("film", tmp_path)
    assert (tmp_path / "film" / "mine.txt").read_text() == "mine"
