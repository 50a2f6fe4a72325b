"""A run in the terminal: the answer first, then why, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable

from rich.bar import Bar
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from wsesim.metrics.breakdown import CATEGORIES
from wsesim.metrics.links import LinkTraffic
from wsesim.metrics.utilization import layer_times_s
from wsesim.report import facts, parts
from wsesim.report.parts import BAR_WIDTH, facts_grid, section
from wsesim.report.wafer_facts import PARTS
from wsesim.results import Result
from wsesim.units import show


def headline(result: Result) -> Group:
    """What was asked: how fast, on what."""
    return Group(Text(result.name, style="bold"), facts_grid(facts.headline(result)))


def utilization(result: Result) -> Group:
    """How busy each part is."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim", min_width=20)
    table.add_column(justify="right")
    table.add_column(width=BAR_WIDTH)
    for part, share in result.utilization.items():
        table.add_row(PARTS[part], f"{share:.1%}", Bar(1.0, 0.0, share, width=BAR_WIDTH, color="green"))
    return section("Busy during the step", table)


def layers(result: Result) -> Group:
    """Seconds of the step by layer and phase."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer")
    table.add_column("phase")
    kinds = ("gemm", "attention", "sequencing", "waiting")
    for column in (*kinds, "sum"):
        table.add_column(column, justify="right")
    chain = result.simulation.plan.layers
    for (index, phase), spent in layer_times_s(result.simulation).items():
        cells = [show(spent.get(kind, 0.0), "s") for kind in kinds]
        table.add_row(chain[index].name, phase, *cells, show(sum(spent.values()), "s"))
    return section("Step by layer, on the wafer that decides it", table)


def links(rows: Iterable[LinkTraffic]) -> Group:
    """Traffic of every link."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("from", "to"):
        table.add_column(column)
    for column in ("down", "busy", "up", "busy"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.parent,
            row.child,
            show(row.down_bytes, "bytes"),
            f"{row.utilization_down:.1%}",
            show(row.up_bytes, "bytes"),
            f"{row.utilization_up:.1%}",
        )
    return section("Links, per step", table)


def footer(result: Result) -> Text:
    """How the answer was found."""
    is_fast = result.simulation.engine == "recurrence"
    return Text(f"\n{facts.made_by(result)}{',' if is_fast else ' in'} {show(result.wall_s, 's')}", style="dim")


def print_result(console: Console, result: Result) -> None:
    """The whole report of one run."""
    console.print(headline(result))
    for note in parts.notes(result.notes):
        console.print(note)
    console.print(parts.breakdown(result.breakdown_s, result.step_time_s, CATEGORIES, result.bottleneck))
    console.print(utilization(result))
    console.print(section("Memory", facts_grid(facts.memory(result))))
    console.print(section("Scaling", facts_grid(facts.scaling(result))))
    console.print(section("Time to train", facts_grid(facts.training(result))))
    console.print(parts.assumptions(result.assumptions))
    console.print(footer(result))
