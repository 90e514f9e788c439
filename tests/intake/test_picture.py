"""``picture.npz``: of every film, whatever its format, what is in its frames and when."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from av_pipelines.intake.child import read_media
from av_pipelines.intake.taps import picture_taps
from av_pipelines.media.packing import pack, unpack
from av_pipelines.media.picture import Picture, read_picture, verify_picture
from tests.scenes.synthetic import Shot, frames, write

See = Callable[..., tuple[Any, Picture]]
COLOURS = np.array([[200, 40, 40], [40, 180, 60], [30, 60, 200], [230, 230, 230]], np.uint8)


@pytest.fixture
def see(tmp_path: Path) -> See:
    """Have a file read as the ``picture`` asset does; give its facts and the picture."""

    def see(path: Path, *, keyframes_only: bool = False) -> tuple[Any, Picture]:
        out = tmp_path / f"picture-{len(list(tmp_path.glob('picture-*')))}"
        out.mkdir()
        report = read_media(path, picture_taps(out, keyframes_only=keyframes_only))
        verify_picture(out / "picture.npz")
        return report.facts["picture"], read_picture(out / "picture.npz")

    return see


def quarters(width: int = 96, height: int = 64) -> np.ndarray:
    """A picture of four coloured quarters: red, green; blue, white."""
    y, x = np.mgrid[:height, :width]
    return COLOURS[2 * (y >= height // 2) + (x >= width // 2)]


def corners(thumbnail: np.ndarray) -> np.ndarray:
    """The colours in the middle of a thumbnail's quarters."""
    return thumbnail[[6, 6, 20, 20], [11, 36, 11, 36]].astype(int)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix"),
    [
        ("libx264", "yuv420p", "mp4"),
        ("libx264", "yuv422p", "mp4"),
        ("libx264", "yuv444p", "mp4"),
        ("libx264", "yuv420p10le", "mkv"),
        ("libx265", "yuv420p10le", "mp4"),
        ("libvpx-vp9", "yuva420p", "webm"),
        ("libsvtav1", "yuv420p", "mkv"),
        ("mjpeg", "yuvj422p", "mkv"),  # full range
        ("ffv1", "yuv444p12le", "mkv"),
        ("ffv1", "yuv411p", "mkv"),
        ("ffv1", "bgr0", "mkv"),
        ("libx264rgb", "rgb24", "mkv"),
        ("qtrle", "argb", "mov"),
        ("png", "rgba", "mov"),
        ("rawvideo", "yuyv422", "avi"),
        ("rawvideo", "nv12", "avi"),
    ],
)
def test_colours_are_right_in_every_pixel_format(
    codec: str, pixel_format: str, suffix: str, tmp_path: Path, see: See
) -> None:
    film = tmp_path / f"film.{suffix}"
    write(film, [quarters()] * 3, codec=codec, pixel_format=pixel_format)
    facts, picture = see(film)
    assert facts["frames"] == len(picture.thumbnails) == 3
    assert np.abs(corners(picture.thumbnails[1]) - COLOURS).max() <= 22
    brightness = (quarters() @ [0.299, 0.587, 0.114]).mean()
    assert picture.luma_mean[1] == pytest.approx(brightness, abs=6)
    assert picture.difference[1:].max() < 1.5


def test_palettes_and_grey_have_thumbnails_too(tmp_path: Path, see: See) -> None:
    grey = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    for codec, pixel_format, suffix in (("ffv1", "gray", "mkv"), ("ffv1", "gray10le", "mkv")):
        write(tmp_path / f"g.{suffix}", [grey] * 2, codec=codec, pixel_format=pixel_format)
        _, picture = see(tmp_path / f"g.{suffix}")
        assert picture.luma_mean[0] == pytest.approx(127.5, abs=2)
        assert np.abs(np.diff(picture.thumbnails[0][13, :, 0].astype(int)) - 5.3).max() < 4
        assert picture.luma_histogram[0].sum() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 17), (16, 2000), (2000, 16), (501, 333)])
def test_any_size(size: tuple[int, int], tmp_path: Path, see: See) -> None:
    film = tmp_path / "odd.mkv"
    write(film, [np.full((size[1], size[0], 3), 200, np.uint8)], codec="ffv1", pixel_format="bgr0")
    facts, picture = see(film)
    assert (facts["frames"], facts["width"], facts["height"]) == (1, *size)
    assert picture.thumbnails[0].mean() == pytest.approx(200, abs=3)
    assert picture.luma_mean[0] == pytest.approx(200, abs=3)


def test_brightness_of_black_grey_and_white_by_range(tmp_path: Path, see: See) -> None:
    pictures = [np.full((48, 64, 3), value, np.uint8) for value in (0, 128, 255)]
    for pixel_format in ("yuv420p", "yuvj420p"):
        film = tmp_path / f"{pixel_format}.mkv"
        codec = "libx264" if pixel_format == "yuv420p" else "mjpeg"
        write(film, pictures, codec=codec, pixel_format=pixel_format)
        _, picture = see(film)
        assert picture.luma_mean == pytest.approx([0, 128, 255], abs=2)
        assert picture.difference == pytest.approx([0, 128, 127], abs=3)


def test_a_size_that_changes_in_mid_film_is_gone_along_with(tmp_path: Path, see: See) -> None:
    film = tmp_path / "sizes.ts"
    for part, size in enumerate([(96, 64), (160, 90)]):
        write(tmp_path / f"{part}.ts", [quarters(*size)] * 5, codec="mpeg2video")
    film.write_bytes(b"".join((tmp_path / f"{part}.ts").read_bytes() for part in range(2)))
    facts, picture = see(film)
    assert facts["size_changes"] == 1
    assert (facts["width"], facts["height"]) == (96, 64)
    assert facts["frames"] >= 9  # the decoder drops the one it held when the size changed
    assert np.abs(corners(picture.thumbnails[8]) - COLOURS).max() <= 22
    assert picture.difference.max() < 5


def test_times_are_the_files_own_also_of_uneven_frames(tmp_path: Path, see: See) -> None:
    times = [Fraction(number, 10) + Fraction(number % 3, 40) + 7 for number in range(30)]
    film = tmp_path / "uneven.mkv"
    write(film, frames([Shot(30)]), times=times)
    facts, picture = see(film)
    assert picture.times_s == pytest.approx([float(t) for t in times], abs=0.001)
    assert picture.variable_frame_rate
    assert facts["start_s"] == pytest.approx(7, abs=0.001)
    assert picture.duration_s == pytest.approx(3.0, abs=0.11)
    assert all(int(p) * picture.time_base == Fraction(int(p), 1000) for p in picture.pts)


def test_rotation_and_pixel_shape_are_noted(tmp_path: Path, see: See) -> None:
    film = tmp_path / "turned.mp4"
    write(film, [quarters()] * 2, rotation=90, ratio=Fraction(4, 3))
    facts, picture = see(film)
    assert picture.rotation == facts["rotation"] == 270
    assert picture.sample_aspect_ratio == Fraction(4, 3)
    assert np.abs(corners(picture.thumbnails[0]) - COLOURS).max() <= 22  # as stored


def test_change_and_sharpness_say_what_they_say(tmp_path: Path, see: See) -> None:
    film = tmp_path / "film.mp4"
    shots = [Shot(12, "still"), Shot(12, "still")]
    sharp = list(frames(shots))
    blurred = [
        np.asarray(Image.fromarray(f[::12, ::12]).resize(f.shape[1::-1], Image.Resampling.BILINEAR))
        for f in sharp[:12]
    ]
    write(film, [*sharp, *blurred], options={"crf": "12"})
    _, picture = see(film)
    assert int(picture.difference[:20].argmax()) == 12
    assert picture.sharpness[:11].min() > 2 * picture.sharpness[25:].max()


def test_draft_looks_at_keyframes_and_still_knows_every_frames_number(
    tmp_path: Path, see: See
) -> None:
    film = tmp_path / "film.mp4"
    write(film, frames([Shot(40), Shot(33), Shot(27)]), options={"g": "250"})
    _, whole = see(film)
    _, draft = see(film, keyframes_only=True)
    assert draft.keyframes_only
    assert len(draft.thumbnails) == len(draft.number) < 10
    assert draft.number.tolist() == np.flatnonzero(whole.keyframe).tolist()
    assert draft.pts.tolist() == whole.pts.tolist()
    for row, number in enumerate(draft.number):
        assert np.array_equal(draft.thumbnails[row], whole.thumbnails[int(number)])


def test_damage_in_mid_film_costs_only_what_is_damaged(tmp_path: Path, see: See) -> None:
    film = tmp_path / "film.mkv"
    write(film, frames([Shot(200)]), codec="ffv1", pixel_format="yuv420p", options={"slices": "4"})
    data = bytearray(film.read_bytes())
    at = len(data) // 2
    data[at : at + len(data) // 20] = np.random.default_rng(0).bytes(len(data) // 20)
    film.write_bytes(data)
    _, picture = see(film)
    gap = picture.gaps[0]
    assert 150 < picture.frames < 200
    assert picture.times_s[0] == 0
    assert picture.times_s[-1] == pytest.approx(199 / 25, abs=0.001)
    assert 3 < gap.start_s < gap.end_s < 5.5
    inside = (picture.times_s > gap.start_s + 0.01) & (picture.times_s < gap.end_s - 0.01)
    assert not inside.any()


def test_no_film_no_picture(make: Any, tmp_path: Path) -> None:
    sound = make.wav("sound.wav", make.tone(0.5, 8000, 1))
    report = read_media(sound, picture_taps(tmp_path))
    assert "picture" not in report.facts
    assert not (tmp_path / "picture.npz").exists()


def test_long_films_are_written_and_read_in_pieces(tmp_path: Path, see: See) -> None:
    film = tmp_path / "long.mkv"
    grey = (np.full((32, 48, 3), number % 200, np.uint8) for number in range(600))
    write(film, grey, codec="ffv1", pixel_format="bgr0")
    _, picture = see(film)
    assert [(first, len(part)) for first, part in picture.thumbnails.chunks()] == [
        (0, 256),
        (256, 256),
        (512, 88),
    ]
    assert picture.thumbnails[250:260][:, 0, 0, 0].tolist() == [n % 200 for n in range(250, 260)]
    assert picture.thumbnails[-1][0, 0, 0] == 599 % 200


@given(
    groups=hnp.arrays(
        np.int8, st.tuples(st.integers(0, 40), st.just(8)), elements=st.integers(-128, 127)
    ),
    largest=st.sampled_from([0, 1, 7, 127]),
)
@settings(deadline=None)
def test_what_is_packed_comes_back_and_small_changes_take_few_bits(
    groups: np.ndarray, largest: int
) -> None:
    groups = groups.clip(-largest, largest)
    packed = pack(groups)
    assert np.array_equal(unpack(packed, groups.size), groups.ravel())
    taken = {0: 0, 1: 2, 7: 4, 127: 8}[largest]
    assert len(packed) <= -(-len(groups) // 4) + len(groups) * taken
    with pytest.raises(ValueError, match="are not"):
        unpack(np.append(packed, packed.dtype.type(0)), groups.size)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound picture file."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "film.mkv", frames([Shot(20)]), codec="ffv1", pixel_format="bgr0")
    read_media(folder / "film.mkv", picture_taps(folder))
    return (folder / "picture.npz").read_bytes()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_picture_file_is_said_to_be_one(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("broken") / "picture.npz"
    path.write_bytes(broken[: data.draw(st.integers(0, len(whole)))])
    said = f"{path}: nothing"  # a flipped bit need not matter
    try:
        verify_picture(path)
    except ValueError as error:
        said = str(error)
    assert said.startswith(str(path))
