"""Ways to spread a run over GPUs, and which blocks each stage of a pipeline holds: as evenly as it goes, or as the run says.

Where blocks are left over, the stages before the last one hold one more each: the last has the head, and the first ones
hold the activations of most micro-batches. An embedding or a loss that counts as a layer takes a block's place on its stage.
Chunks of interleaved stages are dealt in the same way, in the order of the model.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsesim.machines.gpu.parallelism import SELECTIVE_OF_FSDP
from wsesim.machines.gpu.spec import GPURun
from wsesim.units import add_up
from wsesim.workload.transformer import block_kinds

Array = Any
Ints = NDArray[np.int64]
Record = TypeVar("Record", bound=tuple[Any, ...])
RECOMPUTE = ("none", "selective", "full", "every", "blocks", "operators")
"""What `Plan.recompute` counts; the last three are keys of a table."""
NONE, SELECTIVE, FULL, EVERY, BLOCKS, OPERATORS = range(6)
EMBEDDING_COUNTS, LOSS_COUNTS = 1, 2
"""Parts of `Plan.ends`."""
FEW = 100
"""So many plans are worked out as fast as those that are alike are found. [-]"""
MOST_KEYS = 2**62
"""That a number holds which counts combinations of sizes. [-]"""


class Plan(NamedTuple):
    """One way to spread a run over its GPUs.

    Attributes
    ----------
    tensor, pipeline, data, context, expert
        Parallel sizes. [-]
    expert_tensor
        GPUs that share each matrix of an expert. [-]
    chunks
        Model chunks of a stage. [-]
    ends
        Sum of `EMBEDDING_COUNTS` and `LOSS_COUNTS`, whichever count as a layer where layers are dealt.
    group
        Micro-batches that pass one chunk of a stage before the next chunk's turn. [-]
    micro_batch_size, num_micro_batches, last_micro_batch_size
        Sequences of one pass, passes of one step, and sequences of the last one, which may be fewer. [-]
    zero_stage, shard
        What is shared, and by how many. [-]
    recompute
        Place in `RECOMPUTE`. [-]
    again
        The number that goes with "every" and "blocks". [-]
    sequence_parallel
        Whether norms are split, too.
    """

    tensor: int
    pipeline: int
    data: int
    context: int
    expert: int
    expert_tensor: int
    chunks: int
    ends: int
    group: int
    micro_batch_size: int
    num_micro_batches: int
    last_micro_batch_size: int
    zero_stage: int
    shard: int
    recompute: int
    again: int
    sequence_parallel: bool

    @property
    def table(self) -> PlanTable:
        """Of this plan alone, for what is worked out for many plans at once."""
        return PlanTable._make(np.array([value]) for value in self)


class PlanTable(NamedTuple):
    """Many plans side by side: each field of `Plan` as an array over them."""

    tensor: Ints
    pipeline: Ints
    data: Ints
    context: Ints
    expert: Ints
    expert_tensor: Ints
    chunks: Ints
    ends: Ints
    group: Ints
    micro_batch_size: Ints
    num_micro_batches: Ints
    last_micro_batch_size: Ints
    zero_stage: Ints
    shard: Ints
    recompute: Ints
    again: Ints
    sequence_parallel: NDArray[np.bool_]

    def plan(self, place: int) -> Plan:
        """One of the plans."""
        return Plan._make(row_of(self, place))

    def only(self, places: Array) -> PlanTable:
        """Some of the plans."""
        is_mask = getattr(places, "dtype", None) == np.bool_
        found = np.flatnonzero(places) if is_mask else places  # a mask is read once, not for every field
        return PlanTable._make(field[found] for field in self)

    def unlike(self, names: tuple[str, ...]) -> tuple[PlanTable, Array]:
        """Plans of which no two agree in these fields, and the place among them of what is worked out for each plan."""
        if len(self.tensor) < FEW:
            return self, slice(None)
        key, most = np.zeros(len(self.tensor), dtype=np.int64), 1
        for name in names:
            values = getattr(self, name)
            size = int(np.max(values)) + 1
            key, most = key * size + values, most * size
        if most > MOST_KEYS:
            return self, slice(None)
        _, first, places = np.unique(key, return_index=True, return_inverse=True)
        return self.only(first), places

    @property
    def full_passes(self) -> Array:
        """Passes of a step, the last one counted by its sequences. [-]"""
        return self.num_micro_batches - 1 + self.last_micro_batch_size / self.micro_batch_size


def row_of(record: Record, place: int = 0) -> Record:
    """What a record of arrays over plans holds for one of them, as plain numbers; what is the same for all may stand there once.

    Examples
    --------
    >>> row_of((np.array([1.5, 2.5]), (np.array([True, False]), 7.0)), 1)
    (2.5, (False, 7.0))
    """
    make: Any = getattr(type(record), "_make", type(record))
    found: Record = make(row_of(part, place) if isinstance(part, tuple) else _number(part, place) for part in record)
    return found


def _number(values: Array, place: int) -> Any:
    return np.ravel(values)[place if np.size(values) > 1 else 0].item()


def expert_tensor_size(tensor: Array, ranks: Array, expert: Array) -> Array:
    """GPUs that share an expert's matrix where nothing is said: as many as share others, or fewer so that the groups fold. [-]

    Groups of `expert` x `expert_tensor` GPUs are dealt over the tensor-, context- and data-parallel ranks of a stage; 0 where
    none divides them.

    Examples
    --------
    >>> expert_tensor_size(np.array([4, 4, 4]), np.array([8, 4, 3]), np.array([8, 8, 8])).tolist()  # the last: 12 ranks
    [4, 2, 0]
    """
    if np.all(expert == 1):
        return tensor
    found = np.zeros_like(tensor)
    for size in range(1, int(np.max(tensor, initial=1)) + 1):
        fits = (tensor % size == 0) & (tensor * ranks % (size * expert) == 0)
        found = np.where(fits, size, found)
    return found


def copies_of_experts(plans: PlanTable) -> Array:
    """GPUs that share the state of an expert's parameter: those of `Plan.shard` that hold the same experts. [-]"""
    copies = plans.tensor * plans.data * plans.context / (plans.expert_tensor * plans.expert)
    return np.where(plans.zero_stage >= 1, np.minimum(plans.shard, copies), 1)


def dealt_layers(run: GPURun, ends: Array) -> Array:
    """Layers that are dealt to stages: the blocks, and the ends that count as one each. [-]"""
    return run.model.num_layers + counts_embedding(ends) + counts_loss(ends)


def counts_embedding(ends: Array) -> Array:
    """1 where the embedding counts as a layer. [-]"""
    return ends & EMBEDDING_COUNTS


def counts_loss(ends: Array) -> Array:
    """1 where the loss counts as a layer. [-]"""
    return (ends & LOSS_COUNTS) // LOSS_COUNTS


def blocks_of_stage(run: GPURun, plans: PlanTable, stage: Array) -> Array:
    """Blocks of one stage of each plan. [-]"""
    spec, last_stage = run.parallelism, plans.pipeline - 1
    if spec.layers_per_stage != "even":
        return _listed(spec.layers_per_stage, plans.pipeline, stage)
    first, last = spec.num_layers_in_first_pipeline_stage, spec.num_layers_in_last_pipeline_stage
    base, more = _between_ends(run, plans)
    even = base + ((stage >= last_stage - more) & (stage < last_stage))
    at_first = first or even - counts_embedding(plans.ends)
    at_last = last or even - counts_loss(plans.ends)
    found = np.where(stage == 0, at_first, np.where(stage == last_stage, at_last, even))
    return np.where(last_stage == 0, run.model.num_layers, found)


def _between_ends(run: GPURun, plans: PlanTable) -> tuple[Array, Array]:
    """Layers of each stage of which the run file does not say how many it has, and how many of them have one more. [-]"""
    spec = run.parallelism
    given = [spec.num_layers_in_first_pipeline_stage or 0, spec.num_layers_in_last_pipeline_stage or 0]
    others = plans.pipeline - np.count_nonzero(given)
    base, more = np.divmod(dealt_layers(run, plans.ends) - add_up(given), np.maximum(1, others))
    return base, more


def _listed(layers: tuple[int, ...], stages: Array, stage: Array) -> Array:
    """Of a list of all stages, or of all chunks in the order of the model."""
    each, laps = np.asarray(layers), len(layers) // int(np.max(stages, initial=1))
    return add_up(each[np.minimum(stage + lap * stages, len(layers) - 1)] for lap in range(laps))


def deciding_stages(run: GPURun, plans: PlanTable) -> list[Array]:
    """Stages of which one takes longest, and one holds most: both ends, and the first of each kind between them."""
    stages = plans.pipeline
    if run.parallelism.layers_per_stage != "even":
        return [np.minimum(stage, stages - 1) for stage in range(int(np.max(stages, initial=1)))]
    _, more = _between_ends(run, plans)
    heavier = np.clip(stages - 1 - more, np.minimum(1, stages - 1), None)
    return [0 * stages, np.minimum(1, stages - 1), heavier, stages - 1]


def blocks_of_chunks(run: GPURun, plan: Plan) -> tuple[int, ...]:
    """Blocks of each chunk of the pipeline of one plan, in the order of the model. Shape ``(chunks * stages,)``. [-]"""
    stages, chunks, ends = plan.pipeline, plan.chunks, plan.ends
    listed, number = run.parallelism.layers_per_stage, stages * chunks
    if listed != "even" and len(listed) == number:
        return listed
    if run.parallelism.deals_as_it_likes:
        each = _dealt(dealt_layers(run, ends), number, number - 1)
        each[0] -= counts_embedding(ends)
        each[-1] -= counts_loss(ends)
        return tuple(each)
    of_stage = blocks_of_stage(run, plan.table, np.arange(stages)).tolist()
    laps = [_dealt(layers, chunks, chunks - (stage == stages - 1)) for stage, layers in enumerate(of_stage)]
    return tuple(laps[stage][lap] for lap in range(chunks) for stage in range(stages))


def kinds_of_chunks(run: GPURun, plan: Plan) -> list[list[int]]:
    """Of each chunk, how many of its blocks are of each kind (`wsesim.workload.transformer.block_variants`). [-]"""
    kinds, first, found = block_kinds(run.model), 0, []
    for number in blocks_of_chunks(run, plan):
        own = kinds[first : first + number]
        found.append([own.count(kind) for kind in range(max(kinds) + 1)])
        first += number
    return found


def kinds_of_stages(run: GPURun, plans: PlanTable) -> Array:
    """The same of each stage of many plans; shape ``(num_plans, num_stages, num_kinds)``. [-]"""
    unlike, places = plans.unlike(("pipeline", "chunks", "ends"))
    number = len(unlike.tensor)
    table = np.zeros((number, int(np.max(plans.pipeline, initial=1)), max(block_kinds(run.model)) + 1))
    for row in range(number):
        plan = unlike.plan(row)
        for chunk, numbers in enumerate(kinds_of_chunks(run, plan)):
            table[row, chunk % plan.pipeline] += numbers
    return table[places]


def blocks_again(plans: PlanTable, blocks: Array) -> Array:
    """Of so many blocks of a stage, those that the backward pass computes again as a whole. [-]"""
    is_fsdp = (plans.recompute == SELECTIVE) & (plans.zero_stage == 3)
    every = np.where(is_fsdp, SELECTIVE_OF_FSDP, np.maximum(1, plans.again))
    first = np.minimum(blocks, plans.again * plans.chunks)
    return np.select(
        [plans.recompute == FULL, (plans.recompute == EVERY) | is_fsdp, plans.recompute == BLOCKS],
        [blocks, -(-blocks // every), first],
        0,
    )


def share_again(run: GPURun, plans: PlanTable) -> Array:
    """Of all blocks, the share that is computed again as a whole, taken to be the same on all stages. [-]"""
    mean = run.model.num_layers / plans.pipeline
    return np.where(plans.recompute == FULL, 1.0, blocks_again(plans, np.ceil(mean)) / np.ceil(mean))


def recompute_said(run: GPURun, plan: Plan) -> str | dict[str, Any]:
    """What is computed again, as ``activation_recompute`` says it."""
    word = RECOMPUTE[plan.recompute]
    given = run.parallelism.activation_recompute
    if word == "operators" and not isinstance(given, str):
        return {"operators": list(given.operators or ())}
    return {word: plan.again} if word in ("every", "blocks") else word


def layers_of_stages(run: GPURun, plan: Plan) -> tuple[int, ...]:
    """Blocks of each stage of one plan. [-]"""
    each = blocks_of_chunks(run, plan)
    return tuple(add_up(each[stage :: plan.pipeline]) for stage in range(plan.pipeline))


def _dealt(layers: int, parts: int, end: int) -> list[int]:
    """Layers dealt evenly; those that are left over go to the parts before `end`."""
    base, more = divmod(layers, parts)
    return [base + (end - more <= part < end) for part in range(parts)]


def group_size(stages: Array, chunks: Array, num_micro_batches: Array) -> Array:
    """The smallest group of micro-batches of interleaved stages that Megatron-Core takes. [-]

    No group, the last one neither, may have fewer micro-batches than there are stages.

    Examples
    --------
    >>> group_size(np.array([4, 4, 4]), np.array([2, 2, 2]), np.array([16, 11, 6])).tolist()
    [4, 6, 6]
    """
    found = np.where(chunks > 1, np.minimum(stages, num_micro_batches), stages)
    while True:
        rest = num_micro_batches % np.maximum(1, found)
        wrong = (chunks > 1) & (rest > 0) & (rest < stages) & (found < num_micro_batches)
        if not np.any(wrong):
            return found
        found = found + wrong
