"""Loss and zero-shot accuracy: the laws at published models, and what holds of any model."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import between, tiny_run
from wsesim.config.loader import load_law, load_model
from wsesim.config.model import LossLawSpec
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.results.loss import (
    AVERAGE,
    CHINCHILLA,
    COMPUTE,
    PILE,
    TASKS,
    Quality,
    accuracies,
    loss,
    loss_by_compute,
    loss_for,
    optimal_parameters,
    tokens_for,
    vendor_training_flop,
)
from wsesim.workload.transformer import model_flop_per_sequence, parameter_count

SIZES = ("111m", "256m", "590m", "1.3b", "2.7b", "6.7b", "13b")
few = settings(deadline=None, max_examples=50)
each_law = pytest.mark.parametrize("name", [PILE, CHINCHILLA])


def law(name: str) -> LossLawSpec:
    found = load_law(name).loss
    assert found is not None
    return found


def quality(model: str, tokens: float) -> Quality:
    return Quality(load_model(model), 2048, tokens)


@pytest.mark.parametrize("size", SIZES)
def test_the_law_of_compute_meets_the_losses_that_it_belongs_to(size: str) -> None:
    model, compute = load_model(f"cerebras-gpt-{size}"), load_law(COMPUTE).compute
    assert model.training_flop_reported is not None
    assert compute is not None
    # the release's read-me; the paper's figure shows the points that far from its line
    assert loss_by_compute(compute, model.training_flop_reported) == pytest.approx(model.published_pile_loss, abs=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_our_count_of_compute_is_near_that_of_the_authors(size: str) -> None:
    model = load_model(f"cerebras-gpt-{size}")
    tokens = 20.0 * parameter_count(model, 2048)
    counted = vendor_training_flop(model, 2048, tokens)
    # they round to two digits and do not say what they count: 13 % apart at most
    assert counted == pytest.approx(model.training_flop_reported, rel=0.13)


def test_the_vendors_count_has_full_attention_and_the_look_up_as_a_product() -> None:
    model = tiny_run().model
    look_up = 6.0 * 128 * 1000 * 256
    assert vendor_training_flop(model, 128, 128.0) == pytest.approx(model_flop_per_sequence(model, 128) + look_up)


@few
@given(between(1e15, 1e26), between(1.01, 100.0))
def test_more_compute_lowers_the_loss_toward_its_floor(flop: float, factor: float) -> None:
    compute = load_law(COMPUTE).compute
    assert compute is not None
    assert compute.floor < loss_by_compute(compute, flop * factor) < loss_by_compute(compute, flop)


@each_law
@few
@given(parameters=between(1e6, 1e12), tokens=between(1e8, 1e14), factor=between(1.01, 100.0))
def test_more_parameters_and_more_tokens_lower_the_loss(
    name: str, parameters: float, tokens: float, factor: float
) -> None:
    found = law(name)
    here = loss(found, parameters, tokens)
    assert found.floor < loss(found, parameters * factor, tokens) < here
    assert found.floor < loss(found, parameters, tokens * factor) < here


@each_law
@few
@given(wanted=between(1.95, 3.0), factor=between(0.5, 2.0))
def test_the_law_solved_the_other_way_round(name: str, wanted: float, factor: float) -> None:
    found = law(name)
    best = optimal_parameters(found, wanted)
    tokens = tokens_for(found, best, wanted)
    assert loss(found, best, tokens) == pytest.approx(wanted)
    assert best * factor * tokens_for(found, best * factor, wanted) >= best * tokens * (1.0 - 1e-9)


def test_the_pile_law_finds_the_tokens_per_parameter_that_practice_found() -> None:
    # 20 is the recipe of Cerebras-GPT; it was not put into the fit, whose models have 20 to 4,300
    for wanted in (2.3, 1.83, 1.58):
        best = optimal_parameters(law(PILE), wanted)
        assert 15.0 < tokens_for(law(PILE), best, wanted) / best < 30.0


def test_chinchilla_beats_gopher_at_the_same_compute() -> None:
    # 70e9 on 1.4e12 tokens against 280e9 on 300e9, the paper's claim
    assert loss(law(CHINCHILLA), 70e9, 1.4e12) < loss(law(CHINCHILLA), 280e9, 3e11)


def test_a_small_model_on_many_tokens() -> None:
    # published 2.504; compute alone says 2.06 (Biderman et al. 2023, the release's read-me)
    found = quality("pythia-70m", 3e11)
    assert found.loss == pytest.approx(2.504, abs=0.06)
    assert found.loss_by_compute is None


@few
@given(between(0.6, 5.0), between(1.001, 2.0))
def test_accuracy_rises_with_falling_loss_and_saturates(at_loss: float, factor: float) -> None:
    tasks = load_law(PILE).tasks
    here, worse = accuracies(load_law(PILE), at_loss), accuracies(load_law(PILE), at_loss * factor)
    for task, spec in tasks.items():
        assert 0.0 <= spec.floor <= worse[task] <= here[task] <= spec.ceiling <= 1.0
        assert spec.floor <= spec.chance


@few
@given(st.sampled_from((AVERAGE, *TASKS)), between(0.55, 0.8))
def test_the_loss_for_an_accuracy(task: str, wanted: float) -> None:
    found = loss_for(load_law(PILE), {task: wanted})
    assert accuracies(load_law(PILE), found)[task] == pytest.approx(wanted, abs=1e-9)


def test_all_of_several_accuracies_are_reached() -> None:
    found = accuracies(load_law(PILE), loss_for(load_law(PILE), {"hellaswag": 0.4, "lambada": 0.7}))
    assert found["hellaswag"] > 0.4
    assert found["lambada"] == pytest.approx(0.7)


def test_accuracies_that_no_model_has() -> None:
    with pytest.raises(DoesNotFit, match=r"hellaswag = 0.99 is outside 0.25 to 0.95"):
        loss_for(load_law(PILE), {"hellaswag": 0.99})
    with pytest.raises(ConfigError, match="use one of average, hellaswag"):
        loss_for(load_law(PILE), {"squad": 0.5})


def test_intervals_hold_the_value_and_are_wider_outside_of_what_was_fitted() -> None:
    inside, outside = quality("cerebras-gpt-13b", 2.57e11), quality("llama-3-405b", 1.5e13)
    for one in (inside, outside):
        assert one.loss_range[0] < one.loss < one.loss_range[1]
        for task, (low, high) in one.accuracy_range.items():
            assert 0.0 <= low <= one.accuracy[task] <= high <= 1.0
    widths = [one.loss_range[1] / one.loss - 1.0 for one in (inside, outside)]
    assert widths[1] > 3.0 * widths[0]


def test_there_is_a_note_outside_of_what_was_fitted_and_only_there() -> None:
    assert quality("cerebras-gpt-13b", 2.57e11).notes == ()
    assert quality("pythia-6.9b", 3e11).notes == ()
    (note,) = quality("llama-3-405b", 1.5e13).notes
    assert "parameters in its blocks (fitted: 1.89e+07 to 1.99e+10) and 1.5e+13 tokens" in note
    (note,) = quality("gpt3-13b", 1e9).notes
    assert "tokens for each of them" in note
    (note,) = quality("mixtral-8x7b", 3e11).notes
    assert "mixture of experts" in note


def test_compute_alone_is_asked_near_its_recipe_only() -> None:
    model = "cerebras-gpt-1.3b"
    recipe = 20.0 * parameter_count(load_model(model), 2048)
    assert quality(model, recipe).loss_by_compute == pytest.approx(1.992, abs=5e-4)
    assert quality(model, 1.9 * recipe).accuracy_by_compute is not None
    assert quality(model, 2.1 * recipe).loss_by_compute is None
    assert quality(model, 0.4 * recipe).accuracy_by_compute is None


def test_the_loss_curve_falls_to_the_loss_of_the_run() -> None:
    run = quality("cerebras-gpt-13b", 2.57e11)
    points = list(run.curve())
    assert points[0].tokens == pytest.approx(2.57e9)
    assert points[-1][:4] == pytest.approx((2.57e11, run.loss, *run.loss_range))
    assert points[-1].accuracy == pytest.approx(run.accuracy[AVERAGE])
    assert all(one.loss > other.loss for one, other in itertools.pairwise(points))
