"""Errors of predictions for models that were not among the rows of the fit: what a prediction for another model is worth.

A model is left out with all its rows, everything is fitted to the others, and its rows are predicted. What of the mechanism was
chosen among a few values while looking at rows is chosen inside this loop too (*nested*), by the others alone. Rows of a release
that no other model has cannot be left out, as nothing else tells the release's factor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from wsesim.config.loader import from_table
from wsesim.config.model import ModelSpec
from wsesim.machines.wafer.checks import SMALL_STEP, share_of_waiting, wafer_bounds
from wsesim.machines.wafer.plan import make_plan
from wsesim.machines.wafer.rows import Measurement
from wsesim.machines.wafer.spec import CalibrationSpec
from wsesim.units import add_up
from wsesim.validate.calibrate import Form, Rates, rates_of, solve
from wsesim.validate.near import Prediction, run_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = tuple(
    itertools.starmap(Form, itertools.product((1, 32, 64), (0, 32, 64, 96), (1.0, 1.2, 1.4, 1.7), (True, False)))
)
"""What is chosen among: blocks of heads, cost of a score, exponent of the overlap, and whether element-wise work counts."""
CHOSEN_BY = "mean over models of the mean error of their rows"
"""What decides between forms, of rows that were fitted."""

MEAN_OF_MODELS, NINE_IN_TEN, WORST, NESTED_MEAN = 0.03, 0.08, 0.12, 0.05
"""Tolerances of left-out errors: mean over models, nine rows in ten, the worst row; mean over models where the form is chosen
without the model, too. [-]"""
Shape = tuple[object, ...]


@dataclass(frozen=True)
class Fold:
    """One model, predicted by a fit without it.

    Attributes
    ----------
    model
        Name of one of its rows' models; others of the same architecture are among the rows.
    form
        What was chosen without it.
    rows, errors
        Its rows, and how far the predicted rate was off; None where the release is known from it alone. [-]
    """

    model: str
    form: Form
    rows: tuple[Measurement, ...]
    errors: tuple[float | None, ...]

    @property
    def known(self) -> tuple[float, ...]:
        """Errors of the rows that could be left out. [-]"""
        return tuple(error for error in self.errors if error is not None)

    @property
    def mean(self) -> float:
        """Mean absolute error. [-]"""
        return add_up(map(abs, self.known)) / len(self.known)

    @property
    def bias(self) -> float:
        """Mean error. [-]"""
        return add_up(self.known) / len(self.known)

    @property
    def worst(self) -> float:
        """Largest error, with its sign. [-]"""
        return max(self.known, key=abs)


class Summary(NamedTuple):
    """Left-out errors in three numbers.

    Attributes
    ----------
    mean_of_models
        Mean over models of the mean absolute error of their rows. [-]
    nine_in_ten
        Nine rows in ten are within this. [-]
    worst
        Of all rows. [-]
    """

    num_rows: int
    num_models: int
    mean_of_models: float
    nine_in_ten: float
    worst: float


@dataclass(frozen=True)
class LeftOut:
    """All models, each left out once, with the shipped form and with a form chosen without them."""

    fixed: tuple[Fold, ...]
    nested: tuple[Fold, ...]


def architecture(row: Measurement) -> Shape:
    """What two rows share that are of one model, whatever it was trained for: the shape of its blocks."""
    model: ModelSpec = from_table(row.run_table, place=row.place or row.id).model
    width, inside = (model.hidden_size, model.num_attention_heads, model.head_size), (model.mlp_size, model.gated_mlp)
    return (model.num_layers, *width, model.key_value_heads, *inside, model.num_experts, model.causal)


def summary(folds: Sequence[Fold]) -> Summary:
    """Left-out errors of all models in three numbers."""
    told = [fold for fold in folds if fold.known]
    errors = sorted(abs(error) for fold in told for error in fold.known)
    # of 47 rows 43 are within, and 4 beyond
    within = errors[max(0, -(-9 * len(errors) // 10) - 1)]
    return Summary(len(errors), len(told), add_up(fold.mean for fold in told) / len(told), within, errors[-1])


def left_out(rows: Sequence[Measurement], start: CalibrationSpec) -> LeftOut:
    """Leave out each model of some rates once.

    Parameters
    ----------
    start
        Where the fits start, and the form of `LeftOut.fixed`.
    """
    import numpy as np

    rates = rates_of(rows, start)
    shapes = [architecture(row) for row in rows]
    models = list(dict.fromkeys(shapes))
    number = np.array([models.index(shape) for shape in shapes])
    kept = (number[None, :] != np.arange(len(models))[:, None]).astype(float)
    shipped = Form.of(start)
    fixed = _errors(rates, [shipped] * len(models), kept, start)
    forms = [form for _ in models for form in GRID]
    every = _errors(rates, forms, np.repeat(kept, len(GRID), axis=0), start).reshape(len(models), len(GRID), -1)
    choices = [_choice(errors, number, model) for model, errors in enumerate(every)]
    nested = np.stack([errors[choice] for errors, choice in zip(every, choices, strict=True)])
    known = _told_by_others(rates, kept)
    return LeftOut(
        tuple(_fold(rates, number == model, shipped, fixed[model], known[model]) for model in range(len(models))),
        tuple(
            _fold(rates, number == model, GRID[choice], nested[model], known[model])
            for model, choice in enumerate(choices)
        ),
    )


def _errors(
    rates: Rates, forms: Sequence[Form], weights: NDArray[np.float64], start: CalibrationSpec
) -> NDArray[np.float64]:
    """Error of the predicted rate of every row by every fit, whether the row was in it or not. [-]"""
    import numpy as np

    logs = solve(rates, forms, weights, start)
    errors: NDArray[np.float64] = np.exp(rates.log_times - np.log(rates.table.compiled(forms).times_s(logs))) - 1.0
    return errors


def _choice(errors: NDArray[np.float64], number: NDArray[np.int64], left_out: int) -> int:
    """The form that follows the models best that were fitted; each counts once. [-]"""
    means = [
        abs(errors[:, number == model]).mean(axis=1) for model in sorted(set(number.tolist())) if model != left_out
    ]
    return int(add_up(means).argmin())


def _told_by_others(rates: Rates, kept: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each fold and row, whether another model tells the factor of the row's release."""
    import numpy as np

    releases = np.eye(len(rates.table.names))[rates.table.release]
    told: NDArray[np.bool_] = (kept @ releases)[:, rates.table.release] > 0
    return told


def _fold(
    rates: Rates, own: NDArray[np.bool_], form: Form, errors: NDArray[np.float64], known: NDArray[np.bool_]
) -> Fold:
    rows = tuple(row for row, is_own in zip(rates.rows, own.tolist(), strict=True) if is_own)
    told = tuple(
        error if is_known else None for error, is_known in zip(errors[own].tolist(), known[own].tolist(), strict=True)
    )
    return Fold(str(rows[0].model["name"]), form, rows, told)


class Inside(NamedTuple):
    """Rows, and how many of them lie inside their range."""

    rows: int
    inside: int


def log_errors(fold: Fold, *, small_steps: bool = False) -> dict[str, float]:
    """Logarithms of measured over predicted time of a model's rows by their names, but for those with mostly latency. [-]"""
    told = zip(fold.rows, fold.errors, strict=True)
    known = [(row, math.log1p(error)) for row, error in told if error is not None]
    return {row.id: error for row, error in known if small_steps or waiting_share(row) < SMALL_STEP}


def waiting_share(row: Measurement) -> float:
    """Share of a measured step that is no compute. [-]"""
    run = run_of(row)
    return share_of_waiting(make_plan(run), row.global_batch_size / row.value)


def errors_of(folds: Sequence[Fold]) -> dict[str, list[float]]:
    """What a range is made of: errors of models whose steps are mostly compute. [-]"""
    found = {fold.model: list(log_errors(fold).values()) for fold in folds}
    return {model: errors for model, errors in found.items() if errors}


def num_inside(found: LeftOut) -> Inside:
    """Rows inside the range that errors of the other models give them."""
    rows = inside = 0
    for fold in found.nested:
        others = errors_of([one for one in found.nested if one is not fold])
        by_name = {row.id: row for row in fold.rows}
        for name, error in log_errors(fold, small_steps=True).items():
            run = run_of(by_name[name])
            bounds = wafer_bounds(run, make_plan(run), by_name[name].global_batch_size / by_name[name].value, others)
            rows, inside = rows + 1, inside + (-bounds.faster <= error <= bounds.slower)
    return Inside(rows, inside)


def inside_in_no_fit(predictions: Sequence[Prediction]) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Rates that are in no fit, by use: small steps, unexplained, shown; the names of rows, and whether each lies in its range."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for one in predictions:
        row = one.measurement
        if row.is_rate and not row.is_fitted:
            run = run_of(row)
            bounds = wafer_bounds(run, make_plan(run), row.global_batch_size / one.predicted)
            is_inside = -bounds.faster <= math.log1p(one.error) <= bounds.slower
            found.setdefault(row.use, []).append((row.id, is_inside))
    return {use: tuple(rows) for use, rows in sorted(found.items())}


@cache
def published_left_out() -> LeftOut:
    """Of the rates that ship with wsesim, by the shipped calibration's form."""
    from wsesim.config.loader import load_calibration
    from wsesim.machines.wafer.rows import published

    rows = [row for row in published() if row.use == "leave-one-out" and row.is_rate]
    return left_out(rows, load_calibration("cs2"))
