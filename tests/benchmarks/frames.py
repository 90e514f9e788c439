"""``frames`` at ten random times of a ten-minute film beside a full decode of it.

Goal: at most 5 % of the CPU time, with long groups of pictures (250 frames, three B-frames).
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.harness import alternate, python, show

ROUNDS = 5
GOAL = 0.05
PEER = "full decode, PyAV"
SECONDS, LOOPS, STILLS = 60, 10, 10


def ours(path: Path, seed: int) -> None:
    """Save ten stills, in a confined process, as the asset does."""
    from av_pipelines.scenes.film import FilmInfo
    from av_pipelines.scenes.stills import Look, Target, take_stills

    info = FilmInfo("mov", ("h264",), 0, 1280, 720, 0, False, 8192 * 8192)
    times = [random.Random(seed).uniform(0, SECONDS * LOOPS) for _ in range(STILLS)]
    targets = [Target(time, f"{number}.jpg") for number, time in enumerate(times)]
    with tempfile.TemporaryDirectory() as folder:
        found = take_stills(path, info, targets, Path(folder), Look())
    assert all(found)


def full(path: Path) -> None:
    """Decode every frame and do nothing with it."""
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        assert sum(1 for _ in container.decode(video=0)) > 0


def make_film(path: Path) -> None:
    """Write the film: a minute of moving test picture, ten times over."""
    import imageio_ffmpeg

    minute = path.with_name("minute.mp4")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    picture = "testsrc2=s=1280x720:r=30,noise=alls=12:allf=t"
    encoder = ["-c:v", "libx264", "-preset", "veryfast", "-g", "250", "-bf", "3", "-crf", "26"]
    source = ["-f", "lavfi", "-i", picture, "-t", str(SECONDS), "-pix_fmt", "yuv420p"]
    subprocess.run([*ffmpeg, *source, *encoder, str(minute)], check=True)
    loop = ["-stream_loop", str(LOOPS - 1), "-i", str(minute), "-c", "copy", str(path)]
    subprocess.run([*ffmpeg, *loop], check=True)


def main() -> None:
    """Measure and print."""
    this = "tests.benchmarks.frames"
    with tempfile.TemporaryDirectory() as temporary:
        film = Path(temporary) / "film.mp4"
        make_film(film)
        seeds = iter(range(100))

        def round_of() -> Mapping[str, Sequence[str]]:
            return {
                PEER: python(this, "full", film),
                f"frames at {STILLS} times": python(this, "ours", film, next(seeds)),
            }

        results = alternate(round_of, ROUNDS)
        show(f"{STILLS} stills of a {SECONDS * LOOPS} s film, {ROUNDS} rounds", results, PEER)
        print(f"  goal: at most {GOAL:.0%} of the CPU time of a full decode")


if __name__ == "__main__":
    contestants = {"ours": ours, "full": full}
    contestants[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
