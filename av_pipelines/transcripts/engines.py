"""Engines: what they must be able to do, and which one, with which model, takes a file.

A new engine is a module with its class, its name in ``settings.ENGINES``, its line in
``load_engine``, and its models in ``models.toml`` and ``BY_QUALITY``. Not here: recognising.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from av_pipelines.transcripts.settings import ENGINES, TranscriptSettings
from av_pipelines.transcripts.words import Transcript
from resources.models import Entry, Model, ModelError, find_model, registry

FindModel = Callable[[str], Model]
Progress = Callable[[float], None]
"""Called with the share of the file that is done, 0 to 1."""

BY_QUALITY: Mapping[str, tuple[str, ...]] = {
    "draft": (
        "whisper-tiny",
        "whisper-base",
        "whisper-tiny.en",
        "whisper-small",
        "whisper-large-v3-turbo",
        "whisper-large-v3",
    ),
    "standard": (
        "whisper-small",
        "whisper-base",
        "whisper-tiny",
        "whisper-tiny.en",
        "whisper-large-v3-turbo",
        "whisper-large-v3",
    ),
    "high": (
        "whisper-large-v3",
        "whisper-large-v3-turbo",
        "whisper-small",
        "whisper-base",
        "whisper-tiny",
        "whisper-tiny.en",
    ),
}
"""Quality → models, the one that is meant first, then what stands in for it when it is missing."""


class Engine(Protocol):
    """Something that writes down what is said in a file."""

    def transcribe(
        self, audio: Path, settings: TranscriptSettings, progress: Progress
    ) -> Transcript:
        """Transcribe the first audio stream of a file this project wrote, of any rate and layout.

        The words of the result have been through ``words.tidy``. A file without speech gives a
        transcript without segments.
        """
        ...


@dataclass(frozen=True)
class Choice:
    """The model that does the work; ``degraded`` says why it is not the one that was meant."""

    model: Model
    degraded: str | None = None


def choose(settings: TranscriptSettings, find: FindModel = find_model) -> Choice:
    """Choose the best model on this machine for the settings.

    Raises:
        ModelError: the model asked for by name cannot be had, or none can that would do.
    """
    if settings.model is not None:
        return Choice(find(settings.model))
    candidates = [name for name in BY_QUALITY[settings.quality] if _suits(name, settings)]
    failures: list[ModelError] = []
    for name in candidates:
        try:
            model = find(name)
        except ModelError as error:
            failures.append(error)
            continue
        return Choice(model, _degraded(failures, candidates, name))
    broken = next((e for e in failures if e.code == "MODEL_LOAD_FAILED"), None)
    if broken is not None:
        raise broken
    raise ModelError("MODEL_NOT_FOUND", _none_here(candidates))


def _suits(name: str, settings: TranscriptSettings) -> bool:
    entry = registry()[name]
    if entry.engine not in (ENGINES if settings.engine == "auto" else (settings.engine,)):
        return False
    if settings.task == "translate" and not entry.translates:
        return False
    # A model for one language is right only where that language is known to be spoken.
    return entry.knows(settings.language or "*")


def _degraded(failures: Iterable[ModelError], candidates: list[str], taken: str) -> str | None:
    if taken == candidates[0]:
        return None
    damaged = [error.message for error in failures if error.code == "MODEL_LOAD_FAILED"]
    why = "; ".join(damaged) or f"{candidates[0]} is not on this machine"
    return f"{why}: transcribed by {taken}"


def _none_here(candidates: Iterable[str]) -> str:
    entries: dict[str, Entry] = {name: registry()[name] for name in candidates}
    install = next((e.install for e in entries.values() if e.install), None)
    do = f"Run: pip install {install}. " if install else ""
    return (
        f"none of the models that would do is on this machine: {', '.join(entries)}. {do}"
        "To see where one is looked for, ask for it by name: model = "
        f'"{next(iter(entries))}"'
    )


def load_engine(model: Model, settings: TranscriptSettings) -> Engine:
    """Load a model with its engine; cheap when this process has it already.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``, naming the model's folder.
    """
    if model.engine == "faster-whisper":
        from av_pipelines.transcripts.faster_whisper import FasterWhisper

        return FasterWhisper(model, threads=settings.threads)
    raise ModelError(
        "MODEL_LOAD_FAILED",
        f"{model.name} is for the engine {model.engine!r}; this room has: {', '.join(ENGINES)}",
    )
