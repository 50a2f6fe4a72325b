"""How a GPU run is spread over its GPUs: the ``[parallelism]`` table of a run file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wsesim.config.spec import Spec

Size = Annotated[int, Field(gt=0, le=1_000_000)]
Auto = Literal["auto"]
Recompute = Literal["none", "selective", "full"]
Attention = Literal["flash", "flash_1", "unfused"]
ReductionPrecision = Literal["16bit", "32bit"]


class ParallelismSpec(Spec):
    """The ``[parallelism]`` table. What is "auto" is searched: the fastest plan that fits.

    `attention`, `overlap_gradient_reduction`, `overlap_pipeline_communication`, `fused_gradient_accumulation` and
    `reduction_precision` are what the software of the cluster does (``cluster.software``) where the table is silent.

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
        GPUs of the data-parallel group that share the experts of a mixture. [-]
    virtual_pipeline_size
        Model chunks of one stage; more than 1 is interleaved 1F1B. [-]
    pipeline_schedule
        "1f1b", or "gpipe", which keeps the activations of all micro-batches.
    sequence_parallel
        Norms and dropouts are split over the tensor-parallel group, too (Korthikanti et al. 2022).
    zero_stage
        What the data-parallel group shares: 0 nothing, 1 the optimizer state (Megatron-LM's distributed
        optimizer), 2 the gradients as well, 3 the parameters as well (FSDP full shard). [-]
    shard_group_size
        GPUs that share with `zero_stage`; "auto" is the whole data-parallel group, the GPUs of one node
        are FSDP's hybrid shard. [-]
    activation_recompute
        What the backward pass computes again: nothing, attention scores ("selective"), or whole layers ("full").
    attention
        "flash" is the best published fused kernel, which keeps no score matrix, "flash_1" the first one
        (FlashAttention, 2022), "unfused" one kernel for each operation, as before.
    overlap_gradient_reduction
        Gradients are reduced while the backward pass of the last micro-batch still runs.
    overlap_pipeline_communication
        Activations travel between stages while the GPU works on the next micro-batch.
    fused_gradient_accumulation
        The kernel of a weight gradient adds it to those of earlier micro-batches; without, another kernel does.
    reduction_precision
        In which gradients are summed over the data-parallel group.
    account_for_embedding_and_loss
        The embedding and the loss count as a layer each where layers are dealt to stages, as in Megatron-LM.
    """

    tensor_parallel_size: Size | Auto = "auto"
    pipeline_parallel_size: Size | Auto = "auto"
    data_parallel_size: Size | Auto = "auto"
    context_parallel_size: Size | Auto = 1
    expert_parallel_size: Size | Auto = 1
    virtual_pipeline_size: Size | Auto = 1
    pipeline_schedule: Literal["1f1b", "gpipe"] = "1f1b"
    sequence_parallel: bool | Auto = "auto"
    zero_stage: Annotated[int, Field(ge=0, le=3)] | Auto = "auto"
    shard_group_size: Size | Auto = "auto"
    activation_recompute: Recompute | Auto = "auto"
    attention: Attention = "flash"
    overlap_gradient_reduction: bool = True
    overlap_pipeline_communication: bool = True
    fused_gradient_accumulation: bool = True
    reduction_precision: ReductionPrecision = "32bit"
    account_for_embedding_and_loss: bool = False
