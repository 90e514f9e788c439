"""The ``scenes`` asset, from a dropped file to its lists and pictures."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest
from PIL import Image

from av_pipelines.intake.assets import INTAKE
from av_pipelines.intake.claim import register
from av_pipelines.maker import Outcome, Studio, make
from av_pipelines.media.picture import read_picture
from av_pipelines.scenes.assets import FRAMES, LOOK, SCENES
from av_pipelines.scenes.detection import Transition
from av_pipelines.scenes.keyframes import choose
from av_pipelines.scenes.scene_list import COLUMNS, Scene
from av_pipelines.settings import Recipes
from partitions.keys import media_key
from resources.ledger import Ledger
from resources.store import Artifact, Store
from tests.scenes.conftest import MakeFilm

MAKERS = (INTAKE, SCENES, FRAMES, LOOK)
SETTINGS = {p.name: p.settings for maker in MAKERS for p in maker.products}
Produce = Callable[..., dict[str, Outcome]]


@pytest.fixture
def produce(tmp_path: Path) -> Produce:
    """Make all assets of a file; asset → what happened."""
    store = Store(tmp_path / "studio")
    studio = Studio(store, Ledger(store.ledger_dir), Recipes(store.root / "recipes", SETTINGS))
    (store.root / "recipes").mkdir(parents=True)
    (store.root / "recipes" / "auto.toml").write_text(f"assets = {json.dumps([*SETTINGS])}\n")

    def produce(path: Path, **settings: Any) -> dict[str, Outcome]:
        key = media_key(path)
        register(store, path, key, recipe="auto", claim="copy", sidecar={})
        given = {"scenes": {"quality": "draft"}} | settings
        made = [make(studio, maker, key, overrides=given) for maker in MAKERS]
        return {outcome.asset: outcome for outcome in itertools.chain(*made)}

    return produce


def artifact(outcome: Outcome) -> Artifact:
    assert outcome.ok, outcome.reason
    assert outcome.artifact, outcome.reason
    return outcome.artifact


def read(scenes: Artifact) -> Any:
    return json.loads(scenes.file("scenes.json").read_text("utf-8"))


def shots(*lengths: int, size: tuple[int, int] = (144, 256)) -> list[np.ndarray]:
    """Shots of a slowly moving texture each, in another colour."""
    frames = []
    for shot, length in enumerate(lengths):
        rng = np.random.default_rng(shot)
        texture = rng.integers(0, 90, (size[0] // 8 + 20, size[1] // 8 + 20)).repeat(8, 0)
        texture = texture.repeat(8, 1)
        colour = rng.integers(20, 160, 3)
        for n in range(length):
            part = texture[n : n + size[0], n // 2 : n // 2 + size[1]]
            frames.append((part[..., None] + colour).astype(np.uint8))
    return frames


def test_lists_and_pictures_say_the_same(make_film: MakeFilm, produce: Produce) -> None:
    film = make_film("my film.mp4", shots(40, 35, 50), fps=Fraction(30000, 1001))
    scenes = artifact(produce(film)["scenes"])
    found = read(scenes)
    assert (found["fps"], found["frames"], found["cuts"]) == ("30000/1001", 125, [40, 75])
    assert found["duration_s"] == pytest.approx(125 * 1001 / 30000, abs=1e-4)
    assert [s["transition"] for s in found["scenes"]] == [None, "cut", "cut"]
    assert all(s["confidence"] > 0.5 for s in found["scenes"][1:])
    starts = [s["start_s"] for s in found["scenes"]]
    assert starts == pytest.approx([f * 1001 / 30000 for f in (0, 40, 75)], abs=1e-4)

    spans = [(s["start_frame"], s["end_frame"]) for s in found["scenes"]]
    with scenes.file("scenes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(int(r["Start Frame"]) - 1, int(r["End Frame"])) for r in rows] == spans
    rate: dict[str, Any] = {"rate": 30000 / 1001}
    for name, options in (("scenes.edl", rate), ("scenes.otio", {})):
        timeline: Any = otio.adapters.read_from_file(str(scenes.file(name)), **options)
        ranges = [clip.source_range for clip in timeline.find_clips()]
        assert [
            (r.start_time.to_frames(), r.end_time_exclusive().to_frames()) for r in ranges
        ] == spans
    assert "FCM: DROP FRAME" in scenes.file("scenes.edl").read_text()

    for scene in found["scenes"]:
        assert np.asarray(Image.open(scenes.file(scene["keyframe"]))).mean() > 20
    for name in scenes.manifest.pictures.values():
        assert Image.open(scenes.file(name)).width > 100
        assert scenes.file(name).stat().st_size < 50_000  # or the UI does not show it
    assert Image.open(scenes.file("contact_sheet.jpg")).width > 100
    facts = scenes.manifest.facts
    assert (facts["scenes"], facts["frames"], facts["variable_frame_rate"]) == (3, 125, False)
    assert facts["realtime_factor"] > 0
    assert [row["begins with"] for row in scenes.manifest.tables["scenes"]] == ["", "cut", "cut"]


def test_a_scene_has_its_colours_and_its_motion(make_film: MakeFilm, produce: Produce) -> None:
    still = [np.full((144, 256, 3), (200, 30, 30), np.uint8)] * 30
    scenes = artifact(produce(make_film("a.mp4", [*still, *shots(30)]))["scenes"])
    first, second = json.loads(scenes.file("shots.json").read_text())["shots"]
    red = bytes.fromhex(first["palette"][0]["rgb"][1:])
    assert np.abs(np.array([*red]) - (200, 30, 30)).max() < 12
    assert first["palette"][0]["share"] > 0.9
    assert first["motion"] < 0.5 < second["motion"]


def test_the_keyframe_is_sharp_and_not_black(make_film: MakeFilm, produce: Produce) -> None:
    sharp = shots(1)[0]
    soft = sharp // 4 + 100
    noise = np.random.default_rng(1).integers(0, 30, sharp.shape).astype(np.uint8)
    frames = [*[noise] * 10, *[soft] * 10, *[sharp] * 10, *[soft] * 10]
    made = produce(make_film("a.mp4", frames, options={"g": "5"}))
    with read_picture(artifact(made["picture"]).file("picture.npz")) as picture:
        scene = Scene(0, 0, 40, Fraction(0), Fraction(8, 5), None)
        assert 20 <= choose(picture, scene, None) < 30
        fade = Transition(40, "fade", 18, 40, 1.0)  # a frame of a transition shows no scene
        following = Scene(1, 40, 40, Fraction(8, 5), Fraction(8, 5), fade)
        assert 10 <= choose(picture, scene, following) < 18


@pytest.mark.parametrize("quality", ["standard", "draft"])
def test_a_film_that_fades_in_is_shown_by_no_black_picture(
    quality: str, make_film: MakeFilm, produce: Produce
) -> None:
    light = np.concatenate([np.zeros(15), np.linspace(0, 1, 25), np.ones(60)])
    frames = [(f * k).astype(np.uint8) for f, k in zip(shots(100), light, strict=True)]
    # A single keyframe, which is black.
    film = make_film(
        "a.mp4", [*frames, *shots(1, 40)[1:]], options={"g": "250", "sc_threshold": "0"}
    )
    made = produce(film, picture={"quality": quality})
    scenes = artifact(made["scenes"])
    for still in (*read(scenes)["scenes"][:1], *artifact(made["frames"]).manifest.tables["stills"]):
        owner = scenes if "keyframe" in still else artifact(made["frames"])
        shown = Image.open(owner.file(still.get("keyframe") or still["file"]))
        assert np.asarray(shown).mean() > 40
    assert ("fades" in scenes.manifest.facts.get("note", "")) is (quality == "draft")


def test_variable_frame_rate_and_a_late_start(make_film: MakeFilm, produce: Produce) -> None:
    times = [n * 0.04 + (0.9 if n >= 20 else 0) + 0.013 * (n % 3) for n in range(80)]
    film = make_film("a.mkv", shots(30, 50), times=times, start=2)
    scenes = artifact(produce(film)["scenes"])
    found = read(scenes)
    assert found["cuts"] == [30]
    assert scenes.manifest.facts["variable_frame_rate"] is True
    first, second = found["scenes"]
    # From the time stamps; 30 / fps would be half a second off.
    assert (first["start_s"], second["start_s"]) == pytest.approx((2.0, 2 + times[30]), abs=2e-3)
    assert Fraction(found["fps"]) < 24
    rate = 24_000 / 1001  # timecode knows no lower one
    edl: Any = otio.adapters.read_from_file(str(scenes.file("scenes.edl")), rate=rate)
    clip = list(edl.find_clips())[1]
    assert clip.source_range.start_time.to_frames() == round(times[30] * rate)


def test_frames_come_from_scenes_and_a_look_only_when_set(
    make_film: MakeFilm, produce: Produce
) -> None:
    film = make_film("a.mp4", shots(30, 30))
    made = produce(film)
    stills = artifact(made["frames"])
    rows = json.loads(stills.file("frames.json").read_text())["stills"]
    assert [row["time_s"] for row in rows] == [0.0, 1.2]
    assert made["look"].event == "skipped"
    again = produce(film, look={"exposure_ev": 0.5, "preset": "ultrafast"})
    assert {again[name].event for name in ("scenes", "frames")} == {"reused"}
    assert artifact(again["look"]).file("look.mp4").stat().st_size > 0


def test_another_detector_reads_the_film_no_more_than_for_keyframes(
    make_film: MakeFilm, produce: Produce
) -> None:
    film = make_film("a.mp4", shots(30, 30))
    first = produce(film)
    other = produce(film, scenes={"detector": "content", "threshold": 20.0})
    assert other["picture"].event == "reused"
    assert other["scenes"].event == "made"
    assert read(artifact(other["scenes"]))["cuts"] == read(artifact(first["scenes"]))["cuts"]


def test_no_film_no_scenes(tmp_path: Path, produce: Produce) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    made = produce(tmp_path / "a.wav")
    for name in ("scenes", "frames", "look"):
        assert made[name].event == "skipped"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (144, 256)])
def test_hardly_any_film(
    count: int, size: tuple[int, int], make_film: MakeFilm, produce: Produce
) -> None:
    film = make_film("a.mkv", shots(count, size=size), codec="ffv1", pixels="yuv444p")
    made = produce(film, look={"gain": 0.9, "preset": "ultrafast"})
    found = read(artifact(made["scenes"]))
    assert (found["frames"], len(found["scenes"])) == (count, 1)
    assert artifact(made["frames"]).manifest.facts["stills"] == 1
    assert abs(artifact(made["look"]).manifest.facts["frames"] - count) <= 1


def test_damage_in_the_middle_is_named_and_the_rest_is_there(
    make_film: MakeFilm, produce: Produce
) -> None:
    film = make_film("a.mkv", shots(60, 60), options={"g": "10", "bf": "0"})
    data = bytearray(film.read_bytes())
    middle = len(data) // 4
    data[middle : middle + 2500] = b"\x55" * 2500
    film.write_bytes(data)
    made = produce(film)
    scenes = artifact(made["scenes"])
    assert "missing" in (scenes.manifest.degraded or "")
    cuts = [s["start_s"] for s in read(scenes)["scenes"]]
    assert any(abs(second - 60 / 25) < 0.09 for second in cuts)
    assert artifact(made["frames"]).manifest.facts["stills"] >= 1
