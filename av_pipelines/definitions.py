"""The one place where Dagster finds everything: assets, the job, the sensor, resources."""

from __future__ import annotations

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # backfill_policy is marked beta

from av_pipelines.dagster_assets import StudioResource, media_asset  # noqa: E402
from av_pipelines.makers import MAKERS, open_studio  # noqa: E402
from av_pipelines.reports.assets import catalog, report  # noqa: E402
from sensors.inbox import inbox_sensor  # noqa: E402

MEDIA_JOB = "media"

# A run goes on with the files that are well when one of a range failed: a step starts when what
# it needs was put out, whether or not the step before it ended well.
EXECUTOR = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}
)


def build_definitions() -> dg.Definitions:
    """Wire everything to the store of the environment; loads nothing heavy, touches no disk."""
    makers = [media_asset(maker) for maker in MAKERS]
    job = dg.define_asset_job(
        MEDIA_JOB,
        selection=dg.AssetSelection.assets(*makers),
        description="Make the assets of media, one file or a range of them in one run.",
    )
    return dg.Definitions(
        assets=[*makers, catalog, report],
        jobs=[job],
        sensors=[inbox_sensor(job)],
        resources={"studio": StudioResource(store=str(open_studio().store.root))},
        executor=EXECUTOR,
    )


def media_job() -> dg.JobDefinition:
    """Return the job over all media assets, for runs that are started from Python."""
    return defs.resolve_job_def(MEDIA_JOB)


defs = build_definitions()
