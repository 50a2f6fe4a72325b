"""Finds the plan of a GPU run: the one that its file gives, or the fastest that fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.gpu.checks import check, explain_no_plan
from wsesim.machines.gpu.closed_form import step_time_s
from wsesim.machines.gpu.doubts import lateness
from wsesim.machines.gpu.memory import memory_of
from wsesim.machines.gpu.plans import candidates, memory_to_fill_bytes
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans, recompute_said
from wsesim.machines.gpu.step_time import Candidate
from wsesim.machines.gpu.times import times_of
from wsesim.units import show

Array = Any
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

    plans: Plans
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
        Of one place each, in the order in which the closed form ranks them. More than were asked for only where
        they differ by no more than rounding.
    num_plans
        All that divide evenly. [-]
    """

    plans: tuple[Plans, ...]
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


def _bytes_needed(run: GPURun, plans: Plans) -> Array:
    """On the fullest GPU of each plan. [bytes]"""
    return _by_block(lambda part: memory_of(run, part).total, plans)


def _by_block(work_out: Callable[[Plans], Array], plans: Plans) -> Array:
    """A number for each plan, block by block."""
    blocks = [plans.only(slice(start, start + BLOCK)) for start in range(0, len(plans.tensor), BLOCK)]
    return np.concatenate([work_out(one) * np.ones(len(one.tensor)) for one in blocks] or [np.empty(0)])


def _ranked(run: GPURun, plans: Plans, needed: Array) -> Ranked:
    """Those plans that fit, fastest first."""
    limit_bytes = memory_to_fill_bytes(run) if len(needed) > 1 else run.cluster.gpu.memory_bytes
    if not (needed <= limit_bytes).any():
        limit_bytes = run.cluster.gpu.memory_bytes  # what is tight is better than nothing
    places = np.flatnonzero(needed <= limit_bytes)
    fitting = plans.only(places)
    times_s = _by_block(lambda part: step_time_s(run, part, times_of(run, part)), fitting)
    late_s = times_s * lateness(run, fitting, needed[places])
    order = np.argsort(late_s, kind="stable")
    return Ranked(fitting.only(order), times_s[order], late_s[order], needed[places[order]], len(plans.tensor))


def does_not_fit(run: GPURun, plans: Plans, bytes_needed: Array) -> DoesNotFit:
    """What is missing, and the nearest plan that fits."""
    best = int(np.argmin(bytes_needed))
    gpu, needed = run.cluster.gpu, float(bytes_needed[best])
    held = memory_of(run, plans.only(slice(best, best + 1)))
    parts = ", ".join(f"{name} {show(float(np.ravel(value)[0]), 'bytes')}" for name, value in held._asdict().items())
    return DoesNotFit(
        f"{run.place}: {describe(run, plans, best)} needs {show(needed, 'bytes')} on each GPU ({parts}), a {gpu.name} has "
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
                return f"what fits is {more}{describe(freed, ranked.plans, 0)}"
        freed = freed.on(2 * freed.cluster.num_gpus)
    return "no number of these GPUs holds it; take a GPU with more memory"


MOST_GPUS = 65_536
"""Up to here the search for a plan that fits goes on. [-]"""


def describe(run: GPURun, plans: Plans, place: int) -> str:
    """A plan in the words of a run file."""
    names = (
        ("tensor_parallel_size", plans.tensor, 1),
        ("pipeline_parallel_size", plans.pipeline, 1),
        ("data_parallel_size", plans.data, 0),
        ("context_parallel_size", plans.context, 1),
        ("expert_parallel_size", plans.expert, 1),
        ("virtual_pipeline_size", plans.chunks, 1),
        ("zero_stage", plans.zero_stage, 0),
        ("micro_batch_size", plans.micro_batch_size, 0),
    )
    said = [f"{name} = {int(values[place])}" for name, values, silent in names if int(values[place]) != silent]
    if int(plans.tensor[place]) > 1:
        said.append(f"sequence_parallel = {str(bool(plans.sequence_parallel[place])).lower()}")
    if int(plans.shard[place]) not in (1, int(plans.data[place] * plans.context[place])):
        said.append(f"shard_group_size = {int(plans.shard[place])}")
    again = recompute_said(run, plans, place)
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
    return Chosen((best,) if ranked.num_plans == 1 else _earliest(run, best, late, number), ranked.num_plans)


def _earliest(run: GPURun, plans: Plans, late: Array, number: int) -> tuple[Plans, ...]:
    """Plans whose pessimistic ends are earliest; those that cannot be among them are not worked out."""
    times, few = times_of(run, plans), len(late)
    every = [plans.only(slice(place, place + 1)) for place in range(few)]
    compared = [Candidate(run, plan, times.of(place)) for place, plan in enumerate(every)]
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
