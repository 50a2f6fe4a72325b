"""Each field of a model changes FLOP, memory and streamed bytes by what one counts by hand, on wafers and on GPUs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.builders import tiny_run
from tests.gpu_builders import gpu_run, one, plan_of
from wsesim.config.model import ModelSpec
from wsesim.machines.gpu.memory import block_activation_bytes, memory_of_plan
from wsesim.machines.gpu.times import block_parameters_of_gpu, pass_flop, times_of_plan
from wsesim.machines.wafer.plan import make_plan
from wsesim.workload.transformer import (
    Layer,
    active_parameter_count,
    attended_pairs,
    block_variants,
    layers,
    model_flop_per_sequence,
    parameter_count,
)

LENGTH, LAYERS, HIDDEN, HEADS, KEYS, WIDE = 64, 4, 32, 8, 2, 24
BASE: dict[str, Any] = {
    "name": "base",
    "num_layers": LAYERS,
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEYS,
    "head_dim": 4,
    "intermediate_size": WIDE,
    "vocab_size": 100,
    "position_embedding": "rotary",
    "normalization": "rmsnorm",
    "gated_mlp": True,
    "qkv_bias": False,
    "attention_output_bias": False,
    "mlp_bias": False,
}
MIXTURE = BASE | {"num_experts": 4, "experts_per_token": 2, "moe_intermediate_size": 8, "n_shared_experts": 1}
LATENT = BASE | {"num_key_value_heads": None, "head_dim": None, "q_lora_rank": 12, "kv_lora_rank": 10}
LATENT |= {"qk_nope_head_dim": 6, "qk_rope_head_dim": 2, "v_head_dim": 4}


def changes(base: dict[str, Any], field: str, value: Any = None) -> dict[str, float]:
    """By how much a model grows with twice a field, or with another value of it."""
    old, new = ModelSpec(**base), ModelSpec(**base | {field: value or 2 * base[field]})
    return {name: amounts(new)[name] - amounts(old)[name] for name in amounts(old)}


def amounts(model: ModelSpec) -> dict[str, float]:
    """Of the blocks: what passes, what is computed for a sequence, what a token needs on a wafer, what a GPU keeps."""
    blocks = [layer for layer in layers(model, LENGTH) if layer.kind == "block"]
    fields = {key: value for key, value in model.model_dump().items() if value is not None}
    spread = {"attention": "flash", "zero_stage": 0, "fused_mlp_activation": False}
    run = gpu_run(model=fields, training={"sequence_length": LENGTH}, parallelism=spread)
    plan = plan_of(run)
    return {
        "parameters": sum(block.parameters for block in blocks),
        "streamed": sum(block.streamed_parameters for block in blocks),
        "gemm": sum(block.gemm_flop_per_sequence for block in blocks),
        "attention": sum(block.attention_flop_per_sequence for block in blocks),
        "kept": max(block.working_set_bytes_per_token for block in blocks),
        "gpu_parameters": one(sum(block_parameters_of_gpu(run.model, plan.table))) * LAYERS,
        "gpu_flop": one(pass_flop(run, plan.table).forward) * LAYERS,
        "gpu_bytes": one(block_activation_bytes(run, plan.table)) * LAYERS,
    }


def by_hand(parameters: float, weights: float, pairs: float, kept: float) -> dict[str, Any]:
    """What every amount changes by: elements of matrices, attention FLOP of one block's square, elements a token keeps."""
    return {
        "parameters": parameters * LAYERS,
        "streamed": parameters * LAYERS,
        "gemm": 2.0 * LENGTH * weights * LAYERS,
        "attention": pairs * LAYERS,
        "kept": 2.0 * kept,
        "gpu_parameters": pytest.approx(parameters * LAYERS),
        "gpu_flop": pytest.approx((2.0 * LENGTH * weights + 0.5 * pairs) * LAYERS),
        "gpu_bytes": pytest.approx(2.0 * kept * LENGTH * LAYERS),
    }


def test_head_dim() -> None:
    """8 queries, 2 keys and values, 8 outputs of 4 more elements each."""
    more = HIDDEN * 4 * (8 + 2 + 2 + 8)
    assert changes(BASE, "head_dim") == by_hand(more, more, 4.0 * LENGTH**2 * 8 * 4, 4 * (8 + 2 + 2 + 8))


def test_v_head_dim() -> None:
    """2 values and 8 outputs; the scores stay."""
    more = HIDDEN * 4 * (2 + 8)
    assert changes(BASE | {"v_head_dim": 4}, "v_head_dim") == by_hand(more, more, 2.0 * LENGTH**2 * 8 * 4, 4 * (2 + 8))


@pytest.mark.parametrize(("kind", "scales"), [("head", 4 + 4), ("width", 8 * 4 + 2 * 4)])
def test_qk_norm(kind: str, scales: int) -> None:
    """A scale for each element of a head, or of all heads; their inputs are kept."""
    assert changes(BASE, "qk_norm", kind) == by_hand(scales, 0, 0, 8 * 4 + 2 * 4)


def test_qk_norm_is_a_switch_in_most_files() -> None:
    assert ModelSpec(**BASE, qk_norm=True).qk_norm == "head"


def test_attention_sinks_and_four_norms() -> None:
    assert changes(BASE, "attention_sinks", True) == by_hand(HEADS, 0, 0, 0)
    assert changes(BASE, "sandwich_norm", True) == by_hand(2 * HIDDEN, 0, 0, 2 * HIDDEN)


def test_moe_intermediate_size() -> None:
    """4 experts and the shared one pass; 2 and the shared one work on a token."""
    each = 3 * HIDDEN * 8
    assert changes(MIXTURE, "moe_intermediate_size") == by_hand(5 * each, 3 * each, 0, 4 * 3 * 8)


def test_n_shared_experts() -> None:
    each = 3 * HIDDEN * 8
    assert changes(MIXTURE, "n_shared_experts") == by_hand(each, each, 0, 4 * 8)


def test_shared_expert_of_its_own_width_with_a_gate() -> None:
    own = MIXTURE | {"shared_expert_intermediate_size": 20}
    each = 3 * HIDDEN * 20
    assert changes(own, "shared_expert_intermediate_size") == by_hand(each, each, 0, 4 * 20)
    assert changes(own, "shared_expert_gate", True) == by_hand(HIDDEN, HIDDEN, 0, 0)


def test_router_bias() -> None:
    assert changes(MIXTURE, "router_bias", True) == by_hand(4, 0, 0, 0)


def test_first_k_dense_replace() -> None:
    """One more block with an MLP of 24 instead of a router and experts of 8."""
    one = MIXTURE | {"first_k_dense_replace": 1}
    dense, router, each = 3 * HIDDEN * WIDE, HIDDEN * 4, 3 * HIDDEN * 8
    found = changes(one, "first_k_dense_replace")
    assert found["streamed"] == dense - router - 5 * each
    assert found["gemm"] == 2.0 * LENGTH * (dense - router - 3 * each)
    assert found["gpu_parameters"] == pytest.approx(found["streamed"])
    assert found["gpu_flop"] == pytest.approx(found["gemm"])


def test_interleave_moe_layer_step() -> None:
    """Experts in two of four blocks, or in all."""
    model = ModelSpec(**MIXTURE | {"interleave_moe_layer_step": 2})
    assert [one.num_experts for one, _ in block_variants(model)] == [1, 4]
    assert [layer.name for layer in layers(model, LENGTH) if layer.num_weight_matrices > 10] == ["block.1", "block.3"]


@pytest.mark.parametrize(
    ("field", "weights", "norms", "pairs", "kept"),
    [
        ("q_lora_rank", 12 * (HIDDEN + 8 * 8), 12, 0, 2 * 12),
        ("kv_lora_rank", 10 * (HIDDEN + 8 * (6 + 4)), 10, 0, 2 * 10),
        ("qk_nope_head_dim", 8 * 6 * (12 + 10), 0, 2.0 * LENGTH**2 * 8 * 6, 2 * 8 * 6),
        ("qk_rope_head_dim", 8 * 2 * 12 + 2 * HIDDEN, 0, 2.0 * LENGTH**2 * 8 * 2, 2 * 8 * 2 + 2 * 2),
        ("v_head_dim", 8 * 4 * (10 + HIDDEN), 0, 2.0 * LENGTH**2 * 8 * 4, 2 * 8 * 4),
    ],
)
def test_latent_attention(field: str, weights: int, norms: int, pairs: float, kept: int) -> None:
    """Queries are 32 -> 12 -> 8 x (6 + 2), keys and values 32 -> 10 + 2, 10 -> 8 x (6 + 4), outputs 8 x 4 -> 32."""
    assert changes(LATENT, field) == by_hand(weights + norms, weights, pairs, kept)


def test_latent_attention_is_sliced_into_as_many_matrices() -> None:
    without = {key: value for key, value in LATENT.items() if key != "q_lora_rank"}
    assert [layers(ModelSpec(**one), LENGTH)[1].num_weight_matrices for one in (BASE, LATENT, without)] == [7, 8, 7]


def test_sliding_window() -> None:
    """8 keys for each of 64 tokens, then 16; a fused kernel leaves out what the first tokens do not have."""
    found = changes(BASE | {"sliding_window": 8}, "sliding_window")
    each = 2.0 * HEADS * (4 + 4) * LAYERS
    assert found["attention"] == each * LENGTH * 8
    assert found["gpu_flop"] == pytest.approx(each * (LENGTH * 8 - 0.5 * (16**2 - 8**2)))
    assert found["streamed"] == found["kept"] == found["gpu_bytes"] == 0


def test_a_window_as_long_as_the_sequence_is_none() -> None:
    wide, none = ModelSpec(**BASE, sliding_window=LENGTH), ModelSpec(**BASE)
    assert amounts(wide) == amounts(none)
    for causal in (False, True):
        assert model_flop_per_sequence(wide, LENGTH, causal=causal) == model_flop_per_sequence(
            none, LENGTH, causal=causal
        )


def test_layer_types_repeat() -> None:
    """Three of four blocks slide; an unfused GPU kernel computes the whole square and masks it."""
    model = ModelSpec(**BASE, sliding_window=8, layer_types=("sliding_attention",) * 3 + ("full_attention",))
    short = ModelSpec(**BASE, sliding_window=8, layer_types=("sliding_attention", "full_attention"))
    square = 2.0 * HEADS * (4 + 4) * LENGTH
    assert amounts(model)["attention"] == square * (3 * 8 + LENGTH)
    assert amounts(short)["attention"] == square * (2 * 8 + 2 * LENGTH)
    fused = {"model": model.model_dump(exclude_none=True), "training": {"sequence_length": LENGTH}}
    unfused = gpu_run(**fused, parallelism={"attention": "unfused"})
    whole = gpu_run(**fused | {"model": BASE}, parallelism={"attention": "unfused"})
    assert pass_flop(unfused, plan_of(unfused)).forward == pass_flop(whole, plan_of(whole)).forward


def test_chunked_attention() -> None:
    """64 tokens are two pieces of 24 and one of 16."""
    model = ModelSpec(**BASE, sliding_window=24, layer_types=("chunked_attention",))
    assert attended_pairs(model, LENGTH) == 2 * 24**2 + 16**2
    assert attended_pairs(model, LENGTH, causal=True) == 0.5 * (2 * 24**2 + 16**2)


def test_active_parameters_leave_out_idle_experts() -> None:
    model = ModelSpec(**MIXTURE | {"first_k_dense_replace": 1})
    assert parameter_count(model) - active_parameter_count(model) == 3 * 2 * 3 * HIDDEN * 8
    assert active_parameter_count(ModelSpec(**BASE)) == parameter_count(ModelSpec(**BASE))


def test_a_wafer_streams_blocks_of_different_kinds() -> None:
    """The plan has a kind of sweep for each; every layer is computed for its own FLOP."""
    mixed = MIXTURE | {"first_k_dense_replace": 1, "sliding_window": 8}
    mixed |= {"layer_types": ["sliding_attention", "full_attention"]}
    run = tiny_run(model=mixed)
    plan = make_plan(run)
    chain = layers(run.model, run.training.sequence_length)
    forward = [plan.kinds[visit.kind] for visit in plan.visits if plan.kinds[visit.kind].phase == "forward"]

    def executed(layer: Layer) -> float:
        return layer.gemm_flop_per_sequence + layer.attention_flop_per_sequence

    assert [sweep.executed_flop_per_sequence for sweep in forward] == [executed(layer) for layer in chain]
    assert len({sweep.num_bytes for sweep in forward[1:-1]}) == 2


def test_a_gpu_holds_and_takes_the_mean_of_different_blocks() -> None:
    """One dense block of four, three with experts."""
    model = ModelSpec(**MIXTURE | {"first_k_dense_replace": 1})

    def held(one: ModelSpec) -> tuple[float, float, float]:
        run = gpu_run(model=one.model_dump(exclude_none=True), training={"sequence_length": LENGTH})
        plan = plan_of(run)
        memory = memory_of_plan(run, plan)
        return times_of_plan(run, plan).forward.total_s, memory.activations, memory.weights

    (dense, _), (mixture, _) = block_variants(model)
    parts = zip(held(model), held(dense.model_copy(update={"num_layers": LAYERS})), strict=True)
    other = held(mixture.model_copy(update={"num_layers": LAYERS}))
    for (mixed, few), many in zip(parts, other, strict=True):
        assert mixed == pytest.approx(0.25 * few + 0.75 * many)


@pytest.mark.parametrize(
    ("base", "change", "finding"),
    [
        (BASE, {"q_lora_rank": 4}, "is for latent attention"),
        (LATENT, {"qk_rope_head_dim": None}, "is missing"),
        (BASE, {"layer_types": ["sliding_attention"]}, "add sliding_window"),
        (BASE, {"layer_types": ["full_attention"] * 5}, "more than num_layers"),
        (BASE, {"n_shared_experts": 1}, "is for mixtures"),
        (MIXTURE | {"n_shared_experts": 0}, {"shared_expert_gate": True}, "needs a shared expert"),
        (BASE, {"sandwich_norm": True, "parallel_block": True}, "set parallel_block = false"),
    ],
)
def test_fields_that_contradict_each_other(base: dict[str, Any], change: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValidationError, match=finding):
        ModelSpec(**base | change)


def test_classes_of_an_encoder() -> None:
    """BERT-base with three classes; without pooler a language-model head remains."""
    bert: dict[str, Any] = {"name": "bert", "num_layers": 12, "hidden_size": 768, "num_attention_heads": 12}
    bert |= {"vocab_size": 30_522, "max_position_embeddings": 512, "type_vocab_size": 2, "embedding_norm": True}
    bert |= {"causal": False, "final_norm": False}
    assert parameter_count(ModelSpec(**bert)) == 109_483_778
    assert parameter_count(ModelSpec(**bert, num_labels=3)) == 109_484_547
    assert parameter_count(ModelSpec(**bert, masked_positions=20, pooler=False)) == 109_514_298
