"""Runs a program as a max-plus recurrence in plain numbers: one scenario, one class of machines, no trace.

The same operations on each number as in `wsesim.engine.discrete_event`, so times agree to the last digit. A job takes about a
microsecond, where numpy's calls on arrays of one place would take several, and numpy need not be imported.
"""

from __future__ import annotations

from wsesim.engine.program import Job, Numbers, Program

JobParts = tuple[int, list[int], list[int], "Buffer | None", int, int | None, float, "Buffer | None", float]
"""Worker, needed jobs of this micro-batch and closing jobs of the step before, where room is taken and how much, port,
duration, where room is given back, latency."""


class Buffer:
    """When room in a bounded buffer was given back.

    Parameters
    ----------
    capacity
        [bytes]
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.held = capacity, 0
        self.sizes: list[int] = []
        self.freed_s: list[float] = []
        self.num_gone = 0

    def free_since_s(self, size: int) -> float:
        """When there is room for the next taker: when those have left that do not fit beside it. [s]"""
        self.sizes.append(size)
        self.held += size
        while self.held > self.capacity:
            self.held -= self.sizes[self.num_gone]
            self.num_gone += 1
        return self.freed_s[self.num_gone - 1] if self.num_gone else 0.0


class PlainEvents:
    """One program that runs step after step.

    Attributes
    ----------
    step_ends_s, micro_batch_ends_s
        For the one class, when the decisive worker ended each step and micro-batch. [s]
    worker_ends_s
        For each worker that takes time, when it ended each micro-batch. [s]
    """

    def __init__(self, program: Program, numbers: Numbers, num_micro_batches: int) -> None:
        self.numbers, self.num_micro_batches = numbers, num_micro_batches
        self.num_jobs = len(program.jobs)
        self.workers = {worker.name: place for place, worker in enumerate(program.workers())}
        self.ports = {port: place for place, port in enumerate(program.port_users)}
        self.buffers = {name: Buffer(capacity) for name, capacity in numbers.capacities.items()}
        self.jobs = [self._parts(job) for job in program.jobs]
        self.closing = [self._parts(job) for job in program.closing]
        self.decisive = self.workers[program.decisive.name]
        self.free_s, self.port_s = [0.0] * len(self.workers), [0.0] * len(self.ports)
        self.delivered_s = [0.0] * (self.num_jobs + len(self.closing))
        self.closed_s = [0.0] * len(self.closing)
        self.step_ends_s: list[list[float]] = [[]]
        self.micro_batch_ends_s: list[list[float]] = [[]]
        self.worker_ends_s: dict[str, list[float]] = {
            job.worker.name: [] for job in program.jobs if self._duration_s(job) > 0.0
        }

    def _parts(self, job: Job) -> JobParts:
        """What a job touches, looked up once."""
        return (
            self.workers[job.worker.name],
            [need.job for need in job.needs if not need.of_previous_step],
            [need.job - self.num_jobs for need in job.needs if need.of_previous_step],
            None if job.room is None else self.buffers[job.room.buffer],
            1 if job.room is None or job.room.size is None else self.numbers.sizes[job.room.size],
            None if job.port is None else self.ports[job.port],
            self._duration_s(job),
            None if job.frees is None else self.buffers[job.frees.buffer],
            0.0 if job.latency is None else self.numbers.latencies[job.latency][0],
        )

    def _duration_s(self, job: Job) -> float:
        if job.duration is None:
            return 0.0
        return self.numbers.shared[job.duration] if job.worker.shared else self.numbers.per_class[job.duration][0]

    def run_step(self) -> None:
        """Evaluate one more step."""
        for number in range(self.num_micro_batches):
            self._pass(self.jobs, 0)
            if number == self.num_micro_batches - 1:
                self.closed_s = self._pass(self.closing, self.num_jobs)
            for name, ends_s in self.worker_ends_s.items():
                ends_s.append(self.free_s[self.workers[name]])
            self.micro_batch_ends_s[0].append(self.free_s[self.decisive])
        self.step_ends_s[0].append(self.free_s[self.decisive])

    def _pass(self, jobs: list[JobParts], first: int) -> list[float]:
        """Evaluate jobs in their order; when each of them ends. [s]"""
        free_s, port_s, delivered_s, closed_s = self.free_s, self.port_s, self.delivered_s, self.closed_s
        ends_s = []
        for place, (worker, needs, closed, room, size, port, duration_s, freed, latency_s) in enumerate(jobs, first):
            time_s = free_s[worker]
            for need in needs:
                if delivered_s[need] > time_s:
                    time_s = delivered_s[need]
            for need in closed:
                if closed_s[need] > time_s:
                    time_s = closed_s[need]
            if room is not None:
                time_s = max(time_s, room.free_since_s(size))
            if port is not None and port_s[port] > time_s:
                time_s = port_s[port]
            time_s += duration_s
            free_s[worker] = time_s
            if port is not None:
                port_s[port] = time_s
            if freed is not None:
                freed.freed_s.append(time_s)
            delivered_s[place] = time_s + latency_s
            ends_s.append(time_s)
        return ends_s
