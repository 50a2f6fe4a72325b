"""What the search knows of a plan without simulating it agrees with the simulation, and leads to the same plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import between
from tests.gpu_builders import gpu_run, plan_of
from wsesim.machines.gpu import search as gpu_search
from wsesim.machines.gpu.search import Candidate, choose, rank, step_time_s
from wsesim.machines.gpu.simulation import simulate_best, simulate_plan
from wsesim.machines.gpu.times import times_of_plan

few = settings(deadline=None, max_examples=15)


@few
@given(
    num_stages=st.integers(1, 5),
    num_chunks=st.integers(1, 3),
    rounds=st.integers(1, 9),
    rest=st.integers(0, 4),
    micro=st.integers(1, 3),
    short=st.integers(0, 2),
    settings_=st.fixed_dictionaries(
        {
            "zero_stage": st.sampled_from([0, 1, 3]),
            "pipeline_schedule": st.sampled_from(["1f1b", "gpipe"]),
            "overlap_pipeline_communication": st.booleans(),
            "overlap_gradient_reduction": st.booleans(),
        }
    ),
    send_share=between(1e-3, 2.0),
    gather_share=between(1e-2, 3.0),
    max_gradient_norm=st.sampled_from([0.0, 1.0]),
)
def test_the_step_time_of_every_plan_is_that_of_the_simulation(
    num_stages: int,
    num_chunks: int,
    rounds: int,
    rest: int,
    micro: int,
    short: int,
    settings_: dict[str, Any],
    send_share: float,
    gather_share: float,
    max_gradient_norm: float,
) -> None:
    """Whatever waits for whom; and no step is shorter than its bound."""
    chunks = num_chunks if num_stages > 1 and settings_["pipeline_schedule"] == "1f1b" else 1
    number = rounds * num_stages + rest
    sequences = micro * number - short % micro
    run = gpu_run(
        model={"num_layers": 2 * num_stages * chunks + rest},
        training={
            "global_batch_size": 8 * sequences,
            "micro_batch_size": micro,
            "max_gradient_norm": max_gradient_norm,
        },
        cluster={"name": "selene", "num_gpus": 8 * num_stages},
        parallelism={"pipeline_parallel_size": num_stages, "virtual_pipeline_size": chunks, **settings_},
    )
    plan = plan_of(run)
    times = times_of_plan(run, plan)
    block_s = times.forward.total_s
    times = times._replace(send_s=send_share * block_s, gather_s=gather_share * block_s)
    simulated_s = simulate_plan(run, plan, times)[0].time_s
    assert step_time_s(run, plan, times) == pytest.approx(simulated_s, rel=1e-12)
    assert Candidate(run, plan, times).at_least_s() <= simulated_s * (1.0 + gpu_search.ROUNDING)


@settings(deadline=None, max_examples=15)
@given(
    batch=st.sampled_from([32, 48, 128, 144, 256]),
    num_gpus=st.sampled_from([8, 16, 32]),
    num_layers=st.sampled_from([8, 12]),
    number=st.integers(1, 4),
)
def test_plans_that_are_passed_over_would_not_have_won(batch: int, num_gpus: int, num_layers: int, number: int) -> None:
    """Against the simulation of all that are compared."""
    run = gpu_run(
        model={"num_layers": num_layers},
        training={"global_batch_size": batch},
        cluster={"name": "selene", "num_gpus": num_gpus},
    ).with_auto_plan()
    ranked = rank(run)
    close = np.count_nonzero(ranked.late_s <= (1.0 + gpu_search.CLOSE) * ranked.late_s[0])
    compared = max(min(int(close), gpu_search.COMPARED), number)
    plans = [ranked.plans.plan(place) for place in range(min(compared, len(ranked.estimates_s)))]
    every = [(plan, simulate_plan(run, plan, times_of_plan(run, plan))[0].time_s) for plan in plans]
    late = ranked.late_s / ranked.estimates_s
    order = sorted(range(len(every)), key=lambda place: every[place][1] * late[place])
    best = [every[place] for place in order[:number]]
    found = simulate_best(run, number)
    assert [(one.plan, one.step_time_s) for one in found] == best
    assert all(one.num_plans == ranked.num_plans for one in found)
    assert len(choose(run, number).plans) >= len(best)
    lazy = simulate_best(run, number, lazily=True)
    assert [one.step_time_s for one in lazy] == pytest.approx([one.step_time_s for one in found], rel=1e-12)
    assert not any(one.spent_s or one.trace for one in lazy), "the time alone was asked for"
