"""``make bench``: every benchmark, or those named: ``make bench ARGS=overhead``."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("overhead", "meter")


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    for name in sys.argv[1:] or BENCHMARKS:
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
