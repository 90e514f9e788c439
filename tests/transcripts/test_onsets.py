"""Onsets: a word starts where its sound does, and a recogniser's good times stay."""

from __future__ import annotations

import numpy as np
import pytest

from av_pipelines.transcripts.onsets import refine
from av_pipelines.transcripts.words import Word

RATE = 16_000


def sounding(*spans: tuple[float, float], length_s: float = 4.0) -> np.ndarray:
    samples = 1e-4 * np.random.default_rng(1).standard_normal(round(length_s * RATE))
    for start, end in spans:
        at = np.arange(round(start * RATE), round(end * RATE))
        samples[at] += 0.3 * np.sin(at * 0.1)
    return samples.astype(np.float32)


def test_a_word_that_begins_with_the_pause_is_moved_to_its_sound() -> None:
    samples = sounding((0.5, 1.0), (2.0, 2.6))
    words = [Word(0.3, 1.0, "Wait.", 0.9), Word(1.1, 2.6, "Now.", 0.9)]

    first, second = refine(words, samples)

    assert first.start_s == pytest.approx(0.5, abs=0.02)
    assert second.start_s == pytest.approx(2.0, abs=0.02)


def test_a_word_that_ends_with_the_pause_is_cut_to_its_sound() -> None:
    (word,) = refine([Word(0.5, 3.0, "Wait.", 0.9)], sounding((0.5, 1.0), (3.5, 3.9)))
    assert word.end_s == pytest.approx(1.0, abs=0.02)


def test_words_in_flowing_speech_stay_where_they_are() -> None:
    words = [Word(0.5, 1.0, "on", 0.9), Word(1.0, 1.5, "and", 0.9), Word(1.5, 2.0, "on", 0.9)]
    assert refine(words, sounding((0.0, 4.0))) == words


@pytest.mark.parametrize("length_s", [0.0, 0.01, 0.3])
def test_hardly_any_sound_is_no_trouble(length_s: float) -> None:
    word = Word(0.0, length_s, "a", 0.9)
    silence = np.zeros(round(length_s * RATE), np.float32)
    assert refine([word], silence) == [word]
    assert refine([], silence) == []
