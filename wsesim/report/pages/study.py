"""What a report is about: results, and what is worked out from them once for its pictures and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wsesim.config.loader import any_from_table
from wsesim.config.run import Run
from wsesim.errors import ConfigError
from wsesim.machines.machine import machine_of
from wsesim.result import Assumption, Result, assumptions_of
from wsesim.study.scaling import Scaling, scaling

if TYPE_CHECKING:
    from wsesim.timeline import Timeline
    from wsesim.validate.near import Comparison

SMALLEST_MODEL = "cerebras-gpt-111m"
NO_GPUS = "none"
"""Instead of a GPU cluster: show none."""
NOT_IN_A_LINE = (
    *("num_gpus", "power_w", "power_w_per_gpu", "price_usd_per_gpu_hour", "purchase_price_usd_per_gpu"),
    *("amortization_s", "pue", "electricity_usd_per_kwh", "carbon_kg_per_kwh"),
    *(
        "batched_gemm_efficiency",
        "peak_dense_32bit_flop_per_s",
        "peak_dense_8bit_flop_per_s",
        "peak_dense_4bit_flop_per_s",
    ),
)
"""Numbers of a GPU cluster on which no throughput with everything left open rests."""


@dataclass(frozen=True)
class Study:
    """Results and what belongs to them.

    Attributes
    ----------
    results
        The first is what others are compared with.
    gpu_cluster
        Beside whose GPUs wafer-scale runs are shown: a catalogue name, "none", or "" for one of the same years.
    """

    results: tuple[Result, ...]
    gpu_cluster: str = ""

    @cached_property
    def timelines(self) -> tuple[Timeline, ...]:
        """One step of each result."""
        from wsesim.timeline import timeline_of

        return tuple(timeline_of(one) for one in self.results)

    @cached_property
    def scalings(self) -> tuple[Scaling, ...]:
        """Each result from one device to as many as its fabric takes."""
        return tuple(scaling(one, self._gpus_beside(one)) for one in self.results)

    @cached_property
    def near(self) -> tuple[Comparison, ...]:
        """Published measurements nearest to any of the results, each once."""
        from wsesim.validate.near import near

        found = {(one.set, one.id): one for result in reversed(self.results) for one in near(result.run)}
        return tuple(sorted(found.values(), key=lambda one: one.doublings))

    @cached_property
    def beside(self) -> dict[str, tuple[Assumption, ...]]:
        """Of each GPU cluster that is shown beside a run, and is in none: the numbers of its line that are not public."""
        own = [one.run.cluster.name for one in self.results]
        runs = [run for run in map(self._gpus_beside, self.results) if run is not None and run.cluster.name not in own]
        return {
            run.cluster.name: assumptions_of(run.origins, lambda key: key.rsplit(".", 1)[-1] not in NOT_IN_A_LINE)
            for run in runs
        }

    def _gpus_beside(self, result: Result) -> Run | None:
        """GPUs on which the scaling of a wafer-scale run is shown, too: those of another result, or of the named cluster."""
        if machine_of(result.run).is_baseline or self.gpu_cluster == NO_GPUS:
            return None
        others = [one.run for one in self.results if machine_of(one.run).is_baseline]
        if others and not self.gpu_cluster:
            return others[0]
        name = self.gpu_cluster or machine_of(result.run).contemporary(result.run)
        return gpu_run(name) if name else None


def gpu_run(name: str) -> Run:
    """A run on a GPU cluster of the catalogue, with everything left open; its model and batch stand for others.

    Raises
    ------
    wsesim.errors.InputError
        No such cluster, or one of another kind.
    """
    table = {
        "model": {"name": SMALLEST_MODEL},
        "training": {"sequence_length": 2048, "global_batch_size": 256},
        "cluster": {"name": name},
    }
    run = any_from_table(table, place="--gpu-cluster")
    machine = machine_of(run)
    if not machine.is_baseline:
        raise ConfigError(
            f"--gpu-cluster {name}: is {machine.words.adjective}, where one of GPUs is needed; name for example dgx_h100"
        )
    return run
