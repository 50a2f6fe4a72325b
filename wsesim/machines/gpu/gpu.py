"""A GPU: how long one kernel takes.

A matrix product is cut into tiles, which the streaming multiprocessors work off in waves; every tile
takes a fixed time to start and to end, and the last wave is longer than its share. A kernel that moves
more bytes than it computes takes the time of its bytes. The numbers are fitted to measured kernels of
each GPU (`wsesim calibrate --gpu`), not to training steps. Quantities may be numbers or numpy arrays
over plans.

Not modelled: clocks as a function of power and temperature beyond one number for each GPU, caches
beyond what the roofline implies, tile shapes other than four.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wsesim.errors import InputError
from wsesim.machines.gpu.kernels import FusedAttention
from wsesim.machines.gpu.spec import AttentionKernelSpec, GPUSpec, ProductSpec

Array = Any
"""A number, or an array over plans."""

BYTES_16BIT = 2.0
"""Results, and operands at 16 bit. [bytes]"""
TILES = ((128, 256), (256, 128), (128, 128), (64, 64))
"""Rows and columns of a result that one multiprocessor computes at a time; the fastest is taken. [-]"""
SMALL_TILE = (64, 64)
LASTS_S = 0.3e-3
"""A product that lasts longer draws so much power that clocks fall. [s]"""
RAGGED_ROWS = 16
"""Kernels for full vectors need rows that are a multiple of it. [-]"""
ATTENTION_TILE = 128
"""Queries of one head that a multiprocessor takes at a time. [-]"""

OPERAND_BYTES = {"16bit": 2.0, "fp8": 1.0, "mxfp8": 1.0 + 1.0 / 32.0, "nvfp4": 0.5 + 1.0 / 16.0}
"""Of one element with its share of a scale, by precision. [bytes]"""


def products_of(gpu: GPUSpec, precision: str) -> tuple[ProductSpec, float]:
    """Measured products of a precision, and its peak. [FLOP/s]

    Raises
    ------
    InputError
        The GPU has no such units, or no such product was measured on it.
    """
    peaks = {"16bit": gpu.peak_dense_16bit_flop_per_s, "nvfp4": gpu.peak_dense_4bit_flop_per_s}
    peak = peaks.get(precision, gpu.peak_dense_8bit_flop_per_s)
    found: ProductSpec | None = getattr(gpu.calibration, f"products_{precision}")
    if found is None or peak is None:
        raise InputError(f"a {gpu.name} has no matrix products in {precision}; take bfloat16")
    return found, peak


def rate_flop_per_s(gpu: GPUSpec, precision: str = "16bit") -> Array:
    """Tiles between their start and their end, in a training step. [FLOP/s]"""
    products, peak = products_of(gpu, precision)
    return peak * products.rate_share / hot_factor(gpu, gpu.calibration.hot_s)


def hot_factor(gpu: GPUSpec, lasts_s: Array) -> Array:
    """Time of a product that lasts so long, over that of one on a cool GPU; of any precision. [-]"""
    slowdown = gpu.calibration.products_16bit.hot_slowdown
    return 1.0 + slowdown * np.maximum(0.0, np.log(np.maximum(lasts_s, 1e-9) / LASTS_S))


def gemm_time_s(
    gpu: GPUSpec,
    rows: Array,
    columns: Array,
    inner: Array,
    *,
    precision: str = "16bit",
    count: Array = 1.0,
    more_bytes: Array = 0.0,
    slowdown: float = 1.0,
    rate_share: float = 1.0,
    alone: bool = False,
) -> Array:
    """One product of a ``rows x inner`` with an ``inner x columns`` matrix, or `count` of them in one kernel. [s]

    Parameters
    ----------
    precision
        "16bit", "fp8", "mxfp8" or "nvfp4". Below 16 bit the ``rows x inner`` matrix is rounded first.
    more_bytes
        What each reads and writes beside its operands and result. [bytes]
    slowdown
        Of matrix units and memory, where the inputs are 32-bit. [-]
    rate_share
        Of the rate of the library that the GPU was measured with. [-]
    alone
        Measured alone: the GPU is as hot as the product itself makes it, not as in a training step.
    """
    products, peak = products_of(gpu, precision)
    compute_s = _compute_s(products, gpu.num_sms, peak * rate_share / slowdown, (rows, columns, inner, count))
    hot = hot_factor(gpu, compute_s if alone else gpu.calibration.hot_s)
    operands = (rows + columns) * inner * OPERAND_BYTES[precision] + rows * columns * BYTES_16BIT
    moved_s = count * (operands * slowdown + more_bytes) / (gpu.memory_bytes_per_s * products.memory_share)
    cast_s = count * rows * inner * products.cast_bytes / memory_rate_bytes_per_s(gpu)
    return products.start_s + np.maximum(compute_s * hot, moved_s) + cast_s


def _compute_s(products: ProductSpec, num_sms: int, peak_flop_per_s: float, shape: tuple[Array, ...]) -> Array:
    """By the tile shape that takes least. [s]"""
    rows, columns, inner, count = shape
    flop_per_s, least_s = peak_flop_per_s * products.rate_share / num_sms, None
    for high, wide in TILES:
        share = products.small_tile_share if (high, wide) == SMALL_TILE else 1.0
        tiles = count * np.ceil(rows / high) * np.ceil(columns / wide) / num_sms
        waves = np.maximum(1.0, tiles + products.whole_waves * (np.ceil(tiles) - tiles))
        tile_s = 2.0 * high * wide / (flop_per_s * share) * inner + products.tile_s * (high * wide) ** 0.5 / 128.0
        time_s = waves * tile_s
        least_s = time_s if least_s is None else np.minimum(least_s, time_s)
    ragged = products.ragged_slowdown
    return least_s if ragged == 0.0 else least_s * (1.0 + ragged * (np.mod(rows, RAGGED_ROWS) != 0))


def memory_rate_bytes_per_s(gpu: GPUSpec) -> float:
    """HBM as kernels reach it. [bytes/s]"""
    return gpu.memory_bytes_per_s * gpu.calibration.memory_efficiency


def elementwise_time_s(gpu: GPUSpec, num_bytes: Array) -> Array:
    """A kernel that only moves bytes. [s]"""
    return gpu.calibration.kernel_latency_s + num_bytes / memory_rate_bytes_per_s(gpu)


WITHOUT_MATRIX_UNITS = 16.0
"""Peak of the matrix units in 16 bit over that of the other units in 32 bit: 312 over 19.5 TFLOP/s on A100, 125 over 15.7 on
V100, where it matters less. [-]"""


def batched_gemm_time_s(gpu: GPUSpec, flop: Array, num_bytes: Array) -> Array:
    """Many small products in one kernel, as in attention without a fused kernel. [s]"""
    rate = rate_flop_per_s(gpu) * gpu.calibration.batched_gemm_efficiency
    return gpu.calibration.kernel_latency_s + np.maximum(flop / rate, num_bytes / memory_rate_bytes_per_s(gpu))


def kernel_name(gpu: GPUSpec, attention: str) -> str:
    """The fused kernel that a word stands for on a GPU: "flash" is the best published one, "flash_1" the one before."""
    return {"flash": gpu.flash_kernel, "flash_1": gpu.flash_1_kernel}.get(attention, attention)


def attention_kernel(gpu: GPUSpec, attention: str) -> AttentionKernelSpec:
    """A fused kernel on a GPU.

    Raises
    ------
    InputError
        Nobody measured it there.
    """
    name = kernel_name(gpu, attention)
    found: AttentionKernelSpec | None = getattr(gpu.calibration.attention, name)
    if found is None:
        kernels = gpu.calibration.attention
        known = ", ".join(key for key in type(kernels).model_fields if getattr(kernels, key) is not None)
        raise InputError(f"nothing is known of attention by {name} on a {gpu.name}; known are {known}, unfused")
    return found


def head_share(kernel: AttentionKernelSpec, head_size: float, *, backward: bool) -> float:
    """Share of the peak for heads of a width: between those that were measured, and as the nearest outside. [-]"""
    way = "backward" if backward else "forward"
    shares = [getattr(kernel, f"{way}_share_{width}") for width in (64, 128, 256)]
    place = min(2.0, max(0.0, float(np.log2(head_size / 64.0))))
    left = min(1, int(place))
    return float(shares[left] + (place - left) * (shares[left + 1] - shares[left]))


PADS_HEADS = "flash_attention_1"
"""A kernel that is written for heads of 32, 64 and 128, to which it pads others."""


def _padded(head_size: float) -> float:
    """Width at which a kernel of 2022 works on a head. [-]"""
    return next((float(size) for size in (32, 64, 128) if head_size <= size), head_size)


def fused_attention_time_s(
    gpu: GPUSpec, work: FusedAttention, attention: str, *, backward: bool, slowdown: float = 1.0
) -> Array:
    """Attention in one kernel that keeps no scores. [s]

    A multiprocessor takes tiles of queries of one head; with a causal mask half of the tile on the diagonal is
    worked out in vain. The backward pass computes 2.5 times as much. Where GPUs share a sequence, the keys of each
    are a kernel of their own, whose tiles start anew.
    """
    kernel = attention_kernel(gpu, attention)
    rate = gpu.peak_dense_16bit_flop_per_s / slowdown / gpu.num_sms
    rate = rate * head_share(kernel, work.head_size, backward=backward)
    if kernel_name(gpu, attention) == PADS_HEADS:
        rate = rate * work.head_size / _padded(work.head_size)
    num_tiles = work.heads * np.ceil(work.queries / ATTENTION_TILE)
    pairs = work.heads * work.pairs + (num_tiles * ATTENTION_TILE * 0.5 * ATTENTION_TILE if work.causal else 0.0)
    flop = pairs * work.flop_per_pair * (2.5 if backward else 1.0)
    tile_s = kernel.backward_tile_s if backward else kernel.forward_tile_s
    each_s = flop / num_tiles / rate + tile_s * work.rounds
    return kernel.start_s * work.rounds + each_s * np.maximum(1.0, num_tiles / gpu.num_sms)
