"""What answers of wafer-scale and of GPU runs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from wsesim import __version__
from wsesim.config.provenance import Origin, status_of
from wsesim.config.run import GPURun, Run
from wsesim.intervals import Bounds, interval_dict, of_job, of_rate, of_time
from wsesim.job import Job, Range, job
from wsesim.loss import quality_dict
from wsesim.shown import ShowsItself
from wsesim.units import parse_quantity, show, unit_of_field
from wsesim.workload.transformer import active_parameter_count, parameter_count, size_warning

if TYPE_CHECKING:
    from wsesim.machines.gpu.simulation import GPUSimulation
    from wsesim.machines.wafer.simulation import Simulation

__all__ = ["Assumption", "RunResult", "assumptions_of", "job_dict", "status_of"]

RunT = TypeVar("RunT", bound="Run | GPURun")
SimulationT = TypeVar("SimulationT", bound="Simulation | GPUSimulation")

UNCERTAIN = ("calibrated", "assumed")
OF_LIFETIMES = ("job.", "cluster.job.", "cluster.reliability.")
"""Numbers that only the lifetime of a job rests on, and no step."""


@dataclass(frozen=True)
class Assumption:
    """A number in use that is not public."""

    key: str
    value: Any
    status: str
    source: str
    note: str = ""


@dataclass(frozen=True, repr=False)
class RunResult(ABC, ShowsItself, Generic[RunT, SimulationT]):
    """The answer of one run; SI units. Everything is worked out when it is first asked for.

    Attributes
    ----------
    kind
        On what it ran: "wafer_scale" or "gpu".
    """

    run: RunT
    simulation: SimulationT = field(repr=False)
    kind: ClassVar[Literal["wafer_scale", "gpu"]]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    @property
    @abstractmethod
    def num_devices(self) -> int:
        """CS systems or GPUs. [-]"""

    @property
    @abstractmethod
    def device(self) -> str:
        """What one of them is called."""

    @property
    def step_time_s(self) -> float:
        """One optimizer step, in the steady state. [s]"""
        return self.simulation.step_time_s

    @property
    def samples_per_s(self) -> float:
        """Sequences per second over all devices. [1/s]"""
        return self.run.training.global_batch_size / self.step_time_s

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second over all devices. [1/s]"""
        return self.samples_per_s * self.run.training.sequence_length

    @property
    @abstractmethod
    def mfu(self) -> float:
        """Model FLOP utilization, attention over the full square. [-]"""

    @property
    @abstractmethod
    def bounds(self) -> Bounds:
        """By how much the step may be faster or slower in nine cases of ten, and what that rests on."""

    @property
    def step_time_range_s(self) -> Range:
        """Within this a step lies in nine cases of ten. [s]"""
        return of_time(self.step_time_s, self.bounds)

    @property
    def samples_range_per_s(self) -> Range:
        """Within this the rate lies in nine cases of ten. [1/s]"""
        return of_rate(self.samples_per_s, self.bounds)

    @cached_property
    def job(self) -> Job:
        """The whole training job."""
        return of_job(job(self.run, self.step_time_s), self.bounds)

    @property
    def interval(self) -> dict[str, Any]:
        """Ranges of what is answered, as in JSON."""
        rates = {"samples_per_s": self.samples_per_s, "tokens_per_s": self.tokens_per_s}
        return interval_dict(self.bounds, self.step_time_s, rates, self.job)

    @property
    @abstractmethod
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every calibrated or assumed number that had a part in this run."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before using the numbers."""

    @property
    def read_notes(self) -> tuple[str, ...]:
        """How the files of the run were understood, and where a model's name and its size disagree."""
        warning = size_warning(self.run.model, self.run.training.sequence_length)
        return (*((warning,) if warning else ()), *self.run.notes)

    @property
    def parameters(self) -> int:
        """Of the model, tied tables once. [-]"""
        return parameter_count(self.run.model, self.run.training.sequence_length)

    @property
    def active_parameters(self) -> int:
        """Those that work on a token: without the experts that it is not sent to. [-]"""
        return active_parameter_count(self.run.model, self.run.training.sequence_length)

    @property
    def num_events(self) -> int:
        """SimPy events of the simulation. [-]"""
        return self.simulation.num_events

    @property
    def wall_s(self) -> float:
        """Wall time of the simulation, the search of a plan included. [s]"""
        return self.simulation.wall_s

    def __repr__(self) -> str:
        step = f"{show(self.step_time_s, 's')} per step, {self.tokens_per_s:,.0f} tokens/s, MFU {self.mfu:.1%}"
        return f"<{type(self).__name__} {self.name}: {self.num_devices:,} x {self.device}, {step}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim run --json``: SI units, times in seconds."""
        plain = ("step_time_s", "samples_per_s", "tokens_per_s", "model_flop_per_s", "mfu", "mfu_causal", "hfu")
        answers = ("micro_batch_size", "num_micro_batches", "breakdown_s", "bottleneck", "utilization", "memory")
        scaling = ("scaling_efficiency", "strong_scaling_efficiency")
        return {
            "name": self.name,
            "kind": self.kind,
            "num_devices": self.num_devices,
            "model": {
                "name": self.run.model.name,
                "parameters": self.parameters,
                "active_parameters": self.active_parameters,
            },
            "interval": self.interval,
            **{key: getattr(self, key) for key in (*plain, *answers, *scaling)},
            **self._spread_dict(),
            "training": job_dict(self.job),
            "assumptions": [asdict(one) for one in self.assumptions],
            "notes": list(self.notes),
            "simulator": {"version": __version__, **self._simulator_dict(), "wall_s": self.wall_s},
        }

    def _spread_dict(self) -> dict[str, Any]:
        """How the model is spread over the devices, where there is a choice."""
        return {}

    @abstractmethod
    def _simulator_dict(self) -> dict[str, Any]:
        """What ran the schedule, and its events."""


def job_dict(job: Job) -> dict[str, Any]:
    """The whole job, for JSON."""
    cost = job.cost_usd
    return {
        "steps": job.steps,
        "tokens": job.tokens,
        **with_bounds("time_s", job.time_range_s),
        "energy_j": job.energy_j.value,
        "energy_j_range": [job.energy_j.low, job.energy_j.high],
        "cost_usd": None if cost is None else cost.value,
        "cost_usd_range": None if cost is None else [cost.low, cost.high],
        **with_bounds("facility_energy_j", job.facility_energy_j),
        **with_bounds("electricity_usd", job.electricity_usd),
        **with_bounds("carbon_kg", job.carbon_kg),
        "prices": [asdict(price) for price in job.prices],
        **quality_dict(job.quality),
    }


def with_bounds(key: str, value: Range | None) -> dict[str, Any]:
    """A value and its range under keys of JSON; null where it is not known."""
    bounds = None if value is None else [value.low, value.high]
    return {key: None if value is None else value.value, f"{key}_range": bounds}


def assumptions_of(
    origins: Mapping[str, Origin], in_use: Callable[[str], bool], *, of_lifetime: bool = False
) -> tuple[Assumption, ...]:
    """Every calibrated or assumed number that had a part in a run's steps, or in its lifetime, in SI units."""
    found = []
    for key, origin in origins.items():
        status = status_of(origin)
        if status in UNCERTAIN and key.startswith(OF_LIFETIMES) == of_lifetime and in_use(key):
            value = origin.value
            if isinstance(value, str):
                value = parse_quantity(value, unit_of_field(key))
            found.append(Assumption(key, value, status, origin.source, origin.note))
    return tuple(found)
