"""The faster layers give the same numbers."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from demucs.demucs import DConv
from demucs.hdemucs import HDemucs
from torch import nn
from torch.nn import functional

from av_pipelines.stems import kernels, layers
from av_pipelines.stems.kernels import Conv
from av_pipelines.stems.spectrum import samples_of
from tests.stems.conftest import SOURCES, small_network


def error_db(said: torch.Tensor, expected: torch.Tensor) -> float:
    return 20 * float(torch.log10((said - expected).norm() / expected.norm()))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["oneDNN", "PyTorch's plain functions"])
def computed_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "oneDNN" and not kernels.ONEDNN:
        pytest.skip("this machine's PyTorch has no oneDNN")
    monkeypatch.setattr(kernels, "ONEDNN", request.param == "oneDNN")


@pytest.mark.usefixtures("computed_by")
@pytest.mark.parametrize("band_bytes", [1, 1 << 20])
@pytest.mark.parametrize("kind", ["htdemucs", "bottom", "hdemucs"])
def test_a_network_says_the_same_with_faster_layers(
    kind: str, band_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_BAND_BYTES", band_bytes)
    if kind == "hdemucs":
        torch.manual_seed(0)
        network = HDemucs(SOURCES, channels=4, dconv_comp=2).eval()
    else:
        changes = {"bottom_channels": 48} if kind == "bottom" else {"t_cross_first": True}
        network = small_network(segment=1, **changes)
    fast = layers.speed_up(copy.deepcopy(network))
    names = {type(module).__name__ for module in fast.modules()}
    assert {"SpectrumEncoder", "SpectrumDecoder", "WaveEncoder", "WaveDecoder"} <= names
    assert ("Attending" in names) == (kind != "hdemucs")

    with torch.inference_mode():
        expected, said = network(noise(2, 2, 44_100)), fast(noise(2, 2, 44_100))

    assert error_db(said, expected) <= -100


@pytest.mark.parametrize(("rows", "frames"), [(1, 1), (4, 8), (7, 13)])
def test_winograd_s_convolution_is_the_convolution(rows: int, frames: int) -> None:
    weight, bias, x = noise(10, 6, 3, 3), noise(10), noise(2, 6, rows + 2, frames)
    expected = functional.conv2d(x, weight, bias, padding=(0, 1))

    said = kernels.Winograd(weight, bias)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    assert said.shape == expected.shape
    assert error_db(said, expected) <= -100


@pytest.mark.usefixtures("computed_by")
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_a_norm_is_folded_into_the_weights_however_far_the_mean_is(offset: float) -> None:
    torch.manual_seed(0)
    dconv = DConv(16, compress=4, init=0.5).eval()
    for parameter in dconv.parameters():
        nn.init.normal_(parameter.requires_grad_(False), std=0.5)
    for name, parameter in dconv.named_parameters():
        if name.endswith("3.bias"):  # of what the second norm is given
            parameter += offset
    fast = nn.Sequential(*map(layers.Residual, dconv.layers))
    x = noise(1, 16, 3, 40)

    with torch.inference_mode():
        expected = dconv(x[0].transpose(0, 1)).transpose(0, 1)[None]
        said = fast(x.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)

    assert error_db(said, expected) <= -90


@pytest.mark.parametrize("length", [1, 44_100, 50_000])
def test_samples_of_a_spectrogram_are_those_of_demucs(length: int) -> None:
    network = small_network(segment=1)
    parts = noise(1, 4, 4, 2048, -(-length // 1024))
    expected = network._ispec(network._mask(None, parts), length)

    said = samples_of(parts, torch.hann_window(4096) / 1.5, length)

    assert said.shape == expected.shape == (1, 4, 2, length)
    assert error_db(said, expected) <= -120


def test_two_threads_may_be_the_first_to_use_a_convolution() -> None:
    x = torch.randn(1, 8, 64, 16)
    for _ in range(60):
        conv = Conv(torch.randn(16, 16, 3, 3), torch.zeros(16), padding=(1, 1))
        gate = Barrier(2)

        def use(conv: Conv = conv, gate: Barrier = gate) -> torch.Tensor:
            gate.wait()
            return conv(x)

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(use), pool.submit(use)
        assert torch.equal(first.result(), second.result())
