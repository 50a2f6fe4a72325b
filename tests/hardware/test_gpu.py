"""One GPU against pencil and paper, and the laws that hold for every kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsesim.config.loader import load_gpu
from wsesim.errors import InputError
from wsesim.machines.gpu.kernels import (
    FusedAttention,
    attention_kernel,
    batched_gemm_time_s,
    elementwise_time_s,
    fused_attention_time_s,
    gemm_time_s,
    head_share,
    kernel_name,
    rate_flop_per_s,
)
from wsesim.machines.gpu.spec import GPUSpec

ROUND = {
    "rate_share": 0.72,
    "tile_s": 0.0,
    "start_s": 0.0,
    "small_tile_share": 0.5,
    "whole_waves": 1.0,
    "memory_share": 0.8,
    "hot_slowdown": 0.0,
    "ragged_slowdown": 0.0,
    "cast_bytes": 0.0,
}
CALIBRATION = {"batched_gemm_efficiency": 0.5, "memory_efficiency": 0.8, "kernel_latency_s": 0.0}


def a100(**products: float) -> GPUSpec:
    """An A100 with round efficiencies: 108 multiprocessors, 312 TFLOP/s, 2 TB/s."""
    gpu, _ = load_gpu("a100_80gb")
    fitted = gpu.calibration.products_16bit.model_copy(update={**ROUND, **products})
    calibration = gpu.calibration.model_copy(update={**CALIBRATION, "products_16bit": fitted})
    return gpu.model_copy(update={"calibration": calibration})


GPU = a100()
RATE = 312e12 * 0.72
SIZES = st.integers(1, 20_000)


def test_the_machine_of_these_tests() -> None:
    assert (GPU.num_sms, GPU.memory_bytes_per_s) == (108, 2e12)
    assert rate_flop_per_s(GPU) == pytest.approx(RATE)


def test_one_full_wave_runs_at_the_rate_of_large_products() -> None:
    # 12 x 9 tiles of 128 x 256: 1536 x 2304, one tile for each of 108 multiprocessors
    flop = 2.0 * 1536 * 2304 * 8192
    assert gemm_time_s(GPU, 1536, 2304, 8192) == pytest.approx(flop / RATE)


def test_one_tile_more_takes_another_wave() -> None:
    # 108 x 1 tiles of 128 x 256; one row more is 218 tiles of 128 x 128, three waves of half the work
    full = gemm_time_s(GPU, 108 * 128, 256, 8192)
    assert full == pytest.approx(2.0 * 108 * 128 * 256 * 8192 / RATE)
    assert gemm_time_s(GPU, 108 * 128 + 1, 256, 8192) == pytest.approx(1.5 * full)
    assert gemm_time_s(GPU, 2 * 108 * 128, 256, 8192) == pytest.approx(2.0 * full)


def test_multiprocessors_may_share_the_last_wave() -> None:
    even = a100(whole_waves=0.0)
    full = gemm_time_s(GPU, 108 * 128, 256, 8192)
    assert full < gemm_time_s(even, 108 * 128 + 1, 256, 8192) < 1.02 * full


def test_a_tile_that_is_not_full_takes_as_long_as_a_full_one() -> None:
    assert gemm_time_s(GPU, 108 * 128 - 127, 200, 8192) == gemm_time_s(GPU, 108 * 128, 256, 8192)


def test_tiles_may_lie_either_way() -> None:
    assert gemm_time_s(GPU, 1536, 2304, 8192) == gemm_time_s(GPU, 2304, 1536, 8192)


def test_small_tiles_win_where_the_larger_ones_leave_multiprocessors_idle() -> None:
    # 9 x 12 tiles of 64 x 64 at half the rate take less than 15 of 128 x 128
    small_s = 2.0 * 64 * 64 * 8192 * 108 / (RATE * 0.5)
    assert gemm_time_s(GPU, 9 * 64, 12 * 64, 8192) == pytest.approx(small_s)


def test_every_tile_starts_and_ends_and_takes_a_time_for_it_on_every_gpu() -> None:
    # one wave of tiles of 128 x 256, whose start takes the root of 2 times that of 128 x 128
    gpu, shape = a100(tile_s=1e-6), (1536, 2304, 8192)
    assert gemm_time_s(gpu, *shape) - gemm_time_s(GPU, *shape) == pytest.approx(2**0.5 * 1e-6)
    twice = gpu.model_copy(update={"peak_dense_16bit_flop_per_s": 624e12})
    half_s = 0.5 * gemm_time_s(GPU, *shape)
    assert gemm_time_s(twice, *shape) == pytest.approx(half_s + 2**0.5 * 1e-6)  # a time, not a share


def test_a_thin_product_takes_the_time_of_its_bytes() -> None:
    # 13824 x 8192 times 8192 x 16: 227 MB at 80 % of 2 TB/s
    gpu, moved = a100(small_tile_share=0.9), 2.0 * (13_824 * 8192 + 8192 * 16 + 13_824 * 16)
    assert gemm_time_s(gpu, 13_824, 16, 8192, more_bytes=1.6e9) == pytest.approx(moved / 1.6e12 + 1e-3)


def test_bytes_beside_a_large_product_are_hidden() -> None:
    assert gemm_time_s(GPU, 4096, 4096, 4096, more_bytes=1e6) == gemm_time_s(GPU, 4096, 4096, 4096)


@pytest.mark.parametrize("shape", [(1536, 2304, 8192), (64, 20_000, 64)])
def test_wide_inputs_slow_units_and_memory_down(shape: tuple[int, int, int]) -> None:
    assert gemm_time_s(GPU, *shape, slowdown=2.0) == pytest.approx(2.0 * gemm_time_s(GPU, *shape))


def test_a_library_of_another_year_has_a_rate_of_its_own() -> None:
    shape = (1536, 2304, 8192)
    assert gemm_time_s(GPU, *shape, rate_share=0.5) == pytest.approx(2.0 * gemm_time_s(GPU, *shape))


def test_many_products_in_one_kernel_share_its_waves() -> None:
    # 9 products of 12 tiles each fill the multiprocessors as one of 108 tiles does
    one_s = gemm_time_s(GPU, 1536, 2304, 8192)
    assert gemm_time_s(GPU, 1536, 256, 8192, count=9) == pytest.approx(one_s)


def test_a_long_product_is_hot_and_a_step_is_as_hot_as_a_long_one() -> None:
    gpu, shape = a100(hot_slowdown=0.1), (1536, 2304, 8192)
    gpu = gpu.model_copy(update={"calibration": gpu.calibration.model_copy(update={"hot_s": 0.3e-3 * np.e})})
    cool_s = gemm_time_s(GPU, *shape)
    assert cool_s < 0.3e-3
    assert gemm_time_s(gpu, *shape, alone=True) == pytest.approx(cool_s)
    assert gemm_time_s(gpu, *shape) == pytest.approx(1.1 * cool_s)


def test_fewer_bits_are_faster_and_cost_a_cast() -> None:
    h100, _ = load_gpu("h100_80gb")
    wide_s, narrow_s = (gemm_time_s(h100, 8192, 8192, 8192, precision=name) for name in ("16bit", "fp8"))
    assert 1.3 < wide_s / narrow_s < 2.0
    moved = 8192 * 8192 * h100.calibration.products_fp8.cast_bytes  # type: ignore[union-attr]
    cast_s = moved / (h100.memory_bytes_per_s * h100.calibration.memory_efficiency)
    without = h100.calibration.products_fp8.model_copy(update={"cast_bytes": 0.0})  # type: ignore[union-attr]
    calibration = h100.calibration.model_copy(update={"products_fp8": without})
    no_cast = h100.model_copy(update={"calibration": calibration})
    assert narrow_s - gemm_time_s(no_cast, 8192, 8192, 8192, precision="fp8") == pytest.approx(cast_s)


@pytest.mark.parametrize(("name", "precision"), [("a100_80gb", "fp8"), ("h100_80gb", "nvfp4"), ("v100_32gb", "mxfp8")])
def test_a_gpu_without_such_units_says_so(name: str, precision: str) -> None:
    with pytest.raises(InputError, match=f"has no matrix products in {precision}; take bfloat16"):
        gemm_time_s(load_gpu(name)[0], 64, 64, 64, precision=precision)


def test_every_kernel_starts_and_ends() -> None:
    gpu = a100(start_s=5e-6)
    gpu = gpu.model_copy(update={"calibration": gpu.calibration.model_copy(update={"kernel_latency_s": 5e-6})})
    assert gemm_time_s(gpu, 64, 64, 64) - gemm_time_s(GPU, 64, 64, 64) == pytest.approx(5e-6)
    assert elementwise_time_s(gpu, 0.0) == 5e-6
    assert batched_gemm_time_s(gpu, 0.0, 0.0) == 5e-6


def test_moving_bytes() -> None:
    assert elementwise_time_s(GPU, 3.2e9) == pytest.approx(2e-3)


def test_small_products_are_bound_by_the_slower_of_units_and_memory() -> None:
    assert batched_gemm_time_s(GPU, RATE * 0.5, 1.0) == pytest.approx(1.0)
    assert batched_gemm_time_s(GPU, 1.0, 1.6e12) == pytest.approx(1.0)


# Attention


def attention(**values: Any) -> FusedAttention:
    """108 heads of 128 queries each, a tile for each multiprocessor, over 2,048 keys."""
    given = {
        "heads": 108,
        "head_size": 128,
        "queries": 128,
        "pairs": 128 * 2048,
        "flop_per_pair": 512.0,
        "causal": False,
    }
    return FusedAttention(**{**given, **values})


def test_attention_takes_a_tile_of_queries_on_each_multiprocessor() -> None:
    kernel = attention_kernel(GPU, "flash_attention_2")
    work_s = attention().flop / (312e12 * kernel.forward_share_128)
    expected = kernel.start_s + kernel.forward_tile_s + work_s
    assert fused_attention_time_s(GPU, attention(), "flash_attention_2", backward=False) == pytest.approx(expected)
    back_s = kernel.start_s + kernel.backward_tile_s + 2.5 * attention().flop / (312e12 * kernel.backward_share_128)
    assert fused_attention_time_s(GPU, attention(), "flash_attention_2", backward=True) == pytest.approx(back_s)


def test_half_of_the_tile_on_the_diagonal_is_worked_out_in_vain() -> None:
    kernel, work = attention_kernel(GPU, "flash_attention_2"), attention(causal=True)
    waste = 108 * 128 * 64 * 512.0 / (312e12 * kernel.forward_share_128)
    whole_s = fused_attention_time_s(GPU, attention(), "flash_attention_2", backward=False)
    assert fused_attention_time_s(GPU, work, "flash_attention_2", backward=False) == pytest.approx(whole_s + waste)


def test_heads_between_those_that_were_measured() -> None:
    kernel = attention_kernel(GPU, "flash_attention_2")
    for width, share in ((32, kernel.forward_share_64), (64, kernel.forward_share_64), (128, kernel.forward_share_128)):
        assert head_share(kernel, width, backward=False) == pytest.approx(share)
    assert head_share(kernel, 512, backward=True) == pytest.approx(kernel.backward_share_256)
    between = head_share(kernel, 64 * 2**0.5, backward=True)
    assert between == pytest.approx((kernel.backward_share_64 + kernel.backward_share_128) / 2)


@pytest.mark.parametrize(
    ("gpu", "word", "name"),
    [
        ("a100_80gb", "flash", "flash_attention_2"),
        ("a100_80gb", "flash_1", "flash_attention_1"),
        ("h100_80gb", "flash", "cudnn"),
        ("h100_80gb", "flash_1", "flash_attention_2"),
        ("h100_80gb", "triton", "triton"),
    ],
)
def test_words_of_before_keep_their_meaning(gpu: str, word: str, name: str) -> None:
    assert kernel_name(load_gpu(gpu)[0], word) == name


def test_a_kernel_that_nobody_measured_is_refused() -> None:
    with pytest.raises(InputError, match="nothing is known of attention by cudnn on a A100 SXM 80 GB; known are"):
        attention_kernel(GPU, "cudnn")


# Laws


@given(SIZES, SIZES, SIZES)
def test_no_product_beats_the_machine(rows: int, columns: int, inner: int) -> None:
    gpu, _ = load_gpu("a100_80gb")
    time_s = gemm_time_s(gpu, rows, columns, inner)
    assert time_s >= 2.0 * rows * columns * inner / rate_flop_per_s(gpu) * (1 - 1e-12)
    assert time_s >= 2.0 * (rows * inner + inner * columns + rows * columns) / gpu.memory_bytes_per_s


@given(SIZES, SIZES, SIZES, st.integers(1, 500), st.integers(0, 2))
def test_a_larger_product_is_never_faster(rows: int, columns: int, inner: int, more: int, side: int) -> None:
    # a tile grid that contains another takes no fewer waves: never faster, though often as fast
    shape = [rows, columns, inner]
    larger = [size + more * (place == side) for place, size in enumerate(shape)]
    assert gemm_time_s(GPU, *larger) >= gemm_time_s(GPU, *shape) * (1 - 1e-12)


@given(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=5), st.floats(0, 1e9))
def test_arrays_are_worked_out_place_by_place(shapes: list[tuple[int, int, int]], more_bytes: float) -> None:
    gpu, _ = load_gpu("h100_80gb")
    rows, columns, inner = (np.array(side) for side in zip(*shapes, strict=True))
    for precision in ("16bit", "fp8"):
        together = gemm_time_s(gpu, rows, columns, inner, precision=precision, more_bytes=more_bytes)
        alone = [gemm_time_s(gpu, *shape, precision=precision, more_bytes=more_bytes) for shape in shapes]
        assert together.tolist() == pytest.approx(alone, rel=1e-14)
