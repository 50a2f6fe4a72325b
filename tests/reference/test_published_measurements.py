"""What others measured, against what wsesim says, within the stated tolerances."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from generate.errors import wafer_errors

from wsesim.config import catalogue
from wsesim.config.loader import load_law
from wsesim.errors import PastTolerance
from wsesim.machines.wafer.rows import published
from wsesim.report.pages import validation
from wsesim.results.loss import AVERAGE, PILE
from wsesim.validate.left_out import inside_in_no_fit, num_inside, published_left_out
from wsesim.validate.losses import (
    COMPUTE_TOLERANCE,
    LOSS_TOLERANCE,
    NO_LOSSES,
    LossReport,
    as_toml,
    calibrate,
    missed,
    predict_losses,
    smallest_of_families,
)
from wsesim.validate.losses import published as published_losses
from wsesim.validate.near import Prediction, predict_all, summarize


@pytest.fixture(scope="module")
def predictions() -> list[Prediction]:
    return predict_all(published())


def named(predictions: list[Prediction]) -> dict[str, Prediction]:
    return {one.measurement.id: one for one in predictions}


def test_every_set_keeps_its_tolerance(predictions: list[Prediction]) -> None:
    missed = [(one.name, one.use, one.mape, one.worst) for one in summarize(predictions) if not one.passes]
    assert missed == []


def test_recommended_micro_batches_are_exact_but_for_the_assumed_width(predictions: list[Prediction]) -> None:
    rows = {one.measurement.id: one for one in predictions if one.measurement.metric == "recommended_micro_batch_size"}
    assert len(rows) == 10
    assert [name for name, one in rows.items() if one.error != 0.0] == ["mbs-09"]
    assert abs(rows["mbs-09"].error) <= 0.15


def test_small_steps_that_were_never_fitted_are_met(predictions: list[Prediction]) -> None:
    rows = named(predictions)
    # 58.9 and 16.4 samples/s when written; of the training 15 to 18 are read from the log
    assert abs(rows["epcc-llama2-04"].error) <= 0.15
    assert abs(rows["epcc-llama2-01"].error) <= 0.20


def test_rate_hardly_depends_on_the_batch_as_measured_from_128_sequences_up(predictions: list[Prediction]) -> None:
    # GPT 2.7B, 6.7B and 13B: the measured rate changes by less than 0.7 % from 128 to 1024 sequences
    for model in ("cerebras-gpt-2.7b", "cerebras-gpt-6.7b", "cerebras-gpt-13b"):
        rates = [
            one.predicted
            for one in predictions
            if one.measurement.model == {"name": model} and one.measurement.set == "usc-gpt"
        ]
        assert max(rates) / min(rates) < 1.007


def test_nine_left_out_rows_in_ten_lie_inside_the_range_that_the_other_models_give() -> None:
    found = num_inside(published_left_out())
    assert found.rows == 47
    assert 0.85 <= found.inside / found.rows <= 0.97


def test_rows_of_no_fit_are_counted_apart(predictions: list[Prediction]) -> None:
    found = {use: [inside for _, inside in rows] for use, rows in inside_in_no_fit(predictions).items()}
    assert found["small-step"] == [True, True]
    # four beyond the input supply that was seen, of which the range says so; GPT-J on two systems and the slow 20B lie outside
    assert found["unexplained"].count(True) == 4


def test_left_out_errors_of_the_catalogue_are_those_of_the_fits() -> None:
    shipped = catalogue.read_toml(catalogue.root() / "errors" / "wafers.toml")
    found = tomllib.loads(wafer_errors(published_left_out()))
    assert {key: shipped[key] for key in ("rows", "left_out", "measured")} == found


def test_a_left_out_error_past_its_limit_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2.1 % when written
    gathered = validation.Gathered([], NO_LOSSES, (), [], published_left_out())
    validation.check(gathered)
    monkeypatch.setattr(validation, "MEAN_OF_MODELS", 0.02)
    with pytest.raises(PastTolerance, match=r"left out, mean of models: 2\.1%, more than 2%") as refused:
        validation.check(gathered)
    assert refused.value.exit_code == 1


@pytest.fixture(scope="module")
def losses() -> LossReport:
    return predict_losses()


def test_the_law_of_compute_keeps_its_tolerance(losses: LossReport) -> None:
    assert len(losses.by_compute) == 7
    assert max(abs(one.error) for one in losses.by_compute) <= COMPUTE_TOLERANCE


def test_models_left_out_keep_their_tolerances(losses: LossReport) -> None:
    assert len(losses.left_out) == 17
    assert list(missed(losses)) == []
    edge = smallest_of_families([one.row for one in losses.left_out])
    assert edge == {"cerebras-gpt-111m", "pythia-70m"}
    # the rule excepts them, but they hold it, too
    assert all(abs(one.loss_error) <= LOSS_TOLERANCE for one in losses.left_out)


def test_a_law_with_other_constants_misses_its_tolerance(losses: LossReport) -> None:
    worse = losses._replace(left_out=[replace(one, loss=one.loss + 0.1) for one in losses.left_out])
    # four of them were low by more than 0.06 - 0.1, none of them at the edge
    assert len(list(missed(worse))) >= 10


def test_models_without_a_loss_are_shown_and_not_used(losses: LossReport) -> None:
    assert {row.family for row in losses.shown} == {"OPT"}
    # never fitted, and trained on other data: the average is met within 0.026 all the same
    for row in losses.shown:
        assert abs(row.errors(row.quality.accuracy)[AVERAGE]) < 0.03


def test_published_laws_of_other_data_miss_every_row(losses: LossReport) -> None:
    for one in losses.left_out:
        assert one.row.loss is not None
        assert abs(one.row.quality.chinchilla_loss - one.row.loss) > 0.31


def test_intervals_hold_nine_left_out_models_in_ten(losses: LossReport) -> None:
    inside = [
        abs(error) <= half
        for one in losses.left_out
        for name, error in one.errors(one.from_run).items()
        if (half := one.row.quality.accuracy_range[name][1] - one.row.quality.accuracy[name])
    ]
    assert 0.9 <= sum(inside) / len(inside) <= 1.0


def test_the_shipped_law_is_what_the_shipped_rows_give() -> None:
    fit = calibrate(published_losses(), load_law(PILE))
    assert as_toml(fit, "cerebras-gpt-readme") == catalogue.find("laws", "pile").read_text(encoding="utf-8")
