"""What a GPU executes is what the formulas of the papers count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsesim.config.loader import load_model
from wsesim.config.model import ModelSpec
from wsesim.machines.gpu.kernels import (
    Split,
    attention_backward,
    attention_forward,
    block_backward,
    block_forward,
    head_backward,
    head_forward,
    launches_of_steps,
)
from wsesim.workload.transformer import model_flop_per_sequence

SHAPE: dict[str, Any] = {
    "name": "tiny",
    "num_layers": 3,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


def split(tensor: int = 1, context: int = 1, expert: int = 1, *, fused: bool = False, sequences: int = 1) -> Split:
    """Sequences of 2048 tokens."""
    return Split(sequences, 2048, tensor, context, expert, tensor, tensor, fused)


def step_flop(model: ModelSpec, part: Split) -> float:
    """Forward and backward of a whole model on one GPU."""
    blocks = model.num_layers * (block_forward(model, part).flop + block_backward(model, part).flop)
    return float(blocks + head_forward(model, part, 48.0).flop + head_backward(model, part, 48.0).flop)


@pytest.mark.parametrize("name", ["gpt3-125m", "gpt3-6.7b", "gpt3-175b", "megatron-1t"])
def test_a_gpt_executes_what_the_papers_count(name: str) -> None:
    """Korthikanti et al. 2022, appendix A; with recomputation Narayanan et al. 2021, eq. 3."""
    model, length, batch = load_model(name), 2048, 4
    hidden, layers, vocab = model.hidden_size, model.num_layers, model.vocab_size
    part = split(sequences=batch)
    attention = length / (6 * hidden)
    each = batch * length * layers * hidden**2
    flop = step_flop(model, part)
    assert flop == pytest.approx(72 * each * (1 + attention + vocab / (12 * layers * hidden)), rel=1e-12)
    again = model.num_layers * block_forward(model, part).flop
    assert flop + again == pytest.approx(96 * each * (1 + attention + vocab / (16 * layers * hidden)), rel=1e-12)


@pytest.mark.parametrize("name", ["llama-65b", "llama-3-8b", "gpt-neox-20b", "mixtral-8x7b", "gpt-j-6b", "opt-350m"])
def test_any_decoder_executes_its_model_flop(name: str) -> None:
    """Gated MLP, grouped queries, experts, parallel blocks, narrow embeddings."""
    model = load_model(name)
    narrow = model.token_embedding_size != model.hidden_size
    widened = 6.0 * 2048 * model.token_embedding_size * model.hidden_size * narrow  # behind the lookup, left out
    assert step_flop(model, split()) + widened == pytest.approx(model_flop_per_sequence(model, 2048), rel=1e-12)


@pytest.mark.parametrize("name", ["gpt3-13b", "llama-3-8b", "gpt-neox-20b"])
@pytest.mark.parametrize("fused", [False, True])
def test_parallel_gpus_together_execute_as_much(name: str, fused: bool) -> None:
    model = load_model(name)
    alone = step_flop(model, split(fused=fused))
    for tensor, context in ((2, 1), (8, 1), (1, 4), (4, 2)):
        assert step_flop(model, split(tensor, context, fused=fused)) * tensor * context == pytest.approx(alone)


def test_experts_are_dealt_out() -> None:
    """Each GPU has a quarter of the experts, each of which gets the tokens of all four."""
    model = load_model("mixtral-8x7b")
    alone, shared = block_forward(model, split()), block_forward(model, split(expert=4))
    assert shared.flop == pytest.approx(alone.flop)
    ours, theirs = shared.gemms[2], alone.gemms[2]
    assert (ours.count, theirs.count, ours.rows / theirs.rows) == (2, 8, 4)
    assert theirs.rows * theirs.count == 2 * 2048  # two experts for each token


def test_the_fullest_gpu_multiplies_more_and_flop_are_those_of_the_mean() -> None:
    model = load_model("mixtral-8x7b")
    even, uneven = split(expert=8), split(expert=8)._replace(expert_imbalance=1.5)
    for pass_of in (block_forward, block_backward):
        pairs = list(zip(pass_of(model, even).gemms, pass_of(model, uneven).gemms, strict=True))
        assert pass_of(model, uneven).flop == pytest.approx(pass_of(model, even).flop)
        more = [fuller.rows * fuller.inner / (one.rows * one.inner) for one, fuller in pairs]
        assert sorted(set(more)) == pytest.approx([1.0, 1.5])


def test_a_fused_kernel_executes_the_causal_half() -> None:
    model = ModelSpec(**SHAPE)
    square = 4.0 * 2048**2 * 64
    assert attention_forward(model, split()).flop == square
    assert attention_forward(model, split(fused=True)).flop == square / 2
    # backward it multiplies five times, the scores once more; unfused kernels four times
    assert attention_backward(model, split(fused=True)).flop == 2.5 * square / 2
    assert attention_backward(model, split()).flop == 2 * square
    both = ModelSpec(**SHAPE, causal=False)
    assert attention_forward(both, split(fused=True)).flop == square


def test_scores_move_only_without_a_fused_kernel() -> None:
    model = ModelSpec(**SHAPE)
    scores = 4 * 2048**2
    unfused, fused = attention_forward(model, split()), attention_forward(model, split(fused=True))
    assert unfused.moves[:2] == (4 * scores, 5 * scores)
    assert sum(fused.moves) == 4 * 2048 * 3 * 64
    assert unfused.num_launches == 5
    assert fused.num_launches == 2


def test_bytes_of_a_block_by_hand() -> None:
    """Two norms read and write; dropout and residual read two, write one, and a mask; GELU reads and writes."""
    model, tokens = ModelSpec(**SHAPE), 2048
    moves = block_forward(model, split(fused=True)).moves[1:]
    assert moves == (4 * tokens * 64, 4 * tokens * 64, 7 * tokens * 64, 7 * tokens * 64, 4 * tokens * 256)


def test_gradients_of_biases_read_what_they_add_up() -> None:
    """One kernel for each, of 16-bit elements; where norms are split, a GPU has its part of what rows sum up."""
    biased, plain = (
        ModelSpec.model_validate(SHAPE | {"qkv_bias": has, "attention_output_bias": has, "mlp_bias": has})
        for has in (True, False)
    )
    tokens, hidden, inside = 2048, 64, 256

    def more(part: Split) -> tuple[float, float]:
        found = [block_backward(model, part) for model in (biased, plain)]
        return sum(found[0].moves) - sum(found[1].moves), found[0].num_launches - found[1].num_launches

    assert more(split()) == (2.0 * tokens * (3 * hidden + hidden + inside + hidden), 4)
    assert more(split(2)) == (tokens * (3 * hidden + hidden + inside + hidden), 4)
    assert more(split()._replace(sums_biases=False)) == (0.0, 0)


def test_a_bias_that_no_product_adds_is_a_kernel_that_reads_and_writes() -> None:
    """Of queries, keys and values, split over the GPUs of a tensor-parallel group."""
    biased, plain = (ModelSpec.model_validate(SHAPE | {"qkv_bias": has}) for has in (True, False))
    alone, beside = (split(2)._replace(adds_qkv_bias=adds) for adds in (True, False))
    first, second = (block_forward(biased, part) for part in (alone, beside))
    assert sum(first.moves) - sum(second.moves) == 4.0 * 2048 * 3 * 64 / 2
    assert first.num_launches - second.num_launches == 1
    assert block_forward(plain, alone) == block_forward(plain, beside)


def test_a_softmax_that_no_kernel_takes_is_worked_out_step_by_step() -> None:
    """16 heads on 8 GPUs: 2 in a micro-batch of one sequence, 4 of two. 36 bytes a score in place of 4, backward 40 of 6."""
    model = ModelSpec.model_validate(SHAPE | {"num_attention_heads": 16})

    def more(sequences: int, length: int, limit: int = 2048) -> list[float]:
        one = Split(sequences, length, 8, 1, 1, 8, 1, fused_attention=False)
        scores = sequences * 2 * length**2
        both = (attention_forward, attention_backward)
        return [
            sum(go(model, one._replace(fused_softmax_tokens=limit)).moves) - sum(go(model, one).moves) for go in both
        ] + [scores]

    assert more(2, 1024)[:2] == [0.0, 0.0]
    for sequences, length in ((1, 1024), (2, 4096), (2, 1022)):
        forward, backward, scores = more(sequences, length)
        assert (forward, backward) == (32.0 * scores, 34.0 * scores)
    assert more(1, 1024, limit=0)[:2] == [0.0, 0.0]


def test_sequence_parallelism_splits_what_tensor_parallelism_does_not() -> None:
    model = load_model("gpt3-13b")
    unsplit = Split(1, 2048, 8, 1, 1, 8, 1, True)
    apart, together = block_forward(model, unsplit).moves, block_forward(model, split(8, fused=True)).moves
    assert [one / two for one, two in zip(apart, together, strict=True)] == [1, 8, 8, 8, 8, 1]


@given(
    hidden=st.sampled_from([64, 128]),
    heads=st.sampled_from([4, 8]),
    groups=st.sampled_from([1, 2]),
    gated=st.booleans(),
    inside=st.integers(1, 300),
    experts=st.sampled_from([(1, 1), (4, 2), (8, 1)]),
    rotary=st.booleans(),
)
def test_any_block_executes_its_products_thrice(
    hidden: int, heads: int, groups: int, gated: bool, inside: int, experts: tuple[int, int], rotary: bool
) -> None:
    model = ModelSpec(
        name="any",
        num_layers=2,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=100,
        intermediate_size=inside,
        gated_mlp=gated,
        num_experts=experts[0],
        experts_per_token=experts[1],
        position_embedding="rotary" if rotary else "learned",
    )
    assert block_backward(model, split()).flop == pytest.approx(2.0 * block_forward(model, split()).flop)
    assert step_flop(model, split()) == pytest.approx(model_flop_per_sequence(model, 2048))


def test_biases_of_experts_are_added_one_by_one() -> None:
    """Two experts for each token: a bias weighted (2 bytes), added (6) and joined (4); backward 16; nothing without biases."""
    experts = SHAPE | {"num_experts": 4, "experts_per_token": 2}
    biased, plain = (ModelSpec.model_validate(experts | {"mlp_bias": has}) for has in (True, False))
    looped = split(fused=True)._replace(loops_biases=True, sums_biases=False)
    inside = looped._replace(loops_biases=False)
    for one_way, moved in ((block_forward, 12.0), (block_backward, 16.0)):
        found = [sum(one_way(model, part).moves) for model in (biased, plain) for part in (looped, inside)]
        assert found[0] - found[1] == moved * 2 * 2048 * 64
        assert found[1] == found[2] == found[3]


def test_steps_of_what_one_kernel_could_do_are_started_one_by_one() -> None:
    """Of 6 bytes each, beyond the one kernel: queries and keys turn by themselves, and there are two norms."""
    llama = ModelSpec.model_validate(
        SHAPE | {"normalization": "rmsnorm", "gated_mlp": True, "position_embedding": "rotary"}
    )
    fused = split(fused=True)
    eager = fused._replace(norm_bytes=(34.0, 82.0), gate_bytes=(12.0, 16.0), rotary_bytes=(22.0, 34.0))
    assert launches_of_steps(llama, fused, backward=False) == launches_of_steps(llama, fused, backward=True) == 0.0
    assert launches_of_steps(llama, eager, backward=False) == 2 * 5 + 1 + 2 * 3
    assert launches_of_steps(llama, eager, backward=True) == 2 * 12 + 1 + 2 * 5
    assert launches_of_steps(ModelSpec(**SHAPE), eager, backward=True) == 0.0
