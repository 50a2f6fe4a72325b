"""Fixtures that several folders of tests use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium, why_not

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A headless Chromium; skips where there is none."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with chromium() as driver:
        yield driver
