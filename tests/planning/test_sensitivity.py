"""What each number does to a step: as with `--set`, and every number that nobody published has a range."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.front_door import call
from tests.test_cli import names
from wsesim.config.loader import load_any
from wsesim.results.result import UNCERTAIN, status_of
from wsesim.study.sensitivity import _is_of_step, with_number

RUNS = ["cerebras_gpt_111m", "cerebras_gpt_111m_gpu"]


@pytest.mark.parametrize("name", names("runs"))
def test_every_number_that_nobody_published_has_a_range(name: str) -> None:
    """One without is a fault of the catalogue; a year and the size of a job are no such numbers."""
    for key, origin in load_any(name).origins.items():
        if status_of(origin) in UNCERTAIN and _is_of_step(key):
            assert origin.low is not None, f"{key} of {origin.place}"
            assert origin.high is not None


@pytest.mark.parametrize("name", RUNS)
def test_each_number_does_what_it_does_when_it_is_set(name: str) -> None:
    found = call("sensitivity", name, "--json").json
    step_s = found["step_time_s"]
    assert step_s == call("run", name, "--json").json["step_time_s"]
    assert not found["without_range"]
    if name.endswith("_gpu"):  # there a plan of its own would be searched
        return
    for one in [one for one in found["uncertain"] if "releases" not in one["key"]][:3]:
        for changed in one["changed"]:
            answer = call("run", name, "--set", f"{one['key']}={changed['value']!r}", "--json").json
            assert answer["step_time_s"] == pytest.approx(changed["step_time_s"], rel=1e-9), one["key"]
            assert changed["change"] == pytest.approx(answer["step_time_s"] / step_s - 1.0, abs=1e-9)


@pytest.mark.parametrize("name", RUNS)
def test_what_moves_the_step_most_comes_first(name: str) -> None:
    found = call("sensitivity", name, "--json").json
    for table in ("uncertain", "constants"):
        sizes = [max(abs(change.get("change", 0.0)) for change in one["changed"]) for one in found[table]]
        assert sizes
        assert all(before >= after for before, after in pairwise(sizes))
    assert all(one["changed"][0]["change"] < 0.0 for one in found["constants"])
    assert not set(found["without_effect"]) & {one["key"] for one in found["constants"]}


def test_two_tables_are_printed() -> None:
    text = call("sensitivity", "cerebras_gpt_111m").out
    assert "Uncertain numbers at the ends of their ranges" in text
    assert "The machine, each number 10% better" in text
    assert "gemm_efficiency" in text


def test_a_number_of_a_release_is_found_though_its_name_has_dots() -> None:
    run = with_number(load_any("andromeda_13b"), "cluster.system.calibration.releases.2.1", 0.5)
    assert run.cluster.system.calibration.releases["2.1"] == 0.5
    assert load_any("andromeda_13b").cluster.system.calibration.releases["2.1"] != 0.5


def test_a_run_that_is_refused_is_refused_here_too() -> None:
    answer = call("sensitivity", "andromeda_13b", "--set", "cluster.num_systems=999")
    assert answer.code in (1, 2)
    assert "999 systems" in answer.err
    assert "Traceback" not in answer.err
