"""What is rendered: the pictures, words and sounds of a film, laid out in its own frames.

Plain data, resolved to files and frames: ``timeline`` makes it from OTIO, ``render`` makes a film
from it. Not here: what a project may say (``project``), how anything is drawn or encoded.

Times: ``frames`` count the film's own frames at ``Cut.rate``; ``start`` of a source is in seconds
from the first picture (or sample) that a player shows of it. Shots follow each other; a
transition lets two of them overlap, so a film has the sum of its shots' frames less those of its
transitions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

Fit = Literal["crop", "pad", "blur_pad", "ken_burns"]
TransitionKind = Literal["dissolve", "fade", "wipe"]


@dataclass(frozen=True)
class Transition:
    """How a shot comes in over the one before; ``fade`` goes through black."""

    kind: TransitionKind
    frames: int


@dataclass(frozen=True)
class Framing:
    """Where the crop's centre is, in shares of the source's width and height (0 to 1)."""

    at: Fraction
    """Seconds from the start of the shot."""
    x: float
    y: float
    zoom: float = 1.0
    """1 is the largest crop that fits; 2 shows half of it in each direction."""


@dataclass(frozen=True)
class Shot:
    """One stretch of one source."""

    name: str
    path: Path | None
    """None: a plain colour."""
    start: Fraction
    frames: int
    """On the screen, transitions on both sides included."""
    still: bool = False
    colour: str = "#000000"
    speed: Fraction = Fraction(1)
    """2 shows twice as much of the source in the same time."""
    fit: Fit = "pad"
    framing: tuple[Framing, ...] = ()
    """Key points of a moving crop, in order; between them it moves linearly. None: the middle."""
    transition: Transition | None = None
    """Into this shot."""
    sound: bool = True
    """Whether the source's own sound is heard, where it has one."""
    gain_db: float = 0.0
    effects: tuple[tuple[str, dict[str, object]], ...] = ()
    """Registered Python effects, by name, with their arguments."""
    look: str | None = None
    """A libavfilter chain from ``filters`` of a known look; never text of a stranger."""


@dataclass(frozen=True)
class Style:
    """How words look; sizes in shares of the picture's height."""

    font: str = "DejaVu Sans"
    size: float = 0.05
    colour: str = "#ffffff"
    outline: str = "#000000"
    outline_width: float = 0.004
    box: str | None = None
    """Colour of a box behind the words, ``#rrggbb`` or ``#rrggbbaa``."""
    bold: bool = False
    highlight: str = "#ffd54a"
    """Colour of a word while it is sung or said."""


Anchor = Literal[
    "top-left", "top", "top-right", "left", "centre", "right",
    "bottom-left", "bottom", "bottom-right",
]  # fmt: skip


@dataclass(frozen=True)
class Overlay:
    """A text or a picture over the film for some frames."""

    kind: Literal["text", "image", "lower_third"]
    start: int
    """First frame of the film that shows it."""
    frames: int
    text: str = ""
    subtitle: str = ""
    """Second line of a lower third."""
    path: Path | None = None
    anchor: Anchor = "centre"
    margin: float = 0.05
    """Distance to the edges, in shares of the picture's height."""
    size: float | None = None
    """Height of an image in shares of the picture's height; None: its own."""
    opacity: float = 1.0
    fade_frames: int = 0
    """Frames in which it comes, and goes."""
    style: Style = field(default_factory=Style)


@dataclass(frozen=True)
class Word:
    """A word of a caption, in seconds of the film."""

    start: Fraction
    end: Fraction
    text: str


@dataclass(frozen=True)
class Caption:
    """Words that are on the screen together, in seconds of the film."""

    start: Fraction
    end: Fraction
    lines: tuple[str, ...]
    words: tuple[Word, ...] = ()
    """With times, for word-by-word highlight; together they are the text of the lines."""


@dataclass(frozen=True)
class Captions:
    """The captions of a film and how they are shown."""

    cues: tuple[Caption, ...]
    mode: Literal["burned", "stream"] = "burned"
    karaoke: bool = False
    """Whether each word is highlighted while it is said."""
    language: str = "und"
    anchor: Anchor = "bottom"
    margin: float = 0.08
    style: Style = field(default_factory=Style)


@dataclass(frozen=True)
class Lane:
    """A sound under the film: music, a voice, an effect."""

    path: Path
    role: Literal["music", "voice", "effect"]
    at: Fraction = Fraction(0)
    """Seconds of the film at which it begins."""
    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    """Seconds it is heard; None: to its end, at most to the film's."""
    gain_db: float = 0.0
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    duck_db: float = 0.0
    """How much softer it is while someone speaks (voices and the shots' own sound)."""
    loop: bool = False


@dataclass(frozen=True)
class Wave:
    """A waveform of the film's sound, drawn into the picture (audiograms)."""

    top: float
    height: float
    """In shares of the picture's height."""
    colour: str = "#ffffff"


@dataclass(frozen=True)
class Cut:
    """A film before it is rendered."""

    title: str
    rate: Fraction
    """Frames a second, such as 30000/1001."""
    width: int
    height: int
    shots: tuple[Shot, ...]
    overlays: tuple[Overlay, ...] = ()
    captions: Captions | None = None
    lanes: tuple[Lane, ...] = ()
    wave: Wave | None = None
    loudness_lufs: float | None = -16.0
    """Integrated loudness of the film's sound; None: left as it is."""
    quality: Literal["low", "standard", "high"] = "standard"

    @property
    def frames(self) -> int:
        """Length of the film."""
        overlaps = sum(s.transition.frames for s in self.shots if s.transition)
        return sum(shot.frames for shot in self.shots) - overlaps

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return self.frames / self.rate

    def starts(self) -> list[int]:
        """Return the first frame of each shot in the film, its transition included."""
        found: list[int] = []
        at = 0
        for shot in self.shots:
            at -= shot.transition.frames if shot.transition else 0
            found.append(at)
            at += shot.frames
        return found
