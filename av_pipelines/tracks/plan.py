"""Everything a piece is determined by, before its first note: settings, else prompt, else seed.

Here: what each mood stands for, and the draws. Not here: what words mean (``lexicon``), the notes
(``composition``), the sound (``synthesis``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from av_pipelines.tracks.composition.scales import ROOTS, SCALES
from av_pipelines.tracks.lexicon import Reading, read
from av_pipelines.tracks.settings import TrackSettings


@dataclass(frozen=True)
class Mood:
    """What a mood prefers; where there are several, the seed draws."""

    scales: tuple[str, ...]
    pads: tuple[str, ...]
    leads: tuple[str, ...]
    bpm: tuple[int, int]
    intensity: tuple[float, float]
    colours: tuple[int | None, ...]
    """Notes added to triads, in degrees above the root (see ``chord_degrees``)."""
    register: float = 0.0
    """Octaves up or down."""
    brightness: float = 0.5
    """Of the sound, 0 to 1."""
    texture: float = 0.5
    """How likely there is wind or hiss behind it."""


MOODS: Mapping[str, Mood] = {
    "calm": Mood(("major", "pentatonic", "lydian"), ("warm", "choir"), ("soft", "pluck"),
                 (60, 84), (0.2, 0.5), (None, 8, 6), 0.0, 0.4),
    "dark": Mood(("aeolian", "phrygian", "dorian"), ("warm", "strings"), ("bell", "soft"),
                 (56, 88), (0.25, 0.6), (None, None, 8), -0.5, 0.2, 0.8),
    "bright": Mood(("major", "lydian", "mixolydian"), ("glass", "strings"), ("pluck", "bell"),
                   (90, 124), (0.45, 0.8), (None, 8), 0.25, 0.8, 0.3),
    "warm": Mood(("mixolydian", "major", "dorian"), ("warm", "strings"), ("pluck", "soft"),
                 (70, 100), (0.3, 0.65), (6, 8, None), 0.0, 0.45, 0.4),
    "tense": Mood(("phrygian", "aeolian", "dorian"), ("strings", "glass"), ("bell", "pluck"),
                  (84, 126), (0.45, 0.85), (None, 8), -0.25, 0.5, 0.8),
    "dreamy": Mood(("lydian", "dorian", "pentatonic"), ("choir", "glass"), ("bell", "soft"),
                   (60, 92), (0.25, 0.55), (6, 8, 8), 0.25, 0.6, 0.7),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is fixed about a piece; the seed still draws the notes."""

    seed: int
    duration_s: float
    loop: bool
    key: str
    scale: str
    bpm: float
    """As it will be played: of a loop, the nearest at which a whole number of beats fits."""
    mood: str
    intensity: float
    drone: bool
    pad: str
    lead: str
    colours: tuple[int | None, ...]
    register: float
    brightness: float
    parts: frozenset[str]
    reading: Reading

    @property
    def beats(self) -> float:
        """Length in beats."""
        return self.duration_s * self.bpm / 60

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the seed's own generator for a purpose: one draw more does not move the others."""
        return np.random.Generator(np.random.PCG64([self.seed, purpose]))


def make_plan(settings: TrackSettings) -> Plan:
    """Fix what the settings say, else what the prompt says, else what the seed draws.

    Everything is drawn, needed or not, so that fixing one thing leaves the others as they were.

    Raises:
        ValueError: the seed is not given.
    """
    if settings.seed is None:
        raise ValueError("seed: it must be drawn before a piece is planned")
    reading = read(settings.prompt)
    given = {n: v for n in _ASKED if (v := getattr(settings, n)) is not None}
    asked: dict[str, Any] = {**reading.asked, **given}
    rng = np.random.Generator(np.random.PCG64([settings.seed, 0]))

    def one_of(name: str, choices: tuple[Any, ...]) -> Any:
        drawn = choices[int(rng.integers(len(choices)))]
        return asked.get(name, drawn)

    name = one_of("mood", _moods(asked.get("scale")))
    mood = MOODS[name]
    key, scale = one_of("key", tuple(ROOTS)), one_of("scale", mood.scales)
    intensity = asked.get("intensity", round(float(rng.uniform(*mood.intensity)), 2))
    low, high = bpm if isinstance(bpm := asked.get("bpm", mood.bpm), tuple) else (bpm, bpm)
    drawn = round(float(rng.uniform(low, high)))
    tempo = float(drawn if low < high else low)
    if settings.loop:
        tempo = max(1, round(settings.duration_s * tempo / 60)) * 60 / settings.duration_s
    return Plan(
        seed=settings.seed,
        duration_s=settings.duration_s,
        loop=settings.loop,
        key=key,
        scale=scale,
        bpm=tempo,
        mood=name,
        intensity=intensity,
        drone=bool(asked.get("drone")),
        pad=one_of("pad", mood.pads),
        lead=one_of("lead", mood.leads),
        colours=mood.colours,
        register=float(np.clip(mood.register + asked.get("register", 0), -1, 1)),
        brightness=float(np.clip(mood.brightness + 0.3 * (intensity - 0.5), 0.05, 1)),
        parts=_parts(asked, intensity, mood, rng),
        reading=reading,
    )


_ASKED = ("key", "scale", "bpm", "intensity", "mood")


def _moods(scale: str | None) -> tuple[str, ...]:
    """The moods a scale goes with."""
    assert scale is None or scale in SCALES
    return tuple(n for n, mood in MOODS.items() if scale is None or scale in mood.scales)


def _parts(
    asked: Mapping[str, Any], intensity: float, mood: Mood, rng: np.random.Generator
) -> frozenset[str]:
    """Who plays: pads always; the others as asked, else by intensity and by chance."""
    chance = rng.uniform(size=5)
    by_chance = {
        "bass": intensity > 0.1 or bool(asked.get("drone")),
        "melody": "lead" in asked or chance[0] < 0.5 + intensity,
        "arpeggio": not asked.get("drone") and chance[1] < 0.15 + intensity,
        "percussion": chance[2] < 2 * intensity,
        "texture": chance[3] < mood.texture,
    }
    playing = {part for part, plays in by_chance.items() if asked.get(part, plays)}
    if not playing & {"arpeggio", "percussion"} and intensity >= 0.2 and not asked.get("drone"):
        playing |= {"arpeggio"} if asked.get("arpeggio", True) else set()  # something keeps time
    return frozenset(playing | {"pads"})
