"""`wsesim portfolio`: who runs when, as a table and as a chart, and what that makes of the cluster."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from wsesim.errors import AnswerIsNo, InputError
from wsesim.planning.portfolio import Placement, Portfolio, Schedule, moment_shown, read, seconds_after
from wsesim.report.parts import grid, plain_table, plural, section
from wsesim.units import show

CHART_WIDTH = 56
LONGEST_NAME = 24
RUNS, WAITS, DUE = "█", "░", "┆"


def gather(
    path: Path, policy: str, num_systems: int | None, by: str | None, *, backfill: bool
) -> tuple[Portfolio, Schedule]:
    """Read a portfolio and simulate it; with `by`, on the fewest systems that do until then."""
    portfolio = read(path, num_systems)
    if by is None:
        return portfolio, portfolio.run(policy, backfill=backfill)  # type: ignore[arg-type]
    by_s = seconds_after(by, portfolio.start, "--by")
    if by_s <= 0.0:
        raise InputError(f"--by {by}: that is when the portfolio starts; give it time")
    return portfolio, portfolio.fewest_systems(by_s, policy, backfill=backfill)  # type: ignore[arg-type]


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


def as_dict(portfolio: Portfolio, found: Schedule) -> dict[str, object]:
    """For programs."""
    start = None if portfolio.start is None else portfolio.start.isoformat()
    return {"name": portfolio.name, "cluster": portfolio.cluster, "start": start} | found.to_dict()


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def headline(portfolio: Portfolio, found: Schedule) -> Group:
    """The cluster's side of it."""
    rows = grid()
    fill = "with backfill" if found.backfill else "without backfill"
    rows.add_row("on", f"{plural(found.num_systems, 'system')} of {portfolio.cluster}, {found.policy} {fill}")
    rows.add_row("all done", Text(f"{moment_shown(portfolio.start, found.makespan_s)}", style="bold"))
    rows.add_row("systems in use", f"{found.utilization:.1%} of the time until then")
    rows.add_row("waiting", f"{show(found.mean_wait_s, 's') if found.mean_wait_s else 'nothing'} on average")
    rows.add_row(
        "missed deadlines", f"{len(found.missed)} of {sum(one.deadline_s is not None for one in found.placements)}"
    )
    return Group(Text(portfolio.name, style="bold"), rows)


def jobs(portfolio: Portfolio, found: Schedule) -> Group:
    """Each job in the order of starts."""
    table = plain_table("job", "|systems", "|start", "|end", "|waits", "deadline")
    for one in found.placements:
        table.add_row(
            Text(_short(one.name) + (" *" if one.is_backfilled else "")),
            f"{one.systems:,}",
            moment_shown(portfolio.start, one.start_s),
            moment_shown(portfolio.start, one.end_s),
            show(one.wait_s, "s") if one.wait_s else "",
            _deadline(portfolio, one),
        )
    some = any(one.is_backfilled for one in found.placements)
    note = Text("* went ahead of another job without delaying it", style="dim") if some else Text("")
    return section("Jobs", Group(table, note) if some else table)


def _deadline(portfolio: Portfolio, one: Placement) -> Text:
    if one.deadline_s is None:
        return Text("")
    when = moment_shown(portfolio.start, one.deadline_s)
    return Text(f"{when}, missed by {show(one.late_s, 's')}", style="red") if one.late_s else Text(f"{when}, met")


def chart(found: Schedule) -> Group:
    """A line for each job: waiting, running, and its deadline."""
    table = plain_table("", "")
    column_s = found.makespan_s / CHART_WIDTH
    for one in found.placements:
        line = [" "] * CHART_WIDTH
        first, last = (min(CHART_WIDTH - 1, int(time_s / column_s)) for time_s in (one.earliest_s, one.start_s))
        line[first:last] = WAITS * (last - first)
        end = max(last + 1, min(CHART_WIDTH, round(one.end_s / column_s)))
        line[last:end] = RUNS * (end - last)
        if one.deadline_s is not None and int(one.deadline_s / column_s) < CHART_WIDTH:
            line[int(one.deadline_s / column_s)] = DUE
        table.add_row(Text(_short(one.name)), "".join(line))
    table.show_header = False
    words = f"{RUNS} runs  {WAITS} waits  {DUE} deadline; one sign is {show(column_s, 's')}"
    return section("Chart", Group(table, Text(words, style="dim")))


def print_portfolio(console: Console, portfolio: Portfolio, found: Schedule) -> None:
    """The whole report."""
    for part in (headline(portfolio, found), jobs(portfolio, found), chart(found)):
        console.print(part)
