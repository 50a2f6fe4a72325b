"""Uneven stages, groups of micro-batches and a short last micro-batch: dealt by hand, and simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsesim
from tests.gpu_builders import gpu_run, one, plan_of
from wsesim import GPURun
from wsesim.machines.gpu.collectives import group_of, reduce_scatter_time_s
from wsesim.machines.gpu.memory import memory_of_plan
from wsesim.machines.gpu.pipeline import durations_s, shape_of
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.simulation import simulate_gpu
from wsesim.machines.gpu.stages import (
    blocks_of_chunks,
    blocks_of_stage,
    deciding_stages,
    group_size,
    layers_of_stages,
)
from wsesim.machines.gpu.times import (
    Pass,
    block_parameters_of_gpu,
    gather_bytes,
    optimizer_bytes_per_parameter,
    reduction_bytes,
    times_of_kinds,
    times_of_plan,
)
from wsesim.machines.simulation import simulate
from wsesim.workload.transformer import routed_parameters


def staged(layers: int, stages: int, chunks: int = 1, batch: int = 64, **parallelism: Any) -> GPURun:
    """One copy of a model of so many layers on so many stages."""
    return gpu_run(
        model={"num_layers": layers},
        training={"global_batch_size": batch},
        cluster={"name": "selene", "num_gpus": stages},
        parallelism={"pipeline_parallel_size": stages, "virtual_pipeline_size": chunks, **parallelism},
    )


OVERLAPS = {"overlap_pipeline_communication": True}
ENDS = {"account_for_embedding_and_loss": True}
LOSS = {"account_for_loss": True}
FIRST, LAST = "num_layers_in_first_pipeline_stage", "num_layers_in_last_pipeline_stage"


@pytest.mark.parametrize(
    ("layers", "stages", "chunks", "words", "expected"),
    [
        (44, 6, 1, {}, [7, 7, 7, 8, 8, 7]),  # GPT-NeoX 20B on 3 nodes
        (61, 16, 1, {}, [3, 3, *[4] * 13, 3]),  # DeepSeek-V3
        (126, 16, 1, ENDS, [7, *[8] * 14, 7]),  # Llama 3 405B
        (126, 8, 1, LOSS, [*[16] * 7, 14]),
        (70, 12, 1, ENDS, [5, *[6] * 10, 5]),  # BLOOM
        (126, 16, 1, {FIRST: 7, LAST: 7}, [7, *[8] * 14, 7]),
        (10, 4, 1, {FIRST: 1}, [1, 3, 3, 3]),
        (10, 4, 1, {LAST: 1}, [3, 3, 3, 1]),
        (11, 4, 1, {LAST: 1}, [3, 3, 4, 1]),
        (8, 3, 1, {"layers_per_stage": [2, 5, 1]}, [2, 5, 1]),
        (8, 2, 2, {"layers_per_stage": [5, 3]}, [5, 3]),
        (8, 2, 2, {"layers_per_stage": [0, 3, 3, 2]}, [3, 5]),
        (126, 16, 8, ENDS, [7, *[8] * 14, 7]),
        (126, 8, 8, {}, [15, *[16] * 6, 15]),
        (5, 1, 1, LOSS, [5]),
    ],
)
def test_layers_are_dealt(layers: int, stages: int, chunks: int, words: dict[str, Any], expected: list[int]) -> None:
    run = staged(layers, stages, chunks, **words)
    plan = plan_of(run)
    assert list(layers_of_stages(run, plan)) == expected
    assert [one(blocks_of_stage(run, plan.table, stage)) for stage in range(stages)] == expected


def test_chunks_are_dealt_in_the_order_of_the_model() -> None:
    run = staged(6, 2, 4, **ENDS)
    assert blocks_of_chunks(run, plan_of(run)) == (0, 1, 1, 1, 1, 1, 1, 0)
    run = staged(11, 2, 2, **{LAST: 5})
    assert blocks_of_chunks(run, plan_of(run)) == (3, 3, 3, 2)


DEALS = st.one_of(
    st.fixed_dictionaries({}, optional={"account_for_embedding": st.booleans(), "account_for_loss": st.booleans()}),
    st.fixed_dictionaries({}, optional={FIRST: st.integers(1, 9), LAST: st.integers(1, 9)}),
)


@settings(deadline=None, max_examples=80)
@given(layers=st.integers(1, 40), stages=st.integers(1, 9), chunks=st.integers(1, 4), words=DEALS)
def test_every_deal_is_whole_and_its_extremes_are_known(
    layers: int, stages: int, chunks: int, words: dict[str, Any]
) -> None:
    """Stage by stage as chunk by chunk; what `deciding_stages` names has the most blocks, and holds most."""
    run = staged(layers, stages, chunks, **words)
    plans = candidates(run)
    for place in range(len(plans.tensor)):
        plan = plans.plan(place)
        each = layers_of_stages(run, plan)
        assert sum(each) == layers
        assert min(blocks_of_chunks(run, plan)[1:-1], default=1) >= 0
        assert [one(blocks_of_stage(run, plan.table, stage)) for stage in range(stages)] == list(each)
        named = [int(one(stage)) for stage in deciding_stages(run, plan.table)]
        inside = range(1, stages - 1)
        assert set(named) >= {0, stages - 1}
        for stage in inside:  # some named stage before it has as many blocks
            assert any(other <= stage and each[other] >= each[stage] for other in named if other in inside)


@given(stages=st.integers(1, 12), number=st.integers(1, 200))
def test_no_group_is_smaller_than_there_are_stages(stages: int, number: int) -> None:
    """The smallest size that Megatron-Core takes, by trying all."""
    found = int(group_size(np.array([stages]), np.array([2]), np.array([number]))[0])
    if number >= stages:
        fits = [size for size in range(stages, number + 1) if number % size == 0 or number % size >= stages]
        assert found == fits[0]


# Simulated


def test_the_fullest_stage_decides_the_pace() -> None:
    """Many micro-batches: a stage of 8 blocks takes 4 thirds of one of 6; the head stays below both."""
    even, uneven = (
        simulate_gpu(staged(20, 4, batch=400, layers_per_stage=layers, **OVERLAPS)).step_time_s
        for layers in ([6, 6, 6, 2], [6, 4, 8, 2])
    )
    # the fill differs by less than two passes of 400, and the host's time of a step is the same for both
    assert uneven / even == pytest.approx(4 / 3, rel=0.02)


@pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
def test_a_short_last_micro_batch_takes_its_share(schedule: str) -> None:
    """7 sequences as 2, 2, 2 and 1: between three and four passes, and as long as passes of both sizes together."""
    words = {"training": {"global_batch_size": 7, "micro_batch_size": 2}, "cluster": {"num_gpus": 1}}
    run = gpu_run(**words, parallelism={"pipeline_schedule": schedule})
    found = simulate(run)
    assert (found.num_micro_batches, found.step.last_micro_batch_size) == (4, 1)
    assert any("the last one has 1 sequences" in note for note in found.notes)
    six, eight, one_only = (
        simulate(gpu_run(training={"global_batch_size": batch, "micro_batch_size": micro}, cluster={"num_gpus": 1}))
        for batch, micro in ((6, 2), (8, 2), (1, 1))
    )
    assert six.step_time_s < found.step_time_s < eight.step_time_s
    pass_s = (eight.step_time_s - six.step_time_s) * 3
    update_s = six.step_time_s - pass_s
    assert found.step_time_s == pytest.approx(six.step_time_s + one_only.step_time_s - update_s, rel=1e-9)
    # what is executed is that of seven sequences
    assert found.simulation.times.flop == pytest.approx(7 * one_only.simulation.times.flop)


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (9, 5), (6, 6), (11, 6)])
def test_interleaved_stages_take_uneven_groups(batch: int, group: int) -> None:
    """And still gain over stages of one chunk."""
    interleaved, plain = (staged(32, 4, chunks, batch=batch, **OVERLAPS) for chunks in (2, 1))
    assert plan_of(interleaved).group == group
    assert simulate_gpu(interleaved).step_time_s < simulate_gpu(plain).step_time_s


def test_larger_groups_hold_more() -> None:
    """Megatron-Core warms up with 2 (p - 1) + (v - 1) N passes of the first stage: 11 of 16 for N = 4, 13 for N = 6."""
    held = []
    for group in (4, 6):
        run = staged(8, 4, 2, batch=12, micro_batch_group_size=group)
        held.append(memory_of_plan(run, plan_of(run)))
    assert held[1].activations / held[0].activations == pytest.approx(13 / 11)


def test_the_plan_of_44_blocks_on_6_stages_runs() -> None:
    """GPT-NeoX 20B as a user trained it on 3 nodes of 8 A100 40 GB."""
    found = simulate(
        gpu_run(
            model={"name": "gpt-neox-20b", "num_layers": 44, "hidden_size": 6144, "num_attention_heads": 64},
            training={"sequence_length": 2048, "global_batch_size": 48},
            cluster={"name": "dgx_a100_40gb", "num_gpus": 24},
            parallelism={"tensor_parallel_size": 4, "pipeline_parallel_size": 6},
        )
    )
    assert found.plan["layers_per_stage"] == [7, 7, 7, 8, 8, 7]


def test_auto_finds_uneven_stages() -> None:
    """13 layers on 4 stages of two GPUs that hold no more: nothing divides, and something is found."""
    run = gpu_run(
        model={"num_layers": 13},
        training={"global_batch_size": 64, "micro_batch_size": "auto"},
        cluster={"num_gpus": 8},
        parallelism={"pipeline_parallel_size": "auto", "tensor_parallel_size": 2, "data_parallel_size": 1},
    )
    found = simulate(run)
    assert len(found.plan["layers_per_stage"]) == 4
    codes = set(candidates(run).ends.tolist())
    assert codes == {0, 2, 3}


# Experts

MIXTRAL: dict[str, Any] = {
    "model": {"num_experts": 8, "experts_per_token": 2},
    "training": {"global_batch_size": 64},
    "cluster": {"num_gpus": 16},
}


def test_groups_of_experts_fold_over_tensor_ranks() -> None:
    """Mixtral with TP 4 and EP 8 on 16 GPUs: two GPUs hold each expert, and each of them an eighth of all."""
    run = gpu_run(**MIXTRAL, parallelism={"tensor_parallel_size": 4, "expert_parallel_size": 8})
    plan = plan_of(run)
    assert (plan.data, plan.expert_tensor) == (4, 2)
    _, experts = block_parameters_of_gpu(run.model, plan.table)
    all_of_it = routed_parameters(run.model)
    assert one(experts) == pytest.approx(all_of_it / 16)
    assert simulate(run).plan["expert_tensor_parallel_size"] == 2


@pytest.mark.parametrize("size", [1, 2, 4])
def test_folding_moves_no_work(size: int) -> None:
    """Whole experts on fewer GPUs: the same products' FLOP, fewer sums over tensor-parallel groups."""
    run = gpu_run(
        **MIXTRAL,
        parallelism={"tensor_parallel_size": 4, "expert_parallel_size": 2, "expert_tensor_parallel_size": size},
    )
    usual = gpu_run(**MIXTRAL, parallelism={"tensor_parallel_size": 4, "expert_parallel_size": 2})
    times, as_usual = (times_of_plan(one_run, plan_of(one_run)) for one_run in (run, usual))
    assert times.flop == pytest.approx(as_usual.flop)
    assert (times.forward.tensor_s < as_usual.forward.tensor_s) == (size < 4)


def test_states_of_experts_are_shared_by_those_that_hold_them() -> None:
    """8 copies share the optimizer state of attention; of experts that 4 GPUs split only 2 hold the same."""
    words = {"zero_stage": 1, "reduction_precision": "32bit"}
    run = gpu_run(
        **{**MIXTRAL, "cluster": {"num_gpus": 8}},
        parallelism={"expert_parallel_size": 4, "tensor_parallel_size": 1, **words},
    )
    plan = plan_of(run)
    shared, experts = block_parameters_of_gpu(run.model, plan.table)
    ends = memory_of_plan(run, plan).weights / 2 - 8 * one(shared + experts)
    expected = 12 * ((8 * one(shared) + ends) / 8 + 8 * one(experts) / 2)
    assert memory_of_plan(run, plan).optimizer == pytest.approx(expected)


def test_gradients_of_experts_move_among_those_that_hold_them() -> None:
    """Groups of 8 fill a node: what is shared stays in it, and gradients of experts leave it, one adapter for each GPU."""
    words = {"zero_stage": 1, "expert_parallel_size": 8, "tensor_parallel_size": 1}
    run = gpu_run(**MIXTRAL, parallelism=words)
    run = replace(run, cluster=run.cluster.model_copy(update={"adapters_per_node": None}))
    plan = plan_of(run)
    table, times = plan.table, times_of_plan(run, plan)
    shared, experts = (one(part) for part in block_parameters_of_gpu(run.model, table))
    all_of_them, same = (
        group_of(run.cluster, table.shard, table.tensor),
        group_of(run.cluster, 2 * table.tensor, table.expert),
    )
    assert (plan.shard, one(same.size), one(same.per_domain), one(same.sharing)) == (16, 2, 1, 8)
    expected_s = reduce_scatter_time_s(run.cluster, all_of_them, shared * reduction_bytes(run))
    expected_s = expected_s + reduce_scatter_time_s(run.cluster, same, experts * reduction_bytes(run))
    assert times.reduce_s == pytest.approx(one(expected_s))
    adapter = run.cluster.node_network_bytes_per_s / 8
    layers = run.model.num_layers
    assert times.parameter_gather_s > layers * experts * gather_bytes(run) / 2 / adapter
    updated = run.cluster.gpu.memory_bytes_per_s * times.update_s / optimizer_bytes_per_parameter(run)
    assert updated > layers * experts / 2


@pytest.mark.parametrize("latency", ["1 us", "200 us"])
def test_the_host_starts_kernels_ahead_while_collectives_run(latency: str) -> None:
    """Slower links lengthen a pass by what they take, unless the GPU waits for the host anyway."""

    def forward(nvlink: float) -> Pass:
        run = gpu_run(
            cluster={"software": {"launch_latency_s": latency, "tensor_parallel_overlap": "none"}},
            parallelism={"tensor_parallel_size": 2},
        )
        gpu = run.cluster.gpu.model_copy(update={"nvlink_bytes_per_s": nvlink})
        run = replace(run, cluster=run.cluster.model_copy(update={"gpu": gpu}))
        return times_of_plan(run, plan_of(run)).forward

    fast, slow = forward(300e9), forward(150e9)
    longer_s = slow.tensor_s - fast.tensor_s
    assert longer_s > 0.0
    assert slow.total_s - fast.total_s == pytest.approx(longer_s if latency == "1 us" else 0.0, abs=1e-9)


def test_tensor_parallel_groups_gather_and_scatter_in_8_bit_where_software_does() -> None:
    """In 16 bit the switch changes nothing; gradients that are scattered backward stay in 16 bit."""

    def waits(words: str, precision: str) -> tuple[float, float]:
        run = gpu_run(
            training={"precision": precision, "sequence_length": 2048, "micro_batch_size": 8},
            cluster={
                "name": "dgx_h100",
                "software": {"narrow_activations": words, "tensor_parallel_overlap": "none", "launch_latency_s": 0.0},
            },
            parallelism={"tensor_parallel_size": 2, "sequence_parallel": True, "attention": "flash"},
        )
        times = times_of_plan(run, plan_of(run))
        return times.forward.tensor_s, times.backward.tensor_s

    assert waits("all", "bfloat16") == waits("none", "bfloat16") == waits("none", "fp8")
    none, gathers, everything = (waits(words, "fp8") for words in ("none", "gathers", "all"))
    assert none[0] > gathers[0] > everything[0] > 0.5 * none[0]
    assert none[1] > gathers[1] == everything[1]


MIXED = {"num_experts": 8, "experts_per_token": 2, "moe_intermediate_size": 2048, "first_k_dense_replace": 4}
TURNS = {"sliding_window": 512, "layer_types": ("full_attention",) * 12 + ("sliding_attention",) * 4}


@pytest.mark.parametrize("fields", [MIXED, TURNS])
def test_each_stage_takes_the_time_of_its_own_blocks(fields: dict[str, Any]) -> None:
    """The first stage has four blocks of one kind, others of the other kind; all of them together take what the mean says."""
    shape = {"num_layers": 16, "hidden_size": 2048, "num_attention_heads": 16, "vocab_size": 32_000}
    run = wsesim.load(
        {
            "model": {**shape, "position_embedding": "rotary", **fields},
            "training": {"sequence_length": 4096, "global_batch_size": 64, "micro_batch_size": 1},
            "cluster": {"name": "dgx_h100", "num_gpus": 4},
            "parallelism": {"pipeline_parallel_size": 4, "tensor_parallel_size": 1, "virtual_pipeline_size": 1},
        }
    )
    plan = candidates(run).plan(0)
    times = times_of_plan(run, plan)
    own_s = durations_s(run, plan, times, shape_of(run, plan, 4))
    first, other = (one(kind.forward.total_s) for kind in times_of_kinds(run, plan.table, times))
    at_ends = {0: times.embedding_s, 3: times.head_forward_s}
    stages_s = [own_s["forward_s", stage] - at_ends.get(stage, 0.0) for stage in range(4)]
    wanted = [4 * first, 4 * other, 4 * other, 4 * other] if fields is MIXED else [4 * first] * 3 + [4 * other]
    assert stages_s == pytest.approx(wanted)
    assert sum(stages_s) == pytest.approx(16 * float(np.ravel(times.forward.total_s)[0]))
    assert stages_s[0] != pytest.approx(stages_s[3], rel=0.005)
