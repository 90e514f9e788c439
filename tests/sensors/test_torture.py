"""Real writers, Dagster's own loop, kill -9: no file is taken too early, lost, or taken twice."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.inbox import torture


def test_whatever_writers_and_kills_do_every_file_is_claimed_once_and_whole(tmp_path: Path) -> None:
    seen = torture(tmp_path, drops=60, seed=7, per_s=10, kill_every_s=4)
    assert seen.kills
    assert {"premature": seen.premature, "lost": seen.lost, "twice": seen.twice} == {
        "premature": [],
        "lost": [],
        "twice": [],
    }
