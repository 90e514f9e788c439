"""The graphs of a MusicGen on ONNX Runtime: text to states, codes to scores, codes to samples.

The decoder's keys and values of the past grow by a step each time. They lie in two sets of buffers,
made once for the longest past: a step reads one set and writes the other (I/O binding), so nothing
is copied between steps or leaves the device. Not here: what is fed and chosen (``codes``,
``generate``).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from av_pipelines.tracks.errors import TrackError
from av_pipelines.tracks.musicgen.layout import Config, Files, size_of
from resources.accelerator import Device, DeviceError
from resources.ladder import is_out_of_memory
from resources.models import ModelError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "mps": "CoreMLExecutionProvider",
}
"""Kind of device → who computes on it."""

_KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_LAYER = re.compile(r"past_key_values\.(\d+)\.decoder\.key")
_SAME = 0.05
"""Scores of a step alone and among others may differ by this share of their spread."""


def open_graph(path: Path, device: Device, threads: int, *, arena: bool) -> ort.InferenceSession:
    """Open a graph for a device.

    Args:
        path: of the graph; its external data lie beside it.
        device: that computes; what it cannot do, the CPU does.
        threads: of the CPU.
        arena: keep memory from run to run; without, it is given back after each.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``: it is damaged, not a graph, or its data are missing.
        DeviceError: the ONNX Runtime that is installed cannot use the device.
    """
    provider = PROVIDERS.get(device.kind, "")
    if provider not in ort.get_available_providers():
        raise DeviceError(
            f"device = {device.kind}: the installed onnxruntime {ort.__version__} has no "
            f"{provider or 'provider for it'}; it has {', '.join(ort.get_available_providers())}. "
            "Set device to cpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen: list[Any] = [(provider, {"device_id": str(device.index)})]
    providers = chosen if device.kind == "cuda" else [provider]
    if device.kind != "cpu":
        providers.append(PROVIDERS["cpu"])
    try:
        return ort.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime has a class for every status, none in common
        if is_out_of_memory(error):
            raise
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{path} was not loaded: it is damaged, not a graph, or its external data "
            f"({path.name}_data) are missing or others. Get it again. ONNX Runtime says: "
            f"{str(error).strip().splitlines()[0]}",
        ) from error


@contextlib.contextmanager
def computing(what: str) -> Iterator[None]:
    """Name what ONNX Runtime raises ``MODEL_INFERENCE_FAILED``; memory that ran out goes through.

    Raises:
        TrackError: ``MODEL_INFERENCE_FAILED``.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime") and not isinstance(
            error, RuntimeError | FloatingPointError | ValueError
        ):
            raise
        if is_out_of_memory(error):
            raise
        raise TrackError(
            "MODEL_INFERENCE_FAILED",
            f"{what} failed: {str(error).strip().splitlines()[0] or type(error).__name__}",
        ) from error


def _require(
    session: ort.InferenceSession, path: Path, inputs: set[str], outputs: set[str]
) -> None:
    """Raise ``MODEL_LOAD_FAILED`` unless a graph has these inputs and outputs."""
    lacks = [
        *(f"input {n}" for n in sorted(inputs - {i.name for i in session.get_inputs()})),
        *(f"output {n}" for n in sorted(outputs - {o.name for o in session.get_outputs()})),
    ]
    if lacks:
        raise ModelError(
            "MODEL_LOAD_FAILED",
            f"{path} is not the graph it should be by its name: it has no {', no '.join(lacks)}. "
            "Put the right file there",
        )


class TextEncoder:
    """T5: a prompt's tokens to states."""

    def __init__(self, files: Files, device: Device, threads: int) -> None:
        self._session = open_graph(files.text_encoder, device, threads, arena=False)
        _require(
            self._session,
            files.text_encoder,
            {"input_ids", "attention_mask"},
            {"last_hidden_state"},
        )

    def __call__(self, tokens: list[int]) -> NDArray[Any]:
        """Return the states of a prompt, (1, tokens, width)."""
        ids = np.array([tokens], dtype=np.int64)
        with computing("encoding the prompt"):
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            return np.asarray(self._session.run(["last_hidden_state"], given)[0])


class Codec:
    """EnCodec's decoder: codes to samples."""

    def __init__(self, files: Files, config: Config, device: Device, threads: int) -> None:
        self._session = open_graph(files.codec, device, threads, arena=False)
        self._hop = config.hop
        _require(self._session, files.codec, {"audio_codes"}, {"audio_values"})

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the samples of codes (codebooks, frames), (hop × frames,), not limited to ±1."""
        with computing("decoding the codes"):
            audio = np.asarray(
                self._session.run(["audio_values"], {"audio_codes": codes[None, None]})[0]
            )
            if audio.size != self._hop * codes.shape[1] or not np.isfinite(audio).all():
                raise ValueError(f"{codes.shape[1]} frames became {audio.size} samples, or none")
            return audio.reshape(-1).astype(np.float32, copy=False)


class Decoder:
    """The transformer: merged in one graph, or one for the first step and one for the others."""

    def __init__(self, files: Files, device: Device, threads: int) -> None:
        self.first = open_graph(files.first, device, threads, arena=True)
        self.merged = files.merged
        self.next = (
            self.first if self.merged else open_graph(files.next, device, threads, arena=True)
        )
        self.device = device
        self._check(files)
        inputs = {i.name: i for i in self.next.get_inputs()}
        key = inputs["past_key_values.0.decoder.key"]
        self.kind: type[np.floating[Any]] = _KINDS.get(key.type, np.float32)
        self.layers = sum(1 for name in inputs if _LAYER.fullmatch(name))
        self.heads, self.width = int(key.shape[1]), int(key.shape[3])
        self._weights_bytes = size_of(files.next)
        self._takes_many: bool | None = None

    def _check(self, files: Files) -> None:
        """Hold the graphs to the names that they must have."""
        layers = [m[1] for i in self.next.get_inputs() if (m := _LAYER.fullmatch(i.name))] or ["0"]
        own = {f"{n}.decoder.{kv}" for n in layers for kv in ("key", "value")}
        cross = {f"{n}.encoder.{kv}" for n in layers for kv in ("key", "value")}
        past = {f"past_key_values.{name}" for name in own | cross}
        always = {"encoder_attention_mask", "input_ids"}
        if self.merged:
            past |= {"encoder_hidden_states", "use_cache_branch"}
        presents = {"logits", *(f"present.{name}" for name in own)}
        _require(self.next, files.next, always | past, presents)
        if not self.merged:
            presents |= {f"present.{name}" for name in cross}
            _require(self.first, files.first, always | {"encoder_hidden_states"}, presents)

    @property
    def growth(self) -> float:
        """Return the bytes that a step of one row adds to the past, for each byte of weights."""
        added = 2 * self.layers * self.heads * self.width * np.dtype(self.kind).itemsize
        return added / self._weights_bytes

    def begin(self, states: NDArray[Any], *, guided: bool, most: int) -> Decoding:
        """Begin to decode under a prompt.

        Args:
            states: of the prompt, (1, tokens, width).
            guided: decode without the prompt beside it.
            most: steps that will be taken at most.
        """
        return Decoding(self, states, guided=guided, most=most)

    def takes_many(self, states: NDArray[Any]) -> bool:
        """Whether the first graph takes several steps at once; tried once, under any prompt.

        A graph that was exported with one step only may lack the mask that hides later steps.
        """
        if self._takes_many is None:
            columns = np.arange(16, dtype=np.int64).reshape(4, 4)
            alone = self.begin(states, guided=False, most=4)
            steps = [alone.advance(column).copy() for column in np.hsplit(columns, 4)]
            try:
                together = self.begin(states, guided=False, most=4).advance(columns, every=True)
                worst = np.abs(together - np.stack(steps, axis=1)).max() / np.std(steps)
                self._takes_many = bool(worst < _SAME)
            except TrackError:  # it takes one only
                self._takes_many = False
        return self._takes_many


class Decoding:
    """One piece being decoded: the past, and the way to a next step's scores."""

    def __init__(self, decoder: Decoder, states: NDArray[Any], *, guided: bool, most: int) -> None:
        self._decoder = decoder
        self.past = 0
        self._rows = 2 if guided else 1
        tokens = states.shape[1]
        without = [np.zeros_like(states)] * (self._rows - 1)
        self._states = np.concatenate([states, *without]).astype(decoder.kind, copy=False)
        self._mask = np.zeros((self._rows, tokens), dtype=np.int64)
        self._mask[0] = 1  # the row without the prompt sees none of it
        self._where = (
            ("cuda", decoder.device.index) if decoder.device.kind == "cuda" else ("cpu", 0)
        )
        names = [f"{n}.decoder.{kv}" for n in range(decoder.layers) for kv in ("key", "value")]
        self._names = [(f"past_key_values.{name}", f"present.{name}") for name in names]
        room = [self._rows, decoder.heads, most, decoder.width]
        self._sets = [
            [
                ort.OrtValue.ortvalue_from_shape_and_type(room, decoder.kind, *self._where)
                for _ in names
            ]
            for _ in range(2)
        ]
        self._cross: Mapping[str, ort.OrtValue] = {}
        self._logits: NDArray[Any] = np.empty(0)
        self._binding: ort.IOBinding | None = None

    def advance(self, columns: NDArray[np.int64], *, every: bool = False) -> NDArray[np.float32]:
        """Feed columns (codebooks, steps), several only to begin with; return the scores.

        Args:
            columns: of codes.
            every: return the scores of every column, (rows, steps, codes), not of the last one.

        Returns:
            (codebooks, codes), guided: twice as many rows, the last half without the prompt.
            The array is written again by the next call.

        Raises:
            TrackError: ``MODEL_INFERENCE_FAILED``.
        """
        ids = np.ascontiguousarray(np.tile(columns, (self._rows, 1)), dtype=np.int64)
        with computing(f"decoding step {self.past + 1}"):
            scores = self._begin(ids) if self.past == 0 else self._step(ids)
        self.past += columns.shape[1]
        return scores if every else scores[:, -1]

    def _begin(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run the first graph; keep what the prompt gives, which later steps only read."""
        decoder = self._decoder
        binding = decoder.first.io_binding()
        self._bind_given(binding, ids, first=True)
        binding.bind_output("logits", "cpu")
        self._bind_presents(binding, ids.shape[1])
        cross = [name.replace("decoder", "encoder") for _, name in self._names]
        for name in cross:
            binding.bind_output(name, *self._where)
        decoder.first.run_with_iobinding(binding)
        outputs = binding.get_outputs()  # in the order in which they were bound
        self._cross = {
            name.replace("present", "past_key_values"): value
            for name, value in zip(cross, outputs[-len(cross) :], strict=True)
        }
        logits = np.asarray(outputs[0].numpy())
        self._logits = np.empty((len(ids), 1, logits.shape[-1]), dtype=decoder.kind)
        return logits.astype(np.float32, copy=False)

    def _step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        decoder = self._decoder
        if self._binding is None:
            self._binding = decoder.next.io_binding()
            self._bind_given(self._binding, ids, first=False)
            for name, value in self._cross.items():
                self._binding.bind_ortvalue_input(name, value)
            self._binding.bind_output(
                "logits", "cpu", 0, decoder.kind, self._logits.shape, self._logits.ctypes.data
            )
        binding = self._binding
        binding.bind_cpu_input("input_ids", ids)
        shape = [self._rows, decoder.heads, self.past, decoder.width]
        for (name, _), buffer in zip(self._names, self._sets[0], strict=True):
            binding.bind_input(name, *self._where, decoder.kind, shape, buffer.data_ptr())
        self._bind_presents(binding, self.past + 1)
        decoder.next.run_with_iobinding(binding)
        return self._logits.astype(np.float32, copy=False)

    def _bind_given(self, binding: ort.IOBinding, ids: NDArray[np.int64], *, first: bool) -> None:
        """Bind what is not the past; a merged graph wants an empty one at first."""
        decoder = self._decoder
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("encoder_attention_mask", self._mask)
        if first or decoder.merged:
            binding.bind_cpu_input("encoder_hidden_states", self._states)
        if decoder.merged:
            binding.bind_cpu_input("use_cache_branch", np.array([not first]))
        if decoder.merged and first:
            nothing = np.zeros((1, decoder.heads, 0, decoder.width), dtype=decoder.kind)
            for past, _ in self._names:
                binding.bind_cpu_input(past, nothing)
                binding.bind_cpu_input(past.replace("decoder", "encoder"), nothing)

    def _bind_presents(self, binding: ort.IOBinding, length: int) -> None:
        """Have the grown past written to the other set of buffers, and read from it next time."""
        decoder = self._decoder
        self._sets.reverse()
        shape = [self._rows, decoder.heads, length, decoder.width]
        for (_, name), buffer in zip(self._names, self._sets[0], strict=True):
            binding.bind_output(name, *self._where, decoder.kind, shape, buffer.data_ptr())
