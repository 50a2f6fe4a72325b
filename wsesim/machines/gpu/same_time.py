"""How many GPUs train a model in a given time: the smallest number, found by search.

The closed form narrows the numbers down, octave by octave; the simulation decides on the last few.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from wsesim.errors import ConfigError, DoesNotFit
from wsesim.job import job
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.search import rank
from wsesim.machines.gpu.simulation import simulate_gpu
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.step import GPUStep
from wsesim.machines.machine import SameTime
from wsesim.result import Result
from wsesim.workload.transformer import model_flop_per_sequence

FEW = 32
"""So many numbers of GPUs are tried one after another; more are halved first. [-]"""
TRIES = 16
"""Numbers of GPUs that are simulated at most beside what the closed form finds. [-]"""
MARGIN = 1.1
"""The simulation takes at least the closed form's time over this. [-]"""


def sizes_that_divide(run: GPURun, low: int, high: int) -> list[int]:
    """Numbers of GPUs from `low` to `high`, whole nodes or divisors of one, over which the run can be spread.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> sizes_that_divide(load_any("gpt_neox_20b_96xa100"), 1, 64)
    [8, 16, 24, 32, 48, 64]
    """
    node = run.cluster.gpus_per_node
    parts = [size for size in range(1, node) if node % size == 0 and low <= size <= high]
    nodes = range(max(node, -(-low // node) * node), high + 1, node)
    return [size for size in (*parts, *nodes) if len(candidates(run.on(size)).tensor)]


def fewest_conceivable(run: GPURun, wanted_s: float) -> int:
    """GPUs that would do if each ran at its peak all the time. [-]"""
    gpu, training = run.cluster.gpu, run.training
    flop = model_flop_per_sequence(run.model, training.sequence_length, causal=True) * training.global_batch_size
    one_gpu_s = job(run, flop / gpu.peak_dense_16bit_flop_per_s).time_s
    return max(1, int(one_gpu_s / wanted_s))


def _simulate(run: GPURun) -> Result:
    return Result(run, GPUStep(run, simulate_gpu(run)))


def estimate_s(run: GPURun) -> float:
    """Time to train with the best plan by the closed form; infinite where there is none. [s]"""
    try:
        return job(run, float(rank(run).estimates_s[0])).time_s
    except (ConfigError, DoesNotFit):
        return float("inf")


def gpus_for(run: GPURun, wanted_s: float) -> SameTime:
    """Find the smallest number of GPUs of a run's cluster that trains its model in a given time.

    Parameters
    ----------
    run
        Sizes that its file leaves open are searched for each number of GPUs; of those that it gives, only
        the data-parallel size changes.
    wanted_s
        Time to train. [s]

    Returns
    -------
    SameTime
        With the simulated result.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> found = gpus_for(load_any("cerebras_gpt_111m_gpu"), 3600.0)
    >>> found.is_reached, found.result.num_devices
    (True, 4)
    """
    estimated = cache(lambda size: estimate_s(run.on(size)))
    most, low = run.cluster.max_gpus, fewest_conceivable(run, wanted_s)
    high, num_tried = min(most, max(run.cluster.gpus_per_node, 2 * low)), 0
    while low <= most:
        sizes = sizes_that_divide(run, low, high)
        num_tried += len(sizes)
        found = _first(sizes, lambda size: estimated(size) <= wanted_s)
        if found is not None:
            return _simulated(run, wanted_s, found, num_tried, estimated)
        low, high = high + 1, min(most, 2 * high)
    return _fastest(run, wanted_s, estimated)


def _first(sizes: list[int], reaches: Callable[[int], bool]) -> int | None:
    """The first size that reaches it, if the last one does."""
    if not sizes or not reaches(sizes[-1]):
        return None
    while len(sizes) > FEW:
        middle = len(sizes) // 2
        sizes = sizes[: middle + 1] if reaches(sizes[middle]) else sizes[middle + 1 :]
    return next(size for size in sizes if reaches(size))


def _simulated(run: GPURun, wanted_s: float, found: int, num_tried: int, estimated: Callable[[int], float]) -> SameTime:
    """The simulation decides between the sizes around what the closed form found."""
    around = sizes_that_divide(run, found // 2, min(run.cluster.max_gpus, 2 * found))
    start = around.index(found)
    best = _simulate(run.on(found))
    is_reached = best.job.time_s <= wanted_s
    sizes = around[:start][::-1] if is_reached else around[start + 1 :]
    for size in [size for size in sizes if estimated(size) <= MARGIN * wanted_s][:TRIES]:
        other = _simulate(run.on(size))
        reaches = other.job.time_s <= wanted_s
        if is_reached and not reaches:
            break
        if reaches or other.job.time_s < best.job.time_s:
            best = other
        if reaches and not is_reached:
            return SameTime(run, wanted_s, best, True, num_tried)
    return SameTime(run, wanted_s, best, is_reached, num_tried)


def _fastest(run: GPURun, wanted_s: float, estimated: Callable[[int], float]) -> SameTime:
    """The fastest size of all, where none is fast enough."""
    sizes = sizes_that_divide(run, 1, run.cluster.max_gpus)
    fitting = [size for size in sizes if estimated(size) < float("inf")]
    if not fitting:
        return SameTime(run, wanted_s, None, False, len(sizes))
    result = _simulate(run.on(min(fitting, key=estimated)))
    return SameTime(run, wanted_s, result, result.job.time_s <= wanted_s, len(sizes))
