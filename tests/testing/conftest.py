"""Fixtures for the tests of `rolecall.testing`, which must not lean on its own pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from rolecall.testing.clock import FakeClock
from rolecall.testing.cloud import StrictCloud


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cloud(clock: FakeClock) -> Iterator[StrictCloud]:
    with StrictCloud(lifetime=timedelta(seconds=5), clock=clock) as running:
        yield running
