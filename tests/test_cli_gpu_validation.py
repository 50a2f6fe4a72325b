"""`wsesim calibrate --gpu`, and `wsesim validate` on GPU clusters, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_cli import answer, call


def test_calibrate_gpus_writes_a_file_that_is_the_shipped_one(tmp_path: Path) -> None:
    out = answer("calibrate", "--gpu", "--out", tmp_path / "mine.toml").out
    assert "gemm_ramp_elements" in out
    assert "allreduce-8xv100-1gib" in out
    assert "prove nothing" in out
    assert "cluster.gpu.calibration" in out
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert text.count("calibrated") == 6
    assert "hardly determine" in text


@pytest.mark.parametrize("words", [("mine.csv",), ("--run", "andromeda_13b"), ("--source", "me"), ("--system", "cs3")])
def test_calibrate_gpus_takes_no_option_of_wafers(words: tuple[str, ...]) -> None:
    outcome = call("calibrate", "--gpu", *words)
    assert outcome.code == 2
    assert words[-1] in outcome.err
    assert "leave one of the two out" in outcome.err
