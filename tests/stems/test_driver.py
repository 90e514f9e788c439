"""The streaming driver gives what Demucs gives for the whole track at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.stems.demucs_models import Demucs
from av_pipelines.stems.driver import Moments, Passes, run
from av_pipelines.stems.segments import segments, shift_leads
from tests.stems.conftest import small_network
from tests.stems.reference import peak_db, statistics, whole

SEGMENT = 343_980  # 7.8 s


def streamed(network, mix: np.ndarray, block: int = 44_100, **passes: Any) -> np.ndarray:
    mean, std = statistics(mix)
    blocks = (mix[:, first : first + block] for first in range(0, mix.shape[1], block))
    moments = Moments(np.float32(mean), np.float32(std))
    stems = run(network, blocks, mix.shape[1], Passes(**passes), moments)
    return np.concatenate(list(stems), axis=-1)


@pytest.mark.parametrize(
    "samples", [1, 44_100, SEGMENT - 1, SEGMENT, SEGMENT + 1, 30 * 44_100], ids=str
)
def test_streaming_equals_apply_model_on_the_whole_file(
    original, network, music, samples: int
) -> None:
    mix = music(samples / 44_100) if samples > 1 else np.full((2, 1), 0.25, np.float32)
    if samples == 1:  # demucs has no deviation of one sample: the stems are the sample
        stems = np.concatenate(list(run(network, [mix], 1, Passes(), Moments())), axis=-1)
        assert stems.shape == (4, 2, 1)
        return

    stems = streamed(network, mix)

    expected = whole(original, mix)
    assert stems.shape == expected.shape == (4, 2, samples)
    assert peak_db(expected) > -40
    assert peak_db(stems - expected) <= -90


@pytest.mark.slow
def test_five_minutes_equal_apply_model(original, network, music) -> None:
    mix = music(300)
    assert peak_db(streamed(network, mix) - whole(original, mix)) <= -90


def test_shifts_are_those_of_apply_model(original, network, music, monkeypatch) -> None:
    leads = shift_leads(2, seed=3, sample_rate_hz=44_100)
    drawn = iter(leads)
    monkeypatch.setattr(random, "randint", lambda low, high: high - next(drawn))
    mix = music(1)

    stems = streamed(network, mix, leads=leads)

    assert all(0 <= lead <= 22_050 for lead in leads)
    assert peak_db(stems - whole(original, mix, shifts=2)) <= -90


def test_batch_and_block_size_change_nothing(network, music) -> None:
    mix = music(11)
    plain = streamed(network, mix)

    for changed in (streamed(network, mix, batch=2), streamed(network, mix, block=7_777)):
        assert np.abs(changed - plain).max() <= 1e-5


def test_a_second_run_is_the_same_to_the_bit(network, music) -> None:
    mix = music(1)
    leads = shift_leads(1, seed=5, sample_rate_hz=44_100)
    once, again = streamed(network, mix, leads=leads), streamed(network, mix, leads=leads)
    assert np.array_equal(once, again)
    assert leads != shift_leads(1, seed=6, sample_rate_hz=44_100)


class Quarters:
    """A network that gives a quarter of the mix to each of four stems."""

    sources = ("drums", "bass", "other", "vocals")
    sample_rate_hz, channels, segment, device, normalise = 44_100, 2, SEGMENT, "cpu", True

    def separate(self, batch: torch.Tensor) -> torch.Tensor:
        return batch[:, None].expand(-1, 4, -1, -1) / 4


@pytest.mark.parametrize("made_by", ["random weights", "a quarter each"])
def test_no_seam_is_heard_in_stationary_noise(made_by: str) -> None:
    fresh = Demucs([small_network(branches=None)], [[1.0] * 4])
    noise = np.random.default_rng(1).standard_normal((2, 24 * 44_100)).astype(np.float32) * 0.1
    stems = streamed(fresh if made_by == "random weights" else Quarters(), noise)
    window, stride = 8_192, int(0.75 * SEGMENT)
    energy = np.square(stems, dtype=np.float64).mean(axis=(0, 1))
    borders = [n * stride for n in (1, 2, 3, 4)] + [n * stride + SEGMENT for n in (0, 1, 2)]
    near = np.zeros(energy.size, bool)
    for border in borders:
        near[border - window : border + window] = True
    assert abs(10 * np.log10(energy[near].mean() / energy[~near].mean())) < 0.1


class Counting:
    """A network that counts the segments it is asked for."""

    def __init__(self, network: Demucs) -> None:
        self._network, self.asked = network, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._network, name)

    def separate(self, batch: torch.Tensor) -> torch.Tensor:
        self.asked += len(batch)
        return self._network.separate(batch)


def test_digital_silence_is_asked_for_once_and_the_stems_are_the_same(
    original, network, music
) -> None:
    mix = music(34)
    mix[:, 4 * 44_100 : 32 * 44_100] = 0
    counting = Counting(network)

    stems = streamed(counting, mix)

    assert len(list(segments(mix.shape[1], SEGMENT, 0.25))) == 6
    assert counting.asked == 3  # the beginning, silence, the end
    assert peak_db(stems - whole(original, mix)) <= -90


def test_draft_leaves_quiet_segments_out(network, music) -> None:
    mix = music(30)
    mix[:, 8 * 44_100 :] *= 1e-4
    counting = Counting(network)
    stems = streamed(counting, mix, overlap=0.1, silence=10 ** (-72 / 20))
    assert counting.asked == 2
    assert not stems[..., -44_100:].any()


def test_a_track_shorter_than_announced_is_an_error(network, music) -> None:
    blocks: Iterator[np.ndarray] = iter([music(1)])
    with pytest.raises(ValueError, match="ends after 44100 samples; 88200 were announced"):
        list(run(network, blocks, 88_200, Passes(), Moments()))


@given(
    length=st.integers(1, 500),
    segment=st.integers(2, 90),
    overlap=st.floats(0, 0.9),
    leads=st.lists(st.integers(0, 60), min_size=1, max_size=3),
)
def test_shares_add_up_to_one_everywhere(
    length: int, segment: int, overlap: float, leads: list[int]
) -> None:
    if int((1 - overlap) * segment) < 1:
        return
    total = np.zeros(length)
    last = -1000
    for piece in segments(length, segment, overlap, leads):
        assert piece.at >= last
        assert piece.start <= piece.at
        assert piece.at + piece.share.size <= min(piece.end, length)
        last = piece.at
        inside = piece.share[max(0, -piece.at) :]
        total[max(0, piece.at) : max(0, piece.at) + inside.size] += inside
    assert np.allclose(total, len(leads), atol=1e-5)
