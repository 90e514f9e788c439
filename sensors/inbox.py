"""The watch folders of media: a Dagster sensor for each, which asks for runs of whole files.

Here: the sensors. Not here: what one does when it is evaluated (``tick``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from av_pipelines.inboxes import MAIN, Inbox
from sensors.desk import Desk, open_desk
from sensors.tick import Tick
from sensors.writers import Writing, writers_in

INTERVAL_S = 1
"""The daemon of ``avp up`` goes round this often; Dagster's own every 5 s."""


def inbox_sensors(job: Any, inboxes: Sequence[Inbox]) -> list[dg.SensorDefinition]:
    """Return the sensors that watch the inboxes: each has its own memory and troubles."""
    return [inbox_sensor(job, inbox=inbox) for inbox in inboxes]


def inbox_sensor(
    job: Any,
    desk: Callable[[], Desk] = open_desk,
    *,
    inbox: Inbox | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    writers: Callable[[Path], Writing] = writers_in,
) -> dg.SensorDefinition:
    """Return the sensor that watches the inbox.

    Args:
        job: the job over all media assets; a run makes the assets of a recipe.
        desk: what to work with, opened anew in every tick.
        inbox: what it watches; none: the store's own.
        clock: seconds since 1970.
        sleep: waits for so many seconds.
        writers: folder → what tells of a file in it whether something writes to it.
    """

    @dg.sensor(
        name=inbox.sensor if inbox else MAIN,
        job=job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Takes whole files from {inbox.path if inbox else 'the inbox'}: "
        + (f"recipe {inbox.recipe}." if inbox and inbox.recipe else "a subfolder is a recipe."),
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return Tick(context, desk(), clock, sleep, writers, inbox).result()

    return watch
