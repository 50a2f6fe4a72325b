"""Fixtures that several folders of tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.browser import chromium, why_not

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="session", autouse=True)
def _no_state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Faults that tests inject leave no files in the home of who runs them."""
    with mock.patch.dict(os.environ, XDG_STATE_HOME=str(tmp_path_factory.mktemp("state"))):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A headless Chromium; skips where there is none."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with chromium() as driver:
        yield driver
