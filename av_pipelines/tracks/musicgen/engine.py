"""The engine ``musicgen`` as the room calls it: choose a model, keep it loaded, make a track.

Not here: which partition a request is, marking (``assets``), how music is made (``generate``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from av_pipelines.tracks.errors import TrackError
from av_pipelines.tracks.musicgen.layout import files_of, model_names, precisions
from av_pipelines.tracks.produced import Produced
from av_pipelines.tracks.request import seed_of
from av_pipelines.tracks.settings import TrackSettings
from resources import accelerator
from resources.accelerator import Device, Kind, cpu_threads
from resources.ladder import Ladder, is_out_of_memory, release_memory
from resources.manifest import ModelRef
from resources.models import Model, ModelError, entry_of, model_folder, obtain_model
from resources.models.finding import locate

if TYPE_CHECKING:
    from av_pipelines.media.loudness import Loudness
    from av_pipelines.tracks.musicgen.generate import MusicGen, Sound
    from av_pipelines.tracks.musicgen.pace import Pace

FindModel = Callable[[str], Model]
TRACK = "track.flac"
_PICTURES = {"waveform": "waveform.png", "spectrogram": "spectrogram.png"}
_FILES_S = 0.01
"""Guess of what writing a second of sound takes."""
_PAST_BYTES = 2_000_000_000
"""Memory for keys and values beside the weights, generously: of ``large`` for 30 s."""
_LEAST_FREE = 0.1
"""Share of the memory that must be free, or a model is not kept."""


@dataclass(frozen=True)
class Chosen:
    """The model that does the work; ``degraded`` says why it is not the one that was meant."""

    model: Model
    degraded: str | None = None

    @property
    def ref(self) -> ModelRef:
        """The model as manifests name it."""
        return ModelRef(name=self.model.name, sha256=self.model.sha256, licence=self.model.licence)


# ---------------------------------------------------------------------- choosing


def is_here(settings: TrackSettings) -> bool:
    """Whether a model of the size and precision asked for is on this machine; reads none of it."""
    folder = model_folder().absolute()
    return any(locate(entry_of(name), folder) for name in _candidates(settings))


def choose(settings: TrackSettings, find: FindModel = obtain_model) -> Chosen:
    """Choose the best model on this machine for the settings.

    Raises:
        ModelError: none can be had; of several that could do, what is wrong with the best.
    """
    candidates = _candidates(settings)
    failures: list[ModelError] = []
    for name in candidates:
        try:
            model = find(name)
        except ModelError as error:
            if error.code == "MODEL_DOWNLOAD_FAILED":
                raise  # the user agreed to this one: no other is to be fetched in its place
            failures.append(error)
            continue
        damaged = [error.message for error in failures if error.code != "MODEL_NOT_FOUND"]
        if "-i8" in name and settings.precision == "auto":
            damaged.append(f"no other precision of {settings.size} is here")
        return Chosen(model, f"{'; '.join(damaged)}: made with {name}" if damaged else None)
    if not failures:
        raise ModelError(
            "MODEL_NOT_FOUND",
            f"nobody offers MusicGen {settings.size} in {settings.precision}. "
            "Set track.precision to auto",
        )
    raise next((e for e in failures if e.code != "MODEL_NOT_FOUND"), failures[0])


def _candidates(settings: TrackSettings) -> list[str]:
    kind = choose_device(settings).kind
    return model_names(settings.size, precisions(settings.precision, kind))


def choose_device(settings: TrackSettings, chosen: Chosen | None = None) -> Device:
    """Choose the device: CUDA if ONNX Runtime has it and there is room, else the CPU.

    CoreML is used when it is asked for (``mps``): it compiles a graph again for each length of the
    past, so that it is no gain by itself.

    Raises:
        DeviceError: the device asked for is not here.
    """
    need = files_of(chosen.model).size_bytes + _PAST_BYTES if chosen else None
    kinds = ("mps", "cpu") if settings.device == "mps" else ("cuda", "cpu")
    return accelerator.choose(settings.device, need, kinds=kinds, library="onnxruntime")


# ---------------------------------------------------------------------- keeping

_kept: dict[tuple[object, ...], MusicGen] = {}


def loaded(chosen: Chosen, device: Device, threads: int) -> MusicGen:
    """Return a model ready to use: the one of the last request, or loaded now.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``.
        DeviceError: ONNX Runtime cannot use the device.
    """
    from av_pipelines.tracks.musicgen.generate import MusicGen

    model = chosen.model
    key = (model.path, model.sha256, device.kind, device.index, threads)
    if key not in _kept:
        unload()  # before there are two
        _kept[key] = MusicGen(files_of(model), device, threads)
    return _kept[key]


def unload() -> None:
    """Give back the memory of the model that is kept, if there is one."""
    _kept.clear()
    release_memory()


def _unload_if_full(kind: Kind) -> None:
    """Keep no model where others need the memory."""
    for place in {"cpu", kind}:
        device = accelerator.find(cast("Kind", place), "onnxruntime")
        if isinstance(device, Device) and device.memory_total_bytes is not None:
            free = device.memory_free_bytes
            if free is not None and free < _LEAST_FREE * device.memory_total_bytes:
                unload()


# ---------------------------------------------------------------------- making


def generate(
    settings: TrackSettings,
    chosen: Chosen,
    out: Path,
    *,
    device: Device,
    progress: Callable[[float, tuple[int, int] | None], None] = lambda share, tokens: None,
) -> Produced:
    """Make ``track.flac`` (mono, 24 bit, of exactly the length asked for) and its pictures.

    What ``progress`` raises ends the work within a step of the decoder; until the sound is whole
    nothing is written.

    Args:
        settings: with a seed.
        chosen: the model.
        out: the folder; it exists.
        device: where to compute; when its memory runs out, the CPU goes on.
        progress: is told the share of time done, 0 to 1, and of tokens, see ``Pace``.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``.
        TrackError: ``MODEL_INFERENCE_FAILED``, or the settings have no seed.
        DeviceError: ONNX Runtime cannot use the device.
        MemoryError: it ran out.
    """
    from av_pipelines.tracks.musicgen.pace import Pace

    begun = time.perf_counter()
    pace = Pace(progress)
    pace.plan("files", settings.duration_s, _FILES_S)
    ladder = Ladder(device)
    try:
        sound = ladder.run(lambda step: _sound(settings, chosen, step.device, pace))
    except MemoryError:
        unload()
        raise
    pace.start()
    heard = _write(out, sound, settings)
    pace.did("files", settings.duration_s)
    _unload_if_full(ladder.step.device.kind)
    facts = {
        "duration_s": len(sound.samples) / sound.sample_rate,
        "sample_rate_hz": sound.sample_rate,
        "channels": 1,
        "integrated_lufs": round(heard.integrated_lufs, 2),
        "true_peak_dbtp": round(heard.true_peak_dbtp, 2),
        "lra_lu": round(heard.lra_lu, 1),
        "seed": settings.seed,
        "prompt_sent": prompt_of(settings),
        "prompt_tokens": sound.prompt_tokens,
        "size": settings.size,
        "tokens": sound.tokens,
        "tokens_per_s": round(sound.tokens_per_s, 1),
        "steps": sound.steps,
        "frames": sound.frames,
        "windows": sound.windows,
        "loop": settings.loop,
        "device": ladder.step.device.kind,
        "realtime_factor": round(settings.duration_s / (time.perf_counter() - begun), 3),
    }
    return Produced(facts, dict(_PICTURES), degraded=ladder.degraded)


def prompt_of(settings: TrackSettings) -> str:
    """Return what the model is told: the prompt, and what the settings ask for beside it."""
    said = [settings.prompt.strip()]
    if settings.mood:
        said.append(settings.mood)
    if settings.key or settings.scale:
        said.append(" ".join(filter(None, ["in", settings.key, settings.scale])))
    if settings.bpm:
        said.append(f"{settings.bpm:g} bpm")
    return ", ".join(filter(None, said))


def _sound(settings: TrackSettings, chosen: Chosen, device: Device, pace: Pace) -> Sound:
    from av_pipelines.tracks.musicgen.codes import Sampler
    from av_pipelines.tracks.musicgen.generate import generate as make

    sampler = Sampler(
        seed_of(settings),
        guidance=settings.guidance,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
    )
    try:
        model = loaded(chosen, device, cpu_threads(settings.threads))
        prompt = prompt_of(settings)
        return make(model, prompt, settings.duration_s, sampler, pace, loop=settings.loop)
    except Exception as error:
        if is_out_of_memory(error):
            unload()  # the next attempt needs what it holds
        raise


def _write(out: Path, sound: Sound, settings: TrackSettings) -> Loudness:
    from av_pipelines.media.audio import AudioWriter
    from av_pipelines.tracks.level import level
    from av_pipelines.tracks.picture import draw_spectrogram, draw_waveform

    rate = sound.sample_rate
    try:
        levelled = level(sound.samples[None], rate, settings.loudness_lufs, loop=settings.loop)
    except ValueError as error:
        raise TrackError("MODEL_INFERENCE_FAILED", f"the model made no sound: {error}") from error
    with AudioWriter(out / TRACK, "flac", rate, "mono", bit_depth=24) as writer:
        for start in range(0, levelled.mix.shape[1], rate):
            writer.write(levelled.mix[:, start : start + rate])
    draw_waveform(out / _PICTURES["waveform"], levelled.mix, rate)
    draw_spectrogram(out / _PICTURES["spectrogram"], levelled.mix, rate)
    return levelled.loudness
