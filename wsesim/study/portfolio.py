"""`wsesim.portfolio`: jobs of a portfolio file that share a cluster, how long each takes, and who runs when."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import simpy
from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.goal import PortfolioJobSpec, PortfolioSpec
from wsesim.config.loader import any_from_table, load_any
from wsesim.config.run import Run
from wsesim.config.spec import describe
from wsesim.engine.simulate import Clock
from wsesim.errors import AnswerIsNo, ConfigError, DoesNotFit, InputError, UnknownNameError
from wsesim.machines.machine import machine_of
from wsesim.machines.simulation import simulate
from wsesim.results.job import Range, price_usd_per_s
from wsesim.results.result import Result, answered_by, with_bounds
from wsesim.study.lifetime import lifetime
from wsesim.units import add_up, parse_quantity, show
from wsesim.view import ShowsItself

# Times of portfolios and goals: durations or dates in files, seconds from its start inside.


DATES = ("%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%B %d %Y")
"""How people write dates beside 2026-03-01; none whose day and month could be mixed up."""


def seconds_after(value: Any, start: date | None, where: str, what: str = "portfolio") -> float:
    """A duration or a date as seconds after the start of a portfolio, or of a goal. [s]

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
            way = f"start = {value:%Y}-01-01{' (or --start)' if what == 'goal' else ''}"
            raise ConfigError(f"{where} is a date, but the {what} has no start; add {way}, or give a duration")
        after_s = (_moment(value) - _moment(start)).total_seconds()
        if after_s < 0.0:
            raise ConfigError(f"{where} is {value:%Y-%m-%d}, before the start on {start:%Y-%m-%d}; give a later date")
        value = after_s
    if isinstance(value, int | float) and value < 0.0:
        raise ConfigError(f"{where} is {show(value, 's')}, before the start; {example}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e12:
        raise ConfigError(f"{where} is {catalogue.value_shown(value)}; {example}")
    return float(value)


def as_date(value: Any) -> date | None:
    """A date as people write it; None for what is none.

    Examples
    --------
    >>> as_date("24 December 2026"), as_date("7 weeks")
    (datetime.datetime(2026, 12, 24, 0, 0), None)
    """
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or value.strip().isdecimal():
        return None
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        pass
    for written in DATES:
        try:
            return datetime.strptime(value.strip(), written)
        except ValueError:
            continue
    return None


def _date_or_seconds(text: str, otherwise: str) -> date | float:
    found = as_date(text)
    if found is not None:
        return found
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


# Jobs that share a cluster: who runs when, on how many systems, and how many systems they need by a date.
#
# A discrete-event simulation on SimPy: every job is a process that arrives, waits to be started, and runs. Whenever a
# job arrives or ends, the scheduler looks at the queue in the order of its policy. The job at its head gets the
# allowed size with which it ends first; where that means to wait, it has a reservation, and with EASY backfill [1]_
# the jobs behind it start if they do not delay it.
#
# Not modelled: durations that turn out otherwise than planned, jobs that are interrupted or change their size.
#
# .. [1] Lifka, The ANL/IBM SP scheduling system, 1995, doi:10.1007/3-540-60153-8_35.


Policy = Literal["first-come", "priority", "deadline"]


class Steps(NamedTuple):
    """The steps of a job alone.

    Attributes
    ----------
    software
        Release, or profile, with which they were simulated.
    job
        What is trained, as `wsesim run` says it.
    step_time_s, time_s
        Of one of them, and of all. [s]
    energy_j, cost_usd
        Of all; no cost without a price. [J], [USD]
    """

    software: str
    job: Mapping[str, Any]
    step_time_s: float
    time_s: float
    energy_j: float
    cost_usd: float | None


@dataclass(frozen=True)
class Task:
    """A job as the scheduler sees it.

    Attributes
    ----------
    duration_s
        By the number of systems. [s]
    earliest_s, deadline_s
        From the start of the portfolio. [s]
    steps
        By the number of systems: what its steps alone take, as `wsesim run` says it; empty where a duration was given.
    """

    name: str
    duration_s: Mapping[int, float]
    priority: int = 0
    earliest_s: float = 0.0
    deadline_s: float | None = None
    steps: Mapping[int, Steps] = field(default_factory=dict)


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
    steps: Steps | None = None

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

    @property
    def last(self) -> Placement:
        """The job that ends last."""
        return max(self.placements, key=lambda one: one.end_s)

    @property
    def chain(self) -> tuple[Placement, ...]:
        """Jobs that decide when the last one ends: each but the first starts when the one before it ends."""
        found = [self.last]
        while found[-1].wait_s > 0.0:
            before = [one for one in self.placements if one.end_s == found[-1].start_s]
            if not before:
                break
            found.append(max(before, key=lambda one: one.systems))
        return tuple(reversed(found))

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
            "jobs": [_as_dict(one) for one in self.placements],
        }


def _as_dict(one: Placement) -> dict[str, Any]:
    steps = None if one.steps is None else one.steps._asdict()
    return asdict(replace(one, steps=None)) | {"wait_s": one.wait_s, "late_s": one.late_s, "steps": steps}


@dataclass(frozen=True)
class Search:
    """How many systems are enough.

    Attributes
    ----------
    by_s
        When all jobs have to be done. [s]
    best
        The schedule with the fewest systems that are enough; where none are, the one that misses least, or None where no
        number of systems holds the work.
    is_enough
        Whether they are.
    least
        Systems below which the work alone takes longer, or a job has no room. [-]
    """

    by_s: float
    best: Schedule | None
    is_enough: bool
    least: int


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
        spare = self.free + add_up(held for end_s, held in self.running if end_s <= start_s) - systems
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
                steps=task.steps.get(systems),
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
    tasks: Sequence[Task],
    num_systems: int,
    policy: Policy = "first-come",
    *,
    backfill: bool = True,
    word: str = "system",
) -> Schedule:
    """Simulate the jobs on so many systems, or on what else is counted (`word`).

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
                f"{task.name} needs {min(task.duration_s):,} {word}s, and there are {num_systems:,}; "
                f"add {word}s, or allow a smaller number for it"
            )
    placements = _Cluster(tasks, num_systems, policy, backfill=backfill).run()
    return Schedule(placements, num_systems, policy, backfill)


def search(
    tasks: Sequence[Task],
    by_s: float,
    most: int,
    policy: Policy = "first-come",
    *,
    backfill: bool = True,
    comes_in: int = 1,
) -> Search:
    """Look for the fewest systems in which all jobs end by a time, and by their deadlines.

    More systems are not always better for a given policy, so that all numbers are tried from the smallest that
    could do on. What comes in nodes of several is tried in whole nodes.
    """
    least_work = math.fsum(min(count * spent_s for count, spent_s in task.duration_s.items()) for task in tasks)
    stride = reduce(math.gcd, (count for task in tasks for count in task.duration_s))
    stride = stride if stride % comes_in == 0 else comes_in
    least = max(max(min(task.duration_s) for task in tasks), math.ceil(least_work / by_s * (1.0 - 1e-9)))
    enough = -(-add_up(max(task.duration_s) for task in tasks) // stride) * stride
    best: Schedule | None = None
    for num_systems in range(-(-least // stride) * stride, min(most, enough) + 1, stride):
        found = schedule(tasks, num_systems, policy, backfill=backfill)
        if found.makespan_s <= by_s and not found.missed:
            return Search(by_s, found, is_enough=True, least=least)
        if best is None or _badness(found, by_s) < _badness(best, by_s):
            best = found
    return Search(by_s, best, is_enough=False, least=least)


def _badness(found: Schedule, by_s: float) -> tuple[int, float]:
    """What is missed, deadlines and the end of all, and by how much at most."""
    late = [one.late_s for one in found.missed] + [found.makespan_s - by_s] * (found.makespan_s > by_s)
    return len(late), max(late, default=0.0)


def late_words(found: Schedule, by_s: float = math.inf) -> str:
    """Which jobs end past their deadlines, and what ends after all should be done; empty where nothing does."""
    said = [f"{one.name} misses its deadline by {show(one.late_s, 's')}" for one in found.missed]
    last = found.last
    if last.end_s > by_s:
        said.append(f"{last.name} ends after {show(last.end_s, 's')}, {show(last.end_s - by_s, 's')} too late")
    return " and ".join(said)


def why_not(tasks: Sequence[Task], found: Search, most: int, word: str = "system") -> str:
    """Why no number of systems is enough, and what would have to give."""
    by = show(found.by_s, "s")
    if found.best is None:
        needs = max(min(task.duration_s) for task in tasks)
        why = (
            f"a job needs {needs:,}"
            if needs > most
            else f"their work alone would keep {found.least:,} {word}s busy until then"
        )
        return f"the jobs cannot end by {by} on up to {most:,} {word}s: {why}; give them more time, or a larger cluster"
    best, late = found.best, late_words(found.best, found.by_s)
    if best.makespan_s <= found.by_s:
        return (
            f"all jobs can end by {by}, but on up to {most:,} {word}s not each by its own deadline: at best, on "
            f"{best.num_systems:,}, {late}; give that job more time or more {word}s, or try another --policy"
        )
    return (
        f"the jobs cannot end by {by} on up to {most:,} {word}s: at best, on {best.num_systems:,}, {late}; give them more "
        f"time, or allow these jobs more {word}s"
    )


# A portfolio file: its jobs, how long each of them takes on each allowed number of systems, and when.


REPLICATIONS = 20
"""Simulated lives of a job, whose mean it takes. [-]"""
PROBE = {"model": {"name": "cerebras-gpt-111m"}, "training": {"sequence_length": 2048, "global_batch_size": 1}}
"""Any run, to read the portfolio's cluster with."""


@dataclass(frozen=True)
class Portfolio:
    """A portfolio file that was read, and the time of each of its jobs on each allowed number of systems."""

    name: str
    start: date | None
    cluster: str
    num_systems: int
    max_systems: int
    tasks: tuple[Task, ...]
    shared: Run

    @property
    def device(self) -> str:
        """What is counted: system, GPU."""
        return str(machine_of(self.shared).words.short)

    @property
    def comes_in(self) -> int:
        """Devices that are bought and rented together. [-]"""
        return machine_of(self.shared).comes_in(self.shared)

    def counted(self, num_systems: int) -> str:
        """So many devices of its cluster, in words."""
        return str(machine_of(self.shared).words.counted(self.shared.cluster, num_systems))

    def cost_usd(self, found: Schedule) -> Range | None:
        """Of all devices until the last job ends, in use or not; None without a price. [USD]"""
        price = price_usd_per_s(self.shared.on(1, 1))
        return None if price is None else price.scaled(found.num_systems * found.makespan_s)

    def one_fewer(self, found: Schedule) -> Schedule | None:
        """The same with one system fewer, or one node; None where some job has no room then."""
        fewer = found.num_systems - self.comes_in
        if fewer < max(min(task.duration_s) for task in self.tasks):
            return None
        return self.run(found.policy, fewer, backfill=found.backfill)

    def run(self, policy: Policy = "first-come", num_systems: int | None = None, *, backfill: bool = True) -> Schedule:
        """Simulate it, on another number of systems if one is given."""
        return schedule(self.tasks, num_systems or self.num_systems, policy, backfill=backfill, word=self.device)

    def search(self, by_s: float, policy: Policy = "first-come", *, backfill: bool = True) -> Search:
        """The fewest systems that do by a time.

        Raises
        ------
        wsesim.errors.AnswerIsNo
            No number of systems holds the work.
        """
        found = search(self.tasks, by_s, self.max_systems, policy, backfill=backfill, comes_in=self.comes_in)
        if found.best is None:
            raise AnswerIsNo(self.why_not(found))
        return found

    def why_not(self, found: Search) -> str:
        """Why no number of systems is enough."""
        return why_not(self.tasks, found, self.max_systems, self.device)


def read(path: Path, num_systems: int | None = None, paying: str | None = None) -> Portfolio:
    """Read a portfolio file, and simulate each job on each number of systems that it may have.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.DoesNotFit
        A job fits on none of its allowed numbers of systems.
    """
    return from_table(catalogue.read_toml(path), path.parent, catalogue.shown(path), num_systems, paying)


def from_table(
    raw: Mapping[str, Any],
    folder: Path | None = None,
    place: str = "portfolio",
    num_systems: int | None = None,
    paying: str | None = None,
) -> Portfolio:
    """Build a portfolio from nested dicts, as `read` does from a file."""
    try:
        spec = PortfolioSpec.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(describe(error, PortfolioSpec, "", place, {}).replace(": .", ": ")) from None
    folder = folder or Path()
    if paying is not None:
        spec = spec.model_copy(update={"cluster": spec.cluster | {"paying": paying}})
    shared = any_from_table({**PROBE, "cluster": spec.cluster}, folder, place)
    most, words = shared.max_devices, machine_of(shared).words
    wanted = num_systems or shared.num_devices
    if wanted > most:
        raise DoesNotFit(f"{place}: {wanted:,} {words.short}s, and {shared.cluster.name} has {most:,}; take fewer")
    tasks = tuple(_task(job, spec, shared, folder, f"{place}: jobs.{job.name}", most) for job in spec.jobs)
    return Portfolio(spec.name, spec.start, shared.cluster.name, wanted, most, tasks, shared)


def _task(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run, folder: Path, place: str, most: int) -> Task:
    earliest_s = seconds_after(job.earliest_start, spec.start, f"{place}.earliest_start")
    deadline_s = None if job.deadline is None else seconds_after(job.deadline, spec.start, f"{place}.deadline")
    if job.duration_s is not None:
        return Task(job.name, {job.systems[0]: job.duration_s}, job.priority, earliest_s, deadline_s)
    run = _run(job, spec, shared, folder, place)
    found = _simulated(job, run, place, most)
    steps = {systems: _steps(result) for systems, result in found.items()}
    lives = {systems: _duration_s(result, with_life=spec.lifetime) for systems, result in found.items()}
    return Task(job.name, lives, job.priority, earliest_s, deadline_s, steps)


def _run(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run, folder: Path, place: str) -> Run:
    """A job's run on the shared cluster; of its own run file, with the software that this file names."""
    if job.run is None:
        training = {**(job.training or {}), **({} if job.tokens is None else {"tokens": job.tokens})}
        model = {"name": f"model of {job.name}", **(job.model or {})}
        table = {"name": job.name, "model": model, "training": training, "cluster": spec.cluster}
        return any_from_table(table, folder, place)
    near = folder / job.run
    word = near if catalogue.exists(near) else job.run
    settings = () if job.tokens is None else (f"training.tokens={job.tokens}",)
    try:
        own = load_any(word, settings)
    except UnknownNameError as error:
        raise UnknownNameError(f"{place}.run: {error}") from None
    if own.machine != shared.machine:
        raise ConfigError(
            f"{place}.run is {job.run!r} for a cluster of another kind than {shared.cluster.name}; name a run of its kind"
        )
    keys = [key for key in machine_of(own).files.software if key not in spec.cluster]
    said = {key: value for key, value in own.software.items() if key in keys}
    if said:
        shared = any_from_table({**PROBE, "cluster": spec.cluster | said}, folder, f"{place}.run")
    moved = replace(own, cluster=shared.cluster.model_copy(update={shared.cluster.count: own.num_devices}))
    origins = {key: origin for key, origin in own.origins.items() if not key.startswith("cluster.")}
    theirs = {key: origin for key, origin in shared.origins.items() if key.startswith("cluster.")}
    return replace(moved, origins=origins | theirs)


def _simulated(job: PortfolioJobSpec, run: Run, place: str, most: int) -> dict[int, Result]:
    """One step on each allowed number of systems on which the job fits."""
    found, reason, word = {}, "", f"{machine_of(run).words.short}s"
    for systems in job.systems or (run.num_devices,):
        if systems > most:
            reason = f"{place}: {systems:,} {word}, and {run.cluster.name} has {most:,}; allow it fewer"
            continue
        try:
            found[systems] = simulate(run if systems == run.num_devices else run.resized(systems))
        except DoesNotFit as error:
            reason = f"{place} on {systems:,} {word}: {error}"
        except ConfigError as error:
            raise ConfigError(f"{place}.systems has {systems:,}: {error}") from None
    if not found:
        raise DoesNotFit(reason)
    return found


def _steps(result: Result) -> Steps:
    job, cost = result.job, result.job.cost_usd
    price = None if cost is None else cost.value
    return Steps(
        result.step.software, result.definition.to_dict(), result.step_time_s, job.time_s, job.energy_j.value, price
    )


def _duration_s(result: Result, *, with_life: bool) -> float:
    if not with_life:
        return result.job.time_s
    life = lifetime(result.run, result.step_time_s, replications=REPLICATIONS)
    return life.calendar_s["mean"] - life.timeline.queue_s


# `wsesim.portfolio`: jobs that share a cluster, and who of them runs when.


@dataclass(frozen=True, repr=False)
class SharedCluster(ShowsItself):
    """What `wsesim portfolio` prints: a portfolio, and its schedule under one policy.

    Attributes
    ----------
    search
        Where the fewest systems were asked for: by when, and whether any are enough.
    """

    portfolio: Portfolio
    schedule: Schedule
    search: Search | None = None

    @property
    def is_met(self) -> bool:
        """Whether all deadlines are kept, and all is done by the time that was asked for."""
        return not self.schedule.missed and (self.search is None or self.search.is_enough)

    @cached_property
    def one_fewer(self) -> Schedule | None:
        """The same with one system fewer, or one node of GPUs; None where some job has no room then."""
        return self.portfolio.one_fewer(self.schedule)

    @property
    def by_s(self) -> float:
        """When all has to be done; infinite where it was not asked for. [s]"""
        return math.inf if self.search is None else self.search.by_s

    def __repr__(self) -> str:
        found = self.schedule
        done = f"done after {show(found.makespan_s, 's')}, {len(found.missed)} deadlines missed"
        return f"<SharedCluster {self.portfolio.name}: {self.portfolio.counted(found.num_systems)}, {found.policy}, {done}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim portfolio --json``: SI units, times in seconds from the start."""
        start = None if self.portfolio.start is None else self.portfolio.start.isoformat()
        named = {"name": self.portfolio.name, "cluster": self.portfolio.cluster, "start": start}
        asked = None if self.search is None else {"by_s": self.search.by_s, "is_enough": self.search.is_enough}
        return {
            **named,
            "is_met": self.is_met,
            "by": asked,
            **self.schedule.to_dict(),
            **with_bounds("cost_usd", self.portfolio.cost_usd(self.schedule)),
            "binds": [one.name for one in self.schedule.chain],
            "one_fewer": self._one_fewer(),
            "simulator": answered_by(self.portfolio.shared),
        }

    def _one_fewer(self) -> dict[str, Any]:
        """What one system fewer, or one node, would cost."""
        fewer, portfolio = self.one_fewer, self.portfolio
        if fewer is None:
            return {"num_systems": self.schedule.num_systems - portfolio.comes_in, "is_possible": False}
        last = fewer.last
        return {
            "num_systems": fewer.num_systems,
            "is_possible": True,
            "makespan_s": fewer.makespan_s,
            "late": [
                *({"name": one.name, "late_s": one.late_s} for one in fewer.missed),
                *([{"name": "all", "late_s": last.end_s - self.by_s}] if last.end_s > self.by_s else []),
            ],
            **with_bounds("cost_usd", portfolio.cost_usd(fewer)),
        }


def portfolio(
    file: str | Path,
    policy: Policy = "first-come",
    *,
    num_systems: int | None = None,
    by: str | None = None,
    backfill: bool = True,
    paying: str | None = None,
) -> SharedCluster:
    """Simulate who of many jobs runs when on one cluster.

    Parameters
    ----------
    file
        Portfolio file: a cluster and its jobs.
    policy
        Which job goes first: "first-come", "priority" or "deadline".
    num_systems
        Systems, or GPUs, instead of the file's. [-]
    by
        Search the fewest systems that are done by then: a duration such as "45 days", or a date.
    backfill
        Let jobs go ahead of others that they do not delay.
    paying
        "rented" or "owned": how the devices are paid for.

    Returns
    -------
    SharedCluster
        Jobs that miss a deadline are named in `schedule.missed`. Where no number of systems is enough by a time, `is_met` is
        False, and the schedule is the one that misses least.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.AnswerIsNo
        No number of systems holds the work by then.
    """
    if by is not None and num_systems is not None:
        raise InputError("--by searches the number of systems, and --systems sets it; drop one of the two")
    found = read(Path(file), num_systems, paying)
    return scheduled(found, policy, by, backfill=backfill)


def scheduled(
    found: Portfolio,
    policy: Policy = "first-come",
    by: str | None = None,
    *,
    backfill: bool = True,
    place: str = "--by",
) -> SharedCluster:
    """Who runs when in a portfolio that was read; as `portfolio`. `place` is what messages call the time of `by`."""
    if by is None:
        return SharedCluster(found, found.run(policy, backfill=backfill))
    by_s = seconds_after(by, found.start, place)
    if by_s <= 0.0:
        raise InputError(f"{place} {by}: that is when the portfolio starts; give it time")
    looked = found.search(by_s, policy, backfill=backfill)
    return SharedCluster(found, cast("Schedule", looked.best), looked)  # without one, `search` said why
