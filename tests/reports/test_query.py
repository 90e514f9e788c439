"""SQL that anybody may have written: answers for JSON, plain errors, no way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from av_pipelines.reports.catalog import CATALOG, CatalogError, query

KEY = "ada-0000000001"


@pytest.fixture(scope="module")
def store(kept_history: Any) -> Any:
    kept_history.make(KEY, "audio", facts={"words": 3})
    query(kept_history.store, "from costs")
    return kept_history.store


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("42", 42),
        ("9e15::bigint * 1000::hugeint", 9 * 10**18),
        ("1.50::decimal(9, 2)", 1.5),
        ("3.00::decimal(9, 2)", 3),
        ("sum(bytes) from storage", 10),
        ("0.1", 0.1),
        ("'nan'::double", "nan"),
        ("null", None),
        ("true", True),
        ("min(ts) from ledger", "2026-03-01T23:01:00+00:00"),
        ("date '2026-03-01'", "2026-03-01"),
        ("interval 90 seconds", 90.0),
        ("'\\x01\\xff'::blob", "01ff"),
        ("{'a': [1, 2], 'b': date '2026-03-01'}", {"a": [1, 2], "b": "2026-03-01"}),
        ("map {1: 'one'}", {"1": "one"}),
        ("uuid '00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_every_value_fits_in_json(store, sql, value):
    columns, rows = query(store, f"select {sql}")
    assert (len(columns), rows) == (1, [[value]])
    json.dumps(rows, allow_nan=False)


def test_the_last_of_several_statements_counts(store):
    sql = "create temp table wide as from ledger; select asset as what from wide;"
    assert query(store, sql) == (["what"], [["audio"]])


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("from nope", "nope does not exist"),
        ("select nope from costs", "nope"),
        ("selct 1", "syntax error"),
        ("select cast('x' as integer)", "Could not convert"),
        ("", "no SQL"),
        ("-- only a remark", "no SQL"),
    ],
)
def test_wrong_sql_is_told_in_one_line(store, sql, said):
    with pytest.raises(CatalogError, match=said) as caught:
        query(store, sql)
    message = str(caught.value)
    assert "\n" not in message
    assert "no SQL" in message or "artifacts, costs" in message


@pytest.mark.parametrize(
    "sql",
    [
        "create table mine (a int)",
        "delete from ledger",
        "update ledger set cpu_s = 0",
        "drop view costs",
        "insert into about values ('x')",
        "alter table ledger rename to other",
    ],
)
def test_the_catalog_cannot_be_changed(store, sql):
    before = (store.reports / CATALOG).read_bytes()
    with pytest.raises(CatalogError):
        query(store, sql)
    assert (store.reports / CATALOG).read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{secret}')",
        "select * from read_csv('{secret}')",
        "select * from '{secret}'",
        "select * from glob('{folder}/*')",
        "select * from read_blob('{catalog}')",
        "select * from read_parquet('https://example.com/x.parquet')",
        "attach '{folder}/other.duckdb' as other",
        "copy ledger to '{folder}/out.csv'",
        "copy ledger to '{catalog}.wal'",
        "copy (select 1) to '{catalog}' (format csv, use_tmp_file false)",
        "export database '{folder}/dump'",
        "install httpfs",
        "load '{folder}/x.duckdb_extension'",
        "set enable_external_access = true",
        "set disabled_filesystems = ''",
        "reset lock_configuration",
        "set temp_directory = '{folder}/t'",
        "create persistent secret s (type http, bearer_token 'x')",
        "select * from store",
    ],
)
def test_nothing_else_can_be_reached(store, sql):
    folder = store.root.parent
    secret = folder / "secret.csv"
    secret.write_text("word\nhush\n")
    catalog = store.reports / CATALOG
    before = {path: path.stat().st_mtime_ns for path in _files(folder)}
    text = sql.format(secret=secret, folder=folder, catalog=str(catalog).replace("'", "''"))
    with pytest.raises(CatalogError) as caught:
        query(store, text)
    assert "hush" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in _files(folder)} == before


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
