"""How far predictions are from measurements: pure functions of numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorStatistics:
    """Relative errors of some predictions; positive where a prediction is too high.

    Attributes
    ----------
    n
        Predictions. [-]
    mape
        Mean absolute error. [-]
    bias
        Mean error with its sign. [-]
    median
        Median absolute error. [-]
    worst
        Largest absolute error. [-]
    """

    n: int
    mape: float
    bias: float
    median: float
    worst: float


def error_statistics(measured: Sequence[float], predicted: Sequence[float]) -> ErrorStatistics:
    """Errors of predictions, of which there is at least one.

    Examples
    --------
    >>> error_statistics([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    ErrorStatistics(n=3, mape=0.25, bias=0.08333333333333333, median=0.25, worst=0.5)
    """
    errors = [value / truth - 1.0 for truth, value in zip(measured, predicted, strict=True)]
    sizes = [abs(error) for error in errors]
    return ErrorStatistics(
        len(errors), statistics.mean(sizes), statistics.mean(errors), statistics.median(sizes), max(sizes)
    )


def ranks(values: Sequence[float]) -> list[float]:
    """Place of each value in ascending order from 1; equal ones share the mean of their places. [-]

    Examples
    --------
    >>> ranks([30.0, 10.0, 20.0, 20.0])
    [4.0, 1.0, 2.5, 2.5]
    """
    ordered = sorted(values)
    first: dict[float, int] = {}
    count: dict[float, int] = {}
    for place, value in enumerate(ordered, start=1):
        first.setdefault(value, place)
        count[value] = count.get(value, 0) + 1
    return [first[value] + (count[value] - 1) / 2.0 for value in values]


def rank_correlation(measured: Sequence[float], predicted: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None where either side has no order (fewer than two different values). [-]

    Examples
    --------
    >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 20.0, 900.0])
    1.0
    """
    if len(set(measured)) < 2 or len(set(predicted)) < 2:
        return None
    return max(-1.0, min(1.0, statistics.correlation(ranks(measured), ranks(predicted))))


def pairs_in_order(measured: Sequence[float], predicted: Sequence[float], apart: float) -> float | None:
    """Share of the pairs that are predicted in the order in which they were measured; None without a pair. [-]

    Parameters
    ----------
    apart
        Only pairs count whose longer time is by more than this share above the shorter one: the order of
        times that are nearer is a matter of noise. [-]

    Examples
    --------
    >>> pairs_in_order([1.00, 1.001, 2.0], [1.2, 1.1, 1.9], apart=0.02)
    1.0
    >>> pairs_in_order([1.00, 1.001, 2.0], [1.2, 1.1, 1.9], apart=0.0)
    0.6666666666666666
    """
    counted = right = 0
    rows = sorted(zip(measured, predicted, strict=True))
    for place, (longer, above) in enumerate(rows):
        for shorter, below in rows[:place]:
            if longer > shorter * (1.0 + apart):
                counted += 1
                right += above > below
    return right / counted if counted else None


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """A value with at most half of the weight on either side; the lower one of two. [unit of the values]

    Examples
    --------
    >>> weighted_median([3.0, 1.0, 2.0], [1.0, 1.0, 5.0])
    2.0
    """
    pairs = sorted(zip(values, weights, strict=True))
    half, below = math.fsum(weights) / 2.0, 0.0
    for value, weight in pairs:
        below += weight
        if below >= half:
            return value
    return pairs[-1][0]


def constant_hfu_mape(measured_s: Sequence[float], executed_flop_per_gpu: Sequence[float]) -> float:
    """Mean absolute error of the baseline that every GPU computes at one and the same rate. [-]

    Such a line predicts ``c F`` for a step that executes `F` on each GPU. The constant ``c`` is fitted on
    the very rows it is judged on, and to the very number that is reported, so no line of the kind is
    better: with ``r = F / measured`` the error of a row is ``abs(c r - 1) = r abs(c - 1/r)``, whose sum is
    least at the median of ``1/r`` weighted by ``r``. A simulator that does not beat it has explained
    nothing but the amount of work.

    Parameters
    ----------
    executed_flop_per_gpu
        What each GPU computes in it, recomputation included. [FLOP]

    Examples
    --------
    >>> constant_hfu_mape([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    0.0
    """
    rates = [flop / seconds for flop, seconds in zip(executed_flop_per_gpu, measured_s, strict=True)]
    seconds_per_flop = weighted_median([1.0 / rate for rate in rates], rates)
    return error_statistics(measured_s, [flop * seconds_per_flop for flop in executed_flop_per_gpu]).mape


_DIFFERENCE, _NEAR, _MOST_ROUNDS = 1e-6, 1e-10, 200
"""Step of a derivative, change at which a fit ends, both of the size of a number, and rounds after which it ends anyway. [-]"""


def least_squares(residuals: Callable[[Any], Any], first: Sequence[float]) -> list[float]:
    """The few numbers that make a sum of squares smallest, by Levenberg's and Marquardt's damped steps [1]_.

    Scipy does the same, but is a third of an installation, and nothing else that every command needs asks for it.

    Examples
    --------
    >>> [round(one, 9) for one in least_squares(lambda x: (x[0] - 3.0, x[1] ** 2 - 4.0), [1.0, 1.0])]
    [3.0, 2.0]

    References
    ----------
    .. [1] Marquardt, An algorithm for least-squares estimation of nonlinear parameters, J. SIAM 11(2), 1963.
    """
    import numpy as np

    place, damping = np.array(first, dtype=float), 1e-3
    wrong = np.asarray(residuals(place))
    for _ in range(_MOST_ROUNDS):
        slopes = _slopes(residuals, place)
        normal = slopes.T @ slopes
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slopes.T @ wrong)
        tried = np.asarray(residuals(place + step))
        is_better = bool(tried @ tried <= wrong @ wrong)
        if is_better:
            place, wrong = place + step, tried
        damping = damping / 10.0 if is_better else damping * 10.0
        if np.all(np.abs(step) <= _NEAR * (1.0 + np.abs(place))):
            break
    return [float(one) for one in place]


def _slopes(residuals: Callable[[Any], Any], place: Any) -> Any:
    """Derivatives of all residuals by all numbers, from both sides."""
    import numpy as np

    steps = np.diag(_DIFFERENCE * (1.0 + np.abs(place)))
    columns = [
        (np.asarray(residuals(place + one)) - np.asarray(residuals(place - one))) / (2.0 * one.sum()) for one in steps
    ]
    return np.stack(columns, axis=1)
