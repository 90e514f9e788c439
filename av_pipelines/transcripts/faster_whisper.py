"""The engine ``faster-whisper``: OpenAI's Whisper on CTranslate2, 8-bit on the CPU.

What makes it fast without hearing less, measured with Whisper base on 2 cores:

* The encoder costs by the length it is given, more than in proportion. A window is encoded with
  a second of silence behind it, not filled up to the 30 s of the training; with less silence the
  decoder starts to loop.
* Windows are decoded together: the weights are read once for all of them.
* Greedy first; windows whose text is a little unsure are decoded again by beam search, and those
  that are very unsure, empty or repeat themselves with the full 30 s. Only temperature 0: sampling
  cannot be seeded for a file (CTranslate2's generator belongs to a worker thread), so words would
  depend on what was transcribed before.
* A window never has the text of the one before as its prompt: a loop would go on for ever.

The same samples, settings, model, versions and threads on the same kind of CPU give the same words.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from av_pipelines.transcripts.engines import Heard, Hints, device_of
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.speech import SAMPLE_RATE
from av_pipelines.transcripts.words import Word, word
from resources.accelerator import cpu_threads
from resources.models import Model, ModelError

if TYPE_CHECKING:
    import faster_whisper
    from faster_whisper.tokenizer import Tokenizer

FRAMES_PER_S = 100
MOST_FRAMES = 3000
FEWEST_FRAMES = 500
SILENCE_BEHIND_S = 1.0

UNSURE_LOG_PROBABILITY = -0.12
"""Below it, a beam search often finds a better text; above it, hardly ever."""

BAD_LOG_PROBABILITY = -0.5
"""Below it, the short encoding is not trusted either."""

BEAMS_AT_ONCE = 4
"""Windows in a beam search: every hypothesis has its own copy of what the encoder says."""

HIGH_REPETITION = 2.4
"""OpenAI's threshold: text that compresses better repeats itself."""

TOKENS_PER_S = 30
"""More than any language is spoken at: what goes on longer is a loop."""

MAX_THREADS = 8
"""More than this gains little for one file."""

LOADED_AT_ONCE = 2

SMOOTHING = 3
"""Width of the median filter over the attention, in 20 ms: less than OpenAI's 7 blurs less."""

_OPENING, _CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True)
class _Decoded:
    tokens: list[int]
    text: str
    log_probability: float
    no_speech: float

    @property
    def repetition(self) -> float:
        data = self.text.encode()
        return len(data) / len(zlib.compress(data))

    @property
    def bad(self) -> bool:
        return (
            self.log_probability < BAD_LOG_PROBABILITY
            or self.repetition > HIGH_REPETITION
            or not self.text.strip()
        )


class FasterWhisper:
    """A Whisper model, ready to listen (see ``engines.Engine``).

    Args:
        model: a folder of CTranslate2 files.
        settings: device, threads, task, beam size, prompt and hot words count.
    """

    def __init__(self, model: Model, settings: TranscriptSettings) -> None:
        self.device = device_of(model.engine, settings).kind
        threads = cpu_threads(settings.threads, most=MAX_THREADS)
        self._settings, self._beam = settings, settings.beam_size
        self._whisper = _load(model, self.device, threads)
        self._tokenizer = functools.cache(self._make_tokenizer)

    # ------------------------------------------------------------ listening

    def hear(self, windows: Sequence[np.ndarray], hints: Hints) -> list[Heard]:
        """Recognise windows together."""
        if not windows:
            return []
        lengths = [_frames(window) for window in windows]
        size = MOST_FRAMES if hints.careful else _size(max(lengths))
        encoded = self._encode(windows, size)
        languages = self._languages(encoded, hints)
        decoded = self._decode(encoded, languages, self._beam if hints.careful else 1)
        if not hints.careful:
            if self._beam > 1:
                unsure = [
                    i for i, d in enumerate(decoded) if d.log_probability < UNSURE_LOG_PROBABILITY
                ]
                self._again(decoded, unsure, encoded[unsure], languages)
            bad = [i for i, d in enumerate(decoded) if d.bad]
            self._again(
                decoded, bad, self._encode([windows[i] for i in bad], MOST_FRAMES), languages
            )
        words = self._times(encoded, decoded, languages, lengths)
        return [
            Heard(
                tuple(said),
                language,
                probability,
                found.log_probability,
                found.no_speech,
                found.repetition,
            )
            for said, found, (language, probability) in zip(words, decoded, languages, strict=True)
        ]

    def _again(
        self,
        decoded: list[_Decoded],
        chosen: Sequence[int],
        encoded: np.ndarray,
        languages: Sequence[tuple[str, float | None]],
    ) -> None:
        """Decode some windows by beam search, and keep what is better."""
        for first in range(0, len(chosen), BEAMS_AT_ONCE):
            some = chosen[first : first + BEAMS_AT_ONCE]
            spoken = [languages[i] for i in some]
            found = self._decode(encoded[first : first + BEAMS_AT_ONCE], spoken, self._beam)
            for i, other in zip(some, found, strict=True):
                decoded[i] = min(decoded[i], other, key=_badness)

    def align(self, window: np.ndarray, words: Sequence[Word], language: str) -> list[Word] | None:
        """Time known words by the model's attention; None where they are too many for a window."""
        tokenizer = self._tokenizer(self._spoken(language))
        pieces = [tokenizer.encode((" " if w.spaced else "") + w.text) for w in words]
        if not pieces or sum(map(len, pieces)) > self._whisper.max_length // 2:
            return None
        length = _frames(window)
        encoded = self._encode([window], _size(length))
        found = self._whisper.model.align(
            _storage(encoded),
            tokenizer.sot_sequence,
            [[*chain.from_iterable(pieces)]],
            [length],
            median_filter_width=SMOOTHING,
        )[0]
        starts = _token_times(found.alignments, sum(map(len, pieces)) + 1)
        timed: list[Word] = []
        at = 0
        for given, tokens in zip(words, pieces, strict=True):
            end = at + len(tokens)
            probability = float(np.mean(found.text_token_probs[at:end])) if tokens else 0.0
            timed.append(
                replace(given, start_s=starts[at], end_s=starts[end], probability=probability)
            )
            at = end
        return timed

    # ------------------------------------------------------------ the model's steps

    def _encode(self, windows: Sequence[np.ndarray], size: int) -> np.ndarray:
        """Return the encoder's output: (windows, size / 2, width)."""
        from faster_whisper.transcribe import pad_or_trim

        if not windows:
            return np.zeros((0, 0, 0), np.float32)
        extract = self._whisper.feature_extractor
        features = [pad_or_trim(extract(window)[..., :-1], size) for window in windows]
        step = 1 if self.device == "cpu" else len(features)  # a batch gains nothing on a CPU
        parts = [
            self._whisper.encode(np.stack(features[i : i + step]))
            for i in range(0, len(features), step)
        ]
        return np.concatenate([_array(part) for part in parts])

    def _languages(self, encoded: np.ndarray, hints: Hints) -> list[tuple[str, float | None]]:
        """Say what is spoken in each window, and how sure that is."""
        if not self._whisper.model.is_multilingual:
            return [("en", None)] * len(encoded)
        if hints.language is not None:
            return [(hints.language, None)] * len(encoded)
        found = [
            {token[2:-2]: probability for token, probability in window}
            for window in self._whisper.model.detect_language(_storage(encoded))
        ]
        if hints.each_window:
            best = [max(window, key=lambda code: window[code]) for window in found]
            return [(code, window[code]) for code, window in zip(best, found, strict=True)]
        mean = {code: float(np.mean([window[code] for window in found])) for code in found[0]}
        code = max(mean, key=lambda code: mean[code])
        return [(code, mean[code])] * len(encoded)

    def _decode(
        self, encoded: np.ndarray, languages: Sequence[tuple[str, float | None]], beam: int
    ) -> list[_Decoded]:
        from faster_whisper.transcribe import get_suppressed_tokens

        settings = self._settings
        tokenizers = [self._tokenizer(code) for code, _ in languages]
        before = tokenizers[0].encode(" " + (settings.initial_prompt or "").strip())
        prompts = [
            self._whisper.get_prompt(
                tokenizer,
                before if settings.initial_prompt else [],
                without_timestamps=True,
                hotwords=settings.hotwords,
            )
            for tokenizer in tokenizers
        ]
        seconds = encoded.shape[1] * 2 / FRAMES_PER_S
        longest = len(prompts[0]) + min(round(TOKENS_PER_S * seconds), 224)
        results = self._whisper.model.generate(
            _storage(encoded),
            prompts,
            beam_size=beam,
            suppress_tokens=get_suppressed_tokens(tokenizers[0], [-1]),  # pyright: ignore[reportArgumentType]
            max_length=min(longest, self._whisper.max_length),
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [
            _Decoded(
                tokens := result.sequences_ids[0],
                tokenizers[0].decode(tokens),
                result.scores[0] * len(tokens) / (len(tokens) + 1),
                result.no_speech_prob,
            )
            for result in results
        ]

    def _times(
        self,
        encoded: np.ndarray,
        decoded: Sequence[_Decoded],
        languages: Sequence[tuple[str, float | None]],
        lengths: Sequence[int],
    ) -> list[list[Word]]:
        """Give the words of each window their times, by the model's attention."""
        from faster_whisper.transcribe import merge_punctuations

        words: list[list[Word]] = [[] for _ in decoded]
        for code in dict.fromkeys(code for code, _ in languages):
            tokenizer = self._tokenizer(code)
            tokens = {
                i: [token for token in found.tokens if token < tokenizer.eot]
                for i, found in enumerate(decoded)
                if languages[i][0] == code and found.text.strip()
            }
            if not tokens:
                continue
            chosen = list(tokens)
            alignments = self._whisper.find_alignment(
                tokenizer,
                [tokens[i] for i in chosen],  # pyright: ignore[reportArgumentType]
                _storage(encoded[chosen]),
                [lengths[i] for i in chosen],  # pyright: ignore[reportArgumentType]
                median_filter_width=SMOOTHING,
            )
            for i, alignment in zip(chosen, alignments, strict=True):
                merge_punctuations(alignment, _OPENING, _CLOSING)  # pyright: ignore[reportArgumentType]
                made = (_word(item) for item in alignment)
                words[i] = [w for w in made if w is not None]
        return words

    # ------------------------------------------------------------ tokens

    def _spoken(self, language: str) -> str:
        return language if self._whisper.model.is_multilingual else "en"

    def _make_tokenizer(self, language: str) -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        return Tokenizer(
            self._whisper.hf_tokenizer,
            self._whisper.model.is_multilingual,
            task=self._settings.task,
            language=language,
        )


def _badness(found: _Decoded) -> tuple[bool, bool, float]:
    return (
        found.repetition > HIGH_REPETITION,
        not found.text.strip(),
        -found.log_probability,
    )


def _word(item: Any) -> Word | None:
    return word(item["word"], float(item["start"]), float(item["end"]), float(item["probability"]))


def _frames(window: np.ndarray) -> int:
    return min(-(-len(window) * FRAMES_PER_S // SAMPLE_RATE), MOST_FRAMES)


def _size(frames: int) -> int:
    """Return how many frames to encode: even, with silence behind."""
    wanted = frames + round(SILENCE_BEHIND_S * FRAMES_PER_S)
    return min(max(wanted + wanted % 2, FEWEST_FRAMES), MOST_FRAMES)


def _token_times(alignments: Sequence[tuple[int, int]], count: int) -> list[float]:
    """Return when each token starts, in seconds; ``alignments``: (token, frame of 20 ms)."""
    starts: dict[int, int] = {}
    for token, frame in alignments:
        starts.setdefault(token, frame)
    times: list[float] = []
    for token in range(count):
        times.append(starts[token] / 50 if token in starts else (times[-1] if times else 0.0))
    return times


def _storage(array: np.ndarray) -> Any:
    import ctranslate2

    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _array(view: Any) -> np.ndarray:
    import ctranslate2

    if view.device != "cpu":
        view = view.to_device(ctranslate2.Device.cpu)
    return np.array(view)


@functools.lru_cache(maxsize=LOADED_AT_ONCE)
def _load(model: Model, device: str, threads: int) -> faster_whisper.WhisperModel:
    """Load a model once per process; the SHA-256 in ``model`` tells another file at its path."""
    import faster_whisper

    try:
        return faster_whisper.WhisperModel(
            str(model.path),
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            cpu_threads=threads,
            local_files_only=True,
        )
    except Exception as error:  # CTranslate2 and tokenizers raise all kinds for a damaged file
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{model.name} in {model.path} cannot be loaded by {model.engine}: {error}. "
            "Delete its files there and get them again",
        ) from error
