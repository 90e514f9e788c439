"""Which streams of a file are taken, and what is said of them."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image

from av_pipelines.intake.settings import AudioSettings
from av_pipelines.settings import SettingsError


def quarters() -> np.ndarray:
    """Red, green / blue, white."""
    picture = np.full((96, 128, 3), 255, np.uint8)
    picture[:48, :64], picture[:48, 64:], picture[48:, :64] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


def colours(image: Image.Image) -> str:
    """First letters of the four quarters' colours, by rows."""
    names = {"100": "r", "010": "g", "001": "b", "111": "w"}
    width, height = image.size
    at = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    pixels: list[Any] = [image.getpixel(place) for place in at]
    return "".join(names["".join(str(int(value > 128)) for value in pixel)] for pixel in pixels)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def many(make: Any) -> Any:
    """Two films, two languages, subtitles and a cover."""
    return make.mux(
        "many.mkv",
        make.film([80] * 20, size=(64, 48), default=False),
        make.film([120] * 20, size=(128, 96)),
        make.sound(make.tone(2, 48000, 1), default=False, language="eng"),
        make.sound(make.tone(2, 48000, 2), language="deu"),
        make.text([(0.0, 1.0, "one"), (1.0, 2.0, "two")], "fra"),
        cover=png(),
        tags={"title": "A\u202e title\n", "artist": "Somebody"},
    )


def test_the_best_film_and_sound_are_taken_and_the_rest_is_listed(many: Any, take: Any) -> None:
    taken = take(many)
    streams = taken.probe["streams"]
    listed = [(s["type"], s["codec"], s["language"], s["chosen"]) for s in streams]
    assert listed == [
        ("video", "h264", None, False),
        ("video", "h264", None, True),
        ("audio", "aac", "eng", False),
        ("audio", "aac", "deu", True),
        ("subtitle", "subrip", "fra", False),
        ("video", "png", None, False),
    ]
    assert [s.get("attached_picture") for s in streams] == [False, False, None, None, None, True]
    assert (taken.source["display_width"], taken.audio["channels"]) == (128, 2)
    assert taken.report.degraded is None


def test_tags_are_one_clean_line_each(many: Any, take: Any) -> None:
    tags = take(many).probe["tags"]
    assert (tags["title"], tags["artist"]) == ("A title", "Somebody")


def test_a_setting_takes_another_audio_stream(many: Any, take: Any) -> None:
    assert take(many, audio=AudioSettings(stream=2)).audio["channels"] == 1


def test_an_audio_stream_that_is_not_there_is_a_wrong_setting(many: Any, take: Any) -> None:
    with pytest.raises(SettingsError, match=r"audio.stream = 4: .* audio streams are: 2, 3"):
        take(many, audio=AudioSettings(stream=4))


def test_a_film_without_sound_has_no_audio_facts(make: Any, take: Any) -> None:
    taken = take(make.mux("silent.mp4", make.film([90] * 10)))
    assert "audio" not in taken.report.facts
    assert (taken.report.video, taken.report.audio) == (0, None)
    assert list((taken.folder / "audio").iterdir()) == []


def test_a_sound_with_a_cover_is_no_film(make: Any, take: Any) -> None:
    taken = take(make.mux("song.mka", make.sound(make.tone(1, 48000, 2)), cover=png()))
    assert (taken.report.video, taken.report.audio) == (None, 0)
    assert "fps" not in taken.source
    assert not (taken.folder / "source" / "poster.jpg").exists()


def test_frames_are_counted_and_a_constant_rate_is_told(make: Any, take: Any) -> None:
    source = take(make.mux("film.mkv", make.film([90] * 48, fps=24))).source
    assert (source["frames"], source["fps"], source["variable_frame_rate"]) == (48, 24.0, False)
    assert source["duration_s"] == pytest.approx(2.0, abs=0.01)


def test_a_variable_frame_rate_is_seen_by_the_time_stamps(make: Any, take: Any) -> None:
    times = [0.1 * i + (0.04 if i % 3 else 0.0) for i in range(40)]
    taken = take(make.mux("phone.mp4", make.film([90] * 40, times_s=times)))
    assert taken.source["variable_frame_rate"] is True
    assert taken.source["fps"] == pytest.approx(10, rel=0.03)


def test_sound_that_begins_late_is_kept_as_it_is_and_its_start_told(make: Any, take: Any) -> None:
    tone = make.tone(1, 48000, 1)
    late = make.sound(tone, codec="pcm_s16le", start_s=0.5)
    taken = take(make.mux("late.mkv", make.film([90] * 20), late))
    assert taken.audio["start_offset_s"] == 0.5
    assert np.array_equal(taken.samples() * 32768, tone)


def test_a_film_whose_sound_ends_early_is_whole(make: Any, take: Any) -> None:
    short = make.sound(make.tone(0.5, 48000, 1))
    taken = take(make.mux("credits.mp4", make.film([90] * 40), short))
    assert taken.report.degraded is None
    assert taken.source["duration_s"] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("turn", "mirror", "seen", "rotation"),
    [
        (0, False, "rgbw", 0),
        (90, False, "gwrb", 270),
        (180, False, "wbgr", 180),
        (270, False, "brwg", 90),
        (0, True, "grwb", 0),
        (90, True, "wgbr", 90),
    ],
)
def test_the_poster_is_turned_and_stretched_as_players_show_it(
    turn: int, mirror: bool, seen: str, rotation: int, make: Any, take: Any
) -> None:
    """Turns are given counter-clockwise to the encoder and told clockwise."""
    film = make.film(
        [quarters()], size=(128, 96), rotation=turn, mirror=mirror, ratio=Fraction(2, 1)
    )
    taken = take(make.mux("turned.mp4", film))
    stream = taken.probe["streams"][0]
    image = Image.open(taken.folder / "source" / "poster.jpg")
    assert colours(image) == seen
    assert (stream["rotation"], stream["mirrored"]) == (rotation, mirror)
    assert image.size == ((96, 256) if turn in (90, 270) else (256, 96))
    assert image.size == (stream["display_width"], stream["display_height"])


def test_the_poster_is_not_taken_from_a_fade_in(make: Any, take: Any) -> None:
    fade = [*range(0, 200, 10), *[200] * 20]
    taken = take(make.mux("fade.mp4", make.film(fade)))
    image = Image.open(taken.folder / "source" / "poster.jpg").convert("L")
    assert np.asarray(image).mean() > 185
    assert taken.source["poster_s"] == pytest.approx(2.0, abs=0.2)


def test_a_poster_is_at_most_640_pixels_wide(make: Any, take: Any) -> None:
    taken = take(make.mux("wide.mp4", make.film([128], size=(1280, 720))))
    assert Image.open(taken.folder / "source" / "poster.jpg").size == (640, 360)


def test_a_stream_that_begins_in_mid_file_is_left_out_and_told(make: Any, take: Any) -> None:
    """As in the recording of a live broadcast that changes."""
    film = make.mux("a.flv", make.film([100] * 100, codec="flv"))
    both = make.mux("b.flv", make.film([100] * 20, codec="flv"), make.sound(make.tone(2, 48000, 1)))
    path = make.folder / "late.flv"
    path.write_bytes(film.read_bytes() + both.read_bytes()[13:])  # without its header
    taken = take(path)
    assert "a stream that begins in mid-file is left out" in taken.report.degraded
    assert (taken.source["frames"], taken.report.audio) == (120, None)
