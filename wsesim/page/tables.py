"""Comparisons and plans as tables that templates show; the words are those of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsesim.config.run import Run
from wsesim.machines.machine import machine_of
from wsesim.page.state import OF_ALL, GoalState, RunState
from wsesim.report.pages import goal
from wsesim.report.pages.compare import against_first, legend, of_each
from wsesim.study.comparison import Entry, notes
from wsesim.study.goals import Answer
from wsesim.study.options import Option
from wsesim.view import Cell, Figure, Link, Section, Table


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    legend
        What the marks in the table mean.
    """

    table: Table
    legend: tuple[str, ...]
    notes: tuple[str, ...]


def compared(entries: Sequence[Entry]) -> Comparison:
    """Runs as columns, and what the others are against the first."""
    ratios = {label: cells for label, *cells in against_first(entries).rows}
    nothing = [""] * (len(entries) - 1)
    rows = tuple((label, *cells, *ratios.get(label, nothing)) for label, *cells in of_each(entries).rows)
    names = [one.result.run.cluster.name for one in entries]
    heads = ("", *names, *(f"{name} against {names[0]}" for name in names[1:]))
    return Comparison(Table("The same job on both", heads, rows), tuple(legend(entries)), tuple(notes(entries)))


@dataclass(frozen=True)
class Planned:
    """What meets a goal, or what would have to give.

    Attributes
    ----------
    head
        The answer in a sentence.
    choices
        The fastest, the cheapest, and the smallest of each cluster.
    front
        What nothing beats in time, cost and energy.
    said
        What binds, what is doubtful, and what the next better choice is.
    basis
        What the numbers rest on, and what they leave out.
    figure
        Time against cost; None where nothing can run.
    tried
        Numbers of devices that were refused, each with its reason.
    """

    is_met: bool
    head: str
    choices: Table
    front: Table
    said: tuple[str, ...]
    refused: tuple[str, ...]
    basis: tuple[str, ...]
    figure: Figure | None
    tried: Section


def planned(result: Answer, state: GoalState) -> Planned:
    """A plan's answer; wafer-scale choices lead to their run."""

    def cells(option: Option) -> tuple[Cell, ...]:
        return _row(option, state)

    return Planned(
        is_met=result.is_met,
        head=_head(result),
        choices=goal.choices_table(result, cells, f"{result.goal.name}, {goal.limits_text(result.goal)}"),
        front=goal.front_table(result, cells),
        said=(*goal.said(result), *(goal.doubts(result) if result.is_met else ())),
        refused=tuple(goal.refused(result)),
        basis=tuple(goal.basis(result)),
        figure=goal.picture(result) if result.options else None,
        tried=goal.tried(result),
    )


def _row(option: Option, state: GoalState) -> tuple[Cell, ...]:
    where, *rest = goal.cells(option)
    address = _address(option, state)
    return (Link(where, address) if address else where, *rest, *goal.recipe_cells(option))


def _address(option: Option, state: GoalState) -> str:
    """The page of a choice; of wafer-scale systems, with a model that has a name."""
    run = option.run
    if machine_of(run).is_baseline or option.recipe is not None:
        return ""
    chosen = RunState(
        model=state.model,
        cluster=next((name for name in state.candidates if _is_of(name, run)), ""),
        systems=str(run.num_devices),
        release=machine_of(run).software(run),
        batch=str(run.training.global_batch_size),
        batch_of=OF_ALL,
        sequence_length=state.sequence_length,
        tokens=state.tokens,
        settings="\n".join(
            f"{key}={value}"
            for key, value in (("cluster.software_release", state.release), ("cluster.paying", state.paying))
            if value
        ),
    )
    return f"/?{chosen.query()}"


def _is_of(name: str, run: Run) -> bool:
    from wsesim.page.clusters import clusters

    return bool(clusters()[name].title == run.cluster.name)


def _head(result: Answer) -> str:
    if result.fastest is None:
        nearest = min(result.options, key=lambda one: max(one.fails.values(), default=0.0), default=None)
        if nearest is None:
            return "Nothing that may be used can run it at all."
        missed = ", ".join(f"{name} by {share:.1%}" for name, share in nearest.fails.items())
        return f"Nothing that may be used meets it. The nearest is {goal.cells(nearest)[0]}, which misses the {missed}."
    best = result.cheapest or result.fastest
    words = "cheapest" if result.cheapest else "fastest"
    where, time, cost, *_ = goal.cells(best)
    return f"It can be met. The {words} is {where}: {time}, {cost}."
