"""From the step to the whole job: steps, tokens, time, energy, cost, loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from wsesim.config.catalogue import sources
from wsesim.config.provenance import Origin, status_of
from wsesim.config.run import Run
from wsesim.loss import TOKENS_PER_PARAMETER, Quality
from wsesim.workload.transformer import parameter_count

HOUR_S = 3600.0
KWH_J = 3.6e6


@dataclass(frozen=True)
class Range:
    """A value, and its bounds where the catalogue gives a range."""

    value: float
    low: float
    high: float

    @property
    def is_range(self) -> bool:
        """Whether the bounds differ."""
        return self.high > self.low

    def scaled(self, factor: float) -> Range:
        """The range times a number."""
        return Range(self.value * factor, self.low * factor, self.high * factor)

    def times(self, other: Range) -> Range:
        """The product of two ranges of positive numbers, bound by bound."""
        return Range(self.value * other.value, self.low * other.low, self.high * other.high)

    def plus(self, other: Range) -> Range:
        """The sum of two ranges, bound by bound."""
        return Range(self.value + other.value, self.low + other.low, self.high + other.high)


def ranged(value: float, origin: Origin | None) -> Range:
    """A value with the bounds of its origin, unless it was set to something outside them."""
    if origin is None or origin.low is None or origin.high is None or not origin.low <= value <= origin.high:
        return Range(value, value, value)
    return Range(value, origin.low, origin.high)


@dataclass(frozen=True)
class Price:
    """A number that turns time into money, energy of a building or carbon.

    Attributes
    ----------
    key
        Dotted key of the run file.
    value
        In the SI unit of its key.
    status, source, note
        As in the catalogue.
    date
        Of the source, which is the date of the price; empty where nobody publishes it.
    """

    key: str
    value: float
    status: str
    source: str
    date: str
    note: str


@dataclass(frozen=True)
class Job:
    """A whole training job without failures, checkpoints and queues.

    Attributes
    ----------
    tokens
        Steps times the batch's tokens: the wanted number, rounded down to whole steps. [-]
    time_s
        Steps times the step time. [s]
    time_range_s
        The same, with the range in which it lies in nine cases of ten where errors of predictions are known. [s]
    energy_j
        Of all systems with their share of the rest of the cluster. [J]
    facility_energy_j
        The same with what the building takes: times the PUE. [J]
    cost_usd
        Of the devices; None where neither the catalogue nor the file gives a price. [USD]
    electricity_usd
        Of the facility's energy; None without a price. A rented device's price holds it already. [USD]
    carbon_kg
        CO2 equivalent of the facility's energy; None where the grid's is not given. [kg]
    prices
        Numbers that cost, electricity and carbon rest on.
    quality
        Loss and zero-shot accuracy; None for encoders, for which the laws were not made.
    """

    steps: int
    tokens: float
    time_s: float
    time_range_s: Range
    energy_j: Range
    facility_energy_j: Range
    cost_usd: Range | None
    electricity_usd: Range | None
    carbon_kg: Range | None
    prices: tuple[Price, ...]
    quality: Quality | None

    @property
    def pile_loss(self) -> float | None:
        """Predicted test loss on the Pile; None for encoders. [nats/token]"""
        return None if self.quality is None else self.quality.loss


def wanted_tokens(run: Run) -> float:
    """Training tokens that the run asks for. [-]"""
    tokens_per_step = run.training.global_batch_size * run.training.sequence_length
    if run.training.steps is not None:
        return float(run.training.steps * tokens_per_step)
    if run.training.tokens == "chinchilla":
        return TOKENS_PER_PARAMETER * parameter_count(run.model, run.training.sequence_length)
    return float(run.training.tokens)


def _ranged(run: Run, key: str) -> Range | None:
    """A number of the cluster by its key, with the bounds of its origin; None where it is left out."""
    value = run.cluster.number(key)
    return None if value is None else ranged(value, run.origins.get(f"cluster.{key}"))


def power_w(run: Run) -> Range:
    """All devices, and their share of the rest of the cluster. [W]"""
    parts = [part for part in (_ranged(run, key) for key in run.cluster.power) if part is not None]
    return reduce(Range.plus, parts).scaled(run.num_devices)


def price_usd_per_s(run: Run) -> Range | None:
    """Price of all devices for one second, or None. [USD/s]"""
    cluster = run.cluster
    hourly = _ranged(run, cluster.price)
    if hourly is not None:
        return hourly.scaled(run.num_devices / HOUR_S)
    bought = _ranged(run, cluster.bought)
    if bought is None or cluster.number("amortization_s") is None:
        return None
    return bought.scaled(run.num_devices / cluster.amortization_s)


def facility_share(run: Run) -> Range:
    """Power of the building over that of the devices: the PUE, or 1. [-]"""
    return ranged(run.cluster.number("pue") or 1.0, run.origins.get("cluster.pue"))


def electricity_usd(run: Run, energy_j: Range) -> Range | None:
    """What an energy costs, or None without a price. [USD]"""
    return _by_kwh(run, "electricity_usd_per_kwh", energy_j)


def carbon_kg(run: Run, energy_j: Range) -> Range | None:
    """CO2 equivalent of an energy, or None where the grid's is not given. [kg]"""
    return _by_kwh(run, "carbon_kg_per_kwh", energy_j)


def _by_kwh(run: Run, key: str, energy_j: Range) -> Range | None:
    per_kwh = run.cluster.number(key)
    if per_kwh is None:
        return None
    return ranged(per_kwh, run.origins.get(f"cluster.{key}")).times(energy_j.scaled(1.0 / KWH_J))


def _price_keys(run: Run) -> Iterator[tuple[str, float]]:
    """Dotted keys and values of the numbers that cost, electricity and carbon rest on."""
    cluster = run.cluster
    per_hour, bought = cluster.number(cluster.price), cluster.number(cluster.bought)
    if per_hour is not None:
        yield f"cluster.{cluster.price}", per_hour
    elif bought is not None and cluster.number("amortization_s") is not None:
        yield f"cluster.{cluster.bought}", bought
        yield "cluster.amortization_s", cluster.amortization_s
    for key in ("pue", "electricity_usd_per_kwh", "carbon_kg_per_kwh"):
        if (value := cluster.number(key)) is not None:
            yield f"cluster.{key}", value


def prices(run: Run) -> tuple[Price, ...]:
    """Numbers that cost, electricity and carbon rest on, and from when they are."""
    found = []
    for key, value in _price_keys(run):
        origin = run.origins.get(key, Origin(key, value, "", "user", ""))
        source = sources().get(origin.source)
        found.append(Price(key, value, status_of(origin), origin.source, source.date if source else "", origin.note))
    return tuple(found)


def prices_of_devices(run: Run) -> tuple[Price, ...]:
    """Those that the cost of the devices rests on."""
    of_cost = {f"cluster.{key}" for key in (run.cluster.price, run.cluster.bought, "amortization_s")}
    return tuple(one for one in prices(run) if one.key in of_cost)


def job(run: Run, step_time_s: float) -> Job:
    """What the whole job takes at a step time."""
    tokens_per_step = run.training.global_batch_size * run.training.sequence_length
    steps = max(1, int(wanted_tokens(run) / tokens_per_step))
    time_s, tokens = steps * step_time_s, float(steps * tokens_per_step)
    price, energy = price_usd_per_s(run), power_w(run).scaled(time_s)
    facility = energy.times(facility_share(run))
    return Job(
        steps=steps,
        tokens=tokens,
        time_s=time_s,
        time_range_s=Range(time_s, time_s, time_s),
        energy_j=energy,
        facility_energy_j=facility,
        cost_usd=price.scaled(time_s) if price is not None else None,
        electricity_usd=electricity_usd(run, facility),
        carbon_kg=carbon_kg(run, facility),
        prices=prices(run),
        quality=Quality(run.model, run.training.sequence_length, tokens) if run.model.causal else None,
    )
