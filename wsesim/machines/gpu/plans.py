"""Which ways there are to spread a run over its GPUs, which fit, and what has to hold before one is simulated."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from wsesim.config.training import is_training
from wsesim.errors import ConfigError, DoesNotFit
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
    PlanTable,
    dealt_layers,
    expert_tensor_size,
    group_size,
)
from wsesim.machines.machine import Work, divisors, nearest_multiples, positions, refuse
from wsesim.units import add_up

# What has to hold before a GPU run can be simulated, each with its remedy.


def nearest_divisors(value: int, wanted: int) -> str:
    """The divisors of `value` on both sides of `wanted`, in words.

    Examples
    --------
    >>> nearest_divisors(96, 7)
    '6 or 8'
    >>> nearest_divisors(96, 100)
    '96'
    """
    known = divisors(value, value)
    below = max((one for one in known if one <= wanted), default=None)
    above = min((one for one in known if one >= wanted), default=None)
    return " or ".join(str(one) for one in dict.fromkeys((below, above)) if one is not None)


def _divides(place: str, key: str, value: int, what: str, whole: int) -> None:
    if whole % value:
        raise ConfigError(
            f"{place}: parallelism.{key} is {value}, which does not divide {what} = {whole}; "
            f"use {nearest_divisors(whole, value)}"
        )


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else 1


def _gpus(run: GPURun) -> None:
    cluster = run.cluster
    if cluster.num_gpus > cluster.max_gpus:
        raise DoesNotFit(
            f"{cluster.num_gpus:,} GPUs are more than {cluster.name} has, {cluster.max_gpus:,}; set "
            f"cluster.num_gpus to at most {cluster.max_gpus:,}, or cluster.name to a larger one (`wsesim list clusters`)"
        )


def _sizes(run: GPURun) -> None:
    """The sizes multiply to the number of GPUs."""
    spec, num_gpus = run.parallelism, run.cluster.num_gpus
    sizes = {
        "tensor_parallel_size": spec.tensor_parallel_size,
        "pipeline_parallel_size": spec.pipeline_parallel_size,
        "context_parallel_size": spec.context_parallel_size,
    }
    model_size = 1
    for value in sizes.values():
        model_size *= _number(value)
    said = " x ".join(f"{key} {value}" for key, value in sizes.items() if value not in (1, "auto"))
    if num_gpus % model_size:
        raise ConfigError(
            f"{run.place}: parallelism has {said} = {model_size}, which does not divide cluster.num_gpus = {num_gpus}; "
            f"use {nearest_multiples(num_gpus, model_size)} GPUs, or sizes that multiply to "
            f"{nearest_divisors(num_gpus, model_size)}"
        )
    data, given = spec.data_parallel_size, "auto" not in sizes.values()
    if isinstance(data, int) and given and data * model_size != num_gpus:
        raise ConfigError(
            f"{run.place}: parallelism has {said + ' x ' if said else ''}data_parallel_size {data} = {data * model_size} GPUs, "
            f"but cluster.num_gpus is {num_gpus}; set data_parallel_size to {num_gpus // model_size}, or leave it out"
        )
    if isinstance(data, int) and not given:
        _divides(run.place, "data_parallel_size", data, "cluster.num_gpus", num_gpus)


def _chunks(run: GPURun) -> None:
    """Several chunks of a stage need stages, and a schedule that interleaves."""
    spec, chunks = run.parallelism, _number(run.parallelism.virtual_pipeline_size)
    if chunks > 1 and spec.pipeline_schedule == "gpipe":
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, but gpipe has one chunk to a stage; "
            'use 1, or pipeline_schedule = "1f1b"'
        )
    if chunks > 1 and spec.pipeline_parallel_size == 1:
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, but there is one stage; use 1, or more stages"
        )


def _layers(run: GPURun) -> None:
    """Every chunk of every stage gets a layer."""
    spec = run.parallelism
    if spec.layers_per_stage != "even":
        _listed_layers(run, spec.layers_per_stage)
    elif not spec.deals_as_it_likes:
        _given_ends(run)
    else:
        _even_layers(run)


def _even_layers(run: GPURun) -> None:
    stages, chunks = _number(run.parallelism.pipeline_parallel_size), _number(run.parallelism.virtual_pipeline_size)
    dealt, name = max(dealt_layers(run, ends) for ends in ends_to_try(run)), run.model.name
    if stages > dealt:
        raise ConfigError(
            f"{run.place}: parallelism.pipeline_parallel_size is {stages}, but {name} has {dealt} layers to deal; "
            f"use at most {dealt}"
        )
    if stages * chunks > dealt:
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, but {name} has {dealt} layers for {stages} stages of "
            f"as many chunks; use at most {dealt // stages}"
        )


def _listed_layers(run: GPURun, layers: tuple[int, ...]) -> None:
    """A list names every block once, and has an entry for each stage, or for each chunk."""
    spec, place = run.parallelism, f"{run.place}: parallelism.layers_per_stage"
    if sum(layers) != run.model.num_layers:
        raise ConfigError(
            f"{place} adds up to {sum(layers)} layers, but {run.model.name} has {run.model.num_layers}; change its entries"
        )
    if 0 in layers[1:-1]:
        raise ConfigError(
            f"{place} has a stage without layers between others; only the first and the last may have none"
        )
    stages, chunks = spec.pipeline_parallel_size, spec.virtual_pipeline_size
    wanted = {stages} if isinstance(stages, int) else set()
    if isinstance(stages, int) and isinstance(chunks, int):
        wanted |= {stages * chunks}
    if wanted and len(layers) not in wanted and chunks != "auto":
        said = " or ".join(map(str, sorted(one for one in wanted)))
        raise ConfigError(
            f"{place} has {len(layers)} entries; write {said}, one for each stage"
            f"{' or chunk' if len(wanted) > 1 else ''}, or set pipeline_parallel_size = {len(layers)}"
        )
    if isinstance(chunks, int) and len(layers) == stages and min(layers) < chunks:
        raise ConfigError(
            f"{place} has a stage of {min(layers)} layers, which is less than virtual_pipeline_size = {chunks}; "
            f"use at most {max(1, min(layers))} chunks, or write an entry for each chunk"
        )


def _given_ends(run: GPURun) -> None:
    """What the first and the last stage hold leaves a layer for each other stage."""
    spec = run.parallelism
    given = {
        key: value
        for key in ("num_layers_in_first_pipeline_stage", "num_layers_in_last_pipeline_stage")
        if (value := getattr(spec, key)) is not None
    }
    said = " and ".join(f"{key} = {value}" for key, value in given.items())
    stages, chunks, left = spec.pipeline_parallel_size, _number(spec.virtual_pipeline_size), run.model.num_layers
    left -= sum(given.values())
    if isinstance(stages, int) and stages == 1:
        raise ConfigError(f"{run.place}: parallelism.{said}, but there is one stage; leave it out, or use more stages")
    others = stages - len(given) if isinstance(stages, int) else 1
    if left < others * chunks or (others == 0 and left != 0):
        raise ConfigError(
            f"{run.place}: parallelism.{said} of the {run.model.num_layers} layers of {run.model.name} leaves {left} for "
            f"{others} other stages{f' of {chunks} chunks' if chunks > 1 else ''}; change it, or pipeline_parallel_size"
        )
    if min(given.values()) < chunks:
        raise ConfigError(
            f"{run.place}: parallelism.{said} is less than virtual_pipeline_size = {chunks}; use at least a layer to a chunk"
        )


def _heads(run: GPURun) -> None:
    size = _number(run.parallelism.tensor_parallel_size)
    _divides(run.place, "tensor_parallel_size", size, "model.num_attention_heads", run.model.num_attention_heads)


def _context(run: GPURun) -> None:
    size = _number(run.parallelism.context_parallel_size)
    _divides(run.place, "context_parallel_size", size, "training.sequence_length", run.training.sequence_length)


def _experts(run: GPURun) -> None:
    """Groups that share experts are dealt over all GPUs of a stage."""
    spec, size = run.parallelism, _number(run.parallelism.expert_parallel_size)
    _divides(run.place, "expert_parallel_size", size, "model.num_experts", run.model.num_experts)
    own, stages = _number(spec.expert_tensor_parallel_size), spec.pipeline_parallel_size
    if isinstance(spec.tensor_parallel_size, int):
        _divides(run.place, "expert_tensor_parallel_size", own, "tensor_parallel_size", spec.tensor_parallel_size)
    ranks = run.cluster.num_gpus // stages if isinstance(stages, int) else run.cluster.num_gpus
    if size * own > 1 and ranks % (size * own):
        words = f" x expert_tensor_parallel_size {own} = {size * own}" if own > 1 else ""
        raise ConfigError(
            f"{run.place}: parallelism.expert_parallel_size is {size}{words}, which does not divide the {ranks} GPUs of a stage, "
            f"over whose tensor-, context- and data-parallel ranks groups of experts are dealt; use "
            f"{nearest_divisors(ranks // math.gcd(ranks, own), size)}"
        )


def _batch(run: GPURun) -> None:
    spec, batch, micro = run.parallelism, run.training.global_batch_size, run.training.micro_batch_size
    if isinstance(micro, int) and micro > batch:
        raise ConfigError(
            f"{run.place}: training.micro_batch_size is {micro}, more than training.global_batch_size = {batch}; use at most "
            f'{batch}, or "auto"'
        )
    data = spec.data_parallel_size
    sizes = (spec.tensor_parallel_size, spec.pipeline_parallel_size, spec.context_parallel_size)
    if data == "auto" and "auto" not in sizes:
        data = run.cluster.num_gpus
        for size in sizes:
            data //= _number(size)
    if not isinstance(data, int) or data < 1:
        return
    if batch < data:
        raise ConfigError(
            f"{run.place}: training.global_batch_size is {batch}, fewer than the {data} copies of the model "
            f"(data_parallel_size); use at least {data}, or fewer copies"
        )
    per_copy = -(-batch // data)
    if isinstance(micro, int) and micro > per_copy:
        raise ConfigError(
            f"{run.place}: training.micro_batch_size is {micro}, but each copy of the model has {per_copy} sequences of "
            f'training.global_batch_size = {batch}; use at most {per_copy}, or "auto"'
        )
    _groups(run, -(-per_copy // micro) if isinstance(micro, int) else per_copy)


def _groups(run: GPURun, passes: int) -> None:
    """Interleaved stages take micro-batches in groups, of which none is smaller than there are stages."""
    spec, stages = run.parallelism, run.parallelism.pipeline_parallel_size
    chunks, group = _number(spec.virtual_pipeline_size), spec.micro_batch_group_size
    if chunks == 1 or not isinstance(stages, int):
        return
    if passes < stages:
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, which needs at least as many micro-batches as "
            f"there are stages, {stages}, but there are {passes}; use a larger training.global_batch_size, or "
            "virtual_pipeline_size 1"
        )
    if not isinstance(group, int):
        return
    if stages <= group <= passes and not isinstance(run.training.micro_batch_size, int):
        return  # others than the smallest micro-batches are left out of the search where they do not suit
    rest = passes % group
    if not stages <= group <= passes or 0 < rest < stages:
        found = (
            "leaves a last group of " + str(rest) if stages <= group <= passes else f"is not in {stages} to {passes}"
        )
        best = int(group_size(stages, chunks, passes))
        raise ConfigError(
            f"{run.place}: parallelism.micro_batch_group_size is {group}, which of {passes} micro-batches {found}; no group "
            f'may be smaller than the number of stages, {stages}; use {best}, or "auto"'
        )


def _sharding(run: GPURun) -> None:
    spec = run.parallelism
    if (
        isinstance(spec.shard_group_size, int)
        and spec.shard_group_size > 1
        and run.cluster.num_gpus % spec.shard_group_size
    ):
        raise ConfigError(
            f"{run.place}: parallelism.shard_group_size is {spec.shard_group_size}, which does not divide "
            f"cluster.num_gpus = {run.cluster.num_gpus}; use {nearest_divisors(run.cluster.num_gpus, spec.shard_group_size)}"
        )
    sizes = (spec.data_parallel_size, spec.context_parallel_size)
    if isinstance(spec.shard_group_size, int) and isinstance(sizes[0], int) and isinstance(sizes[1], int):
        _divides(
            run.place,
            "shard_group_size",
            spec.shard_group_size,
            "data_parallel_size x context_parallel_size",
            sizes[0] * sizes[1],
        )
    if spec.sequence_parallel is True and spec.tensor_parallel_size == 1:
        raise ConfigError(
            f"{run.place}: parallelism.sequence_parallel is true, but tensor_parallel_size is 1 and there is nothing to "
            'share; set it to false, or to "auto"'
        )


CHECKS = (_gpus, _sizes, _chunks, _layers, _heads, _context, _experts, _batch, _sharding, positions)


def check(run: GPURun) -> None:
    """Refuse what contradicts itself, with all that is wrong in one message.

    Raises
    ------
    ConfigError
        Sizes that do not divide, with the nearest that do.
    DoesNotFit
        More GPUs than the cluster has.
    """
    refuse(run, CHECKS)


def explain_no_plan(run: GPURun) -> ConfigError:
    """Why nothing divides evenly, though no single setting is wrong."""
    batch, num_gpus = run.training.global_batch_size, run.cluster.num_gpus
    return ConfigError(
        f"{run.place}: no way to spread {run.model.name} over cluster.num_gpus = {num_gpus} divides its "
        f"{run.model.num_attention_heads} heads and training.global_batch_size = {batch} "
        f"evenly; use a batch of {nearest_multiples(batch, num_gpus)}, or batch_policy = nearest, another number of GPUs, or fewer "
        "settings in [parallelism]"
    )


# Which ways there are to spread a run over its GPUs, and which of them fit.


Array = Any
MOST_UNEVEN = 0.1
"""Most by which the fullest copy's share, for all, is larger than the batch in a plan that is searched. [-]"""
COMBINATIONS = 1_000_000
"""Of sizes and micro-batches that are looked at together. [-]"""
PLAN_S, PLAN_BYTES = 4e-6, 1000.0
"""To make a plan, count its memory and estimate its step, with what the best of them then take: 0.6 to 4.2 us measured in searches
of 119,614 to 575,324 plans (`benchmarks/speed`, "1T, 3072 A100"). [s], [bytes]"""
PLANS_FOR_EACH_JOB = 2
"""By memory, of which a plan takes twice as much as a job: fewer than their time allows. [-]"""
MOST_CHUNKS = 16
"""Model chunks of a stage that the search tries at most. [-]"""


def _choices(value: Any, offered: tuple[int, ...]) -> tuple[int, ...]:
    return offered if value == "auto" else (int(value),)


def ends_to_try(run: GPURun) -> tuple[int, ...]:
    """Which ends may count as a layer each: values of `Plan.ends`."""
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
    """Places in `RECOMPUTE` of what the run file allows; the search tries as few blocks as fit, too. Evaluations repeat none."""
    given = run.parallelism.activation_recompute
    if not is_training(run.training):
        return (NONE,)
    if given == "auto":
        return (NONE, SELECTIVE, FULL, BLOCKS)
    if isinstance(given, str):
        return (RECOMPUTE.index(given),)
    return (EVERY if given.every else BLOCKS if given.blocks else OPERATORS,)


def zero_stages(run: GPURun) -> tuple[int, ...]:
    """What may be shared; an evaluation has parameters alone to share."""
    found = _choices(run.parallelism.zero_stage, (0, 1, 2, 3))
    return found if is_training(run.training) else tuple(dict.fromkeys(3 * (one == 3) for one in found))


def _again_of(run: GPURun) -> int:
    """The number of a table ``activation_recompute``; 1 without. [-]"""
    given = run.parallelism.activation_recompute
    return 1 if isinstance(given, str) else given.every or given.blocks or 1


def memory_to_fill_bytes(run: GPURun) -> float:
    """Of a GPU, what plans that are searched may take. [bytes]"""
    return run.cluster.gpu.memory_bytes * (1.0 - run.parallelism.free_memory_share)


def _with_fewest_blocks_again(run: GPURun, plans: PlanTable) -> PlanTable:
    """Plans that compute some blocks again, where that is searched: as few as fit, and only where none and all would not do."""
    if BLOCKS not in plans.recompute or run.parallelism.activation_recompute != "auto":
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
    spec, num_gpus, most = run.parallelism, run.cluster.num_gpus, dealt_layers(run, max(ends_to_try(run)))
    if spec.layers_per_stage == "even":
        return _choices(spec.pipeline_parallel_size, divisors(num_gpus, most))
    listed = len(spec.layers_per_stage)
    return _choices(spec.pipeline_parallel_size, tuple(one for one in divisors(listed, listed) if num_gpus % one == 0))


def _chunks_offered(run: GPURun) -> tuple[int, ...]:
    """Chunks that a stage may have; gpipe knows no interleaving. [-]"""
    return (1,) if run.parallelism.pipeline_schedule == "gpipe" else tuple(range(1, MOST_CHUNKS + 1))


@lru_cache(maxsize=1)
def candidates(run: GPURun) -> PlanTable:
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
        zero_stages(run),
        kinds_of_recompute(run),
        _choices(spec.sequence_parallel, (0, 1)),
    )
    layouts = _layouts(run, axes)
    shares = {-(-batch // data) for data in layouts[3].tolist()}
    sizes = sorted({size for share in shares for size in divisors(share, share)}) or [1]
    micro = _choices(run.training.micro_batch_size, tuple(sizes))
    every = (*axes[:6], micro, *axes[7:])
    found: list[PlanTable] = []
    for some in _blocks(layouts, every):
        found.append(_that_divide(run, some, every))
        work_of_search(add_up(len(one.tensor) for one in found)).check(
            run.place, "give training.micro_batch_size or sizes in [parallelism]"
        )
    return PlanTable(*(np.concatenate(one) for one in zip(*found, strict=True)))


def work_of_search(number: int) -> Work:
    """What it takes to look at so many plans."""
    what = "a search among {} plans" if number > 1 else "{} plan"
    return Work(number, number * PLAN_S, number * PLAN_BYTES, what, PLANS_FOR_EACH_JOB)


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


def _that_divide(run: GPURun, layouts: Array, axes: tuple[tuple[int, ...], ...]) -> PlanTable:
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
    found = PlanTable(
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
    given = run.parallelism.micro_batch_group_size
    if given != "auto":
        rest = passes % given
        keeps &= (chunks == 1) | ((pipeline <= given) & (given <= passes) & ((rest == 0) | (rest >= pipeline)))
    grid, pipeline, chunks, passes = grid[:, keeps], pipeline[keeps], chunks[keeps], passes[keeps]
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
    if min(ends, default=0) == 0:
        keeps &= ~_deals_as_even(run.model.num_layers, stages, number, ends, dealt)
    if not spec.deals_as_it_likes:
        given = [spec.num_layers_in_first_pipeline_stage or 0, spec.num_layers_in_last_pipeline_stage or 0]
        others, left = stages - np.count_nonzero(given), run.model.num_layers - add_up(given)
        keeps &= (stages > 1) & (left >= others * chunks) & ((others > 0) | (left == 0))
    if spec.virtual_pipeline_size == "auto":
        keeps &= -(-dealt // stages) % chunks == 0
    return keeps


def _deals_as_even(layers: int, stages: Array, chunks: Array, ends: Array, dealt: Array) -> Array:
    """Where ends that count change nothing: even chunks that leave a rest have fewer blocks at the end, and in front, too."""
    divides_evenly = (chunks == stages) | (stages > dealt - layers)
    return (ends >= LOSS_COUNTS) & (dealt % chunks == 0) & (chunks <= layers) & divides_evenly


def _grid(*axes: Array | tuple[int, ...]) -> Array:
    """Every combination, the last axis first; shape ``(num_axes, num_combinations)``."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*map(np.asarray, axes), indexing="ij")])
