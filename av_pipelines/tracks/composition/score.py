"""What a score is: notes in parts, chords, sections, all counted in beats.

Not here: how it comes about (``compose``), its file (``midi``), its sound (``synthesis``).
"""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("pads", "bass", "melody", "arpeggio", "percussion", "texture")
"""In the order of the stems; a track has those that have notes."""

KICK, HAT, SWELL = 36, 42, 49
"""Pitches of ``percussion``, as General MIDI numbers them; the swell stands for a cymbal."""


@dataclass(frozen=True, order=True)
class Note:
    """One note: when it begins and how long it is held, in beats."""

    start: float
    part: str
    pitch: int
    length: float
    velocity: float
    """0 to 1."""


@dataclass(frozen=True)
class Chord:
    """A chord and its voices, from low to high."""

    start: float
    length: float
    degree: int
    degrees: tuple[int, ...]
    voices: tuple[int, ...]
    """MIDI pitches."""


@dataclass(frozen=True)
class Section:
    """A stretch of the piece and how full it is, 0 to 1."""

    name: str
    start: float
    end: float
    energy: float


@dataclass(frozen=True)
class Score:
    """A whole piece. ``beats`` is its length; with ``loop``, beat ``beats`` is beat 0 again."""

    key: str
    scale: str
    bpm: float
    beats: float
    loop: bool
    sections: tuple[Section, ...]
    chords: tuple[Chord, ...]
    notes: tuple[Note, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that have notes."""
        used = {note.part for note in self.notes}
        return tuple(part for part in PARTS if part in used)
