"""Reading our own files: any part of them, at any rate, is the same sound as the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from av_pipelines.media.audio import AudioWriter, read_blocks


def joined(path: Path, **how: float) -> np.ndarray:
    blocks = list(read_blocks(path, **how))  # pyright: ignore[reportArgumentType]
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((2, 0), np.float32)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    noise = 0.1 * np.random.default_rng(1).standard_normal((2, 8 * 22050 + 77))
    return np.cumsum(noise, axis=1, dtype=np.float32) * np.float32(0.02)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.flac", "flac"), ("a.w64", "pcm_f32le"), ("a.wav", "pcm_s16le")]
)
@pytest.mark.parametrize("start_s", [0.0, 0.4, 2.0, 5.4321, 8.0, 30.0])
@pytest.mark.parametrize("rate", [None, 16000])
def test_a_part_is_exactly_that_part_of_the_whole(tmp_path, sound, name, codec, start_s, rate):
    path = tmp_path / name
    with AudioWriter(path, codec, 22050, "stereo") as writer:
        writer.write(sound)
    whole = joined(path, sample_rate=rate)
    first = round(start_s * (rate or 22050))
    part = joined(path, sample_rate=rate, start_s=start_s, duration_s=1.5)
    np.testing.assert_allclose(
        part, whole[:, first : first + round(1.5 * (rate or 22050))], atol=1e-6
    )


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 192_000])
def test_resampled_it_is_as_long_to_the_sample_and_in_step(tmp_path, rate):
    t = np.arange(44100 + 13) / 44100
    path = tmp_path / "a.wav"
    with AudioWriter(path, "pcm_f32le", 44100, "mono") as writer:
        writer.write(np.sin(2 * np.pi * 1000 * t).astype(np.float32)[None])
    blocks = list(read_blocks(path, sample_rate=rate, block_s=0.1))
    assert {block.shape[1] for block in blocks[:-1]} == {rate // 10}
    out = np.concatenate(blocks, axis=1)[0]
    assert out.size == round(t.size * rate / 44100)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(out.size) / rate)
    inside = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(out[inside], wanted[inside], atol=1e-5)
