"""The page without a network: one pair of workers for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from wsesim.page.server import application
from wsesim.page.service import Service


@pytest.fixture(scope="module")
def service() -> Service:
    return Service(num_workers=1)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(application(service), base_url="http://127.0.0.1", raise_server_exceptions=False) as found:
        yield found
