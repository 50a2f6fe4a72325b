"""A run as sections: the answer first, then why, then what it rests on; one function for each part, for every machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from wsesim.config.catalogue import Source, sources
from wsesim.config.spec import STATUSES
from wsesim.machines.machine import Words, devices, machine_of, samples_words, within
from wsesim.plugins import MACHINES
from wsesim.report.charts.theme import SERIES_COLOURS, colour_of
from wsesim.results.job import Job, Price, Range, between, job_words, show_energy, show_range, whole_time
from wsesim.results.loss import AVERAGE, Quality
from wsesim.results.result import Assumption, Result, bottleneck, scaling_efficiency
from wsesim.units import add_up, show, unit_of_field
from wsesim.version import __version__
from wsesim.view import (
    Answer,
    Bar,
    Bars,
    Cell,
    Fact,
    Facts,
    Figure,
    Link,
    Note,
    Part,
    Section,
    Table,
    Tile,
    facts,
    notes,
    short,
)

if TYPE_CHECKING:
    from wsesim.study.scaling import Curve, Point, Scaling
    from wsesim.validate.near import Comparison

BUSY_COLOUR = SERIES_COLOURS[2]
SHOWN_LARGE = ("throughput", "step time")
"""Facts of the headline that the tiles show."""
CURVES = {
    "weak": "Weak scaling: same batch per device as the run",
    "strong": "Strong scaling: same global batch as the run",
}
FEW_POINTS = 24
"""Points of a curve that a table holds. [-]"""
MOST_PARTS = 6
"""Parts of the step on the first screen. [-]"""
MOST_CHANGES, LEAST_CHANGE = 3, 0.001
"""Changes of the machine that are named, and what each of them has to be worth. [-], of the step [-]"""
LARGE = 1000.0
"""Rates above have no digits after the point. [1/s]"""
PHASES = ("gemm", "attention", "latency", "waiting")
"""What a layer spends its time on."""
TOLD_SHARE = 0.1
"""Parts of a difference that are smaller than this share of the largest are left out of the table. [-]"""
MOST_TOLD = 3
"""Parts of a difference that the table tells. [-]"""


@dataclass(frozen=True)
class More:
    """What is said on demand.

    Attributes
    ----------
    plans, wanted_plans
        The best plans of a GPU run, and how many were wanted. [-]
    scaling, measured, layers, links, assumptions
        Whether other numbers of devices, measurements near the run, layers, links and numbers that are not public are.
    """

    plans: Sequence[Result] = ()
    wanted_plans: int = 0
    scaling: bool = False
    measured: bool = False
    layers: bool = False
    links: bool = False
    assumptions: bool = False


NOTHING_MORE = More()
SCREEN, DETAIL = 0, 1
"""Levels of an answer: what its first screen has, and what is left for those who ask for all."""


def sections(result: Result, more: More = NOTHING_MORE, level: int = DETAIL) -> Iterator[Section]:
    """The answer of one run up to a level: what is of a higher one is not worked out."""
    if more.scaling:
        yield Section("name", parts=(Note(result.name, "key"),))
        yield from scaled(result)
    found: list[tuple[int, Callable[[], Iterable[Section]]]] = [
        (SCREEN, lambda: [first(result, is_titled=more.scaling)]),
        (SCREEN, lambda: [breakdown(result, 0 if level else MOST_PARTS)]),
        (SCREEN, lambda: [plans(more.plans, more.wanted_plans)] if more.plans else []),
        (DETAIL, lambda: [utilization(result), spread(result)]),
        (SCREEN, lambda: [memory(result) if level else room(result), helps(result)]),
        (DETAIL, lambda: [scaling(result), totals(result), learned(result)]),
        (SCREEN, lambda: _on_demand(result, more)),
        (DETAIL, lambda: [assumptions([result])] if not more.assumptions else []),
        (SCREEN, lambda: [made(result) if level else ends(result, more)]),
    ]
    for own, build in found:
        if own <= level:
            yield from build() if level else map(short, build())


def _on_demand(result: Result, more: More) -> Iterator[Section]:
    if more.measured:
        from wsesim.validate.near import near

        yield measured(near(result.run))
    if more.assumptions:
        yield assumptions([result])
    if more.layers:
        yield layers(machine_of(result.run).layer_rows(result))
    if more.links:
        yield links(machine_of(result.run).link_rows(result))


def scaled(result: Result) -> Iterator[Section]:
    """Other numbers of devices."""
    from wsesim.study.scaling import scaling as scale

    yield from curves(scale(result))


def words_of(result: Result) -> Words:
    """Words of the machine that a result is of."""
    return machine_of(result.run).words


def first(result: Result, *, is_titled: bool = False) -> Section:
    """What was asked: which job on what, how fast, how long and for how much, and what holds it up; then the rest."""
    told = [*_answers(result), *(fact._replace(is_detail=True) for fact in _others(result))]
    name = () if is_titled else (Note(result.name, "key"),)
    title = "This run" if is_titled else ""
    return Section("answer", title, (*name, Facts(tuple(told)), *notes(result.notes, "note")))


def _answers(result: Result) -> Iterator[Fact]:
    training, job, words = result.run.training, result.job, words_of(result)
    yield Fact("job", job_words(result.run))
    yield Fact("machine", words.on(result))
    if result.plan:
        yield Fact("plan", words.planned(result.run, result.plan) or "one copy of the model")
    bounds = within(result.samples_range_per_s.scaled(training.sequence_length))
    beside = f"MFU {result.mfu:.1%}; {result.samples_per_s:,.4g} samples/s"
    yield Fact("throughput", f"{_rate(result.tokens_per_s)} tokens/s {bounds}", is_key=True, more=beside)
    step = f"{show(result.step_time_s, 's')} {_span(result.step_time_range_s, 's')}"
    yield Fact("step time", step, is_key=True)
    time = f"{show(job.time_s, 's')} {_span(job.time_range_s, 's')}".strip()
    yield Fact(_whole_time(result), time, is_key=True, more=f"{job.steps:,} steps")
    energy = f"{show(job.energy_j.value / 3600.0, 'W')}h {_span(job.energy_j.scaled(1 / 3600.0), 'W', 'h')}".strip()
    yield Fact("energy", energy, is_key=True, more="without the building")
    if job.cost_usd is not None:
        cost = f"{show(job.cost_usd.value, 'USD')} {_span(job.cost_usd, 'USD')}".strip()
        yield Fact("cost", cost, is_key=True, more=words.cost_basis(result).removeprefix(", "))
    if job.quality is not None:
        (low, high), found = job.quality.loss_range, job.quality.accuracy[AVERAGE]
        yield Fact(
            "predicted loss",
            f"{job.quality.loss:.3f} ({low:.3f} to {high:.3f})",
            more=f"zero-shot accuracy {found:.3f}",
        )
    holds, _, effect = bottleneck(result).partition("; ")
    yield Fact("bottleneck", holds, more=effect)


def _others(result: Result) -> list[Fact]:
    """The rest of the headline."""
    own = ("on", *SHOWN_LARGE)
    return [fact for fact in words_of(result).headline(result) if fact.name not in own]


def _span(value: Range, unit: str, after: str = "") -> str:
    """Both ends of a range in brackets, with the unit once where it is the same; empty where there is none.

    Examples
    --------
    >>> _span(Range(7200.0, 3600.0, 9000.0), "s"), _span(Range(2.0, 0.5, 4.0), "s")
    ('(1.00 to 2.50 h)', '(500 ms to 4.00 s)')
    """
    if not value.is_range:
        return ""
    return f"({between(show(value.low, unit) + after, show(value.high, unit) + after)})"


def headline(result: Result) -> list[Fact]:
    """How fast, on what, and which job."""
    on, *others = words_of(result).headline(result)
    return [on, Fact("job", job_words(result.run)), *others]


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s:,.4g}" if tokens_per_s < LARGE else f"{tokens_per_s:,.0f}"


def _whole_time(result: Result) -> str:
    """What the time of the whole job is called."""
    return whole_time([result.run])


def answer(result: Result) -> Answer:
    """The large figures of a page, the bottleneck in a sentence, what it ran on."""
    told = (*(fact for fact in headline(result) if fact.name not in SHOWN_LARGE), Fact("answered by", by(result)))
    return Answer(result.name, tuple(tiles(result)), sentence(bottleneck(result)), told, tuple(result.notes))


def by(result: Result) -> str:
    """What answered: other versions, and other fitted numbers, answer otherwise."""
    fitted = f", calibration {result.calibration_id}" if result.calibration_id else ""
    return f"wsesim {__version__}{fitted}"


def sentence(text: str) -> str:
    """A text with a capital letter, whose numbers stay beside their units."""
    return (text[:1].upper() + text[1:]).replace(" %", "\N{NO-BREAK SPACE}%")


def tiles(result: Result) -> list[Tile]:
    """The large figures."""
    training, job = result.run.training, result.job
    found = [
        Tile(
            "throughput",
            f"{result.tokens_per_s:,.0f} tokens/s",
            samples_words(result),
            result.tokens_per_s,
            ("faster", "slower"),
        ),
        Tile(
            "step time",
            show(result.step_time_s, "s"),
            f"{_bounds(result.step_time_range_s, 's', 1.0)}; {training.global_batch_size:,} sequences of "
            f"{training.sequence_length:,} tokens",
            result.step_time_s,
            ("longer", "shorter"),
        ),
        Tile(
            _whole_time(result),
            show(job.time_s, "s"),
            f"{_bounds(job.time_range_s, 's', 1.0)}; {job.steps:,} steps, {job.tokens:.4g} tokens",
            job.time_s,
            ("longer", "shorter"),
        ),
    ]
    if job.cost_usd is not None:
        cost = job.cost_usd
        found.append(Tile("cost", show(cost.value, "USD"), _bounds(cost, "USD", 1.0), cost.value))
    energy = f"{show(job.energy_j.value / 3600.0, 'W')}h"
    found.append(Tile("energy", energy, _bounds(job.energy_j, "W", 3600.0, "h"), job.energy_j.value))
    if job.quality is not None:
        (low, high), accuracy = job.quality.loss_range, job.quality.accuracy[AVERAGE]
        least, most = job.quality.accuracy_range[AVERAGE]
        on_pile, on_tasks = f"{low:.3f} to {high:.3f} on the Pile", f"{least:.3f} to {most:.3f}, zero-shot, seven tasks"
        loss = job.quality.loss
        found += [
            Tile("predicted loss", f"{loss:.3f}", on_pile, loss, ("higher", "lower"), is_ratio=False),
            Tile("predicted accuracy", f"{accuracy:.3f}", on_tasks, accuracy, ("higher", "lower"), is_ratio=False),
        ]
    return found


def against(shown: Answer, baseline: Result) -> Answer:
    """An answer whose large figures say what they are against a baseline's."""
    others = {one.name: one for one in tiles(baseline)}
    return replace(shown, tiles=tuple(one.against(others.get(one.name)) for one in shown.tiles))


def _bounds(value: Range, unit: str, divisor: float, after: str = "") -> str:
    if not value.is_range:
        return ""
    return f"{show(value.low / divisor, unit)}{after} to {show(value.high / divisor, unit)}{after}"


def machine(result: Result) -> Section:
    """The machine as it was configured, with how busy each part of it is."""
    from wsesim.report.charts.machine import chart

    cluster, words = result.run.cluster, machine_of(result.run).words
    title = f"The machine: {words.counted(cluster)}"
    rows = tuple(
        (one.name, one.says, _share(one.busy), one.link, _share(one.link_busy))
        for one in words.levels(cluster, result.utilization)
    )
    table = Table(title, ("part", "each", "|busy", "joined to those above by", "|busy"), rows)
    return Section("machine", "The machine", (Figure("machine", title, chart(cluster, result.utilization), (table,)),))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def breakdown(result: Result, most: int = 0, *, baseline: Result | None = None) -> Section:
    """Where the time of a step goes, the largest first; the smallest as one where more than so many are, a baseline beside."""
    step, words = show(result.step_time_s, "s"), words_of(result)
    ranked = sorted(result.breakdown_s.items(), key=lambda item: -item[1])
    over = ranked[most - 1 :] if most and len(ranked) > most else []
    then = {name: f"; baseline {show(value, 's')}" for name, value in baseline.breakdown_s.items()} if baseline else {}
    bars = [
        Bar(
            name,
            show(spent_s, "s"),
            spent_s / result.step_time_s,
            words.meaning(name) + then.get(name, ""),
            colour_of(name),
        )
        for name, spent_s in ranked[: len(ranked) - len(over)]
    ]
    if over:
        rest_s = add_up(spent_s for _, spent_s in over)
        bars.append(Bar("others", show(rest_s, "s"), rest_s / result.step_time_s, ", ".join(name for name, _ in over)))
    return Section(
        "breakdown",
        "Where the time goes",
        (Bars(tuple(bars), f"Where the {step} of a step go", total=("step", step)),),
        "Every moment of the device that finishes the step last, by what it spends it on; the parts add up to the step.",
    )


def room(result: Result) -> Section:
    """The section of `memory` on a first screen: a bar for each place, with what it holds."""
    bars = []
    for place in words_of(result).places(result):
        held = sorted(place.held_bytes.items(), key=lambda item: -item[1])
        parts = ", ".join(f"{name} {show(value, 'bytes')}" for name, value in held) if len(held) > 1 else held[0][0]
        told = f"of {show(place.capacity_bytes, 'bytes')}: {parts}"
        bars.append(Bar(place.name, show(place.used_bytes, "bytes"), place.used_bytes / place.capacity_bytes, told))
    shown = (Bars(tuple(bars), "Share of what there is", BUSY_COLOUR),) if bars else ()
    return Section("memory", "Memory", shown)


def helps(result: Result) -> Section:
    """Changes of the machine that shorten the step most."""
    ranked = sorted(result.step.changes().items(), key=lambda item: -item[1])
    bars = tuple(
        Bar(name, show(share * result.step_time_s, "s"), share)
        for name, share in ranked[:MOST_CHANGES]
        if share >= LEAST_CHANGE
    )
    if not bars:
        told: tuple[Part, ...] = (Note(f"no change of a part shortens the step by {LEAST_CHANGE:.1%}"),)
    else:
        told = (Bars(bars, "How much shorter the step would be", BUSY_COLOUR),)
    return Section("helps", "What would help: by how much the step would be shorter", told)


def ends(result: Result, more: More) -> Section:
    """Where the rest is, and what answered."""
    number = len(result.assumptions)
    found = f"{number} numbers are not public: `--assumptions`; " if number and not more.assumptions else ""
    return Section("ends", parts=(Note(""), *notes((f"{found}everything: `-v`", by(result)), "aside")))


def utilization(result: Result) -> Section:
    """How busy each part is."""
    words, bars = words_of(result), []
    for part, share in result.utilization.items():
        name, meaning = words.part(part)
        bars.append(Bar(name, show(share * result.step_time_s, "s"), share, meaning))
    shown = Bars(tuple(bars), "Share of the step", BUSY_COLOUR, least=20)
    return Section("utilization", "Busy during the step", (shown,), words.lead)


def spread(result: Result) -> Section:
    """How the model is spread over devices; empty where there is no choice."""
    return Section("spread", "How it is spread", facts(words_of(result).spread(result)))


def memory(result: Result) -> Section:
    """Shares of each memory, and what there is to say about it."""
    words = words_of(result)
    shares = tuple(words.memory_shares(result))
    bars = (Bars(shares, "Share of what there is", is_repeated=True),) if shares else ()
    return Section("memory", "Memory", (*bars, *facts(words.memory(result))))


def scaling(result: Result) -> Section:
    """Efficiency against one device, or against one copy of the model."""
    return Section("scaling", "Scaling", facts(words_of(result).scaling(result, *scaling_efficiency(result))))


def curves(found: Scaling) -> list[Section]:
    """A table for each curve that has points, with some of them."""
    shown = [one for one in found.curves if one.points]
    tables = [curve_table(one, found, some(one.points, found.own.num_devices)) for one in shown]
    told = [Section(one.kind, table.caption, (table,)) for one, table in zip(shown, tables, strict=True)]
    return [*told, Section("limits", parts=notes(found.notes, "note"))]


def curve_table(curve: Curve, found: Scaling, points: Sequence[Point] = ()) -> Table:
    """Points of a curve; all where none are named."""
    chosen = points or curve.points
    has_cost = all(one.cost_usd is not None for one in chosen)
    rows = tuple(
        (
            f"{one.num_devices:,}",
            f"{one.global_batch_size:,}",
            show(one.step_time_s, "s"),
            _rate(one.tokens_per_s),
            show(one.time_s, "s"),
            *([show(one.cost_usd, "USD")] if has_cost and one.cost_usd is not None else []),
            f"{one.efficiency:.1%}",
        )
        for one in chosen
    )
    of_others = f"{curve.name}: the best plan for each number, by the closed form; efficiency against the first"
    heads = (f"|{found.device if curve.kind in CURVES else 'GPUs'}", "|batch", "|step", "|tokens/s", "|time")
    return Table(
        CURVES.get(curve.kind, of_others),
        (*heads, *(["|cost"] if has_cost else []), "|efficiency"),
        rows,
        shares=tuple(one.efficiency for one in chosen),
        color=BUSY_COLOUR,
    )


def jobs_table(found: Scaling, jobs: Sequence[Job]) -> Table:
    """The whole job at each point of the first curve."""
    rows = tuple(
        (
            f"{point.num_devices:,}",
            f"{point.global_batch_size:,}",
            show(job.time_s, "s"),
            f"{show(job.energy_j.value / 3600.0, 'W')}h",
            "no price" if job.cost_usd is None else show(job.cost_usd.value, "USD"),
        )
        for point, job in zip(found.curves[0].points, jobs, strict=True)
    )
    heads = (f"|{found.device}", "|batch", "|time", "|energy", "|cost")
    return Table("The whole job on other numbers of devices", heads, rows)


def some(points: Sequence[Point], own: int) -> list[Point]:
    """Points at powers of two, the run's own, the first and the last, and some between; all where they are few.

    Examples
    --------
    >>> from wsesim.study.scaling import Point
    >>> points = [Point(number, 90 * number, 1.0, 1.0, 1.0, 1.0) for number in range(1, 49)]
    >>> [one.num_devices for one in some(points, 12)]
    [1, 2, 4, 5, 8, 9, 12, 13, 16, 17, 21, 25, 29, 32, 33, 37, 41, 45, 48]
    """
    if len(points) <= FEW_POINTS:
        return list(points)
    ends, between = (points[0].num_devices, points[-1].num_devices, own), math.ceil(2 * len(points) / FEW_POINTS)
    return [
        one
        for place, one in enumerate(points)
        if one.num_devices in ends or math.log2(one.num_devices).is_integer() or place % between == 0
    ]


def totals(result: Result, *, price_table: bool = False) -> Section:
    """Time, energy and cost of the whole job, and the prices they rest on: in a line, or in a table."""
    job, words = result.job, words_of(result)
    found = [
        Fact(_whole_time(result), show_range(job.time_range_s, "s"), is_key=True),
        Fact("steps, tokens", f"{job.steps:,} steps, {job.tokens:.4g} tokens"),
        Fact("energy", show_energy(job.energy_j)),
    ]
    if job.facility_energy_j != job.energy_j:
        found.append(Fact("with the building", show_energy(job.facility_energy_j)))
    if job.cost_usd is not None:
        found.append(Fact("cost", show_range(job.cost_usd, "USD") + words.cost_basis(result)))
    if job.electricity_usd is not None:
        whose = "of the cost" if job.paying == "owned" else "which the rent holds"
        found.append(Fact("electricity", f"{show_range(job.electricity_usd, 'USD')}, {whose}"))
    if job.carbon_kg is not None:
        found.append(Fact("carbon", show_range(job.carbon_kg, "kg") + " of CO2 equivalent"))
    if not price_table:
        found.append(Fact("prices from", price_words(job.prices)))
    found.append(Fact("not included", "compile, start-up, checkpoints, failures, queues: `wsesim lifetime`"))
    tables = (_prices(job.prices),) if price_table and job.prices else ()
    return Section("totals", "Time, energy and cost", (Facts(tuple(found)), *tables))


def _prices(prices: Iterable[Price]) -> Table:
    """Numbers that turn time into money, energy and carbon."""
    rows = [(*_priced(one), one.status, source_cell(one.source), one.date, one.note) for one in prices]
    return Table("Prices", ("number", "value", "range", "status", "~source", "from", "+note"), tuple(rows))


def _priced(one: Price) -> tuple[str, str, str]:
    unit = unit_of_field(one.key)
    return one.key, show(one.value, unit), bounds_cell(one.range, unit)


def bounds_cell(ends: tuple[float, float] | None, unit: str) -> str:
    """Both ends of a range; empty where there is none."""
    return "" if ends is None else between(show(ends[0], unit), show(ends[1], unit))


def learned(result: Result) -> Section:
    """What the model will have learned; nothing of encoders, for which there are no laws."""
    title, quality = "What the model will have learned", result.job.quality
    if quality is None:
        return Section("learned", title)
    (low, high), found, ends, chance = quality.loss_range, quality.accuracy, quality.accuracy_range, quality.chance
    by_compute = quality.loss_by_compute
    beside = f"; {by_compute:.3f} by compute alone" if by_compute is not None else ""
    least, most = ends[AVERAGE]
    by_task = ", ".join(f"{name} {value:.3f} ({chance[name]:g})" for name, value in found.items() if name != AVERAGE)
    told = [
        Fact("predicted loss", f"{quality.loss:.3f} ({low:.3f} to {high:.3f}) nats/token on the Pile{beside}"),
        Fact(
            "on MassiveText",
            f"{quality.chinchilla_loss:.3f} (Chinchilla law): other data, not comparable with the Pile",
        ),
        Fact(
            "predicted accuracy",
            f"{found[AVERAGE]:.3f} ({least:.3f} to {most:.3f}) zero-shot, mean of {len(found) - 1} tasks, "
            f"chance {chance[AVERAGE]:.3f}",
        ),
        Fact("by task (chance)", by_task),
        *(Fact("extrapolated", note) for note in quality.notes),
    ]
    return Section("learned", title, (Facts(tuple(told)), _accuracies(quality)))


def _accuracies(quality: Quality) -> Table:
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
    heads = ("task", "|accuracy", "|90 %", "|chance", *(() if by_compute is None else ("|by compute alone",)))
    return Table("Predicted zero-shot accuracy", heads, tuple(rows), is_repeated=True)


def measured(found: Sequence[Comparison]) -> Section:
    """Published measurements near a run, the nearest first, each with the error of its prediction."""
    lead = (
        "What was measured elsewhere, and what this simulator says to it, in tokens/s. Rows used for calibration or leave-one-out "
        "were fitted, and prove nothing; what counts is the error of a fit without their model, in the column 'left out'."
    )
    if not found:
        return Section("validation", "Measured near this run", (Note("nothing was published on such a machine"),), lead)
    rows = tuple(
        (
            one.id,
            one.model,
            devices(one.num_devices, one.device, ""),
            f"{one.measured_tokens_per_s:,.0f}",
            f"{one.predicted_tokens_per_s:,.0f}",
            f"{one.error:+.1%}",
            "" if one.left_out_error is None else f"{one.left_out_error:+.1%}",
            one.use,
            source_cell(one.source),
        )
        for one in found
    )
    heads = ("row", "~model", "on", "|measured", "|predicted", "|error", "|left out", "use", "+source")
    below = tuple("; ".join(one.differs) or "the same" for one in found)
    table = Table("The nearest published measurements, nearest first", heads, rows, below, "the run has")
    words = notes(["tokens/s; what was fitted proves nothing: `wsesim validate` has all rows"], "aside")
    return Section("validation", "Measured near this run", (table, *words), lead)


def assumptions(results: Sequence[Result], beside: Mapping[str, Sequence[Assumption]] | None = None) -> Section:
    """Every number in use that is not public, also those of clusters that are shown beside, by name."""
    used: dict[Assumption, list[str]] = {}
    for result in results:
        for one in result.assumptions:
            used.setdefault(one, []).append(result.name)
    own = numbers_table("Numbers of this answer that are not public", used)
    if len(results) > 1:
        named = tuple((*row, ", ".join(names)) for row, names in zip(own.rows, used.values(), strict=True))
        own = Table(own.caption, (*own.heads, "+used by"), named)
    others = beside or {}
    tables = [
        numbers_table(f"Numbers of the line of {name} that are not public", some) for name, some in others.items()
    ]
    found = {one.status for one in (*used, *chain.from_iterable(others.values()))}
    lead = "; ".join(f"{status}: {STATUSES[status]}" for status in ("calibrated", "assumed") if status in found)
    title = "Not public: calibrated or assumed"
    return Section("assumptions", title, (own, *tables), f"{lead[:1].upper()}{lead[1:]}.")


def numbers_table(caption: str, numbers: Iterable[Assumption]) -> Table:
    """Numbers with their origin."""
    rows = tuple(
        (
            one.key,
            show(one.value, unit_of_field(one.key)) if isinstance(one.value, int | float) else str(one.value),
            one.status,
            source_cell(one.source),
            bounds_cell(one.range, unit_of_field(one.key)),
            one.note,
        )
        for one in numbers
    )
    return Table(caption, ("number", "value", "status", "~source", "+range", "+note"), rows)


def source_cell(source: str) -> Cell:
    """Titles of sources with their addresses; a text that is no key stands as it is."""
    known = sources()
    words = [word.strip() for word in source.split(",")]
    if not all(word in known for word in words):
        return source
    return tuple(Link(_title(known[word]), known[word].url, word) for word in words)


def _title(source: Source) -> str:
    return f"{source.title} ({source.date})" if source.url else source.title


def layers(rows: Iterable[Mapping[str, Any]]) -> Section:
    """Seconds of the step by layer and phase."""
    found = []
    for row in rows:
        spent = row["times_s"]
        cells = [show(spent.get(kind, 0.0), "s") for kind in PHASES]
        found.append((row["layer"], row["phase"], *cells, show(add_up(spent.values()), "s")))
    title = "Step by layer, on the wafer that decides it"
    heads = ("layer", "phase", *(f"|{kind}" for kind in PHASES), "|sum")
    return Section("layers", title, (Table(title, heads, tuple(found)),))


def links(rows: Iterable[Mapping[str, Any]]) -> Section:
    """Traffic of every link."""
    found = tuple(
        (
            row["parent"],
            row["child"],
            show(row["down_bytes"], "bytes"),
            f"{row['utilization_down']:.1%}",
            show(row["up_bytes"], "bytes"),
            f"{row['utilization_up']:.1%}",
        )
        for row in rows
    )
    table = Table("Links, per step", ("from", "to", "|down", "|busy", "|up", "|busy"), found)
    return Section("links", table.caption, (table,))


def made(result: Result) -> Section:
    """How the answer was found."""
    return Section(
        "made",
        parts=(
            Note(""),
            Note(f"{by(result)}: {words_of(result).made_by(result)}, in {show(result.wall_s, 's')}", "aside"),
        ),
    )


def plans(results: Sequence[Result], wanted: int) -> Section:
    """The best plans of a GPU run, and why the others lose."""
    winner = results[0]
    rows = []
    for place, one in enumerate(results, start=1):
        slower = "" if place == 1 else f"{one.step_time_s / winner.step_time_s - 1.0:.1%}"
        why = "" if place == 1 else why_it_loses(winner, one)
        held = show(one.memory["gpu_bytes"], "bytes")
        rows.append((f"{place}", show(one.step_time_s, "s"), slower, held, plan_words(one), why))
    heads = ("", "|step", "|slower", "|memory", "~plan", "~against the first")
    searched = winner.simulation.num_plans
    if searched == 1:
        text = 'The run file leaves no choice; write parallelism = "auto", or "auto" for single keys of [parallelism].'
    elif len(results) < wanted:
        text = f"No more than these fit, of {searched:,} that divide evenly."
    else:
        text = f"Of {searched:,} that divide evenly; ranked by the closed form, the best of them simulated."
    return Section("plans", "Best plans", (Table("Best plans", heads, tuple(rows)), Note(text, "aside")))


def plan_words(result: Result) -> str:
    """A plan in one line: sizes, layers of uneven stages, what is shared, micro-batch, what is computed again."""
    from wsesim.machines.gpu.words import stage_layers

    plan = result.plan
    dealt = {"pipeline": stage_layers(plan["layers_per_stage"])}
    sizes = {name: plan[f"{name}_parallel_size"] for name in ("data", "tensor", "pipeline", "context", "expert")}
    words = [f"{name} {size}{dealt.get(name, '')}" for name, size in sizes.items() if size > 1]
    if plan["virtual_pipeline_size"] > 1:
        words.append(f"chunks {plan['virtual_pipeline_size']}")
    if plan["sequence_parallel"]:
        words.append("sequence")
    if plan["zero_stage"]:
        words.append(f"ZeRO {plan['zero_stage']}")
    words.append(f"micro-batch {result.micro_batch_size}")
    again = plan["activation_recompute"]
    if again != "none":
        told = again if isinstance(again, str) else ", ".join(f"{key} {value}" for key, value in again.items())
        words.append(f"recompute {told}")
    return ", ".join(words)


def why_it_loses(winner: Result, other: Result) -> str:
    """What takes longer than in the winner's step, and what does not."""
    from wsesim.machines.gpu.search import differences_s

    parts_s = differences_s(winner, other)
    longest = max(map(abs, parts_s.values()), default=0.0)
    if longest < 1e-6 * winner.step_time_s:
        return "as fast"
    told = {name: value for name, value in parts_s.items() if abs(value) >= TOLD_SHARE * longest}
    largest = sorted(told, key=lambda name: -abs(told[name]))[:MOST_TOLD]
    in_order = sorted(largest, key=lambda name: -told[name])
    return ", ".join(f"{'+' if told[name] > 0 else '-'}{show(abs(told[name]), 's')} {name}" for name in in_order)


_SHORT = {
    "amortization_s": "written off over",
    "job_prices.price_usd": "the whole job",
    "pue": "PUE",
    "electricity_usd_per_kwh": "electricity",
    "carbon_kg_per_kwh": "carbon",
}


def _short(key: str) -> str:
    """What a price is of: a device, or something that all machines have."""
    own = key.removeprefix("cluster.")
    if own in _SHORT:
        return _SHORT[own]
    for machine in MACHINES.known:
        if own in (machine.files.cluster.price, machine.files.cluster.bought):
            return f"a {machine.words.short}"
    return own


def price_words(prices: Iterable[Price]) -> str:
    """Which prices were used, and from when each of them is.

    Examples
    --------
    >>> price_words([Price("cluster.pue", 1.1, "published", "llama-2023", "2023-02-27", "")])
    'PUE 1.1 (published, 2023-02-27)'
    >>> price_words([Price("cluster.purchase_price_usd_per_gpu", 37.5e3, "assumed", "none", "", "", (25e3, 50e3))])
    'a GPU 37.5 kUSD (25.0 to 50.0 kUSD, assumed)'
    """
    words = []
    for one in prices:
        unit = unit_of_field(one.key)
        told = (bounds_cell(one.range, unit), one.status, one.date)
        words.append(f"{_short(one.key)} {show(one.value, unit)} ({', '.join(filter(None, told))})")
    return "; ".join(words) or "none: the cluster states no price"
