"""`wsesim explain`: every number of a catalogue entry, with its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from wsesim.config import catalogue
from wsesim.config.entries import origins_of
from wsesim.config.provenance import Origin
from wsesim.errors import UnknownNameError, did_you_mean
from wsesim.report.columns import prose
from wsesim.report.pages.parts import plain_table
from wsesim.result import status_of
from wsesim.units import parse_quantity, show, unit_of_field


@dataclass(frozen=True)
class ExplainedNumber:
    """One number of an entry."""

    kind: str
    key: str
    origin: Origin

    @property
    def value(self) -> Any:
        """In the SI unit of its key."""
        raw, unit = self.origin.value, unit_of_field(self.key)
        return parse_quantity(raw, unit) if isinstance(raw, str) else raw

    @property
    def range_si(self) -> list[float] | None:
        """Bounds in the same unit, where there are some."""
        return None if self.origin.low is None or self.origin.high is None else [self.origin.low, self.origin.high]


def gather(name: str) -> list[ExplainedNumber]:
    """Numbers of every entry with this name.

    Raises
    ------
    UnknownNameError
        With the nearest name.
    """
    kinds = [kind for kind in catalogue.KINDS if name in catalogue.names(kind)]
    if not kinds:
        known = [entry for kind in catalogue.KINDS for entry in catalogue.names(kind)]
        raise UnknownNameError(
            f"{name!r} is not in the catalogue{did_you_mean(name, known) or '; `wsesim list` shows what there is'}"
        )
    if not {"clusters", "systems", "gpus"}.isdisjoint(kinds):
        kinds = [kind for kind in kinds if kind != "calibrations"]
    if "clusters" in kinds:
        kinds = [kind for kind in kinds if kind not in ("systems", "gpus")]
    return [row for kind in kinds for row in of_kind(kind, name)]


def of_kind(kind: str, name: str) -> list[ExplainedNumber]:
    """Numbers of one entry."""
    return [ExplainedNumber(kind, key, origin) for key, origin in origins_of(kind, name).items()]


def as_dicts(rows: Sequence[ExplainedNumber]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "kind": row.kind,
            "key": row.key,
            "value": row.value,
            "unit": unit_of_field(row.key),
            "range": row.range_si,
            "status": status_of(row.origin),
            "source": row.origin.source,
            "note": row.origin.note,
            "file": row.origin.place,
        }
        for row in rows
    ]


def shown(row: ExplainedNumber) -> str:
    """Its value with its unit, to be read."""
    unit = unit_of_field(row.key)
    return show(row.value, unit) if isinstance(row.value, int | float) else str(row.value)


def below(row: ExplainedNumber) -> str:
    """Its range, and what is to be said of it."""
    unit, bounds = unit_of_field(row.key), row.range_si
    words = [f"{show(bounds[0], unit)} to {show(bounds[1], unit)}"] if bounds else []
    return "; ".join([*words, *([row.origin.note] if row.origin.note else [])])


def print_rows(console: Console, rows: Sequence[ExplainedNumber]) -> None:
    """Numbers by key, then the sources they name."""
    table = plain_table("number", "value", "status", "~source")
    for row in rows:
        table.add_row(row.key, shown(row), status_of(row.origin), row.origin.source, below=below(row))
    console.print(table, "")
    sources = catalogue.sources()
    for key in sorted({key for row in rows for key in row.origin.source.split(", ")}):
        if key in sources:
            one = sources[key]
            console.print(prose(f"{key}: {one.title}, {one.date}. {one.url}", style="dim"))
