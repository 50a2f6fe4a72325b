"""The whole life of a job, many times: how long it takes, what the time is spent on, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from wsesim.config.run import Run
from wsesim.job import Range, carbon_kg, electricity_usd, facility_share, job, power_w, price_usd_per_s, prices
from wsesim.machines.machine import machine_of
from wsesim.result import Assumption, assumptions_of, with_bounds
from wsesim.shown import ShowsItself
from wsesim.study.checkpoint_intervals import (
    GRID_FAILURES,
    GRID_REPLICATIONS,
    GRID_REPLICATIONS_LEAST,
    Intervals,
    best_interval_s,
    least_interval_s,
    simulated_optimum,
    waits_s,
    with_interval,
    young_interval_s,
)
from wsesim.study.life import CAUSES, JobTimeline, Replication, replicate
from wsesim.units import show
from wsesim.workload.transformer import parameter_count

SPARE_DEVIATIONS = 3.0
"""Automatic spares: the parts that are in repair on average, and so many standard deviations more. [-]"""


@dataclass(frozen=True, repr=False)
class Lifetime(ShowsItself):
    """What `wsesim lifetime` prints; SI units. Means are over the replications."""

    run: Run
    timeline: JobTimeline
    replications: tuple[Replication, ...] = field(repr=False)
    seed: int

    def __repr__(self) -> str:
        mean = f"{show(self.calendar_s['mean'], 's')} on average, goodput {self.goodput:.1%}"
        return f"<Lifetime {self.run.name}: {mean}, {len(self.replications):,} replications>"

    @cached_property
    def calendar_s(self) -> dict[str, float]:
        """From submission to the end: mean and percentiles. [s]"""
        times = [one.calendar_s for one in self.replications]
        shares = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
        return {"mean": fmean(times), **{name: float(np.quantile(times, share)) for name, share in shares.items()}}

    @cached_property
    def spent_s(self) -> dict[str, float]:
        """What each cause took, on average; adds up to the mean calendar time. [s]"""
        return {cause: fmean([one.spent_s[cause] for one in self.replications]) for cause in CAUSES}

    @property
    def held_s(self) -> float:
        """Time for which the job holds its systems, on average. [s]"""
        return self.calendar_s["mean"] - self.spent_s["compile"] - self.spent_s["queue"]

    @property
    def goodput(self) -> float:
        """Steps alone over the time for which the job holds its systems. [-]"""
        return self.timeline.work_s / self.held_s

    @property
    def calendar_share(self) -> float:
        """Steps alone over the calendar time. [-]"""
        return self.timeline.work_s / self.calendar_s["mean"]

    @cached_property
    def failures(self) -> dict[str, float]:
        """Failures of a job, on average and by kind. [-]"""
        return {kind: fmean([one.failures[kind] for one in self.replications]) for kind in ("unit", "fabric")}

    @property
    def mtbf_s(self) -> float:
        """Between two failures of the job at full strength; infinite where nothing fails. [s]"""
        rate_per_s = self.timeline.rate_per_s
        return 1.0 / rate_per_s if rate_per_s > 0.0 else math.inf

    @cached_property
    def intervals(self) -> Intervals:
        """The checkpoint interval in use beside the optimum by formula and by simulation."""
        line = self.timeline
        used_s = line.checkpoint_steps * line.step_time_s if line.checkpoint_steps else line.work_s
        if line.rate_per_s == 0.0 or line.checkpoint_s == 0.0:
            best_s = math.inf if line.rate_per_s == 0.0 else 0.0
            return Intervals(used_s, best_s, best_s, best_s)
        young_s, daly_s = (
            max(least_interval_s(line), young_interval_s(waits_s(line), self.mtbf_s)),
            best_interval_s(line),
        )
        enough = math.ceil(GRID_FAILURES / max(1.0, sum(self.failures.values())))
        replications = min(GRID_REPLICATIONS, max(GRID_REPLICATIONS_LEAST, enough), len(self.replications))
        found = simulated_optimum(line, daly_s, replications, self.seed)
        return replace(found, used_s=used_s, young_s=young_s)

    @property
    def energy_j(self) -> Range:
        """Of the systems and their spares while the job holds them, busy or not: power hardly follows load. [J]"""
        return power_w(self.run).scaled(self.held_s * self._with_spares)

    @property
    def _with_spares(self) -> float:
        """Systems and spares over systems. [-]"""
        return 1.0 + self.timeline.spares / self.timeline.units

    @property
    def cost_usd(self) -> Range | None:
        """Of the systems and their spares while the job holds them; None without a price. [USD]"""
        price = price_usd_per_s(self.run)
        if price is None:
            return None
        return price.scaled(self.held_s * self._with_spares)

    @property
    def facility_energy_j(self) -> Range:
        """The same with what the building takes: times the PUE. [J]"""
        return self.energy_j.times(facility_share(self.run))

    @property
    def electricity_usd(self) -> Range | None:
        """Of the facility's energy; None without a price. A rented device's price holds it already. [USD]"""
        return electricity_usd(self.run, self.facility_energy_j)

    @property
    def carbon_kg(self) -> Range | None:
        """CO2 equivalent of the facility's energy; None where the grid's is not given. [kg]"""
        return carbon_kg(self.run, self.facility_energy_j)

    @property
    def samples(self) -> dict[str, list[float]]:
        """Every simulated life: calendar time, goodput, failures. [s], [-], [-]"""
        lives = self.replications
        held_s = [one.calendar_s - one.spent_s["compile"] - one.spent_s["queue"] for one in lives]
        return {
            "calendar_s": [one.calendar_s for one in lives],
            "goodput": [self.timeline.work_s / one_s for one_s in held_s],
            "failures": [float(sum(one.failures.values())) for one in lives],
        }

    @cached_property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every assumed number that the answer rests on, apart from those of the step."""
        return assumptions_of(self.run.origins, lambda key: not key.startswith("cluster.job."), of_lifetime=True)

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim lifetime --json``: SI units, times in seconds; null is infinite."""
        line, found = self.timeline, self.intervals
        return {
            "name": self.run.name,
            "steps": line.steps,
            "step_time_s": line.step_time_s,
            "calendar_s": self.calendar_s,
            "goodput": self.goodput,
            "calendar_share": self.calendar_share,
            "spent_s": self.spent_s,
            "failures": self.failures,
            "mtbf_s": _finite(self.mtbf_s),
            "units": line.units,
            "spares": line.spares,
            "on_failure": line.on_failure,
            "checkpoint_s": line.checkpoint_s,
            "checkpoint_wait_s": waits_s(line),
            "checkpoint_interval_s": {
                "used": found.used_s,
                "young": _finite(found.young_s),
                "daly": _finite(found.daly_s),
                "simulated": _finite(found.simulated_s),
            },
            "checkpoint_interval_as_good_s": None if found.as_good_s is None else list(found.as_good_s),
            **with_bounds("energy_j", self.energy_j),
            **with_bounds("facility_energy_j", self.facility_energy_j),
            **with_bounds("cost_usd", self.cost_usd),
            **with_bounds("electricity_usd", self.electricity_usd),
            **with_bounds("carbon_kg", self.carbon_kg),
            "prices": [vars(one) for one in prices(self.run)],
            "samples": self.samples,
            "replications": len(self.replications),
            "seed": self.seed,
            "assumptions": [vars(one) for one in self.assumptions],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _evaluation_s(run: Run, step_time_s: float) -> float:
    """One evaluation: as it is said, or its sequences at the rate of forward passes. [s]"""
    sequences = run.job.evaluation_sequences
    if sequences is None:
        return run.job.evaluation_s
    return sequences / run.training.global_batch_size * _forward_s(run, step_time_s)


def _forward_s(run: Run, step_time_s: float) -> float:
    """Forward passes of one batch: simulated, or a third of a step where the machine simulates no evaluation. [s]"""
    if not machine_of(run).evaluates:
        return step_time_s / 3.0
    from wsesim.simulation import simulate

    return simulate(replace(run, training=run.training.model_copy(update={"mode": "evaluation"}))).step_time_s


def timeline_of(run: Run, step_time_s: float) -> JobTimeline:
    """What the ``[job]`` table and the cluster's reliability make of a run."""
    spec = run.job
    failures = machine_of(run).failures(run)
    units = failures.units
    state_bytes = spec.checkpoint_bytes_per_parameter * parameter_count(run.model, run.training.sequence_length)
    transfer_s = state_bytes / spec.checkpoint_bytes_per_s if spec.checkpoint_bytes_per_s else 0.0
    in_repair = units * failures.unit_rate_per_s * spec.repair_s
    enough = math.ceil(in_repair + SPARE_DEVIATIONS * math.sqrt(in_repair)) if spec.on_failure == "spare" else 0
    spares = enough if spec.spares == "auto" else spec.spares
    line = JobTimeline(
        steps=job(run, step_time_s).steps,
        step_time_s=step_time_s,
        units=units,
        unit_rate_per_s=failures.unit_rate_per_s,
        fabric_rate_per_s=failures.other_rate_per_s,
        compile_s=spec.compile_s,
        queue_s=spec.queue_s,
        start_up_s=spec.start_up_s,
        staging_s=spec.staging_s,
        evaluation_steps=spec.evaluation_every_steps,
        evaluation_s=_evaluation_s(run, step_time_s),
        checkpoint_s=max(spec.checkpoint_least_s, spec.checkpoint_begin_s + transfer_s),
        ahead_steps=spec.checkpoint_ahead_steps,
        restart_s=spec.restart_s + transfer_s,
        repair_s=spec.repair_s,
        spares=0 if spec.on_failure == "wait" else spares,
        on_failure=spec.on_failure,
    )
    if spec.checkpoint_interval_s != "optimal":
        return with_interval(line, spec.checkpoint_interval_s)
    if line.rate_per_s == 0.0:
        return line
    return with_interval(line, best_interval_s(line))


def lifetime(
    run: Run,
    step_time_s: float | None = None,
    replications: int | None = None,
    seed: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Lifetime:
    """Simulate the whole life of a job, many times.

    Parameters
    ----------
    run
        From `wsesim.load`.
    step_time_s
        One optimizer step; simulated where left out. [s]
    replications, seed
        As in ``[job]``, whose values are taken where left out. [-]
    progress
        Called after each replication.

    Returns
    -------
    Lifetime
        SI units throughout.

    Raises
    ------
    wsesim.errors.AnswerIsNo
        The job fails faster than it gets on.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> life = lifetime(load("andromeda_13b"), step_time_s=7.26, replications=20)
    >>> 0.5 < life.goodput < 1.0
    True
    """
    if step_time_s is None:
        from wsesim.simulation import simulate

        step_time_s = simulate(run).step_time_s
    line = timeline_of(run, step_time_s)
    chosen = run.job.seed if seed is None else seed
    lives = replicate(line, replications or run.job.replications, chosen, progress)
    return Lifetime(run, line, tuple(lives), chosen)
