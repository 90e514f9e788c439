"""Work on media from outside, in a process of its own that can do no harm.

Here: running a Python function or a program (FFmpeg) in a process with limits on memory, CPU, time
and files, without network (``sandbox``), hearing its progress, and saying in words how it ended.
Not here: what the work is. The one pass of intake has a quicker way of its own, with forks.

The process is not trusted: it may have been taken over by the file it reads. It can read what it
was given an open descriptor of, and write to one folder; what it says is JSON of limited size, and
of the files it made only plain ones are taken (``plain_files``).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from av_pipelines.media import sandbox

_GIB = 2**30
_MAX_LINE = 4 * 2**20
_DETAIL = 2000


@dataclass(frozen=True)
class Limits:
    """What such a process may use.

    ``stall_s``: seconds without any progress after which it is ended. ``devices``: device files it
    may use as well (hardware decoders).
    """

    max_memory_bytes: int = 8 * _GIB
    max_cpu_s: int = 12 * 3600
    max_wall_s: float = 24 * 3600.0
    max_output_bytes: int = 64 * _GIB
    stall_s: float = 300.0
    devices: tuple[str, ...] = ()


class ConfinedError(RuntimeError):
    """The work did not come to an end; the message says why, in words for a person."""


def run_task(
    task: str,
    request: Mapping[str, Any],
    *,
    fds: Sequence[int],
    out: Path,
    limits: Limits | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Run a Python function confined.

    Args:
        task: ``module:function``; it is called with the request, the folder, and a function to
            report progress to, and returns a dictionary fit for JSON.
        request: its first argument, fit for JSON; descriptors are named by their numbers.
        fds: open descriptors the process gets, under the same numbers.
        out: the one folder it may write to.
        limits: what it may use.
        progress: called with the share done, 0 to 1.

    Raises:
        ConfinedError: it failed, was ended, or ended without an answer.
        OSError, MemoryError: it met one.
    """
    answer: dict[str, Any] = {}

    def hear(line: str) -> float | None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise ConfinedError("the process that reads the file sent no JSON") from None
        if isinstance(message, dict) and isinstance(message.get("progress"), int | float):
            share = min(max(float(message["progress"]), 0.0), 1.0)
            progress(share)
            return share
        if isinstance(message, dict):
            answer.update(message)
        return None

    spec = {"task": task, "request": dict(request)}
    said = _run(spec, fds, out, limits or Limits(), hear)
    if "answer" in answer and isinstance(answer["answer"], dict):
        return answer["answer"]
    if "os" in answer:
        number, words = answer["os"]
        raise OSError(int(number), f"{words} (in the process that reads the file)")
    if "memory" in answer:
        raise MemoryError("the process that reads the file ran out of the memory it is allowed")
    if "refused" in answer:
        raise ConfinedError(str(answer["refused"]))
    error = ConfinedError(f"{answer.get('failed', 'it ended without an answer')}")
    error.add_note(str(answer.get("at") or said))
    raise error


def run_program(
    program: Path,
    arguments: Sequence[str],
    *,
    fds: Sequence[int],
    out: Path,
    hear: Callable[[str], float | None],
    limits: Limits | None = None,
) -> None:
    """Run a program confined; its working directory is the folder it may write to.

    Args:
        program: absolute path.
        arguments: without the program's own name.
        fds: open descriptors it gets, under the same numbers.
        out: the one folder it may write to.
        hear: called with every line of its standard output; returns how far the work has come, in
            any unit, or None if the line does not tell.
        limits: what it may use.

    Raises:
        ConfinedError: it ended with an error, or was ended; the end of what it said is in it.
    """
    spec = {"program": str(program.resolve()), "arguments": list(arguments)}
    _run(spec, fds, out, limits or Limits(), hear)


def plain_files(folder: Path) -> list[str]:
    """Name the files below a folder that such a process made; ConfinedError if one is no file."""
    found = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found.append(path.relative_to(folder).as_posix())
        elif not stat.S_ISDIR(mode):
            raise ConfinedError(f"the process that read the file made {path.name!r}, no plain file")
    return found


# ---------------------------------------------------------------------- the parent's side


def _run(
    spec: dict[str, Any],
    fds: Sequence[int],
    out: Path,
    limits: Limits,
    hear: Callable[[str], float | None],
) -> str:
    """Start, listen, wait; return the end of what it said on standard error."""
    spec |= {"out": str(out.resolve()), "limits": asdict(limits), "sys_path": sandbox.python_path()}
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
        given.write(json.dumps(spec, allow_nan=False).encode())
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "av_pipelines.media.confined"],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=list(fds),
            cwd=out,
            env=sandbox.clean_environment(),
            start_new_session=True,  # Ctrl-C is for the parent to deal with
        )
        try:
            assert process.stdout
            why = _listen(process.stdout, limits, hear)
            if why is None:
                process.wait(limits.stall_s)
        except subprocess.TimeoutExpired:
            why = "it did not come to an end"
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()
        said = _tail(errors)
        if why is None and process.returncode:
            why = _died_of(process.returncode, limits, said)
        if why is not None:
            error = ConfinedError(f"working on the file failed: {why}")
            error.add_note(said)
            raise error
        return said


def _listen(pipe: IO[bytes], limits: Limits, hear: Callable[[str], float | None]) -> str | None:
    """Hear the process out; return why it must be ended, None if it has said all."""
    ends = time.monotonic() + limits.max_wall_s
    stalls = time.monotonic() + limits.stall_s
    reached: float | None = None
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now > ends:
                return f"it took longer than {limits.max_wall_s:.0f} s"
            if now > stalls:
                return f"it made no progress for {limits.stall_s:.0f} s"
            if not selector.select(min(ends, stalls) - now):
                continue
            data = os.read(pipe.fileno(), 2**16)
            if not data:
                return None
            *lines, buffer = (buffer + data).split(b"\n")
            if len(buffer) > _MAX_LINE:
                return "it sent a line without end"
            for line in lines:
                come = hear(line.decode("utf-8", "replace"))
                if come is not None and come != reached:
                    reached, stalls = come, time.monotonic() + limits.stall_s


def _died_of(status: int, limits: Limits, said: str) -> str:
    if status > 0:
        return said.split("\n", 1)[0] or f"exit code {status}"  # what comes after follows from it
    if -status == signal.SIGXCPU:
        return f"it took more than {limits.max_cpu_s} s of CPU time"
    if -status == signal.SIGKILL:
        return "the system stopped it, most likely for want of memory"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"the decoder crashed ({name})"


def _tail(errors: IO[bytes]) -> str:
    length = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, length - _DETAIL))
    text = errors.read().decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()


# ---------------------------------------------------------------------- the process's side


def _serve() -> None:
    """Confine this process and do the one piece of work that standard input names."""
    spec = json.load(sys.stdin)
    out, limits = Path(spec["out"]), Limits(**spec["limits"])
    sandbox.die_with_parent()
    devices = [Path(device) for device in limits.devices]
    if "program" in spec:
        program = Path(spec["program"])
        sandbox.limit_resources(limits)
        sandbox.confine(map(Path, sandbox.SYSTEM), [out, *devices], program)
        os.execv(program, [program.name, *spec["arguments"]])  # noqa: S606 - no shell is wanted
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(**message: Any) -> None:
        answers.write(json.dumps(message, allow_nan=False) + "\n")
        answers.flush()

    try:
        module, _, name = spec["task"].partition(":")
        function = getattr(importlib.import_module(module), name)
        sandbox.limit_resources(limits)
        sandbox.confine(sandbox.readable(), [out, *devices])
        say(answer=function(spec["request"], out, lambda share: say(progress=share)))
    except ConfinedError as error:
        say(refused=str(error))
    except MemoryError:
        say(memory=True)
    except OSError as error:
        say(os=[error.errno or 0, error.strerror or str(error)], at=traceback.format_exc())
    except Exception as error:
        say(failed=f"{type(error).__name__}: {error}", at=traceback.format_exc())


if __name__ == "__main__":
    # As its importable self, so that the exceptions of tasks are those this module knows.
    with contextlib.suppress(BrokenPipeError):
        importlib.import_module("av_pipelines.media.confined")._serve()
