"""Sound in and out in blocks: files we wrote ourselves, read and written in constant memory.

Here: reading an audio file as float blocks at any rate, and writing one through FFmpeg's encoders.
Not here: files from outside (``intake`` opens those, in a limited child), measuring (``loudness``).

Blocks are ``float32`` arrays of shape (channels, samples); full scale is ±1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import av
import numpy as np
from av.container import InputContainer

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream

# What this project writes, and so all that this module ever opens.
OWN_FORMATS = "flac,w64,wav,mp3,mov,ogg,matroska"


_SAME_LENGTH_S = 0.001  # facts may be rounded to a millisecond


@dataclass(frozen=True)
class AudioInfo:
    """What an audio file says of itself. ``duration_s`` is None where the header has none."""

    sample_rate: int
    channels: int
    layout: str
    codec: str
    duration_s: float | None


def _open(path: Path) -> InputContainer:
    options = {
        "format_whitelist": OWN_FORMATS,
        "protocol_whitelist": "file",
        "advanced_editlist": "0",  # of M4A: 40 bytes a frame, for nothing our own files have
    }
    return av.open(str(path), options=options)


def probe_audio(path: Path) -> AudioInfo:
    """Read the header of the first audio stream; ValueError if there is none."""
    with _open(path) as container:
        stream = _audio_stream(container, path)
        duration = container.duration
        return AudioInfo(
            sample_rate=stream.rate,
            channels=stream.channels,
            layout=stream.layout.name,
            codec=stream.codec_context.name,
            duration_s=None if duration is None else duration / av.time_base,
        )


def verify_audio(path: Path, facts: Mapping[str, Any]) -> None:
    """Check that a file we wrote opens and has the rate, channels and length it must have.

    Args:
        path: the file.
        facts: ``sample_rate_hz``, ``channels``, ``duration_s``.

    Raises:
        ValueError: naming what differs.
    """
    info = probe_audio(path)
    seen = {"sample_rate_hz": info.sample_rate, "channels": info.channels}
    for name, value in seen.items():
        if value != facts[name]:
            raise ValueError(f"{path.name}: {name} is {value}, {facts[name]} is right")
    length = info.duration_s or 0.0
    if abs(length - facts["duration_s"]) > _SAME_LENGTH_S:
        raise ValueError(f"{path.name}: {length} s long, {facts['duration_s']} s is right")


def _audio_stream(container: InputContainer, path: Path) -> AudioStream:
    if not container.streams.audio:
        raise ValueError(f"{path} has no audio stream")
    return container.streams.audio[0]


# Codecs that can be entered anywhere, and whose frames say where in the stream they begin.
_EXACT_SEEKS = ("flac", "pcm_")


def read_blocks(
    path: Path,
    *,
    block_s: float = 1.0,
    sample_rate: int | None = None,
    layout: str | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Iterator[np.ndarray]:
    """Yield the first audio stream as float32 blocks of shape (channels, samples).

    Args:
        path: a file this project wrote.
        block_s: seconds in a block; only the last one may be shorter.
        sample_rate: resample to this rate in Hz, with soxr; None keeps it. What comes out is in
            step with the stream and as long, to the nearest sample.
        layout: mix to this FFmpeg layout (``mono``, ``stereo`` …); None keeps it.
        start_s: skip what comes before this time.
        duration_s: stop after this much; None reads to the end.
    """
    with _open(path) as container:
        stream = _audio_stream(container, path)
        own_rate, rate = stream.rate, sample_rate or stream.rate
        frames = container.decode(stream)
        begin = before = 0
        if start_s >= 2 and stream.codec_context.name.startswith(_EXACT_SEEKS):
            begin = int(start_s) - 1  # whole seconds: a sample of both rates
            container.seek(int(begin / cast("Fraction", stream.time_base)), stream=stream)
            first = next(frames, None)
            if first is None:
                return
            frames = chain((first,), frames)
            before = begin * own_rate - round(cast("float", first.time) * own_rate)
        parts = _floats(frames, stream, layout)
        if rate != own_rate:
            parts = _resampled(_cut(parts, own_rate, before, None), own_rate, rate)
            before = 0
        skip = before + round(start_s * rate) - begin * rate
        most = None if duration_s is None else round(duration_s * rate)
        yield from _cut(parts, max(1, round(block_s * rate)), skip, most)


def _floats(
    frames: Iterable[AudioFrame], stream: AudioStream, layout: str | None
) -> Iterator[np.ndarray]:
    """Yield what is decoded as float32 of shape (channels, samples), a second at a time."""
    # Interleaved: PyAV reads past the planes of 8-channel planar frames.
    converter = av.AudioResampler("flt", layout or stream.layout, stream.rate)
    waiting = av.AudioFifo()  # each frame through the converter would cost as much as decoding it

    def converted(frame: AudioFrame | None) -> Iterator[np.ndarray]:
        for one in converter.resample(frame):
            yield cast("np.ndarray", one.to_ndarray()).reshape(one.samples, -1).T

    for frame in frames:
        frame.pts = None  # gaps in time stamps are not gaps in our own files
        waiting.write(frame)
        if waiting.samples >= stream.rate:
            yield from converted(waiting.read())
    yield from converted(waiting.read())
    yield from converted(None)


def _resampled(parts: Iterable[np.ndarray], rate: int, new_rate: int) -> Iterator[np.ndarray]:
    import soxr

    stream, part = None, np.empty((0, 0), np.float32)
    for part in parts:
        if stream is None:
            stream = soxr.ResampleStream(rate, new_rate, part.shape[0], "float32", "VHQ")
        yield stream.resample_chunk(part.T).T
    if stream is not None:
        yield stream.resample_chunk(part.T[:0], last=True).T


def _cut(
    parts: Iterable[np.ndarray], size: int, skip: int, most: int | None
) -> Iterator[np.ndarray]:
    """Yield blocks of a size from parts of any, without the first samples, at most so many."""
    block = np.empty((0, size), np.float32)
    filled = 0
    for part in parts:
        at = min(skip, part.shape[1])
        skip -= at
        end = part.shape[1] if most is None else min(part.shape[1], at + most)
        if most is not None:
            most -= end - at
        while at < end:
            if not filled:
                block = np.empty((part.shape[0], size), np.float32)
            step = min(size - filled, end - at)
            block[:, filled : filled + step] = part[:, at : at + step]
            filled, at = filled + step, at + step
            if filled == size:
                yield block
                filled = 0
        if most == 0:
            break
    if filled:
        yield block[:, :filled]


class AudioWriter:
    """Write float blocks to an audio file; use as a context manager.

    The container follows from the suffix of ``path``; the encoder from ``codec`` (FFmpeg's name).

    Args:
        path: where to; overwritten.
        codec: ``flac``, ``pcm_s16le``, ``pcm_s24le``, ``pcm_f32le``, ``libmp3lame``, ``aac`` …
        sample_rate: in Hz, of the blocks and of the file.
        layout: FFmpeg's name of the channel layout.
        bit_depth: of integer samples for ``flac``: 16 or 24.
        bit_rate: in bit/s for lossy codecs.
        options: further encoder options.
        container_options: further options of the container, such as ``{"rf64": "auto"}``.
        tags: container metadata, such as ``{"title": "…"}``.
    """

    def __init__(
        self,
        path: Path,
        codec: str,
        sample_rate: int,
        layout: str,
        *,
        bit_depth: int = 24,
        bit_rate: int | None = None,
        options: Mapping[str, str] | None = None,
        container_options: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._container = av.open(str(path), "w", container_options=dict(container_options or {}))
        self._container.metadata.update(tags or {})
        self._stream = cast(
            "AudioStream",
            self._container.add_stream(codec, rate=sample_rate, options=dict(options or {})),
        )
        context: AudioCodecContext = self._stream.codec_context
        context.layout = layout
        context.time_base = Fraction(1, sample_rate)
        context.format = _sample_format(context, codec, bit_depth)
        if bit_rate:
            context.bit_rate = bit_rate
        self._resampler: av.AudioResampler | None = None
        self._samples = 0
        self._rate, self._layout = sample_rate, layout
        self._in_24_bits = codec == "pcm_s24le" or (codec == "flac" and bit_depth > 16)

    def write(self, block: np.ndarray) -> None:
        """Append float samples of shape (channels, samples)."""
        if not block.shape[1]:
            return
        samples, kind = np.asarray(block, dtype=np.float32).T.reshape(1, -1), "flt"
        if self._in_24_bits:
            # FFmpeg's encoders cut the lowest 8 of 32 bits off; it has to be rounded before that.
            steps = np.clip(np.rint(samples * np.float32(2**23)), -(2**23), 2**23 - 1)
            samples, kind = steps.astype(np.int32) << 8, "s32"
        planes = cast("Any", np.ascontiguousarray(samples))  # PyAV's types know no plain ndarray
        frame = av.AudioFrame.from_ndarray(planes, format=kind, layout=self._layout)
        frame.sample_rate = self._rate
        self.write_frame(frame)

    def write_frame(self, frame: AudioFrame) -> None:
        """Append a decoded frame of the file's rate and layout, in any sample format."""
        if self._resampler is None:
            self._container.start_encoding()
            context = self._stream.codec_context
            self._resampler = av.AudioResampler(
                format=context.format,
                layout=self._layout,
                rate=self._rate,
                frame_size=context.frame_size or 4096,
            )
        frame.pts = None
        self._encode(self._resampler.resample(frame))

    def _encode(self, frames: list[Any]) -> None:
        for frame in frames:
            frame.pts, frame.time_base = self._samples, Fraction(1, self._rate)
            self._samples += frame.samples
            self._container.mux(self._stream.encode(frame))

    @property
    def samples(self) -> int:
        """How many samples per channel have gone to the encoder."""
        return self._samples

    def close(self) -> None:
        """Flush the encoder and write the trailer."""
        if self._resampler is not None:
            self._encode(self._resampler.resample(None))
        else:
            self._container.start_encoding()
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._container.close()


def _sample_format(context: AudioCodecContext, codec: str, bit_depth: int) -> str:
    if codec == "flac":
        # FFmpeg's FLAC encoder takes s32 as 24 bit (32 is experimental there).
        return "s16" if bit_depth <= 16 else "s32"
    formats = [f.name for f in context.codec.audio_formats or ()]
    return "fltp" if "fltp" in formats or not formats else formats[0]
