"""How busy each part of the machine is, and what it moves."""

from __future__ import annotations

from collections import Counter, defaultdict

from wsesim.engine.trace import within
from wsesim.machines.wafer.simulation import Simulation
from wsesim.machines.wafer.streaming import numbers_of
from wsesim.units import add_up

PARTS = ("wafer", "port_in", "port_out", "swarmx_down", "swarmx_up", "optimizer", "input")


def busy_s(simulation: Simulation) -> dict[str, float]:
    """Seconds that each part works in one step. [s]

    Wafer, ports and input are those of the class of systems that decides the step; the
    broadcast counts for the port in, the reduction for the port out. In a steady state this
    is what the plan holds, wherever in the step it falls.
    """
    plan, kind = simulation.plan, simulation.decisive_class
    numbers = numbers_of(plan)
    busy = dict.fromkeys(PARTS, 0.0)
    for index, visits in Counter(visit.kind for visit in plan.visits).items():
        sweep = plan.kinds[index]
        times = {name: numbers.per_class[name, index][kind] for name in ("latency_s", "chunk_s", "attention_s")}
        busy["wafer"] += visits * (times["latency_s"] + sweep.num_chunks * times["chunk_s"] + times["attention_s"])
        if sweep.takes_weights:
            busy["swarmx_down"] += visits * sweep.num_chunks * numbers.shared["down_s", index]
        busy["port_in"] += visits * numbers.per_class["fetch_s", index][kind]
        busy["port_out"] += visits * numbers.per_class["save_s", index][kind]
        if not sweep.takes_weights:
            busy["swarmx_up"] += visits * sweep.num_chunks * numbers.shared["up_s", index]
    busy["port_in"] += busy["swarmx_down"] + numbers.per_class["input_s", 0][kind]
    busy["port_out"] += busy["swarmx_up"]
    busy["input"] = numbers.per_class["prepare_s", 0][kind]
    step = {part: value * plan.num_micro_batches for part, value in busy.items()}
    updates = () if all(sweep.takes_weights for sweep in plan.kinds) else plan.update_kinds
    step["optimizer"] = add_up(numbers.shared["update_s", one] for one in updates)
    return step


def utilization(simulation: Simulation) -> dict[str, float]:
    """Share of the step in which each part works. [-]"""
    return {part: min(1.0, value / simulation.step_time_s) for part, value in busy_s(simulation).items()}


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
        "weights_in": float(count * add_up(sweep.num_bytes for sweep in plan.sweeps() if sweep.takes_weights)),
        "gradients_out": float(count * add_up(sweep.num_bytes for sweep in plan.sweeps() if not sweep.takes_weights)),
        "activations_out": float(count * add_up(sweep.saved_bytes for sweep in plan.sweeps())),
        "activations_in": float(count * add_up(sweep.fetched_bytes for sweep in plan.sweeps())),
        "input_in": float(count * plan.input_bytes),
    }
