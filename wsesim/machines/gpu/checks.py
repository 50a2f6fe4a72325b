"""What has to hold before a GPU run can be simulated, each with its remedy."""

from __future__ import annotations

from wsesim.config.run import GPURun
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.gpu.plans import layers_to_deal
from wsesim.machines.wafer.checks import nearest_multiples, positions, refuse
from wsesim.machines.wafer.plan import divisors


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


def _layers(run: GPURun) -> None:
    spec, dealt = run.parallelism, layers_to_deal(run)
    stages, chunks = _number(spec.pipeline_parallel_size), _number(spec.virtual_pipeline_size)
    if dealt % stages:
        fair = nearest_divisors(dealt, stages)
        hint = (
            ""
            if spec.account_for_embedding_and_loss or (dealt + 2) % stages
            else (", or set account_for_embedding_and_loss = true, as then two more layers are dealt")
        )
        raise ConfigError(
            f"{run.place}: parallelism.pipeline_parallel_size is {stages}, which does not divide the {dealt} layers of "
            f"{run.model.name}; use {fair}{hint}"
        )
    if dealt % (stages * chunks):
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, which does not divide the {dealt // stages} layers of "
            f"each stage; use {nearest_divisors(dealt // stages, chunks)}"
        )
    if chunks > 1 and spec.pipeline_schedule == "gpipe":
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, but gpipe has one chunk to a stage; "
            'use 1, or pipeline_schedule = "1f1b"'
        )
    if chunks > 1 and spec.pipeline_parallel_size == 1:
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, but there is one stage; use 1, or more stages"
        )


def _heads(run: GPURun) -> None:
    size = _number(run.parallelism.tensor_parallel_size)
    _divides(run.place, "tensor_parallel_size", size, "model.num_attention_heads", run.model.num_attention_heads)


def _context(run: GPURun) -> None:
    size = _number(run.parallelism.context_parallel_size)
    _divides(run.place, "context_parallel_size", size, "training.sequence_length", run.training.sequence_length)


def _experts(run: GPURun) -> None:
    size, data = _number(run.parallelism.expert_parallel_size), run.parallelism.data_parallel_size
    _divides(run.place, "expert_parallel_size", size, "model.num_experts", run.model.num_experts)
    if isinstance(data, int):
        _divides(run.place, "expert_parallel_size", size, "data_parallel_size", data)


def _batch(run: GPURun) -> None:
    spec, batch, micro = run.parallelism, run.training.global_batch_size, run.training.micro_batch_size
    data = spec.data_parallel_size
    sizes = (spec.tensor_parallel_size, spec.pipeline_parallel_size, spec.context_parallel_size)
    if data == "auto" and "auto" not in sizes:
        data = run.cluster.num_gpus
        for size in sizes:
            data //= _number(size)
    if not isinstance(data, int) or data < 1:
        return
    if batch % data:
        raise ConfigError(
            f"{run.place}: training.global_batch_size is {batch}, which does not divide by data_parallel_size = {data}; "
            f"use {nearest_multiples(batch, data)}"
        )
    per_copy = batch // data
    if isinstance(micro, int) and per_copy % micro:
        raise ConfigError(
            f"{run.place}: training.micro_batch_size is {micro}, which does not divide the {per_copy} sequences of each "
            f'copy of the model; use {nearest_divisors(per_copy, micro)}, or "auto"'
        )
    chunks, stages = _number(spec.virtual_pipeline_size), spec.pipeline_parallel_size
    if isinstance(micro, int) and isinstance(stages, int) and chunks > 1 and (per_copy // micro) % stages:
        raise ConfigError(
            f"{run.place}: parallelism.virtual_pipeline_size is {chunks}, which needs micro-batches in groups of "
            f"pipeline_parallel_size = {stages}, but there are {per_copy // micro}; use "
            f"{nearest_multiples(per_copy // micro, stages)} micro-batches (training.global_batch_size), or virtual_pipeline_size 1"
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


CHECKS = (_gpus, _sizes, _layers, _heads, _context, _experts, _batch, _sharding, positions)


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
        f"{run.model.num_layers} layers, {run.model.num_attention_heads} heads and training.global_batch_size = {batch} "
        f"evenly; use a batch of {nearest_multiples(batch, num_gpus)}, another number of GPUs, or fewer settings in [parallelism]"
    )
