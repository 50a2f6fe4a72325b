"""The ways to spread a run: all that divide, no others, and the fastest of them."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.gpu_builders import ROWS, gpu_run
from wsesim import GPURun, from_table
from wsesim.errors import DoesNotFit
from wsesim.machines.gpu.parallelism import ParallelismSpec
from wsesim.machines.gpu.plans import candidates, check
from wsesim.machines.gpu.search import rank
from wsesim.machines.gpu.simulation import simulate_gpu
from wsesim.machines.gpu.stages import (
    EMBEDDING_COUNTS,
    FEW,
    LOSS_COUNTS,
    Plan,
    PlanTable,
    blocks_of_chunks,
    dealt_layers,
    recompute_said,
    row_of,
)
from wsesim.machines.gpu.times import times_of, times_of_plan
from wsesim.validate.gpu_predict import run_of

AUTO = dict.fromkeys(
    ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "virtual_pipeline_size"), "auto"
)
OPEN: dict[str, Any] = {
    **AUTO,
    "zero_stage": "auto",
    "sequence_parallel": "auto",
    "activation_recompute": "auto",
    "expert_parallel_size": "auto",
    "context_parallel_size": "auto",
}


def open_run(num_gpus: int = 8, **parallelism: Any) -> GPURun:
    """Nothing is said but what the test says."""
    return gpu_run(
        training={"micro_batch_size": "auto", "global_batch_size": 48},
        cluster={"num_gpus": num_gpus},
        parallelism={**OPEN, "context_parallel_size": 1, **parallelism},
    )


def rows_of(plans: PlanTable) -> list[tuple[int, ...]]:
    """One tuple for each plan."""
    return [tuple(int(value) for value in row) for row in zip(*plans, strict=True)]


def assert_sound(run: GPURun, plans: PlanTable) -> None:
    """Everything multiplies and divides."""
    assert (plans.tensor * plans.pipeline * plans.data * plans.context == run.cluster.num_gpus).all()
    per_copy = plans.micro_batch_size * (plans.num_micro_batches - 1) + plans.last_micro_batch_size
    assert (per_copy == -(-run.training.global_batch_size // plans.data)).all()
    assert (plans.pipeline * plans.chunks <= dealt_layers(run, plans.ends)).all()
    assert (run.model.num_attention_heads % plans.tensor == 0).all()
    assert (run.training.sequence_length % plans.context == 0).all()
    assert (run.model.num_experts % plans.expert == 0).all()
    of_stage = plans.tensor * plans.context * plans.data
    assert (of_stage % (plans.expert * plans.expert_tensor) == 0).all()
    assert (plans.tensor % plans.expert_tensor == 0).all()
    interleaved = plans.chunks > 1
    assert (plans.pipeline[interleaved] > 1).all()
    rest = plans.num_micro_batches % plans.group
    assert (plans.group[interleaved] >= plans.pipeline[interleaved]).all()
    assert ((rest == 0) | (rest >= plans.pipeline))[interleaved].all()
    assert (plans.shard <= plans.data * plans.context).all()
    assert (plans.tensor[plans.sequence_parallel] > 1).all()
    assert len(set(rows_of(plans))) == len(plans.tensor)


@settings(deadline=None, max_examples=60)
@given(
    num_gpus=st.sampled_from([1, 2, 6, 8, 24, 64]),
    batch=st.sampled_from([1, 12, 64, 96]),
    layers=st.sampled_from([1, 6, 8]),
    experts=st.sampled_from([1, 8]),
    ends=st.booleans(),
    context=st.sampled_from([1, 2, "auto"]),
)
def test_every_plan_multiplies_and_divides(
    num_gpus: int, batch: int, layers: int, experts: int, ends: bool, context: int | str
) -> None:
    run = gpu_run(
        model={"num_layers": layers, "num_experts": experts},
        training={"micro_batch_size": "auto", "global_batch_size": batch},
        cluster={"num_gpus": num_gpus},
        parallelism={**OPEN, "context_parallel_size": context, "account_for_embedding_and_loss": ends},
    )
    assert_sound(run, candidates(run))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    schedule=st.sampled_from(["1f1b", "gpipe"]),
    left_open=st.sets(st.sampled_from([*OPEN, "micro_batch_size"])),
    num_gpus=st.sampled_from([2, 8, 24]),
    stages=st.sampled_from([1, 2, 4]),
    batch=st.sampled_from([12, 64]),
    layers=st.sampled_from([2, 6, 8]),
    ends=st.booleans(),
    at=st.integers(0, 10**6),
)
@example("gpipe", {"virtual_pipeline_size"}, 8, 4, 64, 8, False, 0)
@example("gpipe", set(OPEN), 8, 4, 64, 8, False, 1)
def test_the_search_proposes_nothing_that_the_checks_refuse(
    schedule: str,
    left_open: set[str],
    num_gpus: int,
    stages: int,
    batch: int,
    layers: int,
    ends: bool,
    at: int,
) -> None:
    """Any schedule, with anything left to the search: what it proposes can be written into a file, and runs as such."""
    closed = {"tensor_parallel_size": 1, "pipeline_parallel_size": stages, "context_parallel_size": 1}
    more = {"data_parallel_size": "auto", "expert_parallel_size": 1, "zero_stage": 1, "activation_recompute": "full"}
    run = gpu_run(
        model={"num_layers": layers},
        training={"micro_batch_size": "auto" if "micro_batch_size" in left_open else 1, "global_batch_size": batch},
        cluster={"num_gpus": num_gpus},
        parallelism={
            **(closed | more | dict.fromkeys(left_open - {"micro_batch_size"}, "auto")),
            "pipeline_schedule": schedule,
            "account_for_embedding_and_loss": ends,
        },
    )
    plans = candidates(run)
    if not len(plans.tensor):
        return
    for place in {at % len(plans.tensor), len(plans.tensor) - 1}:
        proposed = _only(run, plans.plan(place))
        check(proposed)
        assert rows_of(candidates(proposed)) == [plans.plan(place)]
        with contextlib.suppress(DoesNotFit):
            assert simulate_gpu(proposed).step_time_s > 0


GIVEN = {
    "tensor_parallel_size": ("tensor", 2),
    "pipeline_parallel_size": ("pipeline", 4),
    "data_parallel_size": ("data", 2),
    "virtual_pipeline_size": ("chunks", 2),
    "zero_stage": ("zero_stage", 2),
    "activation_recompute": ("recompute", 2),
    "sequence_parallel": ("sequence_parallel", 0),
}


@pytest.mark.parametrize("key", GIVEN)
def test_what_is_given_is_kept(key: str) -> None:
    field, value = GIVEN[key]
    words = {"activation_recompute": "full", "sequence_parallel": False}
    plans = candidates(open_run(**{key: words.get(key, value)}))
    assert len(plans.tensor)
    assert set(np.asarray(getattr(plans, field)).tolist()) == {value}


def test_a_plan_is_plain_numbers_and_a_table_of_it_alone_the_same() -> None:
    plans = candidates(open_run())
    for place in (0, len(plans.tensor) - 1):
        plan = plans.plan(place)
        assert {type(value) for value in plan[:-1]} == {int}
        assert type(plan.sequence_parallel) is bool
        assert plan.table.plan(0) == plan
        assert all(map(np.array_equal, plan.table, plans.only(slice(place, place + 1))))


def test_all_plans_of_a_small_space_are_there() -> None:
    """Against loops over everything: 4 GPUs, 8 layers, 16 heads, 12 sequences."""
    run = gpu_run(
        training={"micro_batch_size": "auto", "global_batch_size": 12},
        cluster={"num_gpus": 4},
        parallelism={**AUTO, "zero_stage": "auto", "activation_recompute": "auto"},
    )
    expected = set()
    numbers = range(1, 13)
    for tensor, stages, data, chunks, micro in itertools.product(numbers, numbers, numbers, numbers, numbers):
        if tensor * stages * data != 4 or 12 % (data * micro):
            continue
        passes = 12 // data // micro
        if chunks > 1 and (stages == 1 or passes < stages):
            continue
        # both ends count as a layer, or the loss, or none; the fullest stage has whole chunks
        for ends, extra in ((0, 0), (2, 1), (3, 2)):
            if -(-(8 + extra) // stages) % chunks or stages * chunks > 8 + extra or (stages == 1 and ends):
                continue
            if (stages, chunks, ends) == (2, 1, 3):  # 4 + 4 blocks, as where none counts
                continue
            for zero, recompute in itertools.product(range(4), range(3)):
                # nothing to share out, or gradients and parameters shared in a pipeline
                if (data == 1 and zero > 0) or (stages > 1 and zero > 2):
                    continue
                expected.add((tensor, stages, data, chunks, ends, micro, passes, zero, recompute))
    plans = candidates(run)
    sizes = (plans.tensor, plans.pipeline, plans.data, plans.chunks, plans.ends)
    fields = (*sizes, plans.micro_batch_size, plans.num_micro_batches)
    found = {tuple(map(int, row)) for row in zip(*fields, plans.zero_stage, plans.recompute, strict=True)}
    assert found == expected


def test_the_fastest_of_a_small_space_is_chosen() -> None:
    """Against the simulation of every plan that fits."""
    run = open_run(4, activation_recompute="none")
    ranked = rank(run)
    assert (np.diff(ranked.late_s) >= 0).all()
    assert (ranked.memory_bytes <= run.cluster.gpu.memory_bytes).all()
    fastest_s = min(simulate_gpu(_only(run, ranked.plans.plan(place))).step_time_s for place in range(60))
    assert simulate_gpu(run).step_time_s <= fastest_s * (1 + 1e-3)


def _only(run: GPURun, plan: Plan) -> GPURun:
    """The run with one plan written out."""
    spread = {
        "tensor_parallel_size": plan.tensor,
        "pipeline_parallel_size": plan.pipeline,
        "data_parallel_size": plan.data,
        "virtual_pipeline_size": plan.chunks,
        "account_for_embedding": bool(plan.ends & EMBEDDING_COUNTS),
        "account_for_loss": bool(plan.ends & LOSS_COUNTS),
        "zero_stage": plan.zero_stage,
        "sequence_parallel": plan.sequence_parallel if plan.tensor > 1 else "auto",
        "context_parallel_size": plan.context,
        "expert_parallel_size": plan.expert,
        "activation_recompute": recompute_said(run, plan),
    }
    micro = run.training.model_copy(update={"micro_batch_size": plan.micro_batch_size})
    chosen = ParallelismSpec(**{**run.parallelism.model_dump(), **spread})
    return replace(run, training=micro, parallelism=chosen)


SAMPLE = (
    "sc21t1-01",
    "sc21t1-04",
    "sc21t1-07",
    "kort5-22B-selsp",
    "vtrain-m-0053",
    "mpt-078",
    "neox20b",
    "vtrain-s-0709",
)


@pytest.mark.parametrize("name", [name for name in SAMPLE if name in ROWS])
def test_the_chosen_plan_is_never_slower_than_the_published_one(name: str) -> None:
    published = run_of(ROWS[name])
    free = replace(
        published,
        training=published.training.model_copy(update={"micro_batch_size": "auto"}),
        parallelism=ParallelismSpec(**{**published.parallelism.model_dump(), **OPEN, "context_parallel_size": 1}),
    )
    assert simulate_gpu(free).step_time_s <= simulate_gpu(published).step_time_s * (1 + 1e-9)


def test_hybrid_shard_shares_among_its_group() -> None:
    run = gpu_run(cluster={"num_gpus": 32}, parallelism={"zero_stage": 3, "shard_group_size": 8})
    assert candidates(run).shard.tolist() == [8]
    whole, shared = (
        simulate_gpu(gpu_run(cluster={"num_gpus": 32}, parallelism={"zero_stage": 3, "shard_group_size": size}))
        for size in ("auto", 8)
    )
    # parameters come from inside the node, and more of them lie there
    assert shared.times.gather_s < whole.times.gather_s
    assert shared.memory.weights == pytest.approx(4 * whole.memory.weights)


def test_the_whole_space_of_175b_on_1024_gpus_is_ranked() -> None:
    """So many plans that loops over them would take hours; ``benchmarks/speed`` times it."""
    table = {
        "model": {"name": "gpt3-175b"},
        "training": {"sequence_length": 2048, "global_batch_size": 1536},
        "cluster": {"name": "selene", "num_gpus": 1024},
        "parallelism": {**OPEN, "context_parallel_size": 1},
    }
    run = from_table(table)
    assert run.machine == "gpu"
    ranked = rank(run)
    assert ranked.num_plans > 5_000
    assert 0 < len(ranked.plans.tensor) < ranked.num_plans
    assert_sound(run, ranked.plans)


@pytest.mark.parametrize(
    "model",
    [{"name": "cerebras-gpt-1.3b"}, {"name": "mixtral-8x7b", "num_layers": 4, "num_experts": 4}],
    ids=["dense", "experts"],
)
def test_a_plan_among_many_takes_what_it_takes_alone(model: dict[str, Any]) -> None:
    training = {"sequence_length": 2048, "global_batch_size": 24, "tokens": 1e9, "micro_batch_size": "auto"}
    cluster = {"name": "dgx_h100", "num_gpus": 16}
    run = from_table({"model": model, "training": training, "cluster": cluster, "parallelism": OPEN})
    assert isinstance(run, GPURun)
    plans = candidates(run)
    assert len(plans.tensor) > FEW
    among = times_of(run, plans)
    for place in range(0, len(plans.tensor), len(plans.tensor) // 40):
        # sums are added up in the same order, whatever else is in the array
        assert row_of(among, place) == times_of_plan(run, plans.plan(place))


@pytest.mark.parametrize("layers", [30, 126])
def test_no_plan_is_searched_twice(layers: int) -> None:
    # 126 blocks on 32 stages: 3, 30 x 4, 3, whether or not embedding and loss count as one block each
    model = {"name": "llama-3-8b", "num_layers": layers}
    training = {"sequence_length": 2048, "global_batch_size": 64, "tokens": 1e9, "micro_batch_size": "auto"}
    parallelism = AUTO | {"activation_recompute": "none", "zero_stage": 1}
    cluster = {"name": "dgx_h100", "num_gpus": 128}
    run = from_table({"model": model, "training": training, "cluster": cluster, "parallelism": parallelism})
    assert isinstance(run, GPURun)
    plans = candidates(run)
    told = []
    for place in range(len(plans.tensor)):
        plan = plans.plan(place)
        told.append((plan._replace(ends=0), blocks_of_chunks(run, plan)))
    assert len(set(told)) == len(told) > 100
    assert 0 in plans.ends
    assert 3 in plans.ends
