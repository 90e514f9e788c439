"""Progress as lines: enough to see that work goes on, and not more."""

from __future__ import annotations

import pytest

from av_pipelines.milestones import Milestones


def lines(seconds: float, *, steps: int = 1000) -> list[str]:
    """The lines of work that takes so long."""
    now = 0.0
    milestones = Milestones(lambda: now)
    said: list[str] = []
    for step in range(steps + 1):
        now = 7 + seconds * step / steps
        if line := milestones.line("song-1", "stems", step / steps):
            said.append(line)
    return said


def test_long_work_has_a_line_every_five_percent() -> None:
    said = lines(1000)
    assert len(said) == 20
    assert said[0] == "song-1: stems 5%, about 16 min left"
    assert said[-2] == "song-1: stems 95%, about 50 s left"


@pytest.mark.parametrize(("seconds", "most"), [(4, 0), (30, 5), (36_000, 20)])
def test_there_are_few_lines_however_long_it_takes(seconds: float, most: int) -> None:
    assert len(lines(seconds)) <= most


def test_other_work_begins_anew() -> None:
    now = 0.0
    milestones = Milestones(lambda: now)
    milestones.line("a", "stems", 0)
    now = 100.0
    assert milestones.line("a", "stems", 0.5) == "a: stems 50%, about 2 min left"
    assert milestones.line("b", "stems", 0.5) is None
    now = 110.0
    assert milestones.line("b", "stems", 0.6) == "b: stems 60%, about 7 s left"
