"""One way to compute on NumPy arrays or torch tensors, so that every sound is written once.

Here: what the two libraries name differently. Both are used in 32-bit floats; slices, arithmetic
and in-place sums are the same in both. Random numbers always come from NumPy, so that a seed means
the same everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from resources.accelerator import Device

Samples = Any
"""A float32 array or tensor; the last axis is time."""


class Arrays:
    """Operations on NumPy arrays."""

    def put(self, values: np.ndarray) -> Samples:
        """Take real numbers as float32, complex ones as complex64."""
        kind = np.complex64 if np.iscomplexobj(values) else np.float32
        return np.asarray(values, dtype=kind)

    def get(self, samples: Samples) -> np.ndarray:
        """Return samples as a NumPy array."""
        return samples

    def zeros(self, *shape: int) -> Samples:
        """Return silence."""
        return np.zeros(shape, np.float32)

    def sin(self, turns: Samples) -> Samples:
        """Return the sine of a phase in turns (1 = a whole one); may overwrite it."""
        turns *= 2 * np.pi
        return np.sin(turns, out=turns)

    def rfft(self, samples: Samples, size: int) -> Samples:
        """Transform real samples, padded with zeros to a size."""
        return np.fft.rfft(samples, size)

    def irfft(self, spectrum: Samples, size: int) -> Samples:
        """Transform back to so many real samples."""
        return np.fft.irfft(spectrum, size)


class TorchArrays(Arrays):
    """The same on torch tensors of any device."""

    def __init__(self, device: str) -> None:
        import torch

        self._torch, self._device = torch, torch.device(device)

    def put(self, values: np.ndarray) -> Samples:
        """As of ``Arrays``."""
        return self._torch.from_numpy(np.ascontiguousarray(super().put(values))).to(self._device)

    def get(self, samples: Samples) -> np.ndarray:
        """As of ``Arrays``."""
        return samples.cpu().numpy()

    def zeros(self, *shape: int) -> Samples:
        """As of ``Arrays``."""
        return self._torch.zeros(shape, dtype=self._torch.float32, device=self._device)

    def sin(self, turns: Samples) -> Samples:
        """As of ``Arrays``."""
        return turns.mul_(2 * np.pi).sin_()

    def rfft(self, samples: Samples, size: int) -> Samples:
        """As of ``Arrays``."""
        return self._torch.fft.rfft(samples, size)

    def irfft(self, spectrum: Samples, size: int) -> Samples:
        """As of ``Arrays``."""
        return self._torch.fft.irfft(spectrum, size)


def arrays_for(device: Device) -> Arrays:
    """Return what computes on a device: on the CPU NumPy, which is faster there than torch."""
    return Arrays() if device.kind == "cpu" else TorchArrays(device.torch_name)
