"""A schedule as data: who does what and waits for what; and the spans that a simulation of it remembers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from wsesim.units import add_up

# What a simulation remembers: spans of time, each of one part of the machine.


class Span(NamedTuple):
    """One part of the machine did one thing from `start_s` to `end_s`.

    Attributes
    ----------
    part
        ``wafer``, ``port_in``, ``port_out``, ``memoryx``, ``swarmx_down``, ``swarmx_up``,
        ``optimizer`` or ``input``; parts of a class of systems end in its number, ``wafer.0``.
    kind
        What it did, for instance ``gemm``, ``wait_weights`` or ``transfer``.
    layer
        Index of the layer in forward order; -1 where no single layer is meant.
    phase
        ``forward``, ``backward``, ``recompute``, or empty.
    step, micro_batch
        Counted from 0 over the simulation.
    num_bytes
        Moved during the span. [bytes]
    """

    part: str
    kind: str
    layer: int
    phase: str
    step: int
    micro_batch: int
    start_s: float
    end_s: float
    num_bytes: int = 0


class Window(NamedTuple):
    """A stretch of simulated time that stands for `weight` equal stretches of the real step."""

    start_s: float
    end_s: float
    weight: float = 1.0

    @property
    def duration_s(self) -> float:
        """Length of all stretches that the window stands for. [s]"""
        return (self.end_s - self.start_s) * self.weight


def overlap_s(start_s: float, end_s: float, window: Window) -> float:
    """Part of an interval that lies in a window. [s]"""
    return max(0.0, min(end_s, window.end_s) - max(start_s, window.start_s))


def within(spans: Iterable[Span], windows: Iterable[Window]) -> Iterator[tuple[Span, float]]:
    """Spans that touch a window, each with its time inside, times the window's weight. [s]"""
    held = tuple(windows)
    for span in spans:
        inside = add_up(overlap_s(span.start_s, span.end_s, window) * window.weight for window in held)
        if inside > 0.0:
            yield span, inside


# A schedule as data: which worker does what, in which order, and what each piece of work waits for.
#
# Workers take their jobs in program order, micro-batch after micro-batch. A job starts when
# its worker is free, the jobs it needs are delivered, its buffer has room and it is its turn
# at the port. No choice depends on time, so every time is a maximum of earlier times plus a
# duration. `wsesim.engine.simulate` runs a program on SimPy, and
# `wsesim.engine.evaluate` works the times out, for one scenario or many.
#
# A *class* is a group of equal machines. A worker is either shared by all classes or exists once
# for each; a shared job waits for all classes, and is delivered to all.


Key = tuple[str, int]
"""Name of a number, and which of its kind it is: of which kind of pass, of which stage."""


@dataclass(frozen=True)
class Worker:
    """Does jobs one after another.

    Attributes
    ----------
    shared
        One for all classes, or one for each.
    notes_waits
        Whether what it waits for is remembered.
    """

    name: str
    shared: bool = False
    notes_waits: bool = False


class Need(NamedTuple):
    """A job that must be delivered first.

    Attributes
    ----------
    job
        Its index. [-]
    cause
        What a wait for it is called.
    of_previous_step
        The job of the step before; nothing is needed in the first step.
    """

    job: int
    cause: str
    of_previous_step: bool = False


class Room(NamedTuple):
    """Room in a bounded buffer that a job takes before it starts, and another gives back.

    Attributes
    ----------
    size
        Name of the number of bytes; None takes one place. [bytes]
    """

    buffer: str
    cause: str
    size: Key | None = None


class Job(NamedTuple):
    """One piece of work.

    Attributes
    ----------
    place
        Among all jobs of the program, by which others need it. [-]
    duration
        Name of its time; None takes no time. [s]
    latency
        Name of the time from its end to its delivery; None is delivered at once. [s]
    port
        Passes this port of every class, or of its own, in program order.
    frees
        Buffer in which it gives room back when it ends.
    kind, layer, phase
        For the trace.
    """

    place: int
    worker: Worker
    kind: str
    layer: int
    phase: str
    duration: Key | None = None
    latency: str | None = None
    needs: tuple[Need, ...] = ()
    room: Room | None = None
    port: str | None = None
    frees: Room | None = None
    moves: Key | None = None


@dataclass(frozen=True)
class Numbers:
    """What a program takes, for one scenario.

    Attributes
    ----------
    per_class
        Durations of jobs of workers that each class has, one for each class. [s]
    shared
        Durations of jobs of shared workers. [s]
    sizes
        Room that jobs take, and what they move. [bytes]
    latencies
        From the end of a job to its delivery, one for each class. [s]
    capacities
        Room in the buffers. [bytes]
    """

    per_class: dict[Key, list[float]]
    shared: dict[Key, float]
    sizes: dict[Key, int]
    latencies: dict[str, list[float]]
    capacities: dict[str, int]

    @property
    def num_classes(self) -> int:
        """Classes of machines. [-]"""
        return len(next(iter(self.per_class.values())))


class Turn(NamedTuple):
    """A job as its worker takes it: what is its own beside its role.

    Attributes
    ----------
    role
        Which of the worker's roles. [-]
    job
        Its index. [-]
    ticket
        Its place at its port within a micro-batch. [-]
    closed
        What it needs of the step before: the cause of a wait, and the job.
    """

    role: int
    job: int
    layer: int
    phase: str
    ticket: int
    closed: tuple[tuple[str, int], ...]


@dataclass
class Outline:
    """What one worker does. Jobs that touch the same have the same role.

    Attributes
    ----------
    roles
        An example of each.
    turns, closing
        Its jobs of a micro-batch, and those that follow the last micro-batch.
    """

    roles: list[Job]
    turns: list[Turn]
    closing: list[Turn]


@dataclass
class Program:
    """All jobs of a micro-batch, and those that follow the last micro-batch of a step.

    Attributes
    ----------
    jobs
        Every job needs only jobs before it, or of the step before.
    closing
        Jobs that are done once a step, after its last micro-batch.
    decisive
        Worker whose last job ends a micro-batch.
    """

    decisive: Worker
    jobs: list[Job] = field(default_factory=list)
    closing: list[Job] = field(default_factory=list)

    def __iter__(self) -> Iterator[Job]:
        """All jobs by index."""
        return iter((*self.jobs, *self.closing))

    def workers(self) -> list[Worker]:
        """Every worker once, in the order of their first jobs."""
        return list(dict.fromkeys(job.worker for job in self))

    @cached_property
    def heard_by(self) -> dict[int, list[Worker]]:
        """For each job, the workers that need it within the micro-batch."""
        return self.consumers(self.jobs)

    @cached_property
    def closing_heard_by(self) -> dict[int, list[Worker]]:
        """For each job, the workers that need it at the end of the step."""
        return self.consumers(self.closing)

    @cached_property
    def port_users(self) -> dict[str, int]:
        """Jobs of a micro-batch that pass each port. [-]"""
        users: dict[str, int] = defaultdict(int)
        for job in self.jobs:
            if job.port is not None:
                users[job.port] += 1
        return dict(users)

    @cached_property
    def outlines(self) -> dict[str, Outline]:
        """What each worker does, by its name; the work of a program is looked up once, however often it runs."""
        found = {worker.name: Outline([], [], []) for worker in self.workers()}
        numbers: dict[tuple[Any, ...], int] = {}
        tickets: dict[str, int] = defaultdict(int)
        for job in self:
            outline, role = found[job.worker.name], self._role(job)
            if role not in numbers:
                numbers[role] = len(outline.roles)
                outline.roles.append(job)
            ticket = 0
            if job.port is not None:
                ticket = tickets[job.port]
                tickets[job.port] += 1
            closed = tuple((need.cause, need.job) for need in job.needs if need.of_previous_step)
            turns = outline.turns if job.place < len(self.jobs) else outline.closing
            turns.append(Turn(numbers[role], job.place, job.layer, job.phase, ticket, closed))
        return found

    def _role(self, job: Job) -> tuple[Any, ...]:
        """All of a job that it may share with others."""
        needs = tuple(
            [(self.jobs[need.job].worker.name, need.cause) for need in job.needs if not need.of_previous_step]
        )
        heard_by = tuple([worker.name for worker in self.heard_by.get(job.place, ())])
        closing = tuple([worker.name for worker in self.closing_heard_by.get(job.place, ())])
        touched = (job.room, job.frees, job.port, needs, heard_by, closing)
        return (job.worker.name, job.kind, job.duration, job.latency, job.moves, *touched)

    def consumers(self, jobs: Iterable[Job]) -> dict[int, list[Worker]]:
        """For each job, the workers that need it for one of `jobs`."""
        found: dict[int, list[Worker]] = {}
        for job in jobs:
            for need in job.needs:
                if not need.of_previous_step:
                    found.setdefault(need.job, []).append(job.worker)
        return found

    @cached_property
    def takers(self) -> dict[str, list[Job]]:
        """For each buffer, the jobs of a micro-batch that take room in it, in order."""
        found: dict[str, list[Job]] = {}
        for job in self.jobs:
            if job.room is not None:
                found.setdefault(job.room.buffer, []).append(job)
        return found
