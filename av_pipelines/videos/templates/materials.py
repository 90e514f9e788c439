"""What a template makes a film of: media with what is known of them.

Here: the data, and reading what other assets have written: words, loudness, scenes. Not here:
which artifact a file is (the caller knows), what is made of it (a module for each template).
"""

from __future__ import annotations

import filecmp
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from av_pipelines.videos.project_parts import Named

ASSETS = "01_Assets"


@dataclass(frozen=True)
class Material:
    """A file, how the project names it, and what other assets have found out about it.

    Attributes:
        path: the file itself.
        source: how the project names it (by its key); None: it is copied into the project.
        duration_s: of its sound, or of a film; None for a still, and where nobody knows.
        audio: ``audio.flac`` (or ``.w64``) of it.
        transcript: ``transcript.json``.
        loudness: ``loudness.json``.
        scenes: ``scenes.json``.
        picture: ``picture.npz``.
    """

    path: Path
    source: Named | None = None
    duration_s: float | None = None
    audio: Path | None = None
    transcript: Path | None = None
    loudness: Path | None = None
    scenes: Path | None = None
    picture: Path | None = None

    def named(self, folder: Path) -> dict[str, Any]:
        """Give the fields by which a shot or lane names it; a file without a key is copied."""
        if self.source:
            return self.source.model_dump(exclude_defaults=True)
        return {"path": self._copied(self.path, folder)}

    def heard(self, folder: Path) -> dict[str, Any]:
        """Give the fields of a lane: also where its words are, which a key tells by itself."""
        named = self.named(folder)
        if "path" in named and self.transcript:
            named["transcript"] = self._copied(self.transcript, folder)
        return named

    @staticmethod
    def _copied(path: Path, folder: Path) -> str:
        """Copy a file into the project's assets; give its path in the project."""
        stem = re.sub(r"[^\w.-]+", "-", path.stem).strip("-.") or "file"
        target = folder / ASSETS / (stem + path.suffix.lower())
        number = 1
        while target.exists() and not filecmp.cmp(path, target, shallow=False):
            number += 1
            target = target.with_name(f"{stem}-{number}{path.suffix.lower()}")
        if not target.exists():
            shutil.copyfile(path, target)
        return target.relative_to(folder).as_posix()


@dataclass(frozen=True)
class Materials:
    """All that a template is given."""

    title: str = ""
    artist: str = ""
    song: Material | None = None
    """What is heard: a song, a talk."""
    film: Material | None = None
    music: Material | None = None
    """What is played under pictures."""
    pictures: tuple[Material, ...] = ()
    """Stills, such as the picture of a track."""
    clips: tuple[Material, ...] = ()
    """Films without their sound, as a background."""


@dataclass(frozen=True)
class Line:
    """A line of a transcript, in seconds."""

    start_s: float
    end_s: float
    text: str


def lines_of(transcript: Path) -> list[Line]:
    """Read the lines of a ``transcript.json`` that have words."""
    data = json.loads(transcript.read_text("utf-8"))
    return [
        Line(float(s["start_s"]), float(s["end_s"]), str(s["text"]))
        for s in data["segments"]
        if s["words"]
    ]


def length_of(material: Material) -> float:
    """Give the seconds of a sound or a film; ValueError where nobody knows."""
    if material.duration_s is not None:
        return material.duration_s
    if material.audio:
        from av_pipelines.media.audio import probe_audio

        found = probe_audio(material.audio).duration_s
        if found:
            return found
    raise ValueError(f"{material.path}: it is not known how long it is: make its audio first")


def loudness_over(loudness: Path | None, spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """Measure how loud stretches are at most, in LUFS, float64 (spans,); silence is -70."""
    quiet = np.full(len(spans), -70.0)
    if loudness is None:
        return quiet
    curve = json.loads(loudness.read_text("utf-8"))["curve"]
    times = np.array(curve["times_s"], float)
    levels = np.array([-70.0 if v is None else v for v in curve["lufs"]], float)
    if not len(times):
        return quiet
    at = [np.searchsorted(times, span) for span in spans]
    return np.array(
        [levels[low : max(high, low + 1)].max(initial=-70.0) for low, high in at], float
    )


def frames_of(seconds: float, fps: Fraction | int) -> int:
    """Give the nearest whole number of frames, at least one."""
    return max(1, round(seconds * Fraction(fps)))
