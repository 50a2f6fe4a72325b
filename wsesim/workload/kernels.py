"""What one GPU executes for one transformer block: matrix products, attention, and what only moves bytes.

Shapes only, no time. Quantities may be numbers or numpy arrays over plans. Counts of bytes follow
Korthikanti et al. 2022, section 4.1: 16-bit activations, one byte for a dropout mask. The backward
pass of a product is two products; that of a norm reads its inputs twice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from wsesim.config.model import ModelSpec

Array = Any
"""A number, or an array over plans."""


class Gemm(NamedTuple):
    """``rows x inner`` times ``inner x columns``, `count` times.

    Attributes
    ----------
    more_bytes
        Moved beside operands and result. [bytes]
    """

    rows: Array
    columns: Array
    inner: Array
    count: Array = 1.0
    more_bytes: Array = 0.0

    @property
    def flop(self) -> Array:
        """All of them. [FLOP]"""
        return 2.0 * self.rows * self.columns * self.inner * self.count


class Batched(NamedTuple):
    """Many small products in one kernel."""

    flop: Array
    num_bytes: Array


class Kernels(NamedTuple):
    """What is executed one after another.

    Attributes
    ----------
    moves
        Bytes of each kernel that only moves bytes. [bytes]
    fused
        FLOP of the fused attention kernel; None without one. [FLOP]
    """

    gemms: tuple[Gemm, ...]
    batched: tuple[Batched, ...]
    moves: tuple[Array, ...]
    fused: Array | None

    @property
    def num_launches(self) -> int:
        """Kernels that the host starts; the experts of a mixture are one grouped kernel. [-]"""
        return len(self.gemms) + len(self.batched) + len(self.moves) + (self.fused is not None)

    @property
    def flop(self) -> Array:
        """Products and attention. [FLOP]"""
        fused = 0.0 if self.fused is None else self.fused
        return sum(one.flop for one in self.gemms) + sum(one.flop for one in self.batched) + fused


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
    sequence
        GPUs over which norms and dropouts are split: `tensor` with sequence parallelism, else 1. [-]
    fused_attention
        Whether attention keeps no scores.
    """

    sequences: Array
    sequence_length: int
    tensor: Array
    context: Array
    expert: Array
    sequence: Array
    fused_attention: bool

    @property
    def tokens(self) -> Array:
        """Of one micro-batch on one GPU. [-]"""
        return self.sequences * self.sequence_length / self.context


def widths(model: ModelSpec) -> tuple[int, int]:
    """All queries, and all keys (as many values) of one token. [-]"""
    return model.num_attention_heads * model.head_size, model.key_value_heads * model.head_size


def _projections(model: ModelSpec, split: Split) -> tuple[Gemm, ...]:
    """The products with weights, forward."""
    query, key = widths(model)
    tokens, hidden, tensor = split.tokens, model.hidden_size, split.tensor
    experts = model.num_experts / split.expert
    routed = tokens * model.experts_per_token / experts if model.num_experts > 1 else tokens
    inside = model.mlp_size / tensor
    found = [
        Gemm(tokens, (query + 2 * key) / tensor, hidden),
        Gemm(tokens, hidden, query / tensor),
        Gemm(routed, inside * (2 if model.gated_mlp else 1), hidden, experts),
        Gemm(routed, hidden, inside, experts),
    ]
    return (*found, Gemm(tokens, model.num_experts, hidden)) if model.num_experts > 1 else tuple(found)


def _gradients(gemms: tuple[Gemm, ...]) -> tuple[Gemm, ...]:
    """Of each product the gradient of its input, and that of its weights."""
    found: list[Gemm] = []
    for one in gemms:
        found.append(Gemm(one.rows, one.inner, one.columns, one.count))
        found.append(Gemm(one.inner, one.columns, one.rows, one.count, 4.0 * one.inner * one.columns))
    return tuple(found)


def _scores(model: ModelSpec, split: Split) -> Array:
    """Elements of the score matrices of one GPU. [-]"""
    heads = split.sequences * model.num_attention_heads / split.tensor
    return heads * split.sequence_length / split.context * split.sequence_length


def attention_forward(model: ModelSpec, split: Split) -> Kernels:
    """From queries, keys and values to the weighted values."""
    query, key = widths(model)
    scores, tokens = _scores(model, split), split.tokens
    flop = 2.0 * scores * model.head_size
    if split.fused_attention:
        executed = 2.0 * flop * (0.5 if model.causal else 1.0)
        return Kernels((), (), (4.0 * tokens * (query + 2 * key) / split.tensor,), executed)
    operands = 2.0 * (tokens * query + split.sequences * split.sequence_length * key) / split.tensor
    product = Batched(flop, 2.0 * scores + operands)
    moves = (4.0 * scores, 5.0 * scores, 12.0 * tokens * query / split.tensor)  # softmax, dropout, transposition
    return Kernels((), (product, product), moves, None)


def attention_backward(model: ModelSpec, split: Split) -> Kernels:
    """Its backward pass; a fused kernel rebuilds the scores."""
    query, key = widths(model)
    forward = attention_forward(model, split)
    if forward.fused is not None:
        return Kernels((), (), (4.0 * split.tokens * (query + 2 * key) / split.tensor,), 2.5 * forward.fused)
    scores = _scores(model, split)
    moves = (6.0 * scores, 5.0 * scores, 12.0 * split.tokens * query / split.tensor)
    return Kernels((), forward.batched * 2, moves, None)


def block_forward(model: ModelSpec, split: Split) -> Kernels:
    """A whole block."""
    query, key = widths(model)
    attention = attention_forward(model, split)
    width = split.tokens * model.hidden_size / split.sequence
    inside = split.tokens * model.experts_per_token * model.mlp_size / split.tensor
    moves = [4.0 * width, 4.0 * width, 7.0 * width, 7.0 * width, (6.0 if model.gated_mlp else 4.0) * inside]
    if model.position_embedding == "rotary":
        moves.append(4.0 * split.tokens * (query + key) / split.tensor)
    if model.num_experts > 1:  # tokens are sorted by expert, and back
        moves += [4.0 * model.experts_per_token * width] * 2
    return attention._replace(gemms=_projections(model, split), moves=(*attention.moves, *moves))


def block_backward(model: ModelSpec, split: Split) -> Kernels:
    """Its backward pass: gradients of inputs and of weights, the latter added to those of earlier micro-batches."""
    query, key = widths(model)
    attention = attention_backward(model, split)
    width = split.tokens * model.hidden_size / split.sequence
    inside = split.tokens * model.experts_per_token * model.mlp_size / split.tensor
    moves = [10.0 * width] * 2 + [6.0 * width] * 2 + [5.0 * width] * 2 + [(10.0 if model.gated_mlp else 6.0) * inside]
    if model.position_embedding == "rotary":
        moves.append(4.0 * split.tokens * (query + key) / split.tensor)
    if model.num_experts > 1:
        moves += [4.0 * model.experts_per_token * width] * 2
    return attention._replace(gemms=_gradients(_projections(model, split)), moves=(*attention.moves, *moves))


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
