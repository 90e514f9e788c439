"""The CPU seconds that the ledger books, against those that the work took.

One process takes speech, songs and films through their recipes, with real models. What the work
took is the CPU time of the process and all its descendants, living or dead, threads included, from
the begin of the first step to the end of the last. Start-up is left out, which is no asset's work:
loading Python, Dagster and the definitions, and the one start of the process that forks readers.
What Dagster does between the steps is counted too. It is the same for every artifact, so that short
clips are the harder case.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GOAL = (0.97, 1.03)
LENGTHS_S = (60, 20)


def clips(folder: Path, seconds: int) -> dict[str, list[Path]]:
    """Make four talks, three songs and three films of some seconds; recipe → files."""
    import numpy as np

    from av_pipelines.demo import CLIP
    from av_pipelines.media.audio import read_blocks
    from tests.benchmarks.harness import ROOT
    from tests.intake.conftest import Make

    make = Make(folder)
    said = np.concatenate(list(read_blocks(ROOT / "av_pipelines" / "demo" / CLIP)), axis=1)[:1]
    made: dict[str, list[Path]] = {"podcast": [], "music": [], "film": []}
    for number in range(4):
        speech = np.resize(said[:, number * 4800 :], (1, 48_000 * seconds)).astype(np.float32)
        sound = make.sound(speech, codec="flac" if number % 2 else "libopus")
        pcm = make.sound((speech * 32767).astype(np.int16), codec="flac")
        name = f"talk{number}." + ("flac" if number % 2 else "mka")
        made["podcast"].append(make.mux(name, pcm if number % 2 else sound))
        if number == 3:
            break
        tune = make.tone(seconds, 48_000, 2, hz=220.0 * (number + 2))
        sung = (tune / 2 + speech * 12_000).astype(np.int16)
        made["music"].append(make.wav(f"song{number}.wav", sung, rate=48_000))
        levels = np.random.default_rng(number).integers(20, 235, seconds // 2).repeat(50)
        film = make.film([int(level) for level in levels], size=(320, 180), fps=25)
        track = make.sound((speech * 20_000).astype(np.int16), codec="flac")
        made["film"].append(make.mux(f"film{number}.mkv", film, track))
    return made


def tree_cpu_s() -> float:
    """CPU seconds of this process and all it ever started, whether still alive or waited for."""
    import psutil

    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    for child in psutil.Process().children(recursive=True):
        total += sum(child.cpu_times()[:4])  # its own, and that of those it waited for
    return total


def start_reader(file: Path) -> None:
    """Have the process that forks readers started."""
    from av_pipelines.intake.child import read_media
    from av_pipelines.intake.taps import source_taps

    with tempfile.TemporaryDirectory() as folder:
        read_media(file, source_taps(Path(folder)))


def work(store: Path, files: dict[str, list[str]]) -> dict[str, Any]:
    """Take the files through their recipes in this process; say what was booked and taken."""
    import pyarrow.parquet as pq

    from av_pipelines import dagster_assets
    from av_pipelines.launch import run_files
    from av_pipelines.makers import open_studio

    at: list[float] = []
    make = dagster_assets.make

    inside = [0.0]

    def watched(*given: Any, **named: Any) -> Any:
        at.append(tree_cpu_s())
        try:
            return make(*given, **named)
        finally:
            at.append(tree_cpu_s())
            inside[0] += at[-1] - at[-2]

    dagster_assets.make = watched
    studio = open_studio(store)
    start_reader(Path(next(iter(files.values()))[0]))
    took = 0.0
    for recipe, paths in files.items():
        at.clear()
        for result in run_files(studio, [Path(path) for path in paths], recipe=recipe):
            assert result.state == "done", result.reason
        took += at[-1] - at[0]
    rows = [row for path in studio.ledger.files() for row in pq.read_table(path).to_pylist()]
    by_asset: dict[str, float] = {}
    for row in rows:
        by_asset[row["asset"]] = by_asset.get(row["asset"], 0.0) + row["cpu_s"]
    return {"took": took, "inside": inside[0], "booked": sum(by_asset.values()), "by": by_asset}


def main() -> None:
    """Run each batch in a process of its own; print the share that was booked."""
    for seconds in LENGTHS_S:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            made = clips(folder, seconds)
            files = {recipe: [str(p) for p in paths] for recipe, paths in made.items()}
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.booked", str(folder / "studio")],
                input=json.dumps(files),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        found = json.loads(done.stdout.splitlines()[-1])
        steps, booked, share = found["inside"], found["booked"], found["booked"] / found["took"]
        print(f"\nCPU seconds of {sum(map(len, files.values()))} clips of {seconds} s")
        print(f"  the work took {found['took']:.2f} s, of which inside of steps {steps:.2f} s")
        print(f"  the ledger books {booked:.2f} s: {share:.3f} of it", end="")
        print(f" (goal: {GOAL[0]} to {GOAL[1]})")
        for asset, spent in found["by"].items():
            print(f"    {asset:<12}{spent:>9.2f} s")


if __name__ == "__main__":
    print(json.dumps(work(Path(sys.argv[1]), json.load(sys.stdin))))
