"""The one place where Dagster finds everything: assets, jobs, sensors, resources."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Mapping

import dagster as dg

gc.freeze()  # what Dagster loaded stays for good: no collection needs to look at it again
# backfill_policy is marked beta, checks with partitions are marked preview; tests hold both
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from av_pipelines.dagster_assets import StudioResource, asset_of, checks_of  # noqa: E402
from av_pipelines.inboxes import read_inboxes  # noqa: E402
from av_pipelines.maker import Partitions  # noqa: E402
from av_pipelines.makers import MAKERS, makers_of, open_studio  # noqa: E402
from av_pipelines.reports.assets import catalog, report  # noqa: E402
from sensors.failures import failure_sensor  # noqa: E402
from sensors.inbox import inbox_sensors  # noqa: E402
from sensors.projects import projects_sensor  # noqa: E402
from sensors.prompts import prompts_sensor  # noqa: E402
from sensors.reports import reports_schedule  # noqa: E402
from sensors.reprocessing import read_plan, reprocessing_schedule  # noqa: E402
from sensors.templates import templates_sensor  # noqa: E402

JOBS: Mapping[Partitions, tuple[str, str]] = {
    "media": ("media", "Make the assets of media, one file or a range of them in one run."),
    "prompts": ("tracks", "Make the tracks that prompts ask for."),
    "projects": ("videos", "Make the films of projects."),
}
"""What things are made for → name and description of the job that makes them."""

# A run goes on with the files that are well when one of a range failed: a step starts when what
# it needs was put out, whether or not the step before it ended well.
EXECUTOR = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}
)


def build_definitions() -> dg.Definitions:
    """Wire everything to the store of the environment; loads nothing heavy, writes nothing."""
    assets = {maker.name: asset_of(maker) for maker in MAKERS}
    jobs = {
        kind: dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(
                *(assets[m.name] for m in makers_of(kind))
            ).without_checks(),
            description=description,
        )
        for kind, (name, description) in JOBS.items()
    }
    reports = dg.define_asset_job(
        "reports",
        selection=dg.AssetSelection.assets(catalog, report),
        description="Merge the ledger's small files and write the studio's pages.",
    )
    return dg.Definitions(
        assets=[*assets.values(), catalog, report],
        asset_checks=[check for maker in MAKERS for check in checks_of(maker)],
        jobs=[*jobs.values(), reports],
        sensors=[
            *inbox_sensors(jobs["media"], read_inboxes(open_studio().store.root)),
            prompts_sensor(jobs["prompts"]),
            projects_sensor(jobs["projects"]),
            templates_sensor(),
            failure_sensor(),
        ],
        schedules=[
            reprocessing_schedule(jobs["media"], read_plan(open_studio().store.root)),
            reports_schedule(reports),
        ],
        resources={"studio": StudioResource(store=str(open_studio().store.root))},
        executor=EXECUTOR,
    )


def job_of(partitions: Partitions) -> dg.JobDefinition:
    """Return the job over all assets of a kind of partitions, to be started from Python."""
    return defs.resolve_job_def(JOBS[partitions][0])


defs = build_definitions()
