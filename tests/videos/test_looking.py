"""Films and stills are looked at, and the crop of a rendered film holds its subject."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from av_pipelines.media.picture import CHUNK, ROW, Header, PictureWriter
from av_pipelines.videos.cut import Cut, Shot
from av_pipelines.videos.cutdowns import plan
from av_pipelines.videos.looking import look_at
from av_pipelines.videos.render import render
from tests.videos.studio import picture

RATE = Fraction(25)
SIZE = 320, 180
BALL = (235, 110, 30)


def frame(x: float, y: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A ball over a wall with something on it, uint8 (height, width, 3)."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    wall = 90 + 12 * np.sin(columns / 9) + 10 * np.cos(rows / 7)
    out = np.repeat(wall[..., None], 3, -1) + np.array([0, 4, 8])
    inside = np.hypot(columns - x * width, rows - y * height) < min(size) * 0.12
    out[inside] = BALL
    return out.astype(np.uint8)


def write_film(path: Path, places: list[tuple[float, float]], **metadata: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for x, y in places:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(x, y), "rgb24")))
        container.mux(stream.encode())
    return path


def write_picture(path: Path, places: list[tuple[float, float]]) -> Path:
    """Write what intake would leave of the film."""
    small = np.stack([frame(x, y, (48, 27)) for x, y in places])
    rows = np.zeros(len(places), ROW)
    rows["pts"] = 1000 + np.arange(len(places))  # the film begins later than its clock
    writer = PictureWriter(path)
    for at in range(0, len(places), CHUNK):
        part = slice(at, at + CHUNK)
        count = len(rows[part])
        writer.add(rows[part], np.zeros((count, 64), np.uint16), small[part])
    writer.close(
        Header(
            1 / RATE, RATE, *SIZE, Fraction(1), 0, False, len(places), 1000 + len(places),
            False, False,
        )
    )  # fmt: skip
    return path


def ball(pictures: np.ndarray) -> np.ndarray:
    """Centre of the ball in each picture, in shares of width and height; nan if there is none."""
    red = pictures[..., 0].astype(int) - pictures[..., 2] > 90
    out = np.full((len(pictures), 2), np.nan)
    for i, mask in enumerate(red):
        rows, columns = np.nonzero(mask)
        if len(rows):
            out[i] = (columns.mean() + 0.5) / mask.shape[1], (rows.mean() + 0.5) / mask.shape[0]
    return out


def across(count: int, x0: float, x1: float) -> list[tuple[float, float]]:
    return [(float(x), 0.5) for x in np.linspace(x0, x1, count)]


def test_what_intake_remembers_and_what_a_decode_shows_are_the_same(tmp_path):
    places = across(150, 0.1, 0.9)
    film = write_film(tmp_path / "film.mp4", places)
    shot = Shot("walk", film, Fraction(1), 100)
    known = {film: write_picture(tmp_path / "picture.npz", places)}
    (remembered,) = look_at([shot], RATE, known, tmp_path)
    (decoded,) = look_at([shot], RATE, {}, tmp_path)
    assert remembered
    assert decoded
    assert len(remembered.thumbnails) == len(decoded.thumbnails) == 20
    assert remembered.aspect == pytest.approx(decoded.aspect) == pytest.approx(16 / 9)
    for seen in (remembered, decoded):
        expected = [places[25 + 5 * i][0] for i in range(20)]
        np.testing.assert_allclose(ball(seen.thumbnails)[:, 0], expected, atol=0.02)


def test_stills_are_seen_as_they_are_shown_and_colours_are_not_looked_at(tmp_path):
    turned = tmp_path / "turned.jpg"
    tags = Image.Exif()
    tags[0x0112] = 6  # to be turned by 90 degrees clockwise
    with Image.open(picture(tmp_path / "upright.png", (300, 200), (0.2, 0.5))) as image:
        image.save(turned, exif=tags, quality=95)
    shots = [
        Shot("a", turned, Fraction(0), 50, still=True),
        Shot("b", None, Fraction(0), 50, colour="#102030"),
    ]
    still, plain = look_at(shots, RATE, {}, tmp_path)
    assert plain is None
    assert still
    assert still.aspect == pytest.approx(200 / 300)
    assert ball(still.thumbnails)[0] == pytest.approx([0.5, 0.2], abs=0.05)


def test_what_is_no_picture_is_not_seen(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert look_at([Shot("x", bad, Fraction(0), 9, still=True)], RATE, {}, tmp_path) == [None]


@pytest.mark.parametrize("platform", [pytest.param("reels", marks=pytest.mark.slow), "square"])
def test_in_a_rendered_film_the_subject_is_in_every_frame_and_jumps_only_at_cuts(
    tmp_path, platform
):
    """Three shots: it walks right, stands on the left, walks left; cuts between them."""
    walks = [across(100, 0.15, 0.85), across(50, 0.2, 0.2), across(100, 0.8, 0.3)]
    shots = []
    for i, places in enumerate(walks):
        film = write_film(tmp_path / f"{i}.mp4", places)
        shots.append(Shot(f"shot {i}", film, Fraction(0), len(places)))
    cut = Cut("Walk", RATE, *SIZE, tuple(shots), quality="high")
    looks = partial(look_at, pictures={}, scratch=tmp_path)
    (batch,) = plan(cut, [platform], looks=lambda shots, rate: looks(shots, rate))
    (delivery,) = (replace(d, look=None) for d in batch.deliveries)
    (made,) = render(batch.cut, [delivery], tmp_path)
    with av.open(str(made.path)) as container:
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    found = ball(pictures)
    assert len(found) == 250
    assert not np.isnan(found).any()
    assert (found[:, 0] > 0.1).all()
    assert (found[:, 0] < 0.9).all()
    jumps = np.flatnonzero(np.abs(np.diff(found[:, 0])) > 0.06) + 1
    assert set(jumps.tolist()) <= {100, 150}
