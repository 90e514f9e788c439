"""The report: one page that tells what the studio made, what failed, and what it cost.

Here: what the page says, from the catalog and the manifests. How it looks is in
``report.html.j2``. Not here: the catalog (``catalog``), people's SQL (``query``).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from av_pipelines.reports.catalog import reading, refresh
from partitions.keys import is_key
from resources.manifest import FileRef, Manifest
from resources.store import Artifact, Store, write_durably

if TYPE_CHECKING:
    import duckdb

REPORT = "report.html"

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
select media.*, held.assets
from media
left join (
    select partition, list(asset order by since) as assets from library group by partition
) as held using (partition)
order by last_seen desc, partition
limit ?
"""
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
    artifacts: list[Shown] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What could not be read while this page was written."""

    @property
    def name(self) -> str:
        """File name that it came with."""
        return PurePosixPath(self.facts["origin"] or self.facts["partition"]).name

    @property
    def picture(self) -> tuple[str, str] | None:
        """The first picture of its artifacts."""
        return next((a.picture for a in self.artifacts if a.picture), None)


def write_report(store: Store) -> Path:
    """Write ``reports/report.html`` from the catalog, brought up to date, and the manifests.

    The page needs nothing but itself and, for pictures and links, its place in the store: it
    works from ``file://``, without scripts and without network.

    Returns:
        The page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    refresh(store)
    with reading(store) as connection:
        totals = _rows(connection, _TOTALS)[0]
        assets = _rows(connection, _ASSETS)
        recent = _rows(connection, _RECENT, _MEDIA)
        failures = _rows(connection, _FAILED, _FAILURES)
    for failure in failures:
        failure["command"], failure["fault"] = None, None
        try:
            failure["command"] = _command(store, failure)
        except (OSError, ValueError) as error:
            failure["fault"] = f"what is kept of it cannot be read: {_line(error)}"
    page = _render(
        name=store.root.name,
        store=shlex.quote(str(store.root)),
        now=datetime.now(UTC),
        totals=totals,
        assets=assets,
        media=[_media_row(store, row) for row in recent],
        failures=failures,
    )
    path = store.reports / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, page.encode("utf-8", "replace"))
    return path


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, *parameters: object
) -> list[dict[str, Any]]:
    result = connection.execute(sql, parameters)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _media_row(store: Store, facts: dict[str, Any]) -> MediaRow:
    row, key = MediaRow(facts), facts["partition"]
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


# ---------------------------------------------------------------------- how figures are written


def _render(**content: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("av_pipelines.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"span": span, "size": size, "usd": usd, "link": quote}
    return environment.get_template("report.html.j2").render(**content)


def span(seconds: float | None) -> str:
    """Return seconds as a person writes them: ``4.2 s``, ``3 min 20 s``, ``1 h 02 min``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def size(count: float | None) -> str:
    """Return bytes with an SI prefix."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.1f} PB"


def usd(amount: float | None, unpriced: int) -> str:
    """Return money; work that has no price is ``unpriced``, never $0."""
    if amount is None:
        return "unpriced" if unpriced else "–"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.3g}"
