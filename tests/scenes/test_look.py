"""A look is what was asked for, by measurement."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from av_pipelines.media.audio import read_blocks
from av_pipelines.scenes.film import FilmInfo
from av_pipelines.scenes.grade import LUMA, grade
from av_pipelines.scenes.look import Made, make_look
from av_pipelines.scenes.look_settings import LookSettings
from av_pipelines.scenes.speed import SpeedMap
from tests.scenes.conftest import MAX_PIXELS, MakeFilm, counting, decode, probe_of

FPS, RATE = 25, 48_000
COLOUR = np.array([0.5, 0.35, 0.25])
Look = Callable[..., tuple[Path, Made]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Make a look of a film; return its folder and what was said of it."""

    def look(path: Path, **settings: Any) -> tuple[Path, Made]:
        out = tmp_path / "look"
        out.mkdir()
        probe = probe_of(path)
        info = FilmInfo.of(probe, MAX_PIXELS)
        assert info
        made = make_look(path, info, probe, out, LookSettings(preset="ultrafast", **settings))
        return out, made

    return look


def plain(colour: np.ndarray, count: int = 3) -> list[np.ndarray]:
    return [np.broadcast_to(np.round(colour * 255), (64, 96, 3)).astype(np.uint8)] * count


def mean_colour(path: Path) -> np.ndarray:
    frame = next(decode(path))
    return frame.to_ndarray(format="rgb24").mean((0, 1)) / 255


# ---------------------------------------------------------------------- colour


@pytest.mark.parametrize(
    "settings",
    [
        {"exposure_ev": 1.0},
        {"temperature_k": 9000.0, "tint": 20.0},
        {"lift": 0.1, "gamma": [1.2, 1.0, 0.8], "gain": 1.1},
    ],
)
def test_mean_colour_moves_as_asked(settings: Any, make_film: MakeFilm, look: Look) -> None:
    film = make_film("a.mp4", plain(COLOUR))
    out, _ = look(film, **settings)
    wanted = grade(mean_colour(film), LookSettings(**settings))
    assert mean_colour(out / "look.mp4") == pytest.approx(wanted, abs=0.012)


def test_a_higher_temperature_is_warmer_and_no_saturation_is_grey(
    make_film: MakeFilm, look: Look
) -> None:
    warm = grade(COLOUR, LookSettings(temperature_k=9000)) - COLOUR
    assert warm[0] > 0.01
    assert warm[2] < -0.01
    out, _ = look(make_film("a.mp4", plain(COLOUR)), saturation=0)
    assert mean_colour(out / "look.mp4") == pytest.approx(LUMA @ COLOUR, abs=0.012)


@pytest.mark.parametrize(
    ("transfer", "light", "bent"), [("smpte2084", 100, 0.08), ("arib-std-b67", 203, 0.18)]
)
def test_high_dynamic_range_is_mapped_to_standard(
    transfer: str, light: float, bent: float, make_film: MakeFilm, look: Look
) -> None:
    """A grey of 100 cd/m² in PQ (signal 0.508), and HLG's 75 %, which is white (ITU-R BT.2408)."""
    signal = {"smpte2084": 0.508, "arib-std-b67": 0.75}[transfer]
    params = f"log-level=0:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    film = make_film(
        "hdr.mp4",
        plain(np.full(3, signal)),
        codec="libx265",
        pixels="yuv420p10le",
        options={"x265-params": params},
        colours=False,
    )
    out, made = look(film, tint=0.001)
    assert made.facts["tone_mapped"]
    linear = light / 203
    bright = 1.099 * linear**0.45 - 0.099  # BT.709
    assert mean_colour(out / "look.mp4") == pytest.approx([bright] * 3, abs=bent)


def test_a_cube_is_applied(make_film: MakeFilm, look: Look, tmp_path: Path) -> None:
    rows = [f"{1 - r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    cube = tmp_path / "turn red.cube"
    cube.write_text('TITLE "x"\n# red turned round\nLUT_3D_SIZE 2\n' + "\n".join(rows) + "\n")
    out, made = look(make_film("a.mp4", plain(COLOUR)), lut=str(cube))
    wanted = [1 - COLOUR[0], COLOUR[1], COLOUR[2]]
    assert mean_colour(out / "look.mp4") == pytest.approx(wanted, abs=0.012)
    assert "turn red" not in made.facts["filter"]  # FFmpeg sees a table of ours


# ---------------------------------------------------------------------- speed


FLASHES_S = [0.4, 1.2, 2.0, 2.8, 3.6, 4.4, 5.2]
LENGTH_S = 6


def flashing(make_film: MakeFilm) -> Path:
    """A film that flashes and beeps at the same times."""
    frames = plain(np.zeros(3), LENGTH_S * FPS)
    sound = np.zeros(LENGTH_S * RATE)
    beep = 0.8 * np.sin(2 * np.pi * 2000 * np.arange(4 * RATE // FPS) / RATE)
    for second in FLASHES_S:
        at = round(second * FPS)
        frames[at : at + 4] = plain(np.ones(3), 4)
        sound[round(second * RATE) : round(second * RATE) + beep.size] = beep
    return make_film("flashes.mp4", frames, sound=sound)


def onsets(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times at which values rise over a sixth of their highest, after at least 0.1 s below."""
    above = times[values > values.max() / 6]
    return above[np.diff(above, prepend=-1.0) > 0.1]


@pytest.mark.parametrize(
    "speed",
    [
        {"speed": 0.5},
        {"speed": 1.7},
        {"speed_ramp": [[1.0, 1.0], [4.0, 2.0]]},
        {"speed_ramp": [[2.0, 2.0], [2.0, 0.5], [5.0, 1.0]]},
    ],
    ids=str,
)
def test_sound_and_picture_stay_together_at_any_speed(
    speed: Any, make_film: MakeFilm, look: Look
) -> None:
    out, made = look(flashing(make_film), **speed)
    given = LookSettings(**speed)
    shown_at = SpeedMap.of(given.speed, given.speed_ramp).shown_at
    assert abs(made.facts["frames"] - shown_at(LENGTH_S) * FPS) <= 1
    assert abs(made.facts["duration_s"] - shown_at(LENGTH_S)) <= 1 / FPS

    frames = [(f.time, f.to_ndarray()[:64].mean()) for f in decode(out / "look.mp4")]
    seen = onsets(np.array([v for _, v in frames]), np.array([t for t, _ in frames]))
    sound = np.abs(np.concatenate(list(read_blocks(out / "look.mp4")), axis=1).mean(0))
    level = np.convolve(sound, np.ones(240) / 240, "same")
    heard = onsets(level, np.arange(level.size) / RATE)
    wanted = [shown_at(second) for second in FLASHES_S]
    assert seen == pytest.approx(wanted, abs=1 / FPS)
    assert heard == pytest.approx(seen, abs=1 / FPS)


def test_pitch_is_kept(make_film: MakeFilm, look: Look) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(2 * RATE) / RATE)
    out, _ = look(make_film("a.mp4", counting(2 * FPS), sound=tone), speed=1.6)
    sound = np.concatenate(list(read_blocks(out / "look.mp4")), axis=1).mean(0)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
    assert np.argmax(spectrum) * RATE / sound.size == pytest.approx(500, abs=3)


# ---------------------------------------------------------------------- stabilisation


def shifts(frames: list[np.ndarray]) -> np.ndarray:
    """Movement from frame to frame in pixels, (n - 1, 2), by phase correlation."""
    found = []
    for before, after in itertools.pairwise(frames):
        window = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
        cross = np.fft.fft2(before * window) * np.conj(np.fft.fft2(after * window))
        peak = np.fft.ifft2(cross / np.maximum(np.abs(cross), 1e-9)).real
        y, x = np.unravel_index(np.argmax(peak), peak.shape)
        found.append([(v + n // 2) % n - n // 2 for v, n in zip((y, x), peak.shape, strict=True)])
    return np.array(found, float)


def test_shake_is_taken_out(make_film: MakeFilm, look: Look) -> None:
    rng = np.random.default_rng(3)
    rough = rng.integers(0, 256, (30, 40)).repeat(12, 0).repeat(12, 1)
    shake = rng.integers(-5, 6, (40, 2))
    grey = [rough[50 + y : 242 + y, 60 + x : 380 + x] for y, x in shake]
    frames = [np.stack([g] * 3, -1).astype(np.uint8) for g in grey]
    film = make_film("shaky.mp4", frames, options={"crf": "12"})
    out, made = look(film, stabilise=True, stabilise_shakiness=8)

    def jitter(path: Path) -> float:
        luma = [f.to_ndarray(format="gray").astype(float) for f in decode(path)]
        return float(np.abs(shifts(luma)).mean())

    assert jitter(out / "look.mp4") <= 0.3 * jitter(film)
    assert (out / "transforms.trf").stat().st_size > 0
    assert made.facts["frames"] == 40


# ---------------------------------------------------------------------- cleaning


def test_noise_is_taken_out(make_film: MakeFilm, look: Look) -> None:
    rng = np.random.default_rng(1)
    noisy = [rng.normal(128, 8, (64, 96, 3)).clip(0, 255).astype(np.uint8) for _ in range(12)]
    film = make_film("noise.mp4", noisy, options={"crf": "8"})
    out, _ = look(film, denoise="strong", crf=8)
    noise = [
        [f.to_ndarray(format="gray").std() for f in decode(p)][-1] for p in (film, out / "look.mp4")
    ]
    assert noise[1] < 0.5 * noise[0]


def test_combs_are_taken_out(make_film: MakeFilm, look: Look) -> None:
    x = np.arange(96)
    fields = [np.tile(128 + 100 * np.sin((x + 5 * n) / 6), (64, 1)) for n in range(24)]
    frames = []
    for top, bottom in zip(fields[::2], fields[1::2], strict=True):
        woven = top.copy()
        woven[1::2] = bottom[1::2]
        frames.append(np.stack([woven] * 3, -1).astype(np.uint8))
    film = make_film("woven.mp4", frames, options={"crf": "8"})
    out, _ = look(film, deinterlace="always", crf=8)

    def combs(path: Path) -> float:
        luma = [f.to_ndarray(format="gray").astype(float) for f in decode(path)][5]
        return float(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean())

    assert combs(out / "look.mp4") < 0.3 * combs(film)


# ---------------------------------------------------------------------- size, kinds of films


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"crop": [0.25, 0, 0.25, 0]}, (64, 64)),
        ({"width": 64, "height": 64, "fit": "pad"}, (64, 64)),
        ({"width": 64, "height": 64, "fit": "cut"}, (64, 64)),
        ({"width": 64}, (64, 32)),
    ],
    ids=str,
)
def test_size(settings: Any, size: tuple[int, int], make_film: MakeFilm, look: Look) -> None:
    half = [np.pad(np.full((64, 64, 3), 255, np.uint8), ((0, 0), (0, 64), (0, 0)))] * 2
    out, _ = look(make_film("half.mp4", half), **settings)
    frame = next(decode(out / "look.mp4"))
    assert (frame.width, frame.height) == size
    pairs = np.asarray(Image.open(out / "compare.jpg").convert("L"))
    assert (pairs[:, pairs.shape[1] // 2 :] < 128).mean() > 0.02  # there is an "after"
    top = frame.to_ndarray(format="gray")[0].mean()
    assert top < 30 if settings.get("fit") == "pad" else top > 60


FILMS: dict[str, dict[str, Any]] = {
    "10 bit 4:2:2": {"codec": "libx265", "pixels": "yuv422p10le"},
    "4:4:4 in RGB": {"codec": "libx264rgb", "pixels": "rgb24"},
    "alpha": {"name": "a.mov", "codec": "prores_ks", "pixels": "yuva444p10le"},
    "AV1": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "VP9": {"name": "a.webm", "codec": "libvpx-vp9"},
    "turned, pixels not square": {"rotation": 90, "ratio": Fraction(3, 2)},
    "one frame": {"count": 1},
    "later start": {"name": "a.mkv", "start": 7},
}


@pytest.mark.parametrize("kind", FILMS)
def test_films_of_all_kinds(kind: str, make_film: MakeFilm, look: Look) -> None:
    spec = {"name": "a.mp4", "count": 12, **FILMS[kind]}
    film = make_film(spec.pop("name"), counting(count := spec.pop("count")), **spec)
    _, made = look(film, gain=0.9)
    size = (64, 144) if kind.startswith("turned") else (96, 64)
    assert (made.facts["display_width"], made.facts["display_height"]) == size
    assert abs(made.facts["frames"] - count) <= 1


def test_variable_frame_rate_stays_what_it_is(make_film: MakeFilm, look: Look) -> None:
    times = [0.04 * n + (0.3 if n > 10 else 0) + 0.011 * (n % 3) for n in range(30)]
    out, _ = look(make_film("a.mp4", counting(30), times=times), gain=0.9)
    assert [f.time for f in decode(out / "look.mp4")] == pytest.approx(times, abs=0.002)


def test_a_film_that_is_damaged_in_the_middle_keeps_its_length(
    make_film: MakeFilm, look: Look
) -> None:
    film = make_film("a.mkv", counting(100), options={"g": "10"})
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = b"\x55" * 400
    film.write_bytes(data)
    _, made = look(film, gain=0.9)
    assert abs(made.facts["duration_s"] - 4.0) <= 0.08


def test_no_program_but_ffmpeg_sees_the_film_and_no_network(
    make_film: MakeFilm, look: Look
) -> None:
    out, made = look(make_film("a.mp4", counting(5)), denoise="light")
    assert sorted(p.name for p in out.iterdir()) == ["compare.jpg", "look.filter.txt", "look.mp4"]
    assert made.facts["filter"] == (out / "look.filter.txt").read_text().strip()
    with av.open(str(out / "look.mp4")) as container:
        assert container.metadata.get("encoder") is None  # the same input gives the same bytes
