"""The shipped constants of GPUs are what the fit gives, whatever it starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsesim import load
from wsesim.config.entries import load_gpu_calibration, origins_of
from wsesim.machines.gpu.rows import published, published_all_reduces, published_layers
from wsesim.validate.gpu_calibrate import COLLECTIVE_KEYS, KERNEL_KEYS, AllReduces, GPUFit, Kernels, as_toml, fit_gpus
from wsesim.validate.gpu_predict import run_of

FITTED = (*COLLECTIVE_KEYS, *KERNEL_KEYS)
SHIPPED = load_gpu_calibration("gpu_kernels")


@pytest.fixture(scope="module")
def fit() -> GPUFit:
    elsewhere = SHIPPED.model_copy(
        update={
            "nvlink_efficiency": 0.5,
            "collective_latency_s": 1e-4,
            "collective_step_latency_s": 1e-6,
            "gemm_efficiency": 0.7,
            "gemm_ramp_elements": 10.0,
            "batched_gemm_efficiency": 0.9,
        }
    )
    return fit_gpus(elsewhere)


def test_the_shipped_numbers_are_what_the_fit_gives_from_another_start(fit: GPUFit) -> None:
    for key in FITTED:
        # three figures are kept; rounding on another machine may move the last
        assert getattr(fit.calibration, key) == pytest.approx(getattr(SHIPPED, key), rel=0.006), key
    kept = set(SHIPPED.model_dump()) - set(FITTED)
    assert all(getattr(fit.calibration, key) == getattr(SHIPPED, key) for key in kept)


def test_each_range_holds_its_number_and_is_the_one_that_the_file_states(fit: GPUFit) -> None:
    origins = origins_of("calibrations", "gpu_kernels")
    for key in FITTED:
        low, high = fit.ranges[key]
        assert low <= getattr(SHIPPED, key) * 1.005
        assert high >= getattr(SHIPPED, key) * 0.995
        assert (origins[key].status, origins[key].low, origins[key].high) == (
            "calibrated",
            pytest.approx(low, rel=0.01),
            pytest.approx(high, rel=0.01),
        )


def test_no_step_away_is_better(fit: GPUFit) -> None:
    rows = [row for row in (*published(), *published_layers()) if row.use == "calibration"]
    held, reduces = Kernels(rows, SHIPPED.model_dump()), [r for r in published_all_reduces() if r.use == "calibration"]
    links = AllReduces(reduces)

    def collective_error(**constants: float) -> float:
        return float(np.sum((links.predicted_s(constants) / links.measured_s - 1.0) ** 2))

    for key in FITTED:
        here = getattr(SHIPPED, key)
        for factor in (0.9, 1.1):
            moved = {key: factor * here}
            if key in KERNEL_KEYS:
                assert held.squared_error(moved)[0] > held.squared_error({})[0] * (1 - 1e-4)
            else:
                assert collective_error(**moved) > collective_error()


def test_only_calibration_rows_are_fitted_to(fit: GPUFit) -> None:
    kinds = [(one.kind, one.use) for one in fit.residuals]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        ("all-reduce", "calibration"): 18,
        ("all-reduce", "validation"): 5,
        ("step", "calibration"): 8,
        ("block", "calibration"): 10,
    }
    assert {row.set for row in published() if row.use == "calibration"} == {"korthikanti"}
    assert all("8xv100" in one.id for one in fit.residuals if one.use == "validation")


def test_many_variants_at_once_are_each_of_them_alone() -> None:
    rows = [row for row in (*published(), *published_layers()) if row.use == "calibration"]
    held = Kernels(rows, {})
    ramps = np.array([0.0, 100.0, 400.0])
    together = held.predicted_s({"gemm_ramp_elements": ramps})
    for place, ramp in enumerate(ramps):
        alone = held.predicted_s({"gemm_ramp_elements": float(ramp)})[:, 0]
        assert together[:, place] == pytest.approx(alone, rel=1e-12)


def test_the_file_is_read_as_it_was_written(fit: GPUFit, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(fit, origins_of("calibrations", "gpu_kernels")), encoding="utf-8")
    assert load_gpu_calibration(str(path)).model_dump() == pytest.approx(fit.calibration.model_dump(), rel=1e-9)
    run = load("gpt_neox_20b_96xa100", [f'cluster.gpu.calibration="{path.as_posix()}"'])
    assert run.cluster.gpu.calibration.gemm_efficiency == fit.calibration.gemm_efficiency  # type: ignore[union-attr]


def test_blocks_are_those_of_table_4() -> None:
    """Korthikanti et al. 2022: sums of forward and backward of 19.6, 19.0, 27.2, 20.9 and 20.3 ms."""
    rows = published_layers()
    sums = [1e3 * (ahead.value + back.value) for ahead, back in zip(rows[::2], rows[1::2], strict=True)]
    assert sums == pytest.approx([19.6, 19.0, 27.2, 20.9, 20.3])
    model = run_of(rows[0]).model
    assert (model.hidden_size, model.num_layers) == (6144, 48)


def test_all_reduces_have_the_published_bus_bandwidth() -> None:
    """2 (n - 1) / n of the buffer over the time: 229 GB/s on eight A100 and 135 on eight V100 with 1 GiB."""
    rows = {row.id: row for row in published_all_reduces()}
    for name, rate in (("8xa100", 229), ("4xa100", 222), ("2xa100", 197), ("8xv100", 135)):
        row = rows[f"allreduce-{name}-1gib"]
        share = 2.0 * (row.num_gpus - 1) / row.num_gpus
        assert share * row.size_bytes / row.time_s / 1e9 == pytest.approx(rate, abs=1.0)
