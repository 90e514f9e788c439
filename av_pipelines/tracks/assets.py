"""The ``track`` asset: from a request, by the procedural engine or MusicGen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.maker import Choice, Job, Made, Maker, Product
from av_pipelines.tracks.request import more_takes, seed_of
from av_pipelines.tracks.settings import TrackSettings
from resources import accelerator
from resources.manifest import PromptRecord
from resources.metering import on_gpu
from resources.store import Store

log = logging.getLogger(__name__)

_NO_PROMPT = "there is no prompt: what the settings leave open was drawn by the seed"


def choose(settings: TrackSettings) -> Choice:
    """Choose the engine and its model; ModelError when the one asked for is not here."""
    from av_pipelines.tracks.musicgen import engine as musicgen

    if settings.engine == "musicgen" or (settings.engine == "auto" and musicgen.is_here(settings)):
        chosen = musicgen.choose(settings)
        return Choice("musicgen", chosen.ref, chosen.degraded, handle=chosen)
    return Choice("procedural")


def _make(job: Job) -> dict[str, Made]:
    from av_pipelines.tracks.marking import mark

    assert job.choice
    settings: TrackSettings = job.settings["track"]
    seed_of(settings)  # a request without one was never completed
    out = job.out["track"]
    note = {} if settings.prompt.strip() else {"note": _NO_PROMPT}
    if note:
        log.warning("%s: %s", job.media.origin, _NO_PROMPT)
    if job.choice.engine == "musicgen":
        from av_pipelines.tracks.musicgen import engine

        chosen = job.choice.handle
        device = engine.choose_device(settings, chosen)
        with on_gpu(device, job.meter):
            made = engine.generate(settings, chosen, out, device=device, progress=job.progress)
    else:
        from av_pipelines.tracks.procedural import generate

        device = accelerator.choose(settings.device)
        with on_gpu(device, job.meter):
            made = generate(settings, out, device=device, progress=job.progress)
    marking = mark(
        out,
        settings,
        track_id=job.versions["track"],
        engine=job.choice.engine,
        model=job.choice.model,
        facts=made.facts,
    )
    return {
        "track": Made(
            {**made.facts, **marking, "device": device.kind, **note},
            degraded="; ".join(filter(None, [device.note, made.degraded])) or None,
            pictures=made.pictures,
            tables=made.tables,
        )
    }


def _verify(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.media.audio import verify_audio

    verify_audio(folder / "track.flac", facts)


def _settle(record: PromptRecord, store: Store) -> None:
    """Remove a prompt file from where it was dropped, now that its track is published."""
    origin = Path(record.origin)
    if record.mtime_ns and store.inbox in origin.parents:
        with contextlib.suppress(FileNotFoundError):
            if origin.stat().st_mtime_ns == record.mtime_ns:
                origin.unlink()


TRACKS = Maker(
    name="track",
    products=(
        Product(
            name="track",
            description="Music made from a prompt, with its parts and its score.",
            group="generated",
            settings=TrackSettings,
            code_version="2",
            kinds=frozenset({"flac"}),
            verify=_verify,
        ),
    ),
    make=_make,
    partitions="prompts",
    pool="generation",
    choose=choose,
    settle=_settle,
    takes=more_takes,
)
