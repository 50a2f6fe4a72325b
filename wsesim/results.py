"""One run, answered: everything that a report, a page or a program wants to know about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wsesim import __version__
from wsesim.config import catalogue
from wsesim.config.loader import Run, release_key
from wsesim.config.provenance import Origin
from wsesim.metrics import throughput
from wsesim.metrics.bottleneck import bottleneck
from wsesim.metrics.breakdown import breakdown_s
from wsesim.metrics.memory import memory
from wsesim.metrics.training import Job, job
from wsesim.metrics.utilization import utilization
from wsesim.simulation import Simulation, run_schedule
from wsesim.units import parse_quantity, unit_of_field
from wsesim.validation.coverage import outside_of_measurements

UNCERTAIN = ("calibrated", "assumed")


@dataclass(frozen=True)
class Assumption:
    """A number in use that is not public."""

    key: str
    value: Any
    status: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Result:
    """What `wsesim run` prints; SI units.

    Attributes
    ----------
    num_devices
        CS systems. [-]
    mfu, mfu_causal
        Model FLOP utilization with attention over the full square, and over its causal half. [-]
    scaling_efficiency
        Speed over that of one system times the number of systems, at the same batch per system (weak). [-]
    strong_scaling_efficiency
        The same at the same global batch. [-]
    notes
        What a reader should know before using the numbers.
    """

    run: Run
    simulation: Simulation = field(repr=False)
    step_time_s: float
    samples_per_s: float
    tokens_per_s: float
    model_flop_per_s: float
    mfu: float
    mfu_causal: float
    hfu: float
    micro_batch_size: int
    num_micro_batches: int
    breakdown_s: dict[str, float]
    bottleneck: str
    utilization: dict[str, float]
    memory: dict[str, float]
    scaling_efficiency: float
    strong_scaling_efficiency: float
    job: Job
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]
    num_events: int
    wall_s: float

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    @property
    def num_devices(self) -> int:
        """CS systems. [-]"""
        return self.run.cluster.num_systems

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim run --json``: SI units, times in seconds."""
        return {
            "name": self.name,
            "kind": "wafer_scale",
            "num_devices": self.num_devices,
            "step_time_s": self.step_time_s,
            "samples_per_s": self.samples_per_s,
            "tokens_per_s": self.tokens_per_s,
            "model_flop_per_s": self.model_flop_per_s,
            "mfu": self.mfu,
            "mfu_causal": self.mfu_causal,
            "hfu": self.hfu,
            "micro_batch_size": self.micro_batch_size,
            "num_micro_batches": self.num_micro_batches,
            "breakdown_s": self.breakdown_s,
            "bottleneck": self.bottleneck,
            "utilization": self.utilization,
            "memory": self.memory,
            "scaling_efficiency": self.scaling_efficiency,
            "strong_scaling_efficiency": self.strong_scaling_efficiency,
            "training": _job_dict(self.job),
            "assumptions": [
                {"key": one.key, "value": one.value, "status": one.status, "source": one.source, "note": one.note}
                for one in self.assumptions
            ],
            "notes": list(self.notes),
            "simulator": {"version": __version__, "events": self.num_events, "wall_s": self.wall_s},
        }


def _job_dict(job: Job) -> dict[str, Any]:
    cost = job.cost_usd
    return {
        "steps": job.steps,
        "tokens": job.tokens,
        "time_s": job.time_s,
        "energy_j": job.energy_j.value,
        "energy_j_range": [job.energy_j.low, job.energy_j.high],
        "cost_usd": None if cost is None else cost.value,
        "cost_usd_range": None if cost is None else [cost.low, cost.high],
        "predicted_loss": job.pile_loss,
        "predicted_loss_chinchilla": job.chinchilla_loss,
    }


def status_of(origin: Origin) -> str:
    """Status of a number: its own, else that of its source."""
    if origin.status:
        return origin.status
    source = catalogue.sources().get(origin.source)
    return source.status if source is not None else "user"


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


def assumptions(simulation: Simulation) -> tuple[Assumption, ...]:
    """Every calibrated or assumed number that had a part in this run, in SI units."""
    found = []
    for key, origin in simulation.run.origins.items():
        status = status_of(origin)
        if status in UNCERTAIN and _in_use(key, simulation):
            value = origin.value
            if isinstance(value, str):
                value = parse_quantity(value, unit_of_field(key))
            found.append(Assumption(key, value, status, origin.source, origin.note))
    return tuple(found)


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
        f"a system's batch of {per_system} has no larger divisor that fits than {plan.micro_batch_size}, though {best} "
        f"would fit; a global batch of {nearest} would use the wafers better"
    )
    return [note]


def _steady_note(simulation: Simulation) -> list[str]:
    if simulation.is_steady:
        return []
    return [
        f"no two consecutive steps agreed within {simulation.num_steps} steps; the step time is a mean over the last half"
    ]


def simulate(run: Run) -> Result:
    """Simulate a run and answer everything about it.

    Parameters
    ----------
    run
        From `wsesim.load`.

    Returns
    -------
    Result
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
    simulation = run_schedule(run)
    num_systems, batch = run.cluster.num_systems, run.training.global_batch_size
    breakdown = breakdown_s(simulation)
    weak = strong = 1.0
    if num_systems > 1:
        weak = run_schedule(run.on(1, batch // num_systems)).step_time_s / simulation.step_time_s
        strong = run_schedule(run.on(1, batch)).step_time_s / simulation.step_time_s / num_systems
    return Result(
        run=run,
        simulation=simulation,
        step_time_s=simulation.step_time_s,
        samples_per_s=throughput.samples_per_s(simulation),
        tokens_per_s=throughput.samples_per_s(simulation) * run.training.sequence_length,
        model_flop_per_s=throughput.model_flop_per_s(simulation),
        mfu=throughput.mfu(simulation),
        mfu_causal=throughput.mfu(simulation, causal=True),
        hfu=throughput.hfu(simulation),
        micro_batch_size=simulation.plan.micro_batch_size,
        num_micro_batches=simulation.plan.num_micro_batches,
        breakdown_s=breakdown,
        bottleneck=bottleneck(run, breakdown, simulation.step_time_s),
        utilization=utilization(simulation),
        memory=memory(simulation),
        scaling_efficiency=weak,
        strong_scaling_efficiency=strong,
        job=job(run, simulation.step_time_s),
        assumptions=assumptions(simulation),
        notes=(
            *_coverage_note(run),
            *_release_note(simulation),
            *_micro_batch_note(simulation),
            *_steady_note(simulation),
        ),
        num_events=simulation.num_events,
        wall_s=simulation.wall_s,
    )
