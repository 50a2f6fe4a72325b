"""Measurement, prediction and error, per row and per set, of every kind of machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wsesim import plugins
from wsesim.config.loader import load_calibration
from wsesim.errors import PastTolerance, UnknownNameError, did_you_mean
from wsesim.machines.machine import MACHINES
from wsesim.machines.wafer.rows import Measurement, published, read_table
from wsesim.report.pages import gpu_validation, loss_laws
from wsesim.validate.calibrate import Form
from wsesim.validate.gpu_calibrate import KernelErrors
from wsesim.validate.gpu_predict import Prediction as GPUPrediction
from wsesim.validate.left_out import (
    CHOSEN_BY,
    GRID,
    MEAN_OF_MODELS,
    NESTED_MEAN,
    NINE_IN_TEN,
    WORST,
    Fold,
    LeftOut,
    inside_in_no_fit,
    num_inside,
    published_left_out,
    summary,
)
from wsesim.validate.losses import NO_LOSSES, LossReport, is_table, missed, predict_losses, predict_table
from wsesim.validate.near import Prediction, SetSummary, other_generation, predict_all, summarize
from wsesim.view import Note, Section, Table, notes

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
    left_out
        Models of wafer-scale rows, each predicted by a fit without it; None where only some rows were asked for.
    """

    predictions: list[Prediction]
    losses: LossReport
    gpus: tuple[GPUPrediction, ...]
    kernels: list[KernelErrors]
    left_out: LeftOut | None = None


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
    has_all = what in (None, WAFERS) and calibration is None
    return Gathered(predictions, losses, gpus, kernels, published_left_out() if has_all else None)


FITTED = "*"
FITTED_WORDS = f"{FITTED} fitted, and so no proof"


def predicted_words(one: Prediction) -> str:
    """What is predicted; of a forced micro-batch, which does not name its system, what fits on a CS-2 and on a CS-3."""
    if one.measurement.metric != "forced_micro_batch_size":
        return f"{one.predicted:,.5g}"
    return f"{one.predicted:,.5g} / {other_generation(one.measurement):,.5g}"


def row_table(predictions: Sequence[Prediction]) -> Table:
    """Every row; errors of what was fitted have a mark."""
    rows = tuple(
        (
            row.id,
            str(row.model["name"]),
            f"{row.num_systems} {row.system} {row.software_release or ''}".rstrip(),
            str(row.global_batch_size),
            f"{row.value:,.5g}",
            predicted_words(one),
            f"{one.error:+.1%}{FITTED if row.is_fitted else ' '}",
        )
        for one in predictions
        for row in [one.measurement]
    )
    return Table("Rows", ("row", "~model", "on", "|batch", "|measured", "|predicted", "|error"), rows)


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
        f"{one.tolerance_mape:.0%} / {one.tolerance_worst:.0%}" if one.is_scored else "not scored",
    ]


def set_table(summaries: Sequence[SetSummary]) -> Table:
    """Every set."""
    heads = ("set", "use", "|n", "|MAPE", "|bias", "|median", "|worst", "|tolerance", "|")
    rows = tuple((*set_cells(one), "" if not one.is_scored else "ok" if one.passes else "MISSED") for one in summaries)
    return Table("Sets", heads, rows)


def has_no_rows(what: str | None) -> bool:
    """Whether a kind of machine is named of which nothing was published."""
    if what is None or what in plugins.MACHINES.own:
        return False
    plugins.MACHINES.load_others()
    return what in MACHINES and not MACHINES[what].measured


def left_out_section(found: LeftOut) -> Section:
    """Every model: errors of the fit that holds it are above, here those of fits without it."""
    title = "Models predicted by fits without them"
    heads = ("model", "|rows", "|left out", "|bias", "|worst", "|nested", "|worst", "~chosen without it")
    *headlines, among = left_out_words(found)
    told = (*notes(headlines, "key"), *notes([among, inside_words()], "aside"))
    return Section("left-out", title, (Table(title, heads, tuple(map(tuple, left_out_rows(found)))), *told))


def left_out_rows(found: LeftOut) -> list[list[str]]:
    """The same as cells; a model none of whose rows can be left out is not among them."""
    rows = []
    for fixed, nested in zip(found.fixed, found.nested, strict=True):
        if fixed.known:
            count = (
                f"{len(fixed.known)} of {len(fixed.rows)}"
                if len(fixed.known) < len(fixed.rows)
                else f"{len(fixed.rows)}"
            )
            errors = [f"{fixed.mean:.1%}", f"{fixed.bias:+.1%}", f"{fixed.worst:+.1%}"]
            rows.append(
                [fixed.model, count, *errors, f"{nested.mean:.1%}", f"{nested.worst:+.1%}", form_words(nested.form)]
            )
    return rows


def form_words(form: Form) -> str:
    """What was chosen, in the order of the grid."""
    return f"{form.head_block}, {form.score_block}, {form.overlap_exponent:g}, {'on' if form.elementwise else 'off'}"


def left_out_words(found: LeftOut) -> list[str]:
    """Headlines, with their tolerances, and what was chosen among."""
    fixed, nested = summary(found.fixed), summary(found.nested)
    grid = [sorted({getattr(form, key) for form in GRID}) for key in Form._fields[:3]]
    blocks, scores, exponents = (", ".join(f"{value:g}" for value in values) for values in grid)
    left_out = (
        f"left out: {fixed.mean_of_models:.1%} mean of models (at most {MEAN_OF_MODELS:.0%}), nine rows in ten within "
        f"{fixed.nine_in_ten:.1%} (at most {NINE_IN_TEN:.0%}), worst {fixed.worst:.1%} (at most {WORST:.0%}), "
        f"{fixed.num_rows} rows of {fixed.num_models} models"
    )
    chosen_too = (
        f"nested, with the form chosen without the model too: {nested.mean_of_models:.1%} mean of models "
        f"(at most {NESTED_MEAN:.0%}), nine rows in ten within {nested.nine_in_ten:.1%}, worst {nested.worst:.1%}"
    )
    among = (
        f"chosen among: block of heads {blocks}; cost of a score {scores}; exponent of the overlap {exponents}; "
        f"element-wise work on, off; by the {CHOSEN_BY}"
    )
    return [left_out, chosen_too, among]


def sections(found: Gathered, *, rows: bool | None = None) -> Iterator[Section]:
    """Rows, sets and losses; with None the rows of GPU clusters only where they are those of one set."""
    predictions, losses, gpus, kernels, _ = found
    if not predictions and not gpus and not kernels and losses == NO_LOSSES:
        words = "nothing was published on such a machine: no rows; `wsesim validate my_rates.csv` takes your own"
        yield Section("nothing", parts=(Note(words),))
        return
    if predictions and rows is not False:
        legend = Note(f"on systems, release; {FITTED_WORDS}", "aside")
        yield Section("rows", parts=(row_table(predictions), legend, Note("")))
    if predictions:
        note = "tolerance: mean / worst; calibration rows were fitted and prove nothing; sets are never pooled"
        yield Section("sets", parts=(set_table(summarize(predictions)), Note(note, "aside")))
    if found.left_out is not None:
        yield left_out_section(found.left_out)
        yield Section("inside", parts=tuple(notes(in_no_fit_words(predictions), "aside")))
    yield from loss_laws.sections(losses)
    if gpus:
        if predictions:
            yield Section("gpus", parts=(Note(""), Note("GPU clusters, time of a step", "key")))
        is_one_set = len({one.measurement.set for one in gpus}) == 1
        yield from gpu_validation.sections(gpus, rows=is_one_set if rows is None else rows)
    if kernels:
        yield gpu_validation.kernel_section(kernels)


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
    predictions, losses, gpus, kernels, left_out = found
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
        **({} if left_out is None else {"models_left_out": left_out_dict(left_out)}),
        "rows_in_no_fit": {
            use: [{"id": name, "inside_interval": is_inside} for name, is_inside in rows]
            for use, rows in inside_in_no_fit(predictions).items()
        },
        **gpu_validation.as_dict(gpus),
        "kernels": gpu_validation.kernels_as_dicts(kernels),
    }


def left_out_dict(found: LeftOut) -> dict[str, Any]:
    """Models predicted by fits without them, for programs."""

    def each(folds: Sequence[Fold]) -> dict[str, Any]:
        told = [
            {
                "model": fold.model,
                "form": fold.form._asdict(),
                "rows": [{"id": row.id, "error": error} for row, error in zip(fold.rows, fold.errors, strict=True)],
            }
            for fold in folds
        ]
        return {**summary(folds)._asdict(), "models": told}

    inside = num_inside(found)
    return {
        "fixed": each(found.fixed),
        "nested": each(found.nested),
        "grid": [form._asdict() for form in GRID],
        "inside_interval": {"rows": inside.rows, "inside": inside.inside},
    }


def past_tolerance(found: LeftOut) -> list[str]:
    """What of the left-out errors is larger than stated."""
    fixed, nested = summary(found.fixed), summary(found.nested)
    told = (
        ("left out, mean of models", fixed.mean_of_models, MEAN_OF_MODELS),
        ("left out, nine rows in ten", fixed.nine_in_ten, NINE_IN_TEN),
        ("left out, worst row", fixed.worst, WORST),
        ("nested, mean of models", nested.mean_of_models, NESTED_MEAN),
    )
    return [f"{words}: {error:.1%}, more than {most:.0%}" for words, error, most in told if error > most]


def inside_words() -> str:
    """How many rows lie inside the range that errors of the other models give."""
    inside = num_inside(published_left_out())
    return f"{inside.inside} of {inside.rows} left-out rows lie inside the 90 % range that the other models give"


def in_no_fit_words(predictions: Sequence[Prediction]) -> list[str]:
    """How many rows of no fit lie inside the range of their answer, each use apart, and which do not."""
    told = []
    for use, rows in inside_in_no_fit(predictions).items():
        outside = [name for name, is_inside in rows if not is_inside]
        words = f"{use}, in no fit: {len(rows) - len(outside)} of {len(rows)} rows lie inside the 90 % range of their answer"
        told.append(f"{words}{'; outside: ' if outside else ''}{', '.join(outside)}")
    return told


def check(found: Gathered) -> None:
    """Refuse a set that misses its tolerance."""
    predictions, losses, gpus, kernels, left_out = found
    past = [
        f"{one.name} ({one.use}): {one.mape:.1%} mean, {one.worst:.1%} worst"
        for one in summarize(predictions)
        if not one.passes
    ]
    past += missed(losses)
    past += gpu_validation.missed(gpus)
    past += [f"{one.kind} of {one.gpu} {one.name}: {one.median:.1%} median" for one in kernels if not one.passes]
    past += [] if left_out is None else past_tolerance(left_out)
    if past:
        raise PastTolerance(
            f"past the stated tolerance: {'; '.join(past)}; see docs/validation.md for what is not explained, "
            "or fit your own measurements with `wsesim calibrate`"
        )
