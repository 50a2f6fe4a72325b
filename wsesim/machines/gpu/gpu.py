"""A GPU: how long one kernel takes.

A matrix product is cut into tiles, which the streaming multiprocessors work off in waves; the last
wave is as long as a full one however few tiles it has, and every tile takes a fixed time to start
and to end. A kernel that moves more bytes than it computes takes the time of its bytes. Quantities
may be numbers or numpy arrays over plans.

Not modelled: clocks that fall with power, caches beyond what the roofline implies, tile shapes
other than two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wsesim.machines.gpu.spec import GPUSpec

Array = Any
"""A number, or an array over plans."""

BYTES_PER_ELEMENT = 2.0
"""Weights and activations at 16 bit. [bytes]"""


def gemm_rate_flop_per_s(gpu: GPUSpec) -> float:
    """Large products of a training step, tiles that are full. [FLOP/s]"""
    return gpu.peak_dense_16bit_flop_per_s * gpu.best_gemm_share * gpu.calibration.gemm_efficiency


def gemm_time_s(
    gpu: GPUSpec, rows: Array, columns: Array, inner: Array, *, more_bytes: Array = 0.0, slowdown: float = 1.0
) -> Array:
    """One product of a ``rows x inner`` with an ``inner x columns`` matrix. [s]

    Parameters
    ----------
    more_bytes
        What it reads and writes beside its operands and result. [bytes]
    slowdown
        Of the matrix units, where the inputs are not 16-bit. [-]
    """
    calibration, rate = gpu.calibration, gemm_rate_flop_per_s(gpu) / slowdown
    tall, wide = gpu.gemm_tile_rows, gpu.gemm_tile_columns
    shapes = ((tall, wide, 1.0), (wide, tall, 1.0), (tall, tall, calibration.small_tile_efficiency))
    times = [
        _waves(gpu, rows, columns, high, broad) * 2.0 * high * broad * (inner + calibration.gemm_ramp_elements) / share
        for high, broad, share in shapes
    ]
    compute_s = np.minimum(np.minimum(times[0], times[1]), times[2]) * gpu.num_sms / rate
    moved = (rows * inner + inner * columns + rows * columns) * BYTES_PER_ELEMENT * slowdown + more_bytes
    return calibration.kernel_latency_s + np.maximum(compute_s, moved / memory_rate_bytes_per_s(gpu))


def _waves(gpu: GPUSpec, rows: Array, columns: Array, high: int, broad: int) -> Array:
    """Rounds in which all multiprocessors take a tile each. [-]"""
    return np.ceil(np.ceil(rows / high) * np.ceil(columns / broad) / gpu.num_sms)


def memory_rate_bytes_per_s(gpu: GPUSpec) -> float:
    """HBM as kernels reach it. [bytes/s]"""
    return gpu.memory_bytes_per_s * gpu.calibration.memory_efficiency


def elementwise_time_s(gpu: GPUSpec, num_bytes: Array) -> Array:
    """A kernel that only moves bytes. [s]"""
    return gpu.calibration.kernel_latency_s + num_bytes / memory_rate_bytes_per_s(gpu)


def batched_gemm_time_s(gpu: GPUSpec, flop: Array, num_bytes: Array) -> Array:
    """Many small products in one kernel, as in attention without a fused kernel. [s]"""
    calibration = gpu.calibration
    rate = gpu.peak_dense_16bit_flop_per_s * gpu.best_gemm_share * calibration.batched_gemm_efficiency
    return calibration.kernel_latency_s + np.maximum(flop / rate, num_bytes / memory_rate_bytes_per_s(gpu))


def fused_attention_time_s(gpu: GPUSpec, flop: Array, kernel: str, *, backward: bool) -> Array:
    """Attention in one kernel that keeps no scores. [s]"""
    shares = gpu.attention_shares[kernel]
    return gpu.calibration.kernel_latency_s + flop / (gpu.peak_dense_16bit_flop_per_s * shares[backward])
