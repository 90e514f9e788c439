"""Kick and hi-hat: sounds that are the same at every stroke.

Not here: when they play.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.synthesis.shapes import RATE


def kick(punch: float) -> NDArray[np.float32]:
    """Return a kick, mono, peak about 1: a sine that falls from 150 Hz to 48 Hz.

    Args:
        punch: 0 (a heartbeat) to 1 (a club).
    """
    t = np.arange(round(0.6 * RATE)) / RATE
    low, high, fall = 48.0, 48.0 + 40 + 90 * punch, 0.045
    turns = low * t + (high - low) * fall * (1 - np.exp(-t / fall))
    level = np.exp(-t / (0.11 + 0.05 * (1 - punch)))
    return _faded(np.sin(2 * np.pi * turns) * level, 0.003, 0.1)


def hat(brightness: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a closed hi-hat, stereo: noise above 6 kHz that is gone in a tenth of a second."""
    count = round(0.2 * RATE)
    t = np.arange(count) / RATE
    f = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 1.0)
    band = 1 / np.sqrt((1 + ((6000 + 1500 * brightness) / f) ** 6) * (1 + (f / 15_000) ** 6))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal((2, count))) * band, count)
    noise *= 0.25 / np.sqrt(np.mean(noise**2))
    return _faded(noise * np.exp(-t / (0.025 + 0.02 * brightness)), 0.001, 0.05)


def _faded(sound: NDArray[np.float64], rise_s: float, fall_s: float) -> NDArray[np.float32]:
    """Let a sound begin and end at zero."""
    rise, fall = round(rise_s * RATE), round(fall_s * RATE)
    sound[..., :rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    sound[..., -fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return sound.astype(np.float32)
