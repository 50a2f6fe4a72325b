"""What the page's worker processes do: a state comes in; HTML, JSON or a file goes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w

from wsesim.config.run import Run
from wsesim.machines.machine import machine_of
from wsesim.machines.simulation import simulate, simulate_fast, step_time
from wsesim.page.limits import check_work
from wsesim.page.run_file import (
    GOAL_FILE,
    GPU_FILE,
    RUN_FILE,
    clusters,
    devices_of,
    goal_of,
    goal_table,
    gpu_run_of,
    gpu_table,
    run_of,
    wafer_table,
)
from wsesim.page.state import NO_GPUS, OF_ALL, GoalState, RunState
from wsesim.report.charts import scaling as scaling_chart
from wsesim.report.charts.render import drawn, javascript
from wsesim.report.charts.theme import ThemeName
from wsesim.report.html import TextFile, environment
from wsesim.report.json import result_dict
from wsesim.report.pages import goal
from wsesim.report.pages import run as run_page
from wsesim.report.pages.compare import against_first, legend, of_each, tornados
from wsesim.report.pages.report import Study, learned, life, run_report
from wsesim.results.result import Result
from wsesim.study import goals
from wsesim.study.comparison import Entry, entry, job_notes
from wsesim.study.goals import Answer, Option
from wsesim.study.scaling import Scaling, scaling
from wsesim.study.sensitivity import Sensitivity
from wsesim.study.sensitivity import sensitivity as sensitivity_of
from wsesim.view import Cell, Figure, Link, Section, Table, notes

# Comparisons and plans as tables that templates show; the words are those of the terminal.


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
    return Comparison(Table("The same job on both", heads, rows), tuple(legend(entries)), tuple(job_notes(entries)))


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
    from wsesim.page.run_file import clusters

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


# What the page's worker processes do: a state comes in, HTML, JSON or a file goes out.
#
# Arguments and answers are plain data that travel between processes.


TEMPLATES = Path(__file__).with_name("templates")
REPORT_FILE = "report.html"
RESULTS_KEPT = 8
"""Results that a process remembers. [-]"""
LIVES = 50
"""Of a job that an answer simulates; reports and `wsesim lifetime` simulate as many as the run says. [-]"""
LEADS = {
    "weak": "Each system keeps its batch, as the controls say; counted over all systems, the batch would stay.",
    "strong": "The batch of all systems stays, as the controls say; counted per system, it would grow with their number.",
}


def render(template: str, **values: Any) -> str:
    """A template of the page, with the macros of reports."""
    return environment(TEMPLATES).get_template(template).render(values | {"devices_of": devices_of})


@dataclass(frozen=True)
class Main:
    """What a wafer-scale run's answer consists of.

    Attributes
    ----------
    html, folded
        The answer from its figures on, which stands above the comparison, and what stands below it.
    said
        The answer in a sentence, for those who hear the page.
    most
        Systems that the fabric takes. [-]
    entry
        For the comparison.
    """

    html: str
    folded: str
    said: str
    most: int
    entry: Entry


def get_ready() -> None:
    """Answer once, so that what every answer needs is there when somebody asks."""
    clusters()
    main(RunState())


def get_ready_for_gpus() -> None:
    """The same for comparisons."""
    gpus(RunState())


@lru_cache(maxsize=RESULTS_KEPT)
def _result(state: RunState) -> Result:
    run = run_of(state)
    check_work(run)
    return simulate_fast(run)


def main(state: RunState) -> Main:
    """Simulate a run by the fast engine."""
    result = _result(state)
    top = run_page.answer(result)
    open_parts = [run_page.breakdown(result), _scaling_section(result, state)]
    html = render("run.html", answer=top, open_parts=open_parts, query=state.query())
    parts = (
        run_page.machine(result),
        run_page.totals(result, price_table=True),
        life(result, LIVES),
        learned([result]),
        run_page.utilization(result),
        run_page.memory(result),
        run_page.assumptions([result]),
    )
    folded = [section for section in parts if not section.is_empty]
    said = f"{result.devices}: " + ", ".join(f"{tile.name} {tile.value}" for tile in top.tiles[:3])
    return Main(html, render("folded.html", sections=folded), said, result.run.max_devices, entry(result))


def _scaling(result: Result, state: RunState) -> Scaling:
    """The curve along which the controls move: weak where the batch is one of each system, else strong."""
    if state.batch_of == OF_ALL:
        return scaling(result, kinds=("strong",))
    return scaling(result, kinds=("weak",))


def _scaling_section(result: Result, state: RunState) -> Section:
    found = _scaling(result, state)
    tables = tuple(run_page.curve_table(curve, found) for curve in found.curves if curve.points)
    words = machine_of(result.run).words
    title = f"Throughput over the number of {words.short}s, from 1 to the {found.most:,} of the fabric"
    figure = Figure("scaling", title, scaling_chart.chart(found), tables)
    lead = LEADS[found.curves[0].kind]
    return Section("scaling", "Scaling", (figure, *notes(found.notes, "note")), lead)


def gpus(state: RunState) -> Entry:
    """Simulate the same job on GPUs, with the best plan."""
    run = gpu_run_of(state)
    check_work(run)
    return entry(step_time(run))


def _gpu_result(state: RunState) -> Result:
    run = gpu_run_of(state)
    check_work(run)
    return simulate(run)


def comparison(wafers: Entry, others: Entry) -> str:
    """Both side by side."""
    return render("comparison.html", comparison=compared([wafers, others]))


def plan(state: GoalState) -> str:
    """What meets a goal."""
    return render("planned.html", planned=planned(goals.answer(goal_of(state), GOAL_FILE), state))


def sensitivity(state: RunState) -> str:
    """What single numbers do to the step."""
    macros: Any = environment(TEMPLATES).get_template("macros.html").module
    return str(macros.section(tornados([_sensitivity(state)])))


def sensitivity_json(state: RunState) -> dict[str, Any]:
    """The JSON of ``wsesim sensitivity --json``."""
    return _sensitivity(state).to_dict()


def _sensitivity(state: RunState) -> Sensitivity:
    run = run_of(state)
    check_work(run)
    return sensitivity_of(run)


def pictures() -> str:
    """The script that draws pictures; it is slow the first time that it is made on a machine."""
    return javascript()


def scaling_picture(state: RunState, theme: ThemeName) -> bytes:
    """The curve as SVG, for browsers without JavaScript."""
    return drawn(scaling_chart.chart(_scaling(_result(state), state)), "svg", theme)


def report(state: RunState) -> str:
    """The report of the run, and of the GPUs that it is compared with."""
    runs = [run_of(state)]
    files = [TextFile(RUN_FILE, run_file(state))]
    if state.gpus != NO_GPUS:
        runs.append(gpu_run_of(state))
        files.append(TextFile(GPU_FILE, gpu_file(state)))
    for run in runs:
        check_work(run)
    names = " ".join(file.name for file in files)
    study = Study(tuple(simulate(run) for run in runs), state.gpus)
    return run_report(study, f"wsesim report {names} --out {REPORT_FILE}", tuple(files))


def run_json(state: RunState) -> dict[str, Any]:
    """The contract of ``wsesim run --json``."""
    return result_dict(_result(state))


def gpu_json(state: RunState) -> dict[str, Any]:
    """The same of the GPUs."""
    return result_dict(_gpu_result(state))


def plan_json(state: GoalState) -> dict[str, Any]:
    """The JSON of ``wsesim plan --json``."""
    return goals.answer(goal_of(state), GOAL_FILE).to_dict()


def run_file(state: RunState) -> str:
    """The run as a file that ``wsesim run`` takes."""
    run_of(state)
    return tomli_w.dumps(wafer_table(state))


def gpu_file(state: RunState) -> str:
    """The run on GPUs as a file that ``wsesim run`` takes."""
    gpu_run_of(state)
    return tomli_w.dumps(gpu_table(state))


def goal_file(state: GoalState) -> str:
    """The goal as a file that ``wsesim plan`` takes."""
    goal_of(state)
    return tomli_w.dumps(goal_table(state))
