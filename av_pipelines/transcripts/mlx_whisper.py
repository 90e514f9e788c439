"""The engine ``mlx-whisper``: OpenAI's Whisper on Apple Silicon's GPU, by Apple's MLX.

Imported only there (the package is for macOS on ARM). The same rules as in ``faster_whisper``:
temperature 0, no text of the window before. Windows are recognised one by one: the library has no
batches, and the GPU is busy with one.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from av_pipelines.transcripts.engines import Heard, Hints
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.words import Word, word
from resources.models import Model, ModelError


class MlxWhisper:
    """A Whisper model in MLX's format (see ``engines.Engine``); loaded on the first window.

    Args:
        model: a folder with ``config.json`` and weights.
        settings: task, prompt and hot words count; the library has no beam search.
    """

    device = "mlx"

    def __init__(self, model: Model, settings: TranscriptSettings) -> None:
        self._model, self._settings = model, settings

    def hear(self, windows: Sequence[np.ndarray], hints: Hints) -> list[Heard]:
        """Recognise windows, one after the other."""
        found: list[Heard] = []
        language, probability = hints.language, None
        for window in windows:
            if hints.each_window:
                language = hints.language
            result = self._transcribe(window, language)
            if language is None:
                probability = None  # the library does not tell it
                language = result["language"]
            found.append(_heard(result, language, probability))
        return found

    def align(self, window: np.ndarray, words: Sequence[Word], language: str) -> list[Word] | None:
        """Time known words: this library cannot; they are spread between their neighbours."""
        return None

    def _transcribe(self, window: np.ndarray, language: str | None) -> dict[str, Any]:
        library = importlib.import_module("mlx_whisper")  # there on Apple Silicon alone
        settings = self._settings
        prompt = " ".join(filter(None, [settings.hotwords, settings.initial_prompt])) or None
        try:
            return library.transcribe(
                window,
                path_or_hf_repo=str(self._model.path),
                word_timestamps=True,
                temperature=0.0,
                condition_on_previous_text=False,
                initial_prompt=prompt,
                language=language,
                task=settings.task,
                verbose=None,
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                "MODEL_LOAD_FAILED",
                f"{self._model.name} in {self._model.path} cannot be used by mlx-whisper: {error}",
            ) from error


def _heard(result: dict[str, Any], language: str | None, probability: float | None) -> Heard:
    segments = result["segments"]
    words = [
        made
        for segment in segments
        for w in segment.get("words", ())
        if (made := word(w["word"], float(w["start"]), float(w["end"]), float(w["probability"])))
    ]

    def mean(name: str, empty: float) -> float:
        return float(np.mean([s[name] for s in segments])) if segments else empty

    return Heard(
        tuple(words),
        language,
        probability,
        mean("avg_logprob", 0.0),
        mean("no_speech_prob", 1.0),
        mean("compression_ratio", 0.0),
    )
