"""What GPU clusters are called, and what the answers of their runs say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, ClassVar

from wsesim.config.cluster import AnyCluster
from wsesim.config.run import Run
from wsesim.config.training import is_training
from wsesim.machines.gpu.parallelism import SELECTIVE_OF_FSDP
from wsesim.machines.machine import Words
from wsesim.results.result import Result
from wsesim.units import show
from wsesim.view import Fact, Level, Place, plural

CATEGORIES = {
    "kernels": "matrix products, attention and element-wise work",
    "recompute": "forward passes that the backward pass repeats",
    "launch": "the GPU waits for the host to start kernels",
    "tensor": "collectives of the tensor-parallel group",
    "context": "keys and values from other parts of the sequence",
    "expert": "tokens to their experts, and back",
    "pipeline": "sends between stages that hold up the GPU",
    "data": "gradients and parameters of the data-parallel group, as far as nothing hides them",
    "optimizer": "the parameters' update, and work of the host in each step",
    "host": "work of the host in each step of an evaluation",
    "bubble": "a stage waits for other stages",
}
"""What a GPU spends a step on."""

RECOMPUTED = {
    "none": "nothing",
    "selective": "attention scores",
    "full": "whole layers",
}


def recomputed(what: str | Mapping[str, Any], zero_stage: int = 0) -> str:
    """What the backward pass computes again, in words; with `zero_stage` 3 "selective" means other things.

    Examples
    --------
    >>> recomputed("none"), recomputed({"every": 2}), recomputed({"blocks": 3}), recomputed({"operators": ["mlp"]})
    ('nothing', 'every 2nd block', '3 blocks of each stage or chunk', 'mlp of every block')
    >>> recomputed("selective"), recomputed("selective", 3)
    ('attention scores', 'every 2nd block')
    """
    if what == "selective" and zero_stage == 3:
        what = {"every": SELECTIVE_OF_FSDP}
    if isinstance(what, str):
        return RECOMPUTED[what]
    if "every" in what:
        ending = {1: "st", 2: "nd", 3: "rd"}.get(what["every"], "th")
        return f"every {what['every']}{ending} block"
    if "blocks" in what:
        return f"{plural(what['blocks'], 'block')} of each stage or chunk"
    return f"{', '.join(what['operators'])} of every block"


SHARED = ("nothing", "the optimizer state", "optimizer state and gradients", "optimizer state, gradients, parameters")
HELD = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "activations",
    "buffers": "buffers",
}


ABOVE_ONE = 1.0005
"""A share that is printed as more than 100.0 %. [-]"""


def why_above_one(result: Result, share: float) -> str:
    """Why copies of a model may be faster than one: they share the optimizer's work; nothing where they are not."""
    shares = share > ABOVE_ONE and result.plan["zero_stage"]
    return "; above 100 % as copies share the optimizer's work, which one alone does by itself" if shares else ""


class GPUWords(Words):
    """Words of GPU clusters."""

    device, devices, short, adjective, unit = "GPU", "GPUs", "GPU", "GPU", "node"
    copy, software = "data-parallel copy", "software profile"
    categories = CATEGORIES
    parts: ClassVar[Mapping[str, tuple[str, str]]] = {
        "gpu": ("GPU", "computes"),
        "communication": ("communication", "that nothing hides"),
        "idle": ("idle", "waits for other stages or for the host"),
    }
    held = HELD
    lead = "What a GPU does during a step, on average over the stages."
    example = "dgx_h100"

    def where(self, cluster: AnyCluster, number: int) -> str:
        """Whole nodes of the cluster, which may be named after one of them."""
        each = int(getattr(cluster, "gpus_per_node", 1))
        nodes, rest = divmod(number, each)
        return f"{cluster.title}, {each} to a node" if rest else f"{plural(nodes, 'node')} of {cluster.title}"

    def counted_short(self, cluster: AnyCluster, number: int) -> str:
        """Clusters say in their names which GPUs they have."""
        return f"{plural(number, 'GPU')} ({self.where(cluster, number)})"

    def planned(self, run: Run, plan: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Sizes of what is more than one, chunks of stages that are interleaved, and what is recomputed."""
        kinds = ("data", "tensor", "pipeline", "context", "expert")
        sizes = [f"{kind} {plan[key]:,}" for kind in kinds if plan.get(key := f"{kind}_parallel_size", 1) > 1]
        if plan.get("virtual_pipeline_size", 1) > 1:
            sizes.append(f"{plan['virtual_pipeline_size']} chunks to a stage")
        if plan.get("zero_stage"):
            sizes.append(f"ZeRO {plan['zero_stage']}")
        what = plan.get("activation_recompute", "none")
        return ", ".join(
            sizes + ([f"recomputes {recomputed(what, plan.get('zero_stage', 0))}"] if what != "none" else [])
        )

    def batch(self, result: Result) -> list[Fact]:  # noqa: ARG002
        """Nothing: how it is spread says so."""
        return []

    def throughput(self, result: Result) -> str:
        """How fast, and of each GPU."""
        return f"{super().throughput(result)}, {result.tokens_per_s / result.num_devices:,.4g} tokens/s per GPU"

    def busy(self, part: str) -> str:
        """What a GPU does, in a picture."""
        return {"gpu": "GPU computes", "communication": "GPU communicates, and nothing hides it", "idle": "GPU idles"}[
            part
        ]

    def places(self, result: Result) -> list[Place]:
        """The fullest GPU."""
        held = result.memory
        return [Place("fullest GPU", {name: held[f"{name}_bytes"] for name in HELD}, held["gpu_capacity_bytes"])]

    def levels(self, cluster: Any, busy: Mapping[str, float]) -> list[Level]:
        """The network, the nodes or NVLink domains on it, and the GPUs of one of them."""
        gpu, number, inside = cluster.gpu, cluster.num_gpus, min(cluster.num_gpus, cluster.domain_size)
        nvlink = f"NVLink of {show(gpu.nvlink_bytes_per_s, 'bytes/s')} each way" if inside > 1 else ""
        shares = f"; communicate {busy['communication']:.0%}, idle {busy['idle']:.0%}" if busy else ""
        told = f"each {show(gpu.peak_dense_16bit_flop_per_s, 'FLOP/s')} at 16 bit{shares}"
        if number <= inside:
            own = Level(self.count(cluster), inside, told, busy.get("gpu"), nvlink)
            return [Level("NVLink", 1), own] if nvlink else [own]
        word = "node" if inside <= cluster.gpus_per_node else "NVLink domain"
        groups, adapters = -(-number // inside), cluster.adapters_per_node or cluster.gpus_per_node
        one = show(cluster.node_network_bytes_per_s / adapters, "bytes/s")
        nodes = Level(plural(groups, word), groups, link=f"{plural(adapters, 'adapter')} of {one} to a node")
        name = f"{inside} {gpu.name} GPUs in each of them".replace("GPU GPUs", "GPUs")
        own = Level(name, inside, told, busy.get("gpu"), nvlink, is_of_one=groups > 1)
        return [Level("network", 1), nodes, own]

    def spread(self, result: Result) -> list[Fact]:
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
        last = result.step.last_micro_batch_size
        passes += f", the last {last}" if last < result.micro_batch_size else ""
        return [
            *facts,
            Fact("batch per copy", passes),
            Fact("computed again", recomputed(plan["activation_recompute"], plan["zero_stage"])),
            Fact("settings", f"{result.num_settings} that had to be right, {_where_from(result)}"),
        ]

    def memory(self, result: Result) -> list[Fact]:
        """What lies on the fullest GPU."""
        (place,) = self.places(result)
        parts = [Fact(HELD[name], show(held, "bytes")) for name, held in place.held_bytes.items()]
        return [Fact(place.name, f"{place.said}, {place.used_bytes / place.capacity_bytes:.1%}, of which"), *parts]

    def scaling(self, result: Result, weak: float, strong: float) -> list[Fact]:
        """Efficiency against one copy of the model."""
        copies = result.plan["data_parallel_size"]
        if copies == 1:
            return [Fact("copies", "one copy of the model, none to compare with")]
        of_one = f"of {copies:,} times one copy of the model"
        return [
            Fact("weak scaling", f"{weak:.1%} {of_one}, same batch per copy{why_above_one(result, weak)}"),
            Fact("strong scaling", f"{strong:.1%} {of_one}, same global batch"),
        ]

    def made_by(self, result: Result) -> str:
        """How the answer was found."""
        simulation = result.simulation
        wanted, number = result.num_micro_batches, simulation.num_simulated
        batches = plural(number, "micro-batch") if number == wanted else f"{number} of {wanted:,} micro-batches"
        searched = f", searched {simulation.num_plans:,} plans" if simulation.num_plans > 1 else ""
        repeats = "" if number == wanted else ", whose pattern the others repeat"
        return f"simulated one step of {batches}{repeats}{searched}: {result.num_events:,} events"


def _pipeline(result: Result) -> str:
    plan, schedule = result.plan, result.run.parallelism.pipeline_schedule
    name = {"1f1b": "1F1B", "gpipe": "GPipe"}[schedule] if is_training(result.run.training) else "forward passes"
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


def _where_from(result: Result) -> str:
    searched = result.simulation.num_plans
    return f"searched among {searched:,} plans" if searched > 1 else "all set in the run file"
