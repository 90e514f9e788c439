"""Given text: every word of a script or of lyrics gets its time, whatever was heard."""

from __future__ import annotations

import re
import statistics
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.transcripts.engines import Choice
from av_pipelines.transcripts.formats import read_transcript
from av_pipelines.transcripts.given_text import TextError, lines_of, match, read_text, time_text
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.transcribe import transcribe_file
from av_pipelines.transcripts.words import Word, join
from resources.models import Model


def heard(text: str, word_s: float = 0.5, start_s: float = 1.0) -> list[Word]:
    times = [start_s + i * word_s for i in range(len(text.split()) + 1)]
    return [Word(a, b, w, 0.9) for (a, b), w in zip(pairwise(times), text.split(), strict=True)]


# ---------------------------------------------------------------------- the file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_the_encodings_that_can_be_told(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "song.mp3.lyrics.txt"
    path.write_text("Früh am Morgen", encoding=encoding)
    assert read_text(path) == "Früh am Morgen"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("Früh am Morgen".encode("latin-1"), "not UTF-8 text .* Save it as UTF-8"),
        (b" \n ", "no text in it"),
        (b"a\x00b", "not text"),
        (b"x" * 1_000_001, "at most 1000000 bytes"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "song.mp3.lyrics.txt"
    path.write_bytes(data)
    with pytest.raises(TextError, match=f"{re.escape(str(path))}.*{said}"):
        read_text(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"gone\.txt: a text file of at most"):
        read_text(tmp_path / "gone.txt")


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=60))
def test_a_line_keeps_all_its_text(text: str) -> None:
    lines = lines_of(text)
    squeezed = "".join(text.split())
    assert "".join("".join(w.text for w in line) for line in lines) == squeezed


def test_words_are_what_blanks_and_scripts_make_them() -> None:
    assert [[w.text for w in line] for line in lines_of("Don't stop – 24/7!\n\n日本、語 OK")] == [
        ["Don't", "stop", "–", "24/7!"],
        ["日", "本、", "語", "OK"],
    ]
    assert join(lines_of("日本、語 OK")[0]) == "日本、語 OK"


# ---------------------------------------------------------------------- the times


def test_words_that_were_heard_have_the_times_they_were_heard_at() -> None:
    said = heard("and now the end is near")
    timed = time_text("And now,\nthe END is near!", said, [(1.0, 4.0)], 5.0)

    assert [[w.text for w in line] for line in timed.lines] == [
        ["And", "now,"],
        ["the", "END", "is", "near!"],
    ]
    flat = [w for line in timed.lines for w in line]
    assert [(w.start_s, w.end_s) for w in flat] == [(w.start_s, w.end_s) for w in said]
    assert timed.matched == 1.0
    assert timed.degraded is None


def test_numbers_take_the_time_of_the_words_they_are_read_as() -> None:
    said = heard("in nineteen eighty four we built it")
    timed = time_text("In 1984 we built it", said, [(1.0, 4.5)], 5.0)

    number = timed.lines[0][1]
    assert number.text == "1984"
    assert (number.start_s, number.end_s) == (pytest.approx(1.5), pytest.approx(3.0))


def test_repeats_are_matched_in_their_order() -> None:
    said = heard("let it be let it be whisper words let it be")
    assert match([w for line in lines_of("Let it be, let it be\nwhisper words, let it be")
                  for w in line], said) == list(range(11))  # fmt: skip


def test_a_verse_that_was_not_heard_is_spread_over_the_voice_between() -> None:
    said = [*heard("first line"), *heard("last line", start_s=20.0)]
    timed = time_text(
        "First line\nsomething lost in here\nlast line", said, [(1, 2), (8, 12), (20, 21)], 30.0
    )

    lost = timed.lines[1]
    assert all(8.0 <= w.start_s < w.end_s <= 12.0 for w in lost)


def test_the_text_of_another_song_is_told() -> None:
    timed = time_text("la " * 20, heard("completely different words"), [(1, 2.5)], 9.0)
    assert timed.degraded is not None
    assert "only 0% of the given text was heard" in timed.degraded


@given(
    st.lists(st.sampled_from(["la", "di", "da", "7", "–", "日本"]), min_size=1, max_size=40),
    st.lists(st.sampled_from(["la", "di", "da", "seven"]), max_size=30),
    st.lists(st.floats(0.05, 3), max_size=8),
    st.booleans(),
)
def test_every_word_has_a_time_in_the_file_and_in_order(text, said, steps, by_model) -> None:
    duration_s = 60.0
    edges = [sum(steps[:i]) for i in range(len(steps) + 1)]
    voiced = [pair for i, pair in enumerate(pairwise(edges)) if i % 2]

    def wild(start_s, end_s, words):  # a model may say anything
        return [Word(end_s - i, start_s + i, w.text, 0.5) for i, w in enumerate(words)]

    timed = time_text(
        " ".join(text),
        heard(" ".join(said)),
        voiced,
        duration_s,
        wild if by_model else lambda *_: None,
    )

    words = [w for line in timed.lines for w in line]
    assert "".join(w.text for w in words) == "".join(text)
    assert all(0 <= w.start_s <= w.end_s <= duration_s for w in words)


# ---------------------------------------------------------------------- with a model


SPOKEN = (
    "In nineteen eighty four the company built a new factory near the river. "
    "It gave work to three hundred people. The manager was a quiet woman, who listened "
    "carefully before she answered any question. When the train arrived, the station was full "
    "of students waiting for their friends. Some of them carried flowers, and others held signs."
)
WRITTEN = SPOKEN.replace("nineteen eighty four", "1984").replace("three hundred", "300")


def test_speech_is_timed_by_its_script(whisper_base: Model, speak, tmp_path: Path) -> None:
    spoken = speak(SPOKEN, words_per_minute=150)
    script = tmp_path / "speech.wav.script.txt"
    script.write_text(WRITTEN.replace(". ", ".\n"))

    result = transcribe_file(
        spoken.path,
        tmp_path,
        TranscriptSettings(language="en"),
        choice=Choice(whisper_base),
        text=script,
    )

    transcript = read_transcript(tmp_path / "transcript.json")
    assert [segment.text for segment in transcript.segments] == script.read_text().splitlines()
    assert [w.text for w in transcript.words] == WRITTEN.split()
    assert result.facts["text_matched"] >= 0.9
    assert result.degraded is None
    onsets = in_written(spoken.onsets_s)
    errors = [abs(transcript.words[i].start_s - onset) for i, onset in onsets.items()]
    assert statistics.median(errors) <= 0.06
    assert np.percentile(errors, 99) <= 0.3
    assert {WRITTEN.split().index("1984"), WRITTEN.split().index("300")} <= set(onsets)


def in_written(onsets_s: dict[int, float]) -> dict[int, float]:
    """The spoken words' onsets, by the numbers of the written words."""
    number, found = 0, {}
    for i, text in enumerate(SPOKEN.split()):
        if i in onsets_s and text not in ("eighty", "four", "hundred"):
            found[number] = onsets_s[i]
        number += text not in ("nineteen", "eighty", "three")
    return found


def test_a_text_for_a_file_without_voice_is_timed_and_told(
    whisper_base: Model, tmp_path: Path, write_wav
) -> None:
    silence = write_wav(tmp_path / "silence.wav", np.zeros(16_000 * 4))

    result = transcribe_file(
        silence,
        tmp_path,
        TranscriptSettings(text="One line\nand another"),
        choice=Choice(whisper_base),
    )

    words = read_transcript(tmp_path / "transcript.json").words
    assert [w.text for w in words] == ["One", "line", "and", "another"]
    assert result.facts["text_matched"] == 0
    assert "only 0%" in (result.degraded or "")
