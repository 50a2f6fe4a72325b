"""A portfolio file: its jobs, how long each of them takes on each allowed number of systems, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wsesim.config import catalogue
from wsesim.config.loader import any_from_table, load_any
from wsesim.config.portfolio import PortfolioJobSpec, PortfolioSpec
from wsesim.config.problems import describe
from wsesim.config.run import Run
from wsesim.errors import ConfigError, DoesNotFit, UnknownNameError
from wsesim.machines.machine import machine_of
from wsesim.simulation import simulate
from wsesim.study.job_queue import Policy, Schedule, Task, fewest_systems, schedule
from wsesim.study.lifetime import lifetime
from wsesim.study.moments import seconds_after

REPLICATIONS = 20
"""Simulated lives of a job, whose mean it takes. [-]"""
PROBE = {"model": {"name": "cerebras-gpt-111m"}, "training": {"sequence_length": 2048, "global_batch_size": 1}}
"""Any run, to read the portfolio's cluster with."""


@dataclass(frozen=True)
class Portfolio:
    """A portfolio file that was read, and the time of each of its jobs on each allowed number of systems."""

    name: str
    start: date | None
    cluster: str
    num_systems: int
    max_systems: int
    tasks: tuple[Task, ...]
    device: str = "system"

    def run(self, policy: Policy = "first-come", num_systems: int | None = None, *, backfill: bool = True) -> Schedule:
        """Simulate it, on another number of systems if one is given."""
        return schedule(self.tasks, num_systems or self.num_systems, policy, backfill=backfill)

    def fewest_systems(self, by_s: float, policy: Policy = "first-come", *, backfill: bool = True) -> Schedule:
        """With the fewest systems that do by a time."""
        return fewest_systems(self.tasks, by_s, self.max_systems, policy, backfill=backfill)


def read(path: Path, num_systems: int | None = None) -> Portfolio:
    """Read a portfolio file, and simulate each job on each number of systems that it may have.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.DoesNotFit
        A job fits on none of its allowed numbers of systems.
    """
    return from_table(catalogue.read_toml(path), path.parent, catalogue.shown(path), num_systems)


def from_table(
    raw: Mapping[str, Any], folder: Path | None = None, place: str = "portfolio", num_systems: int | None = None
) -> Portfolio:
    """Build a portfolio from nested dicts, as `read` does from a file."""
    try:
        spec = PortfolioSpec.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(describe(error, PortfolioSpec, "", place, {}).replace(": .", ": ")) from None
    folder = folder or Path()
    shared = any_from_table({**PROBE, "cluster": spec.cluster}, folder, place)
    most, words = shared.max_devices, machine_of(shared).words
    wanted = num_systems or shared.num_devices
    if wanted > most:
        raise DoesNotFit(f"{place}: {wanted:,} {words.short}s, and {shared.cluster.name} has {most:,}; take fewer")
    tasks = tuple(_task(job, spec, shared, folder, f"{place}: jobs.{job.name}", most) for job in spec.jobs)
    return Portfolio(spec.name, spec.start, shared.cluster.name, wanted, most, tasks, words.short)


def _task(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run, folder: Path, place: str, most: int) -> Task:
    earliest_s = seconds_after(job.earliest_start, spec.start, f"{place}.earliest_start")
    deadline_s = None if job.deadline is None else seconds_after(job.deadline, spec.start, f"{place}.deadline")
    if job.duration_s is not None:
        durations = {job.systems[0]: job.duration_s}
    else:
        durations = _durations_s(job, _run(job, spec, shared, folder, place), place, most, with_life=spec.lifetime)
    return Task(job.name, durations, job.priority, earliest_s, deadline_s)


def _run(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run, folder: Path, place: str) -> Run:
    """A job's run on the shared cluster."""
    if job.run is None:
        training = {**(job.training or {}), **({} if job.tokens is None else {"tokens": job.tokens})}
        model = {"name": f"model of {job.name}", **(job.model or {})}
        table = {"name": job.name, "model": model, "training": training, "cluster": spec.cluster}
        return any_from_table(table, folder, place)
    near = folder / job.run
    settings = () if job.tokens is None else (f"training.tokens={job.tokens}",)
    try:
        own = load_any(near if catalogue.exists(near) else job.run, settings)
    except UnknownNameError as error:
        raise UnknownNameError(f"{place}.run: {error}") from None
    if own.machine != shared.machine:
        raise ConfigError(
            f"{place}.run is {job.run!r} for a cluster of another kind than {shared.cluster.name}; name a run of its kind"
        )
    moved = replace(own, cluster=shared.cluster.model_copy(update={shared.cluster.count: own.num_devices}))
    origins = {key: origin for key, origin in own.origins.items() if not key.startswith("cluster.")}
    theirs = {key: origin for key, origin in shared.origins.items() if key.startswith("cluster.")}
    return replace(moved, origins=origins | theirs)


def _durations_s(job: PortfolioJobSpec, run: Run, place: str, most: int, *, with_life: bool) -> dict[int, float]:
    """Time on each allowed number of systems on which the job fits. [s]"""
    found, reason, word = {}, "", f"{machine_of(run).words.short}s"
    for systems in job.systems or (run.num_devices,):
        if systems > most:
            reason = f"{place}: {systems:,} {word}, and {run.cluster.name} has {most:,}; allow it fewer"
            continue
        try:
            found[systems] = _duration_s(run.resized(systems), with_life=with_life)
        except DoesNotFit as error:
            reason = f"{place} on {systems:,} {word}: {error}"
        except ConfigError as error:
            raise ConfigError(f"{place}.systems has {systems:,}: {error}") from None
    if not found:
        raise DoesNotFit(reason)
    return found


def _duration_s(run: Run, *, with_life: bool) -> float:
    result = simulate(run)
    if not with_life:
        return result.job.time_s
    life = lifetime(run, result.step_time_s, replications=REPLICATIONS)
    return life.calendar_s["mean"] - life.timeline.queue_s
