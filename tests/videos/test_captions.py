"""Captions of what is said: no word is lost, none is shown twice, no line is too long."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.videos.captions import Heard, Said, make_captions, on_film


@st.composite
def spoken(draw: st.DrawFn) -> list[Said]:
    words, at = [], 0
    for _ in range(draw(st.integers(0, 30))):
        at += draw(st.integers(0, 1500))
        long = draw(st.integers(1, 900))
        text = draw(st.text("abcü.漢!?", min_size=1, max_size=15))
        words.append(
            Said(
                Fraction(at, 1000),
                Fraction(at + long, 1000),
                text,
                draw(st.booleans()),
                draw(st.integers(0, 9)) == 0,
            )
        )
        at += long
    return words


@given(spoken(), st.integers(8, 60), st.integers(1, 3))
def test_all_words_are_there_in_order_within_lines(
    words: list[Said], columns: int, lines: int
) -> None:
    until = Fraction(3600)
    captions = make_captions(words, max_chars=columns, max_lines=lines, until=until)
    shown = "".join("".join(c.lines) for c in captions).replace(" ", "")
    assert shown == "".join(word.text for word in words).replace(" ", "")
    assert [w.start for c in captions for w in c.words] == [w.start for w in words]
    for caption in captions:
        assert len(caption.lines) <= lines
        assert caption.start < caption.end <= until
        for line in caption.lines:
            assert len(line) <= columns or " " not in line
    assert all(a.end <= b.start for a, b in pairwise(captions))


def test_words_that_are_cut_out_are_not_shown_and_speed_is_followed() -> None:
    words = [Said(Fraction(n), Fraction(2 * n + 1, 2), str(n)) for n in range(6)]
    heard = [
        Heard(words, Fraction(3), Fraction(5), at=Fraction(0), speed=Fraction(2)),
        Heard(words, Fraction(0), Fraction(1), at=Fraction(1)),
    ]
    assert [(w.text, w.start, w.end) for w in on_film(heard)] == [
        ("3", 0, Fraction(1, 4)), ("4", Fraction(1, 2), Fraction(3, 4)),
        ("0", 1, Fraction(3, 2)),
    ]  # fmt: skip


def broken_up(text: str, max_chars: int, lines: int = 2, pause_after: str = "") -> list[list[str]]:
    """Break text whose words take a third of a second each."""
    said, at = [], Fraction(0)
    for word in text.split():
        said.append(Said(at, at + Fraction(1, 3), word))
        at += Fraction(1, 3) + (Fraction(1, 2) if word == pause_after else 0)
    made = make_captions(said, max_chars=max_chars, max_lines=lines, until=at + 1, language="en")
    return [list(caption.lines) for caption in made]


def test_lines_and_captions_end_where_phrases_do() -> None:
    inaugural = "what your country can do for you, ask what you can do for your country."
    assert broken_up(inaugural, 42) == [
        ["what your country can do for you,", "ask what you can do for your country."]
    ]
    assert broken_up(inaugural, 30) == [
        ["what your country can do", "for you,"],
        ["ask what you can do", "for your country."],
    ]
    assert broken_up("I went to the old house in the hills of my youth", 28) == [
        ["I went to the old house", "in the hills of my youth"]
    ]


def test_a_pause_is_a_better_place_to_break_than_none() -> None:
    text = "one two three four five six seven eight nine ten"
    assert broken_up(text, 30, 1, pause_after="four")[0] == ["one two three four"]
