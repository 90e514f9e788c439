"""``make bench``: every benchmark here, or those named: ``make bench ARGS=overhead``.

A benchmark is a module of this package with a function ``main``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import tests.benchmarks


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    found = [m.name for m in pkgutil.iter_modules(tests.benchmarks.__path__) if m.name[0] != "_"]
    for name in sys.argv[1:] or found:
        if name not in found:
            sys.exit(f"no benchmark {name}; there are: {', '.join(found)}")
        run = getattr(importlib.import_module(f"tests.benchmarks.{name}"), "main", None)
        if run:
            run()


main()
