"""The program of a worker: ``celery -A av_pipelines.worker_app worker -Q cpu -c 1``.

It is set up by ``dagster.yaml`` in ``DAGSTER_HOME``, as who sends the runs is: broker, queues and
options are written in one place only.
"""

from __future__ import annotations

import dagster as dg
from celery import Celery
from celery.signals import task_prerun
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from av_pipelines.makers import open_studio
from av_pipelines.workers import WorkerLauncher


def _make() -> Celery:
    launcher = dg.DagsterInstance.get().run_launcher
    if not isinstance(launcher, WorkerLauncher):
        raise SystemExit(
            "dagster.yaml in DAGSTER_HOME names no WorkerLauncher of av_pipelines.workers; "
            "docs/deploy/dagster.postgres.yaml does"
        )
    create_execute_job_task(launcher.celery)
    create_resume_job_task(launcher.celery)
    return launcher.celery


@task_prerun.connect
def _sweep(**_: object) -> None:
    """Remove what a killed worker left half-made, before a run begins."""
    open_studio().store.sweep()


app = _make()
