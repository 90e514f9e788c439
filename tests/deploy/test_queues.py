"""Which workers a run goes to, by the models it needs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from av_pipelines.makers import SETTINGS, open_studio
from av_pipelines.queues import QUEUES, queue_of
from resources.manifest import PromptRecord


def queue(
    *assets: str, given: dict[str, dict] | None = None, queues: tuple[str, ...] = QUEUES
) -> str:
    settings = {a: SETTINGS[a].merged(a, ("here", (given or {}).get(a, {}))) for a in assets}
    return queue_of(assets, settings, queues)


@pytest.mark.parametrize(
    ("assets", "given", "wanted"),
    [
        (["source", "audio", "master", "scenes"], {}, "cpu"),
        (["source", "audio", "stems"], {}, "gpu-12"),
        (["stems"], {"stems": {"device": "cpu"}}, "cpu"),
        (["stems"], {"stems": {"engine": "spleeter"}}, "cpu"),
        (["transcript"], {"transcript": {"quality": "high"}}, "gpu-12"),
        (["transcript", "stems"], {}, "gpu-16"),  # a worker keeps both models
        (["track"], {"track": {"engine": "procedural"}}, "cpu"),
        (["track"], {"track": {"engine": "musicgen", "size": "medium"}}, "gpu-12"),
        (["track"], {"track": {"engine": "musicgen", "size": "large"}}, "gpu-24"),
    ],
)
def test_the_smallest_queue_with_room_for_all_models(
    assets: list[str], given: dict[str, dict], wanted: str
) -> None:
    assert queue(*assets, given=given) == wanted


def test_only_queues_that_have_workers_are_used() -> None:
    assert queue("stems", "transcript", queues=("cpu",)) == "cpu"
    assert queue("stems", "transcript", queues=("cpu", "gpu-12")) == "gpu-12"  # it steps down
    assert queue("stems", queues=("cpu", "gpu-24")) == "gpu-24"


def run_of(*assets: str, key: str, config: dict | None = None) -> dg.DagsterRun:
    return dg.DagsterRun(
        job_name="media",
        run_config=config or {},
        tags={"dagster/partition": key},
        asset_selection=frozenset(dg.AssetKey(a) for a in assets),
    )


def test_a_run_is_judged_by_what_was_asked_for_and_by_the_launchpad(tmp_path: Path) -> None:
    from av_pipelines.workers import queue_of_run

    studio, key = open_studio(tmp_path), "rain-0123456789"
    asked = {"track": {"prompt": "rain", "engine": "musicgen", "size": "large"}}
    studio.store.save(PromptRecord(key=key, origin="avp track", sidecar=asked))
    assert queue_of_run(studio, run_of("track", key=key), QUEUES) == "gpu-24"
    config = {"ops": {"track": {"config": {"device": "cpu"}}}}
    assert queue_of_run(studio, run_of("track", key=key, config=config), QUEUES) == "cpu"
    wrong = {"ops": {"track": {"config": {"size": "giant"}}}}
    assert queue_of_run(studio, run_of("track", key=key, config=wrong), QUEUES) == "cpu"
