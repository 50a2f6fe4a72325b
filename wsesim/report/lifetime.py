"""`wsesim lifetime`: when the job ends, what the time went on, how often to checkpoint."""

from __future__ import annotations

import math

from rich.bar import Bar
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from wsesim.config.loader import GPURun
from wsesim.metrics.training import prices
from wsesim.planning.lifetime import CAUSES, Lifetime
from wsesim.report import parts
from wsesim.report.parts import BAR_WIDTH, grid, plain_table, plural, section, show_energy, show_range
from wsesim.units import show

POLICIES = {
    "spare": "a spare takes its place",
    "shrink": "the job goes on with fewer until it is repaired",
    "wait": "the job waits until it is repaired",
}


def _units(life: Lifetime, count: int) -> str:
    return plural(count, "node" if isinstance(life.run, GPURun) else "system")


def headline(life: Lifetime) -> Group:
    """When it ends."""
    calendar_s, line = life.calendar_s, life.timeline
    rows = grid()
    rows.add_row("calendar time", Text(f"{show(calendar_s['mean'], 's')} on average", style="bold"))
    rows.add_row("5 %, half, 95 %", ", ".join(show(calendar_s[key], "s") for key in ("p5", "p50", "p95")))
    rows.add_row(
        "goodput", Text(f"{life.goodput:.1%} of the time for which it holds {_units(life, line.units)}", style="bold")
    )
    rows.add_row("steps alone", f"{show(line.work_s, 's')}: {line.steps:,} steps of {line.step_time_s:.4g} s")
    return Group(Text(life.run.name, style="bold"), rows)


def causes(life: Lifetime) -> Group:
    """What the calendar time went on."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim", min_width=12)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(width=BAR_WIDTH)
    table.add_column(overflow="fold")
    total_s = life.calendar_s["mean"]
    for cause, spent_s in life.spent_s.items():
        if spent_s > 0.0:
            share = spent_s / total_s
            bar = Bar(1.0, 0.0, share, width=BAR_WIDTH, color="cyan")
            table.add_row(cause, show(spent_s, "s"), f"{share:.1%}", bar, Text(CAUSES[cause], style="dim"))
    table.add_row("calendar time", show(total_s, "s"), "100.0%", "", "")
    return section("Where the time goes, on average", table)


def failures(life: Lifetime) -> Group:
    """How often it fails, and what happens then."""
    line, found = life.timeline, life.failures
    rows = grid()
    if math.isinf(life.mtbf_s):
        rows.add_row("failures", "none: the run states no mean time between failures")
        return section("Failures", rows)
    word = "node" if isinstance(life.run, GPURun) else "system"
    fabric = f", {found['fabric']:.3g} of the fabric and weight servers" if line.fabric_rate_per_s else ""
    rows.add_row("failures", f"{found['unit']:.3g} of a {word}{fabric}, on average")
    rows.add_row("one every", f"{show(life.mtbf_s, 's')} on {_units(life, line.units)}")
    rows.add_row(f"when a {word} fails", f"{POLICIES[line.on_failure]}; repaired after {show(line.repair_s, 's')}")
    if line.on_failure != "wait":
        rows.add_row("spares", f"{line.spares}")
    rows.add_row("a restart takes", f"{show(line.restart_s, 's')}, reading the checkpoint included")
    return section("Failures", rows)


def _interval(value_s: float) -> str:
    return show(value_s, "s") if 0.0 < value_s < math.inf else "none needed" if value_s else "as often as possible"


def checkpoints(life: Lifetime) -> Group:
    """The interval in use beside the optimum by formula and by simulation."""
    line, found = life.timeline, life.intervals
    table = plain_table("interval", "|work between two", "|calendar time")
    tried = dict(found.curve)
    table.add_row("in use", show(found.used_s, "s"), show(life.calendar_s["mean"], "s"))
    table.add_row("Young's formula", _interval(found.young_s), "")
    table.add_row("Daly's formula", _interval(found.daly_s), _time(tried.get(found.daly_s)))
    table.add_row("simulated optimum", _interval(found.simulated_s), _time(min(tried.values(), default=None)))
    text = f"A checkpoint takes {show(line.checkpoint_s, 's')}."
    if tried:
        shortest, longest = found.curve[0], found.curve[-1]
        text += (
            f" Simulated {len(tried)} intervals on the same failures: {show(shortest[0], 's')} would take "
            f"{show(shortest[1], 's')}, {show(longest[0], 's')} would take {show(longest[1], 's')}."
        )
    return section("Checkpoints", Group(table, Text(text, style="dim")))


def _time(value_s: float | None) -> str:
    return "" if value_s is None else show(value_s, "s")


def money(life: Lifetime) -> Group:
    """What the systems cost and take while the job holds them."""
    rows = grid()
    rows.add_row("energy", f"{show_energy(life.energy_j)}, at full power for {show(life.held_s, 's')}")
    if life.cost_usd is not None:
        rows.add_row("cost", f"{show_range(life.cost_usd, 'USD')}, spares included")
    rows.add_row("prices from", parts.price_words(prices(life.run)))
    return section("Energy and cost", rows)


def print_lifetime(console: Console, life: Lifetime) -> None:
    """The whole report."""
    for part in (headline, causes, failures, checkpoints, money):
        console.print(part(life))
    if life.assumptions:
        console.print(parts.assumptions(life.assumptions))
    events = sum(one.num_events for one in life.replications)
    text = f"\n{plural(len(life.replications), 'replication')}, seed {life.seed}: {events:,} events"
    console.print(Text(text, style="dim"))
