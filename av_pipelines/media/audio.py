"""Sound in and out in blocks: files we wrote ourselves, read and written in constant memory.

Here: reading an audio file as float blocks at any rate, and writing one through FFmpeg's encoders.
Not here: files from outside (``intake`` opens those, in a limited child), measuring (``loudness``).

Blocks are ``float32`` arrays of shape (channels, samples); full scale is ±1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
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
    options = {"format_whitelist": OWN_FORMATS, "protocol_whitelist": "file"}
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
        sample_rate: resample to this rate in Hz (FFmpeg's soxr-less resampler); None keeps it.
        layout: mix to this FFmpeg layout (``mono``, ``stereo`` …); None keeps it.
        start_s: skip what comes before this time.
        duration_s: stop after this much; None reads to the end.
    """
    with _open(path) as container:
        stream = _audio_stream(container, path)
        stream.codec_context.thread_type = "AUTO"
        rate = sample_rate or stream.rate
        resampler = av.AudioResampler(
            format="flt",  # interleaved: PyAV reads past the planes of 8-channel planar frames
            layout=layout or stream.layout,
            rate=rate,
            frame_size=max(1, round(block_s * rate)),
        )
        skip = round(start_s * rate)
        left = None if duration_s is None else round(duration_s * rate)
        for frame in _resampled(container, stream, resampler):
            interleaved = cast("np.ndarray", frame.to_ndarray())
            block = np.ascontiguousarray(interleaved.reshape(frame.samples, -1).T)
            if skip:
                dropped = min(skip, block.shape[1])
                skip -= dropped
                block = block[:, dropped:]
            if left is not None:
                block = block[:, :left]
                left -= block.shape[1]
            if block.shape[1]:
                yield block
            if left == 0:
                return


def _resampled(
    container: InputContainer, stream: AudioStream, resampler: av.AudioResampler
) -> Iterator[AudioFrame]:
    for frame in container.decode(stream):
        frame.pts = None  # gaps in time stamps are not gaps in our own files
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


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
