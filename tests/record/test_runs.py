"""What a user sees of runs is what is recorded."""

from __future__ import annotations

import pytest

from tests.record.held import hold, names_in


@pytest.mark.parametrize("name", names_in("run", "run_with", "run_of_own", "run_in_words"))
def test_it_is_as_recorded(name: str) -> None:
    hold(name)
