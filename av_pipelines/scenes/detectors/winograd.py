"""3 × 3 convolutions with a quarter of the multiplications.

Here: Winograd's minimal filtering F(4 × 4, 3 × 3), for pictures with many channels. Not here: the
network that uses it (``transnetv2``).

A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308: tiles
of 6 × 6 values that overlap by two are transformed, multiplied by the transformed weights, one
matrix for each of the 36 places, and transformed back to 4 × 4 results. In float32 the results are
within 1e-5 or so of those of the plain sum.
"""

from __future__ import annotations

import torch
import torch.nn.functional as nn

_STEP, _TILE = 4, 6
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_WEIGHT = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


class Winograd:
    """A convolution of fixed weights, with zeros around the pictures, which keep their size.

    Args:
        weight: (channels out, channels in, 3, 3).
    """

    def __init__(self, weight: torch.Tensor) -> None:
        side = torch.tensor(_WEIGHT, dtype=torch.float64, device=weight.device)
        made = torch.einsum("ai,bj,ocij->abco", side, side, weight.double())
        self._weight = made.flatten(0, 1).to(weight.dtype).contiguous()
        self._input, self._output = (
            torch.kron(matrix, matrix) for matrix in map(weight.new_tensor, (_INPUT, _OUTPUT))
        )

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Convolve (n, height, width, channels in): (n, height, width, channels out)."""
        count, height, width, channels = pictures.shape
        down, across = -(-height // _STEP), -(-width // _STEP)
        below, right = _STEP * down - height + 1, _STEP * across - width + 1
        padded = nn.pad(pictures, (0, 0, 1, right, 1, below))
        frame, row, column, channel = padded.stride()
        tiles = padded.as_strided(
            (_TILE, _TILE, count, down, across, channels),
            (row, column, frame, _STEP * row, _STEP * column, channel),
        )
        inner = (self._input @ tiles.reshape(_TILE**2, -1)).view(_TILE**2, -1, channels)
        outer = (self._output @ torch.bmm(inner, self._weight).flatten(1)).view(
            _STEP, _STEP, count, down, across, -1
        )
        whole = outer.permute(2, 3, 0, 4, 1, 5).reshape(count, _STEP * down, _STEP * across, -1)
        return whole[:, :height, :width]
