"""When memory runs out: less of the same work, step by step, each said; other errors go through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resources.accelerator import Device
from resources.ladder import Ladder, Step, is_out_of_memory

GPU = Device("Toy GPU", "cuda", 8_000_000_000, 4_000_000_000)
CPU = Device("Toy CPU", "cpu")
TOO_MUCH = 1 << 55  # bytes: more than any machine gives


def short_of_memory(error: Exception, fits: Callable[[Step], bool]) -> Callable[[Step], Step]:
    """Work that has the memory only for some steps."""

    def attempt(step: Step) -> Step:
        if not fits(step):
            raise error
        return step

    return attempt


def test_the_batch_is_halved_then_the_segment_shortened_then_the_cpu_does_it() -> None:
    tried: list[tuple[str, int, float | None]] = []

    def attempt(step: Step) -> str:
        tried.append((step.device.kind, step.batch, step.segment_s))
        if step.device.kind == "cuda":
            raise RuntimeError("CUDA error: out of memory")
        return "done"

    ladder = Ladder(GPU, batch=4, segments_s=(7.8, 3.9))
    assert ladder.run(attempt) == "done"
    assert tried == [
        ("cuda", 4, 7.8),
        ("cuda", 2, 7.8),
        ("cuda", 1, 7.8),
        ("cuda", 1, 3.9),
        ("cpu", 4, 7.8),
    ]
    assert ladder.said == [
        "memory ran out on cuda, batch 4, segments of 7.8 s: "
        "went on with cuda, batch 2, segments of 7.8 s",
        "memory ran out on cuda, batch 2, segments of 7.8 s: "
        "went on with cuda, batch 1, segments of 7.8 s",
        "memory ran out on cuda, batch 1, segments of 7.8 s: "
        "went on with cuda, batch 1, segments of 3.9 s",
        "memory ran out on cuda, batch 1, segments of 3.9 s: "
        "went on with cpu, batch 4, segments of 7.8 s",
    ]
    assert ladder.degraded == "; ".join(ladder.said)


def test_nothing_is_said_when_memory_is_enough() -> None:
    ladder = Ladder(GPU, batch=4)
    assert ladder.run(lambda step: step.batch) == 4
    assert ladder.degraded is None


def test_the_next_piece_begins_where_the_last_one_ended() -> None:
    ladder = Ladder(GPU, batch=8)
    attempt = short_of_memory(MemoryError(), lambda step: step.batch <= 2)
    assert [ladder.run(attempt).batch for _ in range(3)] == [2, 2, 2]
    assert len(ladder.said) == 2


def test_when_nothing_is_left_to_try_it_says_so() -> None:
    ladder = Ladder(GPU, batch=2, cpu=False)
    with pytest.raises(
        MemoryError, match=r"ran out on cuda, batch 1, .* \(out of memory\)"
    ) as caught:
        ladder.run(short_of_memory(RuntimeError("out of memory"), lambda step: False))
    assert str(caught.value.__cause__) == "out of memory"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("the file says: out of memory"),
        FileNotFoundError("memory"),
    ],
)
def test_any_other_error_goes_through_untouched(error: Exception) -> None:
    ladder = Ladder(GPU, batch=4)
    with pytest.raises(type(error)) as caught:
        ladder.run(short_of_memory(error, lambda step: False))
    assert caught.value is error
    assert ladder.said == []


@pytest.mark.parametrize(("batch", "fits", "taken"), [(1, 1, 1), (7, 3, 3), (6, 2, 1), (12, 5, 3)])
def test_it_ends_at_the_first_batch_that_fits(batch: int, fits: int, taken: int) -> None:
    ladder = Ladder(CPU, batch=batch)
    done = ladder.run(short_of_memory(MemoryError(), lambda step: step.batch <= fits))
    assert done.batch == taken


@pytest.mark.parametrize(
    "said",
    [
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1 GB)",
        "[METAL] Command buffer execution failed: Insufficient Memory "
        "(00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "[metal::malloc] Attempting to allocate 99 bytes which is greater than the maximum allowed "
        "buffer size of 9 bytes.",
        "[malloc_or_wait] Unable to allocate 99 bytes.",
        "CUDA failed with error out of memory",  # CTranslate2
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_the_words_of_libraries_that_are_not_here_are_known(said: str) -> None:
    assert is_out_of_memory(RuntimeError(said))


def test_memory_that_really_runs_out_in_torch_steps_down() -> None:
    torch = pytest.importorskip("torch")
    attempt = lambda step: torch.empty(TOO_MUCH if step.batch > 1 else 1).numel()  # noqa: E731
    assert Ladder(CPU, batch=2).run(attempt) == 1
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))


def test_memory_that_really_runs_out_in_numpy_steps_down() -> None:
    attempt = lambda step: np.empty(TOO_MUCH if step.batch > 1 else 1).size  # noqa: E731
    assert Ladder(CPU, batch=2).run(attempt) == 1


def test_memory_that_really_runs_out_in_onnx_runtime_steps_down() -> None:
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    node = onnx.helper.make_node("ConstantOfShape", ["shape"], ["zeros"])
    shape = onnx.helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [1])
    zeros = onnx.helper.make_tensor_value_info("zeros", onnx.TensorProto.FLOAT, [None])
    graph = onnx.helper.make_graph([node], "zeros", [shape], [zeros])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)

    def attempt(step: Step) -> int:
        length = TOO_MUCH if step.batch > 1 else 1
        return session.run(None, {"shape": np.array([length], np.int64)})[0].size

    assert Ladder(CPU, batch=2).run(attempt) == 1


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU")
def test_memory_that_really_runs_out_on_a_gpu_steps_down_to_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch cannot use the GPU")

    def attempt(step: Step) -> str:
        size = TOO_MUCH if step.device.kind == "cuda" else 1
        return torch.empty(size, device=step.device.torch_name).device.type

    ladder = Ladder(GPU, batch=2)
    assert ladder.run(attempt) == "cpu"
    assert len(ladder.said) == 2
