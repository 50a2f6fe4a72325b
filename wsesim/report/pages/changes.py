"""What moved between two answers, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wsesim.study.changes import Change, Changes
from wsesim.units import show, unit_of_field
from wsesim.view import Note, Section, Table

FIRST = ("step_time_s", "samples_per_s", "training.time_s", "training.energy_j", "training.cost_usd", "mfu")
"""Keys that a reader looks for; the rest is in JSON."""


def sections(found: Changes) -> Iterator[Section]:
    """Figures that moved first, then what was different."""
    yield Section("answers", parts=(Note(f"{found.before} -> {found.after}", "key"),))
    if not found.moved and not found.causes:
        yield Section("nothing", parts=(Note("nothing differs"),))
        return
    known = {one.key: one for one in found.moved}
    first = [known[key] for key in FIRST if key in known]
    if first:
        yield Section("moved", "What moved", (_table("What moved", first),))
    if more := len(found.moved) - len(first):
        yield Section("more", parts=(Note(f"{more} more values differ: --json has all", "aside"),))
    unknown = Note("neither release, calibration, version nor question differ")
    yield Section("why", "Why", (_table("Why", found.causes) if found.causes else unknown,))


def _table(caption: str, changes: Sequence[Change]) -> Table:
    rows = tuple(
        (
            one.key,
            _shown(one.key, one.before),
            _shown(one.key, one.after),
            "" if one.share is None else f"{one.share:+.2%}",
        )
        for one in changes
    )
    return Table(caption, ("value", "~before", "~after", "|change"), rows)


def _shown(key: str, value: Any) -> str:
    """A value with the unit of its key."""
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    unit = unit_of_field(key)
    return f"{value:,.6g}" if unit == "-" else show(float(value), unit)
