"""Reads CSV tables by the names of their columns; errors name file and line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from wsesim.config import catalogue
from wsesim.config.catalogue import csv_lines
from wsesim.errors import MeasurementError, did_you_mean

LARGEST_TABLE_BYTES = 10_000_000

SMALLEST, LARGEST = 1e-9, 1e15
"""Numbers outside are slips of the pen. [-]"""

_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?:[,.]|$))")
"""A comma between thousands; any other would be a decimal comma, which is refused."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    cells
        By column; a column that the table does not have is like an empty cell.
    columns
        What each column holds, for messages.
    place
        File and line.
    number
        Line; the header is the first. [-]
    """

    cells: Mapping[str, str]
    columns: Mapping[str, str]
    place: str
    number: int

    def text(self, key: str, default: str | None = "") -> str:
        """A cell without the blanks around it; with None as default it must not be empty."""
        found = self.cells.get(key, "").strip() or default
        if found is None:
            raise MeasurementError(f"{self.place}: {key} is missing; add it, it is {self.columns[key]}")
        return found

    def real(self, key: str, default: float | None = None, largest: float = LARGEST) -> float:
        """A number above zero."""
        if not self.text(key) and default is not None:
            return default
        text = self.text(key, None)
        try:
            value = float(_THOUSANDS.sub("", text))
        except ValueError:
            raise MeasurementError(
                f"{self.place}: {key} is {catalogue.value_shown(text)}; write a plain number"
            ) from None
        if not SMALLEST <= value <= largest:
            raise MeasurementError(
                f"{self.place}: {key} is {value:g}; it must be more than 0, from {SMALLEST:g} to {largest:g}"
            )
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number above zero."""
        value = self.real(key, default)
        if value != int(value):
            raise MeasurementError(f"{self.place}: {key} is {value:g}; write a whole number")
        return int(value)

    def choice(self, key: str, known: Collection[str], default: str | None) -> str:
        """One of a few words."""
        word = self.text(key, default)
        if word not in known:
            raise MeasurementError(
                f"{self.place}: {key} is {catalogue.value_shown(word)}; write one of {', '.join(known)}"
            )
        return word


def _header(
    names: list[str],
    place: str,
    columns: Mapping[str, str],
    needed: Collection[str],
    aliases: Mapping[str, str],
    ignored: Collection[str],
) -> list[str]:
    header = [aliases.get(name.strip(), name.strip()) for name in names]
    if len(names) == 1 and any(sign in names[0] for sign in ";\t"):
        raise MeasurementError(
            f"{place}: the first line {catalogue.value_shown(names[0])} has no commas; separate columns by commas"
        )
    for name in header:
        if header.count(name) > 1:
            raise MeasurementError(f"{place}: column {name!r} is there twice, or under two names; keep one")
        if name not in columns and name not in ignored:
            raise MeasurementError(
                f"{place}: column {name!r} is not known{did_you_mean(name, columns) or '; known are ' + ', '.join(columns)}"
            )
    missing = [name for name in needed if name not in header]
    if missing:
        raise MeasurementError(
            f"{place}: has no column `{missing[0]}`; the first line must name the columns: {', '.join(columns)}"
        )
    return header


def read_rows(
    path: Path,
    columns: Mapping[str, str],
    needed: Collection[str],
    aliases: Mapping[str, str] | None = None,
    ignored: Collection[str] = (),
) -> list[Row]:
    """Lines of a CSV file that are not blank.

    Parameters
    ----------
    columns
        Columns that are known, and what they hold.
    """
    lines = csv_lines(catalogue.read_text(path, LARGEST_TABLE_BYTES), str(path))
    if not lines:
        raise MeasurementError(f"{path}: is empty; the first line must name the columns: {', '.join(columns)}")
    header = _header(lines[0], str(path), columns, needed, aliases or {}, ignored)
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise MeasurementError(
                f"{path}: line {number} has {len(cells)} cells, the header {len(header)}; correct the line"
            )
        rows.append(Row(dict(zip(header, cells, strict=True)), columns, f"{path}: line {number}", number))
    return rows
