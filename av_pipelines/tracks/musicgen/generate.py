"""From a prompt to samples: every window's codes step by step, then their sound, then the joins.

Not here: files, loudness, which model and where it is kept (``engine``).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from av_pipelines.tracks.musicgen.codes import Codes, DelayPattern, Sampler
from av_pipelines.tracks.musicgen.continuation import (
    FADE_S,
    TAIL_S,
    Samples,
    Window,
    equal_power,
    join,
    plan_windows,
)
from av_pipelines.tracks.musicgen.graphs import Codec, Decoder, TextEncoder, computing
from av_pipelines.tracks.musicgen.layout import Files, read_config
from av_pipelines.tracks.musicgen.pace import Pace
from resources.accelerator import Device
from resources.models import ModelError

_PAST_USED = 2  # a step reads the past and writes it; measured: 1.6 to 2.4 times its bytes
_AT_ONCE = 0.1  # of a step's time that each of many steps takes together
_TRIAL_FRAMES = 32


@dataclass(frozen=True)
class Sound:
    """What was made."""

    samples: Samples
    """(samples,), of exactly the length asked for, not limited to ±1."""
    sample_rate: int
    prompt_tokens: int
    windows: int
    frames: int
    """That were made, with those that exist twice around the joins."""
    steps: int
    """Of the decoder that chose codes: three more than frames in each window."""
    tokens: int
    """Codes that were chosen: four a frame."""
    tokens_per_s: float
    """While decoding steps."""


class MusicGen:
    """A model that is loaded, and has decoded a little to show that it can.

    Args:
        files: of the model.
        device: that computes.
        threads: of the CPU.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``.
        DeviceError: ONNX Runtime cannot use the device.
        TrackError: ``MODEL_INFERENCE_FAILED``: the codec does not give sound.
    """

    def __init__(self, files: Files, device: Device, threads: int) -> None:
        self.config = read_config(files.config)
        self.size_bytes = files.size_bytes
        self._tokenizer = _read_tokenizer(files.tokenizer)
        self.text_encoder = TextEncoder(files, device, threads)
        self.decoder = Decoder(files, device, threads)
        self.codec = Codec(files, self.config, device, threads)
        trial = np.zeros((self.config.codebooks, _TRIAL_FRAMES), dtype=np.int64)
        self.codec(trial)
        begun = time.perf_counter()
        self.codec(trial)
        self.codec_s = (time.perf_counter() - begun) / _TRIAL_FRAMES
        """Seconds that the codec takes for a frame."""

    def tokens(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt, with the end that T5 wants."""
        return self._tokenizer.encode(prompt).ids


def generate(
    model: MusicGen, prompt: str, seconds: float, sampler: Sampler, pace: Pace, *, loop: bool
) -> Sound:
    """Make music of exactly some seconds.

    Args:
        model: that is loaded.
        prompt: in words.
        seconds: of music.
        sampler: that chooses the codes.
        pace: is told of the work; what its listener raises ends the work.
        loop: fade what would come after the end into the beginning.

    Raises:
        TrackError: ``MODEL_INFERENCE_FAILED``.
    """
    config = model.config
    fade = round(FADE_S * config.sample_rate) if loop else 0
    length = round(seconds * config.sample_rate)
    frames = math.ceil((length + fade) / config.hop)
    windows = plan_windows(frames, config.frame_rate)
    tokens = model.tokens(prompt)
    states = model.text_encoder(tokens)
    at_once = len(windows) > 1 and model.decoder.takes_many(states)
    writer = _Writer(model, states, sampler, pace, at_once=at_once)
    pace.plan("steps", sum(map(writer.work, windows)), 0.0)
    pace.plan("sound", sum(window.frames for window in windows), model.codec_s)
    made = sum(window.frames - window.known for window in windows)
    pace.expect(config.codebooks * made)
    pace.start()
    begun = time.perf_counter()
    codes: list[Codes] = []
    for window in windows:
        codes.append(writer.write(window, codes[-1] if codes else None))
    took = time.perf_counter() - begun

    piece = np.empty(0, dtype=np.float32)
    for window, each in zip(windows, codes, strict=True):
        new = model.codec(each)[window.known * config.hop :]
        start = (window.start + window.known) * config.hop
        piece = join(piece, new, start, config.sample_rate) if len(piece) else new
        pace.did("sound", window.frames)
    if loop:
        piece[:fade] = equal_power(piece[length : length + fade], piece[:fade])
    chosen = config.codebooks * made
    return Sound(
        samples=piece[:length],
        sample_rate=config.sample_rate,
        prompt_tokens=len(tokens),
        windows=len(windows),
        frames=made,
        steps=made + len(windows) * (config.codebooks - 1),
        tokens=chosen,
        tokens_per_s=chosen / took,
    )


class _Writer:
    """Writes the codes of windows under one prompt."""

    def __init__(
        self,
        model: MusicGen,
        states: NDArray[Any],
        sampler: Sampler,
        pace: Pace,
        *,
        at_once: bool,
    ) -> None:
        self._model, self._states, self._sampler = model, states, sampler
        self._pace, self._at_once = pace, at_once
        self._growth = _PAST_USED * model.decoder.growth * (2 if sampler.guided else 1)

    def write(self, window: Window, before: Codes | None) -> Codes:
        """Return the codes of a window, (codebooks, frames).

        Args:
            window: which frames.
            before: the codes of the window before it.
        """
        config = self._model.config
        known = None
        if before is not None:
            known = before[:, -window.known - TAIL_S * config.frame_rate :][:, : window.known]
        pattern = DelayPattern(window.frames, config.pad, config.codebooks, known)
        decoding = self._model.decoder.begin(
            self._states, guided=self._sampler.guided, most=pattern.steps
        )
        first = pattern.first_step
        given = np.stack([pattern.column(step) for step in range(first + 1)], axis=1)
        pieces = [given] if self._at_once else np.hsplit(given, first + 1)
        for piece in pieces[:-1]:
            decoding.advance(piece)
            self._pace.did("steps", self._cost(decoding.past - 1))
        scores = decoding.advance(pieces[-1])
        self._pace.did("steps", self._beginning(first + 1) if self._at_once else self._cost(first))
        for step in range(first, pattern.steps - 1):
            pattern.take(step, self._choose(scores))
            self._pace.chose(config.codebooks)
            scores = decoding.advance(pattern.column(step + 1)[:, None])
            self._pace.did("steps", self._cost(step + 1))
        pattern.take(pattern.steps - 1, self._choose(scores))
        self._pace.chose(config.codebooks)
        return pattern.codes

    def _choose(self, scores: NDArray[np.float32]) -> Codes:
        with computing("choosing codes"):
            return self._sampler(scores)

    def work(self, window: Window) -> float:
        """Return the work of a window; its unit is a step that has no past."""
        steps = window.frames + self._model.config.codebooks - 1
        alone = range(window.known + 1 if self._at_once else 0, steps)
        beginning = self._beginning(window.known + 1) if self._at_once else 0.0
        return beginning + sum(map(self._cost, alone))

    def _cost(self, past: int) -> float:
        return 1 + self._growth * past

    def _beginning(self, columns: int) -> float:
        return max(1.0, _AT_ONCE * columns)


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise ModelError(
            "MODEL_LOAD_FAILED", f"{path} is not a tokenizer: {str(error).strip()}"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
