"""`wsesim calibrate --gpu`, and `wsesim validate` on GPU clusters, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.front_door import answer, call


def test_calibrate_a_gpu_writes_a_file_that_lies_over_the_shipped_one(tmp_path: Path) -> None:
    out = answer("calibrate", "--gpu", "--system", "h100_80gb", "--out", tmp_path / "mine.toml").out
    assert "products_fp8" in out
    assert "attention.cudnn" in out
    assert "cluster.gpu.calibration" in out
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert text.startswith('# Written by `wsesim calibrate`.\nextends = "h100"\n')
    assert text.count('status = "calibrated"') > 50


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (("mine.csv",), "there is no such file"),
        (("--run", "andromeda_13b"), "belongs to a log of a wafer-scale system"),
        (("--system", "cs3"), "no kernel of it is measured here; known are a100_80gb"),
    ],
)
def test_calibrate_gpus_takes_no_option_of_wafers(words: tuple[str, ...], finding: str) -> None:
    outcome = call("calibrate", "--gpu", *words)
    assert outcome.code == 2
    assert words[-1] in outcome.err
    assert finding in outcome.err


def test_validate_a_set_shows_its_rows_and_the_line_it_has_to_beat() -> None:
    out = answer("validate", "dgxc-llama-h100").out
    assert out.count("dgxc-v25.04.02-") == 11
    assert "t4 p4 d16" in out
    (line,) = [line for line in out.splitlines() if line.startswith("dgxc-llama-h100")]
    assert line.split()[1:3] == ["valid", "11"]
    assert line.split()[-3:] == ["100%", "5%", "ok"]
    assert "one rate" in out
    assert "-04" not in answer("validate", "dgxc-llama-h100", "--no-rows").out


def test_validate_a_set_as_json() -> None:
    data = answer("validate", "dgxc-llama-h100", "--json").json
    assert (data["rows"], data["sets"], data["losses"]) == ([], [], [])
    (one,) = data["gpu_sets"]
    assert one["passes"]
    assert one["beats_constant_hfu"]
    # order within the two groups, whose times differ by 0.2 %, is noise: far from 1 with it, 1 without
    assert one["rank_correlation"] < 0.9
    assert one["pairs_in_order"] == 1.0
    errors = [abs(row["error"]) for row in data["gpu_rows"]]
    assert one["mape"] == pytest.approx(sum(errors) / 11)
    assert all(row["error"] == pytest.approx(row["predicted_s"] / row["measured_s"] - 1.0) for row in data["gpu_rows"])


GPU_TABLE = (
    "model,cluster,num_gpus,tensor_parallel_size,pipeline_parallel_size,micro_batch_size,global_batch_size,value\n"
    "gpt3-1.3b,dgx_a100_80gb,8,1,1,4,64,{}\n"
)


def test_validate_own_measurements_of_gpus(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(GPU_TABLE.format(100.0), encoding="utf-8")
    outcome = call("validate", path)
    assert outcome.code == 1
    assert "past the stated tolerance: all (validation)" in outcome.err
    predicted = call("validate", path, "--json").json["gpu_rows"][0]["predicted_s"]
    path.write_text(GPU_TABLE.format(predicted * 1.01), encoding="utf-8")
    assert "-1.0%" in answer("validate", path).out
    assert call("validate", path, "--calibration", "gpu_kernels").code == 0


def test_a_row_that_does_not_fit_is_refused_and_misses(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(GPU_TABLE.format(1.0).replace("gpt3-1.3b", "gpt3-175b"), encoding="utf-8")
    outcome = call("validate", path)
    assert outcome.code == 1
    assert "refused: " in outcome.out
    assert "nothing was predicted, 1 row(s) refused" in outcome.err


@pytest.mark.parametrize(("word", "near"), [("sc21-tabel1", "sc21-table1"), ("gpus", "gpu"), ("cerebra", "cerebras")])
def test_a_set_that_is_not_there_is_answered_with_the_nearest(word: str, near: str) -> None:
    outcome = call("validate", word)
    assert outcome.code == 2
    assert f"did you mean {near}?" in outcome.err


def test_all_wafer_sets_alone_are_quick_and_hold_no_gpus() -> None:
    data = answer("validate", "cerebras", "--json").json
    assert data["gpu_rows"] == []
    assert len(data["losses"]) == 7
    assert {one["set"] for one in data["sets"]} >= {"usc-gpt", "alcf", "micro-batch"}
    assert call("validate", "--calibration", "cs2", "--json").json["gpu_rows"] == []
