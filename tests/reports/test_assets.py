"""The assets: the ledger's figures in the Dagster UI."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from av_pipelines.dagster_assets import StudioResource
from av_pipelines.reports.assets import catalog, report
from av_pipelines.reports.catalog import query

KEY = "ada-0000000001"


@pytest.fixture
def result(history: Any) -> dg.ExecuteInProcessResult:
    history.make(KEY, "source")
    history.make(KEY, "audio")
    history.note("failed", KEY, "master", reason="no space")
    (history.store.ledger_dir / "2026-03-01" / "0-half.parquet").write_bytes(b"PAR1")
    studio = StudioResource(store=str(history.store.root))
    return dg.materialize([report, catalog], resources={"studio": studio})


def shown(result: dg.ExecuteInProcessResult, asset: str) -> Any:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_catalog_shows_what_it_holds(result, history):
    metadata = shown(result, "catalog")
    names = ("rows", "files_loaded", "files_damaged", "files_merged")
    assert [metadata[name] for name in names] == [3, 1, 1, 3]  # the day was over: one file of it
    made = {row.data["asset"]: row.data["made"] for row in metadata["totals"].records}
    assert made == {"source": 1, "audio": 1, "master": 0}
    assert query(history.store, "select count(*) from failures")[1] == [[1]]


def test_report_shows_where_the_page_is(result, history):
    page = history.store.reports / "report.html"
    assert shown(result, "report")["path"] == str(page)
    assert shown(result, "report")["page"] == page.as_uri()
    assert "no space" in page.read_text("utf-8")
