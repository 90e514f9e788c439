"""The engine ``faster-whisper``: OpenAI's Whisper on CTranslate2, 8-bit on the CPU.

What it does with the settings, and why it always does some things:

* Each window is decoded without the text before it (``condition_on_previous_text=False``). With
  it, one repetition is the prompt of the next and a loop can go on to the end of the file.
* Only temperature 0: beam search. Whisper's fallback to sampling cannot be seeded for a file
  (CTranslate2's generator belongs to a worker thread and goes on where it was), so the result
  would depend on what the process transcribed before. Beam search is repeatable: the same
  samples, settings, model, versions and thread count on the same kind of CPU give the same words.
* Voice is looked for with the Silero detector inside faster-whisper, no file beside it needed.

The whole file is held as 16 kHz mono float (0.23 GB an hour) with its spectrogram.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from av_pipelines.media.audio import read_blocks
from av_pipelines.transcripts.engines import Progress
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.words import Transcript, Word, tidy, word
from resources.models import Model, ModelError

if TYPE_CHECKING:
    import faster_whisper
    from faster_whisper.transcribe import Word as FoundWord

SAMPLE_RATE = 16_000
SHORTEST_S = 0.1
SILENCE_PEAK = 1e-4
"""-80 dBFS, three steps of 16 bit: below it there is nothing to hear."""

DEVICE = "cpu"
MAX_THREADS = 8
"""More than this gains little for one file."""

LOADED_AT_ONCE = 2


class FasterWhisper:
    """A Whisper model, ready to transcribe.

    Args:
        model: a folder of CTranslate2 files.
        threads: CPU threads; 0 means as many as this process may use, at most 8.
    """

    def __init__(self, model: Model, *, threads: int = 0) -> None:
        threads = threads or min(MAX_THREADS, _cpus())
        self._model = model
        self._whisper = _load(model, DEVICE, threads)

    def transcribe(
        self, audio: Path, settings: TranscriptSettings, progress: Progress
    ) -> Transcript:
        """Transcribe a file (see ``engines.Engine``)."""
        samples = _read(audio)
        duration_s = len(samples) / SAMPLE_RATE
        words: list[list[Word]] = []
        language, probability = settings.language, None
        if duration_s >= SHORTEST_S and max(samples.max(), -samples.min()) > SILENCE_PEAK:
            segments, info = self._whisper.transcribe(
                samples,
                language=settings.language,
                task=settings.task,
                beam_size=settings.beam_size,
                temperature=0.0,
                condition_on_previous_text=False,
                initial_prompt=settings.initial_prompt,
                hotwords=settings.hotwords,
                vad_filter=settings.vad,
                word_timestamps=True,
            )
            if info.duration_after_vad > 0:
                for segment in segments:
                    words.append(_words(segment.words or ()))
                    progress(min(1.0, segment.end / duration_s))
            if settings.language is None:
                language, probability = info.language, info.language_probability
        spoken = tidy(words, duration_s)
        if not spoken:
            language, probability = settings.language, None  # detected from nothing said
        progress(1.0)
        return Transcript(
            segments=spoken,
            duration_s=duration_s,
            language=language,
            language_probability=probability,
            task=settings.task,
            engine=self._model.engine,
            model=self._model.name,
            device=DEVICE,
        )


def _words(found: Iterable[FoundWord]) -> list[Word]:
    made = (word(w.word, w.start, w.end, w.probability) for w in found)
    return [w for w in made if w is not None]


def _read(path: Path) -> np.ndarray:
    """Read a file as one array of 16 kHz mono samples."""
    blocks = read_blocks(path, block_s=30.0, sample_rate=SAMPLE_RATE, layout="mono")
    return np.concatenate([np.zeros(0, np.float32), *(block[0] for block in blocks)])


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(maxsize=LOADED_AT_ONCE)
def _load(model: Model, device: str, threads: int) -> faster_whisper.WhisperModel:
    """Load a model once per process; the SHA-256 in ``model`` tells another file at its path."""
    import faster_whisper

    try:
        return faster_whisper.WhisperModel(
            str(model.path),
            device=device,
            compute_type="int8",
            cpu_threads=threads,
            local_files_only=True,
        )
    except Exception as error:  # CTranslate2 and tokenizers raise all kinds for a damaged file
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{model.name} in {model.path} cannot be loaded by {model.engine}: {error}. "
            "Delete its files there and get them again",
        ) from error
