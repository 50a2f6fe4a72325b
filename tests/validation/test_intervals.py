"""Ranges: wider for less knowledge, lopsided where errors are, never without a reason."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsesim
from wsesim.results.intervals import (
    REPEATABILITY,
    Bounds,
    around,
    differences,
    from_errors,
    of_rate,
    of_time,
    student_quantile,
    together,
)
from wsesim.results.job import Range

ERRORS = st.dictionaries(
    st.text(min_size=1, max_size=4), st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=4), min_size=3, max_size=12
)


@pytest.mark.parametrize(("freedom", "published"), [(3, 2.353), (5, 2.015), (10, 1.812), (30, 1.697)])
def test_the_quantile_is_that_of_tables(freedom: int, published: float) -> None:
    # an expansion: within 1 % from three degrees of freedom on
    assert student_quantile(freedom) == pytest.approx(published, rel=0.01)


@given(ERRORS)
def test_bounds_turn_with_the_sign_of_the_errors(errors: dict[str, list[float]]) -> None:
    bounds = from_errors(errors, "")
    turned = from_errors({name: [-error for error in group] for name, group in errors.items()}, "")
    # sums of a dozen squares in another order
    assert (bounds.faster, bounds.slower) == pytest.approx((turned.slower, turned.faster))
    assert min(bounds[:2]) >= REPEATABILITY


@given(ERRORS, st.floats(1.0, 3.0))
def test_larger_errors_make_no_narrower_range(errors: dict[str, list[float]], factor: float) -> None:
    narrow = from_errors(errors, "")
    wide = from_errors({name: [factor * error for error in group] for name, group in errors.items()}, "")
    assert wide.faster >= narrow.faster * (1.0 - 1e-12)
    assert wide.slower >= narrow.slower * (1.0 - 1e-12)


def test_a_group_counts_once_however_many_rows_it_has() -> None:
    once = from_errors({"a": [0.1], "b": [0.0], "c": [-0.02]}, "")
    often = from_errors({"a": [0.1] * 50, "b": [0.0], "c": [-0.02]}, "")
    assert once[:2] == pytest.approx(often[:2])


def test_one_row_of_another_model_brings_that_models_error_as_well() -> None:
    errors = {"a": [0.1], "b": [0.0], "c": [-0.1]}
    assert sorted(round(error, 6) for group in differences(errors).values() for error in group) == [
        *(-0.2, -0.1, -0.1, 0.1, 0.1, 0.2)
    ]


def test_a_slow_side_of_the_time_is_the_low_side_of_the_rate() -> None:
    bounds = Bounds(0.05, 0.2)
    time_s, rate = of_time(2.0, bounds), of_rate(0.5, bounds)
    assert (time_s.low, time_s.high) == pytest.approx((2.0 * math.exp(-0.05), 2.0 * math.exp(0.2)))
    assert (rate.low, rate.high) == pytest.approx((1.0 / time_s.high, 1.0 / time_s.low))


def test_prices_and_time_add_as_squares() -> None:
    cost = around(Range(100.0, 100.0 * math.exp(-0.3), 100.0), Bounds(0.4, 0.4))
    assert (cost.low, cost.high) == pytest.approx((100.0 * math.exp(-0.5), 100.0 * math.exp(0.4)))
    assert together(Bounds(0.3, 0.0, ("a",)), Bounds(0.4, 0.0, ("a",))) == Bounds(0.5, 0.0, ("a",))


def width(settings: list[str], run: str = "cerebras_gpt_1.3b") -> float:
    low, high = wsesim.simulate(wsesim.load(run, settings), engine="recurrence").interval["step_time_s"]
    return float(high / low)


@pytest.mark.parametrize(
    "less_known",
    [
        ["training.sequence_length=8192", "model.max_position_embeddings=8192", "training.global_batch_size=132"],
        ["training.weight_sparsity=0.5"],
        ["cluster.software_release=3.9"],
        ["training.global_batch_size=8"],
    ],
)
def test_less_is_known_of_long_sequences_sparse_weights_new_releases_and_small_steps(less_known: list[str]) -> None:
    assert width(less_known) > width([])


def test_longer_is_wider() -> None:
    widths = []
    for tokens in (2048, 8192, 32768):
        long = [f"training.sequence_length={tokens}", f"model.max_position_embeddings={tokens}"]
        widths.append(width([*long, f"training.global_batch_size={524_288 // tokens}"]))
    assert widths == sorted(widths)


@pytest.mark.parametrize("run", ["andromeda_13b", "cerebras_gpt_13b_gpu"])
def test_every_answer_lies_inside_its_range_and_says_why(run: str) -> None:
    result = wsesim.simulate(wsesim.load(run))
    interval, data = result.interval, result.to_dict()
    assert interval["level"] == 0.9
    assert interval["basis"]
    for key in ("step_time_s", "samples_per_s", "tokens_per_s"):
        assert interval[key][0] < data[key] < interval[key][1]
    for key in ("time_s", "energy_j", "cost_usd"):
        assert interval[key] is None or interval[key][0] < data["training"][key] < interval[key][1]


def test_a_gpt_on_a_known_release_has_a_range_of_at_most_fifteen_percent() -> None:
    result = wsesim.simulate(wsesim.load("cerebras_gpt_2.7b", ["cluster.software_release=2.3"]), engine="recurrence")
    low, high = result.interval["samples_per_s"]
    assert 0.85 <= low / result.samples_per_s < 1.0 < high / result.samples_per_s <= 1.15
