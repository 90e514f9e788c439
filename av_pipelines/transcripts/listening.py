"""Listening: from a stream's windows to its words, with a second look where something is wrong.

Here: handing windows to an engine in batches, hearing again what was dropped, leaving out what
nobody said, and the way from times in a window to times in the file. Not here: recognising
(``engines``), cutting windows (``windows``), judging the whole (``qc``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from av_pipelines.transcripts.engines import Engine, Heard, Hints
from av_pipelines.transcripts.onsets import refine
from av_pipelines.transcripts.qc import Doubt, holes, without_voice
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.windows import Span, Window
from av_pipelines.transcripts.words import Word, join

NO_SPEECH, NO_SPEECH_LOG_PROBABILITY = 0.6, -1.0
"""OpenAI's thresholds: text that the model neither is sure of nor thinks is speech is invented."""

SURE_LOG_PROBABILITY = -0.8
"""What is heard in a hole counts when it is at least this sure."""

HOLE_MARGIN_S = 0.3
PHRASE_PAUSE_S = 1.0
_SENTENCE_ENDS = tuple(".!?…。！？")


@dataclass
class Listened:
    """All that was heard in a stream; times are seconds of the file."""

    phrases: list[list[Word]] = field(default_factory=list)
    voiced: list[Span] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    language: str | None = None
    language_probability: float | None = None

    @property
    def words(self) -> list[Word]:
        """The words of all phrases."""
        return [word for phrase in self.phrases for word in phrase]


def listen(
    engine: Engine,
    windows: Iterable[Window],
    settings: TranscriptSettings,
    reached: Callable[[float], None] = lambda seconds: None,
) -> Listened:
    """Hear all windows of a stream.

    Args:
        engine: what recognises.
        windows: in order of time.
        settings: language, batch size, what to do with invented text.
        reached: called with the second of the file up to which it is done.
    """
    result = Listened(language=settings.language)
    spoken: Counter[str | None] = Counter()
    for batch in _batches(windows, settings.batch_size):
        each = settings.mixed_languages and settings.language is None
        hints = Hints(None if each else result.language, each)
        found = engine.hear([window.samples for window in batch], hints)
        if result.language is None or hints.each_window:
            _note_language(result, found, spoken)
        for window, heard in zip(batch, found, strict=True):
            _take(engine, window, heard, settings, result)
        reached(batch[-1].end_s)
    if not result.phrases:  # a language was detected from nothing said
        result.language, result.language_probability = settings.language, None
    return result


def _batches(windows: Iterable[Window], size: int) -> Iterator[list[Window]]:
    stream = iter(windows)
    while batch := list(islice(stream, size)):
        yield batch


def _note_language(result: Listened, found: Sequence[Heard], spoken: Counter[str | None]) -> None:
    """Take the language of the file: that of the first batch, or where it changes of most words."""
    for heard in found:
        spoken[heard.language] += len(heard.words)
    result.language = spoken.most_common(1)[0][0]
    if result.language_probability is None:
        sure = [h.language_probability for h in found if h.language == result.language]
        result.language_probability = sure[0] if sure else None


def _take(
    engine: Engine, window: Window, heard: Heard, settings: TranscriptSettings, result: Listened
) -> None:
    words = _in_file(window, heard)
    voiced = list(window.voiced)
    invented = (
        heard.no_speech > NO_SPEECH and heard.log_probability < NO_SPEECH_LOG_PROBABILITY and words
    )
    if invented:
        removed = settings.invented == "remove"
        result.doubts.append(
            Doubt(words[0].start_s, words[-1].end_s, "invented", join(words), removed)
        )
        if removed:
            return  # what is no speech has no holes
    result.voiced += voiced
    if words:
        for hole in holes(voiced, words):
            words = _fill(engine, window, hole, words, settings.language, result)
    else:
        result.doubts += [Doubt(*span, "dropped") for span in holes(voiced, ())]
    result.phrases += _phrases(words)


def _fill(
    engine: Engine,
    window: Window,
    hole: Span,
    words: list[Word],
    language: str | None,
    result: Listened,
) -> list[Word]:
    """Hear a stretch of voice without text again, by itself, and put what is said there in."""
    part = window.part(hole, HOLE_MARGIN_S)
    if part is None:
        return words
    again = engine.hear([part.samples], Hints(language, each_window=True, careful=True))[0]
    new = [w for w in _in_file(part, again) if hole[0] <= (w.start_s + w.end_s) / 2 <= hole[1]]
    sure = again.log_probability >= SURE_LOG_PROBABILITY and again.no_speech <= NO_SPEECH
    if not (sure and new):
        result.doubts.append(Doubt(*hole, "dropped", join(new)))
        return words
    if again.language != result.language:
        result.doubts.append(Doubt(*hole, "language", join(new)))
    return sorted([*words, *new], key=lambda w: w.start_s)


def _in_file(window: Window, heard: Heard) -> list[Word]:
    words: list[Word] = []
    for word in refine(heard.words, window.samples):
        start, end = window.in_file(word.start_s, word.end_s)
        words.append(replace(word, start_s=start, end_s=end))
    return words


def _phrases(words: Sequence[Word]) -> list[list[Word]]:
    """Cut words after sentences and at long pauses."""
    phrases: list[list[Word]] = []
    for word in words:
        last = phrases[-1][-1] if phrases else None
        if (
            last is None
            or word.start_s - last.end_s >= PHRASE_PAUSE_S
            or (word.spaced and last.text.rstrip("\"'”’)]").endswith(_SENTENCE_ENDS))
        ):
            phrases.append([])
        phrases[-1].append(word)
    return phrases


def drop_unvoiced(result: Listened, settings: TranscriptSettings) -> None:
    """Find the words that stand where no voice is; remove or mark them, as the settings say."""
    lonely = without_voice(result.words, result.voiced)
    if not lonely:
        return
    removed = settings.invented == "remove"
    for word in lonely:
        result.doubts.append(Doubt(word.start_s, word.end_s, "invented", word.text, removed))
    if removed:
        gone = set(map(id, lonely))
        kept = ([w for w in phrase if id(w) not in gone] for phrase in result.phrases)
        result.phrases = [phrase for phrase in kept if phrase]
