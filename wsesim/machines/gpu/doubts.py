"""How far the step of a plan may be off: what is known of its GPU and model, and what of a plan no published step tells of."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from wsesim.config.entries import load_gpu_cluster
from wsesim.intervals import Bounds, knowledge, together
from wsesim.machines.gpu.memory import memory_of
from wsesim.machines.gpu.rows import published
from wsesim.machines.gpu.spec import GPURun, GPUSpec
from wsesim.machines.gpu.stages import Plans
from wsesim.units import add_up

Array = Any
SHORT_TOKENS, MANY_CHUNKS, NEARLY_FULL = 4096, 8, 0.9
"""Tokens of a sequence on one GPU, chunks of a stage, and share of the memory beyond which a plan is doubtful. [-]"""
COMPUTES = ("peak_dense_16bit_flop_per_s", "num_sms", "memory_bytes_per_s")
"""Numbers of a GPU by which its kernels take as long as those of another one."""


@cache
def _measured() -> frozenset[tuple[float, ...]]:
    """What GPUs compute with on which a step was measured."""
    gpus = [load_gpu_cluster(name)[0].gpu for name in dict.fromkeys(row.cluster for row in published())]
    return frozenset(tuple(getattr(gpu, key) for key in COMPUTES) for gpu in gpus)


def is_measured(gpu: GPUSpec) -> bool:
    """Whether a step was measured on a GPU that computes like this one, whatever it is called.

    Examples
    --------
    >>> from wsesim.config.entries import load_gpu
    >>> is_measured(load_gpu("a100_40gb")[0]), is_measured(load_gpu("b200")[0])
    (True, False)
    """
    return tuple(getattr(gpu, key) for key in COMPUTES) in _measured()


def gpu_bounds(run: GPURun) -> Bounds:
    """By how much a step on GPUs may be faster or slower, from what is known of the GPU and the kind of model."""
    known = knowledge("gpus").assumed
    reasons = [known["measured_gpu" if is_measured(run.cluster.gpu) else "unmeasured_gpu"]]
    if run.model.num_experts > 1:
        reasons.append(known["experts"])
    return together(*reasons)


def doubts(run: GPURun, plans: Plans, memory_bytes: Array) -> dict[str, Array]:
    """Which plans do what no published step tells of, by the key of ``cluster_configs/errors/gpus.toml``."""
    tensor = plans.tensor.astype(int)
    return {
        "plan_short_context": (plans.context > 1) & (run.training.sequence_length < SHORT_TOKENS * plans.context),
        "plan_odd_tensor": tensor & (tensor - 1) > 0,
        "plan_many_chunks": plans.chunks > MANY_CHUNKS,
        "plan_uneven_groups": (plans.chunks > 1) & (plans.num_micro_batches % plans.pipeline > 0),
        "plan_nearly_full": memory_bytes > NEARLY_FULL * run.cluster.gpu.memory_bytes,
    }


def lateness(run: GPURun, plans: Plans, memory_bytes: Array) -> Array:
    """By what factor the pessimistic end of a plan is later than that of a plan without doubts. [-]"""
    known, usual = knowledge("gpus").assumed, gpu_bounds(run).slower
    squares = add_up(known[key].slower ** 2 * has for key, has in doubts(run, plans, memory_bytes).items())
    return np.exp(np.sqrt(usual**2 + squares) - usual)


def bounds_of(run: GPURun, plan: Plans) -> Bounds:
    """By how much the step of one plan may be faster or slower."""
    known, needed = knowledge("gpus").assumed, memory_of(run, plan).total
    found = [known[key] for key, has in doubts(run, plan, needed).items() if np.ravel(has)[0]]
    return together(gpu_bounds(run), *found)
