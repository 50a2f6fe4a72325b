"""Pictures of the site: how far predictions are from measurements, and what a simulation costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from wsesim.config.loader import load_any, load_any_cluster
from wsesim.machines.simulation import simulate
from wsesim.report.charts import machine, validation
from wsesim.report.charts.render import Picture, Row, drawn, template
from wsesim.report.charts.theme import SERIES_COLOURS, Scale, scale_of
from wsesim.report.charts.timeline import SHADES
from wsesim.study.timeline import Event, Timeline, timeline_of
from wsesim.units import add_up, show
from wsesim.validate.near import GPU_ROWS, WAFER_ROWS, Comparison

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
        "validation-gpus": validation.chart(_gpus()),
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
    return still(timeline_of(simulate(run)), FIVE_LAYERS)


def _wafers() -> list[Comparison]:
    """Every rate of a wafer-scale system, those that are not explained too."""
    rows = WAFER_ROWS.rows
    return [one for one in WAFER_ROWS.predictions(tuple(rows)) if one is not None]


def _gpus() -> list[Comparison]:
    """Every step of GPU clusters that no number was fitted to."""
    rows = (key for key, row in GPU_ROWS.rows.items() if row.use in ("validation", "small-step"))
    return [one for one in GPU_ROWS.predictions(tuple(rows)) if one is not None]


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


# A still: some layers of a step, large enough to see what waits for what.


STILL_ROWS = (
    ("memoryx.send", "weights come"),
    ("wafer.", "wafer computes"),
    ("memoryx.receive", "gradients leave"),
)
"""Beginning of the key of a track, and what happens there."""
STILL_PHASES = {"forward": ("forward",), "backward": ("backward", "gradient")}
"""Panels, and the phases of events in each."""
JOINED_S = 1e-9
"""What follows so soon after the last of its layer and pass is drawn as one with it. [s]"""
STILL_BESIDE_PX = 100.0
"""Names of the rows. [px]"""
STILL_PX, NARROWEST = 34, 0.07
"""Height of a row, and share of the width from which a rectangle holds the name of its layer. [px], [-]"""


def still(timeline: Timeline, blocks: Sequence[int]) -> Picture:
    """Some layers in a row, forward and backward: their weights come, the wafer computes, their gradients leave.

    Parameters
    ----------
    timeline
        Of a wafer-scale run.
    blocks
        That are shown, from 0.
    """
    datasets: dict[str, list[Row]] = {}
    told, ends = [], []
    scale = scale_of(max(_still_length_s(timeline, blocks, phases) for phases in STILL_PHASES.values()), "s")
    for panel, phases in STILL_PHASES.items():
        shown = _still_events(timeline, blocks, phases)
        start_s = min(one.start_s for _, one in shown)
        length_s = max(one.end_s for _, one in shown) - start_s
        ends.append(length_s / scale.size)
        datasets[panel] = [_still_row(row, one, start_s, length_s, scale) for row, one in shown]
        computes = add_up(one.end_s - one.start_s for row, one in shown if row == STILL_ROWS[1][1])
        told.append(f"{panel} in {show(length_s, 's')}, of which the wafer computes {computes / length_s:.0%}")
    names = tuple(f"block {block}" for block in blocks)
    said = (
        f"Blocks {blocks[0]} to {blocks[-1]} of a step of {timeline.name}: weights of a layer come while the wafer computes it, "
        f"and gradients leave while it goes on; {'; '.join(told)}"
    )
    return Picture(_still(names, (ends[0], ends[1]), scale.title("time")), datasets, said)


def _still_events(timeline: Timeline, blocks: Sequence[int], phases: Sequence[str]) -> list[tuple[str, Event]]:
    """What happens to some blocks, with the row in which it is drawn; neighbours of a layer as one."""
    first, tracks = timeline.steps[0].step, (*timeline.decisive, "memoryx.send", "memoryx.receive")
    found: list[tuple[str, Event]] = []
    for words, key in ((words, key) for key, words in STILL_ROWS):
        for one in timeline.events:
            if not one.track.startswith(key) or one.track not in tracks or one.kind == "wait" or one.step != first:
                continue
            if one.layer - 1 not in blocks or one.phase not in phases:
                continue
            last = found[-1] if found else None
            alike = last is not None and (last[0], last[1].layer, last[1].phase) == (words, one.layer, one.phase)
            if last is not None and alike and one.start_s - last[1].end_s < JOINED_S:
                found[-1] = (words, last[1]._replace(end_s=one.end_s))
            else:
                found.append((words, one))
    return found


def _still_length_s(timeline: Timeline, blocks: Sequence[int], phases: Sequence[str]) -> float:
    shown = [one for _, one in _still_events(timeline, blocks, phases)]
    return max(one.end_s for one in shown) - min(one.start_s for one in shown)


def _still_row(row: str, one: Event, start_s: float, length_s: float, scale: Scale) -> dict[str, Any]:
    """A rectangle, with the name of its layer where it has room."""
    width, middle_s = (one.end_s - one.start_s) / length_s, (one.start_s + one.end_s) / 2.0 - start_s
    return {
        "row": row,
        "start": round((one.start_s - start_s) / scale.size, 6),
        "end": round((one.end_s - start_s) / scale.size, 6),
        "middle": round(middle_s / scale.size, 6),
        "layer": f"block {one.layer - 1}",
        "says": f"{one.layer - 1}" if width >= NARROWEST else "",
        "strength": SHADES["forward"] if one.phase == "gradient" else 1.0,
    }


@template
def _still(names: tuple[str, ...], ends: tuple[float, float], title: str) -> Any:
    import altair as alt

    panels = []
    for panel, end in zip(STILL_PHASES, ends, strict=True):
        x = alt.X("start:Q", title=f"{panel}, {title}", scale=alt.Scale(domain=[0, end], nice=False))
        y = alt.Y("row:N", sort=[words for _, words in STILL_ROWS], title=None, scale=alt.Scale(paddingInner=0.15))
        colour = alt.Color(
            "layer:N",
            sort=list(names),
            scale=alt.Scale(domain=list(names), range=list(SERIES_COLOURS[: len(names)])),
            legend=alt.Legend(title=None) if panel == "forward" else None,
        )
        base = alt.Chart(alt.NamedData(panel))
        boxes = base.mark_rect().encode(
            x=x, x2="end:Q", y=y, color=colour, opacity=alt.Opacity("strength:Q", scale=None)
        )
        words = base.mark_text(color="white", fontWeight="bold").encode(x="middle:Q", y=y, text="says:N")
        panels.append(alt.layer(boxes, words).properties(height={"step": STILL_PX}))
    return alt.vconcat(*panels, spacing=18).properties(usermeta={"beside_px": STILL_BESIDE_PX})


def write_for_readme() -> None:
    """Write the pictures of README, which is read where no site is built."""
    for theme in ("light", "dark"):
        for picture in IN_README:
            name = f"{picture}-{theme}.svg"
            (README_PICTURES / name).write_bytes(files()[f"pictures/{name}"])


if __name__ == "__main__":
    write_for_readme()
