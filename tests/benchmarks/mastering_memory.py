"""Peak memory of a master of three hours, against one of five minutes.

Without the lossy formats unless told ``all``, whose encoders take ten minutes for three hours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.harness import measure, python

LONG_S, SHORT_S = 3 * 3600, 300
LIMIT_MB, LIMIT_RATIO = 400, 1.2


def our_master(audio: Path, out: Path, formats: str) -> None:
    """Make a master from nothing but the audio file."""
    from av_pipelines.masters.master import master
    from av_pipelines.masters.settings import MasterSettings

    out.mkdir(exist_ok=True)
    named = MasterSettings.model_validate({"formats": formats.split(",")})
    master(audio, out, named)


def main(formats: str = "flac") -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        peaks = []
        for seconds in (SHORT_S, LONG_S):
            mix = root / "mix.flac"
            # Not here: a child's peak starts with what its parent has.
            subprocess.run(python("tests.benchmarks.sound", mix, seconds), check=True)
            command = python("tests.benchmarks.mastering_memory", mix, root / "out", formats)
            sample = measure(command)
            peaks.append(sample.peak_mb)
            print(f"{seconds} s ({formats}): {sample.peak_mb:.0f} MB, {sample.wall_s:.0f} s wall")
        print(f"  {peaks[1] / peaks[0]:.2f} ×; goal: at most {LIMIT_RATIO} × and {LIMIT_MB} MB")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        our_master(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    else:
        main("flac,mp3,m4a" if sys.argv[1:] == ["all"] else "flac")
