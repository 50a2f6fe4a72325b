"""A range around every answer: how far predictions were off that were made without the row they were compared with.

One rule for every kind of machine. A machine states what is known of it in ``cluster_configs/errors``: errors of left-out rows, by
what was left out, and ranges of what no row tells. It names the reasons for doubt of a run (`Bounds`); independent ones add as
squares, each side for itself, so that a range is lopsided where the errors are, and on no side by default.

Errors are logarithms of measured over predicted time: positive where the prediction was too fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from wsesim.config import catalogue
from wsesim.config.spec import Origin, unwrap
from wsesim.results.job import Job, Range
from wsesim.units import add_up

LEVEL = 0.9
"""Share of answers that should lie inside their range. [-]"""
ONE_SIDED = 1.6448536269514722
"""Quantile of the normal law that leaves 5 % on one side. [-]"""
REPEATABILITY = 0.03
"""No range is narrower: by so much the same model differs when others run it, as a share. [-]"""
ENOUGH_GROUPS = 20
"""So many groups show the ends of their errors themselves; of fewer, a law has to say where they are. [-]"""
FEWEST_GROUPS = 3
"""With fewer groups their errors say too little of their spread, and an assumed range has to do. [-]"""

Errors = Mapping[str, Sequence[float]]
"""Errors of left-out rows by what was left out: a model, a table. Each group counts once, however many rows it has. [-]"""


class Bounds(NamedTuple):
    """One reason why a time may be off, or several together.

    Attributes
    ----------
    faster, slower
        Logarithm of predicted over shortest, and of longest over predicted time; not negative. [-]
    basis
        In words, what they rest on.
    """

    faster: float
    slower: float
    basis: tuple[str, ...] = ()

    @property
    def of_rates(self) -> Bounds:
        """The same for rates: what takes longer is slower."""
        return self._replace(faster=self.slower, slower=self.faster)

    def scaled(self, share: float) -> Bounds:
        """The same reason where it holds for a share of the step."""
        return self._replace(faster=self.faster * share, slower=self.slower * share)


NOTHING_KNOWN = Bounds(
    math.log(2.0), math.log(2.0), ("nothing was measured on such a machine: a factor of two is assumed",)
)
"""Bounds on a machine of which no error of a prediction is known."""


def student_quantile(freedom: int) -> float:
    """What 5 % of Student's t exceed, by its expansion around the normal law; within 1 % from 3 degrees on. [-]

    Examples
    --------
    >>> round(student_quantile(9), 3), round(student_quantile(1000), 3)
    (1.833, 1.646)
    """
    z, n = ONE_SIDED, float(freedom)
    first = (z**3 + z) / (4.0 * n)
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * n**2)
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / (384.0 * n**3)
    return z + first + second + third


def from_errors(errors: Errors, basis: str) -> Bounds:
    """Bounds for a group that is not among those that were left out.

    Of `ENOUGH_GROUPS`, one error each, what nine in ten of them lie between. Of fewer, Student's t on the mean square of the
    errors: half of it those of the side itself, half of it those of both sides, since a few groups say little of the shape.
    Twice the squares of one side stand for both where errors are symmetric.

    Parameters
    ----------
    errors
        At least `FEWEST_GROUPS` groups.
    basis
        What they are, in words.

    Examples
    --------
    >>> slow = from_errors({"a": [0.1, 0.1], "b": [0.02], "c": [0.0], "d": [-0.02]}, "four models")
    >>> slow.slower > slow.faster
    True
    """
    count = len(errors)
    if count >= ENOUGH_GROUPS:
        return _between(sorted(add_up(group) / len(group) for group in errors.values()), basis)
    weights = [(error, 1.0 / (len(group) * count)) for group in errors.values() for error in group]
    both = add_up(weight * error * error for error, weight in weights)
    late = add_up(weight * error * error for error, weight in weights if error > 0.0)
    factor = student_quantile(count - 1) * math.sqrt(1.0 + 1.0 / count)

    def side(squares: float) -> float:
        return max(REPEATABILITY, factor * math.sqrt(0.5 * (both + 2.0 * squares)))

    return Bounds(side(both - late), side(late), (basis,))


def spread(errors: Errors) -> float:
    """Root of the mean square of errors: about how far a prediction for one more group is off. [-]

    Examples
    --------
    >>> spread({"a": [0.03, -0.03], "b": [0.03]})
    0.03
    """
    return math.sqrt(
        add_up(add_up(error * error for error in group) / len(group) for group in errors.values()) / len(errors)
    )


def _between(ordered: Sequence[float], basis: str) -> Bounds:
    """Between which errors a further one lies in nine cases of ten, whatever law they follow."""
    left_out = max(1, int(0.5 * (1.0 - LEVEL) * (len(ordered) + 1) + 1e-9))
    return Bounds(max(REPEATABILITY, -ordered[left_out - 1]), max(REPEATABILITY, ordered[-left_out]), (basis,))


def one_by_one(errors: Errors) -> dict[str, tuple[float]]:
    """Every row a group of its own, where rows differ in what they measure and not in the model alone.

    Examples
    --------
    >>> one_by_one({"a table": [0.1, 0.2]})
    {'a table 1': (0.1,), 'a table 2': (0.2,)}
    """
    return {f"{name} {place}": (error,) for name, group in errors.items() for place, error in enumerate(group, start=1)}


def differences(errors: Errors) -> dict[str, list[float]]:
    """Errors of each group on a machine that one row of another group stands for: both groups' errors count."""
    means = {name: add_up(group) / len(group) for name, group in errors.items()}
    return {
        name: [error - mean for other, mean in means.items() if other != name for error in group]
        for name, group in errors.items()
    }


def about_means(errors: Errors) -> dict[str, list[float]]:
    """Errors that are left of each group where rows of one's own have fixed its mean."""
    means = {name: add_up(group) / len(group) for name, group in errors.items()}
    return {name: [error - means[name] for error in group] for name, group in errors.items()}


def moved(bounds: Bounds, error: float) -> Bounds:
    """The same range about an answer that is known to be off: its middle moves, the answer stays in it."""
    return bounds._replace(
        faster=max(REPEATABILITY, bounds.faster - error), slower=max(REPEATABILITY, bounds.slower + error)
    )


def from_range(origin: Origin) -> Bounds:
    """Bounds of a factor on the time that is assumed, with the range in which it lies for nine cases in ten."""
    if origin.low is None or origin.high is None:
        raise ValueError(f"{origin.key} has no range")
    value = float(origin.value)
    return Bounds(math.log(value / origin.low), math.log(origin.high / value), (origin.note,))


def together(*reasons: Bounds) -> Bounds:
    """Independent reasons at once: squares add, each side for itself.

    Examples
    --------
    >>> together(Bounds(0.03, 0.0, ("one",)), Bounds(0.04, 0.1, ("other",)))
    Bounds(faster=0.05, slower=0.1, basis=('one', 'other'))
    """
    return Bounds(
        math.hypot(*(one.faster for one in reasons)),
        math.hypot(*(one.slower for one in reasons)),
        tuple(dict.fromkeys(text for one in reasons for text in one.basis)),
    )


class Knowledge(NamedTuple):
    """What is known of the errors on a kind of machine.

    Attributes
    ----------
    errors
        Of left-out rows, by level of knowledge, then by what was left out.
    assumed
        Ranges of what no left-out row tells, by level.
    rows
        Relative errors of the rates of single rows by their names, each predicted by a fit without its model; for pictures
        and tables. [-]
    measured
        What rates were measured on, by system: least and most of the numbers that matter, and the models that fixed a release.
    """

    errors: dict[str, dict[str, tuple[float, ...]]]
    assumed: dict[str, Bounds]
    rows: dict[str, float]
    measured: dict[str, dict[str, Any]]


@cache
def knowledge(machines: str) -> Knowledge:
    """What ``cluster_configs/errors/<machines>.toml`` says; "wafers", "gpus"."""
    path = catalogue.root() / "errors" / f"{machines}.toml"
    plain, origins = unwrap(catalogue.read_toml(path), catalogue.shown(path))
    errors = {
        level: {name: tuple(group) for name, group in groups.items()}
        for level, groups in plain.get("left_out", {}).items()
    }
    assumed = {
        key.removeprefix("assumed."): from_range(origin)
        for key, origin in origins.items()
        if key.startswith("assumed.")
    }
    return Knowledge(errors, assumed, plain.get("rows", {}), plain.get("measured", {}))


def around(value: Range, bounds: Bounds) -> Range:
    """A quantity that is proportional to the time, with both its own range and that of the time."""
    return Range(
        value.value,
        value.value * math.exp(-math.hypot(_log_ratio(value.value, value.low), bounds.faster)),
        value.value * math.exp(math.hypot(_log_ratio(value.high, value.value), bounds.slower)),
    )


def _log_ratio(above: float, below: float) -> float:
    return math.log(above / below) if 0.0 < below < above else 0.0


def of_time(time_s: float, bounds: Bounds) -> Range:
    """The range of a time. [s]"""
    return around(Range(time_s, time_s, time_s), bounds)


def of_rate(rate: float, bounds: Bounds) -> Range:
    """The range of a rate: what takes longer is slower."""
    return around(Range(rate, rate, rate), bounds.of_rates)


def of_job(job: Job, bounds: Bounds) -> Job:
    """A whole job, whose time is as uncertain as its steps, and what depends on it by that and by its own prices and powers."""

    def wider(value: Range | None) -> Range | None:
        return None if value is None else around(value, bounds)

    return replace(
        job,
        time_range_s=of_time(job.time_s, bounds),
        energy_j=around(job.energy_j, bounds),
        facility_energy_j=around(job.facility_energy_j, bounds),
        cost_usd=job.cost_usd if job.has_job_price else wider(job.cost_usd),
        devices_usd=job.devices_usd if job.has_job_price else wider(job.devices_usd),
        electricity_usd=wider(job.electricity_usd),
        carbon_kg=wider(job.carbon_kg),
    )


def interval_dict(bounds: Bounds, step_time_s: float, rates: Mapping[str, float], job: Job) -> dict[str, Any]:
    """The key `interval` of JSON: SI units, ``[lowest, highest]``."""
    ranges = {
        "step_time_s": of_time(step_time_s, bounds),
        **{name: of_rate(rate, bounds) for name, rate in rates.items()},
        "time_s": job.time_range_s,
        "energy_j": job.energy_j,
        "cost_usd": job.cost_usd,
    }
    pairs = {name: None if one is None else [one.low, one.high] for name, one in ranges.items()}
    return {"level": LEVEL, "basis": "; ".join(bounds.basis), **pairs}
