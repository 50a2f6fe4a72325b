"""What MemoryX holds, and how long an update takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import between, tiny_run
from wsesim.errors import DoesNotFit
from wsesim.machines.wafer.memoryx import (
    STATE_BYTES_PER_PARAMETER,
    UPDATE_BYTES_PER_PARAMETER,
    check_capacity,
    egress_rate_bytes_per_s,
    share_in_flash,
    state_bytes,
    update_time_s,
)
from wsesim.machines.wafer.spec import MemoryXSpec

OPTIMIZERS = sorted(STATE_BYTES_PER_PARAMETER)
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
few = settings(deadline=None, max_examples=25)


def memoryx(**overrides: float | str) -> MemoryXSpec:
    return tiny_run(cluster={"memoryx": overrides}).cluster.memoryx


def test_adam_takes_what_the_vendor_states() -> None:
    # "4 TB for 200e9 parameters" is rounded to one digit; 20 bytes per parameter meet it exactly
    assert state_bytes(200_000_000_000, "adamw") == pytest.approx(4e12)


@each_optimizer
def test_an_update_reads_and_writes_at_least_the_weight_its_gradient_and_the_moments(optimizer: str) -> None:
    moments = {"adam": 2, "adamw": 2, "lion": 1, "sgd": 1}[optimizer]
    # 4-byte weight, gradient and moments in; weight, moments and a 2-byte wire copy out
    assert UPDATE_BYTES_PER_PARAMETER[optimizer] == 4 * (2 + moments) + 4 * (1 + moments) + 2


@each_optimizer
@few
@given(number=st.integers(1, 10**13))
def test_what_fits_is_accepted_and_one_parameter_more_refused(optimizer: str, number: int) -> None:
    held = number * STATE_BYTES_PER_PARAMETER[optimizer]
    spec = memoryx(dram_bytes=held, flash_bytes=0.0)
    check_capacity(spec, number, optimizer)
    with pytest.raises(DoesNotFit):
        check_capacity(spec, number + 1, optimizer)


def test_a_refusal_names_what_would_be_needed() -> None:
    wanted = r"needs 20\.0 TB .* holds 12\.0 TB; set cluster\.memoryx\.flash_bytes to at least 8\.00 TB"
    with pytest.raises(DoesNotFit, match=wanted):
        check_capacity(memoryx(dram_bytes="12 TB", flash_bytes=0.0), 10**12, "adamw")


@few
@given(between(1e6, 1e14), between(1e6, 1e14), st.integers(1, 10**12))
def test_flash_holds_what_dram_does_not(dram_bytes: float, flash_bytes: float, number: int) -> None:
    spec = memoryx(dram_bytes=dram_bytes, flash_bytes=flash_bytes)
    share, needed = share_in_flash(spec, number, "adamw"), state_bytes(number, "adamw")
    assert 0.0 <= share < 1.0
    # one division and one subtraction of doubles
    assert (1.0 - share) * needed == pytest.approx(min(needed, dram_bytes), rel=1e-9, abs=1e-9 * needed)


@few
@given(between(1.0, 1e12), between(1.0, 100.0), st.sampled_from(OPTIMIZERS))
def test_an_update_is_bound_by_memory_traffic(number: float, factor: float, optimizer: str) -> None:
    spec = memoryx(optimizer_bytes_per_s="4 TB/s")
    alone = update_time_s(spec, number, optimizer)
    assert alone == pytest.approx(number * UPDATE_BYTES_PER_PARAMETER[optimizer] / 4e12)
    assert update_time_s(spec, number * factor, optimizer) == pytest.approx(alone * factor)


def test_flash_slows_down_what_lies_in_it() -> None:
    spec = memoryx(flash_bytes_per_s="40 GB/s", egress_bytes_per_s="150 GB/s", optimizer_bytes_per_s="4 TB/s")
    assert (egress_rate_bytes_per_s(spec), egress_rate_bytes_per_s(spec, in_flash=True)) == (150e9, 40e9)
    slower = update_time_s(spec, 1e9, "adamw", in_flash=True) / update_time_s(spec, 1e9, "adamw")
    assert slower == pytest.approx(4e12 / 40e9)


def test_fast_flash_does_not_make_anything_faster() -> None:
    spec = memoryx(flash_bytes_per_s="400 TB/s")
    assert egress_rate_bytes_per_s(spec, in_flash=True) == egress_rate_bytes_per_s(spec)
    assert update_time_s(spec, 1e9, "adamw", in_flash=True) == update_time_s(spec, 1e9, "adamw")
