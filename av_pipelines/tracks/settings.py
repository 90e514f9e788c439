"""Settings of the ``track`` asset: what a request for generated music may say, and what is allowed.

Not here: what the words of a prompt mean (``lexicon``), who makes the sound (``procedural``,
``musicgen``), which partition a request is (``request``).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from av_pipelines.settings import Settings
from resources.accelerator import Setting

ENGINES = ("procedural", "musicgen")

Key = Literal["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
Scale = Literal["aeolian", "dorian", "phrygian", "major", "lydian", "mixolydian", "pentatonic"]
Mood = Literal["calm", "dark", "bright", "warm", "tense", "dreamy"]


class TrackSettings(Settings):
    """What is asked for. What is left open is read from the prompt, and else drawn by the seed."""

    neutral: ClassVar[frozenset[str]] = frozenset({"priority", "takes", "device", "threads"})

    prompt: str = Field("", max_length=2_000)
    """What it should be, in words."""

    duration_s: float = Field(30.0, ge=5.0, le=120.0)
    """Length in seconds."""

    seed: int | None = Field(None, ge=0, lt=2**32)
    """The same seed gives the same track; nothing: drawn by chance, and told."""

    takes: int = Field(1, ge=1, le=20)
    """How many versions to make, each with a seed of its own."""

    priority: Literal["normal", "high"] = "normal"
    """High goes before all that waits."""

    engine: Literal["auto", "procedural", "musicgen"] = "auto"
    """Who makes it: procedural composes and synthesises, here and now; musicgen is a model that
    must be had. Auto takes musicgen where its model is, else procedural."""

    key: Key | None = None
    """Tonic; nothing: from the prompt, else drawn."""

    scale: Scale | None = None
    """Mode; nothing: from the prompt, else drawn."""

    bpm: float | None = Field(None, ge=40.0, le=200.0)
    """Beats a minute; nothing: from the prompt, else drawn."""

    intensity: float | None = Field(None, ge=0.0, le=1.0)
    """From still (0) to driving (1); nothing: from the prompt, else drawn."""

    mood: Mood | None = None
    """Colour of harmony and sound; nothing: from the prompt, else drawn."""

    loop: bool = False
    """Whether its end runs into its beginning without a seam, instead of a real ending."""

    effects: bool = True
    """Whether the procedural engine's mix gets reverberation and echo."""

    loudness_lufs: float = Field(-16.0, ge=-40.0, le=-8.0)
    """Integrated loudness of the track, in LUFS."""

    size: Literal["small", "medium", "large"] = "small"
    """Of MusicGen's model."""

    precision: Literal["auto", "fp32", "fp16", "i8"] = "auto"
    """Of MusicGen's weights; auto takes what suits the device and is there."""

    guidance: float = Field(3.0, ge=1.0, le=10.0)
    """How closely MusicGen follows the prompt; 1 switches guidance off and halves the work."""

    temperature: float = Field(1.0, ge=0.0, le=2.0)
    """Of MusicGen's choices; 0 always takes the likeliest."""

    top_k: int = Field(250, ge=0, le=2048)
    """MusicGen chooses among so many codes; 0: all."""

    top_p: float = Field(0.0, ge=0.0, le=1.0)
    """MusicGen chooses among the likeliest codes that together reach this share; 0: all."""

    device: Setting = "auto"
    """Where it is made; not there: an error."""

    threads: int = Field(0, ge=0)
    """Threads of the processor; 0: all that this process may use."""
