"""A part that is made slow is the part that the time is charged to."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import wsesim
from tests.builders import laid_over, tiny_run
from wsesim.machines.wafer import step as steps
from wsesim.machines.wafer.metrics import CATEGORIES, breakdown_s, layer_times_s
from wsesim.machines.wafer.simulation import run_schedule

FAST: dict[str, Any] = {
    "system": {"calibration": {"pass_latency_s": 0.0}, "wafer": {"io_bytes_per_s": "100 TB/s"}},
    "swarmx": {"link_bytes_per_s": "100 TB/s", "hop_latency_s": 0.0},
    "memoryx": {
        "egress_bytes_per_s": "100 TB/s",
        "ingress_bytes_per_s": "100 TB/s",
        "tensor_latency_s": 0.0,
        "optimizer_bytes_per_s": "10 PB/s",
    },
}
"""A cluster on which nothing but the wafer takes time."""

SLOW = {
    "latency": {"system": {"calibration": {"pass_latency_s": "1 ms"}}},
    "attention": {"system": {"calibration": {"attention_efficiency": 1e-6}}},
    "gemm": {"system": {"calibration": {"gemm_efficiency": 1e-4}}},
    "weights": {"memoryx": {"egress_bytes_per_s": "100 MB/s"}},
    "gradients": {"memoryx": {"ingress_bytes_per_s": "100 MB/s"}},
    "optimizer": {"memoryx": {"optimizer_bytes_per_s": "1 GB/s"}},
    "input": {"input": {"worker_samples_per_s": 10.0}},
}


def shares(cluster: dict[str, Any], **training: Any) -> dict[str, float]:
    simulation = run_schedule(tiny_run(training=training, cluster=laid_over(FAST, cluster)))
    return {name: seconds / simulation.step_time_s for name, seconds in breakdown_s(simulation).items()}


@pytest.mark.parametrize("part", SLOW)
def test_the_slow_part_takes_the_step(part: str) -> None:
    found = shares(SLOW[part])
    # everything else is 100 times faster or more
    assert max(found, key=lambda name: found[name]) == part
    assert found[part] > 0.9


def test_a_slow_port_holds_activations_up() -> None:
    # activations leave and come back at 1 GB/s; weights are small beside them, and gradients wait behind them for the port
    found = shares({"system": {"wafer": {"io_bytes_per_s": "1 GB/s"}}}, global_batch_size=2048, micro_batch_size=2048)
    assert found["activations"] > 0.4
    assert found["activations"] + found["gradients"] > 0.9


def test_resident_activations_wait_for_no_port() -> None:
    found = shares({"system": {"wafer": {"io_bytes_per_s": "1 GB/s"}}}, activations="resident")
    assert "activations" not in found


@pytest.mark.parametrize("part", SLOW)
def test_the_parts_sum_to_the_step(part: str) -> None:
    # rounding of some hundred additions
    assert sum(shares(SLOW[part]).values()) == pytest.approx(1.0, rel=1e-9)


def test_parts_without_time_are_left_out() -> None:
    found = shares({"system": {"calibration": {"pass_latency_s": 0.0}}})
    assert set(found) <= set(CATEGORIES)
    assert "latency" not in found
    assert all(share > 0.0 for share in found.values())


def test_a_straggler_is_the_wafer_that_is_looked_at() -> None:
    exception = {"systems": [1], "speed": 0.5}
    simulation = run_schedule(
        tiny_run(
            training={"global_batch_size": 48},
            cluster=laid_over(FAST, {"num_systems": 3, "exceptions": [exception]}),
        )
    )
    assert simulation.plan.classes[simulation.decisive_class].members == (1,)


def test_layers_take_as_long_as_the_step() -> None:
    simulation = run_schedule(tiny_run())
    total = sum(sum(parts.values()) for parts in layer_times_s(simulation).values())
    # rounding of some hundred additions
    assert total == pytest.approx(simulation.step_time_s, rel=1e-9)


def test_what_simulates_is_a_method_and_does_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result = wsesim.simulate("cerebras_gpt_111m")
    step, simulated = result.step, [0]

    def counted(*given: Any) -> list[float]:
        simulated[0] += 1
        return step_times_s(*given)

    step_times_s = steps.step_times_s
    monkeypatch.setattr(steps, "step_times_s", counted)
    for thing in (step, result):
        for name in dir(type(thing)):
            getattr(thing, name)
    assert simulated == [0]
    changes, number = step.changes(), simulated[0]
    travelled = pickle.loads(pickle.dumps(step))
    assert travelled.changes() == step.changes() == changes
    assert simulated == [number]
    assert number > 0
