"""From the folder of a project to its cut, with artifacts that a test has made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from av_pipelines.media.audio import AudioWriter
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.cut_of import read_cut
from av_pipelines.videos.gather import gather
from av_pipelines.videos.project_file import read_project
from av_pipelines.videos.resolve import Held, Resolver
from av_pipelines.videos.settings import TimelineSettings
from av_pipelines.videos.timeline import write_timeline


@dataclass
class Studio:
    """A store of some artifacts: (key, asset) → its folder and facts."""

    artifacts: dict[tuple[str, str], tuple[Path, dict[str, Any]]] = field(default_factory=dict)

    def add(self, key: str, asset: str, folder: Path, **facts: Any) -> None:
        self.artifacts[key, asset] = folder, facts

    def held(self, key: str, asset: str, take: int | None = None) -> Held | None:
        found = self.artifacts.get((key, asset))
        return Held(asset, key, "0" * 64, *found) if found else None

    def cut(self, folder: Path, out: Path) -> Cut:
        """Compile the project in a folder."""
        project = read_project(folder)
        resolver = Resolver(folder / "project.json", self)
        out.mkdir()
        write_timeline(project, gather(project, resolver), TimelineSettings(), resolver.wrong, out)
        return read_cut(out / "timeline.otio")


def write_transcript(
    path: Path, lines: Sequence[Sequence[tuple[str, float, float]]], duration_s: float
) -> Path:
    """Write ``transcript.json`` of lines of (word, start, end)."""
    segments = [
        {
            "start_s": line[0][1],
            "end_s": line[-1][2],
            "text": " ".join(word for word, *_ in line),
            "words": [
                {"text": w, "start_s": a, "end_s": b, "probability": 0.9, "spaced": True}
                for w, a, b in line
            ],
        }
        for line in lines
    ]
    data = {"language": "en", "duration_s": duration_s, "segments": segments}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")
    return path


def write_sound(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    """Write mono samples, float32 (samples,), as FLAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with AudioWriter(path, "flac", rate, "mono") as writer:
        writer.write(samples[None].astype(np.float32))
    return path


def clicks(bpm: float, seconds: float, first: float = 0.2, rate: int = 16_000) -> np.ndarray:
    """A click on every beat over soft noise, float32 (samples,)."""
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 0.003, round(seconds * rate))
    click = np.exp(-np.arange(800) / 120) * np.sin(np.arange(800) * 0.5)
    for time in np.arange(first, seconds - 0.1, 60 / bpm):
        at = round(time * rate)
        samples[at : at + 800] += 0.5 * click
    return samples.astype(np.float32)


def picture(path: Path, size: tuple[int, int], at: tuple[float, float] = (0.5, 0.5)) -> Path:
    """A photograph of a bright ball on a grey wall."""
    image = Image.effect_noise(size, 20).convert("RGB")
    x, y, r = at[0] * size[0], at[1] * size[1], min(size) * 0.12
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), (230, 120, 40))
    image.save(path)
    return path


def facts_of(project: Mapping[str, Any], name: str) -> list[Any]:
    """List a field of all shots of a ``project.json``."""
    return [shot.get(name) for shot in project["shots"]]
