"""The shipped constants of GPUs are what the fits to measured kernels give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.front_door import call
from wsesim.config import catalogue
from wsesim.config.loader import load_gpu, load_gpu_calibration, origins_of
from wsesim.machines.gpu.rows import published, published_layers
from wsesim.machines.gpu.search import closed_form_of_plan_s
from wsesim.validate.gpu_calibrate import (
    NOISIER,
    TOLERANCES,
    PartFit,
    all_errors,
    calibration_of,
    fit_all,
    kernels_as_toml,
    predicted_s,
    published_tables,
    rewritten,
    sections,
)
from wsesim.validate.gpu_predict import plan_of, run_of

FEW = ("a100_80gb", "h100_80gb")


@pytest.fixture(scope="module")
def fits() -> list[PartFit]:
    return fit_all([table for table in published_tables() if table.gpu in FEW])


def part_of(fit: PartFit) -> Any:
    """What a GPU ships with in the place of a fit."""
    part: Any = load_gpu(fit.gpu)[0].calibration
    for name in fit.key.split("."):
        part = getattr(part, name)
    return part


def test_the_shipped_numbers_are_what_the_fits_give(fits: list[PartFit]) -> None:
    for fit in fits:
        origins = origins_of("calibrations", calibration_of(fit.gpu))
        for name, value in fit.values.items():
            if name in fit.ranges:
                origin = origins[f"{fit.key}.{name}"]
                shipped = getattr(part_of(fit), name)
                assert shipped == pytest.approx(value, rel=0.02, abs=1e-9), (fit.gpu, fit.key, name)
                assert origin.status == "calibrated"


def test_a_rewritten_file_is_the_shipped_one(fits: list[PartFit]) -> None:
    path = catalogue.find("calibrations", "h100")
    again = rewritten(path.read_text(encoding="utf-8"), [fit for fit in fits if fit.gpu == "h100_80gb"])
    assert len(again.splitlines()) == len(path.read_text(encoding="utf-8").splitlines())
    assert set(sections(fits)) >= {"products_16bit", "products_fp8", "attention.cudnn", "nvlink"}


def test_no_training_step_has_a_part_in_the_fits(fits: list[PartFit]) -> None:
    assert {fit.key.partition(".")[0].partition("_")[0] for fit in fits} == {"products", "attention", "nvlink"}
    bridge = {"megatron-bridge-h100-fp8", "megatron-bridge-b200-fp8"}  # three rows say what the host takes
    calibration = {row.set for row in published() if row.use == "calibration"}
    assert calibration == {"korthikanti", "megascale-baseline", "vtrain-single", *bridge}


def test_the_time_of_the_host_for_a_kernel_is_what_steps_that_wait_for_it_give() -> None:
    rows = [row for row in published() if row.set == "vtrain-single" and row.use == "calibration"]
    measured = np.array([row.iteration_s for row in rows])

    def squares(share: float) -> float:
        predicted = []
        for run in map(run_of, rows):
            software = run.cluster.software
            changed = software.model_copy(update={"launch_latency_s": software.launch_latency_s * share})
            other = replace(run, cluster=run.cluster.model_copy(update={"software": changed}))
            predicted.append(closed_form_of_plan_s(other, plan_of(other)))
        return float(np.mean(np.log(np.array(predicted) / measured) ** 2))

    less, shipped, more = map(squares, (0.97, 1.0, 1.03))
    assert shipped < min(less, more)


def test_left_out_rows_are_met_within_what_is_asked() -> None:
    errors = all_errors()
    assert {one.kind for one in errors} == {*TOLERANCES, "experts"}
    assert all(one.passes for one in errors), [one for one in errors if not one.passes]
    assert {(one.kind, one.gpu, one.name) for one in errors} >= set(NOISIER)


def test_a_third_of_each_table_was_left_out() -> None:
    for table in published_tables():
        assert 0.2 < float(np.mean(~table.fitted)) < 0.4


def test_collectives_follow_the_printed_bus_bandwidth() -> None:
    """8 GPUs sum up 512 MiB at 222, 445, 460 and 704 GB/s of bus bandwidth."""
    for name, rate in (("a100_80gb", 222), ("h100_80gb", 445), ("h200_141gb", 460), ("b200", 704)):
        (table,) = [one for one in published_tables() if (one.kind, one.gpu) == ("collectives", name)]
        columns = table.columns
        is_it = (columns["operation"] == "all_reduce") & (columns["num_gpus"] == 8) & (columns["size_bytes"] == 2**29)
        row = table.only(np.flatnonzero(is_it))
        wire = 2 * 7 / 8 * 2**29
        assert float(wire / row.measured_s[0] / 1e9) == pytest.approx(rate, abs=1.0)
        assert float(wire / predicted_s(row, load_gpu(name)[0])[0] / 1e9) == pytest.approx(rate, rel=0.15)


def test_own_kernels_are_fitted_by_their_columns(tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.csv", tmp_path / "mine.toml"
    table = (catalogue.published() / "kernels" / "products.csv").read_text(encoding="utf-8").splitlines()
    rows = [line for line in table if ",h100_80gb,16bit," in line]
    mine.write_text("\n".join([table[0], *rows]), encoding="utf-8")
    assert call("calibrate", mine, "--out", out).code == 0
    fitted = load_gpu_calibration(str(out))
    assert fitted.products_16bit.rate_share == pytest.approx(
        load_gpu("h100_80gb")[0].calibration.products_16bit.rate_share
    )
    assert fitted.nvlink == load_gpu("h100_80gb")[0].calibration.nvlink


def test_a_file_of_several_gpus_needs_a_folder(tmp_path: Path) -> None:
    answer = call("calibrate", "--gpu", "--out", tmp_path / "all.toml")
    assert answer.code == 2
    assert "one file holds one GPU" in answer.err


def test_a_fit_is_read_as_it_was_written(fits: list[PartFit], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(kernels_as_toml([fit for fit in fits if fit.gpu == "h100_80gb"], "h100", "mine"), encoding="utf-8")
    read, shipped = load_gpu_calibration(str(path)), load_gpu_calibration("h100")
    assert read.products_16bit.rate_share == pytest.approx(shipped.products_16bit.rate_share, rel=0.02)


def test_blocks_are_those_of_table_4() -> None:
    """Korthikanti et al. 2022: sums of forward and backward of 19.6, 19.0, 27.2, 20.9 and 20.3 ms."""
    rows = published_layers()
    sums = [1e3 * (ahead.value + back.value) for ahead, back in zip(rows[::2], rows[1::2], strict=True)]
    assert sums == pytest.approx([19.6, 19.0, 27.2, 20.9, 20.3])
    model = run_of(rows[0]).model
    assert (model.hidden_size, model.num_layers) == (6144, 48)


def test_experts_are_named_and_not_fitted() -> None:
    found = call("calibrate", catalogue.published() / "kernels" / "experts.csv")
    assert found.code == 2
    assert "experts.csv: holds kernels of experts, which nothing is fitted to" in found.err
