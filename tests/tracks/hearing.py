"""Hearing key and tempo in a mix, for tests: what was asked for must be there to be heard.

Key: a chroma of the whole, held against a profile of each tonic and scale (after Krumhansl 1990),
and the bass, that of the end above all: the final tells the tonic. Tempo: the autocorrelation of
the onsets (spectral flux), summed over multiples of the beat.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from av_pipelines.tracks.composition.scales import ROOTS, SCALES


def _spectra(mono: NDArray[np.float32], size: int, hop: int) -> NDArray[np.float64]:
    frames = sliding_window_view(mono, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32)))


def _chroma(
    spectra: NDArray[np.float64], rate: int, low_hz: float, high_hz: float
) -> NDArray[np.float64]:
    """Return how much there is of the twelve pitch classes; every frame has the same weight."""
    hz = np.arange(spectra.shape[1]) * rate / (2 * (spectra.shape[1] - 1))
    used = np.flatnonzero((hz > low_hz) & (hz < high_hz))
    pitch = 69 + 12 * np.log2(hz[used] / 440)
    nearest = np.round(pitch).astype(int)
    into = np.zeros((used.size, 12))
    into[np.arange(used.size), nearest % 12] = np.exp(-0.5 * ((pitch - nearest) / 0.2) ** 2)
    chroma = spectra[:, used] @ into
    return (chroma / np.maximum(chroma.sum(axis=1, keepdims=True), 1e-9)).mean(axis=0)


def key_of(mix: NDArray[np.float32], rate: int) -> tuple[str, str]:
    """Return tonic and scale of a mix of shape (2, samples)."""
    from scipy.signal import resample_poly

    low, low_rate = resample_poly(mix.mean(axis=0), 1, 8).astype(np.float32), rate // 8
    spectra = _spectra(low, 8192, 2048)
    # Fundamentals, as harmonics are of other scales; the root lets the rarer notes count too.
    whole = np.sqrt(_chroma(spectra, low_rate, 110, 600))
    bass = _chroma(spectra, low_rate, 40, 110)
    final = _chroma(spectra[-max(8, spectra.shape[0] // 8) :], low_rate, 40, 110)
    found: dict[tuple[str, str], float] = {}
    for scale, steps in SCALES.items():
        profile = np.zeros(12)
        profile[list(steps)] = 0.45
        profile[0], profile[7] = 1.0, 0.7
        profile[steps[2]] += 0.15
        for key, root in ROOTS.items():
            fit = np.corrcoef(np.roll(profile, root), whole)[0, 1]
            ground = 0.2 * bass[root] / bass.max() + 0.3 * final[root] / final.max()
            found[key, scale] = float(fit + ground)
    return max(found, key=lambda name: found[name])


def tempo_of(mix: NDArray[np.float32], rate: int) -> float:
    """Return the tempo of a mix of shape (2, samples), in beats a minute."""
    hop = 480
    spectra = np.log1p(100 * _spectra(mix.mean(axis=0), 2048, hop))
    flux = np.maximum(np.diff(spectra, axis=0), 0).sum(axis=1)
    smooth = np.convolve(flux, np.ones(100) / 100, "same")
    onsets = np.maximum(flux - smooth, 0)
    frames = rate / hop
    size = 1 << int(np.ceil(np.log2(2 * onsets.size)))
    power = np.abs(np.fft.rfft(onsets, size)) ** 2
    lags = np.fft.irfft(power)[: onsets.size]
    lags /= np.arange(onsets.size, 0, -1)
    tempi = np.arange(40, 200.01, 0.1)
    lag = 60 * frames / tempi

    def strength(multiple: int) -> NDArray[np.float64]:
        return np.interp(multiple * lag, np.arange(lags.size), lags, right=0.0)

    comb = sum(strength(k) for k in (1, 2, 4, 8)) / 4  # beats, half bars, bars, pairs of bars
    # Between a tempo and its double, people take the one nearer to 100 (Parncutt 1994).
    return float(tempi[np.argmax(comb * np.exp(-0.5 * (np.log2(tempi / 100) / 1.0) ** 2))])


def same_tempo(heard: float, asked: float) -> bool:
    """Whether two tempi are one, or double, triple, half or a third of it, within 4 %.

    That is MIREX's "accuracy 2": at which level the beat is counted is a matter of taste.
    """
    return any(abs(heard * m / asked - 1) < 0.04 for m in (1, 2, 3, 1 / 2, 1 / 3))
