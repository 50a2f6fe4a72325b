"""How a run scales from one device to as many as its cluster takes, weak and strong, and the GPUs that match it.

Weak scaling keeps the batch of each device, strong scaling the global batch. Numbers of devices that do not divide
the batch, or do not fit, are left out with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from wsesim.config.run import Run
from wsesim.machines.machine import LeftOut, machine_of
from wsesim.results.job import Job, job, time_and_cost
from wsesim.results.result import Result
from wsesim.view import ShowsItself

WEAK, STRONG = "weak", "strong"
"""Kinds of curves of a run itself; the same job on another kind of machine has the name of that kind."""

PRINTED = 0.0005
"""Efficiencies above one by less than this are printed as 100.0 %. [-]"""
SEEN = 0.05
"""Share of its throughput by which a run is seen beside its curve. [-]"""
CURVES_KEPT = 64
"""Curves that are remembered: a page asks for the same ones again and again. [-]"""


@dataclass(frozen=True)
class Point:
    """A run on another number of devices.

    Attributes
    ----------
    num_devices
        CS systems, or GPUs. [-]
    global_batch_size
        Sequences per step. [-]
    step_time_s
        One optimizer step. [s]
    tokens_per_s
        Over all devices. [1/s]
    efficiency
        Tokens per second and device over those of the curve's first point. [-]
    time_s, cost_usd
        Of the whole job; no cost where nobody states a price. [s], [USD]
    """

    num_devices: int
    global_batch_size: int
    step_time_s: float
    tokens_per_s: float
    efficiency: float
    time_s: float
    cost_usd: float | None = None


@dataclass(frozen=True)
class Curve:
    """Throughput over the number of devices.

    Attributes
    ----------
    kind
        "weak", "strong", or "gpu": the same job on GPUs with the best plan for each number of them.
    name
        Of the cluster.
    points
        In the order of the number of devices; there may be none.
    left_out
        Numbers that were tried and refused.
    limits
        What takes at least a tenth of the step, from which number of devices on; empty where that was not looked for.
    """

    kind: str
    name: str
    points: tuple[Point, ...]
    left_out: tuple[LeftOut, ...]
    limits: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Scaling(ShowsItself):
    """How a run scales.

    Attributes
    ----------
    name
        Of the run.
    device
        Word for what is counted on the axis.
    own
        The run itself.
    most
        Devices that the cluster takes. [-]
    curves
        Weak and strong scaling of the run, and the same job on GPUs where that was asked for.
    notes
        What a reader should know.
    """

    name: str
    device: str
    own: Point
    most: int
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]

    def curve(self, kind: str) -> Curve | None:
        """The first curve of a kind."""
        return next((one for one in self.curves if one.kind == kind), None)

    def __repr__(self) -> str:
        return f"<Scaling {self.name}: {', '.join(one.kind for one in self.curves)} up to {self.most:,} {self.device}>"

    def to_dict(self) -> dict[str, Any]:
        """The curves as JSON: SI units, times in seconds."""
        return asdict(self)


def scaling(
    result: Result,
    beside: Run | None = None,
    kinds: Sequence[str] = (WEAK, STRONG),
) -> Scaling:
    """Simulate a run on other numbers of devices.

    Parameters
    ----------
    result
        A simulated run.
    beside
        A run whose cluster is shown beside; model, sequences and batch are those of `result`.
    kinds
        Curves of the run itself that are wanted.

    Returns
    -------
    Scaling
        Wafer-scale points are simulated, by the fast engine. GPU points are estimates by the closed form, of the best
        plan that fits; only a run's own point is simulated on GPUs.

    Examples
    --------
    >>> import wsesim
    >>> found = scaling(wsesim.simulate(wsesim.load("andromeda_13b")))
    >>> [curve.kind for curve in found.curves], found.own.num_devices
    (['weak', 'strong'], 12)
    """
    run, machine = result.run, machine_of(result.run)
    curves = [_own_curve(run, kind) for kind in kinds]
    own = _own(result, curves[0])
    found = [_with(curve, own) if machine.is_on_curve(run) else curve for curve in curves]
    if beside is not None:
        found.append(_that_help(curve_beside(job_of(beside, run))))
    return Scaling(run.name, machine.words.devices, own, run.max_devices, tuple(found), _notes(run, found, own))


def jobs(result: Result, curve: Curve) -> list[Job]:
    """The whole job at each point of a curve of a run."""
    return [job(result.run.on(one.num_devices, one.global_batch_size), one.step_time_s) for one in curve.points]


def job_of(other: Run, run: Run) -> Run:
    """The job of a run on another run's machine, with everything about its plan left open."""
    batch, length = run.training.global_batch_size, run.training.sequence_length
    training = other.training.with_batch(batch).model_copy(update={"sequence_length": length})
    return replace(other, model=run.model, training=training, asked=None).with_auto_plan()


def _own_curve(run: Run, kind: str) -> Curve:
    """A curve of the run; where it does not depend on the number of its devices alone, it is remembered without that."""
    if machine_of(run).estimates:
        return _curve(run, kind)
    batch = run.training.global_batch_size
    alone = run.on(1, math.ceil(batch / run.num_devices) if kind == WEAK else batch)
    return _remembered(_Content(alone), kind)


class _Content:
    """A run that is equal to others of the same content: its tables have no hash of their own."""

    def __init__(self, run: Run) -> None:
        self.run = replace(run, name="", place="")
        self._told = repr(self.run)

    def __hash__(self) -> int:
        return hash(self._told)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self._told == other._told


@lru_cache(maxsize=CURVES_KEPT)
def _remembered(content: _Content, kind: str) -> Curve:
    return _curve(content.run, kind)


def _curve(run: Run, kind: str) -> Curve:
    """Throughput over the number of devices, the fast way."""
    machine = machine_of(run)
    runs, left_out = machine.weak(run) if kind == WEAK else machine.strong(run)
    good: list[Run] = []
    times_s: list[float] = []
    refused: list[LeftOut] = []
    for one, found in zip(runs, machine.step_times_s(runs), strict=True):
        if isinstance(found, str):
            refused.append(LeftOut(one.num_devices, found))
        else:
            good.append(one)
            times_s.append(found)
    name = runs[0].cluster.name if runs else run.cluster.name
    limits = _changes(good, machine.limits(good)) if kind == STRONG and good else ()
    return Curve(kind, name, _points(good, times_s), _sorted([*refused, *left_out]), limits)


def _changes(runs: Sequence[Run], limits: Sequence[Sequence[str]]) -> tuple[tuple[int, str], ...]:
    """From which number of devices each part limits to the last; one that does no more by then is left out."""
    found: dict[str, int] = {}
    for run, parts in zip(runs, limits, strict=False):
        found = {part: found.get(part, run.num_devices) for part in parts}
    return tuple(sorted((number, part) for part, number in found.items()))


def curve_beside(run: Run) -> Curve:
    """Throughput of a job over the number of devices of another kind of machine."""
    return replace(_curve(run, STRONG), kind=machine_of(run).kind)


def _sorted(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    return tuple(sorted(left_out, key=lambda one: one.num_devices))


def _points(runs: Sequence[Run], times_s: Sequence[float]) -> tuple[Point, ...]:
    """Points of a curve, each compared with the first."""
    found: list[Point] = []
    for run, step_time_s in zip(runs, times_s, strict=True):
        number = run.num_devices
        rate = run.training.global_batch_size * run.training.sequence_length / step_time_s
        first = found[0].tokens_per_s / found[0].num_devices if found else rate / number
        whole = time_and_cost(run, step_time_s)
        found.append(Point(number, run.training.global_batch_size, step_time_s, rate, rate / number / first, *whole))
    return tuple(found)


def _own(result: Result, curve: Curve) -> Point:
    """The run itself, compared with the first point of a curve."""
    number, rate = result.num_devices, result.tokens_per_s
    first = curve.points[0].tokens_per_s / curve.points[0].num_devices if curve.points else rate / number
    run, whole = result.run, time_and_cost(result.run, result.step_time_s)
    return Point(number, run.training.global_batch_size, result.step_time_s, rate, rate / number / first, *whole)


def _with(curve: Curve, own: Point) -> Curve:
    """A curve that goes through the run itself, which was simulated anyway."""
    if any(one.num_devices == own.num_devices for one in curve.points) or not curve.points:
        return curve
    first = curve.points[0]
    efficiency = own.tokens_per_s / own.num_devices / (first.tokens_per_s / first.num_devices)
    points = sorted([*curve.points, replace(own, efficiency=efficiency)], key=lambda one: one.num_devices)
    return replace(curve, points=tuple(points))


def _that_help(curve: Curve) -> Curve:
    """A curve without the numbers of devices that are no faster than a smaller one."""
    faster: list[Point] = []
    slower: list[LeftOut] = []
    for one in curve.points:
        if not faster or one.tokens_per_s > faster[-1].tokens_per_s:
            faster.append(one)
        else:
            slower.append(LeftOut(one.num_devices, f"no faster than {faster[-1].num_devices:,}"))
    return replace(curve, points=tuple(faster), left_out=_sorted([*curve.left_out, *slower]))


def _notes(run: Run, curves: Sequence[Curve], own: Point) -> tuple[str, ...]:
    machine = machine_of(run)
    found = []
    if not machine.estimates and not machine.is_on_curve(run):
        found.append(f"the curves are of identical {machine.words.short}s, without the exceptions of the run itself")
    found += [_limited(curve) for curve in curves if curve.limits]
    found += [_missing(curve) for curve in curves if curve.left_out]
    if machine.estimates or any(curve.kind not in (WEAK, STRONG) for curve in curves):
        found.append("points on GPUs are estimates of the best plan by the closed form, not simulated")
    if machine.estimates:
        found += [_above_one(curve, machine.words.devices) for curve in curves if _is_above_one(curve)]
        found += _off_the_line(own, curves[0], machine.words.devices)
    return tuple(found)


def _is_above_one(curve: Curve) -> bool:
    """Whether some point is more efficient than the first, by as much as is printed."""
    return curve.kind in (WEAK, STRONG) and any(one.efficiency > 1.0 + PRINTED for one in curve.points)


def _above_one(curve: Curve, devices: str) -> str:
    """Why more devices do more than their share."""
    first, most = curve.points[0], max(one.efficiency for one in curve.points)
    return (
        f"{curve.kind} scaling reaches {most:.1%}: 100% are the {first.num_devices:,} {devices} of the first point, which share "
        "parameters or compute activations again to fit, or update more parameters each; each point has a plan of its own"
    )


def _limited(curve: Curve) -> str:
    """Which parts of the step are large, from which number of devices on."""
    parts = [f"{text} from {number:,} on" for number, text in curve.limits]
    return f"{curve.kind} scaling, parts with a tenth of the step or more: {', '.join(parts)}"


def _off_the_line(own: Point, curve: Curve, devices: str) -> list[str]:
    """Why a run does not lie on its curve, where one sees that it does not."""
    best = next((one.tokens_per_s for one in curve.points if one.num_devices == own.num_devices), own.tokens_per_s)
    if abs(own.tokens_per_s / best - 1.0) < SEEN:
        return []
    words = f"the run itself, simulated with the plan and the options of its file, has {own.tokens_per_s:,.0f} tokens/s"
    return [f"{words}; the best plan for as many {devices} has about {best:,.0f}"]


def _missing(curve: Curve) -> str:
    """Numbers without a point, by reason."""
    by_reason: dict[str, list[int]] = {}
    for one in curve.left_out:
        by_reason.setdefault(one.reason, []).append(one.num_devices)
    parts = [f"{', '.join(f'{number:,}' for number in numbers)} ({reason})" for reason, numbers in by_reason.items()]
    where = f"{curve.kind} scaling" if curve.kind in (WEAK, STRONG) else f"the line of {curve.name}"
    return f"{where} has no points at {'; '.join(parts)}"
