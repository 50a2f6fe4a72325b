"""How a GPU run is spread over its GPUs: the ``[parallelism]`` table of a run file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wsesim.config.cluster import AnySpread
from wsesim.config.spec import Spec

Size = Annotated[int, Field(gt=0, le=1_000_000)]
Layers = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
Auto = Literal["auto"]
Recompute = Literal["none", "selective", "full"]
FusedKernel = Literal["flash_attention_1", "triton", "flash_attention_2", "flash_attention_3", "cudnn"]
Attention = Literal["flash", "flash_1", "unfused"] | FusedKernel
PipelineOverlap = bool | Literal["interleaved"]
ReductionPrecision = Literal["16bit", "32bit", "32bit_with_bfloat16"]


SEARCHED = (
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "virtual_pipeline_size"),
    *("sequence_parallel", "zero_stage", "shard_group_size", "activation_recompute"),
    *("micro_batch_group_size", "account_for_embedding", "account_for_loss", "expert_tensor_parallel_size"),
)
"""Keys of ``[parallelism]`` that an automatic plan chooses."""
SWITCHES = (
    *("attention", "overlap_gradient_reduction", "overlap_pipeline_communication"),
    *("fused_gradient_accumulation", "reduction_precision"),
)
"""Keys that a run file may set in ``[parallelism]`` as well as in ``[cluster.software]``."""

SELECTIVE_OF_FSDP = 2
"""Every so many blocks one is computed again where FSDP is told "selective" (torchtitan's default). [-]"""

Operator = Literal[
    "attention", "core_attn", "layernorm", "activation", "moe_act", "mlp", "moe", "qkv", "mla_up_proj", "out", "mlp_in"
]


class RecomputeSpec(Spec):
    """The table ``activation_recompute``: what of which blocks the backward pass computes again. Exactly one of its keys.

    Attributes
    ----------
    every
        Every so many blocks one as a whole, as FSDP frameworks do. [-]
    blocks
        The first so many blocks of each chunk of a stage as a whole, as Megatron-LM's recompute-num-layers does. [-]
    operators
        Parts of every block, by Megatron-Core's names: "attention" (core_attn), "layernorm", "activation" (moe_act), "mlp"
        (moe), "qkv" (mla_up_proj). As compilers do it: "out", the output projection of attention, which its own gradient does
        not need; "mlp_in", an MLP up to its last product.
    """

    every: Size | None = None
    blocks: Size | None = None
    operators: Annotated[tuple[Operator, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> RecomputeSpec:
        given = [key for key in RecomputeSpec.model_fields if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"has {' and '.join(given) or 'no key'}; write one of every, blocks, operators")
        return self


class ParallelismSpec(AnySpread):
    """The ``[parallelism]`` table. What is "auto" is searched: a fast plan that fits.

    `attention`, `overlap_gradient_reduction`, `overlap_pipeline_communication`, `fused_gradient_accumulation`,
    `reduction_precision` and `keeps_gradient_copy` are what the software of the cluster does (``cluster.software``) where the
    table is silent.

    Attributes
    ----------
    tensor_parallel_size
        GPUs that share each matrix. [-]
    pipeline_parallel_size
        Stages of layers. [-]
    data_parallel_size
        Copies of the model; "auto" takes the GPUs that the other sizes leave over. [-]
    context_parallel_size
        GPUs that share each sequence. [-]
    expert_parallel_size
        GPUs that share the experts of a mixture; their groups fold over tensor-, context- and data-parallel ranks. [-]
    expert_tensor_parallel_size
        GPUs that share each matrix of an expert; "auto" is `tensor_parallel_size`, or fewer so that the groups fit. [-]
    virtual_pipeline_size
        Model chunks of one stage; more than 1 is interleaved 1F1B. [-]
    micro_batch_group_size
        Micro-batches that go through one chunk before the next ones do, where stages have several; "auto" is
        `pipeline_parallel_size`, or the next larger that leaves no smaller rest (Megatron-Core's
        microbatch-group-size-per-virtual-pipeline-stage). [-]
    pipeline_schedule
        "1f1b", or "gpipe", which keeps the activations of all micro-batches.
    layers_per_stage
        "even", or a list of the blocks of each stage (with `virtual_pipeline_size`, of each stage or of each chunk, in the
        order of the model). Even stages that differ by one block have fewer in front and at the end. [-]
    num_layers_in_first_pipeline_stage
        Blocks of the first stage, as in Megatron-Core; stages of which nothing is said are dealt evenly. [-]
    num_layers_in_last_pipeline_stage
        The same of the last stage. [-]
    account_for_embedding
        The embedding counts as a layer where layers are dealt to stages, as in Megatron-Core. Left out, it does where
        `account_for_embedding_and_loss` says so, and that is searched where `pipeline_parallel_size` is.
    account_for_loss
        The same of the loss.
    sequence_parallel
        Norms and dropouts are split over the tensor-parallel group, too (Korthikanti et al. 2022).
    zero_stage
        What the data-parallel group shares: 0 nothing, 1 the optimizer state (Megatron-LM's distributed
        optimizer), 2 the gradients as well, 3 the parameters as well (FSDP full shard). [-]
    shard_group_size
        GPUs that share with `zero_stage`; "auto" is the whole data-parallel group, the GPUs of one node
        are FSDP's hybrid shard. [-]
    activation_recompute
        What the backward pass computes again: nothing, attention scores ("selective"; with `zero_stage` 3, where frameworks
        of FSDP mean it, every second block), whole layers ("full"), or what a table says.
    fused_mlp_activation
        One kernel activates and multiplies in a gated MLP, and keeps its two inputs and its output alone.
    free_memory_share
        Share of a GPU's memory that plans which are searched leave free for the allocator. [-]
    attention
        "flash" is the best published fused kernel of the GPU, which keeps no score matrix, "flash_1" the one before it
        (FlashAttention of 2022 on A100, FlashAttention-2 on H100), "unfused" one kernel for each operation. Or by name.
    overlap_gradient_reduction
        Gradients are reduced while the backward pass of the last micro-batch still runs.
    overlap_pipeline_communication
        Activations travel between stages while the GPU works on the next micro-batch; "interleaved": only where stages have
        several chunks.
    fused_gradient_accumulation
        The kernel of a weight gradient adds it to those of earlier micro-batches; without, another kernel does.
    reduction_precision
        In which gradients are summed, over micro-batches and over the data-parallel group; "32bit_with_bfloat16": in 32 bit
        except where `precision` is float16.
    keeps_gradient_copy
        The optimizer keeps a 32-bit copy of 16-bit gradients, as Megatron-LM's does.
    account_for_embedding_and_loss
        Both `account_for_embedding` and `account_for_loss`, where those are left out.
    """

    tensor_parallel_size: Size | Auto = "auto"
    pipeline_parallel_size: Size | Auto = "auto"
    data_parallel_size: Size | Auto = "auto"
    context_parallel_size: Size | Auto = 1
    expert_parallel_size: Size | Auto = 1
    expert_tensor_parallel_size: Size | Auto = "auto"
    virtual_pipeline_size: Size | Auto = 1
    micro_batch_group_size: Size | Auto = "auto"
    pipeline_schedule: Literal["1f1b", "gpipe"] = "1f1b"
    layers_per_stage: Literal["even"] | Annotated[tuple[Layers, ...], Field(min_length=1, max_length=4096)] = "even"
    num_layers_in_first_pipeline_stage: Size | None = None
    num_layers_in_last_pipeline_stage: Size | None = None
    account_for_embedding: bool | Auto | None = None
    account_for_loss: bool | Auto | None = None
    sequence_parallel: bool | Auto = "auto"
    zero_stage: Annotated[int, Field(ge=0, le=3)] | Auto = "auto"
    shard_group_size: Size | Auto = "auto"
    activation_recompute: Recompute | Auto | RecomputeSpec = "auto"
    fused_mlp_activation: bool = True
    free_memory_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    attention: Attention = "flash"
    overlap_gradient_reduction: bool = True
    overlap_pipeline_communication: PipelineOverlap = True
    fused_gradient_accumulation: bool = True
    reduction_precision: ReductionPrecision = "32bit"
    keeps_gradient_copy: bool = False
    account_for_embedding_and_loss: bool = False

    @model_validator(mode="after")
    def _one_way_to_deal(self) -> ParallelismSpec:
        ends = ("num_layers_in_first_pipeline_stage", "num_layers_in_last_pipeline_stage")
        counted = ("account_for_embedding", "account_for_loss", "account_for_embedding_and_loss")
        given = [key for key in ends if getattr(self, key) is not None]
        counting = [key for key in counted if getattr(self, key) is True]
        if self.layers_per_stage != "even" and (given or counting):
            raise ValueError(f"[layers_per_stage] says what {(given + counting)[0]} says, too; keep one of them")
        if given and counting:
            raise ValueError(f"[{given[0]}] says what {counting[0]} says, too; keep one of them")
        return self

    @property
    def deals_as_it_likes(self) -> bool:
        """Whether nothing is said of which stage holds how many blocks."""
        ends = (self.num_layers_in_first_pipeline_stage, self.num_layers_in_last_pipeline_stage)
        return self.layers_per_stage == "even" and ends == (None, None)

    def on_other_devices(self) -> ParallelismSpec:
        """As many copies of the model as another number of GPUs holds."""
        return self.model_copy(update={"data_parallel_size": "auto"})

    def copies(self, num_devices: int) -> int | None:
        """Data-parallel copies: as they are given, or those that the other sizes leave over. [-]"""
        if self.data_parallel_size != "auto":
            return self.data_parallel_size
        of_one = 1
        for size in (self.tensor_parallel_size, self.pipeline_parallel_size, self.context_parallel_size):
            if size == "auto":
                return None
            of_one *= size
        return max(1, num_devices // of_one)

    def left_open(self) -> ParallelismSpec:
        """Every size and what is computed again left to the search."""
        stages = ("num_layers_in_first_pipeline_stage", "num_layers_in_last_pipeline_stage")
        dealt = {"layers_per_stage": "even", **dict.fromkeys(stages)}
        return self.model_copy(update={**dict.fromkeys(SEARCHED, "auto"), **dealt})
