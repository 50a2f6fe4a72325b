"""A GPU run in the terminal, in the order of a wafer-scale run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.text import Text

from wsesim.gpu_ranking import differences_s
from wsesim.gpu_results import CATEGORIES, GPUResult
from wsesim.report import parts
from wsesim.report.parts import MFU_DIFFERENCE, grid, plain_table, plural, section, show_mfu
from wsesim.units import show

TOLD_SHARE = 0.1
"""Parts of a difference that are smaller than this share of the largest are left out of the table. [-]"""
MOST_TOLD = 3
"""Parts of a difference that the table tells. [-]"""
RECOMPUTED = {
    "none": "nothing",
    "selective": "attention scores",
    "full": "whole layers",
}
SHARED = ("nothing", "the optimizer state", "optimizer state and gradients", "optimizer state, gradients, parameters")


def headline(result: GPUResult) -> Group:
    """What was asked: how fast, on what."""
    cluster, training, number = result.run.cluster, result.run.training, result.num_devices
    rows = grid()
    rows.add_row("on", f"{number:,} x {cluster.gpu.name} of {cluster.name}, {cluster.gpus_per_node} to a node")
    rows.add_row(
        "throughput",
        Text(
            f"{result.samples_per_s:,.4g} samples/s, {result.tokens_per_s:,.0f} tokens/s, "
            f"{result.tokens_per_s / number:,.4g} tokens/s per GPU",
            style="bold",
        ),
    )
    rows.add_row(
        "step time", Text(f"{result.step_time_s:.4g} s for {training.global_batch_size:,} sequences", style="bold")
    )
    rate = result.model_flop_per_s
    rows.add_row("model FLOP/s", f"{show(rate, 'FLOP/s')}, {show(rate / number, 'FLOP/s')} per GPU")
    rows.add_row("MFU", show_mfu(result.mfu, result.mfu_causal, training.precision))
    if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE:
        rows.add_row("HFU", f"{result.hfu:.1%}, executed FLOP over peak")
    return Group(Text(result.name, style="bold"), rows)


def spread(result: GPUResult) -> Group:
    """How the model is spread over the GPUs, and what that costs in settings."""
    plan, training = result.plan, result.run.training
    rows = grid()
    kinds = result.kinds_of_parallelism
    rows.add_row("parallelism", f"{len(kinds)}: {', '.join(kinds)}" if kinds else "none")
    copies = plural(plan["data_parallel_size"], "copy" if plan["data_parallel_size"] == 1 else "copie")
    share = f"; {plan['shard_group_size']:,} GPUs share {SHARED[plan['zero_stage']]}" if plan["zero_stage"] else ""
    rows.add_row("data", f"{copies} of the model, ZeRO stage {plan['zero_stage']}{share}")
    if plan["tensor_parallel_size"] > 1:
        norms = ", norms split as well" if plan["sequence_parallel"] else ""
        rows.add_row("tensor", f"{plan['tensor_parallel_size']} GPUs share each matrix{norms}")
    if plan["pipeline_parallel_size"] > 1:
        rows.add_row("pipeline", _pipeline(result))
    if plan["context_parallel_size"] > 1:
        rows.add_row("context", f"{plan['context_parallel_size']} GPUs share each sequence")
    if plan["expert_parallel_size"] > 1:
        rows.add_row("expert", f"{plan['expert_parallel_size']} GPUs share the experts of a layer")
    rows.add_row(
        "batch per copy",
        f"{result.num_micro_batches:,} x {result.micro_batch_size} of {training.sequence_length:,} tokens",
    )
    rows.add_row("computed again", RECOMPUTED[plan["activation_recompute"]])
    rows.add_row("settings", f"{result.num_settings} that had to be right, {_where_from(result)}")
    return section("How it is spread", rows)


def _pipeline(result: GPUResult) -> str:
    plan, schedule = result.plan, result.run.parallelism.pipeline_schedule
    name = {"1f1b": "1F1B", "gpipe": "GPipe"}[schedule]
    chunks = plan["virtual_pipeline_size"]
    how = f"interleaved {name}, {chunks} chunks of layers each" if chunks > 1 else name
    return f"{plan['pipeline_parallel_size']} stages, {how}"


def _where_from(result: GPUResult) -> str:
    searched = result.simulation.num_plans
    return f"searched among {searched:,} plans" if searched > 1 else "all set in the run file"


def memory(result: GPUResult) -> Group:
    """What lies on the fullest GPU."""
    rows = grid()
    held, capacity = result.memory["gpu_bytes"], result.memory["gpu_capacity_bytes"]
    rows.add_row("fullest GPU", f"{show(held, 'bytes')} of {show(capacity, 'bytes')}, {held / capacity:.1%}, of which")
    words = {
        "weights": "weights",
        "gradients": "gradients",
        "optimizer": "optimizer state",
        "activations": "activations",
        "buffers": "buffers",
    }
    for part, word in words.items():
        rows.add_row(word, show(result.memory[f"{part}_bytes"], "bytes"))
    return section("Memory", rows)


def scaling(result: GPUResult) -> Group:
    """Efficiency against one copy of the model."""
    rows, copies = grid(), result.plan["data_parallel_size"]
    if copies == 1:
        rows.add_row("copies", "one copy of the model, none to compare with")
        return section("Scaling", rows)
    of_one = f"of {copies:,} times one copy of the model"
    rows.add_row("weak scaling", f"{result.scaling_efficiency:.1%} {of_one}, same batch per copy")
    rows.add_row("strong scaling", f"{result.strong_scaling_efficiency:.1%} {of_one}, same global batch")
    return section("Scaling", rows)


def plan_words(result: GPUResult) -> str:
    """A plan in one line: sizes, what is shared, micro-batch, what is computed again."""
    plan = result.plan
    sizes = ("data", "tensor", "pipeline", "context", "expert")
    words = [f"{name} {plan[f'{name}_parallel_size']}" for name in sizes if plan[f"{name}_parallel_size"] > 1]
    if plan["virtual_pipeline_size"] > 1:
        words.append(f"chunks {plan['virtual_pipeline_size']}")
    if plan["sequence_parallel"]:
        words.append("sequence")
    if plan["zero_stage"]:
        words.append(f"ZeRO {plan['zero_stage']}")
    words.append(f"micro-batch {result.micro_batch_size}")
    if plan["activation_recompute"] != "none":
        words.append(f"recompute {plan['activation_recompute']}")
    return ", ".join(words)


def why_it_loses(winner: GPUResult, other: GPUResult) -> str:
    """What takes longer than in the winner's step, and what does not."""
    parts_s = differences_s(winner, other)
    longest = max(map(abs, parts_s.values()), default=0.0)
    if longest < 1e-6 * winner.step_time_s:
        return "as fast"
    told = {name: value for name, value in parts_s.items() if abs(value) >= TOLD_SHARE * longest}
    largest = sorted(told, key=lambda name: -abs(told[name]))[:MOST_TOLD]
    in_order = sorted(largest, key=lambda name: -told[name])
    return ", ".join(f"{'+' if told[name] > 0 else '-'}{show(abs(told[name]), 's')} {name}" for name in in_order)


def plans(results: Sequence[GPUResult], wanted: int) -> Group:
    """The best plans, and why the others lose."""
    winner = results[0]
    table = plain_table("", "|step", "|slower", "|memory", "plan", "against the first")
    for place, one in enumerate(results, start=1):
        slower = "" if place == 1 else f"{one.step_time_s / winner.step_time_s - 1.0:.1%}"
        why = "" if place == 1 else why_it_loses(winner, one)
        table.add_row(
            f"{place}",
            show(one.step_time_s, "s"),
            slower,
            show(one.memory["gpu_bytes"], "bytes"),
            plan_words(one),
            why,
        )
    for column in table.columns[:4]:
        column.no_wrap = True
    searched = winner.simulation.num_plans
    if searched == 1:
        text = 'The run file leaves no choice; write parallelism = "auto", or "auto" for single keys of [parallelism].'
    elif len(results) < wanted:
        text = f"No more than these fit, of {searched:,} that divide evenly."
    else:
        text = f"Of {searched:,} that divide evenly; ranked by the closed form, the best of them simulated."
    return section("Best plans", Group(table, Text(text, style="dim")))


def footer(result: GPUResult) -> Text:
    """How the answer was found."""
    simulation = result.simulation
    wanted, number = result.num_micro_batches, simulation.num_simulated
    batches = plural(number, "micro-batch") if number == wanted else f"{number} of {wanted:,} micro-batches"
    searched = f", searched {simulation.num_plans:,} plans" if simulation.num_plans > 1 else ""
    repeats = "" if number == wanted else ", whose pattern the others repeat"
    found = f"simulated one step of {batches}{repeats}{searched}"
    return Text(f"\n{found}: {result.num_events:,} events in {show(result.wall_s, 's')}", style="dim")


def print_gpu_result(console: Console, results: Sequence[GPUResult], top: int = 0) -> None:
    """The whole report of one run; `results` holds the best plans, of which the first is taken."""
    result = results[0]
    console.print(headline(result))
    for note in parts.notes(result.notes):
        console.print(note)
    console.print(parts.breakdown(result.breakdown_s, result.step_time_s, CATEGORIES, result.bottleneck))
    if top:
        console.print(plans(results, top))
    for part in (spread, memory, scaling):
        console.print(part(result))
    console.print(parts.training(result.job))
    console.print(parts.assumptions(result.assumptions))
    console.print(footer(result))
