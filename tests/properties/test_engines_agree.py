"""The recurrence equals the event simulation.

Both engines do the same operations on the same numbers in the same order, so ends of steps and
micro-batches, and with them the step time, agree to the last digit. The breakdown adds what
micro-batches spent in another order, and agrees within 1e-12 of the step; utilization is worked
out from the plan and the step time, and agrees to the last digit.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsesim
from tests.builders import Table, small_tables, wafer_runs
from wsesim.machines.wafer.metrics import breakdown_s, utilization
from wsesim.machines.wafer.simulation import Simulation, run_many, run_schedule, step_time_s, step_times_s

REORDERED = 1e-12
"""Relative; sums of at most 1e4 terms of one sign, each rounded to 1e-16."""


def assert_equal(one: Simulation, other: Simulation) -> None:
    assert one.step_time_s == other.step_time_s
    assert one.windows == other.windows
    assert one.first_step_s == other.first_step_s
    assert one.num_simulated_micro_batches == other.num_simulated_micro_batches
    assert one.decisive_class == other.decisive_class
    assert utilization(one) == utilization(other)
    spent, same = breakdown_s(one), breakdown_s(other)
    for name in {*spent, *same}:
        assert abs(spent.get(name, 0.0) - same.get(name, 0.0)) <= REORDERED * one.step_time_s


@settings(deadline=None, max_examples=60)
@given(small_tables(most_micro_batches=6))
def test_one_run_is_the_same_with_both_engines(table: Table) -> None:
    run = wsesim.from_table(table)
    assert_equal(run_schedule(run), run_schedule(run, engine="recurrence"))


@settings(deadline=None, max_examples=15)
@given(st.lists(small_tables(), min_size=2, max_size=6))
def test_many_runs_at_once_are_the_same_as_each_alone(tables: list[Table]) -> None:
    runs = [wsesim.from_table(table) for table in tables]
    for run, simulation in zip(runs, run_many(runs), strict=True):
        assert_equal(run_schedule(run), simulation)
    assert step_times_s(runs) == [run_schedule(run).step_time_s for run in runs]


@settings(deadline=None, max_examples=15)
@given(small_tables(), st.lists(st.floats(0.2, 5.0), min_size=3, max_size=8))
def test_runs_that_differ_only_in_their_numbers_share_one_evaluation(table: Table, factors: list[float]) -> None:
    # bandwidth and buffers both change, so that the lags of the buffers differ from run to run
    base = wsesim.from_table(table)
    settings_of = [
        {
            "system": base.cluster.system.model_copy(
                update={
                    "wafer": base.cluster.system.wafer.model_copy(
                        update={
                            "io_bytes_per_s": base.cluster.system.wafer.io_bytes_per_s * factor,
                            "weight_buffer_bytes": base.cluster.system.wafer.weight_buffer_bytes * (1 + factor),
                        }
                    )
                }
            )
        }
        for factor in factors
    ]
    runs = [
        wsesim.Run(base.name, base.model, base.training, base.cluster.model_copy(update=one)) for one in settings_of
    ]
    for run, simulation in zip(runs, run_many(runs), strict=True):
        assert_equal(run_schedule(run), simulation)


@settings(deadline=None, max_examples=60)
@given(small_tables(most_micro_batches=6))
def test_a_step_time_without_a_trace_is_that_of_the_simulation(table: Table) -> None:
    run = wsesim.from_table(table)
    assert step_time_s(run) == run_schedule(run).step_time_s


@settings(deadline=None, max_examples=15)
@given(small_tables())
def test_unfolded_systems_are_the_same_with_both_engines(table: Table) -> None:
    run = wsesim.from_table(table)
    assert_equal(run_schedule(run, fold=False), run_schedule(run, fold=False, engine="recurrence"))


@pytest.mark.parametrize("name", [name for name in wafer_runs() if not name.startswith("gpt_1t")])
def test_catalogue_runs_are_the_same_with_both_engines(name: str) -> None:
    run = wsesim.load(name)
    assert_equal(run_schedule(run), run_schedule(run, engine="recurrence"))


def test_results_of_many_runs_come_in_their_order() -> None:
    names = ["cerebras_gpt_1.3b", "cerebras_gpt_111m", "bert_large"]
    results = wsesim.simulate_many([wsesim.load(name) for name in names])
    assert [result.run.model.name for result in results] == [wsesim.load(name).model.name for name in names]


@settings(deadline=None, max_examples=40)
@given(
    small_tables(most_micro_batches=2),
    st.floats(0.02, 1.0),
    st.floats(0.02, 1.0),
    st.floats(0.01, 100.0),
)
def test_chunks_that_are_simulated_as_one_change_nothing(
    table: Table, weight_share: float, gradient_share: float, faster: float
) -> None:
    base = wsesim.from_table(table)
    cluster = base.cluster
    wafer = cluster.system.wafer.model_copy(
        update={
            "weight_buffer_bytes": max(1000.0, weight_share * cluster.system.wafer.weight_buffer_bytes),
            "gradient_buffer_bytes": max(1000.0, gradient_share * cluster.system.wafer.gradient_buffer_bytes),
            "io_bytes_per_s": faster * cluster.system.wafer.io_bytes_per_s,
        }
    )
    system = cluster.system.model_copy(update={"wafer": wafer})
    run = wsesim.Run(base.name, base.model, base.training, cluster.model_copy(update={"system": system}))
    merged, each = run_schedule(run), run_schedule(run, merge_chunks=False)
    assert merged.step_time_s == pytest.approx(each.step_time_s, rel=1e-11)
    assert merged.num_events <= each.num_events
    for kind, time_s in each.spent_s.items():
        assert abs(merged.spent_s.get(kind, 0.0) - time_s) <= 1e-10 * each.step_time_s
