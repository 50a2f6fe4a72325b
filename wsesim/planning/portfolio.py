"""Jobs that share a cluster: who runs when, on how many systems, and how many systems they need by a date.

A discrete-event simulation on SimPy: every job is a process that arrives, waits to be started, and runs. Whenever a
job arrives or ends, the scheduler looks at the queue in the order of its policy. The job at its head gets the allowed
size with which it ends first; where that means to wait, it has a reservation, and with EASY backfill [1]_ the jobs
behind it start if they do not delay it.

Not modelled: durations that turn out otherwise than planned, jobs that are interrupted or change their size.

.. [1] Lifka, The ANL/IBM SP scheduling system, 1995, doi:10.1007/3-540-60153-8_35.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import simpy
from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.loader import any_from_table, load_any
from wsesim.config.portfolio import PortfolioJobSpec, PortfolioSpec
from wsesim.config.problems import describe
from wsesim.config.run import GPURun, Run
from wsesim.engine.clock import Clock
from wsesim.errors import AnswerIsNo, ConfigError, DoesNotFit, UnknownNameError
from wsesim.planning.lifetime import lifetime
from wsesim.results import simulate
from wsesim.units import parse_quantity, show

Policy = Literal["first-come", "priority", "deadline"]
REPLICATIONS = 20
"""Simulated lives of a job, whose mean it takes. [-]"""
PROBE = {"model": {"name": "cerebras-gpt-111m"}, "training": {"sequence_length": 2048, "global_batch_size": 1}}
"""Any run, to read the portfolio's cluster with."""


@dataclass(frozen=True)
class Task:
    """A job as the scheduler sees it.

    Attributes
    ----------
    duration_s
        By the number of systems. [s]
    earliest_s, deadline_s
        From the start of the portfolio. [s]
    """

    name: str
    duration_s: Mapping[int, float]
    priority: int = 0
    earliest_s: float = 0.0
    deadline_s: float | None = None


@dataclass(frozen=True)
class Placement:
    """When a job runs, and on how many systems.

    Attributes
    ----------
    reserved_s
        Start that it was promised when it first had to wait at the head of the queue; None if it never did. [s]
    is_backfilled
        Whether it went ahead of another one.
    """

    name: str
    systems: int
    earliest_s: float
    start_s: float
    end_s: float
    deadline_s: float | None = None
    reserved_s: float | None = None
    is_backfilled: bool = False

    @property
    def wait_s(self) -> float:
        """From the earliest start to the start. [s]"""
        return self.start_s - self.earliest_s

    @property
    def late_s(self) -> float:
        """Past the deadline. [s]"""
        return 0.0 if self.deadline_s is None else max(0.0, self.end_s - self.deadline_s)


@dataclass(frozen=True)
class Schedule:
    """All jobs in the order of their starts."""

    placements: tuple[Placement, ...]
    num_systems: int
    policy: Policy
    backfill: bool

    @property
    def makespan_s(self) -> float:
        """From the start of the portfolio to the end of its last job. [s]"""
        return max(one.end_s for one in self.placements)

    @property
    def utilization(self) -> float:
        """Share of the systems' time until then in which they belong to a job. [-]"""
        busy = math.fsum(one.systems * (one.end_s - one.start_s) for one in self.placements)
        return busy / (self.num_systems * self.makespan_s)

    @property
    def mean_wait_s(self) -> float:
        """Of all jobs. [s]"""
        return math.fsum(one.wait_s for one in self.placements) / len(self.placements)

    @property
    def missed(self) -> tuple[Placement, ...]:
        """Jobs that end past their deadline."""
        return tuple(one for one in self.placements if one.late_s > 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim portfolio --json``: SI units, times in seconds from the start."""
        return {
            "policy": self.policy,
            "backfill": self.backfill,
            "num_systems": self.num_systems,
            "makespan_s": self.makespan_s,
            "utilization": self.utilization,
            "mean_wait_s": self.mean_wait_s,
            "missed": [one.name for one in self.missed],
            "jobs": [asdict(one) | {"wait_s": one.wait_s, "late_s": one.late_s} for one in self.placements],
        }


class _Cluster:
    """The processes: one for each job, and a scheduler that they wake."""

    def __init__(self, tasks: Sequence[Task], num_systems: int, policy: Policy, *, backfill: bool) -> None:
        self.clock, self.tasks, self.backfill = Clock(), tasks, backfill
        self.free = self.num_systems = num_systems
        self.rank = {task.name: _rank(task, place, policy) for place, task in enumerate(tasks)}
        self.queue: list[Task] = []
        self.running: list[tuple[float, int]] = []
        self.go: dict[str, simpy.Event] = {}
        self.reserved_s: dict[str, float] = {}
        self.placements: list[Placement] = []
        self.is_awake = False

    def run(self) -> tuple[Placement, ...]:
        """Every job from its arrival to its end."""
        jobs = [self.clock.start(task.name, self._job(task)) for task in self.tasks]
        self.clock.run_until(self.clock.all_of(jobs))
        return tuple(self.placements)

    def _job(self, task: Task) -> Generator[simpy.Event, Any, None]:
        yield self.clock.timeout(task.earliest_s)
        self.queue.append(task)
        self.go[task.name] = self.clock.event()
        self._wake()
        systems = yield self.go[task.name]
        yield self.clock.timeout(task.duration_s[systems])
        self.free += systems
        self.running.remove((self.clock.now, systems))
        self._wake()

    def _wake(self) -> None:
        """Decide once, after everything that happens at this time."""
        if not self.is_awake:
            self.is_awake = True
            self.clock.process(self._decide())

    def _decide(self) -> Generator[simpy.Event, Any, None]:
        yield self.clock.timeout(0)
        self.is_awake = False
        self.queue.sort(key=lambda task: self.rank[task.name])
        while self.queue:
            head = self.queue[0]
            start_s, systems = self._best(head)
            if start_s > self.clock.now:
                self.reserved_s.setdefault(head.name, start_s)
                if self.backfill:
                    self._fill(start_s, systems)
                return
            self._start(head, systems)

    def _best(self, task: Task) -> tuple[float, int]:
        """Start and size with which a job ends first; the smaller size where two end together."""
        found = []
        for systems, duration_s in task.duration_s.items():
            if systems <= self.num_systems:
                start_s = self._free_from_s(systems)
                found.append((start_s + duration_s, systems, start_s))
        _, systems, start_s = min(found)
        return start_s, systems

    def _free_from_s(self, systems: int) -> float:
        """When so many systems are free, if nothing else starts. [s]"""
        free = self.free
        if free >= systems:
            return float(self.clock.now)
        for end_s, held in sorted(self.running):
            free += held
            if free >= systems:
                return end_s
        raise AssertionError("more systems than the cluster has")

    def _fill(self, start_s: float, systems: int) -> None:
        """Start jobs behind the head that end before its start, or leave it the systems it needs then."""
        spare = self.free + sum(held for end_s, held in self.running if end_s <= start_s) - systems
        for task in self.queue[1:]:
            fits = [
                (duration_s, count)
                for count, duration_s in task.duration_s.items()
                if count <= self.free and (self.clock.now + duration_s <= start_s or count <= spare)
            ]
            if fits:
                duration_s, count = min(fits)
                if self.clock.now + duration_s > start_s:
                    spare -= count
                self._start(task, count, is_backfilled=True)

    def _start(self, task: Task, systems: int, *, is_backfilled: bool = False) -> None:
        now, duration_s = float(self.clock.now), task.duration_s[systems]
        self.queue.remove(task)
        self.free -= systems
        self.running.append((now + duration_s, systems))
        self.placements.append(
            Placement(
                name=task.name,
                systems=systems,
                earliest_s=task.earliest_s,
                start_s=now,
                end_s=now + duration_s,
                deadline_s=task.deadline_s,
                reserved_s=self.reserved_s.get(task.name),
                is_backfilled=is_backfilled,
            )
        )
        self.go[task.name].succeed(systems)


def _rank(task: Task, place: int, policy: Policy) -> tuple[float, ...]:
    """What the queue is sorted by: first come, first served where the policy makes no difference."""
    first = {
        "first-come": 0.0,
        "priority": float(-task.priority),
        "deadline": math.inf if task.deadline_s is None else task.deadline_s,
    }
    return first[policy], task.earliest_s, float(place)


def schedule(
    tasks: Sequence[Task], num_systems: int, policy: Policy = "first-come", *, backfill: bool = True
) -> Schedule:
    """Simulate the jobs on so many systems.

    Raises
    ------
    wsesim.errors.DoesNotFit
        A job needs more systems than there are.

    Examples
    --------
    >>> tasks = [Task("a", {3: 10.0}), Task("b", {4: 5.0}), Task("c", {1: 8.0})]
    >>> [(one.name, one.start_s) for one in schedule(tasks, 4).placements]
    [('a', 0.0), ('c', 0.0), ('b', 10.0)]
    """
    for task in tasks:
        if min(task.duration_s) > num_systems:
            raise DoesNotFit(
                f"{task.name} needs {min(task.duration_s):,} systems, and there are {num_systems:,}; "
                "add systems, or allow a smaller number for it"
            )
    placements = _Cluster(tasks, num_systems, policy, backfill=backfill).run()
    return Schedule(placements, num_systems, policy, backfill)


def fewest_systems(
    tasks: Sequence[Task], by_s: float, most: int, policy: Policy = "first-come", *, backfill: bool = True
) -> Schedule:
    """The schedule with the fewest systems in which all jobs end by a time, and by their deadlines.

    More systems are not always better for a given policy, so that all numbers are tried from the smallest that
    could do on.

    Raises
    ------
    wsesim.errors.AnswerIsNo
        With what would have to give.

    Examples
    --------
    >>> tasks = [Task("a", {2: 10.0}), Task("b", {2: 10.0})]
    >>> fewest_systems(tasks, by_s=10.0, most=8).num_systems, fewest_systems(tasks, by_s=20.0, most=8).num_systems
    (4, 2)
    """
    least_work = math.fsum(min(count * spent_s for count, spent_s in task.duration_s.items()) for task in tasks)
    stride = reduce(math.gcd, (count for task in tasks for count in task.duration_s))
    least = max(max(min(task.duration_s) for task in tasks), math.ceil(least_work / by_s * (1.0 - 1e-9)))
    enough = min(most, sum(max(task.duration_s) for task in tasks))
    best: Schedule | None = None
    for num_systems in range(-(-least // stride) * stride, enough + 1, stride):
        found = schedule(tasks, num_systems, policy, backfill=backfill)
        if found.makespan_s <= by_s and not found.missed:
            return found
        if best is None or (len(found.missed), found.makespan_s) < (len(best.missed), best.makespan_s):
            best = found
    raise AnswerIsNo(_why_not(tasks, by_s, most, best))


def _why_not(tasks: Sequence[Task], by_s: float, most: int, best: Schedule | None) -> str:
    if best is None:
        needs = max(min(task.duration_s) for task in tasks)
        return (
            f"the jobs cannot end by {show(by_s, 's')} on up to {most:,} systems: their work alone takes longer, or a job "
            f"needs {needs:,}; give them more time, or a larger cluster"
        )
    late = "".join(f"; {one.name} misses its deadline by {show(one.late_s, 's')}" for one in best.missed)
    last = max(best.placements, key=lambda one: one.end_s)
    return (
        f"the jobs cannot end by {show(by_s, 's')} on up to {most:,} systems; at best, on {best.num_systems:,}, {last.name} "
        f"is the last and ends after {show(last.end_s, 's')}{late}; give them more time, or allow these jobs more systems"
    )


@dataclass(frozen=True)
class Portfolio:
    """A portfolio file that was read, and the time of each of its jobs on each allowed number of systems."""

    name: str
    start: date | None
    cluster: str
    num_systems: int
    max_systems: int
    tasks: tuple[Task, ...]
    device: str = "system"

    def run(self, policy: Policy = "first-come", num_systems: int | None = None, *, backfill: bool = True) -> Schedule:
        """Simulate it, on another number of systems if one is given."""
        return schedule(self.tasks, num_systems or self.num_systems, policy, backfill=backfill)

    def fewest_systems(self, by_s: float, policy: Policy = "first-come", *, backfill: bool = True) -> Schedule:
        """With the fewest systems that do by a time."""
        return fewest_systems(self.tasks, by_s, self.max_systems, policy, backfill=backfill)


def seconds_after(value: Any, start: date | None, where: str) -> float:
    """A duration or a date as seconds after the start of a portfolio. [s]

    Examples
    --------
    >>> seconds_after("2 days", None, "deadline"), seconds_after("2026-01-03", date(2026, 1, 1), "deadline")
    (172800.0, 172800.0)
    """
    example = 'write a duration such as "30 days", or a date such as 2026-03-01'
    if isinstance(value, str):
        value = _date_or_seconds(value, f"{where} is {catalogue.value_shown(value)}; {example}")
    if isinstance(value, date):
        if start is None:
            raise ConfigError(
                f"{where} is a date, but the portfolio has no start; add start = {value:%Y-%m-%d}, or give a duration"
            )
        after_s = (_moment(value) - _moment(start)).total_seconds()
        if after_s < 0.0:
            raise ConfigError(f"{where} is {value:%Y-%m-%d}, before the start on {start:%Y-%m-%d}; give a later date")
        value = after_s
    if isinstance(value, int | float) and value < 0.0:
        raise ConfigError(f"{where} is {show(value, 's')}, before the start; {example}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e12:
        raise ConfigError(f"{where} is {catalogue.value_shown(value)}; {example}")
    return float(value)


def _date_or_seconds(text: str, otherwise: str) -> date | float:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parse_quantity(text, "s")
    except ValueError:
        raise ConfigError(otherwise) from None


def _moment(day: date) -> datetime:
    """Dates begin at midnight; time zones are not told apart."""
    return day.replace(tzinfo=None) if isinstance(day, datetime) else datetime.combine(day, time())


def moment_shown(start: date | None, after_s: float) -> str:
    """A time of a portfolio, as a date where it has a start."""
    if start is None:
        return show(after_s, "s") if after_s else "0"
    return f"{_moment(start) + timedelta(seconds=after_s):%Y-%m-%d %H:%M}"


def read(path: Path, num_systems: int | None = None) -> Portfolio:
    """Read a portfolio file, and simulate each job on each number of systems that it may have.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.DoesNotFit
        A job fits on none of its allowed numbers of systems.
    """
    return from_table(catalogue.read_toml(path), path.parent, catalogue.shown(path), num_systems)


def from_table(
    raw: Mapping[str, Any], folder: Path | None = None, place: str = "portfolio", num_systems: int | None = None
) -> Portfolio:
    """Build a portfolio from nested dicts, as `read` does from a file."""
    try:
        spec = PortfolioSpec.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(describe(error, PortfolioSpec, "", place, {}).replace(": .", ": ")) from None
    folder = folder or Path()
    shared = any_from_table({**PROBE, "cluster": spec.cluster}, folder, place)
    most = shared.cluster.max_gpus if isinstance(shared, GPURun) else shared.cluster.max_systems
    own = shared.cluster.num_gpus if isinstance(shared, GPURun) else shared.cluster.num_systems
    wanted = num_systems or own
    if wanted > most:
        raise DoesNotFit(f"{place}: {wanted:,} systems, and {shared.cluster.name} has {most:,}; take fewer")
    tasks = tuple(_task(job, spec, shared, folder, f"{place}: jobs.{job.name}", most) for job in spec.jobs)
    device = "GPU" if isinstance(shared, GPURun) else "system"
    return Portfolio(spec.name, spec.start, shared.cluster.name, wanted, most, tasks, device)


def _task(
    job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run | GPURun, folder: Path, place: str, most: int
) -> Task:
    earliest_s = seconds_after(job.earliest_start, spec.start, f"{place}.earliest_start")
    deadline_s = None if job.deadline is None else seconds_after(job.deadline, spec.start, f"{place}.deadline")
    if job.duration_s is not None:
        durations = {job.systems[0]: job.duration_s}
    else:
        durations = _durations_s(job, _run(job, spec, shared, folder, place), place, most, with_life=spec.lifetime)
    return Task(job.name, durations, job.priority, earliest_s, deadline_s)


def _run(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run | GPURun, folder: Path, place: str) -> Run | GPURun:
    """A job's run on the shared cluster."""
    if job.run is None:
        training = {**(job.training or {}), **({} if job.tokens is None else {"tokens": job.tokens})}
        model = {"name": f"model of {job.name}", **(job.model or {})}
        table = {"name": job.name, "model": model, "training": training, "cluster": spec.cluster}
        return any_from_table(table, folder, place)
    near = folder / job.run
    settings = () if job.tokens is None else (f"training.tokens={job.tokens}",)
    try:
        own = load_any(near if catalogue.exists(near) else job.run, settings)
    except UnknownNameError as error:
        raise UnknownNameError(f"{place}.run: {error}") from None
    systems = own.cluster.num_gpus if isinstance(own, GPURun) else own.cluster.num_systems
    if isinstance(own, GPURun) and isinstance(shared, GPURun):
        moved: Run | GPURun = replace(own, cluster=shared.cluster.model_copy(update={"num_gpus": systems}))
    elif isinstance(own, Run) and isinstance(shared, Run):
        moved = replace(own, cluster=shared.cluster.model_copy(update={"num_systems": systems}))
    else:
        raise ConfigError(
            f"{place}.run is {job.run!r} for a cluster of another kind than {shared.cluster.name}; name a run of its kind"
        )
    origins = {key: origin for key, origin in own.origins.items() if not key.startswith("cluster.")}
    theirs = {key: origin for key, origin in shared.origins.items() if key.startswith("cluster.")}
    return replace(moved, origins=origins | theirs)


def _durations_s(
    job: PortfolioJobSpec, run: Run | GPURun, place: str, most: int, *, with_life: bool
) -> dict[int, float]:
    """Time on each allowed number of systems on which the job fits. [s]"""
    own = run.cluster.num_gpus if isinstance(run, GPURun) else run.cluster.num_systems
    found, reason = {}, ""
    for systems in job.systems or (own,):
        if systems > most:
            reason = f"{place}: {systems:,} systems, and {run.cluster.name} has {most:,}; allow it fewer"
            continue
        try:
            found[systems] = _duration_s(_on(run, systems), with_life=with_life)
        except DoesNotFit as error:
            reason = f"{place} on {systems:,} systems: {error}"
        except ConfigError as error:
            raise ConfigError(f"{place}.systems has {systems:,}: {error}") from None
    if not found:
        raise DoesNotFit(reason)
    return found


def _on(run: Run | GPURun, systems: int) -> Run | GPURun:
    if isinstance(run, GPURun):
        return run.on_gpus(systems)
    return replace(run, cluster=run.cluster.model_copy(update={"num_systems": systems}))


def _duration_s(run: Run | GPURun, *, with_life: bool) -> float:
    result = simulate(run)
    if not with_life:
        return result.job.time_s
    life = lifetime(run, result.step_time_s, replications=REPLICATIONS)
    return life.calendar_s["mean"] - life.timeline.queue_s
