"""MusicGen on ONNX Runtime, against transformers in single precision, on models of random weights.

Same weights, same threads, guidance 3, codes drawn from the 250 likeliest; from the prompt to the
samples, with the model loaded. Where others use the machine too, one thread tells more than two:
torch's threads then wait for each other. ``tiny`` shows what a step costs beside the arithmetic;
``mid`` is a quarter of MusicGen small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.harness import ENVIRONMENT, python
from tests.tracks.musicgen_peer import PEERS, PROMPT, peak_mb, peer_environment, run_peer

ROUNDS = 3
CASES = (("tiny", 500, 1), ("mid", 250, 1), ("mid", 250, 2))
"""Model, frames, threads."""
PEER = "transformers, fp32"
GOAL = 1.5


def ours(folder: Path, frames: int, decoder: str, threads: int) -> None:
    """Generate once to warm up, once measured; print what that took."""
    from av_pipelines.tracks.musicgen.codes import Sampler
    from av_pipelines.tracks.musicgen.generate import MusicGen, generate
    from av_pipelines.tracks.musicgen.layout import Files
    from av_pipelines.tracks.musicgen.pace import Pace
    from resources.accelerator import choose

    graphs, text = folder / "graphs", folder / "text"
    first, after = {
        "merged": ("decoder_model_merged", "decoder_model_merged"),
        "split": ("decoder_model", "decoder_with_past_model"),
    }[decoder]
    model = MusicGen(
        Files(
            graphs / "text_encoder.onnx",
            graphs / f"{first}.onnx",
            graphs / f"{after}.onnx",
            graphs / "encodec_decode.onnx",
            text / "tokenizer.json",
            text / "config.json",
        ),
        choose("cpu"),
        threads,
    )
    for seconds in (8 / 50, frames / 50):
        wall, cpu = time.perf_counter(), time.process_time()
        generate(model, PROMPT, seconds, Sampler(0), Pace(lambda share, tokens: None), loop=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()}))


def main() -> None:
    """Measure and print."""
    if not PEERS.is_dir():
        sys.exit(f"transformers is not in {PEERS}: run `make setup`")
    with tempfile.TemporaryDirectory() as temporary:
        for size, frames, threads in CASES:
            folder = Path(temporary) / size
            if not folder.is_dir():
                run_peer("export", folder, size)
            _show(size, frames, threads, _measure(folder, size, frames, threads))


def _measure(folder: Path, size: str, frames: int, threads: int) -> dict[str, dict[str, float]]:
    """Return the medians of each contestant, run in turn."""
    this = "tests.benchmarks.musicgen"
    peer = str(Path(sys.modules[run_peer.__module__].__file__ or ""))
    contestants = {
        PEER: (
            [sys.executable, peer, "time", str(folder), str(frames), size],
            peer_environment(threads),
        ),
        "merged decoder": (python(this, folder, frames, "merged", threads), {}),
        "split decoder": (python(this, folder, frames, "split", threads), {}),
    }
    taken: dict[str, list[Mapping[str, Any]]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, (command, environment) in contestants.items():
            done = subprocess.run(
                command,
                env=ENVIRONMENT | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            taken[name].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        name: {what: median(each[what] for each in rounds) for what in rounds[0]}
        for name, rounds in taken.items()
    }


def _show(size: str, frames: int, threads: int, results: Mapping[str, Mapping[str, float]]) -> None:
    tokens, base = 4 * frames, results[PEER]
    print(
        f"\nMusicGen {size}, {frames / 50:g} s of music, {threads} threads, {ROUNDS} rounds  "
        f"(load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)"
    )
    print(f"  {'':<22}{'tokens/s':>10}{'tokens/CPU s':>14}{'MB':>7}{'wall ×':>9}{'CPU ×':>8}")
    for name, took in results.items():
        print(
            f"  {name:<22}{tokens / took['wall_s']:>10.0f}{tokens / took['cpu_s']:>14.0f}"
            f"{took['peak_mb']:>7.0f}{base['wall_s'] / took['wall_s']:>9.2f}"
            f"{base['cpu_s'] / took['cpu_s']:>8.2f}"
        )
    print(f"  goal: at least {GOAL} × the tokens a second of transformers")


if __name__ == "__main__":
    ours(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
