"""Jobs that share a cluster: who runs when, as a table and as a chart, and what that makes of the cluster."""

from __future__ import annotations

from wsesim.errors import AnswerIsNo
from wsesim.study.job_queue import Placement, Schedule
from wsesim.study.moments import moment_shown
from wsesim.study.portfolio import Portfolio
from wsesim.units import show
from wsesim.view import Alarm, Cell, Fact, Facts, Note, Section, Table, notes, plural

LEAST_CHART, MOST_CHART = 24, 72
LONGEST_NAME = 24
SIGNS, PLAIN_SIGNS = ("█", "░", "┆"), ("#", "-", "|")
"""Runs, waits, deadline."""


def check(found: Schedule) -> None:
    """Refuse a schedule that misses deadlines.

    Raises
    ------
    AnswerIsNo
        With what misses, and by how much.
    """
    if found.missed:
        late = ", ".join(f"{one.name} by {show(one.late_s, 's')}" for one in found.missed)
        raise AnswerIsNo(
            f"{plural(len(found.missed), 'deadline')} missed: {late}; try another --policy, or more --systems"
        )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def headline(portfolio: Portfolio, found: Schedule) -> list[Fact]:
    """The cluster's side of it."""
    fill = "with backfill" if found.backfill else "without backfill"
    with_deadline = sum(one.deadline_s is not None for one in found.placements)
    return [
        Fact("on", f"{plural(found.num_systems, portfolio.device)} of {portfolio.cluster}, {found.policy} {fill}"),
        Fact("all done", moment_shown(portfolio.start, found.makespan_s), is_key=True),
        Fact("systems in use", f"{found.utilization:.1%} of the time until then"),
        Fact("waiting", f"{show(found.mean_wait_s, 's') if found.mean_wait_s else 'nothing'} on average"),
        Fact("missed deadlines", f"{len(found.missed)} of {with_deadline}"),
    ]


def jobs(portfolio: Portfolio, found: Schedule) -> Section:
    """Each job in the order of starts; a star after those that went ahead of others."""
    rows = tuple(
        (
            _short(one.name + (" *" if one.is_backfilled else "")),
            f"{one.systems:,}",
            moment_shown(portfolio.start, one.start_s),
            moment_shown(portfolio.start, one.end_s),
            show(one.wait_s, "s") if one.wait_s else "",
            _deadline(portfolio, one),
        )
        for one in found.placements
    )
    heads = ("job", "|systems", "|start", "|end", "|waits", "~deadline")
    table = Table("Jobs in the order of their starts", heads, rows)
    return Section("jobs", "Jobs", (table, *notes([star_words(found)] if star_words(found) else [], "aside")))


def star_words(found: Schedule) -> str:
    """What a star means, where there is one."""
    some = any(one.is_backfilled for one in found.placements)
    return "* went ahead of another job without delaying it" if some else ""


def _deadline(portfolio: Portfolio, one: Placement) -> Cell:
    if one.deadline_s is None:
        return ""
    when = moment_shown(portfolio.start, one.deadline_s)
    return Alarm(f"{when}, missed by {show(one.late_s, 's')}") if one.late_s else f"{when}, met"


def chart(found: Schedule, room: int, *, ascii_only: bool = False) -> Section:
    """A line of letters for each job: waiting, running, and its deadline."""
    rows = []
    names = max(len(_short(one.name)) for one in found.placements)
    width = max(LEAST_CHART, min(MOST_CHART, room - names - 2))
    runs, waits, due = PLAIN_SIGNS if ascii_only else SIGNS
    column_s = found.makespan_s / width
    for one in found.placements:
        line = [" "] * width
        first, last = (min(width - 1, int(time_s / column_s)) for time_s in (one.earliest_s, one.start_s))
        line[first:last] = waits * (last - first)
        end = max(last + 1, min(width, round(one.end_s / column_s)))
        line[last:end] = runs * (end - last)
        if one.deadline_s is not None and int(one.deadline_s / column_s) < width:
            line[int(one.deadline_s / column_s)] = due
        rows.append((_short(one.name), "".join(line)))
    words = f"{runs} runs  {waits} waits  {due} deadline; one sign is {show(column_s, 's')}"
    return Section("chart", "Chart", (Table("Jobs over time", ("", ""), tuple(rows)), Note(words, "aside")))


def sections(portfolio: Portfolio, found: Schedule) -> list[Section]:
    """Who runs when."""
    head = (Note(portfolio.name, "key"), Facts(tuple(headline(portfolio, found))))
    return [Section("portfolio", parts=head), jobs(portfolio, found)]
