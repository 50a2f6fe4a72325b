"""How long each piece of a GPU's step takes alone: one block, one chunk of a stage, one collective.

Everything is worked out for many plans at once: a plan is one place in the arrays of `PlanTable`. Who
waits for whom is in `wsesim.machines.gpu.pipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from wsesim.config.model import ModelSpec
from wsesim.config.training import ON_GPUS_ONLY, is_training
from wsesim.machines.gpu import kernels
from wsesim.machines.gpu import kernels as device
from wsesim.machines.gpu.collectives import (
    all_gather_time_s,
    all_reduce_time_s,
    copies_left,
    exchange_time_s,
    group_of,
    reduce_scatter_time_s,
    send_time_s,
)
from wsesim.machines.gpu.kernels import Kernels, Split
from wsesim.machines.gpu.parallelism import ParallelismSpec
from wsesim.machines.gpu.spec import GPUClusterSpec, GPURun, GPUSpec
from wsesim.machines.gpu.stages import (
    OPERATORS,
    SELECTIVE,
    Plan,
    PlanTable,
    blocks_of_stage,
    copies_of_experts,
    deciding_stages,
    row_of,
    share_again,
)
from wsesim.units import add_up
from wsesim.workload.transformer import (
    attention_widths,
    block_parameters,
    block_variants,
    embedding_parameters,
    head_parameters,
    routed_parameters,
)

Array = Any
BYTES_16BIT, BYTES_32BIT = 2.0, 4.0
PARTS = 4.0
"""In which user buffers cut a product whose result is reduced and scattered (NeMo recipes). [-]"""
SUMS_PER_BLOCK, EXCHANGES_PER_BLOCK = 2.0, 2.0
"""All-reduces of a tensor-parallel group, and exchanges of an expert-parallel group, in one pass of a block. [-]"""


class Pass(NamedTuple):
    """One block in one direction, by what it is spent on. [s]

    Attributes
    ----------
    kernels_s
        The GPU computes or moves bytes.
    launch_s
        It waits for the host to start the next kernel.
    tensor_s, context_s, expert_s
        It waits for a collective of the tensor-parallel group, for keys and values, for tokens.
    """

    kernels_s: Array
    launch_s: Array
    tensor_s: Array
    context_s: Array
    expert_s: Array

    @property
    def total_s(self) -> Array:
        """Its parts follow each other. [s]"""
        return add_up(self)


class Times(NamedTuple):
    """What a step is put together from, for each plan. [s]

    Attributes
    ----------
    forward, backward, recompute
        One block and micro-batch; `backward` without `recompute`.
    embedding_s, head_forward_s, head_backward_s
        What the first and the last chunk do beside their blocks.
    accumulate_s
        Adding one block's gradients to those of earlier micro-batches, where no kernel does it on the way.
    send_s
        Activations of a micro-batch to the next stage.
    gather_s, reduce_s
        One block's parameters from, and gradients to, the data-parallel group.
    embedding_reduce_s
        First and last stage sum the gradient of a tied embedding.
    update_s, parameter_gather_s
        The optimizer on one GPU, and its result to those that share it.
    host_s
        Work of the host and waits for data in each step.
    flop
        What one GPU executes in one step. [FLOP]
    """

    forward: Pass
    backward: Pass
    recompute: Pass
    embedding_s: Array
    head_forward_s: Array
    head_backward_s: Array
    accumulate_s: Array
    send_s: Array
    gather_s: Array
    reduce_s: Array
    embedding_reduce_s: Array
    update_s: Array
    host_s: Array
    parameter_gather_s: Array
    flop: Array

    def forward_alone(self) -> Times:
        """Those of an evaluation: what training alone does takes no time."""
        nothing = Pass(*(0.0 * part for part in self.backward))
        gone = ("head_backward_s", "accumulate_s", "reduce_s", "embedding_reduce_s", "update_s", "parameter_gather_s")
        found = self._replace(**{name: 0.0 * getattr(self, name) for name in gone})
        return found._replace(backward=nothing, recompute=nothing)


def _drops_scores(run: GPURun) -> bool:
    """Whether training drops some scores: as the model says, else as the software does by default."""
    says = run.model if "attention_dropout" in run.model.model_fields_set else run.cluster.software
    return is_training(run.training) and says.attention_dropout > 0


def split_of(run: GPURun, plans: PlanTable) -> Split:
    """What one GPU works on in one micro-batch."""
    software = run.cluster.software
    return Split(
        sequences=plans.micro_batch_size,
        sequence_length=run.training.sequence_length,
        tensor=plans.tensor,
        context=plans.context,
        expert=plans.expert,
        expert_tensor=plans.expert_tensor,
        sequence=np.where(plans.sequence_parallel, plans.tensor, 1),
        fused_attention=run.parallelism.attention != "unfused",
        drops_scores=_drops_scores(run),
        expert_imbalance=software.expert_imbalance,
        rotary_bytes=(software.rotary_bytes, software.rotary_backward_bytes),
        layout_bytes=(software.attention_layout_bytes, software.attention_layout_backward_bytes),
        norm_bytes=(software.norm_bytes, software.norm_backward_bytes),
        gate_bytes=(software.gate_bytes, software.gate_backward_bytes),
        adds_qkv_bias=software.adds_qkv_bias,
        sums_biases=not software.fused_bias_gradients and product_precision(run) == "16bit",
        loops_biases=software.loops_expert_biases,
        fused_softmax_tokens=software.fused_softmax_tokens,
    )


def product_precision(run: GPURun) -> str:
    """In which the products of blocks with weights are worked out: "16bit", or fewer bits."""
    return run.training.precision if run.training.precision in ON_GPUS_ONLY else "16bit"


def products_s(run: GPURun, work: Kernels, precision: str = "16bit") -> list[Array]:
    """Each matrix product, in order. [s]"""
    spec, slowdown = run.cluster.gpu, precision_slowdown(run.cluster.gpu, run.training.precision)
    share = run.cluster.software.product_share
    return [
        device.gemm_time_s(
            spec,
            one.rows,
            one.columns,
            one.inner,
            precision=precision if one.role else "16bit",
            count=one.count,
            more_bytes=one.more_bytes,
            slowdown=slowdown,
            rate_share=share,
        )
        for one in work.gemms
    ]


def kernels_time_s(run: GPURun, work: Kernels, precision: str = "16bit", *, backward: bool) -> Array:
    """Kernels one after another on one GPU. [s]"""
    return add_up(products_s(run, work, precision)) + _others_s(run, work, backward=backward)


def _others_s(run: GPURun, work: Kernels, *, backward: bool) -> Array:
    """All kernels but products with weights. [s]"""
    spec, slowdown = run.cluster.gpu, precision_slowdown(run.cluster.gpu, run.training.precision)
    time_s: Array = 0.0
    for small in work.batched:
        slower = slowdown if small.on_matrix_units else slowdown * device.WITHOUT_MATRIX_UNITS
        time_s = time_s + device.batched_gemm_time_s(spec, small.flop * slower, small.num_bytes * slowdown)
    for moved in work.moves:
        time_s = time_s + device.elementwise_time_s(spec, moved * slowdown)
    if work.fused is not None:
        time_s = time_s + device.fused_attention_time_s(
            spec, work.fused, run.parallelism.attention, backward=backward, slowdown=slowdown
        )
    return time_s


def launch_latency_s(run: GPURun) -> float:
    """The host needs for one kernel. [s]"""
    own = run.cluster.software.launch_latency_s
    return run.cluster.gpu.calibration.launch_latency_s if own is None else own


def loss_bytes_per_logit(run: GPURun) -> float:
    """What softmax, loss and their backward pass move for one logit. [bytes]"""
    own = run.cluster.software.loss_bytes_per_logit
    return run.cluster.gpu.calibration.loss_bytes_per_logit if own is None else own


def optimizer_bytes_per_parameter(run: GPURun) -> float:
    """What the update moves for one parameter. [bytes]"""
    own = run.cluster.software.optimizer_bytes_per_parameter
    return run.cluster.gpu.calibration.optimizer_bytes_per_parameter if own is None else own


def jitter_factor(run: GPURun) -> float:
    """Time of the slowest of all GPUs over that of one. [-]"""
    return float(1.0 + run.cluster.software.jitter * np.log2(run.cluster.num_gpus))


NORM_TENSORS = 2
"""Norms of a block; the gradients of their scales are a kernel each. [-]"""


ROUTER_LAUNCHES = 40
"""Small kernels in one pass of a block with experts: scores of the router, their choice, counts, maps of tokens. [-]"""


def _more_launches(run: GPURun, plans: PlanTable, *, backward: bool) -> Array:
    """Kernels that move next to nothing, and so count by their launch alone. [-]

    Steps of what is not one kernel, whose bytes count together. Backward, sums over tokens for norms, and where no product does it,
    one to add each tensor's gradient to those of earlier micro-batches. In a mixture, each expert's product where none is for all;
    and what its last bias takes where it is added by itself, when gradients of biases are added one by one, too.
    """
    model, software = run.model, run.cluster.software
    split = split_of(run, plans)
    number: Array = kernels.MORE_STEPS * np.asarray(kernels.steps_of_softmax(model, split))
    number = number + kernels.launches_of_steps(model, split, backward=backward)
    if backward:
        number = number + NORM_TENSORS
        if not run.parallelism.fused_gradient_accumulation:
            weights, biases = 4 + model.gated_mlp, 2 * model.mlp_bias + model.qkv_bias + model.attention_output_bias
            number = number + (weights + biases + NORM_TENSORS * (2 if model.normalization == "layernorm" else 1))
    number = number + np.where(plans.tensor > 1, SUMS_PER_BLOCK * (1.0 + plans.sequence_parallel), 0.0)
    if model.num_experts == 1:
        return number
    number = number + ROUTER_LAUNCHES + np.where(plans.expert > 1, EXCHANGES_PER_BLOCK, 0.0)
    others = model.num_experts / plans.expert - 1.0
    if kernels.loops_biases(model, split):
        number = number + (4 if backward else 2) * others + (2 * (1.0 + others) if backward else 0.0)
    if not software.grouped_experts:
        casts = 0 if product_precision(run) == "16bit" else 2
        number = number + ((4 if backward else 2) + casts) * others
    return number


def _waits_for_host_s(run: GPURun, num_launches: Array, busy_s: Array, *, backward: bool) -> Array:
    """A GPU waits for the host to start so many kernels, while it is busy for so long with them and with collectives. [s]

    Forward the host waits to learn how many tokens each expert gets; backward it knows.
    """
    software, each_s = run.cluster.software, run.cluster.gpu.calibration.synchronization_s
    if software.blocks_launches:
        return num_launches * launch_latency_s(run) * np.ones(np.shape(busy_s))
    waits_s = np.maximum(0.0, num_launches * launch_latency_s(run) - busy_s)
    learns = software.synchronizes_experts and run.model.num_experts > 1 and not backward
    waits = 2.0 * software.synchronizes_layers + learns
    return waits_s + waits * each_s


def precision_slowdown(spec: GPUSpec, precision: str) -> float:
    """Time at a precision over that at 16 bit. [-]"""
    return spec.peak_dense_16bit_flop_per_s / spec.peak_dense_32bit_flop_per_s if precision == "float32" else 1.0


def activation_bytes(run: GPURun) -> float:
    """Of one element. [bytes]"""
    return BYTES_32BIT if run.training.precision == "float32" else BYTES_16BIT


def _width_bytes(run: GPURun, split: Split) -> Array:
    """A micro-batch between two blocks, on all GPUs of the tensor-parallel group together. [bytes]"""
    return split.tokens * run.model.hidden_size * activation_bytes(run)


OF_A_PASS = ("micro_batch_size", "tensor", "context", "expert", "expert_tensor", "sequence_parallel")
"""All that the pass of a block takes from a plan; what else plans differ in changes nothing about it."""


def _block_passes(run: GPURun, plans: PlanTable) -> tuple[Pass, Pass]:
    """One block and micro-batch forward and backward; the mean of the model's blocks where they differ."""
    unlike, places = plans.unlike(OF_A_PASS)

    def one_way(*, backward: bool) -> Pass:
        mean: Pass = mean_of_blocks(run, lambda one: _block_pass(one, unlike, backward=backward))
        return Pass(*(_each(part, places, len(unlike.tensor)) for part in mean))

    return one_way(backward=False), one_way(backward=True)


def _each(values: Array, places: Array, number: int) -> Array:
    """What was worked out for so many plans, for all those that are like them; a constant stays one."""
    return values[places] if np.shape(values) == (number,) else values


def mean_of_blocks(run: GPURun, of_one: Callable[[GPURun], Any]) -> Any:
    """A number of a block, or a tuple of them, over all blocks of a model; what is worked out takes them to be alike.

    Memory and what a GPU does on average rest on it; a stage takes the time of its own blocks (`times_of_kinds`).
    """
    kinds = [(of_one(replace(run, model=one)), number) for one, number in block_variants(run.model)]
    first = kinds[0][0]
    if len(kinds) == 1:
        return first
    if not isinstance(first, tuple):
        return add_up(value * (number / run.model.num_layers) for value, number in kinds)
    columns = zip(*(value for value, _ in kinds), strict=True)
    weights = [number / run.model.num_layers for _, number in kinds]
    found = [add_up(value * weight for value, weight in zip(column, weights, strict=True)) for column in columns]
    return type(first)(*found) if hasattr(first, "_fields") else tuple(found)


def _block_pass(run: GPURun, plans: PlanTable, *, backward: bool) -> Pass:
    split, cluster = split_of(run, plans), run.cluster
    work = (kernels.block_backward if backward else kernels.block_forward)(run.model, split)
    products = products_s(run, work, product_precision(run))
    kernels_s = add_up(products) + _others_s(run, work, backward=backward)
    width = _width_bytes(run, split)
    sums_s, exposed_s = _tensor_s(run, plans, width, _by_role(work, products), backward=backward)
    kernels_s = kernels_s + cluster.gpu.calibration.overlap_slowdown * (sums_s - exposed_s)
    kernels_s = kernels_s * jitter_factor(run)
    context_s, expert_s = _context_s(run, plans, split, backward=backward), _expert_s(run, plans, width)
    launches = work.num_launches + _more_launches(run, plans, backward=backward)
    # the host starts kernels ahead while the GPU waits for others, too
    busy_s = kernels_s + exposed_s + context_s + expert_s
    return Pass(
        kernels_s=kernels_s,
        launch_s=_waits_for_host_s(run, launches, busy_s, backward=backward),
        tensor_s=exposed_s,
        context_s=context_s,
        expert_s=expert_s,
    )


def _by_role(work: Kernels, products: list[Array]) -> dict[str, list[Array]]:
    """Times of products by what tensor parallelism splits of them. [s]"""
    found: dict[str, list[Array]] = {}
    for one, time_s in zip(work.gemms, products, strict=True):
        found.setdefault(one.role, []).append(time_s)
    return found


def _tensor_s(
    run: GPURun, plans: PlanTable, width_bytes: Array, products: dict[str, list[Array]], *, backward: bool
) -> tuple[Array, Array]:
    """Collectives of a tensor-parallel group in one pass of a block, and how much of them the GPU waits for. [s]

    Where norms are whole, the results of rows are summed up forward, and the gradients of the inputs of columns backward.
    Where norms are split, the inputs of columns are gathered and the results of rows reduced and scattered, backward the
    other way round.
    """
    whole = _sums_s(run, plans, plans.tensor, width_bytes, products, backward=backward)
    if run.model.num_experts == 1:
        return whole
    # half of the collectives are those of the experts, which fewer GPUs may share: then each sums fewer tokens
    tokens_bytes = width_bytes * plans.expert_tensor / plans.tensor
    experts = _sums_s(run, plans, plans.expert_tensor, tokens_bytes, products, backward=backward)
    return 0.5 * whole[0] + 0.5 * experts[0], 0.5 * whole[1] + 0.5 * experts[1]


def _sums_s(
    run: GPURun, plans: PlanTable, size: Array, width_bytes: Array, products: dict[str, list[Array]], *, backward: bool
) -> tuple[Array, Array]:
    """All collectives of a block's pass, were they of groups of one size, and how much of them the GPU waits for. [s]"""
    cluster, overlap = run.cluster, run.cluster.software.tensor_parallel_overlap
    group = group_of(cluster, size, 1)
    sum_s = all_reduce_time_s(cluster, group, width_bytes, in_switch=cluster.software.switch_adds)
    gathered, scattered = _narrowed(run, backward=backward)
    gather_s = all_gather_time_s(cluster, group, gathered * width_bytes)
    scatter_s = reduce_scatter_time_s(cluster, group, scattered * width_bytes)
    hides = _hidden_backward if backward else _hidden_forward
    whole, split = hides(products, size, sum_s, gather_s, scatter_s, overlap)
    all_s, exposed_s = (np.where(plans.sequence_parallel, *pair) for pair in zip(split, whole, strict=True))
    return all_s, exposed_s


def _narrowed(run: GPURun, *, backward: bool) -> tuple[float, float]:
    """Bytes of what a tensor-parallel group gathers, and of what it scatters, over those in 16 bit. [-]"""
    words, precision = run.cluster.software.narrow_activations, product_precision(run)
    if words == "none" or precision not in ("fp8", "mxfp8"):
        return 1.0, 1.0
    share = kernels.OPERAND_BYTES[precision] / BYTES_16BIT
    return share, share if words == "all" and not backward else 1.0


def _hidden_forward(
    products: dict[str, list[Array]], size: Array, sum_s: Array, gather_s: Array, scatter_s: Array, overlap: str
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Forward, with whole and with split norms: all collectives, and what the GPU waits for. [s]"""
    whole_s, split_s = SUMS_PER_BLOCK * sum_s, SUMS_PER_BLOCK * (gather_s + scatter_s)
    exposed_s = split_s
    if overlap == "user_buffers":
        exposed_s = add_up(_behind(gather_s, (1.0 - 1.0 / size) * one) for one in products["column"])
        exposed_s = exposed_s + add_up(_in_parts(scatter_s, one) for one in products["row"])
    return (whole_s, whole_s), (split_s, exposed_s)


def _hidden_backward(
    products: dict[str, list[Array]], size: Array, sum_s: Array, gather_s: Array, scatter_s: Array, overlap: str
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Backward: sums hide beside the gradients of weights, gathers of inputs beside those of inputs."""
    whole_s, split_s = SUMS_PER_BLOCK * sum_s, SUMS_PER_BLOCK * (gather_s + scatter_s)
    if overlap == "none":
        return (whole_s, whole_s), (split_s, split_s)
    inputs, weights = products["column_input"], products["column_weight"]
    exposed_whole_s = add_up(_behind(sum_s, one) for one in weights)
    exposed_s = add_up(_behind(gather_s, one) for one in inputs) + add_up(_behind(scatter_s, one) for one in weights)
    if overlap == "user_buffers":
        exposed_s = exposed_s + add_up(_behind(gather_s, (1.0 - 1.0 / size) * one) for one in products["row_input"])
    else:
        exposed_s = exposed_s + SUMS_PER_BLOCK * gather_s
    return (whole_s, exposed_whole_s), (split_s + SUMS_PER_BLOCK * gather_s, exposed_s)


def _behind(collective_s: Array, product_s: Array) -> Array:
    """What of a collective a product beside it does not hide. [s]"""
    return np.maximum(0.0, collective_s - product_s)


def _in_parts(scatter_s: Array, product_s: Array) -> Array:
    """A reduce-scatter behind a product that is worked out in parts: the last of them, and what does not fit. [s]"""
    return scatter_s / PARTS + (1.0 - 1.0 / PARTS) * _behind(scatter_s, product_s)


def _context_s(run: GPURun, plans: PlanTable, split: Split, *, backward: bool) -> Array:
    """Keys and values go round the ring while attention works on those that are there; what that does not hide."""
    cluster, attention = run.cluster, kernels.attention_backward if backward else kernels.attention_forward
    sent = _key_bytes(run, plans, split, backward=backward)
    step_s = send_time_s(cluster, sent, plans.tensor * plans.context - 1)  # the ring closes from the last to the first
    hidden_s = kernels_time_s(run, attention(run.model, split), backward=backward)
    exposed_s = np.maximum(0.0, (plans.context - 1) * step_s - hidden_s)
    return np.where(plans.context > 1, exposed_s + cluster.gpu.calibration.nvlink.small_start_s, 0.0)


def _key_bytes(run: GPURun, plans: PlanTable, split: Split, *, backward: bool) -> Array:
    """Keys and values of one block on one rank, and backward their gradients, too. [bytes]"""
    wide = attention_widths(run.model)
    return split.tokens * (wide.key + wide.value) / plans.tensor * activation_bytes(run) * (2.0 if backward else 1.0)


def _expert_s(run: GPURun, plans: PlanTable, width_bytes: Array) -> Array:
    """Tokens to the GPUs of their experts, and back."""
    group = group_of(run.cluster, plans.expert, plans.expert_tensor)
    model, by_node = run.model, run.cluster.software.exchanges_by_node
    share = copies_left(group, model.experts_per_token, model.n_group, model.topk_group) if by_node else 1.0
    sent = _routed_bytes(run, plans, width_bytes) * run.cluster.software.expert_imbalance
    exchange_s = exchange_time_s(run.cluster, group, sent, share)
    return np.where(run.model.num_experts > 1, EXCHANGES_PER_BLOCK * exchange_s, 0.0)


def _routed_bytes(run: GPURun, plans: PlanTable, width_bytes: Array) -> Array:
    """Tokens that one GPU sends to experts. [bytes]"""
    return width_bytes * run.model.experts_per_token / plans.tensor


def _recompute(run: GPURun, plans: PlanTable, forward: Pass) -> Pass:
    """What the backward pass computes again, on the mean of all blocks."""
    part: Pass = mean_of_blocks(run, lambda one: _again(one, plans, forward))
    share, some = share_again(run, plans), (plans.recompute == SELECTIVE) | (plans.recompute == OPERATORS)
    some &= share == 0.0
    return Pass(*(np.where(some, own, share * whole) for whole, own in zip(forward, part, strict=True)))


def operators_again(run: GPURun) -> tuple[str, ...]:
    """Operators of every block that the run file has computed again, by one name each; attention where it says "selective"."""
    given = run.parallelism.activation_recompute
    named = ("attention",) if isinstance(given, str) else given.operators or ()
    return tuple(dict.fromkeys(SYNONYMS.get(one, one) for one in named))


SYNONYMS = {"core_attn": "attention", "moe_act": "activation", "moe": "mlp", "mla_up_proj": "qkv"}
"""Megatron-Core's names of operators."""
SUMMED = {"mlp": 0.5, "mlp_in": 0.25, "qkv": 0.25, "out": 0.25}
"""Share of a forward pass's tensor-parallel traffic that an operator repeats. [-]"""


def _again(run: GPURun, plans: PlanTable, forward: Pass) -> Pass:
    """Kernels of the operators, what they wait for the host, and collectives that come with them. [s]"""
    split, launch_s = split_of(run, plans), launch_latency_s(run)
    kernels_s, launches_s, summed, exchanged = np.zeros(1), np.zeros(1), 0.0, 0.0
    for operator in operators_again(run):
        work = kernels.operator_forward(run.model, split, operator)
        if not _repeats(run, work):
            continue
        own_s = kernels_time_s(run, work, product_precision(run), backward=False)
        kernels_s = kernels_s + own_s
        launches_s = launches_s + np.maximum(0.0, work.num_launches * launch_s - own_s)
        summed += SUMMED.get(operator, 0.0)
        exchanged += 0.5 * (operator == "mlp_in") + (operator == "mlp")
    nothing = np.zeros(np.shape(plans.tensor))
    return Pass(kernels_s, launches_s, summed * forward.tensor_s, nothing, exchanged * forward.expert_s)


def _repeats(run: GPURun, work: Kernels) -> bool:
    """Whether the backward pass repeats an operator; "selective" leaves out a fused kernel, which rebuilds its scores anyway."""
    return work.fused is None or not isinstance(run.parallelism.activation_recompute, str)


def block_parameters_of_gpu(model: ModelSpec, plans: PlanTable) -> tuple[Array, Array]:
    """Parameters of one block on one GPU: those that all data-parallel ranks hold, and those of its experts. [-]"""
    shared = experts = 0.0
    for one, number in block_variants(model):
        routed = routed_parameters(one) if one.num_experts > 1 else 0
        shared += (block_parameters(one) - routed) * number
        experts += routed * number
    each = plans.tensor * model.num_layers
    return shared / each, experts / model.num_layers / (plans.expert_tensor * plans.expert)


def end_parameters_of_gpu(run: GPURun, plans: PlanTable) -> tuple[Array, Array]:
    """Parameters of the embedding and of the head on one GPU; a tied table lies on both ends of a pipeline. [-]"""
    model = run.model
    first = embedding_parameters(model, run.training.sequence_length) / plans.tensor
    own = head_parameters(model) / plans.tensor
    table = model.vocab_size * model.token_embedding_size / plans.tensor if model.tie_embeddings else 0.0
    return first, own + np.where(plans.pipeline > 1, table, 0.0)


def parameters_of_stages(run: GPURun, plans: PlanTable) -> Callable[[Array, Array], Array]:
    """Parameters on one GPU of a stage with so many blocks. [-]"""
    shared, experts = block_parameters_of_gpu(run.model, plans)
    first, last = end_parameters_of_gpu(run, plans)
    return lambda stage, blocks: (
        (shared + experts) * blocks + first * (stage == 0) + last * (stage == plans.pipeline - 1)
    )


def parameters_of_gpu(run: GPURun, plans: PlanTable) -> Array:
    """Parameters of the fullest stage on one GPU. [-]"""
    of = parameters_of_stages(run, plans)
    return largest(of(stage, blocks_of_stage(run, plans, stage)) for stage in deciding_stages(run, plans))


def _experts_of_gpu(run: GPURun, plans: PlanTable) -> Array:
    """Those of experts on the stage with most blocks. [-]"""
    _, experts = block_parameters_of_gpu(run.model, plans)
    return experts * largest(blocks_of_stage(run, plans, stage) for stage in deciding_stages(run, plans))


def largest(values: Iterable[Array]) -> Array:
    """The largest value of each plan."""
    return reduce(np.maximum, values)


def gather_bytes(run: GPURun) -> float:
    """One parameter where it is gathered. [bytes]"""
    narrow = run.cluster.software.narrow_gathers and product_precision(run) != "16bit"
    return 1.0 if narrow else BYTES_16BIT


def reduction_bytes(run: GPURun) -> float:
    """One gradient where it is summed. [bytes]"""
    kind = run.parallelism.reduction_precision
    narrow = kind == "16bit" or (kind == "32bit_with_bfloat16" and run.training.precision == "float16")
    return BYTES_16BIT if narrow else BYTES_32BIT


def accumulated_bytes(run: GPURun) -> float:
    """What a kernel of its own moves to add a 16-bit gradient to those of earlier micro-batches, for each parameter. [bytes]

    The gradient is read, and the sum read and written; flat buffers of 32 bit are given a cast copy first.
    """
    sums = 2.0 * reduction_bytes(run)
    copied = 2.0 * BYTES_32BIT if run.cluster.software.flat_gradients and sums > 2.0 * BYTES_16BIT else 0.0
    return BYTES_16BIT + sums + copied


def _gather_s(run: GPURun, plans: PlanTable, shared: Array, experts: Array) -> Array:
    """All-gather of so many parameters among those that share their state: of experts, among those that hold the same. [s]"""
    cluster, each = run.cluster, gather_bytes(run)
    whole = all_gather_time_s(cluster, group_of(cluster, plans.shard, plans.tensor), shared * each)
    few = group_of(cluster, copies_of_experts(plans), plans.expert_tensor * plans.expert)
    return whole + np.where(experts > 0, all_gather_time_s(cluster, few, experts * each), 0.0)


def _reduce_s(run: GPURun, plans: PlanTable, shared: Array, experts: Array) -> Array:
    """Gradients of so many parameters to the data-parallel group, those of experts to the GPUs that hold the same. [s]"""
    cluster, each = run.cluster, reduction_bytes(run)
    ranks, inner = plans.data * plans.context, plans.expert_tensor * plans.expert
    whole = all_reduce_time_s(cluster, group_of(cluster, ranks, plans.tensor), shared * each)
    copies = plans.tensor * ranks / inner
    few = all_reduce_time_s(cluster, group_of(cluster, copies, inner), experts * each)
    whole = whole + np.where(experts > 0, few, 0.0)
    parts = _in_shares_s(cluster, ranks, plans.shard, plans.tensor, shared * each)
    of_experts = _in_shares_s(cluster, copies, copies_of_experts(plans), inner, experts * each)
    parts = parts + np.where(experts > 0, of_experts, 0.0)
    if not cluster.software.flat_gradients:
        return np.where(plans.zero_stage >= 1, parts, whole)
    copied_s = 4.0 * each * (shared + experts) / device.memory_rate_bytes_per_s(cluster.gpu)
    return np.where(plans.zero_stage > 1, parts, whole + copied_s)


def _in_shares_s(cluster: GPUClusterSpec, ranks: Array, shard: Array, inner: Array, num_bytes: Array) -> Array:
    """Gradients reduced and scattered over `shard` of the ranks, whose shares are summed up across the others. [s]"""
    across = group_of(cluster, ranks / shard, inner * shard)
    scattered_s = reduce_scatter_time_s(cluster, group_of(cluster, shard, inner), num_bytes)
    return scattered_s + all_reduce_time_s(cluster, across, num_bytes / shard)


def hides_sends(spec: ParallelismSpec, chunks: Array) -> Array:
    """Whether stages compute while they send. [-]"""
    overlap = spec.overlap_pipeline_communication
    return chunks > 1 if overlap == "interleaved" else np.full(np.shape(chunks), overlap)


def _sends_s(run: GPURun, plans: PlanTable, split: Split) -> Array:
    """A micro-batch's activations to the next stage: each rank of the tensor-parallel group sends its share."""
    width = _width_bytes(run, split)
    distance = plans.tensor * plans.context * plans.data
    distance = np.where(distance * plans.pipeline <= run.cluster.domain_size, distance, run.cluster.domain_size)
    software = run.cluster.software
    sent_s = send_time_s(run.cluster, width / plans.tensor, distance)
    whole_s = all_gather_time_s(run.cluster, group_of(run.cluster, plans.tensor, 1), width)
    sent_s = sent_s + np.where(plans.sequence_parallel, 0.0, whole_s)
    if software.sends_whole_gradients and is_training(run.training):  # the mean of both directions
        sent_s = 0.5 * (sent_s + send_time_s(run.cluster, width, distance))
    waits_s = run.cluster.gpu.calibration.synchronization_s if software.synchronizes_sends else 0.0
    return np.where(plans.pipeline > 1, (2.0 if software.separate_transfers else 1.0) * (sent_s + waits_s), 0.0)


def times_of(run: GPURun, plans: PlanTable) -> Times:
    """Everything a step is put together from."""
    split = split_of(run, plans)
    forward, backward = _block_passes(run, plans)
    recompute = _recompute(run, plans, forward)
    shared, experts = block_parameters_of_gpu(run.model, plans)
    ends = end_parameters_of_gpu(run, plans)
    head = [one(run.model, split, loss_bytes_per_logit(run)) for one in (kernels.head_forward, kernels.head_backward)]
    moved = accumulated_bytes(run) * (shared + experts) / device.memory_rate_bytes_per_s(run.cluster.gpu)
    gathers, shares = plans.zero_stage == 3, plans.zero_stage >= 1
    held, of_experts = parameters_of_gpu(run, plans), _experts_of_gpu(run, plans)
    updated = (held - of_experts) / np.where(shares, plans.shard, 1) + of_experts / copies_of_experts(plans)
    gather_s = np.where(gathers, _gather_s(run, plans, shared, experts), 0.0)
    reduce_s = _reduce_s(run, plans, shared, experts)
    beside_s = _beside(run, plans, forward, backward, recompute, gather_s, reduce_s)
    forward = forward._replace(kernels_s=forward.kernels_s + beside_s[0])
    backward = backward._replace(kernels_s=backward.kernels_s + beside_s[1])
    found = Times(
        forward=forward,
        backward=backward,
        recompute=recompute,
        embedding_s=device.elementwise_time_s(run.cluster.gpu, kernels.embedding_bytes(run.model, split)),
        head_forward_s=kernels_time_s(run, head[0], backward=False),
        head_backward_s=kernels_time_s(run, head[1], backward=True),
        accumulate_s=moved * (0.0 if run.parallelism.fused_gradient_accumulation else 1.0) * ~gathers,
        send_s=_sends_s(run, plans, split),
        gather_s=gather_s,
        reduce_s=reduce_s,
        embedding_reduce_s=_embedding_reduce_s(run, plans, ends[0]),
        update_s=updated * optimizer_bytes_per_parameter(run) / device.memory_rate_bytes_per_s(run.cluster.gpu),
        host_s=run.cluster.software.step_host_s * np.ones(1),
        parameter_gather_s=np.where(shares & ~gathers, _gather_s(run, plans, held - of_experts, of_experts), 0.0),
        flop=flop_of(run, plans),
    )
    return found if is_training(run.training) else found.forward_alone()


def times_of_plan(run: GPURun, plan: Plan) -> Times:
    """The same of one plan, in plain numbers."""
    return row_of(times_of(run, plan.table))


def num_ways(run: GPURun) -> float:
    """How often a micro-batch passes the stages: forward, and in training backward. [-]"""
    return 2.0 if is_training(run.training) else 1.0


def times_of_kinds(run: GPURun, plans: PlanTable, mean: Times) -> list[Times]:
    """As `times_of`, were all blocks of one kind, for each kind of a model whose blocks differ."""
    kinds = block_variants(run.model)
    if len(kinds) == 1:
        return [mean]
    whole = {"num_layers": run.model.num_layers}
    return [times_of(replace(run, model=one.model_copy(update=whole)), plans) for one, _ in kinds]


def _beside(
    run: GPURun, plans: PlanTable, forward: Pass, backward: Pass, recompute: Pass, gather_s: Array, reduce_s: Array
) -> tuple[Array, Array]:
    """By how much longer a block computes because its parameters are gathered and gradients reduced beside it. [s]"""
    share, gathers = run.cluster.gpu.calibration.overlap_slowdown, plans.zero_stage == 3
    ahead_s = share * np.minimum(gather_s, forward.total_s)
    reduce_s = reduce_s / np.where(gathers, 1, passes_to_reduction(plans))
    back_s = share * np.minimum(gather_s + reduce_s, backward.total_s + recompute.total_s)
    reduces = gathers | (shares_gradients(plans) & run.parallelism.overlap_gradient_reduction)
    return np.where(gathers, ahead_s, 0.0), np.where(reduces, back_s, 0.0)


def shares_gradients(plans: PlanTable) -> Array:
    """Whether gradients are reduced before the last micro-batch, as no GPU keeps all of them whole (ZeRO-2). [-]"""
    return (plans.zero_stage == 2) & (plans.num_micro_batches > 1)


def passes_to_reduction(plans: PlanTable) -> Array:
    """Backward passes of a block whose gradients are summed up before they are reduced, where that is before the last. [-]"""
    return np.where(plans.chunks > 1, plans.group, 1)


def _embedding_reduce_s(run: GPURun, plans: PlanTable, parameters: Array) -> Array:
    distance = plans.tensor * plans.context * plans.data * np.maximum(1, plans.pipeline - 1)
    domain = run.cluster.domain_size
    pair = group_of(run.cluster, 2 * np.ones(np.shape(plans.tensor)), np.where(distance < domain, 1, domain))
    time_s = all_reduce_time_s(run.cluster, pair, parameters * reduction_bytes(run))
    return np.where((plans.pipeline > 1) & run.model.tie_embeddings, time_s, 0.0)


class PassFlop(NamedTuple):
    """What one GPU executes for one micro-batch. [FLOP]

    Attributes
    ----------
    forward, backward
        One block; `backward` with what it computes again.
    head_forward, head_backward
        What the last chunk does beside its blocks.
    """

    forward: Array
    backward: Array
    head_forward: Array
    head_backward: Array


def pass_flop(run: GPURun, plans: PlanTable) -> PassFlop:
    """FLOP of each pass on one GPU. [FLOP]"""
    split, logit_bytes = split_of(run, plans), loss_bytes_per_logit(run)
    forward, backward, core = mean_of_blocks(run, lambda one: _block_flop(one, split))
    share, some = share_again(run, plans), (plans.recompute == SELECTIVE) | (plans.recompute == OPERATORS)
    again = np.where(some & (share == 0.0), core, share * forward)
    head = [one(run.model, split, logit_bytes).flop for one in (kernels.head_forward, kernels.head_backward)]
    back = num_ways(run) - 1.0
    return PassFlop(forward, back * (backward + again), head[0], back * head[1])


def _block_flop(run: GPURun, split: Split) -> tuple[Array, Array, Array]:
    """Forward and backward of one block, and what selective recomputation adds. [FLOP]"""
    forward, backward = kernels.block_forward(run.model, split).flop, kernels.block_backward(run.model, split).flop
    core: Array = 0.0
    for operator in operators_again(run):
        work = kernels.operator_forward(run.model, split, operator)
        core = core + (work.flop if _repeats(run, work) else 0.0)
    return forward, backward, core


def flop_of(run: GPURun, plans: PlanTable) -> Array:
    """What one GPU of the group of a whole model executes in one step, on average over its stages. [FLOP]"""
    one = pass_flop(run, plans)
    blocks = run.model.num_layers * (one.forward + one.backward)
    return plans.full_passes * (blocks + one.head_forward + one.head_backward) / plans.pipeline


class Messages(NamedTuple):
    """What one GPU sends, and the tensors of its collectives. [bytes]

    Attributes
    ----------
    send
        Its share of a micro-batch's activations.
    gather, reduce
        Parameters and gradients of one block.
    reduce_first, reduce_last
        Gradients of the embedding and of the head.
    embedding_reduce
        Gradient of a tied embedding.
    parameter_gather
        Updated parameters.
    tensor_forward, tensor_backward
        Activations of one block that its tensor-parallel group sums up in a pass.
    context_forward, context_backward
        Keys and values of one block that go to the next rank of the ring.
    expert_forward, expert_backward
        Tokens of one block to their experts, and back.
    """

    send: float
    gather: float
    reduce: float
    reduce_first: float
    reduce_last: float
    embedding_reduce: float
    parameter_gather: float
    tensor_forward: float
    tensor_backward: float
    context_forward: float
    context_backward: float
    expert_forward: float
    expert_backward: float


def messages_of(run: GPURun, plan: Plan) -> Messages:
    """Sizes of what passes between the GPUs of one plan. [bytes]"""
    plans = plan.table
    shared, experts = block_parameters_of_gpu(run.model, plans)
    first, last = end_parameters_of_gpu(run, plans)
    each, split = reduction_bytes(run), split_of(run, plans)
    width = _width_bytes(run, split)
    tensor, expert = SUMS_PER_BLOCK * width, EXCHANGES_PER_BLOCK * _routed_bytes(run, plans, width)
    around = plans.context - 1
    found = Messages(
        send=width / plans.tensor,
        gather=(shared + experts) * gather_bytes(run),
        reduce=(shared + experts) * each,
        reduce_first=first * each,
        reduce_last=last * each,
        embedding_reduce=first * each,
        parameter_gather=parameters_of_gpu(run, plans) * gather_bytes(run),
        tensor_forward=tensor,
        tensor_backward=tensor,
        context_forward=around * _key_bytes(run, plans, split, backward=False),
        context_backward=around * _key_bytes(run, plans, split, backward=True),
        expert_forward=expert,
        expert_backward=expert,
    )
    return row_of(found)


def end_reduce_s(run: GPURun, plan: Plan, *, is_first: bool, is_last: bool) -> float:
    """Gradients of what a chunk of one plan has beside its blocks, to the data-parallel group. [s]"""
    if not (is_first or is_last):
        return 0.0
    plans = plan.table
    first, last = end_parameters_of_gpu(run, plans)
    ends = is_first * first + is_last * last
    return float(_reduce_s(run, plans, ends, 0.0 * ends).item())
