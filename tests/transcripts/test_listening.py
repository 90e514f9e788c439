"""Listening: a second look where voice has no text, and nothing kept that nobody said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from av_pipelines.transcripts.engines import Heard, Hints
from av_pipelines.transcripts.listening import Listened, drop_unvoiced, listen
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.speech import SAMPLE_RATE
from av_pipelines.transcripts.windows import Piece, Window
from av_pipelines.transcripts.words import Word


class Scripted:
    """An engine that says what it is told to."""

    device = "cpu"

    def __init__(self, answer: Callable[[np.ndarray, Hints], Heard]) -> None:
        self.answer, self.hints = answer, list[Hints]()

    def hear(self, windows: Sequence[np.ndarray], hints: Hints) -> list[Heard]:
        self.hints.append(hints)
        return [self.answer(window, hints) for window in windows]

    def align(self, window: np.ndarray, words: Sequence[Word], language: str) -> None:
        return None


def window(start_s: float, length_s: float) -> Window:
    samples = np.full(round(length_s * SAMPLE_RATE), 0.1, np.float32)
    piece = Piece(round(start_s * SAMPLE_RATE), 0, len(samples))
    return Window(samples, (piece,), ((start_s, start_s + length_s),))


def heard(text: str, word_s: float = 0.5, start_s: float = 0.0, **values: object) -> Heard:
    times = [start_s + i * word_s for i in range(len(text.split()) + 1)]
    pairs = zip(pairwise(times), text.split(), strict=True)
    words = tuple(Word(a, b, w, 0.9) for (a, b), w in pairs)
    usual: dict[str, object] = {
        "language": "en",
        "language_probability": 0.9,
        "log_probability": -0.1,
        "no_speech": 0.1,
        "repetition": 1.0,
    }
    return Heard(words, **(usual | values))  # pyright: ignore[reportArgumentType]


def texts(result: Listened) -> list[str]:
    return [word.text for word in result.words]


def test_dropped_speech_is_heard_again_and_put_in_its_place() -> None:
    def answer(samples: np.ndarray, hints: Hints) -> Heard:
        if hints.careful:  # the stretch alone, with a little before and behind
            return heard("three four five", 0.8, start_s=0.8)
        return heard("one two") if len(samples) > 5 * SAMPLE_RATE else heard("")

    engine = Scripted(answer)
    result = listen(engine, [window(10, 6)], TranscriptSettings())

    assert texts(result) == ["one", "two", "three", "four", "five"]
    assert [w.start_s for w in result.words] == sorted(w.start_s for w in result.words)
    assert result.words[2].start_s == pytest.approx(10 + 1.5 - 0.3 + 0.8)
    assert [hints.careful for hints in engine.hints] == [False, True]
    assert result.doubts == []


def test_another_language_in_between_is_heard_and_named() -> None:
    def answer(_: np.ndarray, hints: Hints) -> Heard:
        if hints.careful:
            return heard("wurde genutzt", start_s=1, language="de")
        return heard("one two")

    result = listen(Scripted(answer), [window(0, 6)], TranscriptSettings())

    assert texts(result) == ["one", "two", "wurde", "genutzt"]
    assert [(d.reason, d.text) for d in result.doubts] == [("language", "wurde genutzt")]
    assert result.language == "en"


def test_speech_that_stays_dropped_is_named() -> None:
    engine = Scripted(lambda _, hints: heard("") if hints.careful else heard("one two"))
    result = listen(engine, [window(0, 6)], TranscriptSettings())

    assert texts(result) == ["one", "two"]
    assert [(d.reason, d.start_s, d.end_s) for d in result.doubts] == [("dropped", 1.5, 6.0)]


@pytest.mark.parametrize(("invented", "left"), [("remove", 0), ("mark", 2)])
def test_what_the_model_itself_takes_for_no_speech_goes(invented: str, left: int) -> None:
    engine = Scripted(lambda *_: heard("Thank you.", log_probability=-1.4, no_speech=0.9))
    settings = TranscriptSettings.model_validate({"invented": invented})

    result = listen(engine, [window(0, 1)], settings)

    assert len(result.words) == left
    assert [(d.reason, d.text, d.removed) for d in result.doubts] == [
        ("invented", "Thank you.", left == 0)
    ]


@pytest.mark.parametrize(("invented", "left"), [("remove", []), ("mark", ["Thank", "you."])])
def test_words_where_no_voice_is_go(invented: str, left: list[str]) -> None:
    result = Listened([[Word(5, 6, "Thank", 0.9), Word(6, 7, "you.", 0.9)]], voiced=[(20, 30)])
    drop_unvoiced(result, TranscriptSettings.model_validate({"invented": invented}))

    assert texts(result) == left
    assert {d.reason for d in result.doubts} == {"invented"}


def test_the_language_of_the_first_batch_is_that_of_the_file() -> None:
    engine = Scripted(lambda *_: heard("ja doch", language="de", language_probability=0.8))
    windows = [window(i * 2, 1) for i in range(3)]

    result = listen(engine, windows, TranscriptSettings(batch_size=2))

    assert [hints.language for hints in engine.hints] == [None, "de"]
    assert (result.language, result.language_probability) == ("de", 0.8)


def test_of_mixed_languages_every_window_is_detected_and_most_words_name_the_file() -> None:
    def answer(samples: np.ndarray, hints: Hints) -> Heard:
        short = len(samples) < 1.5 * SAMPLE_RATE
        return heard("yes", language="en") if short else heard("ja ja ja ja", language="de")

    engine = Scripted(answer)
    windows = [window(0, 1), window(3, 2), window(6, 2)]
    result = listen(engine, windows, TranscriptSettings(batch_size=1, mixed_languages=True))

    assert {(hints.language, hints.each_window) for hints in engine.hints} == {(None, True)}
    assert result.language == "de"


def test_sentences_and_long_pauses_end_a_phrase() -> None:
    engine = Scripted(lambda *_: heard("Yes. He did 3.5 times"))
    result = listen(engine, [window(0, 2.5), window(30, 2.5)], TranscriptSettings())

    assert [" ".join(w.text for w in phrase) for phrase in result.phrases] == [
        "Yes.",
        "He did 3.5 times",
    ] * 2


def test_what_is_reached_is_told_batch_by_batch() -> None:
    engine = Scripted(lambda *_: heard("yes"))
    reached: list[float] = []
    windows = [window(i * 10, 1) for i in range(4)]

    listen(engine, windows, TranscriptSettings(batch_size=2), reached.append)

    assert reached == [11, 31]
