"""A programme to measure and master: an unmastered mix, made here so that it is the same anywhere.

Run as a module it writes one: ``python -m tests.benchmarks.sound PATH SECONDS``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from av_pipelines.media.audio import AudioWriter

RATE = 48000
_PART_S = 10


def write_mix(path: Path, seconds: int) -> None:
    """Write drums, chords and noise in stereo at 48 kHz, loud and soft by turns, as 24-bit FLAC."""
    random = np.random.default_rng(1)
    with AudioWriter(path, "flac", RATE, "stereo") as writer:
        for first in range(0, seconds, _PART_S):
            t = first + np.arange(min(_PART_S, seconds - first) * RATE) / RATE
            loud = 0.5 + 0.5 * np.sin(2 * np.pi * t / 97)
            beat = t % 0.5
            kick = np.sin(2 * np.pi * 55 * beat + 3 * np.exp(-30 * beat)) * np.exp(-9 * beat)
            noise = random.standard_normal((2, t.size))
            chord = sum(
                np.sin(2 * np.pi * f * (1 + 0.001 * k) * t + k) / (k + 2)
                for k, f in enumerate((110, 138.6, 164.8, 220, 277.2, 329.6, 440, 659.3, 880, 1318))
            )
            hat = np.exp(-40 * ((t + 0.25) % 0.25))
            mix = 0.15 * kick + 0.2 * chord + (0.04 * hat + 0.003) * noise
            mix[0] *= 1.05
            writer.write((mix * (0.35 + 0.65 * loud)).astype(np.float32))


if __name__ == "__main__":
    write_mix(Path(sys.argv[1]), int(sys.argv[2]))
