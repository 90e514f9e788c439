"""What is out of date is found with its reason and its price, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from av_pipelines.maker import Maker, Studio
from av_pipelines.makers import PRODUCTS, SETTINGS, makers_of
from av_pipelines.reprocess import Budget, Cost, Prices, Stale, affordable, out_of_date
from av_pipelines.settings import Recipes
from resources.ledger import Entry, Ledger
from resources.manifest import InputRef, Manifest, MediaRecord
from resources.metering import Cost as Spent
from resources.store import Store

RECIPE = 'assets = ["audio", "master"]\n'
LENGTH_S = 100.0


class Library:
    """A studio with media that were made, as the ledger tells it; no sound is needed for that."""

    def __init__(self, root: Path) -> None:
        store = Store(root)
        self.recipe = root / "recipes" / "show.toml"
        self.recipe.parent.mkdir(parents=True)
        self.recipe.write_text(RECIPE)
        self.studio = Studio(store, Ledger(store.ledger_dir), Recipes(self.recipe.parent, SETTINGS))

    def add(self, name: str, *, cpu_s: float = 10.0, **sidecar: dict) -> str:
        key = f"{name}-0123456789"
        self.studio.store.save(
            MediaRecord(
                key=key,
                origin=f"/{name}.wav",
                recipe="show",
                claim="copy",
                size=1,
                mtime_ns=1,
                inode=1,
                sidecar=sidecar,
            )
        )
        recipe = self.studio.recipes.get("show")
        refs: dict[str, InputRef] = {}
        for asset in ("source", "audio", "master"):
            product = PRODUCTS[asset]
            settings = product.settings.merged(
                asset,
                ("recipe", recipe.settings.get(asset, {})),
                ("sidecar", sidecar.get(asset, {})),
            )
            version = f"{asset}-of-{name}"
            self.studio.ledger.append(
                Entry(
                    event="made",
                    asset=asset,
                    partition=key,
                    manifest=Manifest(
                        asset=asset,
                        partition=key,
                        version=version,
                        created=datetime.now(UTC),
                        code_version=product.code_version,
                        settings=settings.model_dump(mode="json"),
                        inputs=tuple(refs[i] for i in product.inputs),
                        facts={"duration_s": LENGTH_S},
                    ),
                    cost=Spent(wall_s=cpu_s / 2, cpu_s=cpu_s),
                    recipe="show",
                )
            )
            refs[asset] = InputRef(asset=asset, partition=key, version=version)
        return key

    def stale(self, *makers: Maker) -> dict[tuple[str, str], tuple[str, ...]]:
        found = out_of_date(self.studio, makers or makers_of("media"))
        return {(item.key, item.asset): item.reasons for item in found}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "studio")


def with_code(asset: str, version: str) -> list[Maker]:
    """All makers, one asset with other code."""
    return [
        replace(
            maker,
            products=tuple(
                replace(p, code_version=version) if p.name == asset else p for p in maker.products
            ),
        )
        for maker in makers_of("media")
    ]


def test_nothing_is_out_of_date_when_nothing_changed(library: Library) -> None:
    library.add("one")
    library.add("two", master={"target_lufs": -20.0})
    assert library.stale() == {}


def test_a_changed_preset_concerns_exactly_what_it_decides(library: Library) -> None:
    key = library.add("one")
    own = library.add("two", master={"target_lufs": -20.0})
    library.recipe.write_text(RECIPE + "[master]\ntarget_lufs = -16.0\n")
    assert library.stale() == {(key, "master"): ("settings",)}
    assert (own, "master") not in library.stale()  # its sidecar decides


def test_new_code_concerns_the_asset_and_all_that_is_made_from_it(library: Library) -> None:
    keys = [library.add("one"), library.add("two")]
    assert library.stale(*with_code("master", "99")) == {(k, "master"): ("code",) for k in keys}
    assert library.stale(*with_code("audio", "99")) == {
        (key, asset): (reason,)
        for key in keys
        for asset, reason in (("audio", "code"), ("master", "input"))
    }


def test_an_asset_that_the_recipe_asks_for_now_is_new(library: Library) -> None:
    key = library.add("one")
    library.recipe.write_text('assets = ["audio", "master", "stems"]\n')
    assert library.stale() == {(key, "stems"): ("new",)}


def test_the_price_is_what_it_took_for_each_second_so_far(library: Library) -> None:
    key = library.add("one", cpu_s=10.0)
    library.add("two", cpu_s=12.0)
    library.add("three", cpu_s=14.0)
    prices = Prices.of(library.studio)
    assert prices.of_asset("master", key).cpu_s == pytest.approx(12.0)
    assert prices.of_asset("master", key).usd is None  # nobody said what an hour costs
    assert prices.errors["master"] == pytest.approx(2 / 14)


def test_a_budget_takes_whole_media_in_order_and_the_next_night_the_rest() -> None:
    stale = [
        Stale(f"m{number}", asset, ("code",), "", Cost(wall_s=600.0))
        for number in range(10)
        for asset in ("audio", "master")
    ]
    tonight = affordable(stale, Budget(hours=1.0))
    assert {item.key for item in tonight} == {"m0", "m1", "m2"}
    assert len(tonight) == 6
    rest = [item for item in stale if item not in tonight]
    assert affordable(rest, Budget(hours=1.0))[0].key == "m3"
    assert affordable(stale, Budget(hours=0.1))[-1].key == "m0"  # more than a night: it goes alone


def test_the_settings_of_a_run_hold_when_it_is_made_again(library: Library) -> None:
    key = library.add("one")
    held = "master-of-one"
    folder = library.studio.store.artifacts / "master" / held
    folder.mkdir(parents=True)
    settings = PRODUCTS["master"].settings.merged("master", ("run", {"target_lufs": -20.0}))
    manifest = Manifest(
        asset="master", partition=key, version=held, created=datetime.now(UTC),
        code_version=PRODUCTS["master"].code_version,
        settings=settings.model_dump(mode="json"), overrides={"target_lufs": -20.0},
        inputs=(InputRef(asset="audio", partition=key, version="audio-of-one"),
                InputRef(asset="source", partition=key, version="source-of-one")),
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    library.studio.ledger.append(
        Entry(event="made", asset="master", partition=key, manifest=manifest, recipe="show")
    )
    assert library.stale() == {}
    (again,) = out_of_date(library.studio, with_code("master", "99"))
    assert json.loads(json.dumps(again.overrides)) == {"target_lufs": -20.0}
