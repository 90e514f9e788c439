"""The catalog: one DuckDB file with all that the ledger says, and the views people ask.

Here: bringing it up to date, opening it, running people's SQL on it. Not here: what is in it
(``views.sql``), how it is written (``building``), printing (``av_pipelines.cli``).

The file is never changed in place. A refresh writes a new one beside it and renames it over the
old one: who reads keeps the file that was opened, and a refresh that dies leaves what was there.
All of it comes from the ledger, so it is never repaired or migrated, only built anew; that is also
why it cannot be written by SQL.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.reports.building import build, ctime_ns, quoted, schema_id
from resources.ledger import Ledger
from resources.store import Store

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

CATALOG = "catalog.duckdb"
VIEWS = ("artifacts", "costs", "lineage", "failures", "storage", "media")
"""What people ask first (DESIGN §9)."""


class CatalogError(ValueError):
    """The SQL cannot be run; the message is one line: what is wrong, which tables there are."""


@dataclass(frozen=True)
class _News:
    """What a catalog lacks."""

    files: list[Path]
    """The ledger files to read."""
    whole: bool = False
    """Nothing in the present catalog can be kept."""
    again: frozenset[str] = frozenset()
    """Days of which some files are gone: merged, or lost. They are read again."""


def refresh(store: Store, *, whole: bool = False) -> Path:
    """Bring ``reports/catalog.duckdb`` up to date with the ledger; return its path.

    Reads only ledger files that were not read before; with nothing new the file is not touched.
    It is built whole when it is missing, damaged or of another schema; a day of which a file is
    gone (the ledger was compacted) is read again. Damaged ledger files are logged, listed in
    ``ledger_files`` and left out. A ledger that is missing is made from the artifacts first.

    Args:
        store: whose ledger, and where the catalog is.
        whole: read every ledger file again, whatever the catalog holds.

    Raises:
        OSError: the folder cannot be written.
        duckdb.Error: the disk is full.
    """
    path = store.reports / CATALOG
    _restore_ledger(store)
    connection = None if whole else _current(store)
    if connection:
        connection.close()
    else:
        _update(store, path, whole=whole)
    return path


def _restore_ledger(store: Store) -> None:
    """Add what is known to be missing: records of killed processes, a ledger that is gone."""
    ledger = Ledger(store.ledger_dir)
    if store.ledger_dir.exists():
        found = ledger.recover(store)
        if found:
            log.warning("%s: records of killed processes added: %d", ledger.folder, found)
    elif store.artifacts.exists():
        with store.making(CATALOG, "refresh"):
            found = ledger.rebuild(store)
        if found:
            log.warning("%s is gone: %d records made from the artifacts", ledger.folder, found)


def _update(store: Store, path: Path, *, whole: bool) -> None:
    with store.making(CATALOG, "refresh"), Ledger(store.ledger_dir).unmerged():
        news = _News(list(Ledger(store.ledger_dir).files()), whole=True) if whole else _news(store)
        if news:  # who waited here finds the work done
            _build(store, path, news)


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


def _current(store: Store) -> duckdb.DuckDBPyConnection | None:
    """Open the catalog if it is up to date: opening takes longer than most questions."""
    import duckdb

    try:
        connection = _open(store.reports / CATALOG)
    except duckdb.Error:
        return None
    if _compare(store, connection) is None:
        return connection
    connection.close()
    return None


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
        connection.execute(f"attach {quoted(str(path))} as catalog (read_only); use catalog")
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


# ---------------------------------------------------------------------- what is new


def _news(store: Store) -> _News | None:
    import duckdb

    try:
        with _open(store.reports / CATALOG) as connection:
            return _compare(store, connection)
    except duckdb.Error:
        return _News(list(Ledger(store.ledger_dir).files()), whole=True)


def _compare(store: Store, connection: duckdb.DuckDBPyConnection) -> _News | None:
    """Compare the ledger's files with those that a catalog knows; None when it knows them all."""
    folder, names = store.ledger_dir, list(Ledger(store.ledger_dir).names())
    held = _held(connection)
    if held is None:
        return _News([folder / name for name in names], whole=True)
    there = set(names)
    again = frozenset(name.split("/")[0] for name in held if name not in there)
    new = [
        folder / name
        for name in names
        if name not in held
        or name.split("/")[0] in again
        or held[name] not in (None, ctime_ns(folder / name))
    ]
    return _News(new, again=again) if new or again else None


def _held(connection: duckdb.DuckDBPyConnection) -> dict[str, int | None] | None:
    """The ledger files that a catalog knows, with ``ctime_ns`` of the damaged ones.

    None when it is damaged or of another schema.
    """
    import duckdb

    try:
        if connection.execute("select schema from about").fetchall() != [(schema_id(),)]:
            return None
        return dict(connection.execute("select file, ctime_ns from ledger_files").fetchall())
    except duckdb.Error:
        return None


def _build(store: Store, path: Path, news: _News) -> None:
    import duckdb

    try:
        build(path, news.files, whole=news.whole, again=news.again)
    except duckdb.Error as error:
        if news.whole:
            raise
        log.warning("%s: damaged, and built anew: %s", path, error)
        build(path, list(Ledger(store.ledger_dir).files()), whole=True)


# ---------------------------------------------------------------------- asking


def query(store: Store, sql: str) -> tuple[list[str], list[list[Any]]]:
    """Bring the catalog up to date and run SQL on it (DuckDB's dialect).

    Of several statements, the last one's result counts. Nothing can be changed, and no other
    file, extension or network can be reached. A catalog found damaged on the way is built anew.

    Args:
        store: whose catalog.
        sql: the text.

    Returns:
        Column names, and rows of values that JSON can carry: times as ISO 8601, decimals as
        numbers, intervals as seconds, blobs as hex, numbers that JSON lacks as "nan" or "inf".

    Raises:
        CatalogError: the SQL is wrong, or asks for what is not allowed.
        OSError: the catalog is not up to date and its folder cannot be written.
    """
    import duckdb

    try:
        with _up_to_date(store) as connection:
            return _run(connection, sql)
    except duckdb.Error as error:
        if not _is_damage(error):
            raise
    with _up_to_date(store, whole=True) as connection:
        return _run(connection, sql)


@contextlib.contextmanager
def _up_to_date(store: Store, *, whole: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Refresh the catalog and open it; where there is nothing to refresh it is opened once."""
    _restore_ledger(store)
    connection = None if whole else _current(store)
    with connection or _open(refresh(store, whole=whole)) as connection:
        yield connection


def _run(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[list[Any]]]:
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        if not statements:
            raise CatalogError("no SQL was given")
        for statement in statements[:-1]:
            connection.execute(statement)
        result = connection.execute(statements[-1])
        columns = [str(column[0]) for column in result.description]
        return columns, [[jsonable(value) for value in row] for row in result.fetchall()]
    except duckdb.Error as error:
        if _is_damage(error):
            raise
        raise CatalogError(f"{_first_part(error)}; tables: {_tables(connection)}") from None


def _is_damage(error: duckdb.Error) -> bool:
    """Whether the file is broken, and not the SQL: DuckDB checks each block when it reads it."""
    import duckdb

    kinds = (duckdb.IOException, duckdb.SerializationException, duckdb.FatalException)
    return isinstance(error, kinds) or "Corrupt database file" in str(error)


def _first_part(error: duckdb.Error) -> str:
    """DuckDB's message without the quoted SQL below it, and its guess at a table's name."""
    said = str(error).split("\n\n")[0].splitlines()
    return " ".join(line.strip() for line in said if not line.startswith("Did you mean"))


def _tables(connection: duckdb.DuckDBPyConnection) -> str:
    names = [name for (name,) in connection.execute("show tables").fetchall()]
    return ", ".join(sorted(names, key=lambda name: (name not in VIEWS, name)))


def jsonable(value: Any) -> Any:
    """Return a value from DuckDB as JSON can carry it (see ``query``)."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case date() | datetime() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case list() | tuple():
            return [jsonable(item) for item in value]
        case dict():
            return {str(key): jsonable(item) for key, item in value.items()}
        case _:
            return str(value)
