"""The network of Spleeter: a U-Net for each stem.

Here: the U-Net as a function of magnitudes, laid out for oneDNN. Not here: sound (``spleeter``).

Sources: R. Hennequin et al., "Spleeter: a fast and efficient music source separation tool with
pre-trained models", JOSS 5(50), 2020; the U-Net is that of A. Jansson et al., ISMIR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

BINS = 1024
"""Bins of a spectrum that the network sees: up to 11 kHz."""
DEPTH = 6
"""How often frames and bins are halved: both must be multiples of 2**DEPTH."""

_LEAK = 0.2
_BATCH_NORM_EPSILON = 1e-3


class UNet(nn.Module):
    """Magnitudes of a stereo mix → logits of the mask of one stem.

    TensorFlow, where the weights come from, pads an even length for a stride of two with one zero
    before and two after; PyTorch pads both ends alike. Everything here is turned round instead
    (kernels when they are loaded, spectra by the caller: last frame and highest bin first): then
    plain ``padding=2`` is the same padding, and nothing is copied to be padded or cropped.

    Args:
        weights: arrays by the names of the checkpoint: ``down1_conv.1.weight`` ….

    Raises:
        KeyError, RuntimeError: the arrays are not those of this network.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        down = [(2, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
        up = [(512, 256), (512, 128), (256, 64), (128, 32), (64, 16)]  # half from what went down
        with torch.device("meta"):  # the weights come now: none need be made up
            self.down = nn.ModuleList(nn.Conv2d(*io, 5, stride=2, padding=2) for io in down)
            self.down_norm = nn.ModuleList(_norm(out) for _, out in down)
            self.up = nn.ModuleList(_up(*io) for io in up)
            self.up_norm = nn.ModuleList(_norm(out) for _, out in up)
            self.to_one = _up(32, 1)
            self.one_norm = _norm(1)
            self.last = nn.Conv2d(1, 2, 4, dilation=2, padding=3)
        self.load_state_dict(self._renamed(weights), assign=True)
        self.eval().requires_grad_(False)

    def _renamed(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        theirs = {"to_one": "up6.0", "one_norm": "up6.3", "last": "up7.0"}
        for i in range(DEPTH):
            theirs |= {f"down.{i}": f"down{i + 1}_conv.1", f"down_norm.{i}": f"down{i + 1}_act.0"}
            theirs |= {f"up.{i}": f"up{i + 1}.0", f"up_norm.{i}": f"up{i + 1}.3"}
        state: dict[str, torch.Tensor] = {}
        for name in self.state_dict():
            layer, _, kind = name.rpartition(".")
            if kind == "num_batches_tracked":  # only training counts them
                state[name] = torch.tensor(0)
                continue
            array = weights[f"{theirs[layer]}.{kind}"]
            if array.ndim == 4:
                array = array.flip(2, 3).contiguous(memory_format=torch.channels_last)
            state[name] = array
        return state

    def use_bfloat16(self) -> None:
        """Compute in 16 bits, all but the last layers: they have little work and say the result."""
        self.to(torch.bfloat16)
        for layer in (self.one_norm, self.last):
            layer.float()

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return logits for magnitudes: both (n, 2, frames, ``BINS``), turned round."""
        x = magnitudes.to(self.to_one.weight.dtype, memory_format=torch.channels_last)
        skips: list[torch.Tensor] = []
        for conv, norm in zip(self.down, self.down_norm, strict=True):
            skips.append(conv(x))
            x = functional.leaky_relu_(norm(skips[-1]), _LEAK)
        x = skips.pop()  # the deepest one goes up as it is
        for conv, norm in zip(self.up, self.up_norm, strict=True):
            x = torch.cat([skips.pop(), norm(conv(x).relu_())], 1)
        return self.last(self.one_norm(_to_one_channel(x, self.to_one).relu_()))


def _up(ins: int, outs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(ins, outs, 5, stride=2, padding=2, output_padding=1)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPSILON)


def _to_one_channel(x: torch.Tensor, conv: nn.ConvTranspose2d) -> torch.Tensor:
    """Return ``conv(x)``, a transposed convolution to one channel, in a quarter of oneDNN's time.

    oneDNN computes sixteen channels of output at the least. Here a product of matrices gives the 25
    contributions of each input, and ``fold`` adds them up where they belong.
    """
    n, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(n, -1, channels).transpose(1, 2)
    parts = torch.matmul(conv.weight.reshape(channels, -1).T, flat).float()
    x = functional.fold(parts, (2 * height, 2 * width), 5, stride=2, padding=2)
    return x if conv.bias is None else x + conv.bias
