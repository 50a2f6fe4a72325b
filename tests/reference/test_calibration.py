"""The shipped calibration is what the calibration command finds, with no more numbers than allowed."""

from __future__ import annotations

import math

import pytest

from wsesim.config.entries import load_system
from wsesim.machines.wafer.rows import LAYOUT_METRICS, Measurement, published
from wsesim.machines.wafer.system import CalibrationSpec
from wsesim.validate.calibrate import FEWEST_ROWS, OUTLIER_SCALE, RATE_KEYS, as_toml, fit, fit_lane_width
from wsesim.validate.predict import predict_all


def rows(system: str, release: str | None = None) -> list[Measurement]:
    chosen = [row for row in published() if row.use == "calibration" and row.system == system]
    return [
        row
        for row in chosen
        if release is None or (row.software_release == release and row.metric not in LAYOUT_METRICS)
    ]


def cost(calibration: CalibrationSpec, measurements: list[Measurement]) -> float:
    """The robust cost that the fit minimises."""
    errors = [math.log1p(one.error) for one in predict_all(measurements, calibration)]
    return sum(math.sqrt(1.0 + (error / OUTLIER_SCALE) ** 2) - 1.0 for error in errors)


@pytest.mark.parametrize("key", RATE_KEYS)
def test_the_shipped_numbers_are_at_the_minimum_of_the_cost(key: str) -> None:
    measurements = rows("cs2", "2.3")
    shipped = load_system("cs2")[0].calibration
    here = cost(shipped, measurements)
    for factor in (0.98, 1.02):
        assert cost(shipped.model_copy(update={key: getattr(shipped, key) * factor}), measurements) > here


def test_the_lane_width_is_the_middle_of_the_best_widths() -> None:
    shipped = load_system("cs2")[0].calibration
    layout = [row for row in rows("cs2") if row.metric in LAYOUT_METRICS]
    assert fit_lane_width(layout, shipped) == shipped.lane_bytes_per_token


def test_refitting_the_newest_generation_gives_the_shipped_factor() -> None:
    shipped = load_system("cs3")[0].calibration
    fitted = fit(rows("cs3"), shipped)
    assert fitted.fitted == ("releases.2.6",)
    assert fitted.calibration.releases["2.6"] == pytest.approx(shipped.releases["2.6"], rel=1e-3)


def test_at_most_four_numbers_per_generation_and_one_per_release_are_fitted() -> None:
    calibration = load_system("cs2")[0].calibration
    assert set(CalibrationSpec.model_fields) == {*RATE_KEYS, "lane_bytes_per_token", "releases"}
    assert all(isinstance(factor, float | int) for factor in calibration.releases.values())


def test_a_generation_with_few_rows_keeps_what_it_started_from() -> None:
    shipped = load_system("cs2")[0].calibration
    few = rows("cs2", "2.3")[:3]
    assert len(few) < FEWEST_ROWS
    fitted = fit(few, shipped)
    assert all(getattr(fitted.calibration, key) == getattr(shipped, key) for key in RATE_KEYS)
    kept = as_toml(fitted, "mine", {})
    assert all(f"{key} = " in kept for key in RATE_KEYS)
    assert kept.count('note = "3 rows"') == 1
