"""How sequences lie on the wafer, and how long it computes."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import wsesim
from tests.builders import between, tiny_run
from wsesim import Run
from wsesim.config.loader import load_model, load_system
from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.plan import lanes_of, micro_batch
from wsesim.machines.wafer.spec import SystemSpec
from wsesim.machines.wafer.wafer import (
    Lanes,
    attention_rate_flop_per_s,
    exposed_latency_s,
    gemm_rate_flop_per_s,
    laid_out_attention_flop,
    lay_out,
    pass_time_s,
    peak_flop_per_s,
    working_set_over_gpt,
)
from wsesim.workload.transformer import layers

CS2: SystemSpec = tiny_run().cluster.system
CS3: SystemSpec = load_system("cs3")[0]
few = settings(deadline=None, max_examples=80)


@st.composite
def layouts(draw: st.DrawFn) -> Lanes:
    """Lanes of any model and sequence length that fit."""
    width, length = draw(st.integers(16, 60_000)), draw(st.integers(1, 250_000))
    try:
        return lay_out(CS2, width, draw(between(0.5, 4.0)), length)
    except DoesNotFit:
        assume(False)
        raise


@few
@given(layouts())
def test_the_largest_micro_batch_fits_its_lanes_and_a_pass(lanes: Lanes) -> None:
    assert 1 <= lanes.most_of_a_pass <= lanes.max_micro_batch_size
    assert lanes.tokens_per_core % CS2.calibration.token_block == 0 or lanes.limited_by == "sequence"
    assert lanes.max_micro_batch_size == max(1, lanes.num_lanes * lanes.sequences_per_lane)
    assert (lanes.limited_by == "tokens") == (lanes.most_of_a_pass < lanes.max_micro_batch_size)


@few
@given(st.integers(16, 20_000), st.integers(1, 4096), between(1.1, 4.0))
def test_a_larger_working_set_never_has_a_larger_micro_batch(width: int, length: int, factor: float) -> None:
    small, large = lay_out(CS2, width, 1.0, length), lay_out(CS2, width, factor, length)
    assert large.max_micro_batch_size <= small.max_micro_batch_size


@few
@given(st.integers(16, 20_000), st.integers(1, 4096))
def test_the_larger_fabric_never_holds_less(width: int, length: int) -> None:
    assert (
        lay_out(CS3, width, 1.0, length).max_micro_batch_size >= lay_out(CS2, width, 1.0, length).max_micro_batch_size
    )


# What the vendor publishes


def model_of_width(hidden_size: int) -> Run:
    """The GPT models of the vendor's table; its micro-batches do not depend on the number of layers."""
    return tiny_run(
        model={
            "hidden_size": hidden_size,
            "num_attention_heads": hidden_size // 128,
            "vocab_size": 50_257,
            "max_position_embeddings": 2048,
        },
        training={"sequence_length": 2048, "global_batch_size": 1024},
    )


@pytest.mark.parametrize(
    ("hidden_size", "recommended"),
    [(2048, 253), (2560, 198), (4096, 121), (5120, 99), (6144, 77), (7168, 69), (8192, 55), (12288, 35)],
)
def test_the_vendors_recommended_micro_batches(hidden_size: int, recommended: int) -> None:
    # the values of a core are calibrated on these rows, so this is no validation; a count has no tolerance
    assert lanes_of(model_of_width(hidden_size)).max_micro_batch_size == recommended


def on(model: str, system: str, sequence_length: int, batch: int) -> Run:
    table = {"name": model, "max_position_embeddings": max(2048, sequence_length)}
    training = {"sequence_length": sequence_length, "global_batch_size": batch}
    return wsesim.from_table({"model": table, "training": training, "cluster": {"name": system}})


def test_llama_7b_lies_on_nine_lanes() -> None:
    # a log of the vendor's software: micro-batch 99, 9 lanes, so 11 sequences of 2048 in each
    lanes = lanes_of(on("llama-7b", "cs2", 2048, 99))
    assert (lanes.num_lanes, lanes.sequences_per_lane, lanes.max_micro_batch_size) == (9, 11, 99)
    # 110 of the 996 cores of the long side for 4096 features, 38 on each; 757 x 32 tokens hold 11 sequences
    assert (lanes.features_per_core, lanes.tokens_per_core) == (38, 32)


@pytest.mark.parametrize(
    ("model", "sequence_length", "forced"),
    [("bloom-7b", 2048, 135), ("btlm-3b", 8192, 40), ("jais-30b", 8192, 12), ("llama-3-70b", 8192, 8)],
)
def test_what_shipped_configurations_force_lies_at_or_below_the_larger_fabric(
    model: str, sequence_length: int, forced: int
) -> None:
    # they do not name their system, and may force less than fits
    fits = [lanes_of(on(model, system, sequence_length, 960)).max_micro_batch_size for system in ("cs2", "cs3")]
    assert fits[0] <= fits[1]
    assert forced <= fits[1]


# Long sequences, wide models


def test_a_pass_takes_so_many_tokens_at_most() -> None:
    lanes = lanes_of(on("cerebras-gpt-1.3b", "cs2", 2048, 528))
    assert (lanes.max_micro_batch_size, lanes.most_of_a_pass, lanes.limited_by) == (253, 128, "tokens")


def test_a_sequence_that_no_lane_holds_is_run_alone() -> None:
    # 131,072 tokens on 757 cores are 174 to a core, 64 of which a lane of 8B holds; 22 GB of working set fit the SRAM
    lanes = lanes_of(on("llama-3-8b", "cs2", 131_072, 8))
    assert (lanes.max_micro_batch_size, lanes.limited_by) == (1, "sequence")


def test_a_sequence_longer_than_a_pass_does_not_fit() -> None:
    with pytest.raises(DoesNotFit, match=r"262,144 tokens; shorten training.sequence_length"):
        lay_out(CS2, 1024, 1.0, 262_145)


def test_a_sequence_larger_than_the_sram_does_not_fit() -> None:
    # 16 values of 2 bytes for each of 40,000 features and 40,000 tokens are 51 GB
    with pytest.raises(DoesNotFit, match=r"51.2 GB of working set, the SRAM of a CS-2 wafer is 40.0 GB"):
        lay_out(CS2, 40_000, 1.0, 40_000)


def test_activations_that_stay_leave_room_for_fewer_sequences() -> None:
    alone, beside = lay_out(CS2, 4096, 1.0, 2048), lay_out(CS2, 4096, 2.0, 2048)
    assert beside.max_micro_batch_size < alone.max_micro_batch_size


@pytest.mark.parametrize(
    ("batch", "found"),
    [(1024, (64, 16)), (1040, (104, 10)), (121, (121, 1)), (131, (66, 2)), (242, (121, 2)), (1, (1, 1))],
)
def test_a_batch_is_dealt_out_in_few_passes_of_equal_size_if_it_can_be(batch: int, found: tuple[int, int]) -> None:
    # 121 fit; 1024 needs 9 passes and divides into 16 of 64, 1040 into 10 of 104; 131 is a prime: 66 and 65
    run = on("cerebras-gpt-6.7b", "cs2", 2048, batch)
    assert micro_batch(run, lanes_of(run)) == found


# Time


def test_the_peak_is_cores_times_fmac_times_two_times_clock() -> None:
    # 850,000 x 4 x 2 x 1.1 GHz
    assert peak_flop_per_s(CS2.wafer, "cbfloat16") == pytest.approx(7.48e15)
    assert peak_flop_per_s(CS2.wafer, "float32") == pytest.approx(7.48e15 * CS2.wafer.float32_rate_factor)


@pytest.mark.parametrize("precision", ["cbfloat16", "bfloat16", "float16", "float32"])
def test_work_alone_runs_at_peak_times_efficiency(precision: str) -> None:
    peak, calibration = peak_flop_per_s(CS2.wafer, precision), CS2.calibration
    assert gemm_rate_flop_per_s(CS2, precision) == pytest.approx(peak * calibration.gemm_efficiency)
    assert attention_rate_flop_per_s(CS2, precision) == pytest.approx(peak * calibration.attention_efficiency)


def test_heads_lie_in_whole_blocks_and_scores_cost_one_more() -> None:
    narrow, wide = layers(load_model("cerebras-gpt-2.7b"), 2048)[1], layers(load_model("cerebras-gpt-6.7b"), 2048)[1]
    # 32 heads each; 80 features lie in two blocks of 64 as 128 do
    assert narrow.head_widths == (80, 80)
    flop = laid_out_attention_flop(narrow, CS2.calibration, drops_scores=False)
    assert flop == laid_out_attention_flop(wide, CS2.calibration, drops_scores=False)
    assert flop == 4.0 * 2048**2 * 32 * (128 + 64)
    assert laid_out_attention_flop(narrow, CS2.calibration, drops_scores=True) == 4.0 * 2048**2 * 32 * (128 + 2 * 64)


@pytest.mark.parametrize(("model", "share"), [("gpt2", 1.0), ("llama-7b", 1.171875), ("gpt-j-6b", 0.9375)])
def test_gated_mlps_have_a_larger_working_set_and_parallel_blocks_a_smaller_one(model: str, share: float) -> None:
    spec = load_model(model)
    assert working_set_over_gpt(layers(spec, 1024)[1], spec.hidden_size) == share


@few
@given(between(1e-6, 1.0), between(1e-6, 1.0), st.floats(1.0, 10.0))
def test_latency_and_work_overlap_in_part(work_s: float, latency_s: float, exponent: float) -> None:
    found = pass_time_s(work_s, latency_s, exponent)
    assert max(work_s, latency_s) * (1.0 - 1e-12) <= found <= (work_s + latency_s) * (1.0 + 1e-12)
    assert found == pytest.approx((work_s**exponent + latency_s**exponent) ** (1.0 / exponent))
    assert exposed_latency_s(work_s, latency_s, exponent) == pytest.approx(found - work_s, abs=1e-12 * found)


def test_without_work_all_of_the_latency_is_left() -> None:
    assert pass_time_s(0.0, 2.0, 1.2) == 2.0
    assert pass_time_s(3.0, 0.0, 1.2) == 3.0
    assert math.isfinite(pass_time_s(1e-300, 1e300, 100.0))
