"""Pictures of the site: how far predictions are from measurements, and what a simulation costs."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from wsesim.config.loader import load_any, load_any_cluster
from wsesim.machines.simulation import simulate
from wsesim.report.charts import machine, timeline, validation
from wsesim.report.charts.render import Picture, drawn, template
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.study.timeline import timeline_of
from wsesim.validate.near import WAFER_ROWS, Comparison, never_fitted

WIDTHS_PX = {"": 640, "-narrow": 320}
"""Of a page, and of a telephone, by the end of the file's name. [px]"""
AXIS_PX = 150
"""Room for names of cases, also in fonts that are wider than the one the picture is laid out with."""
MACHINES = ("andromeda", "selene")
"""Clusters that are drawn."""
FIVE_LAYERS = range(18, 23)
"""Blocks in the middle of a step. [-]"""
IN_README = ("machine-andromeda", "validation-wafer-scale")
README_PICTURES = Path(__file__).resolve().parent / "assets"
PERFORMANCE = Path(__file__).resolve().parent / "performance.md"
_CASE = re.compile(r"^\| ([^|]+) \| [\d,]+ \| ([\d.]+) ms \| [\d.]+ x \| ([\d.]+) ms \| ([\d.]+) ms \|$", re.MULTILINE)
"""A row of the first table: its name, and its times by `WAYS`. [ms]"""
WAYS = ("SimPy", "recurrence", "step time alone")
"""Ways to simulate a run."""


@cache
def pictures() -> dict[str, Picture]:
    """Every picture by its name."""
    return {
        "validation-wafer-scale": validation.chart(_wafers()),
        "validation-gpus": validation.chart(never_fitted("gpu")),
        "performance-engines": _engines(),
        "step-of-five-layers": _step(),
        **{f"machine-{name}": machine.chart(load_any_cluster(name)[0]) for name in MACHINES},
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


def _step() -> Picture:
    """Some layers of a step, from its trace."""
    run = load_any("andromeda_13b", ["training.batch_size_per_system=8"])
    return timeline.still(timeline_of(simulate(run)), FIVE_LAYERS)


def _wafers() -> list[Comparison]:
    """Every rate of a wafer-scale system, those that are not explained too."""
    rows = WAFER_ROWS.rows
    return [one for one in WAFER_ROWS.predictions(tuple(rows)) if one is not None]


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


def write_for_readme() -> None:
    """Write the pictures of README, which is read where no site is built."""
    for theme in ("light", "dark"):
        for picture in IN_README:
            name = f"{picture}-{theme}.svg"
            (README_PICTURES / name).write_bytes(files()[f"pictures/{name}"])


if __name__ == "__main__":
    write_for_readme()
