from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from drivers import DRIVERS, Driver, Readers
from programs import Awaiting

from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS


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
        options: dict[str, object] = {
            "source": source,
            "clock": clock,
            "rng": lambda: 0.0,
            "name": "the session",
        }
        return Refresher(**{**options, **keywords})  # type: ignore[arg-type]

    return make


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Each way to read in turn: a test that takes it is a scenario of all drivers."""
    driver = DRIVERS[request.param]()
    yield driver
    driver.close()


@pytest.fixture
def readers_of(driver: Driver, make: Callable[..., Refresher]) -> Callable[..., Readers]:
    """The readers of what `make` makes, by each driver in turn."""

    def readers_of(**keywords: object) -> Readers:
        return Readers(driver, make(**keywords))

    return readers_of


@pytest.fixture
def awaiting(source: FakeSource) -> Awaiting:
    return Awaiting(source)


@pytest.fixture
def refresher(make: Callable[..., Refresher], awaiting: Awaiting) -> Refresher:
    """A refresher over a source that must be awaited."""
    return make(source=awaiting)


@pytest.fixture
def session(refresher: Refresher) -> AsyncRefresher:
    return AsyncRefresher(refresher)


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture
def silence() -> Iterator[None]:
    """Fail a test after which asyncio complains: never awaited, never retrieved, still pending."""
    heard = _Heard()
    heard.setLevel(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("asyncio", "concurrent.futures")]
    for logger in loggers:
        logger.addHandler(heard)
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("rolecall-"):
            thread.join(PATIENCE_SECONDS)
    gc.collect()  # it complains of what it finds when that is collected
    for logger in loggers:
        logger.removeHandler(heard)
    assert heard.said == []
