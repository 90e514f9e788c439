"""Pieces longer than the model's 30 seconds: overlapped windows, each going on from the one before.

What it is: the model was trained on 30 seconds and its places end at 41. A later window is given
the codes of 10 seconds of the window before it, which end 2 seconds before that one's end, and goes
on from there. So the last 2 seconds exist twice, as two continuations of the same music (the end of
a window is also where the model is at its worst); one fades into the other there, on a beat. What
it is not: the model remembers 10 seconds, so a theme from before does not come back, and keys and
tempi may wander. The codec's encoder, which other projects need for this, is not needed: the codes
of our own music are known.

Here: where windows lie, and joining them. Not here: making them (``generate``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

WINDOW_S = 30
PRIME_S = 10
TAIL_S = 2
FADE_S = 0.25
_CELL_S = 0.01
_SLOWEST_S, _FASTEST_S = 60 / 60, 60 / 180
"""Lengths of a beat that are looked for."""


@dataclass(frozen=True)
class Window:
    """Frames start to stop of a piece; the first ``known`` of them are the window's before."""

    start: int
    stop: int
    known: int = 0

    @property
    def frames(self) -> int:
        """Length in frames, with those that are known."""
        return self.stop - self.start


def plan_windows(frames: int, frame_rate: int) -> list[Window]:
    """Cover the frames of a piece with windows of 30 s at most.

    Args:
        frames: of the piece.
        frame_rate: frames a second.
    """
    most, known, tail = (frame_rate * s for s in (WINDOW_S, PRIME_S, TAIL_S))
    windows = [Window(0, min(frames, most))]
    while (end := windows[-1].stop) < frames:
        start = end - tail - known
        windows.append(Window(start, min(frames, start + most), known))
    return windows


def join(piece: Samples, window: Samples, start: int, sample_rate: int) -> Samples:
    """Return a piece with its next window joined on, where both have the same beat.

    Args:
        piece: what there is, to the end of the last window.
        window: the next one, without what was known to it; it begins ``TAIL_S`` before the end.
        start: the sample of the piece at which it begins.
        sample_rate: in Hz.
    """
    tail = len(piece) - start
    fade = min(round(FADE_S * sample_rate), tail)
    context = piece[max(0, start - PRIME_S * sample_rate) :]
    beat = len(context) - tail + np.arange(tail)[fade:]
    at = _best_beat(context, window[:tail], beat, sample_rate) if len(beat) else tail
    first = start + at - fade
    crossing = equal_power(piece[first : first + fade], window[at - fade : at])
    return np.concatenate([piece[:first], crossing, window[at:]])


def equal_power(old: Samples, new: Samples) -> Samples:
    """Fade from one stretch into another of the same length, without a dip or a bump in power.

    A sine and a cosine keep the power of sounds that have nothing in common; what two have in
    common adds up, so the sum is set right by how alike they are.
    """
    angle = np.linspace(0, np.pi / 2, len(old), dtype=np.float32)
    out, into = np.cos(angle), np.sin(angle)
    power = float(np.sqrt((old @ old) * (new @ new)))
    alike = max(0.0, float(old @ new) / power) if power else 0.0
    level = np.sqrt(1 + np.float32(2 * alike) * out * into)
    return np.asarray((old * out + new * into) / level, dtype=np.float32)


def onsets(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Return how much begins in each 10 ms: what the logarithmic spectrum gains (spectral flux)."""
    hop = round(_CELL_S * sample_rate)
    size = 4 * hop
    padded = np.pad(samples, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) : hop]
    spectrum = np.log1p(100 * np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) / size)
    gains = np.diff(spectrum, axis=0, prepend=spectrum[:1])
    return np.maximum(gains, 0).sum(axis=1)


def _best_beat(
    context: Samples, window: Samples, allowed: NDArray[np.int64], sample_rate: int
) -> int:
    """Return the sample of a window at which the piece has a beat and both have an onset.

    Args:
        context: the end of the piece.
        window: the beginning of the next, as long as what exists twice.
        allowed: samples of the context among which the beat must be.
        sample_rate: in Hz.
    """
    hop = round(_CELL_S * sample_rate)
    old, new = onsets(context, sample_rate), onsets(window, sample_rate)
    before = len(old) - len(new)
    beats = _beats(old)
    cells = beats[(beats >= allowed[0] // hop + 1) & (beats <= allowed[-1] // hop)]
    if not len(cells):
        return len(window)
    both = np.minimum(old[cells], new[np.minimum(cells - before, len(new) - 1)])
    cell = int(cells[both.argmax()]) - before
    return min(cell * hop, len(window))


def _beats(strength: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cells of the beats: the period and phase that gather most of the onsets."""
    slowest, fastest = round(_SLOWEST_S / _CELL_S), round(_FASTEST_S / _CELL_S)
    strength = strength - strength.mean()
    lags = np.arange(fastest, min(slowest, len(strength) // 2) + 1)
    if not len(lags):
        return np.arange(len(strength))
    alike = [strength[lag:] @ strength[:-lag] / (len(strength) - lag) for lag in lags]
    period = int(lags[int(np.argmax(alike))])
    phase = int(np.argmax([strength[p::period].mean() for p in range(period)]))
    return np.arange(phase, len(strength), period)
