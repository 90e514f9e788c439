"""``avp models``: what a person, a pipe and a program get to see."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from av_pipelines.doctor import examine
from av_pipelines.makers import open_studio
from av_pipelines.models_command import models_app
from tests.resources.hub import Hub

WEIGHTS = b"not really Demucs " * 50_000
FILE = "955717e8.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder on a machine without caches."""
    monkeypatch.setenv("AVP_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf/hub"))
    monkeypatch.delenv("AVP_CONSENT", raising=False)
    return tmp_path / "models"


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({"adefossez/HTDemucs": {FILE: WEIGHTS}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def avp_models(*arguments: str) -> int:
    return models_app(list(arguments), result_action="return_value")


def avp_models_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = avp_models(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_the_list_says_what_there_is_and_where(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = avp_models_json(capsys, "list")
    rows = {row["name"]: row for row in said["models"]}
    assert code == 0
    assert rows["htdemucs"] == {
        "name": "htdemucs",
        "engine": "demucs",
        "purpose": "a song into vocals, drums, bass and the rest",
        "licence": "MIT",
        "origin": "adefossez/HTDemucs",
        "size_bytes": None,
        "memory_bytes": 1_100_000_000,
        "where": "not here",
        "path": None,
        "consent": False,
        "install": None,
    }
    assert avp_models("pull", "htdemucs", "--yes") == 0
    capsys.readouterr()
    (row,) = [r for r in avp_models_json(capsys, "list")[1]["models"] if r["name"] == "htdemucs"]
    assert (row["where"], row["consent"]) == ("folder", True)

    assert avp_models("list") == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.split("\t") == [
        "name",
        "engine",
        "licence",
        "size",
        "where",
        "memory",
        "purpose",
    ]
    assert any(line.startswith("whisper-base\tfaster-whisper\tMIT\t145 MB\t") for line in lines)


def test_a_pull_in_a_pipe_wants_consent_said(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert avp_models("pull", "htdemucs") == 2
    said = capsys.readouterr().err
    assert said.startswith("avp: CONSENT_REQUIRED: htdemucs may be downloaded from adefossez/HTD")
    assert "avp models pull htdemucs --yes" in said
    assert hub.requests == []

    assert avp_models("pull", "htdemucs", "--yes") == 0
    done = capsys.readouterr()
    assert done.out == f"htdemucs is downloaded and checked: {folder / 'htdemucs'}\n"
    assert done.err.splitlines()[-1] == "htdemucs 100 % of 1 MB"
    assert (folder / "htdemucs" / FILE).read_bytes() == WEIGHTS

    assert avp_models("pull", "htdemucs") == 0
    assert "is here already" in capsys.readouterr().out


def test_consent_given_once_holds(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avp_models("pull", "htdemucs", "--yes")
    (folder / "htdemucs" / FILE).unlink()
    (folder / "htdemucs/.origin.json").unlink()
    assert avp_models("pull", "htdemucs") == 0


def test_a_download_that_fails_is_named_and_what_came_is_kept(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.models import downloads

    monkeypatch.setattr(downloads, "WAIT_S", 0.01)
    hub.breaks = [200_000, 0, 0, 0]
    code, said = avp_models_json(capsys, "pull", "htdemucs", "--yes")
    assert code == 3
    assert said["error"]["code"] == "MODEL_DOWNLOAD_FAILED"
    assert "to go on: avp models pull htdemucs" in said["error"]["message"]
    rows = {row["name"]: row for row in avp_models_json(capsys, "list")[1]["models"]}
    assert rows["htdemucs"]["where"] == "partly here"


def test_a_person_is_shown_what_it_is_and_asked(hub: Hub, folder: Path) -> None:
    refused = on_a_terminal("n\n", "pull", "htdemucs")
    for said in ("adefossez/HTDemucs", "MIT", "1 MB", "a song into vocals", str(folder)):
        assert said in refused
    assert "CONSENT_REQUIRED" in refused
    assert hub.ranges() == []

    assert "downloaded and checked" in on_a_terminal("y\n", "pull", "htdemucs")
    assert (folder / "htdemucs" / FILE).read_bytes() == WEIGHTS


def test_the_path_is_for_scripts(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert avp_models("path", "htdemucs") == 2
    assert "Run: avp models pull htdemucs" in capsys.readouterr().err
    avp_models("pull", "htdemucs", "--yes")
    capsys.readouterr()
    assert avp_models("path", "htdemucs") == 0
    assert capsys.readouterr().out == f"{folder / 'htdemucs'}\n"
    assert avp_models("path", "nonesuch") == 2
    assert "there is no model 'nonesuch'; there are: whisper-tiny, " in capsys.readouterr().err


def test_verify_reads_again_and_finds_what_changed(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avp_models("pull", "htdemucs", "--yes")
    weights = folder / "htdemucs" / FILE
    capsys.readouterr()
    assert avp_models("verify", "htdemucs") == 0
    assert capsys.readouterr().out.startswith("ok   htdemucs: ")

    before = weights.stat()
    weights.write_bytes(WEIGHTS[:-1] + b"!")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # so that finding trusts it
    code, said = avp_models_json(capsys, "verify", "htdemucs")
    assert code == 3
    assert (said["models"][0]["ok"], FILE in said["models"][0]["said"]) == (False, True)
    assert avp_models("verify") == 3  # without a name: all that are here
    shutil.rmtree(folder)  # Whisper base too, if packages have it: 145 MB


def test_a_model_folder_that_cannot_be_written_is_named(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("a file")
    assert avp_models("pull", "htdemucs", "--yes") == 3
    said = capsys.readouterr().err
    assert f"the model folder {folder} cannot be written to" in said
    assert "Set AVP_MODELS" in said


def test_the_doctor_says_what_computes_and_which_models_are_here(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    avp_models("pull", "htdemucs", "--yes")
    said = {finding.name: finding for finding in examine(open_studio(tmp_path / "studio"))}
    assert said["device"].ok
    assert "CPU threads" in said["device"].said
    assert said["models"].ok
    assert "demucs: htdemucs;" in said["models"].said


def on_a_terminal(answer: str, *arguments: str) -> str:
    """Run the command on a terminal of its own; return all that it shows."""
    code = (
        "import sys; from av_pipelines.models_command import models_app; models_app(sys.argv[1:])"
    )
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | {"TERM": "dumb", "COLUMNS": "200"},
    )
    os.close(theirs)
    shown, answered, end = "", False, time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 4096).decode()
            except OSError:  # the other side is closed
                break
        if "[y/n]" in shown and not answered:
            os.write(ours, answer.encode())
            answered = True
    os.close(ours)
    child.wait(10)
    return shown
