"""The engine ``procedural``: a prompt becomes a plan, a score, sound, files.

Here: the order of things and what is told of them. Not here: any of the steps; which partition a
request is, and marking (``assets``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from av_pipelines.media.audio import AudioWriter
from av_pipelines.tracks.composition.compose import compose
from av_pipelines.tracks.composition.score import Score
from av_pipelines.tracks.effects import wet
from av_pipelines.tracks.level import level
from av_pipelines.tracks.midi import write_midi
from av_pipelines.tracks.picture import draw_score, draw_spectrogram, draw_waveform
from av_pipelines.tracks.plan import Plan, make_plan
from av_pipelines.tracks.produced import Produced
from av_pipelines.tracks.settings import TrackSettings
from av_pipelines.tracks.synthesis.arrays import Arrays, arrays_for
from av_pipelines.tracks.synthesis.render import ending, render
from av_pipelines.tracks.synthesis.shapes import RATE
from resources.accelerator import Device

TRACK, SCORE = "track.flac", "score.mid"
_FULL = 1.0 - 2.0**-23  # what 24 bits can hold
_NOTES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


@dataclass(frozen=True)
class Sound:
    """A piece as sound, float32 of shape (2, samples) at 48 kHz."""

    mix: NDArray[np.float32]
    """With effects, before its level is set."""
    parts: Mapping[str, NDArray[np.float32]]
    """Without effects; their sum is the dry mix."""


def generate(
    settings: TrackSettings,
    out: Path,
    *,
    device: Device,
    progress: Callable[[float], None] = lambda share: None,
) -> Produced:
    """Make a track, its stems, its score and its pictures in a folder.

    Args:
        settings: with a seed.
        out: the folder; it exists.
        device: where to compute; the sound is the same to -80 dB on all, and the same bits on one.
        progress: is told the share done, 0 to 1.

    Raises:
        ValueError: the settings have no seed.
    """
    begun = time.perf_counter()
    plan = make_plan(settings)
    score = compose(plan)
    sound = synthesise(
        score, plan, arrays_for(device), settings.effects, lambda share: progress(0.6 * share)
    )
    levelled = level(sound.mix, RATE, settings.loudness_lufs, loop=plan.loop)
    progress(0.7)
    _write(out / TRACK, levelled.mix)
    highest = max(float(np.abs(part).max()) for part in sound.parts.values())
    stem_gain = min(levelled.gain, _FULL / highest)
    for number, (name, part) in enumerate(sound.parts.items(), 1):
        _write(out / f"{name}.flac", part * np.float32(stem_gain))
        progress(0.7 + 0.2 * number / len(sound.parts))
    write_midi(out / SCORE, score, plan)
    draw_waveform(out / "waveform.png", levelled.mix, RATE)
    draw_spectrogram(out / "spectrogram.png", levelled.mix, RATE)
    draw_score(out / "score.png", score)
    progress(1.0)
    heard = levelled.loudness
    facts = {
        "duration_s": levelled.mix.shape[1] / RATE,
        "sample_rate_hz": RATE,
        "channels": 2,
        "integrated_lufs": round(heard.integrated_lufs, 2),
        "true_peak_dbtp": round(heard.true_peak_dbtp, 2),
        "lra_lu": round(heard.lra_lu, 1),
        "limiter_db": round(levelled.reduction_db, 2),
        "key": plan.key,
        "scale": plan.scale,
        "bpm": round(plan.bpm, 3),
        "mood": plan.mood,
        "intensity": round(plan.intensity, 3),
        "loop": plan.loop,
        "parts": list(sound.parts),
        "stem_gain_db": round(20 * float(np.log10(stem_gain / levelled.gain)), 2),
        "pad": plan.pad,
        "lead": plan.lead,
        "notes": len(score.notes),
        "chords": len(score.chords),
        "sections": [section.name for section in score.sections],
        "understood": dict(plan.reading.understood),
        "not_understood": list(plan.reading.unknown),
        "realtime_factor": round(plan.duration_s / (time.perf_counter() - begun), 2),
    }
    pictures = {
        "waveform": "waveform.png",
        "spectrogram": "spectrogram.png",
        "score": "score.png",
    }
    return Produced(facts, pictures, {"sections": _sections(score)})


def synthesise(
    score: Score,
    plan: Plan,
    on: Arrays,
    effects: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> Sound:
    """Render a score, with effects or without; nothing is written."""
    parts = render(score, plan, on, lambda share: progress(0.8 * share))
    first, *others = parts.values()
    mix = first * 1.0
    for part in others:
        mix += part
    if effects:
        added = wet(on, parts, plan)
        if not plan.loop:
            added *= ending(on, score, mix.shape[-1], 0.5)
        mix += added
    progress(1.0)
    return Sound(on.get(mix), {name: on.get(part) for name, part in parts.items()})


def _write(path: Path, samples: NDArray[np.float32]) -> None:
    with AudioWriter(path, "flac", RATE, "stereo", bit_depth=24) as writer:
        for start in range(0, samples.shape[1], RATE):
            writer.write(samples[:, start : start + RATE])


def _sections(score: Score) -> list[dict[str, Any]]:
    """Rows for a person: sections with their chords."""
    beat_s = 60 / score.bpm
    return [
        {
            "section": section.name,
            "from_s": round(section.start * beat_s, 2),
            "to_s": round(section.end * beat_s, 2),
            "energy": section.energy,
            "chords": " | ".join(
                " ".join(dict.fromkeys(_NOTES[v % 12] for v in chord.voices))
                for chord in score.chords
                if section.start <= chord.start < section.end
            ),
        }
        for section in score.sections
    ]
