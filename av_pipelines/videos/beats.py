"""Where the beats of a song are: times at which a picture may well change.

Here: onset strength, tempo and beats of a sound. Not here: what is cut on them (``templates``).

After Ellis, "Beat Tracking by Dynamic Programming" (J. New Music Research 36, 2007): onsets are
rises of level in bands of frequency; the tempo is the lag at which they are most like themselves,
weighed by how usual it is; beats are the sequence that hits the most onset at an even pace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from av_pipelines.media.audio import read_blocks

_RATE = 16_000
_HOP, _WINDOW, _BANDS = 160, 1024, 32
_FRAMES = _RATE // _HOP  # a second
_LOWEST_HZ, _HIGHEST_HZ = 40.0, 7_600.0
_USUAL_S, _OCTAVES = 0.5, 0.9  # 120 beats a minute, and how far from it is still usual
_SLOWEST, _FASTEST = 45.0, 220.0  # beats a minute
_TIGHT = 120.0
_EARLY_S = 0.018  # by which an onset is seen before its middle has come into the window
_NO_BEAT = 0.10  # likeness at the tempo's lag below which there is none


@dataclass(frozen=True)
class Beats:
    """Beats in seconds from the start; none, and no tempo, where nothing keeps time."""

    times_s: tuple[float, ...]
    tempo_bpm: float | None


def find_beats(path: Path) -> Beats:
    """Find the beats of a sound file that this project wrote."""
    return beats_of(read_blocks(path, sample_rate=_RATE, layout="mono"))


def beats_of(blocks: Iterable[np.ndarray]) -> Beats:
    """Find beats in mono samples at 16 kHz, float32 blocks of shape (1, samples)."""
    strength = _onset_strength(blocks)
    period = _period(strength)
    if period is None:
        return Beats((), None)
    found = _track(strength, period)
    times = tuple(round(float(i) / _FRAMES + _EARLY_S, 3) for i in found)
    if len(times) < 3:
        return Beats((), None)
    return Beats(times, round(60 / float(np.median(np.diff(times))), 1))


def _onset_strength(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Measure how much sets in, per hundredth of a second, float64 (frames,)."""
    bank = _filters()
    window = np.hanning(_WINDOW).astype(np.float32)
    held = np.zeros(_WINDOW // 2, np.float32)
    levels = []
    for block in blocks:
        held = np.concatenate([held, block[0]])
        count = (len(held) - _WINDOW) // _HOP + 1
        if count > 0:
            view = np.lib.stride_tricks.sliding_window_view(held, _WINDOW)[::_HOP][:count]
            levels.append(_levels(view * window, bank))
            held = held[count * _HOP :]
    last = np.pad(held, (0, _WINDOW))
    view = np.lib.stride_tricks.sliding_window_view(last, _WINDOW)[::_HOP]
    levels.append(_levels(view * window, bank))
    level = np.concatenate(levels)
    level = np.maximum(level, level.max(initial=-99) - 80)  # what is 80 dB down is silence
    rise = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0).mean(axis=1)
    width = _FRAMES
    local = np.convolve(np.pad(rise, width // 2, "edge"), np.ones(width) / width, "same")
    rise = np.maximum(rise - local[width // 2 :][: len(rise)], 0)
    smooth = np.convolve(rise, np.hanning(7) / np.hanning(7).sum(), "same")
    return smooth / max(float(smooth.std()), 1e-9)


def _levels(windows: np.ndarray, bank: np.ndarray) -> np.ndarray:
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    return 10 * np.log10(power @ bank + 1e-10)


def _filters() -> np.ndarray:
    """Triangles evenly spaced in mel, (bins, bands)."""

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 2595 * np.log10(1 + np.asarray(hz) / 700)

    edges = np.linspace(mel(_LOWEST_HZ), mel(_HIGHEST_HZ), _BANDS + 2)
    bins = mel(np.fft.rfftfreq(_WINDOW, 1 / _RATE))[:, None]
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(up, down), 0, None).astype(np.float32)


def _period(strength: np.ndarray) -> float | None:
    """Find the length of a beat in frames."""
    shortest, longest = round(60 * _FRAMES / _FASTEST), round(60 * _FRAMES / _SLOWEST)
    if len(strength) < 3 * longest or not strength.any():
        return None
    centred = strength - strength.mean()
    size = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    likeness = np.fft.irfft(np.abs(spectrum) ** 2, size)[: 2 * longest + 2]
    likeness /= likeness[0]
    lags = np.arange(shortest, longest + 1)
    # What is twice as slow should fit as well: that tells a beat from half of one.
    fits = likeness[lags] + 0.5 * likeness[2 * lags]
    usual = np.exp(-0.5 * (np.log2(lags / (_USUAL_S * _FRAMES)) / _OCTAVES) ** 2)
    best = int(np.argmax(fits * usual))
    if likeness[lags[best]] < _NO_BEAT:
        return None
    return float(lags[best])


def _track(strength: np.ndarray, period: float) -> np.ndarray:
    """Choose the frames of beats."""
    offsets = np.arange(-round(2 * period), -round(period / 2) + 1)
    cost = -_TIGHT * np.log(-offsets / period) ** 2
    score = strength.copy()
    came_from = np.full(len(strength), -1)
    for i in range(len(strength)):
        before = offsets + i
        inside = before >= 0
        if not inside.any():
            continue
        ways = score[before[inside]] + cost[inside]
        best = int(ways.argmax())
        if ways[best] > 0:
            score[i] += ways[best]
            came_from[i] = before[inside][best]
    at = len(score) - round(period) + int(score[-round(period) :].argmax())
    found = []
    while at >= 0:
        found.append(at)
        at = int(came_from[at])
    found.reverse()
    beats = np.array(found)
    # At the ends there may be silence, through which it has counted on.
    loud = np.flatnonzero(strength[beats] > 0.3 * np.median(strength[beats]))
    return beats[loud[0] : loud[-1] + 1] if len(loud) else beats[:0]
