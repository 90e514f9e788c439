"""Films for the tests of scenes, frames and looks, made on the spot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from av_pipelines.intake.child import read_media
from av_pipelines.intake.taps import source_taps
from av_pipelines.scenes.film import FilmInfo

MakeFilm = Callable[..., Path]
MAX_PIXELS = 8192 * 8192


def counting(count: int, width: int = 96, height: int = 64) -> Iterable[np.ndarray]:
    """RGB frames no two of which look alike: a moving pattern and a grey level."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    for n in range(count):
        wave = 60 * np.sin((x + 3 * n) / 7.0) + 40 * np.cos((y - 2 * n) / 5.0)
        grey = 60 + (n * 37) % 140
        yield np.clip(np.stack([grey + wave, grey - wave, grey + 0 * wave], -1), 0, 255).astype(
            np.uint8
        )


@pytest.fixture
def make_film(tmp_path: Path) -> MakeFilm:
    """What writes a film: RGB arrays to a file of any codec, clock and orientation."""

    def make(
        name: str,
        frames: Iterable[np.ndarray],
        *,
        codec: str = "libx264",
        fps: Fraction | int = 25,
        times: Sequence[Fraction | float] | None = None,
        start: Fraction | float = 0,
        pixels: str = "yuv420p",
        options: dict[str, str] | None = None,
        rotation: int = 0,
        ratio: Fraction | None = None,
        sound: np.ndarray | None = None,
        colours: bool = True,
    ) -> Path:
        path = tmp_path / name
        frames = iter(frames)
        first = next(frames)
        with av.open(str(path), "w") as out:
            film: Any = out.add_stream(codec, rate=fps, options=options or {})
            film.width, film.height, film.pix_fmt = first.shape[1], first.shape[0], pixels
            fixed = codec in ("mpeg2video", "mpeg4")  # these know no other clock
            base = 1 / Fraction(fps) if fixed else Fraction(1, 90_000)
            film.codec_context.time_base = base
            if colours:
                film.codec_context.colorspace = 1  # BT.709
                film.codec_context.color_range = 1
            if ratio:
                film.codec_context.sample_aspect_ratio = ratio
            if rotation:
                film.set_display_rotation(rotation)
            tone: Any = None
            if sound is not None:
                tone = out.add_stream("aac", rate=48_000)
                tone.codec_context.layout = "mono"
            packets: list[Any] = []
            number = 0
            while first is not None:
                frame = av.VideoFrame.from_ndarray(first, "rgb24")
                frame = frame.reformat(format=pixels, dst_colorspace="ITU709")
                at = times[number] if times else Fraction(number) / Fraction(fps)
                frame.pts, frame.time_base = round((Fraction(at) + Fraction(start)) / base), base
                packets += film.encode(frame)
                first = next(frames, None)
                number += 1
            packets += film.encode(None)
            if sound is not None:
                packets += _encode(tone, sound)
            for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
                out.mux(packet)
        return path

    return make


def _encode(tone: Any, sound: np.ndarray) -> list[Any]:
    packets: list[Any] = []
    for at in range(0, sound.size, 1024):
        block = np.ascontiguousarray(sound[None, at : at + 1024], np.float32)
        frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
        packets += tone.encode(frame)
    return packets + tone.encode(None)


def probe_of(path: Path) -> dict[str, Any]:
    """What intake finds out about a file."""
    with tempfile.TemporaryDirectory() as folder:
        read_media(path, source_taps(Path(folder)))
        return json.loads((Path(folder) / "probe.json").read_text("utf-8"))


def info_of(path: Path) -> FilmInfo:
    """What of it is needed to open the film."""
    info = FilmInfo.of(probe_of(path), MAX_PIXELS)
    assert info
    return info


def decode(path: Path) -> Iterator[av.VideoFrame]:
    """Decode all frames of a file, undamaged ones at least."""
    with av.open(str(path)) as container:
        yield from container.decode(video=0)
