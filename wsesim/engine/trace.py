"""What a simulation remembers: spans of time, each of one part of the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wsesim.units import add_up


class Span(NamedTuple):
    """One part of the machine did one thing from `start_s` to `end_s`.

    Attributes
    ----------
    part
        ``wafer``, ``port_in``, ``port_out``, ``memoryx``, ``swarmx_down``, ``swarmx_up``,
        ``optimizer`` or ``input``; parts of a class of systems end in its number, ``wafer.0``.
    kind
        What it did, for instance ``gemm``, ``wait_weights`` or ``transfer``.
    layer
        Index of the layer in forward order; -1 where no single layer is meant.
    phase
        ``forward``, ``backward``, ``recompute``, or empty.
    step, micro_batch
        Counted from 0 over the simulation.
    num_bytes
        Moved during the span. [bytes]
    """

    part: str
    kind: str
    layer: int
    phase: str
    step: int
    micro_batch: int
    start_s: float
    end_s: float
    num_bytes: int = 0


class Window(NamedTuple):
    """A stretch of simulated time that stands for `weight` equal stretches of the real step."""

    start_s: float
    end_s: float
    weight: float = 1.0

    @property
    def duration_s(self) -> float:
        """Length of all stretches that the window stands for. [s]"""
        return (self.end_s - self.start_s) * self.weight


def overlap_s(start_s: float, end_s: float, window: Window) -> float:
    """Part of an interval that lies in a window. [s]"""
    return max(0.0, min(end_s, window.end_s) - max(start_s, window.start_s))


def within(spans: Iterable[Span], windows: Iterable[Window]) -> Iterator[tuple[Span, float]]:
    """Spans that touch a window, each with its time inside, times the window's weight. [s]"""
    held = tuple(windows)
    for span in spans:
        inside = add_up(overlap_s(span.start_s, span.end_s, window) * window.weight for window in held)
        if inside > 0.0:
            yield span, inside


def ended_within_s(span: Span, windows: Iterable[Window]) -> float:
    """Whole duration of a span for each window that it ends in, times the window's weight. [s]"""
    return add_up(
        (span.end_s - span.start_s) * window.weight for window in windows if window.start_s < span.end_s <= window.end_s
    )
