"""Which files a MusicGen is made of, and which models of the registry offer a size and precision.

The names are those of the hub repository ``gabotechs/music_gen``: a folder ``small`` with texts, a
folder ``small_fp32`` with graphs. Not here: finding, downloading, hashing (``resources.models``),
and what is inside a graph (``graphs``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.models import Model, ModelError, registry

PRECISIONS = {"cuda": ("fp16", "fp32", "i8"), "mps": ("fp16", "fp32", "i8")}
"""Device → what ``auto`` tries, in order."""
_ON_CPU = ("fp32", "i8", "fp16")  # half precision is computed in single there, and converted


def model_names(size: str, precisions: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Return the registry's names for a size, the best first; one with a merged decoder leads.

    Args:
        size: ``small``, ``medium`` or ``large``.
        precisions: in order of preference.
        known: names there are; none: the registry's.
    """
    here = set(known) or set(registry())
    names = [f"musicgen-{size}-{p}{split}" for p in precisions for split in ("", "-split")]
    return [name for name in names if name in here]


def precisions(setting: str, device: str) -> tuple[str, ...]:
    """Return which precisions will do on a kind of device, the best first."""
    return PRECISIONS.get(device, _ON_CPU) if setting == "auto" else (setting,)


@dataclass(frozen=True)
class Config:
    """What of ``config.json`` the runner needs."""

    codebooks: int
    pad: int
    """The code that is none: where a codebook has not begun or has ended."""
    sample_rate: int
    frame_rate: int
    positions: int
    """Steps that the decoder has places for."""

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return self.sample_rate // self.frame_rate


@dataclass(frozen=True)
class Files:
    """The files of a model that is here. ``first`` and ``next`` are one file where it is merged."""

    text_encoder: Path
    first: Path
    """Decoder of the first step."""
    next: Path
    """Decoder of all later steps."""
    codec: Path
    tokenizer: Path
    config: Path

    @property
    def merged(self) -> bool:
        """Whether one graph decodes first and later steps."""
        return self.first == self.next

    @property
    def size_bytes(self) -> int:
        """Bytes of the graphs with their external data."""
        return sum(map(size_of, {self.text_encoder, self.first, self.next, self.codec}))


def size_of(graph: Path) -> int:
    """Return the bytes of a graph with its external data."""
    data = graph.with_name(f"{graph.name}_data")
    return graph.stat().st_size + (data.stat().st_size if data.is_file() else 0)


def files_of(model: Model) -> Files:
    """Name the files of a model; a merged decoder is taken where there is one.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``: one is missing, the message says which.
    """
    here = {path.name: path for path in model.weights}
    merged = "decoder_model_merged.onnx"
    decoders = (merged, merged) if merged in here else _SPLIT
    names = ("text_encoder.onnx", *decoders, "encodec_decode.onnx", "tokenizer.json", "config.json")
    if lacks := [name for name in names if not (name in here and here[name].is_file())]:
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{model.name} in {model.path} is not complete: {', '.join(lacks)} is missing. "
            "Complete the folder or delete it",
        )
    return Files(*(here[name] for name in names))


_SPLIT = ("decoder_model.onnx", "decoder_with_past_model.onnx")


def read_config(path: Path) -> Config:
    """Read ``config.json``; what it leaves out has the value of MusicGen's own configuration.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``: it is not the configuration of a MusicGen.
    """
    try:
        said: dict[str, Any] = json.loads(path.read_text("utf-8"))
        decoder, audio = said["decoder"], said["audio_encoder"]
        hop = 1
        for ratio in audio.get("upsampling_ratios", (8, 5, 4, 4)):
            hop *= int(ratio)
        rate = int(audio.get("sampling_rate", 32_000))
        vocabulary = int(decoder.get("vocab_size", 2048))
        if not 0 < hop <= rate:
            raise ValueError(f"{hop} samples a frame at {rate} Hz")
        return Config(
            codebooks=int(decoder.get("num_codebooks", 4)),
            pad=int(decoder.get("pad_token_id", vocabulary)),
            sample_rate=rate,
            frame_rate=rate // hop,
            positions=int(decoder.get("max_position_embeddings", 2048)),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            "MODEL_LOAD_FAILED", f"{path} is not the configuration of a MusicGen: {error!r}"
        ) from error
