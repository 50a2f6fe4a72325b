"""Metrics of a step: where its time goes, how busy each part is, rates, what is held where, and what holds it back."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from wsesim.config.run import Run
from wsesim.config.training import is_training
from wsesim.engine.program import within
from wsesim.machines.wafer import memoryx
from wsesim.machines.wafer.plan import activation_bytes_factor, kept_per_working_set
from wsesim.machines.wafer.simulation import Simulation
from wsesim.machines.wafer.spec import ClusterSpec
from wsesim.machines.wafer.streaming import numbers_of
from wsesim.machines.wafer.swarmx import exceptional_links, tree
from wsesim.machines.wafer.wafer import peak_flop_per_s
from wsesim.results.step import FASTER
from wsesim.units import add_up
from wsesim.workload.transformer import model_flop_per_sequence, parameter_count

# Where the time of a step goes, along the path that decides it.
#
# The step is as long as the wafer that finishes last needs: every moment of that wafer is
# either work or waiting, so its spans add up to the step. Its waits for weights are split,
# when they end, by what held the weights up: their gradient was not in, the optimizer was at
# work, another system had no room, or they were on their way
# (`wsesim.machines.wafer.streaming.WeightStreaming.note_weight_wait`).


CATEGORIES = {
    "gemm": "products with weights",
    "attention": "attention scores and values",
    "latency": "latency of the passes that no work hides",
    "weights": "waiting for weights to arrive",
    "gradients": "waiting for gradients to leave or to be reduced",
    "optimizer": "waiting for the optimizer update",
    "activations": "waiting for saved activations",
    "input": "waiting for input samples",
    "stragglers": "waiting for slower systems",
}


def breakdown_s(simulation: Simulation) -> dict[str, float]:
    """Seconds of one step by what they go into; they sum to the step time. [s]

    Categories without any time are left out.
    """
    total = dict.fromkeys(CATEGORIES, 0.0)
    for kind, value in simulation.spent_s.items():
        total[kind.removeprefix("wait_")] += value
    largest = max(total, key=lambda name: total[name])
    total[largest] += simulation.step_time_s - add_up(total.values())  # rounding of some 1000 additions
    return {name: value for name, value in total.items() if value > 0.0}


# How busy each part of the machine is, and what it moves.


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
        layer_pass = plan.kinds[index]
        times = {name: numbers.per_class[name, index][kind] for name in ("latency_s", "chunk_s", "attention_s")}
        busy["wafer"] += visits * (times["latency_s"] + layer_pass.num_chunks * times["chunk_s"] + times["attention_s"])
        if layer_pass.takes_weights:
            busy["swarmx_down"] += visits * layer_pass.num_chunks * numbers.shared["down_s", index]
        busy["port_in"] += visits * numbers.per_class["fetch_s", index][kind]
        busy["port_out"] += visits * numbers.per_class["save_s", index][kind]
        if not layer_pass.takes_weights:
            busy["swarmx_up"] += visits * layer_pass.num_chunks * numbers.shared["up_s", index]
    busy["port_in"] += busy["swarmx_down"] + numbers.per_class["input_s", 0][kind]
    busy["port_out"] += busy["swarmx_up"]
    busy["input"] = numbers.per_class["prepare_s", 0][kind]
    step = {part: value * plan.num_micro_batches for part, value in busy.items()}
    updates = () if all(one.takes_weights for one in plan.kinds) else plan.update_kinds
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
        "weights_in": float(count * add_up(one.num_bytes for one in plan.passes() if one.takes_weights)),
        "gradients_out": float(count * add_up(one.num_bytes for one in plan.passes() if not one.takes_weights)),
        "activations_out": float(count * add_up(one.saved_bytes for one in plan.passes())),
        "activations_in": float(count * add_up(one.fetched_bytes for one in plan.passes())),
        "input_in": float(count * plan.input_bytes),
    }


# What crosses every single link of the fabric in one step.


@dataclass(frozen=True)
class LinkTraffic:
    """Traffic of one link in one step.

    Attributes
    ----------
    parent, child
        Nodes of the tree; the parent is nearer to MemoryX.
    down_bytes, up_bytes
        Weights down, summed gradients up. [bytes]
    utilization_down, utilization_up
        Share of the step in which the link carries them. [-]
    """

    parent: str
    child: str
    down_bytes: float
    up_bytes: float
    utilization_down: float
    utilization_up: float


def link_traffic(simulation: Simulation) -> list[LinkTraffic]:
    """Every link from MemoryX to the systems.

    A broadcast puts the same bytes on every link, a reduction sums before it forwards, so
    links differ by their rate, not by their bytes.
    """
    cluster = simulation.run.cluster
    moved = bytes_per_step(simulation)
    special = exceptional_links(cluster)
    own_rate = dict.fromkeys(range(cluster.num_systems), cluster.swarmx.link_bytes_per_s)
    for exception in cluster.exceptions:
        own_rate |= {system: exception.link_bytes_per_s or own_rate[system] for system in exception.systems}
    graph = tree(cluster.num_systems, cluster.swarmx.fan_out)
    rows = []
    for parent, child in graph.edges:
        rate = own_rate[int(child[3:])] if child.startswith("cs.") else cluster.swarmx.link_bytes_per_s
        if child in special and special[child].link_bytes_per_s is not None:
            rate = special[child].link_bytes_per_s or rate
        down, up = moved["weights_in"], moved["gradients_out"]
        capacity = rate * simulation.step_time_s
        rows.append(LinkTraffic(parent, child, down, up, down / capacity, up / capacity))
    return rows


# Samples, tokens and FLOP per second, MFU and HFU.
#
# MFU counts model FLOP: what one forward and backward pass needs, with attention over the
# full square unless a name says ``causal``. HFU counts what was executed: recomputation adds,
# skipped zero weights subtract. Both are shares of the dense 16-bit peak of all systems.


FORWARD_SHARE = 1.0 / 3.0
"""Of the FLOP of a training step, those of the forward pass. [-]"""


def samples_per_s(simulation: Simulation) -> float:
    """Sequences per second over all systems. [1/s]"""
    return simulation.run.training.global_batch_size / simulation.step_time_s


def model_flop_per_s(simulation: Simulation, *, causal: bool = False) -> float:
    """Model FLOP per second over all systems. [FLOP/s]"""
    run = simulation.run
    per_sequence = model_flop_per_sequence(run.model, run.training.sequence_length, causal=causal)
    per_sequence *= 1.0 if is_training(run.training) else FORWARD_SHARE
    return per_sequence * samples_per_s(simulation)


def peak_of_cluster_flop_per_s(simulation: Simulation) -> float:
    """Dense peak of all systems at the run's precision. [FLOP/s]"""
    cluster = simulation.run.cluster
    return int(cluster.num_systems) * peak_flop_per_s(cluster.system.wafer, simulation.run.training.precision)


def mfu(simulation: Simulation, *, causal: bool = False) -> float:
    """Model FLOP utilization. [-]"""
    return model_flop_per_s(simulation, causal=causal) / peak_of_cluster_flop_per_s(simulation)


def executed_flop_per_step(simulation: Simulation) -> float:
    """FLOP that the wafers execute in one step. [FLOP]"""
    per_sequence = add_up(one.executed_flop_per_sequence for one in simulation.plan.passes())
    return per_sequence * simulation.run.training.global_batch_size


def hfu(simulation: Simulation) -> float:
    """Hardware FLOP utilization. [-]"""
    return executed_flop_per_step(simulation) / simulation.step_time_s / peak_of_cluster_flop_per_s(simulation)


# Memory of MemoryX and of a wafer.


def kept_bytes_per_token(simulation: Simulation) -> float:
    """Activations of other layers that the backward pass will need, wherever they are kept. [bytes]"""
    run, plan = simulation.run, simulation.plan
    factor = activation_bytes_factor(run.training)
    working_set = max(layer.working_set_bytes_per_token for layer in plan.layers) * factor
    if run.training.activations == "offload":
        tokens = plan.sequences_per_pass * run.training.sequence_length
        return add_up(one.saved_bytes for one in plan.passes()) / tokens
    return kept_per_working_set(run.training, plan.layers) * working_set


def memory(simulation: Simulation) -> dict[str, float]:
    """Bytes held and available in MemoryX and on one wafer, and the micro-batch they allow."""
    run, plan = simulation.run, simulation.plan
    wafer, spec = run.cluster.system.wafer, run.cluster.memoryx
    parameters = parameter_count(run.model, run.training.sequence_length)
    factor = activation_bytes_factor(run.training)
    working_set = max(layer.working_set_bytes_per_token for layer in plan.layers) * factor
    tokens = plan.micro_batch_size * run.training.sequence_length
    kept = memoryx.kept_for(run.training)
    return {
        "memoryx_bytes": memoryx.state_bytes(parameters, kept),
        "memoryx_capacity_bytes": spec.dram_bytes + spec.flash_bytes,
        "memoryx_flash_share": memoryx.share_in_flash(spec, parameters, kept),
        "wafer_working_set_bytes": working_set * tokens,
        "wafer_activation_capacity_bytes": wafer.sram_bytes,
        "wafer_sram_bytes": wafer.sram_bytes,
        "weight_buffer_bytes": wafer.weight_buffer_bytes,
        "largest_layer_weight_bytes": float(max(one.num_bytes for one in plan.kinds)),
        "saved_activation_bytes": kept_bytes_per_token(simulation) * tokens,
        "max_micro_batch_size": plan.lanes.max_micro_batch_size,
        "num_lanes": plan.lanes.num_lanes,
        "sequences_per_lane": plan.lanes.sequences_per_lane,
        "features_per_core": plan.lanes.features_per_core,
        "tokens_per_core": plan.lanes.tokens_per_core,
    }


# What holds the step back, and what would move it: found by simulating the change (`wsesim.machines.wafer.step`).


@dataclass(frozen=True)
class Lever:
    """A change of the machine, and what it would do to the step."""

    words: str
    change: Callable[[ClusterSpec], ClusterSpec]

    def pulled(self, run: Run) -> Run:
        """The run with the change made."""
        return replace(run, cluster=self.change(run.cluster))


TIE = 0.01
"""Changes whose effects differ by less of the step are named together. [-]"""
FEWEST_SHARE = 0.005
"""Of a step: what takes less is not worth a try. [-]"""


def _calibration(cluster: ClusterSpec, key: str) -> ClusterSpec:
    old = cluster.system.calibration
    value = getattr(old, key)
    value = value / FASTER if key.endswith("_s") else min(1.0, value * FASTER)
    calibration = old.model_copy(update={key: value})
    return cluster.model_copy(update={"system": cluster.system.model_copy(update={"calibration": calibration})})


def _exceptions(cluster: ClusterSpec, key: str, most: float = math.inf) -> ClusterSpec:
    """What differs from system to system, that much faster too."""
    changed = tuple(
        one if getattr(one, key) is None else one.model_copy(update={key: min(most, getattr(one, key) * FASTER)})
        for one in cluster.exceptions
    )
    return cluster.model_copy(update={"exceptions": changed})


def _ports(cluster: ClusterSpec) -> ClusterSpec:
    wafer = cluster.system.wafer.model_copy(update={"io_bytes_per_s": cluster.system.wafer.io_bytes_per_s * FASTER})
    system = cluster.system.model_copy(update={"wafer": wafer})
    return _exceptions(cluster.model_copy(update={"system": system}), "io_bytes_per_s")


def _links(cluster: ClusterSpec) -> ClusterSpec:
    links = cluster.swarmx.model_copy(update={"link_bytes_per_s": cluster.swarmx.link_bytes_per_s * FASTER})
    return _exceptions(cluster.model_copy(update={"swarmx": links}), "link_bytes_per_s")


def _memoryx(cluster: ClusterSpec, *rates: str) -> ClusterSpec:
    faster = {rate: getattr(cluster.memoryx, rate) * FASTER for rate in rates}
    return cluster.model_copy(update={"memoryx": cluster.memoryx.model_copy(update=faster)})


def _servers(cluster: ClusterSpec) -> ClusterSpec:
    return _memoryx(cluster, "egress_bytes_per_s", "ingress_bytes_per_s", "flash_bytes_per_s")


def _streams(cluster: ClusterSpec) -> ClusterSpec:
    for _, change in _slowest(cluster):
        cluster = change(cluster)
    return cluster


def _slowest(cluster: ClusterSpec) -> list[tuple[str, Callable[[ClusterSpec], ClusterSpec]]]:
    """Parts of the way of weights and gradients that are as slow as the slowest, and how they become faster."""
    spec = cluster.memoryx
    rates = {
        "ports": (cluster.system.wafer.io_bytes_per_s, _ports),
        "SwarmX": (cluster.swarmx.link_bytes_per_s, _links),
        "MemoryX": (min(spec.egress_bytes_per_s, spec.ingress_bytes_per_s), _servers),
    }
    least = min(rate for rate, _ in rates.values())
    return [(name, change) for name, (rate, change) in rates.items() if rate <= least * (1.0 + TIE)]


def slowest_parts(cluster: ClusterSpec) -> str:
    """Parts of the way of weights and gradients that are as slow as the slowest, in words.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> slowest_parts(load("andromeda_13b").cluster)
    'ports, SwarmX and MemoryX'
    """
    return listed([name for name, _ in _slowest(cluster)])


def listed(words: Sequence[str]) -> str:
    """Words with commas, and an "and" before the last one.

    Examples
    --------
    >>> listed(["ports", "SwarmX", "MemoryX"])
    'ports, SwarmX and MemoryX'
    """
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])


def _optimizer(cluster: ClusterSpec) -> ClusterSpec:
    return _memoryx(cluster, "optimizer_bytes_per_s", "flash_bytes_per_s")


def _input(cluster: ClusterSpec) -> ClusterSpec:
    rate = cluster.input.rate_per_worker
    faster = {} if rate is None else {"worker_samples_per_s": rate * FASTER}
    changed = cluster.model_copy(update={"input": cluster.input.model_copy(update=faster)})
    return _exceptions(changed, "worker_samples_per_s")


_STREAMS = Lever("the slowest of ports, SwarmX and MemoryX", _streams)
LEVERS = {
    "gemm": Lever("products with weights", lambda cluster: _calibration(cluster, "gemm_efficiency")),
    "attention": Lever("attention", lambda cluster: _calibration(cluster, "attention_efficiency")),
    "latency": Lever("the latency of passes", lambda cluster: _calibration(cluster, "pass_latency_s")),
    "weights": _STREAMS,
    "gradients": _STREAMS,
    "activations": _STREAMS,
    "optimizer": Lever("the optimizer", _optimizer),
    "input": Lever("input workers", _input),
    "stragglers": Lever("slower systems", lambda cluster: _exceptions(cluster, "speed", most=1.0)),
}
BOUND = {
    "gemm": "compute bound",
    "attention": "attention bound",
    "latency": "bound by the latency of passes",
    "weights": "bound by weight bandwidth",
    "gradients": "bound by gradient reduction",
    "activations": "bound by activation traffic",
    "optimizer": "bound by the optimizer",
    "input": "input bound",
    "stragglers": "held back by slower systems",
}


def _ranked(breakdown: dict[str, float]) -> list[str]:
    return sorted((name for name in breakdown if name in LEVERS), key=lambda name: -breakdown[name])


def levers(run: Run, breakdown: dict[str, float]) -> list[Lever]:
    """The changes that are worth a try: those to what takes some of the step, at least two."""
    step_s = add_up(breakdown.values())
    ranked = [LEVERS[name] for name in _ranked(breakdown) if breakdown[name] >= FEWEST_SHARE * step_s]
    ranked += [LEVERS["stragglers"]] if run.cluster.exceptions else []
    chosen = [one for one in dict.fromkeys(ranked) if one is not LEVERS["stragglers"] or run.cluster.exceptions]
    return chosen if len(chosen) > 1 else list(dict.fromkeys([*chosen, _STREAMS, LEVERS["gemm"]]))[:2]


def bottleneck(run: Run, breakdown: dict[str, float], step_time_s: float, tried: dict[Lever, float]) -> str:
    """One sentence: what would shorten the step most if it were a tenth faster, and what else would.

    Parameters
    ----------
    tried
        The step time with each change. [s]
    """
    gains = {lever: 1.0 - changed_s / step_time_s for lever, changed_s in tried.items()}
    best = max(gains.values())
    first = [lever for lever in sorted(gains, key=lambda one: -gains[one]) if gains[lever] > best - TIE]
    if best < TIE:
        first = first[:1]  # nothing moves it much, and all of that would be a tie
    parts = list(dict.fromkeys(_part(breakdown, lever) for lever in first))
    spent = [name for name in parts if name in breakdown] or _ranked(breakdown)[:1]
    shares = [f"{breakdown[name] / step_time_s:.0%} of the step is {CATEGORIES[name]}" for name in spent]
    others = sorted((one for one in gains if one not in first), key=lambda one: -gains[one])[:1]
    effects = [f"{max(0.0, gains[one]):.1%} for {words(run, one)}" for one in (*first, *others)]
    bound = listed([BOUND[name] for name in parts])
    return f"{bound}: {listed(shares)}; 10 % faster shortens it by {listed(effects)}"


def _part(breakdown: dict[str, float], lever: Lever) -> str:
    """The part of the step that a change is to; slower systems hold others up without a part of their own."""
    return next(name for name in (*_ranked(breakdown), *LEVERS) if LEVERS[name] is lever)


def words(run: Run, lever: Lever) -> str:
    """What a change is of."""
    return slowest_parts(run.cluster) if lever is _STREAMS else lever.words
