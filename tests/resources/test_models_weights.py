"""Opening weights: tensors and numbers come out; a file that wants to call something does not."""

from __future__ import annotations

import contextlib
import os
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resources.models import ModelError
from resources.models.weights import load_torch_weights, safetensors_metadata

torch = pytest.importorskip("torch", reason="an extra with torch is not installed")


def save(path: Path, what: Any, **how: Any) -> Path:
    torch.save(what, path, **how)
    return path


def test_checkpoints_of_tensors_and_of_arrays_are_loaded(tmp_path: Path) -> None:
    saved = {"w": torch.ones(3), "a": np.arange(4, dtype=np.float32), "epoch": 3}
    loaded = load_torch_weights(save(tmp_path / "w.pth", saved))
    assert torch.equal(loaded["w"], torch.ones(3))
    assert loaded["a"].tolist() == [0, 1, 2, 3]
    assert loaded["epoch"] == 3


def test_safetensors_are_loaded_with_what_is_written_beside_them(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(3)}, path, metadata={"klass": "toy.Net"})
    assert torch.equal(load_torch_weights(path)["w"], torch.ones(3))
    assert safetensors_metadata(path) == {"klass": "toy.Net"}


def test_an_engine_may_allow_a_class_of_its_own(tmp_path: Path) -> None:
    path = save(tmp_path / "w.th", {"segment": Fraction(39, 5)})
    with pytest.raises(ModelError, match=r"wants to call fractions\.Fraction"):
        load_torch_weights(path)
    assert load_torch_weights(path, allow=[Fraction])["segment"] == Fraction(39, 5)


class Malice:
    """Unpickling it writes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle"])
def test_a_malicious_checkpoint_is_refused_and_does_not_run(tmp_path: Path, kind: str) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / "w.th"
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(Malice(proof), protocol=2))
    else:
        save(path, {"w": Malice(proof)}, _use_new_zipfile_serialization=kind == "zip")

    with pytest.raises(ModelError, match=rf"{path} was not loaded: ") as caught:
        load_torch_weights(path)
    assert caught.value.code == "MODEL_LOAD_FAILED"
    assert "weights_only=False" not in str(caught.value)  # what torch advises
    assert not proof.exists()

    with contextlib.suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert proof.exists()  # it is malicious indeed


@pytest.mark.parametrize("name", ["w.th", "w.safetensors"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    for content in (b"", b"PK\x03\x04 and no zip", b"\xff" * 1000):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=rf"MODEL_LOAD_FAILED: .*{name} was not loaded"):
            load_torch_weights(tmp_path / name)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match="it is not there"):
        load_torch_weights(tmp_path / name)
