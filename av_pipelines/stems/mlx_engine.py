"""The engine ``demucs-mlx``: Demucs' networks on the GPU of a Mac, by the package demucs-mlx.

The weights are those of the engine ``demucs``, found, checked and read in the same way; demucs-mlx
converts them in memory and computes with Apple's MLX. So nothing is downloaded by that package and
nothing of a file is trusted because of it.

Here: the converted network behind the interface of PyTorch's. Not here: reading weights, bags
(``demucs_models``). Nothing else in this project imports ``mlx`` or ``demucs_mlx``.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from av_pipelines.stems.demucs_models import Bag, Demucs, load_demucs
from resources.accelerator import DeviceError
from resources.models import ModelError

ENGINE = "demucs-mlx"


def require_mlx() -> None:
    """Make sure that the engine can work here, without importing it.

    Raises:
        DeviceError: this is no Mac with Apple Silicon (the package's kernels are for Metal).
        ModelError: ``MODEL_LOAD_FAILED``: the package is not installed.
    """
    if sys.platform != "darwin" or platform.machine() != "arm64":
        raise DeviceError(
            f"engine = {ENGINE} needs a Mac with Apple Silicon; this is {platform.system()} on "
            f"{platform.machine()}. Set engine to demucs or auto"
        )
    if importlib.util.find_spec("demucs_mlx") is None:
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"engine = {ENGINE} needs the Python package demucs-mlx. "
            "Run: pip install 'av-pipelines[mlx]'",
        )


class OnMlx(nn.Module):
    """A network of Demucs, computed by MLX: PyTorch's tensors on the CPU in and out.

    Args:
        network: as ``read_network`` gives it; it is not kept.
    """

    def __init__(self, network: nn.Module) -> None:
        import mlx.core as mx  # pyright: ignore[reportMissingImports]
        from demucs_mlx.mlx_convert import (  # pyright: ignore[reportMissingImports]
            convert_single_model,
        )

        super().__init__()
        known = cast("Any", network)
        self.sources, self.samplerate = tuple(known.sources), int(known.samplerate)
        self.audio_channels, self.segment = int(known.audio_channels), known.segment
        self.use_train_segment = bool(getattr(network, "use_train_segment", False))
        self.converted = convert_single_model(network).eval()
        if valid_length := getattr(self.converted, "valid_length", None):
            self.valid_length = valid_length
        # MLX computes on the thread that first asks; another one may ask for the stems.
        mx.eval(self.converted.parameters())

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """Separate (batch, channels, samples) → (batch, sources, channels, samples)."""
        import mlx.core as mx  # pyright: ignore[reportMissingImports]

        return torch.from_numpy(np.array(self.converted(mx.array(mix.numpy()))))


def load_demucs_mlx(bag: Bag, *, only: str | None = None) -> Demucs:
    """Load a model for MLX.

    Args:
        bag: of ``find_bag``.
        only: the one source that is wanted; None: all.

    Raises:
        DeviceError, ModelError: see ``require_mlx``; ``MODEL_LOAD_FAILED`` also for files that are
            no networks of Demucs.
    """
    require_mlx()
    return load_demucs(bag, only=only, prepare=OnMlx)
