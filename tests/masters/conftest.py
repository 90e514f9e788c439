"""An independent meter, and short sounds to master."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
import pytest

from av_pipelines.media.audio import AudioWriter, read_blocks

# FFmpeg's meter gives the true peak as a plain number with three digits after the point.
_MAGNIFIED_DB = 60


@dataclass(frozen=True)
class Reading:
    integrated_lufs: float
    true_peak_dbtp: float


def _ebur128(blocks: list[np.ndarray], rate: int, layout: str, gain_db: float) -> dict[str, str]:
    graph = av.filter.Graph()
    source = graph.add(
        "abuffer", f"sample_rate={rate}:sample_fmt=dbl:channel_layout={layout}:time_base=1/{rate}"
    )
    volume = graph.add("volume", f"volume={gain_db}dB:precision=double")
    meter = graph.add("ebur128", "peak=true:metadata=1:framelog=quiet")
    sink = graph.add("abuffersink")
    source.link_to(volume)
    volume.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    last: dict[str, str] = {}
    position = 0
    for block in [*blocks, None]:
        if block is None:
            source.push(None)
        else:
            samples = np.ascontiguousarray(block.T.reshape(1, -1), dtype=np.float64)
            frame = av.AudioFrame.from_ndarray(samples, format="dbl", layout=layout)
            frame.sample_rate, frame.pts = rate, position
            position += frame.samples
            source.push(frame)
        while True:
            try:
                last = dict(sink.pull().metadata) or last
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    return last


@pytest.fixture(scope="session")
def ffmpeg_meter() -> Callable[..., Reading]:
    """FFmpeg's ``ebur128=peak=true`` on blocks."""

    def measure(blocks: list[np.ndarray], rate: int, layout: str = "stereo") -> Reading:
        # Silence after the end lets the meter's last window pass.
        padded = [*blocks, np.zeros((blocks[0].shape[0], rate // 5), np.float32)]
        peak = float(_ebur128(padded, rate, layout, _MAGNIFIED_DB)["lavfi.r128.true_peak"])
        found = _ebur128(blocks, rate, layout, 0.0)
        return Reading(
            integrated_lufs=float(found.get("lavfi.r128.I", "-70")),
            true_peak_dbtp=20 * math.log10(peak) - _MAGNIFIED_DB if peak else -math.inf,
        )

    return measure


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write samples of shape (channels, samples) to a file of 32-bit floats, or as told."""

    def to_file(
        samples: np.ndarray,
        rate: int = 48000,
        layout: str = "stereo",
        name: str = "audio.w64",
        codec: str = "pcm_f32le",
    ) -> Path:
        path = tmp_path / name
        with AudioWriter(path, codec, rate, layout) as writer:
            writer.write(samples)
        return path

    return to_file


@pytest.fixture(scope="session")
def read() -> Callable[[Path], np.ndarray]:
    """Decode a whole file."""

    def samples(path: Path) -> np.ndarray:
        return np.concatenate(list(read_blocks(path)), axis=1)

    return samples


@pytest.fixture(scope="session")
def music() -> Callable[..., np.ndarray]:
    """A few seconds with tones, noise bursts and a fade: (channels, samples), about -20 LUFS."""

    def make(rate: int = 48000, channels: int = 2, seconds: float = 4.0) -> np.ndarray:
        random = np.random.default_rng(channels)
        t = np.arange(round(rate * seconds)) / rate
        beat = np.exp(-8 * (t % 0.5))
        tones = sum(np.sin(2 * np.pi * f * t + k) / 3 for k, f in enumerate((110, 277.2, 659.3)))
        noise = random.standard_normal((channels, t.size))
        sound = 0.12 * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 0.4 * t)) + 0.12 * beat * noise
        return sound.astype(np.float32)

    return make
