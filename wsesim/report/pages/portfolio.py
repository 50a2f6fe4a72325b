"""Jobs that share a cluster: who runs when, as a table and as a chart, and what that makes of the cluster."""

from __future__ import annotations

from dataclasses import replace

from wsesim.errors import AnswerIsNo
from wsesim.job import paying, show_range
from wsesim.machines.machine import machine_of
from wsesim.report.charts.planning import gantt
from wsesim.study.job_queue import Placement, Schedule, late_words
from wsesim.study.moments import moment_shown
from wsesim.study.portfolio import Portfolio
from wsesim.study.shared_cluster import SharedCluster
from wsesim.units import show
from wsesim.view import Alarm, Cell, Fact, Facts, Figure, Note, Section, Table, notes, plural

LEAST_CHART, MOST_CHART = 24, 72
LONGEST_NAME = 24
SIGNS, PLAIN_SIGNS = ("█", "░", "┆"), ("#", "-", "|")
"""Runs, waits, deadline."""


def check(shared: SharedCluster) -> None:
    """Refuse a schedule that misses deadlines, or the time that was asked for.

    Raises
    ------
    AnswerIsNo
        With what misses, and by how much.
    """
    if shared.search is not None and not shared.search.is_enough:
        raise AnswerIsNo(shared.portfolio.why_not(shared.search))
    if shared.schedule.missed:
        word = shared.portfolio.device
        raise AnswerIsNo(f"{_missed(shared.schedule)}; try another --policy, or more {word}s (--systems)")


def _missed(found: Schedule) -> str:
    late = ", ".join(f"{one.name} by {show(one.late_s, 's')}" for one in found.missed)
    return f"{plural(len(found.missed), 'deadline')} missed: {late}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def answer_words(shared: SharedCluster) -> str:
    """The answer in a sentence.

    With the fewest systems: that they are enough, and what fewer would miss. Else whether all deadlines are kept.
    """
    portfolio, found, fewer = shared.portfolio, shared.schedule, shared.one_fewer
    on = portfolio.counted(found.num_systems)
    if shared.search is None:
        with_deadline = sum(one.deadline_s is not None for one in found.placements)
        kept = (
            f"{with_deadline} of {plural(with_deadline, 'deadline')} kept" if with_deadline else "no job has a deadline"
        )
        verdict = _missed(found) if found.missed else kept
        return f"{verdict}; all is done {_when(portfolio, found.makespan_s)} on {on}"
    if not shared.search.is_enough:
        return portfolio.why_not(shared.search)
    by = f"to be done {_when(portfolio, shared.by_s, 'within')}"
    if fewer is None:
        return f"{on} are enough {by}; no fewer hold every job"
    late = late_words(fewer, shared.by_s) or "all would be done in time, too, but fewer in turn are not enough"
    return f"{on} are enough {by}; with {fewer.num_systems:,}, {late}"


def _when(portfolio: Portfolio, after_s: float, word: str = "after") -> str:
    moment = moment_shown(portfolio.start, after_s)
    return f"{word} {moment}" if portfolio.start is None else f"by {moment}"


def binding_words(shared: SharedCluster) -> str:
    """What decides when all is done: the last job, and those that it waited for."""
    chain, last = shared.schedule.chain, shared.schedule.last
    if len(chain) == 1:
        waited = "at its earliest start" if last.earliest_s else "at once"
        return f"{last.name}: it starts {waited}, and takes {show(last.end_s - last.start_s, 's')}"
    return f"{last.name}: it waits {show(last.wait_s, 's')} for {' after '.join(one.name for one in chain[-2::-1])}"


def fewer_words(shared: SharedCluster) -> str:
    """What one system fewer, or one node of GPUs, would cost."""
    portfolio, found, fewer = shared.portfolio, shared.schedule, shared.one_fewer
    if fewer is None:
        return f"is not possible: a job needs {max(min(task.duration_s) for task in portfolio.tasks):,}"
    change_s = fewer.makespan_s - found.makespan_s
    sooner = "later" if change_s > 0.0 else "sooner"
    moved = f"all done {show(abs(change_s), 's')} {sooner}" if change_s else "all done as soon"
    late = late_words(fewer, shared.by_s)
    now, then = portfolio.cost_usd(found), portfolio.cost_usd(fewer)
    money = ""
    if now is not None and then is not None:
        saved = now.value - then.value
        money = f"; {'saves' if saved >= 0.0 else 'costs'} {show(abs(saved), 'USD')}"
    return f"with {fewer.num_systems:,}: {moved}{f'; {late}' if late else ''}{money}"


def headline(shared: SharedCluster) -> list[Fact]:
    """The cluster's side of it."""
    portfolio, found = shared.portfolio, shared.schedule
    fill = "with backfill" if found.backfill else "without backfill"
    with_deadline = sum(one.deadline_s is not None for one in found.placements)
    cost, unit = portfolio.cost_usd(found), machine_of(portfolio.shared).words.unit
    until = f"of all {found.num_systems:,} until then, {paying(portfolio.shared)}"
    price = [] if cost is None else [Fact("cost", f"{show_range(cost, 'USD')} {until}")]
    return [
        Fact("on", f"{portfolio.counted(found.num_systems)}, {found.policy} {fill}"),
        Fact("all done", moment_shown(portfolio.start, found.makespan_s), is_key=True),
        Fact("missed deadlines", f"{len(found.missed)} of {with_deadline}"),
        Fact("what binds", binding_words(shared)),
        Fact(f"one {unit} fewer", fewer_words(shared)),
        Fact(f"{portfolio.device}s in use", f"{found.utilization:.1%} of the time until then"),
        Fact("waiting", f"{show(found.mean_wait_s, 's') if found.mean_wait_s else 'nothing'} on average"),
        *price,
    ]


def jobs(portfolio: Portfolio, found: Schedule) -> Section:
    """Each job in the order of starts; a star after those that went ahead of others."""
    rows = tuple(
        (
            _short(one.name) + (" *" if one.is_backfilled else ""),
            f"{one.systems:,}",
            moment_shown(portfolio.start, one.start_s),
            moment_shown(portfolio.start, one.end_s),
            show(one.wait_s, "s") if one.wait_s else "",
            "" if one.steps is None else one.steps.software,
            _deadline(portfolio, one),
        )
        for one in found.placements
    )
    heads = ("job", f"|{portfolio.device}s", "|start", "|end", "|waits", "software", "~deadline")
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


def sections(shared: SharedCluster) -> list[Section]:
    """Who runs when: the answer, a picture where there is room for one, the jobs."""
    portfolio, found = shared.portfolio, shared.schedule
    said = answer_words(shared)
    answer = Note(f"{said[:1].upper()}{said[1:]}.", "" if shared.is_met else "no")
    head = (Note(portfolio.name, "key"), answer, Facts(tuple(headline(shared))))
    table = jobs(portfolio, found)
    figure = Figure("gantt", "Jobs over time", gantt(portfolio, found))
    return [Section("portfolio", parts=head), replace(table, parts=(figure, *table.parts))]
