"""A film for every platform: how long, where cropped, what is written where."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from av_pipelines.videos.cut import (
    Caption,
    Captions,
    Cut,
    Framing,
    Lane,
    Overlay,
    Shot,
    Style,
    Transition,
    Word,
)
from av_pipelines.videos.cutdowns import plan
from av_pipelines.videos.looking import Seen
from av_pipelines.videos.platforms import load_platforms
from av_pipelines.videos.restyle import captions_for, fitted, text_width
from av_pipelines.videos.shorten import keep, shortened

TABLE = load_platforms()
RATE = Fraction(25)
DISSOLVE = Transition("dissolve", 10)


def shot(number: int, seconds: float, **more) -> Shot:
    frames = round(seconds * RATE)
    return Shot(f"shot {number}", Path(f"{number}.mp4"), Fraction(number), frames, **more)


def film(*shots: Shot, **more) -> Cut:
    return Cut("Film", RATE, 1280, 720, shots, **more)


def line(start: float, text: str, seconds: float = 2.0) -> Caption:
    """A caption whose words follow each other evenly."""
    words = text.split()
    step = Fraction(seconds) / len(words)
    at = Fraction(start)
    timed = tuple(Word(at + i * step, at + (i + 1) * step, w) for i, w in enumerate(words))
    return Caption(at, at + Fraction(seconds), (text,), timed)


# ---------------------------------------------------------------------- all in one go


def test_usual_platforms_are_one_of_each_shape_rendered_together():
    cut = film(shot(0, 10), shot(1, 10))
    (batch,) = plan(cut)
    assert batch.cut == cut
    sizes = {d.name: (d.width, d.height) for d in batch.deliveries}
    assert sizes == {
        "youtube.mp4": (1280, 720),  # not blown up: the film is 720p
        "tiktok.mp4": (540, 960),
        "instagram_feed.mp4": (576, 720),
        "square.mp4": (720, 720),
    }
    assert all(d.loudness_lufs == -14 for d in batch.deliveries)
    youtube, tiktok = batch.deliveries[:2]
    assert youtube.framing is None
    assert youtube.look is None
    assert tiktok.look
    assert set(tiktok.framing or {}) == {0, 1}


def test_no_shape_has_more_pixels_than_are_cut_out_of_the_film_unless_asked_for():
    wanted = ["youtube", "tiktok", "instagram_feed", "square"]

    def made(cut: Cut, **more) -> list[tuple[int, int]]:
        (batch,) = plan(cut, wanted, **more)
        return [(d.width, d.height) for d in batch.deliveries]

    full = replace(film(shot(0, 4)), width=1920, height=1080)
    # 9:16 would be 608x1080: words would be coarse
    assert made(full) == [(1920, 1080), (720, 1280), (864, 1080), (1080, 1080)]
    ultra = replace(full, width=3840, height=2160)
    platforms = [(1920, 1080), (1080, 1920), (1080, 1350), (1080, 1080)]
    assert made(ultra) == platforms
    assert made(full, sizes="platform") == platforms
    # pictures that stand, and words, have no such bound
    assert made(replace(full, shots=(replace(shot(0, 4), still=True),))) == platforms
    small = replace(full, width=640, height=360)
    assert made(small) == [(640, 360), (270, 480), (288, 360), (360, 360)]


def test_a_still_that_was_framed_for_one_shape_shows_its_subject_in_every_other():
    zoom = (Framing(Fraction(0), 0.5, 0.5), Framing(Fraction(4), 0.7, 0.5, 1.12))
    still = replace(shot(0, 4), still=True, fit="ken_burns", framing=zoom)
    picture = np.full((1, 54, 96, 3), 90, np.uint8)
    picture[:, 20:34, 78:90] = (220, 160, 130)  # at 0.875 of the width
    (batch,) = plan(film(still), ["tiktok"], looks=lambda shots, rate: [Seen(picture, 16 / 9)])
    path = (batch.deliveries[0].framing or {})[0]
    assert [(p.at, p.zoom) for p in path] == [(0, 1), (4, 1.12)]
    for point in path:
        half = (9 / 16) ** 2 / point.zoom / 2
        middle = min(point.x, 1 - half)  # a crop stays within the picture
        assert middle - half < 78 / 96
        assert middle + half > 90 / 96


def test_a_long_film_is_cut_short_where_a_platform_wants_that():
    cut = film(*(shot(i, 9) for i in range(20)))
    batches = plan(cut, ["youtube", "shorts", "reels", "instagram_feed"])
    lengths = {d.name: float(b.cut.duration) for b in batches for d in b.deliveries}
    assert lengths.pop("youtube.mp4") == 180
    assert all(59 <= seconds <= 60 for seconds in lengths.values())
    assert len(batches) == 2  # those of one pace are one film


def test_durations_can_be_set_up_to_what_a_platform_takes():
    cut = film(*(shot(i, 5) for i in range(10)))
    (batch,) = plan(cut, ["tiktok"], durations_s={"tiktok": 15})
    assert 14 <= batch.cut.duration <= 15
    with pytest.raises(ValueError, match=r"durations_s\.shorts = 600: shorts takes .* 180 s"):
        plan(cut, ["shorts"], durations_s={"shorts": 600})
    with pytest.raises(ValueError, match="there is no platform 'myspace'"):
        plan(cut, ["myspace"])


def test_the_crop_follows_the_subject_and_what_was_framed_by_hand_stays():
    by_hand = (Framing(Fraction(0), 0.3, 0.5),)
    poster = replace(shot(2, 4), still=True, fit="pad")
    cut = film(shot(0, 4), shot(1, 4, framing=by_hand), poster)
    pictures = np.full((20, 27, 48, 3), 90, np.uint8)
    pictures[:, 10:17, 38:44] = (220, 160, 130)

    def looks(shots, rate):
        return [Seen(pictures, 16 / 9) for _ in shots]

    (batch,) = plan(cut, ["reels"], looks=looks)
    (reels,) = batch.deliveries
    assert reels.framing
    assert reels.framing[0][0].x == pytest.approx(0.84, abs=0.02)  # as far right as a crop can be
    assert reels.framing[1] == by_hand
    assert 2 not in reels.framing  # a poster is shown whole
    assert reels.fit == "blur_pad"


# ---------------------------------------------------------------------- shorter


def test_shots_are_made_shorter_before_any_is_left_out():
    cut = film(shot(0, 10), shot(1, 2), shot(2, 10), shot(3, 10))
    short = shortened(cut, Fraction(20))
    assert [s.name for s in short.shots] == [s.name for s in cut.shots]
    assert short.frames == 500
    assert short.shots[1].frames == 50  # the short one stays as it was


def test_the_dullest_shots_go_and_a_lively_place_gets_more_of_them():
    cut = film(*(shot(i, 8) for i in range(10)))

    def interest(start: float, end: float) -> float:
        return 1.0 if 23 < start < 57 else 0.0

    short = shortened(cut, Fraction(16), interest=interest)
    first, *others = [int(s.name[-1]) for s in short.shots]
    assert first == 0  # what people see before they leave
    assert len(others) == 3
    assert set(others) < {3, 4, 5, 6, 7}
    assert short.duration == 16
    quick = shortened(cut, Fraction(16), pace=1.4)
    assert len(quick.shots) > len(shortened(cut, Fraction(16)).shots)


def test_the_card_at_the_end_stays():
    card = replace(shot(9, 3), path=None)
    cut = film(*(shot(i, 8) for i in range(9)), card)
    short = shortened(cut, Fraction(16), interest=lambda start, end: 1.0 if start < 70 else 0.0)
    assert short.shots[-1].name == card.name
    assert short.duration == 16


def test_in_what_moves_most_is_most_interest():
    cut = film(*(shot(i, 10) for i in range(8)))
    still = np.full((50, 27, 48, 3), 90, np.uint8)
    lively = np.random.default_rng(0).integers(0, 255, still.shape, np.uint8)

    def looks(shots, rate):
        return [Seen(lively if s.name in ("shot 3", "shot 6") else still, 16 / 9) for s in shots]

    (batch,) = plan(cut, ["tiktok"], durations_s={"tiktok": 10}, looks=looks)
    assert [s.name for s in batch.cut.shots] == ["shot 0", "shot 3", "shot 6"]


def test_nobody_is_cut_off_in_mid_sentence():
    said = Captions((line(2.0, "this is what I wanted to say all along", 5.0),))
    cut = film(shot(0, 10), shot(1, 10), shot(2, 10), captions=said)
    short = shortened(cut, Fraction(16))
    assert short.captions
    assert short.captions.cues == said.cues
    assert short.shots[0].frames >= 7 * 25


def test_of_a_song_the_chorus_is_taken_in_one_piece():
    verse = [line(5 + 4 * i, f"verse number {i} goes along like this") for i in range(8)]
    chorus = [line(40 + 4 * i, "sing it again and again my friend") for i in range(4)]
    after = [line(60 + 4 * i, f"another verse {i}") for i in range(8)]
    cut = film(
        replace(shot(0, 100), still=True),
        captions=Captions((*verse, *chorus, *after), karaoke=True),
        lanes=(Lane(Path("song.flac"), "music"),),
    )
    short = shortened(cut, Fraction(20))
    (song,) = short.lanes
    assert short.captions
    assert [c.lines[0] for c in short.captions.cues][:4] == [c.lines[0] for c in chorus]
    assert song.start == pytest.approx(39.7, abs=0.04)
    assert short.captions.cues[0].words[0].start == pytest.approx(0.3, abs=0.04)
    assert song.duration == short.duration
    assert song.fade_out_s == 1.5  # it does not break off


def test_music_plays_on_under_chosen_shots_and_fades_out():
    cut = film(*(shot(i, 8) for i in range(5)), lanes=(Lane(Path("m.flac"), "music"),))
    (music,) = shortened(cut, Fraction(15)).lanes
    assert (music.at, music.start, music.duration, music.fade_out_s) == (0, 0, 15, 1.5)


def test_a_stretch_keeps_pictures_words_and_framing_where_they_were():
    path = (Framing(Fraction(0), 0.2, 0.5), Framing(Fraction(8), 0.6, 0.5, 2.0))
    cut = film(
        shot(0, 8, framing=path, speed=Fraction(2)),
        shot(1, 8, transition=DISSOLVE),
        overlays=(Overlay("text", 90, 40, "hello"), Overlay("text", 0, 50, "gone")),
        captions=Captions((line(5.0, "one two three four", 2.0),)),
    )
    short = keep(cut, [(100, 300)])
    first, second = short.shots
    assert short.frames == 200
    assert first.start == 0 + 4 * 2  # four seconds on, at double speed
    assert first.framing[0].x == pytest.approx(0.4)
    assert first.framing[-1].at == 4
    assert second.transition == DISSOLVE
    assert [(o.text, o.start, o.frames) for o in short.overlays] == [("hello", 0, 30)]
    assert short.captions
    assert short.captions.cues[0].words[2].start == Fraction(2)


@settings(max_examples=60, deadline=None)
@example(lengths=[125], joins=[False] * 12, seconds=3, pace=1.0, talking=True, song=False)
@given(
    lengths=st.lists(st.integers(30, 400), min_size=1, max_size=12),
    joins=st.lists(st.booleans(), min_size=12, max_size=12),
    seconds=st.integers(3, 60),
    pace=st.floats(0.6, 1.6),
    talking=st.booleans(),
    song=st.booleans(),
)
def test_whatever_the_film_it_is_never_longer_than_asked(
    lengths, joins, seconds, pace, talking, song
):
    shots = [
        replace(shot(i, n / 25, sound=not song), transition=DISSOLVE if i and joins[i] else None)
        for i, n in enumerate(lengths)
    ]
    cues = tuple(line(t, f"words at {t} of it", 3) for t in range(1, sum(lengths) // 25 - 3, 5))
    cut = film(
        *shots,
        captions=Captions(cues) if talking or song else None,
        lanes=(Lane(Path("song.flac"), "music"),) if song else (),
    )
    short = shortened(cut, Fraction(seconds), pace)
    assert 0 < short.frames <= max(seconds * 25, 0)
    assert short.frames == cut.frames or short.frames >= min(cut.frames, seconds * 25) * 0.5
    for before, after in pairwise(short.shots):
        over = after.transition.frames if after.transition else 0
        assert over <= min(before.frames, after.frames)
    for made in short.shots:
        (of,) = [s for s in cut.shots if s.name == made.name]
        assert of.start <= made.start
        assert made.start + made.frames / RATE <= of.start + of.frames / RATE
    for cue in short.captions.cues if short.captions else ():
        assert 0 <= cue.start <= cue.end <= short.duration


# ---------------------------------------------------------------------- words


def test_captions_stand_clear_of_what_a_platform_covers():
    said = Captions((line(0, "ask not what your country can do for you"),), karaoke=True)
    tiktok = TABLE.get("tiktok")
    placed = captions_for(said, tiktok)
    assert placed.anchor == "bottom"
    assert placed.margin > tiktok.safe.bottom
    for cue in placed.cues:
        assert len(cue.lines) <= 2
        for text in cue.lines:
            pixels = text_width(text) * placed.style.size * 1920
            assert pixels <= 1080 * (1 - 2 * tiktok.safe.right)


def test_a_caption_too_long_for_a_phone_becomes_several_at_their_words():
    cue = line(10, "and so my fellow Americans ask not what your country can do for you", 14)
    parts = fitted(cue, 9.0, 2)
    assert len(parts) > 1
    assert " ".join(" ".join(p.lines) for p in parts) == cue.lines[0]
    assert parts[0].start == cue.start
    assert parts[-1].end == cue.end
    for before, after in pairwise(parts):
        assert before.end == after.start == after.words[0].start


def test_lyrics_in_the_middle_stay_there_and_stay_large():
    song = Captions((line(0, "la la la"),), anchor="centre", style=Style(size=0.085, bold=True))
    placed = captions_for(song, TABLE.get("shorts"))
    assert placed.anchor == "centre"
    assert placed.style.size == pytest.approx(0.04 * 1.4)
    assert captions_for(replace(song, mode="stream"), TABLE.get("shorts")).cues == song.cues


def test_a_title_is_made_to_fit_a_narrow_picture():
    title = Overlay("text", 0, 50, "Extraordinarily", style=Style(size=0.12, bold=True))
    wide = film(shot(0, 4), overlays=(title,))
    (batch,) = plan(wide, ["tiktok", "youtube"])
    tiktok, youtube = (d.overlays for d in batch.deliveries)
    assert tiktok
    assert youtube
    assert youtube[0].style.size == 0.12
    pixels = text_width("Extraordinarily", bold=True) * tiktok[0].style.size * 1920
    assert 600 < pixels <= 1080 * 0.7 + 1


@settings(max_examples=100, deadline=None)
@given(
    words=st.lists(
        st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1,
                max_size=12), min_size=1, max_size=25,
    ),
    timed=st.booleans(),
    width=st.floats(4, 30),
    lines=st.integers(1, 3),
)  # fmt: skip
def test_no_word_is_lost_whatever_is_written(words, timed, width, lines):
    words = [w for w in (w.strip() for w in words) if w and not w.isspace()] or ["word"]
    cue = line(1, " ".join(words), 8)
    cue = cue if timed else replace(cue, words=())
    parts = fitted(cue, width, lines)
    plain = "".join(words)
    assert "".join("".join(p.lines) for p in parts).replace(" ", "") == plain.replace(" ", "")
    assert all(len(p.lines) <= lines for p in parts)
    assert (parts[0].start, parts[-1].end) == (cue.start, cue.end)
    assert all(a.end == b.start for a, b in pairwise(parts))
