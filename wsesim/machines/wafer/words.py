"""What wafer-scale clusters are called, and what the answers of their runs say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from wsesim.machines.machine import Words
from wsesim.machines.wafer.metrics import CATEGORIES, listed, slowest_parts
from wsesim.machines.wafer.spec import ExceptionSpec
from wsesim.machines.wafer.swarmx import nodes_per_level
from wsesim.results.result import Result
from wsesim.units import add_up, show
from wsesim.view import Fact, Level, Passes, Place, Roof, plural

LIMITS = {
    "sram": "SRAM of a core",
    "tokens": "tokens of a pass",
    "sequence": "one sequence alone",
}
"""What stops a larger micro-batch."""
SAVED = {
    "offload": "leave over the port and return",
    "resident": "stay on the wafer",
    "recompute": "are computed again",
}


class WaferWords(Words):
    """Words of wafer-scale clusters."""

    device, devices, short, adjective, unit = "CS system", "CS systems", "system", "wafer-scale", "system"
    copy, software = "system", "release"
    rest = "of the fabric and weight servers"
    categories = CATEGORIES
    parts: ClassVar[Mapping[str, tuple[str, str]]] = {
        "wafer": ("wafer", ""),
        "port_in": ("port in", ""),
        "port_out": ("port out", ""),
        "swarmx_down": ("SwarmX broadcast", ""),
        "swarmx_up": ("SwarmX reduce", ""),
        "optimizer": ("MemoryX optimizer", ""),
        "input": ("input workers", ""),
    }
    example = "cs2"

    def size_of_one(self, part: Any) -> str:
        """Cores and SRAM of a wafer."""
        return f"{part.wafer.num_cores:,} cores, {show(part.wafer.sram_bytes, 'bytes')} of SRAM"

    def on(self, result: Result) -> str:
        """Systems, cluster and release."""
        return f"{super().on(result)}, software release {result.step.software}"

    def peak(self, result: Result) -> str:
        """Sources count the cores of the wafer, software sees fewer."""
        wafer = result.run.cluster.system.wafer
        usable = wafer.fabric_width * wafer.fabric_height
        return f"; of {wafer.num_cores:,} claimed cores, {result.mfu_usable_cores:.1%} of the {usable:,} that software can use"

    def batch(self, result: Result) -> list[Fact]:
        """How a system's batch is cut, and why so."""
        size, count = f"{result.micro_batch_size:,}", result.num_micro_batches
        passes = f"{count:,} x {size}" if count > 1 else size
        words = f"{passes} of {result.run.training.sequence_length:,} tokens; {_micro_batch_reason(result)}"
        return [Fact("batch per system", words)]

    def places(self, result: Result) -> list[Place]:
        """MemoryX, and the wafer."""
        held = result.memory
        layer = Place(
            "wafer, one layer",
            {"activations": held["wafer_working_set_bytes"]},
            held["wafer_activation_capacity_bytes"],
            short="wafer",
            meaning="activations of one layer",
        )
        state = {"model state": held["memoryx_bytes"]}
        return [Place("MemoryX", state, held["memoryx_capacity_bytes"], meaning=_state(result)), layer]

    def roofline(self, result: Result) -> tuple[Roof, list[Passes]]:
        """Peak of a wafer and its port, and the passes of each kind of layer."""
        plan, cluster = result.simulation.plan, result.run.cluster
        peak = result.peak_flop_per_s / result.num_devices
        reached = peak * cluster.system.calibration.gemm_efficiency * plan.release_rate
        found: dict[str, Passes] = {}
        for visit in plan.visits:
            layer_pass, layer = plan.kinds[visit.kind], plan.layers[visit.layer].name.partition(".")[0]
            name, flop = f"{layer} {layer_pass.phase}", layer_pass.executed_flop_per_sequence * plan.sequences_per_pass
            time_s = (
                max(layer_pass.gemm_s + layer_pass.attention_s, layer_pass.num_bytes / layer_pass.rate_bytes_per_s)
                + layer_pass.latency_s
            )
            old = found.get(name, Passes(name, 0.0, 0.0, 0.0))
            found[name] = Passes(name, old.flop + flop, old.num_bytes + layer_pass.num_bytes, old.time_s + time_s)
        roof = Roof(peak, reached, min(cluster.system.wafer.io_bytes_per_s, plan.transport.down_bytes_per_s), "port")
        return roof, [one for one in found.values() if one.flop > 0 and one.num_bytes > 0]

    def levels(self, cluster: Any, busy: Mapping[str, float]) -> list[Level]:
        """MemoryX, the levels of SwarmX, the systems."""
        swarmx, wafer = cluster.swarmx, cluster.system.wafer
        link = f"links of {show(swarmx.link_bytes_per_s, 'bytes/s')} each way"
        crossed = _busier(busy, "swarmx_down", "swarmx_up")
        held = show(cluster.memoryx.dram_bytes + cluster.memoryx.flash_bytes, "bytes")
        rates = show(cluster.memoryx.egress_bytes_per_s, "bytes/s")
        state = Level("MemoryX", 1, f"holds {held}, sends weights at {rates}", busy.get("optimizer"))
        nodes = nodes_per_level(cluster.num_systems, swarmx.fan_out)
        inner = [
            Level(plural(number, "SwarmX node"), number, f"each feeds up to {swarmx.fan_out}", crossed, link, crossed)
            for number in nodes
        ]
        cores = f"each {wafer.num_cores:,} cores, {show(wafer.sram_bytes, 'bytes')} of SRAM"
        port = f"ports of {show(wafer.io_bytes_per_s, 'bytes/s')} each way"
        unlike = {one: _difference(exception) for exception in cluster.exceptions for one in exception.systems}
        systems = Level(
            self.count(cluster),
            cluster.num_systems,
            cores,
            busy.get("wafer"),
            port,
            _busier(busy, "port_in", "port_out"),
            unlike,
        )
        return [state, *inner, systems]

    def memory(self, result: Result) -> list[Fact]:
        """MemoryX, the wafer, how the largest micro-batch lies on it, and what the backward pass needs."""
        state, layer = self.places(result)
        saved = show(result.memory["saved_activation_bytes"], "bytes")
        return [
            Fact(state.name, f"{state.said}: {state.meaning}"),
            Fact(layer.name, f"{layer.said} for activations"),
            Fact("wafer, laid out", _layout(result)),
            Fact("saved activations", f"{saved} per system {SAVED[result.run.training.activations]}"),
        ]

    def scaling(self, result: Result, weak: float, strong: float) -> list[Fact]:
        """Efficiency against one system, how far the first may be off, and what the second is lost to."""
        from wsesim.machines.wafer.checks import scaling_out

        first, second = super().scaling(result, weak, strong)
        if result.num_devices == 1:
            return [first, second]
        least = weak * math.exp(-scaling_out(result.num_devices).slower)
        span = f"{weak:.1%} ({least:.0%} to {weak:.0%})"
        first = first._replace(text=first.text.replace(f"{weak:.1%}", span, 1))
        return [first, second._replace(text=second.text + _lost(result, strong))]

    def made_by(self, result: Result) -> str:
        """How the answer was found."""
        simulation = result.simulation
        batches = plural(simulation.num_simulated_micro_batches, "micro-batch")
        how = "recurrence" if simulation.engine == "recurrence" else f"{result.num_events:,} events"
        return f"simulated {simulation.num_steps} steps of {batches} until they repeat: {how}"


LOST_TO = {
    "gemm": "passes that are not filled evenly",
    "attention": "passes that are not filled evenly",
    "latency": "the latency of passes that hold less work",
    "weights": "weights that are on their way through {parts}",
    "gradients": "gradients on their way through {parts}",
    "activations": "activations on their way through the ports",
    "optimizer": "the optimizer of MemoryX",
    "input": "input workers",
    "stragglers": "slower systems",
}
"""Why more systems do not shorten a step as much as their number says, by the part of the step that grows."""
WORTH_SAYING = 0.1
"""Of what is lost. [-]"""


def _lost(result: Result, strong: float) -> str:
    """What the strong efficiency is lost to, the largest part first."""
    if strong > 0.995:  # which is shown as 100 %
        return ""
    by_cause: dict[str, float] = {}
    parts = slowest_parts(result.run.cluster)
    for name, value in result.step.lost_s().items():
        cause = LOST_TO[name].format(parts=parts)
        by_cause[cause] = by_cause.get(cause, 0.0) + value
    whole = add_up(by_cause.values())
    ranked = sorted(by_cause, key=lambda one: -by_cause[one])
    named = [one for one in ranked if by_cause[one] >= WORTH_SAYING * whole]
    return f"; the rest goes to {listed(named)}" if named else ""


def _state(result: Result) -> str:
    """What MemoryX holds."""
    return "weights, gradients, optimizer state" if result.run.training.mode == "train" else "weights"


def _micro_batch_reason(result: Result) -> str:
    lanes = result.simulation.plan.lanes
    if result.run.training.micro_batch_size != "auto":
        return f"as set, {lanes.max_micro_batch_size:,} would fit"
    if result.micro_batch_size < lanes.most_of_a_pass and result.num_micro_batches == 1:
        return f"the whole batch of a system; {lanes.max_micro_batch_size:,} would fit"
    if lanes.limited_by == "tokens":
        return f"{lanes.max_micro_batch_size:,} fit, a pass takes at most {lanes.most_of_a_pass:,} ({LIMITS['tokens']})"
    return f"at most {lanes.max_micro_batch_size:,} fit ({LIMITS[lanes.limited_by]})"


def _layout(result: Result) -> str:
    """How the largest micro-batch lies on the wafer, and what stops a larger one."""
    lanes, wafer = result.simulation.plan.lanes, result.run.cluster.system.wafer
    strips = plural(lanes.num_lanes, "lane")
    cores = f"{wafer.fabric_height // lanes.num_lanes:,} x {wafer.fabric_width:,} cores"
    each = f"{plural(lanes.features_per_core, 'feature')} and {plural(lanes.tokens_per_core, 'token')} on each core"
    most = plural(lanes.max_micro_batch_size, "sequence")
    limit = LIMITS["sequence" if lanes.limited_by == "sequence" else "sram"]
    return f"{strips} of {cores}, {each}: at most {most} by {limit}"


def _busier(busy: Mapping[str, float], *parts: str) -> float | None:
    """The larger share of two directions; None where no run is drawn."""
    return max((busy[part] for part in parts if part in busy), default=None)


def _difference(exception: ExceptionSpec) -> str:
    """How a system differs from the rest."""
    return ", ".join(f"{key} {getattr(exception, key):.3g}" for key in sorted(exception.changes))
