"""The report: one page that tells what the studio made, what failed, and what it cost.

Here: what the page says, from the catalog and the manifests; which pages of media to write with it.
Not here: how it looks (``pages``), the catalog (``catalog``).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from av_pipelines.reports.catalog import jsonable, reading, refresh
from av_pipelines.reports.pages.address import REPORT, page_path
from av_pipelines.reports.pages.naming import KINDS, name_of
from av_pipelines.reports.pages.writing import UPLOT, changed, render, write_page
from partitions.keys import is_key
from resources.manifest import FileRef, Manifest
from resources.store import Artifact, Store, write_durably

if TYPE_CHECKING:
    import duckdb

_MEDIA = 50  # the page shows so many of the latest; the catalog has them all
_FAILURES = 50
_FILES = 12  # of one artifact; its folder has them all

_FACTS = {
    "integrated_lufs": "{:.1f} LUFS",
    "language": "{}",
    "words": "{:,} words",
    "fps": "{:.5g} fps",
}
"""What a person looks for first, and how it is written."""

_TOTALS = """
select
    (select count(*) from media) as media,
    (select count(distinct partition) from library where asset = 'track') as tracks,
    (select count(distinct partition) from library where asset = 'timeline') as films,
    (select count(*) from media where state = 'partial') as partial,
    (select count(*) from media where state = 'quarantined') as quarantined,
    (select sum(duration_s) from media) as duration_s,
    (select count(*) from artifacts) as artifacts,
    (select count(*) from artifacts where current) as current,
    (select sum(bytes) from storage) as bytes,
    (select count(*) from ledger_files where fault is not null) as damaged,
    sum(cpu_s) as cpu_s,
    sum(gpu_s) as gpu_s,
    sum(usd) as usd,
    count(*) filter (usd is null and (cpu_s > 0 or gpu_s > 0)) as unpriced
from costs
"""
_ASSETS = """
select
    costs.asset,
    count(*) filter (event = 'made') as made,
    count(*) filter (event = 'reused') as reused,
    count(*) filter (event = 'skipped') as skipped,
    count(*) filter (event in ('failed', 'quarantined')) as failed,
    median(realtime_factor) as realtime_factor,
    sum(cpu_s) as cpu_s,
    sum(gpu_s) as gpu_s,
    sum(usd) as usd,
    count(*) filter (usd is null and (cpu_s > 0 or gpu_s > 0)) as unpriced,
    any_value(kept.bytes) as bytes
from costs
left join (select asset, sum(bytes) as bytes from storage group by asset) as kept using (asset)
group by costs.asset
order by min(ts)
"""
_RECENT = """
with generated as (
    select
        held.partition, held.partition as origin, 'done' as state, min(since) as first_seen,
        max(since) as last_seen, max(duration_s) as duration_s, count(*) as artifacts,
        sum(bytes) as bytes,
        case when bool_or(held.asset = 'track') then 'track' else 'film' end as recipe
    from library as held join artifacts using (asset, version)
    where held.partition not in (select partition from media)
    group by held.partition
),
spent as (
    select partition, sum(cpu_s) as cpu_s from costs semi join generated using (partition)
    group by partition
),
shown as (
    select * from media
    union all by name select * from generated left join spent using (partition)
)
select shown.*, held.assets
from shown
left join (
    select partition, list(asset order by since) as assets from library group by partition
) as held using (partition)
order by last_seen desc, partition
limit ?
"""
_DAYS = """
select day, sum(cpu_s) as cpu_s, sum(gpu_s) as gpu_s,
    sum(events) filter (event = 'made') as made,
    coalesce(sum(events) filter (event in ('failed', 'quarantined')), 0) as failed
from days
where day > (select max(day) from days) - 365
group by day
order by day
"""
_SPEEDS = """
select day, asset, sum(media_s) / sum(media_s / realtime_factor) as realtime_factor
from speeds
where realtime_factor > 0 and day > (select max(day) from days) - 365
group by day, asset
order by day, asset
"""
_RECIPES = """
select
    recipe, max(made) as media,
    sum(wall_s * if(per_minute, 60, 1)) as wall_s,
    sum(cpu_s * if(per_minute, 60, 1)) as cpu_s,
    sum(gpu_s * if(per_minute, 60, 1)) as gpu_s,
    case when count(usd) = count(*) then sum(usd * if(per_minute, 60, 1)) end as usd
from recipe_costs
group by recipe
order by recipe
"""
_OPEN = "select * from failures where not resolved and partition = ? order by ts"
_FAILED = """
select
    partition, event, reason, list(distinct asset order by asset) as assets,
    max(ts) as ts, max_by(recipe, ts) as recipe, max_by(origin, ts) as origin,
    max(times) as times, count(*) over () as of
from (
    select *, count(*) over (partition by partition, event, reason, asset) as times
    from failures
    where not resolved
)
group by partition, event, reason
order by ts desc, partition
limit ?
"""


@dataclass(frozen=True)
class Shown:
    """What the page shows of one current artifact."""

    asset: str
    folder: str
    """Relative link."""
    manifest: Manifest

    @property
    def files(self) -> tuple[FileRef, ...]:
        """The first of its files."""
        return self.manifest.files[:_FILES]

    @property
    def picture(self) -> tuple[str, str] | None:
        """Label and relative link of its first picture."""
        have = {file.name for file in self.manifest.files}
        for label, name in self.manifest.pictures.items():
            if name in have:
                return label, f"{self.folder}{quote(name)}"
        return None

    @property
    def facts(self) -> str:
        """The facts that a person looks for first."""
        facts = self.manifest.facts
        return ", ".join(
            text.format(facts[name]) for name, text in _FACTS.items() if facts.get(name) is not None
        )


@dataclass
class MediaRow:
    """What the page shows of one media."""

    facts: dict[str, Any]
    """Its row of the view ``media``."""
    name: str
    """What a person calls it."""
    artifacts: list[Shown] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What could not be read while this page was written."""

    @property
    def picture(self) -> tuple[str, str] | None:
        """The first picture of its artifacts."""
        return next((a.picture for a in self.artifacts if a.picture), None)


def write_report(store: Store) -> Path:
    """Write ``reports/report.html`` and the pages of the media that it shows, where they changed.

    The catalog is brought up to date first. The pages need nothing but themselves and, for
    pictures, sounds and links, their place in the store: they work from ``file://`` and without
    network.

    Returns:
        The studio page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    refresh(store)
    path = store.reports / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    with reading(store) as connection:
        for row in _rows(connection, _RECENT, _MEDIA):
            _write_if_older(store, connection, row)
    write_durably(path, render_report(store).encode("utf-8", "replace"))
    return path


def _write_if_older(
    store: Store, connection: duckdb.DuckDBPyConnection, media: dict[str, Any]
) -> None:
    key = media["partition"]
    try:
        written = page_path(store.reports, key).stat().st_mtime
    except FileNotFoundError:
        written = 0.0
    if is_key(key) and max(media["last_seen"].timestamp(), changed()) >= written:
        write_page(store, key, _rows(connection, _OPEN, key))


def open_failures(store: Store, key: str) -> list[dict[str, Any]]:
    """Return what failed of a media and was not made since, as the catalog knows it."""
    with reading(store) as connection:
        return _rows(connection, _OPEN, key)


def render_report(store: Store) -> str:
    """Return the studio's page as HTML, from the catalog as it is."""
    with reading(store) as connection:
        totals = _rows(connection, _TOTALS)[0]
        assets = _rows(connection, _ASSETS)
        recent = _rows(connection, _RECENT, _MEDIA)
        failures = _rows(connection, _FAILED, _FAILURES)
        recipes = _rows(connection, _RECIPES)
        days, speeds = _rows(connection, _DAYS), _rows(connection, _SPEEDS)
    for failure in failures:
        failure["command"], failure["fault"] = None, None
        try:
            failure["command"] = _command(store, failure)
        except (OSError, ValueError) as error:
            failure["fault"] = f"what is kept of it cannot be read: {_line(error)}"
    return render(
        "report.html.j2",
        styles=("style.css", "report.css", "vendor/uPlot.min.css"),
        scripts=(UPLOT, "theme.js", "charts.js"),
        data={"days": jsonable(days), "speeds": jsonable(speeds)},
        data_speeds=bool(speeds),
        name=store.root.name,
        store=shlex.quote(str(store.root)),
        totals=totals,
        assets=assets,
        recipes=recipes,
        media=[_media_row(store, row) for row in recent],
        failures=failures,
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, *parameters: object
) -> list[dict[str, Any]]:
    result = connection.execute(sql, parameters)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _media_row(store: Store, facts: dict[str, Any]) -> MediaRow:
    key = facts["partition"]
    row = MediaRow(facts, PurePosixPath(facts["origin"] or key).name)
    try:
        records = [record for kind in KINDS if (record := store.record(key, kind))]
        row.name = name_of(store, records[0]) if records else row.name
    except (OSError, ValueError) as error:
        row.faults.append(f"its record: {_line(error)}")
    for asset in facts["assets"] or []:
        try:
            artifact = store.current(key, asset)
        except (OSError, ValueError) as error:
            row.faults.append(f"{asset}: {_line(error)}")
            continue
        if artifact:
            folder = f"../library/{quote(key, safe='')}/{quote(asset, safe='')}/"
            row.artifacts.append(Shown(asset, folder, artifact.manifest))
    return row


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())


def _command(store: Store, failure: dict[str, Any]) -> str | None:
    """The command that shows a failure again by hand; None when nobody knows the file."""
    key = failure["partition"]
    if failure["event"] == "quarantined" and is_key(key):
        record = store.quarantined(key)
        if record:
            return record.command
    origin = failure["origin"]
    if not origin:
        return None
    path = Path(origin)
    if path.is_dir():  # a project
        return shlex.join(["avp", "video", str(path), "--store", str(store.root)])
    if not path.exists() and is_key(key):  # it was moved into the store
        path = _bytes_of(store.current(key, "source")) or path
    words = ["avp", "run", str(path), "--assets", ",".join(failure["assets"])]
    if failure["recipe"]:
        words += ["--recipe", failure["recipe"]]
    return shlex.join([*words, "--store", str(store.root)])


def _bytes_of(source: Artifact | None) -> Path | None:
    names = [file.name for file in source.manifest.files] if source else []
    media = [name for name in names if not name.endswith(".json")]
    return source.dir / media[0] if source and media else None
