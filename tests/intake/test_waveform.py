"""The picture of the sound, and the levels it is drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from av_pipelines.intake.taps.waveform import Levels, draw


@settings(max_examples=40, deadline=None)
@given(
    total=st.integers(1, 700_000),
    cuts=st.lists(st.integers(1, 60_000), min_size=1, max_size=6),
    channels=st.integers(1, 3),
    width=st.integers(1, 900),
)
def test_levels_are_those_of_the_samples_however_they_come(
    total: int, cuts: list[int], channels: int, width: int
) -> None:
    samples = np.random.default_rng(total).uniform(-1, 1, (channels, total)).astype(np.float32)
    levels = Levels()
    at = i = 0
    while at < total:
        step = cuts[i % len(cuts)]
        levels.add(samples[:, at : at + step])
        at, i = at + step, i + 1
    high, low, rms = levels.columns(width)
    assert levels.samples == total
    assert high.max() == max(samples.max(), 0)
    assert low.min() == min(samples.min(), 0)
    assert np.all(rms <= np.maximum(high, -low) + 1e-6)
    if total >= 100 * width:
        assert np.sqrt(np.mean(rms**2)) == pytest.approx(np.sqrt(np.mean(samples**2)), rel=0.1)


def test_a_click_is_where_it_happens() -> None:
    samples = np.zeros((1, 10_000_000), np.float32)
    samples[0, 7_500_000] = 0.9
    levels = Levels()
    for start in range(0, samples.shape[1], 300_000):
        levels.add(samples[:, start : start + 300_000])
    high, _, _ = levels.columns(800)
    assert high.argmax() in (599, 600)
    assert (high > 0).sum() <= 2


def colour_share(image: Image.Image, colour: tuple[int, int, int]) -> float:
    pixels = np.asarray(image.convert("RGBA"))
    return float(((pixels[..., :3] == colour).all(axis=2) & (pixels[..., 3] == 255)).mean())


def test_loud_sound_fills_the_picture_and_clipping_is_red() -> None:
    red, blue = (236, 72, 72), (37, 106, 232)
    quiet, clipped = Levels(), Levels()
    quiet.add(np.full((1, 48000), 0.1, np.float32))
    clipped.add(np.full((1, 48000), 1.0, np.float32))
    assert colour_share(draw(quiet, 1.0), red) == 0
    assert colour_share(draw(clipped, 1.0), red) > 0.03
    assert colour_share(draw(clipped, 1.0), blue) > 5 * colour_share(draw(quiet, 1.0), blue)


def test_the_picture_is_small_and_lets_the_page_show_through(make: Any, take: Any) -> None:
    noise = np.random.default_rng(3).integers(-30000, 30000, (2, 200_000)).astype(np.int16)
    path = take(make.wav("noise.wav", noise, rate=44100)).folder / "audio" / "waveform.png"
    image = Image.open(path)
    assert image.size == (800, 160)
    assert path.stat().st_size <= 30_000
    assert (np.asarray(image.convert("RGBA"))[..., 3] == 0).mean() > 0.1


def test_a_sound_of_one_sample_has_a_picture(make: Any, take: Any) -> None:
    path = make.wav("tick.wav", np.array([[1000]], np.int16))
    assert (take(path).folder / "audio" / "waveform.png").exists()
