"""The ``source``, ``audio`` and ``picture`` assets: all from one pass over the file dropped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.intake.claim import identify, place, settle, taken
from av_pipelines.intake.settings import AudioSettings, PictureSettings, SourceSettings
from av_pipelines.maker import Check, Checked, Job, Made, Maker, Product, Refused, Skip
from resources.store import Artifact

NO_AUDIO = "it has no audio stream"
NO_VIDEO = "it has no video stream"


def _make(job: Job) -> dict[str, Made | Skip]:
    from av_pipelines.intake import refusal
    from av_pipelines.intake.child import read_media, reproduce_command
    from av_pipelines.intake.taps import audio_taps, picture_taps, source_taps

    limits = job.settings.get("source", SourceSettings())
    sound = job.settings.get("audio", AudioSettings())
    film = job.settings.get("picture", PictureSettings())
    taps = []
    if "source" in job.out:
        media = place(job.media, job.out["source"])
        taps += source_taps(job.out["source"])
    else:
        media = taken(job.inputs["source"])
    if "audio" in job.out:
        taps += audio_taps(job.out["audio"])
    if "picture" in job.out:
        taps += picture_taps(job.out["picture"], keyframes_only=film.keyframes_only)
    try:
        report = read_media(media, taps, limits, sound, job.progress, job.meter.add_child)
    except refusal.Refused as refused:
        raise Refused(
            f"{Path(job.media.origin).name} {refused.reason}",
            lambda path: reproduce_command(path, limits, sound),
            refused.detail,
        ) from refused
    made: dict[str, Made | Skip] = {}
    if "source" in job.out:
        facts = {"file": media.name, **report.facts.get("source", {})}
        poster = {"poster": "poster.jpg"} if (job.out["source"] / "poster.jpg").exists() else {}
        made["source"] = Made(facts, degraded=report.degraded, pictures=poster)
    if "audio" in job.out:
        facts = report.facts.get("audio")
        picture = {"waveform": "waveform.png"}
        made["audio"] = Made(facts, pictures=picture) if facts else Skip(NO_AUDIO)
    if "picture" in job.out:
        facts = report.facts.get("picture")
        made["picture"] = Made(facts, degraded=_gaps(facts)) if facts else Skip(NO_VIDEO)
    return made


def _no_audio(inputs: Mapping[str, Artifact]) -> str | None:
    return None if "audio_codec" in inputs["source"].manifest.facts else NO_AUDIO


def _no_video(inputs: Mapping[str, Artifact]) -> str | None:
    return None if "video_codec" in inputs["source"].manifest.facts else NO_VIDEO


def _gaps(facts: Mapping[str, Any]) -> str | None:
    """Say where the film has holes."""
    holes = [f"from {start:.2f} to {end:.2f} s" for start, end in facts["gaps"]]
    if not holes:
        return None
    more = f" and in {len(holes) - 3} more places" if len(holes) > 3 else ""
    return f"its picture is missing {', '.join(holes[:3])}{more}"


def _verify_picture(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.media.picture import verify_picture

    verify_picture(folder / facts["file"])


def _verify_audio(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.media.audio import verify_audio

    verify_audio(folder / facts["file"], facts)


def _silent(checked: Checked) -> str | None:
    if checked.facts["integrated_lufs"] is not None:
        return None
    return "nothing in it is loud enough to be measured (ITU-R BS.1770 gate, -70 LUFS)"


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
            checks=(Check("not_silent", "There is something to hear.", _silent),),
        ),
        Product(
            name="picture",
            description="What the scenes are found in: signals and a thumbnail of every frame.",
            group="media",
            settings=PictureSettings,
            code_version="2",
            inputs=("source",),
            kinds=frozenset({"numpy"}),
            applies=_no_video,
            verify=_verify_picture,
        ),
    ),
    make=_make,
    pool="decode",
    identify=identify,
    settle=settle,
)
