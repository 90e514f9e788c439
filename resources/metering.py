"""What a piece of work used: wall, CPU and GPU seconds, peak memory.

Here: measuring this process, the children it waited for, and children that report their own use.
Not here: prices (``rates``), where figures are kept (``ledger``).
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage: bytes there, KiB on Linux
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Cost(BaseModel):
    """What one artifact took. ``usd`` is None where a price is not known."""

    model_config = ConfigDict(frozen=True)

    wall_s: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    peak_rss_bytes: int = 0
    gpu_peak_bytes: int = 0
    usd: float | None = None


class Meter:
    """Measure what happens inside a ``with`` block; read ``cost`` afterwards (or inside)."""

    def __enter__(self) -> Self:
        self._extra_cpu = self._gpu = 0.0
        self._extra_rss = self._gpu_peak = 0
        self._reset_peak()
        self._cpu0 = _cpu_seconds()
        self._wall0 = time.perf_counter()
        self._frozen: Cost | None = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frozen = self.cost

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
            peak_rss_bytes=max(_peak_rss(), self._extra_rss),
            gpu_peak_bytes=self._gpu_peak,
        )

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
