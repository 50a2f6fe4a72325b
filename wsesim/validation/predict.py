"""Predictions for measurements, and how far they are off."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wsesim.config.loader import Run, from_table
from wsesim.config.system import CalibrationSpec
from wsesim.errors import DoesNotFit
from wsesim.schedules.plan import lanes_of
from wsesim.simulation import run_schedule
from wsesim.validation.measurements import Measurement


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
    from dataclasses import replace

    system = run.cluster.system.model_copy(update={"calibration": calibration})
    return replace(run, cluster=run.cluster.model_copy(update={"system": system}))


def predict(run: Run, metric: str) -> float:
    """One metric of one run, in the unit of the metric's name.

    Raises
    ------
    DoesNotFit
        With the row that asks for it.
    """
    try:
        return _predict(run, metric)
    except DoesNotFit as error:
        raise DoesNotFit(f"{run.place}: {error}") from None


def _predict(run: Run, metric: str) -> float:
    if metric == "recommended_micro_batch_size":
        return float(lanes_of(run).max_micro_batch_size)
    if metric == "num_lanes":
        return float(lanes_of(run).num_lanes)
    samples_per_s = run.training.global_batch_size / run_schedule(run).step_time_s
    return samples_per_s * run.training.sequence_length if metric == "tokens_per_s" else samples_per_s


def predict_all(measurements: Iterable[Measurement], progress: Callable[[], None] = lambda: None) -> list[Prediction]:
    """Predictions with the shipped calibration."""
    predictions = []
    for measurement in measurements:
        predictions.append(Prediction(measurement, predict(run_of(measurement), measurement.metric)))
        progress()
    return predictions


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
    def passes(self) -> bool:
        """Whether the set keeps its tolerances."""
        return self.mape <= self.tolerance_mape and self.worst <= self.tolerance_worst


TOLERANCES = {"calibration": (0.03, 0.15), "validation": (0.06, 0.15), "micro-batch": (0.10, 0.10)}
"""Mean absolute and worst error that a set may have. [-]"""


def summarize(predictions: Iterable[Prediction]) -> list[SetSummary]:
    """Errors by set and use; sets are never pooled across uses."""
    groups: dict[tuple[str, str], list[float]] = {}
    for one in predictions:
        groups.setdefault((one.measurement.use, one.measurement.set), []).append(one.error)
    summaries = []
    for (use, name), errors in groups.items():
        mape, worst = TOLERANCES["micro-batch" if name == "micro-batch" else use]
        sizes = [abs(error) for error in errors]
        summaries.append(
            SetSummary(
                name,
                use,
                len(errors),
                statistics.mean(sizes),
                statistics.mean(errors),
                statistics.median(sizes),
                max(sizes),
                mape,
                worst,
            )
        )
    return summaries
