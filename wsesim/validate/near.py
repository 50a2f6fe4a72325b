"""The published measurements that are nearest to a run, and what the simulator says to them.

Nearness counts doublings: of parameters, of devices, and of each device's tokens per step. Only machines of the same
generation are near; where none was measured, those of another are given, and say so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from wsesim.config.entries import load_gpu_cluster, load_model
from wsesim.config.run import GPURun, Run
from wsesim.errors import AnswerIsNo, InputError
from wsesim.machines.gpu import rows as gpu_measurements
from wsesim.machines.gpu.rows import GPUMeasurement
from wsesim.machines.wafer import rows as measurements
from wsesim.machines.wafer.rows import LAYOUT_METRICS, Measurement
from wsesim.validate import gpu_predict, predict
from wsesim.workload.transformer import parameter_count

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
    model, device, num_devices
        What was measured.
    measured_tokens_per_s, predicted_tokens_per_s
        Over all devices. [1/s]
    doublings
        Distance to the run; 0 is the same size, number and share of the batch. [-]
    differs
        In what the run differs from it.
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

    @property
    def error(self) -> float:
        """Relative error of the throughput; positive where the prediction is too fast. [-]"""
        return self.predicted_tokens_per_s / self.measured_tokens_per_s - 1.0


@dataclass(frozen=True)
class _Place:
    """Where a run or a row lies."""

    device: str
    parameters: float
    num_devices: int
    tokens_per_device: float


def near(run: Run | GPURun, number: int = NEAREST) -> tuple[Comparison, ...]:
    """The published measurements nearest to a run, nearest first, each with its error.

    Parameters
    ----------
    run
        Wafer-scale or GPU; only measurements of the same kind are compared.
    number
        How many, 1 at least. [-]

    Returns
    -------
    tuple of Comparison
        There are fewer where fewer are published, or where a row cannot be simulated.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> nearest = near(load("andromeda_13b"), 2)
    >>> [one.device for one in nearest]
    ['CS-2', 'CS-2']
    >>> "12 systems, measured on 2" in nearest[0].differs
    True
    """
    own = _place_of(run)
    rows: dict[str, _Place] = dict(_gpu_places() if isinstance(run, GPURun) else _wafer_places())
    same = {key: place for key, place in rows.items() if _generation(place.device) == _generation(own.device)}
    found = []
    ranked = sorted(same or rows, key=lambda key: _doublings(own, rows[key]))
    for keys in (tuple(ranked[start : start + number]) for start in range(0, len(ranked), number)):
        for key, predicted in zip(keys, _predictions(keys, gpus=isinstance(run, GPURun)), strict=True):
            if predicted is not None:
                found.append(_compared(own, rows[key], predicted, "GPUs" if isinstance(run, GPURun) else "systems"))
        if len(found) >= number:
            break
    return tuple(found[:number])


def _predictions(keys: tuple[str, ...], *, gpus: bool) -> tuple[Comparison | None, ...]:
    """What is predicted for some rows; None for those that cannot be simulated."""
    return tuple(map(_gpu_prediction, keys)) if gpus else _wafer_predictions(keys)


def _generation(device: str) -> str:
    """What a device is called without the size of its memory."""
    return device.replace("-", "").split(" ")[0].lower()


def _place_of(run: Run | GPURun) -> _Place:
    if isinstance(run, GPURun):
        device, number = run.cluster.gpu.name, run.cluster.num_gpus
    else:
        device, number = run.cluster.system.name, run.cluster.num_systems
    tokens = run.training.global_batch_size * run.training.sequence_length
    return _Place(device, parameter_count(run.model, run.training.sequence_length), number, tokens / number)


def _ratios(own: _Place, other: _Place) -> tuple[float, float, float]:
    """Doublings from a row to the run. [-]"""
    pairs = (
        (own.parameters, other.parameters),
        (own.num_devices, other.num_devices),
        (own.tokens_per_device, other.tokens_per_device),
    )
    return tuple(math.log2(one / two) for one, two in pairs)  # type: ignore[return-value]


def _doublings(own: _Place, other: _Place) -> float:
    return math.hypot(*_ratios(own, other))


def _compared(own: _Place, other: _Place, predicted: Comparison, devices: str) -> Comparison:
    parameters, number, tokens = (abs(one) > SAME_SIZE for one in _ratios(own, other))
    words = {
        f"{own.device}, measured on {other.device}": _generation(own.device) != _generation(other.device),
        f"{_billions(own)} billion parameters, measured with {_billions(other)}": parameters,
        f"{own.num_devices:,} {devices}, measured on {other.num_devices:,}": number,
        f"{own.tokens_per_device:,.0f} tokens each and step, measured with {other.tokens_per_device:,.0f}": tokens,
    }
    differs = tuple(text for text, is_there in words.items() if is_there)
    return Comparison(**{**vars(predicted), "doublings": _doublings(own, other), "differs": differs})


def _billions(place: _Place) -> str:
    return f"{place.parameters / 1e9:.2g}" if place.parameters < 1e11 else f"{place.parameters / 1e9:,.0f}"


def _parameters(model: dict[str, Any], sequence_length: int) -> float:
    """Of a catalogue model, or about those of a GPT of the stated shape. [-]"""
    if len(model) == 1:
        return parameter_count(load_model(model["name"]), sequence_length)
    return float(12 * model["num_layers"] * model["hidden_size"] ** 2)


@cache
def _wafer_rows() -> dict[str, Measurement]:
    return {row.place: row for row in measurements.published() if row.metric not in LAYOUT_METRICS}


@cache
def _wafer_places() -> dict[str, _Place]:
    return {key: _wafer_place(row) for key, row in _wafer_rows().items()}


def _wafer_place(row: Measurement) -> _Place:
    tokens = row.global_batch_size * row.sequence_length / row.num_systems
    name = row.system.upper().replace("CS", "CS-")
    return _Place(name, _parameters(row.model, row.sequence_length), row.num_systems, tokens)


@lru_cache(maxsize=SIMULATED)
def _wafer_predictions(keys: tuple[str, ...]) -> tuple[Comparison | None, ...]:
    """Simulated in one batch; where a row is refused, each alone."""
    try:
        predicted = predict.predict_all([_wafer_rows()[key] for key in keys])
    except (AnswerIsNo, InputError):
        return (None,) if len(keys) == 1 else tuple(_wafer_predictions((key,))[0] for key in keys)
    return tuple(_wafer_comparison(one.measurement, one.predicted) for one in predicted)


def _wafer_comparison(row: Measurement, value: float) -> Comparison:
    tokens = row.sequence_length if row.metric == "samples_per_s" else 1
    device, model = _wafer_place(row).device, str(row.model["name"])
    return Comparison(
        row.id, row.set, row.use, row.source, model, device, row.num_systems, row.value * tokens, value * tokens
    )


@cache
def _gpu_rows() -> dict[str, GPUMeasurement]:
    return {row.place: row for row in gpu_measurements.published()}


@cache
def _gpu_places() -> dict[str, _Place]:
    return {key: _gpu_place(row) for key, row in _gpu_rows().items()}


@cache
def _gpu_of(cluster: str) -> str:
    return load_gpu_cluster(cluster)[0].gpu.name


def _gpu_place(row: GPUMeasurement) -> _Place:
    parameters = _parameters(row.model, row.training["sequence_length"])
    return _Place(_gpu_of(row.cluster), parameters, row.num_gpus, row.tokens / row.num_gpus)


@lru_cache(maxsize=SIMULATED)
def _gpu_prediction(key: str) -> Comparison | None:
    row = _gpu_rows()[key]
    predicted_s = gpu_predict.simulate_rows([row])[0].predicted_s
    if predicted_s is None:
        return None
    rates = row.tokens / row.iteration_s, row.tokens / predicted_s
    device, model = _gpu_of(row.cluster), str(row.model["name"])
    return Comparison(row.id, row.set, row.use, row.source, model, device, row.num_gpus, *rates)


def never_fitted(*, gpus: bool) -> tuple[Comparison, ...]:
    """Every published throughput of one kind of cluster that no number was fitted to.

    Examples
    --------
    >>> {one.use for one in never_fitted(gpus=False)}
    {'validation'}
    """
    rows = _gpu_rows() if gpus else _wafer_rows()
    keys = tuple(key for key, row in rows.items() if row.use == "validation")
    return tuple(one for one in _predictions(keys, gpus=gpus) if one is not None)
