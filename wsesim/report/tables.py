"""A run in the terminal: the answer first, then why, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsesim.answers import Assumption
from wsesim.metrics.breakdown import CATEGORIES
from wsesim.metrics.links import LinkTraffic
from wsesim.metrics.training import Range
from wsesim.metrics.utilization import layer_times_s
from wsesim.results import Result
from wsesim.units import show, unit_of_field

MFU_DIFFERENCE = 0.02
"""MFU is printed for both ways of counting attention where they differ by more, relative. [-]"""
BAR_WIDTH = 14
PARTS = {
    "wafer": "wafer",
    "port_in": "port in",
    "port_out": "port out",
    "swarmx_down": "SwarmX broadcast",
    "swarmx_up": "SwarmX reduce",
    "optimizer": "MemoryX optimizer",
    "input": "input workers",
}


def plural(count: int, word: str) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(2, "micro-batch")
    '2 micro-batches'
    """
    return f"{count:,} {word}" + ("" if count == 1 else "es" if word.endswith("ch") else "s")


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, min_width=20)
    grid.add_column(overflow="fold")
    return grid


def _section(title: str, body: RenderableType) -> Group:
    return Group(Text(f"\n{title}", style="bold"), body)


def show_range(value: Range, unit: str) -> str:
    """A value, with its bounds where it has some.

    Examples
    --------
    >>> show_range(Range(2.0, 1.0, 3.0), "USD")
    '2.00 USD (1.00 USD to 3.00 USD)'
    """
    text = show(value.value, unit)
    return f"{text} ({show(value.low, unit)} to {show(value.high, unit)})" if value.is_range else text


def _mfu(result: Result) -> str:
    differs = abs(result.mfu - result.mfu_causal) > MFU_DIFFERENCE * result.mfu
    bits = "32" if result.run.training.precision == "float32" else "16"
    text = f"{result.mfu:.1%} of the dense {bits}-bit peak, attention counted in full"
    return text + (f"; {result.mfu_causal:.1%} counted causal" if differs else "")


def headline(result: Result) -> Group:
    """What was asked: how fast, on what."""
    cluster, training = result.run.cluster, result.run.training
    grid = _grid()
    release = result.simulation.plan.software_release
    grid.add_row("on", f"{result.num_devices} x {cluster.system.name} of {cluster.name}, software release {release}")
    grid.add_row(
        "throughput", Text(f"{result.samples_per_s:,.4g} samples/s, {result.tokens_per_s:,.0f} tokens/s", style="bold")
    )
    grid.add_row(
        "step time", Text(f"{result.step_time_s:.4g} s for {training.global_batch_size:,} sequences", style="bold")
    )
    grid.add_row(
        "model FLOP/s",
        f"{show(result.model_flop_per_s, 'FLOP/s')}, {show(result.model_flop_per_s / result.num_devices, 'FLOP/s')} per system",
    )
    grid.add_row("MFU", _mfu(result))
    if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE:
        grid.add_row("HFU", f"{result.hfu:.1%}, executed FLOP over peak")
    passes = (
        f"{result.num_micro_batches} x {result.micro_batch_size}"
        if result.num_micro_batches > 1
        else f"{result.micro_batch_size}"
    )
    grid.add_row("batch per system", f"{passes} of {training.sequence_length:,} tokens; {_micro_batch_reason(result)}")
    return Group(Text(result.name, style="bold"), grid)


def _micro_batch_reason(result: Result) -> str:
    lanes = result.simulation.plan.lanes
    if result.run.training.micro_batch_size != "auto":
        return f"as set, {lanes.max_micro_batch_size} would fit"
    if result.micro_batch_size < lanes.max_micro_batch_size and result.num_micro_batches == 1:
        return f"the whole batch of a system; {lanes.max_micro_batch_size} would fit"
    why = "SRAM" if lanes.limited_by == "sram" else "tokens per micro-batch"
    return f"at most {lanes.max_micro_batch_size} fit ({why})"


def breakdown(result: Result) -> Group:
    """Where the time of a step goes."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim", min_width=12)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(width=BAR_WIDTH)
    table.add_column(overflow="fold")
    for name, value in sorted(result.breakdown_s.items(), key=lambda item: -item[1]):
        share = value / result.step_time_s
        bar = Bar(1.0, 0.0, share, width=BAR_WIDTH, color="cyan")
        table.add_row(name, show(value, "s"), f"{share:.1%}", bar, Text(CATEGORIES[name], style="dim"))
    table.add_row("step", show(result.step_time_s, "s"), "100.0%", "", "")
    return _section(
        "Where the time goes",
        Group(table, Text(f"{result.bottleneck}.", style="italic")),
    )


def utilization(result: Result) -> Group:
    """How busy each part is."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim", min_width=20)
    table.add_column(justify="right")
    table.add_column(width=BAR_WIDTH)
    for part, share in result.utilization.items():
        table.add_row(PARTS[part], f"{share:.1%}", Bar(1.0, 0.0, share, width=BAR_WIDTH, color="green"))
    return _section("Busy during the step", table)


def memory(result: Result) -> Group:
    """What is held where."""
    held = {key: show(value, "bytes") for key, value in result.memory.items() if key.endswith("_bytes")}
    grid = _grid()
    grid.add_row(
        "MemoryX",
        f"{held['memoryx_bytes']} of {held['memoryx_capacity_bytes']}: weights, gradients, optimizer state",
    )
    grid.add_row(
        "wafer, one layer",
        f"{held['wafer_working_set_bytes']} of {held['wafer_activation_capacity_bytes']} for activations",
    )
    lanes = result.simulation.plan.lanes
    share = lanes.utilization(result.micro_batch_size)
    deep = math.ceil(result.micro_batch_size / lanes.slots)
    grid.add_row(
        "wafer, used",
        f"{share:.1%}: {result.micro_batch_size} sequences on {lanes.slots} of {lanes.width:.1f} lanes, {deep} deep",
    )
    saved = {
        "offload": "leave over the port and return",
        "resident": "stay on the wafer",
        "recompute": "are computed again",
    }
    what = saved[result.run.training.activations]
    grid.add_row("saved activations", f"{held['saved_activation_bytes']} per system {what}")
    return _section("Memory", grid)


def scaling(result: Result) -> Group:
    """Efficiency against one system."""
    grid = _grid()
    grid.add_row(
        "weak scaling",
        f"{result.scaling_efficiency:.1%} of {result.num_devices} times one system, same batch per system",
    )
    grid.add_row(
        "strong scaling",
        f"{result.strong_scaling_efficiency:.1%} of {result.num_devices} times one system, same global batch",
    )
    return _section("Scaling", grid)


def training(result: Result) -> Group:
    """The whole job."""
    job = result.job
    grid = _grid()
    grid.add_row("time to train", Text(f"{show(job.time_s, 's')}", style="bold"))
    grid.add_row("steps, tokens", f"{job.steps:,} steps, {job.tokens:.4g} tokens")
    grid.add_row("energy", f"{show(job.energy_j.value / 3600.0, 'W')}h" + _energy_range(job.energy_j))
    if job.cost_usd is not None:
        grid.add_row("cost", show_range(job.cost_usd, "USD") + _cost_basis(result))
    if job.pile_loss is not None and job.chinchilla_loss is not None:
        grid.add_row(
            "predicted loss",
            f"{job.pile_loss:.3f} on the Pile (Cerebras-GPT law), {job.chinchilla_loss:.3f} (Chinchilla law)",
        )
    grid.add_row("not included", "compile, start-up, checkpoints, failures, queues")
    return _section("Time to train", grid)


def _cost_basis(result: Result) -> str:
    cluster = result.run.cluster
    if cluster.price_usd_per_system_hour is not None or cluster.amortization_s is None:
        return ""
    return f", systems bought and written off over {show(cluster.amortization_s, 's')}"


def _energy_range(energy: Range) -> str:
    if not energy.is_range:
        return ""
    return f" ({show(energy.low / 3600.0, 'W')}h to {show(energy.high / 3600.0, 'W')}h)"


def _assumption_value(one: Assumption) -> str:
    return show(one.value, unit_of_field(one.key)) if isinstance(one.value, int | float) else str(one.value)


def assumptions(rows: Iterable[Assumption]) -> Group:
    """Numbers in use that are not public."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("number", no_wrap=True)
    for column in ("value", "status", "source"):
        table.add_column(column, overflow="fold")
    for one in rows:
        key = one.key.removeprefix("cluster.").removeprefix("system.").removeprefix("calibration.")
        table.add_row(key, _assumption_value(one), one.status, one.source)
    return _section("Not public: calibrated or assumed", table)


def notes(result: Result) -> list[RenderableType]:
    """What a reader should know first."""
    return [Text(f"note: {note}", style="yellow") for note in result.notes]


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
    return _section("Step by layer, on the wafer that decides it", table)


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
    return _section("Links, per step", table)


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
    sections = (headline, breakdown, utilization, memory, scaling, training)
    first, *others = (section(result) for section in sections)
    console.print(first)
    for note in notes(result):
        console.print(note)
    for part in (*others, assumptions(result.assumptions), footer(result)):
        console.print(part)
