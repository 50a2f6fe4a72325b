"""Evaluates a program without events: every time is the latest of earlier times, plus a duration.

A program becomes `Line`s, once for all numbers: a job waits for the ends of other lines, so many lines before its own, whether they
are jobs that it needs, the job before it of its worker or at its port, or who gives it room. `Plain` evaluates one scenario
on one class of machines in plain numbers, without numpy; `Many` evaluates many scenarios, or several classes, at once. Both do
the operations of `wsesim.engine.simulate` on each number, so times agree to the last digit. There is no trace: what a wait
was for is read out of the ends of lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from wsesim.engine.program import Job, Need, Numbers, Program
from wsesim.engine.repeat import FEWEST_STEPS, Seen, agree, all_alike, last_two_agree

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_EXPLAINED = 2
"""Step from which on waits are explained: no earlier one can be known to repeat the one before. [-]"""
Time = Any
"""A number, or an array, shape ``(num_classes, num_scenarios)``, with one row where classes share it. [s]"""
History = list[tuple[str, Time]]
"""What a job waited for, and until when, in order. [s]"""


TimeName = tuple[str, Any]
"""Which table of numbers, and the name in it."""


class Line(NamedTuple):
    """A job, or its delivery where that is later, as its end depends on others.

    Attributes
    ----------
    job
        Which it is, or is delivered.
    place
        In the micro-batch; closing lines follow. [-]
    after
        Lines that have to end first, counted back from this one: -1 is the one before. [-]
    closed
        Closing lines of the step before that have to. [-]
    worker
        The line before of its worker, counted back; None where that is a closing one. [-]
    latency
        Name of what a delivery takes; None for the job itself. [s]
    """

    job: Job
    place: int
    after: tuple[int, ...]
    closed: tuple[int, ...] = ()
    worker: int | None = None
    latency: str | None = None


class Lines(NamedTuple):
    """A program, lowered; room in buffers is left to those who know the sizes.

    Attributes
    ----------
    body, closing
        Of a micro-batch, and those that follow the last one of a step, which count back from its end.
    ends, deliveries
        For each job, the line that it ends with, and the one by which others hear of it. [-]
    freers
        For each buffer, the lines of a micro-batch that give room back. [-]
    workers
        For each worker, its last line of a micro-batch. [-]
    reopened
        Lines of a micro-batch that wait for closing ones of the step before, and for which. [-]
    times
        Where the time of each line is found.
    of_workers
        The different ones of a micro-batch, by worker.
    looked_up
        Edges by the lags of all buffers, as they were worked out before.
    """

    body: list[Line]
    closing: list[Line]
    ends: list[int]
    deliveries: list[int]
    freers: dict[str, list[int]]
    workers: dict[str, int]
    reopened: list[tuple[int, tuple[int, ...]]]
    times: list[TimeName | None]
    of_workers: dict[str, dict[TimeName, None]]
    looked_up: dict[Any, Any]


class _Lowering:
    """Writes the lines of one program; jobs of a worker, and those at a port, follow one another."""

    def __init__(self, program: Program) -> None:
        self.program, self.num_jobs = program, len(program.jobs)
        self.lines = Lines([], [], [], [], defaultdict(list), {}, [], [], defaultdict(dict), {})
        self.first_of: dict[str, int] = {}
        self.first_at: dict[str, int] = {}
        self.last_of: dict[str, int] = {}
        self.last_at: dict[str, int] = {}

    def lower(self) -> Lines:
        lines, closing = self.lines, {job.worker.name: place for place, job in enumerate(self.program.closing)}
        body = lines.body
        for job in self.program.jobs:
            self.write(job)
        for port, first in self.first_at.items():  # follows who was last in the micro-batch before
            back = self.last_at[port] - len(body) - first
            body[first] = body[first]._replace(after=(*body[first].after, back))
        for worker, first in self.first_of.items():
            line, back = body[first], self.last_of[worker] - len(body) - first
            closed = (*line.closed, closing[worker]) if worker in closing else line.closed
            body[first] = line._replace(after=(*line.after, back), closed=closed, worker=back)
        lines.workers.update(self.last_of)
        lines.reopened.extend([(line.place, line.closed) for line in body if line.closed])
        for place, job in enumerate(self.program.closing):
            self.close(job, len(body) + place, closing[job.worker.name])
            lines.times.append(_time_of(job))
        return lines

    def write(self, job: Job) -> None:
        lines, name, port = self.lines, job.worker.name, job.port
        body, place = lines.body, len(lines.body)
        after = [lines.deliveries[need.job] - place for need in job.needs if not need.of_previous_step]
        worker = None
        if name in self.last_of:
            worker = self.last_of[name] - place
            after.append(worker)
        else:
            self.first_of[name] = place
        self.last_of[name] = place
        if port is not None:
            if port in self.last_at:
                after.append(self.last_at[port] - place)
            else:
                self.first_at[port] = place
            self.last_at[port] = place
        time = _time_of(job)
        body.append(Line(job, place, tuple(after), self.closed(job) if job.needs else (), worker))
        lines.times.append(time)
        if time is not None:
            lines.of_workers[name][time] = None
        lines.ends.append(place)
        if job.frees is not None:
            lines.freers[job.frees.buffer].append(place)
        if job.latency is not None:
            body.append(Line(job, place + 1, (-1,), (), None, job.latency))
            lines.times.append(("latencies", job.latency))
        lines.deliveries.append(len(body) - 1)

    def close(self, job: Job, place: int, last: int) -> None:
        if job.room or job.frees or job.port or job.latency:
            raise ValueError(f"a closing job has neither room nor port nor latency: {job}")
        after = [self.place_of(need) - place for need in job.needs if not need.of_previous_step]
        name = job.worker.name
        worker = self.last_of[name] - place if name in self.last_of else None
        closed = self.closed(job) if worker is not None else (*self.closed(job), last)
        after += [] if worker is None else [worker]
        self.last_of[name] = place
        self.lines.closing.append(Line(job, place, tuple(after), closed, worker))

    def closed(self, job: Job) -> tuple[int, ...]:
        return tuple([need.job - self.num_jobs for need in job.needs if need.of_previous_step])

    def place_of(self, need: Need) -> int:
        late = need.job - self.num_jobs
        return self.lines.deliveries[need.job] if late < 0 else len(self.lines.body) + late


def _time_of(job: Job) -> TimeName | None:
    if job.duration is None:
        return None
    return "shared" if job.worker.shared else "per_class", job.duration


def lower(program: Program) -> Lines:
    """The lines of a program, which are kept with it."""
    if "lines" not in program.__dict__:
        program.__dict__["lines"] = _Lowering(program).lower()
    lines: Lines = program.__dict__["lines"]
    return lines


@lru_cache(maxsize=256)
def lags(sizes: tuple[int, ...], capacity: int) -> tuple[int, ...]:
    """For each taker of a micro-batch, how many takers before it must have given their room back. [-]

    So many of the most recent takers, itself among them, fit beside one another.

    Examples
    --------
    >>> lags((2, 1), capacity=3), lags((2, 1), capacity=7), lags((1,), capacity=4)
    ((2, 2), (4, 5), (4,))
    """
    number, total = len(sizes), max(add_ints(sizes), 1)
    whole, rest = divmod(capacity, total)
    found, first, held = [], 0, 0
    for place in range(2 * number):
        held += sizes[place % number]
        while held > rest:
            held -= sizes[first % number]
            first += 1
        found.append(whole * number + place + 1 - first)
    return tuple(found[number:])


def add_ints(numbers: Iterable[int]) -> int:
    """Their sum."""
    total = 0
    for number in numbers:
        total += number
    return total


def room_edges(program: Program, buffer: str, lag_of_takers: Sequence[int]) -> dict[int, int]:
    """For each line that takes room, how far back the line stands that gives it. [-]"""
    lines, takers = lower(program), program.takers[buffer]
    freers, width = lines.freers[buffer], len(lines.body)
    if len(freers) != len(takers):
        raise ValueError(f"room in {buffer} is taken by {len(takers)} jobs, and given back by {len(freers)}")
    edges = {}
    for place, (job, lag) in enumerate(zip(takers, lag_of_takers, strict=True)):
        passes, freer = divmod(place - lag, len(takers))
        line = lines.ends[job.place]
        edges[line] = passes * width + freers[freer] - line
    return edges


def from_rest(program: Program, capacities: Mapping[str, int]) -> list[tuple[int, ...]]:
    """For each line of the first micro-batch, the lines that it follows, counted back; takers take one place each."""
    rooms: dict[int, int] = {}
    for buffer, takers in program.takers.items():
        rooms |= room_edges(program, buffer, lags((1,) * len(takers), capacities[buffer]))
    edges = [
        (*line.after, rooms[place]) if place in rooms else line.after for place, line in enumerate(lower(program).body)
    ]
    return [_behind(after, place) for place, after in enumerate(edges)]


def _behind(after: tuple[int, ...], place: int) -> tuple[int, ...]:
    """Those that are not before the first line of all."""
    return after if min(after, default=0) >= -place else tuple([back for back in after if back >= -place])


def follow(
    edges: Iterable[tuple[int, ...]], starts_s: Iterable[float], durations_s: Iterable[float], ends_s: list[float]
) -> None:
    """Add to `ends_s` when each line ends: as long after the latest of those that it follows as it lasts. [s]"""
    add = ends_s.append
    for after, start_s, duration_s in zip(edges, starts_s, durations_s, strict=False):
        time_s = start_s
        for back in after:
            if ends_s[back] > time_s:
                time_s = ends_s[back]
        add(time_s + duration_s)


def ends_from_rest(edges: Sequence[tuple[int, ...]], durations_s: Iterable[float]) -> list[float]:
    """When each line of the first micro-batch ends. [s]"""
    ends_s: list[float] = []
    follow(edges, repeat(0.0), durations_s, ends_s)
    return ends_s


class MicroBatch(NamedTuple):
    """One micro-batch as the decisive worker sees it.

    Attributes
    ----------
    end_s
        When it ended. [s]
    spent_s
        Time by kind of work, and by ``wait_`` and the cause of waiting; empty where it is not asked for. [s]
    worker_ends_s
        When each worker that takes time ended it. [s]
    """

    end_s: Time
    spent_s: dict[str, Time]
    worker_ends_s: dict[str, Time]


Room = tuple[tuple[int, Any], ...]
"""How far back the line stands that gives room; where scenarios differ each with those that look there."""


class Evaluation(ABC):
    """One program that runs step after step.

    Parameters
    ----------
    explains
        Whether what waits were for is told, which takes a third of the time.

    Attributes
    ----------
    steps
        The micro-batches of every step.
    ends_s
        Of the last lines, as far as others look back. [s]
    """

    name = "recurrence"
    farthest = 0

    def __init__(self, program: Program, numbers: Numbers, num_micro_batches: int, *, explains: bool = True) -> None:
        self.program, self.numbers, self.num_micro_batches = program, numbers, num_micro_batches
        self.explains, self.lines = explains, lower(program)
        self.steps: list[list[MicroBatch]] = []
        self.ends_s: list[Time] = []
        self.closed_s: list[Time] = [0.0 for _ in program.closing]
        self.told: list[History] = [[] for _ in program.closing]
        self.room = self.find_room()
        times = {name: self.time_s(*name) for name in dict.fromkeys(self.lines.times) if name is not None}
        self.durations_s: list[Time] = [0.0 if name is None else times[name] for name in self.lines.times]
        self.busy = [
            name for name, mine in self.lines.of_workers.items() if self.works(name, [times[one] for one in mine])
        ]
        self.num_passes = 0

    @abstractmethod
    def find_room(self) -> dict[int, Room]:
        """Where lines that take room look for it."""

    @abstractmethod
    def time_s(self, table: str, name: Any) -> Time:
        """One of the numbers. [s]"""

    @abstractmethod
    def works(self, worker: str, times_s: Sequence[Time]) -> bool:
        """Whether a worker whose jobs take these times takes any."""

    @abstractmethod
    def evaluate(self) -> None:
        """Add the ends of one more micro-batch."""

    @abstractmethod
    def close(self) -> None:
        """Add the ends of the closing lines."""

    @abstractmethod
    def later(self, job: Job, one_s: Time, other_s: Time) -> Time:
        """The later of two times, as a job sees them. [s]"""

    @abstractmethod
    def of_many(self, job: Job, sender: Job) -> bool:
        """Whether a shared job waits for one that each of several classes does."""

    @abstractmethod
    def where(self, seen_by: Any, time_s: Time) -> Time:
        """A time for those scenarios that look there, and none for others. [s]"""

    def run_step(self) -> None:
        """Evaluate one more step."""
        explain, width = self.explains and len(self.steps) >= FIRST_EXPLAINED, len(self.lines.body)
        made = []
        for number in range(self.num_micro_batches):
            self.evaluate()
            reader = Reader(self)
            spent_s = reader.spent_s() if explain else {}
            ends_s = {worker: reader.at(self.lines.workers[worker]) for worker in self.busy}
            made.append(MicroBatch(reader.at(self.lines.workers[self.program.decisive.name]), spent_s, ends_s))
            if number == self.num_micro_batches - 1:
                self.close()
                told = [reader.history(line) for line in self.lines.closing if self.explains]
                self.told, self.closed_s = told, self.ends_s[len(self.ends_s) - len(self.lines.closing) :]
                del self.ends_s[len(self.ends_s) - len(self.lines.closing) :]
            del self.ends_s[: -max(width, self.farthest)]
        self.steps.append(made)


class Reader:
    """Says what the jobs of the last micro-batch waited for."""

    def __init__(self, made: Evaluation) -> None:
        self.made, self.lines, self.closed_s = made, made.lines, made.closed_s
        self.begin = len(made.ends_s) - len(made.lines.body)
        self.known: dict[int, History] = {}

    def at(self, place: int) -> Time:
        """End of the line at a place of the micro-batch. [s]"""
        place += self.begin
        return self.made.ends_s[place] if place >= 0 else 0.0

    def since(self, line: Line) -> Time:
        """When the worker is free for a line. [s]"""
        return self.closed_s[line.closed[-1]] if line.worker is None else self.at(line.place + line.worker)

    def history(self, line: Line) -> History:
        """What a job waited for, and until when; what it was told of what that waited for goes before. [s]"""
        known = self.known.get(line.job.place)
        if known is None:
            known = self.known[line.job.place] = self._history(line)
        return known

    def _history(self, line: Line) -> History:
        made, job, time_s = self.made, line.job, self.since(line)
        found: History = []
        for need in job.needs:
            if need.of_previous_step:
                late = need.job - len(self.lines.ends)
                ready_s, told = self.closed_s[late], made.told[late]
            else:
                ready_s, told = self.at(self.lines.deliveries[need.job]), self._told(job, need)
            time_s = made.later(job, time_s, ready_s)
            found += [*told, (need.cause, time_s)]
        if job.room is not None:
            for back, seen_by in made.room.get(line.place, ()):
                time_s = made.later(job, time_s, made.where(seen_by, self.at(line.place + back)))
            found.append((job.room.cause, time_s))
        return found

    def _told(self, job: Job, need: Need) -> History:
        sender = self.lines.body[self.lines.ends[need.job]]
        return [] if self.made.of_many(job, sender.job) else self.history(sender)

    def spent_s(self) -> dict[str, Time]:
        """What the decisive worker waited for and worked on. [s]"""
        made = self.made
        spent_s: dict[str, Time] = {}
        for line in self.lines.body:
            if line.job.worker is not made.program.decisive or line.latency is not None:
                continue
            since_s = self.since(line)
            for cause, until_s in self.history(line):
                later_s = made.later(line.job, since_s, until_s)
                if later_s is not since_s:
                    _add(spent_s, f"wait_{cause}", later_s - since_s)
                since_s = later_s
            if line.job.duration is not None:
                at_port = line.job.port is not None
                _add(spent_s, line.job.kind, made.durations_s[line.place] if at_port else self.at(line.place) - since_s)
        return spent_s


def _add(spent_s: dict[str, Time], kind: str, duration_s: Time) -> None:
    spent_s[kind] = spent_s[kind] + duration_s if kind in spent_s else duration_s


class Plain(Evaluation):
    """One scenario on one class of machines, in plain numbers: a job takes less than a microsecond."""

    def __init__(self, program: Program, numbers: Numbers, num_micro_batches: int, *, explains: bool = True) -> None:
        super().__init__(program, numbers, num_micro_batches, explains=explains)
        self.starts_s = [0.0] * len(self.edges)

    def find_room(self) -> dict[int, Room]:
        """As of `Evaluation`; edges of the same lags are looked up once."""
        found = []
        for buffer, takers in self.program.takers.items():
            names = [None if job.room is None else job.room.size for job in takers]
            sizes = tuple([1 if name is None else self.numbers.sizes[name] for name in names])
            found.append((buffer, lags(sizes, self.numbers.capacities[buffer])))
        key = tuple(found)
        if key not in self.lines.looked_up:
            self.lines.looked_up[key] = self._look_up(found)
        self.edges, self.behind, self.farthest, room = self.lines.looked_up[key]
        known: dict[int, Room] = room
        return known

    def _look_up(self, found: Sequence[tuple[str, tuple[int, ...]]]) -> tuple[Any, ...]:
        """All edges; the places of those that go beyond the micro-batch; how far they go; those for room."""
        backs: dict[int, int] = {}
        for buffer, lag_of_takers in found:
            backs |= room_edges(self.program, buffer, lag_of_takers)
        edges = [(*line.after, backs[line.place]) if line.place in backs else line.after for line in self.lines.body]
        behind = [place for place, after in enumerate(edges) if min(after, default=0) < -place]
        farthest = -min([min(edges[place]) for place in behind], default=0)
        return edges, behind, farthest, {place: ((back, None),) for place, back in backs.items()}

    def time_s(self, table: str, name: Any) -> float:
        """As of `Evaluation`."""
        number = getattr(self.numbers, table)[name]
        return float(number if table == "shared" else number[0])

    def works(self, worker: str, times_s: Sequence[float]) -> bool:  # noqa: ARG002
        """As of `Evaluation`."""
        return max(times_s, default=0.0) > 0.0

    def evaluate(self) -> None:
        """As of `Evaluation`."""
        begin, edges = self.num_passes * len(self.edges), self.edges
        if begin < self.farthest:
            edges = edges.copy()
            for place in self.behind:
                edges[place] = _behind(edges[place], begin + place)
        follow(edges, self.starts_s, self.durations_s, self.ends_s)
        self.num_passes += 1

    def close(self) -> None:
        """As of `Evaluation`."""
        closing = self.lines.closing
        starts_s = [max([self.closed_s[late] for late in line.closed], default=0.0) for line in closing]
        follow([line.after for line in closing], starts_s, self.durations_s[len(self.edges) :], self.ends_s)
        closed_s = self.ends_s[len(self.ends_s) - len(closing) :]
        for place, closed in self.lines.reopened:
            self.starts_s[place] = max([closed_s[late] for late in closed])

    def later(self, job: Job, one_s: float, other_s: float) -> float:  # noqa: ARG002
        """As of `Evaluation`."""
        return other_s if other_s > one_s else one_s

    def of_many(self, job: Job, sender: Job) -> bool:  # noqa: ARG002
        """As of `Evaluation`."""
        return False

    def where(self, seen_by: Any, time_s: float) -> float:  # noqa: ARG002
        """As of `Evaluation`."""
        return time_s

    def settled(self) -> list[bool]:
        """As of `wsesim.engine.repeat.Engine`."""
        return [last_two_agree([step[-1].end_s for step in self.steps[-FEWEST_STEPS:]])]

    def repeats(self, periods: int) -> list[bool]:
        """As of `wsesim.engine.repeat.Engine`."""
        made = self.steps[-2][-periods - 1 :]
        return [all_alike([[one.worker_ends_s[worker] for one in made] for worker in self.busy], made[-1].end_s)]

    def seen(self, speeds: Sequence[Sequence[float]]) -> list[Seen]:  # noqa: ARG002
        """As of `wsesim.engine.repeat.Engine`."""
        ends_s = [step[-1].end_s for step in self.steps]
        all_s = [made.end_s for step in self.steps for made in step]
        return [Seen(0, ends_s[0], ends_s, all_s, [made.spent_s for step in self.steps for made in step])]


class Many(Evaluation):
    """Many scenarios of one program, and several classes of machines, with numpy.

    Parameters
    ----------
    numbers
        Each is the same for all scenarios, or an array over them, shape ``(num_scenarios,)``.
    """

    def __init__(
        self, program: Program, numbers: Numbers, num_scenarios: int, num_micro_batches: int, *, explains: bool = True
    ) -> None:
        import numpy as np

        self.np, self.num_scenarios, self.num_classes = np, num_scenarios, numbers.num_classes
        self.lasting: dict[str, NDArray[Any]] = {}
        self.nothing_s = np.zeros((1, num_scenarios))
        super().__init__(program, numbers, num_micro_batches, explains=explains)
        looks = [back for line in self.lines.body for back in line.after]
        looks += [back for room in self.room.values() for back, _ in room]
        self.farthest = -min(looks, default=0)
        self.prepared = [self._prepared(line) for line in chain(self.lines.body, self.lines.closing)]

    def _prepared(self, line: Line) -> tuple[tuple[int, ...], Room, tuple[int, ...], bool, Time | None]:
        """A line as `follow` takes it: what it follows, where it finds room, whether it waits for all classes, and its time."""
        folds = self.num_classes > 1 and line.job.worker.shared and line.latency is None
        room = self.room.get(line.place, ()) if line.latency is None else ()
        time = None if self.lines.times[line.place] is None else self.durations_s[line.place]
        return line.after, room, line.closed, folds, time

    def find_room(self) -> dict[int, Room]:
        """As of `Evaluation`; lags are worked out once for scenarios whose sizes are the same."""
        np, numbers = self.np, self.numbers
        found: dict[int, Room] = {}
        for buffer, takers in self.program.takers.items():
            keys = [None if job.room is None else job.room.size for job in takers]
            names = list(dict.fromkeys(keys))
            values = [*[1 if key is None else numbers.sizes[key] for key in names], numbers.capacities[buffer]]
            rows = np.array([np.broadcast_to(value, self.num_scenarios) for value in values], dtype=np.int64)
            columns, scenario_of = np.unique(rows, axis=1, return_inverse=True)
            order, alike = [names.index(key) for key in keys], scenario_of.reshape(-1)
            all_lags = [lags(tuple([column[place] for place in order]), column[-1]) for column in columns.T.tolist()]
            edges = [room_edges(self.program, buffer, one) for one in dict.fromkeys(all_lags)]
            kinds = np.array([list(dict.fromkeys(all_lags)).index(one) for one in all_lags])[alike]
            for place in edges[0]:
                backs = [one[place] for one in edges]
                seen_by = np.array(backs)[kinds]
                found[place] = tuple(
                    (back, None if len(set(backs)) == 1 else seen_by == back) for back in sorted(set(backs))
                )
        return found

    def time_s(self, table: str, name: Any) -> NDArray[Any]:
        """As of `Evaluation`: one row for each class, or one for all."""
        number = getattr(self.numbers, table)[name]
        rows = self.np.array([number] if table == "shared" else number, dtype=self.np.float64)
        return self.np.repeat(rows[:, None], self.num_scenarios, axis=1) if rows.ndim == 1 else rows

    def works(self, worker: str, times_s: Sequence[NDArray[Any]]) -> bool:
        """As of `Evaluation`; remembers for which classes and scenarios."""
        for time_s in times_s:
            if time_s.any():
                self.lasting[worker] = self.lasting.get(worker, False) | (time_s > 0.0)
        return worker in self.lasting

    def evaluate(self) -> None:
        """As of `Evaluation`."""
        self.follow(0, len(self.lines.body), self.num_passes * len(self.lines.body))
        self.num_passes += 1

    def close(self) -> None:
        """As of `Evaluation`."""
        width = len(self.lines.body)
        self.follow(width, width + len(self.lines.closing), (self.num_passes - 1) * width)

    def follow(self, first: int, end: int, begin: int) -> None:
        """Add when some lines of a micro-batch end, before which there were so many lines of others."""
        later, ends_s, is_late = self.np.maximum, self.ends_s, begin >= self.farthest
        for place in range(first, end):
            after, rooms, closed, folds, duration_s = self.prepared[place]
            looks = [ends_s[back] for back in after if is_late or begin + place + back >= 0]
            for back, seen_by in rooms:
                if is_late or begin + place + back >= 0:
                    looks.append(self.where(seen_by, ends_s[back]))
            if closed and self.steps:
                looks += [self.closed_s[late] for late in closed]
            if folds:
                looks = [one.max(axis=0, keepdims=True) if len(one) > 1 else one for one in looks]
            time_s = looks[0] if looks else self.nothing_s
            for one in looks[1:]:
                time_s = later(time_s, one)
            ends_s.append(time_s if duration_s is None else time_s + duration_s)

    def later(self, job: Job, one_s: Time, other_s: Time) -> Time:
        """As of `Evaluation`; a shared job waits for all classes."""
        if job.worker.shared and self.np.ndim(other_s) > 1 and len(other_s) > 1:
            other_s = other_s.max(axis=0, keepdims=True)
        return self.np.maximum(one_s, other_s)

    def of_many(self, job: Job, sender: Job) -> bool:
        """As of `Evaluation`."""
        return self.num_classes > 1 and job.worker.shared and not sender.worker.shared

    def where(self, seen_by: Any, time_s: Time) -> Time:
        """As of `Evaluation`."""
        return time_s if seen_by is None else self.np.where(seen_by, time_s, 0.0)

    def settled(self) -> list[bool]:
        """As of `wsesim.engine.repeat.Engine`."""
        if len(self.steps) < FEWEST_STEPS:
            return [False] * self.num_scenarios
        first_s, second_s, third_s = [self.whole(step[-1].end_s) for step in self.steps[-FEWEST_STEPS:]]
        found: list[bool] = agree(third_s - second_s, second_s - first_s, third_s).all(axis=0).tolist()
        return found

    def repeats(self, periods: int) -> list[bool]:
        """As of `wsesim.engine.repeat.Engine`."""
        np, made = self.np, self.steps[-2][-periods - 1 :]
        longest, shortest = np.zeros(self.num_scenarios), np.full(self.num_scenarios, np.inf)
        for worker, works in self.lasting.items():
            periods_s = np.diff(np.stack([one.worker_ends_s[worker] for one in made]), axis=0)
            longest = np.maximum(longest, np.where(works, periods_s, 0.0).max(axis=(0, 1)))
            shortest = np.minimum(shortest, np.where(works, periods_s, np.inf).min(axis=(0, 1)))
        found: list[bool] = agree(longest, shortest, self.whole(made[-1].end_s)[0]).tolist()
        return found

    def whole(self, time_s: Time) -> NDArray[Any]:
        """A time for each class and scenario. [s]"""
        return self.np.broadcast_to(time_s, (self.num_classes, self.num_scenarios))

    def seen(self, speeds: Sequence[Sequence[float]]) -> list[Seen]:
        """As of `wsesim.engine.repeat.Engine`."""
        np, scenarios, steps = self.np, range(self.num_scenarios), self.steps
        slow = -np.array(speeds).T
        first = np.broadcast_to(-np.arange(self.num_classes)[:, None], slow.shape)
        last = np.lexsort((first, slow, self.whole(steps[-1][-1].end_s)), axis=0)[
            -1
        ]  # of equally late ones the slowest

        def of_last(time_s: Time) -> list[float]:
            found: list[float] = self.whole(time_s)[last, scenarios].tolist()
            return found

        first_s = self.whole(steps[0][-1].end_s)[0].tolist()
        step_ends_s = list(zip(*[of_last(step[-1].end_s) for step in steps], strict=True))
        all_ends_s = list(zip(*[of_last(made.end_s) for step in steps for made in step], strict=True))
        spent_s = [{kind: of_last(time_s) for kind, time_s in made.spent_s.items()} for step in steps for made in step]
        return [
            Seen(
                decisive,
                first_s[place],
                step_ends_s[place],
                all_ends_s[place],
                [{kind: times_s[place] for kind, times_s in spent.items()} for spent in spent_s],
            )
            for place, decisive in enumerate(last.tolist())
        ]
