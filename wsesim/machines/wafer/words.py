"""What wafer-scale clusters are called, and what the answers of their runs say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from wsesim.machines.wafer.breakdown import CATEGORIES
from wsesim.machines.words import Words
from wsesim.result import Result
from wsesim.units import show
from wsesim.view import Bar, Fact, Place, plural, share_of

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

    def on(self, result: Result) -> str:
        """Systems, cluster and release."""
        cluster = result.run.cluster
        release = result.step.software
        return f"{result.num_devices} x {cluster.system.name} of {cluster.name}, software release {release}"

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
            "wafer, activations of one layer",
            {"activations": held["wafer_working_set_bytes"]},
            held["wafer_activation_capacity_bytes"],
        )
        state = {"model state": held["memoryx_bytes"]}
        return [Place("MemoryX", state, held["memoryx_capacity_bytes"]), layer]

    def memory_shares(self, result: Result) -> list[Bar]:
        """MemoryX, and the wafer."""
        state, layer = self.places(result)
        return [
            share_of("MemoryX", state.used_bytes, state.capacity_bytes, "bytes", "weights, gradients, optimizer state"),
            share_of("wafer", layer.used_bytes, layer.capacity_bytes, "bytes", "activations of one layer"),
        ]

    def memory(self, result: Result) -> list[Fact]:
        """What is held where."""
        held = {key: show(value, "bytes") for key, value in result.memory.items() if key.endswith("_bytes")}
        return [
            Fact(
                "MemoryX",
                f"{held['memoryx_bytes']} of {held['memoryx_capacity_bytes']}: weights, gradients, optimizer state",
            ),
            Fact(
                "wafer, one layer",
                f"{held['wafer_working_set_bytes']} of {held['wafer_activation_capacity_bytes']} for activations",
            ),
            Fact("wafer, laid out", _layout(result)),
            Fact(
                "saved activations",
                f"{held['saved_activation_bytes']} per system {SAVED[result.run.training.activations]}",
            ),
        ]

    def made_by(self, result: Result) -> str:
        """How the answer was found."""
        simulation = result.simulation
        batches = plural(simulation.num_simulated_micro_batches, "micro-batch")
        how = "recurrence" if simulation.engine == "recurrence" else f"{result.num_events:,} events"
        return f"simulated {simulation.num_steps} steps of {batches} until they repeat: {how}"


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
