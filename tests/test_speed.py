"""How much work a simulation is: event counts, which do not depend on the machine."""

from __future__ import annotations

import pytest

from benchmarks.speed.cases import CASES, Case
from wsesim.simulation import run_schedule


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_event_count_is_as_recorded(case: Case) -> None:
    assert run_schedule(case.load()).num_events == case.events


def test_identical_systems_cost_as_much_as_one() -> None:
    events = {case.name: case.events for case in CASES}
    assert events["13B on 2048 systems"] <= 1.1 * events["13B on 1 system"]
