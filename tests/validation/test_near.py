"""Are the nearest measurements near, of the same machines, and with the errors of the validation?"""

from __future__ import annotations

import pytest

import wsesim
from wsesim.machines.gpu.rows import published as published_gpus
from wsesim.machines.wafer.rows import LAYOUT_METRICS, published
from wsesim.validate.gpu_predict import run_of as gpu_run_of
from wsesim.validate.near import near, predict_all, run_of


@pytest.mark.parametrize("name", ["andromeda_13b", "gpt_neox_20b_96xa100"])
def test_the_nearest_come_first_and_say_in_what_they_differ(name: str) -> None:
    found = near(wsesim.load(name), 4)
    distances = [one.doublings for one in found]
    assert len(found) == 4
    assert distances == sorted(distances)
    assert all(one.differs for one in found if one.doublings > 1.0)


def test_a_measured_configuration_is_nearest_to_itself() -> None:
    row = next(row for row in published_gpus() if row.set == "published-runs")
    nearest = near(gpu_run_of(row), 1)[0]
    assert nearest.doublings < 0.2
    assert nearest.differs == ()
    assert nearest.measured_tokens_per_s == pytest.approx(row.tokens / row.iteration_s)


def test_errors_are_those_of_the_validation() -> None:
    rows = [row for row in published() if row.metric not in LAYOUT_METRICS and row.system == "cs2"]
    errors = {one.measurement.id: one.error for one in predict_all(rows[:3])}
    for row in rows[:3]:
        nearest = {one.id: one.error for one in near(run_of(row), 40)}
        assert nearest[row.id] == pytest.approx(errors[row.id])


@pytest.mark.parametrize(("name", "device"), [("llama_2_70b_cs3_64", "CS-3"), ("llama_3.1_70b_64xh100", "H100 SXM")])
def test_only_machines_of_the_same_generation_are_near(name: str, device: str) -> None:
    assert {one.device[: len(device)] for one in near(wsesim.load(name), 3)} == {device}


def test_where_nothing_was_measured_other_machines_say_so() -> None:
    run = wsesim.load("cerebras_gpt_111m_gpu", ["cluster.name=gb200_nvl72"])
    found = near(run, 2)
    assert all("measured on" in one.differs[0] for one in found)
    assert all(not one.device.startswith("GB200") for one in found)
