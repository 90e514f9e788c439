"""Voice activity: where somebody speaks, found block by block with the detector's state kept.

The detector is Silero VAD 6 (MIT), the ONNX file inside faster-whisper: a probability of voice for
every frame of 512 samples at 16 kHz, 32 ms. Here: running it over a stream. Not here: cutting the
stream into windows (``windows``), recognising.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
FRAME = 512
FRAME_S = FRAME / SAMPLE_RATE

_CONTEXT = 64  # samples of the frame before that the model sees with each frame
_SILENCE_PEAK = 1e-4
"""-80 dBFS, three steps of 16 bit: below it there is nothing to hear."""


@dataclass(frozen=True)
class Frames:
    """Whole frames of a stream: ``samples`` (frames x 512), and how likely each is voice."""

    samples: np.ndarray
    voice: np.ndarray


class VoiceDetector:
    """Silero VAD over a stream: the same probabilities however the stream is cut into blocks."""

    def __init__(self) -> None:
        from faster_whisper.vad import get_vad_model

        self._session = get_vad_model().session
        self._state = [np.zeros((1, 1, 128), np.float32) for _ in range(2)]
        self._context = np.zeros(_CONTEXT, np.float32)

    def feed(self, frames: np.ndarray) -> np.ndarray:
        """Return the probability of voice of each frame; ``frames`` has shape (n, 512)."""
        if not len(frames):
            return np.zeros(0, np.float32)
        before = np.vstack([self._context, frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:].copy()
        seen = np.concatenate([before, frames], axis=1)
        h, c = self._state
        voice, *self._state = self._session.run(None, {"input": seen, "h": h, "c": c})
        loud = np.abs(frames).max(axis=1) > _SILENCE_PEAK
        return np.where(loud, np.asarray(voice).ravel(), 0.0).astype(np.float32)


def detect(
    blocks: Iterable[np.ndarray], listened_to: Iterable[np.ndarray] | None = None
) -> Iterator[Frames]:
    """Yield a stream in whole frames with their probabilities; the last frame is filled with zeros.

    Args:
        blocks: the stream, one-dimensional, 16 kHz.
        listened_to: another stream in step with it to find the voice in, such as the separated
            vocals of a song; where it ends early there is no voice. None: the stream itself.
    """
    detector = VoiceDetector()
    others = None if listened_to is None else _framed(listened_to)
    spare = np.zeros((0, FRAME), np.float32)
    for frames in _framed(blocks):
        if others is None:
            yield Frames(frames, detector.feed(frames))
            continue
        while len(spare) < len(frames):
            more = next(others, None)
            if more is None:
                missing = len(frames) - len(spare)
                more = np.zeros((missing, FRAME), np.float32)
            spare = np.vstack([spare, more])
        heard, spare = spare[: len(frames)], spare[len(frames) :]
        yield Frames(frames, detector.feed(heard))


def _framed(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // FRAME * FRAME
        if whole:
            yield rest[:whole].reshape(-1, FRAME)
            rest = rest[whole:]
    if len(rest):
        yield np.pad(rest, (0, FRAME - len(rest))).reshape(1, FRAME)
