"""Model repositories: what is loaded, as what, and what is refused before it can do harm."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.hdemucs import HDemucs
from safetensors.torch import save_file

from av_pipelines.stems.demucs_models import find_bag, load_demucs, read_network
from resources.models import ModelError
from tests.stems.conftest import SMALL, SOURCES, save, small_network


def refusal(folder: Path, name: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_demucs(find_bag(folder, name))
    return caught.value


def named_by_hash(path: Path) -> Path:
    """Rename a file as demucs does, with the beginning of its hash."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(path.with_name(f"{path.stem}-{digest}{path.suffix}"))


def test_weights_are_the_same_from_th_and_safetensors(original, repository, tmp_path) -> None:
    fraction = {"_type": "fraction", "numerator": 39, "denominator": 5}
    header = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": json.dumps({**SMALL, "segment": fraction}),
    }
    save_file(original.state_dict(), tmp_path / "mine.safetensors", header)
    segment = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2, 343_980))).float()

    from_th = load_demucs(find_bag(repository, "small")).separate(segment)
    from_safetensors = load_demucs(find_bag(tmp_path, "mine")).separate(segment)

    assert torch.equal(from_th, from_safetensors)


def test_a_bag_is_that_of_demucs(tmp_path: Path, music) -> None:
    networks = [small_network(seed, segment=1) for seed in (1, 2)]
    for signature, network in zip(("one", "two"), networks, strict=True):
        save(network, tmp_path, signature)
    weights = [[1.0, 0.0, 0.5, 1.0], [1.0, 1.0, 1.5, 0.0]]
    (tmp_path / "both.yaml").write_text(f"models: [one, two]\nweights: {weights}\n")
    mix = torch.from_numpy(music(1))[None]
    expected = apply_model(BagOfModels([*networks], weights), mix, shifts=0, split=False)

    both = load_demucs(find_bag(tmp_path, "both"))
    bass = load_demucs(find_bag(tmp_path, "both"), only="bass")

    said = both.separate(mix)
    assert (said - expected).abs().max() < 1e-5
    alone = bass.separate(mix)
    assert bass.sources == ("bass",)
    assert (alone[:, 0] - expected[:, 1]).abs().max() < 1e-5


def test_the_generation_before_takes_segments_of_any_length(tmp_path: Path, music) -> None:
    torch.manual_seed(0)
    older = HDemucs(SOURCES, channels=4, dconv_comp=2, segment=1).eval()
    save(older, tmp_path, "older")
    mix = torch.from_numpy(music(0.5))[None]

    loaded = load_demucs(find_bag(tmp_path, "older"))

    assert loaded.segment == 44_100
    assert loaded.padded(22_050) == 22_050
    assert loaded.segments_s == (1.0, 0.5, 0.25)
    assert (loaded.separate(mix) - apply_model(older, mix, shifts=0)).abs().max() < 1e-5


def test_a_wrong_hash_is_found_before_the_file_is_opened(repository, tmp_path: Path) -> None:
    source = next(repository.glob("*.th"))
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / source.name).write_bytes(content)

    error = refusal(tmp_path, "small")

    assert error.code == "MODEL_LOAD_FAILED"
    assert "its SHA-256 begins with" in error.message
    assert str(tmp_path / source.name) in error.message


def test_a_damaged_file_is_named(repository, tmp_path: Path) -> None:
    (tmp_path / "bad.th").write_bytes(next(repository.glob("*.th")).read_bytes()[:5000])
    named_by_hash(tmp_path / "bad.th")
    assert refusal(tmp_path, "bad").code == "MODEL_LOAD_FAILED"
    (tmp_path / "worse.safetensors").write_bytes(b"\0" * 100)
    assert "worse.safetensors" in refusal(tmp_path, "worse").message


def test_a_th_file_without_its_hash_is_refused(repository, tmp_path: Path) -> None:
    (tmp_path / "plain.th").write_bytes(next(repository.glob("*.th")).read_bytes())
    assert "a .th file has its hash in its name" in refusal(tmp_path, "plain").message


class Harm:
    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._witness}",)


def test_a_pickle_that_wants_to_run_something_does_not(tmp_path: Path) -> None:
    witness = tmp_path / "it_ran"
    torch.save({"klass": Harm(witness)}, tmp_path / "evil.th", pickle_module=pickle)
    named_by_hash(tmp_path / "evil.th")

    error = refusal(tmp_path, "evil")

    assert "it wants to call" in error.message
    assert not witness.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"klass": "os.system"}, "allowed: demucs.htdemucs.HTDemucs"),
        ({"kwargs": json.dumps({**SMALL, "segment": 7.8, "depth": 10**6})}, "at most 64 layers"),
        ({"kwargs": json.dumps({**SMALL, "segment": 7.8, "channels": 8})}, "size mismatch"),
        ({"kwargs": "{"}, "not a network of Demucs"),
    ],
)
def test_a_header_that_lies_is_refused(original, tmp_path: Path, changes, said: str) -> None:
    kwargs = json.dumps({**SMALL, "segment": 7.8})
    header = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": kwargs, **changes}
    save_file(original.state_dict(), tmp_path / "mine.safetensors", header)
    with pytest.raises(ModelError, match="MODEL_LOAD_FAILED") as caught:
        read_network(tmp_path / "mine.safetensors")
    assert said in caught.value.message


def test_what_is_not_there_is_told_with_what_is(repository, tmp_path: Path) -> None:
    error = refusal(repository, "smal")
    assert error.code == "MODEL_NOT_FOUND"
    assert "there are: small-" in error.message
    assert refusal(tmp_path / "nowhere", "small").code == "MODEL_NOT_FOUND"
    (tmp_path / "half.yaml").write_text("models: [gone]\n")
    assert "has no files of weights gone" in refusal(tmp_path, "half").message
    (tmp_path / "odd.yaml").write_text("just text\n")
    assert "not a bag of models" in refusal(tmp_path, "odd").message
