"""Predicted over measured throughput, with the line of no error and a band of 10 % around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.machines.words import devices
from wsesim.report.charts.axes import WITH_PREFIX, log_ticks
from wsesim.report.charts.render import Picture, Row, template
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.units import add_up
from wsesim.validate.near import Comparison

if TYPE_CHECKING:
    import altair as alt

BAND = 0.1
"""Half the width of the band. [-]"""
HEIGHT_PX = 320


def chart(comparisons: Sequence[Comparison]) -> Picture:
    """Draw published throughputs and the predicted ones, a colour for each set."""
    points = rows(comparisons)
    values = [value for one in comparisons for value in (one.measured_tokens_per_s, one.predicted_tokens_per_s)]
    low, high = min(values, default=1.0) / 1.3, max(values, default=10.0) * 1.3
    line = [{"measured": at, "predicted": at, "low": at * (1 - BAND), "high": at * (1 + BAND)} for at in (low, high)]
    sets = tuple(dict.fromkeys(str(row["set"]) for row in points))
    made = _template(sets, log_ticks(low, high))
    errors = [abs(one.error) for one in comparisons]
    mean = f", mean absolute error {add_up(errors) / len(errors):.1%}, worst {max(errors):.1%}" if errors else ""
    said = f"Predicted over measured throughput of {len(points)} published measurements{mean}"
    return Picture(made, {"points": points, "line": line}, said)


def rows(comparisons: Sequence[Comparison]) -> list[Row]:
    """One row for each measurement."""
    return [
        {
            "set": f"{one.set} ({one.use})",
            "measured": one.measured_tokens_per_s,
            "predicted": one.predicted_tokens_per_s,
            "error": f"{one.error:+.1%}",
            "what": f"{one.model} on {devices(one.num_devices, one.device, '')}",
            "id": one.id,
            "source": one.source,
            "differs": "; ".join(one.differs) or "nothing",
        }
        for one in comparisons
    ]


@template
def _template(sets: tuple[str, ...], ticks: tuple[float, ...]) -> alt.TopLevelMixin:
    import altair as alt

    logarithmic = alt.Scale(type="log", nice=False)
    axis = alt.Axis(labelExpr=WITH_PREFIX, values=list(ticks))
    x = alt.X("measured:Q", title="measured throughput [tokens/s]", scale=logarithmic, axis=axis)
    y = alt.Y("predicted:Q", title="predicted throughput [tokens/s]", scale=logarithmic, axis=axis)
    line = alt.Chart(alt.NamedData("line"))
    band = line.mark_area(style="band").encode(
        x=x, y=alt.Y("low:Q", scale=logarithmic, title="predicted throughput [tokens/s]"), y2="high:Q"
    )
    equal = line.mark_line(style="ideal").encode(x=x, y=y)
    points = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(size=45, opacity=0.85)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "set:N",
                sort=list(sets),
                scale=alt.Scale(
                    domain=list(sets), range=[SERIES_COLOURS[n % len(SERIES_COLOURS)] for n in range(len(sets))]
                ),
                legend=alt.Legend(title=None, columns=1),
            ),
            shape=alt.Shape("set:N", sort=list(sets), scale=alt.Scale(domain=list(sets))),
            tooltip=[
                alt.Tooltip("what:N", title="measured"),
                alt.Tooltip("error:N", title="error"),
                alt.Tooltip("differs:N", title="this run has"),
                alt.Tooltip("set:N", title="set"),
                alt.Tooltip("id:N", title="row"),
                alt.Tooltip("source:N", title="source"),
            ],
        )
    )
    return alt.layer(band, equal, points).properties(height=HEIGHT_PX)
