"""The ``source`` and ``audio`` assets: both from one pass over the file that was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.intake.claim import identify, place, settle, taken
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.maker import Job, Made, Maker, Product, Refused, Skip
from resources.store import Artifact

NO_AUDIO = "it has no audio stream"


def _make(job: Job) -> dict[str, Made | Skip]:
    from av_pipelines.intake import refusal
    from av_pipelines.intake.child import read_media, reproduce_command
    from av_pipelines.intake.taps import audio_taps, source_taps

    limits = job.settings.get("source", SourceSettings())
    sound = job.settings.get("audio", AudioSettings())
    taps = []
    if "source" in job.out:
        media = place(job.media, job.out["source"])
        taps += source_taps(job.out["source"])
    else:
        media = taken(job.inputs["source"])
    if "audio" in job.out:
        taps += audio_taps(job.out["audio"])
    try:
        report = read_media(media, taps, limits, sound, job.progress)
    except refusal.Refused as refused:
        raise Refused(
            f"{Path(job.media.origin).name} {refused.reason}",
            lambda path: reproduce_command(path, limits, sound),
            refused.detail,
        ) from refused
    job.meter.add_child(report.cpu_s, report.peak_rss_bytes)
    made: dict[str, Made | Skip] = {}
    if "source" in job.out:
        facts = {"file": media.name, **report.facts.get("source", {})}
        poster = {"poster": "poster.jpg"} if (job.out["source"] / "poster.jpg").exists() else {}
        made["source"] = Made(facts, degraded=report.degraded, pictures=poster)
    if "audio" in job.out:
        facts = report.facts.get("audio")
        picture = {"waveform": "waveform.png"}
        made["audio"] = Made(facts, pictures=picture) if facts else Skip(NO_AUDIO)
    return made


def _no_audio(inputs: Mapping[str, Artifact]) -> str | None:
    return None if "audio_codec" in inputs["source"].manifest.facts else NO_AUDIO


def _verify_audio(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.media.audio import verify_audio

    verify_audio(folder / facts["file"], facts)


INTAKE = Maker(
    name="intake",
    products=(
        Product(
            name="source",
            description="The bytes that were dropped, and what is in them.",
            group="media",
            settings=SourceSettings,
            code_version="1",
            kinds=frozenset({"ffmpeg"}),
        ),
        Product(
            name="audio",
            description="The sound, lossless, at its own rate and channels.",
            group="media",
            settings=AudioSettings,
            code_version="1",
            inputs=("source",),
            kinds=frozenset({"flac"}),
            applies=_no_audio,
            verify=_verify_audio,
        ),
    ),
    make=_make,
    pool="decode",
    identify=identify,
    settle=settle,
)
