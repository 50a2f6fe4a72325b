"""GPU clusters as a kind of machine."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from wsesim.config.cluster import Files
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.gpu.words import GPUWords
from wsesim.machines.machine import PLANS, Failures, LeftOut, Machine, Work, nearest
from wsesim.machines.timeline import Timeline
from wsesim.results.intervals import Bounds
from wsesim.results.result import Result

if TYPE_CHECKING:
    from wsesim.machines.gpu.spec import GPURun
    from wsesim.machines.gpu.step import GPUStep

FILES = Files(
    cluster="wsesim.machines.gpu.spec:GPUClusterSpec",
    part="wsesim.machines.gpu.spec:GPUSpec",
    key="gpu",
    folder="gpus",
    whole=frozenset({"gpu", "gpus_per_node"}),
    schemas="wsesim.machines.gpu.spec:SCHEMAS",
    spread="wsesim.machines.gpu.parallelism:ParallelismSpec",
    from_cluster={"parallelism": "software", "job": "job"},
    training={"precision": "bfloat16"},
    software=("software_profile", "software"),
    strange={"precision": ("cbfloat16",), "weight_sparsity": (), "activations": ()},
    contradicts="wsesim.machines.gpu.spec:contradicts",
    usual="dgx_a100_80gb",
    complete="wsesim.machines.gpu.spec:with_software",
)
"""By addresses, so that runs on other machines read none of these specs."""
MOST_SEARCHED = 100_000
"""GPUs among which a page searches a plan. [-]"""
ESTIMATES_KEPT = 2048
"""Step times that are remembered: a page asks for the same ones again and again. [-]"""


class GPU(Machine):
    """GPU clusters: a model is spread over GPUs by a plan, which the run file gives or a search finds."""

    name = "gpu"
    kind = "gpu"
    files = FILES
    words = GPUWords()
    offers = frozenset({PLANS})
    estimates = True
    evaluates = True
    at_once = (1, 2)
    most_tried = 24
    is_baseline = True
    measured = "wsesim.validate.near:GPU_ROWS"

    def check(self, run: GPURun) -> None:
        """Refuse a run that cannot be."""
        from wsesim.machines.gpu.plans import check

        check(run)

    def work(self, run: GPURun) -> Work:
        """Of the plan that the file gives, or of the search; the step of what a search finds is checked when it is found."""
        from wsesim.machines.gpu.plans import candidates, work_of_search
        from wsesim.machines.gpu.search import work

        plans = candidates(run)
        return work(run, plans.plan(0)) if len(plans.tensor) == 1 else work_of_search(len(plans.tensor))

    def simulate(self, run: GPURun, engine: str = "") -> GPUStep:
        """One step with the plan of the file, or with the fastest."""
        if engine not in ("", *self.engines):
            raise ConfigError(f"{run.place}: GPU runs are simulated on simpy only; leave the engine out")
        return self._simulated(run, lazily=False)

    def time_only(self, run: GPURun) -> GPUStep:
        """One step whose plan is found and timed, but not simulated with a trace."""
        return self._simulated(run, lazily=True)

    def _simulated(self, run: GPURun, *, lazily: bool) -> GPUStep:
        from wsesim.machines.gpu.simulation import simulate_gpu
        from wsesim.machines.gpu.step import GPUStep

        return GPUStep(run, simulate_gpu(run, lazily=lazily))

    def step_times_s(self, runs: Sequence[GPURun]) -> list[float | str]:
        """Estimates with the best plan of each run, or why there is none. [s]"""
        return [_estimate(run) for run in runs]

    def best(self, run: GPURun, number: int) -> list[GPUStep]:
        """The best plans, fastest first; there may be fewer that fit."""
        from wsesim.machines.gpu.simulation import simulate_best
        from wsesim.machines.gpu.step import GPUStep

        return [GPUStep(run, one) for one in simulate_best(run, number)]

    def comes_in(self, run: GPURun) -> int:
        """GPUs of a node. [-]"""
        return run.cluster.gpus_per_node

    def nearest_batch(self, run: GPURun) -> int:
        """Whole micro-batches for each copy of the model, or of each GPU where a search decides on the copies. [-]

        Where that is too far, the batch that shares the largest factor with the number of GPUs.
        """
        training, copies = run.training, run.copies
        wanted, tolerance = training.global_batch_size, training.batch_tolerance
        micro = 1 if training.micro_batch_size == "auto" else training.micro_batch_size
        if copies is not None:
            return nearest(wanted, copies * micro, tolerance)
        whole = nearest(wanted, run.num_devices * micro, tolerance)
        if whole % (run.num_devices * micro) == 0:
            return whole
        room = int(tolerance * wanted)
        tried = range(max(1, wanted - room), wanted + room + 1)
        return max(tried, key=lambda batch: (math.gcd(batch, run.num_devices * micro), -abs(batch - wanted)))

    def numbers(self, run: GPURun) -> list[int]:
        """Doublings, half-way between them from a node on, and the own number. [-]"""
        return gpu_counts(run.max_devices, run.cluster.gpus_per_node, run.num_devices)

    def weak(self, run: GPURun) -> tuple[list[GPURun], list[LeftOut]]:
        """Each with its share of the batch, and the best plan for it."""
        free, own, batch = run.with_auto_plan(), run.num_devices, run.training.global_batch_size
        numbers = self.numbers(run)
        left_out = [
            LeftOut(number, f"its share of the global batch of {batch:,} is no whole number")
            for number in numbers
            if batch * number % own
        ]
        return [free.on(number, batch * number // own) for number in numbers if batch * number % own == 0], left_out

    def strong(self, run: GPURun, batch: int | None = None) -> tuple[list[GPURun], list[LeftOut]]:
        """All with the same batch, and the best plan for it; batches that do not divide have no plan."""
        free = run.with_auto_plan()
        return [free.on(number, batch) for number in self.numbers(run)], []

    def is_on_curve(self, run: GPURun) -> bool:  # noqa: ARG002
        """The curves are estimates, and of the best plan."""
        return False

    def software(self, run: GPURun) -> str:
        """The profile of the training software."""
        return str(run.cluster.software_profile)

    def software_choices(self, cluster: Any) -> dict[str, str]:
        """Profiles of the catalogue, that of the cluster first."""
        from wsesim.config import catalogue
        from wsesim.config.loader import load_software

        own = str(cluster.software_profile)
        names = dict.fromkeys((own, *catalogue.names("software")))
        return {name: f"{name}: {load_software(name).title}" for name in names}

    def failures(self, run: GPURun) -> Failures:
        """A node with its GPUs, host and adapters; stops that no node has caused."""
        nodes = math.ceil(run.num_devices / run.cluster.gpus_per_node)
        node_s, job_s = run.cluster.reliability.node_mtbf_s, run.cluster.reliability.job_mtbf_s
        return Failures(nodes, *(0.0 if mtbf_s is None else 1.0 / mtbf_s for mtbf_s in (node_s, job_s)))

    def bounds(self, run: GPURun, step_s: float) -> Bounds:  # noqa: ARG002
        """From what is known of the GPU and the kind of model."""
        from wsesim.machines.gpu.doubts import gpu_bounds

        return gpu_bounds(run)

    def is_extrapolated(self, run: GPURun) -> bool:
        """Whether nothing was measured on such a GPU, or of such a step."""
        from wsesim.machines.gpu.doubts import is_beyond

        return is_beyond(run)

    def timeline(self, result: Result, num_steps: int = 1, layers: Collection[int] | None = None) -> Timeline:
        """A GPU of each stage, and its streams of communication."""
        from wsesim.machines.gpu.timeline import draw

        return draw(result, num_steps, layers)

    def check_page(self, run: GPURun) -> None:
        """Refuse a search among too many GPUs."""
        if run.num_devices > MOST_SEARCHED:
            raise DoesNotFit(
                f"{run.place}: cluster.num_gpus is {run.num_devices:,}, and this page searches plans for up to "
                f"{MOST_SEARCHED:,}; download the run file, and run it with `wsesim run`"
            )


def gpu_counts(limit: int, node: int, own: int = 1) -> list[int]:
    """Numbers of GPUs: doublings, half-way between them from a node on, and the own one.

    Examples
    --------
    >>> gpu_counts(64, 8)
    [1, 2, 4, 8, 12, 16, 24, 32, 48, 64]
    """
    doubled = {2**power for power in range(int(math.log2(limit)) + 1)}
    between = {one + one // 2 for one in doubled if one >= node and one + one // 2 <= limit}
    return sorted(doubled | between | {min(own, limit), limit})


@lru_cache(maxsize=ESTIMATES_KEPT)
def _estimate(run: GPURun) -> float | str:
    """Step time of the best plan, or why there is none. [s]"""
    from wsesim.machines.gpu.plans import candidates, check
    from wsesim.machines.gpu.search import estimate_s

    try:
        check(run)
        found = estimate_s(run)
    except (ConfigError, DoesNotFit) as error:
        return str(error)
    if found is not None:
        return found
    divides = len(candidates(run).tensor) > 0
    return "no plan fits into the memory" if divides else "no plan divides layers, heads and batch evenly"


GPU_MACHINE = GPU()
