"""What the pages of wafer-scale and of GPU runs are put together from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from wsesim.job import Price, Range
from wsesim.report.bars import ShareBar
from wsesim.report.charts.theme import CATEGORY_COLOURS
from wsesim.report.columns import Column, Columns, column, prose
from wsesim.result import Assumption, RunResult
from wsesim.units import show, unit_of_field

MFU_DIFFERENCE = 0.02
"""MFU is printed for both ways of counting attention where they differ by more, relative. [-]"""


class Fact(NamedTuple):
    """One line of an answer.

    Attributes
    ----------
    is_key
        What was asked for first.
    """

    name: str
    text: str
    is_key: bool = False


def plural(count: int, word: str) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(2, "micro-batch")
    '2 micro-batches'
    """
    ending = "" if count == 1 else "es" if word.endswith("ch") else "s"
    return f"{count:,} {word}{ending}"


def samples_words(result: RunResult[Any, Any]) -> str:
    """The rate with its range."""
    return f"{result.samples_per_s:,.4g} samples/s {within(result.samples_range_per_s)}"


def step_words(result: RunResult[Any, Any]) -> str:
    """The step time with its range."""
    return f"{result.step_time_s:.4g} s {within(result.step_time_range_s)}"


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


def within(value: Range) -> str:
    """The bounds of a number whose unit stands before them; three figures are more than they are worth.

    Examples
    --------
    >>> within(Range(1487.3, 1380.2, 1561.8)), within(Range(0.5, 0.46, 0.54))
    ('(1,380 to 1,560)', '(0.46 to 0.54)')
    """
    low, high = (f"{float(f'{end:.3g}'):,.10g}" for end in (value.low, value.high))
    return f"({low} to {high})"


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


def show_mfu(mfu: float, mfu_causal: float, precision: str) -> str:
    """Model FLOP utilization in words, and the other way to count it where it differs."""
    differs = abs(mfu - mfu_causal) > MFU_DIFFERENCE * mfu
    bits = "32" if precision == "float32" else "16"
    text = f"{mfu:.1%} of the dense {bits}-bit peak, attention counted in full"
    return text + (f"; {mfu_causal:.1%} counted causal" if differs else "")


def breakdown(spent_s: Mapping[str, float], step_time_s: float, meanings: Mapping[str, str], bottleneck: str) -> Group:
    """Where the time of a step goes."""
    table = bar_table(12)
    for name, value in sorted(spent_s.items(), key=lambda item: -item[1]):
        share = value / step_time_s
        table.add_row(name, show(value, "s"), f"{share:.1%}", ShareBar(share, CATEGORY_COLOURS[name]), meanings[name])
    table.add_row("step", show(step_time_s, "s"), "100.0%", "", "")
    return section("Where the time goes", Group(table, prose(f"{bottleneck}.", style="italic")))


_SHORT = {
    "price_usd_per_system_hour": "a system",
    "price_usd_per_gpu_hour": "a GPU",
    "purchase_price_usd": "a system",
    "purchase_price_usd_per_gpu": "a GPU",
    "amortization_s": "written off over",
    "pue": "PUE",
    "electricity_usd_per_kwh": "electricity",
    "carbon_kg_per_kwh": "carbon",
}


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
        words.append(f"{_SHORT[one.key.rsplit('.', 1)[-1]]} {show(one.value, unit)} ({one.status}{when})")
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
