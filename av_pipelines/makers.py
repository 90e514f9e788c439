"""Every maker there is, and the studio they work in: the list that all else is derived from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from av_pipelines.intake.assets import INTAKE
from av_pipelines.maker import Maker, Partitions, Product, Studio
from av_pipelines.masters.assets import MASTERS
from av_pipelines.scenes.assets import FRAMES, LOOK, SCENES
from av_pipelines.settings import Recipe, Recipes, Settings, Values
from av_pipelines.stems.assets import STEMS
from av_pipelines.tracks.assets import TRACKS
from av_pipelines.transcripts.assets import TRANSCRIPTS
from av_pipelines.videos.assets import CUTDOWNS, TIMELINE, VIDEO
from resources.ledger import Ledger
from resources.store import Store

MAKERS: tuple[Maker, ...] = (
    INTAKE,
    SCENES,
    STEMS,
    TRANSCRIPTS,
    MASTERS,
    FRAMES,
    LOOK,
    TRACKS,
    TIMELINE,
    VIDEO,
    CUTDOWNS,
)
PRODUCTS: dict[str, Product] = {p.name: p for maker in MAKERS for p in maker.products}
SETTINGS: dict[str, type[Settings]] = {p.name: p.settings for p in PRODUCTS.values()}

DEFAULT_STORE = "studio"


def makers_of(partitions: Partitions) -> list[Maker]:
    """Return the makers of what is made for media, prompts or projects."""
    return [maker for maker in MAKERS if maker.partitions == partitions]


def products_of(partitions: Partitions) -> list[str]:
    """Return the names of what is made for media, prompts or projects, in the order of making."""
    return [product.name for maker in makers_of(partitions) for product in maker.products]


def open_studio(root: Path | None = None) -> Studio:
    """Open a store and all around it; touches nothing on disk.

    Args:
        root: the store's folder; None means ``AVP_STORE``, else ``./studio``.
    """
    store = Store(root or Path(os.environ.get("AVP_STORE") or DEFAULT_STORE))
    return Studio(store, Ledger(store.ledger_dir), Recipes(store.root / "recipes", SETTINGS))


def assets_of(
    recipe: Recipe, only: Iterable[str] = (), overrides: Mapping[str, Values] | None = None
) -> list[str]:
    """Return the assets to make of a media, with all they are made from, in the order of making.

    Args:
        recipe: whose assets.
        only: names of assets wanted in place of the recipe's.
        overrides: settings of the run, asset → values, which may ask for more inputs.
    """
    given = overrides or {}
    wanted: set[str] = set()

    def want(name: str) -> None:
        if name not in wanted:
            wanted.add(name)
            product = PRODUCTS[name]
            settings = product.settings.merged(
                name,
                (recipe.where, recipe.settings.get(name, {})),
                ("run config", given.get(name, {})),
            )
            for upstream in product.inputs:
                want(upstream)
            for upstream, asked in product.optional_inputs.items():
                if asked(settings):
                    want(upstream)

    for name in [*only] or recipe.assets or products_of("media"):
        want(name)
    return [name for name in PRODUCTS if name in wanted]
