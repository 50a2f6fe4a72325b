"""`wsesim validate`: measurement, prediction and error, per row and per set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from wsesim import plugins
from wsesim.config.entries import load_calibration
from wsesim.errors import PastTolerance, UnknownNameError, did_you_mean
from wsesim.machines.machine import MACHINES
from wsesim.machines.wafer.rows import Measurement, published, read_table
from wsesim.report.columns import Columns, prose
from wsesim.report.pages import gpu_validation, loss_laws
from wsesim.report.pages.parts import plain_table
from wsesim.validate.gpu_kernels import KernelErrors
from wsesim.validate.gpu_predict import Prediction as GPUPrediction
from wsesim.validate.losses import NO_LOSSES, LossReport, is_table, missed, predict_losses, predict_table
from wsesim.validate.predict import Prediction, SetSummary, predict_all, summarize

LOSS_SET = "pile-loss"
"""The set of losses and zero-shot accuracies."""

WAFERS = "cerebras"
"""The word for all sets of wafer-scale systems, losses included."""


class Gathered(NamedTuple):
    """What was predicted.

    Attributes
    ----------
    gpus
        Steps of GPU clusters.
    kernels
        Errors of measured kernels of GPUs.
    """

    predictions: list[Prediction]
    losses: LossReport
    gpus: tuple[GPUPrediction, ...]
    kernels: list[KernelErrors]


def _choose(what: str | None) -> tuple[list[Measurement], bool]:
    """Rows of a set, of a file, or all; and whether losses belong to them."""
    if what in (None, WAFERS):
        return published(), True
    if what == LOSS_SET:
        return [], True
    if what.lower().endswith(".csv"):
        return read_table(Path(what)), False
    rows = published()
    sets = [
        *sorted({row.set for row in rows} | {LOSS_SET}),
        *gpu_validation.sets(),
        WAFERS,
        gpu_validation.ALL,
        gpu_validation.KERNELS,
    ]
    chosen = [row for row in rows if row.set == what]
    if not chosen:
        raise UnknownNameError(
            f"set {what!r} is not among the published measurements{did_you_mean(what, sets) or '; sets are ' + ', '.join(sets)}"
        )
    return chosen, False


def gather(what: str | None, calibration: str | None = None) -> Gathered:
    """Predict a set, a CSV file, or everything, with the shipped or another calibration.

    A calibration is that of the systems or GPUs of the set; without a set that of wafer-scale systems,
    and only those are predicted.
    """
    if has_no_rows(what):
        return Gathered([], NO_LOSSES, (), [])
    if what is not None and what.lower().endswith(".csv") and is_table(Path(what)):
        return Gathered([], predict_table(Path(what)), (), [])
    is_gpu = what is not None and (
        gpu_validation.is_table(Path(what)) if what.lower().endswith(".csv") else bool(gpu_validation.rows_of(what))
    )
    kernels = gpu_validation.kernel_errors(what) if calibration is None else []
    if is_gpu or what == gpu_validation.KERNELS:
        return Gathered([], NO_LOSSES, gpu_validation.predict(gpu_validation.rows_of(what), calibration), kernels)
    rows, with_losses = _choose(what)
    predictions = predict_all(rows, None if calibration is None else load_calibration(calibration))
    losses = predict_losses() if with_losses else NO_LOSSES
    has_gpus = what is None and calibration is None
    gpus = gpu_validation.predict(gpu_validation.rows_of(None)) if has_gpus else ()
    return Gathered(predictions, losses, gpus, kernels)


FITTED = "*"
FITTED_WORDS = f"{FITTED} fitted, and so no proof"


def row_table(predictions: Sequence[Prediction]) -> Columns:
    """Every row; errors of what was fitted have a mark."""
    table = plain_table("row", "~model", "on", "|batch", "|measured", "|predicted", "|error")
    for one in predictions:
        row = one.measurement
        table.add_row(
            row.id,
            str(row.model["name"]),
            f"{row.num_systems} {row.system} {row.software_release or ''}".rstrip(),
            str(row.global_batch_size),
            f"{row.value:,.5g}",
            f"{one.predicted:,.5g}",
            f"{one.error:+.1%}{FITTED if row.use == 'calibration' else ' '}",
        )
    return table


def set_cells(one: SetSummary) -> list[str]:
    """What every table says of a set, but for whether it keeps its tolerance."""
    return [
        one.name,
        one.use,
        str(one.n),
        f"{one.mape:.1%}",
        f"{one.bias:+.1%}",
        f"{one.median:.1%}",
        f"{one.worst:.1%}",
        f"{one.tolerance_mape:.0%} / {one.tolerance_worst:.0%}",
    ]


def set_table(summaries: Sequence[SetSummary]) -> Columns:
    """Every set."""
    table = plain_table("set", "use", "|n", "|MAPE", "|bias", "|median", "|worst", "|tolerance", "|")
    for one in summaries:
        table.add_row(*set_cells(one), "ok" if one.passes else "MISSED")
    return table


def has_no_rows(what: str | None) -> bool:
    """Whether a kind of machine is named of which nothing was published."""
    if what is None or what in plugins.MACHINES.own:
        return False
    plugins.MACHINES.load_others()
    return what in MACHINES and not MACHINES[what].measured


def print_report(console: Console, found: Gathered, *, rows: bool | None = None) -> None:
    """Rows, sets and losses; with None the rows of GPU clusters only where they are those of one set."""
    predictions, losses, gpus, kernels = found
    if not predictions and not gpus and not kernels and losses == NO_LOSSES:
        console.print(
            prose("nothing was published on such a machine: no rows; `wsesim validate my_rates.csv` takes your own")
        )
        return
    if predictions and rows is not False:
        console.print(row_table(predictions), prose(f"on systems, release; {FITTED_WORDS}", style="dim"), "")
    if predictions:
        note = "tolerance: mean / worst; calibration rows were fitted and prove nothing; sets are never pooled"
        console.print(set_table(summarize(predictions)), prose(note, style="dim"))
    loss_laws.print_report(console, losses)
    if gpus:
        if predictions:
            console.print("", prose("GPU clusters, time of a step", style="bold"))
        is_one_set = len({one.measurement.set for one in gpus}) == 1
        gpu_validation.print_report(console, gpus, rows=is_one_set if rows is None else rows)
    if kernels:
        gpu_validation.print_kernels(console, kernels)


def row_dict(one: Prediction) -> dict[str, Any]:
    """A row for programs."""
    return {
        "id": one.measurement.id,
        "use": one.measurement.use,
        "set": one.measurement.set,
        "metric": one.measurement.metric,
        "measured": one.measurement.value,
        "predicted": one.predicted,
        "error": one.error,
        "source": one.measurement.source,
    }


def as_dict(found: Gathered) -> dict[str, Any]:
    """Rows, sets and losses for programs."""
    predictions, losses, gpus, kernels = found
    return {
        "rows": [row_dict(one) for one in predictions],
        "sets": [
            {
                "set": one.name,
                "use": one.use,
                "n": one.n,
                "mape": one.mape,
                "bias": one.bias,
                "median": one.median,
                "worst": one.worst,
                "passes": one.passes,
            }
            for one in summarize(predictions)
        ],
        **loss_laws.as_dict(losses),
        **gpu_validation.as_dict(gpus),
        "kernels": gpu_validation.kernels_as_dicts(kernels),
    }


def check(found: Gathered) -> None:
    """Refuse a set that misses its tolerance.

    Raises
    ------
    PastTolerance
        Names the sets.
    """
    predictions, losses, gpus, kernels = found
    past = [
        f"{one.name} ({one.use}): {one.mape:.1%} mean, {one.worst:.1%} worst"
        for one in summarize(predictions)
        if not one.passes
    ]
    past += missed(losses)
    past += gpu_validation.missed(gpus)
    past += [f"{one.kind} of {one.gpu} {one.name}: {one.median:.1%} median" for one in kernels if not one.passes]
    if past:
        raise PastTolerance(
            f"past the stated tolerance: {'; '.join(past)}; see docs/validation.md for what is not explained, "
            "or fit your own measurements with `wsesim calibrate`"
        )
