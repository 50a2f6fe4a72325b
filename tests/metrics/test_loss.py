"""The loss laws at the compute and sizes that their papers report."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.builders import between, tiny_run
from wsesim.config.entries import load_model
from wsesim.job import TOKENS_PER_PARAMETER
from wsesim.loss import chinchilla_loss, pile_loss, vendor_training_flop
from wsesim.workload.transformer import model_flop_per_sequence, parameter_count

SIZES = ("111m", "256m", "590m", "1.3b", "2.7b", "6.7b", "13b")
few = settings(deadline=None, max_examples=50)


@pytest.mark.parametrize("size", SIZES)
def test_the_pile_law_meets_the_published_losses(size: str) -> None:
    model = load_model(f"cerebras-gpt-{size}")
    assert model.training_flop_reported is not None
    # the law smooths over seven runs; its own paper shows the smallest models 1 to 3 % away from it
    assert pile_loss(model.training_flop_reported) == pytest.approx(model.published_pile_loss, rel=0.031)


@pytest.mark.parametrize("size", SIZES)
def test_our_count_of_compute_is_near_that_of_the_authors(size: str) -> None:
    model = load_model(f"cerebras-gpt-{size}")
    tokens = TOKENS_PER_PARAMETER * parameter_count(model, 2048)
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
    assert 0.5066 < pile_loss(flop * factor) < pile_loss(flop)


@few
@given(between(1e6, 1e12), between(1e8, 1e14), between(1.01, 100.0))
def test_more_parameters_and_more_tokens_lower_the_loss(parameters: float, tokens: float, factor: float) -> None:
    here = chinchilla_loss(parameters, tokens)
    assert 1.69 < chinchilla_loss(parameters * factor, tokens) < here
    assert 1.69 < chinchilla_loss(parameters, tokens * factor) < here


def test_chinchilla_beats_gopher_at_the_same_compute() -> None:
    # 70e9 on 1.4e12 tokens against 280e9 on 300e9, equation 10 and the paper's claim
    assert chinchilla_loss(70e9, 1.4e12) == pytest.approx(1.937, abs=5e-4)
    assert chinchilla_loss(70e9, 1.4e12) < chinchilla_loss(280e9, 3e11)
