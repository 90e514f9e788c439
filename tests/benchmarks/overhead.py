"""What the house costs: fifty one-second files through Dagster against a plain loop.

Goal: at most 0.5 s a file above the same domain functions called in a loop in one process.
The contestants make the same four artifacts of every file; only who calls the functions differs.
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
from pathlib import Path

from tests.benchmarks.harness import ROOT, measure, python

FILES = 50
SECONDS = 1.0
GOAL_S = 0.5


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
        run_files(open_studio(store), [path])


def through_the_sensor(folder: Path, store: Path) -> float:
    """Drop all files into the inbox of a running ``avp up``; seconds until all are published."""
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
        shutil.copytree(folder, store / "inbox" / "auto", dirs_exist_ok=True)
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
    run_files(open_studio(store), files[:1])  # imports
    profiler = cProfile.Profile()
    profiler.enable()
    run_files(open_studio(store), files)
    profiler.disable()
    stats = pstats.Stats(profiler).sort_stats("cumulative")
    stats.print_stats("handle_new_event|outcomes|append|create_run_for_job|register|run_files", 8)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clips = root / "clips"
        make_files(clips)
        this = "tests.benchmarks.overhead"
        rows = {
            "plain loop of domain functions": measure(python(this, "loop", clips, root / "loop")),
            "avp run (ranged runs)": measure(
                [*python("av_pipelines"), "run", str(clips), "--store", str(root / "a"), "--json"]
            ),
            "one run per file, warm process": measure(python(this, "single", clips, root / "b")),
            "avp run again (all reused)": measure(
                [*python("av_pipelines"), "run", str(clips), "--store", str(root / "a"), "--json"]
            ),
        }
        base = rows["plain loop of domain functions"].wall_s
        print(f"\n{FILES} files of {SECONDS:.0f} s  (load {os.getloadavg()[0]:.1f})")
        for name, sample in rows.items():
            extra = (sample.wall_s - base) / FILES
            print(
                f"  {name:<34}{sample.wall_s:>8.1f} s wall{sample.cpu_s:>8.1f} s CPU"
                f"{sample.peak_mb:>7.0f} MB   {extra:+.2f} s a file over the loop"
            )
        seconds = through_the_sensor(clips, root / "c")
        extra = (seconds - base) / FILES
        print(f"  {'dropped in the inbox of avp up':<34}{seconds:>8.1f} s wall   {extra:+.2f} s a file")
        print(f"  goal: at most {GOAL_S:+.2f} s a file")
        profile(clips, root / "a")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        contestants = {"loop": plain_loop, "single": one_run_per_file}
        contestants[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
