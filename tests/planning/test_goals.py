"""Goals: what meets them, what binds, and what would have to give."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import wsesim
from tests.front_door import call
from wsesim import Run, load, simulate
from wsesim.config.loader import load_any, load_law
from wsesim.errors import ConfigError, DoesNotFit, InputError
from wsesim.report.pages.goal import choices_table, doubts
from wsesim.results.job import Range, job
from wsesim.results.loss import Quality, loss, loss_by_compute
from wsesim.study.goals import Option, front, limit_prices
from wsesim.study.scaling_laws import recipes
from wsesim.units import show
from wsesim.workload.transformer import parameter_count, shape_of

SMALL: dict[str, Any] = {
    "model": {"name": "cerebras-gpt-1.3b"},
    "candidates": [{"cluster": "andromeda", "num_devices": [1, 2, 4, 8]}],
}


def planned(table: dict[str, Any], folder: Path | None = None) -> Any:
    """The answer to a goal file that holds a table."""
    with TemporaryDirectory() as other:
        file = (folder or Path(other)) / "goal.toml"
        file.write_text(
            tomli_w.dumps({key: value for key, value in table.items() if value is not None}), encoding="utf-8"
        )
        return wsesim.plan(file)


def told(table: dict[str, Any], folder: Path) -> str:
    """The same on a terminal."""
    (folder / "goal.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return " ".join(call("plan", folder / "goal.toml").out.split())


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
    base = planned(SMALL)
    times = {one.num_devices: one.time_s.value for one in base.options}
    assert list(times) == [1, 2, 4, 8]
    limit = 0.5 * (times[2] + times[4])
    result = planned({**SMALL, "limits": {"deadline_s": limit}})
    (smallest,) = result.smallest
    assert (smallest.num_devices, result.fastest and result.fastest.num_devices) == (4, 8)
    late = times[2] / limit - 1.0
    assert result.to_dict()["smallest"][0]["binds"] == f"2 would miss the deadline by {late:.1%}"


def test_an_option_is_what_the_run_gives() -> None:
    (first, *_) = planned(SMALL).options
    assert first.run.machine == "wafer"
    assert simulate(first.run).step_time_s == first.step_time_s
    assert first.time_s.low < first.time_s.value < first.time_s.high


def test_what_cannot_be_met_says_what_would_do() -> None:
    base = planned(SMALL)
    fastest = min(one.time_s.value for one in base.options)
    result = planned({**SMALL, "limits": {"deadline_s": fastest / 2.0}})
    assert not result.is_met
    (said,) = result.to_dict()["would_do"]
    assert said.startswith(f"deadline of {show(fastest, 's')} instead of ")
    assert said.endswith("8 CS-2 systems (Andromeda)")


def test_what_cannot_run_is_named() -> None:
    table = {"model": {"name": "megatron-1t"}, "candidates": [{"cluster": "dgx_a100_80gb", "num_devices": [8]}]}
    result = planned(table)
    assert not result.options
    assert "needs" in result.refused["dgx_a100_80gb"]


def test_limits_that_give_together() -> None:
    table = {**SMALL, "limits": {"deadline_s": "1 h", "budget_usd": 1000, "power_w": "20 kW"}}
    (said,) = planned(table).to_dict()["would_do"]
    assert said.startswith("deadline of ")
    assert " and budget of " in said
    assert " and power of " in said


def test_no_budget_is_kept_without_a_price(tmp_path: Path) -> None:
    """Nobody states a rent of CS-2 systems."""
    own = tmp_path / "own.toml"
    own.write_text('extends = "andromeda"\npaying = "rented"\n')
    table = {**SMALL, "candidates": [{"cluster": str(own), "num_devices": [8]}], "limits": {"budget_usd": 1e9}}
    assert planned(table).to_dict()["would_do"] == [
        "cluster file that extends Andromeda with a price: it has none, so that no budget can be kept"
    ]


def test_gpu_options_are_simulated_where_they_are_named() -> None:
    table = {"model": {"name": "cerebras-gpt-111m"}, "candidates": [{"cluster": "aws_p4d", "num_devices": [8, 16]}]}
    result = planned(table)
    assert result.fastest is not None
    assert result.cheapest is not None
    for one in (result.fastest, result.cheapest, *result.smallest, *result.front):
        assert simulate(one.run).step_time_s == one.step_time_s
        assert one.cost_usd is not None
        assert not one.is_estimate
    assert result.fastest in result.front


def test_sizes_between_those_that_were_tried_are_tried_where_it_matters() -> None:
    table = {
        "model": {"name": "cerebras-gpt-1.3b"},
        "limits": {"deadline_s": "3.2 h"},
        "candidates": [{"cluster": "aws_p4d"}],
    }
    result = planned(table)
    (smallest,) = result.smallest
    refused = {one.num_devices: one.reason for one in result.tried}
    assert "would" not in refused[smallest.num_devices - 8]  # the next smaller number of whole nodes was tried
    assert refused[smallest.num_devices - 8].startswith(("misses the deadline", "slower and not cheaper than"))
    assert smallest.num_devices % 8 == 0  # whole nodes


def test_what_the_end_of_a_range_would_miss_is_said(tmp_path: Path) -> None:
    base = planned(SMALL)
    assert base.fastest is not None
    limit = 0.5 * (base.fastest.time_s.value + base.fastest.time_s.high)
    table = {**SMALL, "limits": {"deadline_s": limit}}
    assert planned(table).to_dict()["fastest"]["may_fail"] == ["deadline"]
    assert "misses the deadline" in told(table, tmp_path)


def test_the_answer_says_which_prices_it_used_and_from_when(tmp_path: Path) -> None:
    assert "Andromeda, owned: a system 1.90 MUSD (1.56 to 2.20 MUSD, derived, 2023-07)" in told(SMALL, tmp_path)
    price = planned(SMALL).to_dict()["prices"]["Andromeda"][0]
    assert (price["date"], list(price["range"])) == ("2023-07", [1.56e6, 2.2e6])


def test_a_price_of_a_whole_job_is_the_one_that_is_named_and_counts_for_all_that_it_is_of(tmp_path: Path) -> None:
    table = {"model": {"name": "cerebras-gpt-13b"}, "candidates": [{"cluster": "ai_model_studio"}]}
    (one,) = planned(table).options
    assert one.cost_usd is not None
    assert (one.num_devices, one.cost_usd.value) == (4, 150e3)
    text = told(table, tmp_path)
    assert "the whole job 150 kUSD (vendor, 2022-11-29)" in text
    assert "150 kUSD" in text.split("run as")[0]
    assert "±0" not in text
    both = told(table | {"candidates": [*table["candidates"], {"cluster": "cs2", "num_devices": [4]}]}, tmp_path)
    assert "owned and rented stand side by side (AI Model Studio rented, CS-2 cluster owned)" in both


def test_the_fastest_within_a_budget_is_searched_between_the_sizes_that_were_tried() -> None:
    table = {
        "model": {"name": "cerebras-gpt-1.3b"},
        "limits": {"budget_usd": "220 USD"},
        "candidates": [{"cluster": "dgx_h100"}],
    }
    result = planned(table)
    assert result.fastest is not None
    dearer = {one.num_devices: one for one in result.options} | {one.num_devices: one.reason for one in result.tried}
    beyond = min(number for number in dearer if number > result.fastest.num_devices)
    assert beyond == result.fastest.num_devices + 8  # the next whole node was tried
    prices = {one.limit: one for one in limit_prices(result)}
    assert prices["budget"].option is not None
    assert prices["budget"].option.num_devices >= result.fastest.num_devices


def test_a_run_brings_its_job_and_gpus_compute_zeros_too() -> None:
    found = wsesim.plan(model="sparse_6.7b_cs3", clusters=["cs3:16", "dgx_h100:64"])
    shares = {one.cluster: one.run.training.weight_sparsity for one in found.options}
    assert shares == {"CS-3 cluster": 0.7, "DGX H100": 0.0}
    assert any("DGX H100: all weights are computed" in text for text in doubts(found))


def test_any_key_can_be_set() -> None:
    settings = [
        "training.global_batch_size=2048",
        "training.optimizer=sgd",
        "cluster.software_release=2.0",
        "cluster.pue=1.0",
    ]
    found = wsesim.plan(model="andromeda_13b", clusters=["cs2:12", "dgx_h100:64"], settings=settings)
    for one in found.options:
        assert (one.run.training.optimizer, one.run.cluster.pue) == ("sgd", 1.0)
        assert abs(one.run.training.global_batch_size - 2048) < 100
    assert {one.software for one in found.options} == {"2.0", "ordinary"}
    for wrong in ("cluster.num_systems=4", "cluster.bogus=1", "job.restart_s=1", "training.bogus=1"):
        with pytest.raises(InputError, match=wrong.partition("=")[0]):
            wsesim.plan(model="andromeda_13b", clusters=["cs2:12"], settings=[wrong])


def test_an_evaluation_is_evaluated() -> None:
    found = wsesim.plan(model="cerebras-gpt-1.3b", clusters=["cs2:1"], settings=["training.mode=evaluation"])
    assert "time to evaluate" in choices_table(found).columns


def test_files_of_a_goal_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "cs2"\nprice_usd_per_system_hour = 100\n')
    table = {**SMALL, "candidates": [{"cluster": "mine.toml", "num_devices": [1]}]}
    (one,) = planned(table, tmp_path).options
    assert one.cost_usd is not None
    assert one.cost_usd.value == pytest.approx(100 * one.time_s.value / 3600)


# Scaling laws


@pytest.mark.parametrize("law", ["pile", "chinchilla"])
@given(wanted=st.floats(1.95, 3.0))
@settings(deadline=None, max_examples=30)
def test_every_recipe_reaches_the_loss(law: str, wanted: float) -> None:
    found = load_law(law).loss
    assert found is not None
    best, *smaller = recipes(wanted, law)
    assert loss(found, *best) == pytest.approx(wanted)
    for one in smaller:
        assert loss(found, *one) == pytest.approx(wanted)
        assert one.parameters < best.parameters
        assert one.flop > best.flop


def quality_of(run: Run) -> Quality:
    found = job(run, 1.0).quality
    assert found is not None
    return found


@pytest.mark.parametrize("law", ["pile", "chinchilla", "cerebras-gpt"])
@pytest.mark.parametrize("wanted", [2.0, 2.2, 2.5])
def test_what_is_planned_reaches_the_loss(law: str, wanted: float) -> None:
    table = {"target_loss": wanted, "law": law, "candidates": [{"cluster": "andromeda", "num_devices": [1]}]}
    result = planned(table)
    assert result.options
    for one in result.options:
        quality = quality_of(one.run)
        found = {"pile": quality.loss, "chinchilla": quality.chinchilla_loss, "cerebras-gpt": quality.loss_by_compute}
        assert found[law] == pytest.approx(wanted, abs=1e-3)  # whole steps
    assert result.by_recipe == result.options


@pytest.mark.parametrize("task", ["hellaswag", "average"])
def test_what_is_planned_reaches_the_accuracy(task: str) -> None:
    table = {"target_accuracy": {task: 0.4}, "candidates": [{"cluster": "andromeda", "num_devices": [1]}]}
    result = planned(table)
    assert result.options
    for one in result.options:
        assert quality_of(one.run).accuracy[task] == pytest.approx(0.4, abs=1e-3)  # whole steps
    told = result.to_dict()
    assert told["target_accuracy"] == {task: 0.4}
    assert told["fastest"]["predicted_accuracy"][task] == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize(("wanted", "words"), [(1.82, "raise target_loss"), (50.0, "lower target_loss")])
def test_a_loss_of_no_real_model(wanted: float, words: str) -> None:
    with pytest.raises(DoesNotFit, match=words):
        recipes(wanted, "chinchilla")


def test_the_cerebras_law_solved_the_other_way_round() -> None:
    compute = load_law("cerebras-gpt").compute
    assert compute is not None
    (only,) = recipes(1.575, "cerebras-gpt")
    assert loss_by_compute(compute, only.flop) == pytest.approx(1.575)
    assert only.tokens == pytest.approx(20.0 * only.parameters)


@pytest.mark.parametrize("parameters", [125e6, 1.3e9, 13e9, 70e9, 175e9])
def test_a_shape_has_the_parameters_asked_for(parameters: float) -> None:
    from wsesim.config.model import ModelSpec

    count = parameter_count(ModelSpec.model_validate(shape_of(parameters)), 2048)
    assert count == pytest.approx(parameters, rel=0.12)


def test_a_loss_that_no_model_reaches() -> None:
    with pytest.raises(DoesNotFit, match=r"below 1\.8172"):
        recipes(1.6, "chinchilla")


# Goal files and options


def test_options_lie_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "goal.toml"
    path.write_text(
        '[model]\nname = "cerebras-gpt-13b"\n[limits]\ndeadline_s = "30 d"\n[[candidates]]\ncluster = "andromeda"\n'
    )
    goal = wsesim.plan(path, deadline="10 d", power="1 MW", tokens="3e9", clusters=["cs2"]).goal
    assert (goal.limits.deadline_s, goal.limits.power_w) == (864_000.0, 1e6)
    assert goal.training["tokens"] == 3e9
    assert [one.cluster for one in goal.candidates] == ["cs2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_loss": 2.0}, "stands beside target_loss"),
        ({"model": None}, "give either a model, a target_loss or a target_accuracy"),
        ({"target_accuracy": {"hellaswag": 0.5}}, "stands beside target_accuracy"),
        ({"model": None, "target_loss": 2.0, "target_accuracy": {"piqa": 0.7}}, "stands beside target_loss"),
        ({"model": None, "target_accuracy": {"piqa": 0.7}, "law": "chinchilla"}, "of other data"),
        ({"model": None, "target_accuracy": {"piqa": 7}}, "target_accuracy"),
        ({"candidates": []}, "candidates"),
        ({"limits": {"dead_line_s": 3}}, "deadline_s"),
        ({"limits": {"deadline_s": "3 parsecs"}}, "unknown unit 'parsecs'"),
        ({"law": "kaplan"}, "chinchilla"),
    ],
)
def test_wrong_goals(change: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        planned({**SMALL, **change}, Path())
    assert words in str(caught.value)
    assert str(caught.value).startswith("goal.toml: ")


def test_tokens_beside_a_training_that_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "goal.toml"
    path.write_text('training = 3\n[model]\nname = "cerebras-gpt-13b"\n[[candidates]]\ncluster = "andromeda"\n')
    with pytest.raises(ConfigError, match="training is 3"):
        wsesim.plan(path, tokens="3e9")


def test_a_date_weeks_and_dollars() -> None:
    word = {"model": "cerebras-gpt-111m", "clusters": ["andromeda:1"]}
    limits = wsesim.plan(**word, deadline="24 December 2026", start="2026-12-01", budget="$100k").goal.limits
    assert (limits.deadline_s, limits.budget_usd) == (23 * 86_400.0, 100e3)
    assert wsesim.plan(**word, deadline="7 weeks", budget="2 million dollars").goal.limits.deadline_s == 49 * 86_400.0
    with pytest.raises(ConfigError, match="the goal has no start; add start = 2026-01-01"):
        wsesim.plan(**word, deadline="2026-12-24")
    with pytest.raises(ConfigError, match="before the start on 2027-01-01"):
        wsesim.plan(**word, deadline="2026-12-24", start="2027-01-01")


@pytest.mark.parametrize(
    ("run", "cluster"), [("andromeda_13b", "andromeda:12"), ("gpt3_13b_256xa100", "dgx_a100_80gb:256")]
)
def test_a_plan_with_one_candidate_is_the_run(run: str, cluster: str) -> None:
    (one,) = wsesim.plan(model=run, clusters=[cluster]).front
    alone = simulate(load_any(run))
    assert one.step_time_s == alone.step_time_s
    assert one.time_s.value == alone.job.time_s
    assert one.energy_j.value == alone.job.energy_j.value
    assert one.cost_usd is not None
    assert alone.job.cost_usd is not None
    assert one.cost_usd.value == alone.job.cost_usd.value
    assert one.software == alone.step.software


def test_many_gpus_have_a_batch_that_divides() -> None:
    """A batch of 977 sequences, a prime, made 2,048 GPUs take 14.8 days."""
    result = wsesim.plan(model="cerebras-gpt-13b", clusters=["dgx_h100:2048"], deadline="12 h")
    assert result.is_met
    (one,) = result.front
    assert one.run.training.global_batch_size == 1024
    assert "batch 1,024 x 2,048 tokens, software profile ordinary, data" in one.run_as
    assert simulate(one.run).step_time_s == one.step_time_s


@pytest.mark.parametrize("name", ["config.json", "params.yaml"])
def test_a_file_of_a_model_is_planned_for(name: str, tmp_path: Path) -> None:
    shape = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "vocab_size": 1000}
    texts = {
        "config.json": str(
            shape | {"model_type": "gpt_neox", "intermediate_size": 1024, "max_position_embeddings": 128}
        ),
        "params.yaml": "model: {name: gpt2, num_hidden_layers: 4, hidden_size: 256, num_heads: 4, vocab_size: 1000, "
        "max_position_embeddings: 128, filter_size: 1024}\ntrain_input: {max_sequence_length: 128}",
    }
    (tmp_path / name).write_text(texts[name].replace("'", '"'))
    result = wsesim.plan(model=str(tmp_path / name), clusters=["cs2:1,2"], tokens="1e9")
    assert [one.run.model.hidden_size for one in result.options] == [256] * len(result.options)
    assert result.is_met


def test_candidates_carry_keys_of_clusters() -> None:
    two = [{"cluster": "andromeda", "num_systems": 4, "software_release": one} for one in ("1.7", "2.3")]
    old, new = planned({**SMALL, "candidates": two}).options
    assert (old.software, new.software) == ("1.7", "2.3")
    assert old.step_time_s > new.step_time_s
    (said,) = planned(
        {**SMALL, "software_release": "1.7", "candidates": [{"cluster": "andromeda", "num_devices": 4}]}
    ).options
    assert said.step_time_s == old.step_time_s
    with pytest.raises(ConfigError, match="sofware_release is not a known key; did you mean software_release"):
        planned({**SMALL, "candidates": [{"cluster": "andromeda", "sofware_release": "1.7"}]})


def test_paying_changes_the_cost() -> None:
    owned, rented = (
        wsesim.plan(model="cerebras-gpt-111m", clusters=["dgx_h100:8"], paying=way).front[0]
        for way in ("owned", "rented")
    )
    assert owned.time_s == rented.time_s
    assert owned.cost_usd != rented.cost_usd


def test_no_row_is_slower_and_not_cheaper_than_a_smaller_one() -> None:
    result = wsesim.plan(model="cerebras-gpt-1.3b", clusters=["andromeda", "aws_p4d"], deadline="3.2 h")
    tried = {(one.cluster, one.num_devices) for one in result.tried}
    for one in result.options:
        assert not any(
            one.is_no_use_beside(other)
            for other in result.options
            if other.cluster == one.cluster and other.num_devices < one.num_devices
        )
        assert one.meets or (one.cluster, one.num_devices) in tried
    quick, slow, cheap = option(1, 9, 9), option(2, 9, 9), option(2, 8, 9)
    assert [one.is_no_use_beside(quick) for one in (slow, cheap, quick)] == [True, False, False]
    assert (
        "Tried and refused"
        in call("plan", "--model", "cerebras-gpt-1.3b", "--cluster", "aws_p4d:8,24", "--deadline", "1 day", "-v").out
    )


def test_what_a_limit_costs() -> None:
    base = planned(SMALL)
    times = {one.num_devices: one.time_s.value for one in base.options}
    result = planned({**SMALL, "limits": {"deadline_s": times[4] * 1.01}})
    prices = {one["limit"]: one for one in result.to_dict()["limit_prices"]}
    assert set(prices) == {"deadline"}
    from wsesim.study.goals import limit_words

    said = " ".join(limit_words(result))
    assert "a deadline one hour sooner" in said
    assert "8 CS-2 systems (Andromeda)" in said


def test_no_cluster_is_named() -> None:
    with pytest.raises(ConfigError, match="add --cluster NAME"):
        wsesim.plan(model="cerebras-gpt-13b")


def test_sizes_that_cannot_run_are_tried_once() -> None:
    found = wsesim.plan(model="cerebras-gpt-6.7b", deadline="30 d", budget="200 kUSD", clusters=["aws_p4d"])
    assert found.is_met  # and the search ends
