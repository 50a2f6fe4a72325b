"""The parts of a report that have pictures, each with its numbers as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from wsesim.report.charts import breakdown as breakdown_chart
from wsesim.report.charts import loss as loss_chart
from wsesim.report.charts import scaling as scaling_chart
from wsesim.report.charts import timeline as timeline_chart
from wsesim.report.charts import totals as totals_chart
from wsesim.report.charts import validation as validation_chart
from wsesim.report.html import sections
from wsesim.report.html.content import DataTable, Figure, Section
from wsesim.report.pages.study import Study
from wsesim.result import Result
from wsesim.study.scaling import Curve, Scaling
from wsesim.timeline import Timeline
from wsesim.units import show

CURVES = {"weak": "weak scaling", "strong": "strong scaling", "gpu": "the same job on GPUs"}
SCALING = (
    "Weak scaling keeps the batch of each device, strong scaling the global batch. Throughput is drawn on logarithmic axes; "
    "the dashed line is that of devices which lose nothing to one another."
)
TIMELINE = (
    "What each part of the machine does during a step in the steady state. `wsesim trace` writes every span of it for "
    "Perfetto."
)
VALIDATION = (
    "What was measured elsewhere, and what this simulator says to it. Rows used for calibration were fitted, and prove "
    "nothing; the others were not. The last columns say in what this is beyond them."
)


def timeline(study: Study) -> Section:
    """One step, part by part."""
    figures = [
        Figure(
            f"timeline-{place}",
            f"A step of {one.name}" if len(study.results) > 1 else "A step",
            timeline_chart.chart(one),
            (timeline_table(one),),
        )
        for place, one in enumerate(study.timelines, start=1)
    ]
    return Section("timeline", "One step", TIMELINE, figures=tuple(figures))


def timeline_table(timeline: Timeline) -> DataTable:
    """How long each part of the machine does what during the steps shown."""
    busy: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in timeline.events:
        entry = busy[event.track, event.kind, event.category]
        entry[0] += 1
        entry[1] += event.duration_s
    names = {track.key: track.name for track in timeline.tracks}
    places = {track.key: place for place, track in enumerate(timeline.tracks)}
    rows = [
        (names[track], kind, category, f"{count:,.0f}", show(spent_s, "s"))
        for (track, kind, category), (count, spent_s) in sorted(busy.items(), key=lambda item: places[item[0][0]])
    ]
    columns = ("part", "does", "what", "times", "time in all")
    return DataTable(f"What each part does in the step of {timeline.name}", columns, tuple(rows), frozenset({3, 4}))


def curve_table(scaling: Scaling, curve: Curve) -> DataTable:
    """Points of a curve."""
    rows = [
        (
            f"{one.num_devices:,}",
            f"{one.global_batch_size:,}",
            show(one.step_time_s, "s"),
            f"{one.tokens_per_s:,.0f}",
            f"{one.efficiency:.1%}",
        )
        for one in curve.points
    ]
    columns = ("devices", "sequences per step", "step time", "tokens/s", "efficiency")
    return DataTable(
        f"{scaling.name}: {CURVES[curve.kind]}, {curve.name}", columns, tuple(rows), frozenset({1, 2, 3, 4})
    )


def scaling(study: Study) -> Section:
    """From one device to as many as the fabric takes, weak and strong, with GPUs beside."""
    section = sections.scaling(study.results)
    found = []
    for place, one in enumerate(study.scalings, start=1):
        of = f" of {one.name}" if len(study.results) > 1 else ""
        tables = tuple(curve_table(one, curve) for curve in one.curves if curve.points)
        rate = f"Throughput{of} over the number of {one.device}"
        found.append(Figure(f"scaling-{place}", rate, scaling_chart.chart(one), tables))
        found.append(Figure(f"efficiency-{place}", f"Scaling efficiency{of}", scaling_chart.efficiency(one), tables))
    several = len(study.results) > 1
    notes = [f"{one.name}: {note}" if several else note for one in study.scalings for note in one.notes]
    return replace(section, lead=SCALING, figures=tuple(found), notes=tuple(notes))


def breakdown(study: Study) -> Section:
    """Where the time of a step goes; several runs in one picture, whose numbers stand below it."""
    section = sections.breakdown(study.results)
    if len(study.results) == 1:
        return section
    figure = Figure("breakdown", "One bar for each step", breakdown_chart.chart(study.results))
    return replace(section, figures=(figure,))


def totals(study: Study) -> Section:
    """Time, energy and cost of the whole job, with ranges."""
    figure = Figure("totals", "The whole job, with the ranges of what is uncertain", totals_chart.chart(study.results))
    return replace(sections.totals(study.results), figures=(figure,))


LEARNED = (
    "Each point is a run that ends there, with its learning rate brought down by then; a run that goes on passes above it. The "
    "band holds 90 % of models that were left out of the fit."
)


def learned(study: Study) -> Section:
    """What the models will have learned, and the course of their loss; empty for encoders."""
    return learned_of(study.results)


def learned_of(results: Sequence[Result]) -> Section:
    """The same of some results."""
    section = sections.learned(results)
    if not section.blocks:
        return section
    figure = Figure("loss", "Predicted loss over the run", loss_chart.chart(results))
    return replace(section, lead=LEARNED, figures=(figure,))


def validation(study: Study) -> Section:
    """Published measurements near these runs, and what the simulator says to them."""
    rows = [
        (
            one.id,
            f"{one.model} on {one.num_devices:,} x {one.device}",
            one.use,
            f"{one.measured_tokens_per_s:,.0f}",
            f"{one.predicted_tokens_per_s:,.0f}",
            f"{one.error:+.1%}",
            "; ".join(one.differs) or "nothing",
            sections.source_cell(one.source),
        )
        for one in study.near
    ]
    several = len(study.results) > 1
    columns = (
        *("row", "measured", "used for", "measured tokens/s", "predicted tokens/s", "error"),
        *(f"{'the nearest run' if several else 'this run'} has", "source"),
    )
    table = DataTable("The nearest published measurements, nearest first", columns, tuple(rows), frozenset({3, 4, 5}))
    figure = Figure("validation", "Predicted over measured throughput", validation_chart.chart(study.near))
    return Section("validation", "Measurements near this", VALIDATION, figures=(figure,), tables=(table,))
