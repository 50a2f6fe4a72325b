"""Is the batch of a step worked out in one way, however it is asked for?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsesim
from tests.front_door import call
from wsesim.config.run import Run
from wsesim.config.training import BATCH_KEYS, TrainingSpec, wanted_batch
from wsesim.config.variations import Variations
from wsesim.errors import ConfigError
from wsesim.results.result import Result


def run(*settings: str, name: str = "andromeda_13b") -> Run:
    return wsesim.load(
        name, [f"training.{one}" if not one.startswith(("cluster", "parallelism")) else one for one in settings]
    )


def batch(*settings: str, name: str = "andromeda_13b") -> int:
    return run(*settings, name=name).training.global_batch_size


@pytest.mark.parametrize("systems", [1, 7, 12, 16])
def test_a_batch_of_each_system_grows_with_them(systems: int) -> None:
    assert batch(f"cluster.num_systems={systems}") == 90 * systems


def test_each_of_the_three_replaces_the_one_of_the_file() -> None:
    assert batch("global_batch_size=1000") == 1000
    assert batch("global_batch_tokens=2M") == 977
    assert batch("batch_size_per_system=4", name="gpt3_175b_1024xa100") == 4 * 1024 // 8 // 16
    runs = Variations.of("cerebras_gpt_13b", [], ["training.batch_size_per_system", "cluster.num_systems"])
    assert [runs.run([90, number]).training.global_batch_size for number in (7, 16)] == [630, 1440]


def test_two_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="stands beside global_batch_size, and says the same thing twice; keep one"):
        run("global_batch_size=1000", "global_batch_tokens=2M")


def test_a_search_among_plans_does_not_know_how_many_copies_there_are() -> None:
    with pytest.raises(ConfigError, match="for each data-parallel copy, whose number is searched"):
        run("batch_size_per_system=4", name="cerebras_gpt_13b_gpu")
    assert batch("batch_size_per_system=4", "parallelism.data_parallel_size=32", name="cerebras_gpt_13b_gpu") == 128


@given(st.integers(1, 16), st.integers(16, 3000))
def test_the_nearest_batch_divides_and_is_near(systems: int, wanted: int) -> None:
    found = run("batch_policy=nearest", f"global_batch_size={wanted}", f"cluster.num_systems={systems}")
    size = found.training.global_batch_size
    assert abs(size - wanted) <= 0.1 * wanted
    if wanted >= 10 * systems:  # some multiple is always near enough
        assert size % systems == 0
    assert (size == wanted) == (not found.batch_notes)


@pytest.mark.parametrize(("wanted", "gpus", "size"), [(977, 2048, 1024), (1080, 136, 1088), (977, 96, 960)])
def test_the_nearest_batch_of_gpus_shares_factors_with_them(wanted: int, gpus: int, size: int) -> None:
    settings = (
        "batch_policy=nearest",
        f"global_batch_size={wanted}",
        "cluster.name=dgx_h100",
        f"cluster.num_gpus={gpus}",
    )
    assert batch(*settings, name="cerebras_gpt_13b_gpu") == size


@pytest.mark.parametrize("key", BATCH_KEYS)
def test_the_policy_is_kept_on_other_numbers_of_devices(key: str) -> None:
    value = {"global_batch_size": 1080, "batch_size_per_system": 90, "global_batch_tokens": 1080 * 2048}[key]
    found = run("batch_policy=nearest", f"{key}={value}")
    again = [run("batch_policy=nearest", f"{key}={value}", f"cluster.num_systems={number}") for number in (7, 14)]
    assert [found.resized(number).training for number in (7, 14)] == [one.training for one in again]
    assert found.resized(14).resized(12).training == found.training


def test_every_count_of_systems_runs_and_the_fullest_decides() -> None:
    found = wsesim.simulate(run("global_batch_size=1080", "cluster.num_systems=14"))
    full = wsesim.simulate(run("batch_size_per_system=78", "cluster.num_systems=14"))
    assert isinstance(found, Result)
    assert found.step_time_s == full.step_time_s
    dealt = "1,080 sequences do not divide by 14 systems: 2 take 78 and 12 take 77; the fullest decides the time"
    assert dealt in found.notes
    few = wsesim.simulate(run("global_batch_size=10"))
    assert any("10 take 1 and 2 have none" in note for note in few.notes)


def test_tokens_that_are_no_whole_sequences_are_rounded_and_said() -> None:
    assert wanted_batch(TrainingSpec(sequence_length=2048, global_batch_tokens=100), None) == 1
    assert "2,000,000 tokens per step are 977 sequences of 2,048 tokens" in run("global_batch_tokens=2e6").batch_notes


def test_the_flagship_scales_by_one_line() -> None:
    said = call("run", "andromeda_13b", "--set", "cluster.num_systems=16", "--json")
    assert said.code == 0
    assert said.json["step_time_s"] * said.json["samples_per_s"] == pytest.approx(1440)


def test_a_batch_in_tokens_is_read_as_one_and_a_note_says_so() -> None:
    """`4M tokens` and `2M` under global_batch_size; sequences stay sequences."""
    answer = run("global_batch_size=4M tokens")
    assert answer.training.global_batch_size == round(4e6 / 2048)
    assert any("counts tokens, and was read as global_batch_tokens" in note for note in answer.notes)
    assert batch("global_batch_size=2M") == 977
    assert batch("global_batch_size=1k sequences") == 1000
