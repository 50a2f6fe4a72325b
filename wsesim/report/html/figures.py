"""The parts of a report that have pictures, each with its numbers as a table."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from wsesim.report.charts import breakdown as breakdown_chart
from wsesim.report.charts import scaling as scaling_chart
from wsesim.report.html import sections
from wsesim.report.html.content import DataTable, Figure, Section
from wsesim.report.study import Study
from wsesim.scaling import Curve, Scaling
from wsesim.timeline import Timeline
from wsesim.units import show

CURVES = {"weak": "weak scaling", "strong": "strong scaling", "gpu": "the same job on GPUs"}
SCALING = (
    "Weak scaling keeps the batch of each device, strong scaling the global batch. Both axes are logarithmic; "
    "the dashed line is that of devices which lose nothing to one another."
)


def breakdown(study: Study) -> Section:
    """Where the time of a step goes; side by side where there are several."""
    section = sections.breakdown(study.results)
    if len(study.results) == 1:
        return section
    figure = Figure("breakdown", "One bar for each step", breakdown_chart.chart(study.results))
    return replace(section, figures=(figure,))


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
    return DataTable(f"{scaling.name}: {CURVES[curve.kind]}, {curve.name}", columns, tuple(rows), frozenset({1, 2, 3, 4}))


def scaling(study: Study) -> Section:
    """From one device to as many as the fabric takes, weak and strong, with GPUs beside."""
    section = sections.scaling(study.results)
    found = []
    for place, one in enumerate(study.scalings, start=1):
        of = f" of {one.name}" if len(study.results) > 1 else ""
        tables = tuple(curve_table(one, curve) for curve in one.curves if curve.points)
        found.append(Figure(f"scaling-{place}", f"Throughput{of} over the number of {one.device}", scaling_chart.chart(one), tables))
        found.append(Figure(f"efficiency-{place}", f"Scaling efficiency{of}", scaling_chart.efficiency(one), tables))
    several = len(study.results) > 1
    notes = [f"{one.name}: {note}" if several else note for one in study.scalings for note in one.notes]
    return replace(section, lead=SCALING, figures=tuple(found), notes=tuple(notes))


def utilization(study: Study) -> Section:
    """How busy each part is."""
    return sections.utilization(study.results)


def memory(study: Study) -> Section:
    """What is held where."""
    return sections.memory(study.results)


def totals(study: Study) -> Section:
    """Time, energy and cost of the whole job."""
    return sections.totals(study.results)
