"""Devices: the best one here that has room; one asked for and missing is said; GPU time counts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources import accelerator
from resources.accelerator import Device, DeviceError, Kind, choose, cpu_threads, find
from resources.metering import Meter, on_gpu

GPU = Device("Toy GPU", "cuda", 8_000_000_000, 4_000_000_000)


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were one; what else is found is what is here."""
    monkeypatch.setattr(accelerator, "_cuda", lambda library: GPU)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_DRIVERS", ())
    monkeypatch.setattr(accelerator, "nvidia_memory", lambda: None)


def test_the_cpu_is_always_here_and_knows_its_memory() -> None:
    cpu = choose("cpu")
    assert cpu.kind == cpu.torch_name == "cpu"
    assert cpu.memory_total_bytes is not None
    assert 0 <= (cpu.memory_free_bytes or 0) <= cpu.memory_total_bytes


def test_auto_takes_the_gpu_that_has_room(a_gpu: None) -> None:
    assert choose("auto") == choose("auto", 3_000_000_000) == GPU
    assert GPU.torch_name == "cuda:0"


def test_auto_leaves_a_gpu_that_is_too_full_and_says_so(a_gpu: None) -> None:
    device = choose("auto", 5_000_000_000)
    assert device.kind == "cpu"
    assert device.note == "Toy GPU has 4.0 GB free and 5.0 GB are needed: on cpu"


def test_a_device_asked_for_by_name_is_taken_however_full(a_gpu: None) -> None:
    assert choose("cuda", 5_000_000_000) == GPU


def test_auto_keeps_to_what_the_engine_can(a_gpu: None) -> None:
    assert choose("auto", kinds=("cpu",)).kind == "cpu"
    with pytest.raises(DeviceError, match=r"device = cuda: this engine has no way to use it"):
        choose("cuda", kinds=("cpu",))


@pytest.mark.skipif(sys.platform == "darwin", reason="MLX is the best choice there")
def test_mlx_on_a_cpu_is_taken_only_when_asked_for() -> None:
    pytest.importorskip("mlx.core")
    assert choose("mlx", kinds=("mlx", "cpu")).name == "MLX on the CPU"
    assert choose("auto", kinds=("mlx", "cpu")).kind == "cpu"
    with Meter() as meter, on_gpu(choose("mlx", kinds=("mlx",)), meter):
        time.sleep(0.02)
    assert meter.cost.gpu_s == 0


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_an_error_that_says_what_is(no_gpu: None, kind: Kind) -> None:
    if isinstance(find(kind), Device):
        pytest.skip(f"{kind} is here")
    with pytest.raises(DeviceError, match=rf"DEVICE_NOT_FOUND: device = {kind}: .* Found: cpu \("):
        choose(kind)


def test_a_gpu_that_the_library_cannot_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this torch can")
    monkeypatch.setattr(accelerator, "nvidia_memory", lambda: ("Toy GPU", 8, 4))
    assert choose("auto").kind == "cpu"
    with pytest.raises(DeviceError, match=r"torch .* cannot use the GPU: built without CUDA"):
        choose("cuda")
    for library in ("ctranslate2", "onnxruntime"):
        pytest.importorskip(library)
        assert "built without CUDA" in str(find("cuda", library))


def test_choosing_imports_no_library_where_there_is_no_gpu() -> None:
    code = """
import sys
from resources import accelerator
accelerator._DRIVERS, accelerator.nvidia_memory = (), lambda: None
accelerator.choose("auto")
print([m for m in ("torch", "numpy", "ctranslate2", "onnxruntime", "mlx") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if sys.platform == "linux":
        assert done.stdout.strip() == "[]"


def test_threads_are_what_the_user_says_else_the_cores_this_process_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_CGROUP", tmp_path)
    assert cpu_threads(7) == 7
    every = cpu_threads()
    assert every >= 1
    assert cpu_threads(most=1) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")  # half a core
    assert cpu_threads() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_threads() == every


def test_a_container_has_the_memory_of_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("600000\n")
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 200000\n")
    cpu = choose("cpu")
    assert (cpu.memory_total_bytes, cpu.memory_free_bytes) == (1_000_000, 600_000)


def test_time_on_a_gpu_is_counted_and_on_a_cpu_is_not() -> None:
    with Meter() as meter:
        with on_gpu(GPU, meter):
            time.sleep(0.05)
        with on_gpu(choose("cpu"), meter):
            time.sleep(0.05)
    assert 0.05 <= meter.cost.gpu_s < 0.1
    assert meter.cost.wall_s >= 0.1


def test_time_on_a_gpu_counts_also_when_the_work_fails() -> None:
    def work(seconds: float) -> None:
        with on_gpu(GPU, meter):
            time.sleep(seconds)
            raise ValueError("boom")

    with Meter() as meter, pytest.raises(ValueError, match="boom"):
        work(0.02)
    assert meter.cost.gpu_s >= 0.02


@pytest.mark.skipif(isinstance(find("cuda"), str), reason="no CUDA device that torch can use")
def test_a_real_gpu_is_found_and_metered() -> None:
    import torch

    device = choose("cuda")
    assert 0 < (device.memory_free_bytes or 0) <= (device.memory_total_bytes or 0)
    with Meter() as meter, on_gpu(device, meter):
        a = torch.ones(4096, 4096, device=device.torch_name)
        for _ in range(10):
            a = a @ a * 1e-4
    assert meter.cost.gpu_s > 0
    assert meter.cost.gpu_peak_bytes >= 2 * 4096 * 4096 * 4
