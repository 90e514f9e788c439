"""Words: clean text, and times a program can rely on, whatever the recogniser gave."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.transcripts.words import Word, join, tidy, word

seconds = st.floats(-5, 60)
wild_word = st.builds(Word, seconds, seconds, st.just("a"), st.just(0.5))


@given(st.lists(st.lists(wild_word, max_size=5), max_size=6), st.floats(0, 50))
def test_times_end_up_in_the_file_in_order_and_apart(
    groups: list[list[Word]], duration_s: float
) -> None:
    segments = tidy(groups, duration_s)

    words = [w for segment in segments for w in segment.words]
    assert [w.text for w in words] == [w.text for group in groups for w in group]
    assert all(0 <= w.start_s <= w.end_s <= duration_s for w in words)
    assert all(before.end_s <= after.start_s for before, after in pairwise(words))


def test_times_that_are_right_stay_as_they_are() -> None:
    words = [Word(0.5, 1.0, "one", 0.9), Word(1.2, 1.5, "two", 0.9)]
    assert tidy([words], 2.0)[0].words == tuple(words)


def test_segments_in_which_nothing_is_said_go() -> None:
    segments = tidy([[Word(0, 1, ".", 0.1)], [], [Word(2, 3, "♪", 0.1)], [Word(4, 5, "7%", 1)]], 9)
    assert [segment.text for segment in segments] == ["7%"]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([" well", "-known", " facts."], "well-known facts."),
        (["日", "本", "語"], "日本語"),
        ([" two\nlines", " a\x00b\u2028c"], "two lines ab c"),
    ],
)
def test_a_recognisers_pieces_join_to_the_text_they_came_from(pieces: list[str], text: str) -> None:
    assert join(w for piece in pieces if (w := word(piece, 0, 1, 0.5))) == text


def test_a_piece_without_anything_to_read_is_no_word() -> None:
    assert word(" \x00 ", 0, 1, 0.5) is None
