"""Templates: the project that comes of a song, a talk, pictures, a film."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from av_pipelines.media.confined import ConfinedError
from av_pipelines.media.picture import CHUNK, ROW, Header, PictureWriter
from av_pipelines.settings import SettingsError
from av_pipelines.videos.project_file import StaleVersion, read_project
from av_pipelines.videos.project_parts import Named
from av_pipelines.videos.templates import TEMPLATES, make_project
from av_pipelines.videos.templates.materials import Material, Materials
from tests.videos.studio import Studio, clicks, facts_of, picture, write_sound, write_transcript

KEY = "song-0123456789"
LINES = [
    [("first", 1.0, 1.4), ("line", 1.5, 1.9)],
    [("second", 5.0, 5.5), ("line", 5.6, 6.0)],
    [("third", 9.2, 9.6), ("line", 9.7, 10.0)],
    [("last", 13.1, 13.5), ("line", 13.6, 14.0)],
]


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def song(tmp_path, studio) -> Material:
    folder = tmp_path / "store" / "song"
    sound = write_sound(folder / "song.flac", clicks(120, 16))
    transcript = write_transcript(folder / "transcript.json", LINES, 16.0)
    studio.add(KEY, "source", folder, file="song.flac")
    studio.add(KEY, "transcript", folder)
    return Material(sound, Named(media=KEY), 16.0, audio=sound, transcript=transcript)


def pictures(folder: Path, count: int, size=(320, 180)) -> tuple[Material, ...]:
    return tuple(Material(picture(folder / f"{i}.png", size)) for i in range(count))


def made(folder: Path):
    return json.loads((folder / "project.json").read_text("utf-8"))


# ---------------------------------------------------------------------- lyric_video


def test_a_song_alone_becomes_a_film_as_long_with_its_words_in_the_middle(tmp_path, song, studio):
    folder = tmp_path / "film"
    made_in = make_project("lyric_video", {}, Materials("My Song", "Someone", song=song), folder)
    assert made_in == folder
    cut = studio.cut(folder, tmp_path / "timeline")
    assert (cut.width, cut.height, cut.rate, cut.frames) == (1920, 1080, 30, 480)
    assert cut.captions
    assert cut.captions.karaoke
    assert cut.captions.anchor == "centre"
    assert [c.lines for c in cut.captions.cues][:2] == [("first line",), ("second line",)]
    assert [w.text for w in cut.captions.cues[0].words] == ["first", "line"]
    assert cut.lanes[0].path == song.path
    assert [o.text for o in cut.overlays] == ["My Song – Someone"]
    assert read_project(folder).version == 1


def test_a_song_that_is_no_media_of_the_store_is_copied_with_its_words(tmp_path, song, studio):
    folder = tmp_path / "film"
    make_project("lyric_video", {}, Materials("S", song=replace(song, source=None)), folder)
    song.path.unlink()
    studio.artifacts.clear()
    cut = studio.cut(folder, tmp_path / "timeline")
    assert cut.lanes[0].path == folder / "01_Assets" / "song.flac"
    assert cut.captions
    assert len(cut.captions.cues) == len(LINES)


def test_pictures_change_where_a_line_begins(tmp_path, song, studio):
    folder = tmp_path / "film"
    given = Materials("S", song=song, pictures=pictures(tmp_path, 3))
    make_project("lyric_video", {"picture_s": 4}, given, folder)
    cut = studio.cut(folder, tmp_path / "timeline")
    assert [start / 30 for start in cut.starts()] == pytest.approx([0, 4.75, 8.95, 12.85], abs=0.02)
    assert cut.frames == 480
    assert all(shot.transition for shot in cut.shots[1:])
    assert any(o.kind == "image" and o.opacity == 0.4 for o in cut.overlays)  # words stay legible


def test_pictures_change_on_the_beat_where_that_is_asked_for(tmp_path, song, studio):
    folder = tmp_path / "film"
    given = Materials("S", song=song, pictures=pictures(tmp_path, 2))
    make_project("lyric_video", {"picture_s": 4, "cut_on": "beats"}, given, folder)
    starts = [start / 30 for start in studio.cut(folder, tmp_path / "timeline").starts()]
    assert len(starts) == 4
    for start in starts[1:]:
        assert min(abs(start - (0.2 + beat / 2)) for beat in range(32)) < 0.04


def test_one_picture_becomes_a_soft_background(tmp_path, song, studio):
    folder = tmp_path / "film"
    cover = Material(picture(tmp_path / "cover.jpg", (600, 600)))
    make_project("lyric_video", {}, Materials("S", song=song, pictures=(cover,)), folder)
    with Image.open(folder / "01_Assets" / "background.png") as image:
        pixels = np.asarray(image.convert("L")).astype(float)
    assert pixels.mean() < 110  # dark enough for white words
    assert np.abs(np.diff(pixels, axis=1)).max() < 8  # nothing sharp
    assert len(studio.cut(folder, tmp_path / "timeline").shots) == 1


def test_a_short_clip_is_slowed_down_rather_than_repeated(tmp_path, song):
    folder = tmp_path / "film"
    clip = Material(tmp_path / "clip.mp4", Named(media="clip-0123456789"), 2.1)
    make_project("lyric_video", {}, Materials("S", song=song, clips=(clip,)), folder)
    speeds = facts_of(made(folder), "speed")
    assert all(0.2 < speed < 0.4 for speed in speeds)
    assert facts_of(made(folder), "sound") == [False] * len(speeds)


# ---------------------------------------------------------------------- audiogram


def test_a_talk_becomes_its_waveform_title_and_words(tmp_path, song, studio):
    folder = tmp_path / "film"
    cover = Material(picture(tmp_path / "cover.png", (300, 300)))
    given = Materials("Episode 1", "A Podcast", song=song, pictures=(cover,))
    make_project("audiogram", {"accent": "#33ccff"}, given, folder)
    cut = studio.cut(folder, tmp_path / "timeline")
    assert (cut.width, cut.height) == (1080, 1080)
    assert cut.wave
    assert cut.wave.colour == "#33ccff"
    assert cut.captions
    assert {o.text for o in cut.overlays if o.text} == {"Episode 1", "A Podcast"}
    assert any(o.kind == "image" for o in cut.overlays)
    assert cut.lanes[0].role == "voice"


# ---------------------------------------------------------------------- slideshow


def test_pictures_move_towards_what_they_show_and_odd_shapes_are_shown_whole(tmp_path, studio):
    folder = tmp_path / "film"
    shown = (
        Material(picture(tmp_path / "left.png", (320, 180), (0.2, 0.5))),
        Material(picture(tmp_path / "portrait.png", (180, 320))),
        Material(picture(tmp_path / "right.png", (320, 180), (0.8, 0.5))),
    )
    make_project("slideshow", {}, Materials("Summer", pictures=shown), folder)
    cut = studio.cut(folder, tmp_path / "timeline")
    left, portrait, right = (s for s in cut.shots if s.path)
    assert portrait.fit == "blur_pad"
    assert left.fit == right.fit == "ken_burns"
    assert left.framing[-1].zoom > left.framing[0].zoom
    assert left.framing[-1].x < 0.4
    assert right.framing[-1].x > 0.6
    assert float(cut.duration) == pytest.approx(3 * 4.5, abs=1.1)


def test_pictures_change_on_the_beat_of_the_music(tmp_path, studio):
    folder = tmp_path / "film"
    sound = write_sound(tmp_path / "music.flac", clicks(100, 40))
    music = Material(sound, None, 40.0, audio=sound)
    given = Materials("S", music=music, pictures=pictures(tmp_path, 6))
    make_project("slideshow", {"dissolve_s": 0}, given, folder)
    cut = studio.cut(folder, tmp_path / "timeline")
    starts = [float(s / cut.rate) for s in cut.starts()]
    changes = [start for start in starts if start > 1]  # the first comes out of black
    assert len(changes) == 5
    for start in changes:
        assert min(abs(start - (0.2 + beat * 0.6)) for beat in range(60)) < 0.04
    assert cut.lanes[0].fade_out_s == 2


# ---------------------------------------------------------------------- trailer


FPS, SCENE = 25, 100
LIVELY, LOUD, DARK, LAST = 3, 6, 8, 11


def film_of(tmp_path: Path) -> Material:
    """Twelve scenes of four seconds, known by what intake and ``scenes`` would write of them."""
    count = 12 * SCENE
    rows = np.zeros(count, ROW)
    rows["pts"] = np.arange(count)
    rows["luma_mean"], rows["difference"] = 120, 1
    for scene, light, moves in ((LIVELY, 120, 20), (DARK, 10, 20), (LAST, 120, 30)):
        rows["luma_mean"][scene * SCENE : (scene + 1) * SCENE] = light
        rows["difference"][scene * SCENE + 40 : (scene + 1) * SCENE] = moves
    file = tmp_path / "picture.npz"
    writer = PictureWriter(file)
    for at in range(0, count, CHUNK):
        n = min(CHUNK, count - at)
        writer.add(
            rows[at : at + n], np.zeros((n, 64), np.uint16), np.zeros((n, 27, 48, 3), np.uint8)
        )
    writer.close(
        Header(
            Fraction(1, FPS), Fraction(FPS), 640, 360, Fraction(1), 0, False, count, count,
            False, False,
        )
    )  # fmt: skip
    scenes = [
        {"start_frame": i * SCENE, "end_frame": (i + 1) * SCENE, "index": i} for i in range(12)
    ]
    (tmp_path / "scenes.json").write_text(json.dumps({"scenes": scenes}))
    times = np.arange(0.1, 48, 0.1)
    levels = np.where((times > LOUD * 4 + 1) & (times < LOUD * 4 + 3.9), -10.0, -30.0)
    curve = {"times_s": times.tolist(), "lufs": levels.tolist()}
    (tmp_path / "loudness.json").write_text(json.dumps({"curve": curve}))
    return Material(
        tmp_path / "film.mp4", Named(media="film-0123456789"), 48.0,
        scenes=tmp_path / "scenes.json", picture=file, loudness=tmp_path / "loudness.json",
    )  # fmt: skip


def test_a_trailer_has_the_lively_and_the_loud_in_order_and_not_the_end(tmp_path):
    folder = tmp_path / "trailer"
    given = Materials("The Film", film=film_of(tmp_path))
    make_project("trailer", {"length_s": 8, "shot_s": 2}, given, folder)
    project = made(folder)
    starts = [first["frame"] for first in facts_of(project, "in")]
    lengths = [length["frame"] for length in facts_of(project, "duration")]
    scenes = [start // SCENE for start in starts]
    assert {LIVELY, LOUD} <= set(scenes)
    assert DARK not in scenes
    assert LAST not in scenes
    assert starts == sorted(starts)
    assert starts[scenes.index(LIVELY)] >= LIVELY * SCENE + 30  # the part of it that moves
    assert sum(lengths) <= 8 * FPS
    assert lengths == sorted(lengths, reverse=True)  # ever faster
    assert project["end_cards"][0]["text"] == "The Film"


def test_a_trailer_of_a_film_without_sound_needs_none(tmp_path):
    folder = tmp_path / "trailer"
    film = replace(film_of(tmp_path), loudness=None)
    make_project("trailer", {"length_s": 6, "shot_s": 2}, Materials("", film=film), folder)
    project = made(folder)
    assert LIVELY in [first["frame"] // SCENE for first in facts_of(project, "in")]
    assert "end_cards" not in project  # no title, no card


# ---------------------------------------------------------------------- what goes wrong


def test_errors_name_what_is_missing_or_not_allowed(tmp_path, song):
    nothing = Materials("S")
    with pytest.raises(ValueError, match=r"'opera'; there are: lyric_video, audiogram, trailer"):
        make_project("opera", {}, nothing, tmp_path / "a")
    with pytest.raises(ValueError, match="slideshow needs pictures"):
        make_project("slideshow", {}, nothing, tmp_path / "a")
    with pytest.raises(ValueError, match="needs its scenes and picture"):
        make_project("trailer", {}, Materials("S", film=song), tmp_path / "a")
    with pytest.raises(SettingsError, match=r"lyric_video\.accent = 'yellow'"):
        make_project("lyric_video", {"accent": "yellow"}, Materials("S", song=song), tmp_path / "a")
    assert not (tmp_path / "a" / "project.json").exists()


def test_a_project_that_is_there_is_not_overwritten(tmp_path, song):
    make_project("lyric_video", {}, Materials("S", song=song), tmp_path / "film")
    kept = tmp_path / "film" / "project.json", tmp_path / "film" / "01_Assets" / "background.png"
    before = [file.read_bytes() for file in kept]
    with pytest.raises(StaleVersion, match="there is a project already"):
        make_project("lyric_video", {}, Materials("Other", song=song), tmp_path / "film")
    assert [file.read_bytes() for file in kept] == before


def test_a_file_that_is_no_picture_is_an_error_and_no_project(tmp_path, song):
    bad = tmp_path / "cover.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    given = Materials("S", song=song, pictures=(Material(bad),))
    with pytest.raises(ConfinedError, match="cannot be read as a picture"):
        make_project("lyric_video", {}, given, tmp_path / "film")
    assert not (tmp_path / "film" / "project.json").exists()


def test_every_template_tells_what_it_needs():
    for name, template in TEMPLATES.items():
        assert template.description
        assert template.needs[0] == "source"
        assert template.settings.model_json_schema()["properties"], name


def test_titles_of_any_script_and_any_length_are_taken(tmp_path, song, studio):
    title = "夜に駆ける {\\an8} %d ' \" 🎵\n" + "ل" * 500
    make_project("lyric_video", {}, Materials(title, "a:b;c", song=song), tmp_path / "film")
    cut = studio.cut(tmp_path / "film", tmp_path / "timeline")
    assert cut.overlays[0].text.startswith("夜に駆ける {\\an8} %d ' \" 🎵 ")
