"""The answer first: the large figures of a run, in the order of the terminal."""

from __future__ import annotations

from wsesim.job import Range
from wsesim.loss import AVERAGE
from wsesim.machines.words import samples_words
from wsesim.report.html.content import Answer, Tile
from wsesim.report.pages import facts
from wsesim.result import Result, bottleneck
from wsesim.units import show

SHOWN_LARGE = ("throughput", "step time")
"""Facts of the headline that the tiles show."""


def answer(result: Result) -> Answer:
    """The answer of one run."""
    headline = facts.headline(result)
    return Answer(
        name=result.name,
        on=headline[0].text,
        tiles=tuple(tiles(result)),
        bottleneck=sentence(bottleneck(result)),
        facts=tuple(fact for fact in headline if fact.name not in SHOWN_LARGE),
        notes=tuple(result.notes),
    )


def sentence(text: str) -> str:
    """A text with a capital letter, whose numbers stay beside their units."""
    return (text[:1].upper() + text[1:]).replace(" %", "\N{NO-BREAK SPACE}%")


def tiles(result: Result) -> list[Tile]:
    """The large figures."""
    training, job = result.run.training, result.job
    found = [
        Tile("throughput", f"{result.tokens_per_s:,.0f} tokens/s", samples_words(result)),
        Tile(
            "step time",
            show(result.step_time_s, "s"),
            f"{_bounds(result.step_time_range_s, 's', 1.0)}; {training.global_batch_size:,} sequences of "
            f"{training.sequence_length:,} tokens",
        ),
        Tile(
            "time to train",
            show(job.time_s, "s"),
            f"{_bounds(job.time_range_s, 's', 1.0)}; {job.steps:,} steps, {job.tokens:.4g} tokens",
        ),
    ]
    if job.cost_usd is not None:
        found.append(Tile("cost", show(job.cost_usd.value, "USD"), _bounds(job.cost_usd, "USD", 1.0)))
    found.append(Tile("energy", f"{show(job.energy_j.value / 3600.0, 'W')}h", _bounds(job.energy_j, "W", 3600.0, "h")))
    if job.quality is not None:
        (low, high), accuracy = job.quality.loss_range, job.quality.accuracy[AVERAGE]
        least, most = job.quality.accuracy_range[AVERAGE]
        found.append(Tile("predicted loss", f"{job.quality.loss:.3f}", f"{low:.3f} to {high:.3f} on the Pile"))
        found.append(
            Tile("predicted accuracy", f"{accuracy:.3f}", f"{least:.3f} to {most:.3f}, zero-shot, seven tasks")
        )
    return found


def _bounds(value: Range, unit: str, divisor: float, after: str = "") -> str:
    if not value.is_range:
        return ""
    return f"{show(value.low / divisor, unit)}{after} to {show(value.high / divisor, unit)}{after}"
