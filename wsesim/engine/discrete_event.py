"""Runs a program on SimPy: every worker is a process that waits for what its job needs.

The reference engine, and the one that remembers a trace.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Generator
from typing import Any, NamedTuple

import simpy

from wsesim.engine.buffers import Credits, Mailbox, Turnstile
from wsesim.engine.clock import Clock
from wsesim.engine.program import Job, Need, Numbers, Program, Room, Worker
from wsesim.engine.trace import Span

Process = Generator[simpy.Event, Any, None]
History = tuple[tuple[str, float], ...]
"""What a job waited for, and until when, in order. [s]"""


class Moment(NamedTuple):
    """Which micro-batch of which step, and both as one running number."""

    step: int
    micro_batch: int
    number: int


class Lane:
    """What belongs to one class of machines: its ports, buffers and mailboxes."""

    def __init__(self, clock: Clock, program: Program, numbers: Numbers) -> None:
        ports = {job.port for job in program if job.port is not None}
        self.ports = {port: Turnstile(clock) for port in sorted(ports)}
        self.room = {buffer: Credits(clock, capacity) for buffer, capacity in numbers.capacities.items()}
        self.mail: dict[tuple[str, str], Mailbox] = defaultdict(lambda: Mailbox(clock))


class DiscreteEvents:
    """One program that runs step after step.

    Attributes
    ----------
    trace
        Spans in the order in which they ended.
    step_ends_s, micro_batch_ends_s
        For each class, when the decisive worker ended each step and micro-batch. [s]
    step_done
        Event of each step, when all classes have ended it.
    """

    def __init__(self, clock: Clock, program: Program, numbers: Numbers, num_micro_batches: int) -> None:
        self.clock = clock
        self.program = program
        self.numbers = numbers
        self.num_micro_batches = num_micro_batches
        self.trace: list[Span] = []
        self.lanes = [Lane(clock, program, numbers) for _ in range(numbers.num_classes)]
        self.step_ends_s: list[list[float]] = [[] for _ in self.lanes]
        self.micro_batch_ends_s: list[list[float]] = [[] for _ in self.lanes]
        self.step_done: dict[int, simpy.Event] = defaultdict(clock.event)
        self._unfinished: dict[int, int] = defaultdict(lambda: len(self.lanes))
        self._consumers = program.consumers(program.jobs)
        self._closing_consumers = program.consumers(program.closing)
        self._closed: dict[tuple[int, int], simpy.Event] = defaultdict(clock.event)
        self._tickets, self._num_tickets = _tickets(program)

    def start(self) -> None:
        """Start every worker."""
        for worker in self.program.workers():
            jobs = [job for job in self.program.jobs if job.worker is worker]
            closing = [job for job in self.program.closing if job.worker is worker]
            if worker.shared:
                self.clock.start(worker.name, self.work(worker, worker.name, jobs, closing, self.lanes))
                continue
            for index, lane in enumerate(self.lanes):
                name = f"{worker.name}.{index}"
                self.clock.start(name, self.work(worker, name, jobs, closing, [lane], index))

    def work(
        self, worker: Worker, name: str, jobs: list[Job], closing: list[Job], lanes: list[Lane], index: int = 0
    ) -> Process:
        """A worker takes its jobs in order, micro-batch after micro-batch."""
        durations = self.durations(worker, [*jobs, *closing], index)
        for number in itertools.count():
            moment = Moment(*divmod(number, self.num_micro_batches), number)
            is_last = moment.micro_batch == self.num_micro_batches - 1
            for job in itertools.chain(jobs, closing) if is_last else jobs:
                since_s = self.clock.now
                history: History = ()
                if job.needs or job.room is not None or job.port is not None:
                    history = yield from self.wait(job, lanes, moment)
                    if worker.notes_waits and self.clock.now > since_s:
                        self.note_waits(name, job, moment, since_s, history)
                duration_s = durations[job.index]
                if duration_s > 0.0:
                    start_s = self.clock.now
                    yield self.clock.timeout(duration_s)
                    self.note(name, job, moment, start_s)
                self.hand_on(job, lanes, moment, history)
            if worker is self.program.decisive:
                self.end_micro_batch(index, moment, is_last=is_last)

    def durations(self, worker: Worker, jobs: list[Job], index: int) -> dict[int, float]:
        """Time of each job of a worker; 0 where it takes none. [s]"""
        numbers = self.numbers
        return {
            job.index: 0.0
            if job.duration is None
            else numbers.shared[job.duration]
            if worker.shared
            else numbers.per_class[job.duration][index]
            for job in jobs
        }

    def wait(self, job: Job, lanes: list[Lane], moment: Moment) -> Generator[simpy.Event, Any, History]:
        """Wait for what a job needs, for room, and for its turn at the ports; what it waited for."""
        history: list[tuple[str, float]] = []
        for need in job.needs:
            if need.of_previous_step:
                if moment.step > 0:
                    event = self._closed[moment.step - 1, need.job]
                    told: History = (yield event) if not event.processed else event.value or ()
                    history += [*told, (need.cause, self.clock.now)]
            else:
                history += yield from self.receive(job, need, lanes)
        if job.room is not None:
            size = self.size(job.room)
            for lane in lanes:
                room = lane.room[job.room.buffer].take(size)
                if room is not None:
                    yield room
            history.append((job.room.cause, self.clock.now))
        if job.port is not None:
            ticket = moment.number * self._num_tickets[job.port] + self._tickets[job.index]
            for lane in lanes:
                turn = lane.ports[job.port].take(ticket)
                if turn is not None:
                    yield turn
        return tuple(history)

    def receive(self, job: Job, need: Need, lanes: list[Lane]) -> Generator[simpy.Event, Any, History]:
        """Wait for a job of this micro-batch, from every class that does it for us."""
        sender = self.program.jobs[need.job].worker
        told: History = ()
        for lane in lanes[:1] if sender.shared and job.worker.shared else lanes:
            mail = lane.mail[sender.name, job.worker.name]
            told = mail.take() if mail.has_item() else (yield mail.wait())
        return (*told, (need.cause, self.clock.now))

    def size(self, room: Room) -> int:
        """Room that a job takes or gives back. [bytes]"""
        return 1 if room.size is None else self.numbers.sizes[room.size]

    def hand_on(self, job: Job, lanes: list[Lane], moment: Moment, history: History) -> None:
        """Give back ports and room, and deliver to whoever needs the job."""
        if job.port is not None:
            for lane in lanes:
                lane.ports[job.port].give()
        if job.frees is not None:
            size = self.size(job.frees)
            for lane in lanes:
                lane.room[job.frees.buffer].give(size)
        if job.index >= len(self.program.jobs):
            self._closed[moment.step, job.index].succeed(history)
            self._closed.pop((moment.step - 2, job.index), None)
        for consumer in self._consumers.get(job.index, ()):
            self.deliver(job, consumer, lanes, history)
        if moment.micro_batch == self.num_micro_batches - 1:
            for consumer in self._closing_consumers.get(job.index, ()):
                self.deliver(job, consumer, lanes, history)

    def deliver(self, job: Job, consumer: Worker, lanes: list[Lane], history: History) -> None:
        """Put word of a job into a worker's mailbox, after the latency of the way."""
        receivers = lanes[:1] if consumer.shared and job.worker.shared else lanes
        for index, lane in enumerate(receivers):
            mail = lane.mail[job.worker.name, consumer.name]
            if job.latency is None:
                mail.put(history)
            else:
                arrival = self.clock.timeout(self.numbers.latencies[job.latency][index], history)
                arrival.callbacks.append(mail.put_value)

    def end_micro_batch(self, index: int, moment: Moment, *, is_last: bool) -> None:
        """The decisive worker of a class has finished a micro-batch."""
        self.micro_batch_ends_s[index].append(self.clock.now)
        if is_last:
            self.step_ends_s[index].append(self.clock.now)
            self._unfinished[moment.step] -= 1
            if self._unfinished[moment.step] == 0:
                self.step_done[moment.step].succeed()

    def note(self, name: str, job: Job, moment: Moment, start_s: float) -> None:
        """Remember what a job took."""
        size = 0 if job.moves is None else self.numbers.sizes[job.moves]
        self.trace.append(
            Span(name, job.kind, job.layer, job.phase, moment.step, moment.micro_batch, start_s, self.clock.now, size)
        )

    def note_waits(self, name: str, job: Job, moment: Moment, start_s: float, history: History) -> None:
        """Remember a wait, split by what held the job up, and what held that up."""
        for cause, end_s in history:
            if end_s > start_s:
                kind = f"wait_{cause}"
                span = Span(name, kind, job.layer, job.phase, moment.step, moment.micro_batch, start_s, end_s)
                self.trace.append(span)
                start_s = end_s


def _tickets(program: Program) -> tuple[dict[int, int], dict[str, int]]:
    """Place of each job at its port within a micro-batch, and how many pass each port."""
    places: dict[int, int] = {}
    counts: dict[str, int] = defaultdict(int)
    for job in program.jobs:
        if job.port is not None:
            places[job.index] = counts[job.port]
            counts[job.port] += 1
    return places, counts
