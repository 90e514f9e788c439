"""Writing a catalog file from ledger files.

Here: its tables, loading records, leaving out damaged files. The views are in ``views.sql``.
Not here: when it is written, and asking it (``catalog``).
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from resources.ledger import schema

if TYPE_CHECKING:
    import duckdb
    import polars as pl

log = logging.getLogger(__name__)

_BATCH = 2000  # ledger files read at once: bounds the memory, and the work when one is damaged
_REQUIRED = ("id", "ts", "event", "asset", "partition")
_FILES = """
-- The ledger files that were read; `fault` says why one had to be left out. `ctime_ns`, kept for
-- those only, tells when it is worth another look.
create table ledger_files (file varchar, fault varchar, ctime_ns bigint);
create table about (schema varchar);
"""


def name_of(file: Path) -> str:
    """Return what a ledger file is called in ``ledger_files``."""
    return f"{file.parent.name}/{file.name}"


def ctime_ns(file: Path) -> int:
    """Return when a file was last changed in any way; 0 when it cannot be told."""
    try:
        return file.stat().st_ctime_ns
    except OSError:
        return 0


@cache
def _views() -> str:
    return resources.files("av_pipelines.reports").joinpath("views.sql").read_text("utf-8")


@cache
def schema_id() -> str:
    """Return a hash of all that decides what a catalog looks like: nobody need count it up."""
    return hashlib.sha256("\n".join([str(schema()), _FILES, _views()]).encode()).hexdigest()[:16]


def build(path: Path, files: Sequence[Path], *, whole: bool) -> None:
    """Write a new catalog and rename it into the place of the old one; one process at a time.

    Args:
        path: of the catalog.
        files: the ledger files to read; those that are damaged are logged and listed.
        whole: start from nothing instead of from the present catalog.

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
    with duckdb.connect(str(new)) as connection:
        if whole:
            connection.register("empty", schema().empty_table())
            connection.execute("create table ledger as select * from empty")
            connection.execute(_FILES + _views())
            connection.execute("insert into about values (?)", [schema_id()])
        connection.begin()
        for start in range(0, len(files), _BATCH):
            _load(connection, files[start : start + _BATCH])
        connection.commit()
    new.replace(path)


def _load(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    import polars as pl

    frames, faults = _read(files)
    for file, fault in faults.items():
        log.warning("%s: left out of the catalog: %s", file, fault)
    read = pl.DataFrame(
        {
            "file": [name_of(file) for file in files],
            "fault": [faults.get(file) for file in files],
            "ctime_ns": [ctime_ns(file) if file in faults else None for file in files],
        },
        schema={"file": pl.String, "fault": pl.String, "ctime_ns": pl.Int64},
    )
    connection.register("read", read.to_arrow())
    connection.execute("delete from ledger_files where file in (select file from read)")
    connection.execute("insert into ledger_files by name select * from read")
    for frame in frames:
        # A record counts once, in however many files it is.
        connection.register("fresh", frame.unique("id", maintain_order=True).to_arrow())
        connection.execute(
            "insert into ledger by name select * from fresh anti join ledger using (id)"
        )


def _read(files: Sequence[Path]) -> tuple[list[pl.DataFrame], dict[Path, str]]:
    """Read ledger files in one go; where that fails, halve them until the damaged are found.

    Returns:
        The records, and the files that could not be read with what is wrong with each.
    """
    import polars as pl

    columns = pl.DataFrame(schema().empty_table()).schema
    try:
        # Several times faster on many small files than DuckDB's or pyarrow's own reader.
        frame = pl.scan_parquet(
            [str(file) for file in files],
            schema=columns,
            missing_columns="insert",  # of records older than a column
            extra_columns="ignore",
            glob=False,
        ).collect()
        if frame.select(pl.any_horizontal(pl.col(_REQUIRED).is_null().any())).item():
            fault = f"it has records without {', '.join(_REQUIRED)}"
        else:
            return [frame], {}
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        fault = (str(error) or type(error).__name__).splitlines()[0]
    if len(files) == 1:
        return [], {files[0]: fault}
    half = len(files) // 2
    frames, faults = _read(files[:half])
    more_frames, more_faults = _read(files[half:])
    return frames + more_frames, faults | more_faults
