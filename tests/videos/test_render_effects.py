"""Effects written in Python pass only the shots that ask for them through MoviePy."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from av_pipelines.videos import python_effects
from av_pipelines.videos.cut import Cut, Shot
from av_pipelines.videos.render import Delivery, RenderError, render
from tests.videos.numbered import HEIGHT, WIDTH, beeps, film, heard, numbers, onsets

RATE = Fraction(25)
PACKAGE = """
def reversed_in_time(clip):
    return clip.time_transform(lambda t: clip.duration - 1 / clip.fps - t)

def dimmed(clip, by):
    return clip.image_transform(lambda image: (image * by).astype("uint8"))

def halved(clip):
    return clip.image_transform(lambda image: image[::2, ::2])
"""


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with effects, as a user installs one."""
    folder = tmp_path / "site"
    (folder / "my_effects-1.0.dist-info").mkdir(parents=True)
    (folder / "my_effects.py").write_text(PACKAGE)
    (folder / "my_effects-1.0.dist-info" / "METADATA").write_text(
        "Name: my-effects\nVersion: 1.0\n"
    )
    points = "[avp.effects]\nback = my_effects:reversed_in_time\ndim = my_effects:dimmed\n"
    points += "half = my_effects:halved\n"
    (folder / "my_effects-1.0.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(folder)


def cut_with(source: Path, *effects: tuple[str, dict[str, object]]) -> Cut:
    shots = (
        Shot("plain", source, Fraction(0), 25),
        Shot("back", source, Fraction(2), 25, effects=effects),
        Shot("after", source, Fraction(1), 25),
    )
    return Cut("effects", RATE, WIDTH, HEIGHT, shots, loudness_lufs=None)


@pytest.mark.usefixtures("effects")
def test_a_shot_passes_through_its_effects(tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    source = film(tmp_path / "a.mp4", RATE, 100, sound=beeps(4, [0.5, 2.5]))
    cut = cut_with(source, ("back", {}), ("dim", {"by": 0.9}))
    out = render(cut, [Delivery("film.mp4", WIDTH, HEIGHT)], tmp_path, device="cpu")[0]

    assert numbers(out.path) == [*range(25), *range(74, 49, -1), *range(25, 50)]
    assert onsets(heard(out.path)) == pytest.approx([0.5, 1.5], abs=0.04)
    with av.open(str(out.path)) as container:
        lumas = [f.reformat(format="gray").to_ndarray().max() for f in container.decode(video=0)]
    assert max(lumas[27:48]) < min(lumas[:23]) - 10
    assert any("'back' went through Python: back, dim" in note for note in out.notes)


@pytest.mark.usefixtures("effects")
def test_what_is_wrong_with_an_effect_names_shot_and_effect(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 100)
    with pytest.raises(RenderError, match=r"'back' has the effect 'spin'.*back, dim, half"):
        python_effects.check(cut_with(source, ("spin", {})))
    pytest.importorskip("moviepy")
    cut = cut_with(source, ("half", {}))
    with pytest.raises(RenderError, match=r"'back': the effects half failed: .*80x48"):
        render(cut, [Delivery("film.mp4", WIDTH, HEIGHT)], tmp_path, device="cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "site"]


def test_without_moviepy_it_says_what_to_install(
    tmp_path: Path, effects: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "moviepy", None)
    with pytest.raises(RenderError, match=r"install av-pipelines\[moviepy\]"):
        python_effects.check(cut_with(tmp_path / "a.mp4", ("dim", {"by": 0.5})))
