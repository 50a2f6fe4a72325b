"""Which clusters, of which size, meet a goal: all that may be used are tried, and the answer is read off.

Wafer-scale clusters are simulated for every number of systems at once (`wsesim.simulation.run_many`).
GPU clusters are ranked by the closed form, with a plan searched for every number of GPUs; what is
named in the answer is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from wsesim.config import catalogue
from wsesim.config.goal import CandidateSpec, GoalSpec
from wsesim.config.loader import GPURun, Run, any_from_table
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.metrics.training import Job, Range, job, power_w
from wsesim.planning.scaling_laws import Recipe, batch_tokens, recipes, shape_of
from wsesim.schedules.checks import check
from wsesim.simulation import run_many
from wsesim.workload.transformer import parameter_count

SEQUENCE_LENGTH = 2048
"""Where the goal does not say. [-]"""
MOST_TRIED = 256
"""Sizes of one cluster that are tried; more are thinned out evenly in the logarithm. [-]"""
MOST_GPUS_TRIED = 24
"""The same for GPUs, for each of which a plan is searched. [-]"""
BATCH_MAY_SHIFT = 0.05
"""By so much, as a share, a batch that the goal leaves open may differ from the usual one. [-]"""
SPREADS = 2.0
"""The stated range is so many times the scatter of the calibration's residuals, as for 95 % of a normal law. [-]"""


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
    """

    run: Run | GPURun
    step_time_s: float
    time_s: Range
    cost_usd: Range | None
    energy_j: Range
    power_w: float
    fails: dict[str, float]
    recipe: Recipe | None = None

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


@dataclass(frozen=True)
class Answer:
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
    """

    goal: GoalSpec
    options: tuple[Option, ...]
    refused: dict[str, str]
    smallest: tuple[Option, ...]
    cheapest: Option | None
    fastest: Option | None
    front: tuple[Option, ...]

    @property
    def is_met(self) -> bool:
        """Whether anything meets the goal."""
        return self.fastest is not None


def answer(goal: GoalSpec, place: str = "goal", progress: Callable[[str], None] = lambda _: None) -> Answer:
    """Try everything that may be used.

    Raises
    ------
    wsesim.errors.InputError
        The goal contradicts itself.
    wsesim.errors.DoesNotFit
        A loss that no model reaches.
    """
    options: list[Option] = []
    refused: dict[str, str] = {}
    for recipe, model in _models(goal):
        for candidate in goal.candidates:
            progress(f"{candidate.cluster}{'' if recipe is None else f', {recipe.parameters:.3g} parameters'}")
            found, why = _options(goal, candidate, model, recipe, place)
            options += found
            if not found:
                refused[candidate.cluster] = why
    return _read(goal, tuple(options), refused)


def _models(goal: GoalSpec) -> list[tuple[Recipe | None, dict[str, Any]]]:
    if goal.target_loss is None:
        return [(None, goal.model or {})]
    return [(recipe, shape_of(recipe.parameters)) for recipe in recipes(goal.target_loss, goal.law)]


def _base(
    goal: GoalSpec, candidate: CandidateSpec, model: dict[str, Any], recipe: Recipe | None, place: str
) -> Run | GPURun:
    """The run of a candidate, of which only the size and the batch vary."""
    training = {"sequence_length": SEQUENCE_LENGTH, "global_batch_size": 1, **goal.training}
    if recipe is not None:
        training["tokens"] = recipe.tokens
    cluster = {"name": candidate.cluster}
    run = any_from_table({"name": goal.name, "model": model, "training": training, "cluster": cluster}, place=place)
    if "global_batch_size" in goal.training:
        return run
    size = parameter_count(run.model, run.training.sequence_length)
    batch = max(1, round(batch_tokens(size) / run.training.sequence_length))
    return replace(run, training=run.training.model_copy(update={"global_batch_size": batch}))


def _options(
    goal: GoalSpec, candidate: CandidateSpec, model: dict[str, Any], recipe: Recipe | None, place: str
) -> tuple[list[Option], str]:
    """All sizes of a candidate that can run; and why the last one that cannot does not."""
    base = _base(goal, candidate, model, recipe, place)
    may_shift = "global_batch_size" not in goal.training
    tried = [sized(base, number, may_shift=may_shift) for number in sizes(base, candidate)]
    steps, why = gpu_steps(tried) if isinstance(base, GPURun) else wafer_steps(tried)
    return [option_of(goal, run, step_s, recipe) for run, step_s in steps], why


def sizes(base: Run | GPURun, candidate: CandidateSpec) -> list[int]:
    """Numbers of devices to try. [-]"""
    if candidate.num_devices != "auto":
        return sorted(set(candidate.num_devices))
    if isinstance(base, GPURun):
        node, most = base.cluster.gpus_per_node, base.cluster.max_gpus
        whole = _thinned([node * nodes for nodes in range(1, most // node + 1)], MOST_GPUS_TRIED)
        return [number for number in (1, 2, 4) if number < node] + whole
    return _thinned(list(range(1, base.cluster.max_systems + 1)), MOST_TRIED)


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


def sized(base: Run | GPURun, number: int, *, may_shift: bool = False) -> Run | GPURun:
    """A run on so many devices, with the nearest batch that divides among them; with `may_shift` one that divides well."""
    batch = base.training.global_batch_size
    if isinstance(base, GPURun):
        whole = batch if number > batch else max(1, round(batch / number)) * number
        training = base.training.model_copy(update={"global_batch_size": whole})
        return replace(base.on_gpus(number), training=training)
    return base.on(number, (per_system(base, number) if may_shift else max(1, round(batch / number))) * number)


def per_system(base: Run, number: int) -> int:
    """Sequences of one system near its share of the batch that make the largest passes; 163, a prime, would make 163. [-]"""
    from wsesim.schedules.plan import lanes_of, micro_batch
    from wsesim.workload.transformer import layers

    ideal = max(1, round(base.training.global_batch_size / number))
    try:
        lanes, chain = lanes_of(base), layers(base.model, base.training.sequence_length)
    except DoesNotFit:
        return ideal
    room = int(BATCH_MAY_SHIFT * ideal)
    shares = range(max(1, ideal - room), ideal + room + 1)
    passes = {share: micro_batch(base.on(1, share), lanes, chain)[0] for share in shares}
    return max(shares, key=lambda share: (passes[share], -abs(share - ideal)))


def wafer_steps(runs: Iterable[Run | GPURun]) -> tuple[list[tuple[Run | GPURun, float]], str]:
    """Step times of wafer-scale runs that can run. [s]"""
    able: list[Run] = []
    why = ""
    for run in runs:
        assert isinstance(run, Run)
        try:
            check(run)
            able.append(run)
        except (ConfigError, DoesNotFit) as error:
            why = str(error)
    return [(one.run, one.step_time_s) for one in run_many(able)], why


def gpu_steps(runs: Iterable[Run | GPURun]) -> tuple[list[tuple[Run | GPURun, float]], str]:
    """Step times of GPU runs that can run, estimated with the best plan. [s]"""
    from wsesim.schedules.gpu_checks import check as check_gpu
    from wsesim.schedules.gpu_search import rank

    found: list[tuple[Run | GPURun, float]] = []
    why = ""
    for run in runs:
        assert isinstance(run, GPURun)
        try:
            check_gpu(run)
            found.append((run, float(rank(run).estimates_s[0])))
        except (ConfigError, DoesNotFit) as error:
            why = str(error)
    return found, why


def option_of(goal: GoalSpec, run: Run | GPURun, step_s: float, recipe: Recipe | None = None) -> Option:
    """A run as an answer to a goal, with its range."""
    work, spread = job(run, step_s), scatter(run)
    return Option(
        run=run,
        step_time_s=step_s,
        time_s=_widened(Range(work.time_s, work.time_s, work.time_s), spread),
        cost_usd=None if work.cost_usd is None else _widened(work.cost_usd, spread),
        energy_j=_widened(work.energy_j, spread),
        power_w=power_w(run).value,
        fails=_fails(goal, work, power_w(run).value),
        recipe=recipe,
    )


def _widened(value: Range, share: float) -> Range:
    return Range(value.value, value.low * (1.0 - share), value.high * (1.0 + share))


def _fails(goal: GoalSpec, work: Job, power: float) -> dict[str, float]:
    limits = goal.limits
    cost = math.inf if work.cost_usd is None else work.cost_usd.value
    asked = (
        ("deadline", work.time_s, limits.deadline_s),
        ("budget", cost, limits.budget_usd),
        ("power", power, limits.power_w),
    )
    return {name: value / limit - 1.0 for name, value, limit in asked if limit is not None and value > limit}


def scatter(run: Run | GPURun) -> float:
    """By how much, as a share, a step time may be off: from the residuals of the rows that fixed the calibration. [-]"""
    return gpu_scatter() if isinstance(run, GPURun) else wafer_scatter(run.cluster.system.name)


@lru_cache(maxsize=16)
def wafer_scatter(system: str) -> float:
    """Scatter of the calibration rows of a system; of all systems where it has none. [-]"""
    from wsesim.validation.measurements import LAYOUT_METRICS, published
    from wsesim.validation.predict import predict_all

    key = system.lower().replace("-", "")
    rows = [row for row in published() if row.use == "calibration" and row.metric not in LAYOUT_METRICS]
    own = [row for row in rows if row.system == key]
    return _spread([one.error for one in predict_all(own if len(own) > 1 else rows)])


@lru_cache(maxsize=1)
def gpu_scatter() -> float:
    """Scatter of the rows that fixed the constants of GPUs. [-]"""
    from wsesim.schedules.gpu_closed_form import step_time_s
    from wsesim.schedules.gpu_plans import candidates
    from wsesim.schedules.gpu_times import times_of
    from wsesim.validation.gpu_measurements import published
    from wsesim.validation.gpu_predict import run_of

    errors = []
    for row in published():
        if row.use == "calibration":
            run = run_of(row)
            plans = candidates(run)
            errors.append(float(step_time_s(run, plans, times_of(run, plans))[0]) / row.iteration_s - 1.0)
    return _spread(errors)


def _spread(errors: Sequence[float]) -> float:
    return SPREADS * math.sqrt(sum(error * error for error in errors) / len(errors))


def _read(goal: GoalSpec, options: tuple[Option, ...], refused: dict[str, str]) -> Answer:
    able = [one for one in options if one.meets]
    priced = [one for one in able if one.cost_usd is not None]
    clusters = dict.fromkeys(one.cluster for one in able)
    fastest = min(able, key=lambda one: one.time_s.value, default=None)
    return Answer(
        goal=goal,
        options=options,
        refused=refused,
        smallest=tuple(
            min((one for one in able if one.cluster == name), key=lambda one: (one.num_devices, one.time_s.value))
            for name in clusters
        ),
        cheapest=min(priced, key=lambda one: (_cost(one), one.time_s.value), default=None),
        fastest=None if fastest is None else simulated(goal, fastest),
        front=front(able),
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


def what_binds(result: Answer, option: Option) -> str:
    """Why no fewer devices of the same cluster do; empty where there is nothing smaller."""
    fewer = [one for one in result.options if one.cluster == option.cluster and one.recipe == option.recipe]
    below = max(
        (one for one in fewer if one.num_devices < option.num_devices), key=lambda one: one.num_devices, default=None
    )
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


def what_would_have_to_give(result: Answer) -> list[str]:
    """For a goal that cannot be met: for each limit alone, what it would have to be, the others kept."""
    limits = result.goal.limits
    asked = {"deadline": limits.deadline_s, "budget": limits.budget_usd, "power": limits.power_w}
    found = []
    for name, limit in asked.items():
        if limit is None:
            continue
        others = [one for one in result.options if set(one.fails) <= {name} and math.isfinite(one.fails.get(name, 0.0))]
        best = min(others, key=lambda one: one.fails.get(name, 0.0), default=None)
        if best is not None:
            found.append((name, limit * (1.0 + best.fails.get(name, 0.0)), best))
    return [_relaxed(*one) for one in found]


def _relaxed(name: str, needed: float, option: Option) -> str:
    from wsesim.units import show

    unit = {"deadline": "s", "budget": "USD", "power": "W"}[name]
    return f"{name} of {show(needed, unit)}: {option.num_devices} on {option.cluster}"


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
    from pathlib import Path

    raw = {} if word is None else catalogue.read_toml(Path(word))
    raw |= {key: value for key, value in named.items() if value is not None}
    given = {key: value for key, value in limits.items() if value is not None}
    raw["limits"] = {**raw.get("limits", {}), **given} if isinstance(raw.get("limits", {}), dict) else raw["limits"]
    if tokens is not None:
        raw["training"] = {**raw.get("training", {}), "tokens": _number_or_word(tokens)}
    if chosen := [{"cluster": name} for name in clusters]:
        raw["candidates"] = chosen
    if "candidates" not in raw:
        known = ", ".join(catalogue.names("clusters")[:6])
        raise ConfigError(f"plan: no cluster is named; add --cluster NAME, for example one of {known}, or a goal file")
    return goal_from_table(raw, "options" if word is None else catalogue.shown(Path(word)))


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
