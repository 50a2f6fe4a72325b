"""Runs of a cluster that may be used: which sizes are tried, with which batch, how long a step takes, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from wsesim.config.goal import CandidateSpec, GoalSpec
from wsesim.config.loader import any_from_table
from wsesim.config.run import GPURun, Run
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.intervals import Bounds
from wsesim.machines.wafer.checks import check
from wsesim.machines.wafer.coverage import gpu_bounds, wafer_bounds
from wsesim.machines.wafer.plan import make_plan
from wsesim.machines.wafer.simulation import step_times_s
from wsesim.study.scaling_laws import Recipe, batch_tokens
from wsesim.workload.transformer import parameter_count

SEQUENCE_LENGTH = 2048
"""Where the goal does not say. [-]"""
MOST_TRIED = 256
"""Sizes of one cluster that are tried; more are thinned out evenly in the logarithm. [-]"""
MOST_GPUS_TRIED = 24
"""The same for GPUs, for each of which a plan is searched. [-]"""
BATCH_MAY_SHIFT = 0.05
"""By so much, as a share, a batch that the goal leaves open may differ from the usual one. [-]"""


def base_of(
    goal: GoalSpec, candidate: CandidateSpec, model: dict[str, Any], recipe: Recipe | None, place: str, folder: Path
) -> Run | GPURun:
    """The run of a candidate, of which only the size and the batch vary."""
    training = {"sequence_length": SEQUENCE_LENGTH, "global_batch_size": 1, **goal.training}
    if recipe is not None:
        training["tokens"] = recipe.tokens
    cluster = {"name": candidate.cluster}
    table = {"name": goal.name, "model": model, "training": training, "cluster": cluster}
    run = any_from_table(table, folder, place)
    if "global_batch_size" in goal.training:
        return run
    size = parameter_count(run.model, run.training.sequence_length)
    batch = max(1, round(batch_tokens(size) / run.training.sequence_length))
    return replace(run, training=run.training.model_copy(update={"global_batch_size": batch}))


def sizes(base: Run | GPURun, candidate: CandidateSpec) -> list[int]:
    """Numbers of devices to try; of GPUs whole nodes, as they are bought and rented. [-]"""
    if candidate.num_devices != "auto":
        return sorted(set(candidate.num_devices))
    if isinstance(base, GPURun):
        node, most = base.cluster.gpus_per_node, base.cluster.max_gpus
        return _thinned([node * nodes for nodes in range(1, most // node + 1)], MOST_GPUS_TRIED)
    return _thinned(list(range(1, base.cluster.max_systems + 1)), MOST_TRIED)


def _thinned(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly in the logarithm, with the doublings of the first one and the last one."""
    if len(numbers) <= most:
        return list(numbers)
    first, last = numbers[0], numbers[-1]
    wanted = {first * 2**power for power in range(int(math.log2(last / first)) + 1)} | {last}
    for place in range(1, most - len(wanted) + 1):
        ideal = first * (last / first) ** (place / (most - len(wanted) + 1))
        wanted.add(max(1, round(ideal / first)) * first)
    return sorted(wanted & set(numbers))


def size_between(base: Run | GPURun, below: int, above: int) -> int | None:
    """A size half-way between two; None where there is none. [-]

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> gpus = load_any("gpt3_13b_256xa100")
    >>> size_between(gpus, 64, 128), size_between(gpus, 64, 72)
    (96, None)
    """
    step = base.cluster.gpus_per_node if isinstance(base, GPURun) else 1
    between = (below + above) // 2 // step * step
    between = between if between > below else between + step
    return between if below < between < above else None


def sized(base: Run | GPURun, number: int, *, may_shift: bool = False) -> Run | GPURun:
    """A run on so many devices, with the nearest batch that divides among them; with `may_shift` one that divides well."""
    batch = base.training.global_batch_size
    if isinstance(base, GPURun):
        whole = batch if number > batch else max(1, round(batch / number)) * number
        training = base.training.model_copy(update={"global_batch_size": whole})
        return replace(base.on_gpus(number), training=training)
    return base.on(number, (per_system(base, number) if may_shift else max(1, round(batch / number))) * number)


def per_system(base: Run, number: int) -> int:
    """Sequences of one system near its share of the batch that make the largest passes; 163, a prime, would make 163. [-]"""
    from wsesim.machines.wafer.plan import lanes_of, micro_batch

    ideal = max(1, round(base.training.global_batch_size / number))
    try:
        lanes = lanes_of(base)
    except DoesNotFit:
        return ideal
    room = int(BATCH_MAY_SHIFT * ideal)
    shares = range(max(1, ideal - room), ideal + room + 1)
    passes = {share: micro_batch(base.on(1, share), lanes)[0] for share in shares}
    return max(shares, key=lambda share: (passes[share], -abs(share - ideal)))


def wafer_steps(runs: Iterable[Run | GPURun]) -> tuple[list[tuple[Run | GPURun, float]], str]:
    """Step times of wafer-scale runs that can run. [s]"""
    able: list[Run] = []
    why = ""
    for run in cast("Iterable[Run]", runs):
        try:
            check(run)
            able.append(run)
        except (ConfigError, DoesNotFit) as error:
            why = str(error)
    return list(zip(able, step_times_s(able), strict=True)), why


def gpu_steps(runs: Iterable[Run | GPURun]) -> tuple[list[tuple[Run | GPURun, float]], str]:
    """Step times of GPU runs that can run, estimated with the best plan. [s]"""
    from wsesim.machines.gpu.checks import check as check_gpu
    from wsesim.machines.gpu.search import rank

    found: list[tuple[Run | GPURun, float]] = []
    why = ""
    for run in cast("Iterable[GPURun]", runs):
        try:
            check_gpu(run)
            found.append((run, float(rank(run).estimates_s[0])))
        except (ConfigError, DoesNotFit) as error:
            why = str(error)
    return found, why


def bounds_of(run: Run | GPURun, step_s: float) -> Bounds:
    """By how much a step time may be off."""
    if isinstance(run, GPURun):
        return gpu_bounds(run)
    return wafer_bounds(run, make_plan(run), step_s)
