"""The engine ``demucs``: Demucs' networks from a local model repository.

A repository is a folder as ``demucs --repo`` takes it: one file of weights per network, and
``NAME.yaml`` for a bag of several:

    models: [f7e0c4bc, d12395a8]      # signatures: the files' names up to the dash
    weights: [[1, 0, 0, 0], …]        # optional: network × source
    segment: 44                       # optional: seconds

Weights are ``SIGNATURE.safetensors`` (class and arguments as JSON in its header, as on the hub) or
``SIGNATURE-HASH.th``. Nothing is unpickled but tensors, plain values and the names of three
classes, and a hash in a file's name is checked before the file is opened.

Here: finding, checking, loading, bags. Not here: which model is wanted (``engines``), speed
(``layers``).
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import Tensor, nn

from resources.models import ModelError, model_folder
from resources.models.hashing import sha256_of
from resources.models.weights import load_torch_weights, safetensors_metadata

CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")
"""The networks that a file may name."""

_MOST_LAYERS = 64
_LAYERS = ("depth", "t_layers", "dconv_depth", "lstm_layers")


def _failed(path: Path, what: str) -> ModelError:
    return ModelError("MODEL_LOAD_FAILED", f"{path}: {what}")


# ---------------------------------------------------------------------- the repository


@dataclass(frozen=True)
class Bag:
    """A model of a repository: its files, and how much each counts for each source."""

    name: str
    files: tuple[Path, ...]
    weights: tuple[tuple[float, ...], ...] | None = None
    """Network × source; None: all count alike."""
    segment_s: float | None = None

    def sha256(self) -> str:
        """Return the SHA-256 of the weights (of the hashes, in order, when there are several).

        Raises:
            ModelError: a file is not what its name says.
        """
        hashes = [_checked(path) for path in self.files]
        return (
            hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        )


def find_bag(folder: Path, name: str) -> Bag:
    """Find a model in a repository; opens no weights.

    Where the folder has no ``NAME.yaml``, a bag of that name that the package demucs describes
    counts, else the file of weights with that signature.

    Raises:
        ModelError: ``MODEL_NOT_FOUND`` or ``MODEL_LOAD_FAILED``.
    """
    if not folder.is_dir():
        raise ModelError("MODEL_NOT_FOUND", f"there is no model repository {folder}")
    own = folder / f"{name}.yaml"
    if own.is_file():
        return _read_bag(folder, name, own.read_text("utf-8"), own)
    if len(found := _weights_files(folder, name)) == 1:
        return Bag(name, (found[0],))
    shipped = resources.files("demucs.remote").joinpath(f"{name}.yaml")
    if "/" not in name and shipped.is_file():
        return _read_bag(folder, name, shipped.read_text("utf-8"), folder)
    there = sorted({path.stem for path in folder.iterdir() if path.suffix in (".yaml", *_SUFFIXES)})
    raise ModelError(
        "MODEL_NOT_FOUND",
        f"{folder} has no model {name!r}; there are: {', '.join(there) or 'none'}. "
        f"A model is {name}.yaml, {name}.safetensors or {name}-HASH.th",
    )


_SUFFIXES = (".safetensors", ".th")


def _weights_files(folder: Path, signature: str) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in _SUFFIXES and signature in (path.stem, path.stem.rpartition("-")[0])
    ]


def _read_bag(folder: Path, name: str, text: str, where: Path) -> Bag:
    try:
        content = yaml.safe_load(text)
        signatures = [str(signature) for signature in content["models"]]
        rows = content.get("weights")
        weights = tuple(tuple(float(w) for w in row) for row in rows) if rows else None
        segment_s = float(content["segment"]) if content.get("segment") else None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _failed(where, f"not a bag of models: {error!r}") from None
    if weights is not None and len(weights) != len(signatures):
        raise _failed(where, f"{len(signatures)} models and {len(weights)} rows of weights")
    files: list[Path] = []
    for signature in signatures:
        found = _weights_files(folder, signature)
        if len(found) != 1:
            what = "several" if found else "no"
            raise ModelError(
                "MODEL_LOAD_FAILED" if found else "MODEL_NOT_FOUND",
                f"{folder} has {what} files of weights {signature}, which {name} is made of; "
                f"one is expected: {signature}.safetensors or {signature}-HASH.th",
            )
        files.append(found[0])
    return Bag(name, tuple(files), weights, segment_s)


def _checked(path: Path) -> str:
    """Return a file's SHA-256; ModelError if it is not the one in its name."""
    digest = sha256_of(path, model_folder())
    named = path.stem.rpartition("-")[2] if "-" in path.stem else ""
    if not named and path.suffix == ".th":
        raise _failed(
            path, "a .th file has its hash in its name, as demucs saves it: SIGNATURE-HASH.th"
        )
    if not digest.startswith(named.lower()):
        raise _failed(
            path,
            f"its SHA-256 begins with {digest[: max(8, len(named))]}, not {named}: it is damaged "
            "or another one. Delete it and put the right file there",
        )
    return digest


# ---------------------------------------------------------------------- one network


def _class(name: str, path: Path) -> type[nn.Module]:
    if name not in CLASSES:
        raise _failed(path, f"it is for {name!r}; allowed: {', '.join(CLASSES)}")
    module, _, inside = name.rpartition(".")
    return getattr(importlib.import_module(module), inside)


def read_network(path: Path) -> nn.Module:
    """Load one network from a file whose hash was checked, as 32-bit floats on the CPU.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``: damaged, of another class, or of other shapes.
    """
    read = _read_safetensors if path.suffix == ".safetensors" else _read_th
    try:
        return _built(path, *read(path))
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise _failed(path, f"not a network of Demucs ({said})") from error


_Package = tuple[type[nn.Module], Sequence[Any], Mapping[str, Any], Mapping[str, Any]]


def _read_th(path: Path) -> _Package:
    allowed = [_class(name, path) for name in CLASSES]
    package = load_torch_weights(path, allow=[Fraction, *allowed])
    klass = package["klass"]
    if klass not in allowed:
        raise _failed(path, f"it is for {klass!r}; allowed: {', '.join(CLASSES)}")
    return klass, package["args"], package["kwargs"], package["state"]


def _read_safetensors(path: Path) -> _Package:
    header = safetensors_metadata(path)
    klass = _class(header.get("klass", "nothing that is named in its header"), path)
    args, kwargs = (_decoded(json.loads(header[key])) for key in ("args", "kwargs"))
    return klass, args, kwargs, load_torch_weights(path)


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value


def _built(
    path: Path,
    klass: type[nn.Module],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    state: Mapping[str, Any],
) -> nn.Module:
    if state.get("__quantized") or not all(isinstance(t, Tensor) for t in state.values()):
        raise _failed(path, "its weights are quantized with diffq, which is not supported")
    # Arguments that this version of the class no longer has are left out, as demucs does.
    known = inspect.signature(klass).parameters
    given = {key: value for key, value in kwargs.items() if key in known}
    if deep := {k: v for k in _LAYERS if (v := given.get(k, 0)) and not 0 <= v <= _MOST_LAYERS}:
        raise _failed(path, f"{deep}: at most {_MOST_LAYERS} layers are allowed")
    with torch.device("meta"):  # shapes only: the values come from the file
        network = klass(*args, **given)
    network.load_state_dict({key: t.float() for key, t in state.items()}, assign=True)
    network.requires_grad_(False)
    if transformer := getattr(network, "crosstransformer", None):
        transformer.sin_random_shift = 0  # drawn anew at every call: no two runs would be alike
    return network.eval()


# ---------------------------------------------------------------------- the engine


class Demucs:
    """A bag of Demucs' networks as a ``networks.Network``.

    Args:
        networks: of the same sources, rate, channels and segment.
        weights: how much each counts for each source: network × source.
        device: where they compute, as PyTorch names it; they are moved there.
        segment_s: seconds of a segment; None: what the networks were trained on. Networks with
            a transformer take no other.
        only: the one source that is wanted; networks that say nothing of it are left out.
        workers: how many segments of a batch are computed at once on a CPU, each on one core:
            that takes a quarter less time than all cores on one segment after the other.
    """

    channels = 2
    normalise = True

    def __init__(
        self,
        networks: Sequence[nn.Module],
        weights: Sequence[Sequence[float]],
        device: str = "cpu",
        segment_s: float | None = None,
        only: str | None = None,
        workers: int = 1,
    ) -> None:
        first = cast("Any", networks[0])
        self.device, self.sample_rate_hz = device, int(first.samplerate)
        names = tuple(first.sources)
        chosen = [i for i, name in enumerate(names) if only in (None, name)]
        self.sources = tuple(names[i] for i in chosen)
        table = torch.tensor(weights, dtype=torch.float32)[:, chosen]
        table = (table / table.sum(0)).to(device)
        self._chosen = slice(chosen[0], chosen[-1] + 1)
        self._parts = [
            (network.to(device), shares[:, None, None])
            for network, shares in zip(networks, table, strict=True)
            if bool(shares.any())
        ]
        trained = [_segment(network) for network in networks]
        self._fixed = any(getattr(n, "use_train_segment", False) for n in networks)
        asked = round(segment_s * self.sample_rate_hz, 6) if segment_s else None
        self.segment = trained[0] if asked is None or self._fixed else int(asked)
        self._pool = None
        if device == "cpu" and workers > 1:
            self._pool = ThreadPoolExecutor(workers, "stems", torch.set_num_threads, (1,))

    def padded(self, length: int) -> int:
        """Return how many samples are wanted for the last ``length`` of a track."""
        if self._fixed:
            return self.segment
        valid = getattr(self._parts[0][0], "valid_length", None)
        return int(valid(length)) if valid else length

    @property
    def segments_s(self) -> tuple[float, ...]:
        """Lengths of a segment it can work with, the longest first."""
        longest = self.segment / self.sample_rate_hz
        return () if self._fixed else (longest, longest / 2, longest / 4)

    def separate(self, batch: Tensor) -> Tensor:
        """Separate (batch, 2, samples) → (batch, sources, 2, samples)."""
        if self._pool is None or len(batch) == 1:
            return self._at_once(batch)
        threads = torch.get_num_threads()
        stems = torch.cat(list(self._pool.map(self._at_once, batch.split(1))))
        torch.set_num_threads(threads)  # what the workers set is also the default of new threads
        return stems

    @torch.inference_mode()
    def _at_once(self, batch: Tensor) -> Tensor:
        total: Tensor | None = None
        for network, shares in self._parts:
            said = network(batch)[:, self._chosen]
            if len(self._parts) > 1:
                said = said * shares
            total = said if total is None else total + said
        assert total is not None
        return total


def _segment(network: nn.Module) -> int:
    known = cast("Any", network)
    return int(known.segment * known.samplerate)


def load_demucs(
    bag: Bag,
    device: str = "cpu",
    *,
    segment_s: float | None = None,
    only: str | None = None,
    workers: int = 1,
    prepare: Callable[[nn.Module], nn.Module] = lambda network: network,
) -> Demucs:
    """Load a model.

    Args:
        bag: of ``find_bag``.
        device: as PyTorch names it.
        segment_s: seconds of a segment, for networks that take others than they were trained on.
        only: the one source that is wanted; None: all.
        workers: segments at once on a CPU (see ``Demucs``).
        prepare: is given each network, checked, and gives the one that computes.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``.
    """
    bag.sha256()
    networks = [read_network(path) for path in bag.files]
    first = _traits(networks[0])
    for path, network in zip(bag.files, networks, strict=True):
        if (traits := _traits(network)) != first:
            raise _failed(path, f"it is for {traits}, and the first of {bag.name} for {first}")
        if traits[2] != Demucs.channels:
            raise _failed(path, f"it is for {traits[2]} channels; allowed: {Demucs.channels}")
        if bag.segment_s and not getattr(network, "use_train_segment", False):
            cast("Any", network).segment = bag.segment_s
    if len({_segment(network) for network in networks}) > 1:
        raise _failed(bag.files[0], f"the networks of {bag.name} have segments of unlike lengths")
    sources = cast("Sequence[str]", first[0])
    weights = bag.weights or [[1.0] * len(sources)] * len(networks)
    if any(len(row) != len(sources) for row in weights):
        raise _failed(bag.files[0], f"{bag.name} has weights for other sources than {sources}")
    if any(min(column) < 0 or sum(column) <= 0 for column in zip(*weights, strict=True)):
        raise _failed(bag.files[0], f"{bag.name}: weights of a source must be positive in sum")
    if only is not None and only not in sources:
        raise ModelError(
            "MODEL_LOAD_FAILED", f"{bag.name} knows no {only}; it knows: {', '.join(sources)}"
        )
    prepared = [prepare(network) for network in networks]
    return Demucs(prepared, weights, device, segment_s, only, workers)


def _traits(network: nn.Module) -> tuple[tuple[str, ...], int, int]:
    known = cast("Any", network)
    return tuple(known.sources), int(known.samplerate), int(known.audio_channels)
