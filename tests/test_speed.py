"""How much work a simulation is: event counts, which do not depend on the machine."""

from __future__ import annotations

import pytest

from benchmarks.speed.cases import CASES, GPU_CASES, Case, GPUCase
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.simulation import simulate_plan
from wsesim.machines.gpu.times import times_of
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
