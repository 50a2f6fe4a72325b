"""Simulates one step of a GPU run: the same engine, the same trace, other workers.

The plan is checked, or searched; the pipeline, reductions and gathers run as processes that wait for
one another. A long step is simulated with few of its micro-batches (`wsesim.machines.gpu.search.lengths`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wsesim.engine.program import Span
from wsesim.engine.repeat import collector_paused, round_s
from wsesim.engine.simulate import Clock, DiscreteEvents
from wsesim.machines.gpu.doubts import lateness
from wsesim.machines.gpu.memory import Memory, memory_of_plan
from wsesim.machines.gpu.pipeline import PipelineShape, numbers_of, shape_of, write_program
from wsesim.machines.gpu.search import KINDS, choose, compared_round, lengths, pieces_of, step_time_s
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plan
from wsesim.machines.gpu.times import Pass, Times, times_of_plan
from wsesim.units import add_up


class Rounds(NamedTuple):
    """A round that stands for others that were not simulated.

    Attributes
    ----------
    number
        How many others. [-]
    round_s
        Its length. [s]
    begins_s
        When it begins on each stage, by the part's name in the trace. [s]
    """

    number: int
    round_s: float
    begins_s: dict[str, float]


@dataclass(frozen=True)
class Step:
    """One simulated step.

    Attributes
    ----------
    time_s, spent_s
        One optimizer step, and what a GPU spends it on, on average over the stages. [s]
    trace
        Spans of the simulated step, which has fewer micro-batches where there are `rounds`.
    simulated_step_s
        Length of the simulated step. [s]
    num_events
        SimPy events. [-]
    rounds
        What of the trace stands for the micro-batches that were not simulated; None where all were.
    """

    time_s: float
    spent_s: dict[str, float]
    trace: tuple[Span, ...]
    simulated_step_s: float
    num_events: int
    rounds: Rounds | None = None


@dataclass(frozen=True)
class GPUSimulation:
    """One step of a plan.

    Attributes
    ----------
    plan, times, memory
        The plan, and of it alone what its parts take alone and what it needs on the fullest GPU.
    step_time_s
        One optimizer step. [s]
    num_plans
        Plans that were searched; 1 where the run file leaves no choice. [-]
    wall_s
        Seconds that this took. [s]
    known
        The simulated step and how many of its micro-batches were simulated; None where the step time alone was asked for.
    """

    run: GPURun
    plan: Plan
    times: Times
    memory: Memory
    step_time_s: float
    num_plans: int
    wall_s: float = 0.0
    known: tuple[Step, int] | None = None

    @property
    def spent_s(self) -> dict[str, float]:
        """What a GPU spends a step on, on average over the stages. [s]"""
        return self.known[0].spent_s if self.known else {}

    @property
    def trace(self) -> tuple[Span, ...]:
        """Spans of the simulated step; fewer micro-batches than the step has where `num_simulated` says so."""
        return self.known[0].trace if self.known else ()

    @property
    def simulated_step_s(self) -> float:
        """Length of the simulated step. [s]"""
        return self.known[0].simulated_step_s if self.known else 0.0

    @property
    def num_simulated(self) -> int:
        """Micro-batches that were simulated. [-]"""
        return self.known[1] if self.known else 0

    @property
    def rounds(self) -> Rounds | None:
        """What of the trace stands for the micro-batches that were not simulated; None where all were."""
        return self.known[0].rounds if self.known else None

    @property
    def num_events(self) -> int:
        """SimPy events. [-]"""
        return self.known[0].num_events if self.known else 0


def _simulate(run: GPURun, plan: Plan, times: Times, num_micro_batches: int) -> Step:
    shape, clock = shape_of(run, plan, num_micro_batches), Clock()
    events = DiscreteEvents(clock, write_program(shape), numbers_of(run, plan, times, shape), 1)
    events.run_step()
    step_s = events.step_ends_s[0][0]
    trace = tuple(span for span in events.trace if span.step == 0)
    return Step(step_s, spent_s(trace, times, shape, step_s), trace, step_s, clock.num_events)


def spent_s(trace: Iterable[Span], times: Times, shape: PipelineShape, step_s: float) -> dict[str, float]:
    """What a GPU spends a step on, on average over the stages. [s]

    A pass through a chunk is spent as its blocks are; time in which a stage neither works nor waits for
    a collective is the pipeline's bubble.
    """
    busy: dict[str, float] = defaultdict(float)
    for span in trace:
        if span.part.startswith("stage."):
            busy[span.kind] += span.end_s - span.start_s
    found: dict[str, float] = defaultdict(float)
    for kind, parts in pass_shares(times).items():
        for part, share in parts.items():
            found[part] += busy.get(kind, 0.0) * share
    found["pipeline"] = busy.get("send", 0.0)
    found["optimizer"] = busy.get("update", 0.0)
    found["host"] = busy.get("host", 0.0)
    found["data"] = busy.get("wait_data_parallel", 0.0)
    mean = {part: value / shape.num_stages for part, value in found.items()}
    mean["bubble"] = max(0.0, step_s - add_up(mean.values()))
    return {part: value for part, value in mean.items() if value > 0.0}


def _parts(one: Pass) -> dict[str, float]:
    return {name.removesuffix("_s"): value for name, value in one._asdict().items()}


def pass_shares(times: Times) -> dict[str, dict[str, float]]:
    """Of a forward and of a backward pass, what share is spent on what. [-]"""
    return {"forward": _shares(times.forward), "backward": _backward_shares(times)}


def _shares(one: Pass) -> dict[str, float]:
    parts = _parts(one)
    whole = add_up(parts.values())
    return {name: value / whole for name, value in parts.items()}


def _backward_shares(times: Times) -> dict[str, float]:
    parts, again = _parts(times.backward), add_up(_parts(times.recompute).values())
    parts["kernels"] += times.accumulate_s
    parts["recompute"] = again
    whole = add_up(parts.values())
    return {name: value / whole for name, value in parts.items()} if whole > 0.0 else {}  # an evaluation has none


def _ends_s(trace: tuple[Span, ...]) -> dict[tuple[str, str, str, int], list[float]]:
    """When the jobs ended that come in every round, by part, kind, phase and chunk. [s]"""
    ends: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    for span in trace:
        if span.kind in KINDS and span.phase:
            ends[span.part, span.kind, span.phase, span.layer].append(span.end_s)
    return ends


def _round(trace: tuple[Span, ...], shape: PipelineShape, missing: int) -> tuple[Rounds, list[Span]] | None:
    """A round that stands for `missing` others, and what the stages do in it; None where none is like the one before."""
    later_s: list[float] = []
    begins_s: dict[str, float] = {}
    for (part, kind, phase, chunk), ends in _ends_s(trace).items():
        pieces = pieces_of(kind, chunk, shape)
        places = compared_round(phase, pieces, shape)
        later_s += [ends[place + len(places)] - ends[place] for place in places]
        if kind == ("forward" if shape.forward_only else "backward"):
            begins_s[part] = max(ends[places[-1]], begins_s.get(part, 0.0))
    length_s = round_s(later_s)
    if length_s is None:
        return None
    inside = []
    for span in trace:
        begin_s = begins_s.get(span.part, np.inf)
        start_s, end_s = max(span.start_s, begin_s), min(span.end_s, begin_s + length_s)
        if start_s < end_s:
            inside.append(span._replace(start_s=start_s, end_s=end_s))
    return Rounds(missing, length_s, begins_s), inside


def simulate_plan(run: GPURun, plan: Plan, times: Times) -> tuple[Step, int]:
    """One step of one plan, and how many of its micro-batches were simulated."""
    wanted, group, num_events = plan.num_micro_batches, plan.group, 0
    for number in lengths(run, plan):
        step, shape = _simulate(run, plan, times, number), shape_of(run, plan, number)
        num_events += step.num_events
        if number == wanted:
            break
        if (found := _round(step.trace, shape, (wanted - number) // group)) is not None:
            return _with_rounds(step, *found, times, shape, num_events), number
    return replace(step, num_events=num_events), wanted


def _with_rounds(
    step: Step, rounds: Rounds, inside: list[Span], times: Times, shape: PipelineShape, num_events: int
) -> Step:
    """A step with more rounds, which are all alike."""
    number, round_s, _ = rounds
    one = spent_s(inside, times, shape, round_s)
    spent = {key: step.spent_s.get(key, 0.0) + number * one.get(key, 0.0) for key in {**step.spent_s, **one}}
    return Step(step.time_s + number * round_s, spent, step.trace, step.simulated_step_s, num_events, rounds)


def simulate_gpu(run: GPURun, *, lazily: bool = False) -> GPUSimulation:
    """Simulate a GPU run with its best plan; what the file leaves open is searched.

    Parameters
    ----------
    lazily
        Find the step time alone, which is the same up to rounding; what it is spent on is not known then.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.machines.gpu.search.choose`.
    """
    return simulate_best(run, 1, lazily=lazily)[0]


def simulate_best(run: GPURun, number: int, *, lazily: bool = False) -> list[GPUSimulation]:
    """Simulate the best plans of a run, that first whose pessimistic end is earliest; there may be fewer that fit.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.machines.gpu.search.choose`.
    """
    started_s = time.perf_counter()
    with collector_paused():
        chosen = choose(run, number)
        found = [_simulated(run, plan, chosen.num_plans, lazily=lazily) for plan in chosen.plans]
    wall_s = time.perf_counter() - started_s
    late = [float(lateness(run, one.plan.table, one.memory.total).item()) for one in found]
    order = sorted(range(len(found)), key=lambda place: found[place].step_time_s * late[place])[:number]
    return [replace(found[place], wall_s=wall_s) for place in order]


def _simulated(run: GPURun, plan: Plan, num_plans: int, *, lazily: bool) -> GPUSimulation:
    times = times_of_plan(run, plan)
    known = None if lazily else simulate_plan(run, plan, times)
    time_s = step_time_s(run, plan, times) if known is None else known[0].time_s
    return GPUSimulation(run, plan, times, memory_of_plan(run, plan), time_s, num_plans, known=known)
