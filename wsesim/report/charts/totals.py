"""The whole job: time, energy and cost with their ranges, and the loss over its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from wsesim.errors import InputError
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import SERIES_COLOURS, STEP_PX, Scale, band, heads, scale_of, series_scale
from wsesim.results.job import Job, Range, show_energy, show_range, whole_time
from wsesim.results.loss import Point
from wsesim.units import show_duration

if TYPE_CHECKING:
    import altair as alt

    from wsesim.results.result import Result

# Time, energy and cost of the whole job, with the ranges that the catalogue's numbers lead to.


BESIDE_PX = 44.0
"""Labels of an axis that stand out on both sides. [px]"""


class Quantity(NamedTuple):
    """What a job takes: its name, the unit of its numbers, and the number of each run, or None."""

    name: str
    unit: str
    values: tuple[Range | None, ...]

    def words(self, value: Range | None) -> str:
        """A number with its range."""
        if value is None:
            return "the cluster states no price"
        return show_energy(value) if self.unit == "J" else show_range(value, self.unit)


def quantities(results: Sequence[Result]) -> list[Quantity]:
    """What is drawn of each run."""
    jobs = [one.job for one in results]
    return [
        Quantity(whole_time(one.run for one in results), "s", tuple(one.time_range_s for one in jobs)),
        Quantity("energy", "J", tuple(one.energy_j for one in jobs)),
        Quantity("cost", "USD", tuple(one.cost_usd for one in jobs)),
    ]


def chart(results: Sequence[Result]) -> Picture:
    """Draw time, energy and cost below one another."""
    names = unique(one.name for one in results)
    datasets: dict[str, list[Row]] = {}
    panels, said = [], []
    for quantity in quantities(results):
        scale = scale_of(max((one.high for one in quantity.values if one is not None), default=0.0), quantity.unit)
        words = [quantity.words(value) for value in quantity.values]
        datasets[quantity.name] = rows(names, quantity, scale)
        datasets[f"{quantity.name} heads"] = [
            {"row": row, "head": f"{text} · {name}"} for row, (name, text) in enumerate(zip(names, words, strict=True))
        ]
        panels.append((quantity.name, scale.title(quantity.name)))
        said.append(f"{quantity.name}: " + ", ".join(f"{name} {text}" for name, text in zip(names, words, strict=True)))
    return Picture(_template(len(names), tuple(panels)), datasets, "; ".join(said))


def rows(names: Sequence[str], quantity: Quantity, scale: Scale) -> list[Row]:
    """One row for each run that has the number."""
    return [
        {
            "row": row,
            "run": name,
            "value": value.value / scale.size,
            "low": value.low / scale.size,
            "high": value.high / scale.size,
            "words": quantity.words(value),
        }
        for row, (name, value) in enumerate(zip(names, quantity.values, strict=True))
        if value is not None
    ]


@template
def _template(num_runs: int, panels: tuple[tuple[str, str], ...]) -> alt.TopLevelMixin:
    import altair as alt

    drawn = [_panel(num_runs, name, title) for name, title in panels]
    return alt.vconcat(*drawn, spacing=14).properties(usermeta={"beside_px": BESIDE_PX})


def _panel(num_runs: int, name: str, title: str) -> alt.LayerChart | alt.FacetChart:
    import altair as alt

    data = alt.Chart(alt.NamedData(name))
    y = band()
    bars = data.mark_bar().encode(
        x=alt.X("value:Q", title=title, scale=alt.Scale(zero=True)),
        y=y,
        color=alt.Color("row:N", scale=series_scale(num_runs), legend=None),
        tooltip=[alt.Tooltip("run:N", title="run"), alt.Tooltip("words:N", title=name)],
    )
    ranges = data.transform_filter("datum.high > datum.low")
    line = ranges.mark_rule(style="range").encode(x="low:Q", x2="high:Q", y=y)
    ends = [ranges.mark_tick(style="range", size=10).encode(x=f"{end}:Q", y=y) for end in ("low", "high")]
    names_above = heads().properties(data=alt.NamedData(f"{name} heads"))
    return alt.layer(bars, line, *ends, names_above).properties(height=num_runs * STEP_PX)


# Predicted loss over the tokens of a run, with its interval: the losses of runs that end there.


HEIGHT_PX = 260
IN_BILLIONS = "replace(format(datum.value, '~s'), 'G', 'B')"
"""Labels of an axis of tokens: 250B."""


def loss_chart(results: Sequence[Result]) -> Picture:
    """Draw the loss of each run over its tokens.

    Raises
    ------
    InputError
        Encoders alone, for which no law was made.
    """
    points = loss_rows(results)
    if not points:
        raise InputError("this picture is of decoders, for which there are laws of loss; name another run")
    last = {row["series"]: row for row in points}
    said = "; ".join(f"{name}: loss {row['loss']:.3f} after {row['tokens']:.3g} tokens" for name, row in last.items())
    return Picture(_loss_template(tuple(last)), {"points": points}, f"Predicted loss on the Pile. {said}")


def loss_rows(results: Sequence[Result]) -> list[Row]:
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
def _loss_template(series: tuple[str, ...]) -> alt.TopLevelMixin:
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
