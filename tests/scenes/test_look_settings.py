"""Nothing that is set can bring a filter or a file into the graph; tables are checked."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.scenes.cube import Cube, read_cube
from av_pipelines.scenes.filters import Footage, Tables, look_graph, output_size
from av_pipelines.scenes.look_settings import LookSettings
from av_pipelines.scenes.speed import SpeedMap
from av_pipelines.settings import SettingsError

FOOTAGE = Footage(640, 360, Fraction(25), False, "bt709", False, 1, 10.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("denoise", "hqdn3d,movie=secret.mp4"),
        ("deinterlace", "auto:x"),
        ("fit", "pad[v];movie=x"),
        ("speed", "1,volume=2"),
        ("speed", 0),
        ("speed", float("nan")),
        ("lift", [0, 0]),
        ("gain", ["1;movie", 1, 1]),
        ("crop", [0.5, 0, 0.5, 0]),
        ("width", 101),
        ("preset", "fast -f null"),
        ("lut", "relative.cube"),
        ("lut", "/etc/passwd"),
        ("speed_ramp", [[5, 1], [2, 1]]),
        ("speed_ramp", [[0, 1]] * 33),
        ("filter", "negate"),
    ],
)
def test_settings_are_numbers_and_choices(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        LookSettings.merged("look", ("run config", {name: value}))


def test_a_name_of_a_table_never_reaches_the_graph(tmp_path: Path) -> None:
    given = LookSettings(lut=str(tmp_path / "a'],movie=x;[v.cube"))
    table = Cube(2, True, np.zeros((8, 3), np.float32))
    graph = look_graph(0, FOOTAGE, given, Tables(None, table), SpeedMap.of(1, ()))
    assert "movie" not in graph
    assert "lut3d=file=table.cube" in graph


def test_no_effect_is_no_look() -> None:
    assert LookSettings().changes_nothing
    assert LookSettings(crf=20, preset="fast").changes_nothing
    assert not LookSettings(tint=1).changes_nothing


@given(
    width=st.none() | st.integers(8, 2000).map(lambda n: 2 * n),
    height=st.none() | st.integers(8, 2000).map(lambda n: 2 * n),
    crop=st.tuples(*[st.floats(0, 0.47)] * 4),
    film=st.tuples(st.integers(1, 8000), st.integers(1, 8000)),
)
def test_sizes_are_even_and_those_asked_for(
    width: int | None, height: int | None, crop: Any, film: tuple[int, int]
) -> None:
    footage = Footage(*film, Fraction(25), False, "bt709", False, None, 1.0)
    found = output_size(footage, LookSettings(width=width, height=height, crop=crop))
    assert found[0] == width or width is None
    assert found[1] == height or height is None
    assert all(n >= 2 and n % 2 == 0 for n in found)


# Times as the settings allow them: the same, or milliseconds apart.
POINTS = st.lists(
    st.tuples(st.integers(0, 100_000).map(lambda ms: ms / 1000), st.floats(0.1, 16)),
    max_size=8,
).map(sorted)


@given(speed=st.floats(0.1, 16), points=POINTS, at=st.lists(st.floats(0, 200), min_size=2))
def test_the_speed_map_only_goes_forward_and_at_the_speeds_asked_for(
    speed: float, points: list[tuple[float, float]], at: list[float]
) -> None:
    speeds = [s for _, s in points] or [speed]
    speed_map = SpeedMap.of(speed, points)
    shown = [speed_map.shown_at(second) for second in sorted(at)]
    for before, after, a, b in zip(sorted(at), sorted(at)[1:], shown, shown[1:], strict=False):
        assert (after - before) / max(speeds) - 1e-6 <= b - a
        assert b - a <= (after - before) / min(speeds) + 1e-6


def test_a_ramp_takes_the_time_of_an_even_change_of_speed() -> None:
    speed_map = SpeedMap.of(1, [(5, 1), (15, 2)])
    assert speed_map.shown_at(5) == pytest.approx(5)
    assert speed_map.shown_at(15) == pytest.approx(5 + 10 * np.log(2))
    assert speed_map.shown_at(17) == pytest.approx(5 + 10 * np.log(2) + 1)


# ---------------------------------------------------------------------- .cube


def test_a_cube_reads_back_what_was_written(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((27, 3)).astype(np.float32)
    Cube(3, True, values).write(tmp_path / "a.cube")
    found = read_cube(tmp_path / "a.cube")
    assert (found.size, found.solid, found.high) == (3, True, (1.0, 1.0, 1.0))
    assert np.allclose(found.values, values, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no LUT_3D_SIZE"),
        ("LUT_3D_SIZE 1000\n", "size of 2 to 129"),
        ("LUT_3D_SIZE 2\n0 0 0\n", "1 rows"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 x\n", "not all numbers"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 nan\n", "three numbers"),
        ("LUT_1D_SIZE 2\nDOMAIN_MAX 0 0 0\n0 0 0\n1 1 1\n", "DOMAIN_MIN"),
        ("LUT_1D_SIZE 2\nDOMAIN_MAX 1 1\n", "3 numbers"),
        ("movie=x\n", "no LUT_3D_SIZE"),
    ],
)
def test_a_table_that_is_none_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.cube"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_cube(path)
