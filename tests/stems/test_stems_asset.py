"""The asset through the whole house: intake, choosing, separating, verifying, publishing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from av_pipelines.intake.assets import INTAKE
from av_pipelines.maker import Outcome, Studio, make
from av_pipelines.settings import Recipes, Settings
from av_pipelines.stems import engines
from av_pipelines.stems.assets import STEMS
from resources.accelerator import Device
from resources.ladder import Ladder
from resources.ledger import Ledger
from resources.store import Store
from tests.conftest import drop


@pytest.fixture
def house(tmp_path: Path) -> Studio:
    """A studio that knows the intake and the stems."""
    known: dict[str, type[Settings]] = {
        product.name: product.settings for maker in (INTAKE, STEMS) for product in maker.products
    }
    store = Store(tmp_path / "studio")
    recipes = store.root / "recipes"
    recipes.mkdir(parents=True)
    (recipes / "auto.toml").write_text('assets = ["source", "audio", "stems"]\n')
    return Studio(store, Ledger(store.ledger_dir), Recipes(recipes, known))


def take(house: Studio, path: Path, samples: np.ndarray, **settings: object) -> Outcome:
    """Drop a sound into the house and make its stems."""
    made = path.with_suffix(".made.w64")
    from av_pipelines.media.audio import AudioWriter

    with AudioWriter(made, "pcm_f32le", 44_100, "stereo") as writer:
        writer.write(samples)
    key = drop(house, path, made.read_bytes())
    make(house, INTAKE, key)
    (outcome,) = make(house, STEMS, key, overrides={"stems": settings})
    return outcome


@pytest.fixture
def own(brief_repository: Path) -> dict[str, object]:
    """Settings that name the small model."""
    return {"model_repo": str(brief_repository), "model": "small", "threads": 1}


def test_stems_are_published_with_facts_and_pictures(house, music, own, tmp_path) -> None:
    outcome = take(house, tmp_path / "song.w64", music(1), **own)

    assert outcome.event == "made", outcome.reason
    assert outcome.artifact
    manifest = outcome.artifact.manifest
    facts = manifest.facts
    assert facts["stems"] == ["drums", "bass", "other", "vocals"]
    assert (facts["engine"], facts["model"], facts["device"]) == ("demucs", "small", "cpu")
    assert (facts["samples"], facts["sample_rate_hz"], facts["channels"]) == (44_100, 44_100, 2)
    assert facts["realtime_factor"] > 0
    assert facts["mix_residual_db"] < 20
    assert manifest.model
    assert manifest.model.sha256
    assert manifest.degraded is None
    files = {file.name for file in manifest.files}
    stems = {f"{name}.flac" for name in facts["stems"]}
    assert files == {*stems, "stems.png", "energy.png"}
    assert set(manifest.pictures.values()) == {"stems.png", "energy.png"}
    assert [row["name"] for row in manifest.tables["stems"]] == facts["stems"]
    for name in stems:
        with av.open(str(outcome.artifact.file(name))) as container:
            assert container.streams.audio[0].codec_context.name == "flac"


def test_what_changes_no_sample_makes_no_new_version(house, music, own, tmp_path) -> None:
    one = take(house, tmp_path / "song.w64", music(0.5), **own)
    key = one.key
    (again,) = make(house, STEMS, key, overrides={"stems": {**own, "threads": 2, "batch": 2}})
    (other,) = make(house, STEMS, key, overrides={"stems": {**own, "seed": 1, "shifts": 1}})
    assert (one.event, again.event, other.event) == ("made", "reused", "made")


def test_a_missing_model_fails_by_name(house, music, own, tmp_path) -> None:
    outcome = take(house, tmp_path / "song.w64", music(0.5), **{**own, "model": "large"})
    assert outcome.event == "failed"
    assert (outcome.reason or "").startswith("MODEL_NOT_FOUND: ")


@pytest.mark.parametrize("fits", [1, 0])
def test_when_memory_runs_out_less_is_tried_and_told(
    fits: int, house, music, own, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that has memory for so many segments at once; the CPU for any number."""
    real = engines.load
    gpu = Device("small GPU", "cuda")

    class Small:
        def __init__(self, network, device: Device) -> None:
            self._network, self._device = network, device

        def __getattr__(self, name: str) -> object:
            return getattr(self._network, name)

        def separate(self, batch: torch.Tensor) -> torch.Tensor:
            if self._device.kind == "cuda" and len(batch) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            return self._network.separate(batch)

    def load(chosen, settings, step):
        cpu = engines.choose_device("cpu")
        on_cpu = type(step)(cpu, step.batch, step.segment_s)
        return Small(real(chosen, settings, on_cpu), step.device)

    monkeypatch.setattr(engines, "load", load)
    monkeypatch.setattr(engines, "ladder", lambda chosen, settings: Ladder(gpu, batch=2))
    monkeypatch.setattr("av_pipelines.stems.assets.on_gpu", lambda device, meter: _nothing())

    outcome = take(house, tmp_path / "song.w64", music(2), **own)

    assert outcome.artifact, outcome.reason
    told = outcome.artifact.manifest.degraded or ""
    assert "memory ran out on cuda, batch 2: went on with cuda, batch 1" in told
    assert ("went on with cpu" in told) == (fits == 0)
    assert outcome.artifact.manifest.facts["device"] == ("cuda" if fits else "cpu")


def _nothing():
    import contextlib

    return contextlib.nullcontext()
