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

from wsesim.config.training import is_training
from wsesim.machines.gpu.pipeline import CHUNKS_KEPT, RUNS_AHEAD, layer_equivalents
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import (
    OPERATORS,
    SELECTIVE,
    Plan,
    PlanTable,
    blocks_again,
    blocks_of_stage,
    copies_of_experts,
    deciding_stages,
    row_of,
    share_again,
)
from wsesim.machines.gpu.times import (
    BYTES_16BIT,
    BYTES_32BIT,
    block_parameters_of_gpu,
    mean_of_blocks,
    operators_again,
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


def memory_of(run: GPURun, plans: PlanTable) -> Memory:
    """What each plan needs on its fullest stage."""
    each, of_experts = state_bytes(run, plans), state_bytes(run, plans, copies_of_experts(plans))
    held, experts, activations = _fullest(run, plans, add_up(each), add_up(of_experts))
    weights, gradients, states = (held * one + experts * two for one, two in zip(each, of_experts, strict=True))
    return Memory(weights, gradients, states, activations, _buffer_bytes(run, plans))


def memory_of_plan(run: GPURun, plan: Plan) -> Memory:
    """The same of one plan, in plain numbers."""
    return row_of(memory_of(run, plan.table))


def _buffer_bytes(run: GPURun, plans: PlanTable) -> Array:
    """Gathered parameters, gradients as they are reduced, and what software reserves. [bytes]"""
    shared, experts = block_parameters_of_gpu(run.model, plans)
    wide = run.training.precision == "float32"
    weight_bytes = BYTES_32BIT if wide else BYTES_16BIT
    gradient_bytes = BYTES_32BIT if wide else reduction_bytes(run)
    whole = GATHERED_BLOCKS * weight_bytes
    if is_training(run.training):
        whole += weight_bytes + gradient_bytes  # the gradient, and as it is reduced
    of_chunk = np.ceil(run.model.num_layers / (plans.pipeline * plans.chunks)) * gradient_bytes * CHUNKS_KEPT
    kept = np.where((plans.zero_stage == 2) & (plans.chunks > 1), of_chunk, 0.0)
    return run.cluster.reserved_memory_bytes + np.where(plans.zero_stage == 3, whole, kept) * (shared + experts)


def state_bytes(run: GPURun, plans: PlanTable, shard: Array | None = None) -> tuple[Array, Array, Array]:
    """Weights, gradients and optimizer state of a parameter on one GPU, as frameworks keep them; `shard` GPUs share it. [bytes]

    Megatron-LM keeps a 32-bit copy of 16-bit gradients with the optimizer state (`keeps_gradient_copy`): 20 bytes, or 4 + 16/d
    of d that share it; of 32-bit gradients none: 18, or 6 + 12/d. Where all is shared, FSDP holds 32-bit weights, gradients
    and moments, and gathers a 16-bit copy; DeepSpeed 16-bit weights and gradients beside 32-bit weights and moments: 16/d both.
    """
    zero, wide = plans.zero_stage, run.training.precision == "float32"
    own = OPTIMIZER_BYTES[run.training.optimizer]
    shard = plans.shard if shard is None else shard
    if not is_training(run.training):
        nothing = np.zeros(np.shape(plans.tensor))
        return (BYTES_32BIT if wide else BYTES_16BIT) / np.where(zero == 3, shard, 1), nothing, nothing
    if wide:
        weights, gradients, states = BYTES_32BIT, BYTES_32BIT, own - BYTES_32BIT
        copied: Array = 0.0
    else:
        weights, gradients, states = BYTES_16BIT, reduction_bytes(run), own
        keeps_copy = run.parallelism.keeps_gradient_copy and gradients == BYTES_16BIT
        copied = np.where(zero <= 1, BYTES_32BIT, 0.0) if keeps_copy else 0.0
    all_shared = (zero == 3) & (not wide)
    return (
        weights / np.where(zero == 3, shard, 1),
        np.where(all_shared, BYTES_16BIT, gradients) / np.where(zero >= 2, shard, 1),
        (states + copied) / np.where(zero >= 1, shard, 1),
    )


def _fullest(run: GPURun, plans: PlanTable, each: Array, of_experts: Array) -> tuple[Array, Array, Array]:
    """Parameters, those of experts apart, and bytes of activations, of the stage that holds most. [-], [-], [bytes]"""
    found: tuple[Array, Array, Array] = (0.0, 0.0, 0.0)
    parameters, kept = parameters_of_stages(run, plans), kept_of_stages(run, plans)
    _, experts = block_parameters_of_gpu(run.model, plans)
    for stage in deciding_stages(run, plans):
        blocks = blocks_of_stage(run, plans, stage)
        own = (parameters(stage, blocks) - experts * blocks, experts * blocks, kept(stage, blocks))
        weights = (each, of_experts, 1.0)
        sums = [add_up(one * weight for one, weight in zip(value, weights, strict=True)) for value in (own, found)]
        is_fuller = sums[0] > sums[1]
        found = tuple(np.where(is_fuller, *pair) for pair in zip(own, found, strict=True))
    return found


def kept_of_stages(run: GPURun, plans: PlanTable) -> Callable[[Array, Array], Array]:
    """Bytes between the forward and the backward pass, of all micro-batches in flight, of a stage with so many blocks. [bytes]

    In an evaluation those of the block that is computed, and what waits to be.
    """
    last = plans.pipeline - 1
    inputs, whole, plain = _input_bytes(run, plans), block_activation_bytes(run, plans), _kept_plainly(run, plans)
    logits = LOGIT_COPIES_BYTES * split_of(run, plans).tokens * run.model.vocab_size / plans.tensor

    def of_evaluation(stage: Array, blocks: Array) -> Array:  # noqa: ARG001
        return whole + waiting(plans) * inputs + np.where(stage == last, logits, 0.0)

    def kept(stage: Array, blocks: Array) -> Array:
        again = blocks_again(plans, blocks)
        held = in_flight(run, plans, stage) * (again * inputs + (blocks - again) * plain)
        return held + np.where(again > 0, whole, 0.0) + np.where(stage == last, logits, 0.0)

    return kept if is_training(run.training) else of_evaluation


def waiting(plans: PlanTable) -> Array:
    """Micro-batches of an evaluation whose activations wait for a stage; of interleaved ones, the rest of a group, too. [-]"""
    behind = np.where(plans.chunks > 1, np.maximum(0, plans.group - plans.pipeline), 0)
    return np.where(plans.pipeline > 1, RUNS_AHEAD - 1 + behind, 0)


def kept_bytes_per_block(run: GPURun, plan: Plan) -> float:
    """Kept of one block and micro-batch of one plan between its passes, on the mean of all blocks. [bytes]"""
    plans, share = plan.table, share_again(run, plan.table)
    return float((share * _input_bytes(run, plans) + (1.0 - share) * _kept_plainly(run, plans)).item())


def _kept_plainly(run: GPURun, plans: PlanTable) -> Array:
    """Kept of a block that is not computed again as a whole. [bytes]"""
    some = (plans.recompute == SELECTIVE) | (plans.recompute == OPERATORS)
    less = block_activation_bytes(run, plans, without=operators_again(run))
    return np.where(some, less, block_activation_bytes(run, plans))


def fewest_blocks_again(run: GPURun, plans: PlanTable, most_bytes: float) -> Array:
    """Of each chunk, the fewest blocks to compute again so that a plan fits; the plans say "blocks". [-]"""
    each, parameters = add_up(state_bytes(run, plans)), parameters_of_stages(run, plans)
    more = add_up(state_bytes(run, plans, copies_of_experts(plans))) - each
    _, experts = block_parameters_of_gpu(run.model, plans)
    kept, saved = kept_of_stages(run, plans), block_activation_bytes(run, plans) - _input_bytes(run, plans)
    found: Array = np.ones(np.shape(plans.tensor), dtype=int)
    for stage in deciding_stages(run, plans):
        blocks = blocks_of_stage(run, plans, stage)
        over = _buffer_bytes(run, plans) + parameters(stage, blocks) * each + kept(stage, blocks) - most_bytes
        over = over + experts * blocks * more
        fewer = np.ceil(over / (saved * in_flight(run, plans, stage) * plans.chunks)).astype(int)
        found = np.maximum(found, 1 + fewer)
    return found


def in_flight(run: GPURun, plans: PlanTable, stage: Array) -> Array:
    """Micro-batches whose activations a stage holds. [-]"""
    schedule = run.parallelism.pipeline_schedule
    return layer_equivalents(plans.pipeline, plans.chunks, plans.num_micro_batches, schedule, stage, plans.group)


def block_activation_bytes(run: GPURun, plans: PlanTable, *, without: tuple[str, ...] = ()) -> Array:
    """One block and micro-batch, without what some operators make that are computed again; the mean of all blocks. [bytes]"""
    return mean_of_blocks(run, lambda one: _block_activation_bytes(one, plans, without))


def _block_activation_bytes(run: GPURun, plans: PlanTable, without: tuple[str, ...]) -> Array:
    model, split = run.model, split_of(run, plans)
    tokens, double = split.tokens, 2.0 if run.training.precision == "float32" else 1.0
    wide, masks = attention_widths(model), 0.0 if split.fused_attention else 2.0
    norms = 4.0 * model.hidden_size if model.sandwich_norm else 0.0  # inputs of the two more
    norms += 4.0 * add_up(compressed_widths(model))
    outputs = 4.0 * model.hidden_size if "layernorm" in without else 0.0
    outputs += 2.0 * model.hidden_size if "out" in without else 0.0  # the input of the second norm
    unsplit = ((8.0 + masks) * model.hidden_size - outputs + norms) * tokens / split.sequence
    parts = 2.0 * (
        (0.0 if {"attention", "out"} <= set(without) else wide.output)
        + (0.0 if "qkv" in without else wide.query + wide.key + wide.value)
    )
    parts += _inside_bytes(run, without) * active_mlp_size(model)
    parts += 2.0 * (wide.query + wide.key) if model.qk_norm != "none" and "qkv" not in without else 0.0
    heads = split.sequences * model.num_attention_heads / split.tensor
    each = 5.0 if split.drops_scores else 2.0  # the weights; as they were dropped, and where
    scores = each * heads * split.sequence_length * split.sequence_length / split.context
    keeps_scores = "attention" not in without and not split.fused_attention
    return double * (unsplit + parts * tokens / split.tensor + (scores if keeps_scores else 0.0))


def _inside_bytes(run: GPURun, without: tuple[str, ...]) -> float:
    """Kept of one inner unit of an MLP and token: inputs of the activation, what it makes, and their product. [bytes]"""
    if "mlp" in without or "mlp_in" in without:
        return 0.0
    inputs = 4.0 if run.model.gated_mlp else 2.0
    if "activation" in without:
        return inputs
    return inputs + (4.0 if run.model.gated_mlp and not run.parallelism.fused_mlp_activation else 2.0)


def _input_bytes(run: GPURun, plans: PlanTable) -> Array:
    """The input of a block, from which it can be computed again. [bytes]"""
    split = split_of(run, plans)
    return (BYTES_32BIT if run.training.precision == "float32" else BYTES_16BIT) * (
        split.tokens * run.model.hidden_size / split.sequence
    )
