"""Decoded frames on their way to the taps: sound as blocks, pictures as frames.

Here: collecting the frames of an audio stream into blocks of about half a second in one fixed
format, once for all taps. Not here: decoding (``passes``), what is done with blocks (``taps``).

What comes is kept sample by sample. Three things are put right, counted and reported: values that
are no sound (NaN, infinite, beyond ±1e12) become silence; a stream that changes its sample rate or
channels is converted to what it began with; 64-bit integers become doubles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.error import FFmpegError

from av_pipelines.intake.refusal import Refused

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.video.frame import VideoFrame
_DTYPES: dict[str, np.dtype[Any]] = {
    "u8": np.dtype(np.uint8),
    "s16": np.dtype(np.int16),
    "s32": np.dtype(np.int32),
    "s64": np.dtype(np.int64),
    "flt": np.dtype(np.float32),
    "dbl": np.dtype(np.float64),
}
_MAX_PLANES = 8
_MAX_SAMPLE = 1e12  # beyond this (+240 dBFS) a value is a decoding accident

# FFmpeg leaves the order of channels open where a header does not tell it.
_DEFAULT_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}


def layout_name(layout: AudioLayout) -> str:
    """Name a channel layout; where the header names none, the usual one for that many channels."""
    name = layout.name
    if name == f"{layout.nb_channels} channels":
        return _DEFAULT_LAYOUTS.get(layout.nb_channels, name)
    return name


@dataclass(frozen=True)
class SoundFormat:
    """What all blocks of a stream have in common.

    ``sample_format`` is FFmpeg's name of the packed format that decoding gives: ``u8`` ``s16``
    ``s32`` ``flt`` ``dbl``.
    """

    sample_rate: int
    channels: int
    layout: str
    sample_format: str


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive samples of one audio stream, shared by all taps: do not write into the arrays.

    ``native`` has shape (channels, samples) in the decoder's own type; ``start`` is the number of
    samples that came before.
    """

    stream: int
    format: SoundFormat
    start: int
    native: np.ndarray

    @cached_property
    def samples(self) -> np.ndarray:
        """The same as float32, full scale ±1; exact for integers of up to 24 bits."""
        kind = self.format.sample_format
        if kind == "flt":
            return self.native
        if kind == "u8":
            return (self.native.astype(np.float32) - np.float32(128)) * np.float32(1 / 128)
        if kind == "dbl":
            return self.native.astype(np.float32)
        scale = np.float32(2.0 ** -(8 * self.native.dtype.itemsize - 1))
        return self.native.astype(np.float32) * scale

    @cached_property
    def highest(self) -> float:
        """Largest sample of all channels, NaN if there is one."""
        return float(self.samples.max())

    @cached_property
    def lowest(self) -> float:
        """Smallest sample of all channels, NaN if there is one."""
        return float(self.samples.min())

    @property
    def peak(self) -> float:
        """Largest absolute value."""
        return max(self.highest, -self.lowest)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded frame of a video stream; ``time_s`` is on the media's clock, None if unknown."""

    stream: int
    frame: VideoFrame
    time_s: float | None


class BlockMaker:
    """Collect the frames of one audio stream into blocks.

    Attributes:
        format: of the blocks; None before the first frame.
        samples: per channel, given out and held back.
        not_sound: samples that were replaced by silence.
    """

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self.format: SoundFormat | None = None
        self.samples = 0
        self.not_sound = 0
        self._buffer = np.zeros((0, 0), np.float32)
        self._filled = 0
        self._given = 0
        self._now: tuple[int, str, str] | None = None
        self._convert: av.AudioResampler | None = None

    def add(self, frame: AudioFrame) -> Iterator[Block]:
        """Take a frame; yield the blocks that became full.

        Raises:
            Refused: the format changed into one that cannot be converted.
        """
        now = frame.sample_rate, frame.format.name, frame.layout.name
        if now != self._now:
            yield from self._change(frame)
            self._now = now
        if self._convert is None:
            yield from self._collect(frame)
        else:
            frame.pts = None
            yield from self._collect_converted(self._convert, frame)

    def flush(self) -> Iterator[Block]:
        """Yield what is left; call once, after the last frame."""
        yield from self._finish_conversion()
        if self._filled:
            yield self._block(self._filled)

    def _change(self, frame: AudioFrame) -> Iterator[Block]:
        """Begin, or begin to convert or cease to, as the format of this frame asks for."""
        yield from self._finish_conversion()
        now, target = _format_of(frame), self.format
        if target is None:
            self.format = now
            size = min(max(now.sample_rate // 2, 4096), 65536)
            self._buffer = np.empty((now.channels, size), _DTYPES[now.sample_format])
            target = self.format
        # PyAV reads past the end of the list of planes where there are more than eight.
        unsafe = frame.format.is_planar and now.channels > _MAX_PLANES
        if unsafe or replace(now, layout=target.layout) != target:
            self._convert = av.AudioResampler(
                format=target.sample_format, layout=target.layout, rate=target.sample_rate
            )

    def _finish_conversion(self) -> Iterator[Block]:
        converter, self._convert = self._convert, None
        if converter is not None:
            yield from self._collect_converted(converter, None)

    def _collect_converted(
        self, converter: av.AudioResampler, frame: AudioFrame | None
    ) -> Iterator[Block]:
        try:
            converted = converter.resample(frame)
        except MemoryError:
            raise
        except FFmpegError as error:
            raise Refused(
                f"audio stream {self._stream} changes its format in a way that cannot be converted",
                str(error),
            ) from None
        for part in converted:
            yield from self._collect(part)

    def _collect(self, frame: AudioFrame) -> Iterator[Block]:
        planes = _planes(frame)
        taken, count = 0, frame.samples
        while taken < count:
            step = min(self._buffer.shape[1] - self._filled, count - taken)
            to = slice(self._filled, self._filled + step)
            for row, plane in zip(self._buffer, planes, strict=True):
                row[to] = plane[taken : taken + step]
            self._filled += step
            self.samples += step
            taken += step
            if self._filled == self._buffer.shape[1]:
                yield self._block(self._filled)

    def _block(self, count: int) -> Block:
        assert self.format is not None
        native = self._buffer[:, :count]
        self._buffer = np.empty_like(self._buffer)
        self._filled = 0
        block = Block(self._stream, self.format, self._given, native)
        if native.dtype.kind == "f" and not block.peak <= _MAX_SAMPLE:  # true for NaN too
            self._silence_accidents(native)
            block = Block(self._stream, self.format, self._given, native)
        native.setflags(write=False)
        self._given += count
        return block

    def _silence_accidents(self, native: np.ndarray) -> None:
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(native) <= _MAX_SAMPLE)
        self.not_sound += int(bad.sum())
        native[bad] = 0


def _format_of(frame: AudioFrame) -> SoundFormat:
    kind = frame.format.name.removesuffix("p")
    if kind not in _DTYPES:
        raise ValueError(f"unknown sample format {frame.format.name}")
    layout = frame.layout
    return SoundFormat(
        sample_rate=frame.sample_rate,
        channels=layout.nb_channels,
        layout=layout_name(layout),
        sample_format="dbl" if kind == "s64" else kind,
    )


def _planes(frame: AudioFrame) -> list[np.ndarray]:
    """View the channels of a frame, each (samples,); valid while the frame lives."""
    kind = frame.format.name.removesuffix("p")
    dtype, count, channels = _DTYPES[kind], frame.samples, frame.layout.nb_channels
    planes = cast("Sequence[memoryview]", frame.planes)  # they have the buffer protocol
    if frame.format.is_planar:
        out = [np.frombuffer(planes[c], dtype, count) for c in range(channels)]
    else:
        packed = np.frombuffer(planes[0], dtype, count * channels)
        out = [packed[c::channels] for c in range(channels)]
    return [plane * 2.0**-63 for plane in out] if kind == "s64" else out
