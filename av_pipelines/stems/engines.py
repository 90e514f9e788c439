"""Engines: which one, with which model, takes a mix apart, and getting it ready.

A new engine is a module that gives a ``networks.Network``, its name in ``settings.ENGINES``, its
lines in ``choose`` and ``load``, and its models in ``models.toml``. Not here: separating.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from av_pipelines.stems.settings import ENGINES, StemsSettings
from resources.accelerator import Device, DeviceError, Kind, cpu_threads
from resources.accelerator import choose as choose_device
from resources.ladder import Ladder, Step, is_out_of_memory
from resources.manifest import ModelRef
from resources.models import Model, ModelError, entry_of, model_folder, obtain_model, registry

if TYPE_CHECKING:
    from av_pipelines.stems.networks import Network

FindModel = Callable[[str], Model]

MLX = "demucs-mlx"
SPLEETER = "spleeter-2stems"
DEMUCS_BY_QUALITY: Mapping[str, tuple[str, ...]] = {
    "draft": ("htdemucs", "hdemucs_mmi", "htdemucs_ft"),
    "standard": ("htdemucs", "htdemucs_ft", "hdemucs_mmi"),
    "high": ("htdemucs_ft", "htdemucs", "hdemucs_mmi"),
}
"""Quality → models, the one that is meant first, then what stands in for it when it is missing."""

_DEVICES: Mapping[str, tuple[Kind, ...]] = {
    "demucs": ("cuda", "mps", "cpu"),
    "spleeter": ("cpu",),
    MLX: ("mlx",),
}
"""Engine → what it can compute on, the best first."""

_BYTES_PER_SEGMENT = 1_500_000_000
"""Memory that a segment of ``htdemucs`` takes on its way through, generously."""
_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Chosen:
    """The model that does the work; ``degraded`` says why it is not the one that was meant."""

    engine: str
    name: str
    folder: Path
    """Where its weights are: for ``demucs`` a model repository."""
    sha256: str
    licence: str | None
    model: Model | None = None
    """None for a model of the user's own."""
    degraded: str | None = None

    @property
    def ref(self) -> ModelRef:
        """The model as manifests name it."""
        return ModelRef(name=self.name, sha256=self.sha256, licence=self.licence)


# ---------------------------------------------------------------------- choosing


def choose(settings: StemsSettings, find: FindModel = obtain_model) -> Chosen:
    """Choose the best model on this machine for the settings.

    Raises:
        ModelError: what was asked for by name cannot be had, or nothing can that would do.
    """
    if settings.engine == MLX:
        from av_pipelines.stems.mlx_engine import require_mlx

        require_mlx()
        same = settings.model_copy(update={"engine": "demucs"})
        return replace(choose(same, find), engine=MLX)
    if settings.model_repo is not None:
        return _own(settings.model_repo, settings.model or "")
    if settings.model is not None:
        entry = entry_of(settings.model)
        if entry.engine not in (ENGINES if settings.engine == "auto" else (settings.engine,)):
            raise ModelError(
                "MODEL_NOT_FOUND",
                f"{entry.name} is for the engine {entry.engine}, not for {settings.engine} of the "
                f"asset stems; allowed: {', '.join(_models_of(ENGINES))}",
            )
        return _found(find(entry.name))
    failures: list[ModelError] = []
    candidates = list(_candidates(settings))
    for name in candidates:
        try:
            chosen = _found(find(name))
        except ModelError as error:
            failures.append(error)
            continue
        if name == candidates[0]:
            return chosen
        return replace(chosen, degraded=_degraded(failures, candidates[0], name))
    broken = next((e for e in failures if e.code != "MODEL_NOT_FOUND"), failures[0])
    if settings.engine == "auto" and SPLEETER not in candidates:
        raise ModelError(
            broken.code,
            f"{broken.message} (two_stems = {settings.two_stems}: spleeter cannot stand in, it "
            "knows vocals only)",
        )
    raise broken


def _models_of(engines: tuple[str, ...]) -> list[str]:
    return [name for name, entry in registry().items() if entry.engine in engines]


def _candidates(settings: StemsSettings) -> Iterator[str]:
    if settings.engine in ("auto", "demucs"):
        yield from DEMUCS_BY_QUALITY[settings.quality]
    if settings.engine in ("auto", "spleeter"):
        if settings.two_stems in (None, "vocals"):
            yield SPLEETER
        elif settings.engine == "spleeter":
            raise ModelError(
                "MODEL_NOT_FOUND",
                f"two_stems = {settings.two_stems}: spleeter knows vocals only. "
                "Set engine to demucs",
            )


def _degraded(failures: list[ModelError], meant: str, taken: str) -> str:
    damaged = [error.message for error in failures if error.code != "MODEL_NOT_FOUND"]
    if taken == SPLEETER:
        why = "; ".join(damaged) or "demucs weights not available"
        return f"{why}: 2 stems by spleeter"
    return f"{'; '.join(damaged) or f'{meant} is not on this machine'}: separated by {taken}"


def _found(model: Model) -> Chosen:
    if model.engine == "demucs":
        from av_pipelines.stems.demucs_models import find_bag

        find_bag(model.path, model.name).sha256()  # a hash in a name holds
    return Chosen(model.engine, model.name, model.path, model.sha256, model.licence, model)


def _own(repository: str, name: str) -> Chosen:
    from av_pipelines.stems.demucs_models import find_bag

    given = Path(repository).expanduser()
    folder = given if given.is_absolute() or given.is_dir() else model_folder() / given
    bag = find_bag(folder, name)
    return Chosen("demucs", name, folder.absolute(), bag.sha256(), None)


# ---------------------------------------------------------------------- loading


def ladder(chosen: Chosen, settings: StemsSettings) -> Ladder:
    """Return the device for a model and the steps down from it.

    Networks with a transformer compute segments of one length only; others also take halves and
    quarters.

    Raises:
        DeviceError: the device asked for is not here, or not for this engine.
    """
    kinds = _DEVICES[chosen.engine]
    if settings.device not in ("auto", *kinds):
        raise DeviceError(
            f"device = {settings.device}: the engine {chosen.engine} computes on "
            f"{' or '.join(kinds)} only. Set device to auto, or take another engine"
        )
    need = _BYTES_PER_SEGMENT if chosen.engine == "demucs" else None
    device = choose_device(settings.device, need, kinds=kinds)
    try:
        segments_s = getattr(load(chosen, settings, Step(device)), "segments_s", ())
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        segments_s = ()  # the first attempt will find the same, and step down
    return Ladder(device, _batch(device, settings), segments_s)


def _batch(device: Device, settings: StemsSettings) -> int:
    if settings.batch:
        return settings.batch
    free = device.memory_free_bytes or _BYTES_PER_SEGMENT
    most = cpu_threads(settings.threads) if device.kind == "cpu" else _MOST_AT_ONCE
    return max(1, min(most, free // _BYTES_PER_SEGMENT))


def load(chosen: Chosen, settings: StemsSettings, step: Step) -> Network:
    """Load the model for a step of the ladder; cheap when this process has it already.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``, naming the file.
    """
    import torch

    threads = cpu_threads(settings.threads)
    torch.set_num_threads(threads)
    if chosen.engine == "spleeter":
        from av_pipelines.stems.spleeter import load_spleeter

        assert chosen.model
        return load_spleeter(chosen.model, None)
    return _demucs(
        chosen.engine,
        chosen.folder,
        chosen.name,
        chosen.sha256,
        step.device.torch_name,
        step.segment_s,
        settings.two_stems,
        threads,
    )


@functools.lru_cache(maxsize=1)
def _demucs(
    engine: str,
    folder: Path,
    name: str,
    sha256: str,
    device: str,
    segment_s: float | None,
    only: str | None,
    workers: int,
) -> Network:
    """Keep the last model: the files of a batch mostly want the same one."""
    from av_pipelines.stems.demucs_models import find_bag, load_demucs
    from av_pipelines.stems.layers import speed_up

    bag = find_bag(folder, name)
    if engine == MLX:
        from av_pipelines.stems.mlx_engine import load_demucs_mlx

        return load_demucs_mlx(bag, only=only)
    if device == "cpu":
        return load_demucs(bag, segment_s=segment_s, only=only, workers=workers, prepare=speed_up)
    return load_demucs(bag, device, segment_s=segment_s, only=only)
