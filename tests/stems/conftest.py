"""A small Demucs with random weights in a model repository, and sounds to take apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from demucs.states import save_with_checksum

from av_pipelines.media.audio import AudioWriter
from av_pipelines.stems.demucs_models import Demucs, find_bag, load_demucs

SOURCES = ["drums", "bass", "other", "vocals"]
SMALL: dict[str, Any] = {
    "sources": SOURCES,
    "segment": Fraction(39, 5),
    "channels": 4,
    "dconv_comp": 2,
    "dconv_mode": 3,
    "t_layers": 3,
    "t_heads": 2,
    "t_hidden_scale": 1.0,
}


def small_network(seed: int = 0, branches: float | None = 0.3, **changes: object) -> HTDemucs:
    """The architecture of htdemucs, twelve times narrower, with random weights.

    Args:
        seed: of the weights.
        branches: scale of the residual branches; None: what training begins with, next to nothing.
        changes: of the arguments.
    """
    torch.manual_seed(seed)
    network = HTDemucs(**{**SMALL, **changes})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if branches is not None and name.endswith("scale"):
                parameter.fill_(branches)
    return network.eval()


def save(network: Any, folder: Path, signature: str) -> Path:
    """Save a network as demucs' training does; return the file."""
    args, kwargs = network._init_args_kwargs
    package = {
        "klass": type(network),
        "args": args,
        "kwargs": kwargs,
        "state": network.state_dict(),
        "training_args": {},
    }
    save_with_checksum(package, folder / f"{signature}.th")
    return next(folder.glob(f"{signature}-*.th"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks here are too small to share among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _own_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_MODELS", str(tmp_path / "models"))


@pytest.fixture(scope="session")
def original() -> HTDemucs:
    return small_network()


@pytest.fixture(scope="session")
def repository(original: HTDemucs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the model ``small``."""
    folder = tmp_path_factory.mktemp("repository")
    save(original, folder, "small")
    return folder


@pytest.fixture(scope="session")
def network(repository: Path) -> Demucs:
    return load_demucs(find_bag(repository, "small"))


@pytest.fixture(scope="session")
def brief_original() -> HTDemucs:
    """With segments of one second, where their length does not matter."""
    return small_network(segment=1)


@pytest.fixture(scope="session")
def brief_repository(brief_original: HTDemucs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("brief")
    save(brief_original, folder, "small")
    return folder


@pytest.fixture(scope="session")
def brief(brief_repository: Path) -> Demucs:
    return load_demucs(find_bag(brief_repository, "small"))


@pytest.fixture(scope="session")
def music() -> Callable[..., np.ndarray]:
    """Tones, beats and noise of a seed: (channels, samples), about -20 dB."""

    def make(seconds: float, rate: int = 44_100, channels: int = 2) -> np.ndarray:
        random = np.random.default_rng(7)
        t = np.arange(round(rate * seconds)) / rate
        tones = sum(np.sin(2 * np.pi * f * t + f) / 3 for f in (110.0, 277.2, 1318.5))
        beats = np.exp(-8 * (t % 0.5)) * random.standard_normal((channels, t.size))
        spread = np.linspace(0.7, 1.3, channels)[:, None]
        return (0.12 * spread * tones + 0.12 * beats + 0.003).astype(np.float32)

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write samples of shape (channels, samples) to a file of 32-bit floats."""

    def to_file(samples: np.ndarray, rate: int = 44_100, layout: str = "stereo") -> Path:
        path = tmp_path / "audio.w64"
        with AudioWriter(path, "pcm_f32le", rate, layout) as writer:
            writer.write(samples)
        return path

    return to_file
