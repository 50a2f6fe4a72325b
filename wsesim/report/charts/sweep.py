"""A metric of a sweep over one or two of the keys that varied.

Numbers become an axis and a line, names become bars. A second key becomes colours where it has few values, else the
second axis of a heat map. Points without an answer are shown where they are missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.errors import InputError
from wsesim.report.charts.render import Picture, Row, entry_px, template
from wsesim.report.charts.theme import (
    PLAIN,
    SERIES_COLOURS,
    STEP_PX,
    WITH_PREFIX,
    Scale,
    band,
    heads,
    ink_on,
    is_far_apart,
    log_ticks,
    scale_of,
)
from wsesim.report.pages.sweep import metric_of, shown
from wsesim.study.table import Row as SweptRow
from wsesim.units import parse_quantity, unit_of_field

if TYPE_CHECKING:
    import altair as alt

UNITS = {
    "tokens_per_s": "tokens/s",
    "samples_per_s": "samples/s",
    "mfu": "%",
    "hfu": "%",
    "predicted_loss": "nats/token",
}
"""Of metrics whose name does not say it all."""
MOST_LINES = len(SERIES_COLOURS)
"""Values of a second key that become colours; more become an axis. [-]"""
MOST_TICKS = 16
"""Values of a key that are all written at its axis. [-]"""
MOST_CELLS = 120
"""Cells of a heat map whose numbers are written into them. [-]"""
LONG_LABEL = 7
"""Letters from which labels of columns stand askew. [-]"""
HEIGHT_PX, CELL_PX = 280, 30


class Axis(NamedTuple):
    """A key that varied.

    Attributes
    ----------
    numbers
        Its values in the scale of the axis, by what was written; empty where some value is no number.
    """

    key: str
    title: str
    values: tuple[str, ...]
    numbers: Mapping[str, float]


def chart(rows: Sequence[SweptRow], keys: Sequence[str], metric: str) -> Picture:
    """Draw a metric over one column that varied, or two.

    Raises
    ------
    InputError
        More keys than axes, or none.
    """
    if not 1 <= len(keys) <= 2:
        raise InputError(f"{len(keys)} keys cannot be drawn: choose one or two of those that vary")
    axes = [axis_of(key, rows) for key in keys]
    if len(axes) == 2 and not axes[0].numbers and axes[1].numbers:
        axes.reverse()
    scale, title = _metric(metric, rows)
    said = f"{title} over {' and '.join(axis.title for axis in axes)}"
    points, missing = _points(rows, axes, metric, scale)
    if len(axes) == 2 and (len(axes[1].values) > MOST_LINES or not axes[0].numbers):
        return _heat_map(axes, title, points, missing, said)
    if axes[0].numbers:
        return _lines(axes, title, points, missing, said)
    return _bars(axes[0], title, points, missing, said)


def axis_of(key: str, rows: Sequence[SweptRow]) -> Axis:
    """Reads the values of a key: plain numbers, quantities with a unit, or names."""
    unit = unit_of_field(key)
    values = list(dict.fromkeys(_written(row[key]) for row in rows))
    found: dict[str, float] = {}
    for row in rows:
        value = row[key]
        if isinstance(value, bool) or value is None:
            break
        try:
            found[_written(value)] = parse_quantity(str(value), unit)
        except ValueError:
            break
    if len(found) < len(values):
        return Axis(key, key, tuple(values), {})
    scale = Scale(1.0, "-") if unit == "-" else scale_of(max(abs(one) for one in found.values()), unit)
    numbers = {value: number / scale.size for value, number in found.items()}
    ordered = tuple(sorted(numbers, key=numbers.__getitem__))
    return Axis(key, scale.title(key), ordered, numbers)


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metric(metric: str, rows: Sequence[SweptRow]) -> tuple[Scale, str]:
    """Scale and title of the metric's axis."""
    values = [abs(one) for row in rows if (one := _value(row, metric)) is not None]
    unit = UNITS.get(metric) or unit_of_field(metric)
    if unit == "%":
        scale = Scale(0.01, "%")
    elif metric in UNITS or unit == "-":
        scale = Scale(1.0, unit)
    else:
        scale = scale_of(max(values, default=0.0), unit)
    return scale, scale.title(metric_of(metric).words)


def _value(row: SweptRow, metric: str) -> float | None:
    """The metric of a point; None where it has no answer."""
    value = row.get(metric)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number and row["status"] == "ok" and value is not None else None


def _points(
    rows: Sequence[SweptRow], axes: Sequence[Axis], metric: str, scale: Scale
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Points with an answer, and those without."""
    points: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    for row in rows:
        place: dict[str, Any] = {}
        for name, axis in zip(("x", "series"), axes, strict=False):
            written = _written(row[axis.key])
            place[name] = axis.numbers.get(written, written) if name == "x" else written
            place[f"{name} words"] = written
        value = _value(row, metric)
        if value is None:
            missing.append({**place, "reason": row.get("message") or "no such number"})
        else:
            points.append({**place, "value": value / scale.size, "words": shown(metric, value)})
    return points, missing


def _series(axes: Sequence[Axis]) -> tuple[str, ...]:
    return axes[1].values if len(axes) == 2 else ()


def _lines(
    axes: Sequence[Axis], title: str, points: list[dict[str, Any]], missing: list[dict[str, Any]], said: str
) -> Picture:
    across = axes[0]
    values = [one["value"] for one in points]
    numbers = tuple(sorted(set(across.numbers.values())))
    is_logarithmic = _is_logarithmic(numbers, values)
    some = numbers[:: -(-len(numbers) // MOST_TICKS)]
    ticks = _log_ticks(numbers, some) if is_logarithmic else some
    high = _log_ticks(values, (min(values), max(values))) if is_logarithmic else ()
    second = axes[1].title if len(axes) == 2 else ""
    labels = WITH_PREFIX if title.endswith("/s]") else PLAIN
    made = _line_template((across.key, across.title, is_logarithmic), title, _series(axes), second, ticks, high, labels)
    return Picture(made, {"points": points, "missing": missing}, said, _notes(missing))


def _is_logarithmic(numbers: Sequence[float], values: Sequence[float]) -> bool:
    """Whether both axes are; one alone would draw what is proportional as if it were saturating, or running away."""
    is_wide = is_far_apart(numbers) or is_far_apart(values)
    return is_wide and min(numbers) > 0 and min(values, default=0.0) > 0


def _log_ticks(values: Sequence[float], otherwise: Sequence[float]) -> tuple[float, ...]:
    """Round numbers, or some of the values where they are too near to one another for these."""
    found = log_ticks(min(values), max(values))
    return found if len(found) > 1 else tuple(dict.fromkeys(otherwise))


def _bars(across: Axis, title: str, points: list[dict[str, Any]], missing: list[dict[str, Any]], said: str) -> Picture:
    answers = {one["x words"]: one["words"] for one in points}
    above = [
        {"row": row, "head": f"{answers.get(name, 'no answer')} · {name}"} for row, name in enumerate(across.values)
    ]
    bars = [{**one, "row": across.values.index(one["x words"])} for one in points]
    values = [one["value"] for one in points]
    high = log_ticks(min(values) / 2.0, max(values)) if is_far_apart(values) else ()
    made = _bar_template(len(across.values), across.title, title, high)
    return Picture(made, {"points": bars, "heads": above}, said, _notes(missing))


def _heat_map(
    axes: Sequence[Axis], title: str, points: list[dict[str, Any]], missing: list[dict[str, Any]], said: str
) -> Picture:
    values = [one["value"] for one in points]
    is_logarithmic = is_far_apart(values)
    position = _position(values, is_logarithmic)
    cells: list[Row] = [
        {**one, "label": label(one["value"]), "ink": ink_on(_viridis(position(one["value"])))} for one in points
    ]
    has_text = len(points) + len(missing) <= MOST_CELLS
    made = _heat_template(
        (axes[0].title, axes[0].values), (axes[1].title, axes[1].values), title, is_logarithmic, has_text
    )
    return Picture(made, {"points": cells, "missing": missing}, said, _notes(missing))


def label(value: float) -> str:
    """A number as it stands in a cell, as short as the axes say it.

    Examples
    --------
    >>> label(0.997), label(14.5678), label(794_035.0), label(1_240_000.0)
    ('0.997', '14.6', '794k', '1.24M')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{float(f'{value / size:.3g}'):g}{prefix}"
    return f"{value:.3g}"


def _position(values: Sequence[float], is_logarithmic: bool) -> Any:
    """Where a value lies between the smallest and the largest, from 0 to 1. [-]"""
    bend = math.log if is_logarithmic else float
    low, high = bend(min(values, default=1.0)), bend(max(values, default=1.0))
    return lambda value: (bend(value) - low) / (high - low) if high > low else 0.0


_VIRIDIS = ("#440154", "#3B528B", "#21918C", "#5EC962", "#FDE725")
"""Of the scheme that heat maps have."""


def _viridis(position: float) -> str:
    """About the colour of the scheme, to choose a readable ink on it."""
    return _VIRIDIS[round(position * (len(_VIRIDIS) - 1))]


def _notes(missing: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    if not missing:
        return ()
    reasons = list(dict.fromkeys(str(one["reason"]).split("\n")[0].split(";")[0] for one in missing))
    more = f", and {len(reasons) - 1} other reasons" if len(reasons) > 1 else ""
    return (f"{len(missing):,} points have no answer and are marked with a cross: {reasons[0]}{more}",)


@template
def _line_template(
    across: tuple[str, str, bool],
    title: str,
    series: tuple[str, ...],
    second: str,
    ticks: tuple[float, ...],
    high: tuple[float, ...],
    labels: str,
) -> alt.TopLevelMixin:
    import altair as alt

    key, across_title, is_logarithmic = across
    logarithmic = alt.Scale(type="log", nice=False, padding=12)
    x = alt.X(
        "x:Q",
        title=across_title,
        scale=logarithmic if is_logarithmic else alt.Scale(zero=False, nice=False, padding=12),
        axis=alt.Axis(labelExpr=PLAIN, values=list(ticks)),
    )
    y = alt.Y(
        "value:Q",
        title=title,
        scale=logarithmic if high else alt.Scale(zero=True),
        axis=alt.Axis(labelExpr=labels, values=list(high)) if high else alt.Axis(labelExpr=labels),
    )
    colour = (
        alt.Color(
            "series:N",
            sort=list(series),
            title=second,
            scale=alt.Scale(domain=list(series), range=list(SERIES_COLOURS[: len(series)])),
        )
        if series
        else alt.value(SERIES_COLOURS[0])
    )
    about = [alt.Tooltip("x words:N", title=key), alt.Tooltip("words:N", title=title)]
    if series:
        about.insert(1, alt.Tooltip("series:N", title=second))
    base = alt.Chart(alt.NamedData("points")).encode(x=x, y=y, color=colour)
    crosses = (
        alt.Chart(alt.NamedData("missing"))
        .mark_text(style="quiet", text="×", baseline="bottom", fontSize=16)
        .encode(
            x=x,
            y=alt.value(alt.expr("height")),
            tooltip=[alt.Tooltip("x words:N", title=key), alt.Tooltip("reason:N", title="no answer")],
        )
    )
    return alt.layer(base.mark_line(), base.mark_point().encode(tooltip=about), crosses).properties(
        height=HEIGHT_PX, usermeta={"entry_px": entry_px(series)}
    )


@template
def _bar_template(num_rows: int, across: str, title: str, ticks: tuple[float, ...]) -> alt.TopLevelMixin:
    """Bars, or points on a logarithmic axis, which has no zero for a bar to begin at."""
    import altair as alt

    scale = alt.Scale(type="log", nice=False, padding=12) if ticks else alt.Scale(zero=True)
    axis = alt.Axis(labelExpr=PLAIN, values=list(ticks)) if ticks else alt.Axis(labelExpr=PLAIN)
    data = alt.Chart(alt.NamedData("points"))
    marks = data.mark_point(size=110, opacity=1) if ticks else data.mark_bar()
    drawn = marks.encode(
        x=alt.X("value:Q", title=title, scale=scale, axis=axis),
        y=band(),
        color=alt.value(SERIES_COLOURS[0]),
        tooltip=[alt.Tooltip("x words:N", title=across), alt.Tooltip("words:N", title=title)],
    )
    return alt.layer(drawn, heads()).properties(height=num_rows * STEP_PX)


@template
def _heat_template(
    across: tuple[str, tuple[str, ...]],
    down: tuple[str, tuple[str, ...]],
    title: str,
    is_logarithmic: bool,
    has_text: bool,
) -> alt.TopLevelMixin:
    import altair as alt

    plain: dict[str, Any] = {"domain": False, "ticks": False, "grid": False, "labelLimit": 160}
    angle = -30 if max(map(len, across[1])) > LONG_LABEL else 0
    x = alt.X("x words:O", title=across[0], sort=list(across[1]), axis=alt.Axis(labelAngle=angle, **plain))
    y = alt.Y("series:O", title=down[0], sort=list(down[1]), axis=alt.Axis(**plain))
    cells = alt.Chart(alt.NamedData("points"))
    about = [
        alt.Tooltip("x words:N", title=across[0]),
        alt.Tooltip("series:N", title=down[0]),
    ]
    colour = alt.Color(
        "value:Q",
        title=title,
        scale=alt.Scale(type="log" if is_logarithmic else "linear", scheme="viridis"),
        legend=alt.Legend(labelExpr="format(datum.value, datum.value < 1000 ? '.3~g' : '.3~s')", gradientLength=180),
    )
    drawn = [
        cells.mark_rect().encode(x=x, y=y, color=colour, tooltip=[*about, alt.Tooltip("words:N", title=title)]),
        alt.Chart(alt.NamedData("missing"))
        .mark_text(style="quiet", text="×")
        .encode(x=x, y=y, tooltip=[*about, alt.Tooltip("reason:N", title="no answer")]),
    ]
    if has_text:
        ink = alt.Fill("ink:N", scale=None)
        drawn.append(cells.mark_text(style="label").encode(x=x, y=y, text="label:N", fill=ink))
    return alt.layer(*drawn).properties(height=len(down[1]) * CELL_PX)
