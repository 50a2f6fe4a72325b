"""Simulates one step of a GPU run: the same engine, the same trace, other workers.

The plan is checked, or searched; the pipeline, reductions and gathers run as processes that wait for
one another. A full pipeline comes to repeat itself, round by round; in a round every stage passes as many
micro-batches as there are stages. A long step is simulated with only so many rounds that two are alike,
and such a round stands for those that are missing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wsesim.config.run import GPURun
from wsesim.engine.clock import Clock
from wsesim.engine.discrete_event import DiscreteEvents
from wsesim.engine.program import Numbers
from wsesim.engine.trace import Span
from wsesim.schedules.gpu_memory import Memory, memory_of
from wsesim.schedules.gpu_search import choose
from wsesim.schedules.gpu_times import Pass, Plans, Times, reduction_time_s, times_of
from wsesim.schedules.pipeline import PipelineShape, capacities_of, write_program

ROUNDS = 5
"""Rounds that are simulated at first: two to fill, two to compare, one to drain. [-]"""
ALIKE = 1e-9
"""Rounds are alike where no job is off by more than this share of a round. [-]"""


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
class GPUSimulation:
    """One step of a plan.

    Attributes
    ----------
    plan, times, memory
        Arrays of one place.
    step_time_s, spent_s
        One optimizer step, and what a GPU spends it on, on average over the stages. [s]
    trace
        Spans of the simulated step; fewer micro-batches than the step has where `num_simulated` says so.
    simulated_step_s
        Length of the simulated step. [s]
    num_simulated
        Micro-batches that were simulated. [-]
    rounds
        What of the trace stands for the micro-batches that were not; None where all were.
    num_plans
        Plans that were searched; 1 where the run file leaves no choice. [-]
    num_events, wall_s
        SimPy events, and seconds that this took. [-], [s]
    """

    run: GPURun
    plan: Plans
    times: Times
    memory: Memory
    step_time_s: float
    spent_s: dict[str, float]
    trace: tuple[Span, ...]
    simulated_step_s: float
    num_simulated: int
    rounds: Rounds | None
    num_plans: int
    num_events: int
    wall_s: float


def blocks_of_chunks(run: GPURun, plan: Plans) -> tuple[int, ...]:
    """Blocks of each chunk of the pipeline. Shape ``(chunks * stages,)``. [-]"""
    number, extra = int(plan.pipeline[0] * plan.chunks[0]), 2 * run.parallelism.account_for_embedding_and_loss
    each = [(run.model.num_layers + extra) // number] * number
    if extra:
        each[0] -= 1
        each[-1] -= 1
    return tuple(each)


def shape_of(run: GPURun, plan: Plans, num_micro_batches: int) -> PipelineShape:
    """Which jobs a plan has."""
    zero, ranks, spec = int(plan.zero_stage[0]), int(plan.data[0] * plan.context[0]), run.parallelism
    return PipelineShape(
        num_stages=int(plan.pipeline[0]),
        num_chunks=int(plan.chunks[0]),
        num_micro_batches=num_micro_batches,
        schedule=spec.pipeline_schedule,
        pieces=tuple(max(1, blocks) for blocks in blocks_of_chunks(run, plan)),
        overlaps_reduction=spec.overlap_gradient_reduction,
        gathers_parameters=zero == 3 and ranks > 1,
        reduces=ranks > 1,
        has_norm=run.training.max_gradient_norm > 0,
        ties_embedding=run.model.tie_embeddings and int(plan.pipeline[0]) > 1,
        updated_gather=zero in (1, 2) and ranks > 1,
        blocking_sends=not spec.overlap_pipeline_communication,
    )


def numbers_of(run: GPURun, plan: Plans, times: Times, shape: PipelineShape) -> Numbers:
    """How long each job takes alone."""
    one = {name: float(np.ravel(value)[0]) for name, value in times._asdict().items() if not isinstance(value, Pass)}
    forward_s = float(np.ravel(times.forward.total_s)[0])
    backward_s = float(np.ravel(times.backward.total_s + times.recompute.total_s)[0]) + one["accumulate_s"]
    blocks = blocks_of_chunks(run, plan)
    durations: dict[tuple[str, int], float] = {
        ("send_s", 0): one["send_s"],
        ("embedding_reduce_s", 0): one["embedding_reduce_s"],
    }
    for chunk, number in enumerate(blocks):
        is_first, is_last = chunk == 0, chunk == len(blocks) - 1
        ahead_s = number * forward_s + is_first * one["embedding_s"] + is_last * one["head_forward_s"]
        back_s = number * backward_s + is_first * one["embedding_s"] + is_last * one["head_backward_s"]
        durations |= {("forward_s", chunk): ahead_s, ("backward_s", chunk): back_s}
        pieces = shape.pieces[chunk]
        durations |= {("forward_piece_s", chunk): ahead_s / pieces, ("backward_piece_s", chunk): back_s / pieces}
        reduce_s = reduction_time_s(run, plan, number, is_first=is_first, is_last=is_last)
        durations |= {("reduce_s", chunk): reduce_s / pieces, ("gather_s", chunk): one["gather_s"]}
    for stage in range(shape.num_stages):
        durations |= {("update_s", stage): one["update_s"], ("parameter_gather_s", stage): one["parameter_gather_s"]}
    return Numbers({key: [value] for key, value in durations.items()}, {}, {}, {}, capacities_of(shape))


@dataclass(frozen=True)
class _Step:
    """One simulated step."""

    time_s: float
    spent_s: dict[str, float]
    trace: tuple[Span, ...]
    simulated_step_s: float
    num_events: int
    rounds: Rounds | None = None


def _simulate(run: GPURun, plan: Plans, times: Times, num_micro_batches: int) -> _Step:
    shape, clock = shape_of(run, plan, num_micro_batches), Clock()
    events = DiscreteEvents(clock, write_program(shape), numbers_of(run, plan, times, shape), 1)
    events.start()
    clock.run_until(events.step_done[0])
    step_s = events.step_ends_s[0][0]
    trace = tuple(span for span in events.trace if span.step == 0)
    return _Step(step_s, spent_s(trace, times, shape, step_s), trace, step_s, clock.num_events)


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
    found["data"] = busy.get("wait_data_parallel", 0.0)
    mean = {part: value / shape.num_stages for part, value in found.items()}
    mean["bubble"] = max(0.0, step_s - sum(mean.values()))
    return {part: value for part, value in mean.items() if value > 0.0}


def _parts(one: Pass) -> dict[str, float]:
    return {name.removesuffix("_s"): float(np.ravel(value)[0]) for name, value in one._asdict().items()}


def pass_shares(times: Times) -> dict[str, dict[str, float]]:
    """Of a forward and of a backward pass, what share is spent on what. [-]"""
    return {"forward": _shares(times.forward), "backward": _backward_shares(times)}


def _shares(one: Pass) -> dict[str, float]:
    parts = _parts(one)
    whole = sum(parts.values())
    return {name: value / whole for name, value in parts.items()}


def _backward_shares(times: Times) -> dict[str, float]:
    parts, again = _parts(times.backward), sum(_parts(times.recompute).values())
    parts["kernels"] += float(np.ravel(times.accumulate_s)[0])
    parts["recompute"] = again
    whole = sum(parts.values())
    return {name: value / whole for name, value in parts.items()}


def _ends_s(trace: tuple[Span, ...], shape: PipelineShape) -> dict[tuple[str, str, int, int], list[float]]:
    """When the jobs ended that come in every round: by part, kind, chunk, and how many a micro-batch has. [s]"""
    ends: dict[tuple[str, str, int, int], list[float]] = defaultdict(list)
    for span in trace:
        if span.kind in ("forward", "backward", "send", "gather") and span.phase:
            pieces = 1 if span.kind == "send" or not shape.gathers_parameters else shape.pieces[span.layer]
            ends[span.part, f"{span.kind} {span.phase}", span.layer, pieces].append(span.end_s)
    return ends


def _round(trace: tuple[Span, ...], shape: PipelineShape, missing: int) -> tuple[Rounds, list[Span]] | None:
    """A round that stands for `missing` others, and what the stages do in it; None where none is like the one before.

    It does when every job is as much later than in the round before. The last round drains, and makes
    gradients complete; forward passes are ahead of backward passes by up to two rounds.
    """
    stages, ends_s = shape.num_stages, _ends_s(trace, shape)
    last = shape.num_micro_batches // stages - 1
    later_s: list[float] = []
    begins_s: dict[str, float] = {}
    for (part, kind, _, pieces), ends in ends_s.items():
        size, behind = stages * pieces, 2 if kind.endswith("forward") else 3
        first = (last - behind) * size
        later_s += [ends[place + size] - ends[place] for place in range(first, first + size)]
        if kind == "backward backward":
            begins_s[part] = max(ends[first + size - 1], begins_s.get(part, 0.0))
    round_s = sum(later_s) / len(later_s)
    if max(later_s) - min(later_s) > ALIKE * round_s:
        return None
    inside = []
    for span in trace:
        begin_s = begins_s.get(span.part, np.inf)
        start_s, end_s = max(span.start_s, begin_s), min(span.end_s, begin_s + round_s)
        if start_s < end_s:
            inside.append(span._replace(start_s=start_s, end_s=end_s))
    return Rounds(missing, round_s, begins_s), inside


def simulate_plan(run: GPURun, plan: Plans, times: Times) -> tuple[_Step, int]:
    """One step of one plan, and how many of its micro-batches were simulated."""
    wanted, stages, num_events = int(plan.num_micro_batches[0]), int(plan.pipeline[0]), 0
    rounds = wanted if run.parallelism.pipeline_schedule == "gpipe" else ROUNDS
    while (number := rounds * stages + wanted % stages) < wanted:
        step, shape = _simulate(run, plan, times, number), shape_of(run, plan, number)
        num_events += step.num_events
        if (found := _round(step.trace, shape, (wanted - number) // stages)) is not None:
            return _with_rounds(step, *found, times, shape, num_events), number
        rounds *= 2
    step = _simulate(run, plan, times, wanted)
    return replace(step, num_events=num_events + step.num_events), wanted


def _with_rounds(
    step: _Step, rounds: Rounds, inside: list[Span], times: Times, shape: PipelineShape, num_events: int
) -> _Step:
    """A step with more rounds, which are all alike."""
    number, round_s, _ = rounds
    one = spent_s(inside, times, shape, round_s)
    spent = {key: step.spent_s.get(key, 0.0) + number * one.get(key, 0.0) for key in {**step.spent_s, **one}}
    return _Step(step.time_s + number * round_s, spent, step.trace, step.simulated_step_s, num_events, rounds)


def simulate_gpu(run: GPURun) -> GPUSimulation:
    """Simulate a GPU run with its best plan; what the file leaves open is searched.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.schedules.gpu_search.choose`.
    """
    return simulate_best(run, 1)[0]


def simulate_best(run: GPURun, number: int) -> list[GPUSimulation]:
    """Simulate the best plans of a run, fastest first; there may be fewer that fit.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        As `wsesim.schedules.gpu_search.choose`.
    """
    started_s = time.perf_counter()
    found: list[GPUSimulation] = []

    def simulated(plan: Plans, times: Times) -> float:
        step, num_simulated = simulate_plan(run, plan, times)
        found.append(
            GPUSimulation(
                run=run,
                plan=plan,
                times=times,
                memory=memory_of(run, plan),
                step_time_s=step.time_s,
                spent_s=step.spent_s,
                trace=step.trace,
                simulated_step_s=step.simulated_step_s,
                num_simulated=num_simulated,
                rounds=step.rounds,
                num_plans=1,
                num_events=step.num_events,
                wall_s=0.0,
            )
        )
        return step.time_s

    chosen = choose(run, simulated, number)
    if not found:
        simulated(chosen.plan, times_of(run, chosen.plan))
    wall_s = time.perf_counter() - started_s
    fastest = sorted(found, key=lambda one: one.step_time_s)[:number]
    return [replace(one, num_plans=chosen.num_plans, wall_s=wall_s) for one in fastest]
