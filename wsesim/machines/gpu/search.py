"""Finds the plan of a GPU run: the one that its file gives, or the fastest by a closed form and by programs without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from wsesim.config.training import is_training
from wsesim.engine import repeat
from wsesim.engine.evaluate import ends_from_rest, from_rest
from wsesim.engine.program import Key, Program
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.gpu.doubts import lateness
from wsesim.machines.gpu.memory import memory_of, memory_of_plan
from wsesim.machines.gpu.pipeline import (
    PipelineShape,
    capacities_of,
    durations_s,
    num_jobs,
    schedule_of,
    shape_of,
    write_program,
)
from wsesim.machines.gpu.plans import candidates, check, explain_no_plan, memory_to_fill_bytes
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import (
    Plan,
    PlanTable,
    blocks_of_stage,
    deciding_stages,
    kinds_of_stages,
    recompute_said,
    row_of,
)
from wsesim.machines.gpu.times import (
    Times,
    hides_sends,
    largest,
    num_ways,
    passes_to_reduction,
    shares_gradients,
    times_of,
    times_of_kinds,
)
from wsesim.machines.machine import Work
from wsesim.results.result import Result
from wsesim.units import add_up, show

# An estimate of a GPU step for many plans at once, by which `auto` chooses what to simulate.
#
# It assumes what the simulation finds out: that the slowest stage decides, that a pipeline fills and
# drains once, and that reductions hide behind the backward pass as far as they fit.


Array = Any


def closed_form_s(run: GPURun, plans: PlanTable, times: Times) -> Array:
    """Estimated time of one step, for each plan. [s]"""
    stages = plans.pipeline
    backward_s = times.backward.total_s + times.recompute.total_s + times.accumulate_s
    block_s = _block_s(run, plans, times)
    slowest_s = _slowest_s(run, plans, times, block_s)
    chunk_s = run.model.num_layers / (stages * plans.chunks) * block_s
    fill_s = (stages - 1) * (chunk_s + num_ways(run) * times.send_s)
    return plans.full_passes * slowest_s + fill_s + _after_s(run, plans, times, backward_s)


def closed_form_of_plan_s(run: GPURun, plan: Plan) -> float:
    """The same of one plan. [s]"""
    return float(closed_form_s(run, plan.table, times_of(run, plan.table)).item())


def _block_s(run: GPURun, plans: PlanTable, times: Times) -> Array:
    """A block forward and backward, with what is gathered and reduced beside it. [s]"""
    forward_s = np.maximum(times.forward.total_s, times.gather_s)
    if not is_training(run.training):
        return forward_s
    backward_s = times.backward.total_s + times.recompute.total_s + times.accumulate_s
    late = run.cluster.software.fsdp_prefetch == "late"
    moved_s = times.gather_s + times.reduce_s
    sharded_s = np.maximum(backward_s + (times.gather_s if late else 0.0), moved_s)
    block_s = forward_s + np.where(plans.zero_stage == 3, sharded_s, backward_s)
    overlaps = run.parallelism.overlap_gradient_reduction  # a chunk's gradient needs the room of the one before
    reduce_s = times.reduce_s / passes_to_reduction(plans)
    each_s = np.maximum(block_s, reduce_s) if overlaps else block_s + reduce_s
    return np.where(shares_gradients(plans), each_s, block_s)


def _slowest_s(run: GPURun, plans: PlanTable, times: Times, block_s: Array) -> Array:
    """A micro-batch forward and backward on the stage that takes longest, of whose own blocks it is. [s]"""
    kinds = times_of_kinds(run, plans, times)
    if len(kinds) == 1:
        return largest(
            blocks_of_stage(run, plans, stage) * block_s + _ends_s(run, plans, times, stage)
            for stage in deciding_stages(run, plans)
        )
    each_s, own = [_block_s(run, plans, one) for one in kinds], kinds_of_stages(run, plans)
    last, places = plans.pipeline - 1, np.arange(len(plans.pipeline))
    return largest(
        add_up(own[places, np.minimum(stage, last), kind] * one_s for kind, one_s in enumerate(each_s))
        + _ends_s(run, plans, times, np.minimum(stage, last))
        for stage in range(own.shape[1])
    )


def _ends_s(run: GPURun, plans: PlanTable, times: Times, stage: Array) -> Array:
    """What a stage does beside its blocks, and how long it waits for its sends. [s]"""
    head_s, is_last = times.head_forward_s + times.head_backward_s, stage == plans.pipeline - 1
    own_s = (stage == 0) * num_ways(run) * times.embedding_s + is_last * head_s
    return own_s + _exposed_sends_s(run, plans, times, is_last)


def _exposed_sends_s(run: GPURun, plans: PlanTable, times: Times, is_last: Array) -> Array:
    """Of one micro-batch on one stage, where the GPU waits for its sends; the last stage has none behind it. [s]

    In training stages wait for one another both ways, and the last one for the sends of all.
    """
    number = 2.0 * plans.chunks if is_training(run.training) else plans.chunks - is_last
    return np.where(hides_sends(run.parallelism, plans.chunks), 0.0, number * times.send_s)


def _after_s(run: GPURun, plans: PlanTable, times: Times, backward_s: Array) -> Array:
    """After the last backward pass: reductions that did not fit beside it, optimizer, parameters. [s]"""
    blocks = run.model.num_layers / plans.pipeline
    reductions_s = blocks * times.reduce_s
    if run.parallelism.overlap_gradient_reduction:
        exposed_s = np.maximum(times.reduce_s, reductions_s - (blocks - 1.0) * backward_s)
    else:
        exposed_s = reductions_s
    exposed_s = np.where(plans.zero_stage == 3, times.reduce_s, exposed_s)
    return exposed_s + times.embedding_reduce_s + times.update_s + times.host_s + times.parameter_gather_s


# The step time that a simulation of a GPU plan comes to, without its trace, and a time that it cannot fall below.
#
# By these the search finds which of many plans is the fastest. The jobs are those of the simulation.


ROUNDS = 5
"""Rounds that are simulated at first: two to fill, two to compare, one to drain. [-]"""
JOB_S, JOB_BYTES = 35e-6, 2000.0
"""To write a job of a pipeline down, to simulate and to record it, on an ordinary machine. [s], [bytes]"""
KINDS = ("forward", "backward", "send", "gather")
"""Jobs that come in every round."""


def lengths(run: GPURun, plan: Plan) -> Iterator[int]:
    """Micro-batches to simulate: more each time that no two rounds were alike, at last all. [-]

    In a round every stage passes a group of micro-batches, as many as there are stages unless interleaved stages have larger
    ones. A full pipeline comes to repeat itself, round by round; then one round stands for those that are missing.

    Raises
    ------
    ConfigError
        More jobs than the limit, before they are written.
    """
    for number in _lengths(run, plan):
        work(run, plan, number).check(
            run.place,
            "lower training.global_batch_size, raise training.micro_batch_size, or use fewer stages and chunks",
        )
        yield number


def _lengths(run: GPURun, plan: Plan) -> Iterator[int]:
    first = plan.num_micro_batches if schedule_of(run) == "gpipe" else ROUNDS
    return repeat.lengths(first, plan.num_micro_batches, each=plan.group)


def work(run: GPURun, plan: Plan, num_micro_batches: int | None = None) -> Work:
    """What a step of a plan takes, counted without writing its program; with so many micro-batches, or those tried first."""
    passes = next(_lengths(run, plan)) if num_micro_batches is None else num_micro_batches
    number = num_jobs(shape_of(run, plan, passes))
    return Work(number, number * JOB_S, number * JOB_BYTES)


def pieces_of(kind: str, chunk: int, shape: PipelineShape) -> int:
    """Jobs of one kind that a micro-batch has in one chunk. [-]"""
    return 1 if kind == "send" or not shape.gathers_parameters else shape.pieces[chunk]


def compared_round(phase: str, pieces: int, shape: PipelineShape) -> range:
    """Which of a stage's jobs of one kind, in order, make the round whose length is taken; the next one is compared with it.

    The last round drains, and makes gradients complete; forward passes, with their sends and gathers, are ahead of
    backward passes by up to two rounds.
    """
    size, last = shape.group * pieces, shape.num_micro_batches // shape.group - 1
    behind = 2 if phase == "forward" else 3
    return range((last - behind) * size, (last - behind + 1) * size)


class Outline(NamedTuple):
    """What of a program decides its step time.

    Attributes
    ----------
    edges
        For each job, those that it follows, counted back. [-]
    durations
        Name of the time of each job; None takes none.
    rounds
        Names of durations, and pairs of jobs of two rounds that do the same.
    """

    edges: list[tuple[int, ...]]
    durations: list[Key | None]
    rounds: list[tuple[Key, list[tuple[int, int]]]]


class Candidate:
    """One plan of a run, and how long each of its jobs takes alone.

    Attributes
    ----------
    durations
        [s]
    """

    def __init__(self, run: GPURun, plan: Plan, times: Times) -> None:
        self.run, self.plan = run, plan
        self.shape = shape_of(run, plan, plan.num_micro_batches)
        self.durations = durations_s(run, plan, times, self.shape)

    def step_time_s(self) -> float:
        """Time of one step, as `wsesim.machines.gpu.simulation` finds it up to rounding. [s]"""
        wanted, durations = self.plan.num_micro_batches, self.durations
        for number in lengths(self.run, self.plan):
            outline = outline_of(shape_of(self.run, self.plan, number))
            times_s = [0.0 if name is None else durations[name] for name in outline.durations]
            ends = ends_from_rest(outline.edges, times_s)
            if number == wanted:
                break
            lasting = [pairs for name, pairs in outline.rounds if durations[name] > 0.0]
            length_s = repeat.round_s([ends[later] - ends[earlier] for pairs in lasting for earlier, later in pairs])
            if length_s is not None:
                return ends[-1] + (wanted - number) // self.plan.group * length_s
        return ends[-1]

    def at_least_s(self) -> float:
        """A time that no step of the plan falls below: that of its busiest stage, from its first input on. [s]

        Before it works, a micro-batch comes down to it through the stages before, and behind its last pass the gradients
        go back up through them. Then the first stage updates its parameters.
        """
        number, stages, shape = self.plan.num_micro_batches, self.plan.pipeline, self.shape
        last = "last_" if shape.short_last else ""
        send_s = min(self.durations[f"{which}send_s", 0] for which in ("", last)) if stages > 1 else 0.0
        blocked_s = send_s if shape.blocking_sends else 0.0
        way_s, longest_s, ways = 0.0, 0.0, 1 if shape.forward_only else 2
        for stage in range(stages):
            chunks = range(stage, len(shape.pieces), stages)
            passes_s = (number - 1) * self._passes_s(chunks, "") + self._passes_s(chunks, last)
            ends = (stage == stages - 1) + (ways - 1) * (stage == 0)
            num_sends = number * (ways * len(chunks) - ends) - (ways - 1) * (stage > 0)
            longest_s = max(longest_s, way_s + passes_s + num_sends * blocked_s)
            way_s += self._passes_s([stage], last) + ways * send_s
        gather_s = self.durations["parameter_gather_s", 0] if shape.updated_gather else 0.0
        return longest_s + self.durations["update_s", 0] + gather_s

    def _passes_s(self, chunks: Iterable[int], which: str) -> float:
        """A micro-batch through some chunks, both ways in training; the last one where `which` says so. [s]"""
        names = ("forward_s",) if self.shape.forward_only else ("forward_s", "backward_s")
        return add_up(self.durations[f"{which}{name}", chunk] for chunk in chunks for name in names)


def step_time_s(run: GPURun, plan: Plan, times: Times) -> float:
    """Time of one step of one plan, as `wsesim.machines.gpu.simulation` finds it up to rounding. [s]"""
    return Candidate(run, plan, times).step_time_s()


@lru_cache(maxsize=16)
def outline_of(shape: PipelineShape) -> Outline:
    """Looked up once for all plans with the same jobs."""
    program = write_program(shape)
    durations = [job.duration for job in program.jobs]
    return Outline(from_rest(program, capacities_of(shape)), durations, _rounds(program, shape))


def _rounds(program: Program, shape: PipelineShape) -> list[tuple[Key, list[tuple[int, int]]]]:
    """Jobs of the round that is compared, each with the one that does the same in the next, kind by kind."""
    jobs: dict[tuple[str, str, str, int], list[int]] = {}
    for job in program.jobs:
        if job.kind in KINDS and job.phase:
            jobs.setdefault((job.worker.name, job.kind, job.phase, job.layer), []).append(job.place)
    found = []
    for (_, kind, phase, chunk), indices in jobs.items():
        places = compared_round(phase, pieces_of(kind, chunk, shape), shape)
        name = program.jobs[indices[0]].duration
        if name is not None and places.start >= 0 and places.stop + len(places) <= len(indices):
            found.append((name, [(indices[place], indices[place + len(places)]) for place in places]))
    return found


# Plans of a GPU run side by side, and why all but the first lose.


def differences_s(winner: Result, other: Result) -> dict[str, float]:
    """By how much longer the other plan takes with each part of its step; they add up. [s]

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> from wsesim.machines.simulation import best_plans
    >>> first, second = best_plans(load_any("cerebras_gpt_111m_gpu"), 2)
    >>> lost_s = sum(differences_s(first, second).values())
    >>> abs(lost_s - (second.step_time_s - first.step_time_s)) < 1e-9
    True
    """
    names = dict.fromkeys((*winner.breakdown_s, *other.breakdown_s))
    found = {name: other.breakdown_s.get(name, 0.0) - winner.breakdown_s.get(name, 0.0) for name in names}
    return {name: value for name, value in found.items() if value}


# Finds the plan of a GPU run: the one that its file gives, or the fastest that fits.


COMPARED = 24
"""Plans that are compared job by job at most before one is chosen; the closed form ranks them. [-]"""
CLOSE = 0.1
"""Plans whose estimates are farther from the best are not compared: from 3 % too short to 7 % too long they are. [-]"""
ROUNDING = 1e-9
"""Step times count as equal within this share; the simulation then decides. [-]"""
BLOCK = 20_000
"""Plans that are worked out at a time, so that arrays stay in the cache. [-]"""


@dataclass(frozen=True)
class Ranked:
    """Plans that were searched.

    Attributes
    ----------
    plans, estimates_s, memory_bytes
        Those that fit, with their estimates, in the order of `late_s`. [s], [bytes]
    late_s
        The pessimistic end of each estimate, as far as it differs between plans. [s]
    num_plans
        All that divide evenly. [-]
    """

    plans: PlanTable
    estimates_s: Array
    late_s: Array
    memory_bytes: Array
    num_plans: int


@dataclass(frozen=True)
class Chosen:
    """The plans that are taken.

    Attributes
    ----------
    plans
        In the order in which the closed form ranks them. More than were asked for only where
        they differ by no more than rounding.
    num_plans
        All that divide evenly. [-]
    """

    plans: tuple[Plan, ...]
    num_plans: int


def rank(run: GPURun) -> Ranked:
    """All plans that fit; first the one whose pessimistic end is earliest by the closed form.

    Raises
    ------
    wsesim.errors.ConfigError
        No plan divides evenly.
    wsesim.errors.DoesNotFit
        None fits into the memory.
    """
    plans = candidates(run)
    if not len(plans.tensor):
        raise explain_no_plan(run)
    needed = _bytes_needed(run, plans)
    ranked = _ranked(run, plans, needed)
    if not len(ranked.estimates_s):
        raise does_not_fit(run, plans, needed)
    return ranked


def estimate_s(run: GPURun) -> float | None:
    """Step time of the best plan by the closed form; None where none fits, found without looking for a remedy. [s]"""
    plans = candidates(run)
    if not len(plans.tensor):
        return None
    ranked = _ranked(run, plans, _bytes_needed(run, plans))
    return float(ranked.estimates_s[0]) if len(ranked.estimates_s) else None


def _bytes_needed(run: GPURun, plans: PlanTable) -> Array:
    """On the fullest GPU of each plan. [bytes]"""
    return _by_block(lambda part: memory_of(run, part).total, plans)


def _by_block(work_out: Callable[[PlanTable], Array], plans: PlanTable) -> Array:
    """A number for each plan, block by block."""
    blocks = [plans.only(slice(start, start + BLOCK)) for start in range(0, len(plans.tensor), BLOCK)]
    return np.concatenate([work_out(one) * np.ones(len(one.tensor)) for one in blocks] or [np.empty(0)])


def _ranked(run: GPURun, plans: PlanTable, needed: Array) -> Ranked:
    """Those plans that fit, fastest first."""
    limit_bytes = memory_to_fill_bytes(run) if len(needed) > 1 else run.cluster.gpu.memory_bytes
    if not (needed <= limit_bytes).any():
        limit_bytes = run.cluster.gpu.memory_bytes  # what is tight is better than nothing
    places = np.flatnonzero(needed <= limit_bytes)
    fitting = plans.only(places)
    times_s = _by_block(lambda part: closed_form_s(run, part, times_of(run, part)), fitting)
    late_s = times_s * lateness(run, fitting, needed[places])
    order = np.argsort(late_s, kind="stable")
    return Ranked(fitting.only(order), times_s[order], late_s[order], needed[places[order]], len(plans.tensor))


def does_not_fit(run: GPURun, plans: PlanTable, bytes_needed: Array) -> DoesNotFit:
    """What is missing, and the nearest plan that fits."""
    best = int(np.argmin(bytes_needed))
    gpu, needed = run.cluster.gpu, float(bytes_needed[best])
    plan = plans.plan(best)
    held = memory_of_plan(run, plan)
    parts = ", ".join(f"{name} {show(value, 'bytes')}" for name, value in held._asdict().items())
    return DoesNotFit(
        f"{run.place}: {describe(run, plan)} needs {show(needed, 'bytes')} on each GPU ({parts}), a {gpu.name} has "
        f"{show(gpu.memory_bytes, 'bytes')}; {_nearest(run)}"
    )


def _nearest(run: GPURun) -> str:
    """The nearest remedy: other settings on as many GPUs, or more GPUs."""
    freed = run.with_auto_plan()
    while freed.cluster.num_gpus <= MOST_GPUS:
        try:
            plans = candidates(freed)
        except ConfigError:  # more plans than the limit
            return "give sizes in [parallelism] or more GPUs"
        if len(plans.tensor):
            ranked = _ranked(freed, plans, _bytes_needed(freed, plans))
            if len(ranked.estimates_s):
                more = (
                    f"cluster.num_gpus = {freed.cluster.num_gpus} and "
                    if freed.cluster.num_gpus > run.cluster.num_gpus
                    else ""
                )
                return f"what fits is {more}{describe(freed, ranked.plans.plan(0))}"
        freed = freed.on(2 * freed.cluster.num_gpus)
    return "no number of these GPUs holds it; take a GPU with more memory"


MOST_GPUS = 65_536
"""Up to here the search for a plan that fits goes on. [-]"""


def describe(run: GPURun, plan: Plan) -> str:
    """A plan in the words of a run file."""
    names = (
        ("tensor_parallel_size", plan.tensor, 1),
        ("pipeline_parallel_size", plan.pipeline, 1),
        ("data_parallel_size", plan.data, 0),
        ("context_parallel_size", plan.context, 1),
        ("expert_parallel_size", plan.expert, 1),
        ("virtual_pipeline_size", plan.chunks, 1),
        ("zero_stage", plan.zero_stage, 0),
        ("micro_batch_size", plan.micro_batch_size, 0),
    )
    said = [f"{name} = {value}" for name, value, silent in names if value != silent]
    if plan.tensor > 1:
        said.append(f"sequence_parallel = {str(plan.sequence_parallel).lower()}")
    if plan.shard not in (1, plan.data * plan.context):
        said.append(f"shard_group_size = {plan.shard}")
    again = recompute_said(run, plan)
    shown = (
        f'"{again}"'
        if isinstance(again, str)
        else "{" + ", ".join(f"{key} = {value}" for key, value in again.items()) + "}"
    )
    return ", ".join([*said, f"activation_recompute = {shown}"])


def choose(run: GPURun, number: int = 1) -> Chosen:
    """The plan to take: that of the file, or of the best few the one whose pessimistic end is earliest.

    Raises
    ------
    wsesim.errors.ConfigError, wsesim.errors.DoesNotFit
        What contradicts itself, and what does not fit.
    """
    check(run)
    ranked = rank(run)
    close = int(np.count_nonzero(ranked.late_s <= (1.0 + CLOSE) * ranked.late_s[0]))
    few = min(len(ranked.late_s), max(min(COMPARED, close), number))
    best = ranked.plans.only(slice(0, few))
    late = ranked.late_s[:few] / ranked.estimates_s[:few]
    return Chosen((best.plan(0),) if ranked.num_plans == 1 else _earliest(run, best, late, number), ranked.num_plans)


def _earliest(run: GPURun, plans: PlanTable, late: Array, number: int) -> tuple[Plan, ...]:
    """Plans whose pessimistic ends are earliest; those that cannot be among them are not worked out."""
    times, few = times_of(run, plans), len(late)
    every = [plans.plan(place) for place in range(few)]
    compared = [Candidate(run, plan, row_of(times, place)) for place, plan in enumerate(every)]
    least_s = [one.at_least_s() * late[place] for place, one in enumerate(compared)]
    found: dict[int, float] = {}
    limit_s, too_large = np.inf, None
    for place in sorted(range(few), key=lambda place: least_s[place]):
        if least_s[place] <= limit_s:
            try:
                found[place] = compared[place].step_time_s() * late[place]
            except ConfigError as error:  # more jobs than the limit
                too_large = error
                continue
            limit_s = (1.0 + ROUNDING) * sorted(found.values())[number - 1] if len(found) >= number else np.inf
    if too_large is not None and not found:
        raise too_large
    return tuple(every[place] for place in sorted(found) if found[place] <= limit_s)
