"""Peak memory of stems of an hour, against five minutes, with a tiny network.

A tiny network, so that what is measured is the driver: of the real one, its weights and what a
segment takes on its way through come on top, the same for any length. Goal: at most 1.15 ×.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.harness import measure, python
from tests.benchmarks.sound import write_mix
from tests.benchmarks.stems import TINY, make_repository

LONG_S, SHORT_S = 3600, 300
GOAL = 1.15


def take_apart(audio: Path, repository: Path, out: Path) -> None:
    """Separate one file, and nothing around it."""
    from av_pipelines.stems import engines
    from av_pipelines.stems.separate import separate
    from av_pipelines.stems.settings import StemsSettings

    out.mkdir(exist_ok=True)
    given = {"model_repo": str(repository), "model": "tiny", "device": "cpu"}
    settings = StemsSettings.model_validate(given)
    chosen = engines.choose(settings)
    step = engines.ladder(chosen, settings).step
    network = engines.load(chosen, settings, step)
    separate(audio, out, settings, network, batch=step.batch)


def main(long_s: int = LONG_S) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_repository(root / "repository", "tiny", TINY)
        peaks: list[float] = []
        for seconds in (SHORT_S, long_s):
            mix = root / "mix.flac"
            write_mix(mix, seconds)
            this = python("tests.benchmarks.stems_memory", mix, root / "repository", root / "out")
            sample = measure(this)
            peaks.append(sample.peak_mb)
            print(f"{seconds} s: {sample.peak_mb:.0f} MB, {sample.wall_s:.0f} s wall")
        print(f"  {peaks[1] / peaks[0]:.2f} ×; goal: at most {GOAL} ×")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        take_apart(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(*map(int, sys.argv[1:]))
