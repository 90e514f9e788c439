"""Long tables of steady sound, made in the frequency domain, and reading them in a circle.

A tone is a set of bands around its harmonics with random phases (PADsynth, Nasca Octavian Paul,
2011): rich and never still, nothing above half the sample rate, no seam where the table begins
again. Read half a table apart, it gives two channels that have nothing in common: width.

Each tone comes as two tables of one phase, its body and its air (what a filter would take away):
body + k air, with k moving, is a filter that opens and closes.

Not here: notes (``voices``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.synthesis.arrays import Arrays, Samples
from av_pipelines.tracks.synthesis.shapes import RATE

SIZE = 2**18
"""Samples in a table: 5.5 s."""
_HZ = RATE / SIZE  # between two bins
_HIGHEST_HZ = 12_000.0
_MOST_HARMONICS = 48

Level = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""(number of the harmonic, frequency in Hz) → amplitude."""


def _vowel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """An "ah": formants of a choir of altos."""
    formants = ((800, 80, 1.0), (1150, 90, 0.5), (2900, 160, 0.12), (3900, 200, 0.06))
    level = np.full(hz.shape, 0.02)
    for centre, width, height in formants:
        level += height / (1 + ((hz - centre) / (2 * width)) ** 2)
    return level


TIMBRES: dict[str, tuple[Level, float]] = {
    "warm": (lambda h, hz: h**-1.7, 30.0),
    "strings": (lambda h, hz: h**-1.05 / (1 + (hz / 4500) ** 2), 22.0),
    "choir": (lambda h, hz: h**-0.7 * _vowel(hz), 40.0),
}
"""Pad → level of the harmonics, width of the bands in cents."""


Tables = tuple[Samples, Samples]
"""Body and air, each of shape (SIZE,); together their RMS level is 1."""


def random_phases(rng: np.random.Generator) -> NDArray[np.complex64]:
    """Draw the phases of the tables of a piece: one for each bin."""
    turns = rng.random(SIZE // 2 + 1, dtype=np.float32)
    return np.exp(np.complex64(2j * np.pi) * turns)


def tone(
    on: Arrays, hz: float, timbre: str, cutoff_hz: float, phases: NDArray[np.complex64]
) -> Tables:
    """Return the tables of a tone."""
    level, cents = TIMBRES[timbre]
    top = min(_MOST_HARMONICS, int(_HIGHEST_HZ / hz))
    numbers = np.arange(1, max(top, 1) + 1, dtype=np.float64)
    amplitudes = level(numbers, numbers * hz)
    magnitude = np.zeros(SIZE // 2 + 1)
    for number, amplitude in zip(numbers.tolist(), amplitudes.tolist(), strict=True):
        centre = number * hz / _HZ
        # Higher harmonics beat faster, but not as much faster as they are higher.
        width = max(1.0, (2 ** (cents / 1200) - 1) * hz * number**0.85 / _HZ)
        first, last = int(max(1, centre - 4 * width)), int(min(SIZE // 2, centre + 4 * width))
        bins = np.arange(first, last)
        band = np.exp(-0.5 * ((bins - centre) / width) ** 2)
        magnitude[bins] += amplitude * band / np.sqrt(width)
    return _split(on, magnitude, cutoff_hz, phases)


def wind(on: Arrays, hz: float, cutoff_hz: float, phases: NDArray[np.complex64]) -> Tables:
    """Return the tables of a noise that leans to a pitch and its octaves."""
    f = np.arange(1, int(_HIGHEST_HZ / _HZ)) * _HZ
    lean = sum(np.exp(-0.5 * (np.log2(f / (hz * k)) / 0.06) ** 2) for k in (1, 2, 4))
    return _noise(on, (0.15 + lean) / (1 + f / 600) / (1 + (60 / f) ** 4), cutoff_hz, phases)


def rush(on: Arrays, cutoff_hz: float, phases: NDArray[np.complex64]) -> Tables:
    """Return the tables of a noise from 300 Hz up, as of a cymbal."""
    f = np.arange(1, int(_HIGHEST_HZ / _HZ)) * _HZ
    return _noise(on, 1 / np.sqrt(1 + (300 / f) ** 6) / (1 + f / 4000), cutoff_hz, phases)


def _noise(
    on: Arrays, levels: NDArray[np.float64], cutoff_hz: float, phases: NDArray[np.complex64]
) -> Tables:
    magnitude = np.zeros(SIZE // 2 + 1)
    magnitude[1 : 1 + levels.size] = levels
    return _split(on, magnitude, cutoff_hz, phases)


def _split(
    on: Arrays,
    magnitude: NDArray[np.float64],
    cutoff_hz: float,
    phases: NDArray[np.complex64],
) -> Tables:
    used = np.flatnonzero(magnitude)
    # Mean square of the table: two bins of the full spectrum for each of these, over SIZE squared.
    level = magnitude[used] * (SIZE / np.sqrt(2 * np.sum(magnitude[used] ** 2)))
    spectrum = level.astype(np.float32) * phases[used]
    passed = (1 / (1 + (used * (_HZ / cutoff_hz)) ** 4)).astype(np.float32)
    full = np.zeros((2, SIZE // 2 + 1), np.complex64)
    full[0, used] = spectrum * passed
    full[1, used] = spectrum * (1 - passed)
    body, air = on.irfft(on.put(full), SIZE)
    return body, air


def read_wide(on: Arrays, table: Samples, at: int, count: int) -> Samples:
    """Return two channels of shape (2, count), read half a table apart, round and round."""
    both = on.zeros(2, count)
    for channel in (0, 1):
        place, done = (at + channel * SIZE // 2) % SIZE, 0
        while done < count:
            step = min(count - done, SIZE - place)
            both[channel, done : done + step] = table[place : place + step]
            place, done = 0, done + step
    return both
