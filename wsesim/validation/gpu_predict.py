"""Predicted steps of GPU clusters against measured ones, per row and per set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from wsesim.config.gpu import GPUClusterSpec
from wsesim.config.loader import GPURun, any_from_table
from wsesim.errors import AnswerIsNo, ConfigError, InputError
from wsesim.validation.gpu_measurements import GPUMeasurement, run_table
from wsesim.validation.statistics import ErrorStatistics, constant_hfu_mape, error_statistics, rank_correlation
from wsesim.workload.transformer import layers, model_flop_per_sequence

Simulate = Callable[[GPURun], float]
"""Time of one step. [s]"""


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
    """

    measurement: GPUMeasurement
    predicted_s: float | None
    executed_flop_per_gpu: float = 0.0
    message: str = ""

    @property
    def error(self) -> float | None:
        """Relative error; positive where the predicted step is too long. [-]"""
        return None if self.predicted_s is None else self.predicted_s / self.measurement.iteration_s - 1.0

    @property
    def error_percent(self) -> float | None:
        """The same. [%]"""
        return None if self.error is None else 100.0 * self.error


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
    """

    name: str
    use: str
    errors: ErrorStatistics | None
    rank_correlation: float | None
    constant_hfu_mape: float | None
    refused: int


def executed_flop_per_gpu(run: GPURun) -> float:
    """What one GPU computes in a step, with what the backward pass computes again. [FLOP]

    Attention is counted over the full square, as the sources do. Recomputation that is still
    to be chosen ("auto") counts as none; what a fused kernel rebuilds is not counted.
    """
    length = run.training.sequence_length
    blocks = [layer for layer in layers(run.model, length) if layer.kind == "block"]
    recompute, again = run.parallelism.activation_recompute, 0.0
    if recompute == "full":
        again += sum(block.gemm_flop_per_sequence for block in blocks)
    if recompute == "full" or (recompute == "selective" and run.parallelism.attention == "unfused"):
        again += sum(block.attention_flop_per_sequence for block in blocks)
    executed = model_flop_per_sequence(run.model, length) + again
    return executed * run.training.global_batch_size / run.cluster.num_gpus


def run_of(row: GPUMeasurement) -> GPURun:
    """The run of a measurement.

    Raises
    ------
    InputError
        With file and line of the row.
    """
    run = any_from_table(run_table(row), place=row.place or row.id)
    if not isinstance(run, GPURun):
        raise ConfigError(f"{row.place or row.id}: cluster is {row.cluster!r}, which has no GPUs; name a GPU cluster")
    return run


def with_constants(cluster: GPUClusterSpec, **constants: Any) -> GPUClusterSpec:
    """The same cluster with other constants of its kernels and collectives; a number each, or an array of variants."""
    calibration = cluster.gpu.calibration.model_copy(update=constants)
    return cluster.model_copy(update={"gpu": cluster.gpu.model_copy(update={"calibration": calibration})})


def _predict(row: GPUMeasurement, simulate: Simulate) -> Prediction:
    flop = 0.0
    try:
        run = run_of(row)
        flop = executed_flop_per_gpu(run)
        return Prediction(row, simulate(run), flop)
    except (AnswerIsNo, InputError) as refusal:
        return Prediction(row, None, flop, str(refusal))


def predict_rows(rows: Iterable[GPUMeasurement], simulate: Simulate) -> tuple[Prediction, ...]:
    """Predict each row; one that is refused says why, and the others go on.

    Parameters
    ----------
    rows
        Measurements.
    simulate
        Time of one step of a run. [s]
    """
    return tuple(_predict(row, simulate) for row in rows)


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
    )


def per_set(predictions: Iterable[Prediction]) -> list[SetStatistics]:
    """Errors by set and use; sets are never pooled across uses."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for one in predictions:
        groups.setdefault((one.measurement.set, one.measurement.use), []).append(one)
    return [_statistics(name, use, rows) for (name, use), rows in groups.items()]
