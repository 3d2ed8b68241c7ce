"""Fixtures for the tests of the command line: a cloud for a file of tests, a desk for each test.

A real process costs half a second, so tests ask a desk for one where processes are the point
(``desk.run``, ``desk.start``), and run the command in this process elsewhere (``rolecall``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Desk, Ended

from rolecall.testing import StrictCloud

#: The loggers that ``-v`` and warnings are shown of, and those that it keeps quiet.
LOGGERS = ("rolecall", "botocore", "urllib3", "http.client", "hpack", "h11", "asyncio")


@pytest.fixture(scope="module")
def cloud() -> Iterator[StrictCloud]:
    """A strict cloud for all tests of a file, in real time; its sessions live an hour."""
    with StrictCloud() as running:
        yield running


@pytest.fixture(autouse=True)
def no_fault_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what a test made the cloud do wrong before the next test."""
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").recover()


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Take off what a command puts on loggers: it writes to a stream that ends with the test."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def desk(cloud: StrictCloud, tmp_path: Path) -> Desk:
    """A new home with the profiles ``hub`` (a user), ``reader`` and ``deploy`` (roles)."""
    home = tmp_path / "home"
    home.mkdir()
    return Desk(cloud, home)


@pytest.fixture
def rolecall(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command, run in this process with the desk's environment: ``rolecall("whoami")``."""

    def rolecall(*words: str) -> Ended:
        return desk.here(capsys.readouterr, *words)

    return rolecall
