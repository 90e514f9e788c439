"""The catalog: one DuckDB file with all that the ledger says, and the views people ask.

Here: building it, bringing it up to date, opening it. The views themselves are in ``views.sql``.
Not here: people's SQL (``query``), pages (``report``).

The file is never changed in place. A refresh writes a new one beside it and renames it over the
old one: readers keep the file that they opened, nobody waits for anybody, and a refresh that dies
leaves what was there. All of it comes from the ledger, so what is damaged is simply built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from resources.ledger import Ledger, schema
from resources.store import Store

if TYPE_CHECKING:
    import duckdb
    import polars as pl

log = logging.getLogger(__name__)

CATALOG = "catalog.duckdb"

_BATCH = 2000  # ledger files read at once: bounds the memory, and the work when one is damaged
_REQUIRED = ("id", "ts", "event", "asset", "partition")
_FILES = """
-- The ledger files that were read; `fault` says why one had to be left out. `ctime_ns`, kept for
-- those only, tells when it is worth another look.
create table ledger_files (file varchar, fault varchar, ctime_ns bigint);
create table about (schema varchar);
"""


@dataclass(frozen=True)
class _News:
    """What a catalog lacks."""

    files: list[Path]
    """The ledger files to read."""
    whole: bool
    """Nothing in the present catalog can be kept."""


def refresh(store: Store, *, whole: bool = False) -> Path:
    """Bring ``reports/catalog.duckdb`` up to date with the ledger; return its path.

    Reads only ledger files that were not read before; with nothing new the file is not touched.
    It is built whole when it is missing, damaged, of another schema, or holds what the ledger no
    longer has. Damaged ledger files are logged, listed in ``ledger_files`` and left out.

    Args:
        store: whose ledger, and where the catalog is.
        whole: read every ledger file again, whatever the catalog holds.

    Raises:
        OSError: the folder cannot be written.
        duckdb.Error: the disk is full.
    """
    path = store.reports / CATALOG
    if whole or _news(store, path):
        with store.making(CATALOG, "refresh"):  # who waited here finds the work done
            news = _News(_ledger_files(store), whole=True) if whole else _news(store, path)
            if news:
                _build_or_rebuild(store, path, news)
    return path


@contextlib.contextmanager
def reading(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the catalog to ask it: read-only, and cut off from all other files and the network.

    A catalog that is missing or cannot be opened is built first; refreshing one that is there is
    left to the caller. A refresh meanwhile is not seen by a connection that is open.

    Raises:
        OSError: there is no catalog and none can be written.
    """
    import duckdb

    path = store.reports / CATALOG
    try:
        connection = _open(path)
    except duckdb.Error:
        connection = _open(refresh(store))
    with connection:
        yield connection


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    # Attached to a database in memory: DuckDB keeps one instance per file name in a process, and
    # would give the old file to who opens the name again after a refresh.
    connection = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    try:
        connection.execute(f"attach {_quoted(str(path))} as catalog (read_only); use catalog")
        # Without external access the attached file's own paths may still be written with COPY:
        # without a file system they may not, and the file that is open stays readable.
        connection.execute(
            "set TimeZone = 'UTC'; set enable_external_access = false;"
            "set disabled_filesystems = 'LocalFileSystem'; set lock_configuration = true"
        )
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# ---------------------------------------------------------------------- what is new


def _news(store: Store, path: Path) -> _News | None:
    files = _ledger_files(store)
    held = _held(path)
    if held is None:
        return _News(files, whole=True)
    names = {_name(file) for file in files}
    if not held.keys() <= names:
        return _News(files, whole=True)
    new = [file for file in files if _is_new(file, held)]
    return _News(new, whole=False) if new else None


def _is_new(file: Path, held: dict[str, int | None]) -> bool:
    name = _name(file)
    if name not in held:
        return True
    damaged = held[name]
    return damaged is not None and damaged != _ctime_ns(file)


def _held(path: Path) -> dict[str, int | None] | None:
    """The ledger files that a catalog knows, with ``ctime_ns`` of the damaged ones.

    None when the catalog is missing, damaged or of another schema.
    """
    import duckdb

    try:
        with _open(path) as connection:
            if connection.execute("select schema from about").fetchall() != [(_schema_id(),)]:
                return None
            return dict(connection.execute("select file, ctime_ns from ledger_files").fetchall())
    except duckdb.Error:
        return None


def _ledger_files(store: Store) -> list[Path]:
    return list(Ledger(store.ledger_dir).files())


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _ctime_ns(file: Path) -> int:
    try:
        return file.stat().st_ctime_ns
    except OSError:
        return 0


# ---------------------------------------------------------------------- building


@cache
def _views() -> str:
    return resources.files("av_pipelines.reports").joinpath("views.sql").read_text("utf-8")


@cache
def _schema_id() -> str:
    """Hash of all that decides what a catalog looks like: nobody can forget to count it up."""
    return hashlib.sha256("\n".join([str(schema()), _FILES, _views()]).encode()).hexdigest()[:16]


def _build_or_rebuild(store: Store, path: Path, news: _News) -> None:
    import duckdb

    try:
        _build(path, news)
    except duckdb.Error as error:
        if news.whole:
            raise
        log.warning("%s: damaged, and built anew: %s", path, error)
        _build(path, _News(_ledger_files(store), whole=True))


def _build(path: Path, news: _News) -> None:
    """Write a new catalog and put it in the place of the old one. One process at a time."""
    import duckdb

    new = path.with_name(f".{CATALOG}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (new, new.with_name(f"{new.name}.wal")):  # of one that died
        leftover.unlink(missing_ok=True)
    if not news.whole:
        shutil.copyfile(path, new)
    with duckdb.connect(str(new)) as connection:
        if news.whole:
            connection.register("empty", schema().empty_table())
            connection.execute("create table ledger as select * from empty")
            connection.execute(_FILES + _views())
            connection.execute("insert into about values (?)", [_schema_id()])
        connection.begin()
        for start in range(0, len(news.files), _BATCH):
            _load(connection, news.files[start : start + _BATCH])
        connection.commit()
    new.replace(path)


def _load(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    import polars as pl

    frames, faults = _read(files)
    for file, fault in faults.items():
        log.warning("%s: left out of the catalog: %s", file, fault)
    read = pl.DataFrame(
        {
            "file": [_name(file) for file in files],
            "fault": [faults.get(file) for file in files],
            "ctime_ns": [_ctime_ns(file) if file in faults else None for file in files],
        },
        schema={"file": pl.String, "fault": pl.String, "ctime_ns": pl.Int64},
    )
    connection.register("read", read.to_arrow())
    connection.execute("delete from ledger_files where file in (select file from read)")
    connection.execute("insert into ledger_files by name select * from read")
    for frame in frames:
        connection.register("fresh", frame.to_arrow())
        # A record counts once, in however many files it is.
        connection.execute(
            "insert into ledger by name select * from ("
            "  select distinct on (id) * from fresh anti join ledger using (id)"
            ") order by ts"
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
