"""What the answer of a wafer-scale run says in words."""

from __future__ import annotations

import math

from wsesim.machines.wafer.result import Result
from wsesim.report.pages.parts import MFU_DIFFERENCE, Fact, plural, samples_words, show_mfu, step_words
from wsesim.units import show

PARTS = {
    "wafer": "wafer",
    "port_in": "port in",
    "port_out": "port out",
    "swarmx_down": "SwarmX broadcast",
    "swarmx_up": "SwarmX reduce",
    "optimizer": "MemoryX optimizer",
    "input": "input workers",
}
SAVED = {
    "offload": "leave over the port and return",
    "resident": "stay on the wafer",
    "recompute": "are computed again",
}


def headline(result: Result) -> list[Fact]:
    """How fast, on what."""
    cluster, training, number = result.run.cluster, result.run.training, result.num_devices
    release = result.simulation.plan.software_release
    rate = result.model_flop_per_s
    facts = [
        Fact("on", f"{number} x {cluster.system.name} of {cluster.name}, software release {release}"),
        Fact("throughput", f"{samples_words(result)}, {result.tokens_per_s:,.0f} tokens/s", is_key=True),
        Fact("step time", f"{step_words(result)} for {training.global_batch_size:,} sequences", is_key=True),
        Fact("model FLOP/s", f"{show(rate, 'FLOP/s')}, {show(rate / number, 'FLOP/s')} per system"),
        Fact("MFU", show_mfu(result.mfu, result.mfu_causal, training.precision)),
    ]
    if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE:
        facts.append(Fact("HFU", f"{result.hfu:.1%}, executed FLOP over peak"))
    size, count = f"{result.micro_batch_size:,}", result.num_micro_batches
    passes = f"{count:,} x {size}" if count > 1 else size
    words = f"{passes} of {training.sequence_length:,} tokens; {_micro_batch_reason(result)}"
    return [*facts, Fact("batch per system", words)]


def _micro_batch_reason(result: Result) -> str:
    lanes = result.simulation.plan.lanes
    if result.run.training.micro_batch_size != "auto":
        return f"as set, {lanes.max_micro_batch_size:,} would fit"
    if result.micro_batch_size < lanes.max_micro_batch_size and result.num_micro_batches == 1:
        return f"the whole batch of a system; {lanes.max_micro_batch_size:,} would fit"
    why = "SRAM" if lanes.limited_by == "sram" else "tokens per micro-batch"
    return f"at most {lanes.max_micro_batch_size:,} fit ({why})"


def memory(result: Result) -> list[Fact]:
    """What is held where."""
    held = {key: show(value, "bytes") for key, value in result.memory.items() if key.endswith("_bytes")}
    lanes = result.simulation.plan.lanes
    share = lanes.utilization(result.micro_batch_size)
    deep = math.ceil(result.micro_batch_size / lanes.slots)
    return [
        Fact(
            "MemoryX",
            f"{held['memoryx_bytes']} of {held['memoryx_capacity_bytes']}: weights, gradients, optimizer state",
        ),
        Fact(
            "wafer, one layer",
            f"{held['wafer_working_set_bytes']} of {held['wafer_activation_capacity_bytes']} for activations",
        ),
        Fact(
            "wafer, used",
            f"{share:.1%}: {result.micro_batch_size:,} sequences on {lanes.slots} of {lanes.width:.1f} lanes, {deep} deep",
        ),
        Fact(
            "saved activations",
            f"{held['saved_activation_bytes']} per system {SAVED[result.run.training.activations]}",
        ),
    ]


def scaling(result: Result) -> list[Fact]:
    """Efficiency against one system."""
    of_one = f"of {result.num_devices:,} times one system"
    return [
        Fact("weak scaling", f"{result.scaling_efficiency:.1%} {of_one}, same batch per system"),
        Fact("strong scaling", f"{result.strong_scaling_efficiency:.1%} {of_one}, same global batch"),
    ]


def cost_basis(result: Result) -> str:
    """What the cost stands for, where nobody states a price per hour."""
    cluster = result.run.cluster
    if cluster.price_usd_per_system_hour is not None or cluster.amortization_s is None:
        return ""
    return f", systems bought and written off over {show(cluster.amortization_s, 's')}"


def made_by(result: Result) -> str:
    """How the answer was found."""
    simulation = result.simulation
    batches = plural(simulation.num_simulated_micro_batches, "micro-batch")
    how = "recurrence" if simulation.engine == "recurrence" else f"{result.num_events:,} events"
    return f"simulated {simulation.num_steps} steps of {batches} until they repeat: {how}"
