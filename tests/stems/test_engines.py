"""Which model takes a mix apart, and what is said when it is not the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from av_pipelines.settings import SettingsError
from av_pipelines.stems import engines
from av_pipelines.stems.settings import StemsSettings
from resources.accelerator import DeviceError, find
from resources.models import Model, ModelError
from tests.stems.conftest import save, small_network


def settings(**values: object) -> StemsSettings:
    return StemsSettings.merged("stems", ("test", values))


def only(*names: str, folder: Path = Path("/nowhere")):
    """A machine that has these models."""

    def find(name: str) -> Model:
        if name not in names:
            raise ModelError("MODEL_NOT_FOUND", f"{name} is not on this machine")
        engine = "spleeter" if name == engines.SPLEETER else "demucs"
        return Model(name, engine, folder, "0" * 64, "MIT")

    return find


@pytest.fixture
def repository_of_names(tmp_path: Path) -> Path:
    """A folder with weights under the names that the package demucs knows for its models."""
    network = small_network(segment=1)
    for signature in ("955717e8", "f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"):
        save(network, tmp_path, signature)
    return tmp_path


def test_without_demucs_weights_spleeter_does_it_and_says_so() -> None:
    chosen = engines.choose(settings(), only(engines.SPLEETER))
    assert chosen.engine == "spleeter"
    assert chosen.degraded == "demucs weights not available: 2 stems by spleeter"


@pytest.mark.parametrize(
    ("quality", "model"), [("draft", "htdemucs"), ("standard", "htdemucs"), ("high", "htdemucs_ft")]
)
def test_quality_chooses_the_model(quality: str, model: str, repository_of_names: Path) -> None:
    find = only("htdemucs", "htdemucs_ft", engines.SPLEETER, folder=repository_of_names)
    chosen = engines.choose(settings(quality=quality), find)
    assert (chosen.name, chosen.degraded) == (model, None)


def test_what_stands_in_is_named(repository_of_names: Path) -> None:
    find = only("htdemucs", engines.SPLEETER, folder=repository_of_names)
    chosen = engines.choose(settings(quality="high"), find)
    assert chosen.name == "htdemucs"
    assert chosen.degraded == "htdemucs_ft is not on this machine: separated by htdemucs"


@pytest.mark.parametrize(
    "asked", [{"engine": "demucs"}, {"model": "htdemucs"}, {"two_stems": "drums"}]
)
def test_what_was_asked_for_by_name_is_not_replaced(asked: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="MODEL_NOT_FOUND: htdemucs"):
        engines.choose(settings(**asked), only(engines.SPLEETER))


def test_it_is_said_why_spleeter_does_not_stand_in() -> None:
    with pytest.raises(ModelError, match="two_stems = drums: spleeter cannot stand in"):
        engines.choose(settings(two_stems="drums"), only(engines.SPLEETER))


def test_a_device_that_the_engine_has_no_way_to_use_is_refused_by_its_name() -> None:
    how = settings(engine="spleeter", device="cuda")
    with pytest.raises(DeviceError, match="device = cuda: the engine spleeter computes on cpu"):
        engines.ladder(engines.choose(how, only(engines.SPLEETER)), how)


def test_damaged_weights_are_named_and_the_next_model_does_it(tmp_path: Path) -> None:
    (tmp_path / "955717e8-00000000.th").write_bytes(b"no network")
    find = only("htdemucs", engines.SPLEETER, folder=tmp_path)
    chosen = engines.choose(settings(), find)
    assert chosen.engine == "spleeter"
    assert "955717e8-00000000.th: its SHA-256 begins with" in (chosen.degraded or "")


def test_a_model_of_another_asset_is_refused() -> None:
    with pytest.raises(ModelError, match="allowed: htdemucs"):
        engines.choose(settings(model="whisper-base"))


def test_a_repository_in_the_model_folder_is_found_by_name(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVP_MODELS", str(repository.parent))
    chosen = engines.choose(settings(model_repo=repository.name, model="small"))
    assert (chosen.engine, chosen.name, chosen.folder) == ("demucs", "small", repository)
    assert len(chosen.ref.sha256 or "") == 64


def test_a_model_is_loaded_once_for_many_files(repository: Path) -> None:
    how = settings(model_repo=str(repository), model="small", threads=1)
    chosen = engines.choose(how)
    ladder = engines.ladder(chosen, how)
    assert engines.load(chosen, how, ladder.step) is engines.load(chosen, how, ladder.step)


def test_a_device_that_is_not_here_is_a_clear_error(repository: Path) -> None:
    missing = next(kind for kind in ("cuda", "mps") if isinstance(find(kind), str))
    how = settings(model_repo=str(repository), model="small", device=missing)
    with pytest.raises(DeviceError, match=f"DEVICE_NOT_FOUND: device = {missing}: .* Found: cpu"):
        engines.ladder(engines.choose(how), how)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model_repo": "mine"}, "model must say which of its models to take"),
        ({"model_repo": "x", "model": "y", "engine": "spleeter"}, "for the engine demucs, not sp"),
        ({"overlap": 1.0}, "overlap"),
        ({"two_stems": "voice"}, "'vocals'"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings(**given)
