"""The chords: a Markov walk over degrees, in phrases, and voices that move as little as they can.

Not here: the tables (``scales``), how long chords are (``compose``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from av_pipelines.tracks.composition.scales import SCALES, chord_degrees, chord_moves, pitch_of
from av_pipelines.tracks.plan import Plan

PHRASE = 4
"""Chords in a phrase; phrases come as A A B A."""
_VOICES = 4
_WIDEST = 9  # semitones between neighbouring voices


def progression(plan: Plan, count: int, rng: np.random.Generator) -> list[int]:
    """Draw the degrees of so many chords.

    The first is the tonic. The last is the tonic too, unless the piece is a loop: then it is the
    one that best leads from the chord before it to the tonic.
    """
    moves = chord_moves(plan.scale)
    onward = moves.copy()  # from the end of a phrase, and to it: not to the tonic, which comes next
    onward[:, 0] = 0.0
    onward /= onward.sum(axis=1, keepdims=True)
    if plan.drone:  # the tonic, and now and then something passing over it
        moves = 0.35 * moves
        moves[:, 0] += 0.65
    a = _phrase(moves, onward, 0, rng)
    b = _phrase(moves, onward, _step(onward, a[-1], rng), rng)
    degrees = [d for k in range(-(-count // PHRASE)) for d in (b if k % 4 == 2 else a)][:count]
    if not plan.loop:
        degrees[-1] = 0
    if count > 1 and (plan.loop or degrees[-2] == 0):
        at = count - 1 if plan.loop else count - 2
        through = moves[degrees[at - 1]] * moves[:, 0]
        through[0] = 0.0
        degrees[at] = int(through.argmax()) if at else 0
    return degrees


def _step(moves: np.ndarray, degree: int, rng: np.random.Generator) -> int:
    return int(rng.choice(len(moves), p=moves[degree]))


def _phrase(
    moves: np.ndarray, onward: np.ndarray, first: int, rng: np.random.Generator
) -> list[int]:
    degrees = [first]
    while len(degrees) < PHRASE - 1:
        degrees.append(_step(moves, degrees[-1], rng))
    return [*degrees, _step(onward, degrees[-1], rng)]


def clearness(plan: Plan, walk: Sequence[int]) -> float:
    """Return how well the triads of a progression let the whole scale be heard.

    The sum of the roots of how often each note is there: many notes, and none of them too rarely.
    """
    heard = Counter(d for n in walk for d in chord_tones(plan, chord_degrees(plan.scale, n)))
    return sum(count**0.5 for count in heard.values())


def degrees_of(plan: Plan, degree: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Return a chord's degrees with a colour drawn from those of the mood."""
    colour = plan.colours[int(rng.integers(len(plan.colours)))]
    if colour is not None and _clashes(plan, degree, colour):
        colour = None
    return chord_degrees(plan.scale, degree, colour)


def _clashes(plan: Plan, degree: int, colour: int) -> bool:
    """Whether a colour lies a semitone above the root (a minor ninth), or is not defined."""
    if plan.scale == "pentatonic":
        return True
    gap = pitch_of(plan.key, plan.scale, degree + colour) - pitch_of(plan.key, plan.scale, degree)
    return gap % 12 == 1


def voicings(plan: Plan, chords: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Give each chord four voices: all its tones, close to those of the chord before.

    Parallel fifths and octaves between voices cost extra, so does leaving the middle of the range.
    """
    centre = 60 + 12 * plan.register
    found: list[tuple[int, ...]] = []
    for degrees in chords:
        classes = {pitch_of(plan.key, plan.scale, d) % 12 for d in degrees}
        pitches = [p for p in range(round(centre) - 11, round(centre) + 13) if p % 12 in classes]
        candidates = [
            voices
            for voices in combinations(pitches, _VOICES)
            if {v % 12 for v in voices} == classes
            and all(1 < high - low <= _WIDEST for low, high in pairwise(voices))
        ]
        before = found[-1] if found else None
        found.append(min(candidates, key=lambda v: _cost(v, before, centre)))
    return found


def _cost(voices: tuple[int, ...], before: tuple[int, ...] | None, centre: float) -> float:
    cost = 1.5 * abs(sum(voices) / _VOICES - centre)
    if before is None:
        return cost + abs(voices[-1] - voices[0] - 14)
    moves = [now - then for now, then in zip(voices, before, strict=True)]
    cost += sum(abs(move) for move in moves)
    for (i, low), (j, high) in combinations(enumerate(voices), 2):
        parallel = moves[i] == moves[j] != 0
        cost += 4.0 * (parallel and (high - low) % 12 in (0, 7))
    return cost


def chord_tones(plan: Plan, degrees: Sequence[int]) -> frozenset[int]:
    """Return a chord's degrees folded into one octave."""
    return frozenset(d % len(SCALES[plan.scale]) for d in degrees)
