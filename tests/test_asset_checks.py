"""Asset checks: told when a run publishes, and told again when launched by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import dagster as dg
import pytest

from av_pipelines.dagster_assets import StudioResource, asset_of, checks_of
from av_pipelines.definitions import EXECUTOR
from av_pipelines.maker import Check, Checked, Maker, Studio
from partitions.media import media_partitions, range_tags
from tests.conftest import Toys, drop

pytestmark = pytest.mark.usefixtures("toy_auto_recipe")

SHORT, NAMED = "short", "named"


def _long(checked: Checked) -> str | None:
    letters = checked.facts["letters"]
    return f"{letters} letters" if letters > 4 else None


def checked(maker: Maker) -> Maker:
    checks = (
        Check(SHORT, "At most four letters.", _long, blocking=True),
        Check(NAMED, "It is made from a file.", lambda seen: None if seen.inputs else "from none"),
    )
    return replace(maker, products=(replace(maker.products[0], checks=checks),))


_defs: dg.Definitions


def toy_job() -> dg.JobDefinition:
    return _defs.resolve_job_def("toys")


def checks_job() -> dg.JobDefinition:
    """What the UI runs for a check: the implicit job of all assets and checks."""
    return _defs.resolve_implicit_global_asset_job_def()


@pytest.fixture
def instance(
    studio: Studio, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance whose toys have checks."""
    global _defs
    monkeypatch.setattr("av_pipelines.dagster_assets.open_studio", lambda root: studio)
    makers = [toys.source, checked(toys.shout)]
    assets = [asset_of(maker) for maker in makers]
    selection = dg.AssetSelection.assets(*assets).without_checks()
    _defs = dg.Definitions(
        assets=assets,
        asset_checks=[check for maker in makers for check in checks_of(maker)],
        jobs=[dg.define_asset_job("toys", selection)],
        resources={"studio": StudioResource(store=str(studio.store.root))},
        executor=EXECUTOR,
    )
    with dg.instance_for_test() as instance:
        yield instance


def drop_two(instance: dg.DagsterInstance, studio: Studio, folder: Path) -> list[str]:
    keys = [drop(studio, folder / f"{text}.txt", text) for text in ("abc", "abcdef")]
    instance.add_dynamic_partitions(str(media_partitions.name), keys)
    return keys


Told = dict[tuple[str | None, str], tuple[bool, str | None]]


def evaluations(instance: dg.DagsterInstance, run_id: str) -> Told:
    """Partition and check → passed, and what is said if not; of a run's log."""
    found: Told = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        data = cast("dg.DagsterEvent", entry.dagster_event).asset_check_evaluation_data
        said = data.metadata.get("said")
        found[data.partition, data.check_name] = (data.passed, said and str(said.value))
    return found


def expected(keys: list[str]) -> Told:
    short, long = keys
    return {
        (short, SHORT): (True, None),
        (short, NAMED): (True, None),
        (long, SHORT): (False, "6 letters"),
        (long, NAMED): (True, None),
    }


def test_a_run_tells_of_each_check_of_each_file(
    instance: dg.DagsterInstance, studio: Studio, tmp_path: Path
) -> None:
    keys = drop_two(instance, studio, tmp_path / "in")
    done = dg.execute_job(
        dg.reconstructable(toy_job), instance=instance, tags=range_tags(keys[0], keys[1])
    )
    assert done.success  # what is wrong with an artifact is shown at it; its run is well
    assert evaluations(instance, done.run_id) == expected(keys)


@pytest.mark.parametrize("name", [SHORT, NAMED])
def test_a_check_that_is_launched_by_itself_tells_it_again(
    name: str, instance: dg.DagsterInstance, studio: Studio, tmp_path: Path
) -> None:
    keys = drop_two(instance, studio, tmp_path / "in")
    dg.execute_job(
        dg.reconstructable(toy_job), instance=instance, tags=range_tags(keys[0], keys[1])
    )
    key = dg.AssetCheckKey(dg.AssetKey("shout"), name)
    for partition in keys:
        job = checks_job().get_subset(asset_check_selection={key})
        done = job.execute_in_process(instance=instance, partition_key=partition)
        assert done.success
        told = {k: v for k, v in expected(keys).items() if k == (partition, name)}
        assert evaluations(instance, done.run_id) == told
        assert {e.check_name for e in done.get_asset_check_evaluations()} == {name}
