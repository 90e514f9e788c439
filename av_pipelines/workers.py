"""Runs on other machines: Dagster's run queue and launcher for Celery workers.

Here: what ``docs/deploy/dagster.postgres.yaml`` names: who writes the worker's queue on a run, who
sends it there, and who notices that a worker is gone. Not here: which queue that is (``queues``),
and the program that a worker is (``worker_app``). Needs the extra ``scale``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dagster as dg
from celery.exceptions import DuplicateTaskNameWarning
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG as QUEUE_TAG
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG as TASK_TAG
from kombu.entity import Queue

from av_pipelines.maker import Studio
from av_pipelines.makers import MAKERS, PRODUCTS, open_studio, products_of
from av_pipelines.queues import CPU, QUEUES, queue_of
from av_pipelines.settings import Settings, SettingsError, Values
from resources.manifest import MediaRecord, PartitionRecord, ProjectRecord, PromptRecord

_ANSWER_S = 10.0

# dagster-celery registers its task anew for every run; Celery keeps the first, which is the same
warnings.filterwarnings("ignore", category=DuplicateTaskNameWarning)

CELERY: Mapping[str, Any] = {
    # A worker takes a run when it has a hand free, not before: none waits behind a long one.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # A run that was begun is never sent again by the broker: Dagster would ignore it, as its run
    # is there already. Who died is found by Dagster's monitoring, which then starts a new run.
    "task_acks_late": False,
    "result_expires": 3 * 86_400,  # longer than any run may take: monitoring goes by it
    "result_extended": True,  # with the worker's name
    "broker_connection_retry_on_startup": True,
    "task_default_priority": 5,
}
"""Settings of Celery, of workers and of who sends runs; ``config_source`` goes over them."""


class WorkerRunCoordinator(QueuedRunCoordinator):
    """Dagster's run queue; every run gets the tag of its worker's queue when it comes in.

    So limits of the run queue (``tag_concurrency_limits``) can go by it.
    """

    queues: Sequence[str] = QUEUES

    @classmethod
    def config_type(cls) -> Any:
        """Return the options of the run queue, and the queues there are workers for."""
        queues = dg.Field([str], default_value=list(QUEUES), is_required=False)
        return {**cast("Mapping[str, Any]", super().config_type()), "queues": queues}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> WorkerRunCoordinator:
        """Make it from ``dagster.yaml``."""
        made = super().from_config_value(inst_data, config_value)
        made.queues = config_value["queues"]
        if wrong := set(made.queues) - set(QUEUES):
            raise ValueError(
                f"dagster.yaml: run_coordinator.queues = {sorted(wrong)}; allowed: {list(QUEUES)}"
            )
        return made

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Put a run into the queue."""
        run = context.dagster_run
        if QUEUE_TAG not in run.tags:
            queue = queue_of_run(open_studio(), run, self.queues)
            self._instance.add_run_tags(run.run_id, {QUEUE_TAG: queue})
        return super().submit_run(context)


def queue_of_run(studio: Studio, run: dg.DagsterRun, queues: Sequence[str]) -> str:
    """Return the queue of a run, by its assets and the settings of its first partition."""
    assets = [key.to_user_string() for key in run.asset_selection or ()]
    if not assets:
        assets = [name for kind in ("media", "prompts", "projects") for name in products_of(kind)]
    ops = cast("Mapping[str, Any]", run.run_config).get("ops", {})
    record = _first_record(studio, run)
    name = record.recipe if record else "auto"
    earlier = record.earlier if isinstance(record, MediaRecord) else ()
    settings: dict[str, Settings] = {}
    try:
        for product in (PRODUCTS[asset] for asset in assets if asset in PRODUCTS):
            recipe = studio.recipes.choose(product.name, name, earlier)
            settings[product.name] = product.settings.merged(
                product.name,
                (recipe.where, recipe.settings.get(product.name, {})),
                ("sidecar", record.sidecar.get(product.name, {}) if record else {}),
                ("run config", _given(ops, product.name)),
            )
    except SettingsError:
        return CPU  # the run will say what is wrong
    return queue_of(assets, settings, queues)


def _first_record(studio: Studio, run: dg.DagsterRun) -> PartitionRecord | None:
    tags = run.tags
    key = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start")
    kinds: tuple[type[PartitionRecord], ...] = (MediaRecord, PromptRecord, ProjectRecord)
    try:
        found = [studio.store.record(key, kind) for kind in kinds] if key else []
    except ValueError:
        return None  # no key of ours: the run will say so
    return next(filter(None, found), None)


def _given(ops: Mapping[str, Any], asset: str) -> Values:
    for maker in MAKERS:
        if asset in (product.name for product in maker.products):
            config = ops.get(maker.name, {}).get("config", {})
            return config if len(maker.products) == 1 else config.get(asset, {})
    return {}


class WorkerLauncher(CeleryRunLauncher):
    """Sends runs to Celery workers, and knows when a worker is gone.

    Dagster's own takes a run for alive as long as its task is marked as started, which it stays
    for ever when the worker's machine dies.
    """

    def __init__(self, config_source: dict[str, Any] | None = None, **how: Any) -> None:
        super().__init__(config_source={**CELERY, **(config_source or {})}, **how)
        self.celery.conf.task_queues = [
            Queue(name, routing_key=f"{name}.#", queue_arguments={"x-max-priority": 10})
            for name in QUEUES
        ]

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Ask the worker of a run whether it is at it."""
        task = run.tags.get(TASK_TAG)
        if task is None:  # a command runs it in its own process, and looks after that itself
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        result = self.celery.AsyncResult(task)
        if result.state == "SUCCESS":
            gone = "its worker ended it without finishing"
        elif result.state == "STARTED":
            worker = result.info["hostname"]
            inspect = self.celery.control.inspect(destination=[worker], timeout=_ANSWER_S, limit=1)
            answers = inspect.query_task(task)
            if answers and task in answers.get(worker, {}):
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            knows = "was started anew" if answers else f"does not answer within {_ANSWER_S:g} s"
            gone = f"its worker {worker} {knows}"
        else:
            return super().check_run_worker_health(run)
        return CheckRunHealthResult(WorkerStatus.FAILED, gone)

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """Say nothing more: why a run was given up is in its own log."""
        return None

    def terminate(self, run_id: str) -> bool:
        """Stop a run, so that it counts as stopped by a person and is not tried again."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or TASK_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        return super().terminate(run_id)
