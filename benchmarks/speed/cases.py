"""The runs that are timed, and the event counts that they must have.

A count that changes means that the simulation does other work than before. That may be meant;
then the new count goes here, in the same commit as the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsesim.config.loader import load, load_any
from wsesim.config.run import Run
from wsesim.machines.gpu.spec import GPURun


@dataclass(frozen=True)
class Case:
    """One run and its work.

    Attributes
    ----------
    events
        SimPy events until the steady state. [-]
    """

    name: str
    run: str
    settings: tuple[str, ...]
    events: int

    def load(self) -> Run:
        """The run to simulate."""
        return load(self.run, self.settings)


def _systems(count: int, per_system: int = 90) -> tuple[str, ...]:
    return (
        "cluster.name=cs3_2048",
        "cluster.system=cs2",
        f"cluster.num_systems={count}",
        f"training.global_batch_size={count * per_system}",
    )


CASES = (
    Case("13B on 12 systems", "andromeda_13b", (), 6_748),
    Case("13B on 1 system", "andromeda_13b", _systems(1), 6_748),
    Case("13B on 2048 systems", "andromeda_13b", _systems(2048), 6_748),
    Case("13B, 100 micro-batches", "andromeda_13b", ("training.global_batch_size=108000",), 26_440),
    Case("13B, one straggler", "straggler_13b", (), 11_689),
    Case("1T on 192 systems", "gpt_1t_cs2_192", (), 50_186),
)


@dataclass(frozen=True)
class GPUCase:
    """One GPU run and its work.

    Attributes
    ----------
    events
        SimPy events of its pipeline, with the plan of its file. [-]
    plans
        Plans that divide evenly when every size is left open. [-]
    """

    name: str
    run: str
    events: int
    plans: int

    def load(self) -> GPURun:
        """The run to simulate."""
        return load_any(self.run)

    def open(self) -> GPURun:
        """The same run with everything left open, context parallelism included."""
        run = self.load().with_auto_plan()
        return replace(run, parallelism=run.parallelism.model_copy(update={"context_parallel_size": "auto"}))


@dataclass(frozen=True)
class PageCase:
    """A state of the page whose number of systems is moved.

    Attributes
    ----------
    fields
        Other than the page's first ones.
    systems
        Where the number of systems is let go, one after another. [-]
    """

    name: str
    fields: dict[str, str]
    systems: tuple[int, ...]


PAGE_CASES = (
    PageCase("13B, 256 A100", {}, (1, 2, 3, 5, 7, 12)),
    PageCase(
        "175B, 1024 A100",
        {"model": "gpt3-175b", "cluster": "cs2_192", "gpus": "selene", "num_gpus": "1024"},
        (12, 48, 100, 192),
    ),
    PageCase(
        "1T, 3072 A100",
        {"model": "megatron-1t", "cluster": "cs2_192", "gpus": "selene", "num_gpus": "3072"},
        (12, 48, 100, 192),
    ),
)
GPU_CASES = (
    GPUCase("20B on 96 A100", "gpt_neox_20b_96xa100", 436, 111_567),
    GPUCase("175B on 1024 A100", "gpt3_175b_1024xa100", 6_479, 207_280),
    GPUCase("1T on 3072 A100", "gpt_1t_3072xa100", 103_975, 272_304),
)
