"""Runs side by side, as `wsesim compare` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from wsesim.report.charts.render import unique
from wsesim.report.html.content import DataTable, Section
from wsesim.report.pages import compare
from wsesim.result import Result
from wsesim.study.comparison import Entry, entry, notes, ratios

TOLD = ("tokens_per_s", "time_to_train_s", "cost_usd", "energy_j")
"""Ratios that the first sentence tells."""


def lead(results: Sequence[Result]) -> tuple[str, ...]:
    """The comparison in a sentence for each run but the first, without full stops."""
    first, *others = [entry(one) for one in results]
    told = []
    for one in others:
        known = ratios(one, first)
        words = [f"{compare.label(key)} {_ratio(one, first, key)}" for key in TOLD if key in known]
        told.append(f"{one.name} against {first.name}: {', '.join(words)}")
    return tuple(told)


def _ratio(one: Entry, first: Entry, key: str) -> str:
    words = compare.ratio_cell(one, first, key)
    return f"about {words.removesuffix(compare.UNCERTAIN)}" if words.endswith(compare.UNCERTAIN) else words


def figures(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Rows of what each run reaches, in the order of the terminal."""
    keys = [key for _, topic in compare.TOPICS for key in topic]
    return [(compare.label(key), *(compare.cell(one, key) for one in entries)) for key in keys]


def against(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Rows of what the others reach against the first."""
    first, *others = entries
    return [(compare.label(key), *(compare.ratio_cell(one, first, key) for one in others)) for key in compare.WORDS]


def legend(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What the marks in these rows mean."""
    return tuple(text.plain for text in compare.legend(entries))


def comparison(results: Sequence[Result]) -> Section:
    """The figures of each run, and their ratios to the first."""
    entries = [entry(one) for one in results]
    names = unique(one.name for one in entries)
    tables = (
        DataTable("Figures of each run", ("", *names), tuple(figures(entries))),
        DataTable(f"Against {entries[0].name}", ("", *names[1:]), tuple(against(entries))),
    )
    return Section("comparison", "Side by side", tables=tables, notes=(*notes(entries), *legend(entries)))
