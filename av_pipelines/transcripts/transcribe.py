"""From a file with sound to the files of its transcript: what the asset calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from av_pipelines.media.audio import probe_audio, read_blocks
from av_pipelines.transcripts import qc
from av_pipelines.transcripts.engines import (
    Choice,
    Engine,
    FindModel,
    Progress,
    choose,
    load_engine,
)
from av_pipelines.transcripts.formats import write_subtitles
from av_pipelines.transcripts.given_text import Timed, read_text, time_text
from av_pipelines.transcripts.listening import Listened, drop_unvoiced, listen
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.speakers import turns_if_asked
from av_pipelines.transcripts.speech import SAMPLE_RATE, detect
from av_pipelines.transcripts.timing import read_cuts
from av_pipelines.transcripts.turns import Turn
from av_pipelines.transcripts.windows import cut
from av_pipelines.transcripts.words import Transcript, Word, tidy
from resources.models import obtain_model

BLOCK_S = 10.0
SUNG_THRESHOLD = 0.3
"""Of voice in separated vocals: singing is less like speech, and there is nothing else in there."""

ALIGN_MARGIN_S = 0.2


@dataclass(frozen=True)
class TranscriptResult:
    """What came out, beside the files.

    ``facts``: ``words``, ``language`` and ``language_probability`` (None where there is none),
    ``duration_s``, ``engine``, ``model``, ``device``; ``coverage`` (share of the voice that has
    text, None without voice), ``voiced_s``, ``suspect_seconds``; ``text_matched`` for a given
    text; and those of the subtitles. ``noted``: what the work itself found wrong; ``degraded``:
    that, and why the model is not the one that was meant. ``doubts``: what ``qc.json`` lists.
    ``lint``: rows of the subtitles' rules that are not kept.
    """

    facts: Mapping[str, Any]
    degraded: str | None
    model_sha256: str
    files: tuple[Path, ...]
    noted: str | None = None
    doubts: tuple[qc.Doubt, ...] = ()
    lint: list[dict[str, Any]] = field(default_factory=list)


def transcribe_file(
    audio: Path,
    out: Path,
    settings: TranscriptSettings,
    *,
    find: FindModel = obtain_model,
    choice: Choice | None = None,
    progress: Progress = lambda share: None,
    vocals: Path | None = None,
    text: Path | None = None,
    scenes: Path | None = None,
    starts_s: float = 0.0,
    title: str = "",
) -> TranscriptResult:
    """Transcribe a file and write ``transcript.<suffix>`` for every format, and ``qc.json``.

    Args:
        audio: a file this project wrote.
        out: a folder that is there.
        settings: how.
        find: where models come from.
        choice: the model, where it was chosen before (``engines.choose``).
        progress: called with the share done, 0 to 1.
        vocals: the separated vocals of a song, to find the voice in.
        text: what is said, as a text file: it is timed instead of transcribed.
        scenes: the picture's ``scenes.json``: subtitles keep off its cuts.
        starts_s: when the sound starts, on the clock of ``scenes``.
        title: the media's name, for the files that have a place for it.

    Raises:
        ModelError: the model cannot be had or loaded.
        TextError: the text cannot be used.
        DeviceError: the device asked for is not here.
    """
    given = _given(settings, text)
    choice = choice or choose(settings, find)
    engine = load_engine(choice.model, settings)
    duration_s, channels = _length(audio)
    heard = _listen(engine, audio, settings, progress, vocals, duration_s, channels)
    result = heard[0] if len(heard) == 1 else _together(heard)
    drop_unvoiced(result, settings)
    timed: Timed | None = None
    groups: list[list[Word]] = result.phrases
    if given is not None:
        timed = time_text(
            given, result.words, result.voiced, duration_s, _aligner(engine, audio, result.language)
        )
        groups = timed.lines
    transcript = Transcript(
        segments=tidy(groups, duration_s, keep=given is not None),
        duration_s=duration_s,
        language=result.language,
        language_probability=result.language_probability,
        task=settings.task,
        engine=choice.model.engine,
        model=choice.model.name,
        device=engine.device,
    )
    doubts = [*result.doubts, *qc.doubts_of(transcript.words)]
    share = qc.coverage(result.voiced, transcript.words)
    facts: dict[str, Any] = {
        "words": len(transcript.words),
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        "duration_s": transcript.duration_s,
        "engine": transcript.engine,
        "model": transcript.model,
        "device": transcript.device,
        "voiced_s": round(sum((end - start for start, end in result.voiced), 0.0), 3),
        "coverage": None if share is None else round(share, 4),
        "suspect_seconds": round(qc.suspect_seconds(doubts), 3),
    }
    if timed is not None:
        facts["text_matched"] = round(timed.matched, 4)
    turns, no_turns = _turns(heard), None
    if not turns:
        turns, no_turns = turns_if_asked(audio, transcript.words, settings, find)
    cuts_s, fps = read_cuts(scenes) if scenes else ((), None)
    cuts_s = [cut_s - starts_s for cut_s in cuts_s]
    report = write_subtitles(
        transcript, out, settings, turns=turns, cuts_s=cuts_s, fps=fps, title=title
    )
    qc.write_qc(out / "qc.json", facts, doubts)
    progress(1.0)
    noted = "; ".join(filter(None, [timed and timed.degraded, no_turns])) or None
    return TranscriptResult(
        facts={**facts, **report.facts},
        degraded="; ".join(filter(None, [choice.degraded, noted])) or None,
        model_sha256=choice.model.sha256,
        files=(*report.files, out / "qc.json"),
        noted=noted,
        doubts=tuple(sorted(doubts, key=lambda d: d.start_s)),
        lint=report.rows,
    )


def _given(settings: TranscriptSettings, text: Path | None) -> str | None:
    if text is None and settings.text_file:
        text = Path(settings.text_file).expanduser()
    return read_text(text) if text is not None else settings.text


def _length(audio: Path) -> tuple[float, int]:
    """Return seconds and channels of a file."""
    info = probe_audio(audio)
    if info.duration_s is not None:
        return info.duration_s, info.channels
    samples = sum(block.shape[1] for block in read_blocks(audio, block_s=BLOCK_S))
    return samples / info.sample_rate, info.channels


def _listen(
    engine: Engine,
    audio: Path,
    settings: TranscriptSettings,
    progress: Progress,
    vocals: Path | None,
    duration_s: float,
    channels: int,
) -> list[Listened]:
    """Listen to the mix, or to each channel in turn."""
    turns = list(range(channels)) if settings.channels == "each" and channels > 1 else [None]
    heard: list[Listened] = []
    for number, channel in enumerate(turns):

        def reached(seconds: float, number: int = number) -> None:
            progress(min((number + seconds / max(duration_s, seconds)) / len(turns), 1.0))

        sung = vocals if settings.sung == "vocals" and vocals else audio
        voice = None if vocals is None or sung is vocals else _stream(vocals, channel)
        threshold = 0.5 if vocals is None else SUNG_THRESHOLD
        windows = cut(
            detect(_stream(sung, channel), voice),
            settings.window_s,
            threshold=threshold,
            everything=not settings.vad,
        )
        heard.append(listen(engine, windows, settings, reached))
    return heard


def _stream(path: Path, channel: int | None) -> Iterator[np.ndarray]:
    """Yield blocks of one channel, or of the mix, at 16 kHz."""
    layout = "mono" if channel is None else None
    for block in read_blocks(path, block_s=BLOCK_S, sample_rate=SAMPLE_RATE, layout=layout):
        yield block[min(channel or 0, len(block) - 1)]


def _together(heard: Sequence[Listened]) -> Listened:
    """Put what was said on several channels in one order; a phrase is one channel's."""
    said = sorted(
        ((word, number) for number, one in enumerate(heard) for word in one.words),
        key=lambda item: item[0].start_s,
    )
    first = next((one for one in heard if one.phrases), heard[0])
    starts = {id(phrase[0]) for one in heard for phrase in one.phrases}
    phrases: list[list[Word]] = []
    last: int | None = None
    for word, number in said:
        if number != last or id(word) in starts:
            phrases.append([])
        phrases[-1].append(word)
        last = number
    return Listened(
        phrases,
        sorted(span for one in heard for span in one.voiced),
        [doubt for one in heard for doubt in one.doubts],
        first.language,
        first.language_probability,
    )


def _turns(heard: Sequence[Listened]) -> list[Turn]:
    """Say which channel speaks when; nothing where there is only the mix."""
    if len(heard) < 2:
        return []
    said = sorted(
        (word.start_s, word.end_s, number)
        for number, one in enumerate(heard, start=1)
        for word in one.words
    )
    turns: list[Turn] = []
    for number, group in groupby(said, key=lambda item: item[2]):
        words = list(group)
        turns.append(Turn(words[0][0], max(end for _, end, _ in words), f"Channel {number}"))
    return [
        replace(turn, end_s=min(turn.end_s, after.start_s))
        for turn, after in zip(turns, [*turns[1:], Turn(9e9, 9e9, "")], strict=True)
    ]


def _aligner(engine: Engine, audio: Path, language: str | None) -> Any:
    def align(start_s: float, end_s: float, words: Sequence[Word]) -> Sequence[Word] | None:
        begin = max(start_s - ALIGN_MARGIN_S, 0.0)
        blocks: Iterable[np.ndarray] = read_blocks(
            audio,
            block_s=BLOCK_S,
            sample_rate=SAMPLE_RATE,
            layout="mono",
            start_s=begin,
            duration_s=end_s + ALIGN_MARGIN_S - begin,
        )
        samples = np.concatenate([np.zeros(0, np.float32), *(block[0] for block in blocks)])
        if len(samples) < SAMPLE_RATE // 10 or language is None:
            return None
        found = engine.align(samples, words, language)
        return found and [
            replace(w, start_s=w.start_s + begin, end_s=w.end_s + begin) for w in found
        ]

    return align
