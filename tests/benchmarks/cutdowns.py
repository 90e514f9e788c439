"""Three platforms of one film, 16:9, 9:16 and 4:5, against each of them alone.

The film: 19 s of 1080p from three made sources of 30 frames a second, which intake has seen, cut
and dissolved, with captions and a title. Each render is a process of its own, and looks for the
subject as well; files have the sizes that users get (``cutdowns.sizes`` = auto).

The goal speaks of one cutdown, and the three do not cost the same: "one" is the 16:9, which is the
film as it is and has the most pixels. The ratios to the mean of the three, and to their sum (what
three runs would cost), are told beside it. Decode, composite and sound are shared; encoding is not,
and three files have 1.9 times the pixels of the 16:9.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import alternate, python, show

ROUNDS = 3
GOAL = 1.9
ONE, THREE = "16:9 alone", "16:9, 9:16, 4:5 in one go"
ALONE = {ONE: "youtube", "9:16 alone": "tiktok", "4:5 alone": "instagram_feed"}
PLATFORMS = {**{name: (platform,) for name, platform in ALONE.items()}, THREE: (*ALONE.values(),)}
_SHOT_S, _SHOTS = 5, 4
_SOURCES = ("testsrc2", "mandelbrot", "testsrc2")


def make(folder: Path) -> None:
    """Make the sources: patterns that move, with grain, as from a camera; and a tone."""
    import imageio_ffmpeg

    for number, pattern in enumerate(_SOURCES):
        subprocess.run(
            [
                *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error"),
                *("-f", "lavfi", "-i", f"{pattern}=s=1920x1080:r=30"),
                *("-f", "lavfi", "-i", f"sine=f={220 * (number + 1)}:r=48000"),
                *("-vf", "noise=alls=3:allf=t,format=yuv420p", "-t", "11"),
                *("-c:v", "libx264", "-preset", "veryfast", "-b:v", "16M", "-c:a", "aac"),
                str(folder / f"{number}.mp4"),
            ],
            check=True,
        )
    films = [folder / f"{number}.mp4" for number in range(len(_SOURCES))]
    asked = ("--store", folder / "store", "--assets", "source,picture")
    subprocess.run(
        python("av_pipelines", "run", *films, *asked), check=True, stdout=subprocess.DEVNULL
    )


def pictures(folder: Path) -> dict[Path, Path]:
    """Give what intake has left of each source."""
    found = {}
    for record in (folder / "store" / "library").glob("*/media.json"):
        (left,) = (record.parent / "picture").glob("*.npz")
        found[Path(json.loads(record.read_text("utf-8"))["origin"])] = left
    return found


def film(folder: Path, platforms: Sequence[str]) -> None:
    """Render it."""
    from av_pipelines.videos.cut import (
        Caption,
        Captions,
        Cut,
        Overlay,
        Shot,
        Style,
        Transition,
        Word,
    )
    from av_pipelines.videos.cutdowns import plan
    from av_pipelines.videos.looking import look_at
    from av_pipelines.videos.render import render

    rate = Fraction(30)
    shots = tuple(
        Shot(
            f"shot {i}",
            folder / f"{i % len(_SOURCES)}.mp4",
            Fraction(i // len(_SOURCES) * 5),
            _SHOT_S * 30,
            transition=Transition("dissolve", 15) if i % 2 else None,
        )
        for i in range(_SHOTS)
    )

    def cue(at: int) -> Caption:
        words = tuple(
            Word(at + Fraction(i, 3), at + Fraction(i + 1, 3), f"word{i}") for i in range(5)
        )
        return Caption(Fraction(at), Fraction(at + 2), (" ".join(w.text for w in words),), words)

    cut = Cut(
        "Bench",
        rate,
        1920,
        1080,
        shots,
        overlays=(Overlay("text", 15, 90, "The title", style=Style(size=0.1, bold=True)),),
        captions=Captions(tuple(cue(at) for at in range(1, 18, 3)), karaoke=True),
    )
    with tempfile.TemporaryDirectory() as made:
        looks = partial(look_at, pictures=pictures(folder), scratch=Path(made))
        (batch,) = plan(cut, platforms, looks=looks)  # type: ignore[arg-type]
        for one in render(batch.cut, batch.deliveries, Path(made)):
            print(one.path.name, one.frames, one.bytes, one.encoder)


def main() -> None:
    """Measure and print."""
    this = "tests.benchmarks.cutdowns"
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))

        def round_of() -> Mapping[str, Sequence[str]]:
            return {
                name: python(this, folder, json.dumps(platforms))
                for name, platforms in PLATFORMS.items()
            }

        rounds = int(os.environ.get("ROUNDS", ROUNDS))
        results = alternate(round_of, rounds)
        show(f"{_SHOTS} shots of {_SHOT_S} s in 1080p, {rounds} rounds", results, ONE)
        for kind in ("cpu_s", "wall_s"):
            three = getattr(results[THREE], kind)
            alone = [getattr(results[name], kind) for name in ALONE]
            print(
                f"  {kind[:-2]}: three / 16:9 alone {three / alone[0]:.2f}, "
                f"/ mean of the three alone {three / sum(alone) * len(alone):.2f}, "
                f"/ their sum {three / sum(alone):.2f}"
            )
        print(f"  goal: three at most {GOAL} × the 16:9 alone")


if __name__ == "__main__":
    film(Path(sys.argv[1]), json.loads(sys.argv[2]))
