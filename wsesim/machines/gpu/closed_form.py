"""An estimate of a GPU step for many plans at once, by which `auto` chooses what to simulate.

It assumes what the simulation finds out: that the slowest stage decides, that a pipeline fills and
drains once, and that reductions hide behind the backward pass as far as they fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans, blocks_of_stage, deciding_stages, kinds_of_stages
from wsesim.machines.gpu.times import (
    Times,
    hides_sends,
    largest,
    passes_to_reduction,
    shares_gradients,
    times_of_kinds,
)
from wsesim.units import add_up

Array = Any


def step_time_s(run: GPURun, plans: Plans, times: Times) -> Array:
    """Estimated time of one step, for each plan. [s]"""
    stages = plans.pipeline
    backward_s = times.backward.total_s + times.recompute.total_s + times.accumulate_s
    block_s = _block_s(run, plans, times)
    slowest_s = _slowest_s(run, plans, times, block_s)
    slowest_s = slowest_s + _exposed_sends_s(run, plans, times)
    chunk_s = run.model.num_layers / (stages * plans.chunks) * block_s
    fill_s = (stages - 1) * (chunk_s + 2.0 * times.send_s)
    return plans.full_passes * slowest_s + fill_s + _after_s(run, plans, times, backward_s)


def _block_s(run: GPURun, plans: Plans, times: Times) -> Array:
    """A block forward and backward, with what is gathered and reduced beside it. [s]"""
    forward_s = np.maximum(times.forward.total_s, times.gather_s)
    backward_s = times.backward.total_s + times.recompute.total_s + times.accumulate_s
    late = run.cluster.software.fsdp_prefetch == "late"
    moved_s = times.gather_s + times.reduce_s
    sharded_s = np.maximum(backward_s + (times.gather_s if late else 0.0), moved_s)
    block_s = forward_s + np.where(plans.zero_stage == 3, sharded_s, backward_s)
    overlaps = run.parallelism.overlap_gradient_reduction  # a chunk's gradient needs the room of the one before
    reduce_s = times.reduce_s / passes_to_reduction(plans)
    each_s = np.maximum(block_s, reduce_s) if overlaps else block_s + reduce_s
    return np.where(shares_gradients(plans), each_s, block_s)


def _slowest_s(run: GPURun, plans: Plans, times: Times, block_s: Array) -> Array:
    """A micro-batch forward and backward on the stage that takes longest, of whose own blocks it is. [s]"""
    kinds = times_of_kinds(run, plans, times)
    if len(kinds) == 1:
        return largest(
            blocks_of_stage(run, plans, stage) * block_s + _ends_s(plans, times, stage)
            for stage in deciding_stages(run, plans)
        )
    each_s, own = [_block_s(run, plans, one) for one in kinds], kinds_of_stages(run, plans)
    last, places = plans.pipeline - 1, np.arange(len(plans.pipeline))
    return largest(
        add_up(own[places, np.minimum(stage, last), kind] * one_s for kind, one_s in enumerate(each_s))
        + _ends_s(plans, times, np.minimum(stage, last))
        for stage in range(own.shape[1])
    )


def _ends_s(plans: Plans, times: Times, stage: Array) -> Array:
    """What a stage does beside its blocks. [s]"""
    head_s = times.head_forward_s + times.head_backward_s
    return (stage == 0) * 2.0 * times.embedding_s + (stage == plans.pipeline - 1) * head_s


def _exposed_sends_s(run: GPURun, plans: Plans, times: Times) -> Array:
    """Of one micro-batch on one stage, where the GPU waits for its sends. [s]"""
    return np.where(hides_sends(run.parallelism, plans.chunks), 0.0, 2.0 * plans.chunks * times.send_s)


def _after_s(run: GPURun, plans: Plans, times: Times, backward_s: Array) -> Array:
    """After the last backward pass: reductions that did not fit beside it, optimizer, parameters. [s]"""
    blocks = run.model.num_layers / plans.pipeline
    reductions_s = blocks * times.reduce_s
    if run.parallelism.overlap_gradient_reduction:
        exposed_s = np.maximum(times.reduce_s, reductions_s - (blocks - 1.0) * backward_s)
    else:
        exposed_s = reductions_s
    exposed_s = np.where(plans.zero_stage == 3, times.reduce_s, exposed_s)
    return exposed_s + times.embedding_reduce_s + times.update_s + times.host_s + times.parameter_gather_s
