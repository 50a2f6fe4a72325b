"""Where the time of a step goes, how busy each part is, and what is held where: bars for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.errors import InputError
from wsesim.machines.machine import machine_of
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import (
    CATEGORY_COLOURS,
    SERIES_COLOURS,
    STEP_PX,
    Scale,
    band,
    colour_of,
    heads,
    ink_on,
    scale_of,
    series_scale,
)
from wsesim.results.result import Result
from wsesim.units import show
from wsesim.view import Place

if TYPE_CHECKING:
    import altair as alt

# Where the time of a step goes: one bar for each run, its parts add up to the step.


ORDER = tuple(CATEGORY_COLOURS)
"""Of the parts of a step; those that only another machine has come last."""
LABEL_PX = 34
"""Width that a part needs for its label. [px]"""


def chart(results: Sequence[Result], *, as_share: bool = False) -> Picture:
    """Draw the breakdown of one run or of several, in time or as shares of each step."""
    scale = Scale(0.01, "%") if as_share else scale_of(max(one.step_time_s for one in results), "s")
    parts, totals = rows(results, scale, as_share=as_share)
    present = [name for name in _order(results) if any(row["category"] == name for row in parts)]
    title = scale.title("share of the step" if as_share else "time of one step")
    made = _template(len(totals), title, tuple(_order(results)))
    return Picture(made, {"parts": parts, "heads": totals}, _described(results), params={"present": present})


def _order(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys((*ORDER, *(name for one in results for name in one.breakdown_s))))


def rows(results: Sequence[Result], scale: Scale, *, as_share: bool = False) -> tuple[list[Row], list[Row]]:
    """Parts of the steps with their places along the bar, and one row for each step."""
    longest = 1.0 if as_share else max(one.step_time_s for one in results)
    parts: list[Row] = []
    totals: list[Row] = []
    for row, (name, result) in enumerate(zip(unique(one.name for one in results), results, strict=True)):
        start, whole = 0.0, result.step_time_s if as_share else 1.0
        for category in _order([result]):
            value_s = result.breakdown_s.get(category, 0.0)
            if value_s > 0.0:
                share, length = value_s / result.step_time_s, value_s / whole
                parts.append(
                    {
                        "row": row,
                        "run": name,
                        "category": category,
                        "start": start / scale.size,
                        "end": (start + length) / scale.size,
                        "label": f"{share:.0%}",
                        "width": length / longest,
                        "time": show(value_s, "s"),
                        "share": f"{share:.1%}",
                        "meaning": machine_of(result.run).words.meaning(category),
                        "ink": ink_on(colour_of(category)),
                    }
                )
                start += length
        totals.append({"row": row, "head": f"{show(result.step_time_s, 's')} · {name}"})
    return parts, totals


def _described(results: Sequence[Result]) -> str:
    words = []
    for one in results:
        ordered = sorted(one.breakdown_s.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{name} {value / one.step_time_s:.0%}" for name, value in ordered)
        words.append(f"{one.name}, a step of {show(one.step_time_s, 's')}: {shares}")
    return "Where the time of a step goes. " + "; ".join(words)


@template
def _template(num_runs: int, title: str, order: tuple[str, ...]) -> alt.TopLevelMixin:
    import altair as alt

    y, present = band(), alt.param(name="present", value=list(order))
    bars = (
        alt.Chart(alt.NamedData("parts"))
        .mark_bar()
        .encode(
            x=alt.X("start:Q", title=title, scale=alt.Scale(nice=False)),
            x2="end:Q",
            y=y,
            color=alt.Color(
                "category:N",
                scale=alt.Scale(domain=list(order), range=list(map(colour_of, order))),
                legend=alt.Legend(title=None, values={"expr": present.name}),
            ),
            tooltip=[
                alt.Tooltip("run:N", title="run"),
                alt.Tooltip("category:N", title="part"),
                alt.Tooltip("meaning:N", title="which is"),
                alt.Tooltip("time:N", title="time"),
                alt.Tooltip("share:N", title="share of the step"),
            ],
        )
    )
    labels = (
        alt.Chart(alt.NamedData("parts"))
        .transform_calculate(middle="(datum.start + datum.end) / 2")
        .mark_text(style="label")
        .encode(
            x="middle:Q",
            y=y,
            text="label:N",
            color=alt.Color("ink:N", scale=None),
            opacity=alt.condition(f"datum.width * width > {LABEL_PX}", alt.value(1), alt.value(0)),
        )
    )
    return alt.layer(bars, labels, heads()).add_params(present).properties(height=num_runs * STEP_PX)


# How busy each part of the machine is during a step, for one run or for several.


BUSY_STEP_PX = 38
"""Height of a bar with its name. [px]"""


def utilization_chart(results: Sequence[Result]) -> Picture:
    """Draw the share of the step in which each part works."""
    bars = utilization_rows(results)
    said = "Busy: " + "; ".join(str(row["head"]) for row in bars)
    return Picture(_utilization_template(len(bars), len(results)), {"bars": bars, "heads": bars}, said)


def utilization_rows(results: Sequence[Result]) -> list[Row]:
    """One row for each part of each run; the same part of all runs stands together."""
    found: list[Row] = []
    names = unique(one.name for one in results)
    for part in dict.fromkeys(part for one in results for part in machine_of(one.run).words.parts):
        for run, (name, result) in enumerate(zip(names, results, strict=True)):
            if part in result.utilization:
                share = result.utilization[part]
                of = f", {name}" if len(results) > 1 else ""
                head = f"{share:.1%} · {machine_of(result.run).words.busy(part)}{of}"
                found.append({"row": len(found), "run": run, "part": part, "head": head, "busy": 100.0 * share})
    return found


@template
def _utilization_template(num_rows: int, num_runs: int) -> alt.TopLevelMixin:
    import altair as alt

    bars = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar()
        .encode(
            x=alt.X("busy:Q", title="busy, share of the step [%]", scale=alt.Scale(domain=[0, 100])),
            y=band(),
            color=alt.Color("run:N", scale=series_scale(num_runs), legend=None),
            tooltip=alt.Tooltip("head:N", title="busy"),
        )
    )
    return alt.layer(bars, heads()).properties(height=num_rows * BUSY_STEP_PX)


# What is held where, over what would fit.


COLOURS = {
    "model state": CATEGORY_COLOURS["gemm"],
    "weights": CATEGORY_COLOURS["weights"],
    "gradients": CATEGORY_COLOURS["gradients"],
    "optimizer": CATEGORY_COLOURS["optimizer"],
    "activations": CATEGORY_COLOURS["activations"],
    "buffers": CATEGORY_COLOURS["launch"],
}
"""What is held, in the colours of the breakdown where it has a name in both; the state is weights, gradients and moments."""


def memory_chart(results: Sequence[Result]) -> Picture:
    """Draw what is held, as a share of what would fit."""
    bars: list[Row] = []
    over: list[Row] = []
    for name, result in zip(unique(one.name for one in results), results, strict=True):
        for place in machine_of(result.run).words.places(result):
            words = f"{name}: {place.name}" if len(results) > 1 else place.name
            bars += _bars(len(over), words, place)
            share = place.used_bytes / place.capacity_bytes
            over.append({"row": len(over), "head": f"{place.said} ({share:.1%}) · {words}"})
    present = [name for name in COLOURS if any(bar["what"] == name for bar in bars)]
    described = "Memory. " + "; ".join(str(row["head"]) for row in over)
    return Picture(_memory_template(len(over)), {"bars": bars, "heads": over}, described, params={"present": present})


def _bars(row: int, words: str, place: Place) -> list[Row]:
    """Parts of what is held, one after another."""
    found: list[Row] = []
    start = 0.0
    for what, held_bytes in place.held_bytes.items():
        end = start + 100.0 * held_bytes / place.capacity_bytes
        found.append(
            {"row": row, "place": words, "what": what, "start": start, "end": end, "held": show(held_bytes, "bytes")}
        )
        start = end
    return found


@template
def _memory_template(num_rows: int) -> alt.TopLevelMixin:
    import altair as alt

    present = alt.param(name="present", value=list(COLOURS))
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(title=None, values={"expr": present.name}),
    )
    bars = alt.Chart(alt.NamedData("bars"))
    held = bars.mark_bar().encode(
        x=alt.X("start:Q", title="used, share of the capacity [%]", scale=alt.Scale(domain=[0, 100])),
        x2="end:Q",
        y=band(),
        color=colour,
        tooltip=[
            alt.Tooltip("place:N", title="place"),
            alt.Tooltip("what:N", title="holds"),
            alt.Tooltip("held:N", title="size"),
        ],
    )
    room = alt.Chart(alt.NamedData("heads")).mark_bar(style="frame").encode(x=alt.datum(0), x2=alt.datum(100), y=band())
    return alt.layer(room, held, heads()).add_params(present).properties(height=num_rows * STEP_PX)


# A roofline: which rate the work of a device can have, by how much of it comes with each byte over a link.


ROOF_PX, ROOM = 260, 3.0
"""Height of the picture, and how far the axes go beyond what lies farthest out. [px], [-]"""


def roofline(result: Result) -> Picture:
    """Draw the roofs of a device and its link, and where the passes of a step lie.

    Raises
    ------
    InputError
        A machine whose work does not come over a link.
    """
    found = machine_of(result.run).words.roofline(result)
    if found is None:
        raise InputError("this picture is of machines whose weights come over a port; name a wafer-scale run")
    roof, works = found
    points: list[Row] = [
        {
            "name": one.name,
            "intensity": one.flop / one.num_bytes,
            "rate": one.flop / one.time_s,
            "time": show(one.time_s, "s"),
        }
        for one in works
    ]
    knee = roof.peak_flop_per_s / roof.bytes_per_s
    intensities = [one.flop / one.num_bytes for one in works]
    low, high = min(knee, *intensities) / ROOM, max(knee, *intensities) * ROOM
    lines = [
        {"roof": name, "intensity": at, "rate": min(rate, at * roof.bytes_per_s)}
        for name, rate in (("peak", roof.peak_flop_per_s), ("reached by large products", roof.reached_flop_per_s))
        for at in sorted({low, min(high, max(low, rate / roof.bytes_per_s)), high})
    ]
    least = min(low * roof.bytes_per_s, roof.reached_flop_per_s, *(one.flop / one.time_s for one in works)) / 1.5
    bound = [one.name for one in works if one.flop / one.num_bytes < roof.reached_flop_per_s / roof.bytes_per_s]
    told = f"bound by the {roof.link}: {', '.join(bound)}" if bound else f"no pass is bound by the {roof.link}"
    said = (
        f"Roofline: {show(roof.peak_flop_per_s, 'FLOP/s')} at most, {show(roof.reached_flop_per_s, 'FLOP/s')} reached, "
        f"{show(roof.bytes_per_s, 'bytes/s')} through the {roof.link}; {told}"
    )
    extent = (low, high, least, roof.peak_flop_per_s * 1.5)
    return Picture(_roofline(extent, roof.link), {"roofs": lines, "passes": points}, said)


@template
def _roofline(extent: tuple[float, float, float, float], link: str) -> alt.TopLevelMixin:
    import altair as alt

    low, high, least, most = extent
    x = alt.X(
        "intensity:Q",
        title=f"FLOP for each byte through the {link}",
        axis=alt.Axis(format="~s", tickCount=5),
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
    )
    y = alt.Y(
        "rate:Q",
        title="rate of one device [FLOP/s]",
        axis=alt.Axis(format="~s", tickCount=5),
        scale=alt.Scale(type="log", domain=[least, most], nice=False),
    )
    roofs = alt.Chart(alt.NamedData("roofs")).mark_line(style="ideal").encode(x=x, y=y, detail="roof:N")
    names = (
        alt.Chart(alt.NamedData("roofs"))
        .mark_text(style="quiet", align="right", dy=-7)
        .encode(x=alt.X("max(intensity):Q"), y=alt.Y("max(rate):Q"), text="roof:N")
    )
    passes = (
        alt.Chart(alt.NamedData("passes"))
        .mark_point(size=90)
        .encode(
            x=x,
            y=y,
            color=alt.Color("name:N", legend=alt.Legend(title=None), scale=alt.Scale(range=list(SERIES_COLOURS))),
            shape=alt.Shape("name:N"),
            tooltip=[alt.Tooltip("name:N", title="passes"), alt.Tooltip("time:N", title="time in a step")],
        )
    )
    return alt.layer(roofs, names, passes).properties(height=ROOF_PX)
