"""Single frames of a film by seeking: the frame at a time is the one a full decode shows then.

Here: opening a film that intake has accepted, finding which packet holds the frame wanted, and
decoding from the nearest picture that needs no other. Not here: drawing and saving (``stills``),
which frames are wanted (``frames``, ``keyframes``). Runs only in confined processes.

How one frame is found. The frame shown at a time is the last whose presentation time stamp (PTS)
is not later. Packets come in decoding order (DTS), so they are read, undecoded, until the DTS has
passed that time: then no later packet can hold an earlier PTS. Decoding starts at the last
keyframe whose PTS is not later than the frame's; what is shown before that keyframe but comes after
it (an open group of pictures) is left out. The decoder must confirm that it is a keyframe, else an
earlier one is taken, at last the beginning. Frames that nobody refers to (B-frames mostly) are
skipped unless wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import av
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError

from av_pipelines.media.confined import ConfinedError
from av_pipelines.scenes.scan import BACK_S, Scan, Start

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ROUNDING_S = 1e-6  # times are written with six decimals


@dataclass(frozen=True)
class FilmInfo:
    """What intake found out about a film, as far as it is needed to open and show it.

    Attributes:
        container: FFmpeg's name of the demuxer, the only one allowed.
        codecs: of the streams that may be decoded.
        stream: index of the film among the streams.
        display_width, display_height: upright, in square pixels.
        rotation: degrees clockwise to turn the stored picture by, after mirroring it.
        mirrored: whether to mirror it left-right.
        max_pixels: width times height that a frame may have.
    """

    container: str
    codecs: tuple[str, ...]
    stream: int
    display_width: int
    display_height: int
    rotation: int
    mirrored: bool
    max_pixels: int

    @classmethod
    def of(cls, probe: Mapping[str, Any], max_pixels: int) -> Self | None:
        """Read ``probe.json``; None if there is no film in it."""
        if probe["video"] is None:
            return None
        film = probe["streams"][probe["video"]]
        codecs = {s["codec"] for s in probe["streams"] if s["decodable"] and s["codec"]}
        return cls(
            container=probe["container"],
            codecs=tuple(sorted(codecs)),
            stream=probe["video"],
            display_width=film["display_width"] or film["width"] or 1,
            display_height=film["display_height"] or film["height"] or 1,
            rotation=film["rotation"] or 0,
            mirrored=bool(film["mirrored"]),
            max_pixels=max_pixels,
        )

    @classmethod
    def from_json_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` gave."""
        return cls(**{**data, "codecs": tuple(data["codecs"])})


class Film:
    """An open film; use it in a ``with`` block.

    Args:
        fd: descriptor of the file.
        info: what is known of it.
        hardware: FFmpeg's name of a hardware decoder (``cuda``, ``vaapi`` …), None for none.
    """

    def __init__(self, fd: int, info: FilmInfo, hardware: str | None = None) -> None:
        self._fd, self._info, self._hardware = fd, info, hardware
        self._limits = {
            "max_pixels": str(info.max_pixels),
            "codec_whitelist": ",".join(decoders_of(info.codecs)),
        }
        self._open()
        base = self._stream.time_base
        self.time_base = base if base else Fraction(1, av.time_base)

    def _open(self) -> None:
        options = {
            "fd": str(self._fd),
            "protocol_whitelist": "fd",
            "format_whitelist": self._info.container,
            **self._limits,
        }
        os.lseek(self._fd, 0, os.SEEK_SET)
        try:
            # The decoder that is asked for is used or there is an error: no silent way around.
            hardware = self._hardware
            device = HWAccel(hardware, allow_software_fallback=False) if hardware else None
            self._container: InputContainer = av.open("fd:", options=options, hwaccel=device)
        except FFmpegError as error:
            raise ConfinedError(f"the film cannot be opened: {error.strerror}") from None
        except RuntimeError as error:
            raise ConfinedError(f"frames.hardware = {self._hardware}: {error}") from None
        self._stream: VideoStream = self._container.streams[self._info.stream]  # type: ignore[assignment]
        context = self._stream.codec_context
        if context.width * context.height > self._info.max_pixels:
            self._container.close()
            raise ConfinedError(
                f"the film has frames of {context.width * context.height} pixels; allowed are "
                f"{self._info.max_pixels} (source.max_pixels)"
            )
        context.options = self._limits
        context.thread_type = "SLICE"  # frame threads decode ahead, for nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def at(
        self, times: Sequence[int], progress: Callable[[float], None] = lambda share: None
    ) -> Iterator[tuple[int, VideoFrame | None]]:
        """Yield, in the order of the film, each time with the frame that a full decode shows then.

        Args:
            times: in units of ``time_base``; times before the first frame get that one.
            progress: called with the share found.

        Yields:
            (the time, its frame); None where the film is too damaged to show any.
        """
        asked = sorted(set(times))
        scan = Scan(self)
        groups: dict[int | None, tuple[Start, dict[int, int]]] = {}
        for time in asked:
            start, pts = scan.find(time)
            groups.setdefault(start.key, (start, {}))[1][time] = pts
        done = 0
        for start, holders in groups.values():
            for found in self._group(start, holders):
                yield found
                done += 1
                progress(done / len(asked))

    @property
    def start(self) -> int:
        """When the film begins, in units of ``time_base``, as the file says."""
        return self._stream.start_time or 0

    def ticks(self, time_s: float) -> int:
        """Give a time in seconds in units of ``time_base``, rounded down but for float noise."""
        return int((Fraction(time_s) + Fraction(_ROUNDING_S)) // self.time_base)

    # ------------------------------------------------------------ which packets

    def packets(self, seek_to: int | None) -> Iterator[Packet[VideoStream]]:
        """Read packets of the film, undecoded, from a keyframe before a time, or from the start."""
        if seek_to is None:
            self._container.close()  # not every container can seek to where it begins
            self._open()
        else:
            self._container.seek(seek_to, stream=self._stream)
            self._stream.codec_context.flush_buffers()
        failures = 0
        while failures < 8:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    if packet.size:
                        yield packet
                return
            except FFmpegError:  # of the container; what comes after may be well
                failures += 1

    # ------------------------------------------------------------ decoding

    def _group(
        self, start: Start, holders: Mapping[int, int]
    ) -> Iterator[tuple[int, VideoFrame | None]]:
        """Decode what is wanted after one keyframe; go back as far as that does not do.

        ``holders``: time → PTS of its frame.
        """
        left = dict(holders)
        if start.key is not None:
            for time, frame in self._exact(start, left):
                del left[time]
                yield time, frame
            for back in BACK_S:
                if not left:
                    return
                for time, frame in self._shown(left, start.key - round(back / self.time_base)):
                    del left[time]
                    yield time, frame
        if left:
            yield from self._shown(left, None)

    def _exact(self, start: Start, holders: Mapping[int, int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from a keyframe, as long as it proves to be one, only what is needed."""
        times: dict[int, list[int]] = {}
        for time, pts in holders.items():
            times.setdefault(pts, []).append(time)
        started = False
        for frame in self._decode(self._from_key(start), set(times)):
            if frame.pts is None or frame.pts < (start.key or 0):
                continue  # of an open group
            started = started or (
                frame.pts == start.key and frame.key_frame and not frame.is_corrupt
            )
            if not started:
                return
            for time in times.pop(frame.pts, []):
                yield time, frame
            if not times:
                return

    def _from_key(self, start: Start) -> Iterator[Packet[VideoStream]]:
        met = False
        for packet in self.packets(start.seek_to):
            met = met or (packet.is_keyframe and packet.pts == start.key)
            if met:
                yield packet

    def _shown(
        self, wanted: Mapping[int, int], start: int | None
    ) -> Iterator[tuple[int, VideoFrame | None]]:
        """Decode everything from a time on and give what is shown at each time wanted."""
        todo = sorted(wanted)
        shown: VideoFrame | None = None
        trusted = start is None
        for frame in self._decode(self.packets(start), None):
            if frame.pts is None:
                continue
            while todo and shown is not None and frame.pts > todo[0]:
                yield todo.pop(0), shown
            if not todo:
                return
            if not trusted and not (frame.key_frame and frame.pts <= todo[0]):
                continue
            trusted = True
            if shown is None and frame.pts > todo[0]:
                shown = frame
                while todo and todo[0] < frame.pts:
                    yield todo.pop(0), frame
            shown = frame
        if shown is not None or start is None:
            for time in todo:
                yield time, shown

    def _decode(
        self, packets: Iterable[Packet[VideoStream]], needed: set[int] | None
    ) -> Iterator[VideoFrame]:
        """Decode; frames that no other refers to only if needed (None: all)."""
        context = self._stream.codec_context
        for packet in packets:
            spare = needed is not None and packet.pts not in needed and not packet.is_keyframe
            context.skip_frame = "NONREF" if spare else "DEFAULT"
            # What is damaged is left out, as in a full decode.
            with suppress(FFmpegError):
                yield from context.decode(packet)
        with suppress(FFmpegError):
            yield from context.decode(None)


def decoders_of(codecs: Iterable[str]) -> list[str]:
    """Name FFmpeg's decoders for codecs, given the standard's names: ``av1`` → ``libdav1d`` …."""
    wanted, found = set(codecs), []
    for name in sorted(av.codecs_available):
        with suppress(ValueError):
            if av.Codec(name, "r").canonical_name in wanted:
                found.append(name)
    return found
