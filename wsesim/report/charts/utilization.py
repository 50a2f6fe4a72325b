"""How busy each part of the machine is during a step, for one run or for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.report.charts.heads import band, heads
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.report.wafer_facts import PARTS

if TYPE_CHECKING:
    import altair as alt

    from wsesim.gpu_results import GPUResult
    from wsesim.results import Result

GPU_PARTS = {"gpu": "GPU computes", "communication": "GPU communicates in view", "idle": "GPU idles"}
STEP_PX = 38
"""Height of a bar with its name. [px]"""


def chart(results: Sequence[Result | GPUResult]) -> Picture:
    """Draw the share of the step in which each part works."""
    bars = rows(results)
    runs = tuple(dict.fromkeys(str(row["run"]) for row in bars))
    made = _template(tuple(str(row["row"]) for row in bars), runs)
    return Picture(made, {"bars": bars, "heads": bars}, "Busy: " + "; ".join(str(row["head"]) for row in bars))


def rows(results: Sequence[Result | GPUResult]) -> list[Row]:
    """One row for each part of each run; the same part of all runs stands together."""
    found: list[Row] = []
    names = unique(one.name for one in results)
    for part, words in (PARTS | GPU_PARTS).items():
        for name, result in zip(names, results, strict=True):
            if part in result.utilization:
                share = result.utilization[part]
                row = f"{words}, {name}" if len(results) > 1 else words
                found.append({"run": name, "row": row, "head": f"{share:.1%} · {row}", "busy": 100.0 * share})
    return found


@template
def _template(rows: tuple[str, ...], runs: tuple[str, ...]) -> alt.TopLevelMixin:
    import altair as alt

    colours = [SERIES_COLOURS[place % len(SERIES_COLOURS)] for place in range(len(runs))]
    bars = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar()
        .encode(
            x=alt.X("busy:Q", title="busy, share of the step [%]", scale=alt.Scale(domain=[0, 100])),
            y=band(rows),
            color=alt.Color("run:N", scale=alt.Scale(domain=list(runs), range=colours), legend=None),
            tooltip=alt.Tooltip("head:N", title="busy"),
        )
    )
    return alt.layer(bars, heads(rows)).properties(height=len(rows) * STEP_PX)
