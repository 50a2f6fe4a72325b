"""Pictures of plans: jobs over time on a shared cluster, time against cost of what meets a goal, how long lives of a job are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wsesim.report.charts.render import Picture, Row, entry_px, template
from wsesim.report.charts.theme import (
    PLAIN,
    SERIES_COLOURS,
    STEP_PX,
    Scale,
    band,
    heads,
    is_far_apart,
    log_ticks,
    scale_of,
)
from wsesim.results.job import whole_time
from wsesim.study.portfolio import moment_shown
from wsesim.units import show

if TYPE_CHECKING:
    import altair as alt

    from wsesim.study.goals import Option
    from wsesim.study.lifetime import Lifetime
    from wsesim.study.portfolio import Portfolio, Schedule

HEIGHT_PX = 280
BINS = 24
"""Of a histogram of lives. [-]"""
PERCENTILES = {
    "mean": "mean",
    "p5": "5th percentile",
    "p25": "25th percentile",
    "p50": "50th percentile",
    "p75": "75th percentile",
    "p95": "95th percentile",
}
DRAWN = {key: name for key, name in PERCENTILES.items() if key not in ("p25", "p75")}
"""In the picture of lives, as lines."""
KINDS = ("runs", "waits", "runs past its deadline")
KIND_COLOURS = (SERIES_COLOURS[0], SERIES_COLOURS[7], SERIES_COLOURS[1])


def gantt(portfolio: Portfolio, found: Schedule) -> Picture:
    """A row for each job: when it waits, when it runs, and its deadline."""
    last_s = max([found.makespan_s, *(one.deadline_s or 0.0 for one in found.placements)])
    scale = scale_of(last_s, "s")
    spans: list[Row] = []
    above: list[Row] = []
    due: list[Row] = []
    for row, one in enumerate(found.placements):
        words = f"{one.systems:,} {portfolio.device}{'s' * (one.systems != 1)}"
        ends = {"from": moment_shown(portfolio.start, one.start_s), "to": moment_shown(portfolio.start, one.end_s)}
        about = {"row": row, "job": one.name, "on": words, **ends}
        parts = [
            ("waits", one.earliest_s, one.start_s),
            ("runs", one.start_s, one.end_s - one.late_s if one.late_s < one.end_s - one.start_s else one.start_s),
            ("runs past its deadline", max(one.start_s, one.end_s - one.late_s), one.end_s),
        ]
        spans += [
            about | {"kind": kind, "start": start_s / scale.size, "end": end_s / scale.size}
            for kind, start_s, end_s in parts
            if end_s > start_s
        ]
        late = f", misses its deadline by {show(one.late_s, 's')}" if one.late_s else ""
        above.append({"row": row, "head": f"{one.name} · {words}{late}"})
        if one.deadline_s is not None:
            due.append(
                about | {"due": one.deadline_s / scale.size, "deadline": moment_shown(portfolio.start, one.deadline_s)}
            )
    said = f"{len(found.placements)} jobs on {portfolio.counted(found.num_systems)}, done after {show(found.makespan_s, 's')}"
    missed = [f"{one.name} {show(one.late_s, 's')} late" for one in found.missed]
    datasets = {"spans": spans, "heads": above, "due": due}
    return Picture(_gantt(len(above), scale.title("time from the start")), datasets, ", ".join([said, *missed]))


@template
def _gantt(num_rows: int, title: str) -> alt.TopLevelMixin:
    import altair as alt

    about = [alt.Tooltip(f"{name}:N", title=name) for name in ("job", "kind", "on", "from", "to")]
    colour = alt.Color(
        "kind:N",
        title=None,
        sort=list(KINDS),
        scale=alt.Scale(domain=list(KINDS), range=list(KIND_COLOURS)),
    )
    spans = (
        alt.Chart(alt.NamedData("spans"))
        .mark_bar()
        .encode(
            x=alt.X("start:Q", title=title, axis=alt.Axis(labelExpr=PLAIN)),
            x2="end:Q",
            y=band(),
            color=colour,
            tooltip=about,
        )
    )
    due = (
        alt.Chart(alt.NamedData("due"))
        .mark_tick(style="range", thickness=2, size=26)
        .encode(x="due:Q", y=band(), tooltip=[alt.Tooltip("job:N"), alt.Tooltip("deadline:N", title="deadline")])
    )
    return alt.layer(spans, due, heads()).properties(height=num_rows * STEP_PX, usermeta={"entry_px": entry_px(KINDS)})


def _value(option: Option, of_cost: bool) -> float:
    if of_cost and option.cost_usd is not None:
        return option.cost_usd.value
    return option.energy_j.value


def choices(options: Sequence[Option], front: Sequence[Option], where: dict[str, str]) -> Picture:
    """Time against cost of all that was tried, or against energy where nothing has a price; those that nothing beats are marked."""
    of_cost = any(one.cost_usd is not None for one in options)
    drawn = [one for one in options if one.cost_usd is not None or not of_cost]
    values = [_value(one, of_cost) for one in drawn]
    across = scale_of(max((one.time_s.value for one in drawn), default=1.0), "s")
    up = scale_of(max(values, default=1.0), "USD" if of_cost else "J")
    points = [_point(one, value, across, up, where) for one, value in zip(drawn, values, strict=True)]
    best = [_point(one, _value(one, of_cost), across, up, where) for one in front if one in drawn]
    series = tuple(dict.fromkeys(one["series"] for one in points))
    what = "cost" if of_cost else "energy"
    time = whole_time(one.run for one in options)
    axes = (across.title(time), up.title(what))
    ticks = tuple(_ticks([one[key] for one in points]) for key in ("x", "y"))
    left_out = len(options) - len(drawn)
    told = (f"{left_out} choices without a price are left out",) if left_out else ()
    beaten = f"{len(best)} of them nothing beats in time, cost and energy"
    said = f"{time.capitalize()} against {what} of {len(points)} choices; {beaten}"
    return Picture(_choices(series, axes, ticks), {"points": points, "front": best}, said, told)


def _point(option: Option, value: float, across: Scale, up: Scale, where: dict[str, str]) -> dict[str, Any]:
    cost = "no price" if option.cost_usd is None else show(option.cost_usd.value, "USD")
    return {
        "series": where[option.cluster],
        "x": option.time_s.value / across.size,
        "y": value / up.size,
        "devices": f"{option.num_devices:,}",
        "time": show(option.time_s.value, "s"),
        "cost": cost,
        "meets": "meets the goal" if option.meets else f"misses the {' and the '.join(option.fails)}",
        "faint": 1.0 if option.meets else 0.35,
    }


def _ticks(values: Sequence[float]) -> tuple[float, ...]:
    return log_ticks(min(values), max(values)) if is_far_apart(values) else ()


@template
def _choices(series: tuple[str, ...], axes: tuple[str, str], ticks: tuple[tuple[float, ...], ...]) -> alt.TopLevelMixin:
    import altair as alt

    def axis(name: str, title: str, own: tuple[float, ...]) -> Any:
        scale = alt.Scale(type="log", nice=False, padding=12) if own else alt.Scale(zero=False, padding=12)
        labels = alt.Axis(labelExpr=PLAIN, values=list(own)) if own else alt.Axis(labelExpr=PLAIN)
        return (alt.X if name == "x" else alt.Y)(f"{name}:Q", title=title, scale=scale, axis=labels)

    x, y = axis("x", axes[0], ticks[0]), axis("y", axes[1], ticks[1])
    colours = [SERIES_COLOURS[place % len(SERIES_COLOURS)] for place in range(len(series))]
    colour = alt.Color("series:N", title=None, sort=list(series), scale=alt.Scale(domain=list(series), range=colours))
    about = [alt.Tooltip(f"{name}:N", title=name) for name in ("devices", "series", "time", "cost", "meets")]
    opacity = alt.Opacity("faint:Q", scale=None)
    points = alt.Chart(alt.NamedData("points"))
    front = alt.Chart(alt.NamedData("front"))
    return alt.layer(
        front.mark_line(style="ideal").encode(x=x, y=y),
        points.mark_circle(size=55).encode(x=x, y=y, color=colour, opacity=opacity, tooltip=about),
        front.mark_point(style="own").encode(x=x, y=y, tooltip=about),
    ).properties(height=HEIGHT_PX, usermeta={"entry_px": entry_px(series)})


def lives(life: Lifetime) -> Picture:
    """How many lives of a job take how long, with their mean and percentiles."""
    times, calendar_s = life.samples["calendar_s"], life.calendar_s
    scale = scale_of(max(times), "s")
    low, high = min(times), max(times)
    width = (high - low) / BINS or low * 1e-3
    counts = [0] * BINS
    for one in times:
        counts[min(BINS - 1, int((one - low) / width))] += 1
    bars: list[Row] = [
        {
            "from": (low + place * width) / scale.size,
            "to": (low + (place + 1) * width) / scale.size,
            "count": count,
            "words": f"{show(low + place * width, 's')} to {show(low + (place + 1) * width, 's')}",
        }
        for place, count in enumerate(counts)
        if count
    ]
    marks: list[Row] = [
        {"name": name, "at": calendar_s[key] / scale.size, "words": show(calendar_s[key], "s")}
        for key, name in DRAWN.items()
    ]
    said = ", ".join(f"{one['name']} {one['words']}" for one in marks)
    told = f"Calendar time of {len(times):,} simulated lives of {life.run.name}: {said}"
    series = tuple(DRAWN.values())
    return Picture(_lives(scale.title("calendar time"), series), {"bars": bars, "marks": marks}, told)


@template
def _lives(title: str, series: tuple[str, ...]) -> alt.TopLevelMixin:
    import altair as alt

    x = alt.X("from:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(labelExpr=PLAIN))
    bars = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar(color=SERIES_COLOURS[0])
        .encode(
            x=x,
            x2="to:Q",
            y=alt.Y("count:Q", title="simulated lives [-]"),
            y2=alt.datum(0),
            tooltip=[alt.Tooltip("words:N", title="calendar time"), alt.Tooltip("count:Q", title="lives")],
        )
    )
    colours = ["#D55E00", "#857F93", "#009E73", "#CC79A7"]
    colour = alt.Color("name:N", title=None, sort=list(series), scale=alt.Scale(domain=list(series), range=colours))
    marks = (
        alt.Chart(alt.NamedData("marks"))
        .mark_rule(strokeWidth=2)
        .encode(x="at:Q", color=colour, tooltip=[alt.Tooltip("name:N"), alt.Tooltip("words:N", title="after")])
    )
    return alt.layer(bars, marks).properties(height=HEIGHT_PX, usermeta={"entry_px": entry_px(series)})
