"""What Demucs itself makes of a whole track, to compare with."""

from __future__ import annotations

import demucs.apply
import numpy as np
import torch


def statistics(mix: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the mono mix, as ``demucs.api.Separator`` takes them out."""
    mono = torch.from_numpy(mix).mean(0)
    return mono.mean(), mono.std() + 1e-8


def whole(original, mix: np.ndarray, shifts: int = 0, overlap: float = 0.25) -> np.ndarray:
    """Stems by demucs itself, as ``demucs.api.Separator`` calls it."""
    mean, std = statistics(mix)
    given = ((torch.from_numpy(mix) - mean) / std)[None]
    stems = demucs.apply.apply_model(original, given, shifts=shifts, overlap=overlap)
    return (stems * std + mean)[0].numpy()


def peak_db(samples: np.ndarray) -> float:
    """Largest sample in dB of full scale."""
    return 20 * np.log10(np.abs(samples).max() + 1e-20)
