"""The pytest fixtures `strict_cloud`, `fake_clock` and `fake_source`.

pytest finds them wherever rolecall is installed, so importing this module must cost nothing:
neither boto3 nor moto is loaded before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .clock import FakeClock
    from .cloud import StrictCloud
    from .source import FakeSource

_MARKER = "strict_cloud"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for those who run with ``--strict-markers``."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(lifetime): the longest life of a session in the strict_cloud fixture, "
        "a timedelta",
    )


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    from .clock import FakeClock

    return FakeClock()


@pytest.fixture
def fake_source(fake_clock: FakeClock) -> FakeSource:
    """A source of made-up credentials that live an hour by `fake_clock`."""
    from .source import FakeSource

    return FakeSource(fake_clock)


@pytest.fixture
def strict_cloud(request: pytest.FixtureRequest) -> Iterator[StrictCloud]:
    """A running `StrictCloud` without any state.

    It tells time by `fake_clock` in a test that asks for that fixture too. Sessions live as long
    as they ask for unless the test is marked ``strict_cloud(lifetime=timedelta(seconds=5))``.
    """
    from ..clock import SYSTEM_CLOCK
    from .cloud import StrictCloud

    clock = SYSTEM_CLOCK
    if "fake_clock" in request.fixturenames:
        clock = request.getfixturevalue("fake_clock")
    marker = request.node.get_closest_marker(_MARKER)
    arguments = {} if marker is None else marker.kwargs
    with StrictCloud(clock=clock, **arguments) as cloud:
        yield cloud
