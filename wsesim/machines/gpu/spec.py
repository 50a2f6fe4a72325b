"""A GPU, its kernels and its cluster. One file of ``cluster_configs/gpus`` each, and of ``clusters``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import Field, model_validator

from wsesim.config.cluster import AnyCluster, Files
from wsesim.config.job import GPUReliabilitySpec, JobSpec
from wsesim.config.layering import Layered
from wsesim.config.run import Run
from wsesim.config.spec import PUE, NotNegative, Positive, Share, Spec
from wsesim.machines.gpu.parallelism import Attention, ParallelismSpec, ReductionPrecision


class GPUCalibrationSpec(Spec):
    """What software makes of the hardware; fitted on A100, the same for all GPUs.

    Attributes
    ----------
    gemm_efficiency
        Share of the best measured matrix product that large products of a training step reach. [-]
    gemm_ramp_elements
        Starting and ending a tile takes as long as so many elements of the inner dimension. [-]
    small_tile_efficiency
        Rate on square tiles over that on the larger ones. [-]
    batched_gemm_efficiency
        Share of the best measured product that the small products of unfused attention reach. [-]
    memory_efficiency
        Share of the memory bandwidth that kernels reach. [-]
    kernel_latency_s
        Start and end of one kernel on the GPU. [s]
    launch_latency_s
        The host needs for one kernel, Python included; hidden while the GPU works longer than that. [s]
    loss_bytes_per_logit
        What softmax, loss and their backward pass move for one logit. [bytes]
    optimizer_bytes_per_parameter
        What unscaling, norm, clipping and Adam move for one parameter. [bytes]
    overlap_slowdown
        Share of the time of a collective by which computation beside it takes longer. [-]
    nvlink_efficiency
        Share of the NVLink rate that collectives reach on long messages. [-]
    network_efficiency
        Share of the network rate that collectives reach on long messages. [-]
    collective_latency_s
        Start and end of an all-reduce; half of it for an all-gather. [s]
    collective_step_latency_s
        One step of a ring inside a node. [s]
    """

    gemm_efficiency: Annotated[float, Field(gt=0, le=1.5)]
    gemm_ramp_elements: NotNegative
    small_tile_efficiency: Share
    batched_gemm_efficiency: Share
    memory_efficiency: Share
    kernel_latency_s: NotNegative
    launch_latency_s: NotNegative
    loss_bytes_per_logit: NotNegative
    optimizer_bytes_per_parameter: NotNegative
    overlap_slowdown: NotNegative
    nvlink_efficiency: Share
    network_efficiency: Share
    collective_latency_s: NotNegative
    collective_step_latency_s: NotNegative


class GPUSpec(Spec):
    """One file of ``cluster_configs/gpus``.

    Attributes
    ----------
    name
        Name of the GPU.
    peak_dense_16bit_flop_per_s
        Matrix units, dense, with 16-bit inputs. [FLOP/s]
    peak_dense_32bit_flop_per_s
        The same with 32-bit inputs. [FLOP/s]
    best_gemm_share
        Share of the 16-bit peak that the best of many measured matrix products reaches. [-]
    best_measured_mfu
        Highest model FLOP utilization of the published steps on it, attention counted in full. [-]
    flash_forward_share
        Share of the 16-bit peak that the best published fused attention kernel reaches, forward. [-]
    flash_backward_share
        The same, backward. [-]
    flash_1_forward_share
        The same of the first FlashAttention, which software of 2022 and 2023 used, forward. [-]
    flash_1_backward_share
        The same, backward. [-]
    num_sms
        Streaming multiprocessors, over which the tiles of a product are spread. [-]
    gemm_tile_rows
        Rows of the tile of a result that one of them computes. [-]
    gemm_tile_columns
        Columns of that tile. [-]
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
    peak_dense_16bit_flop_per_s: Positive
    peak_dense_32bit_flop_per_s: Positive
    best_gemm_share: Share
    best_measured_mfu: Share | None = None
    flash_forward_share: Share
    flash_backward_share: Share
    flash_1_forward_share: Share
    flash_1_backward_share: Share
    num_sms: Annotated[int, Field(gt=0, le=100_000)]
    gemm_tile_rows: Annotated[int, Field(gt=0, le=4096)] = 128
    gemm_tile_columns: Annotated[int, Field(gt=0, le=4096)] = 256
    memory_bytes: Positive
    memory_bytes_per_s: Positive
    nvlink_bytes_per_s: Positive
    power_w: Positive
    calibration: GPUCalibrationSpec

    @property
    def attention_shares(self) -> dict[str, tuple[float, float]]:
        """For each fused attention kernel, its share of the peak forward and backward. [-]"""
        return {
            "flash": (self.flash_forward_share, self.flash_backward_share),
            "flash_1": (self.flash_1_forward_share, self.flash_1_backward_share),
        }


class GPUSoftwareSpec(Spec):
    """What the training software of a cluster does, unless ``[parallelism]`` says otherwise; today's when left out.

    Attributes
    ----------
    attention
        Attention kernel: the best published fused one, the first FlashAttention, or one kernel for each operation.
    overlap_gradient_reduction
        Gradients are reduced while the backward pass of the last micro-batch still runs.
    overlap_pipeline_communication
        Activations travel between stages while the GPU works on the next micro-batch.
    fused_gradient_accumulation
        The kernel of a weight gradient adds it to those of earlier micro-batches.
    reduction_precision
        In which gradients are summed over the data-parallel group.
    keeps_gradient_copy
        The optimizer keeps a 32-bit copy of 16-bit gradients.
    """

    attention: Attention = "flash"
    overlap_gradient_reduction: bool = True
    overlap_pipeline_communication: bool = True
    fused_gradient_accumulation: bool = True
    reduction_precision: ReductionPrecision = "32bit"
    keeps_gradient_copy: bool = False


class GPUClusterSpec(AnyCluster):
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
    software
        What the cluster's training software does, for runs whose ``[parallelism]`` is silent.
    power_w_per_gpu
        Of a node over its GPUs: GPU, host, fans, adapters. [W]
    price_usd_per_gpu_hour
        What an hour of one GPU costs; left out, the purchase price over `amortization_s`. [USD/h]
    purchase_price_usd_per_gpu
        Of a node over its GPUs; left out as well, no cost is stated. [USD]
    amortization_s
        Time over which a purchase price is spread. [s]
    pue
        Power of the facility over that of the devices, for cooling and losses; 1 where left out. [-]
    electricity_usd_per_kwh
        Price of electricity; left out, no cost of it is stated. [USD/kWh]
    carbon_kg_per_kwh
        CO2 equivalent of electricity; left out, none is stated. [kg/kWh]
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
    software: GPUSoftwareSpec = GPUSoftwareSpec()
    power_w_per_gpu: Positive
    price_usd_per_gpu_hour: Positive | None = None
    purchase_price_usd_per_gpu: Positive | None = None
    amortization_s: Positive | None = None
    pue: PUE | None = None
    electricity_usd_per_kwh: NotNegative | None = None
    carbon_kg_per_kwh: NotNegative | None = None
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


def _of_wafers(_: Layered, tables: Mapping[str, Layered], place: str) -> list[str]:
    """What is set in a run file but belongs to wafer-scale clusters."""
    training = tables["training"]
    found = {
        "precision": training.plain.get("precision") == "cbfloat16",
        "activations": "activations" in training.plain,
        "weight_sparsity": training.plain.get("weight_sparsity", 0) not in (0, "0", "0 %"),
    }
    return [f"{training.place_of(key, place)}: training.{key} {_WRONG[key]}" for key in _WRONG if found[key]]


FILES = Files(
    cluster=GPUClusterSpec,
    part=GPUSpec,
    key="gpu",
    folder="gpus",
    whole=frozenset({"gpu", "gpus_per_node"}),
    schemas={
        "gpu-cluster": ("a cluster of GPUs", GPUClusterSpec),
        "gpu": ("one GPU", GPUSpec),
        "gpu-calibration": ("fitted numbers of GPUs", GPUCalibrationSpec),
    },
    spread=ParallelismSpec,
    from_cluster={"parallelism": "software", "job": "job"},
    training={"precision": "bfloat16"},
    contradicts=_of_wafers,
)
