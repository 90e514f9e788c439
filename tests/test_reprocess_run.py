"""``avp reprocess`` as a user types it: what a changed recipe makes out of date is made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from av_pipelines.cli import run_app
from tests.intake.conftest import Make

RECIPE = 'assets = ["audio", "master"]\n[master]\nformats = ["flac"]\ntarget_lufs = {}\n'
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AVP_STORE", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


class Show:
    """A store with a recipe of its own, and clips that went through it."""

    def __init__(self, folder: Path, capsys: Capture, lengths: list[float]) -> None:
        self.capsys = capsys
        self.store = folder / "studio"
        self.recipe = self.store / "recipes" / "show.toml"
        self.recipe.parent.mkdir(parents=True)
        self.level(-20)
        make = Make(folder)
        chance = np.random.default_rng(9)
        clips = []
        for number, seconds in enumerate(lengths):
            noise = chance.integers(-4000, 4000, (2, round(seconds * 44_100)))
            sound = (make.tone(seconds, 44_100, 2, hz=110 * (number + 1)) / 2 + noise).astype("i2")
            clips.append(make.wav(f"clip{number:02}.wav", sound, rate=44_100))
        told = self.avp("run", *clips, "--recipe", "show")["media"]
        assert [media["state"] for media in told] == ["done"] * len(clips)
        self.keys = sorted(media["key"] for media in told)

    def avp(self, *arguments: object) -> dict[str, Any]:
        self.capsys.readouterr()
        code = run_app([*map(str, arguments), "--store", str(self.store), "--json"])
        said = self.capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)  # exactly one JSON object

    def level(self, lufs: float) -> None:
        self.recipe.write_text(RECIPE.format(float(lufs)))

    def stale(self) -> list[dict[str, Any]]:
        return self.ask()["stale"]

    def ask(self) -> dict[str, Any]:
        return self.avp("reprocess", "--dry-run")

    def reprocess(self) -> list[dict[str, Any]]:
        return self.avp("reprocess")["media"]


def test_a_changed_preset_remakes_exactly_what_it_decides(tmp_path: Path, capsys: Capture) -> None:
    show = Show(tmp_path, capsys, [2.0, 3.0])
    assert show.stale() == []
    assert show.reprocess() == []
    show.level(-18)
    stale = show.stale()
    assert [(item["key"], item["asset"], item["reasons"]) for item in stale] == [
        (key, "master", ["settings"]) for key in show.keys
    ]
    assert "target_lufs -20.0 → -18.0" in stale[0]["said"]
    assert all(item["cost"]["cpu_s"] > 0 for item in stale)
    remade = show.reprocess()
    made = [(m["key"], a["asset"], a["reused"]) for m in remade for a in m["artifacts"]]
    assert made == [(key, "master", False) for key in show.keys]
    for media in remade:
        facts = media["artifacts"][0]["facts"]
        assert facts["integrated_lufs"] == pytest.approx(-18, abs=0.1)
    assert show.stale() == []
    show.level(-20)  # back again: it is there already
    again = [a["reused"] for m in show.reprocess() for a in m["artifacts"]]
    assert again == [True, True]


def test_what_an_earlier_recipe_asked_for_is_kept_up_to_date_by_that_recipe(
    tmp_path: Path, capsys: Capture
) -> None:
    show = Show(tmp_path, capsys, [2.0])
    (show.store / "recipes" / "look_only.toml").write_text('assets = ["audio"]\n')
    show.avp("run", tmp_path / "clip00.wav", "--recipe", "look_only")
    assert show.stale() == []
    show.level(-18)
    assert [(item["asset"], item["reasons"]) for item in show.stale()] == [("master", ["settings"])]
    (remade,) = show.reprocess()
    assert remade["artifacts"][0]["facts"]["integrated_lufs"] == pytest.approx(-18, abs=0.1)
    show.recipe.unlink()  # nobody says any more how: the defaults hold
    assert [item["asset"] for item in show.stale()] == ["master"]


@pytest.mark.slow
def test_what_was_predicted_is_near_what_it_took(tmp_path: Path, capsys: Capture) -> None:
    """Over twenty media of 2 to 40 s."""
    show = Show(tmp_path, capsys, [2.0 + 2 * number for number in range(20)])
    show.level(-18)
    asked = show.ask()
    with capsys.disabled():
        print("past error:", asked["past_error"])
    predicted = {item["key"]: item["cost"]["cpu_s"] for item in asked["stale"]}
    took = {m["key"]: m["artifacts"][0]["cost"]["cpu_s"] for m in show.reprocess()}
    wrong = sorted(abs(predicted[key] / took[key] - 1) for key in took)
    total = sum(predicted.values()) / sum(took.values())
    with capsys.disabled():
        print(f"predicted for all: {total:.2f} of what it took; median error {wrong[10]:.0%}")
    assert len(took) == 20
    assert 0.5 < total < 2
    assert wrong[10] < 0.5
