"""Printing the answer to a question: for a person, for a spreadsheet, for a program.

Here: columns and rows as text. Not here: asking (``catalog``), what the command line is
(``av_pipelines.cli``).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any, Literal, TextIO

Form = Literal["table", "csv", "json"]


def write_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Form, out: TextIO
) -> None:
    """Write an answer of ``catalog.query``.

    Args:
        columns: their names.
        rows: values that JSON can carry.
        form: ``table`` is drawn on a terminal, and tab-separated lines in a pipe; ``csv`` is
            RFC 4180, with NULL as nothing and full precision; ``json`` is one object with
            ``columns`` and ``rows``.
        out: where to.
    """
    if form == "json":
        told = {"columns": columns, "rows": rows}
        out.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")
    elif form == "csv":
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([_exactly(value) for value in row] for row in rows)
    elif out.isatty():
        _draw(columns, rows, out)
    else:
        writer = csv.writer(out, "excel-tab", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_briefly(value) for value in row] for row in rows)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for number, name in enumerate(columns):
        figures = all(isinstance(row[number], int | float | None) for row in rows)
        table.add_column(escape(name), justify="right" if figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_briefly(value)) for value in row))
    Console(file=out).print(table)


def _briefly(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _exactly(value)


def _exactly(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
