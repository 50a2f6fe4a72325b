"""A transformer in the words of its model card, and laws of what such models learn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from wsesim.config.spec import NotNegative, Positive, Share, Spec

# Laws of what a model learns: loss by parameters and tokens or by compute, zero-shot accuracy by loss. A file each.


Chance = Annotated[float, Field(ge=0, lt=1)]
"""An accuracy below one. [-]"""


class LossLawSpec(Spec):
    """Loss by parameters N and tokens D: floor + ((of_parameters / N^a)^s + (of_tokens / D^b)^s)^(1/s).

    Attributes
    ----------
    data
        What the loss is measured on, in words.
    counted
        Parameters that N counts: "all", or "blocks" for the weights that a token meets in the transformer blocks, which leaves
        embeddings out.
    floor
        Loss that no model of these data goes below. [-]
    of_parameters
        What one parameter would cost. [-]
    parameters_power
        a, with which that falls. [-]
    of_tokens
        What one token would cost. [-]
    tokens_power
        b, with which that falls. [-]
    sharpness
        s; 1 adds the two, more lets the larger one rule. [-]
    error
        Half of the 90 % interval, as a share of the loss: from models left out of the fit. [-]
    least_parameters
        Of the models that it was fitted on, as `counted`. [-]
    most_parameters
        Of the models that it was fitted on, as `counted`. [-]
    least_tokens
        Of the models that it was fitted on. [-]
    most_tokens
        Of the models that it was fitted on. [-]
    least_tokens_per_parameter
        Of the models that it was fitted on, parameters as `counted`. [-]
    most_tokens_per_parameter
        Of the models that it was fitted on, parameters as `counted`. [-]
    """

    data: str
    counted: Literal["all", "blocks"]
    floor: NotNegative
    of_parameters: Positive
    parameters_power: Share
    of_tokens: Positive
    tokens_power: Share
    sharpness: Annotated[float, Field(ge=1, le=10)] = 1.0
    error: Share | None = None
    least_parameters: Positive
    most_parameters: Positive
    least_tokens: Positive
    most_tokens: Positive
    least_tokens_per_parameter: Positive
    most_tokens_per_parameter: Positive


class ComputeLawSpec(Spec):
    """Loss by training compute C, for one number of tokens per parameter: floor + (C / scale_flop)^-power.

    Attributes
    ----------
    data
        What the loss is measured on, in words.
    floor
        Loss that no model of these data goes below. [-]
    scale_flop
        Compute of a model that is one nat above the floor. [FLOP]
    power
        How fast the rest falls. [-]
    error
        Half of the 90 % interval, as a share of the loss. [-]
    tokens_per_parameter
        The recipe that it is for, all parameters counted. [-]
    most_off_recipe
        Factor by which a model's tokens per parameter may differ from it. [-]
    least_flop
        Of the models that it was fitted on. [FLOP]
    most_flop
        Of the models that it was fitted on. [FLOP]
    """

    data: str
    floor: NotNegative
    scale_flop: Positive
    power: Share
    error: Share | None = None
    tokens_per_parameter: Positive
    most_off_recipe: Annotated[float, Field(ge=1)]
    least_flop: Positive
    most_flop: Positive


class TaskSpec(Spec):
    """Zero-shot accuracy by loss L: floor + (ceiling - floor) / (1 + (L / half_loss)^power).

    Attributes
    ----------
    chance
        Accuracy of guessing. [-]
    floor
        Accuracy of a model that has learned nothing: chance, or less where likelier wrong answers are longer ones. [-]
    ceiling
        Accuracy that no model exceeds, since some answers are wrong or ambiguous. [-]
    half_loss
        Loss half-way between the two. [-]
    power
        How fast accuracy rises there. [-]
    error
        Half of the 90 % interval: from models left out of this fit and of that of the loss. [-]
    error_by_compute
        The same where the loss comes from compute alone. [-]
    """

    chance: Chance
    floor: Chance
    ceiling: Share
    half_loss: Positive
    power: Positive
    error: Share | None = None
    error_by_compute: Share | None = None


class LawSpec(Spec):
    """One file of ``cluster_configs/laws``, with at least one law.

    Attributes
    ----------
    name
        Title.
    loss
        By parameters and tokens.
    compute
        By compute alone.
    tasks
        Zero-shot accuracy by loss, by task.
    average_error
        Half of the 90 % interval of the mean of all tasks. [-]
    average_error_by_compute
        The same where the loss comes from compute alone. [-]
    least_loss
        Of the models whose accuracy was fitted. [-]
    most_loss
        Of the models whose accuracy was fitted. [-]
    """

    name: str
    loss: LossLawSpec | None = None
    compute: ComputeLawSpec | None = None
    tasks: Annotated[dict[str, TaskSpec], Field(default_factory=dict)]
    average_error: Share | None = None
    average_error_by_compute: Share | None = None
    least_loss: Positive | None = None
    most_loss: Positive | None = None


# A transformer, described in the words of its model card. One file of ``cluster_configs/models`` each.


AttentionKind = Literal["full_attention", "sliding_attention", "chunked_attention"]

_OF_LATENT_ATTENTION = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
_OF_MIXTURES = (
    *("moe_intermediate_size", "n_shared_experts", "shared_expert_intermediate_size", "shared_expert_gate"),
    *("first_k_dense_replace", "router_bias"),
)


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
    attention_dropout
        Share of attention scores that training drops. [-]
    qk_norm
        Normalises queries and keys: "head" has one scale that all heads share (Qwen3), "width" one for every element
        (OLMo 2). `true` is "head".
    attention_sinks
        One learned score per head that attends to nothing (GPT-OSS).
    sliding_window
        Keys that a token reaches, the token among them; all when left out. [-]
    layer_types
        What each block attends to: "full_attention", "sliding_attention" or "chunked_attention" (only its own piece of
        `sliding_window` tokens). A list shorter than `num_layers` repeats. All blocks slide when it is left out.
    q_lora_rank
        Latent attention: width that queries are compressed to; not compressed when left out. [-]
    kv_lora_rank
        Latent attention: width that keys and values are compressed to. [-]
    qk_nope_head_dim
        Latent attention: part of a head of queries and keys without a position. [-]
    qk_rope_head_dim
        Latent attention: part with a rotary position, which all heads of keys share. [-]
    v_head_dim
        Width of one head of values; `head_dim` when left out. [-]
    parallel_block
        Attention and MLP read the same input and are summed (GPT-J, GPT-NeoX).
    shared_norm
        A parallel block with one normalisation for both branches (GPT-J).
    causal
        Decoder; an encoder when false.
    normalization
        "rmsnorm" has no shift, "plain" neither scale nor shift (OLMo).
    sandwich_norm
        Normalisations also behind attention and MLP: four in a block (Gemma 2).
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
    num_labels
        Encoder only: classes of its classification head, or of next-sentence prediction. [-]
    pooler
        Encoder only: whether its classification head reads a whole sequence, through a pooler; without one, and without
        `masked_positions`, every token is labelled.
    num_experts
        MLPs per block; more than 1 is a mixture of experts. [-]
    experts_per_token
        MLPs that work on a token. [-]
    moe_intermediate_size
        Width of one expert; `intermediate_size` when left out. [-]
    n_shared_experts
        Experts that work on every token beside the routed ones; they make one MLP of so many times the width. [-]
    shared_expert_intermediate_size
        Width of that MLP where it is no multiple of an expert's. [-]
    shared_expert_gate
        One more column of weights scales what the shared expert gives (Qwen2-MoE).
    first_k_dense_replace
        Leading blocks with one MLP of `intermediate_size` instead of experts. [-]
    interleave_moe_layer_step
        Every n-th block has experts, the others one MLP (Llama 4: 2). [-]
    n_group
        Groups of experts, of which a token chooses some first (DeepSeek-V3: 8); 1 is without. [-]
    topk_group
        Groups that it chooses its experts from (DeepSeek-V3: 4). [-]
    router_bias
        Bias of the router.
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
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    qk_norm: Literal["none", "head", "width"] = "none"
    attention_sinks: bool = False
    sliding_window: Annotated[int, Field(gt=0, le=100_000_000)] | None = None
    layer_types: Annotated[tuple[AttentionKind, ...], Field(min_length=1, max_length=4096)] | None = None
    q_lora_rank: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    kv_lora_rank: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    qk_nope_head_dim: Annotated[int, Field(gt=0, le=100_000)] | None = None
    qk_rope_head_dim: Annotated[int, Field(gt=0, le=100_000)] | None = None
    v_head_dim: Annotated[int, Field(gt=0, le=100_000)] | None = None
    gated_mlp: bool = False
    tie_embeddings: bool = True
    parallel_block: bool = False
    shared_norm: bool = False
    causal: bool = True
    normalization: Literal["layernorm", "rmsnorm", "plain"] = "layernorm"
    sandwich_norm: bool = False
    final_norm: bool = True
    embedding_norm: bool = False
    qkv_bias: bool = True
    attention_output_bias: bool = True
    mlp_bias: bool = True
    lm_head_bias: bool = False
    type_vocab_size: Annotated[int, Field(ge=0, le=10_000)] = 0
    masked_positions: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    num_labels: Annotated[int, Field(gt=0, le=1_000_000)] = 2
    pooler: bool = True
    num_experts: Annotated[int, Field(gt=0, le=100_000)] = 1
    experts_per_token: Annotated[int, Field(gt=0, le=100_000)] = 1
    moe_intermediate_size: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    n_shared_experts: Annotated[int, Field(ge=0, le=100_000)] = 0
    shared_expert_intermediate_size: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    shared_expert_gate: bool = False
    first_k_dense_replace: Annotated[int, Field(ge=0, le=4096)] = 0
    interleave_moe_layer_step: Annotated[int, Field(gt=0, le=4096)] = 1
    n_group: Annotated[int, Field(gt=0, le=100_000)] = 1
    topk_group: Annotated[int, Field(gt=0, le=100_000)] = 1
    router_bias: bool = False
    published_parameters: Annotated[float, Field(gt=0)] | None = None
    training_flop_reported: Annotated[float, Field(gt=0)] | None = None
    published_pile_loss: Annotated[float, Field(gt=0)] | None = None

    @field_validator("qk_norm", mode="before")
    @classmethod
    def _read_switch(cls, value: Any) -> Any:
        """``use_qk_norm`` is a switch in most files."""
        return {True: "head", False: "none"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        self._check_attention()
        self._check_experts()
        if self.causal and self.masked_positions:
            raise ValueError("[masked_positions] is for encoders; set causal = false or leave it out")
        if self.shared_norm and not self.parallel_block:
            raise ValueError("[shared_norm] needs parallel_block = true")
        if self.sandwich_norm and self.parallel_block:
            raise ValueError("[sandwich_norm] is for blocks whose MLP follows attention; set parallel_block = false")
        return self

    def _check_attention(self) -> None:
        latent = self.kv_lora_rank is not None
        if not latent and self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"[hidden_size] {self.hidden_size} is not divisible by num_attention_heads = "
                f"{self.num_attention_heads}; set head_dim, or change one of the two"
            )
        if self.num_attention_heads % self.key_value_heads:
            raise ValueError(
                f"[num_key_value_heads] {self.key_value_heads} does not divide num_attention_heads = "
                f"{self.num_attention_heads}; use one of its divisors"
            )
        missing = [name for name in _OF_LATENT_ATTENTION if getattr(self, name) is None]
        if latent and missing:
            raise ValueError(f"[{missing[0]}] is missing, but kv_lora_rank asks for latent attention; add it")
        for name in ("q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim"):
            if not latent and getattr(self, name) is not None:
                raise ValueError(f"[{name}] is for latent attention; add kv_lora_rank, or leave it out")
        if set(self.layer_types or ()) - {"full_attention"} and self.sliding_window is None:
            raise ValueError(
                "[layer_types] has blocks with a window; add sliding_window, the keys that a token reaches"
            )
        if len(self.layer_types or ()) > self.num_layers:
            raise ValueError(
                f"[layer_types] has {len(self.layer_types or ())} entries, more than num_layers = {self.num_layers}; "
                "write one for each block, or a shorter list that repeats"
            )

    def _check_groups(self) -> None:
        if self.num_experts % self.n_group:
            raise ValueError(
                f"[n_group] {self.n_group} groups do not divide num_experts = {self.num_experts}; take another number"
            )
        if self.topk_group > self.n_group:
            raise ValueError(
                f"[topk_group] {self.topk_group} is more than n_group = {self.n_group}; lower it or add groups"
            )
        if self.experts_per_token > self.topk_group * (self.num_experts // self.n_group):
            raise ValueError(
                f"[topk_group] {self.topk_group} of {self.n_group} groups have fewer experts than experts_per_token = "
                f"{self.experts_per_token}; choose from more"
            )

    def _check_experts(self) -> None:
        if self.experts_per_token > self.num_experts:
            raise ValueError(
                f"[experts_per_token] {self.experts_per_token} is more than num_experts = {self.num_experts}; "
                "lower it or add experts"
            )
        for name in _OF_MIXTURES:
            if self.num_experts == 1 and getattr(self, name):
                raise ValueError(f"[{name}] is for mixtures of experts; set num_experts, or leave it out")
        self._check_groups()
        if self.shared_expert_gate and not self.shared_expert_size:
            raise ValueError("[shared_expert_gate] needs a shared expert; set n_shared_experts, or leave it out")

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
    def is_latent(self) -> bool:
        """Whether keys and values are compressed to a latent vector."""
        return self.kv_lora_rank is not None

    @property
    def query_head_size(self) -> int:
        """Width of one head of queries and of keys, as they are multiplied. [-]"""
        if self.is_latent:
            return (self.qk_nope_head_dim or 0) + (self.qk_rope_head_dim or 0)
        return self.head_size

    @property
    def value_head_size(self) -> int:
        """Width of one head of values. [-]"""
        return self.v_head_dim or self.head_size

    @property
    def expert_size(self) -> int:
        """Width inside one expert. [-]"""
        return self.moe_intermediate_size or self.mlp_size

    @property
    def shared_expert_size(self) -> int:
        """Width inside the MLP that works on every token beside the routed experts; 0 without one. [-]"""
        return self.shared_expert_intermediate_size or self.n_shared_experts * self.expert_size

    @property
    def token_embedding_size(self) -> int:
        """Width of the token embedding. [-]"""
        return self.embedding_size or self.hidden_size
