"""What a user sees of timelines and reports is what is recorded."""

from __future__ import annotations

import pytest

from tests.record.held import hold, names_in


@pytest.mark.parametrize("name", names_in("trace", "report"))
def test_it_is_as_recorded(name: str) -> None:
    hold(name)
