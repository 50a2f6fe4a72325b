"""From the step to the whole job: steps, tokens, time, energy, cost, loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

from wsesim.config.catalogue import sources
from wsesim.config.cluster import JobPriceSpec, Paying
from wsesim.config.run import Run
from wsesim.config.spec import Origin, status_of
from wsesim.config.training import BATCH_KEYS
from wsesim.plugins import MACHINES
from wsesim.results.loss import TOKENS_PER_PARAMETER, Quality
from wsesim.units import show
from wsesim.workload.transformer import active_parameter_count, parameter_count

HOUR_S = 3600.0
KWH_J = 3.6e6
SAME_TOKENS = 0.01
"""Jobs whose tokens, or parameters, differ by less than this share, which is that of a step that is not whole, are the same. [-]"""
ROUNDED = 0.05
"""A model's name, and the tokens of a job with a price, say numbers as closely as this. [-]"""
OF_JOB = "cluster.job_prices.price_usd"
"""Key of a price of a whole job."""


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


def show_range(value: Range, unit: str) -> str:
    """A value, with its bounds where it has some.

    Examples
    --------
    >>> show_range(Range(2.0, 1.0, 3.0), "USD")
    '2.00 USD (1.00 USD to 3.00 USD)'
    """
    text = show(value.value, unit)
    return f"{text} ({show(value.low, unit)} to {show(value.high, unit)})" if value.is_range else text


def between(low: str, high: str) -> str:
    """Both ends of a range; the unit is said once where it is the same.

    Examples
    --------
    >>> between("133 kUSD", "222 kUSD"), between("812 USD", "2.00 kUSD")
    ('133 to 222 kUSD', '812 USD to 2.00 kUSD')
    """
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if unit == high.partition(" ")[2] else f"{low} to {high}"


def show_energy(energy: Range) -> str:
    """An energy in watt hours, with its bounds where it has some.

    Examples
    --------
    >>> show_energy(Range(7.2e9, 3.6e9, 7.2e9))
    '2.00 MWh (1.00 MWh to 2.00 MWh)'
    """
    text = f"{show(energy.value / 3600.0, 'W')}h"
    if not energy.is_range:
        return text
    return f"{text} ({show(energy.low / 3600.0, 'W')}h to {show(energy.high / 3600.0, 'W')}h)"


def ranged(value: float, origin: Origin | None) -> Range:
    """A value with the bounds of its origin, unless it was set to something outside them."""
    if origin is None or origin.low is None or origin.high is None or not origin.low <= value <= origin.high:
        return Range(value, value, value)
    return Range(value, origin.low, origin.high)


@dataclass(frozen=True)
class JobDefinition:
    """What is to be done, whatever does it: what two answers have to share before their figures are of one question.

    Attributes
    ----------
    model, parameters, active_parameters
        What is trained. [-]
    tokens
        Wanted; whole steps take a little less. [-]
    sequence_length, global_batch_size
        Of a step. [-]
    asked
        Key and value that the batch was worked out from, as files have it.
    batch_policy
        "exact" or "nearest".
    weight_sparsity
        Share of weights that are zero. [-]
    software
        Release or profile that the run is simulated with.
    """

    model: str
    parameters: int
    active_parameters: int
    tokens: float
    sequence_length: int
    global_batch_size: int
    asked: tuple[str, float]
    batch_policy: str
    precision: str
    mode: str
    weight_sparsity: float
    software: str

    def differs(self, other: JobDefinition) -> tuple[str, ...]:
        """What makes the work of both another one, of "model", "tokens", "sequence_length", "mode"; to the whole step."""
        is_other = {
            "model": not _is_near(self.parameters, other.parameters),
            "tokens": not _is_near(self.tokens, other.tokens),
            "sequence_length": self.sequence_length != other.sequence_length,
            "mode": self.mode != other.mode,
        }
        return tuple(key for key, differs in is_other.items() if differs)

    def to_dict(self) -> dict[str, Any]:
        """The key ``job`` of every JSON."""
        key, value = self.asked
        return {
            "model": self.model,
            "parameters": self.parameters,
            "tokens": self.tokens,
            "sequence_length": self.sequence_length,
            "global_batch_size": self.global_batch_size,
            "batch_asked": {key: value},
            "batch_policy": self.batch_policy,
            "precision": self.precision,
            "mode": self.mode,
            "weight_sparsity": self.weight_sparsity,
            "software": self.software,
        }


def _is_near(one: float, other: float) -> bool:
    return max(one, other) <= (1.0 + SAME_TOKENS) * min(one, other)


def job_definition(run: Run) -> JobDefinition:
    """The job of a run, once its batch is worked out; the one place where all commands look it up.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> found = job_definition(load_any("andromeda_13b"))
    >>> found.global_batch_size, found.asked, found.batch_policy, found.software
    (1080, ('batch_size_per_system', 90), 'exact', '2.1')
    """
    training = run.training
    asked = run.asked or training
    key = next((one for one in BATCH_KEYS[1:] if getattr(asked, one) is not None), BATCH_KEYS[0])
    return JobDefinition(
        model=run.model.name,
        parameters=parameter_count(run.model, training.sequence_length),
        active_parameters=active_parameter_count(run.model, training.sequence_length),
        tokens=wanted_tokens(run),
        sequence_length=training.sequence_length,
        global_batch_size=training.global_batch_size,
        asked=(key, getattr(asked, key)),
        batch_policy=training.batch_policy,
        precision=training.precision,
        mode=training.mode,
        weight_sparsity=training.weight_sparsity,
        software=MACHINES[run.machine].software(run),
    )


def job_words(run: Run) -> str:
    """The job of a run in one line: the same words in every answer.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> job_words(load_any("andromeda_13b"))
    'Cerebras-GPT 13B, 12.85 B parameters, 257.1 B tokens; 1,080 x 2,048 tokens per step (90 per system, exact); release 2.1'
    """
    job, words = job_definition(run), MACHINES[run.machine].words
    key, value = job.asked
    per_copy, tokens = (f"{value:,.0f} per {words.copy}, ", f"of {show_count(value)} tokens, ")
    how = {"batch_size_per_system": per_copy, "global_batch_tokens": tokens}.get(key, "") + job.batch_policy
    how += f" to {value:,.0f}" if key == BATCH_KEYS[0] and value != job.global_batch_size else ""
    active = f", {show_count(job.active_parameters)} active" if job.active_parameters < job.parameters else ""
    how += f", {100.0 * job.weight_sparsity:.3g}% of the weights zero" if job.weight_sparsity else ""
    done = "" if job.mode == "train" else f", {job.mode}"
    what = f"{job.model}, {show_count(job.parameters)} parameters{active}, {show_count(job.tokens)} tokens{done}"
    steps = f"{job.global_batch_size:,} x {job.sequence_length:,} tokens per step ({how})"
    return f"{what}; {steps}" + (f"; {words.software} {job.software}" if job.software else "")


def time_and_cost(run: Run, step_time_s: float) -> tuple[float, float | None]:
    """Of the whole job at a step time: all that a curve needs of `job`. [s], [USD]"""
    tokens_per_step = run.training.global_batch_size * run.training.sequence_length
    steps = max(1, int(wanted_tokens(run) / tokens_per_step))
    price = price_usd_per_s(run)
    whole = job_price_usd(run, float(steps * tokens_per_step))
    cost = whole or (None if price is None else price.scaled(steps * step_time_s))
    return steps * step_time_s, None if cost is None else cost.value


def whole_time(runs: Iterable[Run]) -> str:
    """What the time of the whole job of some runs is called.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> whole_time([load_any("andromeda_13b")]), whole_time([load_any("andromeda_13b", ["training.mode=evaluation"])])
    ('time to train', 'time to evaluate')
    """
    modes = {run.training.mode for run in runs}
    return "time to train" if modes <= {"train"} else "time to evaluate" if len(modes) == 1 else "time of the job"


def show_count(number: float) -> str:
    """A number of parameters or tokens as people write it.

    Examples
    --------
    >>> show_count(8_030_261_248), show_count(124_439_808), show_count(90_000), show_count(15e12)
    ('8.03 B', '124.4 M', '90,000', '15 T')
    """
    size, word = (1e12, " T") if number >= 1e12 else (1e9, " B") if number >= 1e9 else (1e6, " M")
    return f"{number / size:,.4g}{word}" if number >= 1e6 else f"{number:,.0f}"


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
    range
        Both ends, as the catalogue states them; None where it is exact, or set to something outside them.
    """

    key: str
    value: float
    status: str
    source: str
    date: str
    note: str
    range: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "range": None if self.range is None else list(self.range)}


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
        What is paid for it: the rent, the price of the whole job, or devices written off and the electricity of the building;
        None where neither the catalogue nor the file gives a price. [USD]
    paying
        "rented" or "owned".
    has_job_price
        Whether the cost is what the provider asks for the whole job.
    devices_usd
        Of the cost, that of the devices. [USD]
    electricity_usd
        Of the facility's energy, a part of the cost where devices are owned and of the rent where not; None without a price. [USD]
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
    paying: Paying
    has_job_price: bool
    devices_usd: Range | None
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


def paying(run: Run) -> Paying:
    """How devices are paid for: as the cluster says; else rented where the run sets a price of an hour, owned where it can be."""
    cluster = run.cluster
    said: Paying | None = getattr(cluster, "paying", None)
    if said is not None:
        return said
    hourly, origin = cluster.number(cluster.price), run.origins.get(f"cluster.{cluster.price}")
    is_own = hourly is not None and (origin is None or status_of(origin) == "user")
    return "rented" if is_own or not _is_bought(run) else "owned"


def _is_bought(run: Run) -> bool:
    cluster = run.cluster
    return cluster.number(cluster.bought) is not None and cluster.number("amortization_s") is not None


def devices_usd_per_s(run: Run) -> Range | None:
    """Price of all devices for one second, rented or written off; None where nobody states it. [USD/s]"""
    cluster = run.cluster
    if paying(run) == "rented":
        hourly = _ranged(run, cluster.price)
        return None if hourly is None else hourly.scaled(run.num_devices / HOUR_S)
    bought = _ranged(run, cluster.bought) if _is_bought(run) else None
    return None if bought is None else bought.scaled(run.num_devices / cluster.amortization_s)


def price_usd_per_s(run: Run) -> Range | None:
    """What all devices cost for one second: the rent, or what is written off with the electricity of the building. [USD/s]"""
    devices = devices_usd_per_s(run)
    if devices is None or paying(run) == "rented":
        return devices
    electricity = electricity_usd(run, power_w(run).times(facility_share(run)))
    return devices if electricity is None else devices.plus(electricity)


def job_price_usd(run: Run, tokens: float) -> Range | None:
    """What the provider asks for the whole job, where it is one that it has a price for; a name is rounded to 5 %. [USD]"""
    found = _job_price(run, tokens)
    return None if found is None else Range(found.price_usd, found.price_usd, found.price_usd)


def _job_price(run: Run, tokens: float) -> JobPriceSpec | None:
    """The provider's price of the whole job, of as many devices as it rents out together."""
    if paying(run) == "owned" or run.training.mode != "train" or run.num_devices % MACHINES[run.machine].comes_in(run):
        return None
    parameters = parameter_count(run.model, run.training.sequence_length)
    if not _about(tokens, TOKENS_PER_PARAMETER * parameters):
        return None
    offered: tuple[JobPriceSpec, ...] = getattr(run.cluster, "job_prices", ())
    return next((one for one in offered if _about(parameters, one.parameters)), None)


def _about(value: float, named: float) -> bool:
    return abs(value / named - 1.0) < ROUNDED


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
    for key in keys_of_devices(run):
        if (value := cluster.number(key)) is not None:
            yield f"cluster.{key}", value
    for key in ("pue", "electricity_usd_per_kwh", "carbon_kg_per_kwh"):
        if (value := cluster.number(key)) is not None:
            yield f"cluster.{key}", value


def keys_of_devices(run: Run) -> tuple[str, ...]:
    """Keys of the cluster that the cost of its devices rests on; none where the provider has a price of the whole job."""
    if _job_price(run, wanted_tokens(run)) is not None:
        return ()
    cluster = run.cluster
    return (cluster.bought, "amortization_s") if paying(run) == "owned" else (cluster.price,)


def prices(run: Run) -> tuple[Price, ...]:
    """Numbers that cost, electricity and carbon rest on, and from when they are."""
    found, offer = [], _job_price(run, wanted_tokens(run))
    if offer is not None:
        source = sources().get(offer.source)
        status, date = (source.status, source.date) if source else ("user", "")
        found.append(Price(OF_JOB, offer.price_usd, status, offer.source, date, "of the whole job"))
    for key, value in _price_keys(run):
        origin = run.origins.get(key, Origin(key, value, "", "user", ""))
        source = sources().get(origin.source)
        ends, date = ranged(value, origin), source.date if source else ""
        bounds = (ends.low, ends.high) if ends.is_range else None
        found.append(Price(key, value, status_of(origin), origin.source, date, origin.note, bounds))
    return tuple(found)


def prices_of_devices(run: Run) -> tuple[Price, ...]:
    """Those that the cost of the devices rests on."""
    of_cost = {OF_JOB, *(f"cluster.{key}" for key in keys_of_devices(run))}
    return tuple(one for one in prices(run) if one.key in of_cost)


def job(run: Run, step_time_s: float) -> Job:
    """What the whole job takes at a step time."""
    tokens_per_step = run.training.global_batch_size * run.training.sequence_length
    steps = max(1, int(wanted_tokens(run) / tokens_per_step))
    time_s, tokens = steps * step_time_s, float(steps * tokens_per_step)
    price, energy = price_usd_per_s(run), power_w(run).scaled(time_s)
    whole, devices = job_price_usd(run, tokens), devices_usd_per_s(run)
    facility = energy.times(facility_share(run))
    return Job(
        steps=steps,
        tokens=tokens,
        time_s=time_s,
        time_range_s=Range(time_s, time_s, time_s),
        energy_j=energy,
        facility_energy_j=facility,
        cost_usd=whole or (None if price is None else price.scaled(time_s)),
        paying=paying(run),
        has_job_price=whole is not None,
        devices_usd=whole or (None if devices is None else devices.scaled(time_s)),
        electricity_usd=electricity_usd(run, facility),
        carbon_kg=carbon_kg(run, facility),
        prices=prices(run),
        quality=Quality(run.model, run.training.sequence_length, tokens)
        if run.model.causal and run.training.mode == "train"
        else None,
    )
