"""When every job of a program ends, for one machine and one step from rest: the recurrence in plain numbers.

Where there is one number to a time, numpy's calls cost more than their sums: this takes less than a microsecond for each
job. What a job has to wait for is looked up once for a program. The operations on each number are those of the other two
engines, so the ends are equal to the last digit. Later steps, ports, latencies and room of different sizes are left to
`wsesim.engine.plain`; classes of machines, scenarios and the reasons of waits to `wsesim.engine.recurrence`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from wsesim.engine.program import Key, Program


class Line(NamedTuple):
    """A job as its end depends on others.

    Attributes
    ----------
    after
        Jobs that have to end first: what it needs, its worker's last job, the one that gives it room. [-]
    duration
        Name of its time; None takes no time. [s]
    """

    after: tuple[int, ...]
    duration: Key | None


def lines_of(program: Program, capacities: Mapping[str, int]) -> list[Line]:
    """The jobs of a micro-batch, in program order.

    Parameters
    ----------
    program
        Whose jobs pass no ports, are delivered when they end, and take one place each of the buffers they need.
    capacities
        Places in the buffers. [-]
    """
    worker_last: dict[str, int] = {}
    freed: dict[str, list[int]] = defaultdict(list)
    num_taken: dict[str, int] = defaultdict(int)
    lines = []
    for job in program.jobs:
        after = [need.job for need in job.needs if not need.of_previous_step]
        if job.worker.name in worker_last:
            after.append(worker_last[job.worker.name])
        worker_last[job.worker.name] = job.place
        if job.room is not None:
            place = num_taken[job.room.buffer] - capacities[job.room.buffer]
            num_taken[job.room.buffer] += 1
            if place >= 0:
                after.append(freed[job.room.buffer][place])
        if job.frees is not None:
            freed[job.frees.buffer].append(job.place)
        lines.append(Line(tuple(after), job.duration))
    return lines


def ends_s(lines: list[Line], durations_s: Mapping[Key, float]) -> list[float]:
    """When each job ends. [s]"""
    ends: list[float] = []
    add = ends.append
    for after, duration in lines:
        time_s = 0.0
        for job in after:
            if ends[job] > time_s:
                time_s = ends[job]
        add(time_s if duration is None else time_s + durations_s[duration])
    return ends
