"""Media for the tests of intake, made on the spot; and a short way to have them read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np
import pytest
from av.stream import Disposition

from av_pipelines.intake.child import PassReport, read_media
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import TapSpec, audio_taps, source_taps
from av_pipelines.media.audio import read_blocks

SAMPLE_FORMATS = {"u1": "u8p", "i2": "s16p", "i4": "s32p", "f4": "fltp", "f8": "dblp"}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@dataclass
class Taken:
    """What intake made of a file."""

    report: PassReport
    folder: Path

    @property
    def audio(self) -> Any:
        return self.report.facts["audio"]

    @property
    def source(self) -> Any:
        return self.report.facts["source"]

    @property
    def probe(self) -> Any:
        return json.loads((self.folder / "source" / "probe.json").read_text("utf-8"))

    @property
    def audio_path(self) -> Path:
        return self.folder / "audio" / self.audio["file"]

    def samples(self) -> np.ndarray:
        """The audio artifact as float32 (channels, samples)."""
        return np.concatenate(list(read_blocks(self.audio_path)), axis=1)


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., Taken]:
    """Read a file with all taps, as the two assets do, or with some other ones."""

    def take(
        path: Path,
        *,
        audio: AudioSettings | None = None,
        more: Sequence[TapSpec] = (),
        **limits: Any,
    ) -> Taken:
        folder = tmp_path / f"taken-{len(list(tmp_path.glob('taken-*')))}"
        for name in ("source", "audio"):
            (folder / name).mkdir(parents=True)
        taps = [*source_taps(folder / "source"), *audio_taps(folder / "audio"), *more]
        return Taken(read_media(path, taps, SourceSettings(**limits), audio), folder)

    return take


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """What makes media, in a folder of the test's own."""
    return Make(tmp_path)


@dataclass(frozen=True)
class Sound:
    """An audio stream to be written."""

    samples: np.ndarray
    rate: int = 48000
    codec: str = "aac"
    start_s: float = 0.0
    language: str | None = None
    default: bool = True


@dataclass(frozen=True)
class Film:
    """A video stream to be written; a frame is a grey level, 0 to 255, or an RGB array."""

    frames: Sequence[int | np.ndarray]
    size: tuple[int, int] = (64, 48)
    fps: int = 10
    codec: str = "libx264"
    times_s: Sequence[float] | None = None
    ratio: Fraction | None = None
    rotation: int = 0
    mirror: bool = False
    default: bool = True
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Text:
    """A subtitle stream to be written: (start, end, text), in seconds."""

    lines: Sequence[tuple[float, float, str]]
    language: str | None = None


class Make:
    """Makes media files."""

    sound, film, text = Sound, Film, Text

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def tone(seconds: float, rate: int, channels: int, hz: float = 440.0) -> np.ndarray:
        """A 16-bit tone at half of full scale, another pitch in each channel."""
        t = np.arange(round(seconds * rate)) / rate
        pitches = hz * (1 + np.arange(channels))[:, None]
        return np.round(np.sin(2 * np.pi * pitches * t) * 16384).astype(np.int16)

    def wav(
        self,
        name: str,
        samples: np.ndarray | None = None,
        *,
        rate: int = 8000,
        says_rate: int | None = None,
        says_bytes: int | None = None,
        cut_to: float = 1.0,
    ) -> Path:
        """A WAV file written by hand, so that it can be wrong; 24 bits are bytes (ch, n, 3)."""
        if samples is None:
            samples = self.tone(1.0, rate, 1)
        data = np.moveaxis(samples, 0, 1).tobytes()
        channels, width = samples.shape[0], len(data) // (samples.shape[0] * samples.shape[1])
        said_rate = rate if says_rate is None else says_rate
        form = struct.pack(
            "<HHIIHH",
            3 if samples.dtype.kind == "f" else 1,
            channels,
            said_rate,
            min(said_rate * channels * width, 2**32 - 1),
            channels * width,
            8 * width,
        )
        said = len(data) if says_bytes is None else says_bytes
        body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", said)
        size = struct.pack("<I", min(len(body) + said, 2**32 - 1))
        path = self.folder / name
        path.write_bytes(b"RIFF" + size + body + data[: int(len(data) * cut_to)])
        return path

    def mux(
        self,
        name: str,
        *streams: Sound | Film | Text,
        tags: dict[str, str] | None = None,
        cover: bytes | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        """A file of several streams, interleaved by time."""
        path = self.folder / name
        with av.open(str(path), "w", options=options or {}) as out:
            out.metadata.update(tags or {})
            made = [_add(out, spec) for spec in streams]
            if cover:
                out.add_attachment("cover.png", "image/png", cover)
            out.start_encoding()
            packets = [packet for encode in made for packet in encode()]
            for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
                out.mux(packet)
        return path

    def cut(self, path: Path, share: float) -> Path:
        """The beginning of a file."""
        data = path.read_bytes()
        cut = path.with_name(f"cut-{path.name}")
        cut.write_bytes(data[: int(len(data) * share)])
        return cut


Encode = Callable[[], list[Any]]


def _add(out: av.container.OutputContainer, spec: Sound | Film | Text) -> Encode:
    if isinstance(spec, Sound):
        return _add_sound(out, spec)
    return _add_film(out, spec) if isinstance(spec, Film) else _add_text(out, spec)


def _add_sound(out: av.container.OutputContainer, spec: Sound) -> Encode:
    layout = LAYOUTS[spec.samples.shape[0]]
    stream: Any = out.add_stream(spec.codec, rate=spec.rate)
    stream.codec_context.layout = layout
    stream.disposition = Disposition.default if spec.default else Disposition(0)
    if spec.language:
        stream.metadata["language"] = spec.language
    kind = SAMPLE_FORMATS[spec.samples.dtype.str[1:]]
    base = Fraction(1, spec.rate)

    def encode() -> list[Any]:
        context = stream.codec_context
        resampler = av.AudioResampler(
            context.format, layout, spec.rate, frame_size=context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(spec.samples), kind, layout)
        frame.sample_rate, frame.pts = spec.rate, None
        at = round(spec.start_s * spec.rate)
        packets: list[Any] = []
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts, part.time_base = at, base
            at += part.samples
            packets += stream.encode(part)
        return packets + stream.encode(None)

    return encode


def _add_film(out: av.container.OutputContainer, spec: Film) -> Encode:
    base = Fraction(1, 1000)
    stream: Any = out.add_stream(spec.codec, rate=spec.fps, options=dict(spec.options))
    stream.width, stream.height = spec.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = base
    stream.disposition = Disposition.default if spec.default else Disposition(0)
    if spec.ratio:
        stream.codec_context.sample_aspect_ratio = spec.ratio
    if spec.rotation or spec.mirror:
        stream.set_display_rotation(spec.rotation, hflip=spec.mirror)

    def encode() -> list[Any]:
        packets: list[Any] = []
        for number, content in enumerate(spec.frames):
            if isinstance(content, int):
                content = np.full((spec.size[1], spec.size[0], 3), content, np.uint8)
            frame = av.VideoFrame.from_ndarray(content, "rgb24")
            at = spec.times_s[number] if spec.times_s else number / spec.fps
            frame.pts, frame.time_base = round(at * 1000), base
            packets += stream.encode(frame)
        return packets + stream.encode(None)

    return encode


def _add_text(out: av.container.OutputContainer, spec: Text) -> Encode:
    stream: Any = out.add_mux_stream("subrip")
    if spec.language:
        stream.metadata["language"] = spec.language

    def encode() -> list[Any]:
        packets = []
        for start, end, text in spec.lines:
            packet = av.Packet(text.encode())
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            packets.append(packet)
        return packets

    return encode
