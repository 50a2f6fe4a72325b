"""Finished points of a sweep, from its ledger or from the table that it wrote."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.reading import content, csv_lines, text
from wsesim.errors import InputError, need
from wsesim.study.ledger import Ledger
from wsesim.study.sweep import SweepResult, rows_of
from wsesim.study.table import SUFFIXES, Row

STATUS, MESSAGE = "status", "message"
"""Columns that every table of a sweep has; what varies stands before the first."""
LARGEST_TABLE_BYTES = 1_000_000_000
MOST_CELLS = 100_000_000
"""Cells of a Parquet file, which can stand for far more than it has bytes. [bytes], [-]"""


def read_points(path: Path, sweep: str | None = None) -> SweepResult:
    """Read a ledger, or a table by its ending.

    Parameters
    ----------
    path
        A ledger, or a .csv or .parquet file.
    sweep
        Of a ledger: the start of a sweep's name; the one that was used last when left out.

    Returns
    -------
    SweepResult
        Finished points in order, also those without an answer.

    Raises
    ------
    InputError
        No such file, damaged, something else, or without any finished point.
    """
    if path.suffix.lower() not in SUFFIXES:
        keys, rows, damaged = _of_ledger(path, sweep)
    elif sweep is not None:
        raise InputError(f"--sweep {sweep}: a table holds one sweep, and {path} is one; leave --sweep out")
    else:
        keys, rows = _of_table(path)
        damaged = []
    if not rows:
        raise InputError(f"{path}: holds no finished point; let the sweep run, or name another one")
    return SweepResult(tuple(keys), rows, damaged=tuple(damaged))


def _of_ledger(path: Path, sweep: str | None) -> tuple[Sequence[str], list[Row], list[str]]:
    with Ledger(path, read_only=True) as ledger:
        entry = ledger.entry(sweep)
        return entry.keys, rows_of(ledger, entry.keys, ledger.points(entry.sweep)), ledger.damaged


def _of_table(path: Path) -> tuple[Sequence[str], list[Row]]:
    if not catalogue.exists(path):
        raise InputError(f"{path}: there is no such table; `wsesim sweep --out {path}` writes one")
    try:
        columns, rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); is it a table that `wsesim sweep` wrote?") from None
    if STATUS not in columns or MESSAGE not in columns or columns.index(STATUS) == 0:
        raise InputError(
            f"{path}: is no table of a sweep, whose columns are what varies, then {STATUS}, answers and {MESSAGE}; "
            "name the file that `wsesim sweep --out` wrote"
        )
    return columns[: columns.index(STATUS)], rows


def _read_csv(path: Path) -> tuple[list[str], list[Row]]:
    columns, *lines = csv_lines(text(path, str(path), LARGEST_TABLE_BYTES), str(path), strict=True) or [[]]
    return columns, [_row(columns, line, number) for number, line in enumerate(lines, start=2)]


def _row(columns: Sequence[str], cells: Sequence[str], line: int) -> Row:
    if len(cells) != len(columns):
        raise ValueError(f"line {line} has {len(cells)} of {len(columns)} columns")
    return {name: text if name == MESSAGE else _value(text) for name, text in zip(columns, cells, strict=True)}


def _value(text: str) -> Any:
    """A cell as it was before it was written."""
    if not text:
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        number = float(text)
        return text if not math.isfinite(number) else number if _IS_FRACTION.search(text) else int(text)
    except ValueError:
        return text


_IS_FRACTION = re.compile(r"[.eE]")


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    need("pyarrow", "parquet", f"{path}")
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(content(path, str(path), LARGEST_TABLE_BYTES)))
        if file.metadata.num_rows * max(1, file.metadata.num_columns) > MOST_CELLS:
            raise ValueError(f"it has more than {MOST_CELLS:,} cells")
        table = file.read()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(str(error)) from None
    return list(table.column_names), table.to_pylist()
