"""Which clusters, of which size, meet a goal: candidates are tried, each is an option, and the answer is read off."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from wsesim.config import catalogue
from wsesim.config.goal import CandidateSpec, GoalSpec
from wsesim.config.loader import any_from_table, files_at, load_model
from wsesim.config.run import Run
from wsesim.config.training import BATCH_KEYS
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.machine import machine_of
from wsesim.results.intervals import of_job
from wsesim.results.job import Price, Range, job, job_definition, power_w, prices_of_devices, wanted_tokens
from wsesim.results.loss import Quality, quality_dict
from wsesim.results.result import answered_by
from wsesim.study.scaling_laws import Recipe, batch_tokens, law_text, recipes, wanted_loss, with_model
from wsesim.units import show
from wsesim.view import ShowsItself
from wsesim.workload.transformer import parameter_count

# Runs of a cluster that may be used: which sizes are tried, with which batch, how long a step takes, and how sure that
# is.


SEQUENCE_LENGTH = 2048
"""Where the goal does not say. [-]"""


def base_of(
    goal: GoalSpec, candidate: CandidateSpec, model: dict[str, Any], recipe: Recipe | None, place: str, folder: Path
) -> Run:
    """The run of a candidate, of which only the size and the batch vary."""
    cluster = {"name": candidate.cluster} | candidate.keys
    files = files_at(cluster, folder, place)
    own = {key: value for key, value in goal.training.items() if files.takes(key, value)}
    training = {"batch_policy": "nearest"} | _usual_length(model) | own
    if recipe is not None:
        training["tokens"] = recipe.tokens
    leaves_batch_open = not any(key in training for key in BATCH_KEYS)
    if leaves_batch_open and "path" in model:
        leaves_batch_open = not _brings_batch({"model": model, "training": training}, candidate, folder, place)
    training |= {"global_batch_size": 1} if leaves_batch_open else {}
    said = {key: getattr(goal, key, None) for key in ("paying", *files.software)}
    cluster = {key: value for key, value in said.items() if value is not None} | cluster
    table = {"name": goal.name, "model": model, "training": training, "cluster": cluster}
    run = any_from_table(table, folder, place)
    if not leaves_batch_open:
        return run
    size = parameter_count(run.model, run.training.sequence_length)
    batch = max(1, round(batch_tokens(size) / run.training.sequence_length))
    return replace(run, training=run.training.with_batch(batch), asked=None)


def _usual_length(model: dict[str, Any]) -> dict[str, Any]:
    """Sequences of 2,048 tokens, or of as many as a model with fewer positions takes; files of other tools say it themselves."""
    if "path" in model:
        return {}
    name, positions = model.get("name"), model.get("max_position_embeddings")
    if positions is None and name in catalogue.names("models"):
        positions = load_model(str(name)).max_position_embeddings
    is_fewer = isinstance(positions, int) and 0 < positions < SEQUENCE_LENGTH
    return {"sequence_length": positions if is_fewer else SEQUENCE_LENGTH}


def _brings_batch(table: dict[str, Any], candidate: CandidateSpec, folder: Path, place: str) -> bool:
    """Whether a file of another tool says the batch, too."""
    try:
        any_from_table(table | {"cluster": {"name": candidate.cluster}}, folder, place)
    except ConfigError:
        return False
    return True


def sizes(base: Run, candidate: CandidateSpec) -> list[int]:
    """Numbers of devices to try, as they are bought and rented: of GPUs whole nodes. [-]"""
    if candidate.num_devices != "auto":
        return sorted(set(candidate.num_devices))
    machine = machine_of(base)
    unit = machine.comes_in(base)
    return _thinned([unit * units for units in range(1, base.max_devices // unit + 1)], machine.most_tried)


def _thinned(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly in the logarithm, with the doublings of the first one and the last one."""
    if len(numbers) <= most:
        return list(numbers)
    first, last = numbers[0], numbers[-1]
    wanted = {first * 2**power for power in range(int(math.log2(last / first)) + 1)} | {last}
    for place in range(1, most - len(wanted) + 1):
        ideal = first * (last / first) ** (place / (most - len(wanted) + 1))
        wanted.add(max(1, round(ideal / first)) * first)
    return sorted(wanted & set(numbers))


def size_between(base: Run, below: int, above: int) -> int | None:
    """A size half-way between two; None where there is none. [-]

    Examples
    --------
    >>> from wsesim.config.loader import load_any
    >>> gpus = load_any("gpt3_13b_256xa100")
    >>> size_between(gpus, 64, 128), size_between(gpus, 64, 72)
    (96, None)
    """
    step = machine_of(base).comes_in(base)
    between = (below + above) // 2 // step * step
    between = between if between > below else between + step
    return between if below < between < above else None


def step_times(runs: Sequence[Run]) -> tuple[list[tuple[Run, float]], list[tuple[Run, str]]]:
    """Step times of the runs that can be, the fast way, and why the others cannot. [s]"""
    found: list[tuple[Run, float]] = []
    refused: list[tuple[Run, str]] = []
    for run, time_s in zip(runs, machine_of(runs[0]).step_times_s(runs), strict=True):
        if isinstance(time_s, str):
            refused.append((run, time_s))
        else:
            found.append((run, time_s))
    return found, refused


def why_not(run: Run) -> str:
    """Why a run cannot be, with a remedy."""
    try:
        machine_of(run).time_only(run)
    except (ConfigError, DoesNotFit) as error:
        return str(error)
    return ""


# One cluster of one size as an answer to a goal: what it takes, and which limits it keeps.


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


# Which clusters, of which size, meet a goal: all that may be used are tried, and the answer is read off.
#
# Every size is tried the way that its machine is fast in: wafer-scale clusters are simulated for every number of
# systems at once, GPU clusters ranked by the closed form, with a plan searched for every number of GPUs. What the
# answer names and was only estimated is simulated, and the answer is read off again. Where few sizes of a large
# cluster were tried, those below the smallest that meets the goal are tried by halving.


@dataclass(frozen=True)
class Refused:
    """A number of devices that was tried, and why it is in no table.

    Attributes
    ----------
    reason
        That it cannot run and why, which limit it misses and by how much, or that a smaller one is as good.
    """

    cluster: str
    num_devices: int
    reason: str


@dataclass(frozen=True)
class LimitPrice:
    """What a limit costs: the best choice if it were another one.

    Attributes
    ----------
    value
        What it would be instead. [s], [USD], [W]
    option
        The cheapest choice then, of a budget the fastest; None where there is none.
    change
        Of its cost against now, of a budget of its time; None where it is not known. [USD], [s]
    """

    limit: str
    value: float
    option: Option | None
    change: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        chosen = (
            None if self.option is None else {"cluster": self.option.cluster, "num_devices": self.option.num_devices}
        )
        change = {"change_s" if self.limit == "budget" else "change_usd": self.change}
        return {"limit": self.limit, "value": self.value, "choice": chosen, **change}


@dataclass(frozen=True, repr=False)
class Answer(ShowsItself):
    """What meets a goal.

    Attributes
    ----------
    options
        Everything that was tried and can run at all.
    refused
        What cannot run, by cluster: why.
    tried
        Numbers of devices that were tried and stand in no table, each with its reason.
    smallest
        For each cluster, the fewest devices that meet the goal.
    cheapest, fastest
        Of all that meet it; None where nothing does, or no cluster has a price.
    front
        Those that no other one beats in time, cost and energy, fastest first.
    by_recipe
        For each model size that reaches a target loss or accuracy, the cheapest that meets the goal; the fastest without prices.
    """

    goal: GoalSpec
    options: tuple[Option, ...]
    refused: dict[str, str]
    smallest: tuple[Option, ...]
    cheapest: Option | None
    fastest: Option | None
    front: tuple[Option, ...]
    by_recipe: tuple[Option, ...] = ()
    tried: tuple[Refused, ...] = ()

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
        prices = [one.option for one in limit_prices(self) if one.option is not None]
        return (*chosen, *self.smallest, *below, *self.front, *self.by_recipe, *unmet, *prices)

    def __repr__(self) -> str:
        best = self.cheapest or self.fastest
        met = "not met" if best is None else f"met, for example by {best.where}"
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
            "prices": {one.cluster: [price.to_dict() for price in one.prices] for one in self.options},
            "law": law_text(self.goal.law) if self.goal.has_recipe else None,
            "target_loss": wanted_loss(self.goal),
            "target_accuracy": self.goal.target_accuracy or None,
            "start": None if self.goal.start is None else self.goal.start.isoformat(),
            "limits": limits_of(self.goal),
            "limit_prices": [one.to_dict() for one in limit_prices(self)],
            "tried": [vars(one) for one in self.tried],
            "would_do": [] if self.is_met else what_would_have_to_give(self),
            "refused": self.refused,
            "num_options": len(self.options),
            "simulator": {
                name: answered_by(run) for name, run in {one.cluster: one.run for one in self.options}.items()
            },
        }


Keeps = Callable[[Option], bool]
"""Whether an option keeps limits."""


@dataclass
class _Tried:
    """One cluster that may be used, with one model, and all of its sizes that were tried.

    Attributes
    ----------
    options
        By number of devices; None cannot run.
    refused
        The last one that cannot run.
    reasons
        Why numbers of devices cannot run, by number.
    """

    goal: GoalSpec
    base: Run
    candidate: CandidateSpec
    recipe: Recipe | None
    options: dict[int, Option | None] = field(default_factory=dict)
    refused: Run | None = None
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """Why the last one cannot that cannot."""
        return "" if self.refused is None else why_not(self.refused)

    def add(self, numbers: Sequence[int]) -> None:
        """Try sizes the fast way."""
        machine = machine_of(self.base)
        runs = [self.base.resized(number) for number in numbers]
        steps, refused = step_times(runs)
        self.refused = refused[-1][0] if refused else self.refused
        self.reasons |= {run.num_devices: why for run, why in refused}
        found = [
            replace(option_of(self.goal, run, step_s, self.recipe), is_estimate=machine.estimates)
            for run, step_s in steps
        ]
        self.options |= dict.fromkeys(numbers) | {one.num_devices: one for one in found}

    def useful(self) -> tuple[list[Option], list[Refused]]:
        """What can run and is faster or cheaper than all that is smaller; and why the rest stands in no table."""
        kept: list[Option] = []
        left_out = []
        for number, one in sorted(self.options.items()):
            name = self.base.cluster.name
            if one is None:
                left_out.append(Refused(name, number, self.reasons.get(number, "cannot run")))
            elif smaller := next((other for other in kept if one.is_no_use_beside(other)), None):
                left_out.append(Refused(name, number, f"slower and not cheaper than {smaller.num_devices:,}"))
            else:
                kept.append(one)
                left_out += [] if one.meets else [Refused(name, number, f"misses the {missed(one)}")]
        return kept, left_out

    def settle(self, named: Iterable[Option], limits: Iterable[Keeps]) -> bool:
        """Simulate what the answer names, then look beside the sizes between which a limit lies; whether anything changed."""
        mine = {id(one): number for number, one in self.options.items() if one is not None and one.is_estimate}
        estimates = [one for one in named if id(one) in mine]
        for one in estimates:
            self.options[mine[id(one)]] = simulated(self.goal, one)
        if estimates:
            return True
        if self.candidate.num_devices != "auto":
            return False
        between = {number for keeps in limits for number in self._unknown_sizes(keeps)}
        if between:
            self.add(sorted(between))
        return bool(between)

    def _unknown_sizes(self, keeps: Keeps) -> Iterator[int]:
        """Half-way to the next size below the smallest that keeps limits, and above the largest that others do not."""
        able = [number for number, one in self.options.items() if one is not None and keeps(one)]
        if not able:
            return
        below = [number for number in self.options if number < min(able)]
        above = [number for number, one in self.options.items() if one is not None and number > max(able)]
        gaps = [(max(below), min(able))] if below else []
        gaps += [(max(able), min(above))] if above else []
        found = (size_between(self.base, *gap) for gap in gaps)
        yield from (number for number in found if number is not None and number not in self.options)


def answer(
    goal: GoalSpec, place: str = "goal", progress: Callable[[str], None] = lambda _: None, folder: Path | None = None
) -> Answer:
    """Try everything that may be used.

    Parameters
    ----------
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
        for candidate in _once(goal.candidates):
            progress(f"{candidate.cluster}{'' if recipe is None else f', {recipe.parameters:.3g} parameters'}")
            one = _Tried(goal, base_of(goal, candidate, model, recipe, place, folder or Path()), candidate, recipe)
            one.add(sizes(one.base, candidate))
            tried.append(one)
    while True:
        found = _read(goal, tried)
        progress("simulating")
        named, limits = found.named, [lambda one: one.meets, *_other_limits(found)]
        changed = [one.settle(named, limits) for one in tried]
        if not any(changed):
            return found


def _once(candidates: Iterable[CandidateSpec]) -> list[CandidateSpec]:
    found: list[CandidateSpec] = []
    for one in candidates:
        found += [] if one in found else [one]
    return found


def _models(goal: GoalSpec) -> list[tuple[Recipe | None, dict[str, Any]]]:
    loss = wanted_loss(goal)
    if loss is None:
        return [(None, goal.model or {})]
    length = goal.training.get("sequence_length")
    length = length if isinstance(length, int) and length > 0 else SEQUENCE_LENGTH
    found = [with_model(one, loss, goal.law, length) for one in recipes(loss, goal.law)]
    whole = {recipe.parameters: (recipe, model) for recipe, model in filter(None, found)}
    return list(whole.values())


def _read(goal: GoalSpec, tried: Sequence[_Tried]) -> Answer:
    useful = [each.useful() for each in tried]
    options = tuple(one for kept, _ in useful for one in kept)
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
        tried=tuple(one for _, left_out in useful for one in left_out),
    )


def _by_recipe(able: Sequence[Option]) -> tuple[Option, ...]:
    known = dict.fromkeys(one.recipe for one in able if one.recipe is not None)
    return tuple(
        min((one for one in able if one.recipe == recipe), key=lambda one: (_cost(one), one.time_s.value))
        for recipe in known
    )


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
    said = missed(below)
    return f"{below.num_devices:,} would miss the {said}" if said else ""


def missed(option: Option) -> str:
    """Limits that an option misses, and by how much."""
    return " and ".join(f"{name}{_beyond(share)}" for name, share in option.fails.items())


def _beyond(share: float) -> str:
    """By how much a limit is missed: a percentage, and beyond twice the limit a factor."""
    if not math.isfinite(share):
        return ", for it has no price"
    return f" by {share:.1%}" if share <= 1.0 else f" by a factor of {1.0 + share:.3g}"


SOONER_S = (86_400.0, 3600.0, 600.0)
"""By how much a deadline is moved: by the first that is at most half of it. [s]"""
MORE = 1.1
"""By how much a budget or a power is raised. [-]"""


def limit_prices(result: Answer) -> list[LimitPrice]:
    """What each limit costs: a deadline one day sooner and later (or an hour, of a short job), 10 % more budget, 10 % more power.

    Without a deadline, or where the cheapest choice ends long before it, one day sooner than that choice.
    """
    best = result.cheapest or result.fastest
    if best is None:
        return []
    limits, found = limits_of(result.goal), []
    end_s, both = deadline_s(result, best)
    step_s = _step_s(end_s)
    for change_s in (-step_s, step_s) if both else (-step_s,):
        then = _with(result, "deadline", end_s + change_s)
        found.append(_price("deadline", end_s + change_s, _least(then, _cost), best))
    if "budget" in limits and result.fastest is not None:
        limit = limits["budget"] * MORE
        then = _with(result, "budget", limit)
        found.append(_price("budget", limit, _least(then, lambda one: one.time_s.value), result.fastest))
    if "power" in limits:
        limit = limits["power"] * MORE
        found.append(_price("power", limit, _least(_with(result, "power", limit), _cost), best))
    return found


def deadline_s(result: Answer, best: Option) -> tuple[float, bool]:
    """The deadline that is asked for and binds, else the time of the best choice; and whether it is the former. [s]"""
    limit = limits_of(result.goal).get("deadline")
    if limit is None or best.time_s.value <= limit - _step_s(limit):
        return best.time_s.value, False
    return limit, True


def _step_s(end_s: float) -> float:
    return next((one for one in SOONER_S if one <= end_s / 2.0), end_s / 10.0)


def _with(result: Answer, name: str, limit: float) -> list[Option]:
    """Options that keep all limits if one of them were another one."""
    return [one for one in result.options if _keeps(one, name, limit)]


def _keeps(one: Option, name: str, limit: float) -> bool:
    values = {"deadline": one.time_s.value, "budget": _cost(one), "power": one.power_w}
    return set(one.fails) <= {name} and values[name] <= limit


def _other_limits(result: Answer) -> list[Keeps]:
    """What the prices of limits are worked out for: whether an option keeps all limits if one were another one."""
    return [partial(_keeps, name=one.limit, limit=one.value) for one in limit_prices(result)]


def _least(options: Sequence[Option], key: Callable[[Option], float]) -> Option | None:
    return min(options, key=lambda one: (key(one), one.time_s.value), default=None)


def _price(limit: str, value: float, option: Option | None, now: Option) -> LimitPrice:
    """A choice against the one that is best now."""
    if option is None:
        return LimitPrice(limit, value, None, None)
    if limit == "budget":
        return LimitPrice(limit, value, option, option.time_s.value - now.time_s.value)
    if option.cost_usd is None or now.cost_usd is None:
        return LimitPrice(limit, value, option, None)
    return LimitPrice(limit, value, option, option.cost_usd.value - now.cost_usd.value)


def limit_words(result: Answer) -> list[str]:
    """What each limit costs, in words."""
    found = []
    limits, best = limits_of(result.goal), result.cheapest or result.fastest
    if best is None:
        return []
    end_s, binds = deadline_s(result, best)
    if "deadline" in limits and not binds:
        words = "cheapest" if result.cheapest else "fastest"
        found.append(f"the deadline costs nothing: the {words} ends {show(limits['deadline'] - end_s, 's')} before it")
    for one in limit_prices(result):
        is_deadline = one.limit == "deadline"
        now = end_s if is_deadline else limits[one.limit]
        found.append(f"{_moved(one, now, is_limit=binds or not is_deadline)} {_told(one, result)}")
    return found


def _moved(one: LimitPrice, now: float, *, is_limit: bool) -> str:
    change = show(abs(one.value - now), UNITS[one.limit])
    if one.limit != "deadline":
        return f"a {one.limit} of {show(one.value, UNITS[one.limit])}, 10 % more,"
    if not is_limit:
        return f"{_one(change)} sooner than the cheapest"
    return f"a deadline {_one(change)} {'later' if one.value > now else 'sooner'}"


def _one(change: str) -> str:
    return {"1.00 days": "one day", "1.00 h": "one hour"}.get(change, change)


def _told(one: LimitPrice, result: Answer) -> str:
    option = one.option
    if option is None:
        return "cannot be met"
    best = (result.fastest if one.limit == "budget" else None) or result.cheapest or result.fastest
    if option is best or one.change == 0.0:
        return "changes nothing"
    if one.change is None:
        return f"is met by {option.where}"
    unit = "s" if one.limit == "budget" else "USD"
    size = show(abs(one.change), unit)
    said = {"USD": ("costs {} more", "saves {}"), "s": ("ends {} later", "ends {} sooner")}[unit][one.change < 0.0]
    return f"{said.format(size)}: {option.where}, {show(option.time_s.value, 's')}"


def next_better(result: Answer, option: Option) -> str:
    """What the next faster choice on the front would cost more; empty where there is none."""
    faster = [one for one in result.front if one.time_s.value < option.time_s.value]
    if not faster:
        return ""
    other = faster[-1]
    sooner = 1.0 - other.time_s.value / option.time_s.value
    if other.cost_usd is None or option.cost_usd is None:
        return f"{other.where}: {sooner:.0%} sooner"
    dearer = other.cost_usd.value / option.cost_usd.value - 1.0
    return f"{other.where}: {sooner:.0%} sooner for {dearer:+.1%} cost"


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
        found.append(f"{' and '.join(needed)}: {option.where}")
    if "budget" in limits_of(result.goal):
        unpriced = dict.fromkeys(one.cluster for one in result.options if one.cost_usd is None)
        found += [
            f"cluster file that extends {name} with a price: it has none, so that no budget can be kept"
            for name in unpriced
        ]
    return found


def _needed(goal: GoalSpec, name: str, option: Option) -> str:
    limit = limits_of(goal)[name]
    return f"{name} of {show(limit * (1.0 + option.fails[name]), UNITS[name])} instead of {show(limit, UNITS[name])}"
