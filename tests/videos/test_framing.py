"""What stays in the picture when a film becomes narrower."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.videos import framing
from av_pipelines.videos.framing import (
    MAX_ACCELERATION,
    MAX_SPEED,
    STEP_S,
    crop_size,
    follow,
    ken_burns,
    subject,
)

WIDE, TALL, SQUARE = 16 / 9, 9 / 16, 1.0
SKIN = (214, 160, 130)


def room(rng: np.random.Generator, height: int = 27, width: int = 48) -> np.ndarray:
    """A grey-blue background with something on the walls, float32 (height, width, 3)."""
    coarse = rng.uniform(70, 130, (4, 7, 1)) + rng.uniform(-8, 8, (4, 7, 3))
    picture = np.repeat(np.repeat(coarse, -(-height // 4), 0), -(-width // 7), 1)
    return picture[:height, :width].astype(np.float32)


def shot(places: np.ndarray, seed: int = 0, colour=SKIN, radius: float = 0.09) -> np.ndarray:
    """Thumbnails of somebody at the given places: shares of width and height, (n, 2)."""
    rng = np.random.default_rng(seed)
    background = room(rng)
    y, x = np.mgrid[:27, :48]
    pictures = []
    for place in places:
        picture = background + rng.normal(0, 2, background.shape)
        far = np.hypot((x + 0.5) / 48 - place[0], ((y + 0.5) / 27 - place[1]) * 9 / 16)
        cover = np.clip((radius - far) * 48, 0, 1)[..., None]
        pictures.append(picture * (1 - cover) + np.array(colour) * cover)
    return np.clip(np.array(pictures), 0, 255).astype(np.uint8)


def walk(seconds: float, x0: float, x1: float, y: float = 0.5) -> np.ndarray:
    count = round(seconds / STEP_S)
    return np.stack([np.linspace(x0, x1, count), np.full(count, y)], axis=1)


def crops(path, count: int) -> np.ndarray:
    """Centre of the crop at each thumbnail, as it is drawn."""
    points = [framing.at(path, float(i * STEP_S)) for i in range(count)]
    return np.array([(p.x, p.y) for p in points])


@pytest.mark.parametrize("place", [0.15, 0.3, 0.5, 0.72, 0.88])
@pytest.mark.parametrize("colour", [SKIN, (30, 60, 200), (240, 240, 240)])
def test_someone_who_stands_still_gets_a_crop_that_stands_still(place, colour):
    path = follow(shot(walk(4, place, place), colour=colour), STEP_S, WIDE, TALL)
    width, _ = crop_size(WIDE, TALL)
    assert len(path) == 1
    assert abs(path[0].x - np.clip(place, width / 2, 1 - width / 2)) < 0.04


@pytest.mark.parametrize("film", [TALL, 4 / 5, SQUARE])
@pytest.mark.parametrize("seed", range(4))
def test_someone_who_walks_across_stays_in_the_picture(film, seed):
    places = walk(6, 0.1, 0.9) if seed % 2 else walk(5, 0.85, 0.2)
    path = follow(shot(places, seed), STEP_S, WIDE, film)
    width, _ = crop_size(WIDE, film)
    off = np.abs(crops(path, len(places))[:, 0] - places[:, 0])
    assert (off < width / 2).all()  # the middle of the subject is always to be seen
    inner = (places[:, 0] > width / 2) & (places[:, 0] < 1 - width / 2)
    assert np.quantile(off[inner], 0.9) < 0.3 * width  # and mostly near the middle


def test_the_camera_moves_and_the_subject_is_still_found():
    """The whole picture pans; the one who walks with it is followed, not the walls."""
    rng = np.random.default_rng(5)
    wall = np.repeat(np.repeat(rng.uniform(60, 150, (9, 60, 3)), 3, 0), 3, 1)
    pictures = []
    for i in range(25):
        picture = wall[:, i * 2 : i * 2 + 48].copy()
        picture[8:20, 30 + i // 5 : 36 + i // 5] = SKIN
        pictures.append(picture)
    path = follow(np.array(pictures).astype(np.uint8), STEP_S, WIDE, TALL)
    assert all(abs(crop[0] - 35 / 48) < 0.1 for crop in crops(path, 25))


def test_a_path_begins_anew_at_a_cut():
    """Shots are looked at one by one: what was on the left before says nothing of the next."""
    left = follow(shot(walk(3, 0.2, 0.2)), STEP_S, WIDE, TALL)
    right = follow(shot(walk(3, 0.8, 0.8), seed=1), STEP_S, WIDE, TALL)
    assert left[0].x < 0.25 < 0.75 < right[0].x
    assert left[0].at == right[0].at == 0


@settings(max_examples=25, deadline=None)
@given(
    jumps=st.lists(st.floats(0, 1), min_size=2, max_size=12),
    film=st.sampled_from([TALL, 4 / 5, SQUARE]),
)
def test_the_crop_moves_as_a_camera_can_and_never_leaves_the_picture(jumps, film):
    places = np.array([(x, 0.5) for x in jumps for _ in range(6)])
    path = follow(shot(places), STEP_S, WIDE, film)
    width, _ = crop_size(WIDE, film)
    x = crops(path, len(places))[:, 0]
    assert (x >= width / 2 - 1e-4).all()
    assert (x <= 1 - width / 2 + 1e-4).all()
    loose = 2 * 0.0015  # key points stand for the path within this
    assert np.abs(np.diff(x)).max(initial=0) <= MAX_SPEED * width * STEP_S + loose
    assert np.abs(np.diff(x, 2)).max(initial=0) <= MAX_ACCELERATION * width * STEP_S**2 + 2 * loose


def test_a_tall_film_made_flat_follows_up_and_down():
    places = np.stack([np.full(30, 0.5), np.linspace(0.15, 0.85, 30)], axis=1)
    path = follow(shot(places, radius=0.08), STEP_S, TALL, WIDE)
    y = crops(path, 30)[:, 1]
    assert y[0] < 0.3
    assert y[-1] > 0.7


def test_nothing_is_cut_off_where_shapes_are_the_same():
    assert follow(shot(walk(2, 0.1, 0.9)), STEP_S, WIDE, WIDE) == ()


def test_a_still_is_zoomed_towards_what_it_shows():
    at = subject(shot(np.array([(0.7, 0.4)]))[0])
    assert at == pytest.approx((0.7, 0.4), abs=0.06)
    far, near = ken_burns(at, Fraction(5), inwards=True)
    assert (far.at, far.zoom, near.at) == (0, 1.0, 5)
    assert near.zoom > 1.05
    assert near.x > 0.55
    out = ken_burns(at, Fraction(5), inwards=False)
    assert [p.zoom for p in out] == [near.zoom, far.zoom]
    assert [p.at for p in out] == [0, 5]


def test_following_a_film_of_three_minutes_takes_a_moment():
    import time

    pictures = shot(walk(180, 0.2, 0.8))
    begun = time.process_time()
    assert follow(pictures, STEP_S, WIDE, TALL)
    assert time.process_time() - begun < 5
