"""Throughput over the number of devices, weak and strong, beside the same job on GPUs; what single numbers do to a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.report.charts.render import Picture, Row, entry_px, template
from wsesim.report.charts.theme import PLAIN, SERIES_COLOURS, STEP_PX, WITH_PREFIX, band, heads, log_ticks, scale_of
from wsesim.study.scaling import Curve, Point, Scaling
from wsesim.study.sensitivity import BETTER, LEAST, Effect, Sensitivity
from wsesim.units import show, show_duration

if TYPE_CHECKING:
    import altair as alt

WORDS = {"weak": "weak: same batch per device", "strong": "strong: same global batch"}
WIDE, THIN = 4.5, 1.6
"""The weak line lies under the strong one, and is seen on both sides of it. [px]"""
TICKS = ("devices", "tokens_per_s")
"""Parameters that hold the ticks of the axes."""
HEIGHT_PX = 280
LABEL = 1 / 3
"""Room that the label of the run needs, as a share of the width. [-]"""
DAY_S = 86_400.0
BASELINE = "baseline"
"""What the other run of a picture is called."""


def chart(scaling: Scaling, baseline: Scaling | None = None) -> Picture:
    """Draw throughput over the number of devices on logarithmic axes, with the curves of a baseline beside."""
    return _picture(scaling, "tokens_per_s", "Throughput", baseline)


def efficiency(scaling: Scaling) -> Picture:
    """Draw what is left of one device's throughput when there are more."""
    return _picture(scaling, "efficiency", "Scaling efficiency")


def series_of(curve: Curve, *, is_baseline: bool = False) -> str:
    """Name of a curve in the legend."""
    name = WORDS.get(curve.kind, f"same job on {curve.name}")
    return f"{BASELINE}, {name}" if is_baseline else name


def rows(scaling: Scaling, *, is_baseline: bool = False) -> list[Row]:
    """All points of all curves."""
    return [
        {**_row(series_of(curve, is_baseline=is_baseline), point), "is_baseline": is_baseline}
        for curve in scaling.curves
        for point in curve.points
    ]


def _row(series: str, point: Point) -> Row:
    return {
        "series": series,
        "devices": point.num_devices,
        "tokens_per_s": point.tokens_per_s,
        "efficiency": 100.0 * point.efficiency,
        "rate": f"{point.tokens_per_s:,.4g} tokens/s",
        "each": f"{point.tokens_per_s / point.num_devices:,.4g} tokens/s",
        "step": show_duration(point.step_time_s),
        "batch": f"{point.global_batch_size:,} sequences",
        "share": f"{point.efficiency:.1%}",
    }


def ideal(scaling: Scaling) -> list[Row]:
    """Ends of the line of devices that lose nothing to one another."""
    first = next((curve.points[0] for curve in scaling.curves if curve.points), scaling.own)
    ends = sorted({first.num_devices, max(scaling.own.num_devices, _largest(scaling))})
    each = first.tokens_per_s / first.num_devices
    return [{"devices": number, "tokens_per_s": number * each, "efficiency": 100.0} for number in ends]


def _largest(scaling: Scaling) -> int:
    """Devices of the run's own curves, without the GPUs beside. [-]"""
    return max((one.num_devices for curve in scaling.curves if curve.kind != "gpu" for one in curve.points), default=1)


def _picture(scaling: Scaling, field: str, quantity: str, baseline: Scaling | None = None) -> Picture:
    beside = any(curve.kind == "gpu" for curve in scaling.curves)
    word = f"{scaling.device} or GPUs" if beside and scaling.device != "GPUs" else scaling.device
    points, own = rows(scaling), [_own("this run", scaling)]
    series, said = [series_of(curve) for curve in scaling.curves], _described(scaling, quantity)
    if baseline is not None:
        points += rows(baseline, is_baseline=True)
        own.append(_own(BASELINE, baseline))
        series += [series_of(curve, is_baseline=True) for curve in baseline.curves]
        said += f"; {BASELINE}: {_described(baseline, quantity)}"
    params = {key: _ticks([*points, *ideal(scaling)], key) for key in TICKS}
    made = _template(tuple(series), f"number of {word} [-]", field)
    datasets: dict[str, list[Row]] = {"points": points, "ideal": ideal(scaling), "own": _apart(own, field)}
    return Picture(made, datasets, said, params=params)


def _own(name: str, scaling: Scaling) -> Row:
    """The run itself as a point with a label; a baseline's has room below that of the run."""
    is_baseline = name == BASELINE
    label = f"{name}: {scaling.own.num_devices:,}"
    return {**_row(name, scaling.own), "label": label, "is_baseline": is_baseline}


def _ticks(points: Sequence[Row], key: str) -> tuple[float, ...]:
    values = [float(one[key]) for one in points]
    return log_ticks(min(values), max(values))


def _described(scaling: Scaling, quantity: str) -> str:
    words = [f"{quantity} of {scaling.name} over the number of {scaling.device}"]
    for curve in scaling.curves:
        if curve.points:
            first, last = curve.points[0], curve.points[-1]
            words.append(
                f"{series_of(curve)}: {first.tokens_per_s:,.3g} tokens/s on {first.num_devices:,}, {last.tokens_per_s:,.3g} "
                f"on {last.num_devices:,}, {last.efficiency:.0%} of the first per device"
            )
    return "; ".join(words)


@template
def _template(series: tuple[str, ...], devices: str, field: str) -> alt.TopLevelMixin:
    import altair as alt

    ticks = [alt.param(name=name, value=[]) for name in TICKS]
    logarithmic = alt.Scale(type="log", nice=False, padding=12)
    x = alt.X(
        "devices:Q", title=devices, scale=logarithmic, axis=alt.Axis(labelExpr=WITH_PREFIX, values={"expr": "devices"})
    )
    if field == "efficiency":
        y = alt.Y("efficiency:Q", title="tokens/s per device, over those of the fewest [%]", scale=alt.Scale(zero=True))
    else:
        axis = alt.Axis(labelExpr=WITH_PREFIX, values={"expr": "tokens_per_s"})
        y = alt.Y("tokens_per_s:Q", title="throughput [tokens/s]", scale=logarithmic, axis=axis)
    colour = alt.Color(
        "series:N",
        sort=list(series),
        scale=alt.Scale(domain=list(series), range=list(SERIES_COLOURS[: len(series)])),
        legend=alt.Legend(title=None, columns=1, symbolType="stroke", symbolStrokeWidth=3),
    )
    about = [
        alt.Tooltip("series:N", title="curve"),
        alt.Tooltip("devices:Q", title="devices", format=","),
        alt.Tooltip("rate:N", title="throughput"),
        alt.Tooltip("each:N", title="per device"),
        alt.Tooltip("step:N", title="step"),
        alt.Tooltip("batch:N", title="global batch"),
        alt.Tooltip("share:N", title="efficiency"),
    ]
    base = alt.Chart(alt.NamedData("points"))
    width = alt.condition(f"datum.series == '{WORDS['weak']}'", alt.value(WIDE), alt.value(THIN))
    lines = base.mark_line(opacity=0.75).encode(x=x, y=y, color=colour, strokeWidth=width, strokeDash=_dashed())
    points = base.mark_point(opacity=1).encode(x=x, y=y, color=colour, tooltip=about)
    straight = alt.Chart(alt.NamedData("ideal")).mark_line(style="ideal").encode(x=x, y=y)
    own = alt.Chart(alt.NamedData("own"))
    ring = own.mark_point(style="own", shape="circle").encode(x=x, y=y, tooltip=about)
    label = own.mark_text(style="label", fontWeight="bold", **_beside_the_curve(rises=field != "efficiency")).encode(
        x=x, y=y, text="label:N"
    )
    return alt.layer(straight, lines, points, ring, label).add_params(*ticks).properties(height=HEIGHT_PX)


def _apart(points: Sequence[Row], key: str) -> list[Row]:
    """Labels of two points: that of the higher one above it, that of the lower one below; one alone is put where room is."""
    if len(points) < 2:
        return [{**one, "place": ""} for one in points]
    highest = max(points, key=lambda one: float(one[key]))
    return [{**one, "place": "above" if one is highest else "below"} for one in points]


def _dashed() -> Any:
    """The curves of a baseline are told by more than their colour."""
    import altair as alt

    return alt.condition("datum.is_baseline", alt.value([6, 4]), alt.value([1, 0]))


def _beside_the_curve(*, rises: bool) -> dict[str, Any]:
    """Where the label of a point lies: left of and above a curve that rises, where there is room, else right and below."""
    at = "scale('x', datum.devices)"
    is_left = f"{at} > {LABEL if rises else 1 - LABEL} * width"
    is_above = is_left if rises else "false"
    is_above = f"(datum.place ? datum.place == 'above' : {is_above})"
    return {
        "align": {"expr": f"{is_left} ? 'right' : 'left'"},
        "dx": {"expr": f"{is_left} ? -8 : 8"},
        "baseline": {"expr": f"{is_above} ? 'bottom' : 'top'"},
        "dy": {"expr": f"{is_above} ? -8 : 8"},
    }


# The whole job over the number of devices: how long it takes and what it costs, with the line of what it is compared with.


class Measure(NamedTuple):
    """What is drawn of a job: a name, the title of its axis, its values in the unit of the axis, and how they are told."""

    name: str
    title: str
    unit: str
    size: float
    is_log: bool


class Line(NamedTuple):
    """A job that is no curve, as one line across: what it is on, and what it takes, in SI units."""

    label: str
    value: float | None


def time_measure() -> Measure:
    """Time to train, in days, over many powers of ten."""
    return Measure("time", "time for the whole job [days]", "s", DAY_S, True)


def cost_measure(largest_usd: float) -> Measure:
    """Cost, from zero on."""
    scale = scale_of(largest_usd, "USD")
    return Measure("cost", scale.title("cost of the whole job"), "USD", scale.size, False)


def over_devices(
    scaling: Scaling,
    measure: Measure,
    values: Sequence[float],
    lines: Sequence[Line] = (),
    beside: Beside | None = None,
) -> Picture:
    """Draw what the whole job takes over the number of devices.

    Parameters
    ----------
    values
        Of its points, in SI units.
    lines
        What else the job could be done on.
    """
    points = list(_whole(scaling, measure, values, ""))
    own = _own_points(points, scaling.own.num_devices, "this run")
    said = [_of_whole(measure, scaling, values)]
    if beside is not None:
        others = list(_whole(beside.scaling, measure, beside.values, BASELINE))
        points += others
        own += _own_points(others, beside.scaling.own.num_devices, BASELINE)
        said.append(f"{BASELINE}: {_of_whole(measure, beside.scaling, beside.values)}")
    across = [
        {"value": one.value / measure.size, "label": f"{one.label}: {show(one.value, measure.unit)}"}
        for one in lines
        if one.value is not None
    ]
    said += [str(one["label"]) for one in across]
    ends = [float(one["value"]) for one in [*points, *across]]
    ticks = log_ticks(min(ends), max(ends)) if measure.is_log else ()
    params = {"devices": _ticks(points, "devices"), "values": ticks}
    series = tuple(dict.fromkeys(str(one["series"]) for one in points))
    made = _over_devices(series, f"number of {scaling.device} [-]", measure.title, measure.is_log)
    datasets: dict[str, Sequence[Row]] = {"points": points, "own": _apart(own, "value"), "lines": across}
    return Picture(made, datasets, "; ".join(said), params=params)


class Beside(NamedTuple):
    """A baseline's curve and its values."""

    scaling: Scaling
    values: Sequence[float]


def _whole(scaling: Scaling, measure: Measure, values: Sequence[float], name: str) -> Iterator[Row]:
    curve = scaling.curves[0]
    for point, value in zip(curve.points, values, strict=True):
        yield {
            "series": name or "this run on other numbers",
            "devices": point.num_devices,
            "value": value / measure.size,
            "told": show(value, measure.unit),
            "batch": f"{point.global_batch_size:,} sequences",
            "is_baseline": bool(name),
        }


def _own_points(points: Sequence[Row], number: int, name: str) -> list[Row]:
    return [{**one, "label": f"{name}: {one['told']}"} for one in points if one["devices"] == number]


def _of_whole(measure: Measure, scaling: Scaling, values: Sequence[float]) -> str:
    told = [
        f"{show(value, measure.unit)} on {point.num_devices:,}"
        for point, value in zip(scaling.curves[0].points, values, strict=True)
        if point.num_devices == scaling.own.num_devices
        or point in (scaling.curves[0].points[0], scaling.curves[0].points[-1])
    ]
    return f"{measure.name.capitalize()} of the whole job of {scaling.name} over the number of {scaling.device}: {', '.join(told)}"


@template
def _over_devices(series: tuple[str, ...], devices: str, title: str, is_log: bool) -> alt.TopLevelMixin:
    import altair as alt

    ticks = [alt.param(name=name, value=[]) for name in ("devices", "values")]
    x = alt.X(
        "devices:Q",
        title=devices,
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(labelExpr=WITH_PREFIX, values={"expr": "devices"}),
    )
    scale = alt.Scale(type="log", nice=False, padding=12) if is_log else alt.Scale(zero=True)
    axis = alt.Axis(labelExpr=PLAIN, values={"expr": "values"}) if is_log else alt.Axis(labelExpr=PLAIN)
    y = alt.Y("value:Q", title=title, scale=scale, axis=axis)
    colour = alt.Color(
        "series:N",
        sort=list(series),
        scale=alt.Scale(domain=list(series), range=list(SERIES_COLOURS[: len(series)])),
        legend=alt.Legend(title=None, columns=1, symbolType="stroke", symbolStrokeWidth=3) if len(series) > 1 else None,
    )
    names = {"series": "curve", "devices": "devices", "told": "the whole job", "batch": "global batch"}
    about = [alt.Tooltip(f"{key}:N", title=name) for key, name in names.items()]
    base = alt.Chart(alt.NamedData("points"))
    lines = base.mark_line(opacity=0.75).encode(x=x, y=y, color=colour, strokeDash=_dashed())
    points = base.mark_point(opacity=1, size=16).encode(x=x, y=y, color=colour, tooltip=about)
    across = alt.Chart(alt.NamedData("lines"))
    rule = across.mark_rule(style="range").encode(y=y, tooltip=alt.Tooltip("label:N", title="on"))
    name = across.mark_text(style="label", align="left", baseline="bottom", dy=-3, limit={"expr": "width"}).encode(
        x=alt.value(4), y=y, text="label:N"
    )
    own = alt.Chart(alt.NamedData("own"))
    ring = own.mark_point(style="own", shape="circle").encode(x=x, y=y, tooltip=about)
    beside = _beside_the_curve(rises=not is_log)
    label = own.mark_text(style="label", fontWeight="bold", **beside).encode(x=x, y=y, text="label:N")
    return alt.layer(rule, lines, points, ring, label, name).add_params(*ticks).properties(height=HEIGHT_PX)


# What single numbers do to a step: a tornado, what moves it most on top.


ENDS = ("low end of its range", "high end of its range")
"""Of an uncertain number, which is put to both."""
MOST_BARS = 12
"""Numbers of a tornado; tables have all. [-]"""
TORNADOS = {"uncertain": ENDS, "constants": (f"{BETTER:.0%} better",)}
"""By the part of a sensitivity that is drawn: what its numbers were changed to."""


def drawn_effects(found: Sensitivity, part: str) -> list[Effect]:
    """Numbers of a tornado, in order; none where nothing moves the step."""
    effects = found.uncertain if part == "uncertain" else found.constants
    return [one for one in effects if one.largest(found.result.step_time_s) > LEAST][:MOST_BARS]


def tornado(found: Sensitivity, part: str) -> Picture:
    """Draw by how much the step becomes longer or shorter with each number changed."""
    effects, series, step_s = drawn_effects(found, part), TORNADOS[part], found.result.step_time_s
    bars: list[Row] = []
    above: list[Row] = []
    for row, one in enumerate(effects):
        ends = [_end(one, place, end, step_s) for place, end in enumerate(series)]
        above.append({"row": row, "head": f"{one.name}: {' to '.join(str(end['change']) for end in ends)}"})
        possible = [{"row": row, "number": one.name, "status": one.status, **end} for end in ends if "end" in end]
        bars += sorted(possible, key=lambda end: -abs(float(str(end["end"]))))  # the shorter one lies on the longer
    all_of_them = found.uncertain if part == "uncertain" else found.constants
    moving = sum(one.largest(step_s) > LEAST for one in all_of_them)
    cut = (f"the {len(effects)} numbers that move the step most, of {moving}",) if moving > len(effects) else ()
    return Picture(_tornado(len(effects), series), {"bars": bars, "heads": above}, _told(found, part, above), cut)


def _end(one: Effect, place: int, series: str, step_s: float) -> Row:
    """One value of a number and what it does; without an end of a bar where the run is refused."""
    value, time_s, change = one.values[place], one.step_times_s[place], one.changes(step_s)[place]
    if change is None or isinstance(time_s, str):
        return {"change": "refused"}
    about = {"value": one.shown(value), "now": one.shown(one.value), "step": show(time_s, "s")}
    return {"series": series, "start": 0.0, "end": 100.0 * change, "change": f"{change:+.2%}", **about}


def _told(found: Sensitivity, part: str, above: Sequence[Row]) -> str:
    result = found.result
    what = "at the low to the high end of their ranges" if part == "uncertain" else f"each {BETTER:.0%} better"
    told = "; ".join(str(one["head"]) for one in above) or "none changes it"
    return f"Change of the step of {result.name}, {show(result.step_time_s, 's')}, with single numbers {what}. {told}"


@template
def _tornado(num_rows: int, series: tuple[str, ...]) -> alt.TopLevelMixin:
    import altair as alt

    colour = alt.Color(
        "series:N",
        title=None,
        sort=list(series),
        scale=alt.Scale(domain=list(series), range=list(SERIES_COLOURS[: len(series)])),
    )
    words = {
        "number": "number",
        "series": "at",
        "value": "value",
        "now": "as it is",
        "step": "step",
        "change": "change",
    }
    about = [alt.Tooltip(f"{key}:N", title=title) for key, title in (words | {"status": "status"}).items()]
    x = alt.X("start:Q", title="change of the step time [%]", axis=alt.Axis(labelExpr=PLAIN))
    bars = alt.Chart(alt.NamedData("bars")).mark_bar().encode(x=x, x2="end:Q", y=band(), color=colour, tooltip=about)
    top, bottom = alt.Y("row:O", axis=None, bandPosition=0), alt.Y2("row", bandPosition=1)
    zero = alt.Chart(alt.NamedData("heads")).mark_rule(style="range").encode(x=alt.datum(0), y=top, y2=bottom)
    height = max(num_rows, 1) * STEP_PX
    return alt.layer(bars, zero, heads()).properties(height=height, usermeta={"entry_px": entry_px(series)})
