"""The whole life of a job, many times: how long it takes, how often to checkpoint, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np

from wsesim.config.run import Run
from wsesim.machines.machine import machine_of
from wsesim.results.job import (
    Range,
    carbon_kg,
    electricity_usd,
    facility_share,
    job,
    job_definition,
    job_price_usd,
    power_w,
    price_usd_per_s,
    prices,
    wanted_tokens,
)
from wsesim.results.result import Assumption, answered_by, assumptions_of, with_bounds
from wsesim.study.life import CAUSES, JobTimeline, Replication, replicate
from wsesim.units import show
from wsesim.view import ShowsItself
from wsesim.workload.transformer import parameter_count

# How long to work between two checkpoints: by formula, and by simulation.


GRID = tuple(2.0 ** (place / 2.0) for place in range(-4, 5))
"""Checkpoint intervals that are tried for the simulated optimum, over Daly's. [-]"""
GRID_REPLICATIONS, GRID_REPLICATIONS_LEAST = 200, 4
GRID_FAILURES = 2_000
"""Replications of each of them, and failures of all its replications, about; they meet the same ones. [-]"""
NEGLIGIBLE = 0.001
"""Share of the time that may be lost between checkpoints that cost nothing. [-]"""
STANDARD_ERRORS = 2.0
"""An interval is as good as the best where it takes longer by no more than so many standard errors. [-]"""


def young_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Work between two checkpoints, to first order [1]_. [s]

    Examples
    --------
    >>> young_interval_s(50.0, 10_000.0)
    1000.0

    References
    ----------
    .. [1] Young, Communications of the ACM 17(9), 1974, doi:10.1145/361147.361115.
    """
    return math.sqrt(2.0 * checkpoint_s * mtbf_s)


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Work between two checkpoints, to higher order [1]_. [s]

    Examples
    --------
    >>> round(daly_interval_s(50.0, 10_000.0), 1)
    966.9

    References
    ----------
    .. [1] Daly, Future Generation Computer Systems 22(3), 2006, doi:10.1016/j.future.2004.11.016.
    """
    if checkpoint_s >= 2.0 * mtbf_s:
        return mtbf_s
    share = checkpoint_s / (2.0 * mtbf_s)
    return young_interval_s(checkpoint_s, mtbf_s) * (1.0 + math.sqrt(share) / 3.0 + share / 9.0) - checkpoint_s


def waits_s(timeline: JobTimeline) -> float:
    """For which the steps wait for a checkpoint, where the next one is far enough away. [s]"""
    return timeline.waits_s(math.inf)


def least_interval_s(timeline: JobTimeline) -> float:
    """Work between two checkpoints that follow one another without a gap; none where steps stop for them. [s]"""
    return timeline.checkpoint_s if timeline.ahead_steps else 0.0


def best_interval_s(timeline: JobTimeline) -> float:
    """Work between two checkpoints by Daly's formula, whose cost is the wait; saves do not overlap. [s]

    Where steps never wait, the formula asks for a checkpoint after every step; fewer do, as storage is not free.
    """
    mtbf_s = 1.0 / timeline.rate_per_s
    cost_s = waits_s(timeline)
    enough_s = daly_interval_s(cost_s, mtbf_s) if cost_s else 2.0 * NEGLIGIBLE * mtbf_s
    return max(least_interval_s(timeline), enough_s)


def steps_between(interval_s: float, timeline: JobTimeline) -> int | None:
    """An interval in whole steps; None where it is as long as the job. [-]"""
    if interval_s >= timeline.work_s:
        return None
    return max(1, round(interval_s / timeline.step_time_s))


def with_interval(timeline: JobTimeline, interval_s: float) -> JobTimeline:
    """The same job with another checkpoint interval."""
    return replace(timeline, checkpoint_steps=steps_between(interval_s, timeline))


@dataclass(frozen=True)
class Intervals:
    """Checkpoint intervals: in use, by formula, and simulated; infinite where nothing fails or no time is lost.

    Attributes
    ----------
    used_s, young_s, daly_s, simulated_s
        Work between two checkpoints. [s]
    curve
        Intervals that were simulated, and the mean calendar time of each. [s], [s]
    as_good_s
        Shortest and longest of them that chance does not tell from the best; None where none was simulated. [s]
    replications
        Of each of them. [-]
    """

    used_s: float
    young_s: float
    daly_s: float
    simulated_s: float
    curve: tuple[tuple[float, float], ...] = ()
    as_good_s: tuple[float, float] | None = None
    replications: int = 0


def simulated_optimum(timeline: JobTimeline, around_s: float, replications: int, seed: int) -> Intervals:
    """Simulate intervals around one; the best of them, by a parabola through it and its neighbours."""
    lives = {}
    for factor in GRID:
        line = with_interval(timeline, factor * around_s)
        lives[factor * around_s] = [one.calendar_s for one in replicate(line, replications, seed)]
    curve = [(interval_s, fmean(times)) for interval_s, times in lives.items()]
    times = [calendar_s for _, calendar_s in curve]
    best = times.index(min(times))
    found_s = curve[best][0]
    if 0 < best < len(curve) - 1:
        left, here, right = times[best - 1 : best + 2]
        bend = left - 2.0 * here + right
        shift = 0.5 * (left - right) / bend if bend > 0.0 else 0.0
        found_s *= math.sqrt(2.0) ** shift
    good = [interval_s for interval_s, some in lives.items() if _is_as_good(some, lives[curve[best][0]])]
    return Intervals(0.0, 0.0, around_s, found_s, tuple(curve), (min(good), max(good)), replications)


def _is_as_good(times_s: Sequence[float], best_s: Sequence[float]) -> bool:
    """Whether lives with the same failures take as long, as far as so few of them can tell."""
    if len(times_s) < 2:
        return True
    longer_s = [one - other for one, other in zip(times_s, best_s, strict=True)]
    return fmean(longer_s) <= STANDARD_ERRORS * stdev(longer_s) / math.sqrt(len(longer_s))


# The whole life of a job, many times: how long it takes, what the time is spent on, and what that costs.


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
        whole, price = job_price_usd(self.run, wanted_tokens(self.run)), price_usd_per_s(self.run)
        if whole is not None or price is None:
            return whole
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
            "job": job_definition(self.run).to_dict(),
            "num_devices": self.run.num_devices,
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
            "prices": [one.to_dict() for one in prices(self.run)],
            "samples": self.samples,
            "replications": len(self.replications),
            "seed": self.seed,
            "assumptions": [vars(one) for one in self.assumptions],
            "simulator": answered_by(self.run),
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
    """Forward passes of one batch: simulated, or a third of a step where the machine simulates no evaluation. [s]

    The job evaluates as its model is spread for training.
    """
    if not machine_of(run).evaluates:
        return step_time_s / 3.0
    from wsesim.machines.simulation import simulate, step_time
    from wsesim.study.sensitivity import settled

    spread = run if run.parallelism is None else settled(step_time(run))
    return simulate(replace(spread, training=spread.training.model_copy(update={"mode": "evaluation"}))).step_time_s


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
        from wsesim.machines.simulation import simulate

        step_time_s = simulate(run).step_time_s
    line = timeline_of(run, step_time_s)
    chosen = run.job.seed if seed is None else seed
    lives = replicate(line, replications or run.job.replications, chosen, progress)
    return Lifetime(run, line, tuple(lives), chosen)
