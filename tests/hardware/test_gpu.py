"""One GPU against pencil and paper, and the laws that hold for every kernel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsesim.config.entries import load_gpu
from wsesim.machines.gpu.gpu import (
    batched_gemm_time_s,
    elementwise_time_s,
    fused_attention_time_s,
    gemm_rate_flop_per_s,
    gemm_time_s,
)
from wsesim.machines.gpu.spec import GPUSpec

CALIBRATION = {
    "gemm_efficiency": 0.9,
    "gemm_ramp_elements": 0.0,
    "small_tile_efficiency": 0.5,
    "batched_gemm_efficiency": 0.5,
    "memory_efficiency": 0.8,
    "kernel_latency_s": 0.0,
}


def a100(**calibration: float) -> GPUSpec:
    """An A100 with round efficiencies: 108 multiprocessors, 312 TFLOP/s, 2 TB/s."""
    gpu, _ = load_gpu("a100_80gb")
    fitted = gpu.calibration.model_copy(update={**CALIBRATION, **calibration})
    return gpu.model_copy(update={"best_gemm_share": 0.8, "calibration": fitted})


GPU = a100()
RATE = 312e12 * 0.8 * 0.9
SIZES = st.integers(1, 20_000)


def test_the_machine_of_these_tests() -> None:
    assert (GPU.num_sms, GPU.gemm_tile_rows, GPU.gemm_tile_columns, GPU.memory_bytes_per_s) == (108, 128, 256, 2e12)
    assert gemm_rate_flop_per_s(GPU) == pytest.approx(RATE)


def test_one_full_wave_runs_at_the_rate_of_large_products() -> None:
    # 12 x 9 tiles of 128 x 256: 1536 x 2304, one tile for each of 108 multiprocessors
    flop = 2.0 * 1536 * 2304 * 8192
    assert gemm_time_s(GPU, 1536, 2304, 8192) == pytest.approx(flop / RATE)


def test_one_tile_more_takes_a_second_wave() -> None:
    # 108 x 1 tiles of 128 x 256, and 109; with tiles of 256 x 128 it is 54 x 2 and 55 x 2, two waves, too
    full = gemm_time_s(GPU, 108 * 128, 256, 8192)
    assert full == pytest.approx(2.0 * 108 * 128 * 256 * 8192 / RATE)
    assert gemm_time_s(GPU, 108 * 128 + 1, 256, 8192) == pytest.approx(2.0 * full)
    assert gemm_time_s(GPU, 2 * 108 * 128, 256, 8192) == pytest.approx(2.0 * full)


def test_a_tile_that_is_not_full_takes_as_long_as_a_full_one() -> None:
    assert gemm_time_s(GPU, 108 * 128 - 127, 200, 8192) == gemm_time_s(GPU, 108 * 128, 256, 8192)


def test_tiles_may_lie_either_way() -> None:
    assert gemm_time_s(GPU, 1536, 2304, 8192) == gemm_time_s(GPU, 2304, 1536, 8192)


def test_square_tiles_win_where_the_larger_ones_waste_a_wave() -> None:
    # 109 tiles of 128 x 128: two waves of half the work each, at 0.9 of the rate; of 256 x 128 there are 55, in
    # one wave. Memory is no limit here
    gpu = a100(small_tile_efficiency=0.9).model_copy(update={"memory_bytes_per_s": 1e15})
    large_s = 108 * 2.0 * 128 * 256 * 8192 / RATE
    assert gemm_time_s(gpu, 109 * 128, 128, 8192) == pytest.approx(large_s)
    # 108 of them fit in one wave
    assert gemm_time_s(gpu, 108 * 128, 128, 8192) == pytest.approx(large_s / 2 / 0.9)


def test_every_tile_starts_and_ends() -> None:
    gpu = a100(gemm_ramp_elements=128.0)
    assert gemm_time_s(gpu, 1536, 2304, 1024) == pytest.approx(gemm_time_s(GPU, 1536, 2304, 1024) * (1024 + 128) / 1024)


def test_a_thin_product_takes_the_time_of_its_bytes() -> None:
    # 13824 x 8192 times 8192 x 16: 227 MB at 80 % of 2 TB/s. One wave of square tiles, most of them empty, takes less
    gpu, moved = a100(small_tile_efficiency=0.9), 2.0 * (13_824 * 8192 + 8192 * 16 + 13_824 * 16)
    assert gemm_time_s(gpu, 13_824, 16, 4096) < gemm_time_s(gpu, 13_824, 16, 8192)
    assert gemm_time_s(gpu, 13_824, 16, 8192, more_bytes=1.6e9) == pytest.approx(moved / 1.6e12 + 1e-3)


def test_bytes_beside_a_large_product_are_hidden() -> None:
    assert gemm_time_s(GPU, 4096, 4096, 4096, more_bytes=1e6) == gemm_time_s(GPU, 4096, 4096, 4096)


@pytest.mark.parametrize("shape", [(1536, 2304, 8192), (64, 20_000, 64)])
def test_wide_inputs_slow_units_and_memory_down(shape: tuple[int, int, int]) -> None:
    assert gemm_time_s(GPU, *shape, slowdown=2.0) == pytest.approx(2.0 * gemm_time_s(GPU, *shape))


def test_every_kernel_starts_and_ends() -> None:
    gpu = a100(kernel_latency_s=5e-6)
    assert gemm_time_s(gpu, 64, 64, 64) - gemm_time_s(GPU, 64, 64, 64) == pytest.approx(5e-6)
    assert elementwise_time_s(gpu, 0.0) == 5e-6
    assert batched_gemm_time_s(gpu, 0.0, 0.0) == 5e-6
    assert fused_attention_time_s(gpu, 0.0, "flash", backward=True) == 5e-6


def test_moving_bytes() -> None:
    assert elementwise_time_s(GPU, 3.2e9) == pytest.approx(2e-3)


def test_small_products_are_bound_by_the_slower_of_units_and_memory() -> None:
    assert batched_gemm_time_s(GPU, 312e12 * 0.8 * 0.5, 1.0) == pytest.approx(1.0)
    assert batched_gemm_time_s(GPU, 1.0, 1.6e12) == pytest.approx(1.0)


def test_fused_attention_runs_at_its_published_share() -> None:
    for kernel, shares in GPU.attention_shares.items():
        for backward in (False, True):
            assert fused_attention_time_s(GPU, 312e12, kernel, backward=backward) == pytest.approx(1 / shares[backward])


@given(SIZES, SIZES, SIZES)
def test_no_product_beats_the_machine(rows: int, columns: int, inner: int) -> None:
    gpu, _ = load_gpu("a100_80gb")
    time_s = gemm_time_s(gpu, rows, columns, inner)
    assert time_s >= 2.0 * rows * columns * inner / gemm_rate_flop_per_s(gpu)
    assert time_s >= 2.0 * (rows * inner + inner * columns + rows * columns) / gpu.memory_bytes_per_s


@given(SIZES, SIZES, SIZES, st.integers(1, 500), st.integers(0, 2))
def test_a_larger_product_is_never_faster(rows: int, columns: int, inner: int, more: int, side: int) -> None:
    # a tile grid that contains another takes no fewer waves: never faster, though often as fast
    shape = [rows, columns, inner]
    larger = [size + more * (place == side) for place, size in enumerate(shape)]
    assert gemm_time_s(GPU, *larger) >= gemm_time_s(GPU, *shape) * (1 - 1e-12)


@given(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=5), st.floats(0, 1e9))
def test_arrays_are_worked_out_place_by_place(shapes: list[tuple[int, int, int]], more_bytes: float) -> None:
    gpu, _ = load_gpu("a100_80gb")
    rows, columns, inner = (np.array(side) for side in zip(*shapes, strict=True))
    together = gemm_time_s(gpu, rows, columns, inner, more_bytes=more_bytes)
    assert together.tolist() == [gemm_time_s(gpu, *shape, more_bytes=more_bytes) for shape in shapes]
