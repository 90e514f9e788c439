"""The files of a transcript: JSON for programs, plain text, and subtitles for players.

Here: JSON, TXT, SRT and WebVTT, and writing them all. Not here: the formats that time words
(``karaoke``), which words and when (``cues``), checking (``lint``). SRT and WebVTT are written
here and not with pysubs2, which holds text as ASS: it would take ``{…}`` for override tags and
drop it, does not escape ``&`` and ``<`` in WebVTT, and ends at 100 hours. Files are UTF-8 with
Unix line ends.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

from av_pipelines.transcripts.cues import Cue, make_cues, written_language
from av_pipelines.transcripts.karaoke import WORD_JOINER, to_ass, to_lrc
from av_pipelines.transcripts.lint import Finding, lint
from av_pipelines.transcripts.subtitle_settings import SubtitleSettings, rules_for
from av_pipelines.transcripts.turns import Turn, speakers_of
from av_pipelines.transcripts.words import Segment, Transcript, Word, join

SCHEMA = 1
"""Version of the shape of ``transcript.json``; it changes when a reader would have to."""

FORMATS = ("json", "txt", "srt", "vtt", "ass", "lrc")
"""Suffixes of the files."""

SHOWN_FINDINGS = 50


@dataclass(frozen=True)
class SubtitleReport:
    """What came of writing subtitles.

    ``files``: the paths, in the order of ``FORMATS``. ``facts``: ``cues``; ``lint_exceptions``,
    rules broken for a named reason; ``lint_broken``, rules broken for none (0 unless this project
    has a fault); ``speakers`` where they are known.
    """

    files: tuple[Path, ...]
    cues: tuple[Cue, ...]
    findings: tuple[Finding, ...]
    facts: Mapping[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The first findings as rows of a table; what nothing excuses comes first."""
        ordered = sorted(self.findings, key=lambda f: (f.exception is not None, f.cue))
        return [finding.row() for finding in ordered[:SHOWN_FINDINGS]]


def write_subtitles(
    transcript: Transcript,
    folder: Path,
    settings: SubtitleSettings | None = None,
    *,
    turns: Sequence[Turn] = (),
    cuts_s: Sequence[float] = (),
    fps: Fraction | None = None,
    title: str = "",
) -> SubtitleReport:
    """Write ``transcript.<suffix>`` for every format, and ``lint.json``.

    Args:
        transcript: what was said.
        folder: where to; it is there.
        settings: the rules and looks; ``TranscriptSettings`` may be given where it inherits them.
        turns: who speaks when (``speakers.find_turns``).
        cuts_s: when the picture cuts, in seconds (of ``scenes``); none: not looked at.
        fps: frames per second of the picture; None: ``settings.frame_rate``.
        title: the media's name, for ASS and LRC.

    Returns:
        The files, the cues, and what the lint found.
    """
    settings = settings or SubtitleSettings()
    cues = make_cues(transcript, settings, turns=turns, cuts_s=cuts_s, fps=fps)
    language, duration_s = written_language(transcript), transcript.duration_s
    rules = rules_for(settings, language, fps)
    findings = lint(cues, rules, language, cuts_s=cuts_s, duration_s=duration_s)
    texts = {
        "json": to_json(transcript, turns),
        "txt": to_text(transcript, turns),
        "srt": to_srt(cues),
        "vtt": to_vtt(cues),
        "ass": to_ass(cues, settings, language=language, title=title),
        "lrc": to_lrc(cues, settings, duration_s=duration_s, title=title),
    }
    paths = [_write(folder / f"transcript.{suffix}", texts[suffix]) for suffix in FORMATS]
    excused = sum(finding.exception is not None for finding in findings)
    facts: dict[str, Any] = {
        "cues": len(cues),
        "lint_exceptions": excused,
        "lint_broken": len(findings) - excused,
    }
    if turns:
        facts["speakers"] = len({turn.speaker for turn in turns})
    record = {
        **facts,
        "rules": asdict(rules),
        "broken": Counter(finding.rule for finding in findings),
        "findings": [finding.row() for finding in findings],
    }
    _write(folder / "lint.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    return SubtitleReport(tuple(paths), tuple(cues), tuple(findings), facts)


def _write(path: Path, text: str) -> Path:
    # A recogniser or a script file may hold half a surrogate pair, which UTF-8 does not know.
    path.write_bytes(text.encode("utf-8", "replace"))
    return path


def to_json(transcript: Transcript, turns: Sequence[Turn] = ()) -> str:
    """Write a transcript as JSON.

    One object: ``schema``, ``language`` (or null), ``language_probability`` (or null: it was
    set), ``duration_s``, ``task``, ``engine``, ``model``, ``device``, ``text``, and ``segments``:
    objects of ``start_s``, ``end_s``, ``text`` and ``words``: objects of ``start_s``, ``end_s``,
    ``text``, ``probability`` (0 to 1) and ``spaced`` (a blank stands before it). Times are
    seconds with three decimals. With speakers known, words have ``speaker``, segments the
    ``speaker`` of most of their words, and there are ``turns``: ``start_s``, ``end_s``,
    ``speaker``.
    """
    probability = transcript.language_probability
    speakers = iter(speakers_of(transcript.words, turns))
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "language": transcript.language,
        "language_probability": None if probability is None else round(probability, 4),
        "duration_s": round(transcript.duration_s, 3),
        "task": transcript.task,
        "engine": transcript.engine,
        "model": transcript.model,
        "device": transcript.device,
        "text": transcript.text,
        "segments": [
            _segment(segment, [next(speakers) for _ in segment.words])
            for segment in transcript.segments
        ],
    }
    if turns:
        record["turns"] = [
            {"start_s": round(t.start_s, 3), "end_s": round(t.end_s, 3), "speaker": t.speaker}
            for t in turns
        ]
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _segment(segment: Segment, speakers: Sequence[str | None]) -> dict[str, Any]:
    def named(speaker: str | None) -> dict[str, str]:
        return {} if speaker is None else {"speaker": speaker}

    return {
        "start_s": round(segment.start_s, 3),
        "end_s": round(segment.end_s, 3),
        "text": segment.text,
        **named(Counter(speakers).most_common(1)[0][0]),
        "words": [
            {
                "start_s": round(word.start_s, 3),
                "end_s": round(word.end_s, 3),
                "text": word.text,
                "probability": round(word.probability, 4),
                "spaced": word.spaced,
                **named(speaker),
            }
            for word, speaker in zip(segment.words, speakers, strict=True)
        ],
    }


def read_transcript(path: Path) -> Transcript:
    """Read a ``transcript.json``; ValueError if it is not one, or of another schema."""
    record = json.loads(path.read_text("utf-8"))
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{path}: schema {schema!r} where {SCHEMA} is expected")
    segments = tuple(
        Segment(tuple(_word(word) for word in segment["words"])) for segment in record["segments"]
    )
    fields = ("duration_s", "language", "language_probability", "task", "engine", "model", "device")
    return Transcript(segments, **{name: record[name] for name in fields})


def _word(record: Mapping[str, Any]) -> Word:
    return Word(**{name: value for name, value in record.items() if name != "speaker"})


def to_text(transcript: Transcript, turns: Sequence[Turn] = ()) -> str:
    """Write one line for each segment, for reading; where speakers are known, after their name."""
    return "".join(f"{line}\n" for line in _spoken(transcript, turns))


def _spoken(transcript: Transcript, turns: Sequence[Turn]) -> Iterator[str]:
    speakers = iter(speakers_of(transcript.words, turns))
    now = None
    for segment in transcript.segments:
        named = [(next(speakers), word) for word in segment.words]
        for speaker, words in groupby(named, key=lambda pair: pair[0]):
            said = f"{speaker}: " if speaker != now else ""
            now = speaker
            yield said + " ".join(join(word for _, word in words).split())


def to_srt(cues: Sequence[Cue]) -> str:
    r"""Write SubRip subtitles.

    SubRip has no escapes, and players take some tags of HTML and ASS: a word joiner, which is not
    seen, keeps ``<``, ``{``, ``\`` and ``-->`` of the text from being markup.
    """
    return "\n".join(
        f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n"
        + _joined([srt_text(line) for line in cue.lines])
        for number, cue in enumerate(cues, start=1)
    )


def srt_text(text: str) -> str:
    """Keep markup in one line of text from being markup."""
    return re.sub(r"[<{\\]|--(?=>)", lambda found: found[0] + WORD_JOINER, text)


def to_vtt(cues: Sequence[Cue]) -> str:
    """Write WebVTT (W3C, 4.1 Syntax): ``&``, ``<`` and ``>`` are escaped as its text requires.

    A known speaker is the voice of the cue (``<v Speaker 1>``, 4.2.2).
    """
    blocks = (
        f"\n{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n"
        + _joined(_voiced([html.escape(line, quote=False) for line in cue.lines], cue.speaker))
        for cue in cues
    )
    return "WEBVTT\n" + "".join(blocks)


def _voiced(lines: list[str], speaker: str | None) -> list[str]:
    if speaker is None:
        return lines
    name = html.escape(" ".join(speaker.split()), quote=False)
    lines[0] = f"<v {name}>{lines[0]}"
    lines[-1] += "</v>"
    return lines


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _time(ms: int, decimal: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal}{ms:03}"
