"""One cluster of one size as an answer to a goal: what it takes, and which limits it keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wsesim.config.goal import GoalSpec
from wsesim.config.run import Run
from wsesim.intervals import of_job
from wsesim.job import Price, Range, job, job_definition, power_w, prices_of_devices, wanted_tokens
from wsesim.loss import Quality, quality_dict
from wsesim.machines.machine import machine_of
from wsesim.study.scaling_laws import Recipe

UNITS = {"deadline": "s", "budget": "USD", "power": "W"}
"""Limits, and what they are in."""


@dataclass(frozen=True)
class Option:
    """One cluster of one size.

    Attributes
    ----------
    recipe
        Model size and tokens, where a law gave them.
    time_s, cost_usd, energy_j
        Of the whole job, with the range in which nine of ten lie. [s], [USD], [J]
    power_w
        Of all devices. [W]
    fails
        Limits that it does not keep, by name, and how far beyond them it is, as a share. [-]
    may_fail
        Limits that it keeps, but of which the end of its range is beyond.
    is_estimate
        Whether the step time is that of the closed form, which only ranks.
    quality
        Loss and zero-shot accuracy that it trains to; None for encoders.
    plan
        How the model is spread, in the words of ``[parallelism]``; empty where that was not simulated, or there is no choice.
    """

    run: Run
    step_time_s: float
    time_s: Range
    cost_usd: Range | None
    energy_j: Range
    power_w: float
    fails: dict[str, float]
    recipe: Recipe | None = None
    may_fail: tuple[str, ...] = ()
    is_estimate: bool = False
    quality: Quality | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_devices(self) -> int:
        """Systems or GPUs. [-]"""
        return self.run.num_devices

    @property
    def cluster(self) -> str:
        """Name of the cluster."""
        return str(self.run.cluster.name)

    @property
    def where(self) -> str:
        """Its devices in words: "256 GPUs (32 nodes of DGX H100)"."""
        return str(machine_of(self.run).words.counted_short(self.run.cluster, self.num_devices))

    @property
    def software(self) -> str:
        """Release, or profile, that its step was simulated with."""
        return str(machine_of(self.run).software(self.run))

    @property
    def run_as(self) -> str:
        """Batch, sequence length, software and plan, in words."""
        training, words = self.run.training, machine_of(self.run).words
        batch = f"batch {training.global_batch_size:,} x {training.sequence_length:,} tokens"
        parts = (batch, self.software and f"{words.software} {self.software}", words.planned(self.run, self.plan))
        return ", ".join(part for part in parts if part)

    def is_no_use_beside(self, smaller: Option) -> bool:
        """Whether it is slower and not cheaper than a smaller one of the same cluster."""
        if self.cost_usd is None or smaller.cost_usd is None:
            return self.time_s.value > smaller.time_s.value
        return self.time_s.value > smaller.time_s.value and self.cost_usd.value >= smaller.cost_usd.value

    @property
    def meets(self) -> bool:
        """Whether it keeps every limit."""
        return not self.fails

    @property
    def is_extrapolated(self) -> bool:
        """Whether it is beyond what has been measured."""
        return machine_of(self.run).is_extrapolated(self.run)

    @property
    def prices(self) -> tuple[Price, ...]:
        """What its cost rests on."""
        return prices_of_devices(self.run)

    def to_dict(self) -> dict[str, Any]:
        """One cluster of one size, in SI units."""
        cost = self.cost_usd
        return {
            "cluster": self.cluster,
            "num_devices": self.num_devices,
            "model": self.run.model.name,
            "devices": self.where,
            "job": job_definition(self.run).to_dict(),
            "global_batch_size": self.run.training.global_batch_size,
            "sequence_length": self.run.training.sequence_length,
            "software": self.software,
            "parallelism": dict(self.plan) or None,
            "step_time_s": self.step_time_s,
            "time_s": self.time_s.value,
            "time_s_range": [self.time_s.low, self.time_s.high],
            "cost_usd": None if cost is None else cost.value,
            "cost_usd_range": None if cost is None else [cost.low, cost.high],
            "energy_j": self.energy_j.value,
            "energy_j_range": [self.energy_j.low, self.energy_j.high],
            "power_w": self.power_w,
            "parameters": None if self.recipe is None else self.recipe.parameters,
            "tokens": wanted_tokens(self.run),
            "fails": self.fails,
            "may_fail": list(self.may_fail),
            "is_extrapolated": self.is_extrapolated,
            **quality_dict(self.quality),
        }


def option_of(goal: GoalSpec, run: Run, step_s: float, recipe: Recipe | None = None) -> Option:
    """A run as an answer to a goal, with its range."""
    work, power = of_job(job(run, step_s), machine_of(run).bounds(run, step_s)), power_w(run)
    fails, may_fail = _kept(goal, {"deadline": work.time_range_s, "budget": work.cost_usd, "power": power})
    return Option(
        run=run,
        step_time_s=step_s,
        time_s=work.time_range_s,
        cost_usd=work.cost_usd,
        energy_j=work.energy_j,
        power_w=power.value,
        fails=fails,
        recipe=recipe,
        may_fail=may_fail,
        quality=work.quality,
    )


def limits_of(goal: GoalSpec) -> dict[str, float]:
    """Limits that are set, by name. [s], [USD], [W]"""
    limits = goal.limits
    asked = {"deadline": limits.deadline_s, "budget": limits.budget_usd, "power": limits.power_w}
    return {name: limit for name, limit in asked.items() if limit is not None}


def _kept(goal: GoalSpec, found: dict[str, Range | None]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Limits that are not kept, and those that may not be."""
    fails, may_fail = {}, []
    for name, limit in limits_of(goal).items():
        value = found[name]
        if value is None:
            fails[name] = math.inf
        elif value.value > limit:
            fails[name] = value.value / limit - 1.0
        elif value.high > limit:
            may_fail.append(name)
    return fails, tuple(may_fail)


def simulated(goal: GoalSpec, option: Option) -> Option:
    """An option whose step time is an estimate, simulated in its place."""
    machine = machine_of(option.run)
    if not machine.estimates:
        return option
    step = machine.time_only(option.run)
    return replace(option_of(goal, option.run, step.time_s, option.recipe), plan=step.plan)
