"""How a run scales from one system to as many as its fabric takes, weak and strong, and the GPUs that match it.

Weak scaling keeps the batch of each system, strong scaling the global batch. Numbers of systems that do not divide
the batch, or do not fit, are left out with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from wsesim.config.run import GPURun, Run
from wsesim.errors import ConfigError, DoesNotFit
from wsesim.machines.wafer.checks import check
from wsesim.machines.wafer.plan import divisors
from wsesim.machines.wafer.result import Result
from wsesim.machines.wafer.simulation import step_times_s
from wsesim.shown import ShowsItself

if TYPE_CHECKING:
    from wsesim.machines.gpu.result import GPUResult

Kind = Literal["weak", "strong", "gpu"]

FEW = 32
"""So many numbers of devices are all simulated; of more, about as many are chosen. [-]"""
SEEN = 0.05
"""Share of its throughput by which a run is seen beside its curve. [-]"""
CURVES_KEPT, ESTIMATES_KEPT = 64, 2048
"""Curves, and step times of GPU runs, that are remembered: a page asks for the same ones again and again. [-]"""


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
    """

    num_devices: int
    global_batch_size: int
    step_time_s: float
    tokens_per_s: float
    efficiency: float


@dataclass(frozen=True)
class LeftOut:
    """A number of devices without a point.

    Attributes
    ----------
    num_devices
        CS systems, or GPUs. [-]
    reason
        Why there is none.
    """

    num_devices: int
    reason: str


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
    """

    kind: Kind
    name: str
    points: tuple[Point, ...]
    left_out: tuple[LeftOut, ...]


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

    def curve(self, kind: Kind) -> Curve | None:
        """The first curve of a kind."""
        return next((one for one in self.curves if one.kind == kind), None)

    def __repr__(self) -> str:
        return f"<Scaling {self.name}: {', '.join(one.kind for one in self.curves)} up to {self.most:,} {self.device}>"

    def to_dict(self) -> dict[str, Any]:
        """The curves as JSON: SI units, times in seconds."""
        return asdict(self)


def scaling(
    result: Result | GPUResult,
    gpu: GPURun | None = None,
    kinds: Sequence[Kind] = ("weak", "strong"),
    strong_batch: int | None = None,
) -> Scaling:
    """Simulate a run on other numbers of devices.

    Parameters
    ----------
    result
        A simulated run.
    gpu
        A GPU run whose cluster is shown beside; model, sequences and batch are those of `result`.
    kinds
        Curves of a wafer-scale run that are wanted.
    strong_batch
        Global batch of its strong curve, where that of the run was made to divide among its systems. [-]

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
    run = result.run
    curves: tuple[Curve, ...]
    if isinstance(run, GPURun):
        curves, device, most = _of_gpus(run), "GPUs", run.cluster.max_gpus
    else:
        curves, device, most = _of_wafers(run, kinds, strong_batch), "CS systems", run.cluster.max_systems
    own = _own(result, curves[0])
    found = [_with(curve, own) if isinstance(run, Run) and not run.cluster.exceptions else curve for curve in curves]
    if gpu is not None:
        found.append(_that_help(gpu_curve(on_gpus_of(gpu, run))))
    return Scaling(run.name, device, own, most, tuple(found), _notes(run, found, own))


def counts(limit: int, number: int = FEW) -> list[int]:
    """Numbers from 1 to a limit: all if they are few, else spread evenly on a logarithmic axis.

    Examples
    --------
    >>> counts(4)
    [1, 2, 3, 4]
    >>> counts(192)[:8], counts(192)[-3:]
    ([1, 2, 3, 4, 5, 6, 8, 9], [137, 162, 192])
    """
    if limit <= number:
        return list(range(1, limit + 1))
    doubled = {2**power for power in range(int(math.log2(limit)) + 1)}
    spread = {round(limit ** (place / (number - 1))) for place in range(number)}
    return sorted(doubled | spread | {limit})


def on_gpus_of(gpu: GPURun, run: Run | GPURun) -> GPURun:
    """The job of a run on another run's GPUs, with everything about its plan left open."""
    batch, length = run.training.global_batch_size, run.training.sequence_length
    training = gpu.training.model_copy(update={"global_batch_size": batch, "sequence_length": length})
    return replace(gpu, model=run.model, training=training).with_auto_plan()


def _of_wafers(run: Run, kinds: Sequence[Kind], strong_batch: int | None) -> tuple[Curve, ...]:
    """Curves of a wafer-scale run; none depends on the number of its systems alone, so they are remembered."""
    batch = run.training.global_batch_size
    share = batch // run.cluster.num_systems
    simulated = {
        "weak": lambda: _weak(_Content(run.on(1, share))),
        "strong": lambda: _strong(_Content(run.on(1, strong_batch or batch))),
    }
    return tuple(simulated[kind]() for kind in kinds)


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
def _weak(content: _Content) -> Curve:
    """From one system, with its batch."""
    alone = content.run
    tried = counts(alone.cluster.max_systems)
    runs, left_out = _checked(alone.on(number, number * alone.training.global_batch_size) for number in tried)
    return _simulated("weak", runs, left_out)


@lru_cache(maxsize=CURVES_KEPT)
def _strong(content: _Content) -> Curve:
    """From one system, with the whole batch."""
    alone = content.run
    batch, most = alone.training.global_batch_size, alone.cluster.max_systems
    dividing = divisors(batch, most)
    runs, left_out = _checked(alone.on(number, batch) for number in _thinned(dividing))
    left_out += [
        LeftOut(number, f"does not divide the global batch of {batch:,}") for number in counts(most) if batch % number
    ]
    return _simulated("strong", runs, left_out)


def _simulated(kind: Kind, runs: Sequence[Run], left_out: Iterable[LeftOut]) -> Curve:
    return Curve(kind, runs[0].cluster.name if runs else "", _points(runs, step_times_s(runs)), _sorted(left_out))


def _checked(runs: Iterable[Run]) -> tuple[list[Run], list[LeftOut]]:
    """Runs that can be simulated, and why the others cannot."""
    good: list[Run] = []
    left_out: list[LeftOut] = []
    for run in runs:
        try:
            check(run)
            good.append(run)
        except (ConfigError, DoesNotFit) as error:
            left_out.append(LeftOut(run.cluster.num_systems, str(error)))
    return good, left_out


def _sorted(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    return tuple(sorted(left_out, key=lambda one: one.num_devices))


def _thinned(numbers: Sequence[int]) -> list[int]:
    """Some of many numbers, the first and the last with them."""
    if len(numbers) <= FEW:
        return list(numbers)
    return sorted({numbers[round(place * (len(numbers) - 1) / (FEW - 1))] for place in range(FEW)})


def _points(runs: Sequence[Run | GPURun], times_s: Sequence[float]) -> tuple[Point, ...]:
    """Points of a curve, each compared with the first."""
    found: list[Point] = []
    for run, step_time_s in zip(runs, times_s, strict=True):
        number = run.cluster.num_gpus if isinstance(run, GPURun) else run.cluster.num_systems
        rate = run.training.global_batch_size * run.training.sequence_length / step_time_s
        first = found[0].tokens_per_s / found[0].num_devices if found else rate / number
        found.append(Point(number, run.training.global_batch_size, step_time_s, rate, rate / number / first))
    return tuple(found)


def _own(result: Result | GPUResult, curve: Curve) -> Point:
    """The run itself, compared with the first point of a curve."""
    number, rate = result.num_devices, result.tokens_per_s
    first = curve.points[0].tokens_per_s / curve.points[0].num_devices if curve.points else rate / number
    return Point(number, result.run.training.global_batch_size, result.step_time_s, rate, rate / number / first)


def _with(curve: Curve, own: Point) -> Curve:
    """A curve that goes through the run itself, which was simulated anyway."""
    if any(one.num_devices == own.num_devices for one in curve.points) or not curve.points:
        return curve
    first = curve.points[0]
    efficiency = own.tokens_per_s / own.num_devices / (first.tokens_per_s / first.num_devices)
    points = sorted([*curve.points, replace(own, efficiency=efficiency)], key=lambda one: one.num_devices)
    return replace(curve, points=tuple(points))


def _of_gpus(run: GPURun) -> tuple[Curve, Curve]:
    """Both curves of a GPU run, with the best plan for each number of GPUs."""
    free, own, batch = run.with_auto_plan(), run.cluster.num_gpus, run.training.global_batch_size
    strong = gpu_curve(free)
    runs, indivisible = [], []
    for number in gpu_counts(run.cluster.max_gpus, run.cluster.gpus_per_node, own):
        if batch * number % own:
            indivisible.append(LeftOut(number, f"its share of the global batch of {batch:,} is no whole number"))
            continue
        training = free.training.model_copy(update={"global_batch_size": batch * number // own})
        runs.append(replace(free, training=training).on_gpus(number))
    weak, refused = _estimated(runs)
    return Curve("weak", strong.name, weak, _sorted([*refused, *indivisible])), replace(strong, kind="strong")


def gpu_counts(limit: int, node: int, own: int = 1) -> list[int]:
    """Numbers of GPUs: doublings, half-way between them from a node on, and the own one.

    Examples
    --------
    >>> gpu_counts(64, 8)
    [1, 2, 4, 8, 12, 16, 24, 32, 48, 64]
    """
    doubled = {2**power for power in range(int(math.log2(limit)) + 1)}
    between = {one + one // 2 for one in doubled if one >= node and one + one // 2 <= limit}
    return sorted(doubled | between | {min(own, limit), limit})


def gpu_curve(run: GPURun) -> Curve:
    """Throughput of a job over the number of GPUs of its cluster, with the best plan for each by the closed form."""
    numbers = gpu_counts(run.cluster.max_gpus, run.cluster.gpus_per_node, run.cluster.num_gpus)
    points, left_out = _estimated([run.on_gpus(number) for number in numbers])
    return Curve("gpu", run.cluster.name, points, tuple(left_out))


def _estimated(runs: Iterable[GPURun]) -> tuple[tuple[Point, ...], list[LeftOut]]:
    """The best plan of each run, and why some have none."""
    good: list[GPURun] = []
    times_s: list[float] = []
    left_out: list[LeftOut] = []
    for run in runs:
        found = _estimate(run)
        if isinstance(found, str):
            left_out.append(LeftOut(run.cluster.num_gpus, found))
        else:
            good.append(run)
            times_s.append(found)
    return _points(good, times_s), left_out


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


@lru_cache(maxsize=ESTIMATES_KEPT)
def _estimate(run: GPURun) -> float | str:
    """Step time of the best plan, or why there is none. [s]"""
    from wsesim.machines.gpu.checks import check as check_gpu
    from wsesim.machines.gpu.plans import candidates
    from wsesim.machines.gpu.search import estimate_s

    try:
        check_gpu(run)
        found = estimate_s(run)
    except (ConfigError, DoesNotFit) as error:
        return str(error)
    if found is not None:
        return found
    divides = len(candidates(run).tensor) > 0
    return "no plan fits into the memory" if divides else "no plan divides layers, heads and batch evenly"


def _notes(run: Run | GPURun, curves: Sequence[Curve], own: Point) -> tuple[str, ...]:
    found = []
    if isinstance(run, Run) and run.cluster.exceptions:
        found.append("the curves are of identical systems, without the exceptions of the run itself")
    found += [_missing(curve) for curve in curves if curve.left_out]
    if isinstance(run, GPURun) or any(curve.kind == "gpu" for curve in curves):
        found.append("points on GPUs are estimates of the best plan by the closed form, not simulated")
    if isinstance(run, GPURun):
        found += _off_the_line(own, curves[0])
    return tuple(found)


def _off_the_line(own: Point, curve: Curve) -> list[str]:
    """Why a run does not lie on its curve, where one sees that it does not."""
    best = next((one.tokens_per_s for one in curve.points if one.num_devices == own.num_devices), own.tokens_per_s)
    if abs(own.tokens_per_s / best - 1.0) < SEEN:
        return []
    words = f"the run itself, simulated with the plan and the options of its file, has {own.tokens_per_s:,.0f} tokens/s"
    return [f"{words}; the best plan for as many GPUs has about {best:,.0f}"]


def _missing(curve: Curve) -> str:
    """Numbers without a point, by reason."""
    by_reason: dict[str, list[int]] = {}
    for one in curve.left_out:
        by_reason.setdefault(one.reason, []).append(one.num_devices)
    parts = [f"{', '.join(f'{number:,}' for number in numbers)} ({reason})" for reason, numbers in by_reason.items()]
    where = f"{curve.kind} scaling" if curve.kind != "gpu" else f"the line of {curve.name}"
    return f"{where} has no points at {'; '.join(parts)}"
