"""A transformer, described in the words of its model card. One file of ``cluster_configs/models`` each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsesim.config.spec import Spec


class ModelSpec(Spec):
    """Shape of a decoder or encoder transformer, as in Hugging Face configs.

    Attributes
    ----------
    name
        Name of a catalogue entry (`wsesim list models`), or a name of your own.
    num_layers
        Transformer blocks. [-]
    hidden_size
        Width. [-]
    num_attention_heads
        Heads of queries. [-]
    num_key_value_heads
        Fewer than `num_attention_heads` for grouped-query, 1 for multi-query attention;
        `num_attention_heads` when left out. [-]
    head_dim
        Width of one attention head; `hidden_size / num_attention_heads` when left out. [-]
    intermediate_size
        Width of the MLP; 4 x `hidden_size` when left out. [-]
    vocab_size
        Tokens in the vocabulary. [-]
    embedding_size
        Width of the token embedding where it differs from `hidden_size` (OPT-350M). [-]
    max_position_embeddings
        Rows of a learned position table, reserved rows included (OPT keeps two more);
        `sequence_length` when left out. [-]
    position_embedding
        "relative" is Transformer-XL's: one more projection and two biases per block (Gopher, Chinchilla).
    gated_mlp
        Three MLP matrices instead of two.
    tie_embeddings
        Input embedding and output head share one table.
    parallel_block
        Attention and MLP read the same input and are summed (GPT-J, GPT-NeoX).
    shared_norm
        A parallel block with one normalisation for both branches (GPT-J).
    causal
        Decoder; an encoder when false.
    normalization
        "rmsnorm" has no shift.
    final_norm
        Normalisation before the head.
    embedding_norm
        Normalisation after the embedding.
    qkv_bias
        Biases of the query, key and value projections.
    attention_output_bias
        Bias of the output projection of attention.
    mlp_bias
        Biases of the MLP.
    lm_head_bias
        Bias of the head.
    type_vocab_size
        Rows of a segment table (BERT). [-]
    masked_positions
        Encoder only: positions per sequence that the language-model head predicts;
        0 is a classification head (pooler and classifier). [-]
    num_experts
        MLPs per block; more than 1 is a mixture of experts. [-]
    experts_per_token
        MLPs that work on a token. [-]
    published_parameters
        Parameters as the source states them, for comparison. [-]
    training_flop_reported
        Training compute as the source reports it, with its own accounting. [FLOP]
    published_pile_loss
        Test loss on the Pile as the source reports it. [nats/token]
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    num_layers: Annotated[int, Field(gt=0, le=4096)]
    hidden_size: Annotated[int, Field(gt=0, le=1_000_000)]
    num_attention_heads: Annotated[int, Field(gt=0, le=100_000)]
    num_key_value_heads: Annotated[int, Field(gt=0, le=100_000)] | None = None
    head_dim: Annotated[int, Field(gt=0, le=100_000)] | None = None
    intermediate_size: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    vocab_size: Annotated[int, Field(gt=0, le=100_000_000)]
    embedding_size: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    max_position_embeddings: Annotated[int, Field(gt=0, le=100_000_000)] | None = None
    position_embedding: Literal["learned", "rotary", "alibi", "relative", "none"] = "learned"
    gated_mlp: bool = False
    tie_embeddings: bool = True
    parallel_block: bool = False
    shared_norm: bool = False
    causal: bool = True
    normalization: Literal["layernorm", "rmsnorm"] = "layernorm"
    final_norm: bool = True
    embedding_norm: bool = False
    qkv_bias: bool = True
    attention_output_bias: bool = True
    mlp_bias: bool = True
    lm_head_bias: bool = False
    type_vocab_size: Annotated[int, Field(ge=0, le=10_000)] = 0
    masked_positions: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    num_experts: Annotated[int, Field(gt=0, le=100_000)] = 1
    experts_per_token: Annotated[int, Field(gt=0, le=100_000)] = 1
    published_parameters: Annotated[float, Field(gt=0)] | None = None
    training_flop_reported: Annotated[float, Field(gt=0)] | None = None
    published_pile_loss: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"[hidden_size] {self.hidden_size} is not divisible by num_attention_heads = "
                f"{self.num_attention_heads}; set head_dim, or change one of the two"
            )
        if self.num_attention_heads % self.key_value_heads:
            raise ValueError(
                f"[num_key_value_heads] {self.key_value_heads} does not divide num_attention_heads = "
                f"{self.num_attention_heads}; use one of its divisors"
            )
        if self.experts_per_token > self.num_experts:
            raise ValueError(
                f"[experts_per_token] {self.experts_per_token} is more than num_experts = {self.num_experts}; "
                "lower it or add experts"
            )
        if self.causal and self.masked_positions:
            raise ValueError("[masked_positions] is for encoders; set causal = false or leave it out")
        if self.shared_norm and not self.parallel_block:
            raise ValueError("[shared_norm] needs parallel_block = true")
        return self

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values. [-]"""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        """Width of one attention head. [-]"""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def mlp_size(self) -> int:
        """Width inside the MLP. [-]"""
        return self.intermediate_size or 4 * self.hidden_size

    @property
    def token_embedding_size(self) -> int:
        """Width of the token embedding. [-]"""
        return self.embedding_size or self.hidden_size
