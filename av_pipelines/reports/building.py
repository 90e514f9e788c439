"""Writing a catalog file from ledger files.

Here: loading records, leaving out damaged files, bringing the tables that are made of them up to
date. What those tables say is in ``tables.sql``, what people ask in ``views.sql``. Not here: when
it is written, and asking it (``catalog``).
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from resources.ledger import SCHEMA, schema
from resources.ledger_files import read

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

_OWN = """
-- The ledger files that were read; `fault` says why one had to be left out. `ctime_ns`, kept for
-- those only, tells when it is worth another look.
create table ledger_files (file varchar, fault varchar, ctime_ns bigint);
create table about (schema varchar);
"""
_CHANGED = """
create temp table changed (partition varchar, asset varchar, version varchar, day date);
"""  # what `update.sql` needs to know
_FORGET = (
    """insert into changed select partition, asset, version, day from ledger
    where day = cast(? as date)""",
    "delete from ledger where day = cast(? as date)",
    "delete from ledger_files where starts_with(file, ? || '/')",
)
_ARRIVED = """
create or replace temp table fresh as
with days as (select min(ts) as first, max(ts) as last from arrived)
select *, cast(ts as date) as day from arrived
anti join (from ledger, days where ledger.ts between days.first and days.last) using (id)
order by ts
"""
_PER = """
-- What the work for each {what} took; what a figure leaves out is in `cost_per_media_minute`.
create view cost_per_{what} as
select
    {what},
    coalesce(sum(events) filter (event = 'made'), 0) as made,
    coalesce(sum(events) filter (event = 'reused'), 0) as reused,
    coalesce(sum(events) filter (event in ('failed', 'quarantined')), 0) as failed,
    sum(wall_s) as wall_s, sum(cpu_s) as cpu_s, sum(gpu_s) as gpu_s,
    sum(usd) as usd, sum(unpriced) as unpriced,
    sum(media_s) filter (event = 'made') as media_s,
    max(peak_rss_bytes) as peak_rss_bytes
from days
group by {what}
order by {what};
"""
_STEPS = 8  # of lineage that one question follows: a file and its cutdown are 5 apart
_WAY = """
-- A version may be given by its first digits: from {name}('1aaba54').
create macro {name}(of_version) as table
with {steps}
select min(steps) as steps, asset, partition, version from ({every})
group by asset, partition, version
order by steps, asset;
"""
_FIRST_STEP = """
step1 as (
    select distinct 1 as steps, {wanted}asset as asset, {wanted}partition as partition,
        {wanted}version as version
    from {table} where starts_with({known}, of_version)
)"""
_NEXT_STEP = """
step{step} as (
    select distinct {step} as steps, {table}.{wanted}asset as asset,
        {table}.{wanted}partition as partition, {table}.{wanted}version as version
    from step{before} join {table}
        on {table}.{known} = step{before}.version and {table}.{other} = step{before}.asset
)"""
_UP = ("upstream", "lineage", "version", "input_")
_DOWN = ("downstream", "uses", "input_version", "")
_ROWS = 16_384  # in a row group: a question that is about one media reads few of them
_BATCH = 2000  # files loaded at once: bounds the memory


def name_of(file: Path) -> str:
    """Return what a ledger file is called in ``ledger_files``."""
    return f"{file.parent.name}/{file.name}"


def quoted(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def ctime_ns(file: Path) -> int:
    """Return when a file was last changed in any way; 0 when it cannot be told."""
    try:
        return file.stat().st_ctime_ns
    except OSError:
        return 0


@cache
def _tables_and_views() -> str:
    per = (_PER.format(what=what) for what in ("day", "asset", "engine", "device", "recipe"))
    return "\n".join([_OWN, _sql("tables.sql"), _sql("views.sql"), *per, _way(*_UP), _way(*_DOWN)])


def _way(name: str, table: str, known: str, wanted: str) -> str:
    """Write a table macro that follows the lineage of a version one way.

    Step by step and not recursively: DuckDB reads all of a table for each round of a recursion,
    but only what is asked for when it joins once.
    """
    other = known.removesuffix("version") + "asset"
    names = {"name": name, "table": table, "known": known, "other": other, "wanted": wanted}
    steps = [_FIRST_STEP.format(**names)]
    for step in range(2, _STEPS + 1):
        steps.append(_NEXT_STEP.format(step=step, before=step - 1, **names))
    every = " union all ".join(f"from step{step}" for step in range(1, _STEPS + 1))
    return _WAY.format(steps=",".join(steps), every=every, **names)


@cache
def _sql(name: str) -> str:
    return resources.files("av_pipelines.reports").joinpath(name).read_text("utf-8")


@cache
def schema_id() -> str:
    """Return a hash of all that decides what a catalog looks like: nobody need count it up."""
    parts = [str(SCHEMA), str(schema()), _tables_and_views(), _sql("update.sql")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def build(path: Path, files: Sequence[Path], *, whole: bool, again: Iterable[str] = ()) -> None:
    """Write a new catalog and rename it into the place of the old one; one process at a time.

    Args:
        path: of the catalog.
        files: the ledger files to read; those that are damaged are logged and listed.
        whole: start from nothing instead of from the present catalog.
        again: days of which to forget everything first, ISO 8601.

    Raises:
        OSError: the folder cannot be written.
        duckdb.Error: the present catalog is damaged, or the disk is full.
    """
    import duckdb

    new = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (new, new.with_name(f"{new.name}.wal")):  # of one that died
        leftover.unlink(missing_ok=True)
    if not whole:
        shutil.copyfile(path, new)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"set temp_directory = {quoted(f'{new}.tmp')}")  # if memory is short
        connection.execute(f"attach {quoted(str(new))} as catalog (row_group_size {_ROWS})")
        connection.execute("use catalog")
        if whole:
            connection.register("empty", schema().empty_table())
            connection.execute("create table ledger as select *, null::date as day from empty")
            connection.execute(_tables_and_views())
            connection.execute("insert into about values (?)", [schema_id()])
        connection.begin()
        connection.execute(_CHANGED)
        for day in again:
            for statement in _FORGET:
                connection.execute(statement, [day])
        for start in range(0, len(files), _BATCH):
            _load(connection, files[start : start + _BATCH])
        connection.execute(_sql("update.sql"))
        connection.commit()
    new.replace(path)


def _load(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    import polars as pl

    frames, faults = read(files)
    for file, fault in faults.items():
        log.warning("%s: left out of the catalog: %s", file, fault)
    seen = pl.DataFrame(
        {
            "file": [name_of(file) for file in files],
            "fault": [faults.get(file) for file in files],
            "ctime_ns": [ctime_ns(file) if file in faults else None for file in files],
        },
        schema={"file": pl.String, "fault": pl.String, "ctime_ns": pl.Int64},
    )
    connection.register("seen", seen.to_arrow())
    connection.execute("delete from ledger_files where file in (select file from seen)")
    connection.execute("insert into ledger_files by name select * from seen")
    for frame in frames:
        # A record counts once, in however many files of its day it is.
        connection.register("arrived", frame.unique("id").to_arrow())
        connection.execute(_ARRIVED)
        connection.execute("insert into changed select partition, asset, version, day from fresh")
        connection.execute("insert into ledger by name from fresh")
