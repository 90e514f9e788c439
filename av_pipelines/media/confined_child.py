"""The process's side of ``confined``: it takes its own rights away, then does what it is told.

Here: as little as starting takes, as every piece of work on media starts here. Not here: the
parent's side (``confined``), how rights are taken (``sandbox``).

Standard input has lines of JSON: first what it may use, and for a program which one; then, for
Python, a task in each line until the end. Standard output has a line for each thing it says.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from av_pipelines.media import sandbox


def _serve() -> None:
    """Confine this process and do what standard input says."""
    spec = json.loads(sys.stdin.readline())
    sandbox.die_with_parent()
    if "program" in spec:
        program = Path(spec["program"])
        _confine(spec, map(Path, sandbox.SYSTEM), program)
        os.execv(program, [program.name, *spec["arguments"]])  # noqa: S606 - no shell is wanted
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(**message: Any) -> None:
        answers.write(json.dumps(message, allow_nan=False) + "\n")
        answers.flush()

    confined = False
    for line in sys.stdin:
        given = json.loads(line)
        try:
            module, _, name = given["task"].partition(":")
            function = getattr(importlib.import_module(module), name)
            if not confined:  # with the first task's libraries loaded, which may be anywhere
                _confine(spec, sandbox.readable())
                confined = True
            out = Path(spec["out"])
            say(answer=function(given["request"], out, lambda share: say(progress=share)))
        except MemoryError:
            say(memory=True)
        except OSError as error:
            say(os=[error.errno or 0, error.strerror or str(error)], at=_where())
        except Exception as error:
            _say_failed(error, say)


def _confine(spec: Any, readable: Any, program: Path | None = None) -> None:
    limits: Any = SimpleNamespace(**spec["limits"])
    sandbox.limit_resources(limits, spec["files"])
    sandbox.confine(readable, [Path(spec["out"]), *map(Path, limits.devices)], program)


def _say_failed(error: Exception, say: Any) -> None:
    from av_pipelines.media.confined import ConfinedError

    if isinstance(error, ConfinedError):
        say(refused=str(error))
    else:
        say(failed=f"{type(error).__name__}: {error}", at=_where())


def _where() -> str:
    import traceback

    return traceback.format_exc()


if __name__ == "__main__":
    try:
        _serve()
    except BrokenPipeError:
        sys.exit(0)  # nobody listens any more
