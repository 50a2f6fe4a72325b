"""A timeline in the Chrome trace-event format [1]_, which Perfetto and chrome://tracing open.

Each part of the machine is a process, so that it folds, and tracks are its threads; the first process has the steps. Events are
complete events ("X"), arrows are flows ("s" to "f"), counters are counters ("C"), ends of steps are instant events ("i").

Times are microseconds from the first event, in whole nanoseconds, which is what Perfetto counts in; so events that
follow one another do not overlap after rounding.

.. [1] Duca and Sinclair, Trace Event Format, Google, 2016.
"""

from __future__ import annotations

import gzip
import heapq
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO

from wsesim.report.files import whole
from wsesim.report.terminal import Advance
from wsesim.study.timeline import Counter, Event, Timeline
from wsesim.version import __version__

ENDINGS = (".json", ".gz")
RUN = 1
"""Number of the process that has the steps, and of its thread; parts of the machine follow. [-]"""
EVENT, FLOW, COUNTER = range(3)
"""Order at equal times: an arrow is bound to the event that is open. [-]"""
AT_ONCE = 4096
"""Entries between two movements of the progress bar. [-]"""
LEVEL = 6
"""Of gzip: 9 takes three times as long for 2 % less. [-]"""

Thread = tuple[int, int]
"""Numbers of a process, and of a thread of it. [-]"""
Line = tuple[int, int, str]
"""When, order at equal times, and the text of an entry. [ns]"""


def write(timeline: Timeline, path: Path, advance: Advance) -> int:
    """Write a timeline, with gzip where the name says so; the file is whole, or it is the old one. Its size. [bytes]

    Parameters
    ----------
    advance
        Told of every event, arrow and point of a counter.
    """
    with whole(path) as file:
        with _packed(file, is_packed=path.suffix == ".gz") as packed:
            for number, text in enumerate(pieces(timeline)):
                packed.write(text.encode())
                if number % AT_ONCE == AT_ONCE - 1:
                    advance(count=AT_ONCE)
        return file.tell()


@contextmanager
def _packed(file: IO[bytes], *, is_packed: bool) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Through gzip or not; without time and name, so that equal contents are equal files."""
    if not is_packed:
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=file, mtime=0) as packed:
        yield packed


def num_entries(timeline: Timeline) -> int:
    """Events, ends of arrows and points of counters. [-]"""
    return len(timeline.events) + 2 * len(timeline.arrows) + sum(len(one.points) for one in timeline.counters)


def pieces(timeline: Timeline) -> Iterator[str]:
    """The text of the file, entry by entry, by time."""
    return _Writing(timeline).pieces()


class _Writing:
    """Writes down a timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        groups = dict.fromkeys(track.group for track in timeline.tracks)
        self.processes = {group: number for number, group in enumerate(groups, start=RUN + 1)}
        first = RUN + len(groups) + 1
        self.threads = {
            track.key: (self.processes[track.group], number)
            for number, track in enumerate(timeline.tracks, start=first)
        }
        starts = [0.0, *(event.start_s for event in timeline.events[:1])]
        starts += [points[0][0] for *_, points in timeline.counters]
        self.origin_s = min(starts)

    def pieces(self) -> Iterator[str]:
        """Head, names, entries by time, tail."""
        yield f'{{"displayTimeUnit":"ms","otherData":{json.dumps(self.about())},"traceEvents":[\n'
        yield ",\n".join(self.names())
        for _, _, text in heapq.merge(self.events(), self.flows(), self.counters(), key=_when):
            yield f",\n{text}"
        yield "\n]}\n"

    def about(self) -> dict[str, str]:
        """What the file is, for those who read it as text."""
        return {
            "run": self.timeline.name,
            "simulator": f"wsesim {__version__}",
            "units": "ts and dur in microseconds; bytes over one link or of one collective; flop on one device; "
            "spent_s in seconds; times: how often the real step has an event",
            "notes": "; ".join(self.timeline.notes),
        }

    def names(self) -> Iterator[str]:
        """Names and order of the process and its threads."""
        yield from _named((RUN, RUN), "process", f"run {self.timeline.name}", RUN)
        yield from _named((RUN, RUN), "thread", "step", RUN)
        for group, number in self.processes.items():
            yield from _named((number, number), "process", group, number)
        for track in self.timeline.tracks:
            yield from _named(self.threads[track.key], "thread", track.name, self.threads[track.key][1])

    def at_ns(self, time_s: float) -> int:
        """Time from the first event. [ns]"""
        return round((time_s - self.origin_s) * 1e9)

    def events(self) -> Iterator[Line]:
        """Steps, and what happens in them, by start."""
        return heapq.merge(self.steps(), map(self.event, self.timeline.events), key=_when)

    def steps(self) -> Iterator[Line]:
        """A track with the steps, which says what one should know."""
        notes = json.dumps({f"note {number}": note for number, note in enumerate(self.timeline.notes, start=1)})
        for step in self.timeline.steps:
            start_ns = self.at_ns(step.start_s)
            text = _complete(f"step {step.step}", "step", (RUN, RUN), start_ns, self.at_ns(step.end_s), notes)
            yield start_ns, EVENT, text
            yield self.at_ns(step.end_s), EVENT, _end_of(step.step, self.at_ns(step.end_s))

    def event(self, event: Event) -> Line:
        """One event."""
        start_ns = self.at_ns(event.start_s)
        thread, end_ns = self.threads[event.track], self.at_ns(event.end_s)
        return start_ns, EVENT, _complete(event.name, event.category, thread, start_ns, end_ns, _details(event))

    def flows(self) -> Iterator[Line]:
        """Arrows, from the middle of one event to the beginning of another."""
        ends: list[tuple[int, int, str]] = []
        for number, (source, target) in enumerate(self.timeline.arrows):
            made, used = self.timeline.events[source], self.timeline.events[target]
            middle_ns = (self.at_ns(made.start_s) + self.at_ns(made.end_s)) // 2
            ends.append((middle_ns, number, f'"ph":"s",{_at(self.threads[made.track])}'))
            ends.append((self.at_ns(used.start_s), number, f'"ph":"f","bp":"e",{_at(self.threads[used.track])}'))
        ends.sort()
        for at_ns, number, text in ends:
            yield at_ns, FLOW, f'{{{text},"id":{number},"name":"next","cat":"flow","ts":{_us(at_ns)}}}'

    def counters(self) -> Iterator[Line]:
        """All counters, by time."""
        return iter(sorted(chain.from_iterable(map(self.counter, self.timeline.counters)), key=_when))

    def counter(self, counter: Counter) -> Iterator[Line]:
        """One counter."""
        number = self.processes.get(counter.group, RUN)
        name, unit, place = _quoted(counter.name), _quoted(counter.unit), _at((number, number))
        times_ns = [self.at_ns(time_s) for time_s, _ in counter.points]
        for at_ns, next_ns, (_, value) in zip(times_ns, [*times_ns[1:], -1], counter.points, strict=True):
            if at_ns != next_ns:
                values = f"{{{unit}:{_number(value)}}}"
                yield at_ns, COUNTER, f'{{"ph":"C",{place},"name":{name},"ts":{_us(at_ns)},"args":{values}}}'


def _when(line: Line) -> tuple[int, int]:
    """By time, and at equal times what an arrow is bound to before the arrow."""
    return line[:2]


def _end_of(step: int, at_ns: int) -> str:
    """A line through all tracks where a step ends."""
    return f'{{"ph":"i","s":"g",{_at((RUN, RUN))},"name":"end of step {step}","cat":"boundary","ts":{_us(at_ns)}}}'


def _named(thread: Thread, what: str, name: str, order: int) -> Iterator[str]:
    """Name and place in the order."""
    for key, argument, value in (("name", "name", _quoted(name)), ("sort_index", "sort_index", str(order))):
        yield f'{{"ph":"M",{_at(thread)},"name":"{what}_{key}","ts":0,"args":{{"{argument}":{value}}}}}'


def _complete(name: str, category: str, thread: Thread, start_ns: int, end_ns: int, details: str) -> str:
    """A complete event."""
    times = f'"ts":{_us(start_ns)},"dur":{_us(end_ns - start_ns)}'
    return f'{{"ph":"X",{_at(thread)},"name":{_quoted(name)},"cat":{_quoted(category)},{times},"args":{details}}}'


def _details(event: Event) -> str:
    """All of an event that has no key of its own in the format."""
    found = [f'"kind":"{event.kind}","step":{event.step},"micro_batch":{event.micro_batch}']
    if event.layer >= 0:
        found.append(f'"layer":{event.layer}')
    if event.last_layer != event.layer:
        found.append(f'"last_layer":{event.last_layer}')
    if event.phase:
        found.append(f'"phase":"{event.phase}"')
    if event.chunk >= 0:
        found.append(f'"chunk":{event.chunk}')
    for key, value in (("bytes", event.num_bytes), ("flop", event.flop)):
        if value:
            found.append(f'"{key}":{_number(value)}')
    if event.times != 1.0:
        found.append(f'"times":{_number(event.times)}')
    if event.parts_s:
        parts = ",".join(f'"{name}":{_number(value)}' for name, value in event.parts_s.items())
        found.append(f'"spent_s":{{{parts}}}')
    return f"{{{','.join(found)}}}"


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return json.dumps(text)


@lru_cache(maxsize=4096)
def _at(thread: Thread) -> str:
    return f'"pid":{thread[0]},"tid":{thread[1]}'


def _number(value: float) -> str:
    """As short as it can be said exactly."""
    return str(int(value)) if value == int(value) else repr(float(value))


def _us(time_ns: int) -> str:
    """Microseconds, so that a reader who multiplies by 1000 and drops the rest finds the nanoseconds again."""
    text = f"{time_ns // 1000}.{time_ns % 1000:03d}"
    return text if int(float(text) * 1000.0) == time_ns else f"{text}01"
