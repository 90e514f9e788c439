"""The instruments: one note of a part as stereo sound.

Not here: where it goes and how loud parts are (``render``), tables of tones (``tables``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from av_pipelines.tracks.composition.score import HAT, KICK, Note, Score
from av_pipelines.tracks.plan import Plan
from av_pipelines.tracks.synthesis import drums
from av_pipelines.tracks.synthesis.arrays import Arrays, Samples
from av_pipelines.tracks.synthesis.shapes import (
    RATE,
    control_times,
    curve,
    decay,
    edges,
    frequency,
    phase,
    place,
)
from av_pipelines.tracks.synthesis.strings import pluck
from av_pipelines.tracks.synthesis.tables import (
    SIZE,
    Tables,
    random_phases,
    read_wide,
    rush,
    tone,
    wind,
)

_BREATH_BEATS = 8
"""About how long one breath of a pad takes."""
_BEND = 2 ** (4 / 1200) - 1  # detuning of the two channels of the glass pad: 4 cents
_FLUTE = np.array([1.0, 0.32, 0.14, 0.05])

Instrument = Callable[[Note, int, float], Samples]
"""(note, samples it is held, gain) → its sound until nothing is left of it, of shape (2, n)."""


class Voices:
    """All instruments of one piece; tables are made when first needed, and kept.

    Args:
        on: where to compute.
        plan: of the piece.
        score: of the piece.
    """

    def __init__(self, on: Arrays, plan: Plan, score: Score) -> None:
        self._on, self._plan = on, plan
        self._beat_s = 60 / score.bpm
        self._beats = score.beats
        self._breaths = max(1, round(score.beats / _BREATH_BEATS))
        self._kept: dict[tuple[object, ...], Samples] = {}
        self._phases = random_phases(plan.rng(100))
        self._instruments: dict[str, Instrument] = {
            "pads": self._glass if plan.pad == "glass" else self._pad,
            "bass": self._bass,
            "melody": {"pluck": self._pluck, "bell": self._bell, "soft": self._flute}[plan.lead],
            "arpeggio": self._pluck,
            "percussion": self._percussion,
            "texture": self._texture,
        }

    def sound(self, note: Note, gain: float) -> Samples:
        """Return a note from its beginning until nothing is left of it, of shape (2, samples)."""
        held = max(1, round(note.length * self._beat_s * RATE))
        return self._instruments[note.part](note, held, gain)

    def _once(self, key: tuple[object, ...], make: Callable[[], Samples]) -> Samples:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    # ------------------------------------------------------------ held sounds

    def _breath(self, note: Note, count: int) -> NDArray[np.float64]:
        """Return the breathing of a voice, 0 to 1; a whole number of breaths fits in the piece."""
        at = (note.start + control_times(count) / self._beat_s) / self._beats
        turns = self._breaths * at + (note.pitch * 0.618) % 1.0  # one voice after the other
        return 0.5 - 0.5 * np.cos(2 * np.pi * turns)

    def _overlap(self, held: int) -> int:
        """How long a held note takes to come, and to go after its end."""
        return min(held, round((1.7 - self._plan.intensity) * RATE))

    def _pad(self, note: Note, held: int, gain: float) -> Samples:
        plan, hz, overlap = self._plan, frequency(note.pitch), self._overlap(held)
        cutoff_hz = 350 + 1500 * plan.brightness**1.5
        tables = self._once(
            ("pad", note.pitch), lambda: tone(self._on, hz, plan.pad, cutoff_hz, self._phases)
        )
        count = held + overlap
        breath = self._breath(note, count)
        level = gain * edges(count, overlap, overlap) * (0.7 + 0.3 * breath)
        openness = 0.35 + (0.25 + 0.75 * plan.brightness) * breath
        return self._wide(note, tables, level, level * openness, count)

    def _texture(self, note: Note, held: int, gain: float) -> Samples:
        hz, overlap = frequency(note.pitch), min(held // 2, 2 * RATE)
        cutoff_hz = 500 + 1000 * self._plan.brightness
        tables = self._once(
            ("wind", note.pitch), lambda: wind(self._on, hz, cutoff_hz, self._phases)
        )
        count = held + overlap
        breath = self._breath(note, count)
        level = gain * edges(count, overlap, overlap) * (0.6 + 0.4 * breath)
        return self._wide(note, tables, level, level * breath, count)

    def _swell(self, note: Note, held: int, gain: float) -> Samples:
        """Noise that grows and brightens until its end, and is cut softly."""
        tables = self._once(("rush",), lambda: rush(self._on, 1500, self._phases))
        fall = RATE // 4
        count = held + fall
        rising = np.clip(control_times(count) / (held / RATE), 0, 1)
        level = 0.4 * gain * edges(count, 0, fall) ** 3 * rising**2.5
        return self._wide(note, tables, level * (1 - 0.6 * rising), level * rising, count)

    def _wide(
        self,
        note: Note,
        tables: Tables,
        body: NDArray[np.float64],
        air: NDArray[np.float64],
        count: int,
    ) -> Samples:
        """Play two tables as one sound, with a level for each."""
        on = self._on
        at = (note.pitch * 40_503 + round(note.start % self._beats * 7_919)) % SIZE
        sound = read_wide(on, tables[0], at, count)
        sound *= curve(on, body, count)
        bright = read_wide(on, tables[1], at, count)
        bright *= curve(on, air, count)
        sound += bright
        return sound

    def _glass(self, note: Note, held: int, gain: float) -> Samples:
        """A pad by frequency modulation (Chowning 1973), an octave and a fifth above its carrier.

        Its side bands stay far below half the sample rate: f + 3 f (index + 2), f under 1.2 kHz.
        """
        on, hz, overlap = self._on, frequency(note.pitch), self._overlap(held)
        count = held + overlap
        breath = self._breath(note, count)
        depth = (0.25 + 1.1 * self._plan.brightness) / (2 * np.pi)  # index 0.25 to 1.35
        bend = on.sin(phase(on, 3 * hz, count))
        bend *= curve(on, depth * (0.25 + 0.75 * breath), count)
        sound = on.zeros(2, count)
        for channel, detuned in enumerate((hz * (1 - _BEND / 2), hz * (1 + _BEND / 2))):
            turns = phase(on, detuned, count)
            turns += bend
            sound[channel] = on.sin(turns)
        level = 1.2 * gain * edges(count, overlap, overlap) * (0.7 + 0.3 * breath)
        sound *= curve(on, level, count)
        return sound

    def _harmonics(self, turns: Samples, hz: float, levels: NDArray[np.float64]) -> Samples:
        """A band-limited wave: sines of what lies below half the sample rate, and no more."""
        wave = self._on.zeros(turns.shape[-1])
        for number, level in enumerate(levels.tolist(), 1):
            if number * hz < 0.45 * RATE and level > 0.001:
                sine = self._on.sin(turns * float(number))
                sine *= level
                wave += sine
        return wave

    def _bass(self, note: Note, held: int, gain: float) -> Samples:
        on, hz = self._on, frequency(note.pitch)
        slow = self._plan.drone or self._plan.intensity <= 0.55
        rise_s, fall_s = (0.35, 0.9) if slow else (0.03, 0.25)
        rise, fall = round(rise_s * RATE), round(fall_s * RATE)
        count = held + fall
        number = np.arange(1, 10)
        corner_hz = 250 + 500 * self._plan.brightness
        levels = number**-1.1 / (1 + (number * hz / corner_hz) ** 2)
        levels /= np.sqrt(np.sum(levels**2) / 2)
        wave = self._harmonics(phase(on, hz, count), hz, levels)
        level = edges(count, rise, fall) * (1.0 if slow else 1.6 * decay(count, 1.6, 0.4))
        wave *= curve(on, level, count)
        return place(on, wave, 0.0, gain)

    def _flute(self, note: Note, held: int, gain: float) -> Samples:
        """Few harmonics, a vibrato that comes late."""
        on, hz = self._on, frequency(note.pitch)
        fall = round(0.4 * RATE)
        count = held + fall
        t = control_times(count)
        depth = hz * (2 ** (7 / 1200) - 1) / 4.8 / (2 * np.pi) * np.clip(t / 0.9 - 0.3, 0, 1)
        turns = phase(on, hz, count)
        turns += curve(on, depth * np.sin(2 * np.pi * 4.8 * t), count)
        wave = self._harmonics(turns, hz, _FLUTE)
        wave *= curve(on, edges(count, round(0.12 * RATE), fall), count)
        return place(on, wave, self._pan(note), 0.55 * gain)

    # ------------------------------------------------------------ struck sounds

    def _bell(self, note: Note, held: int, gain: float) -> Samples:
        """A bell by frequency modulation, its brightness gone before its tone."""
        on, hz, ring_s = self._on, frequency(note.pitch), 3.2
        count = round(ring_s * RATE)
        bend = on.sin(phase(on, 4 * hz, count))
        index = (0.4 + 1.3 * note.velocity) * decay(count, 1.1)
        bend *= curve(on, index / (2 * np.pi), count)
        turns = phase(on, hz, count)
        turns += bend
        wave = on.sin(turns)
        wave *= curve(on, edges(count, 256, RATE // 4) * decay(count, ring_s), count)
        return place(on, wave, self._pan(note), gain)

    def _pluck(self, note: Note, held: int, gain: float) -> Samples:
        """A string, harder when louder, that rings on after its note."""
        on, hz, hard = self._on, frequency(note.pitch), note.velocity > 0.65
        decay_s = float(np.clip(2.2 * (220 / hz) ** 0.4, 1.0, 2.7))
        brightness = float(np.clip(0.7 * self._plan.brightness + 0.2 * hard, 0, 1))

        def string() -> Samples:
            note = pluck(hz, brightness, decay_s)
            note *= curve(Arrays(), edges(note.size, 0, note.size // 4), note.size)
            return on.put(note)

        return place(
            on, self._once(("string", note.pitch, hard), string), self._pan(note), 2 * gain
        )

    def _pan(self, note: Note) -> float:
        """Arpeggios go from side to side, melodies stay near the middle."""
        width = 0.7 if note.part == "arpeggio" else 0.25
        return width * (((note.pitch * 5) % 7) / 3 - 1)

    def _percussion(self, note: Note, held: int, gain: float) -> Samples:
        on, plan = self._on, self._plan
        gain *= 0.7 + 0.6 * plan.intensity
        if note.pitch == KICK:
            kick = self._once(("kick",), lambda: on.put(drums.kick(plan.intensity)))
            return place(on, kick, 0.0, gain)
        if note.pitch == HAT:
            which = round(note.start % self._beats * 2) % 3  # no two strokes in a row alike
            hat = self._once(
                ("hat", which), lambda: on.put(drums.hat(plan.brightness, plan.rng(110 + which)))
            )
            return hat * gain
        return self._swell(note, held, gain)
