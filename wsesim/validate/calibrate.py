"""Fits the few numbers that are not public to measurements.

For a system generation with enough rows four numbers are fitted: the efficiencies of GEMM
and attention, the time of a weight matrix, and the width that lanes share. Everything else
that differs between rows is one factor per software release. A generation with few rows
keeps the numbers it inherits, and only its releases are fitted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from wsesim.config.provenance import Origin
from wsesim.config.release import release_key
from wsesim.errors import MeasurementError
from wsesim.machines.wafer.plan import pick_release
from wsesim.machines.wafer.rows import LAYOUT_METRICS, Measurement
from wsesim.machines.wafer.system import CalibrationSpec
from wsesim.units import add_up
from wsesim.validate.predict import Prediction, predict, predict_all, run_of, with_calibration

FEWEST_ROWS = 8
"""Rates of one release below which only the release's factor is fitted. [-]"""

LANE_STEP_BYTES = 1600.0
"""Resolution of the lane width: 50 elements of a GPT block's 32-byte working set. [bytes]"""

OUTLIER_SCALE = 0.02
"""Residuals beyond this count less than quadratically (soft L1): one odd row must not bend the fit. [-]"""

RATE_KEYS = ("gemm_efficiency", "attention_efficiency", "weight_matrix_overhead_s")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """A calibration and what it was fitted to."""

    calibration: CalibrationSpec
    predictions: tuple[Prediction, ...]
    fitted: tuple[str, ...]
    rows_of_release: dict[str, int]


class Rows:
    """Measurements with their runs, which are read once and predicted with many calibrations."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self.measurements = list(measurements)
        self.runs = [run_of(row) for row in measurements]
        self.metrics = [row.metric for row in measurements]

    def log_errors(self, calibration: CalibrationSpec) -> list[float]:
        """Logarithm of predicted over measured, for each row. [-]"""
        values = predict([with_calibration(run, calibration) for run in self.runs], self.metrics)
        return [math.log(value / row.value) for value, row in zip(values, self.measurements, strict=True)]


def _is_rate(row: Measurement) -> bool:
    return row.metric not in LAYOUT_METRICS


def fit_lane_width(rows: Sequence[Measurement], start: CalibrationSpec) -> float:
    """Lane width with the least error on micro-batches and lanes; the middle of equally good ones. [bytes]"""
    held = Rows(rows)
    candidates = [start.lane_bytes_per_token * 0.7 + LANE_STEP_BYTES * step for step in range(600)]
    candidates = [math.floor(width / LANE_STEP_BYTES) * LANE_STEP_BYTES for width in candidates]
    errors = [
        add_up(map(abs, held.log_errors(start.model_copy(update={"lane_bytes_per_token": width}))))
        for width in candidates
    ]
    best = min(errors)
    good = [width for width, error in zip(candidates, errors, strict=True) if error <= best + 1e-12]
    return (good[0] + good[-1]) / 2.0


def fit_rates(rows: Sequence[Measurement], start: CalibrationSpec, progress: Progress) -> CalibrationSpec:
    """Efficiencies and the time of a weight matrix, by robust least squares on the logarithm of the rate."""
    import numpy as np
    from scipy.optimize import least_squares

    held = Rows(rows)

    def at(logs: object) -> CalibrationSpec:
        values = np.exp(np.asarray(logs))
        return start.model_copy(update=dict(zip(RATE_KEYS, map(float, values), strict=True)))

    def residuals(logs: object) -> list[float]:
        progress("fitting efficiencies and the time of a weight matrix")
        return held.log_errors(at(logs))

    first = [math.log(getattr(start, key)) for key in RATE_KEYS]
    bounds = ([math.log(1e-4), math.log(1e-4), math.log(1e-7)], [0.0, 0.0, math.log(1.0)])
    solution = least_squares(
        residuals, first, bounds=bounds, loss="soft_l1", f_scale=OUTLIER_SCALE, diff_step=1e-4, xtol=1e-6, ftol=1e-6
    )
    return at(solution.x)


def fit_release(rows: Sequence[Measurement], release: str, start: CalibrationSpec) -> CalibrationSpec:
    """Factor of one release: the geometric mean of measured over predicted is 1."""
    calibration = start.model_copy(update={"releases": {release: start.releases.get(release, 1.0), **start.releases}})
    held = Rows(rows)
    for _ in range(4):
        mean = add_up(held.log_errors(calibration)) / len(rows)
        factor = calibration.releases[release] * math.exp(-mean)
        calibration = calibration.model_copy(update={"releases": {**calibration.releases, release: factor}})
        if abs(mean) < 1e-6:
            break
    return calibration


def _by_release(rows: Sequence[Measurement], start: CalibrationSpec) -> dict[str, list[Measurement]]:
    groups: dict[str, list[Measurement]] = {}
    for row in rows:
        release = row.software_release or pick_release(start, None)[0]
        groups.setdefault(release, []).append(row)
    return groups


def _rounded(value: float) -> float:
    """Four significant figures: more than the measurements carry."""
    return float(f"{value:.4g}")


def fit(measurements: Sequence[Measurement], start: CalibrationSpec, progress: Progress = lambda _: None) -> Fit:
    """Fit one system generation.

    Parameters
    ----------
    measurements
        Rows marked calibration, all of one system.
    start
        Where the fit starts, and what it keeps where rows are too few.
    progress
        Called with what is going on.

    Raises
    ------
    MeasurementError
        No row that can be used.
    """
    rates = [row for row in measurements if _is_rate(row)]
    batches = [row for row in measurements if not _is_rate(row)]
    if not rates:
        raise MeasurementError(
            "no measured rate among the rows; add rows with the metric samples_per_s and the use calibration"
        )
    groups = _by_release(rates, start)
    largest = max(groups, key=lambda release: len(groups[release]))
    calibration, fitted = start, []
    if batches:
        progress("fitting the lane width")
        width = fit_lane_width(batches, calibration)
        calibration = calibration.model_copy(update={"lane_bytes_per_token": width})
        fitted.append("lane_bytes_per_token")
    if len(groups[largest]) >= FEWEST_ROWS:
        calibration = calibration.model_copy(update={"releases": {**calibration.releases, largest: 1.0}})
        calibration = fit_rates(groups.pop(largest), calibration, progress)
        calibration = calibration.model_copy(update={key: _rounded(getattr(calibration, key)) for key in RATE_KEYS})
        fitted += RATE_KEYS
    for release, rows in groups.items():
        progress(f"fitting release {release}")
        calibration = fit_release(rows, release, calibration)
        fitted.append(f"releases.{release}")
    releases = {key: _rounded(calibration.releases[key]) for key in sorted(calibration.releases, key=release_key)}
    calibration = calibration.model_copy(update={"releases": releases})
    predictions = tuple(predict_all(measurements, calibration))
    counts = {release: len(rows) for release, rows in _by_release(rates, start).items()}
    return Fit(calibration, predictions, tuple(fitted), counts)


def _sources(rows: Sequence[Measurement]) -> str:
    """Sources of some rows, the one with most rows first."""
    return ", ".join(key for key, _ in Counter(row.source for row in rows if row.source).most_common())


def as_toml(fit: Fit, source: str, kept: Mapping[str, Origin] = MappingProxyType({})) -> str:
    """A calibration as a file of ``cluster_configs/calibrations``.

    Parameters
    ----------
    fit
        What was fitted.
    source
        Of rows that do not name theirs.
    kept
        Origins of the numbers that were there before; one that was not fitted keeps its own.
    """
    calibration, rows = fit.calibration, [one.measurement for one in fit.predictions]
    layout = [row for row in rows if not _is_rate(row)]
    rates = [row for row in rows if _is_rate(row) and calibration.releases.get(row.software_release or "") == 1.0]
    values = {
        "gemm_efficiency": (f"{calibration.gemm_efficiency:.4g}", rates),
        "attention_efficiency": (f"{calibration.attention_efficiency:.4g}", rates),
        "weight_matrix_overhead_s": (f'"{calibration.weight_matrix_overhead_s * 1e6:.4g} us"', rates),
        "lane_bytes_per_token": (f"{calibration.lane_bytes_per_token:.0f}", layout),
    }
    lines = ["# Written by `wsesim calibrate`; the numbers that are not public, fitted to measurements.", ""]
    lines += [_line(fit, key, key, text, used, source, kept) for key, (text, used) in values.items()]
    lines += ["", "[releases]"]
    for release, factor in calibration.releases.items():
        used = [row for row in rows if _is_rate(row) and (row.software_release or "") == release]
        lines.append(_line(fit, f"releases.{release}", f'"{release}"', f"{factor:.4g}", used, source, kept))
    return "\n".join(lines) + "\n"


def _line(
    fit: Fit, key: str, name: str, text: str, used: Sequence[Measurement], source: str, kept: Mapping[str, Origin]
) -> str:
    """One number with its origin: the rows it was fitted to, or where it was before."""
    if used and (key in fit.fitted or key.startswith("releases.")):
        note = f"{len(used)} row{'s' * (len(used) != 1)}"
        return f'{name} = {{ value = {text}, source = "{_sources(used) or source}", status = "calibrated", note = "{note}" }}'
    before = kept.get(key)
    if before is None:
        return f'{name} = {{ value = {text}, source = "{source}", status = "calibrated", note = "not fitted here" }}'
    status = before.status or "calibrated"
    return f'{name} = {{ value = {text}, source = "{before.source}", status = "{status}", note = "{before.note}" }}'
