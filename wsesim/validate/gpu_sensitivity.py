"""How far errors on GPU clusters hang on the constants that nobody measured.

Each assumed constant goes to the ends of the range that its file states, the others stay. By the
closed form, which is near the simulation, and for all variants of a row at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from wsesim.config.entries import origins_of
from wsesim.machines.gpu.closed_form import step_time_s
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.rows import GPUMeasurement
from wsesim.machines.gpu.search import rank
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import Plans
from wsesim.machines.gpu.times import times_of
from wsesim.validate.gpu_predict import run_of, with_constants


@dataclass(frozen=True)
class Sensitivity:
    """One constant at both ends of its range.

    Attributes
    ----------
    low, high
        Ends, in the unit of the key.
    mape
        By set, mean absolute error with the constant at `low` and at `high`. [-]
    """

    key: str
    low: float
    high: float
    mape: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Sensitivities:
    """All constants.

    Attributes
    ----------
    shipped
        By set, mean absolute error with the shipped constants. [-]
    estimates_s
        By row, the closed form with the shipped constants. [s]
    """

    shipped: dict[str, float]
    constants: tuple[Sensitivity, ...]
    estimates_s: dict[str, float]


@cache
def ranges() -> dict[str, tuple[float, float]]:
    """Constants of kernels and collectives that were assumed, with the ends of their ranges."""
    return {
        key: (origin.low, origin.high)
        for key, origin in origins_of("calibrations", "gpu_kernels").items()
        if "." not in key and origin.status == "assumed" and origin.low is not None and origin.high is not None
    }


def variants_s(run: GPURun, plans: Plans) -> Any:
    """Estimates of one plan as shipped, and with each constant at both ends. Shape ``(1 + 2 num_ranges,)``. [s]"""
    ends = ranges()
    number = 1 + 2 * len(ends)
    constants: dict[str, Any] = {}
    for place, (key, pair) in enumerate(ends.items()):
        values = np.full(number, float(getattr(run.cluster.gpu.calibration, key)))
        values[1 + 2 * place : 3 + 2 * place] = pair
        constants[key] = values
    varied = replace(run, cluster=with_constants(run.cluster, **constants))
    return np.ravel(step_time_s(varied, plans, times_of(varied, plans)))


def plan_of(run: GPURun) -> Plans:
    """The plan of a run, by the estimate where it leaves a choice."""
    plans = candidates(run)
    return plans if len(plans.tensor) == 1 else rank(run).plans.only(slice(0, 1))


def sensitivities(rows: Sequence[GPUMeasurement]) -> Sensitivities:
    """Mean absolute error of each set for each constant at the ends of its range."""
    errors: dict[str, list[Any]] = {}
    estimates_s = {}
    for row in rows:
        run = run_of(row)
        times_s = variants_s(run, plan_of(run))
        estimates_s[row.id] = float(times_s[0])
        errors.setdefault(row.set, []).append(np.abs(times_s / row.iteration_s - 1.0))
    means = {name: np.mean(some, axis=0) for name, some in errors.items()}
    ends = [(key, *pair) for key, pair in ranges().items()]
    return Sensitivities(
        {name: float(some[0]) for name, some in means.items()},
        tuple(
            Sensitivity(
                key,
                low,
                high,
                {name: (float(some[1 + 2 * i]), float(some[2 + 2 * i])) for name, some in means.items()},
            )
            for i, (key, low, high) in enumerate(ends)
        ),
        estimates_s,
    )
