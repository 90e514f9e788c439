"""Makers as Dagster assets: ranged runs, one file's failure, events, the launchpad."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from av_pipelines.dagster_assets import StudioResource, asset_of, run_config
from av_pipelines.definitions import EXECUTOR
from av_pipelines.maker import Studio
from partitions.media import media_partitions, range_tags
from tests.conftest import Toys, drop

pytestmark = pytest.mark.usefixtures("toy_auto_recipe")

_defs: dg.Definitions


def toy_job() -> dg.JobDefinition:
    return _defs.resolve_job_def("toys")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


class Runs:
    """Runs the toy assets over files, as the daemon would."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        studio: Studio,
        toys: Toys,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        global _defs
        self.instance, self.studio, self.folder = instance, studio, folder
        monkeypatch.setattr("av_pipelines.dagster_assets.open_studio", lambda root: studio)
        assets = [asset_of(maker) for maker in (toys.source, toys.shout, toys.echo)]
        _defs = dg.Definitions(
            assets=assets,
            jobs=[dg.define_asset_job("toys", assets)],
            resources={"studio": StudioResource(store=str(studio.store.root))},
            executor=EXECUTOR,
        )

    def drop(self, *texts: str) -> list[str]:
        keys = [
            drop(self.studio, self.folder / f"{n:02}.txt", text) for n, text in enumerate(texts)
        ]
        self.instance.add_dynamic_partitions(str(media_partitions.name), keys)
        return keys

    def run(
        self, *keys: str, config: dict | None = None, assets: Sequence[str] = ()
    ) -> dg.JobExecutionResult:
        """Run the range from the first to the last of these keys."""
        return dg.execute_job(
            dg.reconstructable(toy_job),
            instance=self.instance,
            tags=range_tags(keys[0], keys[-1]),
            run_config=config or {},
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
        )

    def status(self, asset: str, keys: list[str]) -> list[str]:
        found = self.instance.get_status_by_partition(dg.AssetKey(asset), keys, media_partitions)
        assert found is not None
        return [status.value if (status := found[key]) else "-" for key in keys]

    def events(self, asset: str) -> dict[str, dg.AssetMaterialization]:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset))
        records = self.instance.fetch_materializations(wanted, limit=100, ascending=True).records
        return {str(r.partition_key): e for r in records if (e := r.asset_materialization)}


@pytest.fixture
def runs(
    instance: dg.DagsterInstance,
    studio: Studio,
    toys: Toys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Runs:
    return Runs(instance, studio, toys, tmp_path / "in", monkeypatch)


def test_one_run_makes_a_range_of_files(runs: Runs) -> None:
    keys = runs.drop("a", "b", "c")
    assert runs.run(*keys).success
    assert runs.status("shout", keys) == ["MATERIALIZED"] * 3
    assert {
        k: e.metadata["letters"].value for k, e in runs.events("shout").items()
    } == dict.fromkeys(keys, 1)


def test_a_failure_costs_no_other_file_its_result(runs: Runs) -> None:
    keys = runs.drop("a", "boom", "c", "poison", "e")
    result = runs.run(*keys)
    assert not result.success
    # Dagster marks what was planned and not made in a failed run, and nothing else
    assert runs.status("source", keys) == [
        "MATERIALIZED", "MATERIALIZED", "MATERIALIZED", "FAILED", "MATERIALIZED"
    ]  # fmt: skip
    assert runs.status("shout", keys) == [
        "MATERIALIZED", "FAILED", "MATERIALIZED", "FAILED", "MATERIALIZED"
    ]  # fmt: skip
    assert set(runs.events("shout")) == {keys[0], keys[2], keys[4]}
    told = [e.step_failure_data.user_failure_data for e in result.all_events if e.is_step_failure]
    said = "\n".join(str(data.description) for data in told if data)
    assert f"{keys[1]}: shout failed: it went boom" in said
    assert f"{keys[3]}: source quarantined: the file is poisoned" in said


def test_the_failure_of_a_single_file_makes_its_run_red(runs: Runs) -> None:
    (key,) = runs.drop("boom")
    assert not runs.run(key).success
    assert runs.status("shout", [key]) == ["FAILED"]


def test_each_file_has_the_version_and_lineage_of_its_own(runs: Runs) -> None:
    first, second = runs.drop("a", "b")
    runs.run(first, second)
    versions = {}
    for key in (first, second):
        artifact = runs.studio.store.current(key, "shout")
        assert artifact
        event = runs.events("shout")[key]
        assert event.tags
        assert event.tags["dagster/data_version"] == artifact.version
        versions[key] = artifact.version
        (source,) = cast("list", event.metadata["made_from"].value)
        assert source["version"] == artifact.manifest.inputs[0].version
    assert versions[first] != versions[second]


def test_dagster_sees_what_is_up_to_date_and_what_is_not(runs: Runs, toys: Toys) -> None:
    # what the UI asks; there is no public way to ask it in Python
    from dagster._core.definitions.data_version import CachingStaleStatusResolver
    from dagster._core.loader import LoadingContextForTest

    def status(asset: str = "shout") -> dict[str, str]:
        graph = _defs.resolve_asset_graph()
        context = LoadingContextForTest(runs.instance)
        resolver = CachingStaleStatusResolver(runs.instance, graph, context)
        return {k: resolver.get_status(dg.AssetKey(asset), k).value for k in (first, second)}

    first, second = runs.drop("a", "b")
    runs.run(first, second, config={"ops": {"toy_echo": {"config": {"loud": False}}}})
    assert status("echo") == {first: "FRESH", second: "FRESH"}  # also without its optional input
    assert status() == {first: "FRESH", second: "FRESH"}
    (runs.folder / "00.txt").write_text("other bytes")
    os.utime(runs.folder / "00.txt", (1, 1))
    runs.run(first, assets=["source"])
    assert status() == {first: "STALE", second: "FRESH"}


def test_the_log_of_a_run_tells_how_far_long_work_is(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("av_pipelines.milestones._PAUSE_S", 0)
    (key,) = runs.drop("a")
    done = runs.run(key)
    log = [entry.user_message for entry in runs.instance.all_logs(done.run_id)]
    assert f"{key}: shout 50%, about 0 s left" in log


def test_what_is_there_is_told_as_reused(runs: Runs, toys: Toys) -> None:
    keys = runs.drop("a", "b")
    runs.run(*keys)
    calls = list(toys.made)
    assert runs.run(*keys).success
    assert toys.made == calls
    assert all(e.metadata["reused"].value is True for e in runs.events("shout").values())


def test_a_skipped_asset_is_no_failure_and_no_materialization(runs: Runs) -> None:
    keys = runs.drop("a", "mute")
    assert runs.run(*keys).success
    assert set(runs.events("shout")) == {keys[0]}


def test_launchpad_settings_win_and_are_checked_by_dagster(runs: Runs, toys: Toys) -> None:
    (key,) = runs.drop("hello")
    config = run_config([toys.source, toys.shout], {"shout": {"ending": "?"}})
    assert config == {"ops": {"toy_shout": {"config": {"ending": "?"}}}}
    assert runs.run(key, config=config).success
    assert (runs.studio.store.library / key / "shout" / "shout.txt").read_text() == "HELLO?"
    with pytest.raises(dg.DagsterInvalidConfigError, match="endin"):
        runs.run(key, config={"ops": {"toy_shout": {"config": {"endin": "?"}}}})


def test_what_may_get_better_is_tried_again(
    runs: Runs, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    keys = runs.drop("a", "b")
    tries: list[str] = []
    write = Path.write_text

    def short_of_memory(path: Path, text: str) -> int:
        if path.name == "shout.txt":
            tries.append(str(path))
            if len(tries) == 1:
                raise MemoryError("no memory just now")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", short_of_memory)
    assert runs.run(*keys).success
    assert runs.status("shout", keys) == ["MATERIALIZED"] * 2
