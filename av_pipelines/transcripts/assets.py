"""The ``transcript`` asset: from ``audio``, with ``TranscriptSettings``, by an engine at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.maker import Check, Checked, Choice, Job, Made, Maker, Product
from av_pipelines.transcripts import engines
from av_pipelines.transcripts.settings import TranscriptSettings
from resources.manifest import ModelRef
from resources.metering import on_gpu

if TYPE_CHECKING:
    from av_pipelines.transcripts.transcribe import TranscriptResult

NO_VOCALS = "there are no stems: voice was looked for in the whole mix"
_SHOWN_SEGMENTS = 20
_SHOWN_DOUBTS = 20


def choose(settings: TranscriptSettings) -> Choice:
    """Choose engine and model for the settings; ModelError when none is here."""
    chosen = engines.choose(settings)
    model = chosen.model
    return Choice(
        engine=model.engine,
        model=ModelRef(name=model.name, sha256=model.sha256, licence=model.licence),
        degraded=chosen.degraded,
        handle=chosen,
    )


def _make(job: Job) -> dict[str, Made]:
    from av_pipelines.transcripts.transcribe import transcribe_file

    assert job.choice
    folder = job.out["transcript"]
    audio, stems, scenes = (job.inputs.get(name) for name in ("audio", "stems", "scenes"))
    assert audio
    settings, chosen = job.settings["transcript"], job.choice.handle
    device = engines.device_of(chosen.model.engine, settings)
    with on_gpu(device, job.meter):
        result = transcribe_file(
            audio.first("audio.flac", "audio.w64"),
            folder,
            settings,
            choice=chosen,
            progress=job.progress,
            vocals=stems and stems.first("vocals.flac", "vocals.w64"),
            scenes=scenes and scenes.file("scenes.json"),
            starts_s=audio.manifest.facts.get("start_s", 0.0),
            title=Path(job.media.origin).stem,
        )
    tables = {
        "segments": _segments(folder),
        "not to be trusted": _doubts(result),
        "rules not kept": result.lint,
    }
    no_vocals = NO_VOCALS if settings.song and not stems else None
    noted = "; ".join(filter(None, [device.note, no_vocals, result.noted])) or None
    return {"transcript": Made(result.facts, noted, tables=tables)}


def _doubts(result: TranscriptResult) -> list[dict[str, Any]]:
    """The first stretches not to be trusted, for the UI."""
    return [
        {
            "start_s": round(d.start_s, 2),
            "end_s": round(d.end_s, 2),
            "why": d.reason,
            "text": d.text,
        }
        for d in result.doubts[:_SHOWN_DOUBTS]
    ]


def _segments(folder: Path) -> list[dict[str, Any]]:
    """The first segments, for the UI."""
    transcript = json.loads((folder / "transcript.json").read_text("utf-8"))
    return [
        {"start_s": s["start_s"], "end_s": s["end_s"], "text": s["text"]}
        for s in transcript["segments"][:_SHOWN_SEGMENTS]
    ]


_LEAST_COVERAGE = 0.95


def _uncovered(checked: Checked) -> str | None:
    coverage = checked.facts.get("coverage")
    if coverage is None or coverage >= _LEAST_COVERAGE:
        return None
    return f"{1 - coverage:.0%} of the voice has no words"


TRANSCRIPTS = Maker(
    name="transcript",
    products=(
        Product(
            name="transcript",
            description="What is said, word by word, as text and subtitles.",
            group="audio",
            settings=TranscriptSettings,
            code_version="3",
            inputs=("audio",),
            optional_inputs={
                "stems": lambda settings: settings.song,
                "scenes": lambda settings: settings.keep_off_cuts,
            },
            kinds=frozenset({"whisper"}),
            checks=(
                Check(
                    "coverage",
                    f"At least {_LEAST_COVERAGE:.0%} of the voice has words.",
                    _uncovered,
                ),
            ),
        ),
    ),
    make=_make,
    pool="gpu",
    choose=choose,
)
