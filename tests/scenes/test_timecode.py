"""Timecode, and edit lists that other programs read back to the same frames."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentimelineio.opentime import RationalTime

from av_pipelines.media.timecode import from_timecode, may_drop, to_timecode
from av_pipelines.scenes.edit_lists import Clip, to_edl, to_otio

RATES = [
    (Fraction(24000, 1001), False),
    (Fraction(24), False),
    (Fraction(25), False),
    (Fraction(30000, 1001), True),
    (Fraction(30000, 1001), False),
    (Fraction(30), False),
    (Fraction(50), False),
    (Fraction(60000, 1001), True),
    (Fraction(60000, 1001), False),
    (Fraction(60), False),
]
DAY_S = 24 * 3600
CUTS = st.sets(st.integers(1, 3 * 3600 * 23), min_size=1, max_size=40)


@pytest.mark.parametrize(("rate", "drop"), RATES)
@given(share=st.floats(0, 0.999))
def test_timecode_is_what_opentimelineio_says_and_reads_back(
    rate: Fraction, drop: bool, share: float
) -> None:
    frame = int(share * DAY_S * rate)
    text = to_timecode(frame, rate, drop=drop)
    assert text == RationalTime(frame, float(rate)).to_timecode(float(rate), drop)
    assert from_timecode(text, rate) == frame


def test_drop_frame_keeps_up_with_the_clock() -> None:
    rate = Fraction(30000, 1001)
    assert to_timecode(1799, rate, drop=True) == "00:00:59;29"
    assert to_timecode(1800, rate, drop=True) == "00:01:00;02"
    assert to_timecode(17982, rate, drop=True) == "00:10:00;00"
    assert to_timecode(107892, rate, drop=True) == "01:00:00;00"
    assert to_timecode(3600, Fraction(60000, 1001), drop=True) == "00:01:00;04"


@pytest.mark.parametrize("text", ["00:01:00;00", "00:00:00:30", "1:2:3:4", "00:61:00:00", ""])
def test_what_is_no_timecode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="timecode"):
        from_timecode(text, Fraction(30000, 1001))


def test_drop_frame_is_only_for_rates_that_have_it() -> None:
    assert [may_drop(rate) for rate, _ in RATES].count(True) == 4
    with pytest.raises(ValueError, match="drop-frame"):
        to_timecode(1, Fraction(25), drop=True)


@pytest.mark.parametrize(("rate", "drop"), RATES)
@given(cuts=CUTS)
def test_edl_and_otio_parse_back_to_the_same_frames(
    rate: Fraction, drop: bool, cuts: set[int]
) -> None:
    edges = [0, *sorted(cuts)]
    clips = [
        Clip(f"scene {n}", start, end, "cut")
        for n, (start, end) in enumerate(itertools.pairwise(edges), 1)
    ]
    wanted = [(clip.start, clip.end) for clip in clips]
    edl = to_edl(clips, rate, film="my film.mp4", drop=drop)
    assert f"FCM: {'DROP' if drop else 'NON-DROP'} FRAME" in edl
    readers: list[tuple[str, str, dict[str, Any]]] = [
        (edl, "cmx_3600", {"rate": float(rate)}),
        (to_otio(clips, rate, film="my film.mp4"), "otio_json", {}),
    ]
    for text, adapter, options in readers:
        timeline = otio.adapters.read_from_string(text, adapter, **options)
        ranges = [clip.source_range for clip in timeline.find_clips()]
        found = [(r.start_time.to_frames(), r.end_time_exclusive().to_frames()) for r in ranges]
        assert found == wanted


def test_a_long_film_with_a_thousand_scenes_and_an_odd_name_stays_one_edl() -> None:
    clips = [Clip(f"scene {n + 1}", 10 * n, 10 * n + 10, None) for n in range(1200)]
    edl = to_edl(clips, Fraction(25), film="a\n002  BX       V     C        00\r.mp4")
    timeline = otio.adapters.read_from_string(edl, "cmx_3600", rate=25.0)
    assert len(list(timeline.find_clips())) == 1200
