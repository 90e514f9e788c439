"""What of this machine computes: its devices and its CPU threads.

Here: finding CUDA, MPS (torch on Apple's GPU), MLX (Apple's own library) and the CPU, and choosing
one. Not here: what engines compute, which model fits which quality (rooms), what to do when memory
runs out (``ladder``), counting GPU seconds (``metering.on_gpu``).

No library is imported before it is known that there is a device for it: on a machine without a
GPU, choosing costs no torch.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Kind = Literal["cpu", "cuda", "mps", "mlx"]
Setting = Literal["auto", "cpu", "cuda", "mps", "mlx"]
"""What a user may write for ``device`` in a room's settings."""
Library = Literal["torch", "ctranslate2", "onnxruntime"]
"""What an engine computes with; it decides whether a GPU that is there can be used."""

_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, WSL 2, AMD (torch's "cuda" too)
_CGROUP = Path("/sys/fs/cgroup")


class DeviceError(Exception):
    """``DEVICE_NOT_FOUND``: the device that was asked for by name cannot be used here."""

    code = "DEVICE_NOT_FOUND"

    def __init__(self, message: str) -> None:
        super().__init__(f"{self.code}: {message}")


@dataclass(frozen=True)
class Device:
    """Something to compute on. Memory is in bytes; None where the system does not say."""

    name: str
    kind: Kind
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    index: int = 0
    note: str | None = None
    """Why it is not the device that was meant: a sentence for ``degraded``."""

    @property
    def torch_name(self) -> str:
        """What ``torch.device`` takes."""
        return f"cuda:{self.index}" if self.kind == "cuda" else self.kind

    @property
    def is_gpu(self) -> bool:
        """Whether it is not the CPU; elsewhere than on a Mac, MLX computes there too."""
        return self.kind != "cpu" and (self.kind != "mlx" or sys.platform == "darwin")


def choose(
    setting: Setting = "auto",
    need_bytes: int | None = None,
    *,
    kinds: Sequence[Kind] = ("cuda", "mps", "cpu"),
    library: Library = "torch",
) -> Device:
    """Choose the device for an engine.

    Args:
        setting: ``auto``: the first of ``kinds`` that is here and has the memory; else that one,
            however full it is.
        need_bytes: memory of the device that the work takes; None: not known, anything will do.
        kinds: what the engine can run on, the best first.
        library: what the engine computes with on ``cuda`` and ``mps``.

    Raises:
        DeviceError: the device asked for is not here, or not one of ``kinds``; the message says
            why, and what was found.
    """
    if setting != "auto":
        found = find(setting, library) if setting in kinds else "this engine has no way to use it"
        if isinstance(found, Device):
            return found
        here = [d for kind in kinds if isinstance(d := find(kind, library), Device)]
        raise DeviceError(
            f"device = {setting}: {found}. Found: "
            f"{', '.join(f'{d.kind} ({d.name})' for d in here)}. "
            f"Set device to auto or to one of: {', '.join(d.kind for d in here)}"
        )
    full: list[str] = []
    for kind in kinds:
        device = find(kind, library)
        if isinstance(device, str) or (kind == "mlx" and not _apple_silicon()):
            continue
        if kind != "cpu" and _too_small(device, need_bytes):
            full.append(
                f"{device.name} has {_gb(device.memory_free_bytes)} free and "
                f"{_gb(need_bytes)} are needed"
            )
            continue
        return replace(device, note=f"{'; '.join(full)}: on {device.kind}") if full else device
    raise DeviceError(f"none of {', '.join(kinds)} is on this machine")


def find(kind: Kind, library: Library = "torch") -> Device | str:
    """Return a device of a kind as it is now, or a sentence that says why there is none."""
    if kind == "cuda":
        return _cuda(library)
    return {"cpu": _cpu, "mps": _mps, "mlx": _mlx}[kind]()


def cpu_threads(setting: int = 0, *, most: int | None = None) -> int:
    """Return how many CPU threads to use.

    Args:
        setting: what the user wants; 0: all the cores that this process may use (affinity and
            the quota of a container).
        most: no more than this when the user does not say: where more gains nothing.
    """
    if setting > 0:
        return setting
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        cores = min(cores or 1, -(-int(quota) // int(period)))
    return max(1, min(cores or 1, most or sys.maxsize))


# ---------------------------------------------------------------------- what is here


def _too_small(device: Device, need_bytes: int | None) -> bool:
    free = device.memory_free_bytes
    return need_bytes is not None and free is not None and free < need_bytes


def _gb(size: int | None) -> str:
    return f"{(size or 0) / 1e9:.1f} GB"


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""  # not Linux, or not in a container


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _apple_silicon() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def _cpu() -> Device:
    named = re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    name = named[1].strip() if named else platform.processor() or platform.machine()
    total: int | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = re.search(r"^MemAvailable:\s*(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE)
    free = int(available[1]) * 1024 if available else None
    limit = _read(_CGROUP / "memory.max").strip()
    if limit.isdigit() and total is not None:  # a container's share
        total = min(total, int(limit))
        cached = re.search(r"^inactive_file (\d+)$", _read(_CGROUP / "memory.stat"), re.MULTILINE)
        used = int(_read(_CGROUP / "memory.current").strip() or 0)
        left = int(limit) - used + (int(cached[1]) if cached else 0)  # files give way
        free = left if free is None else max(0, min(free, left))
    return Device(name, "cpu", total, free)


def nvidia_memory() -> tuple[str, int, int] | None:
    """Return name, total and free bytes of the first NVIDIA GPU; None where NVML sees none.

    It asks the driver (nvidia-ml-py) and makes no CUDA context, so it costs no GPU memory.
    """
    if not _installed("pynvml"):
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None  # no driver
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return str(pynvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free)
    except pynvml.NVMLError:
        return None  # a driver without a GPU
    finally:
        pynvml.nvmlShutdown()


def _cuda(library: Library) -> Device | str:
    seen = nvidia_memory()
    if seen is None and not any(Path(driver).exists() for driver in _DRIVERS):
        return "no CUDA device is on this machine"
    if not _installed(library):
        return f"{library} is not installed"
    if library == "torch":
        return _torch_cuda()
    if library == "ctranslate2":
        import ctranslate2

        usable = ctranslate2.get_cuda_device_count() > 0
    else:
        import onnxruntime

        usable = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if not usable:
        return f"the installed {library} cannot use the GPU: it is built without CUDA"
    return Device(seen[0], "cuda", seen[1], seen[2]) if seen else Device("CUDA", "cuda")


def _torch_cuda() -> Device | str:
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} cannot use the GPU: built without CUDA, or hidden"
    devices: list[Device] = []
    refusals: list[str] = []
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:  # full to the last byte, or held by another process
            refusals.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        devices.append(Device(name, "cuda", total, free, index))
    if not devices:
        return f"no GPU answers ({'; '.join(refusals)})"
    return max(devices, key=lambda device: device.memory_free_bytes or 0)


def _mps() -> Device | str:
    if not _apple_silicon():
        return "MPS is only on Macs with Apple Silicon"
    if not _installed("torch"):
        return "torch is not installed"
    import torch

    if not torch.backends.mps.is_available():
        return f"torch {torch.__version__} cannot use the GPU of this Mac"
    total = torch.mps.recommended_max_memory()
    return Device("Apple GPU", "mps", total, max(0, total - torch.mps.driver_allocated_memory()))


def _mlx() -> Device | str:
    if not _installed("mlx"):
        where = "" if _apple_silicon() else ", and this is not a Mac with Apple Silicon"
        return f"mlx is not installed{where}"
    if not _apple_silicon():
        return replace(_cpu(), name="MLX on the CPU", kind="mlx")
    import mlx.core as mx  # pyright: ignore[reportMissingImports]

    info = mx.device_info()
    total = int(info["max_recommended_working_set_size"])
    name = str(info.get("device_name", "Apple GPU"))
    return Device(name, "mlx", total, max(0, total - int(mx.get_active_memory())))
