"""SQL from people: what ``avp sql`` and scripts ask the catalog.

Here: running a text that anybody may have written, values that JSON can carry, plain errors.
Not here: the catalog and its views (``catalog``), printing (``av_pipelines.cli``).
"""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from av_pipelines.reports.catalog import reading, refresh
from resources.store import Store

if TYPE_CHECKING:
    import duckdb


class QueryError(ValueError):
    """The SQL cannot be run; the message is one line: what is wrong, which tables there are."""


def query(store: Store, sql: str) -> tuple[list[str], list[list[Any]]]:
    """Run SQL (DuckDB's dialect) on the catalog as it is; of several statements, the last counts.

    The catalog cannot be changed, and no other file, extension or network can be reached. A
    catalog that is missing or found damaged is built from the ledger first; call
    ``catalog.refresh`` before to see the latest events.

    Args:
        store: whose catalog.
        sql: the text.

    Returns:
        Column names, and rows of values that JSON can carry: times as ISO 8601, decimals as
        numbers, intervals as seconds, blobs as hex, numbers that JSON lacks as "nan" or "inf".

    Raises:
        QueryError: the SQL is wrong, or asks for what is not allowed.
    """
    import duckdb

    try:
        return _run(store, sql)
    except duckdb.Error as error:
        if not _is_damage(error):
            raise
    refresh(store, whole=True)
    return _run(store, sql)


def _run(store: Store, sql: str) -> tuple[list[str], list[list[Any]]]:
    import duckdb

    with reading(store) as connection:
        try:
            statements = connection.extract_statements(sql)
            if not statements:
                raise QueryError("no SQL was given")
            for statement in statements:
                result = connection.execute(statement)
            columns = [str(column[0]) for column in result.description]
            return columns, [[jsonable(value) for value in row] for row in result.fetchall()]
        except duckdb.Error as error:
            if _is_damage(error):
                raise
            raise QueryError(f"{_first_part(error)}; tables: {_tables(connection)}") from None


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
    return ", ".join(name for (name,) in connection.execute("show tables").fetchall())


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
