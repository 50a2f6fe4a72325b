"""A schedule as data: which worker does what, in which order, and what each piece of work waits for.

Workers take their jobs in program order, micro-batch after micro-batch. A job starts when
its worker is free, the jobs it needs are delivered, its buffer has room and it is its turn
at the port. No choice depends on time, so every time is a maximum of earlier times plus a
duration. Two engines run a program: `wsesim.engine.discrete_event` on SimPy, and
`wsesim.engine.recurrence` with numpy for many scenarios at once.

A *class* is a group of equal machines. A worker is either shared by all classes or exists once
for each; a shared job waits for all classes, and is delivered to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Key = tuple[str, int]
"""Name of a number, and the kind of sweep that it belongs to."""


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


@dataclass(frozen=True)
class Need:
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


@dataclass(frozen=True)
class Room:
    """Room in a bounded buffer that a job takes before it starts, and another gives back.

    Attributes
    ----------
    size
        Name of the number of bytes; None takes one place. [bytes]
    """

    buffer: str
    cause: str
    size: Key | None = None


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes
    ----------
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

    index: int
    worker: Worker
    kind: str
    layer: int
    phase: str
    sweep: int
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
        From the end of a job to its delivery, one for each class; one alone to a shared worker. [s]
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

    def consumers(self, jobs: Iterable[Job]) -> dict[int, list[Worker]]:
        """For each job, the workers that need it for one of `jobs`."""
        found: dict[int, list[Worker]] = {}
        for job in jobs:
            for need in job.needs:
                if not need.of_previous_step:
                    found.setdefault(need.job, []).append(job.worker)
        return found

    def takers(self, buffer: str) -> list[Job]:
        """Jobs of a micro-batch that take room in a buffer, in order."""
        return [job for job in self.jobs if job.room is not None and job.room.buffer == buffer]
