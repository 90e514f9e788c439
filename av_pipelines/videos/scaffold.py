"""``avp new NAME``: a project's folder, with what belongs in it, under version control.

Here: the folders, the manifest, the git repository with its first commit, and whether Git LFS is
there to hold its media. Not here: what a project says (``project``).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from av_pipelines.videos.project import Project, ProjectSettings
from av_pipelines.videos.project_file import FILE, ProjectError, save_project

FOLDERS = {
    "01_Assets": "films, pictures and sounds as they came",
    "02_Audio": "music, voices and effects that are made for the film",
    "03_Graphics": "titles, logos and other pictures that are laid over it",
    "04_Edit": "timelines (OTIO, EDL) from editing programs",
    "05_Renders": "what was rendered to look at on the way",
    "06_Exports": "what is delivered",
}
MEDIA = (
    "mp4", "mov", "mkv", "webm", "avi", "mxf", "m4v",
    "wav", "w64", "flac", "aif", "aiff", "mp3", "m4a", "ogg", "opus",
    "png", "jpg", "jpeg", "tif", "tiff", "webp", "psd", "exr",
)  # fmt: skip
"""Endings of the files that Git LFS holds."""

NO_LFS = (
    "Git LFS is not installed. Media files are to be kept with it, as .gitattributes says: install "
    "it (https://git-lfs.com), run `git lfs install`, and only then add media to the repository"
)
NO_GIT = "git is not installed, so the folder is no repository: install git and run `git init`"

_IGNORED = """\
# What can be rendered again.
05_Renders/*
06_Exports/*
!**/.gitkeep

# What programs leave behind.
*.tmp
*.part
*~
.DS_Store
Thumbs.db
"""
_README = """\
# {title}

`project.json` says what the film is made of; `avp video {command}` renders it.

{folders}
"""


@dataclass(frozen=True)
class Scaffold:
    """A new project's folder."""

    folder: Path
    project: Project
    committed: bool
    warnings: tuple[str, ...]
    """What is missing on this machine, and what to do about it."""


def new_project(
    name: str, parent: Path, *, title: str | None = None, settings: ProjectSettings | None = None
) -> Scaffold:
    """Make a project's folder; nothing is left of it if that fails.

    Args:
        name: of the folder.
        parent: where it is made.
        title: of the film; None: the name, in words.
        settings: of the film.

    Raises:
        ProjectError: the name is none for a folder, or there is one already.
    """
    if not re.fullmatch(r"[\w][\w .()+-]{0,99}", name) or name.endswith((".", " ")):
        raise ProjectError(
            f"{name!r} is no name for a project's folder: up to 100 letters, digits, blanks and "
            "._()+-, beginning with a letter or a digit"
        )
    folder = parent / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        raise ProjectError(f"{folder} is there already; choose another name") from None
    try:
        words = re.sub(r"[_-]+", " ", name).strip()
        project = _fill(folder, title or words, settings or ProjectSettings())
        committed, warnings = _commit(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Scaffold(folder, project, committed, warnings)


def _fill(folder: Path, title: str, settings: ProjectSettings) -> Project:
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name / ".gitkeep").touch()
    lines = "\n".join(f"- `{name}`: {what}" for name, what in FOLDERS.items())
    readme = _README.format(title=title, command=shlex.quote(folder.name), folders=lines)
    (folder / "README.md").write_text(readme, "utf-8")
    (folder / ".gitignore").write_text(_IGNORED, "utf-8")
    attributes = ["* text=auto", "*.edl -text", "*.otio text eol=lf", "*.json text eol=lf"]
    for ending in MEDIA:
        pattern = "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in ending)
        attributes.append(f"*.{pattern} filter=lfs diff=lfs merge=lfs -text")
    (folder / ".gitattributes").write_text("\n".join(attributes) + "\n", "utf-8")
    return save_project(folder / FILE, Project(title=title, project_settings=settings), 0)


def _commit(folder: Path) -> tuple[bool, tuple[str, ...]]:
    """Make the repository and its first commit."""
    if shutil.which("git") is None:
        return False, (NO_GIT,)
    warnings = () if _git(folder, "lfs", "version").returncode == 0 else (NO_LFS,)
    steps = [("init", "--quiet", "--initial-branch=main")]
    if not warnings:
        steps.append(("lfs", "install", "--local"))
    steps += [("add", "--all"), ("commit", "--quiet", "--no-verify", "-m", "A new project")]
    for step in steps:
        done = _git(folder, *step)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-500:]
            return False, (*warnings, f"`git {' '.join(step)}` in {folder} failed: {said}")
    return True, warnings


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in the folder; who has no name there yet commits under one that says so."""
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {k: v for k, v in os.environ.items() if k not in elsewhere}
    known = subprocess.run(
        ["git", "config", "user.email"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    who: list[str] = []
    if known.returncode:
        who = ["-c", "user.name=avp", "-c", "user.email=avp@localhost"]
    return subprocess.run(
        ["git", *who, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
