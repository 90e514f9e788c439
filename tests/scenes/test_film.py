"""The frame at a time is the frame that a full decode shows then, whatever the file is like."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from av_pipelines.scenes.film import Film
from tests.scenes.conftest import MakeFilm, counting, decode, info_of

N = 70
VFR = [0.04 * n + (0.5 if n > 30 else 0) + 0.013 * (n % 3) for n in range(N)]
FILES: dict[str, dict[str, Any]] = {
    "long group, B-frames": {"options": {"g": "250", "bf": "3"}},
    "open groups": {"options": {"g": "12", "bf": "3", "x264-params": "open_gop=1:b-pyramid=2"}},
    "no keyframe but the first, no B": {"options": {"g": "9999", "bf": "0"}},
    "periodic refresh": {"options": {"x264-params": "intra-refresh=1:keyint=20", "bf": "0"}},
    "variable frame rate": {"times": VFR, "options": {"g": "20", "bf": "2"}},
    "start offset": {"start": Fraction(3, 2), "options": {"g": "15", "bf": "3"}},
    "matroska": {"name": "a.mkv", "options": {"g": "15", "bf": "3"}},
    "transport stream": {"name": "a.ts", "options": {"g": "15", "bf": "3"}},
    "HEVC, open groups": {"codec": "libx265", "options": {"x265-params": "log-level=0:keyint=15"}},
    "VP8": {"name": "a.webm", "codec": "libvpx", "options": {"g": "20", "auto-alt-ref": "1"}},
    "VP9": {"name": "a.webm", "codec": "libvpx-vp9", "options": {"g": "20", "lag-in-frames": "9"}},
    "AV1": {"name": "a.mkv", "codec": "libsvtav1", "options": {"g": "20", "preset": "12"}},
    "MPEG-2": {"name": "a.mpg", "codec": "mpeg2video", "options": {"g": "12", "bf": "2"}},
    "MPEG-4 in AVI": {"name": "a.avi", "codec": "mpeg4", "options": {"g": "20", "bf": "2"}},
    "Motion JPEG": {"name": "a.mov", "codec": "mjpeg", "pixels": "yuvj420p"},
    "one frame": {"count": 1},
}


@pytest.mark.parametrize("kind", FILES)
def test_every_time_gives_the_frame_a_full_decode_shows(kind: str, make_film: MakeFilm) -> None:
    spec = {"name": "a.mp4", "count": N, **FILES[kind]}
    path = make_film(spec.pop("name"), counting(spec.pop("count")), **spec)
    truth = [(f.pts, f.to_ndarray()) for f in decode(path) if f.pts is not None]
    with path.open("rb") as file, Film(file.fileno(), info_of(path)) as film:
        asked = dict(truth)
        for (pts, shown), (after, _) in itertools.pairwise(truth):
            asked[(pts + after) // 2] = asked[after - 1] = shown
        asked[truth[0][0] - 10] = truth[0][1]
        asked[truth[-1][0] + 10**6] = truth[-1][1]
        few = random.Random(1).sample(sorted(asked), min(9, len(asked)))
        for times in (sorted(asked), *([time] for time in few)):
            found = dict(film.at(times))
            assert found.keys() == set(times)
            wrong = [
                time
                for time, frame in found.items()
                if frame is None or not np.array_equal(frame.to_ndarray(), asked[time])
            ]
            assert wrong == []
