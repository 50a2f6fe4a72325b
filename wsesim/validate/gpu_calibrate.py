"""Fits what is not public about GPUs to measurements: three numbers of collectives, three of kernels.

Both fits are least squares of relative errors. Collectives: measured all-reduces inside a node.
Kernels: the steps and the blocks that Korthikanti et al. 2022 measured (tables 5 and 4), by the
closed form of a step. The two efficiencies and the ramp of a product pull against each other, and
attention turns from bound by compute to bound by memory at one value of its efficiency, where the
error has a kink. So kernels are fitted on a grid that zooms in, which depends on no start.

The range of a number is one standard error: the values for which the squared error is at most
``1 / (n - 3)`` above the least when the two other numbers are fitted again. It says how far the
rows determine the number, not how far it is true of another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wsesim.config.entries import load_gpu_cluster
from wsesim.config.provenance import Origin
from wsesim.errors import MeasurementError
from wsesim.machines.gpu.closed_form import step_time_s
from wsesim.machines.gpu.collectives import all_reduce_time_s, group_of
from wsesim.machines.gpu.plans import candidates
from wsesim.machines.gpu.rows import AllReduce, GPUMeasurement, published, published_all_reduces, published_layers
from wsesim.machines.gpu.spec import GPUCalibrationSpec
from wsesim.machines.gpu.times import times_of
from wsesim.units import add_up, unit_of_field
from wsesim.validate.gpu_predict import run_of, with_constants

Array = Any
Constants = Mapping[str, Any]
"""By key of `GPUCalibrationSpec`; a number each, or an array of variants."""
Progress = Callable[[str], None]

COLLECTIVE_KEYS = ("nvlink_efficiency", "collective_latency_s", "collective_step_latency_s")
KERNEL_BOUNDS = {
    "gemm_efficiency": (0.85, 1.05),
    "gemm_ramp_elements": (0.0, 600.0),
    "batched_gemm_efficiency": (0.4, 0.8),
}
"""Where the search begins; it may leave the bounds. [-]"""
KERNEL_KEYS = tuple(KERNEL_BOUNDS)
WEIGHTS = {"iteration_s": 1.0, "layer_forward_s": 0.5, "layer_backward_s": 0.5}
"""Of a squared error, by metric: a block says less than a step of which it is a part. [-]"""

FIRST_POINTS = (41, 25, 17)
"""Of the first grid on each axis, from which the ranges are read. [-]"""
POINTS, ZOOMS = 9, 12
"""Of the grids that follow, each half as wide as the one before. [-]"""
DIGITS = 3
"""Significant figures that are kept: more than the measurements carry. [-]"""


@dataclass(frozen=True)
class Residual:
    """A measurement, and what the closed form said to it before and after the fit.

    Attributes
    ----------
    kind
        "all-reduce", "step" or "block".
    measured_s, before_s, after_s
        One of it. [s]
    """

    id: str
    kind: str
    use: str
    source: str
    measured_s: float
    before_s: float
    after_s: float

    @property
    def before(self) -> float:
        """Relative error with the numbers that the fit started from. [-]"""
        return self.before_s / self.measured_s - 1.0

    @property
    def after(self) -> float:
        """Relative error with the fitted numbers. [-]"""
        return self.after_s / self.measured_s - 1.0


@dataclass(frozen=True)
class GPUFit:
    """What was fitted, and to what.

    Attributes
    ----------
    ranges
        One standard error to either side, by key. In the unit of the key.
    """

    calibration: GPUCalibrationSpec
    ranges: dict[str, tuple[float, float]]
    residuals: tuple[Residual, ...]

    def of_kind(self, kind: str, use: str = "calibration") -> list[Residual]:
        """Residuals of one kind of measurement."""
        return [one for one in self.residuals if (one.kind, one.use) == (kind, use)]


def rounded(value: float) -> float:
    """To `DIGITS` significant figures.

    Examples
    --------
    >>> rounded(0.698943), rounded(33.84e-6)
    (0.699, 3.38e-05)
    """
    return float(f"{value:.{DIGITS}g}")


class AllReduces:
    """Measured all-reduces with their clusters."""

    def __init__(self, rows: Sequence[AllReduce]) -> None:
        self.rows = list(rows)
        clusters = {name: load_gpu_cluster(name)[0] for name in dict.fromkeys(row.cluster for row in rows)}
        self.clusters = [clusters[row.cluster] for row in rows]
        self.measured_s = np.array([row.time_s for row in rows])

    def predicted_s(self, constants: Constants) -> Array:
        """Shape ``(num_rows,)``. [s]"""
        pairs = zip(self.rows, self.clusters, strict=True)
        times = [
            all_reduce_time_s(with_constants(cluster, **constants), group_of(cluster, row.num_gpus, 1), row.size_bytes)
            for row, cluster in pairs
        ]
        return np.array([float(time_s) for time_s in times])


class Kernels:
    """Measured steps and blocks with their runs and plans."""

    def __init__(self, rows: Sequence[GPUMeasurement], constants: Constants) -> None:
        self.rows = list(rows)
        runs = [run_of(row) for row in rows]
        self.runs = [replace(run, cluster=with_constants(run.cluster, **constants)) for run in runs]
        self.plans = [candidates(run) for run in self.runs]
        for row, plans in zip(rows, self.plans, strict=True):
            if len(plans.tensor) != 1:
                raise MeasurementError(f"{row.place}: leaves its plan open; state all sizes of a row to fit to")
        self.measured_s = np.array([row.iteration_s for row in rows])
        self.weights = np.array([WEIGHTS[row.metric] for row in rows])

    def predicted_s(self, constants: Constants) -> Array:
        """Shape ``(num_rows, num_variants)``. [s]"""
        return np.stack([np.ravel(self._time_s(place, constants)) for place in range(len(self.rows))])

    def _time_s(self, place: int, constants: Constants) -> Array:
        run, plans, metric = self.runs[place], self.plans[place], self.rows[place].metric
        run = replace(run, cluster=with_constants(run.cluster, **constants))
        times = times_of(run, plans)
        if metric == "layer_forward_s":
            return times.forward.total_s
        if metric == "layer_backward_s":
            return times.backward.total_s + times.recompute.total_s
        return step_time_s(run, plans, times)

    def squared_error(self, constants: Constants) -> Array:
        """Weighted, of relative errors. Shape ``(num_variants,)``. [-]"""
        errors = self.predicted_s(constants) / self.measured_s[:, None] - 1.0
        return self.weights @ errors**2


def fit_collectives(rows: Sequence[AllReduce], start: GPUCalibrationSpec) -> tuple[dict[str, float], dict[str, Any]]:
    """Efficiency and latencies of NVLink, and their ranges."""
    from scipy.optimize import least_squares

    held = AllReduces(rows)
    scale = np.array([getattr(start, key) for key in COLLECTIVE_KEYS])

    def residuals(shares: Array) -> Array:
        return held.predicted_s(dict(zip(COLLECTIVE_KEYS, shares * scale, strict=True))) / held.measured_s - 1.0

    solution = least_squares(residuals, np.ones(3), bounds=(1e-3, np.inf), xtol=1e-10, ftol=1e-12)
    variance = 2.0 * solution.cost / (len(rows) - 3)
    errors = scale * np.sqrt(variance * np.diag(np.linalg.inv(solution.jac.T @ solution.jac)))
    values = dict(zip(COLLECTIVE_KEYS, map(float, solution.x * scale), strict=True))
    ranges = {
        key: (value - float(error), value + float(error))
        for (key, value), error in zip(values.items(), errors, strict=True)
    }
    return values, ranges


def _grid(lows: Array, highs: Array, points: Sequence[int]) -> Array:
    """All combinations of evenly spaced values. Shape ``(num_axes, num_variants)``."""
    axes = [np.linspace(*ends) for ends in zip(lows, highs, points, strict=True)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])


def fit_kernels(
    rows: Sequence[GPUMeasurement], constants: Constants, progress: Progress = lambda _: None
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Efficiencies and ramp of matrix products, and their ranges; `constants` are those that stay."""
    held = Kernels(rows, constants)
    lows, highs = (np.array(ends) for ends in zip(*KERNEL_BOUNDS.values(), strict=True))
    first = grid = _grid(lows, highs, FIRST_POINTS)
    steps = (highs - lows) / (np.array(FIRST_POINTS) - 1)
    errors = first_errors = held.squared_error(dict(zip(KERNEL_KEYS, grid, strict=True)))
    half = 4.0 * steps
    for _ in range(ZOOMS):
        progress("fitting kernels")
        best = grid[:, int(np.argmin(errors))]
        grid = _grid(np.maximum(best - half, 0.1 * lows), best + half, (POINTS,) * 3)
        errors = held.squared_error(dict(zip(KERNEL_KEYS, grid, strict=True)))
        half = 0.5 * half
    place = int(np.argmin(errors))
    good = first[:, first_errors <= errors[place] * (1.0 + 1.0 / (len(rows) - 3))]
    values = dict(zip(KERNEL_KEYS, map(float, grid[:, place]), strict=True))
    ranges = {
        key: (min(value, float(some.min())), max(value, float(some.max())))
        for (key, value), some in zip(values.items(), good, strict=True)
    }
    return values, ranges


def fit_gpus(start: GPUCalibrationSpec, progress: Progress = lambda _: None) -> GPUFit:
    """Fit to the measurements that ship with wsesim; what is not fitted stays as in `start`."""
    reduces = published_all_reduces()
    rows = [row for row in (*published(), *published_layers()) if row.use == "calibration"]
    progress("fitting collectives")
    links, ranges = fit_collectives([row for row in reduces if row.use == "calibration"], start)
    links = {key: rounded(value) for key, value in links.items()}
    kept = start.model_dump() | links
    kernels, more = fit_kernels(rows, kept, progress)
    kernels = {key: rounded(value) for key, value in kernels.items()}
    calibration = start.model_copy(update=links | kernels)
    ends = {key: (rounded(low), rounded(high)) for key, (low, high) in (ranges | more).items()}
    return GPUFit(calibration, ends, residuals(start, calibration))


def residuals(before: GPUCalibrationSpec, after: GPUCalibrationSpec) -> tuple[Residual, ...]:
    """Every shipped measurement that belongs to a fit, with two calibrations; all-reduces of other GPUs as a check."""
    reduces = published_all_reduces()
    held = AllReduces(reduces)
    pairs = zip(reduces, *(held.predicted_s(one.model_dump()) for one in (before, after)), strict=True)
    found = [
        Residual(row.id, "all-reduce", row.use, row.source, row.time_s, float(old), float(new))
        for row, old, new in pairs
    ]
    rows = [row for row in (*published(), *published_layers()) if row.use == "calibration"]
    both = [Kernels(rows, one.model_dump()).predicted_s({})[:, 0] for one in (before, after)]
    for row, old, new in zip(rows, *both, strict=True):
        kind = "step" if row.metric == "iteration_s" else "block"
        found.append(Residual(row.id, kind, row.use, row.source, row.iteration_s, float(old), float(new)))
    return tuple(found)


def words(rows: Sequence[Residual]) -> str:
    """How well some rows are followed.

    Examples
    --------
    >>> words([Residual("a", "step", "calibration", "", 1.0, 1.2, 1.1), Residual("b", "step", "", "", 1.0, 1.2, 0.98)])
    '2 steps to 6.0 %, 10.0 % at worst'
    """
    sizes = [abs(one.after) for one in rows]
    mean, worst = 100.0 * add_up(sizes) / len(sizes), 100.0 * max(sizes)
    return f"{len(rows)} {rows[0].kind}s to {mean:.1f} %, {worst:.1f} % at worst"


HEADER = """\
# What kernels and collectives make of the hardware. Written by `wsesim calibrate --gpu`, which fits six numbers on A100:
# to the step and block times of Korthikanti et al. 2022 (tables 5 and 4), and to all-reduces inside a node. No other row
# was used. The range of a fitted number is one standard error of the fit; docs/validation.md has the errors by row.

"""


def as_toml(fit: GPUFit, kept: Mapping[str, Origin]) -> str:
    """The fit as a file of ``cluster_configs/calibrations``; numbers that were not fitted keep the origins in `kept`."""
    notes = {key: words(fit.of_kind("all-reduce")) for key in COLLECTIVE_KEYS}
    notes |= {key: f"{words(fit.of_kind('step'))}; {words(fit.of_kind('block'))}" for key in KERNEL_KEYS}
    lines = []
    for key, value in fit.calibration.model_dump().items():
        if key in notes:
            source = "vtrain-data" if key in COLLECTIVE_KEYS else "korthikanti-2022"
            low, high = fit.ranges[key]
            loose = "; these rows hardly determine it" if high - low > value else ""
            words_of = Origin(key, value, "", "calibrated", source, notes[key] + loose, low, high)
        else:
            words_of = kept[key]
        lines.append(_line(key, value, words_of))
    return HEADER + "\n".join(lines) + "\n"


def _text(key: str, value: float) -> str:
    """A number as a file holds it.

    Examples
    --------
    >>> _text("kernel_latency_s", 3e-6), _text("memory_efficiency", 0.85)
    ('"3 us"', '0.85')
    """
    return f'"{value * 1e6:.{DIGITS}g} us"' if unit_of_field(key) == "s" else f"{value:.{DIGITS}g}"


def _line(key: str, value: float, origin: Origin) -> str:
    parts = [f"value = {_text(key, value)}", f'source = "{origin.source}"', f'status = "{origin.status}"']
    if origin.low is not None and origin.high is not None:
        parts.append(f"range = [{_text(key, origin.low)}, {_text(key, origin.high)}]")
    if origin.note:
        parts.append(f'note = "{origin.note}"')
    return f"{key} = {{ {', '.join(parts)} }}"
