"""Runs a program on SimPy: every worker is a process that waits for what its job needs.

The reference engine, and the one that remembers a trace.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import simpy

from wsesim.engine.buffers import Credits, Mailbox, Turnstile
from wsesim.engine.clock import Clock
from wsesim.engine.program import Job, Numbers, Program, Room, Worker
from wsesim.engine.trace import Span

Process = Generator[simpy.Event, Any, None]
History = Sequence[tuple[str, float]]
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


NOTHING: list[Any] = []


@dataclass(slots=True)
class Task:
    """A job with all that it touches, looked up before the simulation starts.

    Attributes
    ----------
    label
        Part, kind, layer and phase for the trace.
    mail
        What it needs of this micro-batch: the cause of a wait, and a mailbox for each sender.
    closed
        What it needs of the step before: the cause, and the job.
    room, room_size, room_cause
        Buffers in which it takes room, and what a wait for it is called. [bytes]
    ports, ticket, num_tickets
        Ports it passes, its place there in a micro-batch, and how many there are. [-]
    freed, freed_size
        Buffers in which it gives room back. [bytes]
    letters, closing_letters
        Mailboxes that hear of it, with the latency of the way; the latter once a step. [s]
    """

    label: tuple[str, str, int, str]
    index: int
    duration_s: float
    num_bytes: int
    mail: list[tuple[str, list[Mailbox]]]
    closed: list[tuple[str, int]]
    room: list[Credits]
    room_size: int
    room_cause: str
    ports: list[Turnstile]
    ticket: int
    num_tickets: int
    freed: list[Credits]
    freed_size: int
    letters: list[tuple[Mailbox, float | None]]
    closing_letters: list[tuple[Mailbox, float | None]]
    closes: bool
    touches: bool


class DiscreteEvents:
    """One program that runs step after step.

    Attributes
    ----------
    step_ends_s, micro_batch_ends_s
        For each class, when the decisive worker ended each step and micro-batch. [s]
    worker_ends_s
        For each worker that takes time, when it ended each micro-batch. [s]
    step_done
        Event of each step, when all classes have ended it.
    """

    def __init__(self, clock: Clock, program: Program, numbers: Numbers, num_micro_batches: int) -> None:
        self.clock = clock
        self.program = program
        self.numbers = numbers
        self.num_micro_batches = num_micro_batches
        self._spans: list[tuple[Any, ...]] = []
        self.lanes = [Lane(clock, program, numbers) for _ in range(numbers.num_classes)]
        self.step_ends_s: list[list[float]] = [[] for _ in self.lanes]
        self.micro_batch_ends_s: list[list[float]] = [[] for _ in self.lanes]
        self.worker_ends_s: dict[str, list[float]] = {}
        self.step_done: dict[int, simpy.Event] = defaultdict(clock.event)
        self._unfinished: dict[int, int] = defaultdict(lambda: len(self.lanes))
        self.consumers = program.consumers(program.jobs)
        self.closing_consumers = program.consumers(program.closing)
        self._closed: dict[tuple[int, int], simpy.Event] = defaultdict(clock.event)
        self.tickets, self.num_tickets = _tickets(program)

    def start(self) -> None:
        """Start every worker."""
        for worker in self.program.workers():
            jobs = [job for job in self.program.jobs if job.worker is worker]
            closing = [job for job in self.program.closing if job.worker is worker]
            for index in range(1 if worker.shared else len(self.lanes)):
                lanes = self.lanes if worker.shared else self.lanes[index : index + 1]
                prepared = TaskMaker(self, worker, index, lanes)
                tasks = [prepared.task(job) for job in jobs]
                closing_tasks = [prepared.task(job) for job in closing]
                name = worker.name if worker.shared else f"{worker.name}.{index}"
                if any(task.duration_s > 0.0 for task in tasks):
                    self.worker_ends_s[name] = []
                self.clock.start(name, self.work(worker, index, tasks, [*tasks, *closing_tasks]))

    def work(self, worker: Worker, index: int, tasks: list[Task], last_tasks: list[Task]) -> Process:  # noqa: C901
        """A worker takes its jobs in order, micro-batch after micro-batch.

        It waits for what a job needs, for room, and for its turn at the ports; it works; it
        hands on. One function, as every call here is made for each event.
        """
        clock, note, now = self.clock, self._spans.append, self.clock.now
        ends = self.worker_ends_s.get(worker.name if worker.shared else f"{worker.name}.{index}")
        told: Any
        for number in itertools.count():
            moment = Moment(*divmod(number, self.num_micro_batches), number)
            step, micro_batch, _ = moment
            is_last = micro_batch == self.num_micro_batches - 1
            for task in last_tasks if is_last else tasks:
                since_s = now
                history: list[tuple[str, float]] = []
                for cause, mailboxes in task.mail:
                    told = ()
                    for mailbox in mailboxes:
                        if mailbox.items:
                            told = mailbox.items.popleft()
                        else:
                            told = yield mailbox.wait()
                            now = clock.now
                    history += (*told, (cause, now))
                if task.closed and step > 0:
                    for cause, job in task.closed:
                        event = self._closed[step - 1, job]
                        told = event.value if event.processed else (yield event)
                        now = clock.now
                        history += (*told, (cause, now))
                if task.room:
                    for room in task.room:
                        granted = room.take(task.room_size)
                        if granted is not None:
                            yield granted
                            now = clock.now
                    history.append((task.room_cause, now))
                for port in task.ports:
                    turn = port.take(number * task.num_tickets + task.ticket)
                    if turn is not None:
                        yield turn
                        now = clock.now
                if now > since_s and worker.notes_waits:
                    self.note_waits(task, moment, since_s, history)
                if task.duration_s > 0.0:
                    start_s = now
                    yield clock.timeout(task.duration_s)
                    now = clock.now
                    note((*task.label, step, micro_batch, start_s, now, task.num_bytes))
                if task.touches:
                    self.hand_on(task, moment, history, is_last=is_last)
            if ends is not None:
                ends.append(now)
            if worker is self.program.decisive:
                self.end_micro_batch(index, moment, is_last=is_last)

    def hand_on(self, task: Task, moment: Moment, history: History, *, is_last: bool) -> None:
        """Give back ports and room, and write to whoever needs the job."""
        for port in task.ports:
            port.give()
        for room in task.freed:
            room.give(task.freed_size)
        if task.letters:
            self.send(task.letters, history)
        if is_last and task.closing_letters:
            self.send(task.closing_letters, history)
        if task.closes:
            self._closed[moment.step, task.index].succeed(history)
            self._closed.pop((moment.step - 2, task.index), None)

    def send(self, letters: list[tuple[Mailbox, float | None]], history: History) -> None:
        """Put word of a job into mailboxes, after the latency of the way."""
        for mailbox, latency_s in letters:
            if latency_s is None:
                mailbox.put(history)
            else:
                arrival = self.clock.timeout(latency_s, history)
                arrival.callbacks.append(mailbox.put_value)

    def end_micro_batch(self, index: int, moment: Moment, *, is_last: bool) -> None:
        """The decisive worker of a class has finished a micro-batch."""
        self.micro_batch_ends_s[index].append(self.clock.now)
        if is_last:
            self.step_ends_s[index].append(self.clock.now)
            self._unfinished[moment.step] -= 1
            if self._unfinished[moment.step] == 0:
                self.step_done[moment.step].succeed()

    def note_waits(self, task: Task, moment: Moment, start_s: float, history: History) -> None:
        """Remember a wait, split by what held the job up, and what held that up."""
        name, _, layer, phase = task.label
        for cause, end_s in history:
            if end_s > start_s:
                kind = f"wait_{cause}"
                self._spans.append((name, kind, layer, phase, moment.step, moment.micro_batch, start_s, end_s, 0))
                start_s = end_s

    @property
    def trace(self) -> tuple[Span, ...]:
        """Spans in the order in which they ended."""
        return tuple(map(Span._make, self._spans))


class TaskMaker:
    """Looks up what the jobs of one worker touch; jobs that touch the same share the lists."""

    def __init__(self, events: DiscreteEvents, worker: Worker, index: int, lanes: list[Lane]) -> None:
        self.events = events
        self.worker = worker
        self.index = index
        self.lanes = lanes
        self.name = worker.name if worker.shared else f"{worker.name}.{index}"
        self.room: dict[str, list[Credits]] = {
            buffer: [lane.room[buffer] for lane in lanes] for buffer in events.numbers.capacities
        }
        self.ports: dict[str, list[Turnstile]] = {port: [lane.ports[port] for lane in lanes] for port in lanes[0].ports}
        self._mail: dict[Worker, list[Mailbox]] = {}
        self._letters: dict[tuple[Worker, str | None], list[tuple[Mailbox, float | None]]] = {}

    def task(self, job: Job) -> Task:
        """A job with all that it touches."""
        events, jobs = self.events, self.events.program.jobs
        return Task(
            label=(self.name, job.kind, job.layer, job.phase),
            index=job.index,
            duration_s=self.duration_s(job),
            num_bytes=0 if job.moves is None else events.numbers.sizes[job.moves],
            mail=[
                (need.cause, self.mail_from(jobs[need.job].worker)) for need in job.needs if not need.of_previous_step
            ],
            closed=[(need.cause, need.job) for need in job.needs if need.of_previous_step],
            room=NOTHING if job.room is None else self.room[job.room.buffer],
            room_size=self.size(job.room),
            room_cause="" if job.room is None else job.room.cause,
            ports=NOTHING if job.port is None else self.ports[job.port],
            ticket=events.tickets.get(job.index, 0),
            num_tickets=0 if job.port is None else events.num_tickets[job.port],
            freed=NOTHING if job.frees is None else self.room[job.frees.buffer],
            freed_size=self.size(job.frees),
            letters=self.letters(job, events.consumers.get(job.index, ())),
            closing_letters=self.letters(job, events.closing_consumers.get(job.index, ())),
            closes=job.index >= len(jobs),
            touches=job.port is not None
            or job.frees is not None
            or job.index >= len(jobs)
            or job.index in events.consumers
            or job.index in events.closing_consumers,
        )

    def duration_s(self, job: Job) -> float:
        """Time of a job; 0 where it takes none. [s]"""
        numbers = self.events.numbers
        if job.duration is None:
            return 0.0
        return numbers.shared[job.duration] if self.worker.shared else numbers.per_class[job.duration][self.index]

    def size(self, room: Room | None) -> int:
        """Room that a job takes or gives back. [bytes]"""
        return 1 if room is None or room.size is None else self.events.numbers.sizes[room.size]

    def mail_from(self, sender: Worker) -> list[Mailbox]:
        """Mailboxes in which the worker hears of a sender: one for each class that does it for us."""
        if sender not in self._mail:
            once = sender.shared and self.worker.shared
            lanes = self.lanes[:1] if once else self.lanes
            self._mail[sender] = [lane.mail[sender.name, self.worker.name] for lane in lanes]
        return self._mail[sender]

    def letters(self, job: Job, consumers: Sequence[Worker]) -> list[tuple[Mailbox, float | None]]:
        """Mailboxes that hear of a job, each with its latency. [s]"""
        found: list[tuple[Mailbox, float | None]] = NOTHING
        for consumer in consumers:
            key = (consumer, job.latency)
            if key not in self._letters:
                once = consumer.shared and self.worker.shared
                self._letters[key] = [
                    (lane.mail[self.worker.name, consumer.name], self.latency_s(job, place))
                    for place, lane in enumerate(self.lanes[:1] if once else self.lanes)
                ]
            found = found + self._letters[key] if found else self._letters[key]
        return found

    def latency_s(self, job: Job, place: int) -> float | None:
        """Time from the end of a job to its delivery to a class; None is at once. [s]"""
        return None if job.latency is None else self.events.numbers.latencies[job.latency][place]


def _tickets(program: Program) -> tuple[dict[int, int], dict[str, int]]:
    """Place of each job at its port within a micro-batch, and how many pass each port."""
    places: dict[int, int] = {}
    counts: dict[str, int] = defaultdict(int)
    for job in program.jobs:
        if job.port is not None:
            places[job.index] = counts[job.port]
            counts[job.port] += 1
    return places, counts
