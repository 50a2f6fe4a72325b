"""The life of a job: when it ends, what the time went on, how often to checkpoint."""

from __future__ import annotations

import math

from wsesim.machines.machine import machine_of
from wsesim.report.charts.planning import BINS, PERCENTILES, lives
from wsesim.report.charts.theme import SERIES_COLOURS
from wsesim.report.pages.run import numbers_table, price_words
from wsesim.results.job import job_words, prices, show_energy, show_range
from wsesim.study.life import CAUSES
from wsesim.study.lifetime import Lifetime, waits_s
from wsesim.units import show
from wsesim.view import Bar, Bars, Fact, Facts, Figure, Note, Section, Table, plural

COLOUR = SERIES_COLOURS[0]
POLICIES = {
    "spare": "a spare takes its place",
    "shrink": "the job goes on with fewer until it is repaired",
    "wait": "the job waits until it is repaired",
}


def _units(life: Lifetime, count: int) -> str:
    return plural(count, machine_of(life.run).words.unit)


def headline(life: Lifetime) -> list[Fact]:
    """When it ends."""
    calendar_s, line = life.calendar_s, life.timeline
    held = f"{life.goodput:.1%} of the time for which it holds {_units(life, line.units)}"
    return [
        Fact("job", job_words(life.run)),
        Fact("on", machine_of(life.run).words.counted(life.run.cluster)),
        Fact("calendar time", f"{show(calendar_s['mean'], 's')} on average", is_key=True),
        Fact("5th, 50th, 95th percentile", ", ".join(show(calendar_s[key], "s") for key in ("p5", "p50", "p95"))),
        Fact("spread", spread_words(life)),
        Fact("goodput", held, is_key=True),
        Fact("steps alone", f"{show(line.work_s, 's')}: {line.steps:,} steps of {line.step_time_s:.4g} s"),
    ]


BLOCKS = " ▁▂▃▄▅▆▇█"


def spread_words(life: Lifetime) -> str:
    """How often lives take how long, as a line of bars from the shortest to the longest.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> from wsesim.study.lifetime import lifetime
    >>> spread_words(lifetime(load("andromeda_13b"), step_time_s=7.26, replications=2)).split()[-1]
    'days'
    """
    times = life.samples["calendar_s"]
    low, high = min(times), max(times)
    if high == low:
        return "all the same"
    counts = [0] * BINS
    for one in times:
        counts[min(BINS - 1, int((one - low) / (high - low) * BINS))] += 1
    bars = "".join(BLOCKS[math.ceil(count / max(counts) * (len(BLOCKS) - 1))] for count in counts)
    return f"{show(low, 's')} {bars} {show(high, 's')}"


def picture(life: Lifetime) -> tuple[Figure, ...]:
    """How long lives are, where they differ."""
    times = life.samples["calendar_s"]
    if min(times) == max(times):
        return ()
    rows = tuple((name, show(life.calendar_s[key], "s")) for key, name in PERCENTILES.items())
    table = Table("Percentiles of the calendar time", ("", "|calendar time"), rows)
    return (Figure("lives", f"Calendar time of {len(times):,} simulated lives", lives(life), (table,)),)


def causes(life: Lifetime) -> Bars:
    """What the calendar time went on."""
    total_s = life.calendar_s["mean"]
    bars = tuple(
        Bar(cause, show(spent_s, "s"), spent_s / total_s, CAUSES[cause])
        for cause, spent_s in life.spent_s.items()
        if spent_s > 0.0
    )
    return Bars(bars, "Where the time goes, on average", COLOUR, ("calendar time", show(total_s, "s")))


def failures(life: Lifetime) -> list[Fact]:
    """How often it fails, and what happens then."""
    line, found = life.timeline, life.failures
    if math.isinf(life.mtbf_s):
        return [Fact("failures", "none: the run states no mean time between failures")]
    words = machine_of(life.run).words
    word = words.unit
    fabric = f", {found['fabric']:.3g} {words.rest}" if line.fabric_rate_per_s else ""
    return [
        Fact("failures", f"{found['unit']:.3g} of a {word}{fabric}, on average"),
        Fact("one every", f"{show(life.mtbf_s, 's')} on {_units(life, line.units)}"),
        Fact(f"when a {word} fails", f"{POLICIES[line.on_failure]}; repaired after {show(line.repair_s, 's')}"),
        *([] if line.on_failure == "wait" else [Fact("spares", f"{line.spares}")]),
        Fact("a restart takes", f"{show(line.restart_s, 's')}, reading the checkpoint included"),
    ]


def _interval(value_s: float) -> str:
    return show(value_s, "s") if 0.0 < value_s < math.inf else "none needed" if value_s else "as often as possible"


def intervals(life: Lifetime) -> Table:
    """The interval in use beside the optimum by formula and by simulation."""
    found = life.intervals
    tried = dict(found.curve)
    rows = (
        ("in use", show(found.used_s, "s"), show(life.calendar_s["mean"], "s")),
        ("Young's formula", _interval(found.young_s), ""),
        ("Daly's formula", _interval(found.daly_s), _time(tried.get(found.daly_s))),
        ("simulated optimum", _interval(found.simulated_s), _time(min(tried.values(), default=None))),
    )
    return Table("Checkpoints", ("interval", "|work between two", "|calendar time"), rows)


def beside_words(life: Lifetime) -> str:
    """What steps do while a checkpoint is written; nothing where they stop for it.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> from wsesim.study.lifetime import lifetime
    >>> beside_words(lifetime(load("andromeda_13b"), step_time_s=7.26, replications=2))
    ', beside the steps, of which 136 (16.5 min) may run ahead of it; then they wait 1.02 min'
    """
    line = life.timeline
    if not line.ahead_steps:
        return ""
    waits = waits_s(line)
    ahead = f"{line.ahead_steps:,} ({show(line.ahead_steps * line.step_time_s, 's')}) may run ahead of it"
    after = f"then they wait {show(waits, 's')}" if waits else "they do not wait"
    return f", beside the steps, of which {ahead}; {after}"


def checkpoint_words(life: Lifetime) -> str:
    """What a checkpoint takes, and what other intervals would do."""
    line, found = life.timeline, life.intervals
    tried = dict(found.curve)
    text = f"A checkpoint takes {show(line.checkpoint_s, 's')}{beside_words(life)}."
    if tried:
        shortest, longest = found.curve[0], found.curve[-1]
        text += (
            f" Simulated {len(tried)} intervals on the same failures, {found.replications} lives each: {show(shortest[0], 's')} "
            f"would take {show(shortest[1], 's')}, {show(longest[0], 's')} would take {show(longest[1], 's')}."
        )
    if found.as_good_s is not None and found.as_good_s[0] < found.as_good_s[1]:
        low, high = (show(one, "s") for one in found.as_good_s)
        text += f" So few lives do not tell the best from the others between {low} and {high}."
    return text


def _time(value_s: float | None) -> str:
    return "" if value_s is None else show(value_s, "s")


def money(life: Lifetime) -> list[Fact]:
    """What the systems cost and take while the job holds them."""
    facts = [
        Fact("energy", f"{show_energy(life.energy_j)}, spares included, busy or not, for {show(life.held_s, 's')}")
    ]
    if life.facility_energy_j != life.energy_j:
        facts.append(Fact("with the building", show_energy(life.facility_energy_j)))
    if life.cost_usd is not None:
        facts.append(Fact("cost", f"{show_range(life.cost_usd, 'USD')}, spares included"))
    if life.electricity_usd is not None:
        facts.append(Fact("electricity", show_range(life.electricity_usd, "USD")))
    if life.carbon_kg is not None:
        facts.append(Fact("carbon", f"{show_range(life.carbon_kg, 'kg')} of CO2 equivalent"))
    return [*facts, Fact("prices from", price_words(prices(life.run)))]


def sections(life: Lifetime) -> list[Section]:
    """The whole answer."""
    events = sum(one.num_events for one in life.replications)
    found = f"{plural(len(life.replications), 'replication')}, seed {life.seed}: {events:,} events"
    numbers = numbers_table("Numbers of this answer that are not public", life.assumptions)
    return [
        Section("life", parts=(Note(life.run.name, "key"), Facts(tuple(headline(life))), *picture(life))),
        Section("causes", "Where the time goes, on average", (causes(life),)),
        Section("failures", "Failures", (Facts(tuple(failures(life))),)),
        Section("checkpoints", "Checkpoints", (intervals(life), Note(checkpoint_words(life), "aside"))),
        Section("money", "Energy and cost", (Facts(tuple(money(life))),)),
        Section("assumptions", "Not public: calibrated or assumed", (numbers,) if life.assumptions else ()),
        Section("made", parts=(Note(""), Note(found, "aside"))),
    ]
