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
from wsesim.config.run_files import layered_run
from wsesim.errors import AnswerIsNo, ConfigError, DoesNotFit, UnknownNameError
from wsesim.job import Range, price_usd_per_s
from wsesim.machines.machine import machine_of
from wsesim.result import Result
from wsesim.simulation import simulate
from wsesim.study.job_queue import Policy, Schedule, Search, Steps, Task, schedule, search, why_not
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
    shared: Run

    @property
    def device(self) -> str:
        """What is counted: system, GPU."""
        return str(machine_of(self.shared).words.short)

    @property
    def comes_in(self) -> int:
        """Devices that are bought and rented together. [-]"""
        return machine_of(self.shared).comes_in(self.shared)

    def counted(self, num_systems: int) -> str:
        """So many devices of its cluster, in words."""
        return str(machine_of(self.shared).words.counted(self.shared.cluster, num_systems))

    def cost_usd(self, found: Schedule) -> Range | None:
        """Of all devices until the last job ends, in use or not; None without a price. [USD]"""
        price = price_usd_per_s(self.shared.on(1, 1))
        return None if price is None else price.scaled(found.num_systems * found.makespan_s)

    def one_fewer(self, found: Schedule) -> Schedule | None:
        """The same with one system fewer, or one node; None where some job has no room then."""
        fewer = found.num_systems - self.comes_in
        if fewer < max(min(task.duration_s) for task in self.tasks):
            return None
        return self.run(found.policy, fewer, backfill=found.backfill)

    def run(self, policy: Policy = "first-come", num_systems: int | None = None, *, backfill: bool = True) -> Schedule:
        """Simulate it, on another number of systems if one is given."""
        return schedule(self.tasks, num_systems or self.num_systems, policy, backfill=backfill, word=self.device)

    def search(self, by_s: float, policy: Policy = "first-come", *, backfill: bool = True) -> Search:
        """The fewest systems that do by a time.

        Raises
        ------
        wsesim.errors.AnswerIsNo
            No number of systems holds the work.
        """
        found = search(self.tasks, by_s, self.max_systems, policy, backfill=backfill, comes_in=self.comes_in)
        if found.best is None:
            raise AnswerIsNo(self.why_not(found))
        return found

    def why_not(self, found: Search) -> str:
        """Why no number of systems is enough."""
        return why_not(self.tasks, found, self.max_systems, self.device)


def read(path: Path, num_systems: int | None = None, paying: str | None = None) -> Portfolio:
    """Read a portfolio file, and simulate each job on each number of systems that it may have.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    wsesim.errors.DoesNotFit
        A job fits on none of its allowed numbers of systems.
    """
    return from_table(catalogue.read_toml(path), path.parent, catalogue.shown(path), num_systems, paying)


def from_table(
    raw: Mapping[str, Any],
    folder: Path | None = None,
    place: str = "portfolio",
    num_systems: int | None = None,
    paying: str | None = None,
) -> Portfolio:
    """Build a portfolio from nested dicts, as `read` does from a file."""
    try:
        spec = PortfolioSpec.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(describe(error, PortfolioSpec, "", place, {}).replace(": .", ": ")) from None
    folder = folder or Path()
    if paying is not None:
        spec = spec.model_copy(update={"cluster": spec.cluster | {"paying": paying}})
    shared = any_from_table({**PROBE, "cluster": spec.cluster}, folder, place)
    most, words = shared.max_devices, machine_of(shared).words
    wanted = num_systems or shared.num_devices
    if wanted > most:
        raise DoesNotFit(f"{place}: {wanted:,} {words.short}s, and {shared.cluster.name} has {most:,}; take fewer")
    tasks = tuple(_task(job, spec, shared, folder, f"{place}: jobs.{job.name}", most) for job in spec.jobs)
    return Portfolio(spec.name, spec.start, shared.cluster.name, wanted, most, tasks, shared)


def _task(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run, folder: Path, place: str, most: int) -> Task:
    earliest_s = seconds_after(job.earliest_start, spec.start, f"{place}.earliest_start")
    deadline_s = None if job.deadline is None else seconds_after(job.deadline, spec.start, f"{place}.deadline")
    if job.duration_s is not None:
        return Task(job.name, {job.systems[0]: job.duration_s}, job.priority, earliest_s, deadline_s)
    run = _run(job, spec, shared, folder, place)
    found = _simulated(job, run, place, most)
    steps = {systems: _steps(result) for systems, result in found.items()}
    lives = {systems: _duration_s(result, with_life=spec.lifetime) for systems, result in found.items()}
    return Task(job.name, lives, job.priority, earliest_s, deadline_s, steps)


def _run(job: PortfolioJobSpec, spec: PortfolioSpec, shared: Run, folder: Path, place: str) -> Run:
    """A job's run on the shared cluster; of its own run file, with the software that this file names."""
    if job.run is None:
        training = {**(job.training or {}), **({} if job.tokens is None else {"tokens": job.tokens})}
        model = {"name": f"model of {job.name}", **(job.model or {})}
        table = {"name": job.name, "model": model, "training": training, "cluster": spec.cluster}
        return any_from_table(table, folder, place)
    near = folder / job.run
    word = near if catalogue.exists(near) else job.run
    settings = () if job.tokens is None else (f"training.tokens={job.tokens}",)
    try:
        own = load_any(word, settings)
    except UnknownNameError as error:
        raise UnknownNameError(f"{place}.run: {error}") from None
    if own.machine != shared.machine:
        raise ConfigError(
            f"{place}.run is {job.run!r} for a cluster of another kind than {shared.cluster.name}; name a run of its kind"
        )
    keys = [key for key in machine_of(own).files.software if key not in spec.cluster]
    said = {key: value for key, value in layered_run(word)[0].plain.get("cluster", {}).items() if key in keys}
    if said:
        shared = any_from_table({**PROBE, "cluster": spec.cluster | said}, folder, f"{place}.run")
    moved = replace(own, cluster=shared.cluster.model_copy(update={shared.cluster.count: own.num_devices}))
    origins = {key: origin for key, origin in own.origins.items() if not key.startswith("cluster.")}
    theirs = {key: origin for key, origin in shared.origins.items() if key.startswith("cluster.")}
    return replace(moved, origins=origins | theirs)


def _simulated(job: PortfolioJobSpec, run: Run, place: str, most: int) -> dict[int, Result]:
    """One step on each allowed number of systems on which the job fits."""
    found, reason, word = {}, "", f"{machine_of(run).words.short}s"
    for systems in job.systems or (run.num_devices,):
        if systems > most:
            reason = f"{place}: {systems:,} {word}, and {run.cluster.name} has {most:,}; allow it fewer"
            continue
        try:
            found[systems] = simulate(run if systems == run.num_devices else run.resized(systems))
        except DoesNotFit as error:
            reason = f"{place} on {systems:,} {word}: {error}"
        except ConfigError as error:
            raise ConfigError(f"{place}.systems has {systems:,}: {error}") from None
    if not found:
        raise DoesNotFit(reason)
    return found


def _steps(result: Result) -> Steps:
    job, cost = result.job, result.job.cost_usd
    price = None if cost is None else cost.value
    return Steps(
        result.step.software, result.definition.to_dict(), result.step_time_s, job.time_s, job.energy_j.value, price
    )


def _duration_s(result: Result, *, with_life: bool) -> float:
    if not with_life:
        return result.job.time_s
    life = lifetime(result.run, result.step_time_s, replications=REPLICATIONS)
    return life.calendar_s["mean"] - life.timeline.queue_s
