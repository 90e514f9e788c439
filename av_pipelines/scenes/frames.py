"""``frames``: stills of a film at scene changes, at an interval, or at listed times.

Here: which frames are wanted, and ``frames.json``. Not here: getting them (``stills``, ``film``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from av_pipelines.media.confined import ConfinedError
from av_pipelines.scenes.film import FilmInfo
from av_pipelines.scenes.settings import FramesSettings
from av_pipelines.scenes.sheet import clock
from av_pipelines.scenes.stills import SUFFIXES, Look, Target, take_stills

PREVIEW = "overview.jpg"


@dataclass(frozen=True)
class Stills:
    """What came of it; ``degraded`` says what is missing and why, None if nothing is."""

    facts: dict[str, Any]
    rows: list[dict[str, Any]]
    degraded: str | None


def make_frames(
    film: Path,
    info: FilmInfo,
    scenes: Mapping[str, Any],
    shots: Sequence[Mapping[str, Any]],
    out: Path,
    settings: FramesSettings,
    progress: Callable[[float], None] = lambda share: None,
) -> Stills:
    """Save the stills asked for, ``frames.json`` and ``overview.jpg``.

    Args:
        film: the file.
        info: what is known of it.
        scenes: ``scenes.json`` of the film.
        shots: the ``shots`` of its ``shots.json``.
        out: an empty folder.
        settings: which stills, and how they are saved.
        progress: called with the share done.

    Raises:
        ConfinedError: the film could not be read, or not one still of it.
    """
    times = _times(scenes, shots, settings)
    flaws = []
    if len(times) > settings.max_stills:
        flaws.append(f"{settings.max_stills} of {len(times)} stills (frames.max_stills)")
        step = len(times) / settings.max_stills
        times = [times[int(k * step)] for k in range(settings.max_stills)]
    suffix, width = SUFFIXES[settings.format], max(4, len(str(len(times))))
    targets = [
        Target(float(time), f"frame-{number:0{width}d}.{suffix}", clock(time))
        for number, time in enumerate(times, 1)
    ]
    look = Look(
        format=settings.format,
        quality=settings.quality,
        max_width=settings.max_width,
        max_height=settings.max_height,
        preview=PREVIEW,
    )
    found = take_stills(
        film, info, targets, out, look, hardware=settings.hardware, progress=progress
    )
    rows = [
        {"file": still.name, "asked_s": round(time, 6), "time_s": still.time_s, "pts": still.pts}
        for time, still in zip(times, found, strict=True)
        if still
    ]
    if not rows:
        raise ConfinedError("not one frame of the film can be decoded")
    if len(rows) < len(times):
        flaws.append(f"{len(times) - len(rows)} of {len(times)} times are in a damaged part")
    (out / "frames.json").write_text(json.dumps({"stills": rows}, indent=1) + "\n", "utf-8")
    return Stills({"stills": len(rows), "format": settings.format}, rows, "; ".join(flaws) or None)


def _times(
    scenes: Mapping[str, Any], shots: Sequence[Mapping[str, Any]], settings: FramesSettings
) -> Sequence[float]:
    """Give the times asked for, in seconds, in order, each once."""
    if settings.at == "times":
        return sorted(set(settings.times_s))
    if settings.at == "scenes":
        return [shot["clear_s"] for shot in shots]
    found = scenes["scenes"]
    first, last = found[0]["start_s"], found[-1]["end_s"]
    count = max(1, -(-(last - first) // settings.interval_s))
    return [first + k * settings.interval_s for k in range(int(count))]
