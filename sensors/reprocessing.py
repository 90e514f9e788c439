"""The nightly schedule: what is out of date is made again, as far as the budget goes.

Here: when, how much, and the runs that are asked for. Not here: what is out of date and its price
(``av_pipelines.reprocess``).

``<store>/reprocess.toml`` says when and how much, and its being there switches the schedule on. A
night that ends before all is made leaves the rest out of date: the next night finds it and goes on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from av_pipelines.dagster_assets import BATCH, QUIET, run_config
from av_pipelines.launch import groups_of, unfinished
from av_pipelines.maker import Maker, Studio
from av_pipelines.makers import makers_of, open_studio
from av_pipelines.reprocess import Budget, Stale, affordable, out_of_date
from av_pipelines.settings import SettingsError
from partitions.media import contiguous_ranges, media_partitions, range_tags

NAME = "reprocessing"
FILE = "reprocess.toml"
_TAG = "avp/reprocess"


class Plan(BaseModel):
    """What ``reprocess.toml`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    cron: str = "0 1 * * *"
    """When a night begins: minute, hour, day, month, weekday."""
    time_zone: str = "UTC"
    """Of ``cron``, such as Europe/Berlin."""
    hours: float | None = Field(default=4.0, gt=0, le=168)
    """Wall time that a night's work is predicted to take at most, on one run slot; none: no
    bound."""
    usd: float | None = Field(default=None, gt=0)
    """What a night's work is predicted to cost at most; none: no bound."""
    priority: int = Field(default=-10, ge=-100, le=100)
    """Of its runs; what is dropped in the inbox has 0 and goes first."""
    assets: tuple[str, ...] = ()
    """Only these; none: all."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, given: str) -> str:
        try:
            ZoneInfo(given)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("no such time zone; give one like UTC or Europe/Berlin") from None
        return given


def read_plan(root: Path) -> Plan | None:
    """Read a store's plan, None where there is none; SettingsError says what is wrong."""
    path = root / FILE
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    try:
        return Plan(**given)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def reprocessing_schedule(
    job: Any,
    plan: Plan | None,
    studio: Callable[[], Studio] = open_studio,
    makers: Callable[[], Sequence[Maker]] = lambda: makers_of("media"),
) -> dg.ScheduleDefinition:
    """Return the schedule.

    Args:
        job: the job over the assets of media.
        plan: when and how much; None leaves it switched off.
        studio: opened anew in every tick.
        makers: of media.
    """
    said = plan or Plan()

    @dg.schedule(
        name=NAME,
        job=job,
        cron_schedule=said.cron,
        execution_timezone=said.time_zone,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if plan else dg.DefaultScheduleStatus.STOPPED
        ),
        description=f"Makes again what is out of date, within a budget; <store>/{FILE} sets it.",
    )
    def reprocessing(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        going = context.instance.get_runs(dg.RunsFilter(statuses=unfinished(), tags={_TAG: "yes"}))
        if going:
            return dg.SkipReason(f"{len(going)} runs of the last night are not over yet")
        opened = studio()
        stale = out_of_date(opened, makers(), assets=said.assets)
        tonight = affordable(stale, Budget(said.hours, said.usd))
        context.log.info(f"{len(stale)} artifacts are out of date, {len(tonight)} fit this night")
        known = context.instance.get_dynamic_partitions(str(media_partitions.name))
        night = context.scheduled_execution_time
        requests = list(_requests(tonight, known, said.priority, night, makers()))
        return requests or dg.SkipReason("nothing is out of date")

    return reprocessing


def _requests(
    stale: Sequence[Stale],
    known: Sequence[str],
    priority: int,
    night: datetime,
    makers: Sequence[Maker],
) -> Iterator[dg.RunRequest]:
    there = set(known)
    for keys, assets, overrides in groups_of(stale):
        for first, last in contiguous_ranges(known, [k for k in keys if k in there], BATCH):
            yield dg.RunRequest(
                run_key=f"{night:%F}-{first}-{last}-{'-'.join(assets)}",
                tags={
                    **range_tags(first, last),
                    "dagster/priority": str(priority),
                    _TAG: "yes",
                },
                run_config={**run_config(makers, overrides), **QUIET},
                asset_selection=[dg.AssetKey(asset) for asset in assets],
            )
