"""The whole life of a job: compile, queue, start-up, steps, evaluations, checkpoints, failures, restarts.

One replication is a discrete-event simulation: the job is a process, and so is every part in repair. Between two
failures nothing is random, hence the job advances from event to event and not from step to step. Failures come at
random with exponential gaps, measured in wear: time that the job holds its systems, times the rate at which these
fail. So two settings of a job can meet the same failures.

Not modelled: failures while the job waits, several parts that fail for one reason, systems that are slow before they
fail, checkpoints that are written beside the steps, checkpoints that are lost.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import simpy

from wsesim.answers import Assumption, assumptions_of, with_bounds
from wsesim.config.run import GPURun, Run
from wsesim.engine.clock import Clock
from wsesim.errors import AnswerIsNo
from wsesim.metrics.training import (
    Range,
    carbon_kg,
    electricity_usd,
    facility_share,
    job,
    power_w,
    price_usd_per_s,
    prices,
)
from wsesim.shown import ShowsItself
from wsesim.units import show
from wsesim.workload.transformer import parameter_count

CAUSES = {
    "compile": "the program is compiled",
    "queue": "the job waits for its systems",
    "start_up": "systems and servers start",
    "staging": "data and initial weights are put in place",
    "compute": "steps that count, at full strength",
    "fewer": "what the same steps take longer on fewer systems",
    "evaluation": "evaluations",
    "checkpoint": "checkpoints that were completed",
    "lost": "work since the last checkpoint, done again",
    "restart": "failure noticed, job started again, checkpoint read",
    "repair": "the job waits for a repaired system",
}
"""What the calendar time of a job is spent on."""

MOST_FAILURES = 20_000
"""A replication with more failures than this makes no progress worth waiting for. [-]"""
SPARE_DEVIATIONS = 3.0
"""Automatic spares: the parts that are in repair on average, and so many standard deviations more. [-]"""
GRID = tuple(2.0 ** (place / 2.0) for place in range(-4, 5))
"""Checkpoint intervals that are tried for the simulated optimum, over Daly's. [-]"""
GRID_REPLICATIONS, GRID_REPLICATIONS_LEAST = 200, 4
GRID_FAILURES = 2_000
"""Replications of each of them, and failures of all its replications, about; they meet the same ones. [-]"""
STANDARD_ERRORS = 2.0
"""An interval is as good as the best where it takes longer by no more than so many standard errors. [-]"""


class Draws(Protocol):
    """Where chance comes from; `random.Random` is one."""

    def expovariate(self, lambd: float, /) -> float:
        """Exponentially distributed. [-]"""

    def random(self) -> float:
        """Uniform from 0 to 1. [-]"""


@dataclass(frozen=True)
class Timeline:
    """A job as the simulation sees it.

    Attributes
    ----------
    steps, step_time_s
        Optimizer steps, and one at full strength. [-], [s]
    units
        CS systems, or GPU nodes. [-]
    unit_rate_per_s
        Failures of one of them. [1/s]
    fabric_rate_per_s
        Failures that stop the job but take no unit with them. [1/s]
    checkpoint_steps
        Steps between checkpoints; None checkpoints at the end only. [-]
    restart_s
        Reading the checkpoint included. [s]
    spares
        Units that stand by; none where the job waits. [-]
    """

    steps: int
    step_time_s: float
    units: int = 1
    unit_rate_per_s: float = 0.0
    fabric_rate_per_s: float = 0.0
    compile_s: float = 0.0
    queue_s: float = 0.0
    start_up_s: float = 0.0
    staging_s: float = 0.0
    evaluation_steps: int | None = None
    evaluation_s: float = 0.0
    checkpoint_steps: int | None = None
    checkpoint_s: float = 0.0
    restart_s: float = 0.0
    repair_s: float = 0.0
    spares: int = 0
    on_failure: Literal["spare", "shrink", "wait"] = "spare"

    @property
    def rate_per_s(self) -> float:
        """Failures of the job at full strength. [1/s]"""
        return self.units * self.unit_rate_per_s + self.fabric_rate_per_s

    @property
    def work_s(self) -> float:
        """Steps alone, without anything else. [s]"""
        return self.steps * self.step_time_s

    def time_to_s(self, start: int, step: int, slowness: float = 1.0) -> float:
        """From one step to the end of another, its evaluation and its checkpoint included. [s]"""
        evaluations, checkpoints = self.evaluations(start, step), self.checkpoints(start, step)
        compute_s = (step - start) * self.step_time_s * slowness
        return compute_s + evaluations * self.evaluation_s + checkpoints * self.checkpoint_s

    def evaluations(self, start: int, step: int) -> int:
        """Evaluations after `start`, up to the end of `step`. [-]"""
        every = self.evaluation_steps
        return step // every - start // every if every else 0

    def checkpoints(self, start: int, step: int) -> int:
        """Checkpoints after `start`, up to the end of `step`; the last step has one in any case. [-]"""
        every = self.checkpoint_steps
        regular = step // every - start // every if every else 0
        is_extra = step == self.steps and step > start and not (every and step % every == 0)
        return regular + is_extra

    def saved_after(self, start: int, elapsed_s: float, slowness: float) -> int:
        """Step of the last checkpoint that is complete so long after a start from `start`. [-]"""
        every = self.checkpoint_steps
        if not every:
            return start
        first, last = start // every, (self.steps - 1) // every
        evaluation_s = self.evaluation_s * every / self.evaluation_steps if self.evaluation_steps else 0.0
        cycle_s = every * self.step_time_s * slowness + self.checkpoint_s + evaluation_s
        number = max(first, min(last, first + int(elapsed_s / cycle_s)))  # nearly; evaluations need not fall evenly
        while number < last and self.time_to_s(start, (number + 1) * every, slowness) <= elapsed_s:
            number += 1
        while number > first and self.time_to_s(start, number * every, slowness) > elapsed_s:
            number -= 1
        return max(start, number * every)

    def saves_from(self, start: int, elapsed_s: float, slowness: float) -> int:
        """Step of the first checkpoint that is complete not before so long after a start. [-]"""
        every = self.checkpoint_steps
        if not every:
            return self.steps
        return min(self.steps, (self.saved_after(start, elapsed_s, slowness) // every + 1) * every)


@dataclass(frozen=True)
class Replication:
    """One simulated life of the job.

    Attributes
    ----------
    calendar_s
        From its submission to its end. [s]
    spent_s
        The same by cause, as in `CAUSES`. [s]
    failures
        Of units ("unit") and of what connects and feeds them ("fabric"). [-]
    num_events
        SimPy events. [-]
    """

    calendar_s: float
    spent_s: dict[str, float]
    failures: dict[str, int]
    num_events: int


class _Job:
    """The processes of one replication."""

    def __init__(self, timeline: Timeline, draws: Draws) -> None:
        self.timeline, self.draws, self.clock = timeline, draws, Clock()
        self.ready = simpy.Container(self.clock, init=timeline.spares)
        self.repaired_at_s: deque[float] = deque()
        self.active, self.saved = timeline.units, 0
        self.spent_s = dict.fromkeys(CAUSES, 0.0)
        self.failures = {"unit": 0, "fabric": 0}
        self.wear_left = draws.expovariate(1.0)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """From submission to the last checkpoint."""
        line = self.timeline
        for cause in ("compile", "queue"):
            duration_s = getattr(line, f"{cause}_s")
            yield self.clock.timeout(duration_s)
            self.spent_s[cause] += duration_s
        is_up = (yield from self._hold("start_up", line.start_up_s)) and (
            yield from self._hold("staging", line.staging_s)
        )
        while self.saved < line.steps:
            if is_up:
                goal = self._goal()
                is_up = (yield from self._work(goal)) and goal == line.steps
            else:
                yield from self._replace()
                is_up = yield from self._hold("restart", line.restart_s)

    def _until_failure_s(self) -> float:
        rate_per_s = self.active * self.timeline.unit_rate_per_s + self.timeline.fabric_rate_per_s
        return self.wear_left / rate_per_s if rate_per_s > 0.0 else math.inf

    def _wear(self, duration_s: float) -> None:
        line = self.timeline
        self.wear_left -= duration_s * (self.active * line.unit_rate_per_s + line.fabric_rate_per_s)

    def _hold(self, cause: str, duration_s: float) -> Generator[simpy.Event, Any, bool]:
        """Something that has to be done in one piece; whether it was."""
        failure_s = self._until_failure_s()
        spent_s = min(duration_s, failure_s)
        yield self.clock.timeout(spent_s)
        self.spent_s[cause] += spent_s
        if failure_s <= duration_s:
            self._fail()
            return False
        self._wear(duration_s)
        return True

    def _work(self, goal: int) -> Generator[simpy.Event, Any, bool]:
        """Steps, evaluations and checkpoints up to a checkpoint; whether it was reached."""
        line, start = self.timeline, self.saved
        slowness = line.units / self.active
        duration_s, failure_s = line.time_to_s(start, goal, slowness), self._until_failure_s()
        if failure_s > duration_s:
            yield self.clock.timeout(duration_s)
            self._save(goal, slowness)
            self._wear(duration_s)
            return True
        yield self.clock.timeout(failure_s)
        self._save(line.saved_after(start, failure_s, slowness), slowness)
        self.spent_s["lost"] += failure_s - line.time_to_s(start, self.saved, slowness)
        self._fail()
        return False

    def _save(self, step: int, slowness: float) -> None:
        line, start, spent_s = self.timeline, self.saved, self.spent_s
        compute_s = (step - start) * line.step_time_s
        spent_s["compute"] += compute_s
        spent_s["fewer"] += compute_s * (slowness - 1.0)
        spent_s["evaluation"] += line.evaluations(start, step) * line.evaluation_s
        spent_s["checkpoint"] += line.checkpoints(start, step) * line.checkpoint_s
        self.saved = step

    def _goal(self) -> int:
        """The last step; on fewer systems, the first checkpoint after one of them is repaired."""
        line = self.timeline
        if self.active == line.units:
            return line.steps
        elapsed_s = 0.0 if self.ready.level else max(0.0, self.repaired_at_s[0] - self.clock.now)
        return line.saves_from(self.saved, elapsed_s, line.units / self.active)

    def _fail(self) -> None:
        line = self.timeline
        unit_rate_per_s = self.active * line.unit_rate_per_s
        is_unit = self.draws.random() * (unit_rate_per_s + line.fabric_rate_per_s) < unit_rate_per_s
        self.failures["unit" if is_unit else "fabric"] += 1
        self.wear_left = self.draws.expovariate(1.0)
        if is_unit:
            self.active -= 1
            self.repaired_at_s.append(self.clock.now + line.repair_s)
            self.clock.process(self._repair())
        if sum(self.failures.values()) > MOST_FAILURES:
            raise AnswerIsNo(
                f"the job fails every {show(1.0 / line.rate_per_s, 's')}, and did not get through in {MOST_FAILURES:,} restarts "
                f"(steps alone take {show(line.work_s, 's')}, a checkpoint {show(line.checkpoint_s, 's')}, a restart "
                f"{show(line.restart_s, 's')}); shorten job.checkpoint_interval_s or job.restart_s, raise "
                "job.checkpoint_bytes_per_s, use fewer systems, or check the mtbf_s keys"
            )

    def _repair(self) -> Generator[simpy.Event, Any, None]:
        yield self.clock.timeout(self.timeline.repair_s)
        self.repaired_at_s.popleft()
        yield self.ready.put(1)

    def _replace(self) -> Generator[simpy.Event, Any, None]:
        """Take units that are ready; wait for those without which the job cannot go on."""
        line, start_s = self.timeline, self.clock.now
        needed = 1 if line.on_failure == "shrink" else line.units
        while self.active < line.units and (self.ready.level or self.active < needed):
            yield self.ready.get(1)
            self.active += 1
        self.spent_s["repair"] += self.clock.now - start_s


def simulate_life(timeline: Timeline, draws: Draws) -> Replication:
    """One replication.

    Examples
    --------
    >>> simulate_life(Timeline(steps=10, step_time_s=2.0, start_up_s=5.0), random.Random(0)).calendar_s
    25.0
    """
    one = _Job(timeline, draws)
    one.clock.run_until(one.clock.start("job", one.run()))
    return Replication(one.clock.now, one.spent_s, one.failures, one.clock.num_events)


def replicate(
    timeline: Timeline, replications: int, seed: int, progress: Callable[[], object] = lambda: None
) -> list[Replication]:
    """Replications with failures of their own; the same seed gives the same ones.

    Examples
    --------
    >>> line = Timeline(steps=100, step_time_s=1.0, unit_rate_per_s=0.01, checkpoint_steps=10)
    >>> replicate(line, 3, seed=1) == replicate(line, 3, seed=1)
    True
    """
    found = []
    for number in range(replications):
        found.append(simulate_life(timeline, random.Random(f"{seed}/{number}")))
        progress()
    return found


def young_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Work between two checkpoints, to first order [1]_. [s]

    Examples
    --------
    >>> young_interval_s(50.0, 10_000.0)
    1000.0

    References
    ----------
    .. [1] Young, Communications of the ACM 17(9), 1974, doi:10.1145/361147.361115.
    """
    return math.sqrt(2.0 * checkpoint_s * mtbf_s)


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Work between two checkpoints, to higher order [1]_. [s]

    Examples
    --------
    >>> round(daly_interval_s(50.0, 10_000.0), 1)
    966.9

    References
    ----------
    .. [1] Daly, Future Generation Computer Systems 22(3), 2006, doi:10.1016/j.future.2004.11.016.
    """
    if checkpoint_s >= 2.0 * mtbf_s:
        return mtbf_s
    share = checkpoint_s / (2.0 * mtbf_s)
    return young_interval_s(checkpoint_s, mtbf_s) * (1.0 + math.sqrt(share) / 3.0 + share / 9.0) - checkpoint_s


def steps_between(interval_s: float, timeline: Timeline) -> int | None:
    """An interval in whole steps; None where it is as long as the job. [-]"""
    if interval_s >= timeline.work_s:
        return None
    return max(1, round(interval_s / timeline.step_time_s))


def with_interval(timeline: Timeline, interval_s: float) -> Timeline:
    """The same job with another checkpoint interval."""
    return replace(timeline, checkpoint_steps=steps_between(interval_s, timeline))


@dataclass(frozen=True)
class Intervals:
    """Checkpoint intervals: in use, by formula, and simulated; infinite where nothing fails or no time is lost.

    Attributes
    ----------
    used_s, young_s, daly_s, simulated_s
        Work between two checkpoints. [s]
    curve
        Intervals that were simulated, and the mean calendar time of each. [s], [s]
    as_good_s
        Shortest and longest of them that chance does not tell from the best; None where none was simulated. [s]
    replications
        Of each of them. [-]
    """

    used_s: float
    young_s: float
    daly_s: float
    simulated_s: float
    curve: tuple[tuple[float, float], ...] = ()
    as_good_s: tuple[float, float] | None = None
    replications: int = 0


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(values) / len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of all lies, between neighbours in a straight line.

    Examples
    --------
    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([0.0, 10.0], 0.95)
    (2.0, 9.5)
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def simulated_optimum(timeline: Timeline, around_s: float, replications: int, seed: int) -> Intervals:
    """Simulate intervals around one; the best of them, by a parabola through it and its neighbours."""
    lives = {}
    for factor in GRID:
        line = with_interval(timeline, factor * around_s)
        lives[factor * around_s] = [one.calendar_s for one in replicate(line, replications, seed)]
    curve = [(interval_s, mean(times)) for interval_s, times in lives.items()]
    times = [calendar_s for _, calendar_s in curve]
    best = times.index(min(times))
    found_s = curve[best][0]
    if 0 < best < len(curve) - 1:
        left, here, right = times[best - 1 : best + 2]
        bend = left - 2.0 * here + right
        shift = 0.5 * (left - right) / bend if bend > 0.0 else 0.0
        found_s *= math.sqrt(2.0) ** shift
    good = [interval_s for interval_s, some in lives.items() if _is_as_good(some, lives[curve[best][0]])]
    return Intervals(0.0, 0.0, around_s, found_s, tuple(curve), (min(good), max(good)), replications)


def _is_as_good(times_s: Sequence[float], best_s: Sequence[float]) -> bool:
    """Whether lives with the same failures take as long, as far as so few of them can tell."""
    if len(times_s) < 2:
        return True
    longer_s = [one - other for one, other in zip(times_s, best_s, strict=True)]
    return mean(longer_s) <= STANDARD_ERRORS * statistics.stdev(longer_s) / math.sqrt(len(longer_s))


@dataclass(frozen=True, repr=False)
class Lifetime(ShowsItself):
    """What `wsesim lifetime` prints; SI units. Means are over the replications."""

    run: Run | GPURun
    timeline: Timeline
    replications: tuple[Replication, ...] = field(repr=False)
    seed: int

    def __repr__(self) -> str:
        mean = f"{show(self.calendar_s['mean'], 's')} on average, goodput {self.goodput:.1%}"
        return f"<Lifetime {self.run.name}: {mean}, {len(self.replications):,} replications>"

    @cached_property
    def calendar_s(self) -> dict[str, float]:
        """From submission to the end: mean and percentiles. [s]"""
        times = [one.calendar_s for one in self.replications]
        shares = {"p5": 0.05, "p50": 0.5, "p95": 0.95}
        return {"mean": mean(times), **{name: percentile(times, share) for name, share in shares.items()}}

    @cached_property
    def spent_s(self) -> dict[str, float]:
        """What each cause took, on average; adds up to the mean calendar time. [s]"""
        return {cause: mean([one.spent_s[cause] for one in self.replications]) for cause in CAUSES}

    @property
    def held_s(self) -> float:
        """Time for which the job holds its systems, on average. [s]"""
        return self.calendar_s["mean"] - self.spent_s["compile"] - self.spent_s["queue"]

    @property
    def goodput(self) -> float:
        """Steps alone over the time for which the job holds its systems. [-]"""
        return self.timeline.work_s / self.held_s

    @property
    def calendar_share(self) -> float:
        """Steps alone over the calendar time. [-]"""
        return self.timeline.work_s / self.calendar_s["mean"]

    @cached_property
    def failures(self) -> dict[str, float]:
        """Failures of a job, on average and by kind. [-]"""
        return {kind: mean([one.failures[kind] for one in self.replications]) for kind in ("unit", "fabric")}

    @property
    def mtbf_s(self) -> float:
        """Between two failures of the job at full strength; infinite where nothing fails. [s]"""
        rate_per_s = self.timeline.rate_per_s
        return 1.0 / rate_per_s if rate_per_s > 0.0 else math.inf

    @cached_property
    def intervals(self) -> Intervals:
        """The checkpoint interval in use beside the optimum by formula and by simulation."""
        line = self.timeline
        used_s = line.checkpoint_steps * line.step_time_s if line.checkpoint_steps else line.work_s
        if line.rate_per_s == 0.0 or line.checkpoint_s == 0.0:
            best_s = math.inf if line.rate_per_s == 0.0 else 0.0
            return Intervals(used_s, best_s, best_s, best_s)
        young_s = young_interval_s(line.checkpoint_s, self.mtbf_s)
        daly_s = daly_interval_s(line.checkpoint_s, self.mtbf_s)
        enough = math.ceil(GRID_FAILURES / max(1.0, sum(self.failures.values())))
        replications = min(GRID_REPLICATIONS, max(GRID_REPLICATIONS_LEAST, enough), len(self.replications))
        found = simulated_optimum(line, daly_s, replications, self.seed)
        return replace(found, used_s=used_s, young_s=young_s)

    @property
    def energy_j(self) -> Range:
        """Of the systems while the job holds them, at full power; spares stand by without. [J]"""
        return power_w(self.run).scaled(self.held_s)

    @property
    def cost_usd(self) -> Range | None:
        """Of the systems and their spares while the job holds them; None without a price. [USD]"""
        price = price_usd_per_s(self.run)
        if price is None:
            return None
        return price.scaled(self.held_s * (1.0 + self.timeline.spares / self.timeline.units))

    @property
    def facility_energy_j(self) -> Range:
        """The same with what the building takes: times the PUE. [J]"""
        return self.energy_j.times(facility_share(self.run))

    @property
    def electricity_usd(self) -> Range | None:
        """Of the facility's energy; None without a price. A rented device's price holds it already. [USD]"""
        return electricity_usd(self.run, self.facility_energy_j)

    @property
    def carbon_kg(self) -> Range | None:
        """CO2 equivalent of the facility's energy; None where the grid's is not given. [kg]"""
        return carbon_kg(self.run, self.facility_energy_j)

    @cached_property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every assumed number that the answer rests on, apart from those of the step."""
        return assumptions_of(self.run.origins, lambda key: not key.startswith("cluster.job."), of_lifetime=True)

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim lifetime --json``: SI units, times in seconds; null is infinite."""
        line, found = self.timeline, self.intervals
        return {
            "name": self.run.name,
            "steps": line.steps,
            "step_time_s": line.step_time_s,
            "calendar_s": self.calendar_s,
            "goodput": self.goodput,
            "calendar_share": self.calendar_share,
            "spent_s": self.spent_s,
            "failures": self.failures,
            "mtbf_s": _finite(self.mtbf_s),
            "units": line.units,
            "spares": line.spares,
            "on_failure": line.on_failure,
            "checkpoint_s": line.checkpoint_s,
            "checkpoint_interval_s": {
                "used": found.used_s,
                "young": _finite(found.young_s),
                "daly": _finite(found.daly_s),
                "simulated": _finite(found.simulated_s),
            },
            "checkpoint_interval_as_good_s": None if found.as_good_s is None else list(found.as_good_s),
            **with_bounds("energy_j", self.energy_j),
            **with_bounds("facility_energy_j", self.facility_energy_j),
            **with_bounds("cost_usd", self.cost_usd),
            **with_bounds("electricity_usd", self.electricity_usd),
            **with_bounds("carbon_kg", self.carbon_kg),
            "prices": [vars(one) for one in prices(self.run)],
            "replications": len(self.replications),
            "seed": self.seed,
            "assumptions": [vars(one) for one in self.assumptions],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def inner_links(num_systems: int, fan_out: int) -> int:
    """Links of a SwarmX tree above those to the systems' ports. [-]

    Examples
    --------
    >>> inner_links(1, 4), inner_links(16, 4)
    (1, 5)
    """
    links, nodes = 0, num_systems
    while nodes > 1 or not links:
        nodes = math.ceil(nodes / fan_out)
        links += nodes
    return links


def _rate_per_s(mtbf_s: float | None) -> float:
    return 0.0 if mtbf_s is None else 1.0 / mtbf_s


def _rates_per_s(run: Run | GPURun) -> tuple[int, float, float]:
    """Units, failures of one of them, and failures that take no unit with them. [-], [1/s], [1/s]"""
    if isinstance(run, GPURun):
        nodes = math.ceil(run.cluster.num_gpus / run.cluster.gpus_per_node)
        return nodes, _rate_per_s(run.cluster.reliability.node_mtbf_s), 0.0
    parts, cluster = run.cluster.reliability, run.cluster
    link, server = _rate_per_s(parts.link_mtbf_s), _rate_per_s(parts.weight_server_mtbf_s)
    inner = inner_links(cluster.num_systems, cluster.swarmx.fan_out)
    return (
        cluster.num_systems,
        _rate_per_s(parts.system_mtbf_s) + link,
        inner * link + parts.num_weight_servers * server,
    )


def timeline_of(run: Run | GPURun, step_time_s: float) -> Timeline:
    """What the ``[job]`` table and the cluster's reliability make of a run."""
    spec = run.job
    units, unit_rate_per_s, fabric_rate_per_s = _rates_per_s(run)
    state_bytes = spec.checkpoint_bytes_per_parameter * parameter_count(run.model, run.training.sequence_length)
    transfer_s = state_bytes / spec.checkpoint_bytes_per_s if spec.checkpoint_bytes_per_s else 0.0
    in_repair = units * unit_rate_per_s * spec.repair_s
    enough = math.ceil(in_repair + SPARE_DEVIATIONS * math.sqrt(in_repair)) if spec.on_failure == "spare" else 0
    spares = enough if spec.spares == "auto" else spec.spares
    line = Timeline(
        steps=job(run, step_time_s).steps,
        step_time_s=step_time_s,
        units=units,
        unit_rate_per_s=unit_rate_per_s,
        fabric_rate_per_s=fabric_rate_per_s,
        compile_s=spec.compile_s,
        queue_s=spec.queue_s,
        start_up_s=spec.start_up_s,
        staging_s=spec.staging_s,
        evaluation_steps=spec.evaluation_every_steps,
        evaluation_s=spec.evaluation_s,
        checkpoint_s=max(spec.checkpoint_least_s, transfer_s),
        restart_s=spec.restart_s + transfer_s,
        repair_s=spec.repair_s,
        spares=0 if spec.on_failure == "wait" else spares,
        on_failure=spec.on_failure,
    )
    if spec.checkpoint_interval_s != "optimal":
        return with_interval(line, spec.checkpoint_interval_s)
    if line.rate_per_s == 0.0:
        return line
    return with_interval(line, daly_interval_s(line.checkpoint_s, 1.0 / line.rate_per_s))


def lifetime(
    run: Run | GPURun,
    step_time_s: float | None = None,
    replications: int | None = None,
    seed: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Lifetime:
    """Simulate the whole life of a job, many times.

    Parameters
    ----------
    run
        From `wsesim.load`.
    step_time_s
        One optimizer step; simulated where left out. [s]
    replications, seed
        As in ``[job]``, whose values are taken where left out. [-]
    progress
        Called after each replication.

    Returns
    -------
    Lifetime
        SI units throughout.

    Raises
    ------
    wsesim.errors.AnswerIsNo
        The job fails faster than it gets on.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> life = lifetime(load("andromeda_13b"), step_time_s=7.26, replications=20)
    >>> 0.5 < life.goodput < 1.0
    True
    """
    if step_time_s is None:
        from wsesim.results import simulate

        step_time_s = simulate(run).step_time_s
    line = timeline_of(run, step_time_s)
    chosen = run.job.seed if seed is None else seed
    lives = replicate(line, replications or run.job.replications, chosen, progress)
    return Lifetime(run, line, tuple(lives), chosen)
