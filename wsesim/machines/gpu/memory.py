"""What lies in a GPU's memory, for many plans at once: the fullest GPU of each.

Activation bytes follow Korthikanti et al. 2022, sections 4.1 and 4.2, for any width of keys, values
and MLP: 10 bytes of the block's width that only sequence parallelism splits, and the inputs of the
split products. A fused attention kernel keeps no scores; models that use one are taken to be trained
without dropout, hence without its masks (LLaMA, MPT).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wsesim.machines.gpu.pipeline import layer_equivalents
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans, blocks_of_stage, deciding_stages
from wsesim.machines.gpu.times import (
    BYTES_16BIT,
    BYTES_32BIT,
    block_parameters_of_gpu,
    mean_of_blocks,
    parameters_of_stages,
    reduction_bytes,
    split_of,
)
from wsesim.units import add_up
from wsesim.workload.transformer import active_mlp_size, attention_widths, compressed_widths

Array = Any
OPTIMIZER_BYTES = {"adamw": 12.0, "adam": 12.0, "lion": 8.0, "sgd": 8.0}
"""32-bit parameters and what the optimizer keeps of each (Rajbhandari et al. 2020, section 3.1). [bytes]"""
GATHERED_BLOCKS = 2
"""Blocks whose parameters lie gathered at a time with `zero_stage` 3: the running one and the next. [-]"""
LOGIT_COPIES_BYTES = 6.0
"""16-bit logits and their 32-bit copy. [bytes]"""


class Memory(NamedTuple):
    """Bytes on the fullest GPU. [bytes]"""

    weights: Array
    gradients: Array
    optimizer: Array
    activations: Array
    buffers: Array

    @property
    def total(self) -> Array:
        """All of them. [bytes]"""
        return add_up(self)


def memory_of(run: GPURun, plans: Plans) -> Memory:
    """What each plan needs on its fullest stage."""
    zero, wide = plans.zero_stage, run.training.precision == "float32"
    weight_bytes = BYTES_32BIT if wide else BYTES_16BIT
    gradient_bytes = BYTES_32BIT if wide else reduction_bytes(run)
    optimizer = OPTIMIZER_BYTES[run.training.optimizer] - (BYTES_32BIT if wide else 0.0)
    shared, experts = block_parameters_of_gpu(run.model, plans)
    whole = GATHERED_BLOCKS * weight_bytes + weight_bytes + gradient_bytes  # the gradient, and as it is reduced
    gathered = np.where(zero == 3, whole * (shared + experts), 0.0)
    each = [
        weight_bytes / np.where(zero == 3, plans.shard, 1),
        gradient_bytes / np.where(zero >= 2, plans.shard, 1),
        optimizer / np.where(zero >= 1, plans.shard, 1),
    ]
    held, activations = _fullest(run, plans, add_up(each))
    weights, gradients, states = (held * one for one in each)
    return Memory(weights, gradients, states, activations, gathered + run.cluster.reserved_memory_bytes)


def _fullest(run: GPURun, plans: Plans, bytes_each: Array) -> tuple[Array, Array]:
    """Parameters, and bytes of activations, of the stage that holds most. [-], [bytes]"""
    held: Array = 0.0
    activations: Array = 0.0
    parameters, kept = parameters_of_stages(run, plans), kept_of_stages(run, plans)
    for stage in deciding_stages(run, plans):
        blocks = blocks_of_stage(run, plans, stage)
        own, own_kept = parameters(stage, blocks), kept(stage, blocks)
        is_fuller = own * bytes_each + own_kept > held * bytes_each + activations
        held, activations = np.where(is_fuller, own, held), np.where(is_fuller, own_kept, activations)
    return held, activations


def kept_of_stages(run: GPURun, plans: Plans) -> Callable[[Array, Array], Array]:
    """Bytes between the forward and the backward pass, of all micro-batches in flight, of a stage with so many blocks. [bytes]"""
    kept, last = kept_bytes_per_block(run, plans), plans.pipeline - 1
    running = np.where(plans.recompute == 2, block_activation_bytes(run, plans, recompute=0), 0.0)
    logits = LOGIT_COPIES_BYTES * split_of(run, plans).tokens * run.model.vocab_size / plans.tensor
    return lambda stage, blocks: (
        in_flight(run, plans, stage) * blocks * kept + running + np.where(stage == last, logits, 0.0)
    )


def kept_bytes_per_block(run: GPURun, plans: Plans) -> Array:
    """Kept of one block and micro-batch between its forward and its backward pass. [bytes]"""
    return np.select(
        [plans.recompute == 2, plans.recompute == 1],
        [_input_bytes(run, plans), block_activation_bytes(run, plans, recompute=1)],
        block_activation_bytes(run, plans, recompute=0),
    )


def in_flight(run: GPURun, plans: Plans, stage: Array) -> Array:
    """Micro-batches whose activations a stage holds. [-]"""
    schedule = run.parallelism.pipeline_schedule
    return layer_equivalents(plans.pipeline, plans.chunks, plans.num_micro_batches, schedule, stage, plans.group)


def block_activation_bytes(run: GPURun, plans: Plans, *, recompute: int) -> Array:
    """One block and micro-batch without full recomputation; the mean of the model's blocks where they differ. [bytes]"""
    return mean_of_blocks(run, lambda one: _block_activation_bytes(one, plans, recompute=recompute))


def _block_activation_bytes(run: GPURun, plans: Plans, *, recompute: int) -> Array:
    model, split = run.model, split_of(run, plans)
    tokens, double = split.tokens, 2.0 if run.training.precision == "float32" else 1.0
    wide, masks = attention_widths(model), 0.0 if split.fused_attention else 2.0
    norms = 4.0 * model.hidden_size if model.sandwich_norm else 0.0  # inputs of the two more
    norms += 4.0 * add_up(compressed_widths(model))
    unsplit = ((8.0 + masks) * model.hidden_size + norms) * tokens / split.sequence
    parts = 2.0 * add_up(wide) + (8.0 if model.gated_mlp else 4.0) * active_mlp_size(model)
    parts += 2.0 * (wide.query + wide.key) if model.qk_norm != "none" else 0.0
    heads = split.sequences * model.num_attention_heads / split.tensor
    scores = 5.0 * heads * split.sequence_length * split.sequence_length / split.context
    keeps_scores = recompute == 0 and not split.fused_attention
    return double * (unsplit + parts * tokens / split.tensor + (scores if keeps_scores else 0.0))


def _input_bytes(run: GPURun, plans: Plans) -> Array:
    """The input of a block, from which it can be computed again. [bytes]"""
    split = split_of(run, plans)
    return (BYTES_32BIT if run.training.precision == "float32" else BYTES_16BIT) * (
        split.tokens * run.model.hidden_size / split.sequence
    )
