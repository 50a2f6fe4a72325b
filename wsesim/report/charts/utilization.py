"""How busy each part of the machine is during a step, for one run or for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.machines.machine import machine_of
from wsesim.report.charts.heads import band, heads, series_scale
from wsesim.report.charts.render import Picture, Row, template, unique

if TYPE_CHECKING:
    import altair as alt

    from wsesim.result import Result

STEP_PX = 38
"""Height of a bar with its name. [px]"""


def chart(results: Sequence[Result]) -> Picture:
    """Draw the share of the step in which each part works."""
    bars = rows(results)
    said = "Busy: " + "; ".join(str(row["head"]) for row in bars)
    return Picture(_template(len(bars), len(results)), {"bars": bars, "heads": bars}, said)


def rows(results: Sequence[Result]) -> list[Row]:
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
def _template(num_rows: int, num_runs: int) -> alt.TopLevelMixin:
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
    return alt.layer(bars, heads()).properties(height=num_rows * STEP_PX)
