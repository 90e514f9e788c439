"""Convolutions and products of matrices as a CPU computes them best.

Tensors are channels last: (batch, rows, frames, channels), contiguous. Weights are packed once, and
the function that follows is computed while the sums are in registers. oneDNN, which PyTorch brings
for x86, reaches 110 of the 120 GFLOP/s of a core (Zen 4) this way. PyTorch's own calls reach 40
to 100: they pack the weights at every call, and make a tensor of each step. Where oneDNN is
missing, PyTorch's plain functions compute the same.

Here: one operation. Not here: the layers made of them (``layers``, ``transformer``).
"""

from __future__ import annotations

import platform
import threading
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]
Then = Literal["none", "gelu", "sigmoid"]
How = Literal["add", "mul"]

ONEDNN = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def _after(y: Tensor, then: Then) -> Tensor:
    return y if then == "none" else getattr(torch.ops.aten, then)(y)


def _algorithm(then: Then) -> str:
    return "none" if then == "gelu" else ""  # of gelu: the one by erf


_PACKING = threading.Lock()


class Linear:
    """A product with a constant matrix, over the last axis.

    Args:
        weight: (out, in).
        bias: (out,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight.contiguous(), bias.contiguous()
        if ONEDNN:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, None)

    def __call__(self, x: Tensor, then: Then = "none") -> Tensor:
        """Return the product, and a function of it."""
        if not ONEDNN:
            return _after(functional.linear(x, self._weight, self._bias), then)
        return torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, then, [], _algorithm(then)
        )

    def combined(self, x: Tensor, how: How, other: Tensor) -> Tensor:
        """Return the product plus, or times, a tensor of its shape."""
        if not ONEDNN:
            return getattr(torch, how)(self(x), other)
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weight, self._bias, how)


class Conv:
    """A convolution with constant weights over rows and frames.

    Args:
        weight: (out, in, kernel rows, kernel frames).
        bias: (out,).
        stride, padding, dilation: of rows and frames.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
    ) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._bias = bias.contiguous()
        self._stride, self._padding, self._dilation = stride, padding, dilation
        self._packed = not ONEDNN

    def _pack(self, x: Tensor) -> None:
        """Lay the weights out as oneDNN wants them for inputs such as the first."""
        how = self._padding, self._stride, self._dilation, 1
        with _PACKING:  # segments are computed side by side: another one may be here too
            if not self._packed:
                self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                    self._weight, *how, x.shape
                )
                self._packed = True

    def __call__(self, x: Tensor, then: Then = "none") -> Tensor:
        """Return the convolution, and a function of it."""
        x = x.permute(0, 3, 1, 2)
        if not self._packed:
            self._pack(x)
        if ONEDNN:
            how = self._padding, self._stride, self._dilation, 1, then, [], _algorithm(then)
            y = torch.ops.mkldnn._convolution_pointwise(x, self._weight, self._bias, *how)
        else:
            how = self._stride, self._padding, self._dilation
            y = _after(functional.conv2d(x, self._weight, self._bias, *how), then)
        return y.permute(0, 2, 3, 1)

    def combined(self, x: Tensor, how: How, other: Tensor) -> Tensor:
        """Return the convolution plus, or times, a tensor of its shape."""
        if not ONEDNN:
            return getattr(torch, how)(self(x), other)
        x, other = x.permute(0, 3, 1, 2), other.permute(0, 3, 1, 2)
        if not self._packed:
            self._pack(x)
        rest = self._padding, self._stride, self._dilation, 1, how, 1.0, None, [], None
        y = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self._weight, self._bias, *rest
        )
        return y.permute(0, 2, 3, 1)


TILE = 4
"""Rows and frames that ``Winograd`` computes at once."""
_INTO = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_KERNEL = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # ÷ 24
_BACK = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


class Winograd:
    """A convolution by 3 × 3 with a quarter of the multiplications.

    Tiles of 4 × 4 outputs come from 6 × 6 inputs: F(4 × 4, 3 × 3) of A. Lavin and S. Gray, "Fast
    algorithms for convolutional neural networks", CVPR 2016. Rounding errors are at -112 dB.

    Args:
        weight: (out, in, 3, 3); beside the frames there are zeros, beside the rows none.
        bias: (out,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        into, kernel, back = (torch.tensor(m, dtype=torch.float64) for m in (_INTO, _KERNEL, _BACK))
        self._into, self._back = (torch.kron(m, m).float() for m in (into, back))
        products = torch.einsum("ij,ocjk,lk->ilco", kernel / 24, weight.double(), kernel / 24)
        self._weight = products.flatten(0, 1).float().contiguous()
        self._bias = bias.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """Map (batch, rows + 2, frames, in) to (batch, rows, frames, out)."""
        batch, rows, frames, channels = x.shape
        rows -= 2
        down, along = -(-rows // TILE), -(-frames // TILE)
        x = functional.pad(x, (0, 0, 1, along * TILE + 1 - frames, 0, down * TILE - rows))
        skip, row, frame, _ = x.stride()
        shape, strides = (batch, down, along, channels), (skip, TILE * row, TILE * frame, 1)
        tiles = x.as_strided((6, 6, *shape), (row, frame, *strides))
        inputs = (self._into @ tiles.reshape(36, -1)).view(36, -1, channels)
        outputs = self._back @ torch.bmm(inputs, self._weight).flatten(1)
        outputs = outputs.view(TILE, TILE, *shape[:3], -1).permute(2, 3, 0, 4, 1, 5)
        y = x.new_empty(outputs.shape)
        torch.add(outputs, self._bias, out=y)
        return y.view(batch, down * TILE, along * TILE, -1)[:, :rows, :frames]


class Gated:
    """A convolution of stride 1 and ``functional.glu`` over what comes of it.

    Args:
        weight: (2 · out, in, kernel rows, kernel frames).
        bias: (2 · out,).
        padding: zeros beside the frames; beside the rows there are none.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: int) -> None:
        self._both = None
        if weight.shape[2:] == (3, 3) and padding == 1:
            self._both = Winograd(weight, bias)
            return
        halves = zip(weight.chunk(2), bias.chunk(2), strict=True)
        if weight.shape[2:] == (1, 1) and not padding:
            self._value, self._gate = (Linear(w[..., 0, 0], b) for w, b in halves)
        else:
            self._value, self._gate = (Conv(w, b, padding=(0, padding)) for w, b in halves)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the values, each times the sigmoid of its gate."""
        if self._both:
            return functional.glu(self._both(x), -1)
        return self._value.combined(x, "mul", self._gate(x, "sigmoid"))
