"""A step as a picture or a trace viewer wants it: tracks, events, arrows and counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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
