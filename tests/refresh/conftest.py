from __future__ import annotations

from collections.abc import Callable

import pytest

from rolecall.refresh import Refresher
from rolecall.testing import FakeClock, FakeSource


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def make(clock: FakeClock, source: FakeSource) -> Callable[..., Refresher]:
    """A refresher without jitter over the fake source and clock."""

    def make(**keywords: object) -> Refresher:
        options: dict[str, object] = {"clock": clock, "rng": lambda: 0.0, "name": "the session"}
        return Refresher(source, **{**options, **keywords})  # type: ignore[arg-type]

    return make
