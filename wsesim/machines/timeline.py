"""When each part of a machine did what: tracks, events, arrows and counters, and what all machines draw alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wsesim.engine.program import Span
from wsesim.errors import InputError
from wsesim.units import add_up

# A step as a picture or a trace viewer wants it: tracks, events, arrows and counters.


NO_LAYER = -1
"""Layer of an event that belongs to no single layer. [-]"""


class Track(NamedTuple):
    """A row of events, which never overlap.

    Attributes
    ----------
    key
        What events call it, ``wafer.0``.
    name
        What people call it, different for every track, with its multiplicity.
    group
        Heading under which it stands together with others.
    multiplicity
        Equal machines that it stands for. [-]
    is_detail
        What it shows is part of what another track shows; where there is little room it is left out first.
    """

    key: str
    name: str
    group: str
    multiplicity: int = 1
    is_detail: bool = False


class Event(NamedTuple):
    """A part did one thing, from `start_s` to `end_s` after the start of the first step shown.

    Attributes
    ----------
    track
        Key of its track.
    name
        By layer and pass, ``block.3 forward gemm``.
    kind
        ``work``, ``wait`` or ``transfer``.
    category
        Of the breakdown: what a machine does or waits for, and on a link, what passes. A pass of a GPU
        is of several, which `parts_s` tells apart.
    num_bytes
        Over one link, or of one collective; of all in a pass where a stream shows them as one. [bytes]
    flop
        Executed on one device. [FLOP]
    layer, last_layer
        Places in forward order, 0 is the embedding; different where a GPU takes several at once. [-]
    phase
        ``forward``, ``backward``, ``recompute``, or empty.
    step, micro_batch
        Counted from 0 over the simulation, and within the step. [-]
    times
        How often the real step has it: more than once where alike micro-batches were not simulated. [-]
    parts_s
        Seconds by category, where it is of several. [s]
    chunk
        Of its layer and pass, counted from 0; less where it is no chunk. [-]
    """

    track: str
    name: str
    kind: str
    category: str
    start_s: float
    end_s: float
    num_bytes: float = 0.0
    flop: float = 0.0
    layer: int = NO_LAYER
    last_layer: int = NO_LAYER
    phase: str = ""
    step: int = 0
    micro_batch: int = 0
    times: float = 1.0
    parts_s: Mapping[str, float] | None = None
    chunk: int = -1

    @property
    def duration_s(self) -> float:
        """Of one of them. [s]"""
        return self.end_s - self.start_s


class Arrow(NamedTuple):
    """What one event made, another needed; places in `Timeline.events`."""

    source: int
    target: int


class Counter(NamedTuple):
    """A number over time, which holds from each point to the next.

    Attributes
    ----------
    group
        Heading of the tracks to which it belongs.
    unit
        ``bytes`` or ``bytes/s``.
    capacity
        It never passes this; infinite where nothing bounds it.
    points
        When it changed, and to what. [s], [`unit`]
    """

    name: str
    group: str
    unit: str
    capacity: float
    points: tuple[tuple[float, float], ...]


class Stretch(NamedTuple):
    """A step. [s]"""

    step: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Timeline:
    """Steps of a run, in the steady state.

    Attributes
    ----------
    tracks
        In the order in which they are drawn: what comes down, the machines, what goes up.
    events
        By start; where one begins or ends outside of the steps, all of it.
    steps
        The steps shown, one after another; the first starts at 0.
    decisive
        Keys of the tracks whose events, by category, add up to the breakdown: of the class of systems
        that decides the step, or of all stages.
    notes
        What a reader should know before believing it.
    """

    name: str
    tracks: tuple[Track, ...]
    events: tuple[Event, ...]
    arrows: tuple[Arrow, ...]
    counters: tuple[Counter, ...]
    steps: tuple[Stretch, ...]
    decisive: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


# How much is drawn.


MOST_EVENTS = 2_000_000
"""An event takes about 1 kB while it is drawn and 300 B in a file, and viewers take no more. [-]"""


def check_size(num_events: int) -> None:
    """Refuse more events than a viewer takes.

    Raises
    ------
    InputError
        With what makes fewer.
    """
    if num_events > MOST_EVENTS:
        raise InputError(
            f"{num_events:,} events are more than viewers take, {MOST_EVENTS:,}; show fewer steps or layers "
            "(--steps, --layers)"
        )


def check_simulated(num_jobs: int) -> None:
    """Refuse more jobs than are kept in mind, of all layers, before some are chosen.

    Raises
    ------
    InputError
        With what makes fewer.
    """
    if num_jobs > MOST_EVENTS:
        raise InputError(
            f"{num_jobs:,} jobs of so many steps are more than are recorded, {MOST_EVENTS:,}; show fewer steps (--steps), or a "
            "run with fewer layers or chunks"
        )


# Numbers over time: how full a buffer is, how fast a link runs.


Points = Sequence[tuple[float, float]]
Moved = tuple[float, float, float]
"""From when to when a link carried how much. [s], [s], [bytes]"""
Window = tuple[float, float, float]
"""Time that counts as 0, and from when to when to show. [s]"""


def fill(name: str, group: str, taken: Points, capacity: float, window: Window) -> Counter:
    """Room taken in a buffer. [bytes]"""
    return Counter(name, group, "bytes", capacity, _shown(taken, window))


def rate(name: str, group: str, moved: Iterable[Moved], capacity: float, window: Window) -> Counter:
    """Rate of a link that carries one thing after another. [bytes/s]"""
    points: list[tuple[float, float]] = []
    for start_s, end_s, num_bytes in moved:
        points += [(start_s, min(capacity, _rounded(num_bytes / (end_s - start_s)))), (end_s, 0.0)]
    return Counter(name, group, "bytes/s", capacity, _shown(points, window))


def _rounded(value: float) -> float:
    """Without the noise of times that are differences; equal rates are equal then."""
    return float(f"{value:.9g}")


def _shown(points: Points, window: Window) -> tuple[tuple[float, float], ...]:
    """What a viewer needs: changes inside the window, one for each moment, and what held before."""
    origin_s, low_s, high_s = window
    begin = bisect_right(points, low_s, key=lambda point: point[0])
    end = bisect_right(points, high_s, key=lambda point: point[0])
    found = [(low_s - origin_s, points[begin - 1][1] if begin else 0.0)]
    for at_s, value in points[begin:end]:
        if at_s - origin_s == found[-1][0]:
            found.pop()
        if not found or value != found[-1][1]:
            found.append((at_s - origin_s, value))
    return tuple(found)


# Communication that holds up a GPU, on a track for each stream.
#
# How long a pass waits for its tensor-, context- and expert-parallel group is known, not in which moments. So each
# stream has one event for the whole pass, as long as all its waits together; the streams of a pass follow one
# another, and end with it.


IN_PASS = {
    "tensor": "tensor-parallel collectives",
    "context": "context-parallel sends",
    "expert": "expert-parallel exchanges",
}
"""Parts of a pass that are communication, and what people call them."""


def parts_in_pass(parts: Mapping[str, float] | None) -> dict[str, float]:
    """Those of the parts of a pass, in any unit, that are communication."""
    return {name: parts[name] for name in IN_PASS if parts and parts.get(name, 0.0) > 0.0}


def streams_of(event: Event, stage: int, num_bytes: Mapping[str, float]) -> Iterator[Event]:
    """What the streams do during an event of a stage.

    Parameters
    ----------
    num_bytes
        What a whole event moves, by stream. [bytes]
    """
    if event.category == "pipeline":
        yield event._replace(track=f"{event.phase}_link.{stage}")
    parts_s = parts_in_pass(event.parts_s)
    start_s = event.end_s - add_up(parts_s.values())
    for part, spent_s in parts_s.items():
        yield event._replace(
            track=f"{part}.{stage}",
            name=f"{event.name} {IN_PASS[part]}",
            kind="transfer",
            category=part,
            start_s=start_s,
            end_s=start_s + spent_s,
            num_bytes=num_bytes[part],
            flop=0.0,
            parts_s=None,
        )
        start_s += spent_s


# A timeline straight from the spans of a step, for machines that say no more of it.


def draw(
    name: str, trace: Sequence[Span], step_s: float, num_steps: int, layers: Collection[int] | None = None
) -> Timeline:
    """Steps that are all like the first one of a trace, a track for each part."""
    spans = [span for span in trace if span.step == 0 and (layers is None or span.layer in layers or span.layer < 0)]
    check_size(len(spans) * num_steps)
    parts = list(dict.fromkeys(span.part for span in spans))
    return Timeline(
        name=name,
        tracks=tuple(Track(part, part, part) for part in parts),
        events=tuple(_event(span, step, step_s) for step in range(num_steps) for span in spans),
        arrows=(),
        counters=(),
        steps=tuple(Stretch(step, step * step_s, (step + 1) * step_s) for step in range(num_steps)),
        decisive=tuple(parts[:1]),
        notes=(),
    )


def _event(span: Span, step: int, step_s: float) -> Event:
    later_s = step * step_s
    return Event(
        track=span.part,
        name=span.kind,
        category=span.kind,
        kind="wait" if span.kind.startswith("wait_") else "work",
        start_s=span.start_s + later_s,
        end_s=span.end_s + later_s,
        step=step,
        micro_batch=span.micro_batch,
        layer=span.layer,
        phase=span.phase,
        num_bytes=span.num_bytes,
    )
