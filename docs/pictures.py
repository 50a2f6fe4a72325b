"""Pictures of the site: how far predictions are from measurements, and what a simulation costs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from wsesim.report.charts import validation
from wsesim.report.charts.render import Picture, drawn, template
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.validation.near import never_fitted

WIDTH_PX = 640
AXIS_PX = 150
"""Room for names of cases, also in fonts that are wider than the one the picture is laid out with."""
PERFORMANCE = Path(__file__).resolve().parent / "performance.md"
_CASE = re.compile(r"^\| ([^|]+) \| [\d,]+ \| ([\d.]+) ms \| [\d.]+ x \| ([\d.]+) ms \|$", re.MULTILINE)
"""A row of the first table: its name, and the times on both engines. [ms]"""


@cache
def pictures() -> dict[str, Picture]:
    """Every picture by its name."""
    return {
        "validation-wafer-scale": validation.chart(never_fitted(gpus=False)),
        "validation-gpus": validation.chart(never_fitted(gpus=True)),
        "performance-engines": _engines(),
    }


@cache
def files() -> dict[str, bytes]:
    """Every picture as SVG, light and dark, by the name of its file."""
    return {
        f"pictures/{name}-{theme}.svg": drawn(picture, "svg", theme, WIDTH_PX)
        for name, picture in pictures().items()
        for theme in ("light", "dark")
    }


def shown(name: str, caption: str) -> str:
    """Markdown of a picture, in the colours that the reader prefers."""
    said = pictures()[name].description
    images = (f"![{said}](pictures/{name}-{theme}.svg#only-{theme})" for theme in ("light", "dark"))
    return f"\n{' '.join(images)}\n\n*{caption}*\n"


def _engines() -> Picture:
    """Times of one run on both engines, as docs/performance.md has them."""
    cases = _CASE.findall(PERFORMANCE.read_text(encoding="utf-8"))
    rows = [
        {"case": case, "engine": engine, "ms": float(ms)}
        for case, *times in cases
        for engine, ms in zip(("SimPy", "recurrence"), times, strict=True)
    ]
    said = "Time of one run: " + "; ".join(
        f"{case}, {one} ms on SimPy, {two} ms by recurrence" for case, one, two in cases
    )
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
            yOffset=alt.YOffset("engine:N", sort=["SimPy", "recurrence"]),
            color=alt.Color(
                "engine:N",
                sort=["SimPy", "recurrence"],
                scale=alt.Scale(domain=["SimPy", "recurrence"], range=list(SERIES_COLOURS[:2])),
                legend=alt.Legend(title=None),
            ),
        )
        .properties(height=alt.Step(13))
    )
