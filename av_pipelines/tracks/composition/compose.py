"""A plan becomes a score: how long chords are, which sections there are, who plays in them.

Not here: the notes of each part (``harmony``, ``melody``, ``rhythm``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from av_pipelines.tracks.composition.harmony import (
    clearness,
    degrees_of,
    progression,
    voicings,
)
from av_pipelines.tracks.composition.melody import BAR, arpeggio, melody
from av_pipelines.tracks.composition.rhythm import bass, percussion
from av_pipelines.tracks.composition.scales import ROOTS, pitch_of
from av_pipelines.tracks.composition.score import KICK, Chord, Note, Score, Section
from av_pipelines.tracks.plan import Plan

# Name, share of the piece, energy: for pieces of few chords, of some, of many, and for loops.
_ARCS = {
    "short": (("theme", 1.0, 0.85),),
    "middle": (("opening", 0.25, 0.5), ("theme", 0.5, 0.9), ("ending", 0.25, 0.6)),
    "long": (
        ("opening", 0.14, 0.4),
        ("build", 0.24, 0.7),
        ("peak", 0.3, 1.0),
        ("release", 0.2, 0.75),
        ("ending", 0.12, 0.45),
    ),
    "loop": (("theme", 0.5, 0.8), ("lift", 0.5, 0.95)),
}
# The energy from which a part plays, at middle intensity.
_ENTRY = {"bass": 0.45, "arpeggio": 0.58, "melody": 0.66, "percussion": 0.64}
_LONGEST_S = 7.0  # of a chord
_ENDING_S = 1.2  # at least, of the last chord of a piece that does not drone
_ENDING_SHARE = 0.2  # of the piece at most, where the bars allow it
_DRAFTS = 6  # progressions drawn, of which the one is kept that shows most of the scale


def compose(plan: Plan) -> Score:
    """Write the score of a plan: the same plan, the same score."""
    slots = _slots(plan)
    sections = _sections(plan, slots)
    slots = _with_ending(plan, slots)
    chords = _chords(plan, slots)
    end = plan.beats if plan.loop or len(slots) == 1 else slots[-1][0]

    def bars(part: str) -> list[tuple[float, float]]:
        least = _ENTRY[part] - 0.3 * (plan.intensity - 0.5)
        starts = np.arange(0, end, BAR).tolist()
        energies = [_section_at(sections, beat).energy for beat in starts]
        return [(b, e) for b, e in zip(starts, energies, strict=True) if e >= least - 1e-9]

    notes = list(_pads(plan, chords))
    if "texture" in plan.parts:
        notes.append(Note(0.0, "texture", 60 + ROOTS[plan.key], plan.beats, 0.5))
    if "bass" in plan.parts:
        entry = 0.0 if plan.drone else min((b for b, _ in bars("bass")), default=plan.beats)
        notes += bass(plan, chords, entry, plan.beats)
    if "melody" in plan.parts:
        notes += melody(plan, chords, bars("melody"), end)
        if end < plan.beats:  # it comes home
            home = pitch_of(plan.key, plan.scale, 0, round(plan.register))
            notes.append(Note(end, "melody", home, plan.beats - end, 0.6))
    if "arpeggio" in plan.parts:
        notes += arpeggio(plan, chords, bars("arpeggio"), end)
    if "percussion" in plan.parts:
        notes += percussion(plan, bars("percussion"), sections, end)
        if end < plan.beats and any(note.part == "percussion" for note in notes):
            notes.append(Note(end, "percussion", KICK, 0.5, 0.85))  # the last stroke
    return Score(
        key=plan.key,
        scale=plan.scale,
        bpm=plan.bpm,
        beats=plan.beats,
        loop=plan.loop,
        sections=tuple(sections),
        chords=tuple(chords),
        notes=tuple(sorted(notes)),
    )


def _slots(plan: Plan) -> list[tuple[float, float]]:
    """Cut the piece into chords: (start, length) in beats, at least three if it is long enough."""
    longest = _LONGEST_S * (1.8 if plan.drone else 1.15 - 0.5 * plan.intensity)
    length = float(max(b for b in (1, 2, 4, 8, 16) if b == 1 or b * 60 / plan.bpm <= longest))
    while plan.beats / length < 3 and length > 1:
        length /= 2
    count = max(1, round(plan.beats / length))
    starts = [number * length for number in range(count)]
    return [(a, b - a) for a, b in zip(starts, [*starts[1:], plan.beats], strict=True) if b - a > 0]


def _with_ending(plan: Plan, slots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Give a piece that would come to rest too early, or late, a last chord in proportion to it.

    It begins with the last bar, or half bar, that leaves it the time to ring.
    """
    if plan.loop or plan.drone or len(slots) == 1:
        return slots
    before, (start, length) = slots[:-1], slots[-1]
    least = max(BAR / 2, _ENDING_S * plan.bpm / 60)
    most = max(least, _ENDING_SHARE * plan.beats)
    if length < least:  # what is left over after the bars
        *before, (start, more) = before
        length += more
    if length <= most:
        return [*before, (start, length)]
    lasts = [(plan.beats - least) // grid * grid for grid in (BAR, BAR / 2)]
    lasts = [last for last in lasts if last > start]
    if not lasts:
        return [*before, (start, length)]
    last = next((last for last in lasts if plan.beats - last <= most), lasts[-1])
    return [*before, (start, last - start), (last, plan.beats - last)]


def _chords(plan: Plan, slots: list[tuple[float, float]]) -> list[Chord]:
    rng = plan.rng(1)
    walks = [progression(plan, len(slots), rng) for _ in range(_DRAFTS)]
    walk = max(walks, key=lambda walk: clearness(plan, walk))
    colours = {degree: degrees_of(plan, degree, rng) for degree in sorted(set(walk))}
    degrees = [colours[degree] for degree in walk]
    if not plan.loop:
        degrees[-1] = degrees[-1][:3]  # a plain chord to end on
    voices = voicings(plan, degrees)
    return [
        Chord(start, length, degree, tones, voicing)
        for (start, length), degree, tones, voicing in zip(
            slots, walk, degrees, voices, strict=True
        )
    ]


def _sections(plan: Plan, slots: list[tuple[float, float]]) -> list[Section]:
    """Lay the arc over the chords; a section has one chord at least."""
    count = len(slots)
    size = "loop" if plan.loop and count > 1 else "short" if count < 4 else "middle"
    arc = _ARCS["long" if size == "middle" and count > 8 else size]
    edges = np.round(np.cumsum([share for _, share, _ in arc]) * count).astype(int).tolist()
    starts = [slots[k][0] for k in [0, *edges[:-1]]]
    return [
        Section(name, start, end, energy)
        for (name, _, energy), start, end in zip(
            arc, starts, [*starts[1:], plan.beats], strict=True
        )
    ]


def _section_at(sections: list[Section], beat: float) -> Section:
    return next(s for s in reversed(sections) if s.start <= beat + 1e-9)


def _pads(plan: Plan, chords: list[Chord]) -> Iterator[Note]:
    """Hold each voice as long as it stays on its pitch: what is common is not struck again."""
    held: dict[int, tuple[float, int]] = {}  # voice → (start, pitch)
    for chord in chords:
        for voice, pitch in enumerate(chord.voices):
            start, before = held.get(voice, (chord.start, pitch))
            if before != pitch:
                yield Note(start, "pads", before, chord.start - start, 0.7)
                start = chord.start
            held[voice] = (start, pitch)
    for start, pitch in held.values():
        yield Note(start, "pads", pitch, plan.beats - start, 0.7)
