"""Plucked strings in closed form.

A Karplus-Strong string (Karplus and Strong 1983; Jaffe and Smith 1983) is a delay of one period in
a loop with a filter that takes a little away on each turn. Its output is known without running the
loop: excitation / (1 - filter · delay) as a spectrum, and so it is in tune to any fraction of a
sample, on any device, at the cost of one transform.

Not here: notes (``voices``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.synthesis.shapes import RATE

_TOP_HZ = 10_000.0
_PICKED_AT = 0.18  # of the string's length
# The spectrum is taken on a circle outside the unit circle, where the string has died away by this
# more at the end of the table: what comes round and falls on its beginning is not heard.
_DAMPING = 300.0
_LEAD = 48  # samples before the stroke, for what a band limit rings ahead


def pluck(hz: float, brightness: float, decay_s: float) -> NDArray[np.float32]:
    """Return one note, mono, until it has fallen by 60 dB; the RMS level of its first 0.1 s is 1/4.

    Args:
        hz: pitch.
        brightness: 0 (a thumb) to 1 (a nail).
        decay_s: how long its fundamental takes to fall by 60 dB.
    """
    size = 4096 * int(np.ceil(decay_s * RATE / 4096))
    radius = np.log(_DAMPING) / size
    count = int(_TOP_HZ / RATE * size)
    angles = 2 * np.pi / size * np.arange(count)

    def z(exponent: float) -> NDArray[np.complex128]:
        turned = exponent * angles
        return np.exp(exponent * radius) * (np.cos(turned) + 1j * np.sin(turned))

    period = RATE / hz
    per_turn = 0.001 ** (1 / (decay_s * hz))
    # Symmetric, so without delay: the higher a partial, the sooner it is gone.
    dull = 0.25 - 0.2 * brightness
    loop = per_turn * (1 - dull * (1 - (z(1) + z(-1)) / 2))
    softness = 2 * np.pi * (700 + 4500 * brightness) / RATE
    struck = (1 - z(-period * _PICKED_AT)) / (1 + (radius + 1j * angles) / softness) ** 2
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    spectrum[:count] = struck / (1 - loop * z(-period))
    # The upper end fades out, and the stroke comes a little later: what rings ahead has room.
    spectrum[count // 2 : count] *= np.cos(np.linspace(0, np.pi / 2, count - count // 2)) ** 2
    note = np.roll(np.fft.irfft(spectrum, size), _LEAD) * np.exp(radius * np.arange(size))
    note *= 0.25 / np.sqrt(np.mean(note[: RATE // 10] ** 2))
    note[:_LEAD] *= np.sin(np.linspace(0, np.pi / 2, _LEAD)) ** 2
    return note[: -2 * _LEAD].astype(np.float32)
