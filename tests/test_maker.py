"""The wrapper: what every asset may rely on, shown on two toy makers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from av_pipelines.maker import (
    Check,
    Checked,
    Job,
    Made,
    Maker,
    Outcome,
    Product,
    Studio,
    make,
    observed,
)
from av_pipelines.settings import Settings
from resources.accelerator import DeviceError
from resources.manifest import PromptRecord
from resources.store import Store
from tests.conftest import Toys, drop

pytestmark = pytest.mark.usefixtures("toy_auto_recipe")


def make_both(studio: Studio, toys: Toys, key: str, **settings: object) -> list[Outcome]:
    overrides = {"shout": settings} if settings else {}
    return [
        *make(studio, toys.source, key, overrides=overrides),
        *make(studio, toys.shout, key, overrides=overrides),
    ]


def events(outcomes: list[Outcome]) -> list[str]:
    return [outcome.event for outcome in outcomes]


def ledger_rows(studio: Studio) -> list[dict]:
    return [row for path in studio.ledger.files() for row in pq.read_table(path).to_pylist()]


def staging_left(store: Store) -> list[Path]:
    return list((store.artifacts / ".staging").glob("*"))


def test_an_artifact_is_published_with_its_manifest_link_and_ledger_row(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    assert events(make_both(studio, toys, key)) == ["made", "made"]
    link = studio.store.library / key / "shout"
    assert (link / "shout.txt").read_text() == "HELLO!"
    manifest = json.loads((link / "manifest.json").read_text())
    assert manifest["inputs"][0]["asset"] == "source"
    assert manifest["files"][0]["name"] == "shout.txt"
    row = ledger_rows(studio)[-1]
    assert (row["event"], row["asset"], row["partition"]) == ("made", "shout", key)
    assert row["usd"] is None  # nobody said what an hour costs
    assert row["cpu_s"] > 0
    assert staging_left(studio.store) == []


def test_the_same_again_makes_nothing(studio: Studio, toys: Toys, tmp_path: Path) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, key)
    calls = list(toys.made)
    assert events(make_both(studio, toys, key)) == ["reused", "reused"]
    assert toys.made == calls


def test_a_renamed_copy_is_another_media_with_the_same_artifacts(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    first = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, first)
    second = drop(studio, tmp_path / "in" / "b.txt", "hello")
    assert second != first
    assert events(make_both(studio, toys, second)) == ["reused", "reused"]


def test_a_changed_setting_remakes_only_what_it_sets(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, key)
    assert events(make_both(studio, toys, key, ending="?")) == ["reused", "made"]
    assert (studio.store.library / key / "shout" / "shout.txt").read_text() == "HELLO?"
    assert len(list((studio.store.artifacts / "shout").iterdir())) == 2  # the old one stays


def test_a_setting_that_cannot_change_the_result_remakes_nothing(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, key)
    assert events(make_both(studio, toys, key, threads=8)) == ["reused", "reused"]


def test_new_code_remakes_its_asset(studio: Studio, toys: Toys, tmp_path: Path) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, key)
    toys.shout = toys.shouting("2")
    assert events(make_both(studio, toys, key)) == ["reused", "made"]


def test_other_bytes_at_the_same_place_are_a_new_version(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, key)
    assert drop(studio, tmp_path / "in" / "a.txt", "goodbye") == key
    assert events(make_both(studio, toys, key)) == ["made", "made"]
    assert (studio.store.library / key / "shout" / "shout.txt").read_text() == "GOODBYE!"


def test_a_failure_is_told_and_leaves_nothing_half_done(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "boom")
    outcomes = make_both(studio, toys, key)
    assert events(outcomes) == ["made", "failed"]
    assert outcomes[1].reason == "it went boom"
    assert not outcomes[1].retryable
    assert ledger_rows(studio)[-1]["reason"] == "it went boom"
    assert studio.store.current(key, "shout") is None
    assert staging_left(studio.store) == []


def test_what_a_user_can_mend_is_said_without_a_traceback(
    studio: Studio,
    toys: Toys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")

    write = Path.write_text

    def no_gpu(path: Path, text: str) -> int:
        if path.name == "shout.txt":
            raise DeviceError("device = cuda: there is none")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", no_gpu)
    failed = make_both(studio, toys, key)[-1]
    assert failed.reason == "DEVICE_NOT_FOUND: device = cuda: there is none"
    assert caplog.records == []


def test_what_does_not_apply_is_skipped_and_an_older_result_forgotten(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make_both(studio, toys, key)
    drop(studio, tmp_path / "in" / "a.txt", "mute")
    assert events(make_both(studio, toys, key)) == ["made", "skipped"]
    assert studio.store.current(key, "shout") is None


def test_a_refused_file_goes_to_quarantine_and_is_not_tried_again_until_it_changes(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    dropped = studio.store.inbox / "a.txt"
    key = drop(studio, dropped, "poison", claim="move")
    assert events(make(studio, toys.source, key)) == ["quarantined"]
    refusal = studio.store.quarantined(key)
    assert refusal is not None
    assert (refusal.reason, refusal.kept) == ("the file is poisoned", ("a.txt",))
    assert not dropped.exists()
    kept = studio.store.quarantine_dir / key / "a.txt"
    assert kept.read_text() == "poison"
    assert refusal.command == f"cat {kept}"

    copied = tmp_path / "in" / "b.txt"
    key = drop(studio, copied, "poison")
    make(studio, toys.source, key)
    calls = list(toys.made)
    assert events(make(studio, toys.source, key)) == ["quarantined"]
    assert toys.made == calls  # known: not opened again
    assert copied.exists()  # only what was dropped in the inbox is taken away

    drop(studio, copied, "healthy")
    assert events(make(studio, toys.source, key)) == ["made"]
    assert studio.store.quarantined(key) is None
    assert not (studio.store.quarantine_dir / key).exists()

    key = drop(studio, dropped, "healthy", claim="move")
    assert events(make(studio, toys.source, key)) == ["reused"]
    assert studio.store.quarantined(key) is None
    assert kept.with_name("resolved.json").exists()  # says what the file beside it was


def test_a_moved_file_leaves_the_inbox_only_when_it_is_published(
    studio: Studio, toys: Toys
) -> None:
    dropped = studio.store.inbox / "podcast" / "a.txt"
    key = drop(studio, dropped, "hello", claim="move")
    make_both(studio, toys, key)
    assert not dropped.exists()
    assert (studio.store.library / key / "source" / "a.txt").read_text() == "hello"
    assert events(make_both(studio, toys, key)) == ["reused", "reused"]  # also without the file


def test_an_asset_is_not_made_from_an_input_that_is_out_of_date(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    assert make(studio, toys.shout, key)[0].reason == "it has no source"


def test_an_optional_input_is_used_when_it_is_there_and_wanted(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    """As songs use the vocals: without stems there is still a transcript, later a better one."""
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")

    def echo(loud: bool) -> list[str]:
        told = make(studio, toys.echo, key, overrides={"echo": {"loud": loud}})
        text = (studio.store.library / key / "echo" / "echo.txt").read_text()
        return [*events(told), text]

    make(studio, toys.source, key)
    assert echo(loud=True) == ["made", "hello"]
    make(studio, toys.shout, key)
    assert echo(loud=True) == ["made", "HELLO!"]
    assert echo(loud=True) == ["reused", "HELLO!"]
    assert echo(loud=False) == ["made", "hello"]  # the setting is another one


def test_settings_come_from_defaults_recipe_sidecar_and_run_in_that_order(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    recipe = studio.store.root / "recipes" / "loud.toml"
    recipe.write_text('[shout]\nending = "!!"\n')
    path = tmp_path / "in" / "a.txt"

    def shout(overrides: dict | None = None, **how: object) -> str:
        key = drop(studio, path, "hello", **how)
        make(studio, toys.source, key)
        (outcome,) = make(studio, toys.shout, key, overrides=overrides or {})
        assert outcome.artifact
        return outcome.artifact.file("shout.txt").read_text()

    sidecar = {"shout": {"ending": "!!!"}}
    assert shout() == "HELLO!"
    assert shout(recipe="loud") == "HELLO!!"
    assert shout(recipe="loud", sidecar=sidecar) == "HELLO!!!"
    assert shout({"shout": {"ending": "?"}}, recipe="loud", sidecar=sidecar) == "HELLO?"


def test_a_wrong_setting_names_where_what_and_what_is_allowed(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    key = drop(studio, tmp_path / "in" / "a.txt", "hello", sidecar={"shout": {"endin": "?"}})
    make(studio, toys.source, key)
    (outcome,) = make(studio, toys.shout, key)
    assert outcome.event == "failed"
    assert outcome.reason == (
        f"sidecar of {tmp_path / 'in' / 'a.txt'}: unknown setting shout.endin; "
        f"allowed: ending, threads"
    )


def test_progress_and_outcomes_reach_an_observer(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    heard: list[tuple] = []

    class Listener:
        def progress(self, key: str, asset: str, share: float, tokens: object = None) -> None:
            heard.append((asset, share))

        def outcome(self, outcome: Outcome) -> None:
            heard.append((outcome.asset, outcome.event))

    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    with observed(Listener()):
        make_both(studio, toys, key)
    assert heard == [("source", "made"), ("shout", 0.5), ("shout", "made")]


def test_wrong_prices_stop_no_work(
    studio: Studio, toys: Toys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (studio.store.root / "rates.toml").write_text("[cpu]\nusd_per_hour = 1\n")
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    (outcome,) = make(studio, toys.source, key)
    assert (outcome.event, outcome.cost.usd) == ("made", None)
    assert "rates.toml: unknown ['cpu']; allowed: as_of and [machine]" in caplog.text


def test_work_is_priced_when_there_is_a_price(studio: Studio, toys: Toys, tmp_path: Path) -> None:
    (studio.store.root / "rates.toml").write_text("[machine]\ncpu_hour_usd = 3600.0\n")
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    cost = make(studio, toys.source, key)[0].cost
    assert cost.usd == pytest.approx(cost.cpu_s)


def test_nothing_is_made_from_what_failed_a_blocking_check(
    studio: Studio, toys: Toys, tmp_path: Path
) -> None:
    def wrong(checked: Checked) -> str | None:
        return "too loud" if checked.settings["ending"] == "!!!" else None

    shout = replace(toys.shout.products[0], checks=(Check("volume", "", wrong, blocking=True),))
    checked = replace(toys.shout, products=(shout,))
    echo = replace(toys.echo.products[0], inputs=("shout",), optional_inputs={})
    key = drop(studio, tmp_path / "in" / "a.txt", "hello")
    make(studio, toys.source, key)
    (loud,) = make(studio, checked, key, overrides={"shout": {"ending": "!!!"}})
    assert loud.event == "made"
    assert loud.artifact
    assert loud.artifact.manifest.checks == {"volume": "too loud"}
    (stopped,) = make(studio, replace(toys.echo, products=(echo,)), key)
    assert (stopped.event, stopped.reason) == (
        "skipped",
        "its shout did not pass a check: too loud",
    )


class RollSettings(Settings):
    """Settings of a toy with takes."""

    seed: int = 0
    takes: int = 1
    neutral = frozenset({"takes"})


def rolling(code_version: str = "1") -> Maker:
    def roll(job: Job) -> dict[str, Made]:
        (job.out["roll"] / "roll.txt").write_text(f"{job.settings['roll'].seed} {code_version}")
        return {"roll": Made({"seed": job.settings["roll"].seed})}

    return Maker(
        name="roll",
        products=(Product("roll", "a throw", "generated", RollSettings, code_version),),
        make=roll,
        partitions="prompts",
        takes=lambda s: [{"seed": s.seed + n} for n in range(1, s.takes)],
    )


def test_takes_stand_beside_each_other_and_the_chosen_one_stays(studio: Studio) -> None:
    key = "dice-0123456789"
    studio.store.save(PromptRecord(key=key, origin="a test", sidecar={"roll": {"seed": 5}}))
    three = make(studio, rolling(), key, overrides={"roll": {"takes": 3}})
    assert events(three) == ["made"] * 3
    takes = studio.store.takes(key, "roll")
    assert [take.manifest.facts["seed"] for take in takes.values()] == [5, 6, 7]
    assert current_seed(studio, key) == 5
    studio.store.link(key, takes[3])
    assert events(make(studio, rolling(), key, overrides={"roll": {"takes": 3}})) == ["reused"] * 3
    assert current_seed(studio, key) == 7


def test_a_take_made_by_newer_code_replaces_only_itself(studio: Studio) -> None:
    key = "dice-0123456789"
    studio.store.save(PromptRecord(key=key, origin="a test", sidecar={"roll": {"seed": 5}}))
    make(studio, rolling(), key, overrides={"roll": {"takes": 2}})
    make(studio, rolling("2"), key)
    current = studio.store.current(key, "roll")
    assert current
    assert (current.manifest.settings["seed"], current.manifest.code_version) == (5, "2")
    assert len(studio.store.takes(key, "roll")) == 3  # the older one is still there


def current_seed(studio: Studio, key: str) -> int:
    current = studio.store.current(key, "roll")
    assert current
    return current.manifest.facts["seed"]
