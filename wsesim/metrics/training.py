"""From the step to the whole job: steps, tokens, time, energy, cost, loss."""

from __future__ import annotations

from dataclasses import dataclass

from wsesim.config.loader import GPURun, Run
from wsesim.config.provenance import Origin
from wsesim.metrics.loss import chinchilla_loss, pile_loss, vendor_training_flop
from wsesim.workload.transformer import parameter_count

TOKENS_PER_PARAMETER = 20.0
"""The compute-optimal recipe of Hoffmann et al. 2022 that Cerebras-GPT was trained by. [-]"""
HOUR_S = 3600.0


@dataclass(frozen=True)
class Range:
    """A value, and its bounds where the catalogue gives a range."""

    value: float
    low: float
    high: float

    @property
    def is_range(self) -> bool:
        """Whether the bounds differ."""
        return self.high > self.low

    def scaled(self, factor: float) -> Range:
        """The range times a number."""
        return Range(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        """The sum of two ranges, bound by bound."""
        return Range(self.value + other.value, self.low + other.low, self.high + other.high)


def ranged(value: float, origin: Origin | None) -> Range:
    """A value with the bounds of its origin, unless it was set to something outside them."""
    if origin is None or origin.low is None or origin.high is None or not origin.low <= value <= origin.high:
        return Range(value, value, value)
    return Range(value, origin.low, origin.high)


@dataclass(frozen=True)
class Job:
    """A whole training job without failures, checkpoints and queues.

    Attributes
    ----------
    tokens
        Steps times the batch's tokens: the wanted number, rounded down to whole steps. [-]
    time_s
        Steps times the step time. [s]
    energy_j
        Of all systems with their share of the rest of the cluster. [J]
    cost_usd
        None where neither the catalogue nor the file gives a price. [USD]
    pile_loss, chinchilla_loss
        By the two laws; None for encoders, for which they were not made. [nats/token]
    """

    steps: int
    tokens: float
    time_s: float
    energy_j: Range
    cost_usd: Range | None
    pile_loss: float | None
    chinchilla_loss: float | None


def wanted_tokens(run: Run | GPURun) -> float:
    """Training tokens that the run asks for. [-]"""
    tokens_per_step = run.training.global_batch_size * run.training.sequence_length
    if run.training.steps is not None:
        return float(run.training.steps * tokens_per_step)
    if run.training.tokens == "chinchilla":
        return TOKENS_PER_PARAMETER * parameter_count(run.model, run.training.sequence_length)
    return float(run.training.tokens)


def power_w(run: Run | GPURun) -> Range:
    """All systems, or GPUs, and their share of the rest of the cluster. [W]"""
    if isinstance(run, GPURun):
        each = ranged(run.cluster.power_w_per_gpu, run.origins.get("cluster.power_w_per_gpu"))
        return each.scaled(run.cluster.num_gpus)
    systems = ranged(run.cluster.system.power_w, run.origins.get("cluster.system.power_w"))
    rest = ranged(run.cluster.overhead_power_w, run.origins.get("cluster.overhead_power_w"))
    return systems.plus(rest).scaled(run.cluster.num_systems)


def price_usd_per_s(run: Run | GPURun) -> Range | None:
    """Price of all systems, or GPUs, for one second, or None. [USD/s]"""
    if isinstance(run, GPURun):
        per_hour = run.cluster.price_usd_per_gpu_hour
        if per_hour is None:
            return None
        each = ranged(per_hour, run.origins.get("cluster.price_usd_per_gpu_hour"))
        return each.scaled(run.cluster.num_gpus / HOUR_S)
    cluster = run.cluster
    if cluster.price_usd_per_system_hour is not None:
        hourly = ranged(cluster.price_usd_per_system_hour, run.origins.get("cluster.price_usd_per_system_hour"))
        return hourly.scaled(cluster.num_systems / HOUR_S)
    if cluster.system.purchase_price_usd is None or cluster.amortization_s is None:
        return None
    price = ranged(cluster.system.purchase_price_usd, run.origins.get("cluster.system.purchase_price_usd"))
    return price.scaled(cluster.num_systems / cluster.amortization_s)


def compute_as_reported_flop(run: Run | GPURun, tokens: float) -> float:
    """Training compute for the Pile law: the authors' figure for their own recipe, else counted. [FLOP]"""
    reported = run.model.training_flop_reported
    recipe = TOKENS_PER_PARAMETER * parameter_count(run.model, run.training.sequence_length)
    if reported is not None and abs(tokens / recipe - 1.0) < 0.02:
        return reported
    return vendor_training_flop(run.model, run.training.sequence_length, tokens)


def job(run: Run | GPURun, step_time_s: float) -> Job:
    """What the whole job takes at a step time."""
    tokens_per_step = run.training.global_batch_size * run.training.sequence_length
    steps = max(1, int(wanted_tokens(run) / tokens_per_step))
    time_s, tokens = steps * step_time_s, float(steps * tokens_per_step)
    price = price_usd_per_s(run)
    decoder = run.model.causal
    return Job(
        steps=steps,
        tokens=tokens,
        time_s=time_s,
        energy_j=power_w(run).scaled(time_s),
        cost_usd=price.scaled(time_s) if price is not None else None,
        pile_loss=pile_loss(compute_as_reported_flop(run, tokens)) if decoder else None,
        chinchilla_loss=chinchilla_loss(parameter_count(run.model, run.training.sequence_length), tokens)
        if decoder
        else None,
    )
