"""A GPU, its kernels and its cluster. One file of ``cluster_configs/gpus`` each, and of ``clusters``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from wsesim.config import catalogue
from wsesim.config.cluster import PaidCluster
from wsesim.config.layering import Layered, layered, put, resolve, sub
from wsesim.config.run import Run
from wsesim.config.spec import NotNegative, Positive, Share, Spec
from wsesim.config.training import GPUReliabilitySpec, JobSpec
from wsesim.errors import ConfigError
from wsesim.machines.gpu.parallelism import Attention, FusedKernel, ParallelismSpec, PipelineOverlap, ReductionPrecision

ORDINARY = "ordinary"
"""The software of those who do not say: what a team of today reaches, not the best that was ever measured."""
NoMoreThanOne = Annotated[float, Field(ge=0, le=1)]


class ProductSpec(Spec):
    """Matrix products of one precision on one GPU, fitted to measured ones.

    Attributes
    ----------
    rate_share
        Share of the peak of this precision that tiles reach between their start and their end. [-]
    tile_s
        Start and end of a tile of 128 x 128, beside its multiplications; a larger one takes as the root of its area. [s]
    start_s
        Start and end of the kernel. [s]
    small_tile_share
        Rate on tiles of 64 x 64 over that on larger ones. [-]
    whole_waves
        1 where the last wave of tiles takes as long as a full one, 0 where the multiprocessors share it evenly. [-]
    memory_share
        Share of the memory bandwidth at which operands and result move. [-]
    hot_slowdown
        By how much a product is slower for each factor e by which it lasts longer than 0.3 ms: power. That at 16 bit holds
        for all precisions. [-]
    ragged_slowdown
        By how much it is slower where its rows are no multiple of 16. [-]
    cast_bytes
        Moved for each element of the input to write it in this precision, its largest value and all; 0 at 16 bit. [bytes]
    """

    rate_share: Share
    tile_s: NotNegative
    start_s: NotNegative
    small_tile_share: Share = 0.8
    whole_waves: NoMoreThanOne = 0.0
    memory_share: Share = 0.8
    hot_slowdown: NotNegative = 0.0
    ragged_slowdown: NotNegative = 0.0
    cast_bytes: NotNegative = 0.0


class AttentionKernelSpec(Spec):
    """One fused attention kernel on one GPU, fitted to measured ones.

    Attributes
    ----------
    forward_share_64
        Share of the 16-bit peak that tiles of 128 queries reach forward with heads 64 wide. [-]
    forward_share_128
        The same with heads 128 wide. [-]
    forward_share_256
        The same with heads 256 wide. [-]
    backward_share_64
        The same backward, of 2.5 times the FLOP, with heads 64 wide. [-]
    backward_share_128
        The same with heads 128 wide. [-]
    backward_share_256
        The same with heads 256 wide. [-]
    forward_tile_s
        Start and end of a tile of 128 queries of one head 128 wide, forward; of others in proportion to their width. [s]
    backward_tile_s
        The same, backward. [s]
    start_s
        Start and end of the kernel. [s]
    """

    forward_share_64: Share
    forward_share_128: Share
    forward_share_256: Share
    backward_share_64: Share
    backward_share_128: Share
    backward_share_256: Share
    forward_tile_s: NotNegative
    backward_tile_s: NotNegative
    start_s: NotNegative


class AttentionKernelsSpec(Spec):
    """Fused attention kernels by name; one that a GPU does not have, or nobody measured on it, is left out.

    Attributes
    ----------
    flash_attention_1
        FlashAttention of 2022.
    triton
        The kernel in Triton of llm-foundry and others in 2023.
    flash_attention_2
        FlashAttention-2 of 2023.
    flash_attention_3
        FlashAttention-3 of 2024.
    cudnn
        cuDNN, as Transformer Engine and PyTorch choose it from H100 on.
    """

    flash_attention_1: AttentionKernelSpec | None = None
    triton: AttentionKernelSpec | None = None
    flash_attention_2: AttentionKernelSpec | None = None
    flash_attention_3: AttentionKernelSpec | None = None
    cudnn: AttentionKernelSpec | None = None


class NVLinkSpec(Spec):
    """Collectives inside an NVLink domain, fitted to measured ones: two protocols, of which the faster one runs.

    Attributes
    ----------
    small_start_s
        Start and end of a collective of few bytes. [s]
    small_step_s
        Each further GPU adds so much to it, twice in an all-reduce. [s]
    small_rate_share
        Rate of the protocol for few bytes over that of the other. [-]
    start_s
        Start and end of a collective of many bytes. [s]
    step_s
        Each further GPU adds so much to it, twice in an all-reduce. [s]
    exchange_start_s
        Start and end of an all-to-all. [s]
    all_reduce_share
        Share of NVLink's rate that an all-reduce of 8 GPUs reaches, by the switch where there is one that adds up. [-]
    ring_all_reduce_share
        The same of fewer GPUs, and where the switch adds nothing up. [-]
    all_gather_share
        The same of an all-gather. [-]
    reduce_scatter_share
        The same of a reduce-scatter. [-]
    exchange_share
        The same of an all-to-all. [-]
    pair_loss
        n GPUs reach (1 - pair_loss / n) of the rate of many. [-]
    """

    small_start_s: NotNegative
    small_step_s: NotNegative
    small_rate_share: Share
    start_s: NotNegative
    step_s: NotNegative
    exchange_start_s: NotNegative
    all_reduce_share: Share
    ring_all_reduce_share: Share
    all_gather_share: Share
    reduce_scatter_share: Share
    exchange_share: Share
    pair_loss: NoMoreThanOne


class GPUCalibrationSpec(Spec):
    """What software makes of the hardware. What is measured on each GPU is fitted to that, the rest is the same for all.

    Attributes
    ----------
    products_16bit
        Matrix products in bf16 and fp16.
    products_fp8
        In 8 bit with one scale for a tensor.
    products_mxfp8
        In 8 bit with a scale for each block.
    products_nvfp4
        In 4 bit with a scale for each block.
    attention
        Fused attention kernels.
    nvlink
        Collectives inside an NVLink domain.
    hot_s
        In a training step a GPU is as hot as in a product that lasts so long. [s]
    batched_gemm_efficiency
        Rate of the small products of unfused attention over that of large ones. [-]
    memory_efficiency
        Share of the memory bandwidth that kernels reach. [-]
    kernel_latency_s
        Start and end of one kernel on the GPU. [s]
    launch_latency_s
        The host needs for one kernel, Python included; hidden while the GPU works longer than that. [s]
    synchronization_s
        Until kernels run again after the host has waited for the GPU. [s]
    loss_bytes_per_logit
        What softmax, loss and their backward pass move for one logit. [bytes]
    optimizer_bytes_per_parameter
        What unscaling, norm, clipping and Adam move for one parameter. [bytes]
    overlap_slowdown
        Share of the time of a collective by which computation beside it takes longer. [-]
    network_efficiency
        Share of the network rate that collectives reach on long messages. [-]
    measured
        Measured over predicted time of one's own steps, by kind of run (software, GPU, one or many nodes, dense or with
        experts): runs like them have a narrower range. `wsesim calibrate` writes it. [-]
    """

    products_16bit: ProductSpec
    products_fp8: ProductSpec | None = None
    products_mxfp8: ProductSpec | None = None
    products_nvfp4: ProductSpec | None = None
    attention: AttentionKernelsSpec
    nvlink: NVLinkSpec
    hot_s: Positive
    batched_gemm_efficiency: Share
    memory_efficiency: Share
    kernel_latency_s: NotNegative
    launch_latency_s: NotNegative
    synchronization_s: NotNegative
    loss_bytes_per_logit: NotNegative
    optimizer_bytes_per_parameter: NotNegative
    overlap_slowdown: NotNegative
    network_efficiency: Share
    measured: Annotated[dict[str, Positive], Field(default_factory=dict)]

    def __hash__(self) -> int:
        return hash((self.products_16bit, self.attention, self.nvlink, *sorted(self.measured.items())))


class GPUSpec(Spec):
    """One file of ``cluster_configs/gpus``.

    Attributes
    ----------
    name
        Name of the GPU.
    measured
        What of it was measured and is compared with predictions, in words.
    peak_dense_16bit_flop_per_s
        Matrix units, dense, with 16-bit inputs. [FLOP/s]
    peak_dense_32bit_flop_per_s
        The same with 32-bit inputs. [FLOP/s]
    best_measured_mfu
        Highest model FLOP utilization of the published steps on it, attention counted in full. [-]
    peak_dense_8bit_flop_per_s
        The same with 8-bit inputs; left out where it has none. [FLOP/s]
    peak_dense_4bit_flop_per_s
        The same with 4-bit inputs; left out where it has none. [FLOP/s]
    flash_kernel
        Which kernel "flash" means on it: the best published one.
    flash_1_kernel
        Which kernel "flash_1" means on it: the one before.
    num_sms
        Streaming multiprocessors, over which the tiles of a product are spread. [-]
    memory_bytes
        Capacity of its memory (HBM). [bytes]
    memory_bytes_per_s
        Bandwidth of its memory. [bytes/s]
    nvlink_bytes_per_s
        To the other GPUs of its NVLink domain, each direction. [bytes/s]
    power_w
        Of the GPU alone, at most. [W]
    calibration
        Name of a catalogue calibration, a .toml file, or the table itself.
    """

    name: str
    measured: str = "nothing"
    peak_dense_16bit_flop_per_s: Positive
    peak_dense_32bit_flop_per_s: Positive
    best_measured_mfu: Share | None = None
    peak_dense_8bit_flop_per_s: Positive | None = None
    peak_dense_4bit_flop_per_s: Positive | None = None
    flash_kernel: FusedKernel = "flash_attention_2"
    flash_1_kernel: FusedKernel = "flash_attention_1"
    num_sms: Annotated[int, Field(gt=0, le=100_000)]
    memory_bytes: Positive
    memory_bytes_per_s: Positive
    nvlink_bytes_per_s: Positive
    power_w: Positive
    calibration: GPUCalibrationSpec


class GPUSoftwareSpec(Spec):
    """What training software does: a file of ``cluster_configs/software``, and what ``[cluster.software]`` says otherwise.

    `attention`, `overlap_gradient_reduction`, `overlap_pipeline_communication`, `fused_gradient_accumulation` and
    `reduction_precision` may also stand in ``[parallelism]``, which comes first.

    Attributes
    ----------
    title
        Which software, of when.
    year
        When it was as described. [-]
    references
        Where the facts are from: keys of sources.toml.
    attention
        Attention kernel, by name; or "flash", the best published one of the GPU, "flash_1", the one before it, or
        "unfused", one kernel for each operation.
    overlap_gradient_reduction
        Gradients are reduced while the backward pass of the last micro-batch still runs.
    overlap_pipeline_communication
        Activations travel between stages while the GPU works on the next micro-batch; "interleaved": only where stages
        have several chunks.
    fused_gradient_accumulation
        The kernel of a weight gradient adds it to those of earlier micro-batches.
    reduction_precision
        In which gradients are summed, over micro-batches and over the data-parallel group; "32bit_with_bfloat16": in 32 bit
        except where `precision` is float16, as Megatron-LM and DeepSpeed do.
    keeps_gradient_copy
        The optimizer keeps a 32-bit copy of 16-bit gradients.
    tensor_parallel_overlap
        Which collectives of tensor parallelism run beside products: "none", those of split columns in the "backward" pass,
        or almost all, piece by piece through "user_buffers".
    narrow_gathers
        With products in 8 bit parameters are gathered in 8 bit, too.
    narrow_activations
        With products in 8 bit a tensor-parallel group gathers inputs and gradients in 8 bit ("gathers"), and forward scatters the
        results of split rows in 8 bit, too ("all").
    switch_adds
        The NVLink switch may add up in all-reduces (NVLS), where it can.
    fsdp_prefetch
        In the backward pass the parameters of the next block are gathered "early", beside this one, or "late", behind it
        (FSDP's BACKWARD_PRE and BACKWARD_POST).
    synchronizes_sends
        The host waits for the GPU after each transfer between stages, and starts kernels again from an empty queue.
    separate_transfers
        Sends and receives are calls of their own on the stream that computes, so that a stage waits for both.
    sends_whole_gradients
        Each rank of a tensor-parallel group sends the gradient of the activations whole, not its share of it.
    flat_gradients
        Gradients are cast, added and copied through flat buffers, and with `zero_stage` 1 summed whole on every rank
        (DeepSpeed).
    fused_softmax_tokens
        Longest sequence of which one kernel scales, masks and normalizes the scores; 4 has to divide its length, and the heads
        of a GPU's micro-batch. Others take a kernel for each step, in 32 bit. 0 is without such limits. [-]
    attention_dropout
        Share of the scores that training drops, where the model does not say: one kernel more in each pass, and a mask that is
        kept, where attention is not fused. [-]
    rotary_bytes
        Moved to turn one element of queries and keys by its position: 4 in one kernel, more where slices are multiplied, added
        and joined one after another. [bytes]
    rotary_backward_bytes
        The same in the backward pass. [bytes]
    attention_layout_bytes
        Moved to lay out one element of queries, keys and values as a fused attention kernel takes them: 4 for one copy. [bytes]
    attention_layout_backward_bytes
        The same for their gradients. [bytes]
    norm_bytes
        Moved for one element of a root-mean-square norm: 4 in one kernel, more where 32-bit squares, means and products are kernels
        of their own. [bytes]
    norm_backward_bytes
        The same in the backward pass: 10 in one kernel. [bytes]
    gate_bytes
        Moved for one element of a gated activation: 6 where one kernel activates and multiplies, 10 where two do. [bytes]
    gate_backward_bytes
        The same in the backward pass: 10 in one kernel. [bytes]
    adds_qkv_bias
        The bias of queries, keys and values is added by a kernel of its own, not by the product that it follows.
    fused_bias_gradients
        A kernel that reads the gradients anyway adds them up over tokens for the biases, as those of 8-bit products always do.
    grouped_experts
        One kernel multiplies for all experts of a GPU; without, the host starts one for each expert.
    loops_expert_biases
        The last bias of each expert is weighted by the router and added by PyTorch, expert by expert (Megatron-Core), instead of
        within a product.
    exchanges_by_node
        A token goes once to each node that holds some of its experts, and is copied there (DeepEP, HybridEP).
    synchronizes_experts
        The host waits in every block with experts for how many tokens each of them gets.
    expert_imbalance
        Tokens of the experts of the fullest GPU over those of the mean: all others wait for it, and for what it is sent. 1 where
        routing is forced to be even, as in benchmarks. [-]
    collective_floor_s
        No collective inside a node takes less, as the host starts it. [s]
    synchronizes_layers
        It waits around each layer, too.
    blocks_launches
        It waits for every kernel: nothing overlaps.
    launch_latency_s
        The host needs for one kernel; that of the GPU's calibration when left out. [s]
    loss_bytes_per_logit
        What softmax, loss and their backward pass move for one logit; that of the calibration when left out. [bytes]
    optimizer_bytes_per_parameter
        What the update moves for one parameter; that of the calibration when left out. [bytes]
    product_share
        Rate of its matrix products over that of the library that the GPU was measured with. [-]
    step_host_s
        Work of the host and waits for data in each step, which nothing hides. [s]
    jitter
        Share by which the slowest of twice as many GPUs is slower. [-]
    """

    title: str = ""
    year: Annotated[int, Field(ge=2017, le=2100)] | None = None
    references: tuple[str, ...] = ()
    attention: Attention = "flash"
    overlap_gradient_reduction: bool = True
    overlap_pipeline_communication: PipelineOverlap = True
    fused_gradient_accumulation: bool = True
    reduction_precision: ReductionPrecision = "32bit"
    keeps_gradient_copy: bool = False
    tensor_parallel_overlap: Literal["none", "backward", "user_buffers"] = "none"
    narrow_gathers: bool = False
    narrow_activations: Literal["none", "gathers", "all"] = "none"
    switch_adds: bool = True
    fsdp_prefetch: Literal["early", "late"] = "early"
    synchronizes_sends: bool = False
    separate_transfers: bool = False
    sends_whole_gradients: bool = False
    flat_gradients: bool = False
    fused_softmax_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    rotary_bytes: NotNegative = 4.0
    rotary_backward_bytes: NotNegative = 4.0
    attention_layout_bytes: NotNegative = 4.0
    attention_layout_backward_bytes: NotNegative = 4.0
    norm_bytes: NotNegative = 4.0
    norm_backward_bytes: NotNegative = 10.0
    gate_bytes: NotNegative = 6.0
    gate_backward_bytes: NotNegative = 10.0
    adds_qkv_bias: bool = False
    fused_bias_gradients: bool = False
    grouped_experts: bool = True
    loops_expert_biases: bool = False
    exchanges_by_node: bool = False
    synchronizes_experts: bool = False
    expert_imbalance: Annotated[float, Field(ge=1, le=100)] = 1.0
    collective_floor_s: NotNegative = 0.0
    synchronizes_layers: bool = False
    blocks_launches: bool = False
    launch_latency_s: NotNegative | None = None
    loss_bytes_per_logit: NotNegative | None = None
    optimizer_bytes_per_parameter: NotNegative | None = None
    product_share: Share = 1.0
    step_host_s: NotNegative = 0.0
    jitter: NotNegative = 0.0


class GPUClusterSpec(PaidCluster):
    """One file of ``cluster_configs/clusters`` that names a `gpu`, with the run file's overrides.

    Attributes
    ----------
    name
        Name of the cluster; in a run, of a catalogue entry (`wsesim list clusters`).
    gpu
        Name of a catalogue GPU, a .toml file, or a table of the keys that differ.
    num_gpus
        GPUs that the job uses. [-]
    max_gpus
        GPUs that the cluster has. [-]
    gpus_per_node
        GPUs of one host. [-]
    nvlink_domain_size
        GPUs that NVLink joins; `gpus_per_node` when left out. [-]
    node_network_bytes_per_s
        All adapters of one node together, each direction. [bytes/s]
    adapters_per_node
        Network adapters of one node; left out, each GPU has its own. [-]
    network_latency_s
        One message from node to node. [s]
    reserved_memory_bytes
        CUDA context, NCCL buffers and fragmentation on each GPU. [bytes]
    software_profile
        Name of a file of ``cluster_configs/software``, or a .toml file.
    software
        What the software does otherwise than that file says.
    power_w_per_gpu
        Of a node over its GPUs: GPU, host, fans, adapters. [W]
    price_usd_per_gpu_hour
        What an hour of one GPU costs to rent. [USD/h]
    purchase_price_usd_per_gpu
        Of a node over its GPUs. [USD]
    reliability
        How often its nodes fail.
    job
        Defaults of the ``[job]`` table of runs on it.
    """

    machine = "gpu"
    count, limit = "num_gpus", "max_gpus"
    power = ("power_w_per_gpu",)
    price, bought = "price_usd_per_gpu_hour", "purchase_price_usd_per_gpu"

    name: str
    gpu: GPUSpec
    num_gpus: Annotated[int, Field(gt=0, le=10**9)]
    max_gpus: Annotated[int, Field(gt=0, le=10_000_000)]
    gpus_per_node: Annotated[int, Field(gt=0, le=1024)]
    nvlink_domain_size: Annotated[int, Field(gt=0, le=4096)] | None = None
    node_network_bytes_per_s: Positive
    adapters_per_node: Annotated[int, Field(gt=0, le=1024)] | None = None
    network_latency_s: NotNegative
    reserved_memory_bytes: NotNegative
    software_profile: str = ORDINARY
    software: GPUSoftwareSpec = GPUSoftwareSpec()
    power_w_per_gpu: Positive
    price_usd_per_gpu_hour: Positive | None = None
    purchase_price_usd_per_gpu: Positive | None = None
    reliability: GPUReliabilitySpec = GPUReliabilitySpec()
    job: JobSpec = JobSpec()

    @model_validator(mode="after")
    def _domains(self) -> GPUClusterSpec:
        if self.nvlink_domain_size is not None and self.nvlink_domain_size % self.gpus_per_node:
            raise ValueError(
                f"[nvlink_domain_size] {self.nvlink_domain_size} is no multiple of gpus_per_node = {self.gpus_per_node}; "
                "a domain holds whole nodes"
            )
        return self

    @property
    def device(self) -> str:
        """Name of the GPU."""
        return self.gpu.name

    @property
    def domain_size(self) -> int:
        """GPUs that NVLink joins. [-]"""
        return self.nvlink_domain_size or self.gpus_per_node


GPURun: TypeAlias = Run[GPUClusterSpec, ParallelismSpec]
"""A run on GPUs."""

_WRONG = {
    "precision": "is 'cbfloat16', which only wafer-scale systems compute with; use 'bfloat16', or leave it out",
    "activations": "is for wafer-scale clusters; on GPUs set parallelism.activation_recompute instead",
    "weight_sparsity": "is for wafer-scale clusters, GPUs gain nothing from it; set it to 0, or leave it out",
}


def contradicts(_: Layered, tables: Mapping[str, Layered], place: str) -> list[str]:
    """What is set in a run file but belongs to wafer-scale clusters."""
    training = tables["training"]
    found = {
        "precision": training.plain.get("precision") == "cbfloat16",
        "activations": "activations" in training.plain,
        "weight_sparsity": training.plain.get("weight_sparsity", 0) not in (0, "0", "0 %"),
    }
    return [f"{training.place_of(key, place)}: training.{key} {_WRONG[key]}" for key in _WRONG if found[key]]


def with_software(table: Layered, folder: Path, place: str) -> Layered:
    """A cluster's table with the software that it names, below what it says of it itself."""
    name, own = table.plain.get("software_profile", ORDINARY), table.plain.get("software", {})
    where = f"{table.place_of('software_profile', place)}: cluster.software_profile"
    if not isinstance(name, str):
        raise ConfigError(f"{where} is {catalogue.value_shown(name)}; write a name of `wsesim list software` in quotes")
    if not isinstance(own, dict):
        return table
    profile = _with_known_attention(layered("software", resolve("software", name, folder, where)), table)
    return put(table, "software", (sub(table, "software") if own else Layered({})).over(profile))


def _with_known_attention(profile: Layered, cluster: Layered) -> Layered:
    """A profile's kernel of attention; where nothing is known of it on the GPU, the best that is, as libraries choose."""
    gpu = cluster.plain.get("gpu")
    calibration = gpu.get("calibration") if isinstance(gpu, dict) else None
    known = calibration.get("attention") if isinstance(calibration, dict) else None
    word = profile.plain.get("attention")
    if not isinstance(known, dict) or word not in AttentionKernelsSpec.model_fields or word in known:
        return profile
    return replace(profile, plain=profile.plain | {"attention": "flash"})


SCHEMAS: dict[str, tuple[str, type[Spec]]] = {
    "gpu-cluster": ("a cluster of GPUs", GPUClusterSpec),
    "gpu": ("one GPU", GPUSpec),
    "gpu-calibration": ("fitted numbers of GPUs", GPUCalibrationSpec),
    "software": ("what training software of GPUs does", GPUSoftwareSpec),
}
"""Kinds of files that describe GPU clusters."""
