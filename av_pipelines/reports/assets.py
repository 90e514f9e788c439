"""The assets `catalog` and `report`: the ledger as a database and as a page.

They belong to no partition and depend on no other asset's: the catalog reads whatever is in the
ledger at that moment.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from av_pipelines.dagster_assets import StudioResource
from av_pipelines.reports.catalog import reading, refresh
from av_pipelines.reports.pages.address import page_url
from av_pipelines.reports.report import write_report
from resources.ledger import Ledger

_FRESH = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=50), warn_window=timedelta(hours=26)
)
"""They are made every night (``sensors.reports``); the UI says so when two nights went without."""

_TOTALS = """
select
    asset,
    count(*) filter (event = 'made') as made,
    count(*) filter (event = 'reused') as reused,
    count(*) filter (event in ('failed', 'quarantined')) as failed,
    round(sum(wall_s), 3) as wall_s,
    round(sum(cpu_s), 3) as cpu_s,
    sum(usd) as usd
from costs
group by asset
order by asset
"""


@dg.asset(
    group_name="reports",
    freshness_policy=_FRESH,
    kinds={"duckdb"},
    description="The ledger as a DuckDB file: tables and views of what was made and what it cost.",
)
def catalog(studio: StudioResource) -> dg.MaterializeResult:
    """Merge the ledger's small files and bring `catalog.duckdb` up to date with it."""
    store = studio.open().store
    merged = Ledger(store.ledger_dir).compact()
    path = refresh(store)
    with reading(store) as connection:
        (rows,) = connection.execute("select count(*) from ledger").fetchall()[0]
        files, damaged = connection.execute(
            "select count(*) filter (fault is null), count(fault) from ledger_files"
        ).fetchall()[0]
        totals = connection.execute(_TOTALS)
        names = [column[0] for column in totals.description]
        table = [dg.TableRecord(dict(zip(names, row, strict=True))) for row in totals.fetchall()]
    return dg.MaterializeResult(
        metadata={
            "rows": rows,
            "files_loaded": files,
            "files_damaged": damaged,
            "files_merged": merged,
            "path": dg.MetadataValue.path(str(path)),
            **({"totals": dg.MetadataValue.table(table)} if table else {}),
        }
    )


@dg.asset(
    deps=[catalog],
    group_name="reports",
    freshness_policy=_FRESH,
    kinds={"html"},
    description="Pages: what was made, what failed and why, what it cost; one for each media.",
)
def report(studio: StudioResource) -> dg.MaterializeResult:
    """Write `report.html` from the catalog."""
    store = studio.open().store
    path = write_report(store)
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(path)),
            "page": dg.MetadataValue.url(page_url(store.reports)),
            "bytes": path.stat().st_size,
        }
    )
