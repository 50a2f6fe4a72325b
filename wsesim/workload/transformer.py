"""Parameters, FLOP and bytes of a transformer, layer by layer, and shapes of models of any size. No hardware, no time."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from wsesim.config.model import AttentionKind, ModelSpec
from wsesim.units import add_up

# Parameters, FLOP and bytes of a transformer, layer by layer. No hardware, no time.
#
# Conventions: one multiply-add is 2 FLOP; the backward pass costs twice the forward pass;
# normalisation, softmax and activation functions are not counted, as in [1]_ and [2]_.
# Attention is counted over the full ``sequence_length x sequence_length`` square, or the band of
# it that a window leaves, unless a name says ``causal`` (the part below the diagonal).
#
# The blocks of a model may differ: in what they attend to, and in whether they have experts.
# `block_variants` gives for each kind a model whose blocks are all of that kind; functions named
# ``block_...`` and everything in `wsesim.machines.gpu.kernels` take such a model.
#
# .. [1] Narayanan et al., Efficient Large-Scale Language Model Training on GPU Clusters, 2021, arXiv:2104.04473, eq.
# 3. .. [2] Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models, 2022, arXiv:2205.05198.


BYTES_PER_ACTIVATION = 2
"""Activations are 16-bit, as in Korthikanti et al. 2022, section 4.1. [bytes]"""

LayerKind = Literal["embedding", "block", "head"]


@dataclass(frozen=True)
class Layer:
    """One unit of weight streaming: what is stored, streamed and computed for it.

    Attributes
    ----------
    parameters
        Parameters that this layer owns; a tied head owns no table. [-]
    streamed_parameters
        Parameters that stream past the wafer for one pass. [-]
    num_weight_matrices
        Weight matrices among them; each starts one sweep over the wafer. [-]
    gemm_flop_per_sequence, attention_flop_per_sequence
        Forward pass of one sequence: products with weights, and products of activations. [FLOP]
    causal_attention_flop_per_sequence
        Of the latter, what a decoder needs. [FLOP]
    working_set_bytes_per_token
        Activations that one token needs while its layer is computed forward and backward. [bytes]
    output_bytes_per_token
        What the layer hands to the next one, and must be kept for the backward pass. [bytes]
    shares_weights_with
        Name of the layer whose table this layer streams (tied embeddings), else empty.
    scores_per_sequence
        Pairs of a query and a key, over all heads. [-]
    head_widths
        Of a query and of a value. [-]
    """

    name: str
    kind: LayerKind
    parameters: int
    streamed_parameters: int
    num_weight_matrices: int
    gemm_flop_per_sequence: float
    attention_flop_per_sequence: float
    working_set_bytes_per_token: float
    output_bytes_per_token: float
    shares_weights_with: str = ""
    causal_attention_flop_per_sequence: float = 0.0
    scores_per_sequence: float = 0.0
    head_widths: tuple[int, int] = (0, 0)


_NORM_VECTORS = {"layernorm": 2, "rmsnorm": 1, "plain": 0}


def norm_parameters(model: ModelSpec) -> int:
    """Scale, and shift where the normalisation has one. [-]"""
    return model.hidden_size * _NORM_VECTORS[model.normalization]


class AttentionWidths(NamedTuple):
    """What one token has in one block, all heads together. [-]"""

    query: int
    key: int
    value: int
    output: int


@lru_cache(maxsize=256)
def attention_widths(model: ModelSpec) -> AttentionWidths:
    """All queries, keys, values and weighted values of one token; those of latent attention behind its expansion. [-]"""
    heads, keys = model.num_attention_heads, model.num_attention_heads if model.is_latent else model.key_value_heads
    query, value = model.query_head_size, model.value_head_size
    return AttentionWidths(heads * query, keys * query, keys * value, heads * value)


def compressed_widths(model: ModelSpec) -> tuple[int, int]:
    """Compressed queries, and compressed keys and values with the part that all heads share; else nothing. [-]"""
    if model.kv_lora_rank is None:
        return 0, 0
    return model.q_lora_rank or 0, model.kv_lora_rank + (model.qk_rope_head_dim or 0)


def attention_weights(model: ModelSpec) -> int:
    """Elements of the query, key, value and output projections of one block. [-]"""
    hidden, wide, latent = model.hidden_size, attention_widths(model), model.kv_lora_rank
    if latent is None:
        return hidden * (wide.query + wide.key + wide.value + wide.output)
    queries, keys = compressed_widths(model)
    up = model.num_attention_heads * ((model.qk_nope_head_dim or 0) + model.value_head_size)
    asked = hidden * queries + queries * wide.query if queries else hidden * wide.query
    return asked + hidden * keys + latent * up + hidden * wide.output


def num_attention_matrices(model: ModelSpec) -> int:
    """Matrices of the projections of one block. [-]"""
    if not model.is_latent:
        return 4
    return 5 if model.q_lora_rank else 4


def attention_parameters(model: ModelSpec) -> int:
    """Projections of one block with their biases, norms and sinks. [-]"""
    wide, (queries, keys) = attention_widths(model), compressed_widths(model)
    first = (queries if model.q_lora_rank else 0) + keys if model.is_latent else wide.query + wide.key + wide.value
    biases = first * model.qkv_bias + model.hidden_size * model.attention_output_bias
    norms = query_key_norm_parameters(model) + (queries + (model.kv_lora_rank or 0))
    sinks = model.num_attention_heads if model.attention_sinks else 0
    return attention_weights(model) + biases + norms + sinks


def query_key_norm_parameters(model: ModelSpec) -> int:
    """Of one block: one scale (and shift) for all heads, or one scale for every element. [-]"""
    if model.qk_norm == "head":
        return 2 * model.query_head_size * _NORM_VECTORS[model.normalization]
    wide = attention_widths(model)
    return wide.query + wide.key if model.qk_norm == "width" else 0


def mlp_weights(model: ModelSpec, width: int) -> int:
    """Elements of the matrices of an MLP of this width. [-]"""
    return (3 if model.gated_mlp else 2) * model.hidden_size * width


def _mlp_biases(model: ModelSpec, width: int) -> int:
    return ((2 if model.gated_mlp else 1) * width + model.hidden_size) * model.mlp_bias


def expert_parameters(model: ModelSpec) -> int:
    """One routed expert, or the MLP of a block without experts. [-]"""
    return mlp_weights(model, model.expert_size) + _mlp_biases(model, model.expert_size)


def router_parameters(model: ModelSpec) -> int:
    """Of a block with experts. [-]"""
    if model.num_experts == 1:
        return 0
    return model.hidden_size * model.num_experts + (model.num_experts if model.router_bias else 0)


def shared_expert_parameters(model: ModelSpec) -> int:
    """The MLP that works on every token beside the routed experts, with its gate. [-]"""
    width = model.shared_expert_size
    if not width:
        return 0
    gate = model.hidden_size if model.shared_expert_gate else 0
    return mlp_weights(model, width) + _mlp_biases(model, width) + gate


def routed_parameters(model: ModelSpec) -> int:
    """All routed experts of one block, or its one MLP, and the router. [-]"""
    return model.num_experts * expert_parameters(model) + router_parameters(model)


def mlp_parameters(model: ModelSpec) -> int:
    """All experts' MLPs of one block, and the router of a mixture. [-]"""
    return routed_parameters(model) + shared_expert_parameters(model)


def active_mlp_size(model: ModelSpec) -> int:
    """Width inside all MLPs that work on one token. [-]"""
    return model.expert_size * model.experts_per_token + model.shared_expert_size


def relative_position_parameters(model: ModelSpec) -> int:
    """Projection of relative positions and its two biases per head, of one block (Dai et al. 2019). [-]

    Its FLOP are not counted, as in Hoffmann et al. 2022, appendix F.
    """
    width = model.num_attention_heads * model.head_size
    return (model.hidden_size + 2) * width if model.position_embedding == "relative" else 0


def block_parameters(model: ModelSpec) -> int:
    """One transformer block. [-]"""
    norms = (1 if model.shared_norm else 4 if model.sandwich_norm else 2) * norm_parameters(model)
    return attention_parameters(model) + relative_position_parameters(model) + mlp_parameters(model) + norms


class _Variant(NamedTuple):
    """What one block has that another one of its model may not."""

    attention: AttentionKind
    has_experts: bool


@lru_cache(maxsize=256)
def _variants(model: ModelSpec) -> tuple[_Variant, ...]:
    """Of each block, in forward order."""
    pattern = model.layer_types or (("full_attention",) if model.sliding_window is None else ("sliding_attention",))
    step, dense = model.interleave_moe_layer_step, model.first_k_dense_replace
    return tuple(
        _Variant(pattern[index % len(pattern)], model.num_experts > 1 and index >= dense and (index + 1) % step == 0)
        for index in range(model.num_layers)
    )


def _of_one_kind(model: ModelSpec, variant: _Variant, number: int) -> ModelSpec:
    """A model of so many blocks of one kind."""
    changes: dict[str, Any] = {
        "num_layers": number,
        "layer_types": None if variant.attention == "sliding_attention" else (variant.attention,),
        "first_k_dense_replace": 0,
        "interleave_moe_layer_step": 1,
    }
    if variant.attention == "full_attention":
        changes |= {"sliding_window": None, "layer_types": None}
    if not variant.has_experts:
        changes |= {"num_experts": 1, "experts_per_token": 1, "n_shared_experts": 0, "router_bias": False}
        changes |= {"n_group": 1, "topk_group": 1}
        changes |= {"moe_intermediate_size": None, "shared_expert_intermediate_size": None, "shared_expert_gate": False}
    return model.model_copy(update=changes)


@lru_cache(maxsize=256)
def block_variants(model: ModelSpec) -> tuple[tuple[ModelSpec, int], ...]:
    """For each kind of block a model whose blocks are all of that kind, and how many blocks are.

    Examples
    --------
    >>> mixed = ModelSpec(name="mixed", num_layers=5, hidden_size=8, num_attention_heads=2, vocab_size=10,
    ...                   sliding_window=4, layer_types=("sliding_attention", "full_attention"))
    >>> [(one.sliding_window, number) for one, number in block_variants(mixed)]
    [(4, 3), (None, 2)]
    """
    found = Counter(_variants(model))
    if len(found) == 1 and next(iter(found)).has_experts == (model.num_experts > 1):
        return ((model, model.num_layers),)
    return tuple((_of_one_kind(model, variant, number), number) for variant, number in found.items())


@lru_cache(maxsize=256)
def block_kinds(model: ModelSpec) -> tuple[int, ...]:
    """Of each block, in forward order, its place in `block_variants`. [-]"""
    places: dict[_Variant, int] = {}
    return tuple([places.setdefault(variant, len(places)) for variant in _variants(model)])


def embedding_parameters(model: ModelSpec, sequence_length: int | None = None) -> int:
    """Token, position and segment tables, and what follows them before the first block. [-]

    `sequence_length` sizes a learned position table whose `max_position_embeddings` is not given.
    """
    size = model.token_embedding_size
    positions = 0
    if model.position_embedding == "learned":
        positions = (model.max_position_embeddings or sequence_length or 0) * model.hidden_size
    projection = size * model.hidden_size if size != model.hidden_size else 0
    norm = norm_parameters(model) if model.embedding_norm else 0
    return model.vocab_size * size + positions + model.type_vocab_size * model.hidden_size + projection + norm


def head_parameters(model: ModelSpec) -> int:
    """Parameters that belong to the output head alone; a tied table belongs to the embedding. [-]"""
    h, size = model.hidden_size, model.token_embedding_size
    own = norm_parameters(model) if model.final_norm else 0
    if model.causal:
        own += h * size if size != h else 0
        own += 0 if model.tie_embeddings else model.vocab_size * size
        return own + (model.vocab_size if model.lm_head_bias else 0)
    own += h * h + h if model.pooler else 0
    own += (h + 1) * model.num_labels if model.pooler or not model.masked_positions else 0
    if model.masked_positions:
        own += h * h + h + norm_parameters(model)  # transform
        own += (0 if model.tie_embeddings else model.vocab_size * size) + model.vocab_size
    return own


@lru_cache(maxsize=256)
def parameter_count(model: ModelSpec, sequence_length: int | None = None) -> int:
    """All parameters, tied tables once.

    Examples
    --------
    >>> tiny = ModelSpec(name="tiny", num_layers=2, hidden_size=8, num_attention_heads=2, vocab_size=10,
    ...                  max_position_embeddings=4)
    >>> parameter_count(tiny)  # 2 x (12 h^2 + 13 h) + (10 + 4) h + 2 h
    1872
    """
    blocks = add_up(number * block_parameters(one) for one, number in block_variants(model))
    return blocks + embedding_parameters(model, sequence_length) + head_parameters(model)


@lru_cache(maxsize=256)
def active_parameter_count(model: ModelSpec, sequence_length: int | None = None) -> int:
    """Parameters that work on one token: all but the experts that it is not sent to; tables count whole. [-]

    Examples
    --------
    >>> from wsesim.config.loader import load_model
    >>> active_parameter_count(load_model("mixtral-8x7b"))
    12879925248
    """
    idle = add_up(
        number * (one.num_experts - one.experts_per_token) * expert_parameters(one)
        for one, number in block_variants(model)
    )
    return parameter_count(model, sequence_length) - idle


_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:[.p]\d+)?)\s?([bmt])(?![a-z0-9])")
_UNITS = {"m": 1e6, "b": 1e9, "t": 1e12}
NAMED_WITHIN, MIXTURE_WITHIN, PUBLISHED_WITHIN = (0.65, 1.45), (0.5, 1.1), (0.95, 1.05)
"""Parameters over what a name says (Gemma 7B has 8.5e9), over experts times their size (Mixtral 8x7B has 46.7e9), and over a
published count. [-]"""


def size_warning(model: ModelSpec, sequence_length: int | None = None) -> str:
    """A sentence where a model's name, or its published count, disagrees with its parameters; else nothing.

    Examples
    --------
    >>> shape = {"num_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "vocab_size": 32_000}
    >>> size_warning(ModelSpec(name="my-7b", **shape))
    ''
    >>> size_warning(ModelSpec(name="mixtral-8x7b", **shape))
    'warning: the name mixtral-8x7b says 8x7b, but the file describes 6,575,235,072 parameters; is it read as it is meant?'
    """
    count, published = parameter_count(model, sequence_length), model.published_parameters
    if published is not None and not PUBLISHED_WITHIN[0] <= count / published <= PUBLISHED_WITHIN[1]:
        return f"warning: published_parameters is {published:.4g}, but the file describes {count:,} parameters"
    said = _SIZE.search(model.name.lower().replace("_", "-"))
    if said is None:
        return ""
    low, high = MIXTURE_WITHIN if said[1] else NAMED_WITHIN
    size = float(said[2].replace("p", ".")) * _UNITS[said[3]] * int(said[1] or 1)
    if size == 0 or low <= count / size <= high:
        return ""
    return (
        f"warning: the name {model.name} says {said[0]}, but the file describes {count:,} parameters; "
        "is it read as it is meant?"
    )


def block_gemm_flop_per_token(model: ModelSpec) -> float:
    """Products with the weights of one block, forward. [FLOP]"""
    router = model.hidden_size * model.num_experts if model.num_experts > 1 else 0
    gate = model.hidden_size if model.shared_expert_gate else 0
    return 2.0 * (attention_weights(model) + mlp_weights(model, active_mlp_size(model)) + router + gate)


def attended_pairs(model: ModelSpec, sequence_length: int, *, causal: bool = False) -> float:
    """Pairs of a query and a key that one head of one block multiplies. [-]

    The whole square, or the band of it that a window leaves; with `causal` what of it lies below the diagonal, where a
    window has all its keys but for the first tokens.

    Examples
    --------
    >>> model = ModelSpec(name="tiny", num_layers=1, hidden_size=8, num_attention_heads=2, vocab_size=10, sliding_window=4)
    >>> attended_pairs(model, 16), attended_pairs(model, 16, causal=True)
    (64.0, 56.0)
    """
    kind = _variants(model)[0].attention
    window = min(model.sliding_window or sequence_length, sequence_length)
    if kind == "full_attention":
        window = sequence_length
    if kind == "chunked_attention":
        whole, rest = divmod(sequence_length, window)
        pairs = float(whole * window**2 + rest**2)
        return 0.5 * pairs if causal else pairs
    pairs = float(sequence_length * window)
    return pairs - 0.5 * window**2 if causal else pairs


def block_attention_flop_per_sequence(model: ModelSpec, sequence_length: int, *, causal: bool = False) -> float:
    """Scores and weighted values of one block, forward. [FLOP]"""
    each = model.query_head_size + model.value_head_size
    return 2.0 * attended_pairs(model, sequence_length, causal=causal) * model.num_attention_heads * each


def block_working_set_elements_per_token(model: ModelSpec) -> float:
    """Activations that one block keeps per token between its forward and backward pass. [-]

    The tensors of Korthikanti et al. 2022, section 4.1, without dropout masks and without the
    score matrix, which is rebuilt: inputs of the normalisations, of the projections and of the
    activation function, queries, keys and values. A parallel block reads one normalised input
    and holds one branch's output until the other is ready. Norms of queries and keys, and of what
    latent attention compresses, keep their inputs, too.
    """
    h, wide = model.hidden_size, attention_widths(model)
    mlp = active_mlp_size(model) * (4 if model.gated_mlp else 2)
    attention = add_up(wide) + 2 * add_up(compressed_widths(model))
    attention += wide.query + wide.key if model.qk_norm != "none" else 0
    inputs = 3 * h if model.parallel_block else 6 * h if model.sandwich_norm else 4 * h
    if model.parallel_block and not model.shared_norm:
        inputs += h
    return inputs + attention + mlp


def head_gemm_flop_per_sequence(model: ModelSpec, sequence_length: int) -> float:
    """Output head, forward: every position of a decoder, the masked ones of an encoder. [FLOP]"""
    h, size = model.hidden_size, model.token_embedding_size
    decode = model.vocab_size * size + (h * size if size != h else 0)
    if model.causal:
        return 2.0 * sequence_length * decode
    if not (model.pooler or model.masked_positions):
        return 2.0 * sequence_length * model.num_labels * h  # every token is labelled
    pooled = h * h + model.num_labels * h if model.pooler else 0
    return 2.0 * (model.masked_positions * (h * h + decode if model.masked_positions else 0) + pooled)


def head_matrices(model: ModelSpec) -> int:
    """Weight matrices of the output head. [-]"""
    projection = 1 if model.token_embedding_size != model.hidden_size else 0
    if model.causal:
        return 1 + projection
    return (2 if model.pooler else 0 if model.masked_positions else 1) + (2 if model.masked_positions else 0)


def block_matrices(model: ModelSpec) -> int:
    """Weight matrices of one block. [-]"""
    each = 3 if model.gated_mlp else 2
    found = num_attention_matrices(model) + each * model.num_experts + (1 if model.num_experts > 1 else 0)
    found += each if model.shared_expert_size else 0
    return found + model.shared_expert_gate + (1 if model.position_embedding == "relative" else 0)


def _block(model: ModelSpec, sequence_length: int, output_bytes: float) -> Layer:
    """One of the blocks of a model whose blocks are alike."""
    return Layer(
        name="block",
        kind="block",
        parameters=block_parameters(model),
        streamed_parameters=block_parameters(model),
        num_weight_matrices=block_matrices(model),
        gemm_flop_per_sequence=sequence_length * block_gemm_flop_per_token(model),
        attention_flop_per_sequence=block_attention_flop_per_sequence(model, sequence_length),
        working_set_bytes_per_token=BYTES_PER_ACTIVATION * block_working_set_elements_per_token(model),
        output_bytes_per_token=output_bytes,
        causal_attention_flop_per_sequence=block_attention_flop_per_sequence(
            model, sequence_length, causal=model.causal
        ),
        scores_per_sequence=attended_pairs(model, sequence_length) * model.num_attention_heads,
        head_widths=(model.query_head_size, model.value_head_size),
    )


@lru_cache(maxsize=256)
def layers(model: ModelSpec, sequence_length: int) -> tuple[Layer, ...]:
    """The model as a chain of ``num_layers + 2`` layers: embedding, blocks, head."""
    output = BYTES_PER_ACTIVATION * float(model.hidden_size)
    embedding = Layer(
        name="embedding",
        kind="embedding",
        parameters=embedding_parameters(model, sequence_length),
        streamed_parameters=embedding_parameters(model, sequence_length),
        num_weight_matrices=1 + (1 if model.token_embedding_size != model.hidden_size else 0),
        gemm_flop_per_sequence=2.0
        * sequence_length
        * (
            model.token_embedding_size * model.hidden_size
            if model.embedding_size not in (None, model.hidden_size)
            else 0
        ),
        attention_flop_per_sequence=0.0,
        working_set_bytes_per_token=output,
        output_bytes_per_token=output,
    )
    kinds = [_block(one, sequence_length, output) for one, _ in block_variants(model)]
    blocks = tuple(replace(kinds[kind], name=f"block.{index}") for index, kind in enumerate(block_kinds(model)))
    has_table = model.causal or model.masked_positions > 0
    table = model.vocab_size * model.token_embedding_size if model.tie_embeddings and has_table else 0
    head = Layer(
        name="head",
        kind="head",
        parameters=head_parameters(model),
        streamed_parameters=head_parameters(model) + table,
        num_weight_matrices=head_matrices(model),
        gemm_flop_per_sequence=head_gemm_flop_per_sequence(model, sequence_length),
        attention_flop_per_sequence=0.0,
        working_set_bytes_per_token=output,
        output_bytes_per_token=0.0,
        shares_weights_with="embedding" if table else "",
    )
    return (embedding, *blocks, head)


def model_flop_per_sequence(model: ModelSpec, sequence_length: int, *, causal: bool = False) -> float:
    """Forward and backward of one sequence, without any recomputation. [FLOP]

    With `causal` the attention of a decoder counts what lies below the diagonal only.
    """
    chain = layers(model, sequence_length)
    gemm = add_up(layer.gemm_flop_per_sequence for layer in chain)
    attention = add_up(
        layer.causal_attention_flop_per_sequence if causal else layer.attention_flop_per_sequence for layer in chain
    )
    return 3.0 * (gemm + attention)


@lru_cache(maxsize=256)
def layer_counts(model: ModelSpec, sequence_length: int) -> tuple[tuple[Layer, int], ...]:
    """The first layer of each kind, in forward order, and how many are like it."""
    chain, kinds = layers(model, sequence_length), block_kinds(model)
    blocks = [(chain[1 + kinds.index(kind)], kinds.count(kind)) for kind in range(len(block_variants(model)))]
    return (chain[0], 1), *blocks, (chain[-1], 1)


# Shapes of models of any size: a GPT of so many parameters.


VOCAB_SIZE = 50257
"""That of GPT-2, which most models of the laws are near to. [-]"""
SHAPES = ((125e6, 12), (355e6, 24), (1.3e9, 24), (2.7e9, 32), (6.7e9, 32), (13e9, 40), (175e9, 96), (530e9, 105))
"""Parameters and layers of the GPT-3 family and MT-NLG (Brown et al. 2020, table 2.1; Smith et al. 2022). [-]"""
WIDTH_STEP = 128
"""Widths are multiples of this, which is also the width of a head. [-]"""


def shape_of(parameters: float) -> dict[str, Any]:
    """A GPT of about so many parameters, as a ``[model]`` table; its depth lies between those of the GPT-3 family.

    Examples
    --------
    >>> shape_of(13e9)["num_layers"], shape_of(13e9)["hidden_size"]
    (40, 5120)
    """
    layers = _depth(parameters)
    width = _width(parameters, layers)
    return {
        "name": f"GPT of {parameters:.3g} parameters",
        "num_layers": layers,
        "hidden_size": width,
        "num_attention_heads": max(1, width // WIDTH_STEP),
        "vocab_size": VOCAB_SIZE,
    }


def _depth(parameters: float) -> int:
    known = SHAPES
    if parameters <= known[0][0]:
        return known[0][1]
    for (small, few), (large, many) in itertools.pairwise(known):
        if parameters <= large:
            share = math.log(parameters / small) / math.log(large / small)
            return round(float(few * (many / few) ** share))
    return known[-1][1]


def _width(parameters: float, layers: int) -> int:
    """The multiple of `WIDTH_STEP` whose ``12 L h^2 + V h`` is nearest."""
    exact = (math.sqrt(VOCAB_SIZE**2 + 48.0 * layers * parameters) - VOCAB_SIZE) / (24.0 * layers)
    return max(1, round(exact / WIDTH_STEP)) * WIDTH_STEP
