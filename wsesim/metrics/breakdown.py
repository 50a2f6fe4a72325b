"""Where the time of a step goes, along the path that decides it.

The step is as long as the wafer that finishes last needs: every moment of that wafer is
either work or waiting, so its spans add up to the step. What it waits for is followed
upstream: a wait for weights is charged to what MemoryX was doing meanwhile (sending, waiting
for room that a slower system does not give, or waiting for an update), and a wait for an
update to the optimizer while that works, to the way of the gradients before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from wsesim.engine.trace import Span, Window, overlap_s
from wsesim.simulation import Simulation

CATEGORIES = {
    "gemm": "products with weights",
    "attention": "attention scores and values",
    "sequencing": "fixed time per weight matrix and pass",
    "weights": "waiting for weights to arrive",
    "gradients": "waiting for gradients to leave or to be reduced",
    "optimizer": "waiting for the optimizer update",
    "activations": "waiting for saved activations",
    "input": "waiting for input samples",
    "stragglers": "waiting for slower systems",
    "other": "rounding",
}
_end_s = attrgetter("end_s")
_WORK = ("gemm", "attention", "sequencing")
_OWN_WAITS = {"wait_gradients": "gradients", "wait_activations": "activations", "wait_input": "input"}


def critical_class(simulation: Simulation) -> int:
    """Class of systems that decides the step: the one that waits least."""
    waits = dict.fromkeys(range(len(simulation.plan.classes)), 0.0)
    for span in simulation.trace:
        if span.part.startswith("wafer.") and span.kind.startswith("wait_"):
            index = int(span.part.split(".")[1])
            waits[index] += sum(
                overlap_s(span.start_s, span.end_s, window) * window.weight for window in simulation.windows
            )
    return min(waits, key=lambda index: (waits[index], index))


def _pieces(start_s: float, end_s: float, spans: Sequence[Span]) -> Iterable[tuple[float, float, Span]]:
    """Parts of an interval that spans of one part of the machine cover; such spans follow one another."""
    for place in range(bisect_right(spans, start_s, key=_end_s), len(spans)):
        span = spans[place]
        if span.start_s >= end_s:
            return
        yield max(start_s, span.start_s), min(end_s, span.end_s), span


def _update_wait(start_s: float, end_s: float, updates: Sequence[Span]) -> dict[str, float]:
    """A wait of MemoryX for an update: the optimizer's part, the rest is the gradients' way."""
    busy = sum(high - low for low, high, _ in _pieces(start_s, end_s, updates))
    return {"optimizer": busy, "gradients": end_s - start_s - busy}


def _weight_wait(start_s: float, end_s: float, stream: Sequence[Span], updates: Sequence[Span]) -> dict[str, float]:
    """A wait of a wafer for weights, charged to what MemoryX was doing."""
    charged = {"weights": 0.0, "stragglers": 0.0, "optimizer": 0.0, "gradients": 0.0}
    explained = 0.0
    for low, high, span in _pieces(start_s, end_s, stream):
        explained += high - low
        if span.kind == "wait_update":
            for name, value in _update_wait(low, high, updates).items():
                charged[name] += value
        else:
            charged["stragglers" if span.kind == "wait_room" else "weights"] += high - low
    charged["weights"] += end_s - start_s - explained
    return charged


def _window_breakdown(simulation: Simulation, wafer: str, window: Window) -> dict[str, float]:
    inside = [span for span in simulation.trace if span.end_s > window.start_s and span.start_s < window.end_s]
    stream = [span for span in inside if span.part == "memoryx"]
    updates = [span for span in inside if span.part == "optimizer"]
    found = dict.fromkeys(CATEGORIES, 0.0)
    for span in inside:
        if span.part != wafer:
            continue
        start_s, end_s = max(span.start_s, window.start_s), min(span.end_s, window.end_s)
        if span.kind in _WORK:
            found[span.kind] += end_s - start_s
        elif span.kind in _OWN_WAITS:
            found[_OWN_WAITS[span.kind]] += end_s - start_s
        else:
            for name, value in _weight_wait(start_s, end_s, stream, updates).items():
                found[name] += value
    return found


def breakdown_s(simulation: Simulation) -> dict[str, float]:
    """Seconds of one step by what they go into; they sum to the step time. [s]

    Categories without any time are left out.
    """
    wafer = f"wafer.{critical_class(simulation)}"
    total = dict.fromkeys(CATEGORIES, 0.0)
    for window in simulation.windows:
        for name, value in _window_breakdown(simulation, wafer, window).items():
            total[name] += value * window.weight
    total["other"] = simulation.step_time_s - sum(total.values())
    rounding = abs(total["other"]) <= 1e-9 * simulation.step_time_s
    if rounding:
        largest = max(total, key=lambda name: total[name])
        total[largest] += total.pop("other")
    return {name: value for name, value in total.items() if value > 0.0}
