"""Whole masters against ffmpeg-normalize (two-pass ``loudnorm``).

Both deliver FLAC, MP3 at 256 kbit/s and AAC at 256 kbit/s of the same mix, at -14 LUFS and -1 dBTP.
ffmpeg-normalize makes one format a call, as its users do, at the mix's own rate; the peer's figure
is the three calls together, each with both its passes.
"""

# The peers come with the extra `bench`, which `make check` does without.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.harness import alternate, python, show
from tests.benchmarks.sound import RATE

ROUNDS = 5
SECONDS = 180
GOAL = 0.25
PEER = "ffmpeg-normalize, two-pass"
FORMATS: Sequence[tuple[str, Sequence[str]]] = (
    ("flac", ("-c:a", "flac")),
    ("mp3", ("-c:a", "libmp3lame", "-b:a", "256k")),
    ("m4a", ("-c:a", "aac", "-b:a", "256k")),
)


def our_master(audio: Path, out: Path) -> None:
    """Make a master and its files from nothing but the audio file."""
    from av_pipelines.masters.master import master
    from av_pipelines.masters.settings import MasterSettings

    out.mkdir(exist_ok=True)
    master(audio, out, MasterSettings(formats=("flac", "mp3", "m4a")))


def peers_master(audio: Path, out: Path) -> None:
    """Run ffmpeg-normalize once per format."""
    out.mkdir(exist_ok=True)
    for suffix, options in FORMATS:
        subprocess.run(
            [
                Path(sys.executable).with_name("ffmpeg-normalize"), audio,
                "-t", "-14", "-tp", "-1", "-ar", str(RATE), *options,
                "-o", out / f"peer.{suffix}", "-f",
            ],
            check=True,
        )  # fmt: skip


def main() -> None:
    """Measure and print."""
    import imageio_ffmpeg

    env = {"FFMPEG_PATH": imageio_ffmpeg.get_ffmpeg_exe()}
    this = "tests.benchmarks.mastering"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        mix = root / "mix.flac"
        # Not here: a child's peak of memory starts with what its parent has.
        subprocess.run(python("tests.benchmarks.sound", mix, SECONDS), check=True)

        def round_of() -> Mapping[str, Sequence[str]]:
            return {
                PEER: python(this, "peer", mix, root / "peer"),
                "master": python(this, "ours", mix, root / "ours"),
            }

        results = alternate(round_of, ROUNDS, env)
        show(f"FLAC, MP3 and AAC of {SECONDS} s, {ROUNDS} rounds", results, PEER)
        print(f"  goal: at most {GOAL} × the peer's time")
        found = json.loads((root / "ours" / "loudness.json").read_text("utf-8"))
        for name, numbers in found["files"].items():
            print(
                f"  {name}: {numbers['integrated_lufs']} LUFS, {numbers['true_peak_dbtp']} dBTP, "
                f"encoded {numbers['encodings']} ×"
            )


if __name__ == "__main__":
    contestants = {"ours": our_master, "peer": peers_master}
    contestants[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
