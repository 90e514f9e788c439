"""Beats are where they are heard."""

from __future__ import annotations

import numpy as np
import pytest

from av_pipelines.videos.beats import beats_of, find_beats
from tests.videos.studio import clicks, write_sound


@pytest.mark.parametrize("bpm", [76, 90, 110, 128, 150])
def test_beats_of_a_click_track_are_found_within_20_ms(tmp_path, bpm):
    found = find_beats(write_sound(tmp_path / "clicks.flac", clicks(bpm, 20)))
    truth = np.arange(0.2, 19.9, 60 / bpm)
    assert found.tempo_bpm == pytest.approx(bpm, rel=0.01)
    assert len(found.times_s) >= len(truth) - 2
    off = [np.abs(truth - time).min() for time in found.times_s]
    assert max(off) < 0.02


def test_what_keeps_no_time_has_no_beats():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.1, (1, 16_000 * 20)).astype(np.float32)
    assert beats_of([noise]).times_s == ()
    assert beats_of([np.zeros((1, 16_000 * 20), np.float32)]).tempo_bpm is None
    assert beats_of([]).times_s == ()


def test_blocks_of_any_size_give_the_same_beats():
    samples = clicks(100, 15)[None]
    whole = beats_of([samples])
    parts = beats_of([samples[:, i : i + 777] for i in range(0, samples.shape[1], 777)])
    assert whole == parts
