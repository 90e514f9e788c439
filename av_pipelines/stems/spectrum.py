"""From the spectra that Demucs' networks make to samples, in pieces that stay in the cache.

Here: the inverse transform. Not here: the network's layers (``layers``).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn

_STEPS = 4
"""Frames that overlap: the hop is a quarter of them, as everywhere in Demucs."""
_SQUARES = 1.5
"""Sum of the squares of Hann windows a quarter apart."""


def speed_up_spectrum(network: nn.Module) -> None:
    """Exchange, in place, how a network that gives real and imaginary parts makes samples of them.

    ``HTDemucs`` calls ``_mask`` and ``_ispec`` one after the other: all the spectra are made
    complex, padded twice and transformed, ten tensors of 45 MB. Here one signal is, at a time.
    """
    if isinstance(network, HTDemucs) and network.cac:
        window = torch.hann_window(network.nfft) / _SQUARES
        known = cast("Any", network)
        known._mask = lambda spectrum, parts: parts
        known._ispec = lambda parts, length: samples_of(parts, window, length)


def samples_of(parts: Tensor, window: Tensor, length: int) -> Tensor:
    """Return the samples of spectra.

    Args:
        parts: (batch, sources, 2 · channels, bins, frames): of each channel the real and the
            imaginary parts, without the highest bin; normalised by the root of the window's length.
        window: that the frames are multiplied with.
        length: samples that are wanted.

    Returns:
        (batch, sources, channels, length).
    """
    batch, sources, _, bins, _ = parts.shape
    out = parts.new_empty(batch, sources, parts.shape[2] // 2, length)
    signals = zip(parts.flatten(0, 2).unflatten(0, (-1, 2)), out.flatten(0, 2), strict=True)
    for spectrum, signal in signals:
        real, imaginary = (part.t().contiguous() for part in spectrum)
        frames = torch.fft.irfft(torch.complex(real, imaginary), 2 * bins, norm="ortho")
        frames = frames.mul_(window).unflatten(-1, (_STEPS, -1))
        hops = frames.new_zeros(len(frames) + _STEPS - 1, frames.shape[-1])
        for step in range(_STEPS):
            hops[step : step + len(frames)] += frames[:, step]
        first = 3 * hops.shape[-1] // 2
        signal.copy_(hops.flatten()[first : first + length])
    return out
