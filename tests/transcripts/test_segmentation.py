"""Where subtitles and their lines are broken: as an editor would, in any script."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.media.breaks import characters, clusters, columns
from av_pipelines.transcripts.cues import Cue, make_cues
from av_pipelines.transcripts.lint import lint
from av_pipelines.transcripts.subtitle_settings import SubtitleSettings, rules_for
from av_pipelines.transcripts.timing import Clock
from av_pipelines.transcripts.words import Transcript, Word
from tests.transcripts.streams import by_character, evenly, many, streams, transcript_of


def lines_of(text: str, language: str = "en") -> list[tuple[str, ...]]:
    return [c.lines for c in make_cues(transcript_of(evenly(text), language=language))]


def test_long_speech_is_cut_after_sentences_and_clauses() -> None:
    text = (
        "Nobody had seen such a storm before. The fishermen stayed at home, "
        "and the children went back to school."
    )
    assert lines_of(text) == [
        ("Nobody had seen such a storm before.",),
        ("The fishermen stayed at home,", "and the children went back to school."),
    ]


@pytest.mark.parametrize(
    ("language", "text", "lines"),
    [
        (
            "en",
            "Everybody in the little village knew the old man and his boat",
            ("Everybody in the little village", "knew the old man and his boat"),
        ),
        (
            "en",
            "Nobody in the whole wide harbour saw Angela Merkel that evening",
            ("Nobody in the whole wide harbour", "saw Angela Merkel that evening"),
        ),
        (
            "de",
            "Gestern Abend wollten die Kinder mit dem Fischer nach Hause gehen",
            ("Gestern Abend wollten die Kinder", "mit dem Fischer nach Hause gehen"),
        ),
        (
            "fr",
            "Personne ne voulait rentrer parce que la mer était belle",
            ("Personne ne voulait rentrer", "parce que la mer était belle"),
        ),
        (
            "es",
            "Los pescadores se quedaron en casa porque llegaba la tormenta",
            ("Los pescadores se quedaron en casa", "porque llegaba la tormenta"),
        ),
    ],
)
def test_a_line_breaks_where_the_grammar_does(
    language: str, text: str, lines: tuple[str, ...]
) -> None:
    assert lines_of(text, language) == [lines]


def test_a_translation_is_broken_as_the_english_it_is() -> None:
    text = "Everybody in the little village knew the old man and his boat"
    spoken = transcript_of(evenly(text), language="ja")
    (cue,) = make_cues(replace(spoken, task="translate"))
    assert cue.lines == ("Everybody in the little village", "knew the old man and his boat")


def test_the_lower_line_is_the_longer_one() -> None:
    (lines,) = lines_of("aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii")
    assert len(lines[0]) < len(lines[1])


def test_an_article_stays_with_its_noun_and_a_first_name_with_the_last() -> None:
    ends = [line.split()[-1] for _ in range(1) for cue in lines_of(STORY) for line in cue]
    assert not {"the", "a", "Mr.", "Angela"} & set(ends)


STORY = (
    "It was the night after the storm that Mr. Smith went down to the harbour to look for the "
    "boat of a friend and saw Angela Merkel on the pier with a book about the sea in the hand "
) * 6


def test_a_greedy_fill_would_leave_one_word_behind() -> None:
    text = (
        "the fishermen of this village have never seen anything that is like the storm today " * 2
    )
    filled = [len(" ".join(cue)) for cue in lines_of(text + "again")]
    assert min(filled) > max(filled) / 2


def test_lines_of_a_song_are_kept_together() -> None:
    song = ["I never saw the harbour light", "I never heard the bell at night", "until you came"]
    words = [evenly(line, start_s=2.0 * i) for i, line in enumerate(song)]
    lines = [line for cue in make_cues(transcript_of(*words)) for line in cue.lines]
    assert lines == song


def test_japanese_is_broken_by_its_own_rules_at_half_the_characters() -> None:
    text = "昨日は天気が良かったので、友達と一緒に公園へ行きました。そこで桜を見ました。"
    for words in (by_character(text), [Word(0, 8, text, 0.9, spaced=False)]):
        cues = make_cues(transcript_of(words, language="ja"))
        lines = [line for cue in cues for line in cue.lines]
        assert "".join(lines) == text
        assert all(columns(line) <= 26 and line[0] not in "、。っ" for line in lines)
        assert lines[0] == "昨日は天気が良かったので、"


def test_thai_keeps_vowels_and_marks_on_their_consonants() -> None:
    text = "เมื่อวานนี้อากาศดีมากเราจึงไปเที่ยวสวนสาธารณะกับเพื่อนๆและดูดอกไม้" * 2
    cues = make_cues(transcript_of([Word(0, 12, text, 0.9, spaced=False)], language="th"))
    lines = [line for cue in cues for line in cue.lines]
    assert "".join(lines) == text
    assert all(columns(line) <= 42 for line in lines)
    assert not any(line[0] in "ะาำ" or columns(line[0]) == 0 for line in lines)


def test_hebrew_and_arabic_stay_in_the_order_in_which_they_are_said() -> None:
    for language, text in (("he", "שלום לכולם, מה שלומכם היום?"), ("ar", "مرحبا بكم، كيف حالكم؟")):
        cues = make_cues(transcript_of(evenly(text), language=language))
        assert " ".join(line for cue in cues for line in cue.lines) == text


def test_width_and_length_are_what_is_seen() -> None:
    assert (columns("日本"), columns("e\u0301"), columns("👩‍👩‍👧"), columns("ＡＢ")) == (4, 1, 2, 4)
    assert (characters("e\u0301"), characters("日本")) == (1, 2)
    assert clusters("กำลังเ") == ["กำ", "ลั", "ง", "เ"]


@settings(many, max_examples=50)
@given(streams(st.sampled_from(["the", "storm", "came.", "Angela", "Merkel", "x" * 30]), 5))
def test_a_rule_is_broken_only_where_every_way_to_cut_breaks_one(transcript: Transcript) -> None:
    how = SubtitleSettings(cue_pause_s=60)
    rules = rules_for(how, "en")
    cues = make_cues(replace(transcript, language="en"), how)
    pieces = [piece for cue in cues for piece in cue.pieces]
    clock = Clock(pieces, rules, [], transcript.duration_s)

    def broken(cues: Sequence[Cue]) -> bool:
        return bool(lint(cues, rules, "en", duration_s=transcript.duration_s))

    if not broken(cues):
        return
    for cuts in subsets(len(pieces)):
        for breaks in subsets(len(pieces)):
            bounds = list(pairwise([0, *cuts, len(pieces)]))
            rows = [
                tuple(
                    tuple(pieces[a:b])
                    for a, b in pairwise([first, *(b for b in breaks if first < b < last), last])
                )
                for first, last in bounds
            ]
            times = clock.times(bounds)
            assert broken([Cue(*t, r) for t, r in zip(times, rows, strict=True)])


def subsets(count: int) -> list[tuple[int, ...]]:
    places = range(1, count)
    return [c for size in range(count) for c in combinations(places, size)]


def test_time_grows_with_the_words_and_not_faster() -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices("abcdefghij", k=rng.randint(1, 9))) for _ in range(500)]
    words, now = [], 0.0
    for _ in range(20_000):
        text = rng.choice(texts) + rng.choice(["", "", "", "", "", "", "", "", ".", ","])
        words.append(Word(now, now + 0.07 * len(text), text, 0.9))
        now = words[-1].end_s + rng.choice([0.0, 0.02, 0.4])
    transcript = transcript_of(words, duration_s=now)

    before = time.process_time()
    make_cues(transcript)

    assert time.process_time() - before < 3  # 0.3 s on a quiet machine
