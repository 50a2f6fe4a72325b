"""Predictions for measurements, how far they are off, and the measurements that are nearest to a run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any

from wsesim.config.loader import from_table, load_gpu_cluster, load_model
from wsesim.config.run import Run
from wsesim.errors import AnswerIsNo, DoesNotFit, InputError
from wsesim.machines.gpu import rows as gpu_measurements
from wsesim.machines.gpu.rows import GPUMeasurement
from wsesim.machines.machine import machine_of
from wsesim.machines.wafer import rows as measurements
from wsesim.machines.wafer.plan import lanes_of
from wsesim.machines.wafer.rows import LAYOUT_METRICS, Measurement
from wsesim.machines.wafer.simulation import step_times_s
from wsesim.machines.wafer.spec import CalibrationSpec
from wsesim.plugins import imported
from wsesim.results.intervals import knowledge
from wsesim.validate import gpu_predict
from wsesim.validate.statistics import error_statistics
from wsesim.workload.transformer import parameter_count

# Predictions for measurements, and how far they are off.


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
    """One metric of each run, in the unit of the metric's name."""
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


# The published measurements that are nearest to a run, and what the simulator says to them.
#
# Nearness counts doublings: of parameters, of devices, and of each device's tokens per step. Only machines of the same
# generation are near; where none was measured, those of another are given, and say so.


NEAREST = 8
"""Measurements that are given by default. [-]"""
SAME_SIZE = 0.2
"""Doublings below which two numbers count as equal. [-]"""
SIMULATED = 512
"""Rows of which the prediction is remembered. [-]"""


@dataclass(frozen=True)
class Comparison:
    """A published throughput and the predicted one.

    Attributes
    ----------
    id, set, use, source
        Of the row; `use` is calibration where the model was fitted to it.
    measured_tokens_per_s, predicted_tokens_per_s
        Over all devices. [1/s]
    doublings
        Distance to the run; 0 is the same size, number and share of the batch. [-]
    differs
        In what the run differs from it.
    left_out_error
        Relative error of the throughput by a fit without this model; None where there is none. [-]
    """

    id: str
    set: str
    use: str
    source: str
    model: str
    device: str
    num_devices: int
    measured_tokens_per_s: float
    predicted_tokens_per_s: float
    doublings: float = 0.0
    differs: tuple[str, ...] = ()
    left_out_error: float | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether the prediction is that of numbers which were fitted to the row."""
        return self.use in ("calibration", "leave-one-out")

    @property
    def error(self) -> float:
        """Relative error of the throughput; positive where the prediction is too fast. [-]"""
        return self.predicted_tokens_per_s / self.measured_tokens_per_s - 1.0


@dataclass(frozen=True)
class Place:
    """Where a run or a row lies."""

    device: str
    parameters: float
    num_devices: int
    tokens_per_device: float


def near(run: Run, number: int = NEAREST) -> tuple[Comparison, ...]:
    """The published measurements nearest to a run, nearest first, each with its error; fewer where there are fewer.

    Parameters
    ----------
    run
        Only measurements of the same kind of machine are compared.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> nearest = near(load("andromeda_13b"), 2)
    >>> [one.device for one in nearest]
    ['CS-2', 'CS-2']
    >>> "12 systems, measured on 2" in nearest[0].differs
    True
    """
    own, machine = _place_of(run), machine_of(run)
    if not machine.measured:
        return ()
    rows: Rows = imported(machine.measured)
    places = rows.places()
    same = {key: place for key, place in places.items() if _generation(place.device) == _generation(own.device)}
    found = []
    ranked = sorted(same or places, key=lambda key: _doublings(own, places[key]))
    for keys in (tuple(ranked[start : start + number]) for start in range(0, len(ranked), number)):
        for key, predicted in zip(keys, rows.predictions(keys), strict=True):
            if predicted is not None:
                found.append(_compared(own, places[key], predicted, f"{machine.words.short}s"))
        if len(found) >= number:
            break
    return tuple(found[:number])


def _generation(device: str) -> str:
    """What a device is called without the size of its memory."""
    return device.replace("-", "").split(" ")[0].lower()


def _place_of(run: Run) -> Place:
    tokens = run.training.global_batch_size * run.training.sequence_length
    parameters = parameter_count(run.model, run.training.sequence_length)
    return Place(run.cluster.device, parameters, run.num_devices, tokens / run.num_devices)


def _ratios(own: Place, other: Place) -> tuple[float, float, float]:
    """Doublings from a row to the run. [-]"""
    pairs = (
        (own.parameters, other.parameters),
        (own.num_devices, other.num_devices),
        (own.tokens_per_device, other.tokens_per_device),
    )
    return tuple(math.log2(one / two) for one, two in pairs)  # type: ignore[return-value]


def _doublings(own: Place, other: Place) -> float:
    return math.hypot(*_ratios(own, other))


def _compared(own: Place, other: Place, predicted: Comparison, devices: str) -> Comparison:
    parameters, number, tokens = (abs(one) > SAME_SIZE for one in _ratios(own, other))
    words = {
        f"{own.device}, measured on {other.device}": _generation(own.device) != _generation(other.device),
        f"{_billions(own)} billion parameters, measured with {_billions(other)}": parameters,
        f"{own.num_devices:,} {devices}, measured on {other.num_devices:,}": number,
        f"{own.tokens_per_device:,.0f} tokens each and step, measured with {other.tokens_per_device:,.0f}": tokens,
    }
    differs = tuple(text for text, is_there in words.items() if is_there)
    return Comparison(**{**vars(predicted), "doublings": _doublings(own, other), "differs": differs})


def _billions(place: Place) -> str:
    return f"{place.parameters / 1e9:.2g}" if place.parameters < 1e11 else f"{place.parameters / 1e9:,.0f}"


def _parameters(model: dict[str, Any], sequence_length: int) -> float:
    """Of a catalogue model, or about those of a GPT of the stated shape. [-]"""
    if "num_layers" not in model:
        return parameter_count(load_model(model["name"]), sequence_length)
    return float(12 * model["num_layers"] * model["hidden_size"] ** 2)


class Rows(ABC):
    """Published measurements of a kind of machine, and what is predicted for them."""

    @abstractmethod
    def places(self) -> dict[str, Place]:
        """Where each row lies, by its key."""

    @abstractmethod
    def predictions(self, keys: tuple[str, ...]) -> tuple[Comparison | None, ...]:
        """What is predicted for some rows; None for those that cannot be simulated."""


class _WaferRows(Rows):
    """Rates of wafer-scale systems."""

    def __init__(self) -> None:
        self._predicted = lru_cache(maxsize=SIMULATED)(self._predict)

    @cached_property
    def rows(self) -> dict[str, Measurement]:
        """By the place that they were read from; those that are shown count in nothing."""
        return {row.place: row for row in measurements.published() if row.metric not in LAYOUT_METRICS}

    @cached_property
    def _places(self) -> dict[str, Place]:
        return {key: _wafer_place(row) for key, row in self.rows.items()}

    def places(self) -> dict[str, Place]:
        """Where each row lies."""
        return self._places

    def predictions(self, keys: tuple[str, ...]) -> tuple[Comparison | None, ...]:
        """Simulated in one batch."""
        return self._predicted(keys)

    def _predict(self, keys: tuple[str, ...]) -> tuple[Comparison | None, ...]:
        """Where a row is refused, each alone."""
        try:
            predicted = predict_all([self.rows[key] for key in keys])
        except (AnswerIsNo, InputError):
            return (None,) if len(keys) == 1 else tuple(self._predicted((key,))[0] for key in keys)
        return tuple(wafer_comparison(one.measurement, one.predicted) for one in predicted)


def _wafer_place(row: Measurement) -> Place:
    tokens = row.global_batch_size * row.sequence_length / row.num_systems
    name = row.system.upper().replace("CS", "CS-")
    return Place(name, _parameters(row.model, row.sequence_length), row.num_systems, tokens)


def wafer_comparison(row: Measurement, value: float) -> Comparison:
    """A measured rate beside a predicted one, in the unit of the row."""
    tokens = row.sequence_length if row.metric == "samples_per_s" else 1
    device, model = _wafer_place(row).device, str(row.model["name"])
    rates = row.value * tokens, value * tokens
    left_out = knowledge("wafers").rows.get(row.id) if row.use == "leave-one-out" else None
    return Comparison(
        row.id, row.set, row.use, row.source, model, device, row.num_systems, *rates, left_out_error=left_out
    )


class _GPURows(Rows):
    """Steps of GPU clusters."""

    def __init__(self) -> None:
        self._predicted = lru_cache(maxsize=SIMULATED)(self._predict)

    @cached_property
    def rows(self) -> dict[str, GPUMeasurement]:
        """By the place that they were read from; those that are shown count in nothing."""
        return {row.place: row for row in gpu_measurements.published() if row.use != "shown"}

    @cached_property
    def _places(self) -> dict[str, Place]:
        return {key: _gpu_place(row) for key, row in self.rows.items()}

    def places(self) -> dict[str, Place]:
        """Where each row lies."""
        return self._places

    def predictions(self, keys: tuple[str, ...]) -> tuple[Comparison | None, ...]:
        """Each simulated alone."""
        return tuple(map(self._predicted, keys))

    def _predict(self, key: str) -> Comparison | None:
        row = self.rows[key]
        predicted_s = gpu_predict.simulate_rows([row])[0].predicted_s
        if predicted_s is None:
            return None
        rates = row.tokens / row.iteration_s, row.tokens / predicted_s
        device, model = _gpu_of(row.cluster), str(row.model["name"])
        return Comparison(row.id, row.set, row.use, row.source, model, device, row.num_gpus, *rates)


@cache
def _gpu_of(cluster: str) -> str:
    return str(load_gpu_cluster(cluster)[0].gpu.name)


def _gpu_place(row: GPUMeasurement) -> Place:
    parameters = _parameters(row.model, row.training["sequence_length"])
    return Place(_gpu_of(row.cluster), parameters, row.num_gpus, row.tokens / row.num_gpus)


WAFER_ROWS, GPU_ROWS = _WaferRows(), _GPURows()
