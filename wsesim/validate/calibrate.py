"""Fits the few numbers that are not public to measurements, by a closed form of the step."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsesim.config.cluster import release_key
from wsesim.config.run import Run
from wsesim.config.spec import Origin
from wsesim.config.training import is_training
from wsesim.errors import DoesNotFit, MeasurementError
from wsesim.machines.wafer import wafer
from wsesim.machines.wafer.checks import check
from wsesim.machines.wafer.plan import Plan, lanes_of, make_plan, pick_release
from wsesim.machines.wafer.rows import Measurement
from wsesim.machines.wafer.spec import CalibrationSpec
from wsesim.results.intervals import ONE_SIDED, knowledge, spread
from wsesim.units import add_up
from wsesim.validate.near import Prediction, predict_all, run_of, with_calibration

# Step times of measured rows as a closed form over arrays: what fits and left-out fits are made with.
#
# The same passes as the simulation, with the same numbers from the same plans, but as a sum: a pass takes its work or
# its stream and the latency that is not hidden, and nothing waits for anything else. Within 1 % of the simulation on
# the published rates (a test holds it), in microseconds instead of milliseconds for each row, so that hundreds of fits
# take a second.


Array = NDArray[np.float64]


class Form(NamedTuple):
    """What of the mechanism was chosen among a few values, not fitted.

    Attributes
    ----------
    head_block, score_block
        Features in which heads are laid out, and what softmax and mask of a score cost in them. [-]
    overlap_exponent
        How latency and work add. [-]
    elementwise
        Whether products with weights take longer as the working set of a block is larger.
    """

    head_block: int
    score_block: int
    overlap_exponent: float
    elementwise: bool

    @classmethod
    def of(cls, calibration: CalibrationSpec) -> Form:
        """That of a calibration."""
        return cls(calibration.head_block, calibration.score_block, calibration.overlap_exponent, elementwise=True)


class Logs(NamedTuple):
    """Logarithms of the fitted numbers; a leading axis is over fits.

    Attributes
    ----------
    gemm, attention, latency
        Of the efficiencies and of the latency of a pass, shape ``(num_fits,)``. [-], [-], [s]
    rates
        Of the releases, shape ``(num_fits, num_releases)``. [-]
    """

    gemm: Array
    attention: Array
    latency: Array
    rates: Array


class _Pass(NamedTuple):
    """Passes of one row that take equally long."""

    gemm_s: float
    elementwise: float
    score_s: float
    widths: tuple[int, int]
    stream_s: float
    way_s: float


def _passes(run: Run, plan: Plan) -> Counter[_Pass]:
    """Each kind of pass with its work at the peak, and how often a micro-batch makes it."""
    system, precision = run.cluster.system, run.training.precision
    peak = wafer.peak_flop_per_s(system.wafer, precision) * plan.release_rate
    at_peak = system.calibration.gemm_efficiency * plan.release_rate
    found: Counter[_Pass] = Counter()
    for visit in plan.visits:
        layer_pass, layer = plan.kinds[visit.kind], plan.layers[visit.layer]
        is_block = layer.kind == "block"
        elementwise = wafer.working_set_over_gpt(layer, run.model.hidden_size) if is_block else 1.0
        way_s = plan.transport.slowest_latency_s + (
            plan.transport.tensor_latency_s if layer_pass.takes_weights else 0.0
        )
        one = _Pass(
            gemm_s=layer_pass.gemm_s * at_peak / elementwise,
            elementwise=elementwise,
            score_s=2.0 * layer.scores_per_sequence * plan.sequences_per_pass * plan.release_rate / peak,
            widths=layer.head_widths,
            stream_s=layer_pass.num_bytes / layer_pass.rate_bytes_per_s,
            way_s=way_s,
        )
        found[one] += 1
    return found


class Table:
    """Runs of measured rows as arrays, shape ``(num_rows, num_passes)``, and their releases.

    Parameters
    ----------
    runs
        With any calibration, of which only the layout on the wafer counts.
    releases
        Of each row, by which factor its rate is scaled.
    """

    def __init__(self, runs: Sequence[Run], releases: Sequence[str]) -> None:
        plans = [make_plan(run) for run in runs]
        passes = [_passes(run, plan) for run, plan in zip(runs, plans, strict=True)]
        shape = (len(runs), max(map(len, passes)))
        self.names = tuple(dict.fromkeys(releases))
        self.release = np.array([self.names.index(name) for name in releases])
        self.gemm_s, self.elementwise, self.score_s = np.zeros(shape), np.ones(shape), np.zeros(shape)
        self.widths = np.zeros((*shape, 2))
        self.stream_s, self.way_s, self.times = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for row, (found, plan) in enumerate(zip(passes, plans, strict=True)):
            for place, (one, count) in enumerate(found.items()):
                self.gemm_s[row, place], self.elementwise[row, place] = one.gemm_s, one.elementwise
                self.score_s[row, place], self.widths[row, place] = one.score_s, one.widths
                self.stream_s[row, place], self.way_s[row, place] = one.stream_s, one.way_s
                self.times[row, place] = count * plan.num_micro_batches
        drops = [run.model.attention_dropout > 0.0 and is_training(run.training) for run in runs]
        self.elementwise_scores = np.where(drops, 2.0, 1.0)[:, None]
        trains = np.array([is_training(run.training) for run in runs])
        self.speed = np.array([min(kind.speed for kind in plan.classes) for plan in plans])[:, None]
        first = np.array([plan.update_s[plan.update_kinds[0]] for plan in plans])
        self.update_s = np.where(trains, first, 0.0)

    def attention_s(self, head_block: Array, score_block: Array) -> Array:
        """Work on scores at the peak, for each form. [s]"""
        block = head_block[:, None, None, None]
        heads = (np.ceil(self.widths / block) * block).sum(axis=-1)
        work_s: Array = self.score_s * (heads + 2.0 * score_block[:, None, None] * self.elementwise_scores)
        return work_s

    def compiled(self, forms: Sequence[Form]) -> Compiled:
        """What does not change while numbers are fitted, for each of several forms."""
        columns = [np.array(values, dtype=np.float64) for values in zip(*forms, strict=True)]
        head_block, score_block, exponent, elementwise = columns
        factor = np.where(elementwise[:, None, None] > 0.0, self.elementwise, 1.0)
        return Compiled(self, self.gemm_s * factor, self.attention_s(head_block, score_block), exponent[:, None, None])


class Compiled(NamedTuple):
    """A table under several forms, one for each fit: arrays of shape ``(num_fits, num_rows, num_passes)``."""

    table: Table
    gemm_s: Array
    attention_s: Array
    exponent: Array

    def times_s(self, logs: Logs) -> Array:
        """Step times, shape ``(num_fits, num_rows)``. [s]"""
        table = self.table

        def each(values: Array) -> Array:
            return np.exp(values)[:, None, None]

        rate = np.exp(logs.rates)[:, table.release, None] * table.speed
        work_s = (self.gemm_s / each(logs.gemm) + self.attention_s / each(logs.attention)) / rate
        longer_s = np.maximum(work_s, table.stream_s)
        latency_s = np.where(work_s > 0.0, each(logs.latency) / rate, 0.0)
        passes_s = (longer_s**self.exponent + latency_s**self.exponent) ** (1.0 / self.exponent)
        steps_s: Array = ((passes_s + table.way_s) * table.times).sum(axis=-1) + table.update_s
        return steps_s


# Fits the few numbers that are not public to measurements.
#
# Three numbers are fitted to rates of all systems at once: the efficiencies of products with weights and of
# activations, and the latency of a pass. Everything else that differs between rows is one factor per software release.
# With few rows the three keep what they were, and only releases are fitted. Micro-batches fit how many values a core
# holds.


FEWEST_ROWS = 8
"""Rates below which only factors of releases are fitted. [-]"""

VALUES_STEP = 2.0
"""Resolution of the values that a core holds. [-]"""

OUTLIER_SCALE = 0.02
"""Residuals beyond this count less than quadratically (soft L1): one odd row must not bend the fit. [-]"""

NUM_ITERATIONS = 12
"""Of the least squares; they settle to eight digits in five or six. [-]"""

NUM_SETTLING = 4
"""Rounds in which factors of releases are brought to the simulation, where few rows fix them. [-]"""

RATE_KEYS = ("gemm_efficiency", "attention_efficiency", "pass_latency_s")
FORM_KEYS = ("overlap_exponent", "head_block", "score_block")
LAYOUT_KEYS = ("values_per_core", "values_per_token", "token_block")
"""Numbers that were chosen among a few values while looking at rows, and are not fitted here, but for the first."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """A calibration of one system and what it was fitted to.

    Attributes
    ----------
    rows_of_release
        Rates that fixed each release of the system. [-]
    num_rates
        Rates that fixed the three numbers, of all systems. [-]
    ranges
        Within these the fitted numbers lie in nine cases of ten, by fits without one model each (the jackknife).
    """

    calibration: CalibrationSpec
    predictions: tuple[Prediction, ...]
    fitted: tuple[str, ...]
    rows_of_release: dict[str, int]
    num_rates: int
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Rates(NamedTuple):
    """Measured rates as a table to fit, and the logarithms of their step times."""

    rows: tuple[Measurement, ...]
    table: Table
    log_times: NDArray[np.float64]
    base: int


def release_of(row: Measurement, run: Run) -> str:
    """System and release, whose rows share a factor."""
    release = row.software_release or pick_release(run.cluster.system.calibration, None)[0]
    return f"{row.system} {release}"


def rates_of(rows: Sequence[Measurement], calibration: CalibrationSpec | None = None) -> Rates:
    """Rates ready to be fitted; the release with most rows is the one that the others are counted against."""
    import numpy as np

    runs = [run_of(row, calibration) for row in rows]
    for run in runs:
        check(run)
    releases = [release_of(row, run) for row, run in zip(rows, runs, strict=True)]
    table = Table(runs, releases)
    per_sample = [row.sequence_length if row.metric == "tokens_per_s" else 1 for row in rows]
    times = [row.global_batch_size * tokens / row.value for row, tokens in zip(rows, per_sample, strict=True)]
    base = table.names.index(Counter(releases).most_common(1)[0][0])
    return Rates(tuple(rows), table, np.log(times), base)


def solve(
    rates: Rates, forms: Sequence[Form], weights: NDArray[np.float64], start: CalibrationSpec, *, numbers: bool = True
) -> Logs:
    """Robust least squares on the logarithm of the step time, many fits at once (Gauss and Newton).

    Parameters
    ----------
    weights
        Of each row in each fit, shape ``(num_fits, num_rows)``; 0 leaves a row out. [-]
    numbers
        Whether they are fitted, or only the releases.
    """
    import numpy as np

    compiled, count = rates.table.compiled(forms), len(forms)
    first = [np.full(count, math.log(getattr(start, key))) for key in RATE_KEYS]
    logs = Logs(first[0], first[1], first[2], np.zeros((count, len(rates.table.names))))
    for _ in range(NUM_ITERATIONS):
        logs = _step(rates, compiled, weights, logs, numbers=numbers)
    return logs


def _step(rates: Rates, compiled: Compiled, weights: NDArray[np.float64], logs: Logs, *, numbers: bool) -> Logs:
    """One step of Gauss and Newton; what a row does not depend on, and the base release, stay where they are."""
    import numpy as np

    def log_times(at: Logs) -> NDArray[np.float64]:
        return np.log(compiled.times_s(at))

    small, here = 1e-5, log_times(logs)
    slopes = [
        (log_times(logs._replace(**{key: getattr(logs, key) + small})) - here) / small
        for key in ("gemm", "attention", "latency", "rates")
    ]
    releases = np.eye(len(rates.table.names))[rates.table.release]
    jacobian = np.concatenate([np.stack(slopes[:3], axis=-1), slopes[3][..., None] * releases], axis=-1)
    residuals = rates.log_times - here
    weighted = weights / np.sqrt(1.0 + (residuals / OUTLIER_SCALE) ** 2)
    held = np.full(jacobian.shape[-1], 1e-9)
    held[3 + rates.base if numbers else slice(3)] = 1e9
    normal = np.einsum("fri,fr,frj->fij", jacobian, weighted, jacobian) + np.diag(held)
    right = np.einsum("fri,fr->fi", jacobian, weighted * residuals)
    change = np.clip(np.linalg.solve(normal, right[..., None])[..., 0], -0.5, 0.5)
    return logs._replace(
        gemm=logs.gemm + change[:, 0],
        attention=logs.attention + change[:, 1],
        latency=logs.latency + change[:, 2],
        rates=logs.rates + change[:, 3:],
    )


def fit_values_per_core(rows: Sequence[Measurement], start: CalibrationSpec) -> tuple[float, float]:
    """Least and most values of a core among those with the least error on micro-batches and lanes. [-]"""
    runs = [run_of(row) for row in rows]
    candidates = [start.values_per_core * 0.7 + VALUES_STEP * step for step in range(500)]
    candidates = [math.floor(value / VALUES_STEP) * VALUES_STEP for value in candidates]
    errors = [
        add_up(
            _layout_error(row, run, start.model_copy(update={"values_per_core": value}))
            for row, run in zip(rows, runs, strict=True)
        )
        for value in candidates
    ]
    best = min(errors)
    good = [value for value, error in zip(candidates, errors, strict=True) if error <= best + 1e-12]
    return good[0], good[-1]


def _layout_error(row: Measurement, run: Run, calibration: CalibrationSpec) -> float:
    """Logarithm of predicted over stated micro-batch or lanes, without its sign. [-]"""
    try:
        lanes = lanes_of(with_calibration(run, calibration))
    except DoesNotFit:
        return math.inf
    return abs(math.log((lanes.num_lanes if row.metric == "num_lanes" else lanes.max_micro_batch_size) / row.value))


def _rounded(value: float) -> float:
    """Four significant figures: more than the measurements carry."""
    return float(f"{value:.4g}")


def fit(
    measurements: Sequence[Measurement],
    start: CalibrationSpec,
    system: str = "cs2",
    progress: Progress = lambda _: None,
) -> Fit:
    """Fit one system generation.

    Parameters
    ----------
    measurements
        Rows that may be fitted. Rates of other systems count for the three numbers, which all systems share.
    """
    own = [row for row in measurements if row.system == system]
    batches = [row for row in own if not row.is_rate]
    measured = [row for row in measurements if row.is_rate]
    if not any(row.system == system for row in measured):
        raise MeasurementError(
            "no measured rate among the rows; add rows with the metric samples_per_s and the use calibration"
        )
    calibration, fitted = start, []
    ranges: dict[str, tuple[float, float]] = {}
    if batches:
        progress("fitting the values of a core")
        least, most = ranges["values_per_core"] = fit_values_per_core(batches, calibration)
        calibration = calibration.model_copy(update={"values_per_core": (least + most) / 2.0})
        fitted.append("values_per_core")
    progress("fitting efficiencies, latency and releases")
    numbers = len(measured) >= FEWEST_ROWS
    calibration, names = _fit_rates(measured, calibration, system, numbers=numbers)
    ranges |= _ranges(measured, calibration, system) if numbers else {}
    fitted += [*(RATE_KEYS if numbers else ()), *names]
    newest = pick_release(start, None)[0]
    rows_of_release = Counter(row.software_release or newest for row in own if row.is_rate)
    predictions = tuple(predict_all(own, calibration))
    return Fit(calibration, predictions, tuple(fitted), dict(rows_of_release), len(measured), ranges)


def _fit_rates(
    rows: Sequence[Measurement], start: CalibrationSpec, system: str, *, numbers: bool
) -> tuple[CalibrationSpec, list[str]]:
    """The three numbers and the releases of one system, rounded; names of the releases that were fitted."""
    import numpy as np

    rates = rates_of(rows, start)
    logs = solve(rates, [Form.of(start)], np.ones((1, len(rows))), start, numbers=numbers)
    update: dict[str, object] = {}
    if numbers:
        update = {key: _rounded(math.exp(float(value[0]))) for key, value in zip(RATE_KEYS, logs[:3], strict=True)}
    found = {
        name.removeprefix(f"{system} "): _rounded(math.exp(float(log)))
        for name, log in zip(rates.table.names, logs.rates[0], strict=True)
        if name.startswith(f"{system} ")
    }
    merged = {**start.releases, **found}
    update["releases"] = {key: merged[key] for key in sorted(merged, key=release_key)}
    fitted = start.model_copy(update=update)
    if not numbers:
        fitted = _settled([row for row in rows if row.system == system], fitted)
    return fitted, [f"releases.{key}" for key in sorted(found, key=release_key)]


def _ranges(rows: Sequence[Measurement], calibration: CalibrationSpec, system: str) -> dict[str, tuple[float, float]]:
    """Ranges of nine in ten, from fits that leave out one model each; a release that one model tells has the spread of a row."""
    import numpy as np

    rates = rates_of(rows, calibration)
    models = [str(row.model["name"]) for row in rows]
    names = list(dict.fromkeys(models))
    weights = np.array([[float(model != name) for model in models] for name in names])
    logs = solve(rates, [Form.of(calibration)] * len(names), weights, calibration)
    of_one_model = spread(knowledge("wafers").errors["known_release"])
    found = {key: _around(getattr(calibration, key), values) for key, values in zip(RATE_KEYS, logs[:3], strict=True)}
    for place, name in enumerate(rates.table.names):
        release = name.removeprefix(f"{system} ")
        its = {model for model, at in zip(models, rates.table.release.tolist(), strict=True) if at == place}
        if name == rates.table.names[rates.base]:
            found[f"releases.{release}"] = (1.0, 1.0)  # what others are counted against is as sure as the three numbers
        elif name.startswith(f"{system} "):
            told = [len(its) > 1 or model not in its for model in names]
            found[f"releases.{release}"] = _around(
                calibration.releases[release], logs.rates[told, place], of_one_model / math.sqrt(len(its))
            )
    return found


def _around(value: float, logs: NDArray[np.float64], more: float = 0.0) -> tuple[float, float]:
    """A value and its jackknife error, which another one of its own is added to."""
    left_out = len(logs)
    error = math.sqrt(
        (left_out - 1) / left_out * add_up((float(log) - float(logs.mean())) ** 2 for log in logs) + more**2
    )
    return _rounded(value * math.exp(-ONE_SIDED * error)), _rounded(value * math.exp(ONE_SIDED * error))


def _settled(rows: Sequence[Measurement], calibration: CalibrationSpec) -> CalibrationSpec:
    """Factors of releases with which the simulation follows few rows, whatever they wait for."""
    releases = dict(calibration.releases)
    newest = pick_release(calibration, None)[0]
    for _ in range(NUM_SETTLING):
        errors: dict[str, list[float]] = {}
        for one in predict_all(rows, calibration):
            errors.setdefault(one.measurement.software_release or newest, []).append(math.log1p(one.error))
        for release, logs in errors.items():
            releases[release] *= math.exp(-add_up(logs) / len(logs))
        calibration = calibration.model_copy(update={"releases": dict(releases)})
    rounded = {key: _rounded(value) for key, value in releases.items()}
    return calibration.model_copy(update={"releases": rounded})


def _sources(rows: Sequence[Measurement]) -> str:
    """Sources of some rows, the one with most rows first."""
    return ", ".join(key for key, _ in Counter(row.source for row in rows if row.source).most_common())


def as_toml(fit: Fit, source: str, kept: Mapping[str, Origin] = MappingProxyType({})) -> str:
    """A calibration as a file of ``cluster_configs/calibrations``.

    Parameters
    ----------
    kept
        Origins of the numbers that were there before; one that was not fitted keeps its own.
    """
    calibration, rows = fit.calibration, [one.measurement for one in fit.predictions]
    layout, rates = [row for row in rows if not row.is_rate], [row for row in rows if row.is_rate]
    many = f"{fit.num_rates} rates of all systems"
    lines = ["# Written by `wsesim calibrate`; the numbers that are not public, fitted to measurements.", ""]
    for key in RATE_KEYS:
        value = getattr(calibration, key)
        text = f'"{value * 1e3:.4g} ms"' if key.endswith("_s") else f"{value:.4g}"
        lines.append(_line(fit, key, key, text, rates, source, kept, many))
    lines += [
        _line(fit, key, key, f"{getattr(calibration, key):.6g}", layout, source, kept, "")
        for key in (*FORM_KEYS, *LAYOUT_KEYS)
    ]
    lines += ["", "[releases]"]
    for release, factor in calibration.releases.items():
        used = [row for row in rates if row.software_release == release]
        lines.append(_line(fit, f"releases.{release}", f'"{release}"', f"{factor:.4g}", used, source, kept, ""))
    if "gemm_efficiency" not in fit.fitted:  # few rows of one's own, and the shipped numbers
        lines += ["", "[measured]", *_own_models(rates, calibration)]
    return "\n".join(lines) + "\n"


def _own_models(rates: Sequence[Measurement], calibration: CalibrationSpec) -> list[str]:
    """Models whose rows fixed each release."""
    found: dict[str, dict[str, None]] = {}
    for row in rates:
        release = row.software_release or pick_release(calibration, None)[0]
        found.setdefault(release, {})[run_of(row).model.name] = None
    return [f'"{release}" = {json.dumps(list(names), ensure_ascii=False)}' for release, names in found.items()]


def _line(
    fit: Fit,
    key: str,
    name: str,
    text: str,
    used: Sequence[Measurement],
    source: str,
    kept: Mapping[str, Origin],
    many: str,
) -> str:
    """One number with its origin: the rows it was fitted to, or where it was before."""
    if used and key in fit.fitted:
        note = many or f"{len(used)} row{'s' * (len(used) != 1)}"
        ends = _ends(fit.ranges.get(key), key)
        return f'{name} = {{ value = {text}{ends}, source = "{_sources(used) or source}", status = "calibrated", note = "{note}" }}'
    before = kept.get(key)
    if before is None:
        return f'{name} = {{ value = {text}, source = "{source}", status = "calibrated", note = "not fitted here" }}'
    status = before.status or "calibrated"
    ends = _ends(None if before.low is None or before.high is None else (before.low, before.high), key)
    return (
        f'{name} = {{ value = {text}{ends}, source = "{before.source}", status = "{status}", note = "{before.note}" }}'
    )


def _ends(bounds: tuple[float, float] | None, key: str) -> str:
    """A range as it stands in a file; empty for none."""
    if bounds is None:
        return ""
    if key.endswith("_s"):
        return f', range = ["{bounds[0] * 1e3:.4g} ms", "{bounds[1] * 1e3:.4g} ms"]'
    return f", range = [{bounds[0]:.4g}, {bounds[1]:.4g}]"
