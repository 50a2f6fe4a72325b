"""A report of runs: what is worked out from their results once, the sections with their pictures, and pictures by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from wsesim.config import catalogue
from wsesim.config.layering import run_files
from wsesim.config.loader import any_from_table
from wsesim.config.run import Run
from wsesim.errors import AnswerIsNo, ConfigError, InputError
from wsesim.machines.machine import Words, machine_of
from wsesim.report.charts import breakdown as breakdown_chart
from wsesim.report.charts import breakdown as memory_chart
from wsesim.report.charts import breakdown as utilization_chart
from wsesim.report.charts import machine as machine_chart
from wsesim.report.charts import planning as planning_chart
from wsesim.report.charts import scaling as scaling_chart
from wsesim.report.charts import timeline as timeline_chart
from wsesim.report.charts import totals as loss_chart
from wsesim.report.charts import totals as totals_chart
from wsesim.report.charts import validation as validation_chart
from wsesim.report.charts.render import Picture
from wsesim.report.html import Made, TextFile, document
from wsesim.report.pages import compare, run
from wsesim.report.pages import lifetime as lifetime_page
from wsesim.results.result import Assumption, Result, assumptions_of
from wsesim.study.lifetime import lifetime
from wsesim.study.scaling import Scaling, scaling
from wsesim.study.sensitivity import Sensitivity, sensitivity
from wsesim.study.timeline import Timeline, timeline_of
from wsesim.units import show
from wsesim.validate.near import Comparison, near
from wsesim.view import Facts, Figure, Passes, Section, Table, notes, of_each

Tell = Callable[[str], None]
"""Told what is being worked on."""


def no_words(_what: str) -> None:
    """Say nothing."""


MOST_IN_TITLE = 2
"""Names that the title holds; more are counted. [-]"""
SCALING = (
    "Weak scaling keeps the batch of each device, strong scaling the global batch. Throughput is drawn on logarithmic axes; "
    "the dashed line is that of devices which lose nothing to one another."
)
TIMELINE = (
    "What each part of the machine does during a step in the steady state. `wsesim trace` writes every span of it for "
    "Perfetto."
)
LIFE = (
    "From submission to the end, with compile, start-up, checkpoints, and failures at random; `wsesim lifetime` says what each "
    "takes, and how often to checkpoint."
)
LEARNED = (
    "Each point is a run that ends there, with its learning rate brought down by then; a run that goes on passes above it. The "
    "band holds 90 % of models that were left out of the fit."
)

ROOFLINE = (
    "Passes left of the corner wait for the link that brings their weights, those right of it for the wafer. The upper line is the "
    "peak, the lower one what large products reach; both axes are logarithmic."
)
SMALLEST_MODEL = "cerebras-gpt-111m"
NO_GPUS = "none"
"""Instead of a GPU cluster: show none."""
NOT_IN_A_LINE = (
    *("power_w", "power_w_per_gpu", "price_usd_per_gpu_hour", "purchase_price_usd_per_gpu"),
    *("amortization_s", "pue", "electricity_usd_per_kwh", "carbon_kg_per_kwh"),
    *(
        "batched_gemm_efficiency",
        "peak_dense_32bit_flop_per_s",
        "peak_dense_8bit_flop_per_s",
        "peak_dense_4bit_flop_per_s",
    ),
)
"""Numbers of a GPU cluster, besides that of its GPUs, on which no throughput with everything left open rests."""


@dataclass(frozen=True)
class Study:
    """Results and what belongs to them.

    Attributes
    ----------
    results
        The first is what others are compared with.
    gpu_cluster
        Beside whose GPUs wafer-scale runs are shown: a catalogue name, "none", or "" for one of the same years.
    with_sensitivity
        Whether a report has the part that takes longest.
    """

    results: tuple[Result, ...]
    gpu_cluster: str = ""
    with_sensitivity: bool = False
    tell: Tell = no_words

    @cached_property
    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """What single numbers do to the step of each; some hundred simulations of a run."""
        return tuple(sensitivity(one.run, lambda key, _: self.tell(key)) for one in self.results)

    @cached_property
    def timelines(self) -> tuple[Timeline, ...]:
        """One step of each result."""
        return tuple(timeline_of(one) for one in self.results)

    @cached_property
    def scalings(self) -> tuple[Scaling, ...]:
        """Each result from one device to as many as its fabric takes."""
        return tuple(scaling(one, self._gpus_beside(one)) for one in self.results)

    @cached_property
    def near(self) -> tuple[Comparison, ...]:
        """Published measurements nearest to any of the results, each once."""
        found = {(one.set, one.id): one for result in reversed(self.results) for one in near(result.run)}
        return tuple(sorted(found.values(), key=lambda one: one.doublings))

    @cached_property
    def beside(self) -> dict[str, tuple[Assumption, ...]]:
        """Of each GPU cluster that is shown beside a run, and is in none: the numbers of its line that are not public."""
        own = [one.run.cluster.name for one in self.results]
        runs = [run for run in map(self._gpus_beside, self.results) if run is not None and run.cluster.name not in own]
        return {run.cluster.name: assumptions_of(run.origins, partial(_bears_on, run)) for run in runs}

    def _gpus_beside(self, result: Result) -> Run | None:
        """GPUs on which the scaling of a wafer-scale run is shown, too: those of another result, or of the named cluster."""
        if machine_of(result.run).is_baseline or self.gpu_cluster == NO_GPUS:
            return None
        others = [one.run for one in self.results if machine_of(one.run).is_baseline]
        if others and not self.gpu_cluster:
            return others[0]
        name = self.gpu_cluster or machine_of(result.run).contemporary(result.run)
        return gpu_run(name) if name else None


def _bears_on(run: Run, key: str) -> bool:
    """Whether a number of a cluster bears on its throughput with everything left open."""
    return key.rsplit(".", 1)[-1] not in (run.cluster.count, *NOT_IN_A_LINE)


def gpu_run(name: str) -> Run:
    """A run on a GPU cluster of the catalogue, with everything left open; its model and batch stand for others."""
    table = {
        "model": {"name": SMALLEST_MODEL},
        "training": {"sequence_length": 2048, "global_batch_size": 256},
        "cluster": {"name": name},
    }
    run = any_from_table(table, place="--gpu-cluster")
    machine = machine_of(run)
    if not machine.is_baseline:
        raise ConfigError(
            f"--gpu-cluster {name}: is {machine.words.adjective}, where one of GPUs is needed; name for example dgx_h100"
        )
    return run


def of_all(part: Callable[[Result], Section], results: Sequence[Result]) -> Section:
    """A part of one run, or of several beside one another."""
    return of_each([part(one) for one in results], [one.name for one in results])


def timeline(study: Study) -> Section:
    """One step, part by part."""
    several = len(study.results) > 1
    figures = [
        Figure(
            f"timeline-{place}",
            f"A step of {one.name}" if several else "A step",
            timeline_chart.chart(one),
            (timeline_table(one),),
        )
        for place, one in enumerate(study.timelines, start=1)
    ]
    return Section("timeline", "One step", tuple(figures), TIMELINE)


def timeline_table(shown: Timeline) -> Table:
    """How long each part of the machine does what during the steps shown."""
    busy: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in shown.events:
        entry = busy[event.track, event.kind, event.category]
        entry[0] += 1
        entry[1] += event.duration_s
    names = {track.key: track.name for track in shown.tracks}
    places = {track.key: place for place, track in enumerate(shown.tracks)}
    rows = tuple(
        (names[track], kind, category, f"{count:,.0f}", show(spent_s, "s"))
        for (track, kind, category), (count, spent_s) in sorted(busy.items(), key=lambda item: places[item[0][0]])
    )
    return Table(
        f"What each part does in the step of {shown.name}", ("part", "does", "what", "|times", "|time in all"), rows
    )


def breakdown(study: Study) -> Section:
    """Where the time of a step goes; several runs in one picture, whose numbers stand below it."""
    section = of_all(run.breakdown, study.results)
    if len(study.results) == 1:
        return section
    return _above(section, Figure("breakdown", "One bar for each step", breakdown_chart.chart(study.results)))


def utilization(study: Study) -> Section:
    """How busy each part is, in words that hold for all."""
    section = of_all(run.utilization, study.results)
    leads = {run.words_of(one).lead for one in study.results}
    return section if len(leads) == 1 else replace(section, lead=Words.lead)


def scaled(study: Study) -> Section:
    """From one device to as many as the fabric takes, weak and strong, with GPUs beside."""
    several, figures = len(study.results) > 1, []
    for place, one in enumerate(study.scalings, start=1):
        of = f" of {one.name}" if several else ""
        tables = tuple(run.curve_table(curve, one) for curve in one.curves if curve.points)
        rate = f"Throughput{of} over the number of {one.device}"
        figures.append(Figure(f"scaling-{place}", rate, scaling_chart.chart(one), tables))
        figures.append(Figure(f"efficiency-{place}", f"Scaling efficiency{of}", scaling_chart.efficiency(one), tables))
    told = [f"{one.name}: {note}" if several else note for one in study.scalings for note in one.notes]
    section = _above(of_all(run.scaling, study.results), *figures)
    return replace(section, lead=SCALING, parts=(*section.parts, *notes(told, "note")))


def totals(study: Study) -> Section:
    """Time, energy and cost of the whole job, with ranges."""
    section = of_all(lambda one: run.totals(one, price_table=True), study.results)
    title = "The whole job, with the ranges of what is uncertain"
    return _above(section, Figure("totals", title, totals_chart.chart(study.results)))


def life(result: Result, replications: int | None = None) -> Section:
    """How long the whole job takes with failures and restarts, many times."""
    try:
        found = lifetime(result.run, result.step_time_s, replications)
    except AnswerIsNo as error:
        return Section("life", "The life of the job", notes([str(error)], "note"), LIFE)
    facts = tuple(lifetime_page.headline(found)[:4])
    return Section("life", "The life of the job", (*lifetime_page.picture(found), Facts(facts)), LIFE)


def _lives(result: Result) -> Picture:
    """When the job ends, many times."""
    return planning_chart.lives(lifetime(result.run, result.step_time_s))


def learned(results: Sequence[Result]) -> Section:
    """What the models will have learned, and the course of their loss; empty for encoders."""
    section = of_all(run.learned, results)
    if not section.parts:
        return section
    loss = Figure("loss", "Predicted loss over the run", loss_chart.loss_chart(results))
    families = Figure("families", "Compute against loss and accuracy, among published models", families_of(results))
    return replace(_above(section, loss, families), lead=LEARNED)


def families_of(results: Sequence[Result]) -> Picture:
    """Runs among published models."""
    return loss_chart.families_chart(results)


def memory(study: Study) -> Section:
    """What is held where, as a map of each memory."""
    section = of_all(run.memory, study.results)
    if not any(run.words_of(one).places(one) for one in study.results):
        return section
    return _above(section, Figure("memory-map", "What each memory holds", memory_chart.memory_chart(study.results)))


def rooflines(study: Study) -> Section:
    """What bounds the work of a device: its peak, or the link through which the work comes."""
    several, figures = len(study.results) > 1, []
    for place, one in enumerate(study.results, start=1):
        found = run.words_of(one).roofline(one)
        if found is not None:
            title = f"Roofline of {one.name}" if several else "Roofline of a device and its port"
            table = _passes_table(title, found[1])
            figures.append(Figure(f"roofline-{place}", title, breakdown_chart.roofline(one), (table,)))
    return Section("roofline", "What bounds the work", tuple(figures), ROOFLINE if figures else "")


def _passes_table(title: str, works: Sequence[Passes]) -> Table:
    rows = tuple(
        (
            one.name,
            show(one.flop, "FLOP"),
            show(one.num_bytes, "bytes"),
            f"{one.flop / one.num_bytes:,.0f}",
            show(one.flop / one.time_s, "FLOP/s"),
        )
        for one in works
    )
    return Table(f"{title}, in numbers", ("passes", "|work", "|moves", "|FLOP per byte", "|rate"), rows)


def measured(study: Study) -> Section:
    """Published measurements near these runs, and what the simulator says to them."""
    section = run.measured(study.near)
    return _above(
        section, Figure("validation", "Errors of predictions near these runs", validation_chart.chart(study.near))
    )


def _above(section: Section, *figures: Figure) -> Section:
    return replace(section, parts=(*figures, *section.parts))


def noted(study: Study) -> Section:
    """What a reader should know before using the numbers."""
    several = len(study.results) > 1
    told = [f"{one.name}: {note}" if several else note for one in study.results for note in one.notes]
    return Section("notes", "Notes", notes(told, "note"))


def machines(study: Study) -> Section:
    """Each machine, drawn."""
    drawn = [run.machine(one) for one in study.results]
    figures = [
        replace(part, name=f"machine-{place}") if len(drawn) > 1 else part
        for place, section in enumerate(drawn, start=1)
        for part in section.parts
        if isinstance(part, Figure)
    ]
    return replace(drawn[0], title="The machine" if len(drawn) == 1 else "The machines", parts=tuple(figures))


def sensitive(study: Study) -> Section:
    """What single numbers do to the step, where that was asked for."""
    return compare.tornados(study.sensitivities) if study.with_sensitivity else Section("sensitivity")


PARTS: dict[str, Callable[[Study], Section]] = {
    "machine": machines,
    "timeline": timeline,
    "breakdown": breakdown,
    "utilization": utilization,
    "spread": lambda study: of_all(run.spread, study.results),
    "roofline": rooflines,
    "memory": memory,
    "scaling": scaled,
    "totals": totals,
    "life": lambda study: of_all(life, study.results),
    "learned": lambda study: learned(study.results),
    "validation": measured,
    "assumptions": lambda study: run.assumptions(study.results, study.beside),
    "sensitivity": sensitive,
    "notes": noted,
}
"""After the answer, in this order."""
PICTURES: dict[str, Callable[[Study], Picture]] = {
    "breakdown": lambda study: breakdown_chart.chart(study.results),
    "machine": lambda study: machine_chart.chart(_only(study).results[0].run.cluster, study.results[0].utilization),
    "scaling": lambda study: scaling_chart.chart(_only(study).scalings[0]),
    "efficiency": lambda study: scaling_chart.efficiency(_only(study).scalings[0]),
    "timeline": lambda study: timeline_chart.chart(_only(study).timelines[0]),
    "memory": lambda study: memory_chart.memory_chart(study.results),
    "utilization": lambda study: utilization_chart.utilization_chart(study.results),
    "totals": lambda study: totals_chart.chart(study.results),
    "loss": lambda study: loss_chart.loss_chart(study.results),
    "families": lambda study: families_of(study.results),
    "roofline": lambda study: breakdown_chart.roofline(_only(study).results[0]),
    "life": lambda study: _lives(_only(study).results[0]),
    "validation": lambda study: validation_chart.chart(study.near),
    "sensitivity": lambda study: scaling_chart.tornado(_only(study).sensitivities[0], "uncertain"),
    "constants": lambda study: scaling_chart.tornado(_only(study).sensitivities[0], "constants"),
}
"""By name; the first is the default."""


def picture_of(study: Study, name: str = "") -> Picture:
    """A picture by its name."""
    return PICTURES[name or next(iter(PICTURES))](study)


def _only(study: Study) -> Study:
    """For pictures of one run."""
    if len(study.results) > 1:
        raise InputError(f"this picture is of one run, and {len(study.results)} are named; name one of them")
    return study


def run_texts(words: Iterable[str]) -> tuple[TextFile, ...]:
    """The run files of a command line, each once."""
    paths = dict.fromkeys(path for word in words for path in run_files(word))
    return tuple(TextFile(catalogue.shown(path), catalogue.read_text(path)) for path in paths)


def run_report(study: Study, command: str, files: tuple[TextFile, ...] = (), tell: Tell = no_words) -> str:
    """The report of one run, or of several side by side, as one file that works offline.

    Parameters
    ----------
    command, files
        How it was made.
    """
    results = study.results
    tell("answer")
    answers = [run.answer(one) for one in results]
    parts = [compare.section(results)] if len(results) > 1 else []
    for name, part in PARTS.items():
        tell(name)
        parts.append(part(study))
    parts = [part for part in parts if not part.is_empty]
    made = Made(command, files, tuple(f"{one.name}: {run.words_of(one).made_by(one)}." for one in results))
    tell("pictures")
    names = list(dict.fromkeys(one.name for one in results))
    title = " and ".join(names) if len(names) <= MOST_IN_TITLE else f"{names[0]} and {len(names) - 1} others"
    return document(title, parts, made, answers=answers, lead=compare.lead(results))
