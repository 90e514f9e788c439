"""The daily schedule of the catalog and the pages.

Here: when. Not here: what they hold (``av_pipelines.reports``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

NAME = "reports"
_CRON = "45 4 * * *"  # a night's reprocessing, from one o'clock, is over by then


def reports_schedule(job: Any) -> dg.ScheduleDefinition:
    """Return the schedule, switched on.

    Args:
        job: the job over the assets of the group `reports`.
    """
    return dg.ScheduleDefinition(
        name=NAME,
        job=job,
        cron_schedule=_CRON,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Merges the ledger's files and writes the pages, every night.",
    )
