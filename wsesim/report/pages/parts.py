"""What the pages of wafer-scale and of GPU runs are put together from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from wsesim.job import Price, Range
from wsesim.plugins import MACHINES
from wsesim.report.bars import ShareBar
from wsesim.report.charts.theme import colour_of
from wsesim.report.columns import Column, Columns, column, prose
from wsesim.result import Assumption
from wsesim.units import show, unit_of_field
from wsesim.view import Fact


def facts_grid(facts: Iterable[Fact]) -> Columns:
    """Lines of an answer below one another: names on the left, what is to be said of them on the right."""
    table = Columns([Column(least=20, style="dim"), Column(is_prose=True)])
    for fact in facts:
        table.add_row(fact.name, Text(fact.text, style="bold" if fact.is_key else ""))
    return table


def plain_table(*heads: str) -> Columns:
    """A table without lines; a column after ``|`` stands on the right, one after ``~`` is prose."""
    return Columns([column(head) for head in heads])


def bar_table(least: int) -> Columns:
    """Names, amounts, shares, bars and what they mean."""
    amount = Column(is_right=True)
    return Columns([Column(least=least, style="dim"), amount, amount, Column(), Column(is_prose=True, style="dim")])


def section(title: str, body: RenderableType) -> Group:
    """A part of the page under its title."""
    return Group("", prose(title, style="bold"), body)


def show_range(value: Range, unit: str) -> str:
    """A value, with its bounds where it has some.

    Examples
    --------
    >>> show_range(Range(2.0, 1.0, 3.0), "USD")
    '2.00 USD (1.00 USD to 3.00 USD)'
    """
    text = show(value.value, unit)
    return f"{text} ({show(value.low, unit)} to {show(value.high, unit)})" if value.is_range else text


def show_energy(energy: Range) -> str:
    """An energy in watt hours, with its bounds where it has some.

    Examples
    --------
    >>> show_energy(Range(7.2e9, 3.6e9, 7.2e9))
    '2.00 MWh (1.00 MWh to 2.00 MWh)'
    """
    text = f"{show(energy.value / 3600.0, 'W')}h"
    if not energy.is_range:
        return text
    return f"{text} ({show(energy.low / 3600.0, 'W')}h to {show(energy.high / 3600.0, 'W')}h)"


def breakdown(
    spent_s: Mapping[str, float], step_time_s: float, meaning: Callable[[str], str], bottleneck: str
) -> Group:
    """Where the time of a step goes."""
    table = bar_table(12)
    for name, value in sorted(spent_s.items(), key=lambda item: -item[1]):
        share = value / step_time_s
        table.add_row(name, show(value, "s"), f"{share:.1%}", ShareBar(share, colour_of(name)), meaning(name))
    table.add_row("step", show(step_time_s, "s"), "100.0%", "", "")
    return section("Where the time goes", Group(table, prose(f"{bottleneck}.", style="italic")))


_SHORT = {
    "amortization_s": "written off over",
    "pue": "PUE",
    "electricity_usd_per_kwh": "electricity",
    "carbon_kg_per_kwh": "carbon",
}


def _short(key: str) -> str:
    """What a price is of: a device, or something that all machines have."""
    own = key.removeprefix("cluster.")
    for machine in MACHINES.known:
        if own in (machine.files.cluster.price, machine.files.cluster.bought):
            return f"a {machine.words.short}"
    return _SHORT.get(own, own)


def price_words(prices: Iterable[Price]) -> str:
    """Which prices were used, and from when each of them is.

    Examples
    --------
    >>> price_words([Price("cluster.pue", 1.1, "published", "llama-2023", "2023-02-27", "")])
    'PUE 1.1 (published, 2023-02-27)'
    """
    words = []
    for one in prices:
        when = f", {one.date}" if one.date else ""
        unit = unit_of_field(one.key)
        words.append(f"{_short(one.key)} {show(one.value, unit)} ({one.status}{when})")
    return "; ".join(words) or "none: the cluster states no price"


def assumption_value(one: Assumption) -> str:
    """The value of an assumption with its unit."""
    return show(one.value, unit_of_field(one.key)) if isinstance(one.value, int | float) else str(one.value)


def assumptions(rows: Iterable[Assumption]) -> Group:
    """Numbers in use that are not public."""
    table = plain_table("number", "value", "status", "~source")
    for one in rows:
        key = one.key
        for prefix in ("cluster.", "system.", "gpu.", "calibration."):
            key = key.removeprefix(prefix)
        table.add_row(key, assumption_value(one), one.status, one.source)
    return section("Not public: calibrated or assumed", table)


def notes(texts: Iterable[str]) -> list[RenderableType]:
    """What a reader should know first."""
    return [prose(f"note: {text}", style="yellow") for text in texts]
