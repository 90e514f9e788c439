"""Every frame of a film shows what it must, and every beep is heard when it must."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from av_pipelines.videos.cut import Cut, Shot, Transition
from av_pipelines.videos.render import Delivery, Rendered, RenderError, render
from tests.videos.numbered import (
    HEIGHT,
    SAMPLE_RATE,
    WIDTH,
    beeps,
    film,
    heard,
    numbers,
    onsets,
    shown_at,
    stamps,
)

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)]


def made(cut: Cut, folder: Path, **how: object) -> Rendered:
    delivery = Delivery("film.mp4", cut.width, cut.height, **how)  # pyright: ignore[reportArgumentType]
    return render(cut, [delivery], folder, device="cpu")[0]


def due(cut: Cut, times: dict[Path, list[Fraction]]) -> list[int]:
    """The number that each frame must show."""
    found = []
    for shot in cut.shots:
        assert shot.path
        found += [
            shown_at(times[shot.path], shot.start + n * shot.speed / cut.rate)
            for n in range(shot.frames)
        ]
    return found


@pytest.mark.parametrize("rate", RATES, ids=lambda r: f"{float(r):.3f}")
def test_every_frame_and_every_beep_is_in_its_place(rate: Fraction, tmp_path: Path) -> None:
    second = round(rate)
    sound = beeps(6, [float(k * second / rate) for k in range(1, 6)])  # where shots begin
    one = film(tmp_path / "one.mp4", rate, round(6 * rate), sound=sound)
    late = film(
        tmp_path / "late.mkv", rate, round(6 * rate), sound=sound, offset=Fraction(529, 1000)
    )
    shots = (
        Shot("a", one, Fraction(second) / rate, second + 7),
        Shot("b", late, 2 * second / rate, 2 * second),
        Shot("c", one, 4 * second / rate, second),
    )
    cut = Cut("numbers", rate, WIDTH, HEIGHT, shots, loudness_lufs=None)
    out = made(cut, tmp_path)

    times = [n / rate for n in range(round(6 * rate))]
    assert numbers(out.path) == due(cut, {one: times, late: times})
    for n, time in enumerate(stamps(out.path)):
        assert time == pytest.approx(n / rate, abs=1e-6)
    wanted = [
        float((start + k * second) / rate - shot.start)
        for shot, start in zip(shots, cut.starts(), strict=True)
        for k in range(1, 6)
        if shot.start <= k * second / rate < shot.start + shot.frames / rate
    ]
    found = onsets(heard(out.path))
    assert len(found) == len(wanted)
    assert found == pytest.approx(wanted, abs=float(1 / rate))


@pytest.mark.parametrize(
    "speed", [Fraction(1, 2), Fraction(5, 4), Fraction(2), Fraction(3)], ids=str
)
def test_sound_at_another_speed_keeps_its_place_and_pitch(speed: Fraction, tmp_path: Path) -> None:
    rate, at = Fraction(60), [0.5 + 0.7 * k for k in range(8)]
    source = film(tmp_path / "a.mp4", rate, 360, sound=beeps(6, at))
    shot = Shot("a", source, Fraction(0), round(350 / speed), speed=speed)
    out = made(Cut("speed", rate, WIDTH, HEIGHT, (shot,), loudness_lufs=None), tmp_path)

    sound = heard(out.path)
    level = np.convolve(np.abs(sound), np.ones(480) / 480, "same")  # rises within 10 ms
    found = np.flatnonzero(np.diff((level > 0.5 * level.max()).astype(int)) == 1) / SAMPLE_RATE
    found = found[np.diff(found, prepend=-1) > 0.1]  # slowed down, a beep may come twice
    assert found == pytest.approx([time / float(speed) for time in at], abs=float(1 / rate))
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert np.argmax(power) / sound.size * SAMPLE_RATE == pytest.approx(1000, rel=0.05)


def test_a_variable_rate_shows_what_a_player_shows(tmp_path: Path) -> None:
    rate = Fraction(25)
    steps = [Fraction(k, 1000) for k in (17, 50, 33, 120, 8, 41, 67, 25)]
    times, at = [], Fraction(0)
    for n in range(120):
        times.append(at)
        at += steps[n % len(steps)]
    source = film(
        tmp_path / "phone.mp4", rate, 120, times=times, sound=beeps(float(at), [1, 2, 3, 4])
    )
    cut = Cut(
        "vfr",
        rate,
        WIDTH,
        HEIGHT,
        (
            Shot("all", source, Fraction(0), 60),
            Shot("later", source, Fraction(81, 25), 50),
            Shot("fast", source, Fraction(9, 10), 30, speed=Fraction(2)),
        ),
        loudness_lufs=None,
    )
    out = made(cut, tmp_path)

    assert numbers(out.path) == due(cut, {source: times})
    found = onsets(heard(out.path))
    # Two in the first shot, one in the second. (Stretching time may swallow so short a sound.)
    wanted = [1.0, 2.0, 2.4 + 4 - 3.24]
    assert found[:3] == pytest.approx(wanted, abs=0.04)


def test_rates_are_converted_without_a_drift(tmp_path: Path) -> None:
    own, rate = Fraction(24000, 1001), Fraction(60000, 1001)
    source = film(tmp_path / "film.mp4", own, 200)
    cut = Cut("up", rate, WIDTH, HEIGHT, (Shot("a", source, Fraction(1), 400),))
    times = [n / own for n in range(200)]

    assert numbers(made(cut, tmp_path).path) == due(cut, {source: times})


def test_transitions_overlap_shots(tmp_path: Path) -> None:
    rate = Fraction(25)
    source = film(tmp_path / "a.mp4", rate, 200)
    cut = Cut(
        "over",
        rate,
        WIDTH,
        HEIGHT,
        (
            Shot("a", source, Fraction(0), 50),
            Shot("b", source, Fraction(4), 50, transition=Transition("dissolve", 10)),
            Shot("c", source, Fraction(2), 30, transition=Transition("fade", 20)),
        ),
    )
    out = made(cut, tmp_path)
    found = numbers(out.path)

    assert len(found) == out.frames == 100
    assert found[:40] == list(range(40))
    assert found[50:70] == list(range(110, 130))
    assert found[90:] == list(range(70, 80))


def test_an_out_point_past_the_end_names_the_shot(tmp_path: Path) -> None:
    source = film(tmp_path / "short.mp4", Fraction(25), 50)
    cut = Cut("x", Fraction(25), WIDTH, HEIGHT, (Shot("finale", source, Fraction(1), 60),))

    with pytest.raises(RenderError, match=r"'finale'.*short\.mp4.*2\.000 s long"):
        made(cut, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["short.mp4"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_hour_has_no_drift(tmp_path: Path) -> None:
    rate, length = Fraction(30000, 1001), 3600
    marks = [float(k) for k in range(1, length, 300)]
    source = film(
        tmp_path / "hour.mkv",
        rate,
        round(length * rate),
        offset=Fraction(529, 1000),
        sound=beeps(length, marks),
        width=64,
        height=48,
        gop=300,
    )
    # Scaled, so that nothing is copied; into two parts, so that they are joined.
    half = round(length * rate) // 2
    shots = tuple(Shot(f"{k}", source, k * half / rate, half) for k in range(2))
    cut = Cut("hour", rate, 80, 60, shots, loudness_lufs=None, quality="low")
    out = made(cut, tmp_path)

    assert out.frames == 2 * half
    assert numbers(out.path, 29) == [n & 0xFFFF for n in range(0, 2 * half, 29)]
    sound = onsets(heard(out.path))
    assert sound == pytest.approx(marks, abs=float(1 / rate))
