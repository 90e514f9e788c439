"""The ``transcript`` asset: from ``audio``, with ``TranscriptSettings``, by an engine at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from av_pipelines.maker import Choice, Job, Made, Maker, Product
from av_pipelines.transcripts import engines
from av_pipelines.transcripts.settings import TranscriptSettings
from resources.manifest import ModelRef

_SHOWN_SEGMENTS = 20


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
    result = transcribe_file(
        job.inputs["audio"].first("audio.flac", "audio.w64"),
        folder,
        job.settings["transcript"],
        choice=job.choice.handle,
        progress=job.progress,
    )
    return {"transcript": Made(result.facts, tables={"segments": _segments(folder)})}


def _segments(folder: Path) -> list[dict[str, Any]]:
    """The first segments, for the UI."""
    transcript = json.loads((folder / "transcript.json").read_text("utf-8"))
    return [
        {"start_s": s["start_s"], "end_s": s["end_s"], "text": s["text"]}
        for s in transcript["segments"][:_SHOWN_SEGMENTS]
    ]


TRANSCRIPTS = Maker(
    name="transcript",
    products=(
        Product(
            name="transcript",
            description="What is said, word by word, as text and subtitles.",
            group="audio",
            settings=TranscriptSettings,
            code_version="1",
            inputs=("audio",),
            kinds=frozenset({"whisper"}),
        ),
    ),
    make=_make,
    choose=choose,
)
