"""Engines: what they must be able to do, and which one, with which model, takes a file.

An engine is given windows, up to half a minute of voice each, and says what it hears in them. What
is the same for all of them (reading, finding voice, checking, files) is not its concern. A new
engine is a module with its class, its name in ``settings.ENGINES``, its line in ``load_engine``,
and its models in ``models.toml`` and ``BY_QUALITY``. Not here: recognising.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from av_pipelines.transcripts.settings import ENGINES, TranscriptSettings
from av_pipelines.transcripts.words import Word
from resources import accelerator
from resources.models import Entry, Model, ModelError, obtain_model, registry

if TYPE_CHECKING:
    import numpy as np

FindModel = Callable[[str], Model]
Progress = Callable[[float], None]
"""Called with the share of the file that is done, 0 to 1."""

BY_QUALITY: Mapping[str, tuple[str, ...]] = {
    "draft": ("tiny", "base", "tiny.en", "small", "large-v3-turbo", "large-v3"),
    "standard": ("small", "base", "tiny", "tiny.en", "large-v3-turbo", "large-v3"),
    "high": ("large-v3", "large-v3-turbo", "small", "base", "tiny", "tiny.en"),
}
"""Quality → models, the one that is meant first, then what stands in for it when it is missing."""

ON_GPU: Mapping[str, tuple[str, ...]] = {
    "standard": ("large-v3-turbo", "small", "base", "tiny", "tiny.en", "large-v3")
}
"""Where a GPU makes more affordable."""

MODEL_NAMES: Mapping[str, str] = {"faster-whisper": "whisper-", "mlx-whisper": "mlx-whisper-"}
"""Engine → how the registry calls its models: this, and one of the above."""


@dataclass(frozen=True)
class Hints:
    """What an engine is told beside the sound.

    ``language``: a code of Whisper's; None: it is detected. ``each_window``: for every window anew,
    else for all windows of the call together. ``careful``: take the time that certainty takes.
    """

    language: str | None = None
    each_window: bool = False
    careful: bool = False


@dataclass(frozen=True)
class Heard:
    """What an engine heard in a window; times are in seconds from the window's start.

    ``language_probability`` is None where the language was given. ``log_probability`` is the mean
    of the tokens', ``no_speech`` the engine's own probability that nobody speaks, and
    ``repetition`` how many times smaller the text is when compressed.
    """

    words: tuple[Word, ...]
    language: str | None
    language_probability: float | None
    log_probability: float
    no_speech: float
    repetition: float


class Engine(Protocol):
    """A speech model that is loaded."""

    device: str
    """What it computes on: ``cpu``, ``cuda``, ``mlx``."""

    def hear(self, windows: Sequence[np.ndarray], hints: Hints) -> list[Heard]:
        """Recognise windows of at most 30 s, mono float32 at 16 kHz; one result for each."""
        ...

    def align(self, window: np.ndarray, words: Sequence[Word], language: str) -> list[Word] | None:
        """Time words that are known to be said in a window; None where it cannot.

        The words' texts are kept, their times and probabilities are new, in seconds from the
        window's start.
        """
        ...


@dataclass(frozen=True)
class Choice:
    """The model that does the work; ``degraded`` says why it is not the one that was meant."""

    model: Model
    degraded: str | None = None


def choose(settings: TranscriptSettings, find: FindModel = obtain_model) -> Choice:
    """Choose the best model on this machine for the settings.

    Raises:
        ModelError: the model asked for by name cannot be had, or none can that would do.
    """
    if settings.model is not None:
        return Choice(find(settings.model))
    candidates = _candidates(settings)
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


def _candidates(settings: TranscriptSettings) -> list[str]:
    """Return the models that would do, the best first; of the same model, the best engine."""
    engines = ENGINES if settings.engine == "auto" else (settings.engine,)
    engines = [e for e in engines if settings.engine == e or _runs_here(e)]
    sizes = BY_QUALITY[settings.quality]
    if _on_gpu(settings):
        sizes = ON_GPU.get(settings.quality, sizes)
    names = (MODEL_NAMES[engine] + size for size in sizes for engine in engines)
    return [name for name in names if name in registry() and _suits(name, settings)]


def _runs_here(engine: str) -> bool:
    return importlib.util.find_spec(engine.replace("-", "_")) is not None


def _on_gpu(settings: TranscriptSettings) -> bool:
    if settings.device == "cpu":
        return False
    try:
        found = accelerator.choose(
            settings.device, kinds=("mlx", "cuda", "cpu"), library="ctranslate2"
        )
    except accelerator.DeviceError:
        return False  # said when the engine is loaded
    return found.kind != "cpu"


def _suits(name: str, settings: TranscriptSettings) -> bool:
    entry = registry()[name]
    if settings.task == "translate" and not entry.translates:
        return False
    # A model for one language is right only where that language is known to be spoken.
    return entry.knows("*" if settings.mixed_languages else settings.language or "*")


def _degraded(failures: Iterable[ModelError], candidates: list[str], taken: str) -> str | None:
    if taken == candidates[0]:
        return None
    damaged = [error.message for error in failures if error.code == "MODEL_LOAD_FAILED"]
    why = "; ".join(damaged) or f"{candidates[0]} is not on this machine"
    return f"{why}: transcribed by {taken}"


def _none_here(candidates: Sequence[str]) -> str:
    entries: dict[str, Entry] = {name: registry()[name] for name in candidates}
    if not entries:
        return "no model that is known does what is set: choose another engine, task or language"
    install = next((e.install for e in entries.values() if e.install), None)
    do = f"Run: pip install {install}. " if install else ""
    return (
        f"none of the models that would do is on this machine: {', '.join(entries)}. {do}"
        "To see where one is looked for, ask for it by name: model = "
        f'"{next(iter(entries))}"'
    )


def device_of(engine: str, settings: TranscriptSettings) -> accelerator.Device:
    """Return what an engine computes on here; DeviceError when what is asked for is not here."""
    if engine == "mlx-whisper":
        return accelerator.choose(settings.device, kinds=("mlx",))
    return accelerator.choose(settings.device, kinds=("cuda", "cpu"), library="ctranslate2")


def load_engine(model: Model, settings: TranscriptSettings) -> Engine:
    """Load a model with its engine; cheap when this process has it already.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``, naming the model's folder.
    """
    if model.engine == "faster-whisper":
        from av_pipelines.transcripts.faster_whisper import FasterWhisper

        return FasterWhisper(model, settings)
    if model.engine == "mlx-whisper":
        from av_pipelines.transcripts.mlx_whisper import MlxWhisper

        return MlxWhisper(model, settings)
    raise ModelError(
        "MODEL_LOAD_FAILED",
        f"{model.name} is for the engine {model.engine!r}; this room has: {', '.join(ENGINES)}",
    )
