"""Whose turn it is among the requests for tracks: one generation at a time, high priority first.

Here: asking for a track from Python, how many may wait, and the tags and the pool by which
Dagster keeps the order. Dagster's own run queue holds what was dropped, so that survives a
restart; ``avp track`` waits in its own process. Not here: what a request is (``tracks.request``).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from av_pipelines.launch import (
    PROCESS_TAG,
    Collector,
    FileResult,
    complete,
    open_instance,
    run_partitions,
    unfinished,
)
from av_pipelines.maker import Studio, make, observed, version_of
from av_pipelines.settings import Values
from av_pipelines.tracks.errors import TrackError
from av_pipelines.tracks.settings import TrackSettings
from resources.store import Store

if TYPE_CHECKING:
    import dagster as dg

POOL = "generation"
"""Dagster's pool of one slot: what generates, wherever it was asked for."""
MOST = 10
"""Requests that may be under way: waiting, or being made."""

_QUEUE_TAG = "avp/queue"
_PRIORITY = {"normal": "0", "high": "10"}
_WAITING = "track-"


def tags_of(settings: TrackSettings) -> dict[str, str]:
    """Return the tags of the run that makes a request: its queue and its priority."""
    return {_QUEUE_TAG: POOL, "dagster/priority": _PRIORITY[settings.priority]}


def limit_pool(instance: dg.DagsterInstance) -> None:
    """Give the pool its one slot; Dagster keeps limits of single pools in its database."""
    storage = instance.event_log_storage
    limits = {limit.name: limit.limit for limit in storage.get_pool_limits()}
    if limits.get(POOL) != 1:
        storage.set_concurrency_slots(POOL, 1)


def under_way(instance: dg.DagsterInstance, store: Store) -> int:
    """Return how many requests are waiting or being made."""
    import dagster as dg

    runs = instance.get_runs(dg.RunsFilter(statuses=unfinished(), tags={_QUEUE_TAG: POOL}))
    asked_here = {run.run_id for run in runs if PROCESS_TAG in run.tags}
    return len(runs) - len(asked_here) + len(store.present(_WAITING))


@contextlib.contextmanager
def place_in_queue(instance: dg.DagsterInstance, store: Store) -> Iterator[None]:
    """Hold one of the places in the queue.

    Raises:
        TrackError: ``QUEUE_FULL``.
    """
    with contextlib.ExitStack() as held:
        with store.making("queue", POOL):
            if under_way(instance, store) >= MOST:
                raise TrackError("QUEUE_FULL", full())
            held.enter_context(store.presence(f"{_WAITING}{uuid.uuid4().hex}"))
        yield


def full() -> str:
    """Say that there is no place."""
    return f"{MOST} tracks are waiting or being made, which is the most; try again when one is done"


def ask(studio: Studio, values: Values, listener: Any) -> FileResult:
    """Make a track for a request in this process, when its turn comes; find it if it was made.

    Raises:
        TrackError: the request is wrong, or too many are waiting; nothing was started.
        ModelError: the engine that was asked for has no model here; nothing was started.
    """
    from av_pipelines.makers import PRODUCTS
    from av_pipelines.tracks.assets import TRACKS, choose
    from av_pipelines.tracks.request import key_of, more_takes, settle, with_seed
    from resources.manifest import PromptRecord

    values = with_seed(values)
    recipe = studio.recipes.get("auto")
    settings = settle((recipe.where, recipe.settings.get("track", {})), ("the request", values))
    choice = choose(settings)
    key = key_of(settings)
    studio.store.save(PromptRecord(key=key, origin="avp track", sidecar={"track": values}))
    result = FileResult(studio.store.library / key / "track", key)
    collector = Collector({key: result}, listener)
    wanted = [settings, *(settings.model_copy(update=take) for take in more_takes(settings))]
    product = PRODUCTS["track"]
    if all(studio.store.find("track", version_of(product, w, choice, ())) for w in wanted):
        with observed(collector):
            make(studio, TRACKS, key)
        return result
    with open_instance(studio) as instance, place_in_queue(instance, studio.store):
        run_partitions(
            studio, "prompts", [key], ["track"], listener=collector, tags=tags_of(settings)
        )
    complete(result, ["track"])
    return result
