"""``avp track``: what it says when a prompt is not what it seems, or is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from av_pipelines.cli import run_app


def test_a_prompt_without_quotes_is_told_how_to_write_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["slow", "dark", "drone", "--seconds", "12"]
    assert run_app(["track", *words, "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == 'avp: put the prompt in quotes: avp track "slow dark drone"\n'
    assert list(tmp_path.iterdir()) == []


def test_that_there_was_no_prompt_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["track", "--seconds", "5", "--seed", "3", "--engine", "procedural"]
    assert run_app([*call, "--store", str(tmp_path)]) == 0
    note = "there is no prompt: what the settings leave open was drawn by the seed"
    assert note in capsys.readouterr().out
