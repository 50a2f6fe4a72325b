"""The answer of one run, on whatever machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any

from wsesim.config.run import Run
from wsesim.config.spec import Origin, status_of
from wsesim.plugins import MACHINES
from wsesim.results.intervals import Bounds, interval_dict, of_job, of_rate, of_time
from wsesim.results.job import Job, JobDefinition, Range, job, job_definition
from wsesim.results.loss import quality_dict
from wsesim.results.step import Step
from wsesim.units import parse_quantity, show, unit_of_field
from wsesim.version import __version__
from wsesim.view import ShowsItself
from wsesim.workload.transformer import active_parameter_count, model_flop_per_sequence, parameter_count, size_warning

__all__ = ["Assumption", "Result", "assumptions_of", "bottleneck", "job_dict", "scaling_efficiency", "status_of"]

UNCERTAIN = ("calibrated", "assumed")
OF_LIFETIMES = ("job.", "cluster.job.", "cluster.reliability.")
"""Numbers that only the lifetime of a job rests on, and no step."""
RESULTS_KEPT = 16
"""Results of which it is remembered what changes would do. [-]"""

FORWARD_SHARE = 1.0 / 3.0
"""Of the FLOP of a training step, those of the forward pass. [-]"""


@dataclass(frozen=True)
class Assumption:
    """A number in use that is not public."""

    key: str
    value: Any
    status: str
    source: str
    note: str = ""
    range: tuple[float, float] | None = None


@dataclass(frozen=True, repr=False, eq=False)
class Result(ShowsItself):
    """The answer of one run; SI units. Everything is worked out when it is first asked for, and nothing simulates.

    What would change with another machine is another simulation: `bottleneck`, `scaling_efficiency`,
    `wsesim.study.scaling.scaling` and `wsesim.validate.near.near` are functions.
    """

    run: Run
    step: Step = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    @property
    def kind(self) -> str:
        """On what it ran: "wafer_scale", "gpu", or what another kind of machine calls itself."""
        return str(MACHINES[self.run.machine].kind)

    @property
    def num_devices(self) -> int:
        """CS systems, GPUs, or whatever the machine counts. [-]"""
        return self.run.num_devices

    @property
    def device(self) -> str:
        """What one of them is called."""
        return str(self.run.cluster.device)

    @property
    def devices(self) -> str:
        """How many of what: "12 CS-2 systems"."""
        return str(MACHINES[self.run.machine].words.count(self.run.cluster))

    @property
    def simulation(self) -> Any:
        """What the machine knows of the step in its own terms."""
        return getattr(self.step, "simulation", None)

    @property
    def step_time_s(self) -> float:
        """One optimizer step, in the steady state. [s]"""
        return self.step.time_s

    @property
    def samples_per_s(self) -> float:
        """Sequences per second over all devices. [1/s]"""
        return self.run.training.global_batch_size / self.step_time_s

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second over all devices. [1/s]"""
        return self.samples_per_s * self.run.training.sequence_length

    @property
    def peak_flop_per_s(self) -> float:
        """Dense peak of all devices at the run's precision. [FLOP/s]"""
        return self.step.peak_flop_per_s

    def _model_flop_per_s(self, *, causal: bool = False) -> float:
        per_sequence = model_flop_per_sequence(self.run.model, self.run.training.sequence_length, causal=causal)
        per_sequence *= 1.0 if self.run.training.mode == "train" else FORWARD_SHARE
        return per_sequence * self.samples_per_s

    @property
    def model_flop_per_s(self) -> float:
        """Model FLOP per second over all devices, attention over the full square. [FLOP/s]"""
        return self._model_flop_per_s()

    @property
    def mfu(self) -> float:
        """Model FLOP utilization, attention over the full square. [-]"""
        return self.model_flop_per_s / self.peak_flop_per_s

    @property
    def mfu_causal(self) -> float:
        """Model FLOP utilization, attention over its causal half. [-]"""
        return self._model_flop_per_s(causal=True) / self.peak_flop_per_s

    @property
    def mfu_usable_cores(self) -> float:
        """The same as `mfu` of the peak of those cores that software can use. [-]"""
        return self.mfu / self.step.usable_share

    @property
    def hfu(self) -> float:
        """Hardware FLOP utilization: what is executed, recomputation included. [-]"""
        return self.step.flop / self.step_time_s / self.peak_flop_per_s

    @property
    def micro_batch_size(self) -> int:
        """Sequences of one copy of the model and pass. [-]"""
        return self.step.micro_batch_size

    @property
    def num_micro_batches(self) -> int:
        """Passes per step. [-]"""
        return self.step.num_micro_batches

    @cached_property
    def breakdown_s(self) -> dict[str, float]:
        """Where the time of a step goes. [s]"""
        return dict(self.step.spent_s)

    @cached_property
    def utilization(self) -> dict[str, float]:
        """How busy each part is. [-]"""
        return dict(self.step.utilization)

    @cached_property
    def memory(self) -> dict[str, float]:
        """What is held and what would fit, as the step says it."""
        return dict(self.step.memory)

    @cached_property
    def bytes_per_step(self) -> dict[str, float]:
        """What crosses each kind of link of one device in one step; empty where the machine does not say. [bytes]"""
        return dict(self.step.bytes_moved)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """How the model is spread, in the words of ``[parallelism]``; empty where there is no choice."""
        return dict(self.step.plan)

    @property
    def kinds_of_parallelism(self) -> tuple[str, ...]:
        """Which there are in the plan."""
        return self.step.kinds_of_parallelism

    @property
    def num_settings(self) -> int:
        """Settings that had to be right. [-]"""
        return self.step.num_settings

    @property
    def is_extrapolated(self) -> bool:
        """Whether nothing was measured on such a machine, or of such a size."""
        return self.step.is_extrapolated

    @cached_property
    def job(self) -> Job:
        """The whole training job."""
        return of_job(job(self.run, self.step_time_s), self.bounds)

    @cached_property
    def definition(self) -> JobDefinition:
        """What was to be done: the key ``job`` of JSON."""
        return job_definition(self.run)

    @property
    def bounds(self) -> Bounds:
        """By how much the step may be faster or slower in nine cases of ten, and what that rests on."""
        return self.step.bounds

    @property
    def step_time_range_s(self) -> Range:
        """Within this a step lies in nine cases of ten. [s]"""
        return of_time(self.step_time_s, self.bounds)

    @property
    def samples_range_per_s(self) -> Range:
        """Within this the rate lies in nine cases of ten. [1/s]"""
        return of_rate(self.samples_per_s, self.bounds)

    @property
    def interval(self) -> dict[str, Any]:
        """Ranges of what is answered, as in JSON."""
        rates = {"samples_per_s": self.samples_per_s, "tokens_per_s": self.tokens_per_s}
        return interval_dict(self.bounds, self.step_time_s, rates, self.job)

    @cached_property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every calibrated or assumed number that had a part in this run."""
        return assumptions_of(self.run.origins, self.step.uses)

    @property
    def calibration_id(self) -> str:
        """Eight letters that stand for the fitted numbers in use; other numbers have others. Empty where none was fitted."""
        return _fitted_id(self.assumptions)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before using the numbers."""
        return (*self.read_notes, *self.step.notes)

    @property
    def read_notes(self) -> tuple[str, ...]:
        """How the files of the run were understood, and where a model's name and its size disagree."""
        warning = size_warning(self.run.model, self.run.training.sequence_length)
        return (*((warning,) if warning else ()), *self.run.notes, *self.run.batch_notes)

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
        return self.step.num_events

    @property
    def wall_s(self) -> float:
        """Wall time of the simulation, the search of a plan included. [s]"""
        return self.step.wall_s

    def __getattr__(self, name: str) -> Any:
        """Say where a question went that is answered by another simulation."""
        if name in ("bottleneck", "scaling_efficiency", "strong_scaling_efficiency"):
            function = name.removeprefix("strong_")
            raise AttributeError(f"{name} takes a simulation, so it is a function: wsesim.{function}(result)")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        step = f"{show(self.step_time_s, 's')} per step, {self.tokens_per_s:,.0f} tokens/s, MFU {self.mfu:.1%}"
        return f"<{type(self).__name__} {self.name}: {self.devices}, {step}>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim run --json``: SI units, times in seconds. Simulates what `bottleneck` asks for."""
        plain = ("step_time_s", "samples_per_s", "tokens_per_s", "model_flop_per_s", "mfu", "mfu_causal", "hfu")
        sizes = ("micro_batch_size", "num_micro_batches")
        weak, strong = scaling_efficiency(self)
        spread = {
            "parallelism": self.plan,
            "kinds_of_parallelism": list(self.kinds_of_parallelism),
            "num_settings": self.num_settings,
        }
        return {
            "name": self.name,
            "kind": self.kind,
            "num_devices": self.num_devices,
            "job": self.definition.to_dict(),
            "software": self.step.software,
            "model": {
                "name": self.run.model.name,
                "parameters": self.parameters,
                "active_parameters": self.active_parameters,
            },
            "interval": self.interval,
            **{key: getattr(self, key) for key in (*plain, *sizes)},
            **({"mfu_usable_cores": self.mfu_usable_cores} if self.step.usable_share < 1.0 else {}),
            "breakdown_s": self.breakdown_s,
            "bottleneck": bottleneck(self),
            "utilization": self.utilization,
            "memory": self.memory,
            "scaling_efficiency": weak,
            "strong_scaling_efficiency": strong,
            **(spread if self.plan else {}),
            "training": job_dict(self.job),
            "assumptions": [asdict(one) for one in self.assumptions],
            "notes": list(self.notes),
            "simulator": {
                "version": __version__,
                "calibration": self.calibration_id,
                **self.step.simulator,
                "wall_s": self.wall_s,
            },
            **({"bytes_per_step": self.bytes_per_step} if self.bytes_per_step else {}),
        }


def _fitted_id(numbers: Iterable[Assumption]) -> str:
    fitted = [f"{one.key}={one.value!r}" for one in numbers if one.status == "calibrated"]
    return sha256("\n".join(sorted(fitted)).encode()).hexdigest()[:8] if fitted else ""


def answered_by(run: Run) -> dict[str, str]:
    """Version, and the id of all fitted numbers that a run's cluster has, for answers about many steps of it."""
    return {"version": __version__, "calibration": _fitted_id(assumptions_of(run.origins, lambda _: True))}


@lru_cache(maxsize=RESULTS_KEPT)
def bottleneck(result: Result) -> str:
    """What takes most of the step, and what would move it; simulates the changes.

    Examples
    --------
    >>> import wsesim
    >>> bottleneck(wsesim.simulate(wsesim.load("andromeda_13b"))).split(":")[0]
    'compute bound'
    """
    return result.step.bottleneck()


@lru_cache(maxsize=RESULTS_KEPT)
def scaling_efficiency(result: Result) -> tuple[float, float]:
    """Speed over that of one device, or one copy of the model, times their number; simulates that one. [-]

    Returns
    -------
    weak, strong
        At the same batch of each, and at the same batch of all. [-]
    """
    return result.step.efficiency()


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
        "paying": job.paying,
        **with_bounds("devices_usd", job.devices_usd),
        **with_bounds("facility_energy_j", job.facility_energy_j),
        **with_bounds("electricity_usd", job.electricity_usd),
        **with_bounds("carbon_kg", job.carbon_kg),
        "prices": [price.to_dict() for price in job.prices],
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
            ends = None if origin.low is None or origin.high is None else (origin.low, origin.high)
            found.append(Assumption(key, value, status, origin.source, origin.note, ends))
    return tuple(found)
