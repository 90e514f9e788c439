"""Stems of six clips of 20 s: the ``demucs`` command against ``avp run --assets stems``.

Both take the same model, the architecture of ``htdemucs`` with random weights, from the same
repository, on the CPU with the same overlap and without a random shift; both write four files per
clip. ``demucs`` is run as its users do, one command for all clips (it loads the model once), and
once more with one command per clip. Goals: at most 0.75 × the CPU time of the first, at most
0.70 × its wall time with the start of both taken off, stems equal to −60 dB.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import alternate, python, show
from tests.benchmarks.sound import write_mix

CLIPS, SECONDS = 6, 20
ROUNDS = int(os.environ.get("STEMS_ROUNDS", "3"))
PEER, OURS = "demucs", "avp run --assets stems"
CPU_GOAL, WALL_GOAL, EQUAL_DB = 0.75, 0.70, -60

REAL: dict[str, Any] = {
    "sources": ["drums", "bass", "other", "vocals"],
    "segment": Fraction(39, 5),
    "bottom_channels": 512,
    "dconv_mode": 3,
    "t_layers": 5,
    "t_dropout": 0.02,
}
"""What ``htdemucs`` was trained with, as far as it is not the default: 42 million weights."""
TINY: dict[str, Any] = {
    **REAL,
    "channels": 4,
    "dconv_comp": 2,
    "bottom_channels": 0,
    "t_layers": 1,
    "t_heads": 2,
}


def make_repository(folder: Path, name: str, kwargs: Mapping[str, Any]) -> None:
    """Save an HTDemucs with random weights as a model repository."""
    import torch
    from demucs.htdemucs import HTDemucs
    from demucs.states import save_with_checksum

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = HTDemucs(**kwargs).state_dict()
    package = {"klass": HTDemucs, "args": (), "kwargs": kwargs, "state": state}
    save_with_checksum({**package, "training_args": {}}, folder / f"{name}.th")


def make_clips(folder: Path) -> list[Path]:
    """Write clips of 44.1 kHz, so that neither converts the rate."""
    from av_pipelines.media.audio import AudioWriter, read_blocks

    write_mix(folder / "mix.flac", CLIPS * SECONDS)
    clips: list[Path] = []
    for number, block in enumerate(read_blocks(folder / "mix.flac", block_s=float(SECONDS))):
        clips.append(folder / f"clip{number}.wav")
        with AudioWriter(clips[-1], "pcm_s24le", 44_100, "stereo") as writer:
            writer.write(block[:, : SECONDS * 44_100])
    return clips


def worst_difference_db(theirs: Path, ours: Path) -> float:
    """Largest difference of a stem of any clip, against that stem's level, in dB."""
    import numpy as np

    from av_pipelines.media.audio import read_blocks
    from av_pipelines.stems.stem_files import stem_path

    worst = -300.0
    for number in range(CLIPS):
        (folder,) = (ours / "library").glob(f"clip{number}-*/stems")
        for stem in REAL["sources"]:
            files = theirs / f"clip{number}" / f"{stem}.wav", stem_path(folder, stem)
            one, two = (np.concatenate(list(read_blocks(file)), axis=1) for file in files)
            error = np.square(one - two, dtype=np.float64).sum()
            level = np.square(one, dtype=np.float64).sum()
            worst = max(worst, 10 * np.log10((error + 1e-30) / (level + 1e-30)))
    return worst


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make_repository(root / "repository", "real", REAL)
        clips = make_clips(root)
        rounds = iter(range(1_000))

        def demucs(out: Path, *tracks: Path) -> list[str]:
            how = ["-n", "real", "--repo", str(root / "repository"), "-d", "cpu", "--shifts", "0"]
            how += ["--float32", "--clip-mode", "none", "-o", str(out)]
            return [*python("demucs.separate"), *how, *map(str, tracks)]

        def avp(store: Path, *tracks: Path) -> list[str]:
            given = {"model_repo": root / "repository", "model": "real", "device": "cpu"}
            settings = [part for k, v in given.items() for part in ("--set", f"stems.{k}={v}")]
            command = ["run", *map(str, tracks), "--assets", "stems", "--store", str(store)]
            return [*python("av_pipelines"), *command, *settings]

        def round_of() -> Mapping[str, Sequence[str]]:
            number = next(rounds)
            return {
                PEER: demucs(root / f"theirs{number}", *clips),
                OURS: avp(root / f"ours{number}", *clips),
                "demucs, one clip": demucs(root / f"theirs{number}x", clips[0]),
                "avp, one clip": avp(root / f"ours{number}x", clips[0]),
            }

        results = alternate(round_of, ROUNDS)
        show(f"stems of {CLIPS} clips of {SECONDS} s, {ROUNDS} rounds", results, PEER)
        wall = {
            name: results[name].wall_s - results[one].wall_s
            for name, one in ((PEER, "demucs, one clip"), (OURS, "avp, one clip"))
        }
        ratio = results[OURS].cpu_s / results[PEER].cpu_s
        print(f"  CPU: {ratio:.2f} × (goal: at most {CPU_GOAL})")
        print(
            f"  wall, starts taken off: {wall[OURS] / wall[PEER]:.2f} × (goal: at most {WALL_GOAL})"
        )
        worst = worst_difference_db(root / "theirs0" / "real", root / "ours0")
        print(f"  difference: {worst:.0f} dB (goal: at most {EQUAL_DB})")


if __name__ == "__main__":
    sys.exit("run it with: python -m tests.benchmarks stems")
