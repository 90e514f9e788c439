"""By night, what is out of date is asked for as far as the budget goes; the next night goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from av_pipelines.maker import Studio
from av_pipelines.makers import PRODUCTS, SETTINGS
from av_pipelines.settings import Recipes, SettingsError
from partitions.media import media_partitions
from resources.ledger import Entry, Ledger
from resources.manifest import Manifest, MediaRecord
from resources.metering import Cost
from resources.store import Store
from sensors.reprocessing import Plan, read_plan, reprocessing_schedule

HOUR = 3600.0


def studio_with(root: Path, names: list[str], code_version: str) -> Studio:
    """A studio in which each audio took an hour, by some version of the code."""
    store = Store(root)
    studio = Studio(store, Ledger(store.ledger_dir), Recipes(root / "recipes", SETTINGS))
    (root / "recipes").mkdir(parents=True, exist_ok=True)
    (root / "recipes" / "sound.toml").write_text('assets = ["audio"]\n')
    for name in names:
        store.save(
            MediaRecord(
                key=name,
                origin=f"/{name}",
                recipe="sound",
                claim="copy",
                size=1,
                mtime_ns=1,
                inode=1,
            )
        )
        make_audio(studio, name, code_version)
    return studio


def make_audio(studio: Studio, name: str, code_version: str) -> None:
    for asset, code in (("source", PRODUCTS["source"].code_version), ("audio", code_version)):
        manifest = Manifest(
            asset=asset,
            partition=name,
            version=f"{asset}-{name}-{code}",
            created=datetime.now(UTC),
            code_version=code,
            settings=PRODUCTS[asset].settings().model_dump(mode="json"),
            facts={"duration_s": 60.0},
        )
        studio.ledger.append(
            Entry(
                event="made",
                asset=asset,
                partition=name,
                manifest=manifest,
                cost=Cost(wall_s=HOUR, cpu_s=HOUR),
                recipe="sound",
            )
        )


def tick(studio: Studio, instance: dg.DagsterInstance, plan: Plan, night: int) -> list[str]:
    """The keys that one night asks for."""
    schedule = reprocessing_schedule(dg.define_asset_job("media"), plan, lambda: studio)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime(2030, 1, night, 1, tzinfo=UTC)
    )
    given = schedule(context)
    if isinstance(given, dg.SkipReason):
        return []
    known = list(instance.get_dynamic_partitions(str(media_partitions.name)))
    keys: list[str] = []
    for request in cast("list[dg.RunRequest]", given):
        tags = request.tags
        assert int(tags["dagster/priority"]) < 0
        first = tags.get("dagster/asset_partition_range_start") or tags["dagster/partition"]
        last = tags.get("dagster/asset_partition_range_end") or tags["dagster/partition"]
        keys += known[known.index(first) : known.index(last) + 1]
    return keys


def test_a_budget_for_three_of_ten_launches_three_and_the_next_night_goes_on(
    tmp_path: Path,
) -> None:
    names = [f"talk-{number:010}" for number in range(10)]
    studio = studio_with(tmp_path / "studio", names, "old")
    now = PRODUCTS["audio"].code_version
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(media_partitions.name), names)
        first = tick(studio, instance, Plan(hours=3.5), 1)
        assert first == names[:3]
        for name in first:
            make_audio(studio, name, now)
        assert tick(studio, instance, Plan(hours=None), 2) == names[3:]
        for name in names[3:]:
            make_audio(studio, name, now)
        assert tick(studio, instance, Plan(), 3) == []


def test_a_plan_in_the_store_switches_it_on(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    (tmp_path / "reprocess.toml").write_text('cron = "30 2 * * 1-5"\ntime_zone = "Europe/Berlin"\n')
    plan = read_plan(tmp_path)
    schedule = reprocessing_schedule(dg.define_asset_job("media"), plan)
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == (
        "30 2 * * 1-5",
        "Europe/Berlin",
    )


@pytest.mark.parametrize("text", ["hours = -1", 'time_zone = "Mars"', "colour = 1", "cron ="])
def test_a_wrong_plan_names_the_file_and_the_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "reprocess.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"reprocess\.toml"):
        read_plan(tmp_path)
