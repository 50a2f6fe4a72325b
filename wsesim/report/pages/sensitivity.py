"""What is uncertain of a step, and what a better machine would bring, as two tables."""

from __future__ import annotations

from collections.abc import Iterator

from wsesim.job import job_words
from wsesim.machines.machine import machine_of
from wsesim.study.sensitivity import BETTER, LEAST, Effect, Sensitivity
from wsesim.units import show, unit_of_field
from wsesim.view import Fact, Facts, Note, Section, Table, notes, plural


def sections(found: Sensitivity, *, every: bool = False) -> Iterator[Section]:
    """The step, then both tables."""
    result = found.result
    facts = (
        Fact("on", machine_of(result.run).words.on(result)),
        Fact("job", job_words(result.run)),
        Fact("step time", show(result.step_time_s, "s"), is_key=True),
    )
    yield Section("step", parts=(Note(f"What moves the step of {result.name}", "key"), Facts(facts)))
    yield _uncertain(found, every=every)
    yield _constants(found)


def _uncertain(found: Sensitivity, *, every: bool) -> Section:
    """Numbers that nobody published, at the ends of their ranges."""
    step_s, title = found.result.step_time_s, "Uncertain numbers at the ends of their ranges"
    told = [one for one in found.uncertain if every or one.largest(step_s) > LEAST]
    rows = tuple(_row(one, step_s, f"{_shown(one, one.values[0])} to {_shown(one, one.values[-1])}") for one in told)
    tables = [Table(title, ("number", "|value", "range", "|at low", "|at high", "status"), rows)] if rows else []
    hidden = len(found.uncertain) - len(rows)
    cut = [f"{plural(hidden, 'other number')} change the step by less than {LEAST:.2%}"] if hidden else []
    unknown = ", ".join(map(_short, found.without_range))
    doubts = [f"no range is known of {unknown}"] if unknown else []
    return Section("uncertain", title, (*tables, *notes(cut, "aside"), *notes(doubts, "warning")))


def _constants(found: Sensitivity) -> Section:
    """Numbers of the machine, each a tenth better."""
    title = f"The machine, each number {BETTER:.0%} better"
    rows = tuple(_row(one, found.result.step_time_s, _shown(one, one.values[0])) for one in found.constants)
    tables = [Table(title, ("number", "|value", "made", "|step", "status"), rows)] if rows else []
    names = ", ".join(map(_short, found.without_effect))
    cut = [f"no step shorter by more than {LEAST:.2%}: {names}"] if names else []
    return Section("constants", title, (*tables, *notes(cut, "aside")))


def _row(one: Effect, step_s: float, made: str) -> tuple[str, ...]:
    changes = ["refused" if change is None else f"{change:+.2%}" for change in one.changes(step_s)]
    return (_short(one.key), _shown(one, one.value), made, *changes, one.status)


def _shown(one: Effect, value: float) -> str:
    unit = unit_of_field(one.key)
    return show(value, unit) if unit != "-" else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def _short(key: str) -> str:
    """A key without what all of them begin with."""
    for prefix in ("cluster.", "system.", "gpu.", "calibration."):
        key = key.removeprefix(prefix)
    return key
