"""Which ways there are to spread a run over its GPUs, and which of them fit."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from wsesim.machines.gpu.memory import fewest_blocks_again, memory_of
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import (
    BLOCKS,
    EMBEDDING_COUNTS,
    EVERY,
    FULL,
    LOSS_COUNTS,
    NONE,
    OPERATORS,
    RECOMPUTE,
    SELECTIVE,
    Plans,
    dealt_layers,
    expert_tensor_size,
    group_size,
)
from wsesim.machines.machine import Work
from wsesim.machines.wafer.plan import divisors
from wsesim.units import add_up

Array = Any
MOST_UNEVEN = 0.1
"""Most by which the fullest copy's share, for all, is larger than the batch in a plan that is searched. [-]"""
COMBINATIONS = 1_000_000
"""Of sizes and micro-batches that are looked at together. [-]"""
PLAN_S, PLAN_BYTES = 20e-6, 1000.0
"""To make a plan, count its memory and estimate its step, on an ordinary machine. [s], [bytes]"""
MOST_CHUNKS = 16
"""Model chunks of a stage that the search tries at most. [-]"""


def _choices(value: Any, offered: tuple[int, ...]) -> tuple[int, ...]:
    return offered if value == "auto" else (int(value),)


def ends_to_try(run: GPURun) -> tuple[int, ...]:
    """Which ends may count as a layer each: values of `Plans.ends`."""
    spec = run.parallelism
    if not spec.deals_as_it_likes:
        return (0,)
    embedding, loss = _counts(run, spec.account_for_embedding), _counts(run, spec.account_for_loss)
    found = [one * EMBEDDING_COUNTS + other * LOSS_COUNTS for one in embedding for other in loss]
    is_open = len(embedding) > 1 and len(loss) > 1
    return tuple(ends for ends in found if not (is_open and ends == EMBEDDING_COUNTS))  # which gains no time


def _counts(run: GPURun, given: bool | str | None) -> tuple[bool, ...]:
    """Whether an end counts as a layer; both where that is searched."""
    spec = run.parallelism
    if isinstance(given, bool):
        return (given,)
    if given is None and spec.account_for_embedding_and_loss:
        return (True,)
    return (False, True) if given == "auto" or spec.pipeline_parallel_size == "auto" else (False,)


def kinds_of_recompute(run: GPURun) -> tuple[int, ...]:
    """Places in `RECOMPUTE` of what the run file allows; the search tries as few blocks as fit, too."""
    given = run.parallelism.activation_recompute
    if given == "auto":
        return (NONE, SELECTIVE, FULL, BLOCKS)
    if isinstance(given, str):
        return (RECOMPUTE.index(given),)
    return (EVERY if given.every else BLOCKS if given.blocks else OPERATORS,)


def _again_of(run: GPURun) -> int:
    """The number of a table ``activation_recompute``; 1 without. [-]"""
    given = run.parallelism.activation_recompute
    return 1 if isinstance(given, str) else given.every or given.blocks or 1


def memory_to_fill_bytes(run: GPURun) -> float:
    """Of a GPU, what plans that are searched may take. [bytes]"""
    return run.cluster.gpu.memory_bytes * (1.0 - run.parallelism.free_memory_share)


def _with_fewest_blocks_again(run: GPURun, plans: Plans) -> Plans:
    """Plans that compute some blocks again, where that is searched: as few as fit, and only where none and all would not do."""
    if run.parallelism.activation_recompute != "auto" or not len(plans.tensor):
        return plans
    some = np.flatnonzero(plans.recompute == BLOCKS)
    few = plans.only(some)
    again = fewest_blocks_again(run, few, memory_to_fill_bytes(run))
    without = memory_of(run, few._replace(recompute=np.zeros_like(few.recompute))).total
    says_new = (without > memory_to_fill_bytes(run)) & (
        again * few.chunks < np.ceil(run.model.num_layers / few.pipeline)
    )
    numbers, keeps = plans.again.copy(), np.ones(len(plans.tensor), dtype=bool)
    numbers[some], keeps[some] = again, says_new
    return plans._replace(again=numbers).only(keeps)


def stages_to_try(run: GPURun) -> tuple[int, ...]:
    """Numbers of stages that the run file allows and that divide the GPUs."""
    spec, num_gpus, most = run.parallelism, run.cluster.num_gpus, dealt_layers(run, np.asarray(max(ends_to_try(run))))
    if spec.layers_per_stage == "even":
        return _choices(spec.pipeline_parallel_size, divisors(num_gpus, int(most)))
    listed = len(spec.layers_per_stage)
    return _choices(spec.pipeline_parallel_size, tuple(one for one in divisors(listed, listed) if num_gpus % one == 0))


def _chunks_offered(run: GPURun) -> tuple[int, ...]:
    """Chunks that a stage may have; gpipe knows no interleaving. [-]"""
    return (1,) if run.parallelism.pipeline_schedule == "gpipe" else tuple(range(1, MOST_CHUNKS + 1))


@lru_cache(maxsize=1)
def candidates(run: GPURun) -> Plans:
    """Every plan that the run file allows and that divides evenly, but for the batch, whose fullest copy decides.

    Raises
    ------
    ConfigError
        More plans than the limit.

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> plans = candidates(load_any("gpt_neox_20b_96xa100"))
    >>> plans.tensor.tolist(), plans.pipeline.tolist(), plans.data.tolist()
    ([2], [4], [12])
    """
    spec, model, num_gpus = run.parallelism, run.model, run.cluster.num_gpus
    batch = run.training.global_batch_size
    tensor = tuple(
        size for size in divisors(model.num_attention_heads, run.cluster.domain_size) if num_gpus % size == 0
    )
    axes = (
        _choices(spec.tensor_parallel_size, tensor),
        stages_to_try(run),
        _choices(spec.context_parallel_size, divisors(run.training.sequence_length, min(64, num_gpus))),
        _choices(spec.expert_parallel_size, divisors(model.num_experts, num_gpus)),
        _choices(spec.virtual_pipeline_size, _chunks_offered(run)),
        ends_to_try(run),
        (),
        _choices(spec.zero_stage, (0, 1, 2, 3)),
        kinds_of_recompute(run),
        _choices(spec.sequence_parallel, (0, 1)),
    )
    layouts = _layouts(run, axes)
    shares = {int(-(-batch // data)) for data in layouts[3].tolist()}
    sizes = sorted({size for share in shares for size in divisors(share, share)}) or [1]
    micro = _choices(run.training.micro_batch_size, tuple(sizes))
    every = (*axes[:6], micro, *axes[7:])
    found: list[Plans] = []
    for some in _blocks(layouts, every):
        found.append(_that_divide(run, some, every))
        work_of_search(add_up(len(one.tensor) for one in found)).check(
            run.place, "give training.micro_batch_size or sizes in [parallelism]"
        )
    return Plans(*(np.concatenate(one) for one in zip(*found, strict=True)))


def work_of_search(number: int) -> Work:
    """What it takes to look at so many plans."""
    return Work(number, number * PLAN_S, number * PLAN_BYTES, "a search among {} plans" if number > 1 else "{} plan")


def _blocks(layouts: Array, axes: tuple[tuple[int, ...], ...]) -> list[Array]:
    """Layouts in groups of which each has few combinations with the other choices; at least one group."""
    each = max(1, COMBINATIONS // max(1, math.prod(map(len, axes[3:7]))))
    return [layouts[:, start : start + each] for start in range(0, max(1, layouts.shape[1]), each)]


def _layouts(run: GPURun, axes: tuple[tuple[int, ...], ...]) -> Array:
    """Tensor, pipeline, context and data sizes that multiply to the number of GPUs; shape ``(4, num_layouts)``."""
    tensor, pipeline, context = _grid(*axes[:3])
    model_size = tensor * pipeline * context
    data = run.cluster.num_gpus // model_size
    wanted = run.parallelism.data_parallel_size
    batch, copies = run.training.global_batch_size, np.maximum(data, 1)
    dealt = -(-batch // copies) * copies
    fits = (model_size * data == run.cluster.num_gpus) & (data > 0) & (data <= batch)
    fits &= data == wanted if wanted != "auto" else dealt <= (1.0 + MOST_UNEVEN) * batch
    return np.stack([tensor, pipeline, context, data])[:, fits]


def _that_divide(run: GPURun, layouts: Array, axes: tuple[tuple[int, ...], ...]) -> Plans:
    """All combinations with the other choices, without those that do not divide or say nothing new.

    What divides the batch and the layers is found first, as few combinations do.
    """
    (place, expert, chunks, ends, micro), batch = _that_divide_the_batch(run, layouts, axes[3:7])
    kept, zero, recompute, sequence = _grid(np.arange(len(place)), *axes[7:])
    place, expert, chunks, ends, micro = (axis[kept] for axis in (place, expert, chunks, ends, micro))
    group, passes, last = (axis[kept] for axis in batch)
    tensor, pipeline, context, data = layouts[:, place]
    ranks, spec = data * context, run.parallelism
    given = spec.expert_tensor_parallel_size
    expert_tensor = expert_tensor_size(tensor, ranks, expert) if given == "auto" else np.full_like(tensor, given)
    keeps = (sequence == 0) | (tensor > 1) | (spec.sequence_parallel != "auto")
    keeps &= (expert_tensor > 0) & (tensor * ranks % np.maximum(1, expert_tensor * expert) == 0)
    keeps &= (recompute != SELECTIVE) | (spec.attention == "unfused") | (spec.activation_recompute != "auto")
    keeps &= (ranks > 1) | (zero == 0) | (spec.zero_stage != "auto")
    keeps &= (zero < 3) | (pipeline == 1) | (spec.zero_stage != "auto")
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
        expert_tensor=expert_tensor,
        chunks=chunks,
        ends=ends,
        group=group,
        micro_batch_size=micro,
        num_micro_batches=passes,
        last_micro_batch_size=last,
        zero_stage=zero,
        shard=np.where(zero >= 1, shard, 1),
        recompute=recompute,
        again=np.full_like(recompute, _again_of(run)),
        sequence_parallel=(sequence == 1) & (tensor > 1),
    )
    return _with_fewest_blocks_again(run, found.only(keeps))


def _that_divide_the_batch(
    run: GPURun, layouts: Array, axes: tuple[tuple[int, ...], ...]
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Layouts with experts' sizes, chunks, ends and micro-batches that go together; groups, passes and last micro-batches. [-]"""
    place, expert, chunks, ends, micro = grid = _grid(np.arange(layouts.shape[1]), *axes)
    _, pipeline, _, data = layouts[:, place]
    per_copy = -(-run.training.global_batch_size // data)
    passes = -(-per_copy // micro)
    context, tensor = layouts[2, place], layouts[0, place]
    keeps = (tensor * context * data % expert == 0) & _that_deal(run, pipeline, chunks, ends) & (micro <= per_copy)
    if run.training.micro_batch_size == "auto":
        keeps &= per_copy % micro == 0
    keeps &= (chunks == 1) | ((pipeline > 1) & (passes >= pipeline))
    grid, pipeline, chunks, passes = grid[:, keeps], pipeline[keeps], chunks[keeps], passes[keeps]
    given = run.parallelism.micro_batch_group_size
    group = group_size(pipeline, chunks, passes) if given == "auto" else np.where(chunks > 1, given, pipeline)
    last = per_copy[keeps] - (passes - 1) * micro[keeps]
    return grid, (group, passes, last)


def _that_deal(run: GPURun, stages: Array, chunks: Array, ends: Array) -> Array:
    """Which numbers of stages and chunks give each a layer, and say something new."""
    spec, number = run.parallelism, stages * chunks
    if spec.layers_per_stage != "even":
        listed = len(spec.layers_per_stage)
        return (listed == number) | ((listed == stages) & (number <= run.model.num_layers))
    dealt = dealt_layers(run, ends)
    keeps = (number <= dealt) & ((stages > 1) | (ends == min(ends, default=0)))
    if not spec.deals_as_it_likes:
        given = [spec.num_layers_in_first_pipeline_stage or 0, spec.num_layers_in_last_pipeline_stage or 0]
        others, left = stages - np.count_nonzero(given), run.model.num_layers - add_up(given)
        keeps &= (stages > 1) & (left >= others * chunks) & ((others > 0) | (left == 0))
    if spec.virtual_pipeline_size == "auto":
        keeps &= -(-dealt // stages) % chunks == 0
    return keeps


def _grid(*axes: Array | tuple[int, ...]) -> Array:
    """Every combination, the last axis first; shape ``(num_axes, num_combinations)``."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*map(np.asarray, axes), indexing="ij")])
