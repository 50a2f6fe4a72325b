"""Which clusters, of which size, meet a goal: all that may be used are tried, and the answer is read off.

Wafer-scale clusters are simulated for every number of systems at once (`wsesim.simulation.run_many`).
GPU clusters are ranked by the closed form, with a plan searched for every number of GPUs; what the answer
names is simulated, and the answer is read off again. Where few sizes of a large cluster were tried, those
below the smallest that meets the goal are tried by halving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.goal import CandidateSpec, GoalSpec
from wsesim.config.run import GPURun, Run
from wsesim.errors import ConfigError
from wsesim.metrics.training import Price, Range, job, power_w, prices, wanted_tokens
from wsesim.planning.candidates import (
    SEQUENCE_LENGTH,
    base_of,
    gpu_steps,
    scatter,
    size_between,
    sized,
    sizes,
    wafer_steps,
)
from wsesim.planning.scaling_laws import LAWS, Recipe, recipes, with_model
from wsesim.shown import ShowsItself
from wsesim.validation.coverage import is_outside

PRICES_OF_COST = (
    "price_usd_per_system_hour",
    "price_usd_per_gpu_hour",
    "purchase_price_usd",
    "purchase_price_usd_per_gpu",
    "amortization_s",
)
"""Ends of the keys that the cost of devices rests on."""
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
        Of the whole job, with the range that the calibration's residuals give. [s], [USD], [J]
    power_w
        Of all devices. [W]
    fails
        Limits that it does not keep, by name, and how far beyond them it is, as a share. [-]
    may_fail
        Limits that it keeps, but of which the end of its range is beyond.
    is_estimate
        Whether the step time is that of the closed form, which only ranks.
    """

    run: Run | GPURun
    step_time_s: float
    time_s: Range
    cost_usd: Range | None
    energy_j: Range
    power_w: float
    fails: dict[str, float]
    recipe: Recipe | None = None
    may_fail: tuple[str, ...] = ()
    is_estimate: bool = False

    @property
    def num_devices(self) -> int:
        """Systems or GPUs. [-]"""
        return self.run.cluster.num_gpus if isinstance(self.run, GPURun) else self.run.cluster.num_systems

    @property
    def cluster(self) -> str:
        """Name of the cluster."""
        return self.run.cluster.name

    @property
    def meets(self) -> bool:
        """Whether it keeps every limit."""
        return not self.fails

    @property
    def is_extrapolated(self) -> bool:
        """Whether it is beyond what has been measured."""
        return is_outside(self.run)

    @property
    def prices(self) -> tuple[Price, ...]:
        """What its cost rests on."""
        return tuple(one for one in prices(self.run) if one.key.endswith(PRICES_OF_COST))

    def to_dict(self) -> dict[str, Any]:
        """One cluster of one size, in SI units."""
        cost = self.cost_usd
        return {
            "cluster": self.cluster,
            "num_devices": self.num_devices,
            "model": self.run.model.name,
            "global_batch_size": self.run.training.global_batch_size,
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
        }


@dataclass(frozen=True, repr=False)
class Answer(ShowsItself):
    """What meets a goal.

    Attributes
    ----------
    options
        Everything that was tried and can run at all.
    refused
        What cannot run, by cluster: why.
    smallest
        For each cluster, the fewest devices that meet the goal.
    cheapest, fastest
        Of all that meet it; None where nothing does, or no cluster has a price.
    front
        Those that no other one beats in time, cost and energy, fastest first.
    by_recipe
        For each model size that reaches a target loss, the cheapest that meets the goal; the fastest without prices.
    """

    goal: GoalSpec
    options: tuple[Option, ...]
    refused: dict[str, str]
    smallest: tuple[Option, ...]
    cheapest: Option | None
    fastest: Option | None
    front: tuple[Option, ...]
    by_recipe: tuple[Option, ...] = ()

    @property
    def is_met(self) -> bool:
        """Whether anything meets the goal."""
        return self.fastest is not None

    @property
    def named(self) -> tuple[Option, ...]:
        """Every option that the answer names, or that what it says rests on."""
        chosen = [one for one in (self.fastest, self.cheapest) if one is not None]
        below = [one for one in (next_smaller(self, one) for one in self.smallest) if one is not None]
        unmet = [] if self.is_met else [one for _, one in relaxed(self)]
        return (*chosen, *self.smallest, *below, *self.front, *self.by_recipe, *unmet)

    def __repr__(self) -> str:
        best = self.cheapest or self.fastest
        met = "not met" if best is None else f"met, for example by {best.num_devices:,} on {best.cluster}"
        return f"<Answer {self.goal.name}: {met}; {len(self.options)} tried>"

    def to_dict(self) -> dict[str, Any]:
        """The contract of ``wsesim plan --json``: SI units."""
        return {
            "name": self.goal.name,
            "is_met": self.is_met,
            "fastest": None if self.fastest is None else self.fastest.to_dict(),
            "cheapest": None if self.cheapest is None else self.cheapest.to_dict(),
            "smallest": [one.to_dict() | {"binds": what_binds(self, one)} for one in self.smallest],
            "front": [one.to_dict() for one in self.front],
            "by_recipe": [one.to_dict() for one in self.by_recipe],
            "prices": {one.cluster: [vars(price) for price in one.prices] for one in self.options},
            "law": None if self.goal.target_loss is None else LAWS[self.goal.law],
            "would_do": [] if self.is_met else what_would_have_to_give(self),
            "refused": self.refused,
            "num_options": len(self.options),
        }


@dataclass
class _Tried:
    """One cluster that may be used, with one model, and all of its sizes that were tried.

    Attributes
    ----------
    options
        By number of devices; None cannot run.
    why
        The reason of the last one that cannot.
    """

    goal: GoalSpec
    base: Run | GPURun
    candidate: CandidateSpec
    recipe: Recipe | None
    options: dict[int, Option | None] = field(default_factory=dict)
    why: str = ""

    def add(self, numbers: Sequence[int]) -> None:
        """Try sizes: wafers are simulated, GPUs estimated."""
        may_shift = "global_batch_size" not in self.goal.training
        runs = [sized(self.base, number, may_shift=may_shift) for number in numbers]
        on_gpus = isinstance(self.base, GPURun)
        steps, why = gpu_steps(runs) if on_gpus else wafer_steps(runs)
        self.why = why or self.why
        found = [replace(option_of(self.goal, run, step_s, self.recipe), is_estimate=on_gpus) for run, step_s in steps]
        self.options |= dict.fromkeys(numbers) | {one.num_devices: one for one in found}

    def settle(self, named: Iterable[Option]) -> bool:
        """Simulate what the answer names, then look below the smallest that meets the goal; whether anything changed."""
        mine = {id(one): number for number, one in self.options.items() if one is not None and one.is_estimate}
        estimates = [one for one in named if id(one) in mine]
        for one in estimates:
            self.options[mine[id(one)]] = simulated(self.goal, one)
        if estimates:
            return True
        between = self._unknown_size() if self.candidate.num_devices == "auto" else None
        if between is not None:
            self.add([between])
        return between is not None

    def _unknown_size(self) -> int | None:
        able = [number for number, one in self.options.items() if one is not None and one.meets]
        below = [number for number in self.options if able and number < min(able)]
        return size_between(self.base, max(below), min(able)) if below else None


def answer(
    goal: GoalSpec, place: str = "goal", progress: Callable[[str], None] = lambda _: None, folder: Path | None = None
) -> Answer:
    """Try everything that may be used.

    Parameters
    ----------
    goal, place
        The goal, and how messages name it.
    progress
        Told what is tried.
    folder
        Where files lie that the goal names; the working directory where left out.

    Raises
    ------
    wsesim.errors.InputError
        The goal contradicts itself.
    wsesim.errors.DoesNotFit
        A loss that no model reaches.
    """
    tried = []
    for recipe, model in _models(goal):
        for candidate in dict.fromkeys(goal.candidates):
            progress(f"{candidate.cluster}{'' if recipe is None else f', {recipe.parameters:.3g} parameters'}")
            one = _Tried(goal, base_of(goal, candidate, model, recipe, place, folder or Path()), candidate, recipe)
            one.add(sizes(one.base, candidate))
            tried.append(one)
    while True:
        found = _read(goal, tried)
        progress("simulating")
        named = found.named
        changed = [one.settle(named) for one in tried]
        if not any(changed):
            return found


def _models(goal: GoalSpec) -> list[tuple[Recipe | None, dict[str, Any]]]:
    if goal.target_loss is None:
        return [(None, goal.model or {})]
    length = goal.training.get("sequence_length")
    length = length if isinstance(length, int) and length > 0 else SEQUENCE_LENGTH
    found = [with_model(one, goal.target_loss, goal.law, length) for one in recipes(goal.target_loss, goal.law)]
    whole = {recipe.parameters: (recipe, model) for recipe, model in filter(None, found)}
    return list(whole.values())


def option_of(goal: GoalSpec, run: Run | GPURun, step_s: float, recipe: Recipe | None = None) -> Option:
    """A run as an answer to a goal, with its range."""
    work, spread, power = job(run, step_s), scatter(run), power_w(run)
    time_s = _widened(Range(work.time_s, work.time_s, work.time_s), spread)
    cost = None if work.cost_usd is None else _widened(work.cost_usd, spread)
    fails, may_fail = _kept(goal, {"deadline": time_s, "budget": cost, "power": power})
    return Option(
        run=run,
        step_time_s=step_s,
        time_s=time_s,
        cost_usd=cost,
        energy_j=_widened(work.energy_j, spread),
        power_w=power.value,
        fails=fails,
        recipe=recipe,
        may_fail=may_fail,
    )


def _widened(value: Range, share: float) -> Range:
    return Range(value.value, value.low * (1.0 - share), value.high * (1.0 + share))


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


def _read(goal: GoalSpec, tried: Sequence[_Tried]) -> Answer:
    options = tuple(one for each in tried for one in each.options.values() if one is not None)
    able = [one for one in options if one.meets]
    priced = [one for one in able if one.cost_usd is not None]
    clusters = dict.fromkeys(one.cluster for one in able)
    runs = {one.base.cluster.name for one in tried if any(one.options.values())}
    return Answer(
        goal=goal,
        options=options,
        refused={one.candidate.cluster: one.why for one in tried if one.base.cluster.name not in runs},
        smallest=tuple(
            min((one for one in able if one.cluster == name), key=lambda one: (one.num_devices, one.time_s.value))
            for name in clusters
        ),
        cheapest=min(priced, key=lambda one: (_cost(one), one.time_s.value), default=None),
        fastest=min(able, key=lambda one: one.time_s.value, default=None),
        front=front(able),
        by_recipe=_by_recipe(able),
    )


def _by_recipe(able: Sequence[Option]) -> tuple[Option, ...]:
    known = dict.fromkeys(one.recipe for one in able if one.recipe is not None)
    return tuple(
        min((one for one in able if one.recipe == recipe), key=lambda one: (_cost(one), one.time_s.value))
        for recipe in known
    )


def simulated(goal: GoalSpec, option: Option) -> Option:
    """An option of a GPU cluster, simulated in place of its estimate."""
    if not isinstance(option.run, GPURun):
        return option
    from wsesim.gpu_simulation import simulate_gpu

    return option_of(goal, option.run, simulate_gpu(option.run).step_time_s, option.recipe)


def _cost(option: Option) -> float:
    return math.inf if option.cost_usd is None else option.cost_usd.value


def front(options: Iterable[Option]) -> tuple[Option, ...]:
    """Options that no other one beats or equals in time, cost and energy, fastest first."""
    kept: list[Option] = []
    least: list[tuple[float, float]] = []
    for one in sorted(options, key=lambda one: (one.time_s.value, _cost(one), one.energy_j.value)):
        now = (_cost(one), one.energy_j.value)
        if not any(cost <= now[0] and energy <= now[1] for cost, energy in least):
            kept.append(one)
            least.append(now)
    return tuple(kept)


def next_smaller(result: Answer, option: Option) -> Option | None:
    """The next smaller size of the same cluster that was tried and can run."""
    fewer = [
        one
        for one in result.options
        if one.cluster == option.cluster and one.recipe == option.recipe and one.num_devices < option.num_devices
    ]
    return max(fewer, key=lambda one: one.num_devices, default=None)


def what_binds(result: Answer, option: Option) -> str:
    """Why no fewer devices of the same cluster do; empty where there is nothing smaller."""
    below = next_smaller(result, option)
    if below is None or below.meets:
        return ""
    said = " and ".join(f"{name} by {share:.1%}" for name, share in below.fails.items() if math.isfinite(share))
    return f"{below.num_devices} would miss the {said}" if said else ""


def next_better(result: Answer, option: Option) -> str:
    """What the next faster choice on the front would cost more; empty where there is none."""
    faster = [one for one in result.front if one.time_s.value < option.time_s.value]
    if not faster:
        return ""
    other = faster[-1]
    sooner = 1.0 - other.time_s.value / option.time_s.value
    if other.cost_usd is None or option.cost_usd is None:
        return f"{other.num_devices} on {other.cluster}: {sooner:.0%} sooner"
    dearer = other.cost_usd.value / option.cost_usd.value - 1.0
    return f"{other.num_devices} on {other.cluster}: {sooner:.0%} sooner for {dearer:+.1%} cost"


def relaxed(result: Answer) -> list[tuple[tuple[str, ...], Option]]:
    """For a goal that cannot be met: limits that would have to give, and the option with which they give least.

    Each limit alone, with the others kept; where that is of no use, all that the nearest option misses.
    """
    finite = [one for one in result.options if all(map(math.isfinite, one.fails.values()))]
    found: list[tuple[tuple[str, ...], Option]] = []
    for name in limits_of(result.goal):
        others = [one for one in finite if set(one.fails) == {name}]
        if others:
            found.append(((name,), min(others, key=lambda one: one.fails[name])))
    if not found and finite:
        nearest = min(finite, key=lambda one: max(one.fails.values(), default=0.0))
        found.append((tuple(nearest.fails), nearest))
    return found


def what_would_have_to_give(result: Answer) -> list[str]:
    """For a goal that cannot be met: what its limits would have to be, and for which option."""
    found = []
    for names, option in relaxed(result):
        needed = [_needed(result.goal, name, option) for name in names]
        found.append(f"{' and '.join(needed)}: {option.num_devices} on {option.cluster}")
    if "budget" in limits_of(result.goal):
        unpriced = dict.fromkeys(one.cluster for one in result.options if one.cost_usd is None)
        found += [
            f"cluster file that extends {name} with a price: it has none, so that no budget can be kept"
            for name in unpriced
        ]
    return found


def _needed(goal: GoalSpec, name: str, option: Option) -> str:
    from wsesim.units import show

    limit = limits_of(goal)[name]
    return f"{name} of {show(limit * (1.0 + option.fails[name]), UNITS[name])} instead of {show(limit, UNITS[name])}"


def goal_from_table(raw: dict[str, Any], place: str) -> GoalSpec:
    """A goal, checked.

    Raises
    ------
    ConfigError
        With all that is wrong.
    """
    from pydantic import ValidationError

    from wsesim.config.problems import describe

    try:
        return GoalSpec.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(describe(error, GoalSpec, "goal", place, {})) from None


def goal_of(
    word: str | None,
    named: dict[str, Any],
    limits: dict[str, Any],
    tokens: str | None,
    clusters: Iterable[str],
) -> GoalSpec:
    """A goal from a file, with what options say laid over it; or from options alone.

    Raises
    ------
    wsesim.errors.InputError
        With place, finding and remedy.
    """
    raw = {} if word is None else catalogue.read_toml(Path(word))
    raw |= {key: value for key, value in named.items() if value is not None}
    given = {key: value for key, value in limits.items() if value is not None}
    raw["limits"] = {**raw.get("limits", {}), **given} if isinstance(raw.get("limits", {}), dict) else raw["limits"]
    training = raw.get("training", {})
    if tokens is not None and isinstance(training, dict):
        raw["training"] = {**training, "tokens": _number_or_word(tokens)}
    if chosen := [{"cluster": _from_here(name)} for name in clusters]:
        raw["candidates"] = chosen
    if "candidates" not in raw:
        known = ", ".join(catalogue.names("clusters")[:6])
        raise ConfigError(f"plan: no cluster is named; add --cluster NAME, for example one of {known}, or a goal file")
    return goal_from_table(raw, "options" if word is None else catalogue.shown(Path(word)))


def _from_here(name: str) -> str:
    """A cluster of an option: files are meant from the working directory, not from the goal file's folder."""
    return str(Path(name).absolute()) if name.endswith(".toml") else name


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
