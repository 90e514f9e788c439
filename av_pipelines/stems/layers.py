"""Layers of Demucs' networks that give the same numbers in less time on a CPU.

Here: exchanging layers of a loaded network. Not here: loading (``demucs_models``), devices.

Two things cost a CPU more than the arithmetic (measured with 2 threads, `htdemucs`):

* The spectrogram branch works on tensors of 30 to 70 MB that live for one operation: each is
  fetched from the system page by page and leaves the cache before it is read. The rows of a
  spectrogram (its frequencies) are independent between the strided convolutions, so they are
  taken in bands that stay in the cache.
* ``nn.MultiheadAttention`` makes the whole matrix of scores, which the fused attention does not.

On a GPU neither holds, and the network is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from demucs.hdemucs import HDecLayer, HEncLayer
from torch import Tensor, nn
from torch.nn import functional

_BAND_BYTES = 1 << 21
"""Of the largest tensor in a band: two or three of them fit the caches of one core."""


def speed_up(network: nn.Module) -> nn.Module:
    """Exchange, in place, layers of a Demucs network for equal ones that are faster on a CPU.

    Layers of other kinds (with norms across frequencies, split in bands by training, sparse)
    are left alone.
    """
    for name in ("encoder", "decoder"):
        layers: nn.ModuleList | list[nn.Module] = getattr(network, name, [])
        for index, layer in enumerate(layers):
            if isinstance(layer, HEncLayer) and _rows_are_independent(layer, context=0):
                layers[index] = BandedEncoder(layer)
            elif isinstance(layer, HDecLayer) and _rows_are_independent(layer, context=1):
                layers[index] = BandedDecoder(layer)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MultiheadAttention) and child.batch_first:
                setattr(module, name, FusedAttention(child))
    return network


def _rows_are_independent(layer: HEncLayer | HDecLayer, context: int) -> bool:
    """Whether nothing but the convolutions mixes the frequencies of a layer."""
    if layer.empty or not layer.freq or not layer.pad or layer.rewrite is None:
        return False
    if layer.rewrite.kernel_size != (1 + 2 * context, 1 + 2 * context):
        return False
    norms = [getattr(layer, name) for name in ("norm1", "norm2")]
    return layer.stride * 2 == layer.kernel_size and all(isinstance(n, nn.Identity) for n in norms)


def _bands(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BAND_BYTES // row_bytes)
    return ((first, min(first + step, rows)) for first in range(0, rows, step))


def _with_zeros(x: Tensor, first: int, last: int) -> Tensor:
    """Rows ``first`` to ``last`` of (batch, channels, rows, frames); zeros where there are none."""
    rows = x.shape[2]
    piece = x[:, :, max(first, 0) : min(last, rows)]
    before, after = max(0, -first), max(0, last - rows)
    return functional.pad(piece, (0, 0, before, after)) if before or after else piece


def _residual(dconv: nn.Module | None, y: Tensor) -> Tensor:
    """Apply the residual branch to each row of (batch, channels, rows, frames) alone.

    Returns:
        (batch · rows, channels, frames).
    """
    rows = y.permute(0, 2, 1, 3).reshape(-1, y.shape[1], y.shape[3])
    return rows if dconv is None else dconv(rows)


class BandedEncoder(nn.Module):
    """``demucs.hdemucs.HEncLayer`` of a spectrogram branch without norms, band by band."""

    empty = False

    def __init__(self, layer: HEncLayer) -> None:
        super().__init__()
        assert layer.rewrite
        self.conv, self.dconv, self.rewrite = layer.conv, layer.dconv, layer.rewrite
        self.stride, self.kernel, self.pad = layer.stride, layer.kernel_size, layer.pad

    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """Map (batch, channels, rows, frames) to a quarter of the rows (see ``HEncLayer``)."""
        assert inject is None  # only layers at which the branches meet, and these have norms
        batch, _, rows, frames = x.shape
        channels = self.conv.out_channels
        rows = (rows + 2 * self.pad - self.kernel) // self.stride + 1
        out = x.new_empty(batch, channels, rows, frames)
        for first, last in _bands(rows, 8 * batch * channels * frames):
            top = first * self.stride - self.pad
            bottom = (last - 1) * self.stride - self.pad + self.kernel
            y = functional.conv2d(
                _with_zeros(x, top, bottom), self.conv.weight, self.conv.bias, self.conv.stride
            )
            y = _residual(self.dconv, functional.gelu(y))
            y = functional.conv1d(y, self.rewrite.weight[..., 0], self.rewrite.bias)
            y = functional.glu(y, dim=1).view(batch, last - first, channels, frames)
            out[:, :, first:last] = y.permute(0, 2, 1, 3)
        return out


class BandedDecoder(nn.Module):
    """``demucs.hdemucs.HDecLayer`` of a spectrogram branch without norms, band by band."""

    empty = False

    def __init__(self, layer: HDecLayer) -> None:
        super().__init__()
        assert layer.rewrite
        self.conv, self.dconv, self.rewrite = layer.conv_tr, layer.dconv, layer.rewrite
        self.stride, self.pad, self.last = layer.stride, layer.pad, layer.last

    def forward(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, None]:
        """Map (batch, channels, rows, frames) to four times the rows (see ``HDecLayer``).

        The second value, which ``HDecLayer`` gives for the layer at which the branches part, is
        None: that layer has norms.
        """
        batch, channels, rows, frames = x.shape
        out = x.new_empty(batch, self.conv.out_channels, rows * self.stride, frames)
        tail: Tensor | None = None
        for first, last in _bands(rows, 8 * batch * channels * frames):
            y = _with_zeros(x, first - 1, last + 1) + _with_zeros(skip, first - 1, last + 1)
            y = functional.conv2d(y, self.rewrite.weight, self.rewrite.bias, padding=(0, 1))
            y = _residual(self.dconv, functional.glu(y, dim=1))
            y = y.view(batch, last - first, channels, frames).permute(0, 2, 1, 3)
            z = functional.conv_transpose2d(y, self.conv.weight, None, self.conv.stride)
            if tail is not None:
                z[:, :, : self.stride] += tail
            done = (last - first) * self.stride
            tail = z[:, :, done:].clone()
            self._finish(z[:, :, :done], out, first * self.stride)
        assert tail is not None
        self._finish(tail, out, rows * self.stride)
        return out, None

    def _finish(self, z: Tensor, out: Tensor, row: int) -> None:
        """Add the bias to rows that got all their shares, and put them where they belong."""
        first = max(0, self.pad - row)
        last = min(z.shape[2], out.shape[2] + self.pad - row)
        if first >= last:
            return
        z = z[:, :, first:last]
        if self.conv.bias is not None:
            z = z + self.conv.bias[:, None, None]
        at = row + first - self.pad
        out[:, :, at : at + last - first] = z if self.last else functional.gelu(z)


class FusedAttention(nn.Module):
    """``nn.MultiheadAttention`` (batch first) at inference, by the fused kernel."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.weight, self.bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj, self.heads = attention.out_proj, attention.num_heads

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: None = None, **options: object
    ) -> tuple[Tensor, None]:
        """Attend without a mask; (batch, length, channels). Weights are not returned."""
        assert attn_mask is None
        assert options.get("key_padding_mask") is None
        width = query.shape[-1]
        if query is key:
            parts = functional.linear(query, self.weight, self.bias).split(width, dim=-1)
        else:
            own, others = self.weight.split([width, 2 * width])
            own_bias, others_bias = self.bias.split([width, 2 * width])
            both = functional.linear(key, others, others_bias)
            parts = (functional.linear(query, own, own_bias), *both.split(width, dim=-1))
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).flatten(-2)), None
