"""Where the time of a step goes: one bar for each run, its parts add up to the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.machines.machine import machine_of
from wsesim.report.charts.axes import Scale, scale_of
from wsesim.report.charts.heads import STEP_PX, band, heads
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import CATEGORY_COLOURS, colour_of, ink_on
from wsesim.result import Result
from wsesim.units import show

if TYPE_CHECKING:
    import altair as alt

ORDER = tuple(CATEGORY_COLOURS)
"""Of the parts of a step; those that only another machine has come last."""
LABEL_PX = 34
"""Width that a part needs for its label. [px]"""


def meaning_of(category: str, result: Result) -> str:
    """What a part of a run's step is, in words."""
    return machine_of(result.run).words.meaning(category)


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
                        "meaning": meaning_of(category, result),
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
