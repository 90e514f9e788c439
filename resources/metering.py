"""What a piece of work used: wall, CPU and GPU seconds, peak memory.

Here: measuring this process, the children it waited for, children that report their own use, and
work on a GPU (``on_gpu``).
Not here: prices (``rates``), where figures are kept (``ledger``).
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from resources.accelerator import Device, nvidia_memory

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage: bytes there, KiB on Linux
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Cost(BaseModel):
    """What one artifact took. ``usd`` is None where a price is not known."""

    model_config = ConfigDict(frozen=True)

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of the work and its children; and of what the run did around it (see ``Meter``)."""
    gpu_s: float = 0.0
    peak_rss_bytes: int = 0
    """Of the largest process that worked on it, no sum of several."""
    gpu_peak_bytes: int = 0
    usd: float | None = None


class Meter:
    """Measure what happens inside a ``with`` block; read ``cost`` afterwards (or inside).

    What a run does around its work (publishing, its events, the next step) is CPU time too. It
    counts for what the run makes next: the block begins where the run's block before it was
    ``booked``, else where that ended. Nothing counts twice; what comes before a run's first block
    and after its last belongs to none.

    Args:
        run: what the work is part of, in this process.
    """

    _before: tuple[int, str | None, float] | None = None
    """Process and run that were measured last, and up to how many CPU seconds of the process."""

    def __init__(self, run: str | None = None) -> None:
        self._run = run

    def __enter__(self) -> Self:
        self._extra_cpu = self._gpu = 0.0
        self._extra_rss = self._gpu_peak = 0
        self._reset_peak()
        self._children_peak = _children_peak()
        process, run, up_to = Meter._before or (0, None, 0.0)
        carries_on = self._run is not None and (process, run) == (os.getpid(), self._run)
        self._cpu0 = up_to if carries_on else _cpu_seconds()
        self._wall0 = time.perf_counter()
        self._booked = False
        self._frozen: Cost | None = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frozen = self.cost
        if kind or not self._booked:
            self._mark()

    def book(self) -> Cost:
        """Return what was used so far; what comes from now on counts for the run's next block."""
        cost = self.cost
        self._mark()
        self._booked = True
        return cost

    def _mark(self) -> None:
        Meter._before = (os.getpid(), self._run, _cpu_seconds())

    def add_child(self, cpu_s: float, peak_rss_bytes: int) -> None:
        """Count a process that is not our own child to wait for, by its own report."""
        self._extra_cpu += cpu_s
        self._extra_rss = max(self._extra_rss, peak_rss_bytes)

    def add_gpu(self, seconds: float, peak_bytes: int = 0) -> None:
        """Count seconds on a GPU and the memory that was used there."""
        self._gpu += seconds
        self._gpu_peak = max(self._gpu_peak, peak_bytes)

    @property
    def cost(self) -> Cost:
        """What was used so far; after the block, what it used in all."""
        return self._frozen or Cost(
            wall_s=round(time.perf_counter() - self._wall0, 4),
            cpu_s=round(_cpu_seconds() - self._cpu0 + self._extra_cpu, 4),
            gpu_s=round(self._gpu, 4),
            peak_rss_bytes=max(_peak_rss(), self._peak_of_children(), self._extra_rss),
            gpu_peak_bytes=self._gpu_peak,
        )

    def _peak_of_children(self) -> int:
        """The largest child waited for; 0 if none was larger than all before the block.

        The kernel keeps only the largest of the process's whole life.
        """
        peak = _children_peak()
        return peak if peak > self._children_peak else 0

    @staticmethod
    def _reset_peak() -> None:
        # Linux can forget the high-water mark; elsewhere the peak is that of the process so far.
        try:
            _CLEAR_REFS.write_text("5")
        except OSError:
            return


def _cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def _peak_rss() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def _children_peak() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _MAXRSS_UNIT


@contextlib.contextmanager
def on_gpu(device: Device, meter: Meter) -> Iterator[None]:
    """Count the work of a block as time on a GPU, and the most memory it had there.

    GPUs work on after a call returns, so the block ends when they are done: put into it a whole
    piece of work, not each operation. Blocks are not nested. Time is from begin to end of the
    block; memory is what torch or MLX allocated at most (for other libraries on CUDA: how much
    less is free at the end, which their caches make the same). On a CPU nothing is counted.
    """
    if not device.is_gpu:
        yield
        return
    _wait(device)
    before = _reset_gpu_peak(device)
    begin = time.perf_counter()
    try:
        yield
        _wait(device)  # not after an error: it would raise again in its place
    finally:
        meter.add_gpu(time.perf_counter() - begin, _gpu_peak(device, before))


def _library(device: Device) -> Any:
    """The module that knows of the device's memory; None while nothing in the process uses it."""
    if device.kind == "mlx":
        return sys.modules.get("mlx.core")
    torch = sys.modules.get("torch")
    if device.kind == "cuda" and torch is not None and not torch.cuda.is_initialized():
        return None  # asking would make a context, which takes memory of its own
    return torch


def _wait(device: Device) -> None:
    library = _library(device)
    if library is None:
        return
    if device.kind == "cuda":
        library.cuda.synchronize(device.index)
    elif device.kind == "mps":
        library.mps.synchronize()
    else:
        library.synchronize()


def _reset_gpu_peak(device: Device) -> int | None:
    """Begin anew with the peak; return the bytes free on an NVIDIA GPU."""
    library = _library(device)
    if library is not None and device.kind == "cuda":
        library.cuda.reset_peak_memory_stats(device.index)
    elif library is not None and device.kind == "mlx":
        library.reset_peak_memory()
    seen = nvidia_memory() if device.kind == "cuda" else None
    return seen[2] if seen else None


def _gpu_peak(device: Device, free_before: int | None) -> int:
    library, peak = _library(device), 0
    if library is not None and device.kind == "cuda":
        peak = library.cuda.max_memory_allocated(device.index)
    elif library is not None and device.kind == "mps":
        peak = library.mps.driver_allocated_memory()
    elif library is not None:
        peak = library.get_peak_memory()
    seen = nvidia_memory() if free_before is not None else None
    return max(peak, free_before - seen[2]) if free_before is not None and seen else peak
