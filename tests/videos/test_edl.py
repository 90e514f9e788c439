"""Edit decision lists: nothing is lost on the way in or out, and what is wrong is named by line."""

from __future__ import annotations

import math
from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.media.edl import EdlError, read_edl, write_edl
from av_pipelines.media.timecode import RATES, may_drop
from av_pipelines.videos.edl import to_timeline
from av_pipelines.videos.edl_of import reel_name, to_edits
from av_pipelines.videos.otio_items import colour_reference, placed, speed_effect
from av_pipelines.videos.otio_time import otio_range, otio_time

NTSC = Fraction(30000, 1001)


def rewritten(text: str | bytes, rate: Fraction = Fraction(24), where: str = "EDL") -> str:
    """A list read into OTIO and written again."""
    data = text.encode() if isinstance(text, str) else text
    return write_edl(to_edits(to_timeline(read_edl(data, rate, where), rate, where)), rate)


def shown(timeline: otio.schema.Timeline, rate: Fraction) -> list[tuple[object, ...]]:
    """All that is seen of a timeline, in frames of the record."""
    start = timeline.global_start_time
    zero = round(start.value) if start else 0
    return [
        (zero + item.at, item.length, math.ceil(item.start), item.speed, item.overlap)
        for item in placed(timeline.video_tracks()[0], rate)
        if item.clip is not None
    ]


# ---------------------------------------------------------------------- any timeline

SPEEDS = [Fraction(1), Fraction(1), Fraction(2), Fraction(1, 2), Fraction(4, 3), Fraction(0)]


@st.composite
def timelines(draw: st.DrawFn) -> tuple[otio.schema.Timeline, Fraction]:
    rate = draw(st.sampled_from(RATES))
    track = otio.schema.Track(name="V", kind=otio.schema.TrackKind.Video)
    sound = otio.schema.Track(name="A1", kind=otio.schema.TrackKind.Audio)
    room = 0  # frames of the item before that no transition takes
    for number in range(draw(st.integers(1, 8))):
        length = draw(st.integers(2, 400))
        kind = draw(st.sampled_from(["clip", "clip", "black", "gap"])) if number else "clip"
        if number and draw(st.booleans()):
            early = draw(st.integers(0, min(room, 20)))
            late = draw(st.integers(0 if early else 1, length // 2))
            transition = otio.schema.Transition(
                transition_type=draw(st.sampled_from(["SMPTE_Dissolve", "SMPTE_Wipe"])),
                in_offset=otio_time(early, rate),
                out_offset=otio_time(late, rate),
            )
            track.append(transition)
            room = length - late
        else:
            room = length
        if kind == "gap":
            track.append(otio.schema.Gap(source_range=otio_range(0, length, rate)))
            sound.append(otio.schema.Gap(source_range=otio_range(0, length, rate)))
            continue
        black = kind == "black"
        start = 0 if black else draw(st.integers(100, 10_000_000))
        clip = otio.schema.Clip(
            name=draw(st.text("abc ÄЖ漢.'\"%", max_size=12)),
            source_range=otio_range(start, length, rate),
            metadata={"cmx_3600": {"reel": draw(st.sampled_from(["A001C003", "TAPE_1", "Z"]))}},
        )
        if black:
            clip.media_reference = colour_reference("#000000")
        elif (speed := draw(st.sampled_from(SPEEDS))) != 1:
            clip.effects.append(speed_effect(speed))
        track.append(clip)
        sound.append(clip.deepcopy())
    timeline = otio.schema.Timeline(name="A film")
    timeline.global_start_time = otio_time(draw(st.integers(0, 2_000_000)), rate)
    timeline.tracks.append(track)
    if draw(st.booleans()):
        timeline.tracks.append(sound)
    timeline.metadata["av_pipelines"] = {"rate": str(rate)}
    return timeline, rate


@settings(max_examples=150, deadline=None)
@given(timelines(), st.booleans())
def test_a_list_of_any_timeline_comes_back_byte_by_byte_and_frame_by_frame(
    made: tuple[otio.schema.Timeline, Fraction], drop: bool
) -> None:
    timeline, rate = made
    text = write_edl(to_edits(timeline, drop=drop), rate)
    assert ("FCM: DROP" in text) == (drop and may_drop(rate))
    back = to_timeline(read_edl(text.encode(), rate), rate)
    assert write_edl(to_edits(back), rate) == text
    before, after = shown(timeline, rate), shown(back, rate)
    seen = [item for item in after if item[1] or item[4]]  # not the black that a film comes out of
    blacks = [item for item in seen if item not in before]
    assert [item for item in before if item[1] or item[4]] == [
        item for item in seen if item not in blacks
    ]
    assert all(start == 0 for _, _, start, _, _ in blacks)  # only gaps became black


# ---------------------------------------------------------------------- lists of other programs

AVID = """\
TITLE:   Screening.01
FCM: NON-DROP FRAME
001  ZZ100_50 V     C        01:00:04:05 01:00:05:12 00:59:53:11 00:59:54:18
* FROM CLIP NAME:  ZZ100_501 (LAY3)
* SOURCE FILE: ZZ100_501.LAY3.01
002  ZZ100_50 V     C        01:00:06:13 01:00:08:15 00:59:54:18 00:59:56:20
* FROM CLIP NAME:  ZZ100_502A (LAY3)
* LOC: 01:00:07:14 RED     ANIM FIX NEEDED
* ASC_SOP: (0.1 0.2 0.3)(1.0000 0.0122 0.0305)(1.0000 0.0000 1.0000)
* ASC_SAT: 0.9000
"""
DISSOLVES = """\
TITLE: TRANSITIONS
FCM: NON-DROP FRAME

001  ABC0000. V     C        01:00:06:18 01:00:08:00 01:04:11:17 01:04:12:23
002  ABC0010. V     C        01:00:06:15 01:00:08:18 01:04:12:23 01:04:15:02
003  ABC0010. V     C        01:00:08:18 01:00:08:18 01:04:15:02 01:04:15:02
003  ABC0020. V     D    035 01:00:06:22 01:00:10:07 01:04:15:02 01:04:18:11
* BLEND, DISSOLVE
004  ABC0020. V     C        01:00:10:07 01:00:10:07 01:04:18:11 01:04:18:11
004  ABC0030. V     W019 064 01:00:06:10 01:00:09:22 01:04:18:11 01:04:21:23
060  ABC0050. V     C        01:00:12:06 01:00:17:21 01:04:21:23 01:04:27:14
"""
SPEEDS_LIST = """\
TITLE: Speeds

001  Z677_4C. V     C        01:00:01:21 01:00:07:03 01:00:00:00 01:00:05:06
* FROM CLIP NAME:  Z677_4C (ANIM10)
002  Z682_156 V     C        01:00:10:21 01:00:10:22 01:08:30:00 01:08:30:17
M2   Z682_156       000.0                01:00:10:21
* FROM CLIP NAME:  Z682_156 (LAY3) FF
* * FREEZE FRAME
003  Z686_5A. V     C        01:00:06:00 01:00:08:22 01:11:31:16 01:11:33:04
M2   Z686_5A.       046.7                01:00:06:00
"""


def test_a_list_as_avid_writes_it() -> None:
    timeline = to_timeline(read_edl(AVID.encode(), Fraction(24)), Fraction(24))
    assert timeline.name == "Screening.01"
    first, second = timeline.video_tracks()[0]
    assert first.name == "ZZ100_501 (LAY3)"
    assert first.media_reference.target_url == "ZZ100_501.LAY3.01"
    assert second.markers[0].name == "ANIM FIX NEEDED"
    assert second.metadata["cdl"]["asc_sop"]["offset"][1] == 0.0122
    assert list(second.metadata["cdl"]["asc_sop"]["power"]) == [1.0, 0.0, 1.0]
    assert second.metadata["cdl"]["asc_sat"] == 0.9
    for line in AVID.splitlines()[2:]:
        assert line in rewritten(AVID)


def test_dissolves_and_wipes_begin_at_the_cut_and_keep_their_length() -> None:
    timeline = to_timeline(read_edl(DISSOLVES.encode(), Fraction(24)), Fraction(24))
    track = timeline.video_tracks()[0]
    assert [type(item).__name__ for item in track] == [
        "Clip", "Clip", "Transition", "Clip", "Transition", "Clip", "Clip",
    ]  # fmt: skip
    assert track[2].out_offset.value == 35
    assert track[4].transition_type == "SMPTE_Wipe"
    assert rewritten(DISSOLVES) == DISSOLVES


def test_motion_and_freeze_frames() -> None:
    timeline = to_timeline(read_edl(SPEEDS_LIST.encode(), Fraction(24)), Fraction(24))
    clips = [item for item in timeline.video_tracks()[0] if isinstance(item, otio.schema.Clip)]
    assert [clip.duration().value for clip in clips] == [126, 17, 36]
    assert isinstance(clips[1].effects[0], otio.schema.FreezeFrame)
    assert clips[2].effects[0].time_scalar == pytest.approx(46.7 / 24)
    once = rewritten(SPEEDS_LIST)
    assert "M2   Z686_5A.       046.7                01:00:06:00" in once
    assert rewritten(once) == once


def test_a_source_as_long_as_its_event_may_still_be_faster() -> None:
    text = (
        "TITLE: T\nFCM: NON-DROP FRAME\n\n"
        "000001  B113RPTW V     C        00:32:02:06 00:32:06:19 01:34:53:09 01:34:57:22\n"
        "M2   B113RPTW       026.4                00:32:02:06\n"
    )
    assert rewritten(text) == text


def test_black_comes_and_goes() -> None:
    text = """\
TITLE: Fades
FCM: NON-DROP FRAME

001  BL       V     C        00:00:00:00 00:00:00:00 01:00:00:00 01:00:00:00
001  A        V     D    024 00:00:10:00 00:00:14:00 01:00:00:00 01:00:04:00
002  A        V     C        00:00:14:00 00:00:14:00 01:00:04:00 01:00:04:00
002  BL       V     D    024 00:00:00:00 00:00:01:00 01:00:04:00 01:00:05:00
"""
    assert rewritten(text) == text


@pytest.mark.parametrize(
    ("channels", "tracks"),
    [("B", ["V", "A1"]), ("AA/V", ["V", "A1", "A2"]), ("AA", ["A1", "A2"]), ("A2/V", ["V", "A2"]),
     ("A", ["A1"]), ("V2", ["V2"])],
)  # fmt: skip
def test_channels_become_tracks_and_channels_again(channels: str, tracks: list[str]) -> None:
    line = f"001  AX       {channels:<5} C        00:00:00:00 00:00:04:00 01:00:00:00 01:00:04:00"
    text = f"TITLE: T\nFCM: NON-DROP FRAME\n\n{line}\n"
    timeline = to_timeline(read_edl(text.encode(), Fraction(24)), Fraction(24))
    assert [track.name for track in timeline.tracks] == tracks
    if channels != "V2":  # a list's only picture is its first
        assert rewritten(text) == text


def test_more_than_two_sound_channels_stand_on_a_line_of_their_own() -> None:
    text = (
        "TITLE: T\nFCM: NON-DROP FRAME\n\n"
        "001  AX       AA    C        00:00:00:00 00:56:55:22 00:00:00:00 00:56:55:22\n"
        "AUD  3 4\n* FROM CLIP NAME: AX\n"
    )
    timeline = to_timeline(read_edl(text.encode(), Fraction(24)), Fraction(24))
    assert [track.name for track in timeline.tracks] == ["A1", "A2", "A3", "A4"]
    assert rewritten(text) == text


def test_split_edits_keep_picture_and_sound_apart() -> None:
    text = """\
TITLE: Split
FCM: NON-DROP FRAME

001  A        B     C        00:00:00:00 00:00:04:00 01:00:00:00 01:00:04:00
002  B        A     C        00:00:09:00 00:00:12:00 01:00:04:00 01:00:07:00
003  A        V     C        00:00:04:00 00:00:05:00 01:00:04:00 01:00:05:00
004  B        V     C        00:00:10:00 00:00:12:00 01:00:05:00 01:00:07:00
"""
    assert rewritten(text) == text


def test_a_list_in_the_order_of_its_sources_is_put_in_that_of_the_record() -> None:
    first, *events = (line for line in AVID.splitlines() if line[:3].isdecimal())
    text = "\n".join([*events, first])
    timeline = to_timeline(read_edl(text.encode(), Fraction(24)), Fraction(24))
    clips = list(timeline.video_tracks()[0])
    assert [clip.metadata["cmx_3600"]["event"] for clip in clips] == ["001", "002"]


def test_drop_frame_is_right_across_the_minute_with_either_mark() -> None:
    text = """\
TITLE: NTSC
FCM: DROP FRAME

001  A        V     C        00:00:59;28 00:01:00;04 01:09:59;28 01:10:00;02
"""
    timeline = to_timeline(read_edl(text.encode(), NTSC), NTSC)
    clip = timeline.video_tracks()[0][0]
    assert clip.source_range.start_time.value == 59 * 30 + 28
    assert clip.duration().value == 4  # ;00 and ;01 are left out of minute 1, not of minute 10
    assert timeline.global_start_time.value == (69 * 60 + 59) * 30 + 28 - 2 * (69 - 6)
    assert rewritten(text, NTSC) == text
    assert rewritten(text.replace(";", ":"), NTSC) == text


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (AVID.replace("\n", "\r\n").encode(), "ZZ100_501 (LAY3)"),
        (AVID.replace("\n", "\r").encode(), "ZZ100_501 (LAY3)"),
        (b"\xef\xbb\xbf" + AVID.encode(), "ZZ100_501 (LAY3)"),
        (AVID.encode("utf-16"), "ZZ100_501 (LAY3)"),
        (AVID.replace("(LAY3)", "Schön").encode("latin-1"), "ZZ100_501 Schön"),
        (AVID.replace("  C      ", "\tC\t").encode(), "ZZ100_501 (LAY3)"),
        (AVID.replace("* FROM", "*FROM").encode(), "ZZ100_501 (LAY3)"),
        (AVID.replace("ZZ100_50 ", "A001C003_150102_R1XY.mov ").encode(), "ZZ100_501 (LAY3)"),
        (AVID.replace("ZZ100_50 ", "a reel with blanks ").encode(), "ZZ100_501 (LAY3)"),
    ],
    ids=["CRLF", "CR", "BOM", "UTF-16", "Latin-1", "tabs", "no blank", "long reel", "blank reel"],
)
def test_the_ways_in_which_programs_write_lists(data: bytes, name: str) -> None:
    timeline = to_timeline(read_edl(data, Fraction(24)), Fraction(24))
    assert timeline.video_tracks()[0][0].name == name
    once = rewritten(data)
    assert rewritten(once) == once


def test_frame_numbers_may_stand_for_timecodes() -> None:
    text = "1 CLPA V C 113 170 0 57\n2 CLPA V C 170 170 57 57\n2 CLPB V D 027 162 189 57 84\n"
    timeline = to_timeline(read_edl(text.encode(), Fraction(24)), Fraction(24))
    track = timeline.video_tracks()[0]
    assert [track[0].duration().value, track[1].out_offset.value, track[2].duration().value] == [
        57, 27, 27,
    ]  # fmt: skip


# ---------------------------------------------------------------------- bad lists

GOOD = "001  A        V     C        00:00:00:00 00:00:04:00 01:00:00:00 01:00:04:00"


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (["TITLE: nothing"], None, "no event"),
        ([GOOD, "002  A  V  C  00:00:00:00"], 2, "four timecodes"),
        ([GOOD.replace("00:00:04:00", "00:00:03:24")], 1, "no timecode of 24 frames"),
        ([GOOD.replace("00:00:04:00", "00:00:03:00")], 1, "at which speed"),
        ([GOOD.replace("01:00:04:00", "00:59:00:00")], 1, "record ends before it begins"),
        ([GOOD.replace(" C   ", " Q   ")], 1, "'Q' is no edit"),
        ([GOOD.replace(" V   ", " X   ")], 1, "'X' are no channels"),
        ([GOOD.replace(" C   ", " D   ")], 1, "needs its length in frames"),
        ([GOOD, GOOD.replace("001", "002")], 2, "before the one before it ends"),
        ([GOOD, GOOD.replace("001", "002").replace("C        ", "D    010 ")], 2, "from what"),
        ([GOOD.replace("C        ", "D    010 ")], 1, "from what"),
        ([GOOD, GOOD.replace("C        ", "D    200 ")], 2, "the transition takes 200 frames"),
        ([GOOD, GOOD.replace("C        ", "K    010 ")], 2, "cannot be rendered"),
        (["FCM: DROP FRAME", GOOD], 1, "drop-frame is for 29.97"),
        (["FCM: MAYBE", GOOD], 1, "'MAYBE'"),
        ([GOOD, "M2   A   fast"], 2, "motion event"),
    ],
)
def test_a_bad_list_is_named_with_its_line(lines: list[str], line: int | None, said: str) -> None:
    with pytest.raises(EdlError) as error:
        rewritten("\n".join(lines), where="cut.edl")
    assert str(error.value).startswith(f"cut.edl:{line}:" if line else "cut.edl:")
    assert said in str(error.value)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [*AVID.splitlines(), *DISSOLVES.splitlines(), *SPEEDS_LIST.splitlines()]
            ),
            st.text(max_size=60),
        ),
        max_size=12,
    )
)
def test_whatever_a_list_says_it_is_read_or_refused(lines: list[str]) -> None:
    try:
        once = rewritten("\n".join(lines))
    except EdlError:
        return
    assert rewritten(once) == once


def test_reel_names_are_of_8_letters_and_each_sources_own() -> None:
    first = reel_name("interview-with-anna.mp4")
    second = reel_name("interview-with-bob.mp4", [first])
    assert first == "INTERVIE"
    assert second == "INTERVI2"
    assert reel_name("BL") != "BL"  # which is black
    assert reel_name("漢字.mov") == "MOV"
