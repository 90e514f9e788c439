"""Which workers a run is for: a queue for each size of GPU memory, and one without a GPU.

Here: from assets and settings to the model that is meant, to the memory it takes, to a queue. Not
here: who puts runs into queues and takes them out (``workers``), or which model a worker then has
(rooms): one that does not fit after all steps down by itself (``resources.ladder``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from av_pipelines.settings import Settings
from av_pipelines.stems.settings import StemsSettings
from av_pipelines.tracks.settings import TrackSettings
from av_pipelines.transcripts.settings import TranscriptSettings

CPU = "cpu"
QUEUES = (CPU, "gpu-12", "gpu-16", "gpu-24")
"""Queue of a run without a model for a GPU; queues of runs that take up to so many GB of one."""

GPU_BYTES: Mapping[str, int] = {
    "htdemucs": 7_000_000_000,  # Demucs README: about 7 GB with default segments
    "htdemucs_ft": 7_000_000_000,
    "htdemucs_6s": 7_000_000_000,
    "hdemucs_mmi": 7_000_000_000,
    "whisper-large-v3": 6_090_000_000,  # faster-whisper README: large-v2, fp16, batches of 8
    "whisper-large-v3-turbo": 6_090_000_000,
    # fp32 weights, and 2 GB that generating takes beside them (``tracks.musicgen.engine``)
    "musicgen-small": 4_300_000_000,
    "musicgen-medium": 9_000_000_000,
    "musicgen-large": 16_500_000_000,
}
"""Model → memory that it takes on a GPU."""

_SMALL = 3_000_000_000  # any other model


def queue_of(
    assets: Iterable[str], settings: Mapping[str, Settings], queues: Sequence[str] = QUEUES
) -> str:
    """Return the queue of a run: the smallest that has room for all its models together.

    A worker keeps its models from run to run, so the needs add up. When no queue has the room it
    is the largest; without a queue for GPUs it is ``cpu``.

    Args:
        assets: that the run makes.
        settings: asset → its settings; assets that are not in it have none that matter here.
        queues: that there are workers for.
    """
    need = sum(gpu_bytes(settings[asset]) for asset in set(assets) if asset in settings)
    sizes = sorted((int(name.removeprefix("gpu-")), name) for name in queues if name != CPU)
    if need == 0 or not sizes:
        return CPU
    return next((name for size, name in sizes if need <= size * 1_000_000_000), sizes[-1][1])


def gpu_bytes(settings: Settings) -> int:
    """Return the memory that the model meant by settings takes on a GPU; 0: it needs none."""
    for kind, model_of in _MODELS.items():
        if isinstance(settings, kind):
            model = model_of(settings)
            return GPU_BYTES.get(model, _SMALL) if model else 0
    return 0


def _of_transcript(settings: TranscriptSettings) -> str | None:
    from av_pipelines.transcripts.engines import BY_QUALITY, ON_GPU

    if settings.device == "cpu":
        return None
    sizes = ON_GPU.get(settings.quality, BY_QUALITY[settings.quality])
    return settings.model or f"whisper-{sizes[0]}"


def _of_stems(settings: StemsSettings) -> str | None:
    from av_pipelines.stems.engines import DEMUCS_BY_QUALITY, SPLEETER

    if settings.device == "cpu" or settings.engine == "spleeter" or settings.model == SPLEETER:
        return None  # spleeter computes on the CPU only
    if settings.model_repo or settings.model not in GPU_BYTES:
        return DEMUCS_BY_QUALITY[settings.quality][0]
    return settings.model


def _of_track(settings: TrackSettings) -> str | None:
    if settings.device == "cpu" or settings.engine == "procedural":
        return None
    return f"musicgen-{settings.size}"


_MODELS: Mapping[type[Settings], Callable[..., str | None]] = {
    TranscriptSettings: _of_transcript,
    StemsSettings: _of_stems,
    TrackSettings: _of_track,
}
