"""Pictures of the site: how far predictions are from measurements, and what a simulation costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from wsesim.report.charts import validation
from wsesim.report.charts.render import Picture, Row, drawn, template
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.validate.left_out import published_left_out
from wsesim.validate.near import Comparison, never_fitted, wafer_comparison

WIDTHS_PX = {"": 640, "-narrow": 320}
"""Of a page, and of a telephone, by the end of the file's name. [px]"""
AXIS_PX = 150
"""Room for names of cases, also in fonts that are wider than the one the picture is laid out with."""
GOLDEN = 0.618034
"""Multiples of it, without their whole part, are spread evenly, and are the same each time. [-]"""
PERFORMANCE = Path(__file__).resolve().parent / "performance.md"
_CASE = re.compile(r"^\| ([^|]+) \| [\d,]+ \| ([\d.]+) ms \| [\d.]+ x \| ([\d.]+) ms \| ([\d.]+) ms \|$", re.MULTILINE)
"""A row of the first table: its name, and its times by `WAYS`. [ms]"""
WAYS = ("SimPy", "recurrence", "step time alone")
"""Ways to simulate a run."""


@cache
def pictures() -> dict[str, Picture]:
    """Every picture by its name."""
    return {
        "validation-wafer-scale": _errors(_left_out()),
        "validation-gpus": _errors(never_fitted("gpu")),
        "performance-engines": _engines(),
    }


@cache
def files() -> dict[str, bytes]:
    """Every picture as SVG, light and dark, by the name of its file."""
    return {
        f"pictures/{name}-{theme}{end}.svg": drawn(picture, "svg", theme, width)
        for name, picture in pictures().items()
        for theme in ("light", "dark")
        for end, width in WIDTHS_PX.items()
    }


def shown(name: str, caption: str) -> str:
    """Markdown of a picture, in the colours that the reader prefers and at the width of the screen."""
    said = escape(pictures()[name].description)
    images = (
        f'<picture><source media="(max-width: 30em)" srcset="pictures/{name}-{theme}-narrow.svg">'
        f'<img src="pictures/{name}-{theme}.svg#only-{theme}" alt="{said}"></picture>'
        for theme in ("light", "dark")
    )
    return f"\n{''.join(images)}\n\n*{caption}*\n"


def _left_out() -> list[Comparison]:
    """Every rate of a wafer-scale system, predicted by a fit without its model."""
    return [
        wafer_comparison(row, row.value * (1.0 + error))
        for fold in published_left_out().fixed
        for row, error in zip(fold.rows, fold.errors, strict=True)
        if error is not None
    ]


def _errors(compared: Sequence[Comparison]) -> Picture:
    """Errors of many steps by set, each a point; on their time, as docs/validation.md has them."""
    points: list[Row] = []
    medians: dict[str, float] = {}
    for name, rows in groupby(sorted(compared, key=lambda one: one.set), key=lambda one: one.set):
        errors = [one.measured_tokens_per_s / one.predicted_tokens_per_s - 1.0 for one in rows]
        title = f"{name} ({len(errors)})"
        medians[title] = median(errors)
        points += [{"set": title, "error": error, "place": n * GOLDEN % 1.0} for n, error in enumerate(errors)]
    sets = sorted(medians, key=lambda name: abs(medians[name]))
    said = ", ".join(f"{name} {medians[name]:+.1%}" for name in sets)
    datasets: dict[str, list[Row]] = {
        "points": points,
        "medians": [{"set": name, "error": medians[name]} for name in sets],
        "band": [{"low": -validation.BAND, "high": validation.BAND, "none": 0.0}],
    }
    return Picture(
        _strips(tuple(sets)), datasets, f"Errors of the predicted time of a step, median of each set: {said}"
    )


@template
def _strips(sets: tuple[str, ...]) -> Any:
    import altair as alt

    title = "error of the step time [%]"
    x = alt.X("error:Q", title=title, axis=alt.Axis(format="+.0%"))
    y = alt.Y("set:N", sort=list(sets), title=None, axis=alt.Axis(minExtent=AXIS_PX))
    band = alt.Chart(alt.NamedData("band"))
    points = alt.Chart(alt.NamedData("points")).mark_circle(size=22, opacity=0.45, color=SERIES_COLOURS[0])
    medians = alt.Chart(alt.NamedData("medians")).mark_tick(size=34, thickness=3, color=SERIES_COLOURS[1])
    place = alt.YOffset("place:Q", scale=alt.Scale(domain=[-0.4, 1.4]))
    return alt.layer(
        band.mark_rect(style="band").encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        band.mark_rule(style="ideal").encode(x=alt.X("none:Q", title=title)),
        points.encode(x=x, y=y, yOffset=place),
        medians.encode(x=x, y=y),
    ).properties(height=alt.Step(44))


def _engines() -> Picture:
    """Times of one run on both engines, as docs/performance.md has them."""
    cases = _CASE.findall(PERFORMANCE.read_text(encoding="utf-8"))
    if not cases:
        raise ValueError(f"{PERFORMANCE.name} has no table of cases with times on both engines; see _CASE")
    rows = [
        {"case": case, "way": way, "ms": float(ms)}
        for case, *times in cases
        for way, ms in zip(WAYS, times, strict=True)
    ]
    said = "Time of one run: " + "; ".join(f"{row['case']}, {row['way']}: {row['ms']:g} ms" for row in rows)
    return Picture(_bars(tuple(case for case, *_ in cases)), {"times": rows}, said)


@template
def _bars(cases: tuple[str, ...]) -> Any:
    import altair as alt

    return (
        alt.Chart(alt.NamedData("times"))
        .mark_bar()
        .encode(
            x=alt.X("ms:Q", title="time of one run [ms]"),
            y=alt.Y("case:N", sort=list(cases), title=None, axis=alt.Axis(minExtent=AXIS_PX)),
            yOffset=alt.YOffset("way:N", sort=list(WAYS)),
            color=alt.Color(
                "way:N",
                sort=list(WAYS),
                scale=alt.Scale(domain=list(WAYS), range=list(SERIES_COLOURS[: len(WAYS)])),
                legend=alt.Legend(title=None),
            ),
        )
        .properties(height=alt.Step(13))
    )
