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
from wsesim.machines.gpu.spec import GPURun, GPUSpec
from wsesim.machines.gpu.stages import Plans
from wsesim.machines.gpu.times import times_of
from wsesim.validate.gpu_predict import run_of, with_constants

FLASH = "flash shares"
"""All shares of the peak that fused attention reaches, which belong to a GPU; they move together."""
FLASH_KEYS = ("flash_forward_share", "flash_backward_share", "flash_1_forward_share", "flash_1_backward_share")


@dataclass(frozen=True)
class Sensitivity:
    """One constant at both ends of its range.

    Attributes
    ----------
    low, high
        Ends; None for `FLASH`, whose ends are those of each GPU. In the unit of the key.
    mape
        By set, mean absolute error with the constant at `low` and at `high`. [-]
    """

    key: str
    low: float | None
    high: float | None
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
        if origin.status == "assumed" and origin.low is not None and origin.high is not None
    }


@cache
def flash_ranges(cluster: str) -> dict[str, tuple[float, float]]:
    """Shares of fused attention of the GPU of one cluster of the catalogue, with the ends of their ranges."""
    origins = origins_of("clusters", cluster)
    found = {}
    for key in FLASH_KEYS:
        low, high = origins[f"gpu.{key}"].low, origins[f"gpu.{key}"].high
        if low is not None and high is not None:
            found[key] = (low, high)
    return found


def _with_flash(spec: GPUSpec, ends: dict[str, tuple[float, float]], first: int, number: int) -> GPUSpec:
    """The GPU with arrays of shares, whose places `first` and ``first + 1`` are the ends."""
    update: dict[str, Any] = {}
    for key, (low, high) in ends.items():
        values = np.full(number, getattr(spec, key))
        values[first : first + 2] = low, high
        update[key] = values
    return spec.model_copy(update=update)


def variants_s(run: GPURun, plans: Plans, flash: dict[str, tuple[float, float]]) -> Any:
    """Estimates of one plan as shipped, and with each constant at both ends. Shape ``(1 + 2 (num_ranges + 1),)``. [s]"""
    ends = ranges()
    number = 1 + 2 * (len(ends) + 1)
    constants: dict[str, Any] = {}
    for place, (key, pair) in enumerate(ends.items()):
        values = np.full(number, float(getattr(run.cluster.gpu.calibration, key)))
        values[1 + 2 * place : 3 + 2 * place] = pair
        constants[key] = values
    cluster = with_constants(run.cluster, **constants)
    cluster = cluster.model_copy(update={"gpu": _with_flash(cluster.gpu, flash, number - 2, number)})
    varied = replace(run, cluster=cluster)
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
        times_s = variants_s(run, plan_of(run), flash_ranges(row.cluster))
        estimates_s[row.id] = float(times_s[0])
        errors.setdefault(row.set, []).append(np.abs(times_s / row.iteration_s - 1.0))
    means = {name: np.mean(some, axis=0) for name, some in errors.items()}
    ends: list[tuple[str, float | None, float | None]] = [(key, *pair) for key, pair in ranges().items()]
    ends.append((FLASH, None, None))
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
