"""How much work a simulation is: event counts, which do not depend on the machine."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from benchmarks.speed.cases import CASES, GPU_CASES, Case, GPUCase
from benchmarks.speed.memory import MOST_BYTES, above_imports_bytes
from tests.front_door import call
from wsesim import bottleneck, simulate
from wsesim.config.loader import load
from wsesim.config.run import Run
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.simulation import simulate_plan
from wsesim.machines.gpu.times import times_of_plan
from wsesim.machines.wafer.plan import make_plan
from wsesim.machines.wafer.simulation import run_schedule


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_event_count_is_as_recorded(case: Case) -> None:
    assert run_schedule(case.load()).num_events == case.events


def test_identical_systems_cost_as_much_as_one() -> None:
    events = {case.name: case.events for case in CASES}
    assert events["13B on 2048 systems"] <= 1.1 * events["13B on 1 system"]


@pytest.mark.parametrize("case", GPU_CASES, ids=lambda case: case.name)
def test_a_gpu_run_is_as_much_work_as_recorded(case: GPUCase) -> None:
    run = case.load()
    plan = candidates(run).plan(0)
    assert simulate_plan(run, plan, times_of_plan(run, plan))[0].num_events == case.events
    assert len(candidates(case.open()).tensor) == case.plans


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            (
                "training.micro_batch_size=1",
                "parallelism.pipeline_schedule=gpipe",
                "parallelism.pipeline_parallel_size=2",
                "parallelism.tensor_parallel_size=4",
                "parallelism.activation_recompute=full",
            ),
            "a step of 9,608 jobs",
        ),
        (("parallelism=auto",), "a search among 10,018 plans"),
    ],
)
def test_a_gpu_run_has_the_same_limit(words: tuple[str, ...], what: str) -> None:
    sets = [word for one in (*words, "training.global_batch_size=1600") for word in ("--set", one)]
    found = call("run", "cerebras_gpt_111m_gpu", "--limit", "1000", *sets)
    assert (found.code, found.out) == (2, "")
    assert what in found.err


@pytest.mark.parametrize("command", ["trace", "report", "compare", "lifetime", "sensitivity"])
def test_other_commands_have_the_same_limit(command: str, tmp_path: Path) -> None:
    out = {"trace": ["--out", tmp_path / "a.json"], "report": ["--out", tmp_path / "a.html"]}.get(command, [])
    found = call(command, "andromeda_13b", *(["andromeda_13b"] if command == "compare" else []), "--limit", 1000, *out)
    assert (found.code, found.out, list(tmp_path.iterdir())) == (2, "", [])
    assert "more than the limit" in found.err


@pytest.mark.parametrize("words", [("--limit", "1000"), ("--set", "cluster.system.wafer.gradient_buffer_bytes=3000")])
def test_a_step_of_too_many_jobs_is_refused_before_it_starts(words: tuple[str, ...]) -> None:
    found = call("run", "andromeda_13b", *words)
    assert found.code == 2
    assert "more than the limit" in found.err
    assert "raise the limit (--limit)" in found.err


def test_chunks_whose_number_changes_nothing_are_few() -> None:
    run = load("llama_2_70b_cs3_64", ["cluster.system.wafer.weight_buffer_bytes=2 MB"])
    plan = make_plan(run)
    assert max(kind.num_chunks for kind in plan.kinds) > 2_000
    assert run_schedule(run, keeps_trace=False).num_events < 60_000


def test_a_small_buffer_does_not_change_what_holds_a_step_back() -> None:
    """Faster products need the chunks that were simulated as one, and they would be more than the limit."""
    name, small = "llama_2_70b_cs3_64", ["cluster.system.wafer.weight_buffer_bytes=2 MB"]
    assert bottleneck(simulate(load(name, small))) == bottleneck(simulate(load(name)))


def test_memory_does_not_grow_with_what_is_simulated() -> None:
    """Without a trace: 30 times the events on SimPy, and 30 times the micro-batches in the evaluation."""
    few, many = (replace_batch(number) for number in (1, 120))
    for engine in ("simpy", "recurrence"):
        peaks = []
        for run in (few, many):
            tracemalloc.start()
            run_schedule(run, engine=engine, keeps_trace=False, skip_micro_batches=False)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < peaks[0] + 2e6


@pytest.mark.parametrize("run", ["gpt_1t_cs2_192", "gpt_1t_3072xa100"])
def test_the_largest_runs_of_the_catalogue_take_little_memory(run: str) -> None:
    """All of them are looked at by ``python -m benchmarks.speed``; above what imports take."""
    assert above_imports_bytes(run) < MOST_BYTES


@pytest.mark.parametrize(("run", "batch"), [("andromeda_13b", 1080), ("gpt3_175b_1024xa100", 1536)])
def test_memory_does_not_grow_with_the_micro_batches_of_a_step(run: str, batch: int) -> None:
    """Two hundred and a thousand times as many, both as settings of a run, within what an allocator rounds to. [bytes]"""
    few, more, many = (
        above_imports_bytes(run, (f"training.global_batch_size={times * batch}",)) for times in (1, 200, 1000)
    )
    assert max(more, many) < few + 1e6


def replace_batch(number: int) -> Run:
    """A small model whose step has so many micro-batches."""
    return load("cerebras_gpt_111m", ["training.micro_batch_size=10", f"training.global_batch_size={10 * number}"])
