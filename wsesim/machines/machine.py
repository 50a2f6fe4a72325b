"""A kind of machine: what every question asks of it. One folder beside this file each, and one line in `MACHINES`.

`Machine` is the protocol. What it leaves open in its first methods a kind of machine has to say; the rest has an answer
that is good for machines of equal devices that share a batch, and a kind of machine says more where it knows more.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

from wsesim import plugins
from wsesim.config.cluster import Files
from wsesim.config.run import Run
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.intervals import NOTHING_KNOWN, Bounds
from wsesim.machines.timeline.records import Timeline
from wsesim.machines.timeline.spans import draw
from wsesim.machines.words import Words
from wsesim.result import Result
from wsesim.step import Step
from wsesim.units import show

MACHINES = cast("Mapping[str, Machine]", plugins.MACHINES)
"""Kinds of machines by name. Ours stand in `wsesim.plugins.MACHINES`; a package adds one by an entry point of the group
``wsesim.machines``."""

FEW = 32
"""So many numbers of devices are all simulated; of more, about as many are chosen. [-]"""
MOST_JOBS = 500_000
"""Jobs of a step that a run may have unless told otherwise: about ten seconds. [-]"""
limit: ContextVar[int] = ContextVar("limit", default=MOST_JOBS)
"""Jobs of a step that a run may have here: `--limit`, which processes of a sweep inherit. [-]"""
page_limit: ContextVar[int] = ContextVar("page_limit", default=120_000)
"""Jobs of a step that the page simulates, times the systems that differ: a few seconds; `wsesim serve --limit`. [-]"""
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
    """

    num_jobs: int = 0
    time_s: float = 0.0
    memory_bytes: float = 0.0
    what: str = "a step of {} jobs"

    def __str__(self) -> str:
        """In words."""
        about = f"{show(self.time_s, 's')} and {show(self.memory_bytes, 'bytes')}"
        return f"{self.what.format(f'{self.num_jobs:,}')} takes about {about}"

    def check(self, place: str, remedy: str) -> None:
        """Refuse more jobs than the limit.

        Raises
        ------
        ConfigError
            With what to lower.
        """
        if self.num_jobs > limit.get():
            raise ConfigError(
                f"{place}: {self}, which is more than the limit of {limit.get():,}; {remedy}, or raise the limit (--limit)"
            )


@dataclass(frozen=True)
class LeftOut:
    """A number of devices without a point on a curve.

    Attributes
    ----------
    num_devices
        CS systems, GPUs, or whatever the machine counts. [-]
    reason
        Why there is none.
    """

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


def that_offer(option: str) -> str:
    """Words for runs on machines that have what an option of `wsesim run` asks for."""
    return " and ".join(f"{one.words.adjective} runs" for one in plugins.MACHINES.known if option in one.offers)


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
