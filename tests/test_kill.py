"""``kill -9`` at any moment: nothing half-made is visible, and the next run finishes the job."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from av_pipelines.demo import CLIP
from av_pipelines.media.audio import AudioWriter, read_blocks
from resources.manifest import Manifest
from resources.store import describe_files

ROOT = Path(__file__).resolve().parents[1]
KILLS = 20
SEED = 20261121
PATIENCE_S = 300.0


def command(store: Path, files: list[Path]) -> list[str]:
    # `draft` and one format: the moments of interest are those between the steps
    return [
        sys.executable, "-m", "av_pipelines", "run", *map(str, files), "--store", str(store),
        "--recipe", "podcast",
        "--json", "--set", "transcript.quality=draft", "--set", "master.formats=['flac']",
    ]  # fmt: skip


def start(store: Path, files: list[Path]) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("AVP_STORE", "DAGSTER_HOME")}
    return subprocess.Popen(
        command(store, files),
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def make_clips(folder: Path, count: int) -> list[Path]:
    speech = np.concatenate(list(read_blocks(ROOT / "av_pipelines" / "demo" / CLIP)), axis=1)
    clips = []
    for number in range(count):
        path = folder / f"clip{number:02}.flac"
        with AudioWriter(path, "flac", 48_000, "mono", bit_depth=16) as writer:
            writer.write(speech[:, number * 9_000 : number * 9_000 + 60_000])
        clips.append(path)
    return clips


def check_whole(store: Path) -> int:
    """Every artifact that can be seen is complete, to the byte; return how many there are."""
    seen = 0
    for folder in store.glob("artifacts/[!.]*/*"):
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        assert describe_files(folder) == manifest.files, folder
        seen += 1
    for link in store.glob("library/*/*"):
        if link.is_symlink():
            assert (link / "manifest.json").is_file(), link
    return seen


@pytest.mark.timeout(900)  # twenty runs, on a machine that may be busy
def test_a_killed_run_leaves_nothing_half_made_and_the_next_one_finishes(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    store, clips = tmp_path / "studio", make_clips(tmp_path, KILLS)
    first = start(store, clips[:1])
    began = time.monotonic()
    assert first.wait(PATIENCE_S) == 0
    whole = time.monotonic() - began

    interrupted = 0
    children: list[psutil.Process] = []
    for number, clip in enumerate(clips[1:] + clips[:1]):
        process = start(store, [clip, clips[0]])
        time.sleep(chance.uniform(0.3, 1.0) * whole)
        if process.poll() is None:
            children += psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            interrupted += 1
        process.communicate(timeout=PATIENCE_S)
        check_whole(store)
        assert number + 1 <= KILLS
    assert interrupted >= KILLS * 3 // 4  # the schedule really hits running work

    last = start(store, clips)
    answer = json.loads(last.communicate(timeout=PATIENCE_S)[0])
    assert last.returncode == 0
    assert [media["state"] for media in answer["media"]] == ["done"] * KILLS
    assert check_whole(store) >= 4 * KILLS
    assert list(store.glob("artifacts/.staging/*")) == []  # what the dead left was swept
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
