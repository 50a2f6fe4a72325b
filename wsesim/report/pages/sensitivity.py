"""`wsesim sensitivity`: two tables, what is uncertain and what a better machine would bring."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType

from wsesim.report.columns import Columns, prose
from wsesim.report.pages.parts import facts_grid, plain_table, section
from wsesim.study.sensitivity import BETTER, LEAST, Effect, Sensitivity
from wsesim.units import show, unit_of_field
from wsesim.view import Fact, plural


def print_sensitivity(console: Console, found: Sensitivity, *, every: bool = False) -> None:
    """The step, then both tables."""
    result = found.result
    where = f"{result.num_devices:,} x {result.device}, {result.step.software}"
    console.print(prose(f"What moves the step of {result.name}", style="bold"))
    console.print(facts_grid([Fact("on", where), Fact("step time", show(result.step_time_s, "s"), is_key=True)]))
    console.print(_uncertain(found, every=every))
    console.print(_constants(found))


def _uncertain(found: Sensitivity, *, every: bool) -> Group:
    """Numbers that nobody published, at the ends of their ranges."""
    step_s = found.result.step_time_s
    rows = [one for one in found.uncertain if every or one.largest(step_s) > LEAST]
    table = plain_table("number", "|value", "range", "|at low", "|at high", "status")
    for one in rows:
        _add(table, one, step_s, f"{_shown(one, one.values[0])} to {_shown(one, one.values[-1])}", one.status)
    words: list[RenderableType] = [table] if rows else []
    if hidden := len(found.uncertain) - len(rows):
        words.append(prose(f"{plural(hidden, 'other number')} change the step by less than {LEAST:.2%}", style="dim"))
    if found.without_range:
        words.append(
            prose(f"no range is known of {', '.join(_short(key) for key in found.without_range)}", style="yellow")
        )
    return section("Uncertain numbers at the ends of their ranges", Group(*words))


def _constants(found: Sensitivity) -> Group:
    """Numbers of the machine, each a tenth better."""
    table = plain_table("number", "|value", "made", "|step", "status")
    for one in found.constants:
        _add(table, one, found.result.step_time_s, _shown(one, one.values[0]), one.status)
    words: list[RenderableType] = [table] if found.constants else []
    if found.without_effect:
        names = ", ".join(_short(key) for key in found.without_effect)
        words.append(prose(f"no step shorter by more than {LEAST:.2%}: {names}", style="dim"))
    return section(f"The machine, each number {BETTER:.0%} better", Group(*words))


def _add(table: Columns, one: Effect, step_s: float, made: str, status: str) -> None:
    changes = ["refused" if change is None else f"{change:+.2%}" for change in one.changes(step_s)]
    table.add_row(_short(one.key), _shown(one, one.value), made, *changes, status)


def _shown(one: Effect, value: float) -> str:
    unit = unit_of_field(one.key)
    return show(value, unit) if unit != "-" else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def _short(key: str) -> str:
    """A key without what all of them begin with."""
    for prefix in ("cluster.", "system.", "gpu.", "calibration."):
        key = key.removeprefix(prefix)
    return key
