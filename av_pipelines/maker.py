"""The one way anything is made: from settings to a published artifact and a ledger record.

A room gives a ``Maker``: its products and a plain function that fills folders. ``make`` does the
rest for one partition at a time: settings, version, reuse, staging, metering, verifying,
publishing, linking, ledger, and one partition's failure kept to it. Nothing here knows Dagster
(``dagster_assets`` does) or what any asset is about.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from av_pipelines.settings import (
    Recipes,
    Settings,
    SettingsError,
    Values,
    sidecars_of,
)
from resources.accelerator import DeviceError
from resources.ledger import Entry, Event, Ledger
from resources.manifest import (
    FileRef,
    InputRef,
    Manifest,
    MediaRecord,
    ModelRef,
    PartitionRecord,
    ProjectRecord,
    PromptRecord,
    Quarantine,
)
from resources.metering import Cost, Meter
from resources.models import ModelError
from resources.rates import Rates, load_rates
from resources.store import Artifact, Store, describe_files

log = logging.getLogger(__name__)


# ---------------------------------------------------------------------- what a room says


@dataclass(frozen=True)
class Skip:
    """An asset does not apply to this file, and why: not a failure."""

    reason: str


@dataclass(frozen=True)
class Made:
    """What came out of making one asset, beside the files in its folder."""

    facts: Mapping[str, Any]
    degraded: str | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Label → file name of a small picture in the folder, shown in the UI."""
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Label → rows shown in the UI; keep them few."""


@dataclass(frozen=True)
class Choice:
    """The engine and model that will do the work; part of the version."""

    engine: str
    model: ModelRef | None = None
    degraded: str | None = None
    handle: Any = None
    """What the maker needs to use it, such as a model's folder."""


@dataclass(frozen=True)
class Check:
    """What must hold of an artifact: an asset check of Dagster."""

    name: str
    description: str
    wrong: Callable[[Checked], str | None]
    """None, or what is wrong."""
    blocking: bool = False
    """Whether nothing may be made from an artifact of which it does not hold."""


@dataclass(frozen=True)
class Checked:
    """What checks go by."""

    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    """Asset → its facts, of what it was made from."""


class Refused(Exception):
    """A file that must go to quarantine.

    Args:
        reason: a sentence for a person.
        command: given where the file is now, what shows the same by hand.
        detail: more, for an engineer.
    """

    def __init__(
        self, reason: str, command: Callable[[Path], str], detail: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason, self.command, self.detail = reason, command, detail


@dataclass(frozen=True)
class Product:
    """One asset: what it is called, made from, and set by."""

    name: str
    description: str
    group: str
    settings: type[Settings]
    code_version: str
    inputs: tuple[str, ...] = ()
    optional_inputs: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    """Input → whether its settings ask for it. It is used if it is there; the asset is made
    without it otherwise, and is out of date once it comes."""
    kinds: frozenset[str] = frozenset()
    applies: Callable[[Mapping[str, Artifact]], str | None] = lambda inputs: None
    """Given the inputs: None, or why the asset does not apply to this file."""
    verify: Callable[[Path, Mapping[str, Any]], None] = lambda folder, facts: None
    """Check staged files against the facts; raise ValueError with what is wrong."""
    checks: tuple[Check, ...] = ()
    """What must hold beyond that of an artifact; it is published all the same, and marked."""


class Progress(Protocol):
    """Hear how far the work is."""

    def __call__(self, share: float, tokens: tuple[int, int] | None = None) -> None:
        """Hear that a share (0 to 1) is done; of models that count: tokens done, and in all."""
        ...


Partitions = Literal["media", "prompts", "projects"]
"""What an asset is made for: a dropped file, a request for a track, a project."""

_RECORDS: Mapping[Partitions, type[PartitionRecord]] = {
    "media": MediaRecord,
    "prompts": PromptRecord,
    "projects": ProjectRecord,
}


@dataclass
class Job:
    """All that a maker's function is given to make some products of one partition."""

    media: Any
    """What is known of the partition: a ``MediaRecord``, ``PromptRecord`` or ``ProjectRecord``."""
    settings: Mapping[str, Any]
    """Product → its settings object, of all that were asked for."""
    inputs: Mapping[str, Artifact]
    out: Mapping[str, Path]
    """Product → the empty folder to fill; only the products that are to be made."""
    meter: Meter
    progress: Progress
    choice: Choice | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """Product → the version that is being made."""
    sources: tuple[InputRef, ...] = ()
    """What ``Maker.sources`` found: to be resolved by version, so that nothing changes between."""
    store: Store | None = None
    """Where to find what ``sources`` names; nothing is written there."""


@dataclass(frozen=True)
class Maker:
    """A function that makes one product, or several in one go, and what it needs around it."""

    name: str
    products: tuple[Product, ...]
    make: Callable[[Job], Mapping[str, Made | Skip]]
    partitions: Partitions = "media"
    pool: str | None = None
    """Dagster's concurrency pool: how many of these run at once on all machines together.

    `decode` reads media, `encode` writes them, `gpu` runs a network, `generation` makes tracks.
    """
    choose: Callable[[Any], Choice] | None = None
    """Settings of the first product → engine and model."""
    identify: Callable[[MediaRecord, Store], tuple[MediaRecord, str]] | None = None
    """For the product that is a dropped file: its record, completed, and its version."""
    settle: Callable[[Any, Store], None] | None = None
    """Called when the products are published: what must not happen before that."""
    sources: Callable[[Any, Any, Store], Sequence[InputRef]] | None = None
    """Record, settings of the first product, store → what it is made from beside its inputs:
    artifacts of other partitions, and files by their hash. They are part of the version."""
    takes: Callable[[Any], Sequence[Values]] | None = None
    """Settings of the only product → settings that differ in each further take of it. What such a
    maker makes is kept as takes, of which the library shows the one that was chosen."""


# ---------------------------------------------------------------------- what comes out


@dataclass(frozen=True)
class Outcome:
    """What happened to one asset of one media."""

    event: Event
    asset: str
    key: str
    artifact: Artifact | None = None
    reason: str | None = None
    cost: Cost = field(default_factory=Cost)
    retryable: bool = False
    """A failure that may get better by itself: memory, disk, network, a busy device."""

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong; a skipped asset is fine."""
        return self.event in ("made", "reused", "skipped")


class Observer(Protocol):
    """Who wants to hear of progress and outcomes while things are made."""

    def progress(
        self, key: str, asset: str, share: float, tokens: tuple[int, int] | None = None
    ) -> None:
        """Hear that a share (0 to 1) of an asset is done; and tokens, see ``Progress``."""
        ...

    def outcome(self, outcome: Outcome) -> None:
        """Hear what happened to an asset."""
        ...


_observers: ContextVar[tuple[Observer, ...]] = ContextVar("observers", default=())


@contextlib.contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Send progress and outcomes of everything made inside the block to an observer too."""
    token = _observers.set((*_observers.get(), observer))
    try:
        yield
    finally:
        _observers.reset(token)


@dataclass(frozen=True)
class Studio:
    """What every maker works with."""

    store: Store
    ledger: Ledger
    recipes: Recipes


# ---------------------------------------------------------------------- making


class _Missing(Exception):
    """An input is not there."""


@dataclass
class _Plan:
    """One product of one media, as far as it is known before anything is made."""

    product: Product
    settings: Settings
    version: str
    inputs: dict[str, InputRef]
    choice: Choice | None


def make(
    studio: Studio,
    maker: Maker,
    key: str,
    *,
    selected: Sequence[str] | None = None,
    overrides: Mapping[str, Values] | None = None,
    run_id: str | None = None,
) -> list[Outcome]:
    """Make, or find already made, the products of a maker for one partition.

    Never raises for what a file, a setting or a model can cause: every product has an outcome,
    every outcome is in the ledger, and the library shows what is current.

    Args:
        studio: store, ledger, recipes.
        maker: what to make.
        key: the partition.
        selected: names of the products wanted; None means all.
        overrides: settings of the run, asset → values; above recipe and sidecar.
        run_id: of the Dagster run, for manifest and ledger.
    """
    wanted = [p for p in maker.products if selected is None or p.name in selected]
    first = _Making(studio, maker, key, wanted, overrides or {}, run_id)
    outcomes = first.outcomes()
    for product in wanted if maker.takes else ():
        if settings := first.settings.get(product.name):
            for values in cast("Any", maker.takes)(settings):
                take = {product.name: {**(overrides or {}).get(product.name, {}), **values}}
                outcomes += _Making(studio, maker, key, wanted, take, run_id).outcomes()
    if maker.settle and first.record and all(outcome.ok for outcome in outcomes):
        try:
            maker.settle(first.record, studio.store)
        except OSError as error:  # all is published; only what was dropped is still there
            log.warning("%s is done, but its origin stays where it is: %s", key, error)
    return outcomes


class _Making:
    def __init__(
        self,
        studio: Studio,
        maker: Maker,
        key: str,
        wanted: Sequence[Product],
        overrides: Mapping[str, Values],
        run_id: str | None,
    ) -> None:
        self.studio, self.maker, self.key = studio, maker, key
        self.wanted, self.overrides, self.run_id = wanted, overrides, run_id
        self.store = studio.store
        self.rates = Rates()
        self.record: Any = None
        self.sources: tuple[InputRef, ...] = ()
        self.settings: dict[str, Settings] = {}
        self.recipes: dict[str, str] = {}
        self.done: list[Outcome] = []

    def outcomes(self) -> list[Outcome]:
        meter = Meter(self.run_id)
        try:
            with meter:
                self._work(meter)
        except Refused as refusal:
            self._refuse(refusal, meter.cost)
        except Exception as error:
            if not isinstance(error, SettingsError | ModelError | DeviceError):
                log.exception("%s of %s failed", self.maker.name, self.key)
            said = str(error) or type(error).__name__
            left = self._left()
            for product in left:
                cost = self._share(meter.cost, len(left))
                self._note("failed", product, reason=said, cost=cost, error=error)
        return self.done

    def _left(self) -> list[Product]:
        told = {outcome.asset for outcome in self.done}
        return [p for p in self.wanted if p.name not in told]

    # ------------------------------------------------------------ the work

    def _work(self, meter: Meter) -> None:
        try:
            self.rates = load_rates(self.store.root)
        except ValueError as error:  # work goes on, unpriced
            log.warning("prices are not known: %s", error)
        kind = self.maker.partitions
        record = self.record = self.store.record(self.key, _RECORDS[kind])
        if record is None:
            raise LookupError(f"nothing is known of {self.key}: {_HOW_TO_BEGIN[kind]}")
        for product in self.wanted:
            self.settings[product.name] = self._resolve(product, record)
        given: dict[str, str] = {}
        if self.maker.identify:
            record = cast("MediaRecord", record)
            known = self.store.quarantined(self.key)
            if known and known.attempt == self._attempt(record):
                raise Refused(known.reason, lambda path: known.command, known.detail)
            record, given[self.maker.products[0].name] = self.maker.identify(record, self.store)
            self.record = record
        if self.maker.sources:
            settings = next(iter(self.settings.values()))
            self.sources = tuple(self.maker.sources(record, settings, self.store))
        plans: dict[str, _Plan] = {}
        for product in self.wanted:
            try:
                plans[product.name] = self._plan(product, given, plans)
            except _Missing as missing:
                self.store.unlink(self.key, product.name)
                self._note("skipped", product, reason=str(missing))
        if not plans:
            return
        first = next(iter(plans.values()))
        with self.store.making(self.maker.name, first.version):
            missing = {n: p for n, p in plans.items() if not self._reuse(p)}
            self._drop_inapplicable(missing)
            if missing:
                self._make(record, missing, meter)
        if self.maker.identify:
            self.store.release(self.key)

    def _resolve(self, product: Product, record: PartitionRecord) -> Settings:
        earlier = record.earlier if isinstance(record, MediaRecord) else ()
        recipe = self.studio.recipes.choose(product.name, record.recipe, earlier)
        self.recipes[product.name] = recipe.name
        return product.settings.merged(
            product.name,
            (recipe.where, recipe.settings.get(product.name, {})),
            (_where(record), record.sidecar.get(product.name, {})),
            ("run config", self.overrides.get(product.name, {})),
        )

    def _attempt(self, record: MediaRecord) -> str:
        """Hash of what a refusal depends on: while it stays, trying again is no use."""
        return _hash(
            {
                "file": [record.size, record.mtime_ns],
                "code": {p.name: p.code_version for p in self.wanted},
                "settings": {n: s.model_dump(mode="json") for n, s in self.settings.items()},
            }
        )

    def _plan(
        self, product: Product, given: Mapping[str, str], plans: Mapping[str, _Plan]
    ) -> _Plan:
        settings = self.settings[product.name]
        inputs: dict[str, InputRef] = {}
        for name in product.inputs:
            version = plans[name].version if name in plans else self._current(name).version
            inputs[name] = InputRef(asset=name, partition=self.key, version=version)
        for name, wanted in product.optional_inputs.items():
            if wanted(settings) and (version := self._version_at_hand(name)):
                inputs[name] = InputRef(asset=name, partition=self.key, version=version)
        if product.name in given:
            return _Plan(product, settings, given[product.name], inputs, None)
        choice = self.maker.choose(settings) if self.maker.choose else None
        version = version_of(product, settings, choice, [*inputs.values(), *self.sources])
        return _Plan(product, settings, version, inputs, choice)

    def _version_at_hand(self, asset: str) -> str | None:
        try:
            return self._current(asset).version
        except _Missing:
            return None

    def _current(self, asset: str) -> Artifact:
        """The current artifact of another asset, if it was made from what is current too."""
        artifact = self.store.current(self.key, asset)
        if artifact is None:
            raise _Missing(f"it has no {asset}")
        for ref in artifact.manifest.inputs:
            if ref.partition == self.key and self._current(ref.asset).version != ref.version:
                raise _Missing(f"its {asset} was made from an older {ref.asset}")
        if artifact.manifest.blocked:
            raise _Missing(f"its {asset} did not pass a check: {artifact.manifest.blocked}")
        return artifact

    def _reuse(self, plan: _Plan) -> bool:
        artifact = self.store.find(plan.product.name, plan.version)
        if artifact is None:
            return False
        self._link(plan, artifact)
        if self.store.find(plan.product.name, plan.version) is None:
            return False  # it was just removed as old
        self._note("reused", plan.product, artifact=artifact)
        return True

    def _link(self, plan: _Plan, artifact: Artifact) -> None:
        """Show an artifact in the library.

        Of takes the chosen one stays, unless this is the same anew: made by other code or another
        model.
        """
        if self.maker.takes:
            self.store.add_take(self.key, artifact)
            chosen = self.store.current(self.key, plan.product.name)
            if chosen and plan.settings.identity() != {
                name: value
                for name, value in chosen.manifest.settings.items()
                if name not in plan.settings.neutral
            }:
                return
        self.store.link(self.key, artifact)

    def _inputs(self, plans: Mapping[str, _Plan]) -> dict[str, Artifact]:
        """The input artifacts that exist; one that is being made in the same go does not yet."""
        found: dict[str, Artifact] = {}
        for plan in plans.values():
            for name, ref in plan.inputs.items():
                artifact = self.store.find(ref.asset, ref.version)
                if artifact:
                    found[name] = artifact
        return found

    def _drop_inapplicable(self, missing: dict[str, _Plan]) -> None:
        for name, plan in list(missing.items()):
            inputs = self._inputs({name: plan})
            reason = plan.product.applies(inputs) if len(inputs) == len(plan.inputs) else None
            if reason:
                self._skip(plan.product, reason)
                del missing[name]

    def _skip(self, product: Product, reason: str, cost: Cost | None = None) -> None:
        self.store.unlink(self.key, product.name)
        self._note("skipped", product, reason=reason, cost=cost)

    def _make(self, record: PartitionRecord, plans: Mapping[str, _Plan], meter: Meter) -> None:
        observers = _observers.get()
        label = list(plans)[-1]  # of several, the last is what the work is about

        def progress(share: float, tokens: tuple[int, int] | None = None) -> None:
            for observer in observers:
                observer.progress(self.key, label, share, tokens)

        with contextlib.ExitStack() as stack:
            job = Job(
                media=record,
                settings=self.settings,
                inputs=self._inputs(plans),
                out={name: stack.enter_context(self.store.stage()) for name in plans},
                meter=meter,
                progress=progress,
                choice=next(iter(plans.values())).choice,
                versions={name: plan.version for name, plan in plans.items()},
                sources=self.sources,
                store=self.store,
            )
            results = self.maker.make(job)
            made = {n: r for n, r in results.items() if isinstance(r, Made)}
            for name, result in made.items():
                plans[name].product.verify(job.out[name], result.facts)
            files = {name: describe_files(job.out[name]) for name in made}
            cost = self._share(meter.book(), len(made) or len(plans))
            for name, plan in plans.items():
                result = results[name]
                if isinstance(result, Skip):  # finding out was the work where nothing was made
                    self._skip(plan.product, result.reason, None if made else cost)
                else:
                    self._publish(plan, job.out[name], files[name], result, cost)

    def _publish(
        self, plan: _Plan, folder: Path, files: tuple[FileRef, ...], made: Made, cost: Cost
    ) -> None:
        product, choice = plan.product, plan.choice
        facts = dict(made.facts)
        duration = facts.get("duration_s")
        if duration and cost.wall_s:
            facts.setdefault("realtime_factor", round(duration / cost.wall_s, 2))
        degraded = "; ".join(filter(None, [choice and choice.degraded, made.degraded])) or None
        wrong = wrongs(product, Checked(facts, plan.settings.model_dump(), self._input_facts(plan)))
        blocking = {check.name for check in product.checks if check.blocking}
        if not files:
            raise ValueError(f"{product.name}: no file came out")
        manifest = Manifest(
            asset=product.name,
            partition=self.key,
            version=plan.version,
            created=datetime.now(UTC),
            code_version=product.code_version,
            settings=plan.settings.model_dump(mode="json"),
            overrides=dict(self.overrides.get(product.name, {})),
            engine=choice.engine if choice else None,
            model=choice.model if choice else None,
            inputs=(*plan.inputs.values(), *self.sources),
            files=files,
            facts=facts,
            degraded=degraded,
            checks=wrong,
            blocked="; ".join(s for n, s in wrong.items() if s and n in blocking) or None,
            pictures=dict(made.pictures),
            tables=dict(made.tables),
            cost=cost,
            run_id=self.run_id,
        )
        entry = self._entry("made", product, manifest, cost=cost)
        with self.studio.ledger.intent(entry):  # who is killed in here leaves word of it
            artifact = self.store.publish(folder, manifest)
            self._link(plan, artifact)
            self._note("made", product, artifact=artifact, cost=cost, entry=entry)

    def _input_facts(self, plan: _Plan) -> dict[str, Mapping[str, Any]]:
        found = {ref.asset: self.store.find(ref.asset, ref.version) for ref in plan.inputs.values()}
        return {name: artifact.manifest.facts for name, artifact in found.items() if artifact}

    # ------------------------------------------------------------ what is told

    def _refuse(self, refusal: Refused, cost: Cost) -> None:
        record = cast("MediaRecord", self.record)
        origin = Path(record.origin)
        moved = record.claim == "move"
        now = self.store.quarantine_dir / self.key / origin.name if moved else origin
        self.store.quarantine(
            Quarantine(
                key=self.key,
                origin=record.origin,
                reason=refusal.reason,
                detail=refusal.detail,
                command=refusal.command(now),
                attempt=self._attempt(record),
                created=datetime.now(UTC),
            ),
            *((origin, *sidecars_of(origin)) if moved else ()),
        )
        left = self._left()
        for product in left:
            self.store.unlink(self.key, product.name)
            shared = self._share(cost, len(left))
            self._note("quarantined", product, reason=refusal.reason, cost=shared)

    def _share(self, cost: Cost, parts: int) -> Cost:
        """Split the cost of one go evenly among its products, and price it."""
        parts = max(parts, 1)
        cpu, gpu = cost.cpu_s / parts, cost.gpu_s / parts
        return cost.model_copy(
            update={
                "wall_s": round(cost.wall_s / parts, 4),
                "cpu_s": round(cpu, 4),
                "gpu_s": round(gpu, 4),
                "usd": self.rates.price(cpu, gpu),
            }
        )

    def _note(
        self,
        event: Event,
        product: Product,
        *,
        artifact: Artifact | None = None,
        reason: str | None = None,
        cost: Cost | None = None,
        error: Exception | None = None,
        entry: Entry | None = None,
    ) -> None:
        cost = cost or Cost()
        outcome = Outcome(
            event, product.name, self.key, artifact, reason, cost, _may_get_better(error)
        )
        manifest = artifact.manifest if artifact else None
        entry = entry or self._entry(event, product, manifest, reason=reason, cost=cost)
        try:
            self.studio.ledger.append(entry)
        except OSError as fault:  # tried again it is reused, and the ledger can be rebuilt
            told = f"{event}: {reason}" if reason else event
            said = f"it was {told}, but the ledger cannot be written: {fault}"
            log.error("%s of %s: %s", product.name, self.key, said)
            retryable = outcome.retryable or _may_get_better(fault)
            outcome = Outcome(
                "failed", product.name, self.key, reason=said, cost=cost, retryable=retryable
            )
        self.done.append(outcome)
        for observer in _observers.get():
            observer.outcome(outcome)

    def _entry(
        self,
        event: Event,
        product: Product,
        manifest: Manifest | None,
        *,
        cost: Cost,
        reason: str | None = None,
    ) -> Entry:
        return Entry(
            event=event,
            asset=product.name,
            partition=self.key,
            manifest=manifest,
            reason=reason,
            cost=cost,
            recipe=self._recipe_of(product),
            origin=self.record.origin if self.record else None,
            run_id=self.run_id,
        )

    def _recipe_of(self, product: Product) -> str | None:
        record = self.record
        if not isinstance(record, MediaRecord):
            return None  # only files have recipes
        return self.recipes.get(product.name, record.recipe)


_HOW_TO_BEGIN: Mapping[Partitions, str] = {
    "media": "drop its file in the inbox or take it with `avp run PATH`",
    "prompts": "drop a prompt in inbox/prompts or ask for it with `avp track PROMPT`",
    "projects": "drop its folder in inbox/projects or take it with `avp video PROJECT`",
}


def _where(record: PartitionRecord) -> str:
    return f"sidecar of {record.origin}" if isinstance(record, MediaRecord) else record.origin


def wrongs(product: Product, checked: Checked) -> dict[str, str | None]:
    """Return what is wrong by each check of a product, None where it holds."""
    return {check.name: check.wrong(checked) for check in product.checks}


def version_of(
    product: Product,
    settings: Settings,
    choice: Choice | None,
    inputs: Iterable[InputRef],
) -> str:
    """Return the SHA-256 over all that decides what comes out (DESIGN §2, *version*)."""
    return _hash(
        {
            "asset": product.name,
            "code_version": product.code_version,
            "settings": settings.identity(),
            "engine": choice.engine if choice else None,
            "model": choice.model.model_dump() if choice and choice.model else None,
            "inputs": sorted((ref.asset, ref.version) for ref in inputs),
        }
    )


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EBUSY}


def _may_get_better(error: Exception | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in _PASSING or isinstance(error, ConnectionError | TimeoutError)
    if isinstance(error, ModelError):
        return error.code == "MODEL_DOWNLOAD_FAILED"
    return isinstance(error, MemoryError)
