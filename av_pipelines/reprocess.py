"""What is out of date, why, and what it would take to make it again.

An artifact is out of date when it would come out with another version today: other code, settings,
model or inputs (DESIGN §2, *version*). Here: finding that, pricing it from the ledger's history,
choosing what fits a budget. Not here: making it (``launch``), when it happens
(``sensors.reprocessing``), the terminal (``reprocess_command``).

Nothing is read but the catalog and one small record a partition: 10,000 media take about a second.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from av_pipelines.maker import Choice, Maker, Product, Studio
from av_pipelines.makers import assets_of
from av_pipelines.settings import Recipe, Settings, SettingsError
from resources.manifest import MediaRecord
from resources.store import Artifact

Reason = Literal["code", "settings", "model", "input", "new"]
"""Why: another code version, other settings, another engine or model, what it was made from has
changed or will, or the recipe asks for it and it was never made."""


@dataclass(frozen=True)
class Cost:
    """What making something takes; None where the ledger has no history of it."""

    wall_s: float | None = None
    cpu_s: float | None = None
    gpu_s: float | None = None
    usd: float | None = None

    def __add__(self, other: Cost) -> Cost:
        """Add up what is known."""

        def plus(a: float | None, b: float | None) -> float | None:
            return b if a is None else a if b is None else a + b

        return Cost(
            plus(self.wall_s, other.wall_s),
            plus(self.cpu_s, other.cpu_s),
            plus(self.gpu_s, other.gpu_s),
            plus(self.usd, other.usd),
        )


@dataclass(frozen=True)
class Stale:
    """One asset of one partition that is out of date."""

    key: str
    asset: str
    reasons: tuple[Reason, ...]
    said: str
    """The reasons for a person."""
    cost: Cost
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run that made it, which hold when it is made again."""


@dataclass(frozen=True)
class _Now:
    """An artifact as it is."""

    version: str
    code_version: str
    settings: str
    """As JSON."""
    model: tuple[str | None, str | None, str | None]
    """Engine, model, its hash."""


@dataclass(frozen=True)
class _Wanted:
    """How an artifact should have been made, whichever its inputs."""

    settings: Settings
    identity: Mapping[str, Any]
    model: tuple[str | None, str | None, str | None]


# ---------------------------------------------------------------------- finding


def out_of_date(
    studio: Studio,
    makers: Sequence[Maker],
    *,
    assets: Iterable[str] = (),
    keys: Iterable[str] = (),
) -> list[Stale]:
    """Return what is out of date of all media, in the order in which it is to be made.

    What failed, was refused or does not apply is not: it is not made again because of its age.

    Args:
        studio: where.
        makers: of media, in the order of making.
        assets: look only at these; empty means all.
        keys: look only at these media; empty means all.

    Raises:
        SettingsError: a recipe is wrong.
    """
    return list(_Survey(studio, makers, frozenset(assets), frozenset(keys)).stale())


class _Survey:
    def __init__(
        self, studio: Studio, makers: Sequence[Maker], assets: frozenset[str], keys: frozenset[str]
    ) -> None:
        self._studio, self._assets, self._keys = studio, assets, keys
        self._products = {p.name: (maker, p) for maker in makers for p in maker.products}
        self._wanted: dict[tuple[str, str, str], _Wanted | None] = {}
        self._parsed: dict[tuple[str, str], dict[str, Any]] = {}
        self._asked: dict[tuple[str, ...], frozenset[str]] = {}
        self._chosen: dict[tuple[str, tuple[str, ...]], Recipe] = {}

    def stale(self) -> Iterator[Stale]:
        from av_pipelines.reports.catalog import refresh

        refresh(self._studio.store)
        prices = Prices.of(self._studio)
        now, last, inputs = self._ledger()
        for key in sorted(self._keys or now):
            record = self._studio.store.media(key)
            if record is None:
                continue
            renewed: dict[str, Stale] = {}
            mine = now.get(key, {})
            for asset in self._assets_of(record, mine):
                found = self._look(record, asset, mine, inputs.get(key, {}), renewed)
                never = asset not in mine and (key, asset) in last
                if found is None or (never and last[key, asset] != "made"):
                    continue
                reasons, said, overrides = found
                cost = prices.of_asset(asset, key)
                renewed[asset] = Stale(key, asset, reasons, said, cost, overrides)
            yield from (s for s in renewed.values() if not self._assets or s.asset in self._assets)

    def _assets_of(self, record: MediaRecord, mine: Mapping[str, _Now]) -> list[str]:
        """What a media's recipes ask for or it has, in the order of making.

        A dropped file itself is never out of date.
        """
        names = (record.recipe, *record.earlier)
        if names not in self._asked:
            recipes = self._studio.recipes
            there = [record.recipe, *(n for n in record.earlier if n in recipes.names())]
            asked = (assets_of(recipes.get(name)) for name in there)
            self._asked[names] = frozenset(itertools.chain.from_iterable(asked))
        wanted = self._asked[names]
        given = {m.products[0].name for m, _ in self._products.values() if m.identify}
        return [a for a in self._products if a not in given and (a in wanted or a in mine)]

    def _recipe(self, asset: str, record: MediaRecord) -> Recipe:
        place = (asset, (record.recipe, *record.earlier))
        if place not in self._chosen:
            chosen = self._studio.recipes.choose(asset, record.recipe, record.earlier)
            self._chosen[place] = chosen
        return self._chosen[place]

    def _ledger(
        self,
    ) -> tuple[
        dict[str, dict[str, _Now]], dict[tuple[str, str], str], dict[str, dict[str, dict[str, str]]]
    ]:
        """What each media has, what happened last to each asset, and what it was made from."""
        from av_pipelines.reports.catalog import reading

        now: dict[str, dict[str, _Now]] = {}
        inputs: dict[str, dict[str, dict[str, str]]] = {}
        with reading(self._studio.store) as catalog:
            rows = catalog.execute(
                "select h.partition, asset, version, code_version, settings, engine, model, "
                "model_sha256 from held h join artifacts using (asset, version)"
            ).fetchall()
            for key, asset, version, code, settings, *model in rows:
                now.setdefault(key, {})[asset] = _Now(version, code, settings, tuple(model))
            for key, asset, input_asset, version in catalog.execute(
                "select l.partition, l.asset, l.input_asset, l.input_version from lineage l "
                "join held h on h.partition = l.partition and h.asset = l.asset "
                "and h.version = l.version where l.input_partition = l.partition"
            ).fetchall():
                inputs.setdefault(key, {}).setdefault(asset, {})[input_asset] = version
            last = {
                (key, asset): event
                for key, asset, event in catalog.execute(
                    "select partition, asset, event from latest"
                ).fetchall()
            }
        return now, last, inputs

    def _look(
        self,
        record: MediaRecord,
        asset: str,
        mine: Mapping[str, _Now],
        inputs: Mapping[str, Mapping[str, str]],
        renewed: Mapping[str, Stale],
    ) -> tuple[tuple[Reason, ...], str, Mapping[str, Any]] | None:
        """Return why an asset of a media is out of date, or None."""
        maker, product = self._products[asset]
        if asset not in mine:
            if any(name not in mine and name not in renewed for name in product.inputs):
                return None
            return ("new",), "the recipe asks for it", {}
        has = mine[asset]
        reasons: list[Reason] = []
        said: list[str] = []
        overrides: Mapping[str, Any] = {}
        if has.code_version != product.code_version:
            reasons.append("code")
            said.append(f"code {has.code_version} → {product.code_version}")
        wanted = self._want(record, maker, product, {})
        if wanted and self._differs(product, has, wanted):
            overrides = self._overrides(asset, has.version)
            wanted = self._want(record, maker, product, overrides) if overrides else wanted
        if wanted and (changed := self._differs(product, has, wanted)):
            reasons.append("settings")
            said.append("settings " + ", ".join(changed))
        if wanted and maker.identify is None and has.model != wanted.model:
            reasons.append("model")
            said.append(f"{_spoken(has.model)} → {_spoken(wanted.model)}")
        used = inputs.get(asset, {})
        moved = [n for n, v in used.items() if n in renewed or (n in mine and mine[n].version != v)]
        for name, asks in product.optional_inputs.items():
            if wanted and asks(wanted.settings) and name in mine and name not in used:
                moved.append(name)
        if moved:
            reasons.append("input")
            said.append(f"{', '.join(moved)} changed")
        return (tuple(reasons), "; ".join(said), overrides) if reasons else None

    def _want(
        self, record: MediaRecord, maker: Maker, product: Product, overrides: Mapping[str, Any]
    ) -> _Wanted | None:
        """How an asset should be made; None when its sidecar is wrong or its model not here."""
        mine = record.sidecar.get(product.name, {})
        given = json.dumps([mine, overrides], sort_keys=True, default=str)
        recipe = self._recipe(product.name, record)
        place = (recipe.name, product.name, given)
        if place not in self._wanted:
            try:
                settings = product.settings.merged(
                    product.name,
                    (recipe.where, recipe.settings.get(product.name, {})),
                    ("sidecar", mine),
                    ("run config", overrides),
                )
                choice = self._choose(maker, product, settings)
            except (SettingsError, LookupError):
                self._wanted[place] = None
            else:
                ref = choice.model if choice else None
                model = (
                    choice.engine if choice else None,
                    ref.name if ref else None,
                    ref.sha256 if ref else None,
                )
                self._wanted[place] = _Wanted(settings, settings.identity(), model)
        return self._wanted[place]

    def _choose(self, maker: Maker, product: Product, settings: Settings) -> Choice | None:
        from resources.accelerator import DeviceError
        from resources.models import ModelError

        if maker.choose is None:
            return None
        try:
            return maker.choose(settings)
        except (ModelError, DeviceError) as error:
            raise LookupError(str(error)) from error

    def _differs(self, product: Product, has: _Now, wanted: _Wanted) -> list[str]:
        """Return the settings that are not as they should be, as ``name old → new``."""
        place = (product.name, has.settings)
        if place not in self._parsed:
            stored = json.loads(has.settings)
            try:
                self._parsed[place] = product.settings.model_validate(stored).identity()
            except ValidationError:  # made when there were other settings
                self._parsed[place] = stored
        stored = self._parsed[place]
        if stored == wanted.identity:
            return []
        names = sorted({*stored, *wanted.identity})
        return [
            f"{name} {stored.get(name)} → {wanted.identity.get(name)}"
            for name in names
            if stored.get(name) != wanted.identity.get(name)
        ]

    def _overrides(self, asset: str, version: str) -> Mapping[str, Any]:
        artifact: Artifact | None = self._studio.store.find(asset, version)
        return artifact.manifest.overrides if artifact else {}


def _spoken(model: Sequence[str | None]) -> str:
    engine, name, digest = model
    return " ".join(filter(None, [engine, name, (digest or "")[:8]])) or "no model"


# ---------------------------------------------------------------------- pricing


@dataclass(frozen=True)
class Prices:
    """What assets took so far, for each second of media and each device: medians."""

    rates: Mapping[str, Cost]
    """Asset → cost of a second of media, on the device that it was made on last."""
    lengths: Mapping[str, float]
    """Media → seconds."""
    errors: Mapping[str, float]
    """Asset → median error of this way to predict, over what was made, as a share."""

    @classmethod
    def of(cls, studio: Studio) -> Prices:
        """Read them from the catalog as it is."""
        from av_pipelines.reports.catalog import reading

        with reading(studio.store) as catalog:
            rows = catalog.execute(_RATES).fetchall()
            lengths = dict(
                catalog.execute(
                    "select partition, duration_s from media where duration_s is not null"
                ).fetchall()
            )
        rates = {asset: Cost(wall, cpu, gpu, usd) for asset, wall, cpu, gpu, usd, _ in rows}
        errors = {asset: error for asset, *_, error in rows if error is not None}
        return cls(rates, lengths, errors)

    def of_asset(self, asset: str, key: str) -> Cost:
        """Predict what making an asset of a media takes."""
        rate, length = self.rates.get(asset), self.lengths.get(key)
        if rate is None or length is None:
            return Cost()

        def times(value: float | None) -> float | None:
            return None if value is None else value * length

        return Cost(times(rate.wall_s), times(rate.cpu_s), times(rate.gpu_s), times(rate.usd))


# Only what was made on the device that is used now, and long enough ago to forget no trend.
_RATES = """
with made as (
    select l.asset, coalesce(l.device, 'cpu') as device, l.ts, l.wall_s, l.cpu_s, l.gpu_s, l.usd,
        coalesce(l.duration_s, media.duration_s) as media_s
    from ledger l left join media using (partition)
    where l.event = 'made'
),
timed as (
    select *, last_value(device) over (
        partition by asset order by ts rows between unbounded preceding and unbounded following
    ) as used_now
    from made where media_s > 0
),
rates as (
    select asset, median(wall_s / media_s) as wall, median(cpu_s / media_s) as cpu,
        median(gpu_s / media_s) as gpu, median(usd / media_s) as usd
    from timed where device = used_now group by asset
)
select asset, wall, cpu, gpu, rates.usd,
    median(abs(rates.cpu * media_s - cpu_s) / nullif(cpu_s, 0))
from rates join timed using (asset) where device = used_now
group by all
"""


# ---------------------------------------------------------------------- budgets


@dataclass(frozen=True)
class Budget:
    """What may be spent at a time; None: no bound."""

    hours: float | None = None
    """Of wall time."""
    usd: float | None = None

    def holds(self, cost: Cost) -> bool:
        """Whether a cost fits; what is not known counts as nothing."""
        return (self.hours is None or (cost.wall_s or 0.0) <= self.hours * 3600) and (
            self.usd is None or (cost.usd or 0.0) <= self.usd
        )


def affordable(stale: Sequence[Stale], budget: Budget, spent: Cost = Cost()) -> list[Stale]:
    """Return what of it fits a budget, media by media, in order; at least one media if none went.

    A media is made whole or not at all: half of it would be out of date in itself.
    """
    taken: list[Stale] = []
    groups: dict[str, list[Stale]] = {}
    for item in stale:
        groups.setdefault(item.key, []).append(item)
    for items in groups.values():
        cost = spent
        for item in items:
            cost = cost + item.cost
        if not budget.holds(cost) and (taken or spent != Cost()):
            break
        spent = cost
        taken += items
    return taken
