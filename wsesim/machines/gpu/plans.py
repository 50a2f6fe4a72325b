"""Which ways there are to spread a run over its GPUs, and which of them fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from wsesim.config.run import GPURun
from wsesim.machines.gpu.times import RECOMPUTE, Plans
from wsesim.machines.wafer.plan import divisors

Array = Any
MOST_CHUNKS = 16
"""Model chunks of a stage that the search tries at most. [-]"""


def _choices(value: Any, offered: tuple[int, ...]) -> tuple[int, ...]:
    return offered if value == "auto" else (int(value),)


def layers_to_deal(run: GPURun) -> int:
    """Layers that are dealt to the stages: the blocks, and both ends where they count as one each. [-]"""
    return run.model.num_layers + (2 if run.parallelism.account_for_embedding_and_loss else 0)


def _chunks_offered(run: GPURun) -> tuple[int, ...]:
    """Chunks that a stage may have; gpipe knows no interleaving. [-]"""
    return (1,) if run.parallelism.pipeline_schedule == "gpipe" else divisors(layers_to_deal(run), MOST_CHUNKS)


def candidates(run: GPURun) -> Plans:
    """Every plan that the run file allows and that divides evenly; none where nothing does.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> plans = candidates(load_any("gpt_neox_20b_96xa100"))
    >>> plans.tensor.tolist(), plans.pipeline.tolist(), plans.data.tolist()
    ([2], [4], [12])
    """
    spec, model, num_gpus = run.parallelism, run.model, run.cluster.num_gpus
    batch, dealt = run.training.global_batch_size, layers_to_deal(run)
    tensor = tuple(
        size for size in divisors(model.num_attention_heads, run.cluster.domain_size) if num_gpus % size == 0
    )
    axes = (
        _choices(spec.tensor_parallel_size, tensor),
        _choices(spec.pipeline_parallel_size, divisors(dealt, num_gpus)),
        _choices(spec.context_parallel_size, divisors(run.training.sequence_length, min(64, num_gpus))),
        _choices(spec.expert_parallel_size, divisors(model.num_experts, num_gpus)),
        _choices(spec.virtual_pipeline_size, _chunks_offered(run)),
        _choices(run.training.micro_batch_size, divisors(batch, batch)),
        _choices(spec.zero_stage, (0, 1, 2, 3)),
        (RECOMPUTE.index(spec.activation_recompute),) if spec.activation_recompute != "auto" else (0, 1, 2),
        _choices(spec.sequence_parallel, (0, 1)),
    )
    return _that_divide(run, _layouts(run, axes), axes)


def _layouts(run: GPURun, axes: tuple[tuple[int, ...], ...]) -> Array:
    """Tensor, pipeline, context and data sizes that multiply to the number of GPUs; shape ``(4, num_layouts)``."""
    tensor, pipeline, context = _grid(*axes[:3])
    model_size = tensor * pipeline * context
    data = run.cluster.num_gpus // model_size
    wanted = run.parallelism.data_parallel_size
    fits = (
        (model_size * data == run.cluster.num_gpus)
        & (data > 0)
        & (run.training.global_batch_size % np.maximum(data, 1) == 0)
    )
    if wanted != "auto":
        fits &= data == wanted
    return np.stack([tensor, pipeline, context, data])[:, fits]


def _that_divide(run: GPURun, layouts: Array, axes: tuple[tuple[int, ...], ...]) -> Plans:
    """All combinations with the other choices, without those that do not divide or say nothing new.

    What divides the batch and the layers is found first, as few combinations do.
    """
    (place, expert, chunks, micro), passes = _that_divide_the_batch(run, layouts, axes[3:6])
    kept, zero, recompute, sequence = _grid(np.arange(len(place)), *axes[6:])
    place, expert, chunks, micro, passes = (axis[kept] for axis in (place, expert, chunks, micro, passes))
    tensor, pipeline, context, data = layouts[:, place]
    ranks, spec = data * context, run.parallelism
    keeps = (sequence == 0) | (tensor > 1) | (spec.sequence_parallel != "auto")
    keeps &= (recompute != 1) | (spec.attention == "unfused") | (spec.activation_recompute != "auto")
    keeps &= (ranks > 1) | (zero == 0) | (spec.zero_stage != "auto")
    keeps &= (zero < 2) | (pipeline == 1) | (spec.zero_stage != "auto")
    if spec.sequence_parallel is True:
        keeps &= tensor > 1
    if spec.shard_group_size != "auto":
        keeps &= ranks % spec.shard_group_size == 0
    shard = ranks if spec.shard_group_size == "auto" else np.full_like(ranks, spec.shard_group_size)
    found = Plans(
        tensor=tensor,
        pipeline=pipeline,
        data=data,
        context=context,
        expert=expert,
        chunks=chunks,
        micro_batch_size=micro,
        num_micro_batches=passes,
        zero_stage=zero,
        shard=np.where(zero >= 1, shard, 1),
        recompute=recompute,
        sequence_parallel=(sequence == 1) & (tensor > 1),
    )
    return found.only(keeps)


def _that_divide_the_batch(run: GPURun, layouts: Array, axes: tuple[tuple[int, ...], ...]) -> tuple[Array, Array]:
    """Layouts with experts' sizes, chunks and micro-batches that divide; and the passes of a step. [-]"""
    place, expert, chunks, micro = grid = _grid(np.arange(layouts.shape[1]), *axes)
    _, pipeline, _, data = layouts[:, place]
    per_copy = run.training.global_batch_size // data
    passes = per_copy // micro
    keeps = (layers_to_deal(run) % (pipeline * chunks) == 0) & (per_copy % micro == 0) & (passes > 0)
    keeps &= (chunks == 1) | ((pipeline > 1) & (passes % pipeline == 0))
    keeps &= data % expert == 0
    return grid[:, keeps], passes[keeps]


def _grid(*axes: Array | tuple[int, ...]) -> Array:
    """Every combination, the last axis first; shape ``(num_axes, num_combinations)``."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*map(np.asarray, axes), indexing="ij")])
