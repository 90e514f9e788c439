"""When a run fails, somebody is told. Not here: how (``resources.notifiers``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dagster as dg

from resources.notifiers import Notice, Notifier, NotifyError, notifiers

NAME = "failures"
_MOST_LETTERS = 2_000


def failure_sensor(ways: Callable[[], Sequence[Notifier]] = notifiers) -> dg.SensorDefinition:
    """Return the sensor that tells of failed runs.

    Args:
        ways: whom to tell; asked anew for each failure.
    """

    @dg.run_failure_sensor(
        name=NAME,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description="Tells of failed runs, by the ways that AVP_NOTIFY names.",
    )
    def failures(context: dg.RunFailureSensorContext) -> None:
        notice = notice_of(context)
        try:
            chosen = ways()
        except NotifyError as error:
            context.log.error(str(error))
            return
        for way in chosen:
            try:
                way.tell(notice)
            except NotifyError as error:  # the others are told all the same
                context.log.error(f"{notice.title}: {error}")

    return failures


def notice_of(context: dg.RunFailureSensorContext) -> Notice:
    """Say what failed: the files with their reasons, as the steps told them."""
    run = context.dagster_run
    partition = run.tags.get("dagster/partition") or "…".join(
        filter(
            None,
            [
                run.tags.get("dagster/asset_partition_range_start"),
                run.tags.get("dagster/asset_partition_range_end"),
            ],
        )
    )
    told = [
        event.step_failure_data.user_failure_data.description
        for event in context.get_step_failure_events()
        if event.step_failure_data.user_failure_data
    ]
    reasons = (
        "\n".join(filter(None, told)) or context.failure_event.message or "no reason was given"
    )
    return Notice(
        title=f"{run.job_name} failed: {partition or run.run_id[:8]}",
        text=reasons[:_MOST_LETTERS],
        facts={
            "run_id": run.run_id,
            "job": run.job_name,
            "partition": partition or None,
            "recipe": run.tags.get("recipe"),
        },
    )
