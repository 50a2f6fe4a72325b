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
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import Any, Literal, NamedTuple

import simpy

from wsesim.engine.simulate import Clock
from wsesim.errors import AnswerIsNo, DoesNotFit
from wsesim.units import add_up, show

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


def fewest_systems(
    tasks: Sequence[Task], by_s: float, most: int, policy: Policy = "first-come", *, backfill: bool = True
) -> Schedule:
    """The schedule with the fewest systems in which all jobs end by a time, and by their deadlines; as `search`.

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
    found = search(tasks, by_s, most, policy, backfill=backfill)
    if found.best is None or not found.is_enough:
        raise AnswerIsNo(why_not(tasks, found, most))
    return found.best


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
