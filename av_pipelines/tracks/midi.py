"""``score.mid``: the score as a Standard MIDI File (type 1), for any notation or music program.

Not here: the score (``composition``), its sound (``synthesis``).
"""

from __future__ import annotations

from pathlib import Path

import mido

from av_pipelines.tracks.composition.score import Note, Score
from av_pipelines.tracks.plan import Plan

TICKS = 480
"""In a beat."""

# General MIDI programs (from 0) that come near the sounds.
_PROGRAMS = {"warm": 89, "strings": 48, "glass": 98, "choir": 91, "pluck": 46, "bell": 10,
             "soft": 73, "bass": 38, "texture": 122}  # fmt: skip
_DRUM_CHANNEL = 9

# What a MIDI key signature can say: the major or minor key that a mode is written as.
_SIGNED = {"aeolian": "m", "dorian": "m", "phrygian": "m"}
_WRITTEN = {"C#": "Db"}
_WRITTEN_MINOR = {"Ab": "G#"}


def write_midi(path: Path, score: Score, plan: Plan) -> None:
    """Write tempo, metre, key, sections as markers, and a track for each part."""
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    file.tracks.append(_conductor(score))
    sounds = {"pads": plan.pad, "melody": plan.lead, "arpeggio": "pluck"}
    for number, part in enumerate(score.parts):
        channel = _DRUM_CHANNEL if part == "percussion" else number
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name=part))
        if channel != _DRUM_CHANNEL:
            program = _PROGRAMS[sounds.get(part, part)]
            track.append(mido.Message("program_change", channel=channel, program=program))
        _put(track, [n for n in score.notes if n.part == part], channel)
        file.tracks.append(track)
    file.save(path)


def _conductor(score: Score) -> mido.MidiTrack:
    track = mido.MidiTrack()
    minor = _SIGNED.get(score.scale, "")
    key = (_WRITTEN_MINOR if minor else _WRITTEN).get(score.key, score.key) + minor
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(score.bpm)))
    track.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    track.append(mido.MetaMessage("key_signature", key=key))
    track.append(mido.MetaMessage("text", text=f"{score.key} {score.scale}"))
    now = 0
    for section in score.sections:
        at = round(section.start * TICKS)
        track.append(mido.MetaMessage("marker", text=section.name, time=at - now))
        now = at
    track.append(mido.MetaMessage("end_of_track", time=round(score.beats * TICKS) - now))
    return track


def _put(track: mido.MidiTrack, notes: list[Note], channel: int) -> None:
    """Append notes; an end comes before a beginning at the same tick."""
    events: list[tuple[int, int, int, int]] = []
    for note in notes:
        start = round(note.start * TICKS)
        end = max(start + 1, round((note.start + note.length) * TICKS))
        events += [
            (start, 1, note.pitch, max(1, round(note.velocity * 127))),
            (end, 0, note.pitch, 0),
        ]
    now = 0
    for at, on, pitch, velocity in sorted(events):
        kind = "note_on" if on else "note_off"
        message = mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=at - now)
        track.append(message)
        now = at
