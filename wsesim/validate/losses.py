"""Loss and zero-shot accuracy of published models: the table, the fit of the laws, and what they say of a model left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from wsesim.config import catalogue
from wsesim.config.loader import load_law, load_model
from wsesim.config.model import ComputeLawSpec, LawSpec, LossLawSpec, ModelSpec, TaskSpec
from wsesim.errors import MeasurementError, UnknownNameError
from wsesim.machines.csv_table import Row, read_rows
from wsesim.results import loss as laws
from wsesim.results.loss import (
    AVERAGE,
    COMPUTE,
    PILE,
    TASKS,
    TOKENS_PER_PARAMETER,
    LossConstants,
    Quality,
    TaskConstants,
    counted,
    vendor_training_flop,
)
from wsesim.units import add_up
from wsesim.validate.statistics import least_squares
from wsesim.workload.transformer import parameter_count

SEQUENCE_LENGTH = 2048
"""Of all models of the published table. [-]"""
COLUMNS = {
    "use": "calibration, validation or context; calibration when left out",
    "family": "models that were trained alike; the label's first word when left out",
    "model": "catalogue name of the model, or its label",
    "size": "size in the label, where `family` and `size` stand for `model`",
    "parameters": "all parameters, where the model is not in the catalogue",
    "tokens": "training tokens; 20 per parameter when left out",
    "training_flop": "training compute as the source counts it",
    "pile_test_loss": "test loss on the Pile, nats per token",
    **dict.fromkeys((*TASKS, AVERAGE), "zero-shot accuracy, from 0 to 1"),
    "source": "key in sources.toml",
    "notes": "anything",
}
NEEDED: tuple[str, ...] = ()
USES = ("calibration", "validation", "context")
MOST_FLOP = 1e30
"""More is a slip of the pen. [FLOP]"""
MARKS = {"pile_test_loss", *TASKS}
"""A table with one of these columns is one of losses and accuracies."""

LOSS_TOLERANCE, AVERAGE_TOLERANCE, TASK_TOLERANCE, SMALL_TASK_TOLERANCE = 0.06, 0.015, 0.03, 0.045
"""Largest error of a model that was left out of the fit; tasks of the two smallest models have more. [nats/token], [-]"""
COMPUTE_TOLERANCE = 0.02
"""The same for the published law of compute on its own seven models, which it meets within 0.0195. [nats/token]"""
NUM_SMALL = 2
FEWEST = 5
"""Models that are too few for a fit of four constants. [-]"""
LEVEL = 0.9
"""Share of left-out errors that an interval holds. [-]"""
COUNTS, SHARPNESSES = ("all", "blocks"), (1.0, 1.5, 2.0, 3.0)
"""Forms of the law among which the rows chose. [-]"""


@dataclass(frozen=True)
class Evaluated:
    """One trained model, and how well it did.

    Attributes
    ----------
    model
        Its shape; of a model that is not in the catalogue that of a GPT of its size.
    tokens
        It was trained on. [-]
    loss
        Pile test loss; None where nobody measured it. [nats/token]
    accuracy
        Zero-shot, by task, as far as measured; the mean of all tasks among them. [-]
    """

    label: str
    family: str
    model: ModelSpec
    tokens: float
    training_flop: float
    loss: float | None
    accuracy: dict[str, float]
    use: str
    source: str

    @property
    def quality(self) -> Quality:
        """What the shipped laws say of it."""
        return Quality(self.model, SEQUENCE_LENGTH, self.tokens)

    @property
    def parameters(self) -> int:
        """All of them. [-]"""
        return parameter_count(self.model, SEQUENCE_LENGTH)

    def errors(self, found: Mapping[str, float]) -> dict[str, float]:
        """Predicted minus measured accuracy, of what was measured. [-]"""
        return {name: value - self.accuracy[name] for name, value in found.items() if name in self.accuracy}

    def errors_from_loss(self) -> dict[str, float]:
        """Of the shipped law, from the measured loss; empty without one. [-]"""
        return {} if self.loss is None else self.errors(laws.accuracies(load_law(PILE), self.loss))

    def counted(self, counts: str) -> float:
        """Parameters as a law counts them. [-]"""
        return _counted(self.model, counts)


@cache
def _counted(model: ModelSpec, counts: str) -> float:
    law = laws_of(load_law(PILE))[0].model_copy(update={"counted": counts})
    return counted(law, model, SEQUENCE_LENGTH)


def laws_of(found: LawSpec) -> tuple[LossLawSpec, dict[str, TaskSpec]]:
    """The two parts of a law that are fitted.

    Raises
    ------
    UnknownNameError
        It has only one of them.
    """
    if found.loss is None or not found.tasks:
        raise UnknownNameError(f"law {found.name!r} has no loss by parameters and tokens, or no tasks; name pile")
    return found.loss, found.tasks


def published() -> list[Evaluated]:
    """The table that ships, in its order."""
    return read_table(catalogue.published() / "downstream.csv")


def is_table(path: Path) -> bool:
    """Whether the first line of a CSV file names a loss or a task."""
    first = catalogue.read_text(path, largest_bytes=10_000_000).split("\n", 1)[0]
    return not MARKS.isdisjoint(name.strip() for name in first.split(","))


def read_table(path: Path) -> list[Evaluated]:
    """A table of trained models."""
    return [_evaluated(row) for row in read_rows(path, COLUMNS, NEEDED)]


def _evaluated(row: Row) -> Evaluated:
    label = row.text("model") or f"{row.text('family')} {row.text('size')}".strip()
    if not label:
        raise MeasurementError(f"{row.place}: model is missing; add it, or `family` and `size`")
    model = _model(label, row)
    tokens = row.real("tokens", TOKENS_PER_PARAMETER * parameter_count(model, SEQUENCE_LENGTH))
    accuracy = {task: _share(row, task) for task in (*TASKS, AVERAGE) if row.text(task)}
    if all(task in accuracy for task in TASKS):
        accuracy = {AVERAGE: fmean(accuracy[task] for task in TASKS), **accuracy}
    return Evaluated(
        label=label,
        family=row.text("family") or re.split(r"[-_ ]*[0-9]", label.lower())[0],
        model=model,
        tokens=tokens,
        training_flop=row.real("training_flop", vendor_training_flop(model, SEQUENCE_LENGTH, tokens), MOST_FLOP),
        loss=row.real("pile_test_loss") if row.text("pile_test_loss") else None,
        accuracy=accuracy,
        use=row.choice("use", USES, "calibration"),
        source=row.text("source"),
    )


def _share(row: Row, task: str) -> float:
    value = row.real(task)
    if value > 1.0:
        raise MeasurementError(f"{row.place}: {task} is {value:g}; write a share from 0 to 1")
    return value


def _model(label: str, row: Row) -> ModelSpec:
    """The catalogue's model of a label such as "Cerebras-GPT 111M" or "pythia-1.4b deduped"; else one of its size."""
    words = re.sub(r"[^a-z0-9.]", "", label.lower())
    known = {re.sub(r"[^a-z0-9.]", "", name): name for name in catalogue.names("models")}
    fitting = [name for name in known if words.startswith(name) and not words[len(name) :][:1].isdigit()]
    if fitting:
        return load_model(known[max(fitting, key=len)])
    if not row.text("parameters"):
        raise MeasurementError(
            f"{row.place}: model {catalogue.value_shown(label)} is not in the catalogue; add its `parameters`, or see "
            "`wsesim list models`"
        )
    from wsesim.workload.transformer import shape_of

    return ModelSpec.model_validate(shape_of(row.real("parameters")))


def smallest_of_families(rows: Sequence[Evaluated]) -> set[str]:
    """Labels of the smallest model of each family of more than one; at the edge, a fit without it extrapolates."""
    found = set()
    for family in {row.family for row in rows}:
        own = sorted((row for row in rows if row.family == family), key=lambda row: row.parameters)
        if len({row.model for row in own}) > 1:
            found.add(own[0].label)
    return found


def smallest(rows: Sequence[Evaluated]) -> set[str]:
    """Labels of the smallest models of a table, whose tasks may be off by more."""
    return {row.label for row in sorted(rows, key=lambda row: row.parameters)[:NUM_SMALL]}


def fit_loss(rows: Sequence[Evaluated], start: LossLawSpec) -> LossLawSpec:
    """The four constants of a loss law, by least squares on the logarithm of the loss; floor and form are those of `start`."""
    import numpy as np

    measured = np.log([_loss(row) for row in rows])
    counts = np.array([row.counted(start.counted) for row in rows])
    tokens = np.array([row.tokens for row in rows])
    middle = [math.exp(float(np.log(one).mean())) for one in (counts, tokens)]

    def law(x: Sequence[float]) -> LossConstants:
        """Costs are fitted in the middle of the rows, where they do not hang on the powers."""
        powers = [math.exp(one) for one in x[2:4]]
        costs = [math.exp(x[place]) * middle[place] ** powers[place] for place in (0, 1)]
        return LossConstants(start.floor, costs[0], powers[0], costs[1], powers[1], start.sharpness)

    def residuals(x: Sequence[float]) -> Any:
        return np.log(laws.loss(law(x), counts, tokens)) - measured

    first = [-0.3, -0.3, math.log(0.15), math.log(0.12)]
    return start.model_copy(update=law(least_squares(residuals, first))._asdict())


def fit_compute(rows: Sequence[Evaluated], start: ComputeLawSpec) -> ComputeLawSpec:
    """Scale and power of a law of compute, by a straight line through the logarithms; the floor is that of `start`."""
    x = [math.log(row.training_flop) for row in rows]
    y = [math.log(_loss(row) - start.floor) for row in rows]
    slope = add_up((a - fmean(x)) * (b - fmean(y)) for a, b in zip(x, y, strict=True)) / add_up(
        (a - fmean(x)) ** 2 for a in x
    )
    return start.model_copy(update={"power": -slope, "scale_flop": math.exp(fmean(x) - fmean(y) / slope)})


def fit_task(rows: Sequence[Evaluated], name: str, start: TaskSpec) -> TaskSpec:
    """Middle and steepness of a task's accuracy over the loss, by least squares; floor and ceiling are those of `start`."""
    import numpy as np

    able = [row for row in rows if name in row.accuracy]
    losses, measured = np.array([_loss(row) for row in able]), np.array([row.accuracy[name] for row in able])

    def task(x: Sequence[float]) -> TaskConstants:
        return TaskConstants(start.floor, start.ceiling, math.exp(x[0]), math.exp(x[1]))

    def residuals(x: Sequence[float]) -> Any:
        return laws.accuracy(task(x), losses) - measured

    return start.model_copy(update=task(least_squares(residuals, [0.4, 1.0]))._asdict())


def _loss(row: Evaluated) -> float:
    if row.loss is None:
        raise MeasurementError(f"{row.label}: pile_test_loss is missing; a fit needs it")
    return row.loss


def fit(rows: Sequence[Evaluated], start: LawSpec) -> LawSpec:
    """Loss and tasks, fitted to some models."""
    loss, tasks = laws_of(start)
    fitted = {name: fit_task(rows, name, task) for name, task in tasks.items()}
    return start.model_copy(update={"loss": fit_loss(rows, loss), "tasks": fitted})


@dataclass(frozen=True)
class LeftOut:
    """A model, and what laws say of it that were fitted without it.

    Attributes
    ----------
    law
        Fitted without it.
    loss
        By parameters and tokens. [nats/token]
    from_loss
        Accuracy by its measured loss. [-]
    from_run
        Accuracy by the predicted loss, as a run has it. [-]
    from_compute
        Accuracy by compute, of models that were trained by the recipe of that law; else empty. [-]
    """

    row: Evaluated
    law: LawSpec
    loss: float
    from_loss: dict[str, float]
    from_run: dict[str, float]
    from_compute: dict[str, float]

    @property
    def loss_error(self) -> float:
        """Predicted minus measured. [nats/token]"""
        return self.loss - _loss(self.row)

    def errors(self, found: Mapping[str, float]) -> dict[str, float]:
        """Predicted minus measured accuracy, of what was measured. [-]"""
        return self.row.errors(found)


def fitted_rows(rows: Sequence[Evaluated]) -> list[Evaluated]:
    """Rows that a fit takes: with a loss, and not only shown."""
    return [row for row in rows if row.loss is not None and row.use == "calibration"]


def leave_out(rows: Sequence[Evaluated], start: LawSpec) -> list[LeftOut]:
    """Every fitted model as predicted by laws fitted without it; a model that was trained twice is left out in both."""
    used = fitted_rows(rows)
    return [_left_out(row, [other for other in used if other.model != row.model], start) for row in used]


def _left_out(row: Evaluated, others: Sequence[Evaluated], start: LawSpec) -> LeftOut:
    found = fit(others, start)
    law = laws_of(found)[0]
    predicted = laws.loss(law, row.counted(law.counted), row.tokens)
    return LeftOut(
        row,
        found,
        predicted,
        laws.accuracies(found, _loss(row)),
        laws.accuracies(found, predicted),
        _by_compute(row, others, found),
    )


def _by_compute(row: Evaluated, others: Sequence[Evaluated], found: LawSpec) -> dict[str, float]:
    start = load_law(COMPUTE).compute
    alike = [other for other in others if _is_by_recipe(other, start)]
    if start is None or not _is_by_recipe(row, start):
        return {}
    return laws.accuracies(found, laws.loss_by_compute(fit_compute(alike, start), row.training_flop))


def _is_by_recipe(row: Evaluated, law: ComputeLawSpec | None) -> bool:
    if law is None:
        return False
    share = row.tokens / row.parameters / law.tokens_per_parameter
    return 1.0 / law.most_off_recipe <= share <= law.most_off_recipe


def forms(start: LawSpec) -> Iterator[LawSpec]:
    """Every form of the loss law among which the rows chose."""
    loss, _ = laws_of(start)
    for counts in COUNTS:
        for sharpness in SHARPNESSES:
            yield start.model_copy(update={"loss": loss.model_copy(update={"counted": counts, "sharpness": sharpness})})


def nested(rows: Sequence[Evaluated], start: LawSpec) -> list[tuple[Evaluated, LossLawSpec, float]]:
    """Every model, the form that the others choose by leaving out one another, and the error of that form fitted to them."""
    used = fitted_rows(rows)
    found = []
    for row in used:
        others = [other for other in used if other.model != row.model]
        best = min((laws_of(one)[0] for one in forms(start)), key=lambda law: _squares(others, law))
        law = fit_loss(others, best)
        found.append((row, law, laws.loss(law, row.counted(law.counted), row.tokens) - _loss(row)))
    return found


def _squares(rows: Sequence[Evaluated], start: LossLawSpec) -> float:
    """Sum of the squared errors of models left out. [nats^2]"""
    found = 0.0
    for row in rows:
        law = fit_loss([other for other in rows if other.model != row.model], start)
        found += (laws.loss(law, row.counted(law.counted), row.tokens) - _loss(row)) ** 2
    return found


def interval(errors: Sequence[float]) -> float:
    """Half of an interval that holds `LEVEL` of new errors: the error of that rank among so many and one more. [-]

    Examples
    --------
    >>> interval([0.01 * (place + 1) for place in range(19)])
    0.18
    """
    ranked = sorted(map(abs, errors))
    return ranked[min(len(ranked), math.ceil(LEVEL * (len(ranked) + 1))) - 1]


@dataclass(frozen=True)
class Fit:
    """Laws, the rows they were fitted to, and what they say of each left out."""

    law: LawSpec
    rows: tuple[Evaluated, ...]
    left_out: tuple[LeftOut, ...]


def calibrate(rows: Sequence[Evaluated], start: LawSpec) -> Fit:
    """Fit the laws, and give them the intervals and the domain that the rows have.

    Raises
    ------
    MeasurementError
        Fewer models than four constants need.
    """
    used = fitted_rows(rows)
    if len({row.model for row in used}) <= FEWEST:
        raise MeasurementError(
            f"{len(used)} models with a pile_test_loss are too few; a fit needs more than {FEWEST}, of different sizes"
        )
    left = leave_out(used, start)
    return Fit(_with_errors(fit(used, start), left), tuple(used), tuple(left))


def _with_errors(law: LawSpec, left: Sequence[LeftOut]) -> LawSpec:
    loss, tasks = laws_of(law)
    rows = [one.row for one in left]
    counts = [row.counted(loss.counted) for row in rows]
    each = [row.tokens / count for row, count in zip(rows, counts, strict=True)]
    domain = {
        "least_parameters": min(counts),
        "most_parameters": max(counts),
        "least_tokens": min(row.tokens for row in rows),
        "most_tokens": max(row.tokens for row in rows),
        "least_tokens_per_parameter": min(each),
        "most_tokens_per_parameter": max(each),
        "error": interval([one.loss_error / _loss(one.row) for one in left]),
    }
    by_run = _intervals(left, lambda one: one.from_run)
    by_compute = _intervals(left, lambda one: one.from_compute)
    update = {
        name: task.model_copy(update={"error": by_run.get(name), "error_by_compute": by_compute.get(name)})
        for name, task in tasks.items()
    }
    losses = [_loss(row) for row in rows]
    return law.model_copy(
        update={
            "loss": loss.model_copy(update=domain),
            "tasks": update,
            "average_error": by_run.get(AVERAGE),
            "average_error_by_compute": by_compute.get(AVERAGE),
            "least_loss": min(losses),
            "most_loss": max(losses),
        }
    )


def _intervals(left: Sequence[LeftOut], of: Callable[[LeftOut], dict[str, float]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for one in left:
        for name, error in one.errors(of(one)).items():
            found.setdefault(name, []).append(error)
    return {name: interval(errors) for name, errors in found.items()}


NOTES = {
    "floor": "that of the Cerebras-GPT law; these rows cannot tell it, anything in the range fits them as well",
    "sharpness": (
        "1, 1.5, 2 and 3 fit as well; with 2 the law itself finds 18 to 24 tokens for each parameter to be best from 1e19 to "
        "2.3e22 FLOP, as in practice"
    ),
    "chance": "no row lies below it by more than 0.012",
    "task_floor": "the smallest models lie below chance, since the likelier answer is often a wrong one",
    "ceiling": "some answers are wrong or ambiguous; no row comes near it",
    "error": "half of the 90 % interval, from models left out",
    "domain": "of the fitted models",
}
"""Why numbers are what they are."""
FLOORS = (0.0, 0.8)
"""Losses that no model goes below, with which the rows are met as well. [nats/token]"""
LOSS_CONSTANTS = ("of_parameters", "parameters_power", "of_tokens", "tokens_power")
DOMAIN = tuple(f"{end}_{of}" for of in ("parameters", "tokens", "tokens_per_parameter") for end in ("least", "most"))


def as_toml(found: Fit, source: str) -> str:
    """The laws as a file of ``cluster_configs/laws``; ranges of constants are those of the fits that leave a model out."""
    law, (loss, tasks) = found.law, laws_of(found.law)
    without = [laws_of(one.law) for one in found.left_out]
    number = f"{len(found.rows)} models"
    lines = [
        "# Written by `wsesim calibrate --loss`; ranges are those of fits without one of the models.",
        "",
        f'name = "{law.name}"',
        f'source = "{source}"',
        'status = "calibrated"',
        "",
        *(
            f'{key} = {{ value = {getattr(law, key):.4g}, note = "{NOTES["error"]}" }}'
            for key in AVERAGES
            if getattr(law, key)
        ),
        *(
            f'{key} = {{ value = {getattr(law, key):.4g}, note = "{NOTES["domain"]}" }}'
            for key in ("least_loss", "most_loss")
        ),
        "",
        "[loss]",
        f'data = "{loss.data}"',
        f'counted = "{loss.counted}"',
        _assumed("floor", loss.floor, NOTES["floor"], FLOORS),
        *(
            _fitted(key, getattr(loss, key), [getattr(one, key) for one, _ in without], number)
            for key in LOSS_CONSTANTS
        ),
        _assumed("sharpness", loss.sharpness, NOTES["sharpness"], (1.0, 3.0)),
        f'error = {{ value = {loss.error:.4g}, note = "{NOTES["error"]}" }}',
        *(f'{key} = {{ value = {getattr(loss, key):.4g}, note = "{NOTES["domain"]}" }}' for key in DOMAIN),
    ]
    for name, task in tasks.items():
        others = [one[name] for _, one in without]
        lines += ["", f"[tasks.{name}]", *_task_lines(task, others, number)]
    return "\n".join(lines) + "\n"


AVERAGES = ("average_error", "average_error_by_compute")


def _task_lines(task: TaskSpec, others: Sequence[TaskSpec], number: str) -> Iterator[str]:
    yield f'chance = {{ value = {task.chance:g}, status = "derived", note = "one of so many answers" }}'
    yield _assumed(
        "floor", task.floor, NOTES["task_floor" if task.floor < task.chance else "chance"], (0.0, task.chance)
    )
    yield _assumed("ceiling", task.ceiling, NOTES["ceiling"], (0.9, 1.0))
    for key in ("half_loss", "power"):
        yield _fitted(key, getattr(task, key), [getattr(one, key) for one in others], number)
    for key in ("error", "error_by_compute"):
        if getattr(task, key):
            yield f'{key} = {{ value = {getattr(task, key):.4g}, note = "{NOTES["error"]}" }}'


def _fitted(key: str, value: float, others: Sequence[float], number: str) -> str:
    low, high = min(*others, value), max(*others, value)
    return f'{key} = {{ value = {value:.5g}, range = [{low * 0.9999:.4g}, {high * 1.0001:.4g}], note = "{number}" }}'


def _assumed(key: str, value: float, note: str, ends: tuple[float, float]) -> str:
    bounds = f"[{min(value, ends[0]):g}, {max(value, ends[1]):g}]"
    return f'{key} = {{ value = {value:g}, range = {bounds}, source = "none", status = "assumed", note = "{note}" }}'


@dataclass(frozen=True)
class LossPrediction:
    """Loss of one model by the Cerebras-GPT law of compute, and as published."""

    model: str
    training_flop: float
    published: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted minus published. [nats/token]"""
        return self.predicted - self.published


class LossReport(NamedTuple):
    """What laws say of trained models.

    Attributes
    ----------
    by_compute
        By the published law of compute, the models that it was made for.
    left_out
        Of the fitted ones, each by laws fitted without it.
    shown
        The others, by the shipped laws.
    are_scored
        Whether the others count: a table of one's own does, the shipped one's do not.
    """

    by_compute: list[LossPrediction]
    left_out: list[LeftOut]
    shown: list[Evaluated]
    are_scored: bool = False


NO_LOSSES = LossReport([], [], [])


def predict_losses() -> LossReport:
    """The models of the shipped table."""
    rows = published()
    shown = [row for row in rows if row not in fitted_rows(rows)]
    return LossReport(_predict_by_compute(), leave_out(rows, load_law(PILE)), shown)


def predict_table(path: Path) -> LossReport:
    """The models of a table of one's own, none of which was fitted."""
    return LossReport([], [], read_table(path), are_scored=True)


def _predict_by_compute() -> list[LossPrediction]:
    law = load_law(COMPUTE).compute
    found = []
    for name in catalogue.names("models"):
        model = load_model(name)
        flop, measured = model.training_flop_reported, model.published_pile_loss
        if law is not None and flop is not None and measured is not None:
            found.append(LossPrediction(name, flop, measured, laws.loss_by_compute(law, flop)))
    return sorted(found, key=lambda row: row.training_flop)


def missed(found: LossReport) -> Iterator[str]:
    """What is past its tolerance; the smallest model of each family may be off by more in the loss."""
    for row in found.by_compute:
        if abs(row.error) > COMPUTE_TOLERANCE:
            yield f"loss of {row.model} by compute: {row.error:+.3f}"
    rows = [one.row for one in found.left_out]
    edge, small = smallest_of_families(rows), smallest(rows)
    for one in found.left_out:
        if abs(one.loss_error) > LOSS_TOLERANCE and one.row.label not in edge:
            yield f"loss of {one.row.label}, left out: {one.loss_error:+.3f}"
        yield from _missed_tasks(one.row.label, one.errors(one.from_loss), one.row.label in small)
    for own in found.shown if found.are_scored else ():
        if own.loss is not None:
            if abs(own.quality.loss - own.loss) > LOSS_TOLERANCE:
                yield f"loss of {own.label}: {own.quality.loss - own.loss:+.3f}"
            yield from _missed_tasks(own.label, own.errors_from_loss(), False)


def _missed_tasks(label: str, errors: dict[str, float], is_small: bool) -> Iterator[str]:
    for name, error in errors.items():
        most = AVERAGE_TOLERANCE if name == AVERAGE else SMALL_TASK_TOLERANCE if is_small else TASK_TOLERANCE
        if abs(error) > most:
            yield f"{name} of {label}: {error:+.3f}"
