"""Are points of a curve the runs that they say, and is what is missing said?"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsesim
from wsesim import GPURun, Result
from wsesim.config.loader import load_any
from wsesim.machines.gpu.machine import gpu_counts
from wsesim.machines.gpu.search import estimate_s, rank
from wsesim.machines.machine import counts
from wsesim.results.result import scaling_efficiency
from wsesim.study.scaling import Curve, Scaling, job_of, scaling


def wafers(*settings: str) -> Result:
    found = wsesim.simulate(wsesim.load("cerebras_gpt_1.3b", settings))
    assert isinstance(found, Result)
    return found


def gpus(name: str) -> GPURun:
    run = wsesim.load(name)
    assert run.machine == "gpu"
    return run


def curve(found: Scaling, kind: str) -> Curve:
    return next(one for one in found.curves if one.kind == kind)


def test_points_are_direct_simulations() -> None:
    result = wafers("cluster.num_systems=4", "training.global_batch_size=528")
    found = scaling(result)
    for kind, batches in (("weak", {1: 132, 3: 396, 16: 2112}), ("strong", {1: 528, 3: 528, 16: 528})):
        points = {point.num_devices: point for point in curve(found, kind).points}
        for number, batch in batches.items():
            direct = wsesim.simulate(result.run.on(number, batch))
            assert points[number].step_time_s == direct.step_time_s
            assert points[number].tokens_per_s == pytest.approx(direct.tokens_per_s)
            assert points[number].global_batch_size == batch


def test_efficiencies_are_those_of_the_result() -> None:
    result = wafers("cluster.num_systems=4", "training.global_batch_size=528")
    found = scaling(result)
    weak, strong = ({p.num_devices: p for p in curve(found, kind).points}[4] for kind in ("weak", "strong"))
    assert found.own.efficiency == pytest.approx(scaling_efficiency(result)[0])
    assert weak.efficiency == pytest.approx(scaling_efficiency(result)[0])
    assert strong.efficiency == pytest.approx(scaling_efficiency(result)[1])


def test_a_batch_that_does_not_divide_takes_as_long_as_on_the_fullest_system() -> None:
    strong = curve(scaling(wafers("training.global_batch_size=100")), "strong")
    assert [one.num_devices for one in strong.points] == list(range(1, 17))
    times_s = {one.num_devices: one.step_time_s for one in strong.points}
    assert times_s[14] == times_s[13]  # the fullest of both has 8
    alone = wafers("cluster.num_systems=1", "training.batch_size_per_system=8")
    assert times_s[14] == pytest.approx(alone.step_time_s, rel=1e-3)  # latency of two levels of the tree


def test_a_model_that_fits_nowhere_has_no_points_but_reasons() -> None:
    run = wsesim.load("cerebras_gpt_1.3b")
    assert run.machine == "wafer"
    small = wsesim.simulate(run)
    assert isinstance(small, Result)
    starved = run.cluster.memoryx.model_copy(update={"dram_bytes": 1e9, "flash_bytes": 0.0})
    cramped = Result(replace(run, cluster=run.cluster.model_copy(update={"memoryx": starved})), small.step)
    weak = scaling(cramped).curves[0]
    assert weak.points == ()
    assert "MemoryX" in weak.left_out[0].reason


def test_exceptions_are_not_in_the_curves_but_in_the_own_point() -> None:
    result = wsesim.simulate(wsesim.load("straggler_13b"))
    found = scaling(result)
    same = {point.num_devices: point for point in found.curves[0].points}[result.num_devices]
    assert found.own.tokens_per_s < same.tokens_per_s
    assert any("identical systems" in note for note in found.notes)


def test_gpu_points_are_the_best_plans_of_the_same_job() -> None:
    result, gpu = wafers(), gpus("cerebras_gpt_1.3b_gpu")
    found = curve(scaling(result, gpu), "gpu")
    run = job_of(gpu, result.run)
    assert run.training.global_batch_size == result.run.training.global_batch_size
    assert run.model == result.run.model
    for point in found.points[:3]:
        assert point.step_time_s == float(rank(run.on(point.num_devices)).estimates_s[0])
    rates = [point.tokens_per_s for point in found.points]
    assert rates == sorted(rates)
    assert {*(p.num_devices for p in found.points), *(one.num_devices for one in found.left_out)} == set(
        gpu_counts(run.cluster.max_gpus, run.cluster.gpus_per_node, run.cluster.num_gpus)
    )


def test_a_gpu_run_scales_too() -> None:
    run = gpus("gpt_neox_20b_96xa100")
    found = scaling(wsesim.simulate(run))
    assert [one.kind for one in found.curves] == ["weak", "strong"]
    assert found.device == "GPUs"
    assert {one.reason for one in curve(found, "strong").left_out} == {"no plan fits into the memory"}
    assert estimate_s(run.with_auto_plan().on(8)) is None
    assert any("the best plan for as many GPUs has about" in note for note in found.notes)


def test_a_gpu_run_with_the_best_plan_lies_on_its_curve() -> None:
    found = scaling(wsesim.simulate(gpus("cerebras_gpt_111m_gpu")))
    assert not any("the best plan for as many GPUs" in note for note in found.notes)


def test_curves_are_json() -> None:
    told = scaling(wafers()).to_dict()
    assert json.loads(json.dumps(told))["curves"][0]["points"][0]["num_devices"] == 1


@given(st.integers(1, 100_000))
def test_counts_run_from_one_to_the_limit(limit: int) -> None:
    found = counts(limit)
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (1, limit)
    assert len(found) <= 64


@given(st.integers(1, 65_536), st.sampled_from((4, 8, 16)))
def test_counts_of_gpus_hold_the_own_one(limit: int, node: int) -> None:
    own = max(1, limit // 3)
    found = gpu_counts(limit, node, own)
    assert {1, own, limit} <= set(found)
    assert found == sorted(set(found))


def test_efficiencies_above_one_say_why() -> None:
    run = load_any(
        {
            "name": "a model that few GPUs hold by recomputation alone",
            "model": {"name": "llama-3-70b"},
            "training": {"sequence_length": 8192, "global_batch_size": 64},
            "cluster": {"name": "dgxc_h100", "num_gpus": 32},
        }
    )
    found = scaling(wsesim.simulate(run))
    weak = found.curves[0]
    assert max(one.efficiency for one in weak.points) > 1.05
    assert any("weak scaling reaches 1" in note and "first point" in note for note in found.notes)
