"""The parts of a report that results alone decide: where the time goes, what is busy, what is held, the whole job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from wsesim.config.catalogue import sources
from wsesim.config.provenance import STATUSES
from wsesim.job import Price
from wsesim.loss import Quality
from wsesim.machines.words import Words
from wsesim.report.charts.theme import SERIES_COLOURS, colour_of
from wsesim.report.html.content import Bar, Block, Cell, DataTable, Link, Section
from wsesim.report.pages import facts
from wsesim.report.pages.parts import assumption_value
from wsesim.result import Assumption, Result
from wsesim.units import show, unit_of_field


def title_of(result: Result, results: Sequence[Result]) -> str:
    """What a block is called: nothing where there is only one."""
    return result.name if len(results) > 1 else ""


def breakdown(results: Sequence[Result]) -> Section:
    """Where the time of a step goes."""
    lead = (
        "Every moment of the device that finishes the step last, by what it spends it on; the parts add up to the step."
    )
    blocks = [
        Block(
            title_of(one, results),
            bars=tuple(breakdown_bars(one)),
            caption=f"Where the {show(one.step_time_s, 's')} of a step go",
        )
        for one in results
    ]
    return Section("breakdown", "Where the time goes", lead, blocks=tuple(blocks))


def breakdown_bars(result: Result) -> list[Bar]:
    """Parts of a step, the largest first."""
    step_s, words = result.step_time_s, facts.words_of(result)
    largest_first = sorted(result.breakdown_s.items(), key=lambda item: -item[1])
    return [
        Bar(name, show(value, "s"), value / step_s, colour_of(name), words.meaning(name))
        for name, value in largest_first
    ]


def utilization(results: Sequence[Result]) -> Section:
    """How busy each part is."""
    blocks = [
        Block(title_of(one, results), bars=tuple(utilization_bars(one)), caption="Share of the step") for one in results
    ]
    leads = {facts.words_of(one).lead for one in results}
    lead = leads.pop() if len(leads) == 1 else Words.lead
    return Section("utilization", "Busy during the step", lead, blocks=tuple(blocks))


def utilization_bars(result: Result) -> list[Bar]:
    """Shares of the step, as bars."""
    color = SERIES_COLOURS[2]
    found = []
    for part, share in result.utilization.items():
        name, meaning = facts.words_of(result).part(part)
        found.append(Bar(name, show(share * result.step_time_s, "s"), share, color, meaning))
    return found


def memory(results: Sequence[Result]) -> Section:
    """What is held where."""
    blocks = [
        Block(
            title_of(one, results),
            tuple(facts.words_of(one).memory(one)),
            tuple(memory_bars(one)),
            "Share of what there is",
        )
        for one in results
    ]
    return Section("memory", "Memory", blocks=tuple(blocks))


def memory_bars(result: Result) -> list[Bar]:
    """What is in use, as bars over the capacity."""
    shares = facts.words_of(result).memory_shares(result)
    return [Bar(one.name, one.value, one.share, SERIES_COLOURS[0], one.meaning) for one in shares]


def scaling(results: Sequence[Result]) -> Section:
    """Efficiency against one system, or one copy of the model."""
    blocks = [Block(title_of(one, results), tuple(facts.scaling(one))) for one in results]
    return Section("scaling", "Scaling", blocks=tuple(blocks))


def totals(results: Sequence[Result]) -> Section:
    """Time, energy and cost of the whole job, and the prices they rest on."""
    blocks = [
        Block(title_of(one, results), tuple(fact for fact in facts.whole_job(one) if fact.name != "prices from"))
        for one in results
    ]
    tables = [price_table(one.job.prices, title_of(one, results)) for one in results if one.job.prices]
    return Section("totals", "Time, energy and cost", blocks=tuple(blocks), tables=tuple(tables))


def price_table(prices: Iterable[Price], of: str = "") -> DataTable:
    """Numbers that turn time into money, energy and carbon."""
    rows = [
        (one.key, show(one.value, unit_of_field(one.key)), one.status, source_cell(one.source), one.date, one.note)
        for one in prices
    ]
    caption = f"Prices of {of}" if of else "Prices"
    return DataTable(caption, ("number", "value", "status", "source", "from", "note"), tuple(rows))


def assumptions(results: Sequence[Result], beside: Mapping[str, Sequence[Assumption]] | None = None) -> Section:
    """Every number in use that is not public, also those of clusters that are shown beside, by name."""
    used: dict[Assumption, list[str]] = {}
    for result in results:
        for one in result.assumptions:
            used.setdefault(one, []).append(result.name)
    several = len(results) > 1
    columns = ("number", "value", "status", "source", "note")
    used_by = ("used by",) if several else ()
    rows = [(*_assumption(one), *((", ".join(names),) if several else ())) for one, names in used.items()]
    others = beside or {}
    found = {one.status for one in (*used, *chain.from_iterable(others.values()))}
    lead = "; ".join(f"{status}: {STATUSES[status]}" for status in ("calibrated", "assumed") if status in found)
    tables = [DataTable("Numbers of this answer that are not public", (*columns, *used_by), tuple(rows))]
    for name, numbers in others.items():
        caption = f"Numbers of the line of {name} that are not public"
        tables.append(DataTable(caption, columns, tuple(map(_assumption, numbers))))
    title = "Not public: calibrated or assumed"
    return Section("assumptions", title, f"{lead[:1].upper()}{lead[1:]}.", tables=tuple(tables))


def _assumption(one: Assumption) -> tuple[Cell, ...]:
    return one.key, assumption_value(one), one.status, source_cell(one.source), one.note


def source_cell(source: str) -> Cell:
    """Titles of sources with their addresses; a text that is no key stands as it is."""
    known = sources()
    words = [word.strip() for word in source.split(",")]
    if not all(word in known for word in words):
        return source
    if not all(known[word].url for word in words):
        return "; ".join(known[word].title for word in words)
    return tuple(Link(f"{known[word].title} ({known[word].date})", known[word].url) for word in words)


def notes(results: Sequence[Result], others: Sequence[str] = ()) -> Section:
    """What a reader should know before using the numbers."""
    several = len(results) > 1
    own = [f"{one.name}: {note}" if several else note for one in results for note in one.notes]
    return Section("notes", "Notes", notes=(*others, *own))


def learned(results: Sequence[Result]) -> Section:
    """Loss and zero-shot accuracy; nothing of encoders, for which there are no laws."""
    able = [one for one in results if one.job.quality is not None]
    blocks = [
        Block(title_of(one, results), tuple(facts.learned(one.job.quality)))
        for one in able
        if one.job.quality is not None
    ]
    tables = [accuracy_table(one.job.quality, title_of(one, results)) for one in able if one.job.quality is not None]
    return Section("learned", "What the model will have learned", blocks=tuple(blocks), tables=tuple(tables))


def accuracy_table(quality: Quality, of: str) -> DataTable:
    """Predicted zero-shot accuracy by task."""
    by_compute, ends = quality.accuracy_by_compute, quality.accuracy_range
    rows = [
        (
            task,
            f"{value:.3f}",
            f"{ends[task][0]:.3f} to {ends[task][1]:.3f}",
            f"{quality.chance[task]:.3f}",
            *(() if by_compute is None else (f"{by_compute[task]:.3f}",)),
        )
        for task, value in quality.accuracy.items()
    ]
    columns = ("task", "accuracy", "90 %", "chance", *(() if by_compute is None else ("by compute alone",)))
    caption = f"Predicted zero-shot accuracy{f' of {of}' if of else ''}"
    return DataTable(caption, columns, tuple(rows), frozenset(range(1, len(columns))))
