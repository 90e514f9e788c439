"""Which model takes a file: the best that is here, and the result says when it is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from av_pipelines.transcripts.engines import (
    BY_QUALITY,
    MODEL_NAMES,
    ON_GPU,
    FindModel,
    choose,
    load_engine,
)
from av_pipelines.transcripts.settings import ENGINES, TranscriptSettings
from resources.models import Model, ModelError, registry


def machine_with(*here: str, broken: str = "") -> FindModel:
    def find(name: str) -> Model:
        if name == broken:
            raise ModelError("MODEL_LOAD_FAILED", f"{name} is not complete")
        if name not in here:
            raise ModelError("MODEL_NOT_FOUND", f"{name} is not on this machine")
        return Model(name, "faster-whisper", Path("/models") / name, "0" * 64, "MIT")

    return find


@pytest.mark.parametrize(
    ("values", "here", "taken"),
    [
        ({"quality": "draft"}, ["whisper-tiny", "whisper-base"], "whisper-tiny"),
        ({"quality": "standard"}, ["whisper-tiny", "whisper-small"], "whisper-small"),
        ({"quality": "high"}, ["whisper-base", "whisper-large-v3-turbo"], "whisper-large-v3-turbo"),
        ({"quality": "high", "task": "translate"}, ["whisper-large-v3-turbo", "whisper-base"],
         "whisper-base"),
        ({"language": "en"}, ["whisper-tiny.en"], "whisper-tiny.en"),
        ({"language": "yue"}, ["whisper-base", "whisper-large-v3"], "whisper-large-v3"),
        ({"model": "whisper-tiny.en"}, ["whisper-tiny.en", "whisper-base"], "whisper-tiny.en"),
    ],
)  # fmt: skip
def test_the_best_model_here_that_can_do_it_is_taken(
    values: dict[str, str], here: list[str], taken: str
) -> None:
    settings = TranscriptSettings.model_validate(values)
    assert choose(settings, machine_with(*here)).model.name == taken


def test_the_model_that_was_meant_is_no_loss() -> None:
    assert choose(TranscriptSettings(), machine_with("whisper-small")).degraded is None


def test_another_model_than_was_meant_is_told() -> None:
    choice = choose(TranscriptSettings(), machine_with("whisper-base"))
    assert choice.degraded == "whisper-small is not on this machine: transcribed by whisper-base"


def test_a_damaged_model_does_not_stop_the_work_and_is_told() -> None:
    find = machine_with("whisper-base", broken="whisper-small")
    choice = choose(TranscriptSettings(), find)
    assert choice.degraded == "whisper-small is not complete: transcribed by whisper-base"


def test_a_model_asked_for_by_name_has_no_stand_in() -> None:
    with pytest.raises(ModelError, match="whisper-small is not on this machine"):
        choose(TranscriptSettings(model="whisper-small"), machine_with("whisper-base"))


def test_with_an_english_model_alone_an_unknown_language_is_refused() -> None:
    with pytest.raises(ModelError, match=r"none of the models.*pip install") as caught:
        choose(TranscriptSettings(), machine_with("whisper-tiny.en"))
    assert caught.value.code == "MODEL_NOT_FOUND"


def test_when_all_that_is_here_is_damaged_that_is_said() -> None:
    with pytest.raises(ModelError, match="whisper-base is not complete") as caught:
        choose(TranscriptSettings(), machine_with(broken="whisper-base"))
    assert caught.value.code == "MODEL_LOAD_FAILED"


@pytest.mark.parametrize("sizes", [*BY_QUALITY.values(), *ON_GPU.values()])
def test_every_quality_can_fall_back_on_every_model_of_the_room(sizes: tuple[str, ...]) -> None:
    speech = {name for name, entry in registry().items() if entry.engine in ENGINES}
    assert speech <= {prefix + size for prefix in MODEL_NAMES.values() for size in sizes}
    assert set(MODEL_NAMES) == set(ENGINES)


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_text("nonsense")
    model = Model("whisper-base", "faster-whisper", tmp_path, "0" * 64, "MIT")

    with pytest.raises(ModelError, match=f"whisper-base in {tmp_path} cannot be loaded") as caught:
        load_engine(model, TranscriptSettings())
    assert caught.value.code == "MODEL_LOAD_FAILED"
