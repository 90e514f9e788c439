"""Reverberation and echo, by convolution: the same on every device, and none of it needs a GPL.

Here: what is added to the dry mix. Not here: the parts (``synthesis``), loudness (``level``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.plan import Plan
from av_pipelines.tracks.synthesis.arrays import Arrays, Samples
from av_pipelines.tracks.synthesis.shapes import RATE, add

# How much of a part goes to the room, and to the echo.
_TO_ROOM = {"pads": 0.5, "bass": 0.06, "melody": 0.6, "arpeggio": 0.55, "percussion": 0.18,
            "texture": 0.4}  # fmt: skip
_TO_ECHO = {"melody": 0.45, "arpeggio": 0.35}
_REPEATS, _FEEDBACK = 5, 0.45
_ROOM_GAIN = 0.6
_BLOCK = 2**19
_ROOM_SEED = 1961  # the room is one room; only its size and colour change


def wet(on: Arrays, parts: Mapping[str, Samples], plan: Plan) -> Samples:
    """Return what the effects add to the dry mix, of the parts' shape (2, samples).

    Of a loop, the tail goes on at its beginning; else it is cut at the end.
    """
    total = next(iter(parts.values())).shape[-1]
    send, echo = on.zeros(2, total), on.zeros(2, total)
    for name, sound in parts.items():
        if name in _TO_ECHO:
            echo += sound * _TO_ECHO[name]
        send += sound * _TO_ROOM[name]
    echoed = _echo(on, echo, plan) if set(parts) & set(_TO_ECHO) else echo
    send += echoed * 0.5
    return echoed + _convolved(on, send, room(plan), plan.loop)


def _echo(on: Arrays, sound: Samples, plan: Plan) -> Samples:
    """Repeat on dotted eighths, from side to side, ever softer."""
    total = sound.shape[-1]
    repeated = on.zeros(2, total)
    for number in range(1, _REPEATS + 1):
        delay = round(number * 0.75 * 60 / plan.bpm * RATE)
        gain = _FEEDBACK**number
        for channel in (0, 1):
            source = sound[(channel + number) % 2]
            if delay < total:
                repeated[channel, delay:] += source[: total - delay] * gain
            if plan.loop:
                turned = delay % total
                repeated[channel, :turned] += source[total - turned :] * gain
    return repeated


def room(plan: Plan) -> NDArray[np.float32]:
    """Return the impulse response of a room, of shape (2, samples).

    Noise that dies away, the treble sooner than the bass; the two channels have nothing in common.
    A bigger and darker room for calm and dreamy pieces.
    """
    seconds = 3.8 - 2.2 * plan.intensity + 1.2 * (plan.mood == "dreamy")
    count = 4096 * round(seconds * RATE / 4096)  # a length that transforms fast
    rng = np.random.Generator(np.random.PCG64(_ROOM_SEED))
    t = np.arange(count) / RATE
    f = np.fft.rfftfreq(count, 1 / RATE)
    spectrum = np.fft.rfft(rng.standard_normal((2, count)))
    response = np.zeros((2, count))
    for low, high, length in ((120, 500, 1.0), (500, 2000, 0.85), (2000, 7000, 0.5)):
        band = 1 / np.sqrt((1 + (low / np.maximum(f, 1)) ** 4) * (1 + (f / high) ** 4))
        response += np.fft.irfft(spectrum * band, count) * 0.001 ** (t / (length * seconds))
    # It sets in after 20 ms, and not at once.
    response *= np.clip((t - 0.02) / 0.03, 0, 1) * np.clip((seconds - t) / 0.2, 0, 1)
    gain = _ROOM_GAIN * np.sqrt(2 / np.sum(response**2))
    return (response * gain).astype(np.float32)


def _convolved(on: Arrays, sound: Samples, response: np.ndarray, loop: bool) -> Samples:
    """Convolve block by block (overlap-add)."""
    total = sound.shape[-1]
    hop = _BLOCK - response.shape[-1]
    spectrum = on.rfft(on.put(response), _BLOCK)
    out = on.zeros(2, total)
    for start in range(0, total, hop):
        block = on.rfft(sound[:, start : min(start + hop, total)], _BLOCK)
        block *= spectrum
        add(out, on.irfft(block, _BLOCK), start, loop)
    return out
