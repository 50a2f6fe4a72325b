"""Which clusters, of which size, meet a goal: all that may be used are tried, and the answer is read off.

Every size is tried the way that its machine is fast in: wafer-scale clusters are simulated for every number of systems at
once, GPU clusters ranked by the closed form, with a plan searched for every number of GPUs. What the answer names and was
only estimated is simulated, and the answer is read off again. Where few sizes of a large cluster were tried, those
below the smallest that meets the goal are tried by halving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wsesim.config.goal import CandidateSpec, GoalSpec
from wsesim.config.run import Run
from wsesim.machines.machine import machine_of
from wsesim.shown import ShowsItself
from wsesim.study.candidates import (
    SEQUENCE_LENGTH,
    base_of,
    size_between,
    sizes,
    step_times,
    why_not,
)
from wsesim.study.options import UNITS, Option, limits_of, option_of, simulated
from wsesim.study.scaling_laws import Recipe, law_text, recipes, wanted_loss, with_model
from wsesim.units import show


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
    limit
        Deadline, budget or power.
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
            "prices": {one.cluster: [vars(price) for price in one.prices] for one in self.options},
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
        }


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
        for candidate in _once(goal.candidates):
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
    return " and ".join(
        f"{name} by {share:.1%}" if math.isfinite(share) else f"{name}, for it has no price"
        for name, share in option.fails.items()
    )


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
    found = []
    for one in result.options:
        values = {"deadline": one.time_s.value, "budget": _cost(one), "power": one.power_w}
        if set(one.fails) <= {name} and values[name] <= limit:
            found.append(one)
    return found


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
