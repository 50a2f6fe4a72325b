"""`wsesim compare`: runs side by side, and how many GPUs would take as long."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.text import Text

from wsesim.job import Range, prices_of_devices
from wsesim.machines.machine import SameTime, machine_of
from wsesim.report.columns import Column, Columns, prose
from wsesim.report.pages import parts
from wsesim.report.pages.parts import section
from wsesim.study.comparison import Entry, Figure, memory_is_uncertain, notes, ratios
from wsesim.study.side_by_side import Comparison
from wsesim.units import show

LEAST_COLUMN = 10
"""Of a run beside others. [-]"""
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
    """Both ends of a range; the unit is said once where it is the same."""
    low, high = _unit(key, value.low), _unit(key, value.high)
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if unit == high.partition(" ")[2] else f"{low} to {high}"


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
        "devices": f"{one.result.num_devices:,} x {one.device}",
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


def label(key: str) -> str:
    """What a row of the table is called."""
    return FIGURES.get(key, key)


def _in_columns(entries: Sequence[Entry]) -> Columns:
    """Runs beside one another."""
    table = _table("", *(one.name for one in entries))
    for _, keys in TOPICS:
        for key in keys:
            table.add_row(label(key), *(cell(one, key) for one in entries))
    return table


def _side_by_side(entries: Sequence[Entry]) -> Group:
    """Runs as columns, and their ratios to the first."""
    first, *others = entries
    against = _table("", *(one.name for one in others))
    for key in WORDS:
        against.add_row(label(key), *(ratio_cell(one, first, key) for one in others))
    return Group(_in_columns(entries), section(f"Against {first.name}", against))


def _in_rows(entries: Sequence[Entry]) -> list[tuple[str, Columns]]:
    """Runs as rows: a table for each topic, with its title."""
    first, *others = entries
    tables = []
    for title, keys in TOPICS:
        table = _table("", *(label(key) for key in keys))
        for one in entries:
            table.add_row(one.name, *(cell(one, key) for key in keys))
        tables.append((title, table))
    for compared in (tuple(WORDS)[:4], tuple(WORDS)[4:]):
        table = _table("", *(label(key) for key in compared))
        for one in others:
            table.add_row(one.name, *(ratio_cell(one, first, key) for key in compared))
        tables.append((f"Against {first.name}", table))
    return tables


def _tables(entries: Sequence[Entry], console: Console) -> Group:
    """All runs in one table where there is room, else as rows, else some at a time beside the first."""

    def has_room(table: Columns) -> bool:
        return table.least_width(console) <= console.width

    if has_room(_in_columns(entries)):
        return _side_by_side(entries)
    rows = _in_rows(entries)
    if all(has_room(table) for _, table in rows):
        return Group(*(section(title, table) for title, table in rows))
    first, *others = entries
    chunks = [others[:1]]
    for one in others[1:]:
        if has_room(_in_columns([first, *chunks[-1], one])):
            chunks[-1].append(one)
        else:
            chunks.append([one])
    tables = [_side_by_side([first, *chunk]) for chunk in chunks]
    return Group(tables[0], *(part for table in tables[1:] for part in ("", table)))


def _table(*heads: str) -> Columns:
    first, *others = heads
    return Columns([Column(first, style="dim"), *(Column(head, is_prose=True, least=LEAST_COLUMN) for head in others)])


def same_time(found: Sequence[SameTime], first: Entry) -> Group:
    """How many GPUs take as long as the first run."""
    lines = [prose(same_time_words(one)) for one in found]
    wanted = show(first.result.job.time_s, "s")
    return section(f"GPUs for the same time to train, {wanted}", Group(*lines))


def same_time_words(one: SameTime) -> str:
    """The answer of a search, in words."""
    result, devices = one.result, machine_of(one.run).words.devices
    if result is None:
        return f"{one.run.name}: no number of {devices} of {one.run.cluster.name} holds the model"
    took, kinds = show(result.job.time_s, "s"), ", ".join(result.kinds_of_parallelism) or "none"
    gpus = f"{result.num_devices:,} x {result.device}"
    if one.is_reached:
        return f"{one.run.name}: {gpus}, {took}; parallelism {kinds}; {result.num_settings} settings"
    most = one.run.max_devices
    return (
        f"{one.run.name}: not reached; of all numbers up to the {most:,} {devices} of {one.run.cluster.name} over which it can be "
        f"spread, the fastest is {gpus}, {took}; a larger global batch can be spread further"
    )


def legend(entries: Sequence[Entry]) -> list[Text]:
    """What the marks mean that stand in the tables."""
    used = "".join(cell(one, key) for one in entries for key in FIGURES)
    marks = {
        UNCERTAIN: UNCERTAIN in used or any(map(memory_is_uncertain, entries)),
        EXTRAPOLATED: EXTRAPOLATED in used,
        UNKNOWN: any(cell(one, key) == UNKNOWN for one in entries for key in FIGURES),
    }
    return [Text(f"{mark} {LEGEND[mark]}", style="dim") for mark, is_used in marks.items() if is_used]


def print_comparison(console: Console, compared: Comparison) -> None:
    """The whole comparison."""
    entries, found = compared.entries, compared.same_time
    console.print(_tables(entries, console))
    if found:
        console.print(same_time(found, entries[0]))
    console.print()
    for text in legend(entries):
        console.print(prose(text.plain, style="dim"))
    for one in entries:
        bought = prices_of_devices(one.result.run)
        if bought:
            console.print(prose(f"prices of {one.name} from: {parts.price_words(bought)}", style="dim"))
    for note in parts.notes(notes(entries)):
        console.print(note)
