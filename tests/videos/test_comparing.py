"""What a film is compared with is what a full decode of its source shows at that time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import cast

import av
import imageio_ffmpeg
import numpy as np
import pytest

from av_pipelines.videos.comparing import _grey, _near
from tests.videos.numbered import film

REFERRING = {"bf": "3", "preset": "medium"}  # some frames are predicted from, some are not


def avi(path: Path) -> Path:
    source = ("-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=2.4")
    given = [*source, *("-c:v", "mpeg4", "-bf", "2", "-g", "25"), str(path)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *given], check=True)
    return path


def unequal(path: Path) -> Path:
    gaps = [(7 * k % 10 + 1) * 40 for k in range(40)]  # ms
    times = [Fraction(t, 1000) for t in accumulate([0, *gaps])]
    return film(path, Fraction(25), len(times), times=times, options=REFERRING)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.mp4", lambda path: film(path, Fraction(25), 60, options=REFERRING)),
        ("a.mkv", lambda path: film(path, Fraction(60), 90, gop=50, options=REFERRING)),
        ("slow.mp4", lambda path: film(path, Fraction(2), 20, options=REFERRING)),
        ("late.ts", lambda path: film(path, Fraction(25), 60, offset=Fraction(2))),
        ("unequal.mp4", unequal),
        ("a.avi", avi),
    ],
)
def test_neighbours_in_time_are_found(
    name: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    with av.open(str(write(tmp_path / name))) as container:
        shown = {Fraction(cast("float", f.time)).limit_denominator(90_000): _grey(f)
                 for f in container.decode(video=0)}  # fmt: skip
    times = sorted(shown)
    _near.cache_clear()  # in a process of its own, a descriptor is one file
    with (tmp_path / name).open("rb") as file:
        for k in (0, 1, len(times) // 2, len(times) - 2, len(times) - 1):
            before, due, after = _near(file.fileno(), 0, times[k] + Fraction(1, 200))
            assert due is not None
            np.testing.assert_array_equal(due, shown[times[k]])
            assert (after is None) == (k + 1 == len(times))
            if after is not None:
                np.testing.assert_array_equal(after, shown[times[k + 1]])
            if before is not None:
                np.testing.assert_array_equal(before, shown[times[k - 1]])
