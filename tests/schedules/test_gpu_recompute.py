"""What the backward pass computes again, as frameworks offer it; and plans that ran, or did not, in the memory of their GPUs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gpu_builders import gpu_run, one, plan_of
from wsesim.config.loader import any_from_table
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.gpu.memory import block_activation_bytes, kept_of_stages, memory_of, memory_of_plan
from wsesim.machines.gpu.plans import candidates, memory_to_fill_bytes
from wsesim.machines.gpu.simulation import simulate_gpu
from wsesim.machines.gpu.spec import GPURun
from wsesim.machines.gpu.stages import BLOCKS
from wsesim.machines.gpu.times import times_of_plan
from wsesim.machines.simulation import simulate

S, H, F = 1024, 1024, 4096


def run_with(again: Any, **others: Any) -> GPURun:
    """8 blocks on one GPU with a fused kernel, or as the test says."""
    words = {"attention": "flash", **others.pop("parallelism", {})}
    return gpu_run(parallelism={**words, "activation_recompute": again}, cluster={"num_gpus": 1}, **others)


def kept_bytes(again: Any) -> float:
    """Activations of the whole model without its logits, and without the block that is running."""
    run = run_with(again)
    return one(kept_of_stages(run, plan_of(run))(0, 8)) - 6 * S * 32_000


@pytest.mark.parametrize(
    ("again", "number"),
    [({"every": 1}, 8), ({"every": 2}, 4), ({"every": 3}, 3), ({"blocks": 3}, 3), ({"blocks": 9}, 8)],
)
def test_some_blocks_keep_only_their_input(again: dict[str, int], number: int) -> None:
    whole = one(block_activation_bytes(run_with("none"), plan_of(run_with("none")).table))
    assert kept_bytes(again) == pytest.approx(number * 2 * S * H + (8 - number) * whole + whole)


@pytest.mark.parametrize(
    ("operators", "less"),
    [
        (["activation"], 2 * F),
        (["moe_act"], 2 * F),
        (["layernorm"], 4 * H),
        (["mlp"], 4 * F),
        (["mlp", "activation"], 4 * F),
        (["qkv"], 6 * H),
        (["attention"], 0),
        (["core_attn", "layernorm", "moe_act"], 4 * H + 2 * F),
    ],
)
def test_operators_keep_nothing_of_what_they_make(operators: list[str], less: int) -> None:
    assert kept_bytes("none") - kept_bytes({"operators": operators}) == pytest.approx(8 * S * less)


def test_what_is_computed_again_takes_its_time() -> None:
    """None, some blocks in proportion, all; an activation is cheaper than an MLP, and that than a block."""
    step = {
        str(again): simulate_gpu(run_with(again)).step_time_s
        for again in ("none", {"every": 4}, {"every": 2}, "full", {"operators": ["activation"]}, {"operators": ["mlp"]})
    }
    none, quarter, half, full, activation, mlp = step.values()
    assert half - none == pytest.approx((full - none) / 2, rel=1e-6)
    assert quarter - none == pytest.approx((full - none) / 4, rel=1e-6)
    assert none < activation < mlp < full


def test_an_operator_again_counts_in_hfu_alone() -> None:
    plain, again, full = (simulate(run_with(one)) for one in ("none", {"operators": ["mlp"]}, "full"))
    assert plain.hfu == pytest.approx(plain.mfu)
    assert again.hfu / again.mfu < full.hfu / full.mfu < 4 / 3
    assert again.hfu > again.mfu
    assert again.plan["activation_recompute"] == {"operators": ["mlp"]}


def test_selective_means_every_second_block_where_all_is_shared() -> None:
    both = [
        gpu_run(
            parallelism={"zero_stage": 3, "attention": "flash", "activation_recompute": again}, cluster={"num_gpus": 8}
        )
        for again in ("selective", {"every": 2})
    ]
    selective, every = (simulate_gpu(run) for run in both)
    assert selective.step_time_s == every.step_time_s
    assert one(selective.memory.total) == one(every.memory.total)


@pytest.mark.parametrize(
    ("again", "words"),
    [
        ({}, ["has no key", "every, blocks, operators"]),
        ({"every": 2, "blocks": 1}, ["has every and blocks"]),
        ({"operators": ["mpl"]}, ["'mpl'", "'mlp'"]),
        ("all", ["'all'", "'selective'"]),
    ],
)
def test_wrong_words_are_told(again: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        run_with(again)
    for word in words:
        assert word in str(caught.value)


def test_the_search_computes_as_few_blocks_again_as_fit() -> None:
    """One block fewer would not fit; and the step is between that of none and that of all."""
    run = gpu_run(
        model={"num_layers": 24, "hidden_size": 4096, "num_attention_heads": 32},
        training={"global_batch_size": 128, "micro_batch_size": 16, "sequence_length": 2048},
        cluster={"num_gpus": 8},
        parallelism={"activation_recompute": "auto", "attention": "flash", "zero_stage": 3},
    )
    plans = candidates(run)
    few = plans.only(plans.recompute == BLOCKS)
    assert 1 <= one(few.again) < 24
    limit = memory_to_fill_bytes(run)
    assert one(memory_of(run, few).total) <= limit
    assert one(memory_of(run, few._replace(again=few.again - 1)).total) > limit
    assert simulate(run).plan["activation_recompute"] == {"blocks": int(one(few.again))}


# What ran, and what did not

NEMO_8B = {
    "model": {"name": "llama-3-8b"},
    "training": {"sequence_length": 8192, "global_batch_size": 128, "micro_batch_size": 1, "precision": "bfloat16"},
    "cluster": {"name": "dgxc_h100", "num_gpus": 8},
    "parallelism": {
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "context_parallel_size": 2,
        "zero_stage": 1,
        "activation_recompute": "none",
        "reduction_precision": "16bit",
    },
}


def gpus(table: dict[str, Any], **parallelism: Any) -> GPURun:
    return any_from_table({**table, "parallelism": {**table["parallelism"], **parallelism}})


def test_a_printed_peak() -> None:
    """Llama 3.1 8B of NVIDIA's DGX Cloud benchmarks v25.04.02 on 8 H100: 70.8 GB."""
    run = gpus(NEMO_8B)
    # 3 %: half of what is reserved for the context and the communicators
    assert memory_of_plan(run, plan_of(run)).total == pytest.approx(70.8e9, rel=0.03)


LLAMA_405B = {
    "model": {"name": "llama-3-405b"},
    "training": {"sequence_length": 8192, "global_batch_size": 2048, "micro_batch_size": 1},
    "cluster": {"name": "dgx_h100", "num_gpus": 8192},
    "parallelism": {
        "tensor_parallel_size": 8,
        "pipeline_parallel_size": 16,
        "data_parallel_size": 64,
        "sequence_parallel": True,
        "zero_stage": 2,
        "activation_recompute": "none",
        "account_for_embedding_and_loss": True,
    },
}
MPT_30B = {
    "model": {
        "name": "MPT 30B",
        "num_layers": 48,
        "hidden_size": 7168,
        "num_attention_heads": 64,
        "vocab_size": 50_432,
        "position_embedding": "alibi",
    },
    "training": {"sequence_length": 8192, "global_batch_size": 8, "micro_batch_size": 1},
    "cluster": {"name": "mosaic_h100", "num_gpus": 8},
    "parallelism": {
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "zero_stage": 3,
        "activation_recompute": "full",
    },
}


@pytest.mark.parametrize("table", [LLAMA_405B, MPT_30B, NEMO_8B])
def test_plans_that_ran_fit(table: dict[str, Any]) -> None:
    """Llama 3 405B (arXiv:2407.21783, 3.3.2), MPT-30B of llm-foundry, Llama 3.1 8B of DGX Cloud."""
    run = gpus(table)
    assert memory_of_plan(run, plan_of(run)).total <= run.cluster.gpu.memory_bytes
    assert times_of_plan(run, plan_of(run)).flop > 0


@pytest.mark.parametrize(
    ("table", "parallelism"),
    [
        (LLAMA_405B, {"sequence_parallel": False}),
        (LLAMA_405B, {"tensor_parallel_size": 8, "pipeline_parallel_size": 4, "data_parallel_size": 256}),
        (MPT_30B, {"activation_recompute": "none"}),
        (MPT_30B, {"zero_stage": 1}),
        (NEMO_8B, {"zero_stage": 0}),
        (NEMO_8B, {"context_parallel_size": 1}),
    ],
)
def test_what_they_shared_they_needed(table: dict[str, Any], parallelism: dict[str, Any]) -> None:
    """Without one of the things that these runs did, there is no room."""
    with pytest.raises(DoesNotFit):
        simulate_gpu(gpus(table, **parallelism))
