"""Dagster's sensor daemon over the inbox of a store, with nothing that makes anything: for torture.

Its runs stay in the queue; whoever plays the runs takes them from there.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration_loop

from av_pipelines.launch import dagster_home, open_instance
from av_pipelines.maker import Studio
from av_pipelines.pace import keep_pace
from av_pipelines.settings import Recipes, Settings
from partitions.media import media_partitions
from resources.ledger import Ledger
from resources.store import Store
from sensors.desk import Desk
from sensors.inbox import inbox_sensor

SETTINGS: dict[str, type[Settings]] = {"source": Settings}


@dg.asset(partitions_def=media_partitions)
def source() -> None:
    """Stands for everything that is made."""


def studio(root: Path | None = None) -> Studio:
    """Return the studio in a folder; none: of the environment."""
    store = Store(root or Path(os.environ["AVP_STORE"]))
    return Studio(store, Ledger(store.ledger_dir), Recipes(store.root / "recipes", SETTINGS))


def _desk() -> Desk:
    return Desk(studio(), SETTINGS, lambda recipe: list(recipe.assets), most_files=25)


job = dg.define_asset_job("media", selection=[source])
defs = dg.Definitions(assets=[source], jobs=[job], sensors=[inbox_sensor(job, _desk)])


def main() -> None:
    """Go round until killed."""
    opened = studio()
    keep_pace({"inbox": opened.store.inbox}, dagster_home(opened))
    origin = LoadableTargetOrigin(
        executable_path=sys.executable, python_file=__file__, attribute="defs"
    )
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
    logger = logging.getLogger("daemon")
    logger.setLevel(logging.WARNING)
    with (
        open_instance(opened) as instance,
        WorkspaceProcessContext(instance, target) as context,
    ):
        print("up", flush=True)
        for said in execute_sensor_iteration_loop(context, logger, threading.Event()):
            if said is not None and hasattr(said, "message"):
                print(said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
