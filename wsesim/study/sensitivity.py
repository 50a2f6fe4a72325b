"""What each number that nobody published, and each constant of the machine, does to a step.

The sceptic asks what an assumed number at the ends of its range would change, the architect what a machine that is a
tenth better in one thing would bring. A plan that was searched stays as it is: what differs is the number alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsesim.config.loader import as_run
from wsesim.config.run import Run
from wsesim.config.spec import Origin
from wsesim.errors import WsesimError
from wsesim.machines.simulation import simulate, step_time
from wsesim.results.result import Result, status_of
from wsesim.units import parse_quantity, show, unit_of_field
from wsesim.version import __version__

BETTER = 0.1
"""So much better is each constant of the machine: a rate higher, a time shorter. [-]"""
CHOSEN = (
    "head_block",
    "score_block",
    "token_block",
    "values_per_token",
    "overlap_exponent",
    "year",
    "per_node",
    "fan_out",
)
"""Ends of keys of forms and of structure, of which a tenth has no meaning. [-]"""
LEAST = 1e-4
"""Changes below this share of the step count as none. [-]"""
NOT_THE_STEP = (
    "job.",
    "cluster.job.",
    "cluster.reliability.",
    "cluster.amortization_s",
    "cluster.pue",
    "cluster.max_",
    "cluster.num_",
    "cluster.software.year",
)
"""Beginnings of keys that money, lifetimes and sizes of a job rest on, and no step."""
OF_MONEY_AND_POWER = ("price", "usd", "power", "carbon")
"""Words of keys that cost and energy rest on, and no step."""

Progress = Callable[[str, int], None]
"""Is called with what was just tried, and how many."""


def no_progress(_what: str, _number: int) -> None:
    """Say nothing."""


def short(key: str) -> str:
    """A key without what all of them begin with.

    Examples
    --------
    >>> short("cluster.system.calibration.gemm_efficiency")
    'gemm_efficiency'
    """
    for prefix in ("cluster.", "system.", "gpu.", "calibration."):
        key = key.removeprefix(prefix)
    return key


@dataclass(frozen=True)
class Effect:
    """What one number does to the step.

    Attributes
    ----------
    key
        Dotted, as in a run file.
    value
        As the run has it, in the SI unit of its key.
    status, source
        As in the catalogue.
    values
        What it was changed to, in the same unit: both ends of its range, or a tenth better.
    step_times_s
        With each of `values`; a text says why a run cannot be. [s]
    """

    key: str
    value: float
    status: str
    source: str
    values: tuple[float, ...]
    step_times_s: tuple[float | str, ...]

    @property
    def name(self) -> str:
        """The key without what all of them begin with."""
        return short(self.key)

    def shown(self, value: float) -> str:
        """A value of it with its unit."""
        unit = unit_of_field(self.key)
        return show(value, unit) if unit != "-" else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"

    def changes(self, step_time_s: float) -> list[float | None]:
        """Share by which the step becomes longer; None where the run cannot be. [-]"""
        return [None if isinstance(one, str) else one / step_time_s - 1.0 for one in self.step_times_s]

    def largest(self, step_time_s: float) -> float:
        """Largest change, whichever sign it has. [-]"""
        return max((abs(one) for one in self.changes(step_time_s) if one is not None), default=0.0)

    def to_dict(self, step_time_s: float) -> dict[str, Any]:
        """For JSON."""
        values = {"key": self.key, "value": self.value, "status": self.status, "source": self.source}
        changed = zip(self.values, self.step_times_s, self.changes(step_time_s), strict=True)
        return values | {
            "changed": [
                {
                    "value": value,
                    **({"refused": one} if isinstance(one, str) else {"step_time_s": one, "change": change}),
                }
                for value, one, change in changed
            ]
        }


@dataclass(frozen=True)
class Sensitivity:
    """A run, and what its numbers do to its step.

    Attributes
    ----------
    uncertain
        Assumed and calibrated numbers at the ends of their ranges, what changes most first.
    without_range
        Keys of those whose file states no range.
    constants
        Numbers of the machine, each a tenth better, what helps most first.
    without_effect
        Keys of those that make the step no shorter.
    """

    result: Result
    uncertain: tuple[Effect, ...]
    without_range: tuple[str, ...]
    constants: tuple[Effect, ...]
    without_effect: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, and the data of a tornado: both tables in order."""
        step_s = self.result.step_time_s
        return {
            "name": self.result.name,
            "kind": self.result.kind,
            "num_devices": self.result.num_devices,
            "job": self.result.definition.to_dict(),
            "software": self.result.step.software,
            "step_time_s": step_s,
            "uncertain": [one.to_dict(step_s) for one in self.uncertain],
            "without_range": list(self.without_range),
            "constants": [one.to_dict(step_s) for one in self.constants],
            "without_effect": list(self.without_effect),
            "better": BETTER,
            "simulator": {"version": __version__, "calibration": self.result.calibration_id},
        }


def sensitivity(run: Run | str | Path | dict[str, Any], progress: Progress = no_progress) -> Sensitivity:
    """Change one number after the other, and simulate.

    Parameters
    ----------
    run
        From `wsesim.load`, or anything that it takes.
    progress
        Is called with each number that was tried.

    Raises
    ------
    wsesim.errors.WsesimError
        Where the run as it stands is refused.

    Examples
    --------
    >>> found = sensitivity("andromeda_13b")
    >>> found.constants[0].key
    'cluster.system.wafer.num_cores'
    """
    run = as_run(run, "sensitivity")
    result = simulate(run)
    own = settled(result)
    uncertain = {one.key: _ends(run.origins[one.key]) for one in result.assumptions if _is_of_step(one.key)}
    changed = {key: _a_tenth(value) for key, value in _constants(run).items() if result.step.uses(key)}
    ranged = {key: ends for key, ends in uncertain.items() if ends}
    times = _times(own, [*ranged.items(), *changed.items()], progress)
    effects = _better(_sorted(result, changed, times[len(ranged) :]), result.step_time_s)
    constants = tuple(sorted(effects, key=lambda one: -one.largest(result.step_time_s)))
    return Sensitivity(
        result,
        _sorted(result, ranged, times[: len(ranged)]),
        tuple(key for key, ends in uncertain.items() if not ends),
        constants,
        tuple(sorted(set(changed) - {one.key for one in constants})),
    )


def _better(effects: Iterable[Effect], step_time_s: float) -> Iterator[Effect]:
    """Of a tenth more and a tenth less, what makes the step shorter; what changes nothing is left out."""
    for one in effects:
        times = [time_s if isinstance(time_s, float) else math.inf for time_s in one.step_times_s]
        best = min(range(len(times)), key=lambda place: times[place])
        if times[best] < step_time_s * (1.0 - LEAST):
            yield replace(one, values=(one.values[best],), step_times_s=(times[best],))


def settled(result: Result) -> Run:
    """The run with the plan that was found for it, so that no search answers in place of the number."""
    run = result.run
    if not result.plan:
        return run
    plan = {key: value for key, value in result.plan.items() if key in type(run.parallelism).model_fields}
    training = run.training.model_copy(update={"micro_batch_size": result.micro_batch_size})
    spec = run.parallelism
    return replace(
        run, parallelism=spec.model_validate({**spec.model_dump(exclude_unset=True), **plan}), training=training
    )


def _is_of_step(key: str) -> bool:
    last = key.rsplit(".", 1)[-1]
    return not key.startswith(NOT_THE_STEP) and not any(word in last for word in OF_MONEY_AND_POWER)


def _ends(origin: Origin) -> tuple[float, ...]:
    """Of the range that the file of a number states; empty without one."""
    if origin.low is None or origin.high is None:
        return ()
    return (origin.low, origin.high)


def _constants(run: Run) -> dict[str, float]:
    """Numbers of the machine in SI units, but for those that say how it is put together, where a tenth has no meaning."""
    keys = (one for one in run.origins if one.startswith("cluster.") and _is_of_step(one) and not _is_form(one))
    found = {key: _value(run.origins[key]) for key in keys if isinstance(_found(run, key), int | float)}
    return {key: value for key, value in found.items() if value}


def _value(origin: Origin) -> float:
    """In the SI unit of its key; 0 for what is no number."""
    if isinstance(origin.value, str):
        return parse_quantity(origin.value, unit_of_field(origin.key))
    return 0.0 if isinstance(origin.value, bool) else float(origin.value)


def _a_tenth(value: float) -> tuple[float, float]:
    """A tenth more, and a tenth less; which of them is better, the step tells."""
    return value * (1.0 + BETTER), value / (1.0 + BETTER)


Changes = Sequence[tuple[str, tuple[float, ...]]]
"""Keys, and what each is set to, one value after the other."""


def _times(run: Run, changes: Changes, progress: Progress) -> list[tuple[float | str, ...]]:
    """Step times with one number changed, for each value of each key. [s]"""
    found = []
    for key, values in changes:
        found.append(tuple(_time(run, key, value) for value in values))
        progress(key, 1)
    return found


def _time(run: Run, key: str, value: float) -> float | str:
    try:
        return step_time(with_number(run, key, value)).step_time_s
    except WsesimError as error:
        return str(error)


def _sorted(
    result: Result, changes: Mapping[str, tuple[float, ...]], times: Sequence[tuple[float | str, ...]]
) -> tuple[Effect, ...]:
    """What changes the step most comes first."""
    origins = result.run.origins
    found = [
        Effect(key, _value(origins[key]), status_of(origins[key]), origins[key].source, values, these)
        for (key, values), these in zip(changes.items(), times, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: (-one.largest(result.step_time_s), one.key)))


def with_number(run: Run, key: str, value: float) -> Run:
    """The run with another value of one number, by its dotted key.

    Examples
    --------
    >>> from wsesim.config.loader import load
    >>> with_number(load("andromeda_13b"), "cluster.swarmx.hop_latency_s", 1e-6).cluster.swarmx.hop_latency_s
    1e-06
    """
    top, below = key.split(".", 1)
    return replace(run, **{top: _changed(getattr(run, top), below, value)})


def _changed(part: Any, key: str, value: float) -> Any:
    """A spec or a dict with one number below it changed; keys of dicts may hold dots themselves."""
    if isinstance(part, Mapping):
        name = next(one for one in part if key == one or key.startswith(f"{one}."))
        rest = key[len(name) + 1 :]
        return {**part, name: _changed(part[name], rest, value) if rest else value}
    name, _, rest = key.partition(".")
    old = getattr(part, name)
    new = _changed(old, rest, value) if rest else _as(old, value)
    return part.model_copy(update={name: new})


def _as(old: Any, value: float) -> Any:
    """A whole number stays one where that changes it by no more than a hundredth."""
    return round(value) if isinstance(old, int) and abs(round(value) / value - 1.0) < 0.01 else value


def _is_form(key: str) -> bool:
    """Whether a number says how something is put together, or belongs to software."""
    return key.endswith(CHOSEN) or ".releases." in key


def _found(part: Any, key: str) -> Any:
    """A number below a spec or a dict; None where there is none."""
    if isinstance(part, Mapping):
        name = next((one for one in part if key == one or key.startswith(f"{one}.")), None)
        return None if name is None else _found(part[name], key[len(name) + 1 :]) if key != name else part[name]
    name, _, rest = key.partition(".")
    inner = getattr(part, name, None)
    return _found(inner, rest) if rest and inner is not None else inner
