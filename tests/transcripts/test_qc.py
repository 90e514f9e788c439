"""Quality control: what is named as not to be trusted, and what is left alone."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.transcripts.qc import (
    NEAR_S,
    Doubt,
    coverage,
    doubts_of,
    holes,
    suspect_seconds,
    without_voice,
    write_qc,
)
from av_pipelines.transcripts.words import Word


def said(
    text: str, word_s: float = 0.4, start_s: float = 0.0, probability: float = 0.9
) -> list[Word]:
    times = [start_s + i * word_s for i in range(len(text.split()) + 1)]
    pairs = zip(pairwise(times), text.split(), strict=True)
    return [Word(a, b, text, probability) for (a, b), text in pairs]


def reasons(words: list[Word]) -> list[str]:
    return [doubt.reason for doubt in doubts_of(words)]


def test_voice_without_text_is_a_hole() -> None:
    words = [*said("one two three"), *said("four five", start_s=8.0)]

    assert holes([(0.0, 9.0)], words) == [(pytest.approx(1.2 + NEAR_S), 8.0 - NEAR_S)]
    assert coverage([(0.0, 9.0)], words) == pytest.approx(1 - 5.8 / 9)


def test_an_endless_word_does_not_hide_what_else_was_said() -> None:
    assert holes([(0.0, 9.0)], [Word(0.0, 9.0, "And", 0.1)]) != []


def test_a_pause_for_breath_is_none_and_nobody_speaking_has_no_coverage() -> None:
    words = [*said("one two"), *said("three", start_s=1.9)]
    assert holes([(0.0, 2.4)], words) == []
    assert coverage([(0.0, 2.4)], words) == 1.0
    assert coverage([], []) is None
    assert coverage([(0.0, 5.0)], []) == 0.0


spans = st.lists(st.floats(0.1, 5), max_size=12).map(
    lambda steps: [(a, b) for i, (a, b) in enumerate(pairwise(accumulated(steps))) if i % 2]
)


def accumulated(steps: list[float]) -> list[float]:
    return [sum(steps[:i]) for i in range(len(steps) + 1)]


@given(spans, spans)
def test_holes_are_in_the_voice_and_away_from_words(voiced, said_at) -> None:
    words = [Word(a, min(b, a + 1.2), "x", 0.9) for a, b in said_at]

    found = holes(voiced, words)

    assert all(any(s <= a < b <= e for s, e in voiced) for a, b in found)
    assert all(b <= w.start_s or w.end_s <= a for a, b in found for w in words)
    assert 0 <= (coverage(voiced, words) or 0) <= 1


def test_text_without_voice_is_found() -> None:
    words = [*said("good morning"), *said("Thank you.", start_s=30.0)]
    assert [w.text for w in without_voice(words, [(0.0, 1.0)])] == ["Thank", "you."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I love you I love you I love you I love you today", ["repeated"]),
        ("no no no no no", ["repeated"]),
        ("no, no, no!", []),
        ("Row, row, row your boat gently down the stream", []),
    ],
)
def test_what_comes_again_and_again_is_in_doubt(text: str, expected: list[str]) -> None:
    assert reasons(said(text)) == expected


def test_improbable_and_endless_words_are_in_doubt() -> None:
    assert reasons(said("Leichenhalle", probability=0.2)) == ["unsure"]
    assert reasons(said("so", word_s=4.0)) == ["long"]
    assert reasons(said("immerwährend", word_s=2.0)) == []


def test_the_file_lists_doubts_in_order_and_counts_each_second_once(tmp_path: Path) -> None:
    doubts = [
        Doubt(5, 7, "unsure", "b"),
        Doubt(1, 2, "dropped"),
        Doubt(6, 8, "long", "c"),
        Doubt(20, 30, "invented", "Thank you.", removed=True),
    ]
    write_qc(tmp_path / "qc.json", {"coverage": 1.0}, doubts)

    record = json.loads((tmp_path / "qc.json").read_text())
    assert record["coverage"] == 1.0
    assert [d["reason"] for d in record["doubts"]] == ["dropped", "unsure", "long", "invented"]
    assert suspect_seconds(doubts) == 4
