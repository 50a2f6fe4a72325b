"""What answers of wafer-scale and of GPU runs have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wsesim.config.provenance import Origin, status_of
from wsesim.metrics.training import Job, Range
from wsesim.units import parse_quantity, unit_of_field

__all__ = ["Assumption", "assumptions_of", "job_dict", "status_of"]

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


def job_dict(job: Job) -> dict[str, Any]:
    """The whole job, for JSON."""
    cost = job.cost_usd
    return {
        "steps": job.steps,
        "tokens": job.tokens,
        "time_s": job.time_s,
        "energy_j": job.energy_j.value,
        "energy_j_range": [job.energy_j.low, job.energy_j.high],
        "cost_usd": None if cost is None else cost.value,
        "cost_usd_range": None if cost is None else [cost.low, cost.high],
        **_ranged("facility_energy_j", job.facility_energy_j),
        **_ranged("electricity_usd", job.electricity_usd),
        **_ranged("carbon_kg", job.carbon_kg),
        "prices": [asdict(price) for price in job.prices],
        "predicted_loss": job.pile_loss,
        "predicted_loss_chinchilla": job.chinchilla_loss,
    }


def _ranged(key: str, value: Range | None) -> dict[str, Any]:
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
