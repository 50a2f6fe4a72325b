"""`wsesim run` of GPU runs: the page, the JSON, the best plans."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import wsesim
from tests.front_door import answer, call
from tests.test_cli import CONTRACT, check_contract
from wsesim.machines.gpu.search import differences_s
from wsesim.machines.simulation import best_plans
from wsesim.report.pages.run import More, plan_words, sections, why_it_loses
from wsesim.report.terminal import print_sections
from wsesim.results.result import Result
from wsesim.units import show

NEOX, AUTO = "gpt_neox_20b_96xa100", "cerebras_gpt_111m_gpu"
GPU_CONTRACT = {key: value for key, value in CONTRACT.items() if key != "utilization"} | {
    "utilization": {"gpu": float, "communication": float, "idle": float},
    "training": {key: value for key, value in CONTRACT["training"].items() if key != "cost_usd"},
    "parallelism": {"tensor_parallel_size": int, "pipeline_parallel_size": int, "data_parallel_size": int},
    "kinds_of_parallelism": [str],
    "num_settings": int,
}


@pytest.fixture(scope="module")
def plans() -> list[Result]:
    return best_plans(wsesim.load("gpt3_13b_256xa100"), 6)


def page(results: list[Result], top: int = 0, width: int = 80) -> str:
    file = io.StringIO()
    out = Console(file=file, width=width, color_system=None, markup=False, emoji=False)
    print_sections(out, sections(results[0], More(plans=results if top else (), wanted_plans=top)))
    return file.getvalue()


def test_the_page_holds_what_was_asked_at_80_columns() -> None:
    result = wsesim.simulate(wsesim.load(NEOX))
    assert isinstance(result, Result)
    shown = page([result])
    assert max(map(len, shown.splitlines())) <= 80
    titles = ["Where the time goes", "How it is spread", "Memory", "Scaling", "Time, energy and cost", "Not public"]
    assert [shown.index(title) for title in titles] == sorted(shown.index(title) for title in titles)
    for text in (
        "96 A100",
        f"{result.tokens_per_s:,.0f} tokens/s",
        show(result.step_time_s, "s"),
        "HFU",
        "bubble",
        "4: data, sharded data, tensor, pipeline",
        "4 stages, 1F1B",
        "12 copies of the model, ZeRO stage 1",
        f"{result.num_settings} that had to be right, all set in the run file",
        "of 42.9 GB",
        "optimizer state",
        "weak scaling",
        "energy",
    ):
        assert text in shown, text


def test_one_copy_of_the_model_is_no_number_of_copies() -> None:
    run = wsesim.load(AUTO, ["cluster.num_gpus=1"])
    shown = page([wsesim.simulate(run)])  # type: ignore[list-item]
    assert "one copy of the model, none to compare with" in shown


@pytest.mark.parametrize("name", [NEOX, AUTO])
def test_json_keeps_its_contract(name: str) -> None:
    data = answer("run", name, "--json").json
    check_contract(data, GPU_CONTRACT)
    assert data["kind"] == "gpu"
    assert sum(data["breakdown_s"].values()) == pytest.approx(data["step_time_s"], rel=1e-9)
    assert data["step_time_s"] == wsesim.simulate(wsesim.load(name)).step_time_s
    assert "plans" not in data


def test_plans_come_in_the_order_of_their_slow_ends_and_the_first_is_the_answer(plans: list[Result]) -> None:
    slow_ends_s = [one.to_dict()["interval"]["step_time_s"][1] for one in plans]
    assert slow_ends_s == sorted(slow_ends_s)
    assert plans[0].step_time_s == wsesim.simulate(plans[0].run).step_time_s
    assert len({plan_words(one) for one in plans}) == 6


def test_what_a_plan_loses_on_adds_up(plans: list[Result]) -> None:
    for one in plans[1:]:
        lost_s = sum(differences_s(plans[0], one).values())
        # the breakdown adds up to the step within rounding
        assert lost_s == pytest.approx(one.step_time_s - plans[0].step_time_s, abs=1e-9 * one.step_time_s)
        assert why_it_loses(plans[0], one).startswith("+")
    assert why_it_loses(plans[0], plans[0]) == "as fast"


def test_top_prints_the_plans(plans: list[Result]) -> None:
    shown = page(plans, 6).split("Best plans")[1].split("How it is spread")[0]
    assert max(map(len, shown.splitlines())) <= 80
    for number in range(1, 7):
        assert f"\n{number}  " in shown
    assert "against the first" in shown
    assert f"{plans[0].simulation.num_plans:,}" in shown


def test_top_in_json() -> None:
    data = answer("run", AUTO, "--top", 3, "--json").json
    assert len(data["plans"]) == 3
    assert data["plans"][0]["step_time_s"] == data["step_time_s"]
    assert data["plans"][0]["difference_s"] == {}
    for key in ("breakdown_s", "memory", "parallelism", "num_settings", "micro_batch_size"):
        assert key in data["plans"][2]


def test_top_says_where_the_file_leaves_no_choice() -> None:
    assert "The run file leaves no choice" in answer("run", NEOX, "--top", 3).out


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ([NEOX, "--layers"], ["is a GPU run", "--layers is for wafer-scale runs", "leave it out"]),
        ([NEOX, "--links"], ["--links is for wafer-scale runs"]),
        ([NEOX, "--engine", "recurrence"], ["--engine recurrence is for wafer-scale runs"]),
        (
            [NEOX, "--links", "--engine", "recurrence"],
            ["--links and --engine recurrence are for", "leave them out"],
        ),
        (["cerebras_gpt_111m", "--top", "3"], ["--top compares plans of GPU runs", "leave it out"]),
    ],
)
def test_options_of_the_other_kind_are_refused(words: list[str], texts: list[str]) -> None:
    outcome = call("run", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("error:") == 1
    for text in texts:
        assert text in outcome.err


def test_top_takes_a_positive_number() -> None:
    assert call("run", AUTO, "--top", 0).code == 2
