from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from asking import served

import rolecall
from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint.server import Endpoint
from rolecall.testing import FakeSource


def pytest_report_header() -> str | None:
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        return "endpoint: not root, so the endpoint believes itself another user's instead"
    return None


@pytest.fixture(scope="module")
def shared_source() -> FakeSource:
    return FakeSource(SYSTEM_CLOCK)


@pytest.fixture(scope="module")
def endpoint(shared_source: FakeSource) -> Iterator[Endpoint]:
    """One endpoint for a whole file: nothing that a request does may harm the next."""
    with Endpoint([served(shared_source)]) as running:
        yield running


@pytest.fixture
def expiring_session() -> rolecall.RoleSession:
    """A session that asks nobody for its credentials."""
    source = FakeSource(SYSTEM_CLOCK)

    def fetch() -> rolecall.Credentials:
        return source.make(1, datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc))

    return rolecall.refreshable_session(fetch)
