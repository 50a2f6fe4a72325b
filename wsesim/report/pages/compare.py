"""Runs side by side, how many devices would take as long, and what moved between two answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from wsesim.machines.machine import machine_of
from wsesim.report.charts import scaling as tornado_chart
from wsesim.report.charts.render import unique
from wsesim.report.pages.run import price_words
from wsesim.results.job import Range, between, job_words, prices_of_devices, whole_time
from wsesim.results.result import Result
from wsesim.study.comparison import Change, Changes, Entry, Figure, entry, job_notes, memory_is_uncertain, ratios
from wsesim.study.sensitivity import BETTER, LEAST, Effect, Sensitivity, short
from wsesim.study.side_by_side import Comparison, Same, amount
from wsesim.study.side_by_side import Figure as SameFigure
from wsesim.units import show, unit_of_field
from wsesim.view import Fact, Facts, Note, Part, Section, Table, notes, plural
from wsesim.view import Figure as Drawn
from wsesim.view import notes as as_notes

# Runs side by side, and how many GPUs would take as long.


Fits = Callable[[Table], bool]
"""Whether there is room for a table."""
TOLD = ("tokens_per_s", "time_to_train_s", "cost_usd", "energy_j")
"""Ratios that the first sentence of a report tells."""
UNCERTAIN, EXTRAPOLATED, UNKNOWN = "~", "*", "-"
LEGEND = {
    UNCERTAIN: "rests on a number that is assumed, or of which only a range is known; below it the bounds",
    EXTRAPOLATED: "beyond what has been measured, and so is all that follows from it; `wsesim run` says in what",
    UNKNOWN: "not known",
}


def _figures_shown(value: float) -> str:
    """A count of four figures.

    Examples
    --------
    >>> _figures_shown(304603.2), _figures_shown(25.383)
    ('304,600', '25.38')
    """
    return f"{float(f'{value:.4g}'):,.0f}" if value >= 1000 else f"{value:.4g}"


def _unit(key: str, value: float) -> str:
    if key in ("step_time_s", "time_to_train_s"):
        return show(value, "s")
    if key == "energy_j":
        return f"{show(value / 3600.0, 'W')}h"
    if key == "cost_usd":
        return show(value, "USD")
    return f"{value:.1%}" if key == "mfu" else _figures_shown(value)


def _shown(key: str, figure: Figure, *, is_extrapolated: bool) -> str:
    value = figure.value
    if value is None:
        return UNKNOWN
    mark = EXTRAPOLATED if is_extrapolated else UNCERTAIN if figure.is_uncertain else ""
    return f"{_unit(key, value.value)}{mark}" + (f"\n{_bounds(key, value)}" if value.is_range else "")


def _bounds(key: str, value: Range) -> str:
    return between(_unit(key, value.low), _unit(key, value.high))


FIGURES = {
    "step_time_s": "step time",
    "tokens_per_s": "tokens/s",
    "tokens_per_s_per_device": "tokens/s per device",
    "tokens_per_s_per_kw": "tokens/s per kW",
    "tokens_per_usd": "tokens per USD",
    "mfu": "MFU",
    "time_to_train_s": "time to train",
    "energy_j": "energy",
    "cost_usd": "cost",
}
TOPICS = (
    ("Speed", ("devices", "step_time_s", "tokens_per_s", "tokens_per_s_per_device", "mfu")),
    ("Training", ("time_to_train_s", "energy_j", "cost_usd", "tokens_per_s_per_kw", "tokens_per_usd")),
    ("Memory and complexity", ("memory", "parallelism", "settings")),
)
"""Columns of the tables with runs below one another; side by side all of them stand in one."""
WORDS = {
    "tokens_per_s": ("more", "less"),
    "tokens_per_s_per_device": ("more", "less"),
    "tokens_per_s_per_kw": ("more", "less"),
    "tokens_per_usd": ("more", "less"),
    "time_to_train_s": ("slower", "faster"),
    "energy_j": ("more", "less"),
    "cost_usd": ("dearer", "cheaper"),
}
"""What a ratio above, and below, 1 is called."""
SAME = 0.005
"""Ratios that are nearer to 1 than this are called the same. [-]"""


def cell(one: Entry, key: str) -> str:
    """What a table says of one run."""
    if key in FIGURES:
        return _shown(
            key, one.figures[key], is_extrapolated=one.is_extrapolated and key in ("step_time_s", "tokens_per_s")
        )
    if key == "memory":
        mark = UNCERTAIN if memory_is_uncertain(one) else ""
        held, capacity = (show(value, "bytes") for value in (one.memory_bytes, one.memory_capacity_bytes))
        return f"{held}{mark} of {capacity},\n{one.memory_place}"
    return {
        "devices": one.result.devices,
        "parallelism": ", ".join(one.kinds_of_parallelism) or "none",
        "settings": f"{one.num_settings}",
    }[key]


def ratio_cell(one: Entry, first: Entry, key: str) -> str:
    """A ratio to the first run in words."""
    ratio = ratios(one, first).get(key)
    if ratio is None:
        return UNKNOWN
    mark = UNCERTAIN if one.figures[key].is_uncertain or first.figures[key].is_uncertain else ""
    if abs(ratio - 1.0) < SAME:
        return f"the same{mark}"
    more, less = WORDS[key]
    factor = max(ratio, 1.0 / ratio)
    return f"{_figures_shown(factor) if factor >= 1000.0 else f'{factor:.3g}'}x {more if ratio > 1.0 else less}{mark}"


def label(key: str, entries: Sequence[Entry]) -> str:
    """What a row of the table of some runs is called."""
    return whole_time(one.result.run for one in entries) if key == OF_TIME else FIGURES.get(key, key)


def of_each(entries: Sequence[Entry], caption: str = "Figures of each run") -> Table:
    """Runs beside one another."""
    rows = tuple((label(key, entries), *(cell(one, key) for one in entries)) for _, keys in TOPICS for key in keys)
    return Table(caption, ("", *(f"~{name}" for name in unique(one.name for one in entries))), rows, is_quiet=True)


def against_first(entries: Sequence[Entry]) -> Table:
    """What the others reach against the first."""
    first, *others = entries
    names = unique(one.name for one in entries)
    known = [key for key in WORDS if any(key in ratios(one, first) for one in others)]
    rows = tuple((label(key, entries), *(ratio_cell(one, first, key) for one in others)) for key in known)
    return Table(f"Against {first.name}", ("", *(f"~{name}" for name in names[1:])), rows, is_quiet=True)


def _side_by_side(entries: Sequence[Entry]) -> tuple[Section, Section]:
    """Runs as columns, and their ratios to the first."""
    table = against_first(entries)
    return Section("comparison", parts=(of_each(entries),)), Section("against", table.caption, (table,))


def _in_rows(entries: Sequence[Entry]) -> Iterator[Section]:
    """Runs as rows: a table for each topic, with its title."""
    first, *others = entries
    for title, keys in TOPICS:
        rows = tuple((one.name, *(cell(one, key) for key in keys)) for one in entries)
        yield _rows(title, keys, rows, entries)
    for compared in (tuple(WORDS)[:4], tuple(WORDS)[4:]):
        rows = tuple((one.name, *(ratio_cell(one, first, key) for key in compared)) for one in others)
        yield _rows(f"Against {first.name}", compared, rows, entries)


def _rows(title: str, keys: Sequence[str], rows: tuple[tuple[str, ...], ...], entries: Sequence[Entry]) -> Section:
    table = Table(title, ("", *(f"~{label(key, entries)}" for key in keys)), rows, is_quiet=True)
    return Section(title.lower().replace(" ", "-"), title, (table,))


def _tables(entries: Sequence[Entry], fits: Fits) -> list[Section]:
    """All runs in one table where there is room, else as rows, else some at a time beside the first."""
    if fits(of_each(entries)):
        return list(_side_by_side(entries))
    rows = list(_in_rows(entries))
    if all(isinstance(part, Table) and fits(part) for one in rows for part in one.parts):
        return rows
    first, *others = entries
    chunks = [others[:1]]
    for one in others[1:]:
        if fits(of_each([first, *chunks[-1], one])):
            chunks[-1].append(one)
        else:
            chunks.append([one])
    groups = [_side_by_side([first, *chunk]) for chunk in chunks]
    between = Section("between", parts=(Note(""),))
    return [*groups[0], *chain.from_iterable((between, *group) for group in groups[1:])]


def sections(compared: Comparison, fits: Fits = lambda _: True) -> list[Section]:
    """The whole comparison.

    Parameters
    ----------
    fits
        Whether a medium has room for a table; where it has not, the runs stand in several.
    """
    entries = compared.entries
    found = [jobs(entries), *_tables(entries, fits)]
    for figure in dict.fromkeys(one.figure for one in compared.same):
        lines = as_notes(same_words(one) for one in compared.same if one.figure == figure)
        found.append(Section(f"same-{figure}", _same_title(figure, entries[0]), lines))
    told = [*legend(entries), *(text for one in entries if (text := _prices(one)))]
    return [
        *found,
        Section("notes", parts=(Note(""), *as_notes(told, "aside"), *as_notes(job_notes(entries), "note"))),
    ]


def jobs(entries: Sequence[Entry]) -> Section:
    """What each run is to do, so that one sees at once whether it is the same."""
    names = unique(one.name for one in entries)
    lines = (Note(f"{name}: {job_words(one.result.run)}") for name, one in zip(names, entries, strict=True))
    return Section("jobs", parts=tuple(lines))


def _prices(one: Entry) -> str:
    bought = prices_of_devices(one.result.run)
    return f"prices of {one.name}, {one.result.job.paying}: {price_words(bought)}" if bought else ""


def section(results: Sequence[Result]) -> Section:
    """The figures of each run, and their ratios to the first, as a part of a report."""
    entries = [entry(one) for one in results]
    told = (*as_notes(job_notes(entries), "note"), *as_notes(legend(entries), "note"))
    return Section("comparison", "Side by side", (of_each(entries), against_first(entries), *told))


def lead(results: Sequence[Result]) -> tuple[str, ...]:
    """The comparison in a sentence for each run but the first, without full stops."""
    first, *others = [entry(one) for one in results]
    told = []
    for one in others:
        known = ratios(one, first)
        words = [f"{label(key, [first, one])} {_ratio(one, first, key)}" for key in TOLD if key in known]
        told.append(f"{one.name} against {first.name}: {', '.join(words)}")
    return tuple(told)


def _ratio(one: Entry, first: Entry, key: str) -> str:
    words = ratio_cell(one, first, key)
    return f"about {words.removesuffix(UNCERTAIN)}" if words.endswith(UNCERTAIN) else words


OF_TIME = "time_to_train_s"
KEYS: dict[SameFigure, str] = {"time": OF_TIME, "cost": "cost_usd", "energy": "energy_j"}
TITLES: dict[SameFigure, str] = {
    "time": "How many for the same job in the same time, {}",
    "cost": "How many for the same job at the same cost, {}",
    "energy": "How many for the same job with the same energy, {}",
}


def _same_title(figure: SameFigure, first: Entry) -> str:
    return TITLES[figure].format(_unit(KEYS[figure], amount(first.result, figure)))


def same_words(one: Same) -> str:
    """The answer of a search, in words: how many it would be, and the neighbours that can be had."""
    cluster = one.run.cluster
    words = machine_of(one.run).words
    if one.makes is None and one.misses is None:
        return f"{cluster.title}: no number of {words.devices} holds the model and divides the job"
    if one.num_devices is not None:
        exactly, both = f"{words.count(cluster, round(one.num_devices))} ({cluster.title})", [one.misses, one.makes]
        told = "; ".join(_neighbour(found, one) for found in both if found is not None)
        return f"{exactly}: {told}"
    if one.makes is None and one.misses is not None:
        side = "fastest" if one.figure == "time" else "cheapest" if one.figure == "cost" else "thriftiest"
        return f"{cluster.title}: not reached; the {side}, {_neighbour(one.misses, one)}"
    which = "the fewest that hold the job" if one.figure == "time" else "all that there are"
    return "" if one.makes is None else f"{cluster.title}: {which}, {_neighbour(one.makes, one)}"


def _neighbour(found: Result, one: Same) -> str:
    """A number of devices that can be had, by how much it misses or keeps what is wanted, and with which batch."""
    value, over = amount(found, one.figure), amount(found, one.figure) / one.wanted - 1.0
    kept = f"make it, {abs(over):.1%} below" if over <= 0 else f"miss by {over:.1%}"
    batch = f"{found.run.training.global_batch_size:,} sequences"
    told, cost = _unit(KEYS[one.figure], value), found.job.cost_usd
    told += f", {_bounds('cost_usd', cost)}" if one.figure == "cost" and cost is not None and cost.is_range else ""
    return f"{found.num_devices:,} {kept} ({told}; {batch})"


def legend(entries: Sequence[Entry]) -> list[str]:
    """What the marks mean that stand in the tables."""
    used = "".join(cell(one, key) for one in entries for key in FIGURES)
    marks = {
        UNCERTAIN: UNCERTAIN in used or any(map(memory_is_uncertain, entries)),
        EXTRAPOLATED: EXTRAPOLATED in used,
        UNKNOWN: any(cell(one, key) == UNKNOWN for one in entries for key in FIGURES),
    }
    return [f"{mark} {LEGEND[mark]}" for mark, is_used in marks.items() if is_used]


# What moved between two answers, and why.


FIRST = ("step_time_s", "samples_per_s", "training.time_s", "training.energy_j", "training.cost_usd", "mfu")
"""Keys that a reader looks for; the rest is in JSON."""


def changed_sections(found: Changes) -> Iterator[Section]:
    """Figures that moved first, then what was different."""
    yield Section("answers", parts=(Note(f"{found.before} -> {found.after}", "key"),))
    if not found.moved and not found.causes:
        yield Section("nothing", parts=(Note("nothing differs"),))
        return
    known = {one.key: one for one in found.moved}
    first = [known[key] for key in FIRST if key in known]
    if first:
        yield Section("moved", "What moved", (_table("What moved", first),))
    if more := len(found.moved) - len(first):
        yield Section("more", parts=(Note(f"{more} more values differ: --json has all", "aside"),))
    unknown = Note("neither release, calibration, version nor question differ")
    yield Section("why", "Why", (_table("Why", found.causes) if found.causes else unknown,))


def _table(caption: str, changes: Sequence[Change]) -> Table:
    rows = tuple(
        (
            one.key,
            _shown_value(one.key, one.before),
            _shown_value(one.key, one.after),
            "" if one.share is None else f"{one.share:+.2%}",
        )
        for one in changes
    )
    return Table(caption, ("value", "~before", "~after", "|change"), rows)


def _shown_value(key: str, value: Any) -> str:
    """A value with the unit of its key."""
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    unit = unit_of_field(key)
    return f"{value:,.6g}" if unit == "-" else show(float(value), unit)


# What is uncertain of a step, and what a better machine would bring, as two tables.


SENSITIVITY = (
    "First each number that is assumed or calibrated, at both ends of the range that its file states; then each number of the "
    f"machine {BETTER:.0%} better. All others stay as they are, and so does the plan; to the left the step becomes shorter."
)


def sensitivity_sections(found: Sensitivity, *, every: bool = False) -> Iterator[Section]:
    """The step, then both tables."""
    result = found.result
    facts = (
        Fact("on", machine_of(result.run).words.on(result)),
        Fact("job", job_words(result.run)),
        Fact("step time", show(result.step_time_s, "s"), is_key=True),
    )
    yield Section("step", parts=(Note(f"What moves the step of {result.name}", "key"), Facts(facts)))
    yield _uncertain(found, every=every)
    yield _constants(found)


def tornados(found: Sequence[Sensitivity]) -> Section:
    """Both tables of each run as pictures, on a page and in a report."""
    parts: list[Part] = []
    for place, one in enumerate(found, start=1):
        for part, section in {"uncertain": _uncertain(one, every=False), "constants": _constants(one)}.items():
            title = f"{section.title}: {one.result.name}" if len(found) > 1 else section.title
            tables = tuple(table for table in section.parts if isinstance(table, Table))
            drawn = tornado_chart.tornado(one, part)
            parts += [Drawn(f"sensitivity-{part}-{place}", title, drawn, tables)] if tables else []
            parts += [note for note in section.parts if isinstance(note, Note)]
    return Section("sensitivity", "What single numbers do to the step", tuple(parts), SENSITIVITY)


def _uncertain(found: Sensitivity, *, every: bool) -> Section:
    """Numbers that nobody published, at the ends of their ranges."""
    step_s, title = found.result.step_time_s, "Uncertain numbers at the ends of their ranges"
    told = [one for one in found.uncertain if every or one.largest(step_s) > LEAST]
    rows = tuple(_row(one, step_s, f"{one.shown(one.values[0])} to {one.shown(one.values[-1])}") for one in told)
    tables = [Table(title, ("number", "|value", "range", "|at low", "|at high", "status"), rows)] if rows else []
    hidden = len(found.uncertain) - len(rows)
    cut = [f"{plural(hidden, 'other number')} change the step by less than {LEAST:.2%}"] if hidden else []
    unknown = _names(found.without_range)
    doubts = [f"no range is known of {unknown}"] if unknown else []
    return Section("uncertain", title, (*tables, *notes(cut, "aside"), *notes(doubts, "warning")))


def _constants(found: Sensitivity) -> Section:
    """Numbers of the machine, each a tenth better."""
    title = f"The machine, each number {BETTER:.0%} better"
    rows = tuple(_row(one, found.result.step_time_s, one.shown(one.values[0])) for one in found.constants)
    tables = [Table(title, ("number", "|value", "made", "|step", "status"), rows)] if rows else []
    names = _names(found.without_effect)
    cut = [f"no step shorter by more than {LEAST:.2%}: {names}"] if names else []
    return Section("constants", title, (*tables, *notes(cut, "aside")))


def _row(one: Effect, step_s: float, made: str) -> tuple[str, ...]:
    changes = ["refused" if change is None else f"{change:+.2%}" for change in one.changes(step_s)]
    return (one.name, one.shown(one.value), made, *changes, one.status)


def _names(keys: Iterable[str]) -> str:
    return ", ".join(map(short, keys))
