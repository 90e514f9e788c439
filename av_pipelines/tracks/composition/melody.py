"""The melody and the arpeggio: a motif, varied over the chords, with rests and a line that arches.

Not here: when they play (``compose``), chords (``harmony``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from av_pipelines.tracks.composition.harmony import chord_tones
from av_pipelines.tracks.composition.scales import SCALES, pitch_of
from av_pipelines.tracks.composition.score import Chord, Note
from av_pipelines.tracks.plan import Plan

BAR = 4
"""Beats in a bar."""

# Rhythms of a bar: (onset, length) in beats, the sparsest first.
_RHYTHMS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0, 4),),
    ((0, 2), (2, 2)),
    ((1, 3),),
    ((0, 3), (3, 1)),
    ((0, 1), (1, 2), (3, 1)),
    ((0, 1.5), (1.5, 2.5)),
    ((0, 1.5), (1.5, 1.5), (3, 1)),
    ((0.5, 1), (1.5, 1), (2.5, 1.5)),
    ((0, 1), (1, 0.5), (1.5, 0.5), (2, 2)),
    ((0, 0.5), (0.5, 1), (1.5, 1), (2.5, 0.5), (3, 1)),
)
# How the line of a motif goes on, in degrees; leaps are rare and come back.
_STEPS, _LIKELY = np.array([-2, -1, 0, 1, 2, 4]), np.array([0.14, 0.3, 0.1, 0.28, 0.14, 0.04])
_LOWEST, _HIGHEST = -3, 9  # degrees about the tonic of its octave
_ARP_FIGURES = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 2, 1), (3, 2, 1, 0), (0, 3, 1, 2))


class _Motif:
    """A rhythm with a line: degrees from its first note on."""

    def __init__(self, density: float, rng: np.random.Generator) -> None:
        at = float(np.clip(rng.normal(density, 0.18), 0, 0.999))
        self.rhythm = _RHYTHMS[int(at * len(_RHYTHMS))]
        moves = rng.choice(_STEPS, size=len(self.rhythm) - 1, p=_LIKELY)
        self.line = [0, *np.cumsum(moves).tolist()]

    def varied(self, rng: np.random.Generator) -> list[int]:
        """Return the line as it is, upside down, or with another end."""
        how = rng.uniform()
        if how < 0.6:
            return self.line
        if how < 0.8:
            return [-step for step in self.line]
        return [*self.line[:-1], self.line[-1] + int(rng.choice([-1, 1]))]


def melody(
    plan: Plan, chords: Sequence[Chord], bars: Sequence[tuple[float, float]], end: float
) -> Iterator[Note]:
    """Yield the melody.

    Args:
        plan: of the piece.
        chords: all of them.
        bars: (first beat, energy 0 to 1) of the bars with melody, ascending.
        end: the beat where it ends: no note is held beyond it.
    """
    rng = plan.rng(3)
    motifs = [_Motif(0.9 * plan.intensity, rng) for _ in range(2)]
    octave = int(np.clip(round(plan.register), -1, 1))
    place = 2
    for number, (start, energy) in enumerate(bars):
        in_phrase = number % 4
        motif = motifs[(number // 8) % 2 if in_phrase != 3 else 1]
        rest = rng.uniform() < (0.7 if in_phrase == 3 else 0.12) * (1.2 - plan.intensity)
        goal = (2, 4, 5, 1)[in_phrase] + 2 * (energy - 0.5)  # the arch of the phrase
        place = round(0.5 * place + 0.5 * goal)
        line = motif.varied(rng)
        louder = rng.uniform(-0.06, 0.06, size=len(line))
        if rest:
            continue
        for (onset, length), step, change in zip(motif.rhythm, line, louder, strict=True):
            beat = start + onset
            if beat >= end - 0.25:
                break
            degree = int(np.clip(place + step, _LOWEST, _HIGHEST))
            if onset in (0, 2) or length >= 2:
                degree = _nearest(degree, chord_tones(plan, _at(chords, beat).degrees), plan)
            yield Note(
                start=beat,
                part="melody",
                pitch=pitch_of(plan.key, plan.scale, degree, octave),
                length=min(length, end - beat),
                velocity=float(np.clip(0.5 + 0.3 * energy + 0.08 * (onset == 0) + change, 0.2, 1)),
            )


def arpeggio(
    plan: Plan, chords: Sequence[Chord], bars: Sequence[tuple[float, float]], end: float
) -> Iterator[Note]:
    """Yield the chords' voices one by one, in even steps; arguments as ``melody``."""
    rng = plan.rng(4)
    figure = _ARP_FIGURES[int(rng.integers(len(_ARP_FIGURES)))]
    step = 0.5 if plan.intensity * plan.bpm > 40 or plan.bpm < 80 else 1.0
    skipped = set(np.flatnonzero(rng.uniform(size=8) < 0.35 * (1 - plan.intensity)).tolist()) - {0}
    up = 12 if plan.register < 0.5 else 0
    for start, energy in bars:
        for number in range(round(BAR / step)):
            beat = start + number * step
            if number % 8 in skipped or beat >= end - 0.25:
                continue
            voices = _at(chords, beat).voices
            accent = 0.16 if number * step % 2 == 0 else 0.08 if number * step % 1 == 0 else 0.0
            velocity = 0.42 + 0.25 * energy + accent + float(rng.uniform(-0.04, 0.04))
            yield Note(
                start=beat,
                part="arpeggio",
                pitch=voices[figure[number % len(figure)]] + up,
                length=min(step, end - beat),
                velocity=float(np.clip(velocity, 0.1, 1)),
            )


def _at(chords: Sequence[Chord], beat: float) -> Chord:
    """Return the chord that sounds on a beat."""
    return next((c for c in reversed(chords) if c.start <= beat + 1e-9), chords[0])


def _nearest(degree: int, tones: frozenset[int], plan: Plan) -> int:
    """Return the chord tone nearest to a degree; of two as near, the lower."""
    count = len(SCALES[plan.scale])
    return min(
        (d for d in range(degree - count, degree + count) if d % count in tones),
        key=lambda d: (abs(d - degree), d),
    )
