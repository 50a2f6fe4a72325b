"""How much work a simulation is: event counts, which do not depend on the machine."""

from __future__ import annotations

import tracemalloc

import pytest

from benchmarks.speed.cases import CASES, GPU_CASES, Case, GPUCase
from tests.front_door import call
from wsesim.config.loader import load
from wsesim.config.run import Run
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.simulation import simulate_plan
from wsesim.machines.gpu.times import times_of
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
    plan = candidates(run).only(slice(0, 1))
    assert simulate_plan(run, plan, times_of(run, plan))[0].num_events == case.events
    assert len(candidates(case.open()).tensor) == case.plans


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


def replace_batch(number: int) -> Run:
    """A small model whose step has so many micro-batches."""
    return load("cerebras_gpt_111m", ["training.micro_batch_size=10", f"training.global_batch_size={10 * number}"])
