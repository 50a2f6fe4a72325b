"""What a user sees of studies is what is recorded."""

from __future__ import annotations

import pytest

from tests.record.held import hold, names_in


@pytest.mark.parametrize("name", names_in("plan", "lifetime", "compare", "portfolio", "sensitivity", "sweep"))
def test_it_is_as_recorded(name: str) -> None:
    hold(name)
