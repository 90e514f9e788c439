"""Opening weights of PyTorch without trusting the file: safetensors, or pickles that may not call.

A checkpoint of PyTorch is a pickle, and a pickle can call anything. Here it may only build tensors,
plain containers, NumPy arrays, and what the caller lists; anything else ends the loading before it
is called. Not here: what the tensors mean (engines), the hash check before (``find_model``).
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resources.models.registry import ModelError


def load_torch_weights(path: Path, *, allow: Sequence[Any] = ()) -> Any:
    """Load a file of weights onto the CPU.

    Args:
        path: ``*.safetensors``; any other name is a checkpoint of ``torch.save``.
        allow: more classes and functions that a checkpoint may call, such as
            ``fractions.Fraction``; a pair (object, "module.name") where the file has an older name
            for it. They are called with what the file says: list none that does harm.

    Returns:
        Name → tensor of safetensors (``safetensors_metadata`` has what is written beside them);
        of a checkpoint what was saved, mostly a dict.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``: not there, damaged, or it wants to call something else;
            the message names what.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals([*_numpy_globals(), *allow]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged files end in errors of any class
        raise _failed(path, error) from error


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the text written beside the tensors of a safetensors file; ``MODEL_LOAD_FAILED``."""
    from safetensors import safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            return file.metadata() or {}
    except Exception as error:
        raise _failed(path, error) from error


def _numpy_globals() -> list[Any]:
    """What arrays of numbers inside a checkpoint need to be built."""
    import _codecs

    import numpy as np
    from numpy._core import multiarray

    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    arrays = (multiarray._reconstruct, multiarray.scalar)
    return [
        *arrays,
        *((each, f"numpy.core.multiarray.{each.__name__}") for each in arrays),  # NumPy 1's name
        np.ndarray,
        np.dtype,
        *kinds,
        _codecs.encode,  # how protocol 2 writes bytes
    ]


_REFUSED = re.compile(r"GLOBAL (\S+) (?:was not an allowed global|whose module)")


def _failed(path: Path, error: Exception) -> ModelError:
    """Say what was found; torch's own text is left out, as it tells how to run the pickle."""
    refused = _REFUSED.search(str(error))
    if isinstance(error, FileNotFoundError):
        why = "it is not there"
    elif refused and isinstance(error, pickle.UnpicklingError):
        why = f"it wants to call {refused[1]}, which weights do not need"
    else:
        why = f"it is damaged or not a file of weights ({type(error).__name__})"
    return ModelError("MODEL_LOAD_FAILED", f"{path} was not loaded: {why}. Get it again")
