"""What the house costs: fifty one-second files through Dagster against a plain loop.

Goal: at most 0.5 s a file above the same domain functions called in a loop in one process. All
make ``source``, ``audio`` and ``master`` of every file; only who calls the functions differs. The
transcript is left out: its seconds are the same everywhere and would only add noise.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import ROOT, alternate, python

FILES = 50
SECONDS = 1.0
GOAL_S = 0.5
ROUNDS = 3
SETTINGS = {"master": {"formats": ["flac"]}}
RECIPE = 'assets = ["master"]\n[master]\nformats = ["flac"]\n'


def make_files(folder: Path) -> None:
    """Cut the built-in clip into one-second WAV files, each with bytes of its own."""
    import numpy as np

    from av_pipelines.demo import CLIP
    from av_pipelines.media.audio import AudioWriter, read_blocks

    clip = ROOT / "av_pipelines" / "demo" / CLIP
    speech = np.concatenate(list(read_blocks(clip)), axis=1)
    folder.mkdir(parents=True)
    length = round(SECONDS * 48_000)
    for number in range(FILES):
        start = (number * 4_999) % (speech.shape[1] - length)
        with AudioWriter(folder / f"clip{number:02}.wav", "pcm_s16le", 48_000, "mono") as writer:
            writer.write(speech[:, start : start + length])


def plain_loop(folder: Path, out: Path) -> None:
    """The domain functions, one file after the other, and nothing around them."""
    from tests.benchmarks.plain import make_all

    for path in sorted(folder.iterdir()):
        make_all(path, out / path.stem)


def one_run_per_file(folder: Path, store: Path) -> None:
    """One Dagster run per file in one warm process: the best a warm worker could do."""
    from av_pipelines.launch import run_files
    from av_pipelines.makers import open_studio

    for path in sorted(folder.iterdir()):
        run_files(open_studio(store), [path], assets=["master"], overrides=SETTINGS)


def through_the_sensor(folder: Path, store: Path) -> float:
    """Drop all files into the inbox of a running ``avp up``; seconds until all are published."""
    (store / "recipes").mkdir(parents=True)
    (store / "recipes" / "bench.toml").write_text(RECIPE)
    log = (store.parent / "up.log").open("wb")
    command = [*python("av_pipelines"), "up", "--store", str(store), "--port", "3997"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if b"Stop with" in line:
                break
        start = time.perf_counter()
        shutil.copytree(folder, store / "inbox" / "bench", dirs_exist_ok=True)
        while len(list((store / "library").glob("*/master"))) < FILES:
            if time.perf_counter() - start > 600:
                raise TimeoutError(f"not done in 600 s; see {log.name}")
            time.sleep(0.2)
        return time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def profile(folder: Path, store: Path) -> None:
    """Say where the time of ``avp run`` goes when all is there already: only the house is left."""
    from av_pipelines.launch import run_files
    from av_pipelines.makers import open_studio

    files = sorted(folder.iterdir())
    again = partial(run_files, open_studio(store), assets=["master"], overrides=SETTINGS)
    again(files=files[:1])  # imports
    profiler = cProfile.Profile()
    profiler.enable()
    again(files=files)
    profiler.disable()
    stats = pstats.Stats(profiler).sort_stats("cumulative")
    stats.print_stats("handle_new_event|outcomes|append|create_run_for_job|register|run_files", 8)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clips = root / "clips"
        make_files(clips)
        stores = iter(range(1000))

        def avp(store: Path) -> list[str]:
            arguments = ["--assets", "master", "--set", "master.formats=['flac']", "--json"]
            return [*python("av_pipelines"), "run", str(clips), "--store", str(store), *arguments]

        def contestants() -> dict[str, list[str]]:
            this, new = "tests.benchmarks.overhead", root / f"store{next(stores)}"
            return {
                "plain loop of domain functions": python(this, "loop", clips, f"{new}-loop"),
                "avp run (ranged runs)": avp(new),
                "the same again (all reused)": avp(new),
                "one run per file, warm process": python(this, "single", clips, f"{new}-single"),
            }

        results = alternate(contestants, ROUNDS)
        base = results["plain loop of domain functions"]
        print(
            f"\n{FILES} files of {SECONDS:.0f} s, medians of {ROUNDS} rounds "
            f"(load {os.getloadavg()[0]:.1f})"
        )
        print(f"  {'':<34}{'wall s':>8}{'CPU s':>8}{'MB':>6}   over the loop, s a file: wall, CPU")
        for name, sample in results.items():
            extra = [(sample.wall_s - base.wall_s) / FILES, (sample.cpu_s - base.cpu_s) / FILES]
            print(
                f"  {name:<34}{sample.wall_s:>8.1f}{sample.cpu_s:>8.1f}{sample.peak_mb:>6.0f}"
                f"   {extra[0]:+.3f} {extra[1]:+.3f}"
            )
        seconds = through_the_sensor(clips, root / "dropped")
        extra = (seconds - base.wall_s) / FILES
        print(f"  {'dropped in the inbox of avp up':<34}{seconds:>8.1f}{'':>14}   {extra:+.3f}")
        print(f"  goal: at most {GOAL_S:+.2f} s a file")
        profile(clips, root / "store0")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        contestants = {"loop": plain_loop, "single": one_run_per_file}
        contestants[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
