"""Runs a program as a max-plus recurrence: every time is a maximum of earlier times plus a duration.

The same jobs, needs, rooms and ports as `wsesim.engine.discrete_event`, evaluated in program
order with numpy over classes of machines and over many scenarios that share a program. The
operations on each number are the same and in the same order, so times agree to the last
digit. There is no trace: what a wait was for is added up on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsesim.engine.program import Job, Need, Numbers, Program

Times = NDArray[np.float64]
"""Shape ``(num_classes, num_scenarios)``, or ``(1, num_scenarios)`` where classes share it. [s]"""
History = list[tuple[str, Times]]


@dataclass
class MicroBatch:
    """One micro-batch as the decisive worker sees it.

    Attributes
    ----------
    end_s
        When it ended. [s]
    spent_s
        Time by kind of work, and by ``wait_`` and the cause of waiting. [s]
    worker_ends_s
        When each worker that takes time ended it. [s]
    """

    end_s: Times
    spent_s: dict[str, Times]
    worker_ends_s: dict[str, Times]


class Buffer:
    """When room in a bounded buffer was given back, and whose room each taker waits for.

    Parameters
    ----------
    sizes
        The different sizes that are taken, ``(num_sizes, num_scenarios)``. [bytes]
    takers
        For each taker of a micro-batch, which size it takes. [-]
    capacity
        ``(num_scenarios,)``. [bytes]
    num_classes
        Of machines, each of which has such a buffer. [-]
    """

    def __init__(
        self, sizes: NDArray[np.int64], takers: Sequence[int], capacity: NDArray[np.int64], num_classes: int
    ) -> None:
        self.per_micro_batch, self.num_scenarios = len(takers), len(capacity)
        self.num_classes = num_classes
        self.lags = _lags(sizes, takers, capacity)
        self.freed: NDArray[np.float64] | None = None
        self.num_freed = 0
        self.taken = 0

    def free(self, times: Times) -> None:
        """Room is given back, by each class for itself or by a shared worker for all. [s]"""
        if self.freed is None:
            self.freed = np.empty((4 * self.per_micro_batch, self.num_classes, self.num_scenarios))
        elif self.num_freed == len(self.freed):
            self.freed = np.concatenate([self.freed, np.empty_like(self.freed)])
        self.freed[self.num_freed] = times
        self.num_freed += 1

    def free_since(self) -> Times | None:
        """When there is room for the next taker; None where there always is. [s]"""
        place = self.taken
        self.taken += 1
        lag = self.lags[place % self.per_micro_batch]
        if isinstance(lag, int):
            return self.freed[place - lag] if self.freed is not None and place >= lag else None
        index = place - lag
        if self.freed is None or index.max() < 0:
            return None
        rows = np.arange(self.freed.shape[1])[:, None]
        times = self.freed[np.maximum(index, 0)[None, :], rows, np.arange(self.num_scenarios)[None, :]]
        return np.where(index[None, :] >= 0, times, 0.0)


def _lags(
    sizes: NDArray[np.int64], takers: Sequence[int], capacity: NDArray[np.int64]
) -> list[int | NDArray[np.int64]]:
    """For each taker of a micro-batch, how many takers before it must have given their room back."""
    columns, scenario_of = np.unique(np.vstack([sizes, capacity]), axis=1, return_inverse=True)
    order = np.asarray(takers)
    different = np.stack([_lags_of_one(column[:-1][order], int(column[-1])) for column in columns.T], axis=1)
    alike = (different == different[:, :1]).all(axis=1).tolist()
    places = scenario_of.reshape(-1)
    return [int(row[0]) if same else row[places] for row, same in zip(different, alike, strict=True)]


def _lags_of_one(sizes: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Lags of one scenario: the most recent takers whose sizes together do not exceed the capacity."""
    num_takers = len(sizes)
    periods = min(capacity // max(int(sizes.sum()), 1) + 2, 10_000)
    total = np.concatenate([[0], np.cumsum(np.tile(sizes, periods))])
    last = np.arange(num_takers * (periods - 1), num_takers * periods)
    first = np.searchsorted(total, total[last + 1] - capacity, side="left")
    return last + 1 - first


class Recurrence:
    """One program for many scenarios, step after step.

    Parameters
    ----------
    numbers
        Each is the same for all scenarios, or an array over them, shape ``(num_scenarios,)``.
    explains
        Whether what waits were for is added up, which takes a quarter of the time or more.

    Attributes
    ----------
    steps
        The micro-batches of every step.
    """

    def __init__(
        self, program: Program, numbers: Numbers, num_scenarios: int, num_micro_batches: int, *, explains: bool = True
    ) -> None:
        self.program, self.explains = program, explains
        self.num_micro_batches = num_micro_batches
        self.num_classes, self.num_scenarios = numbers.num_classes, num_scenarios
        self.numbers = numbers
        self.per_class = {key: self._rows(values) for key, values in numbers.per_class.items()}
        self.shared = {key: self._rows([value]) for key, value in numbers.shared.items()}
        self.latencies = {key: self._rows(values) for key, values in numbers.latencies.items()}
        self.buffers = {buffer: self._buffer(buffer) for buffer in numbers.capacities if buffer in program.takers}
        self.free_s: dict[str, Times] = {}
        self.port_s: dict[str, Times] = {}
        self.delivered_s: dict[int, Times] = {}
        self.closed: dict[int, tuple[Times, History]] = {}
        self.history: dict[int, History] = {}
        self.steps: list[list[MicroBatch]] = []
        self._durations = [self._duration(job) for job in program]
        self.working = self._busy_workers()

    def _busy_workers(self) -> dict[str, NDArray[np.bool_]]:
        """For each worker that takes any time, which of its classes and scenarios take some."""
        busy: dict[str, NDArray[np.bool_]] = {}
        for name, outline in self.program.outlines.items():
            for role in outline.roles:
                duration_s = None if role.place >= len(self.program.jobs) else self._durations[role.place]
                if duration_s is not None and duration_s.any():
                    busy[name] = busy.get(name, False) | (duration_s > 0.0)
        return busy

    def _rows(self, values: Sequence[float]) -> Times:
        """A number of each class, the same for all scenarios or an array over them, as times."""
        rows = np.array(values, dtype=np.float64)
        return np.repeat(rows[:, None], self.num_scenarios, axis=1) if rows.ndim == 1 else rows

    def _buffer(self, buffer: str) -> Buffer:
        takers, numbers = self.program.takers[buffer], self.numbers
        keys = [None if job.room is None else job.room.size for job in takers]
        different = list(dict.fromkeys(keys))
        sizes = [1 if key is None else numbers.sizes[key] for key in different]
        rows = [np.broadcast_to(size, self.num_scenarios) for size in [*sizes, numbers.capacities[buffer]]]
        whole = np.array(rows, dtype=np.int64)
        return Buffer(whole[:-1], [different.index(key) for key in keys], whole[-1], self.num_classes)

    def _duration(self, job: Job) -> Times | None:
        if job.duration is None:
            return None
        return self.shared[job.duration] if job.worker.shared else self.per_class[job.duration]

    def run_step(self) -> None:
        """Evaluate one more step."""
        explain = self.explains and len(self.steps) >= 2
        done: list[MicroBatch] = []
        for _ in range(self.num_micro_batches):
            spent_s: dict[str, Times] = {}
            if explain:
                for job in self.program.jobs:
                    self.do(job, spent_s, explain=True)
            else:
                self.pass_over()
            ends_s = {worker: self.free_s[worker] for worker in self.working}
            done.append(MicroBatch(self.free_s[self.program.decisive.name], spent_s, ends_s))
        for job in self.program.closing:
            end_s = self.do(job, {}, explain=self.explains)
            self.closed[job.place] = (end_s, self.history.get(job.place, []))
        self.steps.append(done)

    def pass_over(self) -> None:
        """Evaluate a micro-batch as `do` and `wait` would, without remembering why anything waited.

        One function over local names: two thirds of all evaluations are of this kind.
        """
        free_s, port_s, delivered_s, later = self.free_s, self.port_s, self.delivered_s, np.maximum
        several, is_first = self.num_classes > 1, not self.steps
        for job in self.program.jobs:
            worker, name = job.worker, job.worker.name
            folds = worker.shared and several
            time_s = free_s.get(name)
            if time_s is None:
                time_s = np.zeros((1 if worker.shared else self.num_classes, self.num_scenarios))
            for need in job.needs:
                if need.of_previous_step:
                    if is_first:
                        continue
                    ready_s = self.closed[need.job][0]
                else:
                    ready_s = delivered_s[need.job]
                time_s = later(time_s, self._for(job, ready_s) if folds else ready_s)
            if job.room is not None:
                room_s = self.buffers[job.room.buffer].free_since()
                if room_s is not None:
                    time_s = later(time_s, self._for(job, room_s) if folds else room_s)
            if job.port is not None and job.port in port_s:
                time_s = later(time_s, self._for(job, port_s[job.port]) if folds else port_s[job.port])
            duration_s = self._durations[job.place]
            if duration_s is not None:
                time_s = time_s + duration_s
            free_s[name] = time_s
            if job.port is not None:
                port_s[job.port] = time_s
            if job.frees is not None:
                self.buffers[job.frees.buffer].free(time_s)
            delivered_s[job.place] = time_s if job.latency is None else time_s + self.latencies[job.latency]

    def do(self, job: Job, spent_s: dict[str, Times], *, explain: bool) -> Times:
        """Evaluate one job; when it ends. [s]"""
        worker, shared = job.worker, job.worker.shared
        free_s = self.free_s.get(worker.name)
        if free_s is None:
            free_s = np.zeros((1 if shared else self.num_classes, self.num_scenarios))
        start_s, history = self.wait(job, free_s, explain=explain)
        duration_s = self._durations[job.place]
        end_s = start_s if duration_s is None else start_s + duration_s
        if explain and worker is self.program.decisive:
            _charge(spent_s, job, free_s, history, start_s, end_s)
        self.free_s[worker.name] = end_s
        if job.port is not None:
            self.port_s[job.port] = end_s
        if job.frees is not None:
            self.buffers[job.frees.buffer].free(end_s)
        self.delivered_s[job.place] = end_s if job.latency is None else end_s + self.latencies[job.latency]
        if explain:
            self.history[job.place] = history
        return end_s

    def wait(self, job: Job, start_s: Times, *, explain: bool) -> tuple[Times, History]:
        """When a job can start, and until when it waited for what."""
        history: History = []
        for need in job.needs:
            if need.of_previous_step:
                if not self.steps:
                    continue
                ready_s, told = self.closed[need.job]
            else:
                ready_s = self.delivered_s[need.job]
                told = self.history.get(need.job, []) if explain and not self._is_of_many(job, need) else []
            start_s = np.maximum(start_s, self._for(job, ready_s))
            if explain:
                history += [*told, (need.cause, start_s)]
        if job.room is not None:
            free_s = self.buffers[job.room.buffer].free_since()
            if free_s is not None:
                start_s = np.maximum(start_s, self._for(job, free_s))
            if explain:
                history.append((job.room.cause, start_s))
        if job.port is not None and job.port in self.port_s:
            start_s = np.maximum(start_s, self._for(job, self.port_s[job.port]))
        return start_s, history

    def _is_of_many(self, job: Job, need: Need) -> bool:
        """Whether a shared job waits for one that each of several classes does."""
        sender = self.program.jobs[need.job].worker
        return self.num_classes > 1 and job.worker.shared and not sender.shared

    def _for(self, job: Job, times: Times) -> Times:
        """Times as a job sees them: a shared one waits for all classes."""
        if job.worker.shared and len(times) > 1:
            latest: Times = times.max(axis=0, keepdims=True)
            return latest
        return times


def _charge(
    spent_s: dict[str, Times], job: Job, since_s: Times, history: History, start_s: Times, end_s: Times
) -> None:
    """Add a job's waits and work to what was spent."""
    if history:
        for cause, until_s in history:
            later_s = np.maximum(since_s, until_s)
            _add(spent_s, f"wait_{cause}", later_s - since_s)
            since_s = later_s
    if end_s is not start_s:
        _add(spent_s, job.kind, end_s - start_s)


def _add(spent_s: dict[str, Times], kind: str, duration_s: Times) -> None:
    known = spent_s.get(kind)
    spent_s[kind] = duration_s if known is None else known + duration_s
