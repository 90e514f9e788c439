"""Which packet of a film holds the frame that is shown at a time, and where to begin decoding.

Here: reading packets undecoded, as ``film`` describes it. Not here: opening, decoding (``film``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from av.error import FFmpegError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from av_pipelines.scenes.film import Film

_SCAN_ON_S = 5.0  # a time so little later is looked for by reading on, not by seeking
BACK_S = (2.0, 8.0, 32.0)
"""How far to go back for a keyframe, in turn, in seconds; then from the beginning."""


@dataclass(frozen=True)
class Start:
    """Where to begin decoding.

    ``key`` is the PTS of a keyframe, None for the beginning of the film; ``seek_to`` leads to it.
    """

    key: int | None
    seek_to: int = 0


class Scan:
    """Reads on through the packets, undecoded, from time to later time."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self._near = round(_SCAN_ON_S / film.time_base)
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._seek_to: int | None = None
        self._keys: list[int] = []
        self._seen: list[int] = []
        self._dts: int | None = None
        self._ended = True

    def find(self, time: int) -> tuple[Start, int]:
        """Give where to begin decoding, and the PTS of the frame that is shown at a time."""
        here = self._dts is not None and bool(self._keys) and time >= self._keys[0]
        if not here or (not self._ended and time - (self._dts or 0) > self._near):
            self._start(time)
        for attempt in (*BACK_S, None):
            self._read_to(time)
            pts = max((p for p in self._seen if p <= time), default=None)
            if pts is not None:
                key = max((k for k in self._keys if k <= pts), default=None)
                if key is not None and self._seek_to is not None:
                    self._forget(key)
                    return Start(key, self._seek_to), pts
            if attempt is None:
                break
            self._start(time - round(attempt / self._film.time_base))
        return Start(None), time  # only decoding will tell

    def _start(self, seek_to: int) -> None:
        try:
            self._packets = self._film.packets(seek_to)
            first = next(self._packets, None)
        except FFmpegError:  # cannot be searched by time
            first = None
        self._keys, self._seen, self._dts, self._ended = [], [], None, first is None
        self._seek_to = seek_to
        if first is not None:
            self._note(first)

    def _read_to(self, time: int) -> None:
        while not self._ended and (self._dts is None or self._dts <= time):
            packet = next(self._packets, None)
            if packet is None:
                self._ended = True
            else:
                self._note(packet)

    def _note(self, packet: Packet[VideoStream]) -> None:
        if packet.dts is not None:
            self._dts = packet.dts
        if packet.pts is None or packet.is_discard:
            return
        if packet.is_keyframe:
            self._keys.append(packet.pts)
        if self._keys:
            self._seen.append(packet.pts)

    def _forget(self, key: int) -> None:
        """Drop what later times cannot need."""
        self._keys = [k for k in self._keys if k >= key]
        self._seen = [p for p in self._seen if p >= key]
