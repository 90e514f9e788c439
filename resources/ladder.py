"""When memory runs out: the same work again with less of it.

Here: the steps down, what every library's error for it looks like, giving kept memory back. Not
here: finding devices (``accelerator``), and what is computed (engines).
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from resources.accelerator import Device, choose

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """How a piece of work is tried."""

    device: Device
    batch: int = 1
    segment_s: float | None = None


class Ladder:
    """Try work again with less when memory runs out, and go on with less.

    First the batch is halved down to 1, then the segment is shortened, then the CPU does it (with
    the batch and segment that were meant, and down again from there). Only memory that ran out
    steps down; any other error goes through untouched.

        ladder = Ladder(device, batch=8, segments_s=(7.8, 3.9))
        for piece in pieces:
            stems = ladder.run(lambda step: separate(piece, step.device, step.batch))
        facts["device"] = ladder.step.device.kind
        degraded = ladder.degraded

    An attempt must be possible again: it may not have written anything when it fails.

    Args:
        device: where to begin.
        batch: how many pieces at once, to begin with.
        segments_s: lengths of a piece that the engine can take, in seconds, the one that is meant
            first; empty where there is no choice.
        cpu: whether the engine can also work on the CPU.
    """

    def __init__(
        self, device: Device, batch: int = 1, segments_s: Sequence[float] = (), *, cpu: bool = True
    ) -> None:
        devices = [device, choose("cpu")] if cpu and device.kind != "cpu" else [device]
        self._steps = _steps(devices, max(1, batch), segments_s)
        self.step = next(self._steps)
        """How the next attempt is made."""
        self.said: list[str] = []
        """A sentence for each step down that was taken."""

    @property
    def degraded(self) -> str | None:
        """All steps down in one line; None when there was none."""
        return "; ".join(self.said) or None

    def run(self, attempt: Callable[[Step], T]) -> T:
        """Run an attempt, stepping down as often as it takes.

        Raises:
            MemoryError: memory ran out on the last step too; what the library said is its cause.
        """
        while True:
            try:
                return attempt(self.step)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                ran_out = error
            below = next(self._steps, None)
            if below is None:
                raise MemoryError(
                    f"memory ran out on {_told(self.step)}, and there is nothing smaller to try. "
                    f"Close other programs or use a machine with more memory "
                    f"({str(ran_out).strip().splitlines()[0] if str(ran_out) else 'no details'})"
                ) from ran_out
            self.said.append(f"memory ran out on {_told(self.step)}: went on with {_told(below)}")
            self.step = below
            ran_out.__traceback__ = None  # it holds what the attempt held
            del ran_out
            release_memory()


def _steps(devices: Sequence[Device], batch: int, segments_s: Sequence[float]) -> Iterator[Step]:
    for device in devices:
        size = batch
        while size > 1:
            yield Step(device, size, segments_s[0] if segments_s else None)
            size //= 2
        for segment_s in cast("Sequence[float | None]", segments_s) or (None,):
            yield Step(device, 1, segment_s)


def _told(step: Step) -> str:
    segment = f", segments of {step.segment_s:g} s" if step.segment_s else ""
    return f"{step.device.kind}, batch {step.batch}{segment}"


_SAID_FOR_MEMORY = re.compile(
    r"out of memory"  # CUDA, MPS, CTranslate2: "CUDA failed with error out of memory"
    r"|outofmemory"  # Metal: kIOGPUCommandBufferCallbackErrorOutOfMemory
    r"|can't allocate memory|not enough memory|failed to allocate memory"  # torch CPU, ONNX Runtime
    r"|unable to allocate|attempting to allocate .* greater than the maximum"  # MLX
    r"|(cublas|cudnn)_status_alloc_failed|std::bad_alloc|bad allocation",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any of the libraries means that memory ran out.

    Most have a plain ``RuntimeError`` for it and nothing but its words to know it by; a
    ``ValueError`` that speaks of memory is not one.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    library = type(error).__module__.partition(".")[0]
    if not (isinstance(error, RuntimeError) or library == "onnxruntime"):
        return False
    return _SAID_FOR_MEMORY.search(str(error)) is not None


def release_memory() -> None:
    """Give back what libraries keep for later, on every device that this process uses."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None:
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()
    if (mlx := sys.modules.get("mlx.core")) is not None:
        mlx.clear_cache()
