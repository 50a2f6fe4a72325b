"""Runs a program on SimPy: every worker is a process that waits for what its job needs.

The reference engine, and the one that remembers a trace. Between the processes are three small classes in place of SimPy's own:
room in a bounded buffer, letters, and turns at a port. What is granted at once costs no event.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import simpy
from simpy.events import Timeout

from wsesim.engine.program import Job, Numbers, Program, Room, Span, Turn, Worker
from wsesim.engine.repeat import FEWEST_STEPS, Seen, all_alike, last_two_agree
from wsesim.errors import SimulationStuck

Process = Generator[simpy.Event, Any, None]
History = Sequence[tuple[str, float]]
"""What a job waited for, and until when, in order. [s]"""


class Clock(simpy.Environment):
    """A SimPy environment that counts the events it has processed."""

    def __init__(self) -> None:
        super().__init__()
        self.num_events = 0
        self._named: dict[str, simpy.Process] = {}

    def start(self, name: str, generator: simpy.events.ProcessGenerator) -> simpy.Process:
        """Start a process under a name that error messages can use."""
        process = self.process(generator)
        self._named[name] = process
        return process

    def run_until(self, event: simpy.Event) -> None:
        """Run until an event has been processed.

        Raises
        ------
        SimulationStuck
            No event is left, but `event` has not come; names every process that waits.
        """
        step, count = self.step, 0
        try:
            while event.callbacks is not None:  # simpy's `processed`, without a call
                step()
                count += 1
        except simpy.core.EmptySchedule:
            waiting = [name for name, process in self._named.items() if process.is_alive]
            raise SimulationStuck(
                f"simulation stopped at {self.now:g} s with {', '.join(waiting)} waiting for one another; "
                "this is a fault of wsesim, please report the run file"
            ) from None
        finally:
            self.num_events += count


class Credits:
    """Room in a bounded buffer. A sender takes room before it sends; the reader gives it back.

    Grants are first-in-first-out. Sizes are whole bytes, so that nothing is lost to rounding.
    """

    def __init__(self, env: simpy.Environment, capacity: int) -> None:
        self.env = env
        self.capacity = capacity
        self.free = capacity
        self.lowest_free = capacity
        self._waiting: deque[tuple[simpy.Event, int]] = deque()

    def take(self, size: int) -> simpy.Event | None:
        """Take room; an event to wait for, or None where there is room at once."""
        if not self._waiting and size <= self.free:
            self.free -= size
            self.lowest_free = min(self.lowest_free, self.free)
            return None
        event = self.env.event()
        self._waiting.append((event, size))
        return event

    def give(self, size: int) -> None:
        """Give room back, and let the next in line have it."""
        self.free += size
        while self._waiting and self._waiting[0][1] <= self.free:
            event, wanted = self._waiting.popleft()
            self.free -= wanted
            self.lowest_free = min(self.lowest_free, self.free)
            event.succeed()


class WatchedCredits(Credits):
    """Credits that remember how much room was taken, since when, and who waited for some from when to when."""

    def __init__(self, env: simpy.Environment, capacity: int) -> None:
        super().__init__(env, capacity)
        self.taken: list[tuple[float, int]] = [(0.0, 0)]
        self.waited: list[tuple[float, float]] = []

    def take(self, size: int) -> simpy.Event | None:
        """As of `Credits`."""
        event = super().take(size)
        self._note()
        if event is not None and event.callbacks is not None:
            start_s = self.env.now
            event.callbacks.append(lambda _: self.waited.append((start_s, self.env.now)))
        return event

    def give(self, size: int) -> None:
        """As of `Credits`."""
        super().give(size)
        self._note()

    def _note(self) -> None:
        self.taken.append((self.env.now, self.capacity - self.free))


class Mailbox:
    """Unbounded first-in-first-out queue with one reader, who takes from `items` or waits."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.items: deque[Any] = deque()
        self._reader: simpy.Event | None = None

    def put(self, item: Any = None) -> None:
        """Add an item."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.succeed(item)
        else:
            self.items.append(item)

    def put_value(self, event: simpy.Event) -> None:
        """Add what an event brings; a callback."""
        self.put(event.value)

    def wait(self) -> simpy.Event:
        """Event that brings the next item, where `items` is empty."""
        self._reader = self.env.event()
        return self._reader


class Turnstile:
    """A resource that its users pass one after another, in an order that is fixed beforehand."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.now_serving = 0
        self._waiting: dict[int, simpy.Event] = {}

    def take(self, ticket: int) -> simpy.Event | None:
        """Ask for the resource; an event to wait for, or None where all earlier tickets are through."""
        if ticket == self.now_serving:
            return None
        event = self.env.event()
        self._waiting[ticket] = event
        return event

    def give(self) -> None:
        """Let the next ticket through."""
        self.now_serving += 1
        event = self._waiting.pop(self.now_serving, None)
        if event is not None:
            event.succeed()


class Moment(NamedTuple):
    """Which micro-batch of which step, and both as one running number."""

    step: int
    micro_batch: int
    number: int


class Lane:
    """What belongs to one class of machines: its ports, buffers and mailboxes."""

    def __init__(self, clock: Clock, program: Program, numbers: Numbers) -> None:
        self.ports = {port: Turnstile(clock) for port in program.port_users}
        self.room = {buffer: Credits(clock, capacity) for buffer, capacity in numbers.capacities.items()}
        self.mail: dict[tuple[str, str], Mailbox] = defaultdict(lambda: Mailbox(clock))


NOTHING: list[Any] = []


@dataclass(slots=True)
class Role:
    """What jobs of one worker share: all that they touch, looked up before the simulation starts.

    Attributes
    ----------
    mail
        What they need of this micro-batch: the cause of a wait, and a mailbox for each sender.
    room, room_size, room_cause
        Buffers in which they take room, and what a wait for it is called. [bytes]
    ports, num_tickets
        Ports they pass, and how many pass there in a micro-batch. [-]
    freed, freed_size
        Buffers in which they give room back. [bytes]
    letters, closing_letters
        Mailboxes that hear of them, with the latency of the way; the latter once a step. [s]
    closes
        Whether they follow the last micro-batch.
    """

    kind: str
    duration_s: float
    num_bytes: int
    mail: list[tuple[str, list[Mailbox]]]
    room: list[Credits]
    room_size: int
    room_cause: str
    ports: list[Turnstile]
    num_tickets: int
    freed: list[Credits]
    freed_size: int
    letters: list[tuple[Mailbox, float | None]]
    closing_letters: list[tuple[Mailbox, float | None]]
    closes: bool
    touches: bool


Tasks = list[tuple[Role, Turn]]


class DiscreteEvents:
    """One program that runs step after step.

    Attributes
    ----------
    step_ends_s, micro_batch_ends_s
        For each class, when the decisive worker ended each step and micro-batch. [s]
    worker_ends_s
        For each worker that takes time, when it ended each micro-batch. [s]
    spent_s
        For each class, what each micro-batch of the decisive worker was spent on. [s]
    step_done
        Event of each step, when all classes have ended it.
    """

    name = "simpy"

    def __init__(
        self, clock: Clock, program: Program, numbers: Numbers, num_micro_batches: int, *, keeps_trace: bool = True
    ) -> None:
        self.clock, self.program, self.numbers = clock, program, numbers
        self.num_micro_batches, self.keeps_trace = num_micro_batches, keeps_trace
        self.num_steps = 0
        self._spans: list[tuple[Any, ...]] = []
        self.lanes = [Lane(clock, program, numbers) for _ in range(numbers.num_classes)]
        self.step_ends_s: list[list[float]] = [[] for _ in self.lanes]
        self.micro_batch_ends_s: list[list[float]] = [[] for _ in self.lanes]
        self.spent_s: list[list[dict[str, float]]] = [[{}] for _ in self.lanes]
        self.worker_ends_s: dict[str, list[float]] = {}
        self.step_done: dict[int, simpy.Event] = defaultdict(clock.event)
        self._unfinished: dict[int, int] = defaultdict(lambda: len(self.lanes))
        self._closed: dict[tuple[int, int], simpy.Event] = defaultdict(clock.event)

    def watch(self, buffer: str) -> list[WatchedCredits]:
        """Remember how full a buffer of each class is; before the start."""
        watched = [WatchedCredits(self.clock, self.numbers.capacities[buffer]) for _ in self.lanes]
        for lane, room in zip(self.lanes, watched, strict=True):
            lane.room[buffer] = room
        return watched

    def run_step(self) -> None:
        """Run one more step, until every class has ended it."""
        if not self.num_steps:
            self.start()
        self.clock.run_until(self.step_done[self.num_steps])
        self.num_steps += 1

    def settled(self) -> list[bool]:
        """As of `wsesim.engine.repeat.Engine`."""
        last = slice(max(0, self.num_steps - FEWEST_STEPS), self.num_steps)
        return [all(last_two_agree(ends_s[last]) for ends_s in self.step_ends_s)]

    def repeats(self, periods: int) -> list[bool]:
        """As of `wsesim.engine.repeat.Engine`."""
        end = (self.num_steps - 1) * self.num_micro_batches
        ends_s = [one[end - periods - 1 : end] for one in self.worker_ends_s.values()]
        return [all_alike(ends_s, self.micro_batch_ends_s[0][end - 1])]

    def seen(self, speeds: Sequence[Sequence[float]]) -> list[Seen]:
        """As of `wsesim.engine.repeat.Engine`."""
        number, all_micro_batches = self.num_steps, self.num_steps * self.num_micro_batches
        ends_s, (slow,) = self.step_ends_s, speeds
        last = max(range(len(self.lanes)), key=lambda index: (ends_s[index][number - 1], -slow[index]))
        micro_batches_s, spent_s = self.micro_batch_ends_s[last], self.spent_s[last]
        return [
            Seen(
                last,
                ends_s[0][0],
                ends_s[last][:number],
                micro_batches_s[:all_micro_batches],
                spent_s[:all_micro_batches],
            )
        ]

    def start(self) -> None:
        """Start every worker."""
        for worker in self.program.workers():
            outline = self.program.outlines[worker.name]
            for index in range(1 if worker.shared else len(self.lanes)):
                maker = RoleMaker(self, worker, index, self.lanes if worker.shared else self.lanes[index : index + 1])
                roles = [maker.role(job) for job in outline.roles]
                tasks = [(roles[turn.role], turn) for turn in outline.turns]
                closing = [(roles[turn.role], turn) for turn in outline.closing]
                if any(role.duration_s > 0.0 and not role.closes for role in roles):
                    self.worker_ends_s[maker.name] = []
                process = self.work(worker, maker.name, index, tasks, [*tasks, *closing])
                self.clock.start(maker.name, process)

    def work(self, worker: Worker, name: str, index: int, tasks: Tasks, last_tasks: Tasks) -> Process:  # noqa: C901
        """A worker takes its jobs in order, micro-batch after micro-batch.

        It waits for what a job needs, for room, and for its turn at the ports; it works; it
        hands on. One function, as every call here is made for each event.
        """
        clock, note, now = self.clock, self._spans.append if self.keeps_trace else None, self.clock.now
        sums = self.spent_s[index] if worker is self.program.decisive else None
        ends, num_micro_batches, notes_waits = self.worker_ends_s.get(name), self.num_micro_batches, worker.notes_waits
        told: Any
        for number in itertools.count():
            moment = Moment(*divmod(number, num_micro_batches), number)
            step, micro_batch, _ = moment
            is_last = micro_batch == num_micro_batches - 1
            for role, turn in last_tasks if is_last else tasks:
                since_s = now
                history: list[tuple[str, float]] = []
                for cause, mailboxes in role.mail:
                    told = ()
                    for mailbox in mailboxes:
                        if mailbox.items:
                            told = mailbox.items.popleft()
                        else:
                            told = yield mailbox.wait()
                            now = clock.now
                    if len(mailboxes) > 1:
                        told = ()  # several classes waited for different things: the wait is for the slowest of them
                    history += (*told, (cause, now))
                if turn.closed and step > 0:
                    for cause, job in turn.closed:
                        event = self._closed[step - 1, job]
                        told = event.value if event.processed else (yield event)
                        now = clock.now
                        history += (*told, (cause, now))
                if role.room:
                    for room in role.room:
                        granted = room.take(role.room_size)
                        if granted is not None:
                            yield granted
                            now = clock.now
                    history.append((role.room_cause, now))
                for port in role.ports:
                    passed = port.take(number * role.num_tickets + turn.ticket)
                    if passed is not None:
                        yield passed
                        now = clock.now
                if notes_waits and now > since_s:
                    self.note_waits(name, turn, moment, since_s, history, sums)
                if role.duration_s > 0.0:
                    start_s = now
                    yield Timeout(clock, role.duration_s)
                    now = clock.now
                    if note is not None:
                        note((name, role.kind, turn.layer, turn.phase, step, micro_batch, start_s, now, role.num_bytes))
                    if sums is not None:
                        sums[-1][role.kind] = sums[-1].get(role.kind, 0.0) + (now - start_s)
                if role.touches:
                    self.hand_on(role, turn, moment, history, is_last=is_last)
            if ends is not None:
                ends.append(now)
            if worker is self.program.decisive:
                self.end_micro_batch(index, moment, is_last=is_last)

    def hand_on(self, role: Role, turn: Turn, moment: Moment, history: History, *, is_last: bool) -> None:
        """Give back ports and room, and write to whoever needs the job."""
        for port in role.ports:
            port.give()
        for room in role.freed:
            room.give(role.freed_size)
        if role.letters:
            self.send(role.letters, history)
        if is_last and role.closing_letters:
            self.send(role.closing_letters, history)
        if role.closes:
            self._closed[moment.step, turn.job].succeed(history)
            self._closed.pop((moment.step - 2, turn.job), None)

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
        self.spent_s[index].append({})
        if is_last:
            self.step_ends_s[index].append(self.clock.now)
            self._unfinished[moment.step] -= 1
            if self._unfinished[moment.step] == 0:
                self.step_done[moment.step].succeed()

    def note_waits(
        self,
        name: str,
        turn: Turn,
        moment: Moment,
        start_s: float,
        history: History,
        sums: list[dict[str, float]] | None,
    ) -> None:
        """Remember a wait, split by what held the job up, and what held that up."""
        for cause, end_s in history:
            if end_s > start_s:
                kind = f"wait_{cause}"
                if self.keeps_trace:
                    where = (name, kind, turn.layer, turn.phase, moment.step, moment.micro_batch)
                    self._spans.append((*where, start_s, end_s, 0))
                if sums is not None:
                    sums[-1][kind] = sums[-1].get(kind, 0.0) + (end_s - start_s)
                start_s = end_s

    @property
    def trace(self) -> tuple[Span, ...]:
        """Spans in the order in which they ended."""
        return tuple(map(Span._make, self._spans))


class RoleMaker:
    """Looks up what the jobs of one worker touch."""

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

    def role(self, job: Job) -> Role:
        """All that a job, and those like it, touch."""
        events, program = self.events, self.events.program
        needs = [need for need in job.needs if not need.of_previous_step]
        closes = job.place >= len(program.jobs)
        heard_by, closing = program.heard_by.get(job.place, ()), program.closing_heard_by.get(job.place, ())
        return Role(
            kind=job.kind,
            duration_s=self.duration_s(job),
            num_bytes=0 if job.moves is None else events.numbers.sizes[job.moves],
            mail=[(need.cause, self.mail_from(program.jobs[need.job].worker)) for need in needs],
            room=NOTHING if job.room is None else self.room[job.room.buffer],
            room_size=self.size(job.room),
            room_cause="" if job.room is None else job.room.cause,
            ports=NOTHING if job.port is None else self.ports[job.port],
            num_tickets=0 if job.port is None else program.port_users[job.port],
            freed=NOTHING if job.frees is None else self.room[job.frees.buffer],
            freed_size=self.size(job.frees),
            letters=self.letters(job, heard_by),
            closing_letters=self.letters(job, closing),
            closes=closes,
            touches=closes or job.port is not None or job.frees is not None or bool(heard_by) or bool(closing),
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
