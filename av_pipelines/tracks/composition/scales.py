"""Keys and scales, and which chord tends to follow which.

Here: tables and the pitch of a degree. Not here: choosing anything.

Pitches are MIDI numbers (60 = middle C); a degree counts the notes of a scale from 0 (the tonic)
and may go beyond an octave or below it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROOTS = {
    "C": 0, "C#": 1, "D": 2, "Eb": 3, "E": 4, "F": 5, "F#": 6, "G": 7, "Ab": 8, "A": 9,
    "Bb": 10, "B": 11,
}  # fmt: skip
"""Tonic → pitch class."""

SCALES: dict[str, tuple[int, ...]] = {
    "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "major": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "pentatonic": (0, 2, 4, 7, 9),
}
"""Scale → semitones above the tonic."""

# How much each degree's chord is used. Diminished triads have no place here; the degrees that tell
# a mode from its neighbours (IV of dorian, II of phrygian and lydian, VII of mixolydian) have more.
_COMMON: dict[str, tuple[float, ...]] = {
    "aeolian": (4, 0, 2, 3, 2, 4, 3),
    "dorian": (4, 1.5, 1.5, 4, 2, 0, 2.5),
    "phrygian": (4, 4, 2, 2, 0, 1.5, 2),
    "major": (4, 2, 1, 4, 3.5, 2.5, 0),
    "lydian": (4, 4, 1, 0, 2.5, 1.5, 1.5),
    "mixolydian": (4, 1.5, 0, 3, 2, 1.5, 4),
    "pentatonic": (4, 2, 1.5, 3, 2),
}
# How well a root moves up by so many degrees: a fourth up is strongest, then a third down, a step.
_MOTION = {7: (0.0, 0.8, 0.5, 1.0, 0.7, 0.9, 0.8), 5: (0.0, 0.8, 0.8, 0.8, 0.8)}

# Degrees sounding together. Of five notes, thirds cannot be stacked: open chords instead.
_PENTATONIC_CHORDS = ((0, 2, 3), (1, 3, 4), (2, 3, 5), (3, 5, 6), (4, 5, 7))


def chord_moves(scale: str) -> NDArray[np.float64]:
    """Return the Markov matrix of a scale's chords: row = from, column = to, rows add up to 1."""
    common = np.array(_COMMON[scale])
    count = common.size
    step = (np.arange(count)[None, :] - np.arange(count)[:, None]) % count
    weights = common[None, :] * np.array(_MOTION[count])[step]
    return weights / weights.sum(axis=1, keepdims=True)


def chord_degrees(scale: str, degree: int, colour: int | None = None) -> tuple[int, ...]:
    """Return the degrees of the chord on a degree, the root first.

    Args:
        scale: its name.
        degree: 0 to the number of notes of the scale, less one.
        colour: one more note, in degrees above the root (6: the seventh, 8: the ninth).
    """
    if scale == "pentatonic":
        return _PENTATONIC_CHORDS[degree]
    tones = (degree, degree + 2, degree + 4)
    return tones if colour is None else (*tones, degree + colour)


def pitch_of(key: str, scale: str, degree: int, octave: int = 0) -> int:
    """Return the MIDI pitch of a degree; octave 0 begins with the tonic at or above middle C."""
    steps = SCALES[scale]
    turns, index = divmod(degree, len(steps))
    return 60 + ROOTS[key] + steps[index] + 12 * (turns + octave)
