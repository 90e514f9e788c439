"""Models by name: which there are (``models.toml``), where one is on this machine, getting it.

``registry`` reads the list, ``finding`` looks on this machine, ``hashing`` makes sure that a file
is the one it should be, ``downloads`` asks the hub after the user agreed (``consent``), ``weights``
opens files of PyTorch without trusting them. Engines load models; nothing here does.
"""

from resources.models.finding import Model, find_model, obtain_model
from resources.models.registry import (
    FOLDER_VARIABLE,
    MODELS_TOML,
    Entry,
    ErrorCode,
    ModelError,
    ModelFile,
    entry_of,
    model_folder,
    parse_registry,
    read_registry,
    registry,
)

__all__ = [
    "FOLDER_VARIABLE",
    "MODELS_TOML",
    "Entry",
    "ErrorCode",
    "Model",
    "ModelError",
    "ModelFile",
    "entry_of",
    "find_model",
    "model_folder",
    "obtain_model",
    "parse_registry",
    "read_registry",
    "registry",
]
