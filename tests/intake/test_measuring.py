"""Counting packets, judging frame rates, and cleaning text, for whatever a file holds."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.intake.containers import StreamInfo
from av_pipelines.intake.tally import Tally
from av_pipelines.intake.text import MAX_TAGS, clean, clean_tags

FILM = StreamInfo(
    index=0,
    type="video",
    codec="h264",
    decodable=True,
    profile=None,
    time_base=Fraction(1, 1000),
    start_s=None,
    duration_s=None,
    language=None,
    title=None,
    dispositions=(),
    attached_picture=False,
)


def packet(pts: int | None, *, duration: int = 0, size: int = 100, **flags: Any) -> Any:
    shape = {"dts": pts, "is_keyframe": False, "is_discard": False, **flags}
    return SimpleNamespace(pts=pts, duration=duration, size=size, **shape)


def tally(stamps: list[int], base: Fraction, fps: Fraction | None = None) -> Tally:
    counted = Tally(replace(FILM, time_base=base, fps=fps))
    for pts in stamps:
        counted.count(packet(pts))
    counted.finish()
    return counted


@settings(max_examples=50)
@given(
    fps=st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)]),
    ticks=st.sampled_from([1000, 600, 90_000, 12_800]),
    frames=st.integers(3, 400),
    start=st.integers(-5000, 100_000),
    seed=st.integers(0, 999),
)
def test_rounding_and_reordering_are_no_variable_rate(
    fps: Fraction, ticks: int, frames: int, start: int, seed: int
) -> None:
    """Time stamps are rounded to the container's clock and come in decoding order."""
    stamps = [start + round(i / fps * ticks) for i in range(frames)]
    order = random.Random(seed)
    groups = [stamps[i : i + 8] for i in range(0, frames, 8)]
    mixed = [pts for group in groups for pts in order.sample(group, len(group))]
    counted = tally(mixed, Fraction(1, ticks), fps)
    assert counted.variable_frame_rate is False
    assert counted.fps == fps
    assert counted.filled == frames
    assert counted.duration_s == pytest.approx(float(frames / fps), abs=3 / ticks + 1 / fps / 20)


@settings(max_examples=30)
@given(drops=st.lists(st.sampled_from(range(10, 290, 3)), min_size=10, unique=True))
def test_dropped_frames_make_a_variable_rate(drops: list[int]) -> None:
    stamps = [40 * i for i in range(300) if i not in drops]
    assert tally(stamps, Fraction(1, 1000), Fraction(25)).variable_frame_rate is True


def test_one_odd_frame_makes_no_variable_rate() -> None:
    stamps = [40 * i + (400 if i > 150 else 0) for i in range(300)]
    assert tally(stamps, Fraction(1, 1000), Fraction(25)).variable_frame_rate is False


def test_the_average_is_told_where_the_nominal_rate_is_wrong() -> None:
    """Screen recorders write 1000 frames a second into the header."""
    counted = tally([100 * i for i in range(50)], Fraction(1, 1000), Fraction(1000))
    assert counted.fps == 10


def test_the_last_frame_is_shown_as_long_as_the_one_before() -> None:
    assert tally([0, 40, 80], Fraction(1, 1000)).duration_s == pytest.approx(0.12)
    assert tally([0], Fraction(1, 1000), Fraction(10)).duration_s == pytest.approx(0.1)


def test_what_an_edit_list_throws_away_does_not_count() -> None:
    counted = Tally(FILM)
    counted.count(packet(-1000, is_discard=True))
    counted.count(packet(0, duration=500))
    counted.finish()
    assert (counted.packets, counted.duration_s) == (1, 0.5)


@given(stamps=st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), max_size=60))
def test_any_time_stamps_are_survived(stamps: list[int | None]) -> None:
    counted = Tally(FILM)
    for pts in stamps:
        counted.count(packet(pts, size=1))
    counted.finish()
    assert counted.filled == len(stamps)
    assert counted.duration_s >= 0
    assert counted.fps is None or counted.fps >= 0


@given(st.text(max_size=3000))
def test_cleaned_text_is_one_short_line_without_control_characters(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= 500
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in cleaned)
    assert cleaned == cleaned.strip()
    assert clean(cleaned) == cleaned


def test_direction_and_line_breaks_cannot_disguise_a_name() -> None:
    assert clean("song\u202e3pm.exe\r\n\x1b[31m") == "song3pm.exe [31m"


@given(st.dictionaries(st.text(max_size=100), st.text(max_size=600), max_size=120))
def test_tags_are_few_and_named_plainly(tags: dict[str, str]) -> None:
    cleaned = clean_tags(tags)
    assert len(cleaned) <= MAX_TAGS
    assert all(name and name.isascii() and name == name.lower() for name in cleaned)
    assert all(cleaned.values())
