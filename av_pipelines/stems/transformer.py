"""The layers of Demucs' transformer, computed by ``kernels``.

Here: one layer, at inference. Not here: their order, positions (``demucs.transformer``).
"""

from __future__ import annotations

from typing import Any

import torch
from demucs.transformer import (
    CrossTransformerEncoderLayer,
    LayerScale,
    MyGroupNorm,
    MyTransformerEncoderLayer,
)
from torch import Tensor, nn
from torch.nn import functional

from av_pipelines.stems.kernels import Linear


def speed_up_transformer(network: nn.Module) -> None:
    """Exchange, in place, the layers of a network's transformer; others are left alone."""
    transformer = getattr(network, "crosstransformer", None)
    for name in ("layers", "layers_t"):
        layers: nn.ModuleList | list[nn.Module] = getattr(transformer, name, [])
        for index, layer in enumerate(layers):
            if _is_plain(layer):
                layers[index] = Attending(layer)


def _is_plain(layer: Any) -> bool:
    if not isinstance(layer, MyTransformerEncoderLayer | CrossTransformerEncoderLayer):
        return False
    norm = layer.norm_out
    return (
        layer.norm_first
        and not layer.sparse
        and layer.activation is functional.gelu
        and (norm is None or (isinstance(norm, MyGroupNorm) and norm.num_groups == 1))
    )


def _scaled(linear: nn.Linear, scale: nn.Module) -> Linear:
    """Return a linear layer and the scale of what comes out of it as one."""
    factor = scale.scale if isinstance(scale, LayerScale) else torch.ones(linear.out_features)
    return Linear(linear.weight * factor[:, None], linear.bias * factor)


class Attending(nn.Module):
    """A layer that attends to its own input or to that of the other branch."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        crosses = hasattr(layer, "cross_attn")
        attention: Any = layer.cross_attn if crosses else layer.self_attn
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self._width: int = attention.embed_dim
        parts = [self._width * share for share in ((1, 2) if crosses else (3,))]
        self._inputs = list(map(Linear, weight.split(parts), bias.split(parts)))
        self._heads = attention.num_heads
        self._output = _scaled(attention.out_proj, layer.gamma_1)
        self._wide = Linear(layer.linear1.weight, layer.linear1.bias)
        self._narrow = _scaled(layer.linear2, layer.gamma_2)
        norms = [layer.norm1, layer.norm2] + ([layer.norm3] if crosses else [])
        self._norms, self._norm = nn.ModuleList(norms[:-1]), norms[-1]
        self._norm_out = layer.norm_out

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map (batch, length, channels) to the same shape; ``other`` is the other branch."""
        seen = [x] if other is None else [x, other]
        q, k, v = self._projections(seen)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
        x = self._output.combined(y, "add", x)
        x = self._narrow.combined(self._wide(self._norm(x), "gelu"), "add", x)
        return x if self._norm_out is None else _normalised(x, self._norm_out)

    def _projections(self, seen: list[Tensor]) -> list[Tensor]:
        """Return queries, keys and values, each (batch, heads, length, channels of a head)."""
        parts = [
            part
            for y, norm, product in zip(seen, self._norms, self._inputs, strict=True)
            for part in product(norm(y)).split(self._width, -1)
        ]
        return [part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in parts]


def _normalised(x: Tensor, norm: MyGroupNorm) -> Tensor:
    """Return ``norm(x)``, whose one group is all of a batch's (length, channels)."""
    y = functional.group_norm(x.reshape(len(x), 1, -1), 1, eps=norm.eps).view(x.shape)
    return torch.addcmul(norm.bias, y, norm.weight)
