"""TransNetV2: a network that says of each frame whether a shot changes there.

Here: the network, its weights, running it over thumbnails. Not here: what is made of its answers
(``transitions``), when it is worth asking (``cascade``).

T. Souček and J. Lokoč, "TransNet V2: An effective deep network architecture for fast shot
transition detection", arXiv:2008.04838. The weights are the authors' own, as PyTorch tensors.

The same sums as in the paper, in an order that computers like better: the four dilated branches of
a block share one convolution over the picture; batch normalisation is folded into the convolutions
over time; pictures lie with their channels innermost, so that neither has to move them. And windows
of 250 frames with 25 on either side thrown away, where the authors have 100: a fifth is computed
twice, not half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as nn

from resources.models.weights import load_torch_weights

if TYPE_CHECKING:
    from av_pipelines.media.picture import Thumbnails

WINDOW, MARGIN = 250, 25
_DILATIONS = 1, 2, 4, 8
_STAGES, _BLOCKS = 3, 2
_LOOKUP = 101  # frames with which one is compared, itself in the middle
_BATCH_NORM_EPSILON = 1e-3
_SHAPE = 27, 48, 3


@dataclass(frozen=True)
class _Block:
    """A dilated block: one convolution over the picture, one over time for each dilation."""

    picture: torch.Tensor
    time: tuple[torch.Tensor, ...]
    bias: tuple[torch.Tensor, ...]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        frames, _, height, width = x.shape
        y = nn.conv2d(x, self.picture, padding=1)
        out: list[torch.Tensor] = []
        for part, weight, bias, dilation in zip(
            y.chunk(len(_DILATIONS), 1), self.time, self.bias, _DILATIONS, strict=True
        ):
            # With channels innermost, (frame, channel, y, x) is (1, channel, frame, place) too.
            flat = part.permute(0, 2, 3, 1).reshape(1, frames, height * width, -1)
            flat = nn.conv2d(
                flat.permute(0, 3, 1, 2),
                weight,
                bias,
                padding=(dilation, 0),
                dilation=(dilation, 1),
            )
            flat = flat.permute(0, 2, 3, 1).reshape(frames, height, width, -1)
            out.append(flat.permute(0, 3, 1, 2))
        return torch.cat(out, 1)


class TransNetV2:
    """The network.

    Args:
        weights: the tensors of the authors' model, by name.
        device: where it runs.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._weights = {name: value.to(self._device) for name, value in weights.items()}
        self._stages = [
            [self._block(f"SDDCNN.{stage}.DDCNN.{block}") for block in range(_BLOCKS)]
            for stage in range(_STAGES)
        ]

    def _block(self, name: str) -> _Block:
        weights = self._weights
        scale = weights[f"{name}.bn.weight"] / torch.sqrt(
            weights[f"{name}.bn.running_var"] + _BATCH_NORM_EPSILON
        )
        shift = weights[f"{name}.bn.bias"] - scale * weights[f"{name}.bn.running_mean"]
        branches = [f"{name}.Conv3D_{dilation}.layers" for dilation in _DILATIONS]
        picture = torch.cat([weights[f"{branch}.0.weight"][:, :, 0] for branch in branches])
        time = [
            weights[f"{branch}.1.weight"][..., 0] * part[:, None, None, None]
            for branch, part in zip(branches, scale.chunk(len(branches)), strict=True)
        ]
        return _Block(
            picture.contiguous(memory_format=torch.channels_last),
            tuple(weight.contiguous(memory_format=torch.channels_last) for weight in time),
            tuple(part.contiguous() for part in shift.chunk(len(branches))),
        )

    def __call__(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look at consecutive frames.

        Args:
            frames: uint8 (n, 27, 48, 3), RGB.

        Returns:
            Two probabilities for each frame, float32 (n,): that it is the one where the shot
            changes, and that it is part of a transition.
        """
        with torch.inference_mode():
            pictures = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device)
            x = pictures.permute(0, 3, 1, 2).float().div_(255)
            x = x.contiguous(memory_format=torch.channels_last)
            means: list[torch.Tensor] = []
            for first, second in self._stages:
                inner = first(x).relu_()
                x = nn.avg_pool2d(second(inner).relu_().add_(inner), 2)
                means.append(x.mean(dim=(2, 3)))
            similar = self._linear("frame_sim_layer.projection", torch.cat(means, 1))
            features = [
                self._neighbours("color_hist_layer.fc", _histograms(pictures)),
                self._neighbours("frame_sim_layer.fc", similar),
                x.permute(0, 2, 3, 1).flatten(1),
            ]
            top = self._linear("fc1", torch.cat(features, 1)).relu_()
            changes, parts = (
                torch.sigmoid(self._linear(name, top))[:, 0].cpu().numpy()
                for name in ("cls_layer1", "cls_layer2")
            )
            return changes, parts

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return nn.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _neighbours(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Compare each frame with those before and after it: cosine similarities, weighted."""
        x = nn.normalize(x, dim=1)
        count, half = len(x), _LOOKUP // 2
        padded = nn.pad(x @ x.T, (half, half))
        # The diagonal band: entry (i, k) is how frame i resembles frame i + k - half.
        band = padded.as_strided((count, _LOOKUP), (padded.stride(0) + 1, 1))
        return self._linear(name, band).relu_()


def _histograms(frames: torch.Tensor) -> torch.Tensor:
    """Count colours, eight levels each of red, green and blue: (frames, 512)."""
    levels = (frames >> 5).long().flatten(1, 2)
    places = (levels[..., 0] << 6) + (levels[..., 1] << 3) + levels[..., 2]
    counts = torch.zeros(len(frames), 512, device=frames.device)
    return counts.scatter_add_(1, places, torch.ones_like(places, dtype=torch.float32))


@lru_cache(maxsize=1)
def load(path: Path, device: str = "cpu") -> TransNetV2:
    """Load the weights from a file whose hash has been checked; nothing in it is executed."""
    return TransNetV2(load_torch_weights(path), device)


def predict(
    network: TransNetV2,
    thumbnails: Thumbnails,
    spans: Iterable[tuple[int, int]],
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Look at some parts of a film, window by window.

    Args:
        network: as loaded.
        thumbnails: of the film.
        spans: the parts, first row and last + 1.
        progress: called with the share done.

    Yields:
        The first row of what was looked at, and both probabilities of its rows.
    """
    useful = WINDOW - 2 * MARGIN
    pieces = [
        (start, min(start + useful, end))
        for first, end in spans
        for start in range(first, end, useful)
    ]
    for done, (start, end) in enumerate(pieces):
        window = _padded(thumbnails, start - MARGIN, end + MARGIN)
        changes, parts = network(window)
        yield start, changes[MARGIN:-MARGIN], parts[MARGIN:-MARGIN]
        progress((done + 1) / len(pieces))


def _padded(thumbnails: Thumbnails, start: int, end: int) -> np.ndarray:
    """Rows ``start`` to ``end``; beyond the film, its first and last ones again."""
    inside = thumbnails[max(start, 0) : min(end, len(thumbnails))]
    before, after = max(-start, 0), max(end - len(thumbnails), 0)
    return np.pad(inside, ((before, after), (0, 0), (0, 0), (0, 0)), mode="edge")
