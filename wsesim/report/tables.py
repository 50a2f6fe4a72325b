"""A run in the terminal: the answer first, then why, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.bar import Bar
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from wsesim.metrics.breakdown import CATEGORIES
from wsesim.metrics.links import LinkTraffic
from wsesim.metrics.utilization import layer_times_s
from wsesim.report import parts
from wsesim.report.parts import BAR_WIDTH, MFU_DIFFERENCE, grid, plural, section, show_mfu
from wsesim.results import Result
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


def headline(result: Result) -> Group:
    """What was asked: how fast, on what."""
    cluster, training = result.run.cluster, result.run.training
    rows = grid()
    release = result.simulation.plan.software_release
    rows.add_row("on", f"{result.num_devices} x {cluster.system.name} of {cluster.name}, software release {release}")
    rows.add_row(
        "throughput", Text(f"{result.samples_per_s:,.4g} samples/s, {result.tokens_per_s:,.0f} tokens/s", style="bold")
    )
    rows.add_row(
        "step time", Text(f"{result.step_time_s:.4g} s for {training.global_batch_size:,} sequences", style="bold")
    )
    rows.add_row(
        "model FLOP/s",
        f"{show(result.model_flop_per_s, 'FLOP/s')}, {show(result.model_flop_per_s / result.num_devices, 'FLOP/s')} per system",
    )
    rows.add_row("MFU", show_mfu(result.mfu, result.mfu_causal, training.precision))
    if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE:
        rows.add_row("HFU", f"{result.hfu:.1%}, executed FLOP over peak")
    passes = (
        f"{result.num_micro_batches} x {result.micro_batch_size}"
        if result.num_micro_batches > 1
        else f"{result.micro_batch_size}"
    )
    rows.add_row("batch per system", f"{passes} of {training.sequence_length:,} tokens; {_micro_batch_reason(result)}")
    return Group(Text(result.name, style="bold"), rows)


def _micro_batch_reason(result: Result) -> str:
    lanes = result.simulation.plan.lanes
    if result.run.training.micro_batch_size != "auto":
        return f"as set, {lanes.max_micro_batch_size} would fit"
    if result.micro_batch_size < lanes.max_micro_batch_size and result.num_micro_batches == 1:
        return f"the whole batch of a system; {lanes.max_micro_batch_size} would fit"
    why = "SRAM" if lanes.limited_by == "sram" else "tokens per micro-batch"
    return f"at most {lanes.max_micro_batch_size} fit ({why})"


def utilization(result: Result) -> Group:
    """How busy each part is."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim", min_width=20)
    table.add_column(justify="right")
    table.add_column(width=BAR_WIDTH)
    for part, share in result.utilization.items():
        table.add_row(PARTS[part], f"{share:.1%}", Bar(1.0, 0.0, share, width=BAR_WIDTH, color="green"))
    return section("Busy during the step", table)


def memory(result: Result) -> Group:
    """What is held where."""
    held = {key: show(value, "bytes") for key, value in result.memory.items() if key.endswith("_bytes")}
    rows = grid()
    rows.add_row(
        "MemoryX",
        f"{held['memoryx_bytes']} of {held['memoryx_capacity_bytes']}: weights, gradients, optimizer state",
    )
    rows.add_row(
        "wafer, one layer",
        f"{held['wafer_working_set_bytes']} of {held['wafer_activation_capacity_bytes']} for activations",
    )
    lanes = result.simulation.plan.lanes
    share = lanes.utilization(result.micro_batch_size)
    deep = math.ceil(result.micro_batch_size / lanes.slots)
    rows.add_row(
        "wafer, used",
        f"{share:.1%}: {result.micro_batch_size} sequences on {lanes.slots} of {lanes.width:.1f} lanes, {deep} deep",
    )
    saved = {
        "offload": "leave over the port and return",
        "resident": "stay on the wafer",
        "recompute": "are computed again",
    }
    what = saved[result.run.training.activations]
    rows.add_row("saved activations", f"{held['saved_activation_bytes']} per system {what}")
    return section("Memory", rows)


def scaling(result: Result) -> Group:
    """Efficiency against one system."""
    rows = grid()
    rows.add_row(
        "weak scaling",
        f"{result.scaling_efficiency:.1%} of {result.num_devices} times one system, same batch per system",
    )
    rows.add_row(
        "strong scaling",
        f"{result.strong_scaling_efficiency:.1%} of {result.num_devices} times one system, same global batch",
    )
    return section("Scaling", rows)


def _cost_basis(result: Result) -> str:
    cluster = result.run.cluster
    if cluster.price_usd_per_system_hour is not None or cluster.amortization_s is None:
        return ""
    return f", systems bought and written off over {show(cluster.amortization_s, 's')}"


def layers(result: Result) -> Group:
    """Seconds of the step by layer and phase."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer")
    table.add_column("phase")
    kinds = ("gemm", "attention", "sequencing", "waiting")
    for column in (*kinds, "sum"):
        table.add_column(column, justify="right")
    chain = result.simulation.plan.layers
    for (index, phase), spent in layer_times_s(result.simulation).items():
        cells = [show(spent.get(kind, 0.0), "s") for kind in kinds]
        table.add_row(chain[index].name, phase, *cells, show(sum(spent.values()), "s"))
    return section("Step by layer, on the wafer that decides it", table)


def links(rows: Iterable[LinkTraffic]) -> Group:
    """Traffic of every link."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("from", "to"):
        table.add_column(column)
    for column in ("down", "busy", "up", "busy"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.parent,
            row.child,
            show(row.down_bytes, "bytes"),
            f"{row.utilization_down:.1%}",
            show(row.up_bytes, "bytes"),
            f"{row.utilization_up:.1%}",
        )
    return section("Links, per step", table)


def footer(result: Result) -> Text:
    """How the answer was found."""
    simulation = result.simulation
    batches = plural(simulation.num_simulated_micro_batches, "micro-batch")
    found = f"simulated {simulation.num_steps} steps of {batches} until they repeat"
    if simulation.engine == "recurrence":
        return Text(f"\n{found}: recurrence, {show(result.wall_s, 's')}", style="dim")
    return Text(f"\n{found}: {result.num_events:,} events in {show(result.wall_s, 's')}", style="dim")


def print_result(console: Console, result: Result) -> None:
    """The whole report of one run."""
    console.print(headline(result))
    for note in parts.notes(result.notes):
        console.print(note)
    console.print(parts.breakdown(result.breakdown_s, result.step_time_s, CATEGORIES, result.bottleneck))
    for part in (utilization, memory, scaling):
        console.print(part(result))
    console.print(parts.training(result.job, _cost_basis(result)))
    console.print(parts.assumptions(result.assumptions))
    console.print(footer(result))
