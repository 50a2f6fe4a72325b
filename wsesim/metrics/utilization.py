"""How busy each part of the machine is, and what it moves."""

from __future__ import annotations

from collections import defaultdict

from wsesim.engine.trace import ended_within_s, within
from wsesim.simulation import Simulation

_WAFER_WORK = ("gemm", "attention", "sequencing")


def utilization(simulation: Simulation) -> dict[str, float]:
    """Share of the step in which each part works. [-]

    Wafer, ports and input are those of the class of systems that decides the step; the
    broadcast counts for the port in, the reduction for the port out. Spans are counted whole
    where they end: in a steady state as much crosses the start of the step as its end.
    """
    index = simulation.decisive_class
    busy: dict[str, float] = defaultdict(float)
    for span in simulation.trace:
        inside_s = ended_within_s(span, simulation.windows)
        if span.part == f"wafer.{index}" and span.kind in _WAFER_WORK:
            busy["wafer"] += inside_s
        elif span.part in ("swarmx_down", "swarmx_up"):
            busy[span.part] += inside_s
            busy["port_in" if span.part == "swarmx_down" else "port_out"] += inside_s
        elif span.part == f"input.{index}":
            busy["input"] += inside_s
        elif span.part in (f"port_in_input.{index}", f"port_in_activations.{index}"):
            busy["port_in"] += inside_s
        elif span.part == f"port_out_activations.{index}":
            busy["port_out"] += inside_s
        elif span.part == "optimizer":
            busy["optimizer"] += inside_s
    parts = ("wafer", "port_in", "port_out", "swarmx_down", "swarmx_up", "optimizer", "input")
    return {part: min(1.0, busy[part] / simulation.step_time_s) for part in parts}


def layer_times_s(simulation: Simulation) -> dict[tuple[int, str], dict[str, float]]:
    """Seconds of one step by layer and phase on the wafer that decides it, waits included. [s]"""
    part = f"wafer.{simulation.decisive_class}"
    rows: dict[tuple[int, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for span, inside_s in within(simulation.trace, simulation.windows):
        if span.part == part:
            kind = "waiting" if span.kind.startswith("wait_") else span.kind
            rows[span.layer, span.phase][kind] += inside_s
    return {key: dict(value) for key, value in sorted(rows.items())}


def bytes_per_step(simulation: Simulation) -> dict[str, float]:
    """Bytes that cross each kind of link of one system in one step. [bytes]"""
    plan, count = simulation.plan, simulation.plan.num_micro_batches
    return {
        "weights_in": float(count * sum(sweep.num_bytes for sweep in plan.sweeps())),
        "gradients_out": float(count * sum(sweep.num_bytes for sweep in plan.sweeps() if sweep.phase == "backward")),
        "activations_out": float(count * sum(sweep.saved_bytes for sweep in plan.sweeps())),
        "activations_in": float(count * sum(sweep.fetched_bytes for sweep in plan.sweeps())),
        "input_in": float(count * plan.input_bytes),
    }
