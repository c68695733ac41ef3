"""Rows on stdout: a JSON list of objects, CSV, or a table for people.

Nothing is printed before the last row has arrived: a question that fails half-way prints no half answer.
"""

import csv
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from hapctl.cli.output import say

Row = Sequence[Any]
_IN_MEMORY = 32 * 1024 * 1024
_TABLE_ROWS = 1000


def print_answer(columns: Sequence[str], rows: Iterable[Row], form: str) -> int:
    """Print rows in a form (json, csv or table) and return their number."""
    if form == "table":
        return _print_table(columns, rows)
    write: Callable[..., int] = _write_json if form == "json" else _write_csv
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline="") as spool:
        count = write(spool, columns, rows)
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout)
        sys.stdout.flush()
    return count


def _write_json(file: IO[str], columns: Sequence[str], rows: Iterable[Row]) -> int:
    count = 0
    for count, row in enumerate(rows, 1):
        file.write("[\n" if count == 1 else ",\n")
        values = dict(zip(columns, map(_plain, row), strict=True))
        file.write("  " + json.dumps(values, default=str, allow_nan=False))
    file.write("\n]\n" if count else "[]\n")
    return count


def _write_csv(file: IO[str], columns: Sequence[str], rows: Iterable[Row]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - the count of rows is what is wanted after the loop
        writer.writerow([_cell(value) for value in row])
    return count


def _print_table(columns: Sequence[str], rows: Iterable[Row]) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    count = 0
    for count, row in enumerate(rows, 1):
        if count <= _TABLE_ROWS:
            table.add_row(*(Text(_cell(value)) for value in row))
    if columns and count:
        # A pipe has no width: lines are then as long as the rows.
        Console(width=None if sys.stdout.isatty() else 10_000).print(table)
    if count > _TABLE_ROWS:
        say(f"hapctl: {_TABLE_ROWS} of {count} rows are shown; --csv or --json prints all")
    return count


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity: both become null, inside lists and documents too."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(_plain(value), default=str) if isinstance(value, dict | list) else str(value)
