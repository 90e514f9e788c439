"""``avp doctor``: is everything here that this needs, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from av_pipelines.maker import Studio

_NEEDED_ENCODERS = ("flac", "pcm_f32le", "libmp3lame", "aac", "libopus", "vorbis")
_EXAMPLE = "[machine] and, on the next line, cpu_hour_usd = 0.04"
_LOW_DISK_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    said: str


def examine(studio: Studio) -> list[Finding]:
    """Look at everything once; one finding each, good or bad."""
    checks: list[tuple[str, Callable[[Studio], str]]] = [
        ("python", _python),
        ("codecs", _codecs),
        ("store", _store),
        ("disk", _disk),
        ("device", _device),
        ("models", _models),
        ("speech model", _speech_model),
        ("recipes", _recipes),
        ("prices", _prices),
        ("dagster", _dagster),
    ]
    findings = []
    for name, look in checks:
        try:
            findings.append(Finding(name, True, look(studio)))
        except Exception as error:
            findings.append(Finding(name, False, str(error) or type(error).__name__))
    return findings


def _python(studio: Studio) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.python_version()} on {sys.platform}, {cores} cores"


def _codecs(studio: Studio) -> str:
    import av

    missing = [name for name in _NEEDED_ENCODERS if name not in av.codecs_available]
    if missing:
        raise RuntimeError(
            f"PyAV {av.__version__} lacks the encoders {', '.join(missing)}: "
            f"install it from a wheel (pip install --force-reinstall av)"
        )
    return f"PyAV {av.__version__}, FFmpeg libavcodec {av.library_versions['libavcodec'][0]}"


def _store(studio: Studio) -> str:
    root = studio.store.root
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=root):
        return f"{root} can be written to"


def _disk(studio: Studio) -> str:
    free = shutil.disk_usage(studio.store.root).free
    if free < _LOW_DISK_BYTES:
        raise RuntimeError(f"only {free / 1e9:.1f} GB left where {studio.store.root} is")
    return f"{free / 1e9:.0f} GB free"


def _device(studio: Studio) -> str:
    from resources.accelerator import choose, cpu_threads, find

    device = choose("auto", kinds=("mlx", "cuda", "mps", "cpu"))
    said = f"{device.kind} ({device.name}"
    if device.memory_free_bytes is not None and device.memory_total_bytes is not None:
        free, total = device.memory_free_bytes, device.memory_total_bytes
        said += f", {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    said += f"), {cpu_threads()} CPU threads"
    return f"{said}; {find('cuda')}" if device.kind == "cpu" else said


def _models(studio: Studio) -> str:
    from resources.models import model_folder, registry
    from resources.models.finding import locate

    here: dict[str, list[str]] = {}
    for entry in registry().values():
        names = here.setdefault(entry.engine, [])
        if locate(entry, model_folder().absolute()):
            names.append(entry.name)
    said = "; ".join(f"{engine}: {', '.join(names) or 'none'}" for engine, names in here.items())
    return f"{said}. More: avp models list"


def _speech_model(studio: Studio) -> str:
    from av_pipelines.transcripts.assets import choose
    from av_pipelines.transcripts.settings import TranscriptSettings

    choice = choose(TranscriptSettings())
    name = choice.model.name if choice.model else "none"
    return f"{choice.engine} with {name}" + (f" ({choice.degraded})" if choice.degraded else "")


def _recipes(studio: Studio) -> str:
    names = studio.recipes.names()
    for name in names:
        studio.recipes.get(name)
    return ", ".join(names)


def _prices(studio: Studio) -> str:
    from resources.rates import load_rates

    rates = load_rates(studio.store.root)
    if rates.cpu_hour_usd is None:
        own = studio.store.root / "rates.toml"
        return f"not set: costs are unpriced; README, Prices, says what to write in {own}"
    return f"{rates.cpu_hour_usd} USD a core hour"


def _dagster(studio: Studio) -> str:
    import dagster as dg

    from av_pipelines.launch import open_instance

    with open_instance(studio) as instance:
        return f"{dg.__version__}, state in {instance.root_directory}"
