"""The files of a transcript: read back by other programs they give the same text and times."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pysubs2
import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.transcripts.cues import Cue, make_cues
from av_pipelines.transcripts.formats import (
    FORMATS,
    read_transcript,
    to_srt,
    to_text,
    to_vtt,
    write_subtitles,
)
from av_pipelines.transcripts.karaoke import WORD_JOINER, to_ass, to_lrc
from av_pipelines.transcripts.subtitle_settings import SubtitleSettings
from av_pipelines.transcripts.turns import Turn
from av_pipelines.transcripts.words import Transcript, Word
from tests.transcripts.streams import MARKUP, SAID, any_text, evenly, many, streams, transcript_of

TURNS = [Turn(0, 1.2, "Speaker 1"), Turn(1.2, 30, "Speaker 2")]
wild = streams(st.one_of(st.sampled_from(SAID), st.sampled_from(MARKUP), any_text))
"""Streams of words with anything in them that could be taken for markup."""


def content(cues: list[Cue]) -> list[tuple[int, int, tuple[str, ...]]]:
    return [(cue.start_ms, cue.end_ms, cue.lines) for cue in cues]


def hundredths(cues: list[Cue]) -> list[tuple[int, int, tuple[str, ...]]]:
    """What is left of times in a format of 1/100 s; nothing is shorter than that."""
    return [
        (start, max((cue.end_ms + 5) // 10, start + 1), cue.lines)
        for cue in cues
        for start in [(cue.start_ms + 5) // 10]
    ]


def unjoined(text: str) -> str:
    """Read a text of SRT: what is there to keep markup from being markup is not text."""
    return re.sub(f"([<{{\\\\]|--){WORD_JOINER}", r"\1", text)


def ass_lines(event: pysubs2.SSAEvent) -> tuple[str, ...]:
    r"""Read a text of ASS as libass does: ``{…}`` are tags, ``\N`` breaks, ``\{`` is a brace."""
    text = re.sub(r"(?<!\\)\{[^}]*\}", "", event.text)
    lines = re.split(r"\\N", text)
    return tuple(
        re.sub(r"\\([{}])", r"\1", line).replace("\\" + WORD_JOINER, "\\") for line in lines
    )


@many
@given(wild)
def test_srt_reads_back_whatever_was_said(transcript: Transcript) -> None:
    cues = make_cues(transcript)
    blocks = to_srt(cues).split("\n\n") if cues else []
    found = []
    for number, block in enumerate(blocks, start=1):
        first, times, *lines = block.rstrip("\n").split("\n")
        assert int(first) == number
        start, end = (pysubs2.time.TIMESTAMP.match(t) for t in times.split(" --> "))
        assert start
        assert end
        seen = [pysubs2.time.timestamp_to_ms(t.groups()) for t in (start, end)]
        found.append((*seen, tuple(map(unjoined, lines))))

    assert found == content(cues)


@many
@given(wild)
def test_pysubs2_reads_srt_and_sees_no_markup_in_it(transcript: Transcript) -> None:
    cues = make_cues(transcript)
    parsed = pysubs2.SSAFile.from_string(to_srt(cues), format_="srt")

    assert [(e.start, e.end) for e in parsed] == [(c.start_ms, c.end_ms) for c in cues]
    for event, cue in zip(parsed, cues, strict=True):
        if not cue.lines[-1].isdigit():  # pysubs2 takes it for the number of the next cue
            text = event.text.replace(r"\N", "\n")
            assert unjoined(text) == "\n".join(cue.lines)


@many
@given(wild)
def test_webvtt_reads_back_whatever_was_said(transcript: Transcript) -> None:
    cues = make_cues(transcript)
    parsed = webvtt.from_string(to_vtt(cues)).captions

    assert [
        (
            c.start_time.in_milliseconds(),
            c.end_time.in_milliseconds(),
            tuple(html.unescape(line) for line in c.raw_text.split("\n")),
        )
        for c in parsed
    ] == content(cues)
    assert not any("<" in c.raw_text or ">" in c.raw_text for c in parsed)


@many
@given(wild, st.booleans())
def test_ass_reads_back_whatever_was_said(transcript: Transcript, karaoke: bool) -> None:
    cues = make_cues(transcript)
    written = to_ass(
        cues, SubtitleSettings(karaoke=karaoke), language="en", title="A title\n[Events]"
    )
    parsed = pysubs2.SSAFile.from_string(written, format_="ass")

    assert [(e.start // 10, e.end // 10, ass_lines(e)) for e in parsed] == hundredths(cues)
    for event, (start, end, _) in zip(parsed, hundredths(cues), strict=True):
        sung = [int(k) for k in re.findall(r"(?<!\\)\{\\k(\d+)\}", event.text)]
        assert sum(sung) <= end - start or not karaoke or end - start == 1


@many
@given(wild, st.sampled_from(["line", "word"]))
def test_lrc_reads_back_whatever_was_said(transcript: Transcript, lrc: str) -> None:
    cues = make_cues(transcript)
    how = SubtitleSettings.model_validate({"lrc": lrc})
    written = to_lrc(cues, how, duration_s=90.4, title="A [title]")

    lines = re.findall(r"^\[(\d+):(\d\d)\.(\d\d)\](.+)$", written, flags=re.MULTILINE)
    rows = [row for cue in cues for row in cue.rows]
    found = []
    for minutes, seconds, hundredth, text in lines:
        if lrc == "word":
            text = re.sub(r"<\d+:\d\d\.\d\d>", "", text)
        text = re.sub(f"([\\[<]){WORD_JOINER}", r"\1", text)
        found.append((int(minutes) * 6000 + int(seconds) * 100 + int(hundredth), text))
    texts = [line for cue in cues for line in cue.lines]
    assert found == [((r[0].start_ms + 5) // 10, t) for r, t in zip(rows, texts, strict=True)]
    assert written.startswith("[ti:A (title)]\n[length:01:30]\n")


@many
@given(wild)
def test_plain_text_has_a_line_for_each_segment(transcript: Transcript) -> None:
    lines = to_text(transcript).split("\n")
    assert lines == [*(segment.text for segment in transcript.segments), ""]


@settings(many, max_examples=25)
@given(wild)
def test_json_reads_back_to_the_same_transcript(
    tmp_path_factory: pytest.TempPathFactory, transcript: Transcript
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write_subtitles(transcript, folder, turns=TURNS)
    again = read_transcript(folder / "transcript.json")

    assert [w.text for w in again.words] == [w.text for w in transcript.words]
    for before, after in zip(transcript.words, again.words, strict=True):
        assert after.start_s == pytest.approx(before.start_s, abs=0.0005)
        assert after.end_s == pytest.approx(before.end_s, abs=0.0005)


def test_a_json_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "transcript.json").write_text('{"schema": 99}')
    with pytest.raises(ValueError, match="schema 99 where 1 is expected"):
        read_transcript(tmp_path / "transcript.json")


def test_files_look_as_players_expect(tmp_path: Path) -> None:
    transcript = transcript_of([Word(3661.5, 3663.25, "Salt & pepper", 0.9)], duration_s=4000)
    report = write_subtitles(transcript, tmp_path, title="Dinner")

    assert [path.name for path in report.files] == [f"transcript.{suffix}" for suffix in FORMATS]
    assert (tmp_path / "transcript.srt").read_text() == (
        "1\n01:01:01,500 --> 01:01:03,250\nSalt & pepper\n"
    )
    assert (tmp_path / "transcript.vtt").read_text() == (
        "WEBVTT\n\n01:01:01.500 --> 01:01:03.250\nSalt &amp; pepper\n"
    )
    assert (tmp_path / "transcript.lrc").read_text() == (
        "[ti:Dinner]\n[length:66:40]\n[61:01.50]Salt & pepper\n[61:03.25]\n"
    )
    ass = (tmp_path / "transcript.ass").read_text()
    assert "Dialogue: 0,1:01:01.50,1:01:03.25,Default,,0,0,0,,Salt & pepper\n" in ass


def test_karaoke_marks_each_word_when_it_is_sung() -> None:
    words = [Word(1.0, 1.5, "Never", 0.9), Word(1.5, 1.8, "the", 0.9), Word(2.0, 2.4, "sea", 0.9)]
    cues = make_cues(transcript_of(words))
    ass = to_ass(cues, SubtitleSettings(karaoke=True), language="en", title="")
    assert ass.endswith(r",,{\k50}Never {\k30}the{\k20} {\k40}sea" + "\n")


def test_enhanced_lrc_times_every_word() -> None:
    words = [Word(1.0, 1.5, "Never", 0.9), Word(1.5, 1.8, "the", 0.9), Word(2.0, 2.4, "sea", 0.9)]
    cues = make_cues(transcript_of(words))
    lrc = to_lrc(cues, SubtitleSettings(lrc="word"), duration_s=3, title="")
    assert "[00:01.00]<00:01.00>Never <00:01.50>the <00:02.00>sea\n[00:02.40]\n" in lrc


def test_speakers_are_named_in_every_format_that_has_a_place_for_them(tmp_path: Path) -> None:
    transcript = transcript_of(evenly("Are you there? Yes I am here."))
    report = write_subtitles(transcript, tmp_path, turns=TURNS)

    assert report.facts["speakers"] == 2
    captions = webvtt.read(str(tmp_path / "transcript.vtt")).captions
    assert [(c.voice, c.text) for c in captions] == [
        ("Speaker 1", "Are you there? Yes"),
        ("Speaker 2", "I am here."),
    ]
    ass = pysubs2.load(str(tmp_path / "transcript.ass"))
    assert [(e.style, e.name) for e in ass] == [("Speaker 1",) * 2, ("Speaker 2",) * 2]
    assert ass.styles["Speaker 1"].primarycolor != ass.styles["Speaker 2"].primarycolor
    record = json.loads((tmp_path / "transcript.json").read_text())
    assert [w["speaker"][-1] for w in record["segments"][0]["words"]] == list("1111222")
    assert [t["speaker"] for t in record["turns"]] == ["Speaker 1", "Speaker 2"]
    assert (tmp_path / "transcript.txt").read_text() == (
        "Speaker 1: Are you there? Yes\nSpeaker 2: I am here.\n"
    )


def test_the_lint_is_written_beside_the_subtitles(tmp_path: Path) -> None:
    transcript = transcript_of(evenly("unbelievably fast speakers talk and talk " * 9, 0.1))
    report = write_subtitles(transcript, tmp_path)
    record = json.loads((tmp_path / "lint.json").read_text())

    assert record["lint_broken"] == report.facts["lint_broken"] == 0
    assert record["lint_exceptions"] == len(record["findings"]) > 0
    assert record["broken"]["reading speed"] > 0
    assert report.rows[0]["exception"] == "fast speech"
    assert record["rules"]["line_columns"] == 42


def test_right_to_left_text_is_marked_as_such_for_libass() -> None:
    cues = make_cues(transcript_of(evenly("שלום לכולם"), language="he"))
    ass = to_ass(cues, SubtitleSettings(karaoke=True), language="he", title="")
    assert ass.endswith(",,שלום לכולם\n")
    assert pysubs2.SSAFile.from_string(ass).styles["Default"].encoding == 177


def test_times_beyond_ten_and_a_hundred_hours_are_kept() -> None:
    words = [Word(360_001.0, 360_003.0, "Late.", 0.9)]
    cues = make_cues(transcript_of(words, duration_s=400_000))
    assert "100:00:01,000 --> 100:00:03,000" in to_srt(cues)
    assert "100:00:01.00,100:00:03.00" in to_ass(cues, SubtitleSettings(), language="en", title="")


def test_no_speech_gives_valid_files_without_cues(tmp_path: Path) -> None:
    report = write_subtitles(transcript_of(), tmp_path)

    assert report.facts == {"cues": 0, "lint_exceptions": 0, "lint_broken": 0}
    assert (tmp_path / "transcript.txt").read_text() == ""
    assert (tmp_path / "transcript.srt").read_text() == ""
    assert (tmp_path / "transcript.vtt").read_text() == "WEBVTT\n"
    assert list(pysubs2.load(str(tmp_path / "transcript.ass"))) == []
    assert read_transcript(tmp_path / "transcript.json").segments == ()
