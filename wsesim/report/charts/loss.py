"""Predicted loss over the tokens of a run, with its interval: the losses of runs that end there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsesim.errors import InputError
from wsesim.job import Job
from wsesim.loss import Point
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.units import show_duration

if TYPE_CHECKING:
    import altair as alt

    from wsesim.result import Result

HEIGHT_PX = 260
IN_BILLIONS = "replace(format(datum.value, '~s'), 'G', 'B')"
"""Labels of an axis of tokens: 250B."""


def chart(results: Sequence[Result]) -> Picture:
    """Draw the loss of each run over its tokens.

    Raises
    ------
    InputError
        Encoders alone, for which no law was made.
    """
    points = rows(results)
    if not points:
        raise InputError("this picture is of decoders, for which there are laws of loss; name another run")
    last = {row["series"]: row for row in points}
    said = "; ".join(f"{name}: loss {row['loss']:.3f} after {row['tokens']:.3g} tokens" for name, row in last.items())
    return Picture(_template(tuple(last)), {"points": points}, f"Predicted loss on the Pile. {said}")


def rows(results: Sequence[Result]) -> list[Row]:
    """Points of all curves."""
    found: list[Row] = []
    names = unique(one.name for one in results)
    for name, result in zip(names, results, strict=True):
        points = () if result.job.quality is None else result.job.quality.curve()
        found += [{"series": name, **_point(point, result.job)} for point in points]
    return found


def _point(point: Point, job: Job) -> Row:
    return {
        "tokens": point.tokens,
        "loss": point.loss,
        "low": point.low,
        "high": point.high,
        "accuracy": f"{point.accuracy:.3f}",
        "after": show_duration(job.time_s * point.tokens / job.tokens),
        "fitted": "among fitted models" if point.is_fitted else "extrapolated",
    }


@template
def _template(series: tuple[str, ...]) -> alt.TopLevelMixin:
    import altair as alt

    base = alt.Chart(alt.NamedData("points"))
    x = alt.X("tokens:Q", title="training tokens [-]", axis=alt.Axis(labelExpr=IN_BILLIONS))
    y = alt.Y("loss:Q", title="predicted loss on the Pile [nats/token]", scale=alt.Scale(zero=False))
    colour = alt.Color(
        "series:N",
        sort=list(series),
        scale=alt.Scale(domain=list(series), range=list(SERIES_COLOURS[: len(series)])),
        legend=alt.Legend(title=None, columns=1, symbolType="stroke", symbolStrokeWidth=3) if len(series) > 1 else None,
    )
    about = [
        alt.Tooltip("series:N", title="run"),
        alt.Tooltip("tokens:Q", title="tokens", format=".3s"),
        alt.Tooltip("after:N", title="after"),
        alt.Tooltip("loss:Q", title="loss", format=".3f"),
        alt.Tooltip("accuracy:N", title="mean accuracy"),
        alt.Tooltip("fitted:N", title="by a law"),
    ]
    band = base.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="predicted loss on the Pile [nats/token]"), y2="high:Q", color=colour
    )
    line = base.mark_line().encode(x=x, y=y, color=colour)
    points = base.mark_point(opacity=0, size=60).encode(x=x, y=y, color=colour, tooltip=about)
    return alt.layer(band, line, points).properties(height=HEIGHT_PX)
