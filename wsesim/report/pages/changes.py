"""`wsesim compare a.json b.json`: what moved between two answers, and why."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from wsesim.report.columns import Columns, prose
from wsesim.report.pages.parts import plain_table, section
from wsesim.study.changes import Change, Changes
from wsesim.units import show, unit_of_field

FIRST = ("step_time_s", "samples_per_s", "training.time_s", "training.energy_j", "training.cost_usd", "mfu")
"""Keys that a reader looks for; the rest is in JSON."""


def print_changes(console: Console, found: Changes) -> None:
    """Figures that moved first, then what was different."""
    console.print(prose(f"{found.before} -> {found.after}", style="bold"))
    if not found.moved and not found.causes:
        console.print(prose("nothing differs"))
        return
    known = {one.key: one for one in found.moved}
    first = [known[key] for key in FIRST if key in known]
    if first:
        console.print(section("What moved", _table(first)))
    more = len(found.moved) - len(first)
    if more:
        console.print(prose(f"{more} more values differ: --json has all", style="dim"))
    body = (
        _table(list(found.causes))
        if found.causes
        else prose("neither release, calibration, version nor question differ")
    )
    console.print(section("Why", body))


def _table(rows: list[Change]) -> Columns:
    table = plain_table("value", "~before", "~after", "|change")
    for one in rows:
        share = "" if one.share is None else f"{one.share:+.2%}"
        table.add_row(one.key, _shown(one.key, one.before), _shown(one.key, one.after), share)
    return table


def _shown(key: str, value: Any) -> str:
    """A value with the unit of its key."""
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    unit = unit_of_field(key)
    return f"{value:,.6g}" if unit == "-" else show(float(value), unit)
