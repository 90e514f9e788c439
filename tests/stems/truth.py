"""Mixes whose parts are known, and how near a stem is to its part.

The voice is espeak-ng's, the music that of ``immich-memories-music`` (MIT; 28 tracks of half a
minute). Arrays have the shape (2, samples) at 44.1 kHz.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from av_pipelines.media.audio import read_blocks

RATE = 44_100
TEXT = (
    "When the sunlight strikes raindrops in the air, they act as a prism and form a rainbow. "
    "The rainbow is a division of white light into many beautiful colors. These take the shape of "
    "a long round arch, with its path high above, and its two ends apparently beyond the horizon. "
    "There is, according to legend, a boiling pot of gold at one end. People look, but no one ever "
    "finds it."
)  # the first lines of a text that phoneticians let people read, in the public domain

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Mix:
    """A mix and what is in it, all at the level they have in it."""

    vocals: Samples
    accompaniment: Samples

    @property
    def mix(self) -> Samples:
        return self.vocals + self.accompaniment


def read(path: Path) -> Samples:
    return np.concatenate(list(read_blocks(path, sample_rate=RATE, layout="stereo")), axis=1)


def tracks() -> dict[str, Path]:
    """Return the tracks by their names; the test is skipped where the package is not installed."""
    spec = importlib.util.find_spec("immich_memories_music")
    if spec is None or spec.origin is None:
        pytest.skip("no music here: pip install immich-memories-music")
    return {path.stem: path for path in sorted(Path(spec.origin).parent.rglob("*.opus"))}


def speech(folder: Path, voice: str) -> Samples:
    """Read the text aloud, in the middle of the stereo picture; the same samples every time."""
    path = folder / f"{voice}.wav"
    say = Path(__file__).parents[1] / "transcripts/say.py"
    subprocess.run([sys.executable, say, path, voice, "150", TEXT], check=True, capture_output=True)
    return read(path)


def mixed(vocals: Samples, music: Samples, seconds: float, peak: float = 0.9) -> Mix:
    """Mix the beginnings of both at 0 dB: the music has the energy of the voice."""
    size = int(seconds * RATE)
    vocals, music = vocals[:, :size], music[:, :size]
    assert vocals.shape == music.shape == (2, size)
    music = music * np.sqrt(np.square(vocals).mean() / np.square(music).mean())
    gain = np.float32(peak / np.abs(vocals + music).max())
    return Mix(vocals * gain, music * gain)


def si_sdr(estimate: Samples, truth: Samples) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019)."""
    heard, meant = estimate.astype(np.float64).ravel(), truth.astype(np.float64).ravel()
    target = (heard @ meant) / (meant @ meant) * meant
    return float(10 * np.log10((target @ target) / np.square(heard - target).sum()))
