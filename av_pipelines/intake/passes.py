"""The one pass over a file: every packet is read once and everybody who wants something gets it.

Here: reading, decoding what some tap wants, keeping on over damage, and stopping at limits. Not
here: opening (``containers``), counting (``tally``), judging (``verdict``), and any tap.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av.logging
from av.audio.codeccontext import AudioCodecContext
from av.error import BlockingIOError as DecoderFull
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from av_pipelines.intake.blocks import Block, BlockMaker, Picture
from av_pipelines.intake.containers import (
    Media,
    StreamInfo,
    check_duration,
    check_picture,
    check_sound,
    decoder_options,
)
from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.settings import SourceSettings
from av_pipelines.intake.tally import Damage, Tally
from av_pipelines.intake.taps import Appetite, Tap
from av_pipelines.intake.text import clean
from av_pipelines.intake.verdict import judge

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame

_REPORT_EVERY_S = 0.25
_READ_FAILURES = 8  # in a row, with not one packet between them
_HOPELESS = 500  # undecodable packets, if they are also most of those tried
_MAX_CHANGES = 1000
_GAP_S = 0.05  # more than the rounding of any container's clock
_MAX_THREADS = 4  # each costs address space, which is limited


@dataclass(frozen=True)
class Summary:
    """What the pass found, for the taps to finish with.

    Attributes:
        media: what the header says.
        tallies: what is there, by stream index.
        reading: errors of the container, not of any one stream.
        sounds: of every decoded audio stream, what its blocks were made of.
        degraded: what is wrong with a file that is good enough; empty if nothing is.
    """

    media: Media
    tallies: tuple[Tally, ...]
    reading: Damage
    sounds: Mapping[int, BlockMaker]
    degraded: tuple[str, ...]


def run_pass(
    container: InputContainer,
    fd: int,
    media: Media,
    taps: Sequence[Tap],
    settings: SourceSettings,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Summary, list[dict[str, Any]]]:
    """Read a file once from beginning to end and feed the taps.

    Args:
        container: as opened by ``containers.open_media``.
        fd: the file it was opened from; only its position is looked at.
        media: the container's description.
        taps: who wants something.
        settings: the limits.
        progress: called with the share read, 0 to 1, up to four times a second and at the end.

    Returns:
        The summary, and the facts of each tap.

    Raises:
        Refused: the file is too damaged, untrue about its length, or beyond a limit.
        MemoryError: reading it takes more memory than allowed.
    """
    return _Pass(container, fd, media, taps, settings, progress).run()


class _Pass:
    def __init__(
        self,
        container: InputContainer,
        fd: int,
        media: Media,
        taps: Sequence[Tap],
        settings: SourceSettings,
        progress: Callable[[float], None],
    ) -> None:
        self.container, self.fd, self.media, self.taps = container, fd, media, taps
        self.settings, self.progress = settings, progress
        self.tallies = [Tally(info) for info in media.streams]
        self.reading = Damage()
        self.decoders: dict[int, _Sound | _Film] = {}
        self.share, self.reported = 0.0, time.monotonic()

    def run(self) -> tuple[Summary, list[dict[str, Any]]]:
        self._open_taps()
        watchers = [t for t in self.taps if type(t).packet is not Tap.packet]
        tallies, decoders = self.tallies, self.decoders
        for packet in self._packets():
            index = packet.stream_index
            tallies[index].count(packet)
            for tap in watchers:
                tap.packet(packet)
            decoder = decoders.get(index)
            if decoder is not None and packet.size:
                decoder.take(packet)
            self._report()
        for decoder in decoders.values():
            decoder.flush()
        self.progress(1.0)
        for tally in tallies:
            tally.finish()
        sounds = {i: d.maker for i, d in decoders.items() if isinstance(d, _Sound)}
        flaws = judge(self.media, tallies, self.reading, sounds, self.settings)
        summary = Summary(self.media, tuple(tallies), self.reading, sounds, tuple(flaws))
        return summary, [dict(tap.finish(summary)) for tap in self.taps]

    def _open_taps(self) -> None:
        wanted: dict[int, dict[Tap, Appetite]] = {}
        for tap in self.taps:
            tap.beat = self._report
            for index, appetite in tap.open(self.media).items():
                if appetite and self._allowed(self.media.streams[index]):
                    wanted.setdefault(index, {})[tap] = appetite
        for index, appetites in wanted.items():
            stream = self.container.streams[index]
            context = stream.codec_context
            context.options = decoder_options(self.settings)
            context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)
            if isinstance(context, AudioCodecContext):
                self.decoders[index] = _Sound(
                    context, self.tallies[index], list(appetites), self.settings
                )
            elif isinstance(context, VideoCodecContext):
                self.decoders[index] = _Film(context, self.tallies[index], appetites, self.settings)

    def _allowed(self, info: StreamInfo) -> bool:
        """Whether a stream may be decoded. The chosen ones were checked; others are left out."""
        if not info.decodable:
            return False
        try:
            if info.type == "video":
                check_picture(info.index, info.width or 0, info.height or 0, self.settings)
            elif info.sample_rate_hz and info.channels:
                check_sound(info.index, info.sample_rate_hz, info.channels, self.settings)
        except Refused:
            return False
        return True

    def _packets(self) -> Iterator[Packet[Stream]]:
        """Read packets, going on after errors as long as something still comes."""
        failures = 0
        while failures < _READ_FAILURES:
            try:
                for packet in self.container.demux():
                    failures = 0
                    # PyAV ends with an empty packet per stream, which is not in the file.
                    if packet.size or packet.dts is not None or packet.pts is not None:
                        yield packet
                break
            except MemoryError:
                raise
            except IndexError:
                # PyAV knows only the streams that were there at the beginning, leaves the packets
                # of others out, and may trip over them when it comes to the end.
                break
            except FFmpegError as error:
                failures += 1
                ends = [t.end_s for t in self.tallies if t.end_s is not None]
                self.reading.note(max(ends, default=None), _words(error))
        if _streams_now(self.container) > len(self.container.streams):
            self.reading.note(None, "a stream that begins in mid-file is left out")

    def _report(self) -> None:
        now = time.monotonic()
        if now - self.reported >= _REPORT_EVERY_S:
            self.reported = now
            # FFmpeg reads through a duplicate of our descriptor, so they share the position.
            at = os.lseek(self.fd, 0, os.SEEK_CUR)
            self.share = max(self.share, min(at / max(self.media.size, 1), 1.0))
            self.progress(self.share)


def _streams_now(container: InputContainer) -> int:
    """How many streams FFmpeg has seen by now: PyAV's own list is that of the beginning."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # the dump is a log message
    try:
        dump = container.dumps_format()  # pyright: ignore[reportAttributeAccessIssue]
        return len(re.findall(r"^  Stream #0:", dump, re.MULTILINE))
    finally:
        av.logging.set_level(level)


class _Decoder:
    """One stream on its way from packets to frames."""

    def __init__(
        self, context: AudioCodecContext | VideoCodecContext, tally: Tally, settings: SourceSettings
    ) -> None:
        self.context, self.tally, self.settings = context, tally, settings
        self.base = float(tally.info.time_base or 0)
        self.given_up = False

    def decode(self, packet: Packet[Any] | None) -> Sequence[Any]:
        """Decode a packet, None for the end; what cannot be decoded is counted and left out."""
        tally = self.tally
        if self.given_up:
            return []
        try:
            if packet is not None:
                tally.sent += 1
            return self.context.decode(packet)
        except MemoryError:
            raise
        except EOFError:
            return []
        except DecoderFull:
            # What an earlier error left in the decoder blocks it for good.
            self.context.flush_buffers()
            tally.damaged.note(self.time(packet), "the decoder was stuck and was started afresh")
        except FFmpegError as error:
            tally.damaged.note(self.time(packet), _words(error))
        if tally.damaged.count > _HOPELESS and 2 * tally.damaged.count > tally.sent:
            self.given_up = True  # the verdict will say so
        return []

    def time(self, packet: Packet[Any] | None) -> float | None:
        """Time stamp of a packet in seconds."""
        at = None if packet is None else packet.pts if packet.pts is not None else packet.dts
        return None if at is None else at * self.base


class _Sound(_Decoder):
    def __init__(
        self,
        context: AudioCodecContext,
        tally: Tally,
        taps: Sequence[Tap],
        settings: SourceSettings,
    ) -> None:
        super().__init__(context, tally, settings)
        self.taps = taps
        self.maker = BlockMaker(tally.info.index)
        self.expected: float | None = None
        self.checked: tuple[int, int] | None = None
        tally.decoded_s = 0.0

    def take(self, packet: Packet[Any]) -> None:
        for frame in self.decode(packet):
            self._frame(frame)

    def flush(self) -> None:
        for frame in self.decode(None):
            self._frame(frame)
        self._feed(self.maker.flush())

    def _frame(self, frame: AudioFrame) -> None:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if (rate, channels) != self.checked:
            self._changed(rate, channels)
        self._look_for_gaps(frame.pts, frame.samples / rate)
        self._feed(self.maker.add(frame))

    def _changed(self, rate: int, channels: int) -> None:
        tally = self.tally
        check_sound(tally.info.index, rate, channels, self.settings)
        if self.checked is not None:
            tally.changes.note(self.expected, f"{rate} Hz, {channels} channels from here on")
            if tally.changes.count > _MAX_CHANGES:
                raise Refused(
                    f"audio stream {tally.info.index} changes its sample rate or channels more "
                    f"than {_MAX_CHANGES} times"
                )
        self.checked = rate, channels

    def _look_for_gaps(self, pts: int | None, length: float) -> None:
        if pts is None:
            self.expected = None if self.expected is None else self.expected + length
            return
        at = pts * self.base
        if self.expected is not None and at - self.expected > _GAP_S:
            self.tally.gaps.note(self.expected, f"{at - self.expected:.3f} s missing")
            self.tally.missing_s += at - self.expected
        self.expected = at + length

    def _feed(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            seconds = (block.start + block.native.shape[1]) / block.format.sample_rate
            check_duration(seconds, self.settings)
            self.tally.decoded_s = seconds
            for tap in self.taps:
                tap.audio(block)


class _Film(_Decoder):
    def __init__(
        self,
        context: VideoCodecContext,
        tally: Tally,
        appetites: dict[Tap, Appetite],
        settings: SourceSettings,
    ) -> None:
        super().__init__(context, tally, settings)
        self.appetites = appetites
        self.level = max(appetites.values())
        self.skipped = False

    def take(self, packet: Packet[Any]) -> None:
        level = self.level
        if not level:
            return
        if not packet.is_keyframe and (level is Appetite.KEYFRAMES or self.skipped):
            self.skipped = True
            return
        self.skipped = False
        for frame in self.decode(packet):
            self._frame(frame)

    def flush(self) -> None:
        if self.level:
            for frame in self.decode(None):
                self._frame(frame)

    def _frame(self, frame: VideoFrame) -> None:
        if not self.level:
            return
        self.tally.decoded_frames += 1
        check_picture(self.tally.info.index, frame.width, frame.height, self.settings)
        at = None if frame.pts is None else frame.pts * self.base
        picture = Picture(self.tally.info.index, frame, at)
        for tap, appetite in self.appetites.items():
            if appetite:
                self.appetites[tap] = tap.video(picture)
        self.level = max(self.appetites.values())


def _words(error: FFmpegError) -> str:
    return clean(error.strerror or type(error).__name__, 200)
