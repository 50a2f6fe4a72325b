"""Parameters, FLOP and bytes of a transformer, layer by layer. No hardware, no time.

Conventions: one multiply-add is 2 FLOP; the backward pass costs twice the forward pass;
normalisation, softmax and activation functions are not counted, as in [1]_ and [2]_.
Attention is counted over the full ``sequence_length x sequence_length`` square unless a
name says ``causal`` (half of it).

.. [1] Narayanan et al., Efficient Large-Scale Language Model Training on GPU Clusters, 2021, arXiv:2104.04473, eq. 3.
.. [2] Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models, 2022, arXiv:2205.05198.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from wsesim.config.model import ModelSpec

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
    working_set_bytes_per_token
        Activations that one token needs while its layer is computed forward and backward. [bytes]
    output_bytes_per_token
        What the layer hands to the next one, and must be kept for the backward pass. [bytes]
    shares_weights_with
        Name of the layer whose table this layer streams (tied embeddings), else empty.
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


def norm_parameters(model: ModelSpec) -> int:
    """Scale, and shift where the normalisation has one. [-]"""
    return model.hidden_size * (2 if model.normalization == "layernorm" else 1)


def attention_parameters(model: ModelSpec) -> int:
    """Query, key, value and output projections of one block with their biases. [-]"""
    width = model.num_attention_heads * model.head_size
    kv_width = model.key_value_heads * model.head_size
    weights = model.hidden_size * (2 * width + 2 * kv_width)
    biases = (width + 2 * kv_width) * model.qkv_bias + model.hidden_size * model.attention_output_bias
    return weights + biases


def mlp_parameters(model: ModelSpec) -> int:
    """All experts' MLPs of one block, and the router of a mixture. [-]"""
    matrices = 3 if model.gated_mlp else 2
    biases = ((matrices - 1) * model.mlp_size + model.hidden_size) * model.mlp_bias
    router = model.hidden_size * model.num_experts if model.num_experts > 1 else 0
    return model.num_experts * (matrices * model.hidden_size * model.mlp_size + biases) + router


def relative_position_parameters(model: ModelSpec) -> int:
    """Projection of relative positions and its two biases per head, of one block (Dai et al. 2019). [-]

    Its FLOP are not counted, as in Hoffmann et al. 2022, appendix F.
    """
    width = model.num_attention_heads * model.head_size
    return (model.hidden_size + 2) * width if model.position_embedding == "relative" else 0


def block_parameters(model: ModelSpec) -> int:
    """One transformer block. [-]"""
    norms = (1 if model.shared_norm else 2) * norm_parameters(model)
    return attention_parameters(model) + relative_position_parameters(model) + mlp_parameters(model) + norms


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
    own += h * h + h  # pooler
    if model.masked_positions:
        own += h * h + h + norm_parameters(model)  # transform
        own += (0 if model.tie_embeddings else model.vocab_size * size) + model.vocab_size
    return own + 2 * h + 2  # two classes: next sentence, or a sentence's label


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
    blocks = model.num_layers * block_parameters(model)
    return blocks + embedding_parameters(model, sequence_length) + head_parameters(model)


def block_gemm_flop_per_token(model: ModelSpec) -> float:
    """Products with the weights of one block, forward. [FLOP]"""
    width = model.num_attention_heads * model.head_size
    kv_width = model.key_value_heads * model.head_size
    attention = model.hidden_size * (2 * width + 2 * kv_width)
    mlp = model.experts_per_token * (3 if model.gated_mlp else 2) * model.hidden_size * model.mlp_size
    router = model.hidden_size * model.num_experts if model.num_experts > 1 else 0
    return 2.0 * (attention + mlp + router)


def block_attention_flop_per_token(model: ModelSpec, sequence_length: int) -> float:
    """Scores and weighted values of one block over the full square, forward. [FLOP]"""
    return 4.0 * sequence_length * model.num_attention_heads * model.head_size


def block_working_set_elements_per_token(model: ModelSpec) -> float:
    """Activations that one block keeps per token between its forward and backward pass. [-]

    The tensors of Korthikanti et al. 2022, section 4.1, without dropout masks and without the
    score matrix, which is rebuilt: inputs of the normalisations, of the projections and of the
    activation function, queries, keys and values. A parallel block reads one normalised input
    and holds one branch's output until the other is ready.
    """
    h, width = model.hidden_size, model.num_attention_heads * model.head_size
    kv_width = model.key_value_heads * model.head_size
    mlp = model.mlp_size * model.experts_per_token * (4 if model.gated_mlp else 2)
    attention = 2 * width + 2 * kv_width
    inputs = 3 * h if model.parallel_block else 4 * h
    if model.parallel_block and not model.shared_norm:
        inputs += h
    return inputs + attention + mlp


def head_gemm_flop_per_sequence(model: ModelSpec, sequence_length: int) -> float:
    """Output head, forward: every position of a decoder, the masked ones of an encoder. [FLOP]"""
    h, size = model.hidden_size, model.token_embedding_size
    decode = model.vocab_size * size + (h * size if size != h else 0)
    if model.causal:
        return 2.0 * sequence_length * decode
    return 2.0 * (model.masked_positions * (h * h + decode if model.masked_positions else 0) + h * h + 2 * h)


def head_matrices(model: ModelSpec) -> int:
    """Weight matrices of the output head. [-]"""
    projection = 1 if model.token_embedding_size != model.hidden_size else 0
    if model.causal:
        return 1 + projection
    return 2 + (2 if model.masked_positions else 0)


@lru_cache(maxsize=256)
def layers(model: ModelSpec, sequence_length: int) -> tuple[Layer, ...]:
    """The model as a chain of layers: embedding, blocks, head.

    Parameters
    ----------
    model
        The transformer.
    sequence_length
        Tokens per sequence. [-]

    Returns
    -------
    tuple of Layer
        ``num_layers + 2`` entries in forward order.
    """
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
    matrices = 4 + (3 if model.gated_mlp else 2) * model.num_experts + (1 if model.num_experts > 1 else 0)
    matrices += 1 if model.position_embedding == "relative" else 0
    block = Layer(
        name="block",
        kind="block",
        parameters=block_parameters(model),
        streamed_parameters=block_parameters(model),
        num_weight_matrices=matrices,
        gemm_flop_per_sequence=sequence_length * block_gemm_flop_per_token(model),
        attention_flop_per_sequence=sequence_length * block_attention_flop_per_token(model, sequence_length),
        working_set_bytes_per_token=BYTES_PER_ACTIVATION * block_working_set_elements_per_token(model),
        output_bytes_per_token=output,
    )
    blocks = tuple(replace(block, name=f"block.{index}") for index in range(model.num_layers))
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

    With `causal` the attention of a decoder counts the lower half of the square only.
    """
    chain = layers(model, sequence_length)
    gemm = sum(layer.gemm_flop_per_sequence for layer in chain)
    attention = sum(layer.attention_flop_per_sequence for layer in chain)
    return 3.0 * (gemm + attention * (0.5 if causal and model.causal else 1.0))
