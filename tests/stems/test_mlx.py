"""The engine demucs-mlx: what it says where it cannot work, and its networks on MLX's CPU build.

MLX and demucs-mlx are looked for, not required: only a Mac gets them with the project. Elsewhere
``pip install 'mlx[cpu]' mlx-spectro`` and ``pip install --no-deps demucs-mlx`` are enough for
all but the spectrograms, whose kernels are for Metal; PyTorch makes those in the test then.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import nn

from av_pipelines.stems import mlx_engine
from av_pipelines.stems.demucs_models import find_bag
from av_pipelines.stems.mlx_engine import load_demucs_mlx
from resources.accelerator import DeviceError
from resources.models import ModelError
from tests.stems.conftest import SOURCES, save

SEGMENT_S = 0.25


def tiny(kind: type[nn.Module], seed: int, **changes: Any) -> Any:
    torch.manual_seed(seed)
    return kind(SOURCES, channels=4, dconv_comp=2, segment=SEGMENT_S, **changes).eval()


@pytest.fixture
def on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine work where MLX has no Metal."""
    mx = pytest.importorskip("mlx.core")
    pytest.importorskip("demucs_mlx")
    if mx.metal.is_available():
        return
    monkeypatch.setattr(mlx_engine, "require_mlx", lambda: None)
    monkeypatch.setattr("demucs_mlx.spec_mlx.CachedSpectralPair.stft", _stft)
    monkeypatch.setattr("demucs_mlx.spec_mlx.CachedSpectralPair.istft", _istft)


def _stft(_self: object, x: Any) -> Any:
    import mlx.core as mx  # pyright: ignore[reportMissingImports]

    samples = torch.from_numpy(np.array(x))
    spectra = torch.stft(
        samples.flatten(0, -2), 4096, window=torch.hann_window(4096), return_complex=True
    )
    return mx.array(spectra.unflatten(0, samples.shape[:-1]).numpy())


def _istft(_self: object, z: Any, length: int) -> Any:
    import mlx.core as mx  # pyright: ignore[reportMissingImports]

    spectra = torch.from_numpy(np.array(z))
    samples = torch.istft(
        spectra.flatten(0, -3), 4096, window=torch.hann_window(4096), length=length
    )
    return mx.array(samples.unflatten(0, spectra.shape[:-2]).numpy())


@pytest.mark.usefixtures("on_any_machine")
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (HTDemucs, {"t_layers": 1, "t_heads": 2, "bottom_channels": 16}),
        (HDemucs, {}),
    ],
)
def test_a_converted_network_says_what_it_says_in_pytorch(
    tmp_path: Path, kind: type[nn.Module], changes: dict[str, Any]
) -> None:
    network = tiny(kind, 1, **changes)
    save(network, tmp_path, "tiny")
    converted = load_demucs_mlx(find_bag(tmp_path, "tiny"))
    mix = 0.1 * torch.randn(1, 2, converted.segment, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = network(mix)
    stems = converted.separate(mix)

    assert converted.sources == tuple(SOURCES)
    assert stems.shape == expected.shape
    noise = (stems - expected).square().sum() / expected.square().sum()
    assert 10 * torch.log10(noise) < -70


@pytest.mark.usefixtures("on_any_machine")
def test_of_a_bag_only_the_networks_of_the_stem_that_is_wanted_are_asked(tmp_path: Path) -> None:
    for seed, name in enumerate(("first", "second")):
        save(tiny(HDemucs, seed), tmp_path, name)
    (tmp_path / "bag.yaml").write_text(
        "models: [first, second]\nweights: [[1, 0, 0, 0], [0, 1, 1, 1]]\n"
    )
    mix = 0.1 * torch.randn(1, 2, int(SEGMENT_S * 44_100))
    vocals = load_demucs_mlx(find_bag(tmp_path, "bag"), only="vocals")
    second = load_demucs_mlx(find_bag(tmp_path, "second"))

    assert vocals.sources == ("vocals",)
    assert torch.allclose(vocals.separate(mix)[:, 0], second.separate(mix)[:, 3], atol=1e-6)


@pytest.mark.skipif(sys.platform == "darwin" and platform.machine() == "arm64", reason="it works")
def test_on_another_machine_the_engine_says_what_it_needs(repository: Path) -> None:
    with pytest.raises(DeviceError, match="needs a Mac with Apple Silicon") as raised:
        load_demucs_mlx(find_bag(repository, "small"))
    assert raised.value.code == "DEVICE_NOT_FOUND"


def test_on_a_mac_without_the_package_the_engine_says_what_to_install(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModelError, match=r"pip install 'av-pipelines\[mlx\]'"):
        load_demucs_mlx(find_bag(repository, "small"))
