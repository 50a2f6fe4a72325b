"""MFU and HFU by their definitions, on numbers that can be checked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import tiny_run
from wsesim.machines.wafer import metrics
from wsesim.machines.wafer.simulation import Simulation, run_schedule

PEAK = 850_000 * 4 * 2 * 1.1e9


def simulate(**overrides: dict[str, Any]) -> Simulation:
    return run_schedule(tiny_run(**overrides))


def by_hand_flop(*, causal: bool) -> float:
    """Forward and backward of one sequence of the tiny model.

    Two blocks of width 256: four projections of 256 x 256 and an MLP of 2 x 256 x 1024 per
    token; scores and values of 128 x 128 x 256 each; a head of 256 x 1000. One multiply-add is
    two FLOP, and the backward pass takes twice the forward pass.
    """
    weights = 2 * (4 * 256 * 256 + 2 * 256 * 1024) + 256 * 1000
    attention = 2 * (2 * 128 * 128 * 256) * (0.5 if causal else 1.0)
    return 3 * 2 * (128 * weights + attention)


def test_mfu_is_model_flop_over_time_and_peak() -> None:
    simulation = simulate(training={"global_batch_size": 48}, cluster={"num_systems": 3})
    expected = by_hand_flop(causal=False) * 48 / simulation.step_time_s / (3 * PEAK)
    assert metrics.mfu(simulation) == pytest.approx(expected)


def test_causal_mfu_counts_half_of_the_attention() -> None:
    simulation = simulate()
    expected = by_hand_flop(causal=True) * 16 / simulation.step_time_s / PEAK
    assert metrics.mfu(simulation, causal=True) == pytest.approx(expected)
    assert metrics.mfu(simulation, causal=True) < metrics.mfu(simulation)


def test_an_encoder_looks_both_ways() -> None:
    simulation = simulate(model={"causal": False, "masked_positions": 20})
    assert metrics.mfu(simulation, causal=True) == metrics.mfu(simulation)


def test_samples_are_batches_over_steps() -> None:
    simulation = simulate()
    assert metrics.samples_per_s(simulation) * simulation.step_time_s == pytest.approx(16)


def test_the_peak_is_that_of_the_precision() -> None:
    narrow, wide = simulate(), simulate(training={"precision": "float32"})
    ratio = metrics.peak_of_cluster_flop_per_s(wide) / metrics.peak_of_cluster_flop_per_s(narrow)
    assert ratio == pytest.approx(wide.run.cluster.system.wafer.float32_rate_factor)


def test_dense_runs_execute_just_the_model() -> None:
    simulation = simulate()
    assert metrics.hfu(simulation) == pytest.approx(metrics.mfu(simulation))


def test_sparse_runs_execute_less_than_the_model() -> None:
    simulation = simulate(training={"weight_sparsity": 0.75})
    assert metrics.hfu(simulation) < metrics.mfu(simulation)
    # attention has no weights: only the products with weights shrink, to a quarter
    attention = 3 * 2 * 2 * (2 * 128 * 128 * 256)
    expected = (by_hand_flop(causal=False) - attention) * 0.25 + attention
    assert metrics.executed_flop_per_step(simulation) == pytest.approx(16 * expected)


def test_recomputation_executes_more_than_the_model() -> None:
    simulation = simulate(model={"num_layers": 4}, training={"activations": "recompute"})
    assert metrics.hfu(simulation) > metrics.mfu(simulation)


def test_slower_parts_lower_the_mfu() -> None:
    slow = simulate(cluster={"memoryx": {"egress_bytes_per_s": "1 GB/s"}})
    assert metrics.mfu(slow) < metrics.mfu(simulate())
