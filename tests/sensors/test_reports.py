"""Every night the ledger is merged and the pages are written, without anybody asking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from av_pipelines.definitions import defs
from av_pipelines.makers import open_studio
from resources.ledger import Entry


def test_a_night_merges_the_ledger_and_writes_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVP_STORE", str(tmp_path / "studio"))
    studio = open_studio()
    for number in range(3):
        studio.ledger.append(Entry(event="failed", asset="audio", partition=f"{number}-0123456789"))
    schedule = defs.resolve_schedule_def("reports")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    with dg.instance_for_test() as instance:
        night = datetime(2026, 3, 1, 4, 45, tzinfo=UTC)
        context = dg.build_schedule_context(instance, scheduled_execution_time=night)
        assert schedule.evaluate_tick(context).run_requests
        job = defs.resolve_job_def(schedule.job_name)
        resources = {"resources": {"studio": {"config": {"store": str(studio.store.root)}}}}
        assert job.execute_in_process(instance=instance, run_config=resources).success
    assert (studio.store.reports / "catalog.duckdb").is_file()
    assert "<html" in (studio.store.reports / "report.html").read_text()


def test_the_ui_is_told_when_two_nights_went_without() -> None:
    for asset in ("catalog", "report"):
        (spec,) = [s for s in defs.resolve_all_asset_specs() if s.key == dg.AssetKey(asset)]
        policy = spec.freshness_policy
        assert isinstance(policy, TimeWindowFreshnessPolicy)
        assert policy.fail_window.to_timedelta() == timedelta(hours=50)
