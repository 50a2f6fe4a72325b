"""What the answer of a GPU run says in words."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from wsesim.report.pages.parts import MFU_DIFFERENCE, Fact, plural, samples_words, show_mfu, step_words
from wsesim.units import show

if TYPE_CHECKING:
    from wsesim.machines.gpu.result import GPUResult

RECOMPUTED = {
    "none": "nothing",
    "selective": "attention scores",
    "full": "whole layers",
}
SHARED = ("nothing", "the optimizer state", "optimizer state and gradients", "optimizer state, gradients, parameters")
HELD = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "activations",
    "buffers": "buffers",
}
PARTS = {
    "gpu": ("GPU", "computes"),
    "communication": ("communication", "that nothing hides"),
    "idle": ("idle", "waits for other stages or for the host"),
}
"""What a GPU does, and what that is."""


def headline(result: GPUResult) -> list[Fact]:
    """How fast, on what."""
    cluster, training, number = result.run.cluster, result.run.training, result.num_devices
    rate = result.model_flop_per_s
    facts = [
        Fact("on", f"{number:,} x {cluster.gpu.name} of {cluster.name}, {cluster.gpus_per_node} to a node"),
        Fact(
            "throughput",
            f"{samples_words(result)}, {result.tokens_per_s:,.0f} tokens/s, "
            f"{result.tokens_per_s / number:,.4g} tokens/s per GPU",
            is_key=True,
        ),
        Fact("step time", f"{step_words(result)} for {training.global_batch_size:,} sequences", is_key=True),
        Fact("model FLOP/s", f"{show(rate, 'FLOP/s')}, {show(rate / number, 'FLOP/s')} per GPU"),
        Fact("MFU", show_mfu(result.mfu, result.mfu_causal, training.precision)),
    ]
    if abs(result.hfu / result.mfu - 1.0) > MFU_DIFFERENCE:
        facts.append(Fact("HFU", f"{result.hfu:.1%}, executed FLOP over peak"))
    return facts


def spread(result: GPUResult) -> list[Fact]:
    """How the model is spread over the GPUs, and what that costs in settings."""
    plan, training = result.plan, result.run.training
    kinds = result.kinds_of_parallelism
    copies = plural(plan["data_parallel_size"], "copy" if plan["data_parallel_size"] == 1 else "copie")
    share = f"; {plan['shard_group_size']:,} GPUs share {SHARED[plan['zero_stage']]}" if plan["zero_stage"] else ""
    facts = [
        Fact("parallelism", f"{len(kinds)}: {', '.join(kinds)}" if kinds else "none"),
        Fact("data", f"{copies} of the model, ZeRO stage {plan['zero_stage']}{share}"),
    ]
    if plan["tensor_parallel_size"] > 1:
        norms = ", norms split as well" if plan["sequence_parallel"] else ""
        facts.append(Fact("tensor", f"{plan['tensor_parallel_size']} GPUs share each matrix{norms}"))
    if plan["pipeline_parallel_size"] > 1:
        facts.append(Fact("pipeline", _pipeline(result)))
    if plan["context_parallel_size"] > 1:
        facts.append(Fact("context", f"{plan['context_parallel_size']} GPUs share each sequence"))
    if plan["expert_parallel_size"] > 1:
        facts.append(Fact("expert", f"{plan['expert_parallel_size']} GPUs share the experts of a layer"))
    passes = f"{result.num_micro_batches:,} x {result.micro_batch_size} of {training.sequence_length:,} tokens"
    last = result.last_micro_batch_size
    passes += f", the last {last}" if last < result.micro_batch_size else ""
    return [
        *facts,
        Fact("batch per copy", passes),
        Fact("computed again", RECOMPUTED[plan["activation_recompute"]]),
        Fact("settings", f"{result.num_settings} that had to be right, {_where_from(result)}"),
    ]


def _pipeline(result: GPUResult) -> str:
    plan, schedule = result.plan, result.run.parallelism.pipeline_schedule
    name = {"1f1b": "1F1B", "gpipe": "GPipe"}[schedule]
    chunks = plan["virtual_pipeline_size"]
    how = f"interleaved {name}, {chunks} chunks of layers each" if chunks > 1 else name
    if chunks > 1 and plan["micro_batch_group_size"] != plan["pipeline_parallel_size"]:
        how += f", micro-batches in groups of {plan['micro_batch_group_size']}"
    return f"{plan['pipeline_parallel_size']} stages{stage_layers(plan['layers_per_stage'])}, {how}"


def stage_layers(layers: list[int]) -> str:
    """What uneven stages hold; nothing where all hold the same.

    Examples
    --------
    >>> stage_layers([7, 8, 8, 7]), stage_layers([8, 8])
    (' of 7, 2 x 8, 7 layers', '')
    """
    if len(set(layers)) == 1:
        return ""
    runs = [(value, len(list(same))) for value, same in groupby(layers)]
    return " of " + ", ".join(f"{number} x {value}" if number > 1 else f"{value}" for value, number in runs) + " layers"


def _where_from(result: GPUResult) -> str:
    searched = result.simulation.num_plans
    return f"searched among {searched:,} plans" if searched > 1 else "all set in the run file"


def memory(result: GPUResult) -> list[Fact]:
    """What lies on the fullest GPU."""
    held, capacity = result.memory["gpu_bytes"], result.memory["gpu_capacity_bytes"]
    all_of_it = f"{show(held, 'bytes')} of {show(capacity, 'bytes')}, {held / capacity:.1%}, of which"
    parts = [Fact(word, show(result.memory[f"{part}_bytes"], "bytes")) for part, word in HELD.items()]
    return [Fact("fullest GPU", all_of_it), *parts]


def scaling(result: GPUResult) -> list[Fact]:
    """Efficiency against one copy of the model."""
    copies = result.plan["data_parallel_size"]
    if copies == 1:
        return [Fact("copies", "one copy of the model, none to compare with")]
    of_one = f"of {copies:,} times one copy of the model"
    return [
        Fact("weak scaling", f"{result.scaling_efficiency:.1%} {of_one}, same batch per copy"),
        Fact("strong scaling", f"{result.strong_scaling_efficiency:.1%} {of_one}, same global batch"),
    ]


def made_by(result: GPUResult) -> str:
    """How the answer was found."""
    simulation = result.simulation
    wanted, number = result.num_micro_batches, simulation.num_simulated
    batches = plural(number, "micro-batch") if number == wanted else f"{number} of {wanted:,} micro-batches"
    searched = f", searched {simulation.num_plans:,} plans" if simulation.num_plans > 1 else ""
    repeats = "" if number == wanted else ", whose pattern the others repeat"
    return f"simulated one step of {batches}{repeats}{searched}: {result.num_events:,} events"
