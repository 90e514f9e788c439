"""The files of a transcript: JSON for programs, plain text, SRT and WebVTT for players.

A format is one function in ``FORMATS``. SRT and WebVTT are written here and not with pysubs2,
which holds text as ASS: it would take ``{…}`` for override tags and drop it, and it does not
escape ``&`` and ``<`` in WebVTT. Files are UTF-8 with Unix line ends.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from av_pipelines.transcripts.cues import Cue, make_cues
from av_pipelines.transcripts.words import Segment, Transcript, Word

SCHEMA = 1
"""Version of the shape of ``transcript.json``; it changes when a reader would have to."""


def to_json(transcript: Transcript, cues: Sequence[Cue]) -> str:
    """Write a transcript as JSON.

    One object: ``schema``, ``language`` (or null), ``language_probability`` (or null: it was
    set), ``duration_s``, ``task``, ``engine``, ``model``, ``device``, ``text``, and ``segments``:
    objects of ``start_s``, ``end_s``, ``text`` and ``words``: objects of ``start_s``, ``end_s``,
    ``text``, ``probability`` (0 to 1) and ``spaced`` (a blank stands before it). Times are
    seconds with three decimals.
    """
    probability = transcript.language_probability
    record = {
        "schema": SCHEMA,
        "language": transcript.language,
        "language_probability": None if probability is None else round(probability, 4),
        "duration_s": round(transcript.duration_s, 3),
        "task": transcript.task,
        "engine": transcript.engine,
        "model": transcript.model,
        "device": transcript.device,
        "text": transcript.text,
        "segments": [_segment(segment) for segment in transcript.segments],
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "start_s": round(segment.start_s, 3),
        "end_s": round(segment.end_s, 3),
        "text": segment.text,
        "words": [
            {
                "start_s": round(word.start_s, 3),
                "end_s": round(word.end_s, 3),
                "text": word.text,
                "probability": round(word.probability, 4),
                "spaced": word.spaced,
            }
            for word in segment.words
        ],
    }


def read_transcript(path: Path) -> Transcript:
    """Read a ``transcript.json``; ValueError if it is not one, or of another schema."""
    record = json.loads(path.read_text("utf-8"))
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{path}: schema {schema!r} where {SCHEMA} is expected")
    segments = tuple(
        Segment(tuple(Word(**word) for word in segment["words"])) for segment in record["segments"]
    )
    fields = ("duration_s", "language", "language_probability", "task", "engine", "model", "device")
    return Transcript(segments, **{name: record[name] for name in fields})


def to_text(transcript: Transcript, cues: Sequence[Cue]) -> str:
    """Write one line for each segment, for reading."""
    return "".join(f"{segment.text}\n" for segment in transcript.segments)


def to_srt(transcript: Transcript, cues: Sequence[Cue]) -> str:
    """Write SubRip subtitles."""
    return "\n".join(
        f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{_joined(cue.lines)}"
        for number, cue in enumerate(cues, start=1)
    )


def to_vtt(transcript: Transcript, cues: Sequence[Cue]) -> str:
    """Write WebVTT (W3C, 4.1 Syntax): ``&``, ``<`` and ``>`` are escaped as its text requires."""
    blocks = (
        f"\n{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n"
        + _joined([html.escape(line, quote=False) for line in cue.lines])
        for cue in cues
    )
    return "WEBVTT\n" + "".join(blocks)


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _time(ms: int, decimal: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal}{ms:03}"


FORMATS: Mapping[str, Callable[[Transcript, Sequence[Cue]], str]] = {
    "json": to_json,
    "txt": to_text,
    "srt": to_srt,
    "vtt": to_vtt,
}
"""Suffix → what writes it."""


def write_formats(transcript: Transcript, out: Path) -> list[Path]:
    """Write ``transcript.<suffix>`` for every format into a folder; return the paths."""
    cues = make_cues(transcript)
    paths: list[Path] = []
    for suffix, write in FORMATS.items():
        path = out / f"transcript.{suffix}"
        path.write_text(write(transcript, cues), encoding="utf-8", newline="\n")
        paths.append(path)
    return paths
