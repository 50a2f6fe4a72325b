"""Runs of the catalogue as states: the page shows what the command line shows of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wsesim import load
from wsesim.config import catalogue
from wsesim.page.form import ready_runs, ready_state
from wsesim.page.limits import check_work
from wsesim.page.run_file import gpu_run_of, run_of


def test_all_runs_of_the_catalogue_are_offered() -> None:
    assert {one.name for one in ready_runs()} == set(catalogue.names("runs"))


@pytest.mark.parametrize("name", catalogue.names("runs"))
def test_a_ready_run_is_that_of_the_command_line(name: str) -> None:
    known, state = load(name), ready_state(name)
    shown, beside = run_of(state), gpu_run_of(state)
    own = beside if known.machine == "gpu" else shown
    policy = {"batch_policy": known.training.batch_policy}  # of GPUs the page takes a batch that divides well
    own = replace(own, training=own.training.model_copy(update=policy))
    assert replace(own, name="", place="", origins={}) == replace(known, name="", place="", origins={})
    assert shown.model == beside.model
    for run in (shown, beside):
        check_work(run)
