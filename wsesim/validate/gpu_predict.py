"""Predicted steps of GPU clusters against measured ones, and how far errors hang on constants that nobody measured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from wsesim.config.loader import any_from_table, origins_of
from wsesim.errors import AnswerIsNo, ConfigError, InputError
from wsesim.machines.gpu.doubts import Kind, gpu_bounds, kind_of, without
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.rows import GPUMeasurement, fitted_sets, run_table
from wsesim.machines.gpu.search import closed_form_s, rank
from wsesim.machines.gpu.simulation import simulate_gpu
from wsesim.machines.gpu.spec import GPUCalibrationSpec, GPUClusterSpec, GPURun
from wsesim.machines.gpu.stages import Plan
from wsesim.machines.gpu.times import times_of
from wsesim.machines.machine import limits
from wsesim.pool import NotStarted, Pool, WorkerKilled
from wsesim.results.intervals import Bounds, knowledge
from wsesim.units import add_up
from wsesim.validate.statistics import (
    ErrorStatistics,
    constant_hfu_mape,
    error_statistics,
    pairs_in_order,
    rank_correlation,
)
from wsesim.workload.transformer import layers, model_flop_per_sequence

# Predicted steps of GPU clusters against measured ones, per row and per set.


Simulate = Callable[[GPURun], float]
"""Time of one step. [s]"""


TOLERANCES = {
    "sc21-table1": 0.05,
    "sc21-table2": 0.05,
    "vtrain-multi": 0.08,
    "vtrain-single": 0.10,
    "llm-foundry-a100": 0.08,
    "llm-foundry-h100": 0.08,
    "llm-foundry-h100-fp8": 0.08,
    "dgxc-llama-h100": 0.05,
    "dgxc-llama-h100-fp8": 0.08,
    "published-runs": 0.08,
    "maxtext-70b-h100": 0.06,
    "maxtext-70b-h100-fp8": 0.10,
    "megascale-baseline": 0.08,
    "mt-nlg": 0.08,
    "bigscience": 0.10,
    "pythia": 0.16,
    "megatron-bridge-h100-fp8": 0.15,
    "megatron-bridge-b200-fp8": 0.15,
}
"""Mean absolute error on the time of a step that a set may have. [-]"""

CALIBRATION_TOLERANCE, OWN_TOLERANCE = 0.03, 0.15
"""Of rows that were fitted, and of sets that do not ship with wsesim. [-]"""

APART = 0.02
"""Times that are nearer than this share have no order worth predicting. [-]"""

FEWEST_FOR_PROCESSES = 50
"""Rows below which other processes would take longer to start than to help. [-]"""

MOST_PROCESSES, LARGEST_GROUP = 8, 20
"""Processes that are started, and rows that one of them is given at a time. [-]"""


def tolerance_of(name: str, use: str) -> float:
    """Mean absolute error that a set may have. [-]"""
    is_fitted = use == "calibration" and name in fitted_sets()
    return CALIBRATION_TOLERANCE if is_fitted else TOLERANCES.get(name, OWN_TOLERANCE)


@dataclass(frozen=True)
class Prediction:
    """A measurement and what the simulator says to it.

    Attributes
    ----------
    predicted_s
        Time of one step; None where the simulator refuses the run. [s]
    executed_flop_per_gpu
        Of one step, recomputation included; zero where the row is no run at all. [FLOP]
    message
        Why the simulator refuses.
    kind
        What its error says something of.
    bounds
        By how much the time may be off, by what is known without this row.
    """

    measurement: GPUMeasurement
    predicted_s: float | None
    executed_flop_per_gpu: float = 0.0
    message: str = ""
    kind: Kind | None = None
    bounds: Bounds | None = None

    @property
    def log_error(self) -> float:
        """Logarithm of measured over predicted time. [-]"""
        return math.log(self.measurement.iteration_s / self.predicted_s) if self.predicted_s else 0.0

    @property
    def is_inside(self) -> bool | None:
        """Whether the measurement lies in the stated range; None without one."""
        return None if self.bounds is None else -self.bounds.faster <= self.log_error <= self.bounds.slower

    @property
    def error(self) -> float | None:
        """Relative error; positive where the predicted step is too long. [-]"""
        return None if self.predicted_s is None else self.predicted_s / self.measurement.iteration_s - 1.0


@dataclass(frozen=True)
class SetStatistics:
    """Errors of one set.

    Attributes
    ----------
    errors
        Of the rows that were predicted; None where all were refused.
    rank_correlation
        Spearman's, of times; None where the rows have no order. [-]
    constant_hfu_mape
        Error of the line that every GPU computes at one rate, fitted on the same rows. [-]
    refused
        Rows that the simulator refuses. [-]
    pairs_in_order
        Share of the pairs of rows measured more than `APART` apart that are predicted in that order. [-]
    inside
        Share of the rows whose measurement lies inside the stated range, which comes from other rows. [-]
    """

    name: str
    use: str
    errors: ErrorStatistics | None
    rank_correlation: float | None
    constant_hfu_mape: float | None
    refused: int
    pairs_in_order: float | None = None
    inside: float | None = None

    @property
    def tolerance(self) -> float:
        """Mean absolute error that the set may have. [-]"""
        return tolerance_of(self.name, self.use)

    @property
    def passes(self) -> bool:
        """Whether every row is predicted, and the mean error within the tolerance; rows that are only shown always pass."""
        if self.use == "shown":
            return True
        return self.refused == 0 and self.errors is not None and self.errors.mape <= self.tolerance

    @property
    def beats_constant_hfu(self) -> bool | None:
        """Whether the mean error is below that of the line of one rate; None where nothing was predicted."""
        if self.errors is None or self.constant_hfu_mape is None:
            return None
        return self.errors.mape < self.constant_hfu_mape


def executed_flop_per_gpu(run: GPURun) -> float:
    """What one GPU computes in a step, with what the backward pass computes again. [FLOP]

    Attention is counted over the full square, as the sources do. Recomputation that is still
    to be chosen ("auto") counts as none; what a fused kernel rebuilds is not counted.
    """
    length = run.training.sequence_length
    blocks = [layer for layer in layers(run.model, length) if layer.kind == "block"]
    recompute, again = run.parallelism.activation_recompute, 0.0
    if recompute == "full":
        again += add_up(block.gemm_flop_per_sequence for block in blocks)
    if recompute == "full" or (recompute == "selective" and run.parallelism.attention == "unfused"):
        again += add_up(block.attention_flop_per_sequence for block in blocks)
    executed = model_flop_per_sequence(run.model, length) + again
    return executed * run.training.global_batch_size / run.cluster.num_gpus


def run_of(row: GPUMeasurement) -> GPURun:
    """The run of a measurement."""
    run = any_from_table(run_table(row), place=row.place or row.id)
    if run.machine != "gpu":
        raise ConfigError(f"{row.place or row.id}: cluster is {row.cluster!r}, which has no GPUs; name a GPU cluster")
    return run


def with_constants(cluster: GPUClusterSpec, **constants: Any) -> GPUClusterSpec:
    """The same cluster with other constants of its kernels and collectives; a number each, or an array of variants."""
    calibration = cluster.gpu.calibration.model_copy(update=constants)
    return cluster.model_copy(update={"gpu": cluster.gpu.model_copy(update={"calibration": calibration})})


def predict(row: GPUMeasurement, simulate: Simulate) -> Prediction:
    """Compare a row with its run; one that is refused says why."""
    flop = 0.0
    try:
        run = run_of(row)
        flop = executed_flop_per_gpu(run)
        return _with_range(Prediction(row, simulate(run), flop, kind=kind_of(run)), run)
    except (AnswerIsNo, InputError) as refusal:
        return Prediction(row, None, flop, str(refusal))


def _with_range(found: Prediction, run: GPURun) -> Prediction:
    """A prediction with the range that it would have if its own row were unknown."""
    kind = kind_of(run)
    told = without(knowledge("gpus").errors, kind, found.measurement.set, found.log_error)
    return replace(found, bounds=gpu_bounds(run, told, found.measurement.set))


def simulated_s(run: GPURun) -> float:
    """Time of one step by the event simulation, or as it finds it up to rounding. [s]"""
    return simulate_gpu(run, lazily=True).step_time_s


def with_calibration(run: GPURun, calibration: GPUCalibrationSpec | None) -> GPURun:
    """The same run with other constants; with None as it is."""
    if calibration is None:
        return run
    gpu = run.cluster.gpu.model_copy(update={"calibration": calibration})
    return replace(run, cluster=run.cluster.model_copy(update={"gpu": gpu}))


def _simulate(row: GPUMeasurement, calibration: GPUCalibrationSpec | None) -> Prediction:
    return predict(row, lambda run: simulated_s(with_calibration(run, calibration)))


def simulate_rows(
    rows: Sequence[GPUMeasurement],
    calibration: GPUCalibrationSpec | None = None,
    advance: Callable[[], None] = lambda: None,
    processes: int | None = None,
) -> tuple[Prediction, ...]:
    """Simulate each row, many of them in several processes; those that take longest come first.

    Parameters
    ----------
    processes
        How many; as many as there are cores when left out. [-]
    """
    if processes is None:
        processes = min(os.cpu_count() or 1, MOST_PROCESSES) if len(rows) >= FEWEST_FOR_PROCESSES else 1
    found: dict[int, Prediction] = {}
    if processes > 1:
        with suppress(NotStarted):
            _simulate_in_processes(rows, calibration, advance, processes, found)
    # what no process could be started for, or was killed, is done here
    for place in (place for group in _by_pipeline(rows) for place in group if place not in found):
        found[place] = _simulate(rows[place], calibration)
        advance()
    return tuple(found[place] for place in range(len(rows)))


def _simulate_in_processes(
    rows: Sequence[GPUMeasurement],
    calibration: GPUCalibrationSpec | None,
    advance: Callable[[], None],
    processes: int,
    found: dict[int, Prediction],
) -> None:
    with Pool(processes, limits()) as pool:
        running = {
            pool.submit(_simulate_all, [rows[place] for place in places], calibration): places
            for places in _by_pipeline(rows)
        }
        for group in as_completed(running):
            with suppress(WorkerKilled):
                for place, one in zip(running[group], group.result(), strict=True):
                    found[place] = one
                    advance()


def _simulate_all(rows: list[GPUMeasurement], calibration: GPUCalibrationSpec | None) -> list[Prediction]:
    return [_simulate(row, calibration) for row in rows]


def _by_pipeline(rows: Sequence[GPUMeasurement]) -> list[list[int]]:
    """Places of the rows, those with equal pipelines together (their program is written once), the longest first."""
    groups: dict[tuple[int, int, int, int], list[int]] = {}
    for place, row in enumerate(rows):
        stages, chunks, copies = (
            row.parallelism.get(f"{key}_size") for key in ("pipeline_parallel", "virtual_pipeline", "data_parallel")
        )
        micro = row.training["micro_batch_size"]
        known = [one if isinstance(one, int) else 1 for one in (stages, chunks, copies, micro)]
        passes = row.training["global_batch_size"] // (known[2] * known[3])
        key = (known[0], known[1], passes if known[0] > 1 else 0, int(known[2] > 1))
        groups.setdefault(key, []).append(place)
    order = sorted(groups, key=lambda key: key[0] * key[1] * min(key[2], 3 * key[0]), reverse=True)
    return [
        places[start : start + LARGEST_GROUP]
        for places in map(groups.__getitem__, order)
        for start in range(0, len(places), LARGEST_GROUP)
    ]


def _statistics(name: str, use: str, rows: list[Prediction]) -> SetStatistics:
    pairs = [(one.measurement.iteration_s, one.predicted_s) for one in rows if one.predicted_s is not None]
    if not pairs:
        return SetStatistics(name, use, None, None, None, len(rows))
    measured, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    flop = [one.executed_flop_per_gpu for one in rows if one.predicted_s is not None]
    return SetStatistics(
        name,
        use,
        error_statistics(measured, predicted),
        rank_correlation(measured, predicted),
        constant_hfu_mape(measured, flop),
        len(rows) - len(pairs),
        pairs_in_order(measured, predicted, APART),
        _share_inside(rows),
    )


def _share_inside(rows: Sequence[Prediction]) -> float | None:
    told = [one.is_inside for one in rows if one.is_inside is not None]
    return told.count(True) / len(told) if told else None


def per_set(predictions: Iterable[Prediction]) -> list[SetStatistics]:
    """Errors by set and use; sets are never pooled across uses."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for one in predictions:
        groups.setdefault((one.measurement.set, one.measurement.use), []).append(one)
    return [_statistics(name, use, rows) for (name, use), rows in groups.items()]


# How far errors on GPU clusters hang on the constants that nobody measured.
#
# Each assumed constant goes to the ends of the range that its file states, the others stay. By the
# closed form, which is near the simulation, and for all variants of a row at once.


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


def variants_s(run: GPURun, plan: Plan) -> Any:
    """Estimates of one plan as shipped, and with each constant at both ends. Shape ``(1 + 2 num_ranges,)``. [s]"""
    ends = ranges()
    number = 1 + 2 * len(ends)
    constants: dict[str, Any] = {}
    for place, (key, pair) in enumerate(ends.items()):
        values = np.full(number, float(getattr(run.cluster.gpu.calibration, key)))
        values[1 + 2 * place : 3 + 2 * place] = pair
        constants[key] = values
    varied = replace(run, cluster=with_constants(run.cluster, **constants))
    return np.ravel(closed_form_s(varied, plan.table, times_of(varied, plan.table)))


def plan_of(run: GPURun) -> Plan:
    """The plan of a run, by the estimate where it leaves a choice."""
    plans = candidates(run)
    return plans.plan(0) if len(plans.tensor) == 1 else rank(run).plans.plan(0)


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
