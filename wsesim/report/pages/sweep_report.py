"""The report of a sweep: the best points first, then pictures with what varies as axes, then all points."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from wsesim.errors import WsesimError
from wsesim.machines.simulation import simulate_fast
from wsesim.report.charts import sweep
from wsesim.report.charts.render import Picture
from wsesim.report.html import Made, document
from wsesim.report.pages.sweep import (
    METRICS,
    Metric,
    SweepStudy,
    job_of_first,
    metric_of,
    settings_words,
    short_names,
    shown,
    value_words,
)
from wsesim.study.sweep import SweepResult
from wsesim.view import Answer, Fact, Figure, Section, Table, Tile

MOST_ROWS = 1000
"""Points that the table holds; the file of the sweep has all. [-]"""
MOST_REASONS = 20
MOST_TILES = 6
MOST_VALUES = 8
"""Values of a key that are all named. [-]"""


def sweep_report(study: SweepStudy, command: str) -> str:
    """The report of a sweep as one HTML file."""
    parts = [_pictures(study), _best(study), _points(study)]
    if study.reasons():
        parts.append(_without(study))
    names = " and ".join(short_names(study.varied).values()) or study.name
    return document(f"Sweep over {names}", parts, Made(command), answers=[_answer(study)], lead=())


def picture(study: SweepStudy, metric: Metric) -> Picture:
    """A metric over one or two keys."""
    return sweep.chart(study.drawn, study.axes, metric.key)


def _answer(study: SweepStudy) -> Answer:
    first = study.metrics[0]
    tiles = [
        Tile(f"best {one.words}", shown(one.key, best[one.key]), settings_words(best, study.varied))
        for one in study.wishes[:MOST_TILES]
        for best in [study.best(one)]
    ]
    best = study.best(first)
    most = "least" if first.is_more_better is False else "most"
    words = f"The {most} {first.words}, {shown(first.key, best[first.key])}, is at {settings_words(best, study.varied)}"
    points = f"{len(study.points):,} points, {len(study.answered):,} with an answer"
    names = short_names(study.varied)
    facts = [Fact("points", points), *(Fact(name, _values(study, key)) for key, name in names.items())]
    facts += [
        *(Fact("job of the first point", text) for text in job_of_first(study.points)),
        *_answered_by(study.points),
    ]
    return Answer("", tuple(tiles), words, tuple(facts), study.notes)


def _answered_by(points: SweepResult) -> list[Fact]:
    """Version, and the calibration of the first point where it is known; a table tells neither."""
    if not points.version:
        return []
    told = f"wsesim {points.version}"
    with suppress(WsesimError):
        fitted = simulate_fast(points.first).calibration_id if points.first is not None else ""
        told += f", calibration of the first point {fitted}" if fitted else ""
    return [Fact("answered by", told)]


def _values(study: SweepStudy, key: str) -> str:
    """Few values one by one, many numbers from the first to the last."""
    values = list(dict.fromkeys(value_words(key, row[key]) for row in study.points))
    if len(values) <= MOST_VALUES:
        return ", ".join(values)
    return f"{len(values):,} values, {values[0]} to {values[-1]}"


def _pictures(study: SweepStudy) -> Section:
    lead = f"Over {' and '.join(study.axes)}."
    if study.held:
        lead += f" Other keys are held where the best point has them: {settings_words(study.held, tuple(study.held))}."
    figures = []
    for place, one in enumerate(study.metrics):
        drawn = picture(study, one)
        said_once = replace(drawn, notes=()) if place else drawn  # all say the same
        title = f"{one.words[:1].upper()}{one.words[1:]}"
        figures.append(Figure(f"sweep-{one.key}", title, said_once, (_table(study, one),)))
    return Section("pictures", "How it varies", tuple(figures), lead)


def _table(study: SweepStudy, metric: Metric) -> Table:
    rows = [
        (*(value_words(key, row[key]) for key in study.axes), shown(metric.key, row.get(metric.key)))
        for row in study.drawn
    ]
    return Table(f"{metric.words} over {' and '.join(study.axes)}", (*study.axes, f"|{metric.words}"), tuple(rows))


def _best(study: SweepStudy) -> Section:
    keys = [one.key for one in study.wishes]
    rows = [
        (
            f"{'most' if one.is_more_better else 'least'} {one.words}",
            settings_words(best, study.varied),
            *(shown(key, best.get(key)) for key in keys),
        )
        for one in study.wishes
        for best in [study.best(one)]
    ]
    heads = ("wanted", "settings", *(f"|{one.words}" for one in study.wishes))
    return Section("best", "Best points", (Table("The best point for each wish", heads, tuple(rows)),))


def _points(study: SweepStudy) -> Section:
    keys = [key for key in METRICS if key in study.columns]
    rows = [
        (*(value_words(key, row[key]) for key in study.points.keys), *(shown(key, row.get(key)) for key in keys))
        for row in study.answered[:MOST_ROWS]
    ]
    heads = (*study.points.keys, *(f"|{metric_of(key).words}" for key in keys))
    count = len(study.answered)
    cut = f"The first {MOST_ROWS:,} of {count:,} points; the table of the sweep has all." if count > MOST_ROWS else ""
    return Section("points", "All points", (Table("Points with an answer", heads, tuple(rows)),), cut)


def _without(study: SweepStudy) -> Section:
    reasons = study.reasons()
    rows = [(reason, f"{count:,}") for reason, count in reasons[:MOST_REASONS]]
    cut = f"The most frequent {MOST_REASONS} of {len(reasons):,} reasons." if len(reasons) > MOST_REASONS else ""
    table = Table("Why points have no answer", ("reason", "|points"), tuple(rows))
    return Section("without", "Without an answer", (table,), cut)
