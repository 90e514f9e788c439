"""What people see of ``video`` and ``cutdowns``: facts, tables, pictures, checks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from PIL import Image

from av_pipelines.maker import Checked, wrongs
from av_pipelines.videos.assets import VIDEO
from av_pipelines.videos.cut import Cut, Shot
from av_pipelines.videos.films import make_cutdowns, make_video
from av_pipelines.videos.settings import CutdownsSettings, VideoSettings
from tests.videos.numbered import beeps, film

RATE = Fraction(25)


def cut_of(folder: Path) -> Cut:
    source = film(
        folder / "a.mp4", RATE, 100, sound=beeps(4, [0.5, 1.5]), width=320, height=180, gop=10
    )
    shots = Shot("one", source, Fraction(0), 30), Shot("two", source, Fraction(2), 20)
    return Cut("Film", RATE, 320, 180, shots, loudness_lufs=None)


def is_shown(folder: Path, name: str) -> bool:
    with Image.open(folder / name) as image:
        return min(image.size) > 100 and (folder / name).stat().st_size <= 48_000


def test_a_video_comes_with_its_facts_shots_storyboard_and_poster(tmp_path: Path) -> None:
    cut, out = cut_of(tmp_path), tmp_path / "out"
    out.mkdir()
    made = make_video(cut, out, VideoSettings(device="cpu"), lambda share: None)

    said = {"duration_s": 2.0, "frames": 50, "shots": 2, "fps": 25.0, "codec": "h264"}
    assert said.items() <= made.facts.items()
    assert made.facts["stream_copied_s"] == 2.0  # both begin and end with a group of pictures
    assert isinstance(made.facts["integrated_lufs"], float)
    rows = [(row["shot"], row["in"], row["source in"]) for row in made.tables["shots"]]
    assert rows == [("one", "00:00:00:00", "00:00:00:00"), ("two", "00:00:01:05", "00:00:02:00")]
    assert all(is_shown(out, name) for name in made.pictures.values())
    assert list(made.pictures) == ["storyboard", "poster"]

    (product,) = VIDEO.products
    timeline = {"frames": 50, "shots": 2, "fps": 25.0, "width": 320, "height": 180}
    assert set(wrongs(product, Checked(made.facts, {}, {"timeline": timeline})).values()) == {None}
    other = Checked(made.facts, {}, {"timeline": timeline | {"frames": 51}})
    assert wrongs(product, other)["as_timeline"] == "it has frames 50 instead of 51"


def test_cutdowns_come_with_a_storyboard_of_each_shape(tmp_path: Path) -> None:
    cut, out = cut_of(tmp_path), tmp_path / "out"
    out.mkdir()
    settings = CutdownsSettings(platforms=("tiktok", "square"), framing="centre", device="cpu")
    made = make_cutdowns(cut, out, settings, lambda share: None, {})

    assert made.facts["files"] == 2
    assert made.facts["shots"] == len(made.tables["shots"]) == 2
    assert [row["file"] for row in made.tables["files"]] == ["tiktok.mp4", "square.mp4"]
    assert list(made.pictures) == ["storyboard, tiktok", "storyboard, square"]
    assert all(is_shown(out, name) for name in made.pictures.values())
