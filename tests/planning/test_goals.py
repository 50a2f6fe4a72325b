"""Goals: what meets them, what binds, and what would have to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsesim.config.loader import Run, load
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.metrics.loss import chinchilla_loss, pile_loss
from wsesim.metrics.training import Range
from wsesim.planning.goals import (
    Option,
    answer,
    front,
    goal_from_table,
    goal_of,
    next_better,
    what_binds,
    what_would_have_to_give,
)
from wsesim.planning.scaling_laws import optimal_parameters, recipes, shape_of
from wsesim.results import simulate
from wsesim.workload.transformer import parameter_count

SMALL: dict[str, Any] = {
    "model": {"name": "cerebras-gpt-1.3b"},
    "candidates": [{"cluster": "andromeda", "num_devices": [1, 2, 4, 8]}],
}


def option(time_s: float, cost: float | None, energy_j: float) -> Option:
    run = load("andromeda_13b")

    def exactly(value: float) -> Range:
        return Range(value, value, value)

    price = None if cost is None else exactly(cost)
    return Option(run, 1.0, exactly(time_s), price, exactly(energy_j), 1.0, {})


def test_the_front_holds_what_nothing_beats() -> None:
    quick, cheap, frugal = option(1, 9, 9), option(5, 1, 9), option(5, 9, 1)
    beaten, unpriced = option(6, 9, 9), option(0.5, None, 10)
    found = front([beaten, cheap, frugal, quick, unpriced])
    assert found == (unpriced, quick, cheap, frugal)


@given(st.lists(st.tuples(*[st.integers(1, 6)] * 3), min_size=1, max_size=12))
@settings(deadline=None, max_examples=50)
def test_everything_is_beaten_or_on_the_front(triples: list[tuple[int, int, int]]) -> None:
    options = [option(*triple) for triple in triples]
    kept = {(one.time_s.value, one.cost_usd and one.cost_usd.value, one.energy_j.value) for one in front(options)}
    for triple in triples:
        beats = [
            other for other in triples if other != triple and all(a <= b for a, b in zip(other, triple, strict=True))
        ]
        assert (triple in kept) == (not beats)


def test_the_smallest_that_meets_a_deadline() -> None:
    base = answer(goal_from_table(SMALL, "here"))
    times = {one.num_devices: one.time_s.value for one in base.options}
    assert list(times) == [1, 2, 4, 8]
    limit = 0.5 * (times[2] + times[4])
    result = answer(goal_from_table({**SMALL, "limits": {"deadline_s": limit}}, "here"))
    (smallest,) = result.smallest
    assert (smallest.num_devices, result.fastest and result.fastest.num_devices) == (4, 8)
    late = times[2] / limit - 1.0
    assert what_binds(result, smallest) == f"2 would miss the deadline by {late:.1%}"
    assert next_better(result, smallest).startswith("8 on Andromeda: ")


def test_an_option_is_what_the_run_gives() -> None:
    (first, *_) = answer(goal_from_table(SMALL, "here")).options
    assert isinstance(first.run, Run)
    assert simulate(first.run).step_time_s == first.step_time_s
    assert first.time_s.low < first.time_s.value < first.time_s.high


def test_what_cannot_be_met_says_what_would_do() -> None:
    base = answer(goal_from_table(SMALL, "here"))
    fastest = min(one.time_s.value for one in base.options)
    result = answer(goal_from_table({**SMALL, "limits": {"deadline_s": fastest / 2.0}}, "here"))
    assert not result.is_met
    (said,) = what_would_have_to_give(result)
    assert said.startswith("deadline of ")
    assert said.endswith("8 on Andromeda")


def test_what_cannot_run_is_named() -> None:
    table = {"model": {"name": "megatron-1t"}, "candidates": [{"cluster": "dgx_a100_80gb", "num_devices": [8]}]}
    result = answer(goal_from_table(table, "here"))
    assert not result.options
    assert "needs" in result.refused["dgx_a100_80gb"]


def test_gpu_options_are_simulated_where_they_are_named() -> None:
    table = {"model": {"name": "cerebras-gpt-111m"}, "candidates": [{"cluster": "aws_p4d", "num_devices": [8, 16]}]}
    result = answer(goal_from_table(table, "here"))
    assert result.fastest is not None
    assert simulate(result.fastest.run).step_time_s == result.fastest.step_time_s
    assert result.fastest.cost_usd is not None


# Scaling laws


@given(st.floats(1.75, 3.5))
@settings(deadline=None)
def test_every_recipe_reaches_the_loss(loss: float) -> None:
    best, *smaller = recipes(loss, "chinchilla")
    assert chinchilla_loss(*best) == pytest.approx(loss)
    for one in smaller:
        assert chinchilla_loss(*one) == pytest.approx(loss)
        assert one.parameters < best.parameters
        assert one.flop > best.flop


@given(st.floats(1.8, 3.5), st.floats(0.8, 1.25))
@settings(deadline=None)
def test_no_other_size_takes_less_compute(loss: float, factor: float) -> None:
    best = recipes(loss, "chinchilla")[0]
    other = optimal_parameters(loss) * factor
    rest = loss - 1.69 - 406.4 / other**0.34
    if rest > 0:
        assert 6.0 * other * (410.7 / rest) ** (1 / 0.28) >= best.flop * (1.0 - 1e-9)


def test_the_cerebras_law_solved_the_other_way_round() -> None:
    (only,) = recipes(1.575, "cerebras-gpt")
    assert pile_loss(only.flop) == pytest.approx(1.575)
    assert only.tokens == pytest.approx(20.0 * only.parameters)


@pytest.mark.parametrize("parameters", [125e6, 1.3e9, 13e9, 70e9, 175e9])
def test_a_shape_has_the_parameters_asked_for(parameters: float) -> None:
    from wsesim.config.model import ModelSpec

    count = parameter_count(ModelSpec.model_validate(shape_of(parameters)), 2048)
    assert count == pytest.approx(parameters, rel=0.12)


def test_a_loss_that_no_model_reaches() -> None:
    with pytest.raises(DoesNotFit, match=r"below 1\.69"):
        recipes(1.6, "chinchilla")


# Goal files and options


def test_options_lie_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "goal.toml"
    path.write_text(
        '[model]\nname = "cerebras-gpt-13b"\n[limits]\ndeadline_s = "30 d"\n[[candidates]]\ncluster = "andromeda"\n'
    )
    goal = goal_of(str(path), {"model": None}, {"deadline_s": "10 d", "power_w": "1 MW"}, "3e9", ["cs2"])
    assert (goal.limits.deadline_s, goal.limits.power_w) == (864_000.0, 1e6)
    assert goal.training["tokens"] == 3e9
    assert [one.cluster for one in goal.candidates] == ["cs2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_loss": 2.0}, "stands beside target_loss"),
        ({"model": None}, "give either a model or a target_loss"),
        ({"candidates": []}, "candidates"),
        ({"limits": {"dead_line_s": 3}}, "deadline_s"),
        ({"limits": {"deadline_s": "3 parsecs"}}, "unknown unit 'parsecs'"),
        ({"law": "kaplan"}, "chinchilla"),
    ],
)
def test_wrong_goals(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        goal_from_table({**SMALL, **change}, "goal.toml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("goal.toml: ")


def test_no_cluster_is_named() -> None:
    with pytest.raises(ConfigError, match="add --cluster NAME"):
        goal_of(None, {"model": {"name": "cerebras-gpt-13b"}}, {}, None, [])
