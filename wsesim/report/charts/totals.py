"""The whole job: time, energy and cost with their ranges, and the loss over its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from wsesim.config.loader import load_law
from wsesim.errors import InputError
from wsesim.report.charts.render import Picture, Row, template, unique
from wsesim.report.charts.theme import SERIES_COLOURS, STEP_PX, Scale, band, heads, scale_of, series_scale
from wsesim.results.job import Job, Range, show_energy, show_range, whole_time
from wsesim.results.loss import AVERAGE, COMPUTE, Point, loss_by_compute
from wsesim.units import show_duration
from wsesim.validate import losses

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


def _of_decoders(points: list[Row]) -> list[Row]:
    """What is drawn of runs; there is nothing of encoders."""
    if not points:
        raise InputError("this picture is of decoders, for which there are laws of loss; name another run")
    return points


def loss_chart(results: Sequence[Result]) -> Picture:
    """Draw the loss of each run over its tokens.

    Raises
    ------
    InputError
        Encoders alone, for which no law was made.
    """
    points = _of_decoders(loss_rows(results))
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


# Compute against loss and accuracy: these runs among published models.


PANEL_PX, LABELS_PX = 220, 72.0
"""Height of a panel, and its labels that stand out on both sides. [px]"""
PANELS = (("loss", "test loss on the Pile [nats/token]"), ("accuracy", "mean zero-shot accuracy [-]"))
LAW = "law of compute, at 20 tokens per parameter"


def families_chart(results: Sequence[Result]) -> Picture:
    """Draw loss and accuracy of runs over their compute, among the published models on which the laws rest.

    Raises
    ------
    InputError
        Encoders alone, for which no law was made.
    """
    own = _of_decoders(_own_points(results))
    published = [
        {"series": one.family, "model": one.model.name, "flop": one.training_flop, "loss": one.loss, "accuracy": mean}
        for one in losses.published()
        if (mean := one.accuracy.get(AVERAGE)) is not None or one.loss is not None
    ]
    flop = [float(row["flop"]) for row in (*own, *published)]
    families = tuple(dict.fromkeys(str(row["series"]) for row in published))
    extent = (min(flop) / 2.0, max(flop) * 2.0)
    datasets = {name: [row for row in published if row[name] is not None] for name, _ in PANELS}
    told = "; ".join(
        f"{row['series']}: {row['flop']:.2g} FLOP, loss {row['loss']:.3f}, accuracy {row['accuracy']:.3f}"
        for row in own
    )
    said = f"Loss and accuracy over training compute, of {len(published)} published models and these runs. {told}"
    rows: dict[str, Sequence[Row]] = {"own": own, "law": _law_points(extent), **datasets}
    return Picture(_families(families, extent), rows, said)


def _own_points(results: Sequence[Result]) -> list[Row]:
    found: list[Row] = []
    for name, result in zip(unique(one.name for one in results), results, strict=True):
        quality = result.job.quality
        if quality is not None:
            (loss_low, loss_high), (low, high) = quality.loss_range, quality.accuracy_range[AVERAGE]
            ends = {"loss_low": loss_low, "loss_high": loss_high, "accuracy_low": low, "accuracy_high": high}
            point = {"flop": quality.training_flop, "loss": quality.loss, "accuracy": quality.accuracy[AVERAGE]}
            found.append({"series": name, "model": name, **point, **ends})
    return found


def _law_points(extent: tuple[float, float]) -> list[Row]:
    law, steps = load_law(COMPUTE).compute, 24
    low, high = (math.log(end) for end in extent)
    flop = [math.exp(low + (high - low) * step / steps) for step in range(steps + 1)]
    return [] if law is None else [{"flop": one, "loss": loss_by_compute(law, one)} for one in flop]


@template
def _families(families: tuple[str, ...], extent: tuple[float, float]) -> alt.TopLevelMixin:
    import altair as alt

    colours = [SERIES_COLOURS[place % len(SERIES_COLOURS)] for place in range(len(families))]
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=list(families), range=colours),
        legend=alt.Legend(title="published"),
    )
    panels = []
    for name, title in PANELS:
        x = alt.X(
            "flop:Q",
            title="training compute [FLOP]",
            axis=alt.Axis(format=".0e", tickCount=5),
            scale=alt.Scale(type="log", domain=list(extent), nice=False),
        )
        y = alt.Y(f"{name}:Q", title=title, scale=alt.Scale(zero=False))
        about = [
            alt.Tooltip("model:N", title="model"),
            alt.Tooltip("flop:Q", title="FLOP", format=".2e"),
            alt.Tooltip(f"{name}:Q", title=name, format=".3f"),
        ]
        others = alt.Chart(alt.NamedData(name)).mark_point(size=45).encode(x=x, y=y, color=colour, tooltip=about)
        base = alt.Chart(alt.NamedData("own"))
        ends = base.mark_rule(style="range").encode(x=x, y=alt.Y(f"{name}_low:Q", title=title), y2=f"{name}_high:Q")
        own = base.mark_point(style="own").encode(x=x, y=y, tooltip=about)
        law = alt.Chart(alt.NamedData("law")).mark_line(style="ideal").encode(x=x, y=y)
        layers = [law, others, ends, own] if name == "loss" else [others, ends, own]
        panels.append(alt.layer(*layers).properties(height=PANEL_PX))
    return alt.vconcat(*panels, spacing=16).properties(usermeta={"beside_px": LABELS_PX})
