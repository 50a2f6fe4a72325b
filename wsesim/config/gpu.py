"""A GPU, its kernels and its cluster. One file of ``cluster_configs/gpus`` each, and of ``clusters``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from wsesim.config.spec import Spec
from wsesim.config.system import NotNegative, Positive, Share


class GPUCalibrationSpec(Spec):
    """What software makes of the hardware; fitted on A100 (``wsesim validate gpu`` names the rows).

    Attributes
    ----------
    gemm_efficiency
        Share of the best measured matrix product that large products of a training step reach. [-]
    attention_efficiency
        Share of it that a fused attention kernel reaches, forward. [-]
    attention_backward_efficiency
        The same, backward. [-]
    memory_efficiency
        Share of the memory bandwidth that element-wise kernels reach. [-]
    kernel_latency_s
        Start and end of one kernel on the GPU. [s]
    launch_latency_s
        The host needs for one kernel; hidden while the GPU works longer than that. [s]
    nvlink_efficiency
        Share of the NVLink rate that collectives reach on long messages. [-]
    network_efficiency
        Share of the network rate that collectives reach on long messages. [-]
    collective_latency_s
        Start and end of one collective. [s]
    collective_step_latency_s
        One step of a ring or tree inside a node. [s]
    """

    gemm_efficiency: Share
    attention_efficiency: Share
    attention_backward_efficiency: Share
    memory_efficiency: Share
    kernel_latency_s: NotNegative
    launch_latency_s: NotNegative
    nvlink_efficiency: Share
    network_efficiency: Share
    collective_latency_s: NotNegative
    collective_step_latency_s: NotNegative


class GPUSpec(Spec):
    """One file of ``cluster_configs/gpus``.

    Attributes
    ----------
    peak_dense_16bit_flop_per_s
        Matrix units, dense, with 16-bit inputs. [FLOP/s]
    peak_dense_32bit_flop_per_s
        The same with 32-bit inputs. [FLOP/s]
    best_gemm_share
        Share of the 16-bit peak that the best of many measured matrix products reaches. [-]
    num_sms
        Streaming multiprocessors, over which the tiles of a product are spread. [-]
    gemm_tile_rows, gemm_tile_columns
        Tile of the result that one of them computes. [-]
    memory_bytes, memory_bytes_per_s
        HBM. [bytes], [bytes/s]
    nvlink_bytes_per_s
        To the other GPUs of its NVLink domain, each direction. [bytes/s]
    power_w
        Of the GPU alone, at most. [W]
    """

    name: str
    peak_dense_16bit_flop_per_s: Positive
    peak_dense_32bit_flop_per_s: Positive
    best_gemm_share: Share
    num_sms: Annotated[int, Field(gt=0, le=100_000)]
    gemm_tile_rows: Annotated[int, Field(gt=0, le=4096)] = 128
    gemm_tile_columns: Annotated[int, Field(gt=0, le=4096)] = 256
    memory_bytes: Positive
    memory_bytes_per_s: Positive
    nvlink_bytes_per_s: Positive
    power_w: Positive
    calibration: GPUCalibrationSpec


class GPUClusterSpec(Spec):
    """One file of ``cluster_configs/clusters`` that names a `gpu`, with the run file's overrides.

    Attributes
    ----------
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
    network_latency_s
        One message from node to node. [s]
    reserved_memory_bytes
        CUDA context, NCCL buffers and fragmentation on each GPU. [bytes]
    power_w_per_gpu
        Of a node over its GPUs: GPU, host, fans, adapters. [W]
    price_usd_per_gpu_hour
        What an hour of one GPU costs; left out, no cost is stated. [USD/h]
    """

    name: str
    gpu: GPUSpec
    num_gpus: Annotated[int, Field(gt=0, le=10**9)]
    max_gpus: Annotated[int, Field(gt=0, le=10_000_000)]
    gpus_per_node: Annotated[int, Field(gt=0, le=1024)]
    nvlink_domain_size: Annotated[int, Field(gt=0, le=4096)] | None = None
    node_network_bytes_per_s: Positive
    network_latency_s: NotNegative
    reserved_memory_bytes: NotNegative
    power_w_per_gpu: Positive
    price_usd_per_gpu_hour: Positive | None = None

    @model_validator(mode="after")
    def _domains(self) -> GPUClusterSpec:
        if self.nvlink_domain_size is not None and self.nvlink_domain_size % self.gpus_per_node:
            raise ValueError(
                f"[nvlink_domain_size] {self.nvlink_domain_size} is no multiple of gpus_per_node = {self.gpus_per_node}; "
                "a domain holds whole nodes"
            )
        return self

    @property
    def domain_size(self) -> int:
        """GPUs that NVLink joins. [-]"""
        return self.nvlink_domain_size or self.gpus_per_node
