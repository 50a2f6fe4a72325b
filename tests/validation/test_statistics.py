"""Statistics of errors keep their laws."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsesim.validate.statistics import (
    constant_hfu_mape,
    error_statistics,
    pairs_in_order,
    rank_correlation,
    ranks,
    weighted_median,
)

positive = st.floats(1e-3, 1e6)
times = st.lists(positive, min_size=1, max_size=30)
pairs = st.lists(st.tuples(positive, positive), min_size=1, max_size=30)


@given(times)
def test_exact_predictions_have_no_error(measured: list[float]) -> None:
    found = error_statistics(measured, measured)
    assert (found.n, found.mape, found.bias, found.median, found.worst) == (len(measured), 0, 0, 0, 0)


@given(pairs)
def test_errors_are_in_order(rows: list[tuple[float, float]]) -> None:
    found = error_statistics(*zip(*rows, strict=True))
    rounding = 1e-12 * (1.0 + found.worst)
    assert abs(found.bias) <= found.mape + rounding
    assert found.mape <= found.worst + rounding
    assert 0.0 <= found.median <= found.worst


@given(times, st.floats(0.1, 10.0))
def test_a_common_factor_is_the_error_of_every_row(measured: list[float], factor: float) -> None:
    found = error_statistics(measured, [factor * value for value in measured])
    for value in (found.mape, abs(found.bias), found.median, found.worst):
        assert value == pytest.approx(abs(factor - 1.0), abs=1e-9)


@given(pairs, st.floats(0.1, 10.0))
def test_the_unit_of_time_does_not_matter(rows: list[tuple[float, float]], unit: float) -> None:
    measured, predicted = zip(*rows, strict=True)
    found = error_statistics([unit * value for value in measured], [unit * value for value in predicted])
    assert found.mape == pytest.approx(error_statistics(measured, predicted).mape, rel=1e-9, abs=1e-9)


@given(times)
def test_ranks_are_a_permutation_with_the_same_sum(values: list[float]) -> None:
    found = ranks(values)
    assert sum(found) == pytest.approx(len(values) * (len(values) + 1) / 2)
    for first, one in zip(values, found, strict=True):
        for second, other in zip(values, found, strict=True):
            assert (first < second) == (one < other)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=30))
def test_a_growing_function_keeps_the_order_and_a_falling_one_turns_it(whole: list[int]) -> None:
    measured = [float(value) for value in whole]
    up = rank_correlation(measured, [value**3 for value in measured])
    down = rank_correlation(measured, [1.0 / value for value in measured])
    if len(set(measured)) == 1:
        assert up is None
        assert down is None
    else:
        assert up == pytest.approx(1.0)
        assert down == pytest.approx(-1.0)


@given(pairs)
def test_rank_correlation_is_symmetric_and_bounded(rows: list[tuple[float, float]]) -> None:
    measured, predicted = zip(*rows, strict=True)
    found, other = rank_correlation(measured, predicted), rank_correlation(predicted, measured)
    assert (found is None) == (other is None)
    if found is not None:
        assert -1.0 <= found <= 1.0
        assert found == pytest.approx(other)


def test_rank_correlation_with_ties_by_hand() -> None:
    # ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: covariance 4.5 of variances 4.5 and 5
    assert rank_correlation([1.0, 2.0, 2.0, 3.0], [1.0, 3.0, 2.0, 4.0]) == pytest.approx(4.5 / math.sqrt(4.5 * 5.0))


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=12), st.floats(1e-3, 1e6))
def test_no_other_value_is_nearer_than_the_weighted_median(rows: list[tuple[float, float]], other: float) -> None:
    values, weights = zip(*rows, strict=True)

    def distance(middle: float) -> float:
        return math.fsum(weight * abs(value - middle) for value, weight in rows)

    assert distance(weighted_median(values, weights)) <= distance(other) * (1 + 1e-9)


@given(times, st.floats(1e9, 1e15))
def test_steps_at_one_rate_are_the_baseline(measured: list[float], rate: float) -> None:
    assert constant_hfu_mape(measured, [rate * value for value in measured]) == pytest.approx(0.0, abs=1e-9)


@given(pairs, st.floats(1e-3, 1e3))
def test_no_other_constant_is_better_than_the_baseline(rows: list[tuple[float, float]], constant: float) -> None:
    measured, flop = zip(*rows, strict=True)
    other = error_statistics(measured, [constant * work for work in flop]).mape
    assert constant_hfu_mape(measured, flop) <= other * (1 + 1e-9) + 1e-12


def test_baseline_by_hand() -> None:
    # rates 1, 2 and 4 FLOP/s; the median of 1, 1/2 and 1/4 weighted by 1, 2 and 4 is 1/4 (4 of 7 weigh below):
    # predicted 1/4, 1/2 and 1 of what was measured
    assert constant_hfu_mape([1.0, 1.0, 1.0], [1.0, 2.0, 4.0]) == pytest.approx((0.75 + 0.5 + 0.0) / 3)


@given(pairs, st.floats(0.0, 0.5))
def test_times_in_the_order_of_others_have_all_pairs_in_order(rows: list[tuple[float, float]], apart: float) -> None:
    measured, predicted = zip(*rows, strict=True)
    assert pairs_in_order(measured, [2.0 * value for value in measured], apart) in (None, 1.0)
    assert pairs_in_order(measured, [-value for value in measured], apart) in (None, 0.0)
    found = pairs_in_order(measured, predicted, apart)
    assert found is None or 0.0 <= found <= 1.0


def test_pairs_by_hand() -> None:
    # more than 5 % apart: each with 2, and 1 with 1.06, which is the wrong way round
    assert pairs_in_order([1.0, 1.04, 1.06, 2.0], [5.0, 3.0, 4.0, 6.0], 0.05) == pytest.approx(3.0 / 4.0)
