"""MP3 files come back as long as they were, in step, with the bit rate asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mutagen.mp3
import numpy as np
import pytest

from av_pipelines.masters.mp3 import Mp3Writer

RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bit_rate", [64_000, None])
def test_decoding_gives_the_same_samples_back(tmp_path: Path, read, rate, channels, bit_rate):
    t = np.arange(rate + 123) / rate
    sound = np.tile(0.4 * np.sin(2 * np.pi * 440 * t**1.5), (channels, 1)).astype(np.float32)
    path = tmp_path / "a.mp3"
    with Mp3Writer(path, rate, channels, bit_rate, 0) as writer:
        for block in np.array_split(sound, 3, axis=1):
            writer.write(block)
    decoded = read(path)
    assert decoded.shape == sound.shape
    inside = slice(rate // 10, rate)
    assert np.corrcoef(sound[0, inside], decoded[0, inside])[0, 1] > 0.99
    info: Any = mutagen.mp3.MP3(path).info
    assert info.bitrate_mode == (
        mutagen.mp3.BitrateMode.CBR if bit_rate else mutagen.mp3.BitrateMode.VBR
    )
    assert bit_rate is None or info.bitrate == pytest.approx(bit_rate, rel=0.01)


def test_nothing_makes_a_file_of_nothing(tmp_path: Path):
    with Mp3Writer(tmp_path / "a.mp3", 44100, 2, 128_000, 0):
        pass
    assert (tmp_path / "a.mp3").stat().st_size < 1000
