"""A score becomes sound: each part in stereo, as long as the piece to the sample.

Here: where notes go, how loud parts are, the dynamic arc, ending or loop. Not here: instruments
(``voices``), effects and level (``effects``, ``level``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from av_pipelines.tracks.composition.score import Score
from av_pipelines.tracks.plan import Plan
from av_pipelines.tracks.synthesis.arrays import Arrays, Samples
from av_pipelines.tracks.synthesis.shapes import RATE, add, control_count, control_times, curve
from av_pipelines.tracks.synthesis.voices import Voices

# Level of a note at full velocity; pads have four voices at once.
_LEVELS = {"pads": 0.1, "bass": 0.12, "melody": 0.22, "arpeggio": 0.16, "percussion": 0.26,
           "texture": 0.06}  # fmt: skip
_LONGEST_FADE_S = 5.0


def render(
    score: Score,
    plan: Plan,
    on: Arrays,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Samples]:
    """Return part → sound, float32 of shape (2, samples) at 48 kHz; their sum is the dry mix.

    A loop is rendered in a circle: what rings on after its end is heard at its beginning, as if it
    had been playing for ever. Else it ends in silence.
    """
    voices = Voices(on, plan, score)
    total = round(plan.duration_s * RATE)
    parts = {name: on.zeros(2, total) for name in score.parts}
    for number, note in enumerate(score.notes):
        sound = voices.sound(note, _LEVELS[note.part] * note.velocity**1.5)
        add(parts[note.part], sound, round(note.start * 60 / score.bpm * RATE), score.loop)
        progress((number + 1) / len(score.notes))
    swell = curve(on, _arc(score, plan, total), total)
    for name, sound in parts.items():
        if name != "percussion":
            sound *= swell
        if name in ("pads", "texture") and not plan.drone:
            sound *= curve(on, _pulse(score, 0.4 * plan.intensity, total), total)
        if not score.loop:
            sound *= ending(on, score, total, 1.0)
    return parts


def _arc(score: Score, plan: Plan, total: int) -> np.ndarray:
    """The dynamics: the sections' energies, joined by slopes of some beats."""
    beats = control_times(total) * score.bpm / 60
    middles = np.array([(s.start + s.end) / 2 for s in score.sections])
    levels = np.array([0.35 + 0.65 * s.energy for s in score.sections])
    period = score.beats if score.loop else None
    return np.interp(beats, middles, levels, period=period)[: control_count(total)]


def _pulse(score: Score, depth: float, total: int) -> np.ndarray:
    """A level that gives way on each beat, and has come back before the next."""
    beats = control_times(total) * score.bpm / 60
    return 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * beats)) ** 2


def ending(on: Arrays, score: Score, total: int, part: float) -> Samples:
    """Return the level of the ending: 1, and to 0 over a part of the last chord."""
    last_s = (score.beats - score.chords[-1].start) * 60 / score.bpm
    length_s = part * min(0.7 * last_s, _LONGEST_FADE_S)
    left = np.clip((total / RATE - control_times(total)) / length_s, 0, 1)
    return curve(on, 0.5 - 0.5 * np.cos(np.pi * left), total)
