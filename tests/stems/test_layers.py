"""The faster layers give the same numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from demucs.hdemucs import HDemucs

from av_pipelines.stems import layers
from tests.stems.conftest import SOURCES, small_network


@pytest.mark.parametrize("band_bytes", [1, 100_000, 1 << 21])
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
    fast = copy.deepcopy(network)
    layers.speed_up(fast)
    names = {type(module).__name__ for module in fast.modules()}
    assert {"BandedEncoder", "BandedDecoder"} <= names
    assert ("FusedAttention" in names) == (kind != "hdemucs")
    mix = torch.randn(2, 2, 44_100, generator=torch.Generator().manual_seed(1))

    with torch.inference_mode():
        expected, said = network(mix), fast(mix)

    assert (said - expected).abs().max() <= 1e-5 * expected.abs().max()
