"""The bass and the percussion: kick, hi-hat, and the swell before a fuller section.

Not here: when they play (``compose``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from av_pipelines.tracks.composition.melody import BAR
from av_pipelines.tracks.composition.scales import pitch_of
from av_pipelines.tracks.composition.score import HAT, KICK, SWELL, Chord, Note, Section
from av_pipelines.tracks.plan import Plan

_KICKS = (  # beats of a bar, the calmest first
    (0.0,),
    (0.0, 2.0),
    (0.0, 0.5, 2.0),  # a heartbeat
    (0.0, 2.0, 2.5),
    (0.0, 1.0, 2.0, 3.0),
)
_LOWEST_BASS = 29  # F1: small loudspeakers still let it be heard


def bass(plan: Plan, chords: Sequence[Chord], from_beat: float, end: float) -> Iterator[Note]:
    """Yield the roots, or one long tonic under a drone; struck again and again when driving.

    The last root of a piece that ends is struck once.
    """
    if plan.drone:
        chords = [replace(chords[0], degree=0, length=end)]
    rng = plan.rng(5)
    moving = plan.intensity > 0.55 and not plan.drone
    for chord in chords:
        start, last = max(chord.start, from_beat), min(chord.start + chord.length, end)
        if last - start < 0.5:
            continue
        root = pitch_of(plan.key, plan.scale, chord.degree)
        pitch = _LOWEST_BASS + (root - _LOWEST_BASS) % 12
        ends = not plan.loop and len(chords) > 1 and chord is chords[-1]
        beats = np.arange(start, last - 0.5, 2.0).tolist() if moving and not ends else []
        beats = beats or [start]
        for number, (beat, until) in enumerate(zip(beats, [*beats[1:], last], strict=True)):
            higher = 12 * (moving and number % 4 == 3 and rng.uniform() < 0.6)
            velocity = 0.75 - 0.1 * (number % 2)
            yield Note(beat, "bass", pitch + higher, until - beat, velocity)


def percussion(
    plan: Plan, bars: Sequence[tuple[float, float]], sections: Sequence[Section], end: float
) -> Iterator[Note]:
    """Yield kicks, hi-hats and swells; arguments as of ``melody.melody``."""
    rng = plan.rng(6)
    kicks = _KICKS[int(np.clip(plan.intensity * 5 + rng.uniform(-0.8, 0.8), 0, 4))]
    step = 0.5 if plan.intensity > 0.4 else 1.0
    ghost = rng.uniform(size=8) < 0.15 + 0.5 * plan.intensity  # which of the off-beats are there
    for start, energy in bars:
        for beat in kicks:
            if start + beat < end - 0.5:
                loud = (0.9 if beat == 0 else 0.78) * (0.7 + 0.3 * energy)
                yield Note(start + beat, "percussion", KICK, 0.5, loud)
        for number in range(round(BAR / step)):
            beat = number * step
            off = beat % 1 != 0
            loud = (0.3 if off else 0.42) + 0.2 * energy + float(rng.uniform(-0.05, 0.05))
            if (not off or ghost[number % 8]) and beat % 4 != 0 and start + beat < end - 0.5:
                yield Note(start + beat, "percussion", HAT, step, loud)
    for before, after in pairwise(sections):
        length = min(4.0, before.end - before.start)
        if after.energy > before.energy and bars and length >= 2:
            yield Note(after.start - length, "percussion", SWELL, length, 0.4 + 0.3 * after.energy)
