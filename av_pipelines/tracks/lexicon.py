"""What the words of a prompt mean to the procedural engine.

Here: reading a prompt such as "slow dark drone, 60 bpm, D minor, no drums". A small table of words,
documented by itself: what is not in it is left to the seed, and told as not understood. Not here:
what follows from it all (``plan``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from av_pipelines.tracks.composition.scales import SCALES

_ENHARMONIC = {"Db": "C#", "D#": "Eb", "Gb": "F#", "G#": "Ab", "A#": "Bb", "Cb": "B", "Fb": "E",
               "E#": "F", "B#": "C"}  # fmt: skip
_SIGNS = {"": "", "#": "#", "♯": "#", "sharp": "#", "b": "b", "♭": "b", "flat": "b"}
_MODES = {name: name for name in SCALES} | {
    "minor": "aeolian",
    "ionian": "major",
    "min": "aeolian",
    "maj": "major",
    "moll": "aeolian",
    "dur": "major",
}

# A word and what it asks for. bpm: a range, drawn from by the seed; intensity: 0 to 1, the mean of
# all words that name one; register: octaves up or down; the others are choices by name.
WORDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # tempo
        "slow": {"bpm": (52, 72)},
        "slowly": {"bpm": (52, 72)},
        "downtempo": {"bpm": (70, 90)},
        "midtempo": {"bpm": (88, 108)},
        "moderate": {"bpm": (84, 108)},
        "fast": {"bpm": (120, 144)},
        "uptempo": {"bpm": (116, 136)},
        # how driving
        "still": {"intensity": 0.05, "bpm": (48, 66)},
        "quiet": {"intensity": 0.15},
        "soft": {"intensity": 0.25},
        "gentle": {"intensity": 0.25},
        "minimal": {"intensity": 0.2},
        "sparse": {"intensity": 0.15},
        "steady": {"intensity": 0.55},
        "rhythmic": {"intensity": 0.7},
        "energetic": {"intensity": 0.85, "bpm": (112, 136)},
        "driving": {"intensity": 0.9, "bpm": (112, 132)},
        "intense": {"intensity": 0.9},
        "epic": {"intensity": 0.85, "pad": "strings"},
        "techno": {"intensity": 0.85, "bpm": (124, 136), "percussion": True},
        "house": {"intensity": 0.7, "bpm": (118, 126), "percussion": True},
        "ballad": {"intensity": 0.3, "bpm": (60, 76)},
        "lullaby": {"intensity": 0.1, "bpm": (56, 72), "percussion": False},
        # mood
        "calm": {"mood": "calm"},
        "peaceful": {"mood": "calm"},
        "relaxing": {"mood": "calm", "intensity": 0.25},
        "meditation": {"mood": "calm", "intensity": 0.15, "bpm": (50, 64)},
        "sleep": {"mood": "calm", "intensity": 0.1, "bpm": (48, 60)},
        "serene": {"mood": "calm"},
        "dark": {"mood": "dark"},
        "sad": {"mood": "dark"},
        "melancholic": {"mood": "dark"},
        "gloomy": {"mood": "dark"},
        "bright": {"mood": "bright"},
        "happy": {"mood": "bright", "scale": "major"},
        "hopeful": {"mood": "bright", "scale": "major"},
        "sunny": {"mood": "bright"},
        "uplifting": {"mood": "bright", "scale": "major"},
        "warm": {"mood": "warm"},
        "cosy": {"mood": "warm"},
        "nostalgic": {"mood": "warm"},
        "tense": {"mood": "tense"},
        "suspense": {"mood": "tense"},
        "scary": {"mood": "tense", "scale": "phrygian"},
        "mysterious": {"mood": "tense", "scale": "phrygian"},
        "dreamy": {"mood": "dreamy"},
        "ethereal": {"mood": "dreamy", "register": 1},
        "space": {"mood": "dreamy"},
        "floating": {"mood": "dreamy"},
        # register
        "low": {"register": -1},
        "deep": {"register": -1},
        "high": {"register": 1},
        "airy": {"register": 1, "texture": True},
        # what plays
        "drone": {"drone": True, "melody": False, "percussion": False, "intensity": 0.1},
        "drums": {"percussion": True},
        "drum": {"percussion": True},
        "kick": {"percussion": True},
        "drumless": {"percussion": False},
        "beat": {"percussion": True},
        "beats": {"percussion": True},
        "percussion": {"percussion": True},
        "melody": {"melody": True},
        "melodic": {"melody": True},
        "arpeggio": {"arpeggio": True},
        "arpeggios": {"arpeggio": True},
        "bass": {"bass": True},
        "wind": {"texture": True},
        "noise": {"texture": True},
        "rain": {"texture": True},
        "ocean": {"texture": True},
        # sounds
        "plucked": {"lead": "pluck"},
        "guitar": {"lead": "pluck"},
        "harp": {"lead": "pluck", "arpeggio": True},
        "bells": {"lead": "bell"},
        "bell": {"lead": "bell"},
        "piano": {"lead": "bell"},
        "glockenspiel": {"lead": "bell", "register": 1},
        "flute": {"lead": "soft"},
        "violin": {"lead": "soft", "pad": "strings"},
        "strings": {"pad": "strings"},
        "orchestral": {"pad": "strings"},
        "choir": {"pad": "choir"},
        "voices": {"pad": "choir"},
        "glass": {"pad": "glass"},
        "synth": {"pad": "glass"},
    }
)
_SWITCHES = {"percussion", "melody", "arpeggio", "bass", "texture"}  # what can be refused
_NOT = {"no", "without", "not"}
_FILL = frozenset(
    [
        "a",
        "an",
        "and",
        "the",
        "of",
        "in",
        "with",
        "for",
        "at",
        "to",
        "on",
        "very",
        "some",
        "music",
        "track",
        "ambient",
        "loop",
        "pad",
        "pads",
        "key",
    ]
)

_BPM = re.compile(r"(\d{2,3}(?:\.\d+)?)\s*bpm\b|\bbpm\s*[:=]?\s*(\d{2,3}(?:\.\d+)?)", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?P<in>in\s+|key\s+of\s+)?(?P<root>[A-Ga-g])(?P<sign>#|♯|♭|b|[\s-]?sharp|[\s-]?flat)?"
    rf"(?:[\s-]*(?P<mode>{'|'.join(_MODES)}))?(?![\w#♯♭])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reading:
    """What a prompt was understood as; what it left open is not in ``asked``."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    """key, scale, bpm (a number or a range), intensity, mood, register, drone, pad, lead, and
    True or False for parts."""
    understood: Mapping[str, str] = field(default_factory=dict)
    """Word → meaning, for a person."""
    unknown: tuple[str, ...] = ()
    """Words that are not in the table."""


def read(prompt: str) -> Reading:
    """Read a prompt; of two words that contradict each other, the later counts.

    A tempo in figures and a key with its mode count over what a word suggests.
    """
    exact: dict[str, Any] = {}
    understood: dict[str, str] = {}
    text = _take_key(_take_bpm(prompt, exact, understood), exact, understood)
    loose: dict[str, Any] = {}
    strengths: list[float] = []
    unknown: list[str] = []
    refused = False
    for word in re.findall(r"[^\W_]+", text.lower()):
        if word in _NOT:
            refused = True
            continue
        meaning = WORDS.get(word) or ({"scale": _MODES[word]} if word in _MODES else None)
        if meaning is None:
            unknown += [word] if word not in _FILL else []
            continue
        if refused:
            meaning = {name: False for name in meaning if name in _SWITCHES}
        if meaning:
            understood[f"no {word}" if refused else word] = _told(meaning)
        refused = False
        strengths += [meaning["intensity"]] if "intensity" in meaning else []
        loose |= meaning
    if strengths:
        loose["intensity"] = sum(strengths) / len(strengths)
    return Reading(loose | exact, understood, tuple(dict.fromkeys(unknown)))


def _told(meaning: Mapping[str, Any]) -> str:
    """Put a meaning in words."""

    def value(it: object) -> str:
        if isinstance(it, tuple):
            return f"{it[0]} to {it[1]}"
        return ("yes" if it else "no") if isinstance(it, bool) else str(it)

    return ", ".join(f"{name} {value(it)}" for name, it in meaning.items())


def _take_bpm(text: str, exact: dict[str, Any], understood: dict[str, str]) -> str:
    found = _BPM.search(text)
    if found is None or not 40 <= (bpm := float(found[1] or found[2])) <= 200:
        return text
    exact["bpm"] = bpm
    understood[found[0]] = f"bpm {bpm:g}"
    return text[: found.start()] + " " + text[found.end() :]


def _take_key(text: str, exact: dict[str, Any], understood: dict[str, str]) -> str:
    """Find a key: a letter with its mode, or a capital with a sign or with "in" before it."""
    for found in _KEY.finditer(text):
        root, mode = found["root"], found["mode"]
        sign = (found["sign"] or "").strip(" -").lower()
        if not (mode or (root.isupper() and (sign or found["in"]))):
            continue
        name = root.upper() + _SIGNS[sign]
        exact["key"] = name = _ENHARMONIC.get(name, name)
        if mode:
            exact["scale"] = _MODES[mode.lower()]
        understood[found[0].strip()] = _told({k: exact[k] for k in ("key", "scale") if k in exact})
        return text[: found.start()] + " " + text[found.end() :]
    return text
