"""One run, answered: everything that a report, a page or a program wants to know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from wsesim.config.loader import as_run
from wsesim.config.release import release_key
from wsesim.config.run import GPURun, Run
from wsesim.errors import ConfigError, DoesNotFit, InputError
from wsesim.intervals import Bounds
from wsesim.machines.wafer import throughput
from wsesim.machines.wafer.breakdown import breakdown_s
from wsesim.machines.wafer.coverage import outside_of_measurements, wafer_bounds
from wsesim.machines.wafer.levers import bottleneck, levers, possible_levers
from wsesim.machines.wafer.memory import memory
from wsesim.machines.wafer.simulation import Engine, Simulation, run_many, run_schedule, step_time_s, step_times_s
from wsesim.machines.wafer.utilization import utilization
from wsesim.result import Assumption, RunResult, assumptions_of

if TYPE_CHECKING:
    from wsesim.machines.gpu.result import GPUResult

MANY_EVENTS = 30_000
"""A run of systems that differ takes longer with more events than numpy takes to import, about 0.1 s. [-]"""


@dataclass(frozen=True, repr=False)
class Result(RunResult[Run, Simulation]):
    """What `wsesim run` prints; SI units. Everything is worked out when it is first asked for.

    Attributes
    ----------
    changed_s
        Step times with changes of the machine, by their words, as far as they were simulated together with the run. [s]
    """

    kind = "wafer_scale"
    changed_s: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_devices(self) -> int:
        """CS systems. [-]"""
        return self.run.cluster.num_systems

    @property
    def device(self) -> str:
        """Generation of the systems."""
        return self.run.cluster.system.name

    @property
    def model_flop_per_s(self) -> float:
        """Model FLOP per second over all systems, attention over the full square. [FLOP/s]"""
        return throughput.model_flop_per_s(self.simulation)

    @property
    def mfu(self) -> float:
        """Model FLOP utilization, attention over the full square. [-]"""
        return throughput.mfu(self.simulation)

    @property
    def mfu_causal(self) -> float:
        """Model FLOP utilization, attention over its causal half. [-]"""
        return throughput.mfu(self.simulation, causal=True)

    @property
    def hfu(self) -> float:
        """Hardware FLOP utilization. [-]"""
        return throughput.hfu(self.simulation)

    @property
    def micro_batch_size(self) -> int:
        """Sequences per system and pass. [-]"""
        return self.simulation.plan.micro_batch_size

    @property
    def num_micro_batches(self) -> int:
        """Passes per step. [-]"""
        return self.simulation.plan.num_micro_batches

    @cached_property
    def breakdown_s(self) -> dict[str, float]:
        """Where the time of a step goes. [s]"""
        return breakdown_s(self.simulation)

    @cached_property
    def bounds(self) -> Bounds:
        """By how much the step may be faster or slower in nine cases of ten."""
        return wafer_bounds(self.run, self.simulation.plan, self.step_time_s)

    @cached_property
    def bottleneck(self) -> str:
        """What takes most of the step, and what would move it; simulates the changes."""
        chosen = levers(self.run, self.breakdown_s)
        if all(lever.words in self.changed_s for lever in chosen):
            times_s = [self.changed_s[lever.words] for lever in chosen]
        else:
            times_s = self._times_s([lever.pulled(self.run) for lever in chosen])
        return bottleneck(self.breakdown_s, self.step_time_s, dict(zip(chosen, times_s, strict=True)))

    @cached_property
    def utilization(self) -> dict[str, float]:
        """How busy each part is. [-]"""
        return utilization(self.simulation)

    @cached_property
    def memory(self) -> dict[str, float]:
        """What is held where."""
        return memory(self.simulation)

    @cached_property
    def scaling_efficiency(self) -> float:
        """Speed over that of one system times their number, at the same batch per system (weak). [-]"""
        return self._alone_s[0] / self.step_time_s

    @cached_property
    def strong_scaling_efficiency(self) -> float:
        """The same at the same global batch. [-]"""
        return self._alone_s[1] / self.step_time_s / self.num_devices

    @cached_property
    def _alone_s(self) -> list[float]:
        """Step times of one system with its share of the batch, and with all of it. [s]"""
        if self.num_devices == 1 and not self.run.cluster.exceptions:
            return [self.step_time_s, self.step_time_s]
        batch = self.run.training.global_batch_size
        return self._times_s([self.run.on(1, batch // self.num_devices), self.run.on(1, batch)])

    def _times_s(self, runs: Sequence[Run]) -> list[float]:
        """Step times of runs like this one. [s]"""
        differ = len(self.simulation.plan.classes) > 1
        if self.simulation.engine == "recurrence" or (differ and self.num_events > MANY_EVENTS):
            return step_times_s(runs)
        return [step_time_s(run) for run in runs]

    @cached_property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every calibrated or assumed number that had a part in this run."""
        return assumptions_of(self.run.origins, lambda key: _in_use(key, self.simulation))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before using the numbers."""
        simulation = self.simulation
        return (
            *self.read_notes,
            *_coverage_note(self.run),
            *_release_note(simulation),
            *_micro_batch_note(simulation),
            *_sparsity_note(self.run),
            *_steady_note(simulation),
        )

    def _simulator_dict(self) -> dict[str, Any]:
        """Engine and events."""
        return {"engine": self.simulation.engine, "events": self.num_events}


def _in_use(key: str, simulation: Simulation) -> bool:
    """Whether a number had a part in this run."""
    training, plan = simulation.run.training, simulation.plan
    last = key.rsplit(".", 1)[-1]
    if ".calibration.releases." in key:
        return key.endswith(f".releases.{plan.software_release}")
    unused = {
        "flash_bytes": memory_in_flash(simulation) == 0,
        "flash_bytes_per_s": memory_in_flash(simulation) == 0,
        "index_bytes_per_weight": training.weight_sparsity == 0,
        "float32_rate_factor": training.precision != "float32",
        "num_systems": True,
        "max_systems": True,
        "amortization_s": simulation.run.cluster.price_usd_per_system_hour is not None,
        "purchase_price_usd": simulation.run.cluster.price_usd_per_system_hour is not None,
    }
    return not unused.get(last, False)


def memory_in_flash(simulation: Simulation) -> float:
    """Share of the model state that lies in flash. [-]"""
    return memory(simulation)["memoryx_flash_share"]


def _coverage_note(run: Run) -> list[str]:
    outside = outside_of_measurements(run)
    return [f"extrapolates beyond what has been measured: {'; '.join(outside)}"] if outside else []


def _release_note(simulation: Simulation) -> list[str]:
    wanted, chosen = simulation.run.cluster.software_release, simulation.plan.software_release
    if wanted is None or release_key(wanted) == release_key(chosen):
        return []
    system = simulation.run.cluster.system
    known = ", ".join(system.calibration.releases)
    return [f"release {wanted} is not calibrated for {system.name} (known: {known}); {chosen} is used in its place"]


def _micro_batch_note(simulation: Simulation) -> list[str]:
    plan, run = simulation.plan, simulation.run
    if run.training.micro_batch_size != "auto" or plan.micro_batch_size * 2 > plan.lanes.max_micro_batch_size:
        return []
    per_system = plan.micro_batch_size * plan.num_micro_batches
    if per_system <= plan.lanes.max_micro_batch_size:
        return []
    best = plan.lanes.max_micro_batch_size
    nearest = max(1, round(per_system / best)) * best * run.cluster.num_systems
    note = (
        f"a system's batch of {per_system} divides best into passes of {plan.micro_batch_size}, though {best} "
        f"would fit; a global batch of {nearest} would use the wafers better"
    )
    return [note]


def _sparsity_note(run: Run) -> list[str]:
    if run.training.weight_sparsity == 0:
        return []
    return ["MFU counts the FLOP of the dense model, also those that zero weights save; HFU counts what is executed"]


def _steady_note(simulation: Simulation) -> list[str]:
    if simulation.is_steady:
        return []
    return [
        f"no two consecutive steps agreed within {simulation.num_steps} steps; the step time is a mean over the last half"
    ]


@overload
def simulate(run: Run, *, engine: Engine = "simpy") -> Result: ...
@overload
def simulate(run: GPURun, *, engine: Engine = "simpy") -> GPUResult: ...
@overload
def simulate(run: Run | GPURun, *, engine: Engine = "simpy") -> Result | GPUResult: ...
@overload
def simulate(run: str | Path | dict[str, Any], *, engine: Engine = "simpy") -> Result | GPUResult: ...
def simulate(run: Run | GPURun | str | Path | dict[str, Any], *, engine: Engine = "simpy") -> Result | GPUResult:
    """Simulate a run and answer everything about it.

    Parameters
    ----------
    run
        From `wsesim.load`, or anything that it takes: a catalogue name, a path, nested dicts.
    engine
        "simpy", the reference, or "recurrence": the same times to the last digit, without a trace; GPU
        runs are simulated on SimPy only.

    Returns
    -------
    Result or GPUResult
        SI units throughout.

    Raises
    ------
    wsesim.errors.InputError
        Numbers that contradict each other.
    wsesim.errors.DoesNotFit
        More than the machine holds.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> result = simulate(load("andromeda_13b"))
    >>> result.micro_batch_size, result.num_micro_batches
    (90, 1)
    """
    run = as_run(run, "simulate")
    if isinstance(run, GPURun):
        from wsesim.machines.gpu.result import simulate_gpu_run

        if engine != "simpy":
            raise ConfigError(f"{run.place}: GPU runs are simulated on simpy only; leave the engine out")
        return simulate_gpu_run(run)
    return Result(run, run_schedule(run)) if engine == "simpy" else _with_changes(run)


def _with_changes(run: Run) -> Result:
    """A run by the recurrence, and with it every change that its bottleneck may ask for: in one batch they cost no more."""
    changes = possible_levers(run)
    try:
        simulation, *others = run_many([run, *(lever.pulled(run) for lever in changes)])
    except (InputError, DoesNotFit):  # of the run, or of a change that nobody may ask for
        return Result(run, run_schedule(run, engine="recurrence"))
    return Result(run, simulation, {lever.words: one.step_time_s for lever, one in zip(changes, others, strict=True)})


def simulate_many(runs: Sequence[Run]) -> list[Result]:
    """Simulate many runs with the recurrence, which shares its cost among them.

    Parameters
    ----------
    runs
        In any order; models of equal depth share most.

    Returns
    -------
    list of Result
        In the order of `runs`. Times equal those of `simulate` to the last digit; the breakdown adds
        in another order, and equals it within 1e-12 of the step.

    Raises
    ------
    wsesim.errors.InputError, wsesim.errors.DoesNotFit
        As `simulate`, for the first run that is refused.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> runs = [load("cerebras_gpt_1.3b", [f"training.weight_sparsity={share}"]) for share in (0.0, 0.5)]
    >>> dense, sparse = simulate_many(runs)
    >>> sparse.step_time_s < dense.step_time_s
    True
    """
    return [Result(run, simulation) for run, simulation in zip(runs, run_many(runs), strict=True)]
