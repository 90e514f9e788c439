"""Phases, slow curves and edges: what every sound is built with.

Not here: sounds (``voices``), tables (``tables``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.synthesis.arrays import Arrays, Samples

RATE = 48_000
"""Samples in a second."""
CONTROL = 128
"""Samples between two values of a slow curve."""


def frequency(pitch: float) -> float:
    """Return the frequency of a MIDI pitch in Hz (A4 = 440 Hz)."""
    return 440.0 * 2 ** ((pitch - 69) / 12)


def phase(on: Arrays, hz: float, count: int) -> Samples:
    """Return the phase of a steady frequency in turns, each within a turn or two of zero.

    32-bit floats would lose a long phase: it begins anew every few samples, reduced in 64 bits.
    """
    starts = (np.arange(-(-count // CONTROL)) * (hz * CONTROL / RATE)) % 1.0
    steps = np.arange(CONTROL) * (hz / RATE)
    return (on.put(starts)[:, None] + on.put(steps)[None, :]).reshape(-1)[:count]


def curve(on: Arrays, values: NDArray[np.float64], count: int) -> Samples:
    """Return so many samples of a curve given every ``CONTROL`` samples, joined by lines.

    Args:
        on: where to compute.
        values: at least ``control_count(count)`` of them.
        count: of samples.
    """
    known = on.put(values[: control_count(count)])
    part = on.put(np.arange(CONTROL) / CONTROL)
    lines = (known[1:] - known[:-1])[:, None] * part[None, :]
    lines += known[:-1, None]
    return lines.reshape(-1)[:count]


def control_count(count: int) -> int:
    """Return how many values a curve of so many samples needs."""
    return -(-count // CONTROL) + 1


def control_times(count: int) -> NDArray[np.float64]:
    """Return the times in seconds of a curve's values."""
    return np.arange(control_count(count), dtype=np.float64) * (CONTROL / RATE)


def edges(count: int, rise: int, fall: int) -> NDArray[np.float64]:
    """Return the values of a level that comes and goes by quarter sines, and is 1 between.

    Two held notes that overlap by such edges keep their power. Lengths are in samples; 0: at once.
    """
    at = np.arange(control_count(count)) * float(CONTROL)
    level = np.ones(at.size)
    if rise:
        level *= np.sin(np.pi / 2 * np.clip(at / min(rise, count), 0, 1))
    if fall:
        level *= np.sin(np.pi / 2 * np.clip((count - at) / min(fall, count), 0, 1))
    return level


def decay(count: int, seconds: float, least: float = 0.0) -> NDArray[np.float64]:
    """Return the values of a level that falls by 60 dB in so many seconds, towards ``least``."""
    return least + (1 - least) * 0.001 ** (control_times(count) / seconds)


def place(on: Arrays, mono: Samples, pan: float, gain: float) -> Samples:
    """Return a mono sound as stereo at a place from -1 (left) to 1 (right), at constant power."""
    angle = np.pi / 4 * (1 + pan)
    gains = on.put(gain * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)]))
    return gains[:, None] * mono[None, :]


def add(into: Samples, sound: Samples, at: int, circular: bool) -> None:
    """Add a sound from a sample on; beyond the end it goes on at the beginning, or is cut."""
    total, begin = into.shape[-1], 0
    while begin < sound.shape[-1] and at < total:
        step = min(sound.shape[-1] - begin, total - at)
        into[:, at : at + step] += sound[:, begin : begin + step]
        begin, at = begin + step, 0 if circular else total
