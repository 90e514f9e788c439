"""TransNetV2: a network that says of each frame whether a shot changes there.

Here: the network, its weights, running it over thumbnails. Not here: what is made of its answers
(``transitions``), when it is worth asking (``cascade``).

T. Souček and J. Lokoč, "TransNet V2: An effective deep network architecture for fast shot
transition detection", arXiv:2008.04838. The weights are the authors' own, as PyTorch tensors.

The same sums as in the paper, in an order that computers like better. Frames pass through the
layers in pieces small enough for the processor's cache; each layer keeps the few frames that it
still needs, so that pieces leave no seams and nothing is computed twice. Batch normalisation is
folded into the convolutions over time; most of those over the picture take a quarter of the
multiplications (``winograd``); channels lie innermost, so that no convolution has to move them.
And windows of 2050 frames with 25 on either side thrown away, where the authors have 100.
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

from av_pipelines.scenes.detectors.winograd import Winograd
from resources.models.weights import load_torch_weights

if TYPE_CHECKING:
    from av_pipelines.media.picture import Thumbnails

WINDOW, MARGIN = 2050, 25
_PIECE = 16
_DILATIONS = 1, 2, 4, 8
_REACH = max(_DILATIONS)  # frames that a block looks ahead, and back
_STAGES = 3
_LOOKUP = 101  # frames with which one is compared, itself in the middle
_BATCH_NORM_EPSILON = 1e-3
_MANY_CHANNELS = 256  # that come out: from here on Winograd's transforms cost less than they save


Pieces = Iterable[torch.Tensor]
"""Consecutive frames of a film, float32 (frames, channels, height, width), channels innermost."""


@dataclass(frozen=True)
class _Block:
    """A dilated block: for each dilation, a convolution over the picture, then one over time.

    ``picture`` does those over the picture of all dilations at once: from (n, height, width,
    channels) to the same with the dilations' channels one after the other.
    """

    picture: Callable[[torch.Tensor], torch.Tensor]
    time: tuple[torch.Tensor, ...]
    bias: tuple[torch.Tensor, ...]

    def __call__(self, pieces: Pieces) -> Iterator[torch.Tensor]:
        """Give as many frames as come in, ``_REACH`` frames late; before and after are zeros."""
        held: torch.Tensor | None = None
        for piece in pieces:
            seen = self.picture(piece.permute(0, 2, 3, 1))
            # (dilations, frames, height, width, channels)
            parts = seen.unflatten(3, (len(_DILATIONS), -1)).permute(3, 0, 1, 2, 4)
            held = torch.cat([_no_frames(parts) if held is None else held, parts], 1)
            if held.shape[1] > 2 * _REACH:
                yield self._over_time(held)
                held = held[:, -2 * _REACH :]
        if held is not None:
            yield self._over_time(torch.cat([held, _no_frames(held)], 1))

    def _over_time(self, parts: torch.Tensor) -> torch.Tensor:
        """Convolve; leaves out ``_REACH`` frames at either end."""
        _, frames, height, width, _ = parts.shape
        out: list[torch.Tensor] = []
        for part, weight, bias, dilation in zip(
            parts, self.time, self.bias, _DILATIONS, strict=True
        ):
            part = part[_REACH - dilation : frames - _REACH + dilation]
            # With channels innermost, (frame, y, x, channel) is (1, channel, frame, place) too.
            flat = part.flatten(1, 2)[None].permute(0, 3, 1, 2)
            flat = nn.conv2d(flat, weight, bias, dilation=(dilation, 1))
            flat = flat.permute(0, 2, 3, 1).reshape(-1, height, width, flat.shape[1])
            out.append(flat.permute(0, 3, 1, 2))
        return torch.cat(out, 1)


def _no_frames(like: torch.Tensor) -> torch.Tensor:
    """Zeros for as long as a block looks ahead or back."""
    return like.new_zeros((len(like), _REACH, *like.shape[2:]))


def _over_picture(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make a convolution over pictures whose channels are innermost, 3 × 3."""
    if weight.shape[0] >= _MANY_CHANNELS:
        return Winograd(weight)
    weight = weight.contiguous(memory_format=torch.channels_last)

    def convolve(pictures: torch.Tensor) -> torch.Tensor:
        return nn.conv2d(pictures.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)

    return convolve


@dataclass(frozen=True)
class _Stage:
    """Two blocks, the first one's frames added to those of the second, at half the size."""

    first: _Block
    second: _Block

    def __call__(self, pieces: Pieces) -> Iterator[torch.Tensor]:
        waiting: list[torch.Tensor] = []

        def inner() -> Iterator[torch.Tensor]:
            for piece in self.first(pieces):
                waiting.append(piece.relu_())
                yield piece

        for piece in self.second(inner()):
            shortcut = torch.cat(waiting)
            waiting[:] = [shortcut[len(piece) :]]
            yield nn.avg_pool2d(piece.relu_().add_(shortcut[: len(piece)]), 2)


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
            _Stage(*(self._block(f"SDDCNN.{stage}.DDCNN.{block}") for block in range(2)))
            for stage in range(_STAGES)
        ]

    def _block(self, name: str) -> _Block:
        weights = self._weights
        scale = weights[f"{name}.bn.weight"] / torch.sqrt(
            weights[f"{name}.bn.running_var"] + _BATCH_NORM_EPSILON
        )
        shift = weights[f"{name}.bn.bias"] - scale * weights[f"{name}.bn.running_mean"]
        branches = [f"{name}.Conv3D_{dilation}.layers" for dilation in _DILATIONS]
        picture = [weights[f"{branch}.0.weight"][:, :, 0] for branch in branches]
        time = [
            weights[f"{branch}.1.weight"][..., 0] * part[:, None, None, None]
            for branch, part in zip(branches, scale.chunk(len(branches)), strict=True)
        ]
        return _Block(
            _over_picture(torch.cat(picture)),
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
            means: list[list[torch.Tensor]] = [[] for _ in self._stages]
            pieces = _pieces(pictures)
            for stage, noted in zip(self._stages, means, strict=True):
                pieces = _noting(stage(pieces), noted)
            last = torch.cat([piece.permute(0, 2, 3, 1).flatten(1) for piece in pieces])
            similar = torch.cat([torch.cat(noted) for noted in means], 1)
            similar = self._linear("frame_sim_layer.projection", similar)
            features = [
                self._neighbours("color_hist_layer.fc", _histograms(pictures)),
                self._neighbours("frame_sim_layer.fc", similar),
                last,
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


def _pieces(pictures: torch.Tensor) -> Iterator[torch.Tensor]:
    """Give the frames piece by piece, values 0 to 1."""
    for part in pictures.split(_PIECE):
        piece = part.permute(0, 3, 1, 2).float().div_(255)
        yield piece.contiguous(memory_format=torch.channels_last)


def _noting(pieces: Pieces, means: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Pass pieces on; note each frame's mean of every channel, (frames, channels)."""
    for piece in pieces:
        means.append(piece.mean(dim=(2, 3)))
        yield piece


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
