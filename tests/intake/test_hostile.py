"""Spoilt media and bombs: each is taken, or is in quarantine with a reason, and nothing breaks.

Some of what ``python -m tests.benchmarks hostile`` does with 10,000.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from av_pipelines.intake.assets import INTAKE
from av_pipelines.intake.claim import register
from av_pipelines.maker import make
from av_pipelines.makers import open_studio
from partitions.keys import media_key
from tests.intake.mutations import bombs, mutant, seeds

SEED, MUTANTS = 20261121, 40
CAP_BYTES = 2**30
LIMITS = {"source": {"max_memory_bytes": CAP_BYTES, "max_duration_s": 600.0, "stall_s": 60.0}}
OK = ("made", "reused", "skipped", "quarantined")


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return bombs(tmp_path_factory.mktemp("bombs"))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    good = seeds(tmp_path_factory.mktemp("seeds"))
    return dict(mutant(good, number, SEED) for number in range(MUTANTS))


def take(root: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Drop files and take them; check what must hold of each; return how they ended."""
    studio = open_studio(root)
    studio.store.inbox.mkdir(parents=True)
    ends: dict[str, str] = {}
    for name, data in files.items():
        path = studio.store.inbox / name
        path.write_bytes(data)
        key = media_key(path)
        register(studio.store, path, key, recipe="auto", claim="move", sidecar={})
        told = {o.asset: o for o in make(studio, INTAKE, key, overrides=LIMITS)}
        assert set(told) == {"source", "audio", "picture"}
        for outcome in told.values():
            assert outcome.event in OK, (name, outcome.reason)
            assert outcome.artifact or outcome.reason
            assert outcome.cost.peak_rss_bytes < CAP_BYTES
        ends[name] = told["source"].event
        assert not path.exists()
        assert (studio.store.quarantine_dir / key / name).exists() == (ends[name] == "quarantined")
    assert list(studio.store.artifacts.glob(".staging/*")) == []
    return ends


def test_a_spoilt_file_is_taken_or_quarantined_with_a_reason(
    spoilt: dict[str, bytes], tmp_path: Path
) -> None:
    ends = take(tmp_path / "studio", spoilt)
    assert {"made", "quarantined"} <= set(ends.values())  # the chance is neither kind nor cruel


def test_a_bomb_takes_neither_time_nor_memory(evil: dict[str, bytes], tmp_path: Path) -> None:
    begin = time.process_time()
    ends = take(tmp_path / "studio", evil)
    assert time.process_time() - begin < 20
    assert ends["long.flac"] == ends["long.mka"] == "quarantined"  # longer than is allowed
    taken = {name for name, end in ends.items() if end != "quarantined"}
    assert taken <= {"many-streams.mkv", "many-channels.wav", "cover.mka", "tags.mka"}
