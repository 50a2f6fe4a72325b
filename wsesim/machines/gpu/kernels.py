"""What one GPU executes for one transformer block, and how long one kernel takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wsesim.config.model import ModelSpec
from wsesim.errors import InputError
from wsesim.machines.gpu.spec import AttentionKernelSpec, GPUSpec, ProductSpec
from wsesim.units import add_up
from wsesim.workload.transformer import active_mlp_size, attended_pairs, attention_widths, compressed_widths

# A GPU: how long one kernel takes.
#
# A matrix product is cut into tiles, which the streaming multiprocessors work off in waves; every tile
# takes a fixed time to start and to end, and the last wave is longer than its share. A kernel that moves
# more bytes than it computes takes the time of its bytes. The numbers are fitted to measured kernels of
# each GPU (`wsesim calibrate --gpu`), not to training steps. Quantities may be numbers or numpy arrays
# over plans.
#
# Not modelled: clocks as a function of power and temperature beyond one number for each GPU, caches
# beyond what the roofline implies, tile shapes other than four.


Array = Any
"""A number, or an array over plans."""

BYTES_16BIT = 2.0
"""Results, and operands at 16 bit. [bytes]"""
TILES = ((128, 256), (256, 128), (128, 128), (64, 64))
"""Rows and columns of a result that one multiprocessor computes at a time; the fastest is taken. [-]"""
SMALL_TILE = (64, 64)
LASTS_S = 0.3e-3
"""A product that lasts longer draws so much power that clocks fall. [s]"""
RAGGED_ROWS = 16
"""Kernels for full vectors need rows that are a multiple of it. [-]"""
ATTENTION_TILE = 128
"""Queries of one head that a multiprocessor takes at a time. [-]"""
TILE_HEAD_SIZE = 128
"""Width of a head of which calibrations say what start and end of such a tile take. [-]"""

OPERAND_BYTES = {"16bit": 2.0, "fp8": 1.0, "mxfp8": 1.0 + 1.0 / 32.0, "nvfp4": 0.5 + 1.0 / 16.0}
"""Of one element with its share of a scale, by precision. [bytes]"""


def products_of(gpu: GPUSpec, precision: str) -> tuple[ProductSpec, float]:
    """Measured products of a precision, and its peak. [FLOP/s]

    Raises
    ------
    InputError
        The GPU has no such units, or no such product was measured on it.
    """
    peaks = {"16bit": gpu.peak_dense_16bit_flop_per_s, "nvfp4": gpu.peak_dense_4bit_flop_per_s}
    peak = peaks.get(precision, gpu.peak_dense_8bit_flop_per_s)
    found: ProductSpec | None = getattr(gpu.calibration, f"products_{precision}")
    if found is None or peak is None:
        raise InputError(f"a {gpu.name} has no matrix products in {precision}; take bfloat16")
    return found, peak


def rate_flop_per_s(gpu: GPUSpec, precision: str = "16bit") -> Array:
    """Tiles between their start and their end, in a training step. [FLOP/s]"""
    products, peak = products_of(gpu, precision)
    return peak * products.rate_share / hot_factor(gpu, gpu.calibration.hot_s)


def hot_factor(gpu: GPUSpec, lasts_s: Array) -> Array:
    """Time of a product that lasts so long, over that of one on a cool GPU; of any precision. [-]"""
    slowdown = gpu.calibration.products_16bit.hot_slowdown
    return 1.0 + slowdown * np.maximum(0.0, np.log(np.maximum(lasts_s, 1e-9) / LASTS_S))


def gemm_time_s(
    gpu: GPUSpec,
    rows: Array,
    columns: Array,
    inner: Array,
    *,
    precision: str = "16bit",
    count: Array = 1.0,
    more_bytes: Array = 0.0,
    slowdown: float = 1.0,
    rate_share: float = 1.0,
    alone: bool = False,
) -> Array:
    """One product of a ``rows x inner`` with an ``inner x columns`` matrix, or `count` of them in one kernel. [s]

    Parameters
    ----------
    precision
        "16bit", "fp8", "mxfp8" or "nvfp4". Below 16 bit the ``rows x inner`` matrix is rounded first.
    more_bytes
        What each reads and writes beside its operands and result. [bytes]
    slowdown
        Of matrix units and memory, where the inputs are 32-bit. [-]
    rate_share
        Of the rate of the library that the GPU was measured with. [-]
    alone
        Measured alone: the GPU is as hot as the product itself makes it, not as in a training step.
    """
    products, peak = products_of(gpu, precision)
    compute_s = _compute_s(products, gpu.num_sms, peak * rate_share / slowdown, (rows, columns, inner, count))
    hot = hot_factor(gpu, compute_s if alone else gpu.calibration.hot_s)
    operands = (rows + columns) * inner * OPERAND_BYTES[precision] + rows * columns * BYTES_16BIT
    moved_s = count * (operands * slowdown + more_bytes) / (gpu.memory_bytes_per_s * products.memory_share)
    cast_s = count * rows * inner * products.cast_bytes / memory_rate_bytes_per_s(gpu)
    return products.start_s + np.maximum(compute_s * hot, moved_s) + cast_s


def _compute_s(products: ProductSpec, num_sms: int, peak_flop_per_s: float, shape: tuple[Array, ...]) -> Array:
    """By the tile shape that takes least. [s]"""
    rows, columns, inner, count = shape
    flop_per_s, least_s = peak_flop_per_s * products.rate_share / num_sms, None
    for high, wide in TILES:
        share = products.small_tile_share if (high, wide) == SMALL_TILE else 1.0
        tiles = count * np.ceil(rows / high) * np.ceil(columns / wide) / num_sms
        waves = np.maximum(1.0, tiles + products.whole_waves * (np.ceil(tiles) - tiles))
        tile_s = 2.0 * high * wide / (flop_per_s * share) * inner + products.tile_s * (high * wide) ** 0.5 / 128.0
        time_s = waves * tile_s
        least_s = time_s if least_s is None else np.minimum(least_s, time_s)
    ragged = products.ragged_slowdown
    return least_s if ragged == 0.0 else least_s * (1.0 + ragged * (np.mod(rows, RAGGED_ROWS) != 0))


def memory_rate_bytes_per_s(gpu: GPUSpec) -> float:
    """HBM as kernels reach it. [bytes/s]"""
    return gpu.memory_bytes_per_s * gpu.calibration.memory_efficiency


def elementwise_time_s(gpu: GPUSpec, num_bytes: Array) -> Array:
    """A kernel that only moves bytes. [s]"""
    return gpu.calibration.kernel_latency_s + num_bytes / memory_rate_bytes_per_s(gpu)


WITHOUT_MATRIX_UNITS = 16.0
"""Peak of the matrix units in 16 bit over that of the other units in 32 bit: 312 over 19.5 TFLOP/s on A100, 125 over 15.7 on
V100, where it matters less. [-]"""


def batched_gemm_time_s(gpu: GPUSpec, flop: Array, num_bytes: Array) -> Array:
    """Many small products in one kernel, as in attention without a fused kernel. [s]"""
    rate = rate_flop_per_s(gpu) * gpu.calibration.batched_gemm_efficiency
    return gpu.calibration.kernel_latency_s + np.maximum(flop / rate, num_bytes / memory_rate_bytes_per_s(gpu))


def kernel_name(gpu: GPUSpec, attention: str) -> str:
    """The fused kernel that a word stands for on a GPU: "flash" is the best published one, "flash_1" the one before."""
    return {"flash": gpu.flash_kernel, "flash_1": gpu.flash_1_kernel}.get(attention, attention)


def attention_kernel(gpu: GPUSpec, attention: str) -> AttentionKernelSpec:
    """A fused kernel on a GPU.

    Raises
    ------
    InputError
        Nobody measured it there.
    """
    name = kernel_name(gpu, attention)
    found: AttentionKernelSpec | None = getattr(gpu.calibration.attention, name)
    if found is None:
        kernels = gpu.calibration.attention
        known = ", ".join(key for key in type(kernels).model_fields if getattr(kernels, key) is not None)
        raise InputError(f"nothing is known of attention by {name} on a {gpu.name}; known are {known}, unfused")
    return found


def head_share(kernel: AttentionKernelSpec, head_size: float, *, backward: bool) -> float:
    """Share of the peak for heads of a width: between those that were measured, and as the nearest outside. [-]"""
    way = "backward" if backward else "forward"
    shares = [getattr(kernel, f"{way}_share_{width}") for width in (64, 128, 256)]
    place = min(2.0, max(0.0, float(np.log2(head_size / 64.0))))
    left = min(1, int(place))
    return float(shares[left] + (place - left) * (shares[left + 1] - shares[left]))


PADS_HEADS = "flash_attention_1"
"""A kernel that is written for heads of 32, 64 and 128, to which it pads others."""


def _padded(head_size: float) -> float:
    """Width at which a kernel of 2022 works on a head. [-]"""
    return next((float(size) for size in (32, 64, 128) if head_size <= size), head_size)


def fused_attention_time_s(
    gpu: GPUSpec, work: FusedAttention, attention: str, *, backward: bool, slowdown: float = 1.0
) -> Array:
    """Attention in one kernel that keeps no scores. [s]

    A multiprocessor takes tiles of queries of one head, which it loads and stores in proportion to its width; with a causal
    mask half of the tile on the diagonal is worked out in vain. The backward pass computes 2.5 times as much. Where GPUs share
    a sequence, the keys of each are a kernel of their own, whose tiles start anew.
    """
    kernel = attention_kernel(gpu, attention)
    rate = gpu.peak_dense_16bit_flop_per_s / slowdown / gpu.num_sms
    rate = rate * head_share(kernel, work.head_size, backward=backward)
    if kernel_name(gpu, attention) == PADS_HEADS:
        rate = rate * work.head_size / _padded(work.head_size)
    num_tiles = work.heads * np.ceil(work.queries / ATTENTION_TILE)
    pairs = work.heads * work.pairs + (num_tiles * ATTENTION_TILE * 0.5 * ATTENTION_TILE if work.causal else 0.0)
    flop = pairs * work.flop_per_pair * (2.5 if backward else 1.0)
    tile_s = (kernel.backward_tile_s if backward else kernel.forward_tile_s) * work.head_size / TILE_HEAD_SIZE
    each_s = flop / num_tiles / rate + tile_s * work.rounds
    return kernel.start_s * work.rounds + each_s * np.maximum(1.0, num_tiles / gpu.num_sms)


# What one GPU executes for one transformer block: matrix products, attention, and what only moves bytes.
#
# Shapes only, no time. Quantities may be numbers or numpy arrays over plans. Counts of bytes follow
# Korthikanti et al. 2022, section 4.1: 16-bit activations, one byte for a dropout mask. The backward
# pass of a product is two products; that of a norm reads its inputs twice. A fused kernel leaves out what
# lies outside a window; without one the whole square is computed and masked. All blocks of a model are
# taken to be alike, see `wsesim.workload.transformer.block_variants`.


ALIGNED = 8
"""16-bit elements whose rows cuBLAS loads as whole vectors, which its kernels on matrix units need. [-]"""


RING_LAUNCHES = 3
"""Kernels beside attention for the keys of each other GPU of a ring: send and receive, and what joins two parts. [-]"""
RING_BYTES = {"forward": 10.0, "backward": 6.0}
"""To join the part of one round with those before, for each element: 32-bit sums of results, 16-bit ones of gradients. [bytes]"""


class Gemm(NamedTuple):
    """``rows x inner`` times ``inner x columns``, `count` times.

    Attributes
    ----------
    more_bytes
        Moved beside operands and result. [bytes]
    role
        Whose columns or rows tensor parallelism splits: "column", "row", or neither; in the backward pass followed by which
        gradient it is, as "column_input" and "column_weight".
    biased
        Share of the result to which this GPU adds a bias; 0 without one. [-]
    load
        Tokens of the fullest GPU, whose shapes these are, over those of the mean. [-]
    """

    rows: Array
    columns: Array
    inner: Array
    count: Array = 1.0
    more_bytes: Array = 0.0
    role: str = ""
    biased: Array = 0.0
    load: float = 1.0

    @property
    def flop(self) -> Array:
        """All of them, on the mean of all GPUs. [FLOP]"""
        return 2.0 * self.rows * self.columns * self.inner * self.count / self.load


class Batched(NamedTuple):
    """Many small products in one kernel."""

    flop: Array
    num_bytes: Array
    on_matrix_units: bool = True


class FusedAttention(NamedTuple):
    """Attention of one block in one kernel.

    Attributes
    ----------
    heads
        Heads of all sequences on one GPU. [-]
    head_size
        Width of one. [-]
    queries
        Tokens of one sequence on one GPU. [-]
    pairs
        Pairs of a query and a key that one head looks at. [-]
    flop_per_pair
        Forward: a score, and a value weighted by it. [FLOP]
    causal
        Whether tokens look back only.
    rounds
        Kernels in which it is worked out: one for the keys of each GPU that shares the sequence. [-]
    """

    heads: Array
    head_size: int
    queries: Array
    pairs: Array
    flop_per_pair: float
    causal: bool
    rounds: Array = 1

    @property
    def flop(self) -> Array:
        """Forward. [FLOP]"""
        return self.heads * self.pairs * self.flop_per_pair


class Kernels(NamedTuple):
    """What is executed one after another.

    Attributes
    ----------
    moves
        Bytes of each kernel that only moves bytes. [bytes]
    fused
        The fused attention kernel; None without one.
    fused_share
        FLOP of that kernel over those of its forward pass. [-]
    """

    gemms: tuple[Gemm, ...]
    batched: tuple[Batched, ...]
    moves: tuple[Array, ...]
    fused: FusedAttention | None
    fused_share: float = 1.0

    @property
    def num_launches(self) -> Array:
        """Kernels that the host starts; the experts of a mixture are one grouped kernel. [-]"""
        fused = 0 if self.fused is None else self.fused.rounds + RING_LAUNCHES * (self.fused.rounds - 1)
        return len(self.gemms) + len(self.batched) + len(self.moves) + fused

    @property
    def flop(self) -> Array:
        """Products and attention. [FLOP]"""
        fused = 0.0 if self.fused is None else self.fused.flop * self.fused_share
        return add_up(one.flop for one in self.gemms) + add_up(one.flop for one in self.batched) + fused


class Split(NamedTuple):
    """What of a model one GPU works on in one micro-batch.

    Attributes
    ----------
    sequences
        Micro-batch size. [-]
    sequence_length
        Tokens of a whole sequence. [-]
    tensor, context, expert
        Parallel sizes. [-]
    expert_tensor
        GPUs that share each matrix of an expert. [-]
    sequence
        GPUs over which norms and dropouts are split: `tensor` with sequence parallelism, else 1. [-]
    fused_attention
        Whether attention keeps no scores.
    rotary_bytes, layout_bytes
        Moved to turn one element of queries and keys by its position, and to lay out one of queries, keys and values for a fused
        kernel; forward and backward. [bytes]
    norm_bytes, gate_bytes
        Moved for one element of a root-mean-square norm, and of a gated activation; forward and backward. [bytes]
    adds_qkv_bias
        Whether the bias of queries, keys and values is added by a kernel of its own.
    sums_biases
        Whether gradients of biases are kernels of their own.
    loops_biases
        Whether the last bias of experts is added expert by expert.
    fused_softmax_tokens
        Longest sequence of which softmax is one kernel; 0 is any. [-]
    expert_imbalance
        Tokens of the experts of the fullest GPU over those of the mean. [-]
    drops_scores
        Whether a kernel of its own drops scores at random.
    """

    sequences: Array
    sequence_length: int
    tensor: Array
    context: Array
    expert: Array
    expert_tensor: Array
    sequence: Array
    fused_attention: bool
    rotary_bytes: tuple[float, float] = (4.0, 4.0)
    layout_bytes: tuple[float, float] = (4.0, 4.0)
    norm_bytes: tuple[float, float] = (4.0, 10.0)
    gate_bytes: tuple[float, float] = (6.0, 10.0)
    adds_qkv_bias: bool = False
    sums_biases: bool = True
    loops_biases: bool = False
    fused_softmax_tokens: int = 0
    drops_scores: bool = True
    expert_imbalance: float = 1.0

    @property
    def tokens(self) -> Array:
        """Of one micro-batch on one GPU. [-]"""
        return self.sequences * self.sequence_length / self.context


def _projections(model: ModelSpec, split: Split) -> tuple[Gemm, ...]:
    """The products with weights, forward."""
    tokens, hidden = split.tokens, model.hidden_size
    experts = model.num_experts / split.expert
    routed, shared = tokens, split.tensor
    if model.num_experts > 1:
        routed, shared = (
            routed * model.experts_per_token / experts * split.expert_tensor / split.tensor,
            split.expert_tensor,
        )
    found = [*_of_attention(model, split)]
    load = split.expert_imbalance if model.num_experts > 1 else 1.0
    mlps = _of_mlp(model, model.expert_size / shared, routed * load, experts, shares=_shares(split, shared))
    found += [one._replace(load=load) for one in mlps]
    if model.num_experts > 1:
        found.append(Gemm(tokens, model.num_experts, hidden))
    if model.shared_expert_size:
        found += _of_mlp(model, model.shared_expert_size / split.tensor, tokens, 1.0)
    if model.shared_expert_gate:
        found.append(Gemm(tokens / split.tensor, 1, hidden))
    return tuple(found)


def _of_attention(model: ModelSpec, split: Split) -> list[Gemm]:
    """Projections; every GPU of a tensor-parallel group compresses its own tokens for all heads."""
    wide, tokens, hidden, tensor = attention_widths(model), split.tokens, model.hidden_size, split.tensor
    back = Gemm(
        tokens, hidden, wide.output / tensor, role="row", biased=model.attention_output_bias * _shares(split, tensor)
    )
    if model.kv_lora_rank is None:
        columns = (wide.query + wide.key + wide.value) / tensor
        return [Gemm(tokens, columns, hidden, role="column", biased=1.0 * model.qkv_bias), back]
    queries, keys = compressed_widths(model)
    down = [Gemm(tokens / tensor, queries, hidden)] if queries else []
    up = model.num_attention_heads * ((model.qk_nope_head_dim or 0) + model.value_head_size)
    return [
        *down,
        Gemm(tokens, wide.query / tensor, queries or hidden, role="column"),
        Gemm(tokens / tensor, keys, hidden),
        Gemm(tokens, up / tensor, model.kv_lora_rank),
        back,
    ]


def _shares(split: Split, size: Array) -> Array:
    """Of the sums over so many GPUs, what each of them goes on with: its part where norms are split, too. [-]"""
    return np.where(np.asarray(split.sequence) > 1, 1.0 / size, 1.0)


def _of_mlp(model: ModelSpec, inside: Array, rows: Array, count: Array, *, shares: Array = None) -> list[Gemm]:
    """So many MLPs of one width; collectives run beside the products of those of which `_shares` are given."""
    hidden, roles = model.hidden_size, ("", "") if shares is None else ("column", "row")
    wide, biased = inside * (2 if model.gated_mlp else 1), 1.0 * model.mlp_bias
    up = Gemm(rows, wide, hidden, count, role=roles[0], biased=biased)
    return [up, Gemm(rows, hidden, inside, count, role=roles[1], biased=biased * (1.0 if shares is None else shares))]


def _gradients(gemms: tuple[Gemm, ...]) -> tuple[Gemm, ...]:
    """Of each product the gradient of its input, and that of its weights."""
    found: list[Gemm] = []
    for one in gemms:
        found.append(Gemm(one.rows, one.inner, one.columns, one.count, role=f"{one.role}_input", load=one.load))
        added, role = 4.0 * one.inner * one.columns, f"{one.role}_weight"
        found.append(Gemm(one.inner, one.columns, one.rows, one.count, added, role=role, load=one.load))
    return tuple(found)


def _scores(model: ModelSpec, split: Split) -> Array:
    """Elements of the score matrices of one GPU. [-]"""
    heads = split.sequences * model.num_attention_heads / split.tensor
    return heads * split.sequence_length / split.context * split.sequence_length


SOFTMAX_BYTES, SOFTMAX_GRADIENT_BYTES = 4.0, 6.0
"""Scores in and weights out; weights and their gradients in, gradients of scores out. [bytes] for a score"""
STEPS_BYTES, STEPS_GRADIENT_BYTES = 36.0, 40.0
"""The same step by step: to 32 bit 6, scaled 8, masked 8, softmax 8, to 16 bit 6; backward 6, 8, 8, 12, 6. [bytes] for a score"""
MORE_STEPS = 4
"""Kernels for these steps beside one, in either direction. [-]"""
BATCHES_OF_KERNEL = 4
"""Has to divide sequences times heads, and the length of a sequence, as Megatron-LM's kernel works on so many at once. [-]"""


def steps_of_softmax(model: ModelSpec, split: Split) -> Array:
    """Whether softmax is worked out step by step, as its kernel takes neither long sequences nor odd numbers of heads."""
    if split.fused_attention or not split.fused_softmax_tokens:
        return False
    heads = split.sequences * model.num_attention_heads // split.tensor
    is_long = split.sequence_length > split.fused_softmax_tokens or split.sequence_length % BATCHES_OF_KERNEL > 0
    return is_long | (heads % BATCHES_OF_KERNEL > 0)


def _fused(model: ModelSpec, split: Split) -> FusedAttention:
    """Attention in one kernel; it leaves out what a mask or a window hides."""
    return FusedAttention(
        heads=split.sequences * model.num_attention_heads / split.tensor,
        head_size=model.query_head_size,
        queries=split.sequence_length / split.context,
        pairs=attended_pairs(model, split.sequence_length, causal=model.causal) / split.context,
        flop_per_pair=2.0 * (model.query_head_size + model.value_head_size),
        causal=model.causal,
        rounds=split.context,
    )


def _joined(split: Split, widths: float, direction: str) -> Array:
    """What parts of attention that a ring works out one after another are joined with. [bytes]"""
    return RING_BYTES[direction] * (split.context - 1) * split.tokens * widths / split.tensor


def attention_forward(model: ModelSpec, split: Split) -> Kernels:
    """From queries, keys and values to the weighted values."""
    wide, scores, tokens = attention_widths(model), _scores(model, split), split.tokens
    if split.fused_attention:
        operands = wide.query + wide.key + wide.value
        moved = split.layout_bytes[0] * tokens * operands / split.tensor + _joined(split, wide.output, "forward")
        return Kernels((), (), (moved,), _fused(model, split))
    sequence = split.sequences * split.sequence_length
    products = (
        _product(scores, model.query_head_size, (tokens * wide.query + sequence * wide.key) / split.tensor),
        _product(scores, model.value_head_size, (tokens * wide.output + sequence * wide.value) / split.tensor),
    )
    softmax = np.where(steps_of_softmax(model, split), STEPS_BYTES, SOFTMAX_BYTES) * scores
    moves = (softmax, *_dropped(split, scores), 12.0 * tokens * wide.query / split.tensor)  # the last one transposes
    return Kernels((), products, moves, None)


def _dropped(split: Split, scores: Array) -> tuple[Array, ...]:
    """What dropout of scores moves: them, and a mask of one byte. [bytes]"""
    return (5.0 * scores,) if split.drops_scores else ()


def _product(scores: Array, inner: int, operands: Array) -> Batched:
    """All heads' product that makes, or reads, the scores; rows that are no whole vectors of 16 bytes miss the matrix units."""
    return Batched(2.0 * scores * inner, 2.0 * scores + 2.0 * operands, on_matrix_units=inner % ALIGNED == 0)


def attention_backward(model: ModelSpec, split: Split) -> Kernels:
    """Its backward pass; a fused kernel rebuilds the scores."""
    forward, wide = attention_forward(model, split), attention_widths(model)
    if forward.fused is not None:
        operands = wide.query + wide.key + wide.value
        moved = split.layout_bytes[1] * split.tokens * operands / split.tensor + _joined(split, operands, "backward")
        return Kernels((), (), (moved,), forward.fused, fused_share=2.5)
    scores = _scores(model, split)
    softmax = np.where(steps_of_softmax(model, split), STEPS_GRADIENT_BYTES, SOFTMAX_GRADIENT_BYTES) * scores
    moves = (softmax, *_dropped(split, scores), 12.0 * split.tokens * wide.query / split.tensor)
    return Kernels((), forward.batched * 2, moves, None)


def _norm_bytes(model: ModelSpec, split: Split) -> tuple[float, float]:
    """Moved for one element of a norm, forward and backward; that of a layer is one kernel everywhere. [bytes]"""
    return split.norm_bytes if model.normalization == "rmsnorm" else (4.0, 10.0)


def _activation_bytes(model: ModelSpec, split: Split) -> tuple[float, float]:
    """Moved to activate one element inside an MLP, forward and backward. [bytes]"""
    return split.gate_bytes if model.gated_mlp else (4.0, 6.0)


def _more_norms(model: ModelSpec, split: Split) -> list[Array]:
    """Elements that each norm reads beside those before attention and MLP. [-]"""
    wide = attention_widths(model)
    found = [split.tokens * model.hidden_size / split.sequence] * (2 if model.sandwich_norm else 0)
    if model.qk_norm != "none":
        found += [split.tokens * width / split.tensor for width in (wide.query, wide.key)]
    compressed = (model.q_lora_rank or 0, model.kv_lora_rank or 0)
    return found + [split.tokens * width / split.sequence for width in compressed if width]


def _rotated(model: ModelSpec, split: Split) -> Array:
    """Elements of queries and keys that get a rotary position; those of latent attention's keys are the same for all heads. [-]"""
    if model.qk_rope_head_dim is not None:
        return split.tokens * model.qk_rope_head_dim * (model.num_attention_heads + 1) / split.tensor
    wide = attention_widths(model)
    return split.tokens * (wide.query + wide.key) / split.tensor


STEP_BYTES = 6.0
"""Of a kernel that makes one 16-bit element from two. [bytes]"""


def launches_of_steps(model: ModelSpec, split: Split, *, backward: bool) -> float:
    """Kernels beside one for each norm, rotary position and gated activation, where each step of them is one. [-]

    By what they move beyond that one: a step reads two elements, or one of 32 bit, and writes one.
    """
    way, more = int(backward), 0.0
    if model.normalization == "rmsnorm":
        more += (2 + len(_more_norms(model, split))) * (split.norm_bytes[way] - (4.0, 10.0)[way])
    if model.gated_mlp:
        more += split.gate_bytes[way] - (6.0, 10.0)[way]
    if model.position_embedding == "rotary":
        more += 2.0 * (split.rotary_bytes[way] - 4.0)  # queries and keys
    return max(0.0, more) / STEP_BYTES


def _sorted_tokens(model: ModelSpec, split: Split, width: Array) -> list[Array]:
    """Tokens are sorted by expert, and back; where others send some, once more on arrival, and before they return. [bytes]"""
    if model.num_experts == 1:
        return []
    once = 4.0 * model.experts_per_token * width
    return [once, once, *[np.where(split.expert > 1, once, 0.0)] * 2]


BIAS_BYTES, BIAS_GRADIENT_BYTES = (2.0, 6.0, 4.0), (4.0, 2.0, 4.0, 2.0, 4.0)
"""Of `torch.cat([t + b * p for ...])`: weighted, added, joined; backward a product and a sum for the bias, both for the weight of
a token, and joined. Weights of tokens are of 16 bit. [bytes] for an element"""


def loops_biases(model: ModelSpec, split: Split) -> bool:
    """Whether a bias for each expert is weighted by the router and added in kernels of its own."""
    return split.loops_biases and model.num_experts > 1 and model.mlp_bias


def _added_biases(model: ModelSpec, split: Split, width: Array, of_one: tuple[float, ...]) -> list[Array]:
    """Bytes of each step of it, for all experts together. [bytes]"""
    return [each * model.experts_per_token * width for each in of_one] if loops_biases(model, split) else []


def block_forward(model: ModelSpec, split: Split) -> Kernels:
    """A whole block."""
    attention = attention_forward(model, split)
    width = split.tokens * model.hidden_size / split.sequence
    inside = split.tokens * active_mlp_size(model) / split.tensor
    norm, activation = _norm_bytes(model, split)[0], _activation_bytes(model, split)[0]
    moves = [norm * width, norm * width, 7.0 * width, 7.0 * width, activation * inside]
    moves += [norm * one for one in _more_norms(model, split)]
    if split.adds_qkv_bias and model.qkv_bias:
        wide = attention_widths(model)
        moves.append(4.0 * split.tokens * (wide.query + wide.key + wide.value) / split.tensor)
    if model.position_embedding == "rotary":
        moves.append(split.rotary_bytes[0] * _rotated(model, split))
    moves += _sorted_tokens(model, split, width) + _added_biases(model, split, width, BIAS_BYTES)
    return attention._replace(gemms=_projections(model, split), moves=(*attention.moves, *moves))


def operator_forward(model: ModelSpec, split: Split, operator: str) -> Kernels:
    """One part of a block: "attention", "layernorm", "activation", "mlp", "qkv", "out" or "mlp_in"."""
    width = split.tokens * model.hidden_size / split.sequence
    act = _activation_bytes(model, split)[0] * split.tokens * active_mlp_size(model) / split.tensor
    if operator == "attention":
        return attention_forward(model, split)
    if operator == "layernorm":
        norms, each = (width, width, *_more_norms(model, split)), _norm_bytes(model, split)[0]
        return Kernels((), (), tuple(each * one for one in norms), None)
    if operator == "activation":
        return Kernels((), (), (act,), None)
    products, of_attention = _projections(model, split), len(_of_attention(model, split))
    if operator == "qkv":
        return Kernels(products[: of_attention - 1], (), (), None)
    if operator == "out":
        return Kernels(products[of_attention - 1 : of_attention], (), (), None)
    if operator == "mlp_in":
        return Kernels(products[of_attention : of_attention + 1], (), (act,), None)
    return Kernels(products[of_attention:], (), (act,), None)


def block_backward(model: ModelSpec, split: Split) -> Kernels:
    """Its backward pass: gradients of inputs and of weights, the latter added to those of earlier micro-batches."""
    attention, products = attention_backward(model, split), _projections(model, split)
    width = split.tokens * model.hidden_size / split.sequence
    inside = split.tokens * active_mlp_size(model) / split.tensor
    norm, activation = _norm_bytes(model, split)[1], _activation_bytes(model, split)[1]
    moves = [norm * width] * 2 + [6.0 * width] * 2 + [5.0 * width] * 2 + [activation * inside]
    moves += [norm * one for one in _more_norms(model, split)]
    if split.sums_biases:
        moves += [2.0 * one.rows * one.columns * one.count * one.biased for one in products if np.any(one.biased)]
    if model.position_embedding == "rotary":
        moves.append(split.rotary_bytes[1] * _rotated(model, split))
    moves += _sorted_tokens(model, split, width) + _added_biases(model, split, width, BIAS_GRADIENT_BYTES)
    return attention._replace(gemms=_gradients(products), moves=(*attention.moves, *moves))


def head_forward(model: ModelSpec, split: Split, loss_bytes_per_logit: float) -> Kernels:
    """Logits and loss."""
    columns, width = model.vocab_size / split.tensor, model.token_embedding_size
    rows = split.tokens if model.causal else split.sequences * max(1, model.masked_positions)
    narrowed = (Gemm(rows, width, model.hidden_size),) if width != model.hidden_size else ()
    gemms = (*narrowed, Gemm(rows, columns, width))
    return Kernels(gemms, (), (0.5 * loss_bytes_per_logit * rows * columns,), None)


def head_backward(model: ModelSpec, split: Split, loss_bytes_per_logit: float) -> Kernels:
    """Their backward pass."""
    forward = head_forward(model, split, loss_bytes_per_logit)
    return forward._replace(gemms=_gradients(forward.gemms))


def embedding_bytes(model: ModelSpec, split: Split) -> Array:
    """Lookup, positions and dropout; the backward pass moves as much again. [bytes]"""
    return 10.0 * split.tokens * model.hidden_size
