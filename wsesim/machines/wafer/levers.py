"""What holds the step back, and what would move it: found by simulating the change (`wsesim.machines.wafer.step`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wsesim.config.run import Run
from wsesim.machines.wafer.breakdown import CATEGORIES
from wsesim.machines.wafer.spec import ClusterSpec


@dataclass(frozen=True)
class Lever:
    """A change of the machine, and what it would do to the step."""

    words: str
    change: Callable[[ClusterSpec], ClusterSpec]

    def pulled(self, run: Run) -> Run:
        """The run with the change made."""
        return replace(run, cluster=self.change(run.cluster))


def _calibration(cluster: ClusterSpec, key: str, factor: float) -> ClusterSpec:
    old = cluster.system.calibration
    value = getattr(old, key) * factor
    calibration = old.model_copy(update={key: value if key.endswith("_s") else min(1.0, value)})
    return cluster.model_copy(update={"system": cluster.system.model_copy(update={"calibration": calibration})})


def _bandwidth(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    wafer = cluster.system.wafer.model_copy(update={"io_bytes_per_s": cluster.system.wafer.io_bytes_per_s * factor})
    spec = cluster.memoryx
    rates = ("egress_bytes_per_s", "ingress_bytes_per_s", "flash_bytes_per_s")
    faster = spec.model_copy(update={rate: getattr(spec, rate) * factor for rate in rates})
    links = cluster.swarmx.model_copy(update={"link_bytes_per_s": cluster.swarmx.link_bytes_per_s * factor})
    exceptions = tuple(
        exception.model_copy(
            update={
                rate: None if getattr(exception, rate) is None else getattr(exception, rate) * factor
                for rate in ("io_bytes_per_s", "link_bytes_per_s")
            }
        )
        for exception in cluster.exceptions
    )
    return cluster.model_copy(
        update={
            "system": cluster.system.model_copy(update={"wafer": wafer}),
            "memoryx": faster,
            "swarmx": links,
            "exceptions": exceptions,
        }
    )


def _optimizer(cluster: ClusterSpec, factor: float) -> ClusterSpec:
    rates = ("optimizer_bytes_per_s", "flash_bytes_per_s")
    faster = {rate: getattr(cluster.memoryx, rate) * factor for rate in rates}
    return cluster.model_copy(update={"memoryx": cluster.memoryx.model_copy(update=faster)})


def _input(cluster: ClusterSpec, factor: int) -> ClusterSpec:
    workers = cluster.input.num_workers_per_system * factor
    return cluster.model_copy(update={"input": cluster.input.model_copy(update={"num_workers_per_system": workers})})


_BANDWIDTH = Lever("twice the bandwidth of MemoryX, SwarmX and ports", lambda cluster: _bandwidth(cluster, 2.0))
LEVERS = {
    "gemm": Lever("10 % more GEMM efficiency", lambda cluster: _calibration(cluster, "gemm_efficiency", 1.1)),
    "attention": Lever(
        "10 % more attention efficiency", lambda cluster: _calibration(cluster, "attention_efficiency", 1.1)
    ),
    "latency": Lever("half the latency of a pass", lambda cluster: _calibration(cluster, "pass_latency_s", 0.5)),
    "weights": _BANDWIDTH,
    "gradients": _BANDWIDTH,
    "activations": _BANDWIDTH,
    "optimizer": Lever("twice the rate of MemoryX's memory and flash", lambda cluster: _optimizer(cluster, 2.0)),
    "input": Lever("twice the input workers", lambda cluster: _input(cluster, 2)),
    "stragglers": Lever("all systems alike", lambda cluster: cluster.model_copy(update={"exceptions": ()})),
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
    """The two changes that are worth a try: those to what takes most of the step."""
    chosen = list(dict.fromkeys([LEVERS[name] for name in _ranked(breakdown)[:2]] + [_BANDWIDTH]))[:2]
    if run.cluster.exceptions and LEVERS["stragglers"] not in chosen:
        chosen = [LEVERS["stragglers"], chosen[0]]
    return chosen


def bottleneck(breakdown: dict[str, float], step_time_s: float, tried: dict[Lever, float]) -> str:
    """One sentence: what takes most of the step, and what changes do to it.

    Parameters
    ----------
    breakdown
        Of the step. [s]
    step_time_s
        As it is. [s]
    tried
        The step time with each change. [s]
    """
    first = _ranked(breakdown)[0]
    effects = [f"{1.0 - changed_s / step_time_s:.1%} shorter with {lever.words}" for lever, changed_s in tried.items()]
    share = breakdown[first] / step_time_s
    return f"{BOUND[first]}: {share:.0%} of the step is {CATEGORIES[first]}; it would be {', '.join(effects)}"
