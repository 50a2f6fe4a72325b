"""Loss and zero-shot accuracy of published models beside what laws say of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wsesim.config.loader import load_law
from wsesim.results.loss import AVERAGE, PILE, accuracies
from wsesim.validate import losses as laws
from wsesim.validate.losses import Evaluated, Fit, LeftOut, LossReport
from wsesim.view import Note, Section, Table

HEADS_BY_COMPUTE = ("model", "|reported FLOP", "|published loss", "|predicted", "|difference")
HEADS_OF_LOSS = ("model", "|tokens", "|Pile loss", "|predicted", "|difference", "")
HEADS_OF_ACCURACY = ("model", "|average", "|from loss", "|difference", "|worst task", "|as a run", "|by compute")
EDGE = "smallest of its family, excepted"
TITLE_BY_COMPUTE = f"Pile loss by the Cerebras-GPT law of compute, tolerance {laws.COMPUTE_TOLERANCE} nats/token"
TITLE_OF_LOSS = (
    f"Pile loss by parameters and tokens, each model left out of the fit, tolerance {laws.LOSS_TOLERANCE} nats/token"
)
TITLE_OF_ACCURACY = (
    f"Zero-shot accuracy, each model left out of the fit, tolerance {laws.AVERAGE_TOLERANCE} of the average, "
    f"{laws.TASK_TOLERANCE} of a task ({laws.SMALL_TASK_TOLERANCE} of the two smallest models)"
)
TITLE_OF_CHOICES = (
    "Pile loss, the form of the law chosen by the other models, too: which parameters count, and how costs add"
)
WORDS_OF_ACCURACY = (
    "from loss: by the measured Pile loss, which is scored; as a run: difference of the average where the loss is predicted, too; "
    "by compute: the same from compute alone, for models trained on 10 to 40 tokens per parameter"
)


def rows_by_compute(found: LossReport) -> list[tuple[str, ...]]:
    """Models of the published law."""
    return [
        (one.model, f"{one.training_flop:.2g}", f"{one.published:.3f}", f"{one.predicted:.3f}", f"{one.error:+.3f}")
        for one in found.by_compute
    ]


def rows_of_loss(left: Sequence[LeftOut]) -> list[tuple[str, ...]]:
    """Models left out, and their loss."""
    edge = laws.smallest_of_families([one.row for one in left])
    return [_row_of_loss(one.row, one.loss, EDGE if one.row.label in edge else "") for one in left]


def _row_of_loss(row: Evaluated, predicted: float, words: str) -> tuple[str, ...]:
    measured, error = ("-", "") if row.loss is None else (f"{row.loss:.3f}", f"{predicted - row.loss:+.3f}")
    return row.label, f"{row.tokens:.3g}", measured, f"{predicted:.3f}", error, words


def rows_of_accuracy(left: Iterable[LeftOut]) -> list[tuple[str, ...]]:
    """Models left out, and their accuracy."""
    return [
        _row_of_accuracy(one.row, one.from_loss, one.errors(one.from_run), one.errors(one.from_compute))
        for one in left
        if AVERAGE in one.row.accuracy
    ]


def _row_of_accuracy(
    row: Evaluated, from_loss: dict[str, float], of_run: dict[str, float], by_compute: dict[str, float]
) -> tuple[str, ...]:
    errors = {name: error for name, error in row.errors(from_loss).items() if name != AVERAGE}
    worst = max(errors, key=lambda name: abs(errors[name]), default="")
    return (
        row.label,
        f"{row.accuracy[AVERAGE]:.3f}",
        f"{from_loss[AVERAGE]:.3f}" if from_loss else "-",
        f"{row.errors(from_loss)[AVERAGE]:+.3f}" if from_loss else "",
        f"{worst} {errors[worst]:+.3f}" if worst else "",
        f"{of_run[AVERAGE]:+.3f}",
        f"{by_compute[AVERAGE]:+.3f}" if by_compute else "",
    )


def rows_shown(shown: Iterable[Evaluated]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Loss and accuracy of models that were not fitted, by the shipped laws."""
    of_loss, of_accuracy = [], []
    for row in shown:
        quality = row.quality
        of_loss.append(_row_of_loss(row, quality.loss, "; ".join(quality.notes)))
        if AVERAGE in row.accuracy:
            from_loss = {} if row.loss is None else accuracies(load_law(PILE), row.loss)
            of_accuracy.append(_row_of_accuracy(row, from_loss, row.errors(quality.accuracy), {}))
    return of_loss, of_accuracy


def _section(name: str, title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Section:
    return Section(name, title, (Table(title, heads, tuple(rows)),))


def _left_out(left: Sequence[LeftOut]) -> Iterator[Section]:
    yield _section("loss", TITLE_OF_LOSS, HEADS_OF_LOSS, rows_of_loss(left))
    yield _section("accuracy", TITLE_OF_ACCURACY, HEADS_OF_ACCURACY, rows_of_accuracy(left))
    yield Section("words", parts=(Note(WORDS_OF_ACCURACY, "aside"),))


def sections(found: LossReport) -> Iterator[Section]:
    """Losses, then accuracies, then what is only shown."""
    if found.by_compute:
        yield _section("by-compute", TITLE_BY_COMPUTE, HEADS_BY_COMPUTE, rows_by_compute(found))
    if found.left_out:
        yield from _left_out(found.left_out)
    if found.shown:
        of_loss, of_accuracy = rows_shown(found.shown)
        scored = "by the shipped laws" if found.are_scored else "by the shipped laws, shown and not scored"
        yield _section("shown-loss", f"Pile loss {scored}", HEADS_OF_LOSS, of_loss)
        if of_accuracy:
            yield _section("shown-accuracy", f"Zero-shot accuracy {scored}", HEADS_OF_ACCURACY, of_accuracy)


def as_dict(found: LossReport) -> dict[str, Any]:
    """For programs."""
    return {
        "losses": [
            {"model": one.model, "published": one.published, "predicted": one.predicted, "error": one.error}
            for one in found.by_compute
        ],
        "left_out": [_left_out_dict(one) for one in found.left_out],
        "shown": [_row_dict(row) | {"predicted_notes": list(row.quality.notes)} for row in found.shown],
    }


def _left_out_dict(one: LeftOut) -> dict[str, Any]:
    return {
        "model": one.row.label,
        "tokens": one.row.tokens,
        "loss": one.row.loss,
        "predicted_loss": one.loss,
        "loss_error": one.loss_error,
        "accuracy_error": one.errors(one.from_loss),
        "accuracy_error_as_a_run": one.errors(one.from_run),
        "accuracy_error_by_compute": one.errors(one.from_compute) or None,
    }


def _row_dict(row: Evaluated) -> dict[str, Any]:
    quality = row.quality
    return {
        "model": row.label,
        "tokens": row.tokens,
        "loss": row.loss,
        "predicted_loss": quality.loss,
        "loss_error": None if row.loss is None else quality.loss - row.loss,
        "predicted_accuracy": quality.accuracy,
        "accuracy_error": row.errors_from_loss() or None,
        "accuracy_error_as_a_run": row.errors(quality.accuracy) or None,
    }


def fit_file(path: Path | None) -> Fit:
    """The laws, fitted to a table of one's own or to the shipped one; their form is that of the shipped law."""
    rows = laws.published() if path is None else laws.read_table(path)
    return laws.calibrate(rows, load_law(PILE))


def as_text(fit: Fit, source: str) -> str:
    """The law as a file."""
    return laws.as_toml(fit, source or fit.rows[0].source or "own measurements")


class Choice(NamedTuple):
    """The form of the loss law that the other models choose, and the error of that law on the one left out. [nats/token]"""

    model: str
    counted: str
    sharpness: float
    error: float


def choices(fit: Fit) -> tuple[Choice, ...]:
    """The form chosen anew for each model."""
    found = laws.nested(fit.rows, load_law(PILE))
    return tuple(Choice(row.label, law.counted, law.sharpness, error) for row, law, error in found)


def fit_sections(fit: Fit, out: Path | None, chosen: Sequence[Choice] = ()) -> Iterator[Section]:
    """What was fitted, and how well the laws foretell models they were fitted without."""
    yield from _left_out(fit.left_out)
    yield Section("between", parts=(Note(""),))
    if chosen:
        rows = [(one.model, one.counted, f"{one.sharpness:g}", f"{one.error:+.3f}") for one in chosen]
        yield _section("choices", TITLE_OF_CHOICES, ("model", "parameters", "|exponent", "|difference"), rows)
        yield Section("between", parts=(Note(""),))
    if out is not None:
        words = f"written to {out}; the shipped one is cluster_configs/laws/pile.toml"
        yield Section("written", parts=(Note(words),))


def fit_dict(fit: Fit, text: str, out: Path | None, chosen: Sequence[Choice] = ()) -> dict[str, Any]:
    """For programs."""
    return {
        "law": fit.law.model_dump(exclude_none=True),
        "left_out": [_left_out_dict(one) for one in fit.left_out],
        "nested": [one._asdict() for one in chosen],
        "out": None if out is None else str(out),
        "toml": text,
    }
