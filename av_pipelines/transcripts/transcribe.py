"""From a file with sound to the files of its transcript: what the asset calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from av_pipelines.transcripts.engines import Choice, FindModel, Progress, choose, load_engine
from av_pipelines.transcripts.formats import write_formats
from av_pipelines.transcripts.settings import TranscriptSettings
from resources.models import find_model


@dataclass(frozen=True)
class TranscriptResult:
    """What came out, beside the files.

    ``facts``: ``words``, ``language`` and ``language_probability`` (None where there is none),
    ``duration_s``, ``engine``, ``model``, ``device``.
    """

    facts: Mapping[str, Any]
    degraded: str | None
    model_sha256: str
    files: tuple[Path, ...]


def transcribe_file(
    audio: Path,
    out: Path,
    settings: TranscriptSettings,
    *,
    find: FindModel = find_model,
    choice: Choice | None = None,
    progress: Progress = lambda share: None,
) -> TranscriptResult:
    """Transcribe a file and write ``transcript.json``, ``.txt``, ``.srt`` and ``.vtt``.

    Args:
        audio: a file this project wrote.
        out: a folder that is there.
        settings: how.
        find: where models come from.
        choice: the model, where it was chosen before (``engines.choose``).
        progress: called with the share done, 0 to 1.

    Raises:
        ModelError: the model cannot be had or loaded.
    """
    choice = choice or choose(settings, find)
    transcript = load_engine(choice.model, settings).transcribe(audio, settings, progress)
    facts = {
        "words": len(transcript.words),
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        "duration_s": transcript.duration_s,
        "engine": transcript.engine,
        "model": transcript.model,
        "device": transcript.device,
    }
    files = write_formats(transcript, out)
    return TranscriptResult(facts, choice.degraded, choice.model.sha256, tuple(files))
