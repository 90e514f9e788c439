"""Windows: what a recogniser is given at once, cut from a stream at pauses and packed full.

Stretches of voice are taken with a little of the pause around them and put one behind the other
until a window is full, because a recogniser's cost is by the window. A stretch that is too long
is cut where it is quietest. Here: cutting, packing, and the way back from a time in a window to the
time in the file. Not here: finding voice (``speech``), recognising (``engines``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from av_pipelines.transcripts.speech import FRAME, FRAME_S, SAMPLE_RATE, Frames

Span = tuple[float, float]
"""Start and end, in seconds."""

PAUSE_S = 0.4
"""A pause of this length ends a stretch; a stretch is taken with half of it on either side."""

SHORTEST_S = 0.09
"""What is shorter is a click, no voice."""

_PAUSE = round(PAUSE_S / FRAME_S)
_PAD = round(PAUSE_S / 2 * SAMPLE_RATE)
_SHORTEST = round(SHORTEST_S / FRAME_S)


@dataclass(frozen=True)
class Piece:
    """A part of a window: where it is in the file, and where in the window, in samples."""

    start: int
    offset: int
    length: int


@dataclass(frozen=True)
class Window:
    """Up to a window's length of voice, as mono samples at 16 kHz, and where it comes from.

    ``voiced``: the stretches of voice in it, in seconds of the file.
    """

    samples: np.ndarray
    pieces: tuple[Piece, ...]
    voiced: tuple[Span, ...]

    @property
    def duration_s(self) -> float:
        """Seconds of sound in it."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def start_s(self) -> float:
        """Where it begins in the file."""
        return self.pieces[0].start / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Where it ends in the file."""
        last = self.pieces[-1]
        return (last.start + last.length) / SAMPLE_RATE

    def in_file(self, start_s: float, end_s: float) -> Span:
        """Map a span of the window to the file: into the piece that its middle is in."""
        middle = (start_s + end_s) / 2 * SAMPLE_RATE
        piece = next((p for p in reversed(self.pieces) if p.offset <= middle), self.pieces[0])
        shift = (piece.start - piece.offset) / SAMPLE_RATE
        first, last = piece.start / SAMPLE_RATE, (piece.start + piece.length) / SAMPLE_RATE
        start = min(max(start_s + shift, first), last)
        return start, min(max(end_s + shift, start), last)

    def part(self, span: Span, margin_s: float) -> Window | None:
        """Return the window that holds a span of the file alone; None where there is none."""
        for piece in self.pieces:
            first = max(piece.start, round((span[0] - margin_s) * SAMPLE_RATE))
            last = min(piece.start + piece.length, round((span[1] + margin_s) * SAMPLE_RATE))
            if piece.start <= round((span[0] + span[1]) / 2 * SAMPLE_RATE) < last:
                offset = first - piece.start + piece.offset
                samples = self.samples[offset : offset + last - first]
                return Window(samples, (Piece(first, 0, last - first),), (span,))
        return None


def cut(
    frames: Iterable[Frames], longest_s: float, *, threshold: float = 0.5, everything: bool = False
) -> Iterator[Window]:
    """Cut a stream into windows of at most ``longest_s``; memory does not grow with its length.

    Args:
        frames: the stream with its probabilities of voice.
        longest_s: of a window.
        threshold: a stretch begins at this probability of voice, and goes on to 0.15 less.
        everything: take also what is no voice, as long as it can be heard at all.
    """
    cutter = _Cutter(longest_s, threshold, everything)
    for some in frames:
        yield from cutter.feed(some)
    yield from cutter.finish()


class _Cutter:
    def __init__(self, longest_s: float, threshold: float, everything: bool) -> None:
        self._longest = round(longest_s * SAMPLE_RATE)
        self._threshold, self._everything = threshold, everything
        self._audio = np.zeros(0, np.float32)
        self._base = 0  # the file's sample that the buffer begins with
        self._at = 0  # the next frame
        self._free = 0  # samples before this one are in a window already
        self._start: int | None = None  # first frame of the open stretch
        self._last = 0  # its last frame that belongs to it
        self._voice: list[bool] = []  # for its frames: whether it is voice
        self._taken: list[tuple[int, np.ndarray, list[Span]]] = []

    def feed(self, frames: Frames) -> Iterator[Window]:
        self._audio = np.concatenate([self._audio, frames.samples.ravel()])
        for voice in frames.voice:
            yield from self._step(float(voice))
        open_from = self._at if self._start is None else self._start
        keep = max(open_from * FRAME - _PAD, self._base)
        self._audio, self._base = self._audio[keep - self._base :], keep

    def finish(self) -> Iterator[Window]:
        if self._start is not None:
            yield from self._close()
        yield from self._emit()

    def _step(self, voice: float) -> Iterator[Window]:
        at, self._at = self._at, self._at + 1
        going_on = bool(self._voice) and self._voice[-1]
        spoken = voice >= (self._threshold - 0.15 if going_on else self._threshold)
        if spoken or (self._everything and voice > 0):
            if self._start is None:
                self._start, self._voice = at, []
            self._last = at
        if self._start is None:
            return
        self._voice.append(spoken)
        if at - self._last >= _PAUSE:
            yield from self._close()
        elif (at + 1 - self._start) * FRAME > self._longest - 2 * _PAD:
            yield from self._split()

    def _split(self) -> Iterator[Window]:
        """Cut the open stretch at its quietest place, in its second half."""
        assert self._start is not None
        first, last = self._start, self._at
        half = (first + last) // 2
        samples = self._audio[half * FRAME - self._base : last * FRAME - self._base]
        power = np.square(samples.reshape(-1, FRAME)).mean(axis=1)
        smooth = np.convolve(power, (1, 2, 1), "same")
        quietest = half + 1 + int(np.argmin(smooth[1:-2]))
        self._start, voice = quietest, self._voice
        self._voice = voice[quietest - first :]
        self._last = max(self._last, quietest)
        yield from self._take(first, quietest, voice[: quietest - first], 0)

    def _close(self) -> Iterator[Window]:
        assert self._start is not None
        first, last, voice = self._start, self._last + 1, self._voice
        self._start, self._voice = None, []
        if last - first >= _SHORTEST:
            yield from self._take(first, last, voice[: last - first], _PAD)

    def _take(self, first: int, last: int, voice: list[bool], after: int) -> Iterator[Window]:
        """Take the frames from ``first`` up to ``last``, and what is around them in pauses."""
        start = max(first * FRAME - _PAD, self._free, self._base)
        end = last * FRAME + after
        samples = self._audio[start - self._base : end - self._base].copy()
        self._free = end
        if sum(len(taken) for _, taken, _ in self._taken) + len(samples) > self._longest:
            yield from self._emit()
        self._taken.append((start, samples, _spans(first, voice)))

    def _emit(self) -> Iterator[Window]:
        if not self._taken:
            return
        pieces: list[Piece] = []
        offset = 0
        for start, samples, _ in self._taken:
            pieces.append(Piece(start, offset, len(samples)))
            offset += len(samples)
        yield Window(
            np.concatenate([samples for _, samples, _ in self._taken]),
            tuple(pieces),
            tuple(span for _, _, voiced in self._taken for span in voiced),
        )
        self._taken = []


def _spans(first: int, voice: list[bool]) -> list[Span]:
    """Return the stretches of voice, in seconds; pauses in them are shorter than ``PAUSE_S``."""
    spans: list[list[int]] = []
    for at, spoken in enumerate(voice, start=first):
        if not spoken:
            continue
        if spans and at - spans[-1][1] < _PAUSE:
            spans[-1][1] = at + 1
        else:
            spans.append([at, at + 1])
    return [(s * FRAME_S, e * FRAME_S) for s, e in spans if e - s >= _SHORTEST]
