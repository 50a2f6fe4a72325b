"""What notebooks show of sweeps, goals, lifetimes and portfolios; the words are those of the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wsesim.report.html.content import Bar, Block, DataTable, Sheet
from wsesim.report.pages import goals, lifetime, portfolio
from wsesim.report.pages.sweep import reasons
from wsesim.report.pages.sweep_study import FIRST, metric_of, shown
from wsesim.study.goals import Answer
from wsesim.study.life import CAUSES
from wsesim.study.lifetime import Lifetime
from wsesim.study.options import Option
from wsesim.study.shared_cluster import SharedCluster
from wsesim.study.sweep import SweepResult
from wsesim.units import show
from wsesim.view import Fact, plural

MOST_ROWS = 20
"""Points of a sweep that are shown. [-]"""


def of_sweep(result: SweepResult) -> Sheet:
    """The first points, and what became of all."""
    without = [row["message"] for row in result if row["status"] != "ok"]
    facts = [Fact("points", f"{len(result):,}, {result.count('ok'):,} with an answer")]
    facts += [Fact("without", text) for text in reasons(without)]
    told = [key for key in FIRST if any(row.get(key) is not None for row in result)]
    rows = [
        (*(str(row[key]) for key in result.keys), *(shown(key, row.get(key)) for key in told))
        for row in result.rows[:MOST_ROWS]
    ]
    left = len(result) - len(rows)
    caption = f"The first {len(rows)} points; to_pandas() has all" if left else "All points"
    heads = (*result.keys, *(metric_of(key).words for key in told))
    return Sheet("Sweep", facts=tuple(facts), tables=(_table(caption, heads, rows, len(result.keys)),))


def of_lifetime(life: Lifetime) -> Sheet:
    """When it ends, what the time went on, how often to checkpoint."""
    total_s = life.calendar_s["mean"]
    bars = [
        Bar(cause, show(spent_s, "s"), spent_s / total_s, lifetime.COLOUR, CAUSES[cause])
        for cause, spent_s in life.spent_s.items()
        if spent_s > 0.0
    ]
    heads = [head.removeprefix("|") for head in lifetime.INTERVAL_HEADS]
    return Sheet(
        f"{life.run.name}: its whole life",
        facts=tuple(lifetime.headline(life)),
        blocks=(
            Block(bars=tuple(bars), caption="Where the time goes, on average"),
            Block("Failures", facts=tuple(lifetime.failures(life))),
            Block("Energy and cost", facts=tuple(lifetime.money(life))),
        ),
        tables=(_table("Checkpoints", heads, lifetime.interval_rows(life), 1),),
        notes=(lifetime.checkpoint_words(life), f"{plural(len(life.replications), 'replication')}, seed {life.seed}"),
    )


def of_goal(result: Answer) -> Sheet:
    """What meets a goal, or what would have to give."""
    recipe = goals.RECIPE if result.goal.has_recipe else ()
    named = [
        ("fastest", result.fastest),
        ("cheapest", result.cheapest),
        *(("smallest", one) for one in result.smallest),
    ]
    choices = [(words, *_cells(one)) for words, one in named if one is not None]
    front = [_cells(one) for one in goals.spread(result.front)]
    title = f"{result.goal.name}: {goals.limits_text(result.goal)}"
    unmet = () if result.is_met else (Fact("answer", "nothing that may be used meets it", is_key=True),)
    tables = [
        _table("Choices", ("", *goals.COLUMNS, *recipe), choices, 2),
        _table(
            f"None better in time, cost and energy: {len(front)} of {len(result.front)}",
            (*goals.COLUMNS, *recipe),
            front,
            1,
        ),
    ]
    return Sheet(
        title,
        facts=(Fact("trained", goals.trained_text(result)), *unmet),
        tables=tuple(table for table in tables if table.rows),
        notes=(*goals.said(result), *goals.doubts(result), *goals.refused(result), *goals.basis(result)),
    )


def _cells(option: Option) -> tuple[str, ...]:
    return (*goals.cells(option), *goals.recipe_cells(option))


def of_shared_cluster(shared: SharedCluster) -> Sheet:
    """Who runs when."""
    found = shared.schedule
    heads = [head.lstrip("|~") for head in portfolio.JOB_HEADS]
    rows = portfolio.job_rows(shared.portfolio, found)
    star = portfolio.star_words(found)
    return Sheet(
        shared.portfolio.name,
        facts=tuple(portfolio.headline(shared.portfolio, found)),
        tables=(DataTable("Jobs in the order of their starts", tuple(heads), tuple(rows), frozenset({1, 2, 3, 4})),),
        notes=(star,) if star else (),
    )


def _table(caption: str, heads: Iterable[str], rows: Sequence[tuple[str, ...]], first_number: int) -> DataTable:
    """A table whose columns stand on the right from one on."""
    columns = tuple(heads)
    return DataTable(caption, columns, tuple(rows), frozenset(range(first_number, len(columns))))
