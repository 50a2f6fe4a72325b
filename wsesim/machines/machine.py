"""A kind of machine: what every question asks of it, and what its answers say. One folder beside this file each."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple, cast

from wsesim import plugins
from wsesim.config.cluster import AnyCluster, Files
from wsesim.config.run import Run
from wsesim.errors import ConfigError, DoesNotFit, WsesimError
from wsesim.machines.timeline import Timeline, draw
from wsesim.results.intervals import NOTHING_KNOWN, Bounds
from wsesim.results.job import Range
from wsesim.results.result import Result
from wsesim.results.step import Step
from wsesim.units import show
from wsesim.view import MFU_DIFFERENCE, Bar, Fact, Level, Passes, Place, Roof, plural, share_of, show_mfu

# What a kind of machine is called, and what its answers say: the same words in every medium.


class Words:
    """Words of a kind of machine. What is left open says what can be said of any machine.

    Attributes
    ----------
    device, devices
        What is counted, in full: "CS system", "CS systems".
    short
        The same in few letters, for one and in a list of prices: "system".
    adjective
        Of its runs: "wafer-scale".
    copy, software
        What `batch_size_per_system` is for each of, and what the version of the software is called.
    unit, rest
        What fails as one, and what else stops a job.
    categories
        What a step is spent on, and what that means; also in the order of its parts.
    parts
        What a busy part is called, and what it does.
    held
        What is called otherwise in words than in the `held_bytes` of its places.
    lead
        What utilization says, above its bars.
    example
        A cluster of its own in the catalogue, for messages.
    """

    device: ClassVar[str] = "device"
    devices: ClassVar[str] = "devices"
    short: ClassVar[str] = "device"
    adjective: ClassVar[str] = "other"
    unit: ClassVar[str] = "device"
    copy: ClassVar[str] = "device"
    software: ClassVar[str] = "software"
    rest: ClassVar[str] = "of the job itself"
    categories: ClassVar[Mapping[str, str]] = {}
    parts: ClassVar[Mapping[str, tuple[str, str]]] = {}
    held: ClassVar[Mapping[str, str]] = {}
    lead: ClassVar[str] = (
        "The share of a step in which each part works. Parts work at the same time, so that shares do not add up."
    )
    example: ClassVar[str] = ""

    def count(self, cluster: AnyCluster, number: int | None = None) -> str:
        """Devices of a cluster, all that the job uses or another number: "12 CS-2 systems"."""
        return devices(cluster.num_devices if number is None else number, cluster.device, self.short)

    def size_of_one(self, part: Any) -> str:
        """How large one device is: its peak, its memory and what was measured on it, as far as its file says them."""
        peak = getattr(part, "peak_dense_16bit_flop_per_s", None)
        memory = getattr(part, "memory_bytes", None)
        found = [f"{show(peak, 'FLOP/s')} at 16 bit"] if peak else []
        size = ", ".join([*found, *([show(memory, "bytes")] if memory else [])])
        measured = getattr(part, "measured", None)
        return f"{size}; measured: {measured}" if isinstance(measured, str) else size

    def where(self, cluster: AnyCluster, number: int) -> str:
        """What so many devices are a part of."""
        return cluster.title

    def counted(self, cluster: AnyCluster, number: int | None = None) -> str:
        """Devices, and of which cluster: "12 CS-2 systems (Andromeda)". What is counted stands beside its number."""
        found = cluster.num_devices if number is None else number
        return f"{self.count(cluster, found)} ({self.where(cluster, found)})"

    def counted_short(self, cluster: AnyCluster, number: int) -> str:
        """The same for tables, with the device's name only where the cluster does not say it."""
        return self.counted(cluster, number)

    def planned(self, run: Run, plan: Mapping[str, Any]) -> str:
        """How the model is spread over devices, for tables; what each device has of the batch where there is no choice."""
        share = run.training.global_batch_size / run.num_devices
        return f"{share:,.4g} sequences per {self.short}" if run.num_devices > 1 and not plan else ""

    def on(self, result: Result) -> str:
        """What it runs on."""
        return self.counted(result.run.cluster)

    def batch(self, result: Result) -> list[Fact]:
        """How the batch is cut."""
        size, count = f"{result.micro_batch_size:,}", result.num_micro_batches
        passes = f"{count:,} x {size}" if count > 1 else size
        return [Fact(f"batch per {self.short}", f"{passes} of {result.run.training.sequence_length:,} tokens")]

    def throughput(self, result: Result) -> str:
        """How fast."""
        return f"{samples_words(result)}, {result.tokens_per_s:,.0f} tokens/s"

    def headline(self, result: Result) -> list[Fact]:
        """How fast, on what."""
        training, number, rate = result.run.training, result.num_devices, result.model_flop_per_s
        each = f"{show(rate, 'FLOP/s')}, {show(rate / number, 'FLOP/s')} per {self.short}"
        facts = [
            Fact("on", self.on(result)),
            Fact("throughput", self.throughput(result), is_key=True),
            Fact("step time", f"{step_words(result)} for {training.global_batch_size:,} sequences", is_key=True),
            Fact("model FLOP/s", each),
        ]
        mfu = Fact("MFU", show_mfu(result.mfu, result.mfu_causal, training.precision) + self.peak(result))
        executed = show(result.hfu * result.peak_flop_per_s / number, "FLOP/s")
        hfu = Fact("HFU", f"{result.hfu:.1%}, executed FLOP over peak: {executed} per {self.short}")
        if training.weight_sparsity > 0:  # the FLOP of the dense model are not what is done
            facts += [hfu, Fact("dense MFU", f"{result.mfu:.1%}, with the FLOP that zero weights save")]
        else:
            facts += [mfu, hfu] if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE else [mfu]
        return [*facts, *self.batch(result)]

    def peak(self, result: Result) -> str:
        """What else the peak could be, where sources differ."""
        return ""

    def spread(self, result: Result) -> list[Fact]:
        """How the model is spread over devices, where there is a choice."""
        return []

    def places(self, result: Result) -> list[Place]:
        """Memories of a run that could be too small, the first one first."""
        return []

    def roofline(self, result: Result) -> tuple[Roof, list[Passes]] | None:
        """What bounds the work of a device, and where the kinds of its work lie; None where work comes over no link."""
        return None

    def levels(self, cluster: AnyCluster, busy: Mapping[str, float]) -> list[Level]:
        """What a drawing of a cluster shows, from the top; `busy` are shares of a step by part, none without a run."""
        return [Level(self.counted(cluster), cluster.num_devices)]

    def memory(self, result: Result) -> list[Fact]:
        """Of each place, what is in use and what there is, in words."""
        return [Fact(one.name, one.said) for one in self.places(result)]

    def memory_shares(self, result: Result) -> list[Bar]:
        """Each place as a share of what it could hold, and its parts where there are several."""
        bars = []
        for one in self.places(result):
            bars.append(share_of(one.short or one.name, one.used_bytes, one.capacity_bytes, "bytes", one.meaning))
            parts = one.held_bytes.items() if len(one.held_bytes) > 1 else ()
            bars += [share_of(self.held.get(name, name), held, one.capacity_bytes, "bytes") for name, held in parts]
        return bars

    def scaling(self, result: Result, weak: float, strong: float) -> list[Fact]:
        """Efficiency against one device."""
        of_one = f"of {result.num_devices:,} times one {self.short}"
        return [
            Fact("weak scaling", f"{weak:.1%} {of_one}, same batch per {self.short}"),
            Fact("strong scaling", f"{strong:.1%} {of_one}, same global batch"),
        ]

    def cost_basis(self, result: Result) -> str:
        """What the cost stands for."""
        if result.job.has_job_price:
            return ", the provider's price of this job"
        if result.job.paying == "rented":
            return ", rented"
        electricity = "" if result.job.electricity_usd is None else ", with electricity and building"
        return f", owned: written off over {show(result.run.cluster.amortization_s, 's')}{electricity}"

    def made_by(self, result: Result) -> str:
        """How the answer was found."""
        return f"simulated one step: {plural(result.num_events, 'event')}"

    def meaning(self, category: str) -> str:
        """What a part of the step is."""
        return self.categories.get(category, category)

    def busy(self, part: str) -> str:
        """A part that is busy, in a picture."""
        return self.part(part)[0]

    def part(self, name: str) -> tuple[str, str]:
        """What a part of the machine is called that is busy, and what it does."""
        return self.parts.get(name, (name, ""))


def devices(number: int, device: str, word: str) -> str:
    """A number of devices, with what one is called unless its name says so already.

    Examples
    --------
    >>> devices(12, "CS-2", "system"), devices(1, "A100 SXM 80 GB", "GPU"), devices(4, "GB200, half of a board", "GPU")
    ('12 CS-2 systems', '1 A100 SXM 80 GB GPU', '4 GB200 GPUs')
    """
    kind = device.partition(",")[0].removesuffix(word).strip()
    return plural(number, f"{kind} {word}".strip()) if word else f"{number:,} {kind}"


def samples_words(result: Result) -> str:
    """The rate with its range."""
    return f"{result.samples_per_s:,.4g} samples/s {within(result.samples_range_per_s)}"


def step_words(result: Result) -> str:
    """The step time with its range."""
    return f"{result.step_time_s:.4g} s {within(result.step_time_range_s)}"


def within(value: Range) -> str:
    """The bounds of a number whose unit stands before them; three figures are more than they are worth.

    Examples
    --------
    >>> within(Range(1487.3, 1380.2, 1561.8)), within(Range(0.5, 0.46, 0.54))
    ('(1,380 to 1,560)', '(0.46 to 0.54)')
    """
    low, high = (f"{float(f'{end:.3g}'):,.10g}" for end in (value.low, value.high))
    return f"({low} to {high})"


# A kind of machine: what every question asks of it. One folder beside this file each, and one line in `MACHINES`.
#
# `Machine` is the protocol. What it leaves open in its first methods a kind of machine has to say; the rest has an
# answer that is good for machines of equal devices that share a batch, and a kind of machine says more where it knows
# more.


MACHINES = cast("Mapping[str, Machine]", plugins.MACHINES)
"""Kinds of machines by name. Ours stand in `wsesim.plugins.MACHINES`; a package adds one by an entry point of the group
``wsesim.machines``."""

FEW = 32
"""So many numbers of devices are all simulated; of more, about as many are chosen. [-]"""
MOST_JOBS = 500_000
"""Jobs of a step that a run may have unless told otherwise: about ten seconds. [-]"""
limit: ContextVar[int] = ContextVar("limit", default=MOST_JOBS)
"""Jobs of a step that a run may have here: `--limit`, which other processes are told. [-]"""
page_limit: ContextVar[int] = ContextVar("page_limit", default=120_000)
"""Jobs of a step that the page simulates, times the systems that differ: a few seconds; `wsesim serve --limit`. [-]"""


def limits() -> Callable[[], None]:
    """What makes the limits of another process those of this one."""
    return partial(_set_limits, limit.get(), page_limit.get())


def _set_limits(most_jobs: int, most_jobs_of_page: int) -> None:
    limit.set(most_jobs)
    page_limit.set(most_jobs_of_page)


LAYERS, LINKS, PLANS = "layers", "links", "top"
"""Options of `wsesim run` for what only some kinds of machines have."""


class Work(NamedTuple):
    """What a simulation takes, as far as it is known before.

    Attributes
    ----------
    num_jobs
        Of its program. [-]
    time_s, memory_bytes
        About. [s], [bytes]
    what
        What has so many jobs; a search has plans.
    for_each_job
        So many of them are taken for each job that the limit allows: a plan takes less than a job. [-]
    """

    num_jobs: int = 0
    time_s: float = 0.0
    memory_bytes: float = 0.0
    what: str = "a step of {} jobs"
    for_each_job: int = 1

    def __str__(self) -> str:
        """In words."""
        about = f"{show(self.time_s, 's')} and {show(self.memory_bytes, 'bytes')}"
        return f"{self.what.format(f'{self.num_jobs:,}')} takes about {about}"

    def check(self, place: str, remedy: str) -> None:
        """Refuse more jobs than the limit."""
        most = limit.get() * self.for_each_job
        if self.num_jobs > most:
            raise ConfigError(
                f"{place}: {self}, which is more than the limit of {most:,}; {remedy}, or raise the limit (--limit)"
            )


@dataclass(frozen=True)
class LeftOut:
    """A number of devices without a point on a curve."""

    num_devices: int
    reason: str


@dataclass(frozen=True)
class Failures:
    """How often what a job runs on fails.

    Attributes
    ----------
    units
        What fails as one: systems, nodes. [-]
    unit_rate_per_s
        Of one of them. [1/s]
    other_rate_per_s
        Failures that take no unit with them. [1/s]
    """

    units: int
    unit_rate_per_s: float = 0.0
    other_rate_per_s: float = 0.0


class Machine(ABC):
    """A kind of machine.

    Attributes
    ----------
    name, kind
        In `MACHINES`, and under "kind" in JSON.
    files
        What files say of it.
    words
        What it is called, and what its answers say.
    engines
        Of `wsesim run --engine`; the first is the usual one, the last the fastest.
    offers
        Options of `wsesim run` that ask for what not every machine has: `LAYERS`, `LINKS`, `PLANS`.
    estimates
        Whether `step_times_s` are estimates, which `step_time_s` has to confirm.
    evaluates
        Whether it simulates evaluations, which are forward passes alone.
    at_once
        Runs that a process of a sweep takes at a time, least and most. [-]
    most_tried
        Sizes of one cluster that a plan tries; more are thinned out evenly in the logarithm. [-]
    is_baseline
        Whether others are shown beside it.
    measured
        Address of its published measurements (`wsesim.validate.near.Rows`); empty where nothing was
        measured.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    files: ClassVar[Files]
    words: ClassVar[Words]
    engines: ClassVar[tuple[str, ...]] = ("simpy",)
    offers: ClassVar[frozenset[str]] = frozenset()
    estimates: ClassVar[bool] = False
    evaluates: ClassVar[bool] = False
    at_once: ClassVar[tuple[int, int]] = (1, 1)
    most_tried: ClassVar[int] = 256
    is_baseline: ClassVar[bool] = False
    measured: ClassVar[str] = ""

    @abstractmethod
    def check(self, run: Run) -> None:
        """Refuse a run that cannot be: `InputError` where its numbers contradict each other, `DoesNotFit` where it is too large."""

    @abstractmethod
    def simulate(self, run: Run, engine: str = "") -> Step:
        """One step of a run, by one of `engines`; checks it first."""

    def work(self, run: Run) -> Work:
        """What simulating a step takes; nothing worth telling unless the machine says so."""
        return Work()

    def simulate_many(self, runs: Sequence[Run]) -> Sequence[Step]:
        """One step of each run; the first that is refused raises."""
        return [self.simulate(run) for run in runs]

    def time_only(self, run: Run) -> Step:
        """One step of which nothing but its time, its memory and its plan is asked for."""
        return self.simulate(run)

    def step_time_s(self, run: Run) -> float:
        """Time of one step. [s]"""
        return self.time_only(run).time_s

    def step_times_s(self, runs: Sequence[Run]) -> list[float | str]:
        """Times of many steps, the fast way; or why a run cannot be. [s]"""
        found: list[float | str] = []
        for run in runs:
            try:
                found.append(self.step_time_s(run))
            except (ConfigError, DoesNotFit) as error:
                found.append(str(error))
        return found

    def best(self, run: Run, number: int) -> Sequence[Step]:
        """The best plans of a run, fastest first, where the machine leaves a choice."""
        return [self.simulate(run)][:number]

    # Sizes

    def comes_in(self, run: Run) -> int:
        """Devices that are bought and rented together. [-]"""
        return 1

    def nearest_batch(self, run: Run) -> int:
        """The batch nearest to that of a run which divides well on its devices, within the run's tolerance. [-]"""
        return nearest(run.training.global_batch_size, run.num_devices, run.training.batch_tolerance)

    def numbers(self, run: Run) -> list[int]:
        """Numbers of devices that a curve is drawn through, from one to all that there are. [-]"""
        return counts(run.max_devices)

    def weak(self, run: Run) -> tuple[list[Run], list[LeftOut]]:
        """The run on other numbers of devices, each with the batch that it has now; and the numbers that are left out."""
        share = run.training.global_batch_size / run.num_devices
        return [run.on(number, max(1, round(share * number))) for number in self.numbers(run)], []

    def strong(self, run: Run, batch: int | None = None) -> tuple[list[Run], list[LeftOut]]:
        """The run on other numbers of devices with the same batch of all, or another one; and the numbers that are left out."""
        whole = batch or run.training.global_batch_size
        tried = self.numbers(run)
        left_out = [LeftOut(one, f"does not divide the global batch of {whole:,}") for one in tried if whole % one]
        return [run.on(one, whole) for one in tried if whole % one == 0], left_out

    def limits(self, runs: Sequence[Run]) -> list[tuple[str, ...]]:
        """What takes at least a tenth of the step of each run, in words; none where it is not looked for."""
        return []

    def alone(self, run: Run) -> Run | None:
        """One device with the share that a device has in the run; None where that is not to be had as fast as the run."""
        return None

    def is_on_curve(self, run: Run) -> bool:
        """Whether the run itself lies on its curves."""
        return True

    # The whole job, and what is known

    def failures(self, run: Run) -> Failures:
        """How often what it runs on fails."""
        return Failures(run.num_devices)

    def bounds(self, run: Run, step_s: float) -> Bounds:
        """By how much a step time may be off in nine cases of ten, and what that rests on."""
        return NOTHING_KNOWN

    def software(self, run: Run) -> str:
        """Release or profile of the software that a run is simulated with; empty where the machine knows of none."""
        return ""

    def software_choices(self, cluster: Any) -> dict[str, str]:
        """Releases or profiles that can be asked for, and what each of them is; first what is taken where none is named."""
        return {}

    def is_extrapolated(self, run: Run) -> bool:
        """Whether nothing was measured on such a machine, or of such a size."""
        return True

    def contemporary(self, run: Run) -> str:
        """A cluster of the catalogue that is shown beside it; empty for none."""
        return ""

    # Pictures and tables

    def timeline(self, result: Result, num_steps: int = 1, layers: Collection[int] | None = None) -> Timeline:
        """When each part did what."""
        return draw(result.name, self.simulate(result.run).trace, result.step_time_s, num_steps, layers)

    def layer_rows(self, result: Result) -> list[dict[str, Any]]:
        """Time of every layer and phase, where it is known."""
        return []

    def link_rows(self, result: Result) -> list[dict[str, Any]]:
        """Traffic of every link, where it is known."""
        return []

    def check_page(self, run: Run) -> None:
        """Refuse what would take longer than anybody waits in front of a page."""
        return


def nearest(wanted: int, unit: int, tolerance: float) -> int:
    """The multiple of `unit` that is nearest to a number; the number itself where none is within the tolerance. [-]

    Examples
    --------
    >>> nearest(1080, 14, 0.1), nearest(1080, 192, 0.01)
    (1078, 1080)
    """
    found = max(1, round(wanted / unit)) * unit
    return found if abs(found - wanted) <= tolerance * wanted else wanted


def nearest_multiples(value: int, divisor: int) -> str:
    """The multiples of `divisor` on both sides of `value`, in words.

    Examples
    --------
    >>> nearest_multiples(1000, 12)
    '996 or 1008'
    >>> nearest_multiples(5, 12)
    '12'
    """
    below = value // divisor * divisor
    return f"{below} or {below + divisor}" if below else f"{divisor}"


@lru_cache(maxsize=1024)
def divisors(number: int, limit: int) -> tuple[int, ...]:
    """Divisors of a number that are not above a limit. [-]

    Examples
    --------
    >>> divisors(130, 121)
    (1, 2, 5, 10, 13, 26, 65)
    """
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return tuple(sorted({divisor for one in small for divisor in (one, number // one) if divisor <= limit}))


def counts(limit: int, number: int = FEW) -> list[int]:
    """Numbers from 1 to a limit: all if they are few, else spread evenly on a logarithmic axis.

    Examples
    --------
    >>> counts(4)
    [1, 2, 3, 4]
    >>> counts(192)[:8], counts(192)[-3:]
    ([1, 2, 3, 4, 5, 6, 8, 9], [137, 162, 192])
    """
    if limit <= number:
        return list(range(1, limit + 1))
    doubled = {2**power for power in range(int(math.log2(limit)) + 1)}
    spread = {round(limit ** (place / (number - 1))) for place in range(number)}
    return sorted(doubled | spread | {limit})


def machine_of(run: Run) -> Machine:
    """The kind of machine of a run."""
    return MACHINES[run.machine]


def of_kind(kind: str) -> Machine:
    """The kind of machine that calls itself so in JSON."""
    return next(one for one in MACHINES.values() if one.kind == kind)


def check_all(runs: Iterable[Run]) -> tuple[list[Run], list[LeftOut]]:
    """Runs that can be, and why the others cannot."""
    good: list[Run] = []
    left_out: list[LeftOut] = []
    for run in runs:
        try:
            machine_of(run).check(run)
            good.append(run)
        except (ConfigError, DoesNotFit) as error:
            left_out.append(LeftOut(run.num_devices, str(error)))
    return good, left_out


# Checks that kinds of machines share.


def refuse(run: Run, checks: Iterable[Callable[[Any], None]]) -> None:
    """Make all checks of a run; what they find comes in one message.

    Raises
    ------
    ConfigError, DoesNotFit
        The latter where nothing contradicts itself.
    """
    problems: list[WsesimError] = []
    for one in checks:
        try:
            one(run)
        except ConfigError as error:
            problems.append(error)
        except DoesNotFit as error:
            problems.append(DoesNotFit(f"{run.place}: {error}"))
    if problems:
        kind = ConfigError if any(isinstance(problem, ConfigError) for problem in problems) else DoesNotFit
        raise kind("\n".join(dict.fromkeys(str(problem) for problem in problems)))


def positions(run: Run) -> None:
    """Learned positions reach as far as the sequences."""
    model, length = run.model, run.training.sequence_length
    rows = model.max_position_embeddings
    if model.position_embedding == "learned" and rows is not None and length > rows:
        raise ConfigError(
            f"{run.place}: training.sequence_length is {length}, but {model.name} has {rows} learned positions; "
            f"use at most {rows}, or set model.max_position_embeddings = {length}"
        )
