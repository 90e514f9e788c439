"""The loudness meter on ten minutes, against FFmpeg's ``ebur128=peak=true`` and pyloudnorm.

Every contestant decodes the same FLAC file itself. FFmpeg and this meter give integrated, momentary
and short-term loudness, range and true peak; pyloudnorm gives the integrated loudness only.
"""

# The peers come with the extra `bench`, which `make check` does without.
# pyright: reportMissingImports=false

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.harness import alternate, python, show

ROUNDS = 7
SECONDS = 600
PEER = "ffmpeg ebur128=peak=true"
GOAL = 1.2


def ours(path: Path) -> None:
    """Measure everything."""
    from av_pipelines.media.audio import probe_audio, read_blocks
    from av_pipelines.media.loudness import measure_blocks

    info = probe_audio(path)
    print(measure_blocks(read_blocks(path), info.sample_rate, info.channels, info.layout))


def theirs(path: Path) -> None:
    """Measure integrated loudness with pyloudnorm."""
    import pyloudnorm
    import soundfile

    samples, rate = soundfile.read(path)
    print(pyloudnorm.Meter(rate).integrated_loudness(samples))


def main() -> None:
    """Measure and print."""
    import imageio_ffmpeg

    this = "tests.benchmarks.meter"
    with tempfile.TemporaryDirectory() as temporary:
        mix = Path(temporary) / "mix.flac"
        # Not here: a child's peak of memory starts with what its parent has.
        subprocess.run(python("tests.benchmarks.sound", mix, SECONDS), check=True)

        def round_of() -> Mapping[str, Sequence[str]]:
            ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(mix)]
            return {
                PEER: [*ffmpeg, "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"],
                "pyloudnorm (integrated only)": python(this, "pyloudnorm", mix),
                "meter (with Python's start)": python(this, "ours", mix),
            }

        show(
            f"loudness of {SECONDS} s of stereo, {ROUNDS} rounds", alternate(round_of, ROUNDS), PEER
        )
        print(f"  goal: at most {GOAL} × FFmpeg's time")


if __name__ == "__main__":
    contestants = {"ours": ours, "pyloudnorm": theirs}
    contestants[sys.argv[1]](Path(sys.argv[2]))
