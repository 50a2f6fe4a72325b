"""What answers of wafer-scale and of GPU runs have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wsesim.config import catalogue
from wsesim.config.provenance import Origin
from wsesim.metrics.training import Job
from wsesim.units import parse_quantity, unit_of_field

UNCERTAIN = ("calibrated", "assumed")


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
        "predicted_loss": job.pile_loss,
        "predicted_loss_chinchilla": job.chinchilla_loss,
    }


def status_of(origin: Origin) -> str:
    """Status of a number: its own, else that of its source."""
    if origin.status:
        return origin.status
    source = catalogue.sources().get(origin.source)
    return source.status if source is not None else "user"


def assumptions_of(origins: Mapping[str, Origin], in_use: Callable[[str], bool]) -> tuple[Assumption, ...]:
    """Every calibrated or assumed number that had a part in a run, in SI units."""
    found = []
    for key, origin in origins.items():
        status = status_of(origin)
        if status in UNCERTAIN and in_use(key):
            value = origin.value
            if isinstance(value, str):
                value = parse_quantity(value, unit_of_field(key))
            found.append(Assumption(key, value, status, origin.source, origin.note))
    return tuple(found)
