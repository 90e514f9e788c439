"""Answers as text: for a person, a spreadsheet, a program."""

from __future__ import annotations

import csv
import io
import json

from av_pipelines.reports.tables import Form, write_table

COLUMNS = ["asset", "cpu_s", "usd", "partitions"]
ROWS = [["audio", 1.23456789, None, ["a", "b"]], ['a, [red]"x"\n', 2, 0.5, []]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(form: Form, out: io.StringIO) -> str:
    write_table(COLUMNS, ROWS, form, out)
    return out.getvalue()


def test_csv_is_exact_and_comes_back_as_it_was() -> None:
    text = written("csv", io.StringIO(newline=""))
    assert text.startswith("asset,cpu_s,usd,partitions\r\n")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1] == ["audio", "1.23456789", "", '["a", "b"]']
    assert rows[2][0] == 'a, [red]"x"\n'


def test_json_is_one_object() -> None:
    assert json.loads(written("json", io.StringIO())) == {"columns": COLUMNS, "rows": ROWS}


def test_a_pipe_gets_lines_with_tabs() -> None:
    assert written("table", io.StringIO()).splitlines()[1] == 'audio\t1.23457\t\t"[""a"", ""b""]"'


def test_a_terminal_gets_a_drawn_table_and_markup_is_text() -> None:
    text = written("table", Terminal())
    assert "┃" in text
    assert "[red]" in text
