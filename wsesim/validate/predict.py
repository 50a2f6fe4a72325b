"""Predictions for measurements, and how far they are off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from wsesim.config.loader import from_table
from wsesim.config.run import Run
from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.plan import lanes_of
from wsesim.machines.wafer.rows import LAYOUT_METRICS, Measurement
from wsesim.machines.wafer.simulation import step_times_s
from wsesim.machines.wafer.system import CalibrationSpec
from wsesim.validate.statistics import error_statistics


@dataclass(frozen=True)
class Prediction:
    """A measurement and what the simulator says."""

    measurement: Measurement
    predicted: float

    @property
    def error(self) -> float:
        """Relative error; positive where the prediction is too high. [-]"""
        return self.predicted / self.measurement.value - 1.0


def run_of(measurement: Measurement, calibration: CalibrationSpec | None = None) -> Run:
    """The run of a measurement, with another calibration where one is given."""
    run = from_table(measurement.run_table, place=measurement.place or measurement.id)
    if calibration is None:
        return run
    return with_calibration(run, calibration)


def with_calibration(run: Run, calibration: CalibrationSpec) -> Run:
    """The same run with other fitted numbers."""
    system = run.cluster.system.model_copy(update={"calibration": calibration})
    return replace(run, cluster=run.cluster.model_copy(update={"system": system}))


def predict(runs: Sequence[Run], metrics: Sequence[str]) -> list[float]:
    """One metric of each run, in the unit of the metric's name.

    Raises
    ------
    DoesNotFit
        With the row that asks for it.
    """
    rates = [run for run, metric in zip(runs, metrics, strict=True) if metric not in LAYOUT_METRICS]
    times_s = iter(step_times_s(rates))
    predicted = []
    for run, metric in zip(runs, metrics, strict=True):
        if metric in LAYOUT_METRICS:
            predicted.append(_layout(run, metric))
        else:
            tokens = run.training.sequence_length if metric == "tokens_per_s" else 1
            predicted.append(run.training.global_batch_size / next(times_s) * tokens)
    return predicted


def _layout(run: Run, metric: str) -> float:
    try:
        lanes = lanes_of(run)
    except DoesNotFit as error:
        raise DoesNotFit(f"{run.place}: {error}") from None
    return float(lanes.num_lanes if metric == "num_lanes" else lanes.max_micro_batch_size)


def predict_all(measurements: Sequence[Measurement], calibration: CalibrationSpec | None = None) -> list[Prediction]:
    """Predictions with the shipped calibration, or another one."""
    runs = [run_of(measurement, calibration) for measurement in measurements]
    values = predict(runs, [measurement.metric for measurement in measurements])
    return [Prediction(measurement, value) for measurement, value in zip(measurements, values, strict=True)]


def other_generation(measurement: Measurement) -> float:
    """The same prediction on a CS-3, of a row that does not name its system."""
    run = run_of(replace(measurement, system="cs3"))
    return _layout(run, measurement.metric)


@dataclass(frozen=True)
class SetSummary:
    """Errors of one set."""

    name: str
    use: str
    n: int
    mape: float
    bias: float
    median: float
    worst: float
    tolerance_mape: float
    tolerance_worst: float

    @property
    def is_scored(self) -> bool:
        """Whether there is a tolerance to keep."""
        return math.isfinite(self.tolerance_worst)

    @property
    def passes(self) -> bool:
        """Whether the set keeps its tolerances."""
        return self.mape <= self.tolerance_mape and self.worst <= self.tolerance_worst


UNSCORED = ("unexplained", "shown")
"""Uses of rows that are shown and not scored."""
TOLERANCES = {
    "calibration": (0.03, 0.15),
    "leave-one-out": (0.05, 0.15),
    "validation": (0.06, 0.15),
    "small-step": (0.15, 0.20),
    "micro-batch": (0.02, 0.15),
    **dict.fromkeys(UNSCORED, (math.inf, math.inf)),
}
"""Mean absolute and worst error that a set may have; of fitted rows in the fit that holds them. [-]"""


def summarize(predictions: Iterable[Prediction]) -> list[SetSummary]:
    """Errors by set and use; sets are never pooled across uses."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for one in predictions:
        groups.setdefault((one.measurement.use, one.measurement.set), []).append(one)
    summaries = []
    for (use, name), rows in groups.items():
        mape, worst = TOLERANCES["micro-batch" if name == "micro-batch" else use]
        errors = error_statistics([one.measurement.value for one in rows], [one.predicted for one in rows])
        summaries.append(
            SetSummary(name, use, errors.n, errors.mape, errors.bias, errors.median, errors.worst, mape, worst)
        )
    return summaries
