"""Makers as Dagster assets: the launchpad schema, ranged runs, events and their metadata.

The only place that turns a ``Maker`` into a Dagster asset. A run makes one media or a whole range
of them in one process, so that start-up is paid once; every file that is done is logged as a
materialization of its own partition at that moment, and no file's failure costs another's result.
"""

import base64
import random
import types
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from av_pipelines.maker import Maker, Outcome, Partitions, Product, Studio, make, observed
from av_pipelines.makers import open_studio
from av_pipelines.milestones import Milestones
from av_pipelines.reports.pages.address import page_url
from av_pipelines.settings import help_texts
from partitions.media import media_partitions
from partitions.projects import project_partitions
from partitions.prompts import prompt_partitions
from resources.manifest import InputRef
from resources.store import Artifact, Store

BATCH = 25
"""Most files in one run: start-up (about 5 s) is then paid once for all of them."""

PARTITIONS: Mapping[Partitions, dg.DynamicPartitionsDefinition] = {
    "media": media_partitions,
    "prompts": prompt_partitions,
    "projects": project_partitions,
}

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config by which a run does not print its every event: they are on its page in the UI."""

_INLINE_PICTURE_BYTES = 50_000  # every event stores its copy
_MAX_RETRIES = 2
_FIRST_DELAY_S = 5.0

# An output with this mark produces no materialization of its own: Dagster would write one for
# every partition of the range, also for those that failed. We log one per file that is done.
_NO_EVENT_OF_ITS_OWN = {"__source_asset_observation__": True}


class StudioResource(dg.ConfigurableResource):
    """The store that a run works in, as a Dagster resource."""

    store: str = Field(description="Folder of the store.")

    def open(self) -> Studio:
        """Return the studio in that folder."""
        return open_studio(Path(self.store))


def asset_of(maker: Maker) -> dg.AssetsDefinition:
    """Return the Dagster asset (or assets, made in one go) of a maker."""
    products = {product.name: product for product in maker.products}
    names = list(products)

    @dg.multi_asset(
        name=maker.name,
        specs=[_spec(product) for product in maker.products],
        can_subset=len(maker.products) > 1,
        partitions_def=PARTITIONS[maker.partitions],
        backfill_policy=dg.BackfillPolicy.multi_run(BATCH),
        config_schema=_config_schema(maker),
        pool=maker.pool,
    )
    def step(
        context: dg.AssetExecutionContext, studio: StudioResource
    ) -> Iterator[dg.Output[None]]:
        config = context.op_execution_context.op_config or {}
        overrides = config if len(maker.products) > 1 else {names[0]: config}
        selected = {key.to_user_string() for key in context.selected_asset_keys}
        opened = studio.open()
        outcomes: list[Outcome] = []
        for partition in context.partition_keys:
            with observed(_Log(context)):
                done = make(
                    opened,
                    maker,
                    partition,
                    selected=sorted(selected),
                    overrides=overrides,
                    run_id=context.run.run_id,
                )
            for outcome in done:
                _report(context, opened.store, outcome, products[outcome.asset])
            outcomes += done
        failed = [outcome for outcome in outcomes if not outcome.ok]
        if any(o.retryable for o in failed) and context.retry_number < _MAX_RETRIES:
            raise _again(context.retry_number, failed)
        # The outputs come before the failure: the run goes on with the files that are well.
        for product in maker.products:
            if product.name in selected:
                yield dg.Output(None, output_name=product.name, metadata=_NO_EVENT_OF_ITS_OWN)
        if failed:
            raise dg.Failure(_told(failed), allow_retries=False)

    return step


def checks_of(maker: Maker) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a maker's assets.

    They are evaluated where an artifact is published and logged there; run by themselves they
    tell again what its manifest says.
    """
    products = {p.name: p for p in maker.products if p.checks}
    specs = [
        dg.AssetCheckSpec(
            check.name,
            asset=product.name,
            description=check.description,
            partitions_def=PARTITIONS[maker.partitions],
        )
        for product in products.values()
        for check in product.checks
    ]
    if not specs:
        return []

    @dg.multi_asset_check(name=f"{maker.name}_checks", specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, studio: StudioResource
    ) -> Iterator[dg.AssetCheckResult]:
        store = studio.open().store
        partitions = context.op_execution_context.partition_keys
        if len(partitions) > 1:
            return  # a result has no partition of its own: of a range, those logged above stand
        (partition,) = partitions
        for product in products.values():
            artifact = store.current(partition, product.name)
            for evaluation in _evaluations(product, artifact, partition) if artifact else ():
                if evaluation.asset_check_key in context.selected_asset_check_keys:
                    yield dg.AssetCheckResult(
                        passed=evaluation.passed,
                        asset_key=evaluation.asset_key,
                        check_name=evaluation.check_name,
                        severity=evaluation.severity,
                        metadata=evaluation.metadata,
                    )

    return [cast("dg.AssetChecksDefinition", checks)]


def _evaluations(
    product: Product, artifact: Artifact, partition: str
) -> Iterator[dg.AssetCheckEvaluation]:
    wrong = artifact.manifest.checks
    for check in product.checks:
        if check.name in wrong:
            said = wrong[check.name]
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(product.name),
                check_name=check.name,
                passed=said is None,
                severity=(
                    dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN
                ),
                metadata={"said": dg.MetadataValue.text(said)} if said else {},
                partition=partition,
            )


def _spec(product: Product) -> dg.AssetSpec:
    return dg.AssetSpec(
        product.name,
        deps=[*product.inputs, *product.optional_inputs],
        description=product.description,
        group_name=product.group,
        code_version=product.code_version,
        kinds=set(product.kinds),
    )


def _told(failed: Sequence[Outcome]) -> str:
    return "\n".join(f"{o.key}: {o.asset} {o.event}: {o.reason}" for o in failed)


def _again(retry: int, failed: Sequence[Outcome]) -> dg.RetryRequested:
    """Ask for the step again, for what may get better by itself; each time later, with jitter.

    Not a ``RetryPolicy`` of the step: that would also try again what a person stopped.
    """
    delay = _FIRST_DELAY_S * 2**retry * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
    request = dg.RetryRequested(max_retries=_MAX_RETRIES, seconds_to_wait=delay)
    request.__cause__ = RuntimeError(_told(failed))
    return request


# ---------------------------------------------------------------------- events


class _Log:
    """Tells the run's log how far long work is."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context, self._milestones = context, Milestones()

    def progress(self, key: str, asset: str, share: float, tokens: Any = None) -> None:
        if line := self._milestones.line(key, asset, share):
            self._context.log.info(line)

    def outcome(self, outcome: Outcome) -> None:
        """Outcomes are reported as events, when all of a media are there."""


def _report(
    context: dg.AssetExecutionContext, store: Store, outcome: Outcome, product: Product
) -> None:
    artifact = outcome.artifact
    if artifact is None:
        line = f"{outcome.key}: {outcome.asset} {outcome.event}: {outcome.reason}"
        (context.log.info if outcome.ok else context.log.error)(line)
        return
    manifest = artifact.manifest
    context.log_event(
        dg.AssetMaterialization(
            asset_key=outcome.asset,
            partition=outcome.key,
            metadata=metadata_of(artifact, outcome)
            | {"page": dg.MetadataValue.url(page_url(store.reports, outcome.key, outcome.asset))},
            tags={
                "dagster/data_version": manifest.version,
                "dagster/code_version": manifest.code_version,
                **_unused(product, manifest.inputs),
                **_provenance(context.instance, _upstream(product, manifest.inputs)),
            },
        )
    )
    for evaluation in _evaluations(product, artifact, outcome.key):
        context.log_event(cast("Any", evaluation))  # it takes them; its type does not say so


def _upstream(product: Product, inputs: Sequence[InputRef]) -> list[InputRef]:
    """The inputs that Dagster knows as upstream; files and other partitions are not."""
    return [r for r in inputs if r.asset in product.inputs or r.asset in product.optional_inputs]


def _provenance(instance: dg.DagsterInstance, inputs: Sequence[InputRef]) -> dict[str, str]:
    """The tags by which Dagster tells whether an asset is out of date: what it was made from.

    Written as Dagster writes them: the version of an upstream partition is hashed, and the
    pointer is the storage id of its latest event.
    """
    tags: dict[str, str] = {}
    for ref in inputs:
        wanted = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(ref.asset), asset_partitions=[ref.partition]
        )
        records = instance.fetch_materializations(wanted, limit=1).records
        hashed = sha256(ref.version.encode()).hexdigest()
        tags[f"dagster/input_data_version/{ref.asset}"] = hashed
        pointer = str(records[0].storage_id) if records else "NULL"
        tags[f"dagster/input_event_pointer/{ref.asset}"] = pointer
    return tags


def _unused(product: Product, used: Sequence[InputRef]) -> dict[str, str]:
    """The same tags of optional inputs that were not used: Dagster takes them as unchanged."""
    names = set(product.optional_inputs) - {ref.asset for ref in used}
    tags = ("input_data_version", "input_event_pointer")
    return {f"dagster/{tag}/{name}": "NULL" for name in sorted(names) for tag in tags}


def metadata_of(artifact: Artifact, outcome: Outcome) -> dict[str, Any]:
    """Return what a person wants to see of an artifact in the UI: pictures, tables, numbers."""
    manifest = artifact.manifest
    shown: dict[str, Any] = {}
    for label, name in manifest.pictures.items():
        data = (artifact.dir / name).read_bytes()
        if len(data) <= _INLINE_PICTURE_BYTES:
            kind = "jpeg" if name.endswith(".jpg") else name.rsplit(".", 1)[-1]
            text = base64.b64encode(data).decode()
            shown[label] = dg.MetadataValue.md(f"![{label}](data:image/{kind};base64,{text})")
    for label, rows in manifest.tables.items():
        if rows:
            shown[label] = dg.MetadataValue.table([dg.TableRecord(row) for row in rows])
    for name, value in manifest.facts.items():
        if isinstance(value, bool | int | float | str):
            shown[name] = value
        elif value:
            shown[name] = dg.MetadataValue.json(value)
    if manifest.engine:
        shown["engine"] = manifest.engine
    if manifest.model:
        shown["model"] = manifest.model.name
    cost = outcome.cost
    shown |= {
        "reused": outcome.event == "reused",
        "degraded": manifest.degraded or "no",
        "folder": dg.MetadataValue.path(str(artifact.dir)),
        "made_from": dg.MetadataValue.json([i.model_dump() for i in manifest.inputs]),
        "wall_s": cost.wall_s,
        "cpu_s": cost.cpu_s,
        "peak_rss_bytes": cost.peak_rss_bytes,
    }
    if cost.gpu_s:
        shown["gpu_s"] = cost.gpu_s
    if cost.usd is not None:
        shown["usd"] = cost.usd
    return shown


# ---------------------------------------------------------------------- launchpad


def run_config(makers: Sequence[Maker], overrides: Mapping[str, Mapping[str, Any]]) -> dict:
    """Return the Dagster run config that carries settings, asset → values."""
    ops: dict[str, Any] = {}
    for maker in makers:
        mine = {p.name: dict(overrides[p.name]) for p in maker.products if p.name in overrides}
        if mine:
            config = mine if len(maker.products) > 1 else next(iter(mine.values()))
            ops[maker.name] = {"config": config}
    return {"ops": ops} if ops else {}


def _config_schema(maker: Maker) -> dict[str, dg.Field]:
    """The settings models as launchpad schema; what is left out falls to sidecar and recipe."""
    if len(maker.products) == 1:
        return _fields(maker.products[0].name, maker.products[0].settings)
    shapes = {p.name: dg.Shape(_fields(p.name, p.settings)) for p in maker.products}
    return {name: dg.Field(shape, is_required=False) for name, shape in shapes.items()}


def _fields(path: str, model: type[BaseModel]) -> dict[str, dg.Field]:
    texts = help_texts(model)
    return {
        name: dg.Field(
            _config_type(f"{path}_{name}", field.annotation),
            is_required=False,
            description=_help(field, texts.get(name)),
        )
        for name, field in model.model_fields.items()
    }


def _help(field: FieldInfo, text: str | None) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    return f"{text or ''} Default: {default!r}.".strip()


def _config_type(path: str, kind: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _config_type(path, args[0])
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in args if a is not type(None)]
        return dg.Noneable(_config_type(path, inner))
    if origin is Literal:
        return dg.Enum(path, [dg.EnumValue(str(value)) for value in args])
    if origin in (tuple, list, frozenset):
        return dg.Array(_config_type(path, args[0]))
    if origin is dict:
        return dg.Map(str, _config_type(path, args[1]))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return dg.Shape(_fields(path, kind))
    simple = {bool: dg.Bool, int: dg.Int, float: dg.Float, str: dg.String}
    return simple[kind]
