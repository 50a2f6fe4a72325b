"""A run in the terminal: the answer first, then why, then what it rests on; wafer-scale and GPU runs in one order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType

from wsesim.machines.machine import machine_of
from wsesim.report.bars import ShareBar
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.report.columns import prose
from wsesim.report.pages import facts, parts
from wsesim.report.pages.parts import bar_table, facts_grid, plain_table, section
from wsesim.result import Result, bottleneck
from wsesim.units import add_up, show
from wsesim.view import Fact

BUSY_COLOUR = SERIES_COLOURS[2]


def headline(result: Result) -> Group:
    """What was asked: how fast, how long and for how much, on what."""
    lines = facts.headline(result)
    answers = max(place for place, fact in enumerate(lines) if fact.is_key) + 1
    lines.insert(answers, _time_to_train(result))
    return Group(prose(result.name, style="bold"), facts_grid(lines))


def _time_to_train(result: Result) -> Fact:
    job = result.job
    cost = "" if job.cost_usd is None else f", {show(job.cost_usd.value, 'USD')}"
    energy = f"{show(job.energy_j.value / 3600.0, 'W')}h"
    return Fact("time to train", f"{parts.show_range(job.time_range_s, 's')}, {energy}{cost}", is_key=True)


def utilization(result: Result) -> Group:
    """How busy each part is."""
    table = bar_table(20)
    for part, share in result.utilization.items():
        name, meaning = facts.words_of(result).part(part)
        busy_s = show(share * result.step_time_s, "s")
        table.add_row(name, busy_s, f"{share:.1%}", ShareBar(share, BUSY_COLOUR), meaning)
    return section("Busy during the step", table)


def layers(rows: Iterable[Mapping[str, Any]]) -> Group:
    """Seconds of the step by layer and phase."""
    kinds = ("gemm", "attention", "latency", "waiting")
    table = plain_table("layer", "phase", *(f"|{kind}" for kind in kinds), "|sum")
    for row in rows:
        spent = row["times_s"]
        cells = [show(spent.get(kind, 0.0), "s") for kind in kinds]
        table.add_row(row["layer"], row["phase"], *cells, show(add_up(spent.values()), "s"))
    return section("Step by layer, on the wafer that decides it", table)


def links(rows: Iterable[Mapping[str, Any]]) -> Group:
    """Traffic of every link."""
    table = plain_table("from", "to", "|down", "|busy", "|up", "|busy")
    for row in rows:
        table.add_row(
            row["parent"],
            row["child"],
            show(row["down_bytes"], "bytes"),
            f"{row['utilization_down']:.1%}",
            show(row["up_bytes"], "bytes"),
            f"{row['utilization_up']:.1%}",
        )
    return section("Links, per step", table)


def footer(result: Result) -> RenderableType:
    """How the answer was found."""
    return Group("", prose(f"{facts.words_of(result).made_by(result)}, in {show(result.wall_s, 's')}", style="dim"))


@dataclass(frozen=True)
class More:
    """What is printed on demand.

    Attributes
    ----------
    plans, wanted_plans
        The best plans of a GPU run, and how many were wanted. [-]
    scaling, measured, layers, links
        Whether other numbers of devices, measurements near the run, layers and links are.
    """

    plans: Sequence[Result] = ()
    wanted_plans: int = 0
    scaling: bool = False
    measured: bool = False
    layers: bool = False
    links: bool = False


NOTHING_MORE = More()


def print_result(console: Console, result: Result, more: More = NOTHING_MORE) -> None:
    """The whole report of one run."""
    console.print(headline(result))
    for note in parts.notes(result.notes):
        console.print(note)
    words = facts.words_of(result)
    console.print(parts.breakdown(result.breakdown_s, result.step_time_s, words.meaning, bottleneck(result)))
    if more.plans:
        from wsesim.report.pages.gpu_tables import plans

        console.print(plans(more.plans, more.wanted_plans))
    console.print(utilization(result))
    if spread := words.spread(result):
        console.print(section("How it is spread", facts_grid(spread)))
    console.print(section("Memory", facts_grid(words.memory(result))))
    console.print(section("Scaling", facts_grid(facts.scaling(result))))
    if more.scaling:
        from wsesim.report.pages.scaling_table import curves
        from wsesim.study.scaling import scaling

        for part in curves(scaling(result)):
            console.print(part)
    console.print(section("Time, energy and cost", facts_grid(facts.training(result))))
    if more.measured:
        from wsesim.report.pages.near_table import nearest
        from wsesim.validate.near import near

        console.print(nearest(near(result.run)))
    console.print(parts.assumptions(result.assumptions))
    if more.layers:
        console.print(layers(machine_of(result.run).layer_rows(result)))
    if more.links:
        console.print(links(machine_of(result.run).link_rows(result)))
    console.print(footer(result))
