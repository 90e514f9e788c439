"""``picture.npz``: everything about the picture from the one decode.

Here: per frame, time, brightness, change, sharpness, histograms and a thumbnail. Not here: making
frames small (``picture_samples``), measuring them (``picture_measures``), the file
(``media.picture``), finding scenes (their room).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from av_pipelines.intake.blocks import Picture
from av_pipelines.intake.containers import Media
from av_pipelines.intake.geometry import Orientation, orientation, parse_ratio
from av_pipelines.intake.passes import Summary
from av_pipelines.intake.taps import Appetite, Tap
from av_pipelines.intake.taps.picture_measures import Batch, mean_distance
from av_pipelines.intake.taps.picture_samples import Shrinker
from av_pipelines.media.picture import (
    CHROMA_BINS,
    CHUNK,
    LUMA_BINS,
    ROW,
    THUMBNAIL_HEIGHT,
    THUMBNAIL_WIDTH,
    Gap,
    Header,
    PictureWriter,
)

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame

    from av_pipelines.intake.tally import Tally

FILE = "picture.npz"
_GAP_STEPS = 2.5  # a step of time this many times the usual one is a gap, if there is damage too
_MAX_GAPS = 100
_USUAL_FPS = Fraction(25)  # of a film of one frame that says nothing


class PictureFile(Tap):
    """Writes ``picture.npz`` of the chosen film, in constant memory but for the time stamps."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._appetite = Appetite.ALL
        self._stream: int | None = None
        self._shrinker = Shrinker()
        self._batch: Batch | None = None
        self._writer: PictureWriter | None = None
        self._first_size: tuple[int, int] | None = None
        self._size: tuple[int, int] | None = None
        self._turned = Orientation()
        self._pts = array("q")
        self._mended = self._changes = self._corrupt = self._keyframes = 0
        self._last_duration = 0
        self._usual_step = 1
        # Of a piece of the file: all frames are noted, those of the batch not yet measured.
        self._noted: list[tuple[int, int, bool, bool]] = []
        self._rows = np.zeros(CHUNK, ROW)
        self._histograms = np.zeros((CHUNK, LUMA_BINS + 2 * CHROMA_BINS), np.uint16)
        self._thumbnails = np.zeros((CHUNK, THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, 3), np.uint8)

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Want the chosen film."""
        self._stream = media.video
        if media.video is None:
            return {}
        info = media.streams[media.video]
        if info.fps and info.time_base:
            self._usual_step = max(1, round(1 / (info.fps * info.time_base)))
        return {media.video: self._appetite}

    def video(self, picture: Picture) -> Appetite:
        """Look at a frame."""
        frame = picture.frame
        if self._appetite is Appetite.ALL or frame.key_frame:
            self._add(frame)
        return self._appetite

    def _add(self, frame: VideoFrame) -> None:
        size = frame.width, frame.height
        if self._first_size is None:
            self._first_size, self._turned = size, orientation(frame)
            self._writer = PictureWriter(self.out / FILE)
        elif size != self._size:
            self._changes += 1
        self._size = size
        key, corrupt = frame.key_frame, frame.is_corrupt
        self._keyframes += key
        self._corrupt += corrupt
        look, n = self._shrinker.look(frame), len(self._noted)
        if self._batch is None:
            self._batch = Batch(look, 0.0)
        elif not self._batch.fits(look):
            self._measure()
            # Before a piece's first frame, this is the last one of the piece before.
            self._batch = Batch(look, mean_distance(look.thumbnail, self._thumbnails[n - 1]))
        self._batch.add(look)
        self._thumbnails[n] = look.thumbnail
        self._noted.append((self._time(frame), frame.duration or 0, key, corrupt))
        if n + 1 == CHUNK:
            self._flush()
        elif self._batch.is_full:
            self._measure()

    def _time(self, frame: VideoFrame) -> int:
        """Give the frame's time stamp; where it has none or an old one, the next that can be."""
        seen, pts = self._pts, frame.pts
        if seen and (pts is None or pts <= seen[-1]):
            self._mended += 1
            pts = seen[-1] + (self._last_duration or self._usual_step if pts is None else 1)
        self._last_duration = frame.duration or 0
        seen.append(pts or 0)
        return seen[-1]

    def _measure(self) -> None:
        """Measure what is in the batch: the last of those noted."""
        if self._batch is not None and self._batch.count:
            n = len(self._noted)
            now = slice(n - self._batch.count, n)
            shares = self._batch.measure(self._rows[now])
            self._histograms[now] = np.round(shares * 65535)

    def _flush(self) -> None:
        """Write what has been collected."""
        self._measure()
        n = len(self._noted)
        if self._writer is not None and n:
            noted = zip(*self._noted, strict=True)
            for name, column in zip(("pts", "duration", "keyframe", "corrupt"), noted, strict=True):
                self._rows[name][:n] = column
            self._writer.add(self._rows[:n], self._histograms[:n], self._thumbnails[:n])
            self._noted.clear()

    def _all_pts(self) -> np.ndarray:
        """Time stamps of all frames of the film."""
        return np.frombuffer(self._pts, np.int64)

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """Write what is left; give no facts if there was no frame."""
        self._flush()
        if self._writer is None or self._stream is None or self._first_size is None:
            return {}
        info = summary.media.streams[self._stream]
        tally = summary.tallies[self._stream]
        base = info.time_base or Fraction(1, 1000)
        pts = self._all_pts()
        end = int(pts[-1]) + (self._last_duration or self._usual_step)
        keyframes_only = self._appetite is Appetite.KEYFRAMES
        header = Header(
            time_base=base,
            fps=tally.fps or _USUAL_FPS,
            width=self._first_size[0],
            height=self._first_size[1],
            sample_aspect_ratio=parse_ratio(info.sample_aspect_ratio) or Fraction(1),
            rotation=self._turned.rotation,
            mirrored=self._turned.mirrored,
            frames=len(pts),
            end_pts=end,
            variable_frame_rate=bool(tally.variable_frame_rate),
            keyframes_only=keyframes_only,
            gaps=_gaps(pts, base, tally) if self._corrupt or tally.damaged.count else (),
        )
        self._writer.close(header, pts if keyframes_only else None)
        return {
            "file": FILE,
            "frames": header.frames,
            "fps": round(float(header.fps), 6),
            "variable_frame_rate": header.variable_frame_rate,
            "duration_s": round(float((end - int(pts[0])) * base), 6),
            "start_s": round(float(int(pts[0]) * base), 6),
            "width": header.width,
            "height": header.height,
            "rotation": header.rotation,
            "keyframes": self._keyframes,
            "corrupt_frames": self._corrupt,
            "size_changes": self._changes,
            "time_stamps_mended": self._mended,
            "gaps": [[round(g.start_s, 3), round(g.end_s, 3)] for g in header.gaps],
        }


class KeyframePictureFile(PictureFile):
    """Writes ``picture.npz`` from keyframes only; the numbers of frames come from the packets."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._appetite = Appetite.KEYFRAMES
        self._packets = array("q")

    def packet(self, packet: Packet[Stream]) -> None:
        """Note the time stamp of a frame."""
        ours = packet.stream_index == self._stream and packet.size and not packet.is_discard
        if ours and packet.pts is not None:
            self._packets.append(packet.pts)

    def _all_pts(self) -> np.ndarray:
        return np.union1d(np.frombuffer(self._packets, np.int64), super()._all_pts())


def _gaps(pts: np.ndarray, base: Fraction, tally: Tally) -> tuple[Gap, ...]:
    """Find where frames are missing: of the steps that are far too long, those."""
    steps = np.diff(pts)
    if not len(steps):
        return ()
    usual = float(np.median(steps))
    if tally.fps and not tally.variable_frame_rate:
        usual = min(usual, float(1 / (tally.fps * base)))
    found = np.flatnonzero(steps > _GAP_STEPS * usual)[:_MAX_GAPS]
    starts, ends = (pts[found] + usual) * float(base), pts[found + 1] * float(base)
    return tuple(map(Gap, starts.tolist(), ends.tolist()))
