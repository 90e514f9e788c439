"""What Dagster knows of the runs that a sensor asked for.

Here: which files are with them, how one ended, how many may go and wait. Not here: what follows
from that (``watching``), or how a run is asked for (``tick``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from av_pipelines.launch import KILLED_TAG, unfinished
from sensors.watching import Memory

FILES_TAG = "inbox_files"
"""Of a run: the marks of its files."""

_STILLBORN = timedelta(minutes=10)
_MOST_SLOTS = 8
_WAITING = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED)


@dataclass(frozen=True)
class Going:
    """The runs of a sensor that are not over."""

    marks: frozenset[str] = frozenset()
    """Of their files."""
    waiting: int = 0
    """How many of them have not begun."""


def going(instance: dg.DagsterInstance, sensor: str, now: float) -> Going:
    """Return the runs of a sensor that are not over."""
    records = instance.get_run_records(
        dg.RunsFilter(statuses=unfinished(), tags={"dagster/sensor_name": sensor})
    )
    marks: set[str] = set()
    waiting = 0
    for record in records:
        run = record.dagster_run
        age = now - record.create_timestamp.timestamp()
        if run.status == dg.DagsterRunStatus.NOT_STARTED and age > _STILLBORN.total_seconds():
            continue  # the daemon made it but could never queue it
        marks.update(run.tags.get(FILES_TAG, "").split())
        waiting += run.status in _WAITING
    return Going(frozenset(marks), waiting)


def note_end(instance: dg.DagsterInstance, memory: Memory, run_key: str, now: int) -> None:
    """Note that a run ended without taking its files, unless Dagster is about to retry it."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key}))
    if not runs:
        memory.ended(run_key, "its run is gone", now)
        return
    run = runs[0]  # the newest: a retry has its parent's tags
    if run.is_complete_and_waiting_to_retry:
        return
    how = f"run {run.run_id[:8]} ended as {run.status.value} and left it here"
    memory.ended(
        run_key,
        how,
        now,
        final=run.status == dg.DagsterRunStatus.CANCELED,
        killed=KILLED_TAG in run.tags,
    )


def slots(instance: dg.DagsterInstance) -> int:
    """Return how many runs go at a time."""
    queue = instance.get_concurrency_config().run_queue_config
    limit = queue.max_concurrent_runs if queue else -1
    return min(limit if limit > 0 else os.cpu_count() or 1, _MOST_SLOTS)
