"""What the page's worker processes do: a state comes in; HTML, JSON or a file goes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, get_args

import tomli_w

from wsesim.config.run import Run
from wsesim.errors import AnswerIsNo, Fault, InputError, WsesimError, fault, is_debugging
from wsesim.machines.machine import machine_of
from wsesim.machines.simulation import simulate, simulate_fast, step_time
from wsesim.page.form import Repair, repairs
from wsesim.page.limits import MOST_MEMORY_BYTES, check_work
from wsesim.page.run_file import (
    FIELDS,
    GOAL_FILE,
    GPU_FIELDS,
    GPU_FILE,
    JOBS_FILE,
    RUN_FILE,
    clusters,
    devices_of,
    goal_of,
    goal_table,
    gpu_run_of,
    gpu_table,
    jobs_table,
    portfolio_of,
    run_of,
    wafer_table,
)
from wsesim.page.state import NO_GPUS, OF_ALL, GoalState, JobsState, RunState, address_of, changed
from wsesim.pool import tell
from wsesim.report.charts import scaling as scaling_chart
from wsesim.report.charts import timeline as timeline_chart
from wsesim.report.charts.render import drawn, javascript
from wsesim.report.charts.theme import ThemeName
from wsesim.report.html import TextFile, environment
from wsesim.report.json import result_dict
from wsesim.report.pages import goal
from wsesim.report.pages import run as run_page
from wsesim.report.pages.compare import against_first, legend, of_each, tornados
from wsesim.report.pages.report import TIMELINE, Study, learned, life, run_report, timeline_table
from wsesim.results.job import Job
from wsesim.results.result import Result
from wsesim.study import goals
from wsesim.study.comparison import Entry, entry, job_notes
from wsesim.study.goals import Answer, Option
from wsesim.study.portfolio import Policy, SharedCluster, scheduled
from wsesim.study.scaling import Scaling, jobs, scaling
from wsesim.study.sensitivity import Sensitivity
from wsesim.study.sensitivity import sensitivity as sensitivity_of
from wsesim.study.timeline import timeline_of
from wsesim.version import __version__
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
    html, whole_job, folded
        The answer from its figures on, which stands above the comparison; time and cost over the number of devices without what
        it is compared with; what stands below.
    said
        The answer in a sentence, for those who hear the page.
    most
        Systems that the fabric takes. [-]
    entry
        For the comparison.
    """

    html: str
    whole_job: str
    folded: str
    said: str
    most: int
    entry: Entry


def limit(jobs: Callable[[], None]) -> None:
    """Of a process: keep the limits of the server, and let a job fail before the machine does, where the system can."""
    jobs()
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))


def done(job: Callable[..., Any], *arguments: Any) -> Any:
    """What a job returns; its errors are those that the page tells."""
    try:
        return job(*arguments)
    except MemoryError:
        raise AnswerIsNo(
            f"this needs more than the {MOST_MEMORY_BYTES // 2**30} GiB of memory that one answer may take; "
            "make the model, the cluster or the number of chunks smaller"
        ) from None
    except (WsesimError, Fault):
        raise
    except Exception as error:
        if is_debugging():
            raise
        raise fault("wsesim serve", error, __version__) from None


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


def main(state: RunState, pinned: RunState | None = None) -> Main:
    """Simulate a run by the fast engine, and the baseline that it is compared with."""
    result = _result(state)
    baseline, why_not = _baseline(pinned)
    top = run_page.answer(result)
    if baseline is not None:
        top = run_page.against(top, baseline)
    query = address_of(state, pinned).partition("?")[2]
    open_parts = [run_page.breakdown(result, baseline=baseline), _scaling_section(result, state, baseline, pinned)]
    html = render("run.html", answer=top, open_parts=open_parts, why_no_baseline=why_not)
    parts = {
        "totals": run_page.totals(result, price_table=True),
        "utilization": run_page.utilization(result),
        "memory": run_page.memory(result),
    }
    later = {name: one.title for name, one in PARTS.items() if result.job.quality is not None or name != "learned"}
    folded = render("folded.html", sections=parts, later=later, order=ORDER, query=query)
    said = f"{result.devices}: " + ", ".join(
        f"{tile.name} {tile.value} {tile.change}".strip() for tile in top.tiles[:3]
    )
    return Main(html, _whole_job(result, state, pinned), folded, said, result.run.max_devices, entry(result))


def _baseline(pinned: RunState | None) -> tuple[Result | None, str]:
    """The baseline, or why there is none."""
    if pinned is None:
        return None, ""
    try:
        return _result(pinned), ""
    except WsesimError as error:
        return None, str(error)


def _scaling(result: Result, state: RunState) -> Scaling:
    """The curve along which the controls move: weak where the batch is one of each system, else strong."""
    if state.batch_of == OF_ALL:
        return scaling(result, kinds=("strong",))
    return scaling(result, kinds=("weak",))


def _scaling_section(
    result: Result, state: RunState, baseline: Result | None = None, pinned: RunState | None = None
) -> Section:
    found = _scaling(result, state)
    other = _scaling(baseline, pinned) if baseline is not None and pinned is not None else None
    tables = tuple(run_page.curve_table(curve, found) for curve in found.curves if curve.points)
    words = machine_of(result.run).words
    title = f"Throughput over the number of {words.short}s, from 1 to the {found.most:,} of the fabric"
    figure = Figure("scaling", title, scaling_chart.chart(found, other), tables)
    lead = LEADS[found.curves[0].kind]
    return Section("scaling", "Scaling", (figure, *notes(found.notes, "note")), lead)


def _whole_job(result: Result, state: RunState, pinned: RunState | None, others: Sequence[Entry] = ()) -> str:
    """Time and cost of the whole job over the number of devices, with lines of what it is compared with."""
    found = _scaling(result, state)
    if not found.curves[0].points:
        return ""
    baseline, _ = _baseline(pinned)
    beside = None
    if baseline is not None and pinned is not None and (other := _scaling(baseline, pinned)).curves[0].points:
        beside = other, jobs(baseline, other.curves[0])
    return render("whole_job.html", figures=list(_job_figures(result, found, beside, others)))


def _job_figures(
    result: Result, found: Scaling, beside: tuple[Scaling, list[Job]] | None, others: Sequence[Entry]
) -> Iterator[Figure]:
    whole = jobs(result, found.curves[0])
    table = run_page.jobs_table(found, whole)
    words = f"over the number of {machine_of(result.run).words.short}s"
    measures = [(scaling_chart.time_measure(), _time_s, "time_to_train_s")]
    if all(one.cost_usd is not None for one in whole):
        measures.append((scaling_chart.cost_measure(max(map(_cost_usd, whole))), _cost_usd, "cost_usd"))
    for measure, of, key in measures:
        other = None
        if beside is not None and (measure.name == "time" or all(one.cost_usd is not None for one in beside[1])):
            other = scaling_chart.Beside(beside[0], [of(one) for one in beside[1]])
        lines = [scaling_chart.Line(one.result.devices, _value(one, key)) for one in others]
        picture = scaling_chart.over_devices(found, measure, [of(one) for one in whole], lines, other)
        title = f"{'Days' if measure.name == 'time' else 'Cost'} of the whole job {words}"
        yield Figure(f"job-{measure.name}", title, picture, (table,) if measure.name == "time" else ())


def _time_s(job: Job) -> float:
    return job.time_s


def _cost_usd(job: Job) -> float:
    return 0.0 if job.cost_usd is None else job.cost_usd.value


def _value(one: Entry, key: str) -> float | None:
    value = one.figures[key].value
    return None if value is None else value.value


# Parts of the answer that are worked out when they are opened.


def _timeline(result: Result, _: Result | None) -> Section:
    shown = timeline_of(result)
    figure = Figure("timeline", f"A step of {result.name}", timeline_chart.chart(shown), (timeline_table(shown),))
    return Section("timeline", PARTS["timeline"].title, (figure,), TIMELINE)


def _learned(result: Result, baseline: Result | None) -> Section:
    if baseline is None:
        return learned([result])
    return learned([result, replace(baseline, run=replace(baseline.run, name=f"baseline, {baseline.name}"))])


@dataclass(frozen=True)
class Later:
    """A part of the answer that is worked out when it is opened: its title, and how it is made of a run and its baseline."""

    title: str
    section: Callable[[Result, Result | None], Section]


PARTS = {
    "machine": Later("The machine, drawn", lambda result, _: run_page.machine(result)),
    "timeline": Later("One step as a timeline", _timeline),
    "life": Later("The life of the job", lambda result, _: life(result, LIVES)),
    "learned": Later("What the model will have learned", _learned),
    "assumptions": Later("Not public: calibrated or assumed", lambda result, _: run_page.assumptions([result])),
}
ORDER = ("machine", "timeline", "totals", "life", "learned", "utilization", "memory", "assumptions")
"""Of the folds below the answer."""


def part(name: str, state: RunState, pinned: RunState | None = None) -> str:
    """A part of the answer that was opened."""
    macros: Any = environment(TEMPLATES).get_template("macros.html").module
    return str(macros.section(PARTS[name].section(_result(state), _baseline(pinned)[0])))


MOST_REPAIRS, MOST_TRIED = 3, 8
"""Proposals that are shown, and those that are tried for them. [-]"""


def repaired(state: RunState, message: str, of_gpus: bool) -> list[tuple[Repair, RunState]]:
    """What a message proposes, where it helps; what leads to another message is followed by what that one proposes."""
    fields, able = (GPU_FIELDS, _gpus_able) if of_gpus else (FIELDS, _able)
    waiting = [(one, changed(state, one.changes)) for one in repairs(message, state, fields)]
    good: list[tuple[Repair, RunState]] = []
    for place in range(MOST_TRIED):
        if place >= len(waiting) or len(good) >= MOST_REPAIRS:
            break
        repair, candidate = waiting[place]
        try:
            able(candidate)
        except WsesimError as error:
            waiting += [(one, changed(candidate, one.changes)) for one in repairs(str(error), candidate, fields)]
        else:
            good.append((repair, candidate))
    return good


def _able(state: RunState) -> None:
    _result(state)


def _gpus_able(state: RunState) -> None:
    run = gpu_run_of(state)
    machine_of(run).check(run)
    check_work(run)


def gpus(state: RunState) -> Entry:
    """Simulate the same job on GPUs, with the best plan."""
    run = gpu_run_of(state)
    check_work(run)
    return entry(step_time(run))


def _gpu_result(state: RunState) -> Result:
    run = gpu_run_of(state)
    check_work(run)
    return simulate(run)


def comparison(wafers: Entry, others: Entry, state: RunState, pinned: RunState | None = None) -> tuple[str, str]:
    """Both side by side, and time and cost over the number of devices with the line of the other."""
    table = render("comparison.html", comparison=compared([wafers, others]))
    return table, _whole_job(wafers.result, state, pinned, [others])


def plan(state: GoalState) -> str:
    """What meets a goal; tells which candidate is tried."""
    goal, begun = goal_of(state), count(1)

    def progress(what: str) -> None:
        known = clusters().get(what)
        tell(f"{next(begun)} of {len(goal.candidates)}: {known.title}" if known else f"{what} …")

    return render("planned.html", planned=planned(goals.answer(goal, GOAL_FILE, progress), state))


def portfolio(state: JobsState) -> str:
    """Who of many jobs runs when."""
    macros: Any = environment(TEMPLATES).get_template("macros.html").module
    first, *others = goal.portfolio_sections(_shared(state))
    titled = [replace(first, title="The answer", parts=first.parts[1:]), *others]
    return "".join(str(macros.section(one)) for one in titled)


def portfolio_json(state: JobsState) -> dict[str, Any]:
    """The JSON of ``wsesim portfolio --json``."""
    return _shared(state).to_dict()


def _shared(state: JobsState) -> SharedCluster:
    policy: Any = state.policy
    if policy not in get_args(Policy):
        raise InputError(f"{JOBS_FILE}: policy is {state.policy!r}; write one of {', '.join(get_args(Policy))}")
    return scheduled(portfolio_of(state), policy, state.by or None, place=f"{JOBS_FILE}: by")


def jobs_file(state: JobsState) -> str:
    """The jobs as a file that ``wsesim portfolio`` takes."""
    return tomli_w.dumps(jobs_table(state))


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
    study = Study(tuple(simulate(run) for run in runs), state.gpus, with_sensitivity=True)
    return run_report(study, f"wsesim report {names} --sensitivity --out {REPORT_FILE}", tuple(files))


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
