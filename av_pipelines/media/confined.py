"""Work on media from outside, in a process of its own that can do no harm.

Here: running a Python function or a program (FFmpeg) in a process with limits on memory, CPU, time
and files, without network (``sandbox``), hearing its progress, and saying in words how it ended.
Not here: what the work is, what the process itself does (``confined_child``). The one pass of
intake has a quicker way of its own, with forks.

The process is not trusted: it may have been taken over by the file it reads. It can read what it
was given an open descriptor of, and write to one folder; what it says is JSON of limited size, and
of the files it made only plain ones are taken (``plain_files``).
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

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
    with Confined(fds=fds, out=out, limits=limits) as process:
        return process.run(task, request, progress)


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
    limits = limits or Limits()
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
        spec = {"program": str(program.resolve()), "arguments": list(arguments)}
        given.write(_spec(spec, fds, out, limits))
        given.seek(0)
        process = _start(fds, out, given, errors)
        try:
            why = _listen(process.stdout, limits, hear) or _waited(process, limits)
        finally:
            _end(process)
        if why is not None or process.returncode:
            raise _failed(why, process.returncode, limits, errors)


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


class Confined:
    """A confined process for several tasks, one after the other, over files it has from the start.

    Starting Python and loading what decodes takes as long as many a task. What one task leaves in
    memory, the next one finds: only give it files that may know of each other. Use it as a context
    manager, in the thread that made it (Linux ends a process with the thread that started it);
    ``run`` may be called from any.

    Args:
        fds: open descriptors the process gets, under the same numbers.
        out: the one folder it may write to.
        limits: what it may use, all its tasks together; but the times are each task's.
    """

    def __init__(self, *, fds: Sequence[int], out: Path, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._busy = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = _start(fds, out, subprocess.PIPE, self._errors)
        self._send(_spec({}, fds, out, self._limits))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        _end(self._process)
        self._errors.close()

    def run(
        self,
        task: str,
        request: Mapping[str, Any],
        progress: Callable[[float], None] = lambda share: None,
    ) -> dict[str, Any]:
        """Run a Python function in it: as ``run_task``, which says what it raises."""
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

        with self._busy:
            self._send(json.dumps({"task": task, "request": dict(request)}, allow_nan=False))
            why = _listen(self._process.stdout, self._limits, hear, lambda: bool(answer))
            if why is None and not answer:
                why = _waited(self._process, self._limits)
            if why is not None:
                self._process.kill()
            if why is not None or self._process.poll():
                raise _failed(why, self._process.returncode, self._limits, self._errors)
        return _answered(answer, self._errors)

    def _send(self, line: str | bytes) -> None:
        """Write a line, as fast as the process takes it; one that does not is found out later."""
        assert self._process.stdin
        pipe = self._process.stdin.fileno()
        os.set_blocking(pipe, False)
        data = (line.encode() if isinstance(line, str) else line) + b"\n"
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_WRITE)
            while data and selector.select(self._limits.stall_s):
                try:
                    data = data[os.write(pipe, data) :]
                except BrokenPipeError:
                    return


def _answered(answer: Mapping[str, Any], errors: IO[bytes]) -> dict[str, Any]:
    if isinstance(answer.get("answer"), dict):
        return answer["answer"]
    if "os" in answer:
        number, words = answer["os"]
        raise OSError(int(number), f"{words} (in the process that reads the file)")
    if "memory" in answer:
        raise MemoryError("the process that reads the file ran out of the memory it is allowed")
    if "refused" in answer:
        raise ConfinedError(str(answer["refused"]))
    error = ConfinedError(f"{answer.get('failed', 'it ended without an answer')}")
    error.add_note(str(answer.get("at") or _tail(errors)))
    raise error


def _spec(more: Mapping[str, Any], fds: Sequence[int], out: Path, limits: Limits) -> bytes:
    said = {**more, "files": len(fds), "out": str(out.resolve()), "limits": asdict(limits)}
    return json.dumps(said, allow_nan=False).encode()


def _start(
    fds: Sequence[int], out: Path, given: IO[bytes] | int, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "av_pipelines.media.confined_child"],
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=errors,
        pass_fds=list(fds),
        cwd=out,
        env=sandbox.clean_environment(),
        start_new_session=True,  # Ctrl-C is for the parent to deal with
    )


def _waited(process: subprocess.Popen[bytes], limits: Limits) -> str | None:
    try:
        process.wait(limits.stall_s)
    except subprocess.TimeoutExpired:
        return "it did not come to an end"
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _failed(why: str | None, status: int, limits: Limits, errors: IO[bytes]) -> ConfinedError:
    said = _tail(errors)
    why = why if why is not None else _died_of(status, limits, said)
    error = ConfinedError(f"working on the file failed: {why}")
    error.add_note(said)
    return error


def _listen(
    pipe: IO[bytes] | None,
    limits: Limits,
    hear: Callable[[str], float | None],
    done: Callable[[], bool] = lambda: False,
) -> str | None:
    """Hear the process out; return why it must be ended, None if it has said all."""
    assert pipe
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
            if done():
                return None


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
