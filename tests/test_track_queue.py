"""Requests for tracks: found when they were made, one at a time, none lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mutagen.flac
import psutil
import pytest

from av_pipelines.cli import DONE, INCOMPLETE, USAGE
from av_pipelines.launch import open_instance
from av_pipelines.makers import open_studio
from av_pipelines.media.audio import probe_audio
from av_pipelines.track_queue import MOST, place_in_queue
from av_pipelines.tracks.errors import TrackError

ROOT = Path(__file__).resolve().parents[1]


def avp(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("AVP_STORE", "DAGSTER_HOME")}
    return subprocess.run(
        [sys.executable, "-m", "av_pipelines", *arguments, "--store", str(store)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def track(store: Path, prompt: str, *more: str) -> tuple[dict[str, Any], str]:
    result = avp(store, "track", prompt, "--seconds", "5", "--json", *more)
    assert result.returncode == DONE, result.stderr
    (made,) = json.loads(result.stdout)["tracks"]
    return made, result.stderr


def test_a_request_is_made_once_and_then_found_with_its_takes(tmp_path: Path) -> None:
    store = tmp_path / "studio"
    made, _ = track(store, "dark drone", "--seed", "7")
    assert made["state"] == "done"
    (first,) = made["artifacts"]
    path = Path(first["files"]["track.flac"])
    assert probe_audio(path).duration_s == 5.0
    again, _ = track(store, "dark drone", "--seed", "7")
    assert (again["key"], again["artifacts"][0]["reused"]) == (made["key"], True)

    both, _ = track(store, "dark drone", "--seed", "7", "--takes", "2")
    assert [a["facts"]["seed"] for a in both["artifacts"]] == [7, 8]
    listed = avp(store, "takes", made["key"], "--choose", "2", "--json")
    takes = json.loads(listed.stdout)["takes"]
    assert [(take["seed"], take["active"]) for take in takes] == [(7, False), (8, True)]
    current = open_studio(store).store.current(made["key"], "track")
    assert current
    assert current.version == takes[1]["version"]


def test_a_track_says_that_it_was_generated(tmp_path: Path) -> None:
    made, _ = track(tmp_path / "studio", "bells", "--seed", "1")
    (artifact,) = made["artifacts"]
    told = json.loads(Path(artifact["files"]["track.json"]).read_text())
    assert told["generated"] is True
    assert (told["digital_source_type"], told["seed"]) == ("algorithmicMedia", 1)
    assert told["track_id"] == artifact["version"]
    tags = mutagen.flac.FLAC(artifact["files"]["track.flac"])
    assert tags["DIGITALSOURCETYPE"][0].endswith("/algorithmicMedia")
    assert tags["SEED"] == ["1"]


def test_progress_comes_as_json_lines_and_is_whole_only_when_published(tmp_path: Path) -> None:
    made, said = track(tmp_path / "studio", "rain", "--progress-json")
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    percents = [line["percent"] for line in lines]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert max(percents[:-1]) <= 99
    assert len(percents) >= 5
    assert {line["key"] for line in lines} == {made["key"]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--seconds", "3"], USAGE, "INVALID_DURATION"),
        (["--set", "track.bpm=500"], USAGE, "INVALID_REQUEST"),
        (["--engine", "musicgen"], INCOMPLETE, "MODEL_NOT_FOUND"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setenv("AVP_MODELS", str(tmp_path / "models"))
    result = avp(tmp_path / "studio", "track", "rain", *arguments)
    assert result.returncode == code
    assert said in result.stderr
    assert not (tmp_path / "studio" / "library").exists()


def test_the_eleventh_at_once_is_refused_and_a_place_becomes_free_again(tmp_path: Path) -> None:
    studio = open_studio(tmp_path / "studio")
    with open_instance(studio) as instance:
        with contextlib.ExitStack() as waiting:
            for _ in range(MOST):
                waiting.enter_context(place_in_queue(instance, studio.store))
            with (
                pytest.raises(TrackError, match="QUEUE_FULL"),
                place_in_queue(instance, studio.store),
            ):
                pass
        with place_in_queue(instance, studio.store):
            pass


# ---------------------------------------------------------------------- the queue of `avp up`


def wait_for(what: Callable[[], Any], patience_s: float) -> None:
    end = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < end, f"not within {patience_s:g} s"
        time.sleep(0.3)


@contextlib.contextmanager
def up(store: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running ``avp up``; whatever is left of it in the end is killed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("AVP_STORE", "DAGSTER_HOME")}
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "av_pipelines", "up", "--store", str(store), "--port", port()],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=said,
        )
    try:
        yield process
    finally:
        kill(process)


def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def kill(process: subprocess.Popen[bytes]) -> None:
    """``kill -9`` of it and of everything that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        mine = psutil.Process(process.pid)
        for each in [mine, *mine.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_prompts_survive_a_killed_daemon_and_high_priority_goes_first(tmp_path: Path) -> None:
    store, log = tmp_path / "studio", tmp_path / "log"
    inbox = store / "inbox" / "prompts"
    inbox.mkdir(parents=True)
    for number in range(10):
        high = number >= 7
        (inbox / f"{number}.prompt.toml").write_text(
            f'prompt = "piece {number}"\nseed = {number}\nduration_s = 5\n'
            f'priority = "{"high" if high else "normal"}"\n'
        )

    def made() -> list[Path]:
        return sorted(store.glob("library/*/track"), key=lambda link: link.lstat().st_mtime_ns)

    with up(store, log):
        wait_for(lambda: len(made()) >= 3, 300)
    early = [link.parent.name for link in made()]
    with up(store, log):
        wait_for(lambda: len(made()) == 10, 400)
        wait_for(lambda: not list(inbox.iterdir()), 60)
    keys = [link.parent.name for link in made()]
    assert len(set(keys)) == 10
    high = [key for key in keys if key.startswith(("piece-7", "piece-8", "piece-9"))]
    assert keys[:3] == high, keys
    assert set(early) <= set(keys)
    assert len(list(store.glob("artifacts/track/*"))) == 10  # nothing was made twice
    for link in made():
        assert (link / "track.flac").is_file()
