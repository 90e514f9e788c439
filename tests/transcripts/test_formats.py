"""Subtitles and text files: well formed, within the limits, and not a letter lost or added."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.transcripts.cues import (
    MAX_CHARACTERS,
    MAX_LINES,
    MAX_MS,
    Cue,
    make_cues,
)
from av_pipelines.transcripts.formats import (
    FORMATS,
    read_transcript,
    to_srt,
    to_text,
    to_vtt,
    write_formats,
)
from av_pipelines.transcripts.words import Transcript, Word, tidy, word


def transcript_of(*segments: list[Word], duration_s: float = 60.0) -> Transcript:
    return Transcript(
        tidy(segments, duration_s),
        duration_s,
        "en",
        0.9,
        "transcribe",
        "an engine",
        "a model",
        "cpu",
    )


def evenly(text: str, word_s: float = 0.3) -> list[Word]:
    """Give the words of a text times, one after the other."""
    times = [round(i * word_s, 3) for i in range(len(text.split()) + 1)]
    return [Word(*pair, t, 0.9) for pair, t in zip(pairwise(times), text.split(), strict=True)]


def random_words(letters: st.SearchStrategy[str]) -> st.SearchStrategy[list[Word]]:
    piece = st.tuples(
        st.sampled_from([" ", " ", " ", ""]),
        st.one_of(letters, st.sampled_from(["yes.", "no,", "x" * 60, "2014", "l'été", "日本"])),
        st.floats(0, 3),
        st.one_of(st.floats(0, 1), st.floats(0, 9)),
    )

    def build(pieces: list[tuple[str, str, float, float]]) -> list[Word]:
        words: list[Word] = []
        now = 0.0
        for space, text, gap, length in pieces:
            now += gap
            if made := word(space + text, now, now + length, 0.5):
                words.append(made)
            now += length
        return words

    return st.lists(piece, max_size=60).map(build)


any_text = st.text(max_size=12)
no_markup = st.text(st.characters(codec="utf-8", exclude_characters="<>{}\\&"), max_size=12)


def segments_of(letters: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[Word]]]:
    return st.lists(random_words(letters), max_size=3)


def squeezed(text: str) -> str:
    return "".join(text.split())


def said(transcript: Transcript) -> str:
    return "".join(squeezed(w.text) for w in transcript.words)


@given(segments_of(any_text), st.floats(0, 300))
def test_cues_keep_the_limits_and_all_the_text(
    segments: list[list[Word]], duration_s: float
) -> None:
    transcript = transcript_of(*segments, duration_s=duration_s)
    cues = make_cues(transcript)

    assert squeezed("".join(line for cue in cues for line in cue.lines)) == said(transcript)
    assert all(cue.start_ms < cue.end_ms <= cue.start_ms + MAX_MS for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    words = {w.text for w in transcript.words}
    for cue in cues:
        assert len(cue.lines) <= MAX_LINES
        assert all(len(line) <= MAX_CHARACTERS or line in words for line in cue.lines)


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
@given(segments=segments_of(no_markup))
def test_subtitles_parse_back_to_the_same_cues(suffix: str, segments: list[list[Word]]) -> None:
    transcript = transcript_of(*segments, duration_s=600)
    cues = make_cues(transcript)

    parsed = pysubs2.SSAFile.from_string(FORMATS[suffix](transcript, cues), format_=suffix)

    assert [(e.start, e.end, squeezed(e.plaintext)) for e in parsed] == [
        (cue.start_ms, cue.end_ms, squeezed("".join(cue.lines))) for cue in cues
    ]


@given(segments_of(any_text))
def test_webvtt_escapes_what_would_be_markup(segments: list[list[Word]]) -> None:
    transcript = transcript_of(*segments, duration_s=600)
    cues = make_cues(transcript)

    blocks = to_vtt(transcript, cues).removeprefix("WEBVTT\n").split("\n\n")
    payloads = [block.strip("\n").split("\n")[1:] for block in blocks if block.strip("\n")]

    assert [tuple(map(html.unescape, lines)) for lines in payloads] == [c.lines for c in cues]
    assert not any(re.search(r"[<>]|&(?!amp;|lt;|gt;)", line) for p in payloads for line in p)


@given(segments_of(any_text))
def test_plain_text_has_a_line_for_each_segment(segments: list[list[Word]]) -> None:
    transcript = transcript_of(*segments)
    lines = to_text(transcript, []).split("\n")
    assert lines == [*(segment.text for segment in transcript.segments), ""]


def test_json_reads_back_to_the_same_transcript(tmp_path: Path) -> None:
    transcript = transcript_of(evenly("Well, it is well-known."), evenly("日本 語"), duration_s=5)

    write_formats(transcript, tmp_path)

    assert read_transcript(tmp_path / "transcript.json") == transcript
    (tmp_path / "transcript.json").write_text('{"schema": 99}')
    with pytest.raises(ValueError, match="schema 99 where 1 is expected"):
        read_transcript(tmp_path / "transcript.json")


def test_long_speech_is_cut_after_sentences_and_clauses() -> None:
    text = (
        "Nobody had seen such a storm before. The fishermen stayed at home, "
        "and the children went back to school."
    )
    assert [cue.lines for cue in make_cues(transcript_of(evenly(text)))] == [
        ("Nobody had seen such a storm before.",),
        ("The fishermen stayed at home,", "and the children went back to school."),
    ]


def test_a_pause_ends_a_cue() -> None:
    words = [Word(0, 1, "Wait.", 0.9), Word(4, 5, "Now.", 0.9)]
    assert make_cues(transcript_of(words)) == [
        Cue(0, 1000, ("Wait.",)),
        Cue(4000, 5000, ("Now.",)),
    ]


def test_a_short_word_stays_readable_while_there_is_room() -> None:
    alone = transcript_of([Word(1.0, 1.2, "Yes.", 0.9)])
    followed = transcript_of([Word(1.0, 1.2, "Yes.", 0.9)], [Word(1.5, 3.0, "Indeed.", 0.9)])
    assert make_cues(alone)[0].end_ms == 1833
    assert make_cues(followed)[0].end_ms == 1500


def test_files_look_as_players_expect(tmp_path: Path) -> None:
    transcript = transcript_of([Word(3661.5, 3663.25, "Salt & pepper", 0.9)], duration_s=4000)
    write_formats(transcript, tmp_path)

    assert (tmp_path / "transcript.srt").read_text() == (
        "1\n01:01:01,500 --> 01:01:03,250\nSalt & pepper\n"
    )
    assert (tmp_path / "transcript.vtt").read_text() == (
        "WEBVTT\n\n01:01:01.500 --> 01:01:03.250\nSalt &amp; pepper\n"
    )


def test_no_speech_gives_valid_files_without_cues(tmp_path: Path) -> None:
    write_formats(transcript_of(), tmp_path)

    assert (tmp_path / "transcript.txt").read_text() == ""
    assert to_srt(transcript_of(), []) == ""
    assert (tmp_path / "transcript.vtt").read_text() == "WEBVTT\n"
    assert read_transcript(tmp_path / "transcript.json").segments == ()
