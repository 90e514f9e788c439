"""The procedural engine: rendered seconds per core-second, 48 kHz stereo, on one thread.

Without effects: from a score to its parts and their sum. With effects: the reverberation and echo
too. A whole track: what a user waits for, with levelling, stems, FLAC and pictures.

Beside it torchsynth's ``Voice`` (one mono note of 4 s: two oscillators, noise, envelopes, LFOs)
on the same core, if it is installed: it wants an old pytorch-lightning (1.8). What can be compared
is voices: seconds of all notes, sounding at the same time or not.
"""

# torchsynth is no dependency, not even of the extra `bench`.
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.harness import ENVIRONMENT, python

ROUNDS = 5
PIECES = 6
GOAL = 100.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def ours(seconds: float) -> dict[str, float]:
    """Return CPU seconds per kind of work for all pieces, and how many seconds of notes."""
    from av_pipelines.tracks.composition.compose import compose
    from av_pipelines.tracks.effects import wet
    from av_pipelines.tracks.plan import make_plan
    from av_pipelines.tracks.procedural import generate
    from av_pipelines.tracks.settings import TrackSettings
    from av_pipelines.tracks.synthesis.arrays import Arrays
    from av_pipelines.tracks.synthesis.render import render
    from resources.accelerator import choose

    def work(seed: int, duration_s: float) -> dict[str, float]:
        values = {"seed": seed, "duration_s": duration_s}
        settings = TrackSettings.model_validate(values)
        start = time.process_time()
        plan = make_plan(settings)
        score = compose(plan)
        parts = render(score, plan, Arrays())
        mix = sum(parts.values())
        dry = time.process_time()
        mix = mix + wet(Arrays(), parts, plan)
        effects = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            generate(settings, Path(folder), device=choose("cpu"))
        whole = time.process_time()
        return {
            "dry": dry - start,
            "with effects": effects - start,
            "whole": whole - effects,
            "notes": sum(note.length for note in score.notes) * 60 / score.bpm,
        }

    work(0, 5)  # imports, caches
    done = [work(seed, seconds) for seed in range(PIECES)]
    return {name: sum(one[name] for one in done) for name in done[0]}


def theirs() -> dict[str, float]:
    """Return torchsynth's rendered seconds and the CPU seconds they took."""
    import torch
    from torchsynth.config import SynthConfig
    from torchsynth.synth import Voice

    torch.set_num_threads(1)
    config = SynthConfig(batch_size=16, sample_rate=48_000, reproducible=False)
    voice = Voice(config)
    voice(0)
    start = time.process_time()
    for number in range(1, 4):
        voice(number)
    took = time.process_time() - start
    return {"rendered": 3 * 16 * float(config.buffer_size_seconds), "cpu": took}


def _child(*arguments: object) -> dict[str, float]:
    command = python("tests.benchmarks.tracks", *arguments)
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**ENVIRONMENT, **_ONE_THREAD}
    )
    return json.loads(result.stdout)


def main() -> None:
    """Measure and print."""
    peer = importlib.util.find_spec("torchsynth") is not None
    for seconds in (30, 120):
        rounds, others = [], []
        for _ in range(ROUNDS):
            rounds.append(_child("ours", seconds))
            others += [_child("torchsynth")] if peer else []
        total = PIECES * seconds
        print(f"\n{PIECES} tracks of {seconds} s, {ROUNDS} rounds, one thread")
        for name in ("dry", "with effects", "whole"):
            rate = total / median(one[name] for one in rounds)
            goal = f"  goal: at least {GOAL:g}" if name == "dry" else ""
            print(f"  {name:<16}{rate:>8.0f} rendered seconds per core-second{goal}")
        voices = median(one["notes"] / one["dry"] for one in rounds)
        print(f"  {'voices':<16}{voices:>8.0f} seconds of notes per core-second")
        if others:
            rate = median(one["rendered"] / one["cpu"] for one in others)
            print(f"  {'torchsynth':<16}{rate:>8.0f} seconds of mono notes per core-second")
    if not peer:
        print("  torchsynth is not installed here")


if __name__ == "__main__":
    contestants = {"ours": lambda: ours(float(sys.argv[2])), "torchsynth": theirs}
    print(json.dumps(contestants[sys.argv[1]]()))
