"""Stills: the right frames, upright, in the format asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from av_pipelines.media.confined import ConfinedError
from av_pipelines.scenes.film import Film, FilmInfo
from av_pipelines.scenes.frames import Stills, make_frames
from av_pipelines.scenes.settings import FramesSettings
from av_pipelines.settings import SettingsError
from tests.scenes.conftest import MakeFilm, counting, decode, info_of

SCENES = {"scenes": [{"start_s": 0.0, "end_s": 0.8}, {"start_s": 0.8, "end_s": 2.0}]}
SHOTS = [{"clear_s": 0.0}, {"clear_s": 0.8}]
Take = Callable[..., tuple[Path, Stills]]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Take stills of a film; return their folder and what was said of them."""

    def take(path: Path, info: FilmInfo | None = None, **settings: Any) -> tuple[Path, Stills]:
        out = tmp_path / "frames"
        out.mkdir()
        given = FramesSettings(**settings)
        return out, make_frames(path, info or info_of(path), SCENES, SHOTS, out, given)

    return take


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({}, [0.0, 0.8]),
        ({"at": "interval", "interval_s": 0.5}, [0.0, 0.48, 1.0, 1.48]),
        ({"times_s": [1.99, 0.041, 77]}, [0.04, 1.96, 1.96]),
    ],
)
def test_stills_are_the_frames_shown_at_the_times(
    settings: Any, times: list[float], make_film: MakeFilm, take: Take
) -> None:
    film = make_film("a.mp4", counting(50), options={"g": "30", "bf": "3"})
    out, stills = take(film, format="png", **settings)
    assert [row["time_s"] for row in stills.rows] == times
    shown = {round(frame.time, 6): frame.to_ndarray(format="rgb24") for frame in decode(film)}
    for row in stills.rows:
        still = np.asarray(Image.open(out / row["file"])).astype(int)
        assert np.abs(still - shown[row["time_s"]]).mean() < 1  # scaled by another routine
    assert json.loads((out / "frames.json").read_text())["stills"] == stills.rows


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("ratio", [None, Fraction(2)])
def test_stills_are_upright_and_of_square_pixels(
    rotation: int, ratio: Fraction | None, make_film: MakeFilm, take: Take
) -> None:
    stored = np.zeros((48, 80, 3), np.uint8)
    stored[:24, :40] = 255  # white in the top left corner
    film = make_film("a.mp4", [stored] * 3, rotation=rotation, ratio=ratio)
    out, stills = take(film)
    image = Image.open(out / stills.rows[0]["file"])
    width = 160 if ratio else 80
    assert image.size == ((48, width) if rotation in (90, 270) else (width, 48))
    corners = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    luma = np.asarray(image.convert("L"))
    light = [luma[int(y * image.height), int(x * image.width)] for x, y in corners]
    # PyAV turns counter-clockwise, so white goes from the top left to the bottom left, and so on.
    assert np.argmax(light) == -rotation // 90 % 4


@pytest.mark.parametrize(("name", "kind"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_formats_and_size(name: str, kind: str, make_film: MakeFilm, take: Take) -> None:
    out, stills = take(make_film("a.mp4", counting(30)), format=name, max_width=48)
    image = Image.open(out / stills.rows[0]["file"])
    assert (image.format, image.size) == (kind, (48, 32))
    assert Image.open(out / "overview.jpg").width > 0


def test_transparency_is_kept_where_the_format_can(make_film: MakeFilm, take: Take) -> None:
    film = make_film("a.mov", counting(3), codec="prores_ks", pixels="yuva444p10le")
    out, stills = take(film, format="png", times_s=[0])
    assert Image.open(out / stills.rows[0]["file"]).mode == "RGBA"


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [("libx264", "yuv422p10le"), ("libx265", "yuv444p12le"), ("libx264", "yuv444p")],
)
def test_deep_and_full_colour(codec: str, pixels: str, make_film: MakeFilm, take: Take) -> None:
    flat = [np.full((64, 96, 3), (200, 60, 30), np.uint8)] * 3
    out, stills = take(make_film("a.mkv", flat, codec=codec, pixels=pixels), format="png")
    mean = np.asarray(Image.open(out / stills.rows[0]["file"])).reshape(-1, 3).mean(0)
    assert mean == pytest.approx((200, 60, 30), abs=4)


def test_a_picture_of_one_pixel(make_film: MakeFilm, take: Take) -> None:
    pixel = [np.full((1, 1, 3), 255, np.uint8)] * 2
    film = make_film("a.mkv", pixel, codec="ffv1", pixels="yuv444p")
    out, stills = take(film, format="png")
    assert Image.open(out / stills.rows[0]["file"]).getpixel((0, 0)) == (255, 255, 255)


def test_damage_costs_no_more_than_the_damaged_part(make_film: MakeFilm, take: Take) -> None:
    film = make_film("a.mkv", counting(50), options={"g": "10", "bf": "2"})
    whole = {round(f.time, 6): f.to_ndarray(format="rgb24").astype(int) for f in decode(film)}
    info = info_of(film)
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = b"\x55" * 300
    film.write_bytes(data)
    out, stills = take(film, info, at="interval", interval_s=0.04, format="png")
    assert len(stills.rows) == 50
    same = [
        np.abs(np.asarray(Image.open(out / row["file"])) - whole[row["asked_s"]]).mean() < 1
        for row in stills.rows
    ]
    assert sum(same) >= 38


def test_too_many_stills_are_thinned_out_and_it_is_said(make_film: MakeFilm, take: Take) -> None:
    film = make_film("a.mp4", counting(50))
    _, stills = take(film, at="interval", interval_s=0.1, max_stills=5)
    assert [row["asked_s"] for row in stills.rows] == [0.0, 0.4, 0.8, 1.2, 1.6]
    assert stills.degraded == "5 of 20 stills (frames.max_stills)"


def test_frames_larger_than_allowed_are_not_decoded(make_film: MakeFilm, take: Take) -> None:
    film = make_film("a.mp4", counting(3))
    info = FilmInfo(**{**info_of(film).__dict__, "max_pixels": 1000})
    with pytest.raises(ConfinedError, match="6144 pixels"):
        take(film, info)


def test_a_film_is_opened_as_what_intake_found_and_nothing_else(make_film: MakeFilm) -> None:
    film = make_film("a.mkv", counting(3))
    info = FilmInfo(**{**info_of(film).__dict__, "container": "mov"})
    with film.open("rb") as file, pytest.raises(ConfinedError, match="cannot be opened"):
        Film(file.fileno(), info)


def test_a_hardware_decoder_that_is_not_there_is_an_error(make_film: MakeFilm, take: Take) -> None:
    with pytest.raises(ConfinedError, match="qsv"):
        take(make_film("a.mp4", counting(3)), hardware="qsv")


@pytest.mark.parametrize(
    "settings", [{"at": "times"}, {"interval_s": 0}, {"format": "bmp"}, {"hardware": "any"}]
)
def test_what_is_not_allowed_is_said(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        FramesSettings.merged("frames", ("run config", settings))
