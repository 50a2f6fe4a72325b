"""Errors of predictions as strips, one for each set: hollow where the row was fitted, solid where it was left out of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from wsesim.machines.machine import devices
from wsesim.report.charts.render import Picture, Row, entry_px, template
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.units import add_up
from wsesim.validate.near import Comparison

if TYPE_CHECKING:
    import altair as alt

BAND = 0.1
"""Half the width of the band. [-]"""
EDGE = 0.5
"""Errors beyond are drawn at it; their tooltip has the number. [-]"""
STEP_PX = 44
LETTER_PX = 6.4
"""Room for a letter of a set's name, also in fonts that are wider than the one the picture is laid out with."""
GOLDEN = 0.618034
"""Multiples of it, without their whole part, are spread evenly, and are the same each time. [-]"""
FITTED, LEFT_OUT, UNEXPLAINED = "fitted, proves nothing", "left out of the fit", "in no fit, not explained"
MARKS = (LEFT_OUT, FITTED, UNEXPLAINED)
COLOURS = (SERIES_COLOURS[0], SERIES_COLOURS[0], SERIES_COLOURS[7])
FILLS = (SERIES_COLOURS[0], "transparent", SERIES_COLOURS[7])
SHAPES = ("circle", "circle", "cross")


def chart(comparisons: Sequence[Comparison]) -> Picture:
    """Draw errors of the predicted throughput, a strip for each set."""
    points = rows(comparisons)
    medians = _medians(points)
    sets = tuple(dict.fromkeys(str(row["set"]) for row in points))
    marks = tuple(mark for mark in MARKS if any(row["mark"] == mark for row in points))
    datasets: dict[str, list[Row]] = {
        "points": points,
        "medians": [{"set": name, "error": error} for name, error in medians.items()],
        "band": [{"low": -BAND, "high": BAND, "none": 0.0}],
    }
    proving = [abs(float(row["exact"])) for row in points if row["mark"] == LEFT_OUT]
    mean = f", mean absolute error {add_up(proving) / len(proving):.1%}, worst {max(proving):.1%}" if proving else ""
    each = "; median of each set: " + ", ".join(f"{name} {error:+.1%}" for name, error in medians.items())
    said = f"Errors of predicted throughputs, {len(comparisons)} published measurements: {len(proving)} left out of the fit{mean}"
    return Picture(_template(sets, marks), datasets, said + (each if medians else ""))


def rows(comparisons: Sequence[Comparison]) -> list[Row]:
    """A row for each mark; a measurement that was fitted and left out once has two."""
    found: list[Row] = []
    for one in comparisons:
        told = [(FITTED, one.error)] if one.is_fitted else []
        if one.left_out_error is not None:
            told.append((LEFT_OUT, one.left_out_error))
        if not told:
            told = [(UNEXPLAINED if one.use in ("unexplained", "shown") else LEFT_OUT, one.error)]
        found += [_row(one, mark, error) for mark, error in told]
    ordered = sorted(found, key=lambda row: (str(row["set"]), MARKS.index(str(row["mark"]))))
    return [{**row, "place": number * GOLDEN % 1.0} for number, row in enumerate(ordered)]


def _row(one: Comparison, mark: str, error: float) -> Row:
    return {
        "set": one.set,
        "mark": mark,
        "error": min(max(error, -EDGE), EDGE),
        "exact": error,
        "shown": f"{error:+.1%}",
        "what": f"{one.model} on {devices(one.num_devices, one.device, '')}",
        "id": one.id,
        "source": one.source,
        "differs": "; ".join(one.differs) or "nothing",
    }


def _medians(points: Sequence[Row]) -> dict[str, float]:
    """Of what was left out of the fit, by set."""
    proving = [row for row in points if row["mark"] == LEFT_OUT]
    return {
        str(name): median(float(row["error"]) for row in group)
        for name, group in groupby(proving, key=lambda row: row["set"])
    }


@template
def _template(sets: tuple[str, ...], marks: tuple[str, ...]) -> alt.TopLevelMixin:
    import altair as alt

    title = "predicted over measured rate, less 1 [%]"
    x = alt.X("error:Q", title=title, axis=alt.Axis(format="+.0%"))
    y = alt.Y("set:N", sort=list(sets), title=None, axis=alt.Axis(minExtent=LETTER_PX * max(map(len, sets), default=0)))
    band = alt.Chart(alt.NamedData("band"))
    own = [MARKS.index(mark) for mark in marks]
    scales = [alt.Scale(domain=list(marks), range=[some[place] for place in own]) for some in (COLOURS, FILLS, SHAPES)]
    points = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(size=34, opacity=0.8, strokeWidth=1.2)
        .encode(
            x=x,
            y=y,
            yOffset=alt.YOffset("place:Q", scale=alt.Scale(domain=[-0.4, 1.4])),
            stroke=alt.Stroke("mark:N", scale=scales[0], title=None),
            fill=alt.Fill("mark:N", scale=scales[1], title=None),
            shape=alt.Shape("mark:N", scale=scales[2], title=None),
            tooltip=[
                alt.Tooltip("what:N", title="measured"),
                alt.Tooltip("shown:N", title="error"),
                alt.Tooltip("mark:N", title="was"),
                alt.Tooltip("differs:N", title="this run has"),
                alt.Tooltip("set:N", title="set"),
                alt.Tooltip("id:N", title="row"),
                alt.Tooltip("source:N", title="source"),
            ],
        )
    )
    medians = alt.Chart(alt.NamedData("medians")).mark_tick(size=34, thickness=3, color=SERIES_COLOURS[1])
    return alt.layer(
        band.mark_rect(style="band").encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        band.mark_rule(style="ideal").encode(x=alt.X("none:Q", title=title)),
        points,
        medians.encode(x=x, y=y),
    ).properties(height=STEP_PX * max(len(sets), 1), usermeta={"entry_px": entry_px(marks)})
