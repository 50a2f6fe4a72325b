"""One question, one answer: whichever command is asked, a job on so many devices takes the same time, energy and money.

The job is compared first, so that a difference shows where it came from; then the answers, to the last digit.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import wsesim
from tests.builders import Table
from tests.front_door import call
from wsesim.config.loader import any_from_table
from wsesim.page import work
from wsesim.page.state import NO_GPUS, OF_ALL, PER_SYSTEM, RunState
from wsesim.results.job import job_words
from wsesim.study.portfolio import from_table

MODELS = ("cerebras-gpt-111m", "cerebras-gpt-256m", "cerebras-gpt-1.3b")


class Answer(NamedTuple):
    """What every way of asking has to agree on."""

    step_time_s: float
    time_s: float
    energy_j: float
    cost_usd: float | None


def in_json(data: dict[str, Any]) -> tuple[dict[str, Any], Answer]:
    training = data["training"]
    return data["job"], Answer(data["step_time_s"], training["time_s"], training["energy_j"], training["cost_usd"])


@st.composite
def wafer_tables(draw: st.DrawFn) -> Table:
    """A model of the catalogue on some of its wafers, with every batch key, release and way of paying."""
    cluster = draw(st.sampled_from(["andromeda", "cs2", "cs3"]))
    systems = draw(st.integers(1, 12))
    key, most = draw(st.sampled_from([("batch_size_per_system", 200), ("global_batch_size", 2000)]))
    release = draw(st.sampled_from([None, "1.8", "2.1", "2.3"]))
    paying = draw(st.sampled_from([None, "owned", "rented"]))
    of_cluster = {"software_release": release, "paying": paying}
    return {
        "name": "drawn",
        "model": {"name": draw(st.sampled_from(MODELS))},
        "training": {
            "sequence_length": draw(st.sampled_from([512, 2048])),
            key: draw(st.integers(12, most)),
            "batch_policy": draw(st.sampled_from(["exact", "nearest"])),
            "tokens": draw(st.sampled_from(["chinchilla", 3e9, 1e11])),
        },
        "cluster": {
            "name": cluster,
            "num_systems": systems,
            **{key: value for key, value in of_cluster.items() if value is not None},
        },
    }


@st.composite
def gpu_tables(draw: st.DrawFn) -> Table:
    """The same on GPUs."""
    table = draw(wafer_tables())
    training = dict(table["training"])
    training["global_batch_size"] = 8 * (training.pop("batch_size_per_system", 0) or training["global_batch_size"])
    paying = {key: value for key, value in table["cluster"].items() if key == "paying"}
    name, gpus = draw(st.sampled_from(["dgx_a100_80gb", "dgx_h100"])), draw(st.sampled_from([1, 4, 8, 16]))
    return table | {"training": training, "cluster": {"name": name, "num_gpus": gpus, **paying}}


def written(table: Table, folder: Path) -> Path:
    path = folder / "run.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def by_page(table: Table) -> tuple[dict[str, Any], Answer]:
    """What the page answers when its controls say the same."""
    training, cluster = table["training"], table["cluster"]
    batch_of = PER_SYSTEM if "batch_size_per_system" in training else OF_ALL
    state = RunState(
        model=table["model"]["name"],
        cluster=cluster["name"],
        systems=str(cluster["num_systems"]),
        batch=str(training.get("batch_size_per_system") or training["global_batch_size"]),
        batch_of=batch_of,
        sequence_length=str(training["sequence_length"]),
        tokens=str(training["tokens"]),
        gpus=NO_GPUS,
        release=cluster.get("software_release", ""),
        paying=cluster.get("paying", ""),
        settings=f"training.batch_policy={training['batch_policy']}",
    )
    return in_json(work.run_json(RunState.of(vars(state).items())))


def by_comparison_of_the_page(table: Table) -> tuple[dict[str, Any], Answer]:
    """What the page answers of GPUs when its controls say the same."""
    training, cluster = table["training"], table["cluster"]
    state = RunState(
        model=table["model"]["name"],
        batch=str(training["global_batch_size"]),
        batch_of=OF_ALL,
        sequence_length=str(training["sequence_length"]),
        tokens=str(training["tokens"]),
        gpus=cluster["name"],
        num_gpus=str(cluster["num_gpus"]),
        paying=cluster.get("paying", ""),
        settings=f"training.batch_policy={training['batch_policy']}",
    )
    return in_json(work.gpu_json(RunState.of(vars(state).items())))


def by_command(path: Path) -> tuple[dict[str, Any], Answer]:
    outcome = call("run", path, "--json")
    assert outcome.code == 0, outcome.err
    return in_json(outcome.json)


def by_comparison(path: Path) -> list[tuple[dict[str, Any], Answer]]:
    outcome = call("compare", path, path, "--json")
    assert outcome.code == 0, outcome.err
    return [in_json(one) for one in outcome.json["runs"]]


def by_sweep(path: Path, folder: Path, key: str, value: int) -> tuple[dict[str, Any], Answer]:
    out = folder / "points.csv"
    outcome = call("sweep", path, "--vary", f"{key}={value}", "--out", out, "--workers", 1, "--json")
    assert outcome.code == 0, outcome.err
    (row,) = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    numbers = [row[name] for name in ("step_time_s", "time_s", "energy_j", "cost_usd")]
    return outcome.json["job"], Answer(*(None if one == "" else float(one) for one in numbers))  # type: ignore[arg-type]


def ask_everybody(table: Table, key: str) -> list[tuple[str, tuple[dict[str, Any], Answer]]]:
    with tempfile.TemporaryDirectory() as name:
        path = written(table, Path(name))
        count = table["cluster"][key.removeprefix("cluster.")]
        first = in_json(wsesim.simulate(any_from_table(table)).to_dict())
        return [
            ("Python", first),
            ("run", by_command(path)),
            *(("compare", one) for one in by_comparison(path)),
            ("sweep", by_sweep(path, Path(name), key, count)),
        ]


def agree(answers: list[tuple[str, tuple[dict[str, Any], Answer]]]) -> None:
    (_, (job, answer)), *others = answers
    assert {who: other[0] for who, other in others} == {who: job for who, _ in others}
    assert {who: other[1] for who, other in others} == {who: answer for who, _ in others}


@settings(deadline=None, max_examples=8)
@given(wafer_tables())
def test_every_way_of_asking_for_a_wafer_scale_job_gives_one_answer(table: Table) -> None:
    agree([*ask_everybody(table, "cluster.num_systems"), ("page", by_page(table))])


@settings(deadline=None, max_examples=3)
@given(gpu_tables())
def test_every_way_of_asking_for_a_job_on_gpus_gives_one_answer(table: Table) -> None:
    agree([*ask_everybody(table, "cluster.num_gpus"), ("page", by_comparison_of_the_page(table))])


@settings(deadline=None, max_examples=3)
@given(wafer_tables())
def test_every_text_says_the_job_in_the_same_words(table: Table) -> None:
    words = job_words(any_from_table(table))
    with tempfile.TemporaryDirectory() as name:
        path = written(table, Path(name))
        for command in (("run", path), ("compare", path, path), ("sensitivity", path)):
            outcome = call(*command)
            assert outcome.code == 0, outcome.err
            assert "".join(words.split()) in "".join(outcome.out.split()), command


def test_the_first_view_of_the_page_is_the_run_of_the_catalogue() -> None:
    job, answer = in_json(work.run_json(RunState()))
    assert (job, answer) == in_json(wsesim.simulate(wsesim.load("andromeda_13b")).to_dict())


PLACES = {
    "num_systems": (["andromeda", "cs3"], st.integers(1, 12)),
    "num_gpus": (["dgx_a100_80gb", "dgx_h100"], st.sampled_from([8, 16, 64])),
}


@pytest.mark.parametrize("key", PLACES)
@settings(deadline=None, max_examples=4)
@given(st.sampled_from(MODELS), st.sampled_from([3e9, 1e11]), st.data())
def test_a_plan_with_one_candidate_answers_as_the_run(key: str, model: str, tokens: float, data: st.DataObject) -> None:
    names, counts = PLACES[key]
    cluster, count = data.draw(st.sampled_from(names)), data.draw(counts)
    (option,) = wsesim.plan(model=model, tokens=tokens, deadline="90000 d", clusters=[f"{cluster}:{count}"]).smallest
    told = option.to_dict()
    job = told["job"]
    training = {
        "sequence_length": job["sequence_length"],
        "global_batch_size": job["global_batch_size"],
        "tokens": tokens,
    }
    table = {"model": {"name": model}, "training": training, "cluster": {"name": cluster, key: count}}
    run, answer = in_json(wsesim.simulate(any_from_table(table | {"name": "drawn"})).to_dict())
    asked = ("batch_asked", "batch_policy")  # the plan asks for the nearest of a usual batch
    assert {key: value for key, value in run.items() if key not in asked} == {
        key: value for key, value in job.items() if key not in asked
    }
    assert Answer(*(told[key] for key in Answer._fields)) == answer


@pytest.mark.parametrize("tables", [wafer_tables(), gpu_tables()], ids=["wafers", "GPUs"])
@settings(deadline=None, max_examples=4)
@given(st.data())
def test_a_portfolio_of_one_job_answers_as_the_run(tables: st.SearchStrategy[Table], data: st.DataObject) -> None:
    table = data.draw(tables)
    cluster = dict(table["cluster"])
    count = cluster.get("num_systems") or cluster["num_gpus"]
    job = {"name": "only", "systems": [count], "model": table["model"], "training": table["training"]}
    (task,) = from_table({"name": "one", "cluster": cluster, "jobs": [job], "lifetime": False}).tasks
    found = task.steps[count]
    run = in_json(wsesim.simulate(any_from_table(table)).to_dict())
    assert (found.job, Answer(*(getattr(found, key) for key in Answer._fields))) == run
