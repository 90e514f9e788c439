"""Layers of Demucs' networks that give the same numbers in less time on a CPU.

Measured with `htdemucs` on one core, a segment of 7.8 s is 335 GFLOP: at least 2.8 s; PyTorch's
layers take 5.3 s. The difference is layout and memory: the spectrogram branch works on tensors of
30 to 130 MB that live for one operation, each fetched from the system page by page and gone from
the cache before it is read. Here,

* tensors are channels last and all that is convolved goes through ``kernels``;
* the rows of a spectrogram (its frequencies) are independent between the strided convolutions:
  they are taken in bands that stay in the cache;
* a transposed convolution that doubles its kernel's half is a plain one over two neighbours;
* what a group norm does to a narrow tensor's projection follows from the narrow tensor.

On a GPU none of this holds, and the network is left as it is.

Here: exchanging convolutional layers of a loaded network. Not here: loading (``demucs_models``),
the transformer (``transformer``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from demucs.demucs import DConv
from demucs.hdemucs import HDecLayer, HEncLayer
from demucs.transformer import LayerScale
from torch import Tensor, nn
from torch.nn import functional

from av_pipelines.stems.kernels import TILE, Conv, Gated, Linear, Then
from av_pipelines.stems.spectrum import speed_up_spectrum
from av_pipelines.stems.transformer import speed_up_transformer

_BAND_BYTES = 1 << 20
"""Of the tensor between two operations: a few of them fit the caches of one core."""


def speed_up(network: nn.Module) -> nn.Module:
    """Exchange, in place, layers of a Demucs network for equal ones that are faster on a CPU.

    Layers of other kinds (with norms, attention or LSTM, split in bands by training) are left
    alone.
    """
    for name in ("encoder", "decoder", "tencoder", "tdecoder"):
        layers: nn.ModuleList | list[nn.Module] = getattr(network, name, [])
        for index, layer in enumerate(layers):
            if not isinstance(layer, HEncLayer | HDecLayer) or not _is_plain(layer):
                continue
            if isinstance(layer, HEncLayer):
                layers[index] = SpectrumEncoder(layer) if layer.freq else WaveEncoder(layer)
            else:
                layers[index] = SpectrumDecoder(layer) if layer.freq else WaveDecoder(layer)
    for name in ("channel_upsampler", "channel_downsampler"):
        for whole in (name, f"{name}_t"):
            if isinstance(layer := getattr(network, whole, None), nn.Conv1d):
                setattr(network, whole, Projection(layer))
    speed_up_transformer(network)
    speed_up_spectrum(network)
    return network


def _is_plain(layer: Any) -> bool:
    """Whether a layer is convolutions with nothing between them but what is known here."""
    if layer.empty or not layer.pad or layer.rewrite is None:
        return False
    norms = [getattr(layer, name) for name in ("norm1", "norm2")]
    residuals = layer.dconv.layers if isinstance(layer.dconv, DConv) else []
    return (
        layer.stride * 2 == layer.kernel_size
        and all(isinstance(norm, nn.Identity) for norm in norms)
        and all(map(_is_plain_residual, residuals))
    )


_RESIDUAL = (nn.Conv1d, nn.GroupNorm, nn.GELU, nn.Conv1d, nn.GroupNorm, nn.GLU, LayerScale)


def _is_plain_residual(layer: Any) -> bool:
    kinds = [type(part) for part in layer]
    return kinds == list(_RESIDUAL) and layer[1].num_groups == layer[4].num_groups == 1


def _channels_last(x: Tensor) -> Tensor:
    """(batch, channels, rows, frames) → (batch, rows, frames, channels), contiguous."""
    return x.permute(0, 2, 3, 1).contiguous()


def _channels_first(x: Tensor) -> Tensor:
    """(batch, rows, frames, channels) → (batch, channels, rows, frames); a view."""
    return x.permute(0, 3, 1, 2)


def _bands(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BAND_BYTES // row_bytes // TILE) * TILE
    return ((first, min(first + step, rows)) for first in range(0, rows, step))


def _with_zeros(x: Tensor, first: int, last: int) -> Tensor:
    """Rows ``first`` to ``last`` of (batch, rows, …); zeros where there are none."""
    rows = x.shape[1]
    piece = x[:, max(first, 0) : min(last, rows)]
    before, after = max(0, -first), max(0, last - rows)
    piece = functional.pad(piece, (0, 0, 0, 0, before, after)) if before or after else piece
    return piece.contiguous()


class Residual(nn.Module):
    """One residual branch of ``demucs.demucs.DConv``: along the frames of each row.

    h is narrow, z = W·h + c wide. The norm of z needs the mean and variance of z over channels and
    frames; they follow from the means and covariance of h. So W and c are changed for each row, and
    z comes out normalised, with the norm's gain and the layer's scale.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        conv, self._norm, _, widen, norm, _, scale = layer
        reach, dilation = conv.kernel_size[0] // 2, conv.dilation[0]
        self._conv = Conv(
            conv.weight[:, :, None],
            conv.bias,
            padding=(0, reach * dilation),
            dilation=(1, dilation),
        )
        weight, self._eps = widen.weight[:, :, 0], norm.eps
        self._offset, self._weight = widen.bias, weight.T.contiguous()
        self._products = (weight.T @ weight / len(weight)).contiguous()
        values = torch.cat([scale.scale, torch.ones_like(scale.scale)])  # the gates have none
        self._gain, self._shift = norm.weight * values, norm.bias * values
        self._scaled = torch.cat([self._weight, self._offset[None]]) * self._gain

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, rows, frames, channels) to the same shape."""
        h = self._conv(x).flatten(0, 1)
        rows = len(h)
        h = functional.group_norm(h.reshape(rows, 1, -1), 1, eps=self._norm.eps).view(h.shape)
        h = functional.gelu(torch.addcmul(self._norm.bias, h, self._norm.weight))
        weight = self._normalising(h)
        h = functional.pad(h, (0, 1), value=1.0)
        values, gates = weight.chunk(2, -1)
        gates = torch.bmm(h, gates).sigmoid_()
        return torch.addcmul(x, torch.bmm(h, values).view(x.shape), gates.view(x.shape))

    def _normalising(self, h: Tensor) -> Tensor:
        """Return (rows, narrow + 1, wide): what gives z, normalised, of h and 1."""
        means = h.mean(1, keepdim=True)
        centred = h - means
        covariance = torch.bmm(centred.transpose(1, 2), centred) / h.shape[1]
        wide = torch.addmm(self._offset, means[:, 0], self._weight)
        mean = wide.mean(1, keepdim=True)
        variance = (covariance * self._products).sum((1, 2)) + (wide - mean).square().mean(1)
        factor = (variance + self._eps).rsqrt()[:, None]
        weight = self._scaled * factor[..., None]
        weight[:, -1] += self._shift - mean * factor * self._gain
        return weight


def _residuals(dconv: Any) -> nn.Module:
    return nn.Sequential(*map(Residual, dconv.layers)) if dconv is not None else nn.Identity()


class SpectrumEncoder(nn.Module):
    """``demucs.hdemucs.HEncLayer`` of the spectrogram branch, band by band."""

    empty = False

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._stride, self._kernel, self._pad = layer.stride, layer.kernel_size, layer.pad
        self._conv = Conv(layer.conv.weight, layer.conv.bias, stride=(layer.stride, 1))
        self._residuals = _residuals(layer.dconv)
        self._rewrite = Gated(layer.rewrite.weight, layer.rewrite.bias, 0)
        self._channels = layer.conv.out_channels

    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """Map (batch, channels, rows, frames) to a quarter of the rows (see ``HEncLayer``)."""
        assert inject is None  # only layers at which the branches meet, and these have norms
        x = _channels_last(x)
        batch, rows, frames, _ = x.shape
        rows = (rows + 2 * self._pad - self._kernel) // self._stride + 1
        out = x.new_empty(batch, rows, frames, self._channels)
        for first, last in _bands(rows, 4 * batch * frames * self._channels):
            top = first * self._stride - self._pad
            bottom = (last - 1) * self._stride - self._pad + self._kernel
            y = self._conv(_with_zeros(x, top, bottom), "gelu")
            out[:, first:last] = self._rewrite(self._residuals(y))
        return _channels_first(out)


class WaveEncoder(nn.Module):
    """``demucs.hdemucs.HEncLayer`` of the waveform branch."""

    empty = False

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._stride = layer.stride
        self._conv = Conv(
            layer.conv.weight[:, :, None],
            layer.conv.bias,
            stride=(1, layer.stride),
            padding=(0, layer.pad),
        )
        self._residuals = _residuals(layer.dconv)
        padding = layer.rewrite.padding[0]
        self._rewrite = Gated(layer.rewrite.weight[:, :, None], layer.rewrite.bias, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, samples) to a quarter of the samples (see ``HEncLayer``)."""
        x = functional.pad(x, (0, -x.shape[-1] % self._stride))
        y = self._conv(_channels_last(x[:, :, None]), "gelu")
        return _channels_first(self._rewrite(self._residuals(y)))[:, :, 0]


def _of_neighbours(weight: Tensor) -> Tensor:
    """Return a transposed convolution as one from two neighbours to ``stride`` times the channels.

    Args:
        weight: (in, out, 2 · stride).

    Returns:
        (stride · out, in, 2): an input and the one after it.
    """
    ins, outs, kernel = weight.shape
    taps = weight.view(ins, outs, 2, kernel // 2).flip(2)
    return taps.permute(3, 1, 0, 2).reshape(-1, ins, 2)


class SpectrumDecoder(nn.Module):
    """``demucs.hdemucs.HDecLayer`` of the spectrogram branch, band by band."""

    empty = False

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._stride, self._pad, self._context = layer.stride, layer.pad, layer.rewrite.padding[0]
        self._rewrite = Gated(layer.rewrite.weight, layer.rewrite.bias, layer.rewrite.padding[1])
        self._residuals = _residuals(layer.dconv)
        weight = _of_neighbours(layer.conv_tr.weight[..., 0])[..., None]
        self._up = Conv(weight, layer.conv_tr.bias.repeat(layer.stride))
        self._last: bool = layer.last
        self._then: Then = "none" if layer.last else "gelu"
        self._channels = layer.conv_tr.out_channels

    def forward(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, None]:
        """Map (batch, channels, rows, frames) to four times the rows (see ``HDecLayer``).

        The second value, which ``HDecLayer`` gives for the layer at which the branches part, is
        None: that layer has norms.
        """
        x, skip = _channels_last(x), _channels_last(skip)
        batch, rows, frames, channels = x.shape
        out = x.new_empty(batch, rows + 1, self._stride, frames, self._channels)
        if self._last:  # what follows takes channels apart
            out = x.new_empty(batch, self._channels, *out.shape[1:4]).permute(0, 2, 3, 4, 1)
        above = x.new_zeros(batch, 1, frames, channels)
        for first, last in _bands(rows, 4 * batch * frames * channels):
            top, bottom = first - self._context, last + self._context
            y = _with_zeros(x, top, bottom) + _with_zeros(skip, top, bottom)
            y = self._residuals(self._rewrite(y))
            parts = [above, y] if last < rows else [above, y, torch.zeros_like(above)]
            above = y[:, -1:]
            z = self._up(torch.cat(parts, 1), self._then)
            z = z.unflatten(-1, (self._stride, -1))
            out[:, first : first + z.shape[1]] = z.transpose(2, 3)
        return _channels_first(out.flatten(1, 2)[:, self._pad : -self._pad]), None


class WaveDecoder(nn.Module):
    """``demucs.hdemucs.HDecLayer`` of the waveform branch."""

    empty = False

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._pad, self._channels = layer.pad, layer.conv_tr.out_channels
        padding = layer.rewrite.padding[0]
        self._rewrite = Gated(layer.rewrite.weight[:, :, None], layer.rewrite.bias, padding)
        self._residuals = _residuals(layer.dconv)
        weight = _of_neighbours(layer.conv_tr.weight)[:, :, None]
        self._up = Conv(weight, layer.conv_tr.bias.repeat(layer.stride), padding=(0, 1))
        self._then: Then = "none" if layer.last else "gelu"

    def forward(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, None]:
        """Map (batch, channels, samples) to ``length`` samples (see ``HDecLayer``)."""
        y = self._residuals(self._rewrite(_channels_last((x + skip)[:, :, None])))
        z = self._up(y, self._then).unflatten(-1, (-1, self._channels)).flatten(1, 3)
        return z[:, self._pad : self._pad + length].transpose(1, 2), None


class Projection(nn.Module):
    """``nn.Conv1d`` with a kernel of one."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._product = Linear(layer.weight[:, :, 0], layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, length) to other channels."""
        return self._product(x.transpose(1, 2).contiguous()).transpose(1, 2)
