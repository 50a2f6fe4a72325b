"""What holds the step back, and what would move it: found by simulating the change (`wsesim.machines.wafer.step`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from wsesim.config.run import Run
from wsesim.machines.wafer.breakdown import CATEGORIES
from wsesim.machines.wafer.spec import ClusterSpec
from wsesim.units import add_up


@dataclass(frozen=True)
class Lever:
    """A change of the machine, and what it would do to the step."""

    words: str
    change: Callable[[ClusterSpec], ClusterSpec]

    def pulled(self, run: Run) -> Run:
        """The run with the change made."""
        return replace(run, cluster=self.change(run.cluster))


FASTER = 1.1
"""Every change is of this size, so that effects can be compared: a rate ten per cent higher, a latency as much shorter. [-]"""
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
    run
        Whose parts are named.
    breakdown
        Of the step. [s]
    step_time_s
        As it is. [s]
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
    effects = [f"{max(0.0, gains[one]):.1%} for {_words(run, one)}" for one in (*first, *others)]
    bound = listed([BOUND[name] for name in parts])
    return f"{bound}: {listed(shares)}; 10 % faster shortens it by {listed(effects)}"


def _part(breakdown: dict[str, float], lever: Lever) -> str:
    """The part of the step that a change is to; slower systems hold others up without a part of their own."""
    return next(name for name in (*_ranked(breakdown), *LEVERS) if LEVERS[name] is lever)


def _words(run: Run, lever: Lever) -> str:
    return slowest_parts(run.cluster) if lever is _STREAMS else lever.words
