"""How sequences lie on the wafer, and how long it computes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import wsesim
from tests.builders import between, tiny_run
from wsesim import Run
from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.plan import lanes_of
from wsesim.machines.wafer.system import SystemSpec
from wsesim.machines.wafer.wafer import (
    Lanes,
    attention_rate_flop_per_s,
    gemm_rate_flop_per_s,
    lay_out,
    peak_flop_per_s,
    sequencing_time_s,
    tokens_per_lane,
)

CS2: SystemSpec = tiny_run().cluster.system
few = settings(deadline=None, max_examples=80)


@st.composite
def layouts(draw: st.DrawFn) -> Lanes:
    """Lanes of any model and sequence length that fit."""
    working_set, length = draw(between(100.0, 1.5e6)), draw(st.integers(1, 500_000))
    try:
        return lay_out(CS2, working_set, length, draw(between(1e-3, 10.0)))
    except DoesNotFit:
        assume(False)
        raise


@few
@given(layouts(), st.floats(0.0, 1.0))
def test_no_micro_batch_uses_more_than_the_wafer(lanes: Lanes, share: float) -> None:
    micro_batch_size = max(1, round(share * lanes.max_micro_batch_size))
    # whole lanes over a width that is at least as many: at most 1 but for the rounding of one division
    assert 0.0 < lanes.utilization(micro_batch_size) <= 1.0 + 1e-12


@few
@given(layouts())
def test_the_largest_micro_batch_fits_its_lanes_and_the_token_limit(lanes: Lanes) -> None:
    assert lanes.num_lanes <= lanes.width
    assert lanes.max_micro_batch_size >= 1
    assert lanes.lanes_per_sequence == 1 or lanes.sequences_per_lane == 0
    by_memory = lanes.num_lanes * lanes.sequences_per_lane or lanes.num_lanes // lanes.lanes_per_sequence
    assert lanes.max_micro_batch_size <= by_memory
    assert lanes.limited_by == ("sram" if lanes.max_micro_batch_size == by_memory else "tokens")


@few
@given(layouts())
def test_full_lanes_are_the_best_use(lanes: Lanes) -> None:
    assert lanes.utilization(lanes.slots) == pytest.approx(lanes.slots * lanes.lanes_per_sequence / lanes.width)
    assume(lanes.slots >= 2)
    assert lanes.utilization(lanes.slots + 1) < lanes.utilization(lanes.slots)


@few
@given(between(100.0, 1e5), st.integers(1, 4096), between(1.1, 4.0))
def test_a_wider_model_never_has_a_larger_micro_batch(working_set: float, length: int, factor: float) -> None:
    narrow, wide = lay_out(CS2, working_set, length), lay_out(CS2, working_set * factor, length)
    assert wide.max_micro_batch_size <= narrow.max_micro_batch_size


# What the vendor publishes


def model_of_width(hidden_size: int, head_size: int) -> Run:
    """The GPT models of the vendor's table; its micro-batches do not depend on the number of layers."""
    return tiny_run(
        model={
            "hidden_size": hidden_size,
            "num_attention_heads": hidden_size // head_size,
            "vocab_size": 50_257,
            "max_position_embeddings": 2048,
        },
        training={"sequence_length": 2048, "global_batch_size": 1024},
    )


@pytest.mark.parametrize(
    ("hidden_size", "recommended"),
    [(2048, 253), (4096, 121), (6144, 77), (8192, 55)],
)
def test_the_vendors_recommended_micro_batches(hidden_size: int, recommended: int) -> None:
    # the width of the lanes is calibrated on these rows, so this is no validation; a count has no tolerance
    assert lanes_of(model_of_width(hidden_size, 128)).max_micro_batch_size == recommended


def test_llama_7b_lies_on_nine_lanes() -> None:
    # a log of the vendor's software: micro-batch 99, 9 lanes, so 11 sequences of 2048 in each
    model = wsesim.from_table(
        {
            "model": {"name": "llama-7b"},
            "training": {"sequence_length": 2048, "global_batch_size": 99},
            "cluster": {"name": "cs2"},
        }
    )
    lanes = lanes_of(model)
    assert (lanes.num_lanes, lanes.sequences_per_lane, lanes.max_micro_batch_size) == (9, 11, 99)


# Long sequences, wide models


def test_a_sequence_too_long_for_one_lane_takes_several() -> None:
    depth = tokens_per_lane(CS2)
    working_set = CS2.calibration.lane_bytes_per_token / 8.5
    lanes = lay_out(CS2, working_set, 2 * depth + 1)
    assert (lanes.num_lanes, lanes.lanes_per_sequence, lanes.sequences_per_lane) == (8, 3, 0)
    # 8 lanes hold two sequences of three lanes
    assert (lanes.slots, lanes.max_micro_batch_size) == (2, 2)
    assert lanes.utilization(2) == pytest.approx(6 / 8.5)


def test_a_sequence_that_just_fits_a_lane_takes_one() -> None:
    depth = tokens_per_lane(CS2)
    working_set = CS2.calibration.lane_bytes_per_token / 8.5
    assert lay_out(CS2, working_set, depth).lanes_per_sequence == 1
    assert lay_out(CS2, working_set, depth + 1).lanes_per_sequence == 2


def test_activations_that_stay_leave_room_for_fewer_sequences() -> None:
    working_set = CS2.calibration.lane_bytes_per_token / 8.5
    alone, beside = lay_out(CS2, working_set, 2048), lay_out(CS2, working_set, 2048, kept_per_working_set=1.0)
    assert tokens_per_lane(CS2, 1.0) == tokens_per_lane(CS2) // 2
    assert beside.sequences_per_lane == alone.sequences_per_lane // 2


def test_a_model_wider_than_the_wafer_does_not_fit() -> None:
    with pytest.raises(DoesNotFit, match=r"make the model narrower, to 50% of its width"):
        lay_out(CS2, 2.0 * CS2.calibration.lane_bytes_per_token, 128)


def test_a_sequence_longer_than_the_wafer_does_not_fit() -> None:
    working_set = CS2.calibration.lane_bytes_per_token / 2.0
    longest = 2 * tokens_per_lane(CS2)
    assert lay_out(CS2, working_set, longest).max_micro_batch_size == 1
    with pytest.raises(DoesNotFit, match=rf"at most {longest:,}"):
        lay_out(CS2, working_set, longest + 1)


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


def test_sequencing_counts_weight_matrices() -> None:
    calibration = CS2.calibration.model_copy(update={"weight_matrix_overhead_s": 2e-6})
    assert sequencing_time_s(calibration, 6) == pytest.approx(12e-6)
