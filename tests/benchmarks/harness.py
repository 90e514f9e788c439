"""How a benchmark measures: commands in turn, several rounds, medians of what the kernel counted.

Peers run in the same session, alternated, so that a machine whose speed drifts is fair to both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

# As it was given to us: this project sets things for itself that peers do not have.
ENVIRONMENT = dict(os.environ)


@dataclass(frozen=True)
class Sample:
    """One run of a command: wall and CPU seconds (with children), peak memory of the largest."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(command: Sequence[str], env: Mapping[str, str] | None = None) -> Sample:
    """Run a command to its end and say what it took; CalledProcessError when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**ENVIRONMENT, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.stderr.write(errors.decode(errors="replace"))
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def alternate(
    peers: Callable[[], Mapping[str, Sequence[str]]],
    rounds: int,
    env: Mapping[str, str] | None = None,
) -> dict[str, Sample]:
    """Run every peer once per round, in turn; return the medians of each.

    ``peers`` gives the commands of a round, so that each round can have folders of its own.
    """
    samples: dict[str, list[Sample]] = {}
    for _ in range(rounds):
        for name, command in peers().items():
            samples.setdefault(name, []).append(measure(command, env))
    return {
        name: Sample(
            median(s.wall_s for s in taken),
            median(s.cpu_s for s in taken),
            median(s.peak_mb for s in taken),
        )
        for name, taken in samples.items()
    }


def show(title: str, results: Mapping[str, Sample], base: str) -> None:
    """Print a table with the ratio of each to the base."""
    print(f"\n{title}  (load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)")
    print(f"  {'':<34}{'wall s':>9}{'CPU s':>9}{'MB':>8}{'wall ×':>8}{'CPU ×':>8}")
    for name, sample in results.items():
        wall, cpu = sample.wall_s / results[base].wall_s, sample.cpu_s / results[base].cpu_s
        print(
            f"  {name:<34}{sample.wall_s:>9.2f}{sample.cpu_s:>9.2f}{sample.peak_mb:>8.0f}"
            f"{wall:>8.2f}{cpu:>8.2f}"
        )


def python(code_or_module: str, *arguments: object) -> list[str]:
    """Return a command that runs ``python -m module arguments``."""
    return [sys.executable, "-m", code_or_module, *map(str, arguments)]


ROOT = Path(__file__).resolve().parents[2]
